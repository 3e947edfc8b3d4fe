//! One Delta table: its transaction log, and which files are live.
//!
//! Entries are written here and not by the library, whose local store links an entry's name before
//! its bytes are on stable storage: a power cut could leave an empty entry that no reader survives.
//! The log is read, checkpointed and trimmed by the library.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use deltalake_core::kernel::{Action, Add, CommitInfo, Metadata, Protocol, Remove, Transaction};
use deltalake_core::{DeltaTable, DeltaTableBuilder, DeltaTableError, checkpoints, ensure_table_uri};
use greenstream_core::Ts;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::depot::Depot;
use super::error::{Error, Result};
use super::file::DataFile;
use super::layout::{Dataset, date, day_of};
use super::stats::Stats;
use crate::failpoint::{self, Step};
use crate::outage::pauses;

/// Names the application transaction whose version is the journal position that a table reflects.
pub const APP_ID: &str = "greenstream";
/// Entries from one checkpoint to the next. Fewer cost writes, more make every reader's first query
/// slower (an entry is a small file to open).
/// With fail points a checkpoint is due soon, so that a small world passes it.
const CHECKPOINT_EVERY: u64 = if cfg!(feature = "failpoints") { 2 } else { 50 };
/// How long entries before a checkpoint stay, for readers that are slow to open them.
const LOG_KEPT_MS: i64 = 24 * 3_600 * 1_000;

/// How often the log of a table in a bucket is read before the bucket is taken to be away.
const READS: usize = 5;

/// What one commit changes.
#[derive(Default)]
pub(super) struct Commit {
    pub(super) adds: Vec<(Option<i64>, DataFile)>,
    pub(super) removes: Vec<(Option<i64>, DataFile)>,
    /// Whether the rows change, or only how they lie in files.
    pub(super) rows_change: bool,
    /// Everything up to this journal position is in the table.
    pub(super) position: u64,
    /// Days that do not wait reflect this position.
    pub(super) reaches: u64,
    /// Days of which changes after `position` are not in the table.
    pub(super) waiting: Vec<Option<i64>>,
}

/// A table, as its log stands.
pub(super) struct Table {
    pub(super) dataset: Dataset,
    /// Where its files are.
    pub(super) depot: Depot,
    /// The last entry's number.
    version: u64,
    /// The journal position up to which every change is in the table.
    pub(super) position: u64,
    /// The live files by day.
    pub(super) live: BTreeMap<Option<i64>, Vec<DataFile>>,
    /// A commit failed, so what is in memory may not be what is on disk.
    pub(super) stale: bool,
}

impl Table {
    /// The table in a depot of its own, with nothing read yet.
    fn at(depot: Depot, dataset: Dataset) -> Table {
        Table { dataset, depot, version: 0, position: 0, live: BTreeMap::new(), stale: false }
    }

    /// Opens the table, or makes an empty one.
    pub(super) fn open(runtime: &Runtime, depot: Depot, dataset: Dataset, now: Ts) -> Result<Table> {
        let mut table = Table::at(depot, dataset);
        let log = table.log();
        if table.depot.bucket().is_none() {
            fs::create_dir_all(&log).map_err(Error::io("make", &log))?;
            remove_unfinished(&log)?;
        }
        if !table.has_entries()? {
            table.put_entry(0, &table.first_entry(now)?)?;
            for folder in table.dir().ancestors().take(3) {
                table.depot.sync_folder(folder)?;
            }
        }
        table.reload(runtime)?;
        Ok(table)
    }

    /// The table as it is, for reading: nothing is made, mended or removed.
    pub(super) fn look(runtime: &Runtime, depot: Depot, dataset: Dataset) -> Result<Table> {
        let mut table = Table::at(depot, dataset);
        let log = table.log();
        let is_missing = table.depot.bucket().is_none() && !log.is_dir();
        if is_missing || !table.has_entries()? {
            return Err(Error::damaged(&log, "the table's log is missing"));
        }
        table.read(runtime)?;
        Ok(table)
    }

    /// What its paths begin with.
    pub(super) fn dir(&self) -> &Path {
        self.depot.dir()
    }

    fn log(&self) -> PathBuf {
        self.dir().join("_delta_log")
    }

    fn has_entries(&self) -> Result<bool> {
        let log = self.log();
        let found = self.depot.list(&log).map_err(Error::io("list", &log))?;
        let is_entry = |path: &Path| path.extension().is_some_and(|extension| extension == "json");
        Ok(found.iter().any(|(path, _)| is_entry(path)))
    }

    /// The last entry's number.
    pub(super) const fn version(&self) -> u64 {
        self.version
    }

    /// For `map_err`: an [`Error::Log`].
    fn log_error(&self, action: &'static str) -> impl Fn(DeltaTableError) -> Error + '_ {
        move |source| Error::Log { action, table: self.dir().to_owned(), source: Box::new(source) }
    }

    /// Reads the log anew.
    pub(super) fn reload(&mut self, runtime: &Runtime) -> Result<()> {
        match self.read(runtime) {
            // A power cut can tear a checkpoint, never an entry: without it the entries tell the same. In a
            // bucket a put is whole or nothing.
            Err(error @ Error::Log { .. }) if self.depot.bucket().is_none() => {
                if self.drop_torn_checkpoints()? { self.read(runtime) } else { Err(error) }
            }
            read => read,
        }
    }

    /// Reads the log. What comes from a bucket may be cut in ways for which the library has no word, so it is
    /// asked for again, and taken for an absence of the store and not for damage.
    fn read(&mut self, runtime: &Runtime) -> Result<()> {
        let mut pauses = pauses().take(READS - 1);
        loop {
            let read = self.load(runtime).and_then(|loaded| self.take(runtime, &loaded));
            match (read, self.depot.bucket().is_some()) {
                (Err(Error::Log { source, .. }), true) => match pauses.next() {
                    Some(pause) => std::thread::sleep(pause),
                    None => return Err(Error::io("read the log of", self.dir())(io::Error::other(source))),
                },
                (read, _) => return read,
            }
        }
    }

    /// Takes over what the log says.
    fn take(&mut self, runtime: &Runtime, loaded: &DeltaTable) -> Result<()> {
        let mut live: BTreeMap<Option<i64>, Vec<DataFile>> = BTreeMap::new();
        let state = loaded.snapshot().map_err(self.log_error("read"))?;
        for view in state.log_data().iter() {
            let path = view.path().into_owned();
            let full = self.dir().join(&path);
            let day = day_of(&path)
                .ok_or_else(|| Error::damaged(&full, "the log names a file that is not the archive's"))?;
            let stats = view.stats().as_deref().and_then(Stats::from_json);
            let stats = stats.ok_or_else(|| Error::damaged(&full, "the log has no statistics of it"))?;
            let size = u64::try_from(view.size()).unwrap_or(0);
            live.entry(day).or_default().push(DataFile { path, size, stats });
        }
        for files in live.values_mut() {
            files.sort_by(|a, b| a.path.cmp(&b.path));
        }
        let store = loaded.log_store();
        let position = runtime
            .block_on(state.transaction_version(store.as_ref(), APP_ID))
            .map_err(self.log_error("read"))?;
        self.position = position.and_then(|position| u64::try_from(position).ok()).unwrap_or(0);
        self.version = state.version();
        self.live = live;
        self.stale = false;
        Ok(())
    }

    fn load(&self, runtime: &Runtime) -> Result<DeltaTable> {
        let dir = self.dir();
        let name = dir.to_str().ok_or_else(|| Error::damaged(dir, "the folder's name is not UTF-8"))?;
        let loaded = async {
            let Some(bucket) = self.depot.bucket() else {
                return DeltaTableBuilder::from_url(ensure_table_uri(name)?)?.load().await;
            };
            // the library knows a store that it is given by its place in it, whatever cloud it is
            let place = ensure_table_uri(format!("memory:///{}", bucket.address().prefix()))?;
            let builder = DeltaTableBuilder::from_url(place.clone())?;
            builder.with_storage_backend(bucket.store(), place).load().await
        };
        runtime.block_on(loaded).map_err(self.log_error("read"))
    }

    /// Removes checkpoints that cannot be read; whether there were any.
    fn drop_torn_checkpoints(&self) -> Result<bool> {
        let log = self.log();
        let mut torn = false;
        for entry in fs::read_dir(&log).map_err(Error::io("list", &log))? {
            let path = entry.map_err(Error::io("list", &log))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let is_torn =
                if name.ends_with(".parquet") { !is_readable(&path) } else { name == "_last_checkpoint" };
            if is_torn {
                fs::remove_file(&path).map_err(Error::io("remove", &path))?;
                torn = true;
            }
        }
        Ok(torn)
    }

    /// Adds one entry to the log; when this returns, the commit is on stable storage and visible.
    /// Nothing changes when it fails, but for an error after the entry has its name, so the table is
    /// read anew before the next commit.
    pub(super) fn commit(&mut self, commit: &Commit, now: Ts) -> Result<()> {
        self.stale = true;
        let version = self.version + 1;
        self.put_entry(version, &self.actions(commit, now))?;
        for (day, file) in &commit.removes {
            if let Some(files) = self.live.get_mut(day) {
                files.retain(|live| live.path != file.path);
            }
        }
        for (day, file) in &commit.adds {
            self.live.entry(*day).or_default().push(file.clone());
        }
        self.live.retain(|_, files| !files.is_empty());
        self.version = version;
        self.position = commit.position;
        self.stale = false;
        Ok(())
    }

    /// Writes a checkpoint when it is due, and removes entries it makes superfluous.
    pub(super) fn checkpoint(&self, runtime: &Runtime, now: Ts) -> Result<()> {
        if !self.version.is_multiple_of(CHECKPOINT_EVERY) {
            return Ok(());
        }
        failpoint::around(Step::ArchiveCheckpoint, Error::failing, || self.write_checkpoint(runtime, now))
    }

    fn write_checkpoint(&self, runtime: &Runtime, now: Ts) -> Result<()> {
        let table = self.load(runtime)?;
        runtime
            .block_on(checkpoints::create_checkpoint(&table, None))
            .map_err(self.log_error("checkpoint"))?;
        self.sync_checkpoints()?;
        let cutoff = now.micros() / 1000 - LOG_KEPT_MS;
        let store = table.log_store();
        let trim = checkpoints::cleanup_expired_logs_for(self.version, store.as_ref(), cutoff, None);
        runtime.block_on(trim).map_err(self.log_error("trim"))?;
        Ok(())
    }

    /// Makes what the library has written durable; a bucket's is.
    fn sync_checkpoints(&self) -> Result<()> {
        if self.depot.bucket().is_some() {
            return Ok(());
        }
        let log = self.log();
        for entry in fs::read_dir(&log).map_err(Error::io("list", &log))? {
            let path = entry.map_err(Error::io("list", &log))?.path();
            if path.extension().is_none_or(|extension| extension == "parquet") {
                File::open(&path).and_then(|file| file.sync_all()).map_err(Error::io("sync", &path))?;
            }
        }
        self.depot.sync_folder(&log)
    }

    fn first_entry(&self, now: Ts) -> Result<Vec<Action>> {
        let json = |value: Value| serde_json::to_string(&value).unwrap_or_default();
        let metadata = json!({
            "id": table_id(),
            "name": self.dataset.name(),
            "description": null,
            "format": {"provider": "parquet", "options": {}},
            "schemaString": json(self.dataset.log_schema()),
            "partitionColumns": ["date"],
            "configuration": {
                "delta.deletedFileRetentionDuration": "interval 15 minutes",
                "delta.logRetentionDuration": "interval 1 days",
            },
            "createdTime": now.micros() / 1000,
        });
        let unfit = |source| self.log_error("write")(DeltaTableError::SerializeLogJson { json_err: source });
        let metadata: Metadata = serde_json::from_value(metadata).map_err(unfit)?;
        let protocol: Protocol =
            serde_json::from_value(json!({"minReaderVersion": 1, "minWriterVersion": 2})).map_err(unfit)?;
        let info = commit_info("CREATE TABLE", HashMap::new(), now);
        Ok(vec![info, Action::Protocol(protocol), Action::Metadata(metadata)])
    }

    fn actions(&self, commit: &Commit, now: Ts) -> Vec<Action> {
        let now_ms = now.micros() / 1000;
        let waiting: Vec<Value> = commit.waiting.iter().map(|day| json!(date(*day))).collect();
        let info = HashMap::from([
            ("greenstreamPosition".to_owned(), json!(commit.position)),
            ("greenstreamReaches".to_owned(), json!(commit.reaches)),
            ("greenstreamWaiting".to_owned(), json!(waiting)),
        ]);
        let version = i64::try_from(commit.position).unwrap_or(i64::MAX);
        let mut actions = vec![
            commit_info(if commit.rows_change { "WRITE" } else { "OPTIMIZE" }, info, now),
            Action::Txn(Transaction::new_with_last_update(APP_ID, version, Some(now_ms))),
        ];
        let partition = |day: &Option<i64>| HashMap::from([("date".to_owned(), date(*day))]);
        let size = |file: &DataFile| i64::try_from(file.size).unwrap_or(i64::MAX);
        actions.extend(commit.removes.iter().map(|(day, file)| {
            Action::Remove(Remove {
                path: file.path.clone(),
                data_change: commit.rows_change,
                deletion_timestamp: Some(now_ms),
                extended_file_metadata: Some(true),
                partition_values: Some(partition(day)),
                size: Some(size(file)),
                ..Remove::default()
            })
        }));
        actions.extend(commit.adds.iter().map(|(day, file)| {
            Action::Add(Add {
                path: file.path.clone(),
                partition_values: partition(day),
                size: size(file),
                modification_time: now_ms,
                data_change: commit.rows_change,
                stats: Some(file.stats.to_json()),
                ..Add::default()
            })
        }));
        actions
    }

    /// Puts entry `version`, whole or not at all, and never over another.
    fn put_entry(&self, version: u64, actions: &[Action]) -> Result<()> {
        let log = self.log();
        // its own name in each process: a file that another one is writing is never cut
        let unfinished = log.join(format!(".{version:020}.{}.json.tmp", std::process::id()));
        let entry = log.join(format!("{version:020}.json"));
        let mut text = String::new();
        for action in actions {
            let line = serde_json::to_string(action).map_err(|json_err| {
                self.log_error("write")(DeltaTableError::SerializeLogJson { json_err })
            })?;
            text.push_str(&line);
            text.push('\n');
        }
        if self.depot.bucket().is_some() {
            return self.depot.put_new(&entry, text.into_bytes()).map_err(Error::io("put", &entry));
        }
        let put = || -> io::Result<()> {
            let mut file = File::create(&unfinished)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::hard_link(&unfinished, &entry)?;
            fs::remove_file(&unfinished)
        };
        put().map_err(|source| {
            // a process that has lost its home leaves nothing behind
            let _ = fs::remove_file(&unfinished);
            Error::io("put", &entry)(source)
        })?;
        self.depot.sync_folder(&log)
    }
}

fn commit_info(operation: &str, info: HashMap<String, Value>, now: Ts) -> Action {
    Action::CommitInfo(CommitInfo {
        timestamp: Some(now.micros() / 1000),
        operation: Some(operation.to_owned()),
        operation_parameters: Some(HashMap::new()),
        engine_info: Some(concat!("greenstream/", env!("CARGO_PKG_VERSION")).to_owned()),
        info,
        ..CommitInfo::default()
    })
}

/// A random UUID (version 4), which is how tables are told apart.
fn table_id() -> String {
    let bits = (fastrand::u128(..) & !(0xf000_c000 << 48)) | (0x4000_8000 << 48);
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// Removes entries that a crash left without their name.
fn remove_unfinished(log: &Path) -> Result<()> {
    for entry in fs::read_dir(log).map_err(Error::io("list", log))? {
        let path = entry.map_err(Error::io("list", log))?.path();
        let is_unfinished = path.extension().is_some_and(|extension| extension == "tmp");
        if is_unfinished {
            fs::remove_file(&path).map_err(Error::io("remove", &path))?;
        }
    }
    Ok(())
}

/// Whether a checkpoint can be read to its end.
fn is_readable(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return false };
    let Ok(reader) = ParquetRecordBatchReaderBuilder::try_new(file).and_then(|builder| builder.build())
    else {
        return false;
    };
    reader.into_iter().all(|batch| batch.is_ok())
}
