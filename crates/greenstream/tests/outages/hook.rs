//! A target for alerts on loopback that answers as it is told, and remembers what it was asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

/// How one request is answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// As HTTP has it: status line and more, then the connection is closed.
    Text(String),
    /// Never, until the other side gives up.
    Silence,
    /// 200 and a body without an end.
    Endless,
    /// This process is killed with the request read and not answered.
    Kill(u32),
}

impl Answer {
    pub fn taken() -> Answer {
        Answer::Text("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_owned())
    }

    pub fn status(line: &str) -> Answer {
        Answer::Text(format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\n\r\n"))
    }
}

/// What a request said.
#[derive(Clone, Debug)]
pub struct Asked {
    pub key: String,
    pub kind: String,
    pub answer: Answer,
}

type Plan = Box<dyn FnMut(&str) -> Answer + Send>;

#[derive(Clone)]
pub struct Hook {
    pub port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
    plan: Arc<Mutex<Plan>>,
    /// Bytes of endless bodies that somebody took.
    pub streamed: Arc<AtomicU64>,
}

impl Hook {
    /// Answers each request by its idempotency key.
    pub fn start(plan: impl FnMut(&str) -> Answer + Send + 'static) -> Hook {
        Hook::on(0, plan)
    }

    /// The same on a port of which it is known that it is free.
    pub fn on(port: u16, plan: impl FnMut(&str) -> Answer + Send + 'static) -> Hook {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let hook = Hook {
            port: listener.local_addr().unwrap().port(),
            asked: Arc::default(),
            plan: Arc::new(Mutex::new(Box::new(plan))),
            streamed: Arc::default(),
        };
        let served = hook.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let hook = served.clone();
                // a client that breaks off is part of the test
                std::thread::spawn(move || hook.serve(stream.unwrap()).ok());
            }
        });
        hook
    }

    /// A target that takes everything.
    pub fn willing() -> Hook {
        Hook::start(|_| Answer::taken())
    }

    pub fn configuration(&self) -> String {
        format!("[alerts]\nwebhook = \"http://127.0.0.1:{}/alerts\"\n[archive]\nlag_seconds = 1\n", self.port)
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// The keys of one kind of alert that were taken, as often as they were.
    pub fn taken(&self, kind: &str) -> Vec<String> {
        let asked = self.asked();
        asked.into_iter().filter(|a| a.kind == kind && a.answer == Answer::taken()).map(|a| a.key).collect()
    }

    fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut lines = BufReader::new(stream.try_clone()?);
        let (mut length, mut key) = (0, String::new());
        loop {
            let mut line = String::new();
            lines.read_line(&mut line)?;
            let line = line.trim_end();
            match line.split_once(": ").map(|(name, value)| (name.to_ascii_lowercase(), value)) {
                Some((name, value)) if name == "content-length" => length = value.parse().unwrap(),
                Some((name, value)) if name == "idempotency-key" => key = value.to_owned(),
                _ if line.is_empty() => break,
                _ => {}
            }
        }
        let mut body = vec![0; length];
        lines.read_exact(&mut body)?;
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["key"], key.as_str());
        let answer = (self.plan.lock().unwrap())(&key);
        let kind = body["kind"].as_str().unwrap().to_owned();
        self.asked.lock().unwrap().push(Asked { key, kind, answer: answer.clone() });
        match answer {
            Answer::Text(text) => stream.write_all(text.as_bytes()),
            Answer::Silence => {
                let mut rest = Vec::new();
                stream.set_read_timeout(Some(Duration::from_secs(60)))?;
                lines.read_to_end(&mut rest).map(drop)
            }
            Answer::Endless => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")?;
                loop {
                    stream.write_all(&[b'x'; 4096])?;
                    self.streamed.fetch_add(4096, Ordering::SeqCst);
                }
            }
            Answer::Kill(pid) => {
                std::process::Command::new("kill").args(["-9", &pid.to_string()]).status()?;
                Ok(())
            }
        }
    }
}
