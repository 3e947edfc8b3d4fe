//! Whether each service and folder that the configuration names can be used from here, now: `CHECKS` is the
//! list. Nothing is written anywhere, and nobody is sent anything but a question.

use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use rustix::fs::{Access, access};
use serde_json::{Value, json};

use super::Meaning;
use crate::cli::{Cli, Code, Failure};
use crate::config::{Address, ConfigError, File};
use crate::objects::{self, Place};
use crate::outage::free_bytes;
use crate::process::with_causes;
use crate::store::Store;
use crate::{text, trigger, web};

/// Who has not answered by then is away.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);

/// One thing that the configuration names.
struct Check {
    /// What it is for.
    service: &'static str,
    /// Where it is, as it may be shown; none where the configuration names none.
    place: fn(&Asked) -> Option<String>,
    /// Asks it: what it answers, or what is wrong and the way out.
    ask: fn(&Asked) -> Result<String, Wrong>,
}

/// What there is, in the order in which an upload meets it.
static CHECKS: [Check; 10] = [
    Check { service: "home", place: |asked| shown(&asked.home), ask: |asked| folder(&asked.home) },
    Check {
        service: "landing folder",
        place: |asked| own(&asked.file().landing.url, &asked.home, "landing"),
        ask: |asked| folder(&asked.home.join("landing")),
    },
    Check {
        service: "archive folder",
        place: |asked| own(&asked.file().archive.url, &asked.home, "archive"),
        ask: |asked| folder(&asked.home.join("archive")),
    },
    Check { service: "listen", place: |asked| Some(asked.file().serve.listen.clone()), ask: listen },
    Check {
        service: "inbox store",
        place: |asked| named(&asked.file().inbox.url),
        ask: |asked| objects(asked, &asked.file().inbox.url),
    },
    Check {
        service: "landing store",
        place: |asked| named(&asked.file().landing.url),
        ask: |asked| objects(asked, &asked.file().landing.url),
    },
    Check {
        service: "archive store",
        place: |asked| named(&asked.file().archive.url),
        ask: |asked| objects(asked, &asked.file().archive.url),
    },
    Check { service: "database", place: |asked| named(&asked.file().store.url), ask: database },
    Check { service: "queue", place: |asked| named(&asked.file().trigger.sqs.queue_url), ask: queue },
    Check { service: "stream", place: |asked| named(&asked.file().trigger.nats.url), ask: stream },
];

/// The webhook is asked like the others, but its address is never shown.
static WEBHOOK: Check = Check {
    service: "webhook",
    place: |asked| asked.file().alerts.webhook.as_ref().map(|_| "set, not shown".to_owned()),
    ask: webhook,
};

/// What the checks go by.
struct Asked<'a> {
    home: PathBuf,
    meaning: &'a Meaning,
}

impl Asked<'_> {
    fn file(&self) -> &File {
        &self.meaning.config.file
    }
}

/// Why something cannot be used, and the way out.
struct Wrong {
    problem: String,
    hint: String,
}

/// What one of them answered.
pub struct Answer {
    service: &'static str,
    place: String,
    said: Result<String, Wrong>,
}

impl Answer {
    /// As a row of a table.
    pub fn cells(&self) -> Vec<Value> {
        vec![self.service.into(), self.place.clone().into(), self.said.as_deref().unwrap_or_default().into()]
    }

    /// For programs.
    pub fn json(&self) -> Value {
        json!({ "service": self.service, "place": self.place, "answer": self.said.as_deref().unwrap_or_default() })
    }

    /// What is wrong, if anything is.
    pub fn failure(&self) -> Option<Failure> {
        let wrong = self.said.as_ref().err()?;
        let message = format!("{}: {}", self.service, wrong.problem);
        Some(Failure::new(Code::Unreachable, message, &wrong.hint).at(&self.place, ""))
    }
}

/// Asks everything that the configuration names, all at the same time.
pub fn ask(cli: &Cli, meaning: &Meaning) -> Vec<Answer> {
    let asked = &Asked { home: cli.home.clone(), meaning };
    let there = |check: &'static Check| (check.place)(asked).map(|place| (check, place));
    std::thread::scope(|scope| {
        let asking: Vec<_> = CHECKS.iter().chain([&WEBHOOK]).filter_map(there).collect();
        let asking: Vec<_> = asking
            .into_iter()
            .map(|(check, place)| (check, place, scope.spawn(move || (check.ask)(asked))))
            .collect();
        let answer = |(check, place, thread): (&Check, String, std::thread::ScopedJoinHandle<'_, _>)| {
            let broken = |_| Err(wrong("the check itself broke off", "report it with this message"));
            Answer { service: check.service, place, said: thread.join().unwrap_or_else(broken) }
        };
        asking.into_iter().map(answer).collect()
    })
}

fn wrong(problem: impl Into<String>, hint: impl Into<String>) -> Wrong {
    Wrong { problem: problem.into(), hint: hint.into() }
}

fn shown(path: &Path) -> Option<String> {
    Some(path.display().to_string())
}

fn named(address: &Option<Address>) -> Option<String> {
    address.as_ref().map(Address::to_string)
}

/// The folder of the home that is used where no address is named.
fn own(address: &Option<Address>, home: &Path, name: &str) -> Option<String> {
    address.is_none().then(|| home.join(name).display().to_string())
}

/// Whether this user may write there (or make it, where it is not yet), and what is left of the volume.
fn folder(path: &Path) -> Result<String, Wrong> {
    let Some(there) = path.ancestors().map(or_here).find(|path| path.exists()) else {
        return Err(wrong("no part of the path is there", "check the path"));
    };
    if !there.is_dir() {
        return Err(wrong(format!("{} is no folder", there.display()), "name a folder, which may be new"));
    }
    access(there, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| {
        let problem =
            format!("nothing can be written in {}: {}", there.display(), std::io::Error::from(error));
        wrong(problem, "give this user the right to write there, or mount it for writing")
    })?;
    Ok(match free_bytes(there) {
        Some(free) => format!("writable, {} bytes free", text::count(free)),
        None => "writable".to_owned(),
    })
}

/// The parent of a bare name is the current folder.
fn or_here(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

/// Whether the address can be listened on; a service that serves there already is asked whether it is one of ours.
fn listen(asked: &Asked) -> Result<String, Wrong> {
    let listen = &asked.file().serve.listen;
    let address = web::address(listen, true).map_err(|error| wrong(error.to_string(), error.hint()))?;
    match TcpListener::bind(address) {
        Ok(_) => Ok("free".to_owned()),
        Err(_) if crate::cli::health::ask(address, "/livez").is_ok() => {
            Ok("a service is listening there already".to_owned())
        }
        Err(error) => {
            Err(wrong(format!("cannot listen there: {error}"), "choose another port, or stop what has it"))
        }
    }
}

/// A bucket: that it is there and lets us in, by listing what nobody puts. Asked once and not again.
fn objects(asked: &Asked, address: &Option<Address>) -> Result<String, Wrong> {
    let Some(address) = address else { return Ok(String::new()) };
    let mut settings = asked.file().objects.settings(None);
    (settings.retries_max, settings.request_seconds) = (0, ANSWER_TIME_MAX.as_secs());
    let refused = |error: objects::Error| wrong(with_causes(&error), error.hint());
    match Place::open(address, &settings).map_err(refused)? {
        Place::Folder(path) => folder(&path),
        Place::Bucket(bucket) => {
            bucket.list("check-config/", None).map_err(refused)?;
            Ok("lists its objects".to_owned())
        }
    }
}

/// A server: that it lets us in as the program would go in, with its certificate, user and schema. One that takes
/// the connection and then says nothing is away, too.
fn database(asked: &Asked) -> Result<String, Wrong> {
    let failed = |error: ConfigError| wrong(error.to_string(), error.hint.clone());
    let Some(place) = asked.meaning.config.database().map_err(failed)? else { return Ok(String::new()) };
    let (send, answer) = mpsc::channel();
    std::thread::spawn(move || send.send(Store::is_at(&place)));
    let Ok(answer) = answer.recv_timeout(ANSWER_TIME_MAX) else {
        let hint = "check what listens there: a PostgreSQL server answers at once";
        return Err(wrong("it takes connections and does not answer", hint));
    };
    match answer {
        Ok(true) => Ok("lets us in, and has our tables".to_owned()),
        Ok(false) => Ok("lets us in; our tables are made at the first start".to_owned()),
        Err(error) => Err(wrong(with_causes(&error), error.hint())),
    }
}

/// The queue: that it is there and lets us in.
fn queue(asked: &Asked) -> Result<String, Wrong> {
    let keys = &asked.file().trigger.sqs;
    let place = keys.endpoint.as_ref().or(keys.queue_url.as_ref());
    address(place, place.map_or(443, http_port))?;
    let hint =
        "look at `[trigger.sqs]`, the region, the credentials and their right `sqs:GetQueueAttributes`";
    trigger::ask_sqs(&asked.meaning.config, ANSWER_TIME_MAX).map_err(|problem| wrong(problem, hint))?;
    Ok("is there and lets us in".to_owned())
}

/// A NATS server: that it lets us in and has the stream.
fn stream(asked: &Asked) -> Result<String, Wrong> {
    address(asked.file().trigger.nats.url.as_ref(), 4222)?;
    let hint =
        "look at `[trigger.nats]`, the credentials, and whether the server has JetStream and the stream";
    trigger::ask_nats(&asked.meaning.config, ANSWER_TIME_MAX).map_err(|problem| wrong(problem, hint))?;
    Ok("lets us in, and has the stream".to_owned())
}

fn http_port(address: &Address) -> u16 {
    if address.scheme() == "http" { 80 } else { 443 }
}

fn address(address: Option<&Address>, port: u16) -> Result<String, Wrong> {
    let Some((host, own_port)) = address.and_then(Address::host) else {
        return Err(wrong("the address names no host", "write it as SCHEME://HOST:PORT/…"));
    };
    reach(host, own_port.unwrap_or(port))
}

/// Whether somebody answers at a host's port.
fn reach(host: &str, port: u16) -> Result<String, Wrong> {
    let hint = "check the name, the network and the firewall, and that the service runs";
    let found = (host, port)
        .to_socket_addrs()
        .map_err(|error| wrong(format!("the name {host} leads nowhere: {error}"), hint))?;
    let mut last = None;
    for place in found {
        match TcpStream::connect_timeout(&place, ANSWER_TIME_MAX) {
            Ok(_) => return Ok(format!("{place} answers")),
            Err(error) => last = Some(format!("{place} does not answer: {error}")),
        }
    }
    Err(wrong(last.unwrap_or_else(|| format!("the name {host} has no address")), hint))
}

/// Any answer will do: a question that is no alert may well be refused. Its words may tell the address.
fn webhook(asked: &Asked) -> Result<String, Wrong> {
    let Some(url) = &asked.file().alerts.webhook else { return Ok(String::new()) };
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(ANSWER_TIME_MAX))
        .max_redirects(0)
        .http_status_as_error(false)
        .build()
        .into();
    match agent.head(url).call() {
        Ok(answer) => Ok(format!("answers {}", answer.status().as_u16())),
        Err(error) => Err(wrong(
            format!("it does not answer: {}", crate::alert::without_address(error)),
            "check the address, the network and that the target runs",
        )),
    }
}
