//! A home in a temporary folder, and the program run over it with a deadline.

#![allow(dead_code, reason = "each test binary uses its part")]

pub mod snapshot;
pub mod store;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use greenstream::config::Config;
use greenstream::store::Database;
use tempfile::TempDir;

/// The header of the default feed.
pub const HEADER: &str = "meter_id,timestamp,energy_value,energy_unit\n";

/// The longest that any command may take. Generous: a hang is what it is for, and other tests may have
/// the machine's cores.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// What a finished command left.
#[derive(Debug)]
pub struct Done {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Done {
    /// Fails unless the command ended with this code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Done {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }

    /// Fails unless one of its outputs holds these words.
    #[track_caller]
    pub fn says(self, words: &str) -> Done {
        let text = format!("{}\n{}", self.out, self.err);
        assert!(text.contains(words), "{words:?} is not in:\n{text}");
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap()
    }
}

/// One row of a dataset by its columns.
pub type Row = BTreeMap<String, String>;

/// A home of its own, with a folder of files to ingest beside it.
pub struct Home {
    folder: TempDir,
    database: Option<store::Database>,
}

impl Home {
    pub fn new() -> Home {
        Home::within(TempDir::new().unwrap())
    }

    /// A home in memory where there is such a place: for tests that start many processes, and cut and
    /// kill rather than wait for a disk.
    pub fn in_memory() -> Home {
        let memory = Path::new("/dev/shm");
        Home::within(if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() }.unwrap())
    }

    fn within(folder: TempDir) -> Home {
        fs::create_dir_all(folder.path().join("home")).unwrap();
        fs::create_dir_all(folder.path().join("files")).unwrap();
        Home { folder, database: None }
    }

    /// Configures it by `text`, and its database as the tests are told.
    pub fn configure_on_test_store(&mut self, text: &str) {
        self.use_database(store::Database::new(), text);
    }

    /// The same with a copy of what another home's database holds. A file is copied with its home.
    pub fn configure_on_copy_of(&mut self, other: &Home, text: &str) {
        self.use_database(other.database.as_ref().map(store::Database::copy), text);
    }

    fn use_database(&mut self, database: Option<store::Database>, text: &str) {
        let store = database.as_ref().map(|database| format!("[store]\nurl = \"{}\"\n", database.url()));
        self.configure("greenstream.toml", &(store.unwrap_or_default() + text));
        self.database = database;
    }

    /// Where its database is.
    pub fn database(&self) -> Database {
        let database = Config::database_of(&self.path().join("greenstream.toml")).unwrap();
        database.unwrap_or_else(|| Database::File(self.path().join("greenstream.db")))
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// Writes a file into the home itself, such as `greenstream.toml`.
    pub fn configure(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Writes a file to ingest.
    pub fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.folder.path().join("files").join(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_greenstream"));
        command.arg("--home").arg(self.path()).args(args).env_remove("GREENSTREAM_HOME");
        command.env_remove("GREENSTREAM_TOKEN");
        command.env("USER", "tester").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// As [`finish`].
    #[track_caller]
    pub fn run(&self, args: &[&str]) -> Done {
        finish(&mut self.command(args))
    }

    #[track_caller]
    pub fn ok(&self, args: &[&str]) -> Done {
        self.run(args).exits(0)
    }

    /// Lands rows of the default feed; they must load.
    #[track_caller]
    pub fn ingest(&self, name: &str, rows: &str) {
        let path = self.file(name, format!("{HEADER}{rows}"));
        self.ok(&["ingest", &path]);
    }

    /// A dataset, row by row.
    #[track_caller]
    pub fn export(&self, dataset: &str) -> Vec<Row> {
        rows(&self.text(dataset))
    }

    /// A dataset as CSV text.
    #[track_caller]
    pub fn text(&self, dataset: &str) -> String {
        self.ok(&["export", dataset]).out
    }

    /// The dispositions of all uploads together, from `status`; fails unless they add up.
    #[track_caller]
    pub fn books(&self) -> [u64; 4] {
        let status = self.ok(&["status", "--json"]).json();
        assert_eq!(status["rows"]["balanced"], true, "{status}");
        ["all", "stored", "quarantined", "superseded"].map(|part| status["rows"][part].as_u64().unwrap())
    }

    /// Fails unless journal, landed bytes, books, database and archive agree, and a rebuild would give
    /// the database again.
    #[track_caller]
    pub fn is_whole(&self) {
        self.ok(&["verify"]).says("no findings");
        self.ok(&["rebuild", "--check"]);
    }

    /// Starts the service and waits until it serves.
    pub fn serve(&self) -> Serving {
        Home::serve_by(self.command(&["run", "--listen", "127.0.0.1:0"]))
    }

    /// The same with a command that was prepared for it.
    pub fn serve_as(&self, prepare: impl FnOnce(&mut Command)) -> Serving {
        let mut command = self.command(&["run", "--listen", "127.0.0.1:0"]);
        prepare(&mut command);
        Home::serve_by(command)
    }

    /// The same by another command line or environment.
    pub fn serve_by(mut command: Command) -> Serving {
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let out = reader(child.stdout.take().unwrap());
        let mut address = None;
        let mut said = String::new();
        while address.is_none() {
            let start = said.len();
            assert!(lines.read_line(&mut said).unwrap() > 0, "the service ended:\n{said}");
            address = said[start..]
                .strip_prefix("pages: http://")
                .and_then(|rest| rest.split_whitespace().next())
                .map(str::to_owned);
        }
        Serving { child, address: address.unwrap(), outputs: vec![reader(lines), out] }
    }
}

/// Runs a command to its end; one that does not end is killed and fails the test.
#[track_caller]
pub fn finish(command: &mut Command) -> Done {
    let mut child = command.spawn().unwrap();
    finished(&mut child, command)
}

/// Waits for the end of a command that was started.
#[track_caller]
pub fn finished(child: &mut Child, command: &Command) -> Done {
    let out = reader(child.stdout.take().unwrap());
    let err = reader(child.stderr.take().unwrap());
    let code = wait(child, DEADLINE);
    let (out, err) = (out.join().unwrap(), err.join().unwrap());
    let Some(code) = code else { panic!("{command:?} did not end in {DEADLINE:?}\n{out}\n{err}") };
    Done { code, out, err }
}

/// Sends a signal, such as `STOP`, to a child.
#[track_caller]
pub fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
}

/// A running service; killed when the test ends before it.
pub struct Serving {
    child: Child,
    pub address: String,
    outputs: Vec<JoinHandle<String>>,
}

impl Serving {
    /// Asks it to end, as a service manager does, and waits for it: exit code and output.
    #[track_caller]
    pub fn terminate(mut self) -> (i32, String) {
        signal(&self.child, "TERM");
        let code = wait(&mut self.child, DEADLINE);
        let said: String = self.outputs.drain(..).map(|output| output.join().unwrap()).collect();
        (code.unwrap_or_else(|| panic!("the service did not end:\n{said}")), said)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until somebody has killed it.
    #[track_caller]
    pub fn dies(mut self) {
        assert_eq!(wait(&mut self.child, DEADLINE), Some(-1));
    }

    /// Kills it, as power or the system does, and waits until it is gone.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The status and body of a GET.
    #[track_caller]
    pub fn get(&self, path: &str) -> (String, String) {
        let (head, body) = self.answer(path, "");
        (head.lines().next().unwrap().to_owned(), body)
    }

    /// The status line and headers of a GET with more headers, each ended by CRLF.
    #[track_caller]
    pub fn head(&self, path: &str, headers: &str) -> String {
        self.answer(path, headers).0
    }

    #[track_caller]
    fn answer(&self, path: &str, headers: &str) -> (String, String) {
        use std::io::Write;
        let mut stream = std::net::TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\n{headers}Connection: close\r\n\r\n", self.address)
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let said: String = self.outputs.drain(..).filter_map(|output| output.join().ok()).collect();
            println!("the service said:\n{said}");
        }
    }
}

/// Looks again and again until `look` gives something, or fails after [`DEADLINE`].
#[track_caller]
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < DEADLINE, "not in {DEADLINE:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// CSV text with a header, row by row.
#[track_caller]
pub fn rows(text: &str) -> Vec<Row> {
    csv::Reader::from_reader(text.as_bytes()).deserialize().map(|row| row.unwrap()).collect()
}

/// All files below a folder with their bytes.
pub fn files_below(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.append(&mut files_below(&path));
        } else {
            let bytes = fs::read(&path).unwrap();
            found.insert(path, bytes);
        }
    }
    found
}

/// The exit code, or none where it had to be killed. A child that a signal ended has code -1.
fn wait(child: &mut Child, deadline: Duration) -> Option<i32> {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status.code().unwrap_or(-1));
        }
        if began.elapsed() > deadline {
            child.kill().unwrap();
            child.wait().unwrap();
            return None;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Reads a pipe to its end beside the test, so that a full pipe never stops the child.
fn reader(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
