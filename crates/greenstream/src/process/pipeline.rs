//! A batch of journal entries, start to finish, on five kinds of thread: decoders, the judge, the
//! writer, one that makes commits durable, and the archivist. Judging happens in journal order;
//! everything else may run ahead of it or behind it, bounded by weight. On a server a sixth sends the new
//! readings of the next commit while the writer is at the one before it.
//!
//! `entries -> decode (any order) -> judge (journal order) -> store.commit (one transaction for many
//! small sets) -> log.sync -> archive.apply`

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::Scope;
use std::time::Duration;

use super::archivist::Archivist;
use super::attempts::Attempts;
use super::committed::Committed;
use super::error::ProcessError;
use super::handover::{Batch, Handover};
use super::job::{Job, Task};
use super::judging::Judging;
use super::prepare::{Prepared, Preparer};
use super::progress::Progress;
use super::room::{Place, Room};
use super::writer::Writer;
use crate::change::ChangeSet;
use crate::failpoint::{self, Step};
use crate::queue::{Popped, Queue};
use crate::store::{Ahead, Courier, Log};

/// Rows on their way from judge to writer, and again from writer to archivist: enough that neither
/// waits for the other, and about 15 MB.
const ROWS_BETWEEN: usize = 250_000;
/// How long the archivist sleeps when nothing comes, before it looks at the clock.
const IDLE: Duration = Duration::from_millis(500);

/// The parts that a pipeline drives, each owned by its thread while it runs.
pub struct Pipeline<'a> {
    /// Decodes.
    pub preparer: &'a Preparer,
    /// Judges.
    pub judging: &'a mut Judging,
    /// Commits.
    pub writer: &'a mut Writer,
    /// Makes commits durable.
    pub log: &'a Log,
    /// Archives.
    pub archivist: &'a mut Archivist,
    /// Where entries go through one at a time: hears of each that was judged.
    pub attempts: Option<&'a Attempts>,
    /// Hears how far it has come.
    pub progress: &'a Progress,
    /// Decoding threads.
    pub workers: usize,
    /// Rows in one transaction.
    pub commit_rows: usize,
}

/// What the stages share: the first error, and whether to stop.
struct Fate<'a> {
    stopped: AtomicBool,
    error: Mutex<Option<ProcessError>>,
    entries: &'a Queue<Job>,
}

/// Change sets on their way from judge to archivist.
struct Sets {
    to_writer: Queue<Arc<ChangeSet>>,
    /// From whoever sends readings ahead to the writer.
    ahead: Handover<Ahead>,
    to_sync: Queue<Arc<ChangeSet>>,
    to_archive: Queue<Arc<ChangeSet>>,
}

impl Sets {
    fn new() -> Sets {
        let queue = || Queue::new(ROWS_BETWEEN);
        Sets { to_writer: queue(), ahead: Handover::new(), to_sync: queue(), to_archive: queue() }
    }

    /// Those of the next commit; none when there will be none.
    fn judged(&self, commit_rows: usize) -> Option<Vec<Arc<ChangeSet>>> {
        loop {
            match self.to_writer.pop_batch(commit_rows, IDLE) {
                Popped::Items(batch) => return Some(batch),
                Popped::Nothing => {}
                Popped::Closed => return None,
            }
        }
    }

    /// The same for the writer, whether somebody sends their readings ahead or nobody does.
    fn next(&self, is_sent: bool, commit_rows: usize) -> Option<Batch<Ahead>> {
        if is_sent { self.ahead.take() } else { self.judged(commit_rows).map(|batch| (batch, None)) }
    }

    /// The writer takes nothing more, and gives nothing more on.
    fn close(&self) {
        self.ahead.close();
        self.to_writer.close();
        self.to_sync.close();
    }
}

impl Fate<'_> {
    fn fail(&self, error: ProcessError) {
        if !matches!(error, ProcessError::Stopped) {
            self.error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }
        self.stopped.store(true, Ordering::SeqCst);
        self.entries.close();
    }

    fn stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    fn outcome(self) -> Result<(), ProcessError> {
        match self.error.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            // whoever stops says why, or much would be taken for done
            None if self.stopped.into_inner() => {
                Err(ProcessError::Internal("the pipeline stopped, and no stage said why".to_owned()))
            }
            None => Ok(()),
        }
    }
}

impl Pipeline<'_> {
    /// Processes `entries` (in journal order) until they are closed and everything is committed and
    /// handed to the archive. The first error of any stage ends it and closes `entries`; what is
    /// committed by then stays, and the next run goes on from there.
    pub fn run(self, entries: &Queue<Job>, committed: &Committed) -> Result<(), ProcessError> {
        committed.begin();
        let fate = Fate { stopped: AtomicBool::new(false), error: Mutex::new(None), entries };
        let sets = Sets::new();
        let (source, room) = (Mutex::new(0_u64), Room::default());
        let (prepared_in, prepared_out) = sync_channel(self.workers * 2);
        // a decoder takes a ticket before it takes an entry, and the judge gives it back, so that
        // decoded uploads waiting for an earlier one stay few
        let (tickets_in, tickets_out) = sync_channel(self.workers + 2);
        for _ in 0..self.workers + 1 {
            let _ = tickets_in.send(());
        }
        let tickets_out = Mutex::new(tickets_out);
        std::thread::scope(|scope| {
            let mut started = Ok(());
            for _ in 0..self.workers {
                let (sender, preparer, fate) = (prepared_in.clone(), self.preparer, &fate);
                let (source, tickets) = ((&source, &room), &tickets_out);
                let decode = move || decode_loop(preparer, source, tickets, &sender, fate);
                started = started.and(named("decode", scope, decode));
            }
            drop(prepared_in);
            let (writer, commit_rows) = (self.writer, self.commit_rows);
            let (sets_ref, fate_ref) = (&sets, &fate);
            let courier = writer.courier();
            let is_sent = courier.is_some();
            if let Some(courier) = courier {
                let send = move || send_loop(&courier, sets_ref, commit_rows);
                started = started.and(named("send", scope, send));
            }
            let write = move || {
                if let Err(error) = write_loop(writer, sets_ref, is_sent, commit_rows, committed) {
                    fate_ref.fail(error);
                }
                committed.give_up();
                sets_ref.close();
            };
            started = started.and(named("write", scope, write));
            let (log, progress) = (self.log, self.progress);
            let sync = move || {
                if let Err(error) = sync_loop(log, sets_ref, progress) {
                    fate_ref.fail(error);
                }
                sets_ref.to_sync.close();
                sets_ref.to_archive.close();
            };
            started = started.and(named("sync", scope, sync));
            let archivist = self.archivist;
            let archive = move || {
                if let Err(error) = archive_loop(archivist, &sets_ref.to_archive) {
                    fate_ref.fail(error);
                    sets_ref.to_archive.close();
                }
            };
            if let Err(error) = started.and(named("archive", scope, archive)) {
                fate.fail(error);
                committed.give_up();
                sets.close();
                sets.to_archive.close();
            }
            let judged =
                judge_loop(self.judging, prepared_out, &tickets_in, &sets.to_writer, &fate, self.attempts);
            if let Err(error) = judged {
                fate.fail(error);
            }
            sets.to_writer.close();
            drop(tickets_in);
        });
        fate.outcome()
    }
}

/// Starts a thread that a debugger and a profiler show by its name.
fn named<'s>(
    name: &str,
    scope: &'s Scope<'s, '_>,
    work: impl FnOnce() + Send + 's,
) -> Result<(), ProcessError> {
    let started = std::thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, work);
    let failed = |error| ProcessError::Internal(format!("the thread `{name}` cannot be started: {error}"));
    started.map(drop).map_err(failed)
}

fn decode_loop<'r>(
    preparer: &Preparer,
    source: (&Mutex<u64>, &'r Room),
    tickets: &Mutex<Receiver<()>>,
    sender: &SyncSender<Waiting<'r>>,
    fate: &Fate<'_>,
) {
    while has_ticket(tickets, fate) {
        let Some((number, entry, place)) = take(fate, source) else { return };
        match failpoint::around(Step::Decode, ProcessError::failing, || preparer.prepare(entry)) {
            Ok(prepared) => {
                if sender.send((number, prepared, place)).is_err() {
                    return;
                }
            }
            Err(error) => return fate.fail(error),
        }
    }
}

/// Waits for a ticket; false when there is nothing more to decode. A decoder that failed gives none back, and the
/// judge waits for its entry, so the others look now and then whether anybody failed.
fn has_ticket(tickets: &Mutex<Receiver<()>>, fate: &Fate<'_>) -> bool {
    let tickets = tickets.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        match tickets.recv_timeout(IDLE) {
            Err(RecvTimeoutError::Timeout) if !fate.stopped() => {}
            ticket => return ticket.is_ok() && !fate.stopped(),
        }
    }
}

/// A decoded entry on its way to the judge: its number in the order, and the room it takes.
type Waiting<'r> = (u64, Prepared, Place<'r>);

/// The next entry, its number in the order and room for it, once there is one; none when there will be none.
fn take<'r>(fate: &Fate<'_>, (taken, room): (&Mutex<u64>, &'r Room)) -> Option<(u64, Job, Place<'r>)> {
    // held until there is room, so that room is taken in the order of the entries
    let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        match fate.entries.pop_batch(1, IDLE) {
            Popped::Items(mut items) => {
                let job = items.pop()?;
                let bytes = if let Task::Upload(upload) = &job.task { upload.landed.bytes } else { 0 };
                let place = room.take(bytes, || fate.stopped())?;
                *taken += 1;
                return Some((*taken, job, place));
            }
            Popped::Nothing => {}
            Popped::Closed => return None,
        }
    }
}

fn judge_loop(
    judging: &mut Judging,
    prepared: Receiver<Waiting<'_>>,
    tickets: &SyncSender<()>,
    to_writer: &Queue<Arc<ChangeSet>>,
    fate: &Fate<'_>,
    attempts: Option<&Attempts>,
) -> Result<(), ProcessError> {
    let mut waiting = BTreeMap::new();
    let mut next = 1;
    for (number, item, place) in prepared {
        if fate.stopped() {
            return Err(ProcessError::Stopped);
        }
        waiting.insert(number, (item, place));
        while let Some((item, _place)) = waiting.remove(&next) {
            next += 1;
            let judge = || judging.entry(item);
            let set = Arc::new(failpoint::around(Step::Judge, ProcessError::failing, judge)?);
            if let Some(attempts) = attempts.filter(|_| set.entry > 0) {
                attempts.judged(set.entry);
            }
            judging.remember(Arc::clone(&set));
            let weight = set.weight();
            to_writer.push(set, weight).map_err(|_| ProcessError::Stopped)?;
            let _ = tickets.try_send(());
        }
    }
    Ok(())
}

/// Sends the new readings of a commit while the one before it is under way.
fn send_loop(courier: &Arc<Courier>, sets: &Sets, commit_rows: usize) {
    let mut last: Vec<Weak<ChangeSet>> = Vec::new();
    while let Some(batch) = sets.judged(commit_rows) {
        let ahead = sets.ahead.is_busy().then(|| {
            // what is gone has long been committed
            let before: Vec<Arc<ChangeSet>> = last.iter().filter_map(Weak::upgrade).collect();
            courier.send(&batch, &before)
        });
        let ahead = ahead.flatten();
        last = batch.iter().map(Arc::downgrade).collect();
        if !sets.ahead.give((batch, ahead)) {
            return;
        }
    }
    sets.ahead.close();
}

fn write_loop(
    writer: &mut Writer,
    sets: &Sets,
    is_sent: bool,
    commit_rows: usize,
    committed: &Committed,
) -> Result<(), ProcessError> {
    while let Some((batch, ahead)) = sets.next(is_sent, commit_rows) {
        writer.commit(&batch, ahead, &|| sets.ahead.undo())?;
        // not the last one's: a delivery of known bytes is behind an entry and has none
        committed.advance(batch.iter().map(|set| set.entry).max().unwrap_or_default());
        for set in batch {
            let weight = set.weight();
            sets.to_sync.push(set, weight).map_err(|_| ProcessError::Stopped)?;
        }
    }
    Ok(())
}

fn sync_loop(log: &Log, sets: &Sets, progress: &Progress) -> Result<(), ProcessError> {
    loop {
        match sets.to_sync.pop_batch(usize::MAX, IDLE) {
            Popped::Items(batch) => {
                log.sync()?;
                for set in batch {
                    progress.committed(&set);
                    let weight = set.weight();
                    sets.to_archive.push(set, weight).map_err(|_| ProcessError::Stopped)?;
                }
            }
            Popped::Nothing => {}
            Popped::Closed => return Ok(()),
        }
    }
}

fn archive_loop(archivist: &mut Archivist, sets: &Queue<Arc<ChangeSet>>) -> Result<(), ProcessError> {
    loop {
        match sets.pop_batch(usize::MAX, IDLE) {
            Popped::Items(batch) => {
                for set in &batch {
                    archivist.take(set);
                }
            }
            Popped::Nothing => {}
            Popped::Closed => return Ok(()),
        }
        archivist.tend(sets)?;
    }
}

#[cfg(test)]
mod tests {
    use greenstream_core::Ts;

    use super::*;
    use crate::change::Landed;
    use crate::store::Store;

    /// The judge waited for an entry that was committed, and nobody told it: for ever, where nothing came after.
    #[test]
    fn an_entry_with_a_delivery_behind_it_in_its_commit_was_not_known_to_be_committed() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("greenstream.db")).unwrap();
        let mut writer = Writer::new(Arc::new(Mutex::new(store)), Arc::default(), Arc::default(), false);
        let landed = Landed {
            upload: 1,
            name: "one.csv".to_owned(),
            sha256: "0".repeat(64),
            bytes: 1,
            landed_at: Ts::from_micros(0),
            feed: "default".to_owned(),
            time_zone: None,
        };
        let entry = ChangeSet { entry: 1, landed: vec![landed], ..ChangeSet::default() };
        let again = vec![(1, "again.csv".to_owned(), Ts::from_micros(1))];
        let delivery = ChangeSet { deliveries: again, ..ChangeSet::default() };
        let (sets, committed) = (Sets::new(), Committed::at(0));
        for set in [entry, delivery] {
            sets.to_writer.push(Arc::new(set), 1).unwrap();
        }
        sets.to_writer.close();
        write_loop(&mut writer, &sets, false, 2, &committed).unwrap();
        assert_eq!(committed.entry(), 1);
    }
}
