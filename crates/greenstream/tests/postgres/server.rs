//! A real server of a test's own, and a way to it that can be cut or slow.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use postgres::{Client, NoTls};

/// A server as `scripts/postgres` starts it, gone with the test.
pub struct Server {
    folder: String,
    pub url: String,
}

fn script(args: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/postgres");
    let done = Command::new(script).args(args).output().unwrap();
    assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

impl Server {
    /// With fsync: for tests that stop it in the middle.
    pub fn start() -> Server {
        Server::start_as(&["start"])
    }

    /// One that takes encrypted connections only, and the file of whom to trust.
    pub fn start_encrypted() -> (Server, String) {
        let server = Server::start_as(&["start", "--tls"]);
        let root = server.folder.clone() + "/root.crt";
        (server, root)
    }

    /// One that asks for a password, and that.
    pub fn start_with_password() -> (Server, String) {
        let server = Server::start_as(&["start", "--password"]);
        let password = std::fs::read_to_string(server.folder.clone() + "/password").unwrap();
        (server, password.trim().to_owned())
    }

    fn start_as(args: &[&str]) -> Server {
        let said = script(args);
        let (folder, url) = said.trim().split_once(' ').unwrap();
        Server { folder: folder.to_owned(), url: url.to_owned() }
    }

    /// Stops it as a power failure does, or, `fast`, as an administrator: clients are told.
    pub fn halt(&self, mode: &str) {
        script(&["halt", &self.folder, mode]);
    }

    pub fn resume(&self) {
        script(&["resume", &self.folder]);
    }

    pub fn client(&self) -> Client {
        Client::connect(&self.url, NoTls).unwrap()
    }

    /// `[store]` of a home on it, in a schema of its own.
    pub fn configuration(&self, schema: &str) -> String {
        format!("[store]\nurl = \"{}?schema={schema}\"\n", self.url)
    }

    pub fn port(&self) -> u16 {
        self.url.rsplit_once(':').unwrap().1.split('/').next().unwrap().parse().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        script(&["stop", &self.folder]);
    }
}

/// Hands on what clients and a server say to each other, with the faults that it is told to make.
pub struct Between {
    pub port: u16,
    pub faults: Arc<Faults>,
    stop: Arc<AtomicBool>,
}

/// What goes wrong between clients and a server.
#[derive(Default)]
pub struct Faults {
    /// So many times the server still hears COMMIT, and the client never hears the answer.
    pub cuts: AtomicU32,
    /// How long each answer takes on its way, in milliseconds.
    pub answer_ms: AtomicU64,
}

impl Between {
    pub fn before(server: &Server) -> Between {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (faults, stop) = (Arc::new(Faults::default()), Arc::new(AtomicBool::new(false)));
        let (shared, stopped, target) = (Arc::clone(&faults), Arc::clone(&stop), server.port());
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (client, faults) = (client.unwrap(), Arc::clone(&shared));
                std::thread::spawn(move || hand_on(client, target, &faults));
            }
        });
        Between { port, faults, stop }
    }
}

impl Drop for Between {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

fn hand_on(mut client: TcpStream, target: u16, faults: &Arc<Faults>) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", target)) else { return };
    let is_cut = Arc::new(AtomicBool::new(false));
    let back = {
        let (mut server, mut client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        let (is_cut, faults) = (Arc::clone(&is_cut), Arc::clone(faults));
        std::thread::spawn(move || {
            let mut bytes = [0; 65_536];
            while let Ok(length @ 1..) = server.read(&mut bytes) {
                if is_cut.load(Ordering::SeqCst) {
                    // the server has answered, so the commit is done
                    break;
                }
                std::thread::sleep(Duration::from_millis(faults.answer_ms.load(Ordering::SeqCst)));
                if client.write_all(&bytes[..length]).is_err() {
                    break;
                }
            }
            let _ = client.shutdown(Shutdown::Both);
        })
    };
    let mut bytes = [0; 65_536];
    while let Ok(length @ 1..) = client.read(&mut bytes) {
        let says_commit = bytes[..length].windows(7).any(|word| word == b"COMMIT\0");
        let take = |left: u32| left.checked_sub(1);
        if says_commit && faults.cuts.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok() {
            is_cut.store(true, Ordering::SeqCst);
        }
        if server.write_all(&bytes[..length]).is_err() {
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Write);
    let _ = back.join();
}
