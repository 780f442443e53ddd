//! The one thread that writes: it takes what is queued, makes a transaction of it, syncs once, answers all.
//!
//! A job that is refused (fenced, an id taken) wrote nothing and leaves the others alone. When SQLite fails, the
//! whole transaction is gone and all of its jobs are told so; when the reason is damage, which may lie in the data of
//! only one of them, each is tried once more by itself. After a failed sync nothing is written any more.

use crate::fault::{Fault, Outcome, Stage, Verdict, judge};
use crate::ids::Index;
use crate::options::Durability;
use crate::shared::Shared;
use crate::store::synchronous;
use crate::txn::{Done, Txn};
use rusqlite::Connection;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use stillhouse_streams::{Error, ErrorKind, Result};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

/// One transaction takes no more than this many jobs and about so many bytes.
const JOBS: usize = 256;
const BYTES: usize = 8 << 20;
/// What a caller waits for, a single event or a decision, does not wait for the batches that came with it: jobs up to
/// these bytes have a transaction of their own before that of the greater ones. Jobs that are queued at the same time
/// have no order between them.
const SMALL: usize = 32 << 10;

/// How a job is to be treated.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Terms {
    /// Bytes it brings, about.
    pub(crate) bytes: usize,
    /// Must be on disk before it is answered.
    pub(crate) durable: bool,
    /// It may fail after it wrote something, so it gets a savepoint.
    pub(crate) savepoint: bool,
    /// Is synced even where commits are not synced one by one.
    pub(crate) synced: bool,
}

/// Something to do in a write transaction.
pub(crate) trait Job: Send {
    fn terms(&self) -> Terms;
    /// May run again, after a transaction that was undone.
    fn run(&mut self, txn: &mut Txn<'_>) -> Outcome<()>;
    /// Answers with what [`Job::run`] came to, or with what became of the transaction.
    fn answer(&mut self, verdict: Option<&Verdict>);
}

/// A job made of a closure.
pub(crate) struct Task<T, F> {
    pub(crate) terms: Terms,
    pub(crate) work: F,
    result: Option<Result<T>>,
    reply: Option<oneshot::Sender<Result<T>>>,
    _room: Option<OwnedSemaphorePermit>,
}

impl<T, F> Task<T, F>
where
    T: Send,
    F: FnMut(&mut Txn<'_>) -> Outcome<T> + Send,
{
    pub(crate) fn new(
        terms: Terms,
        room: Option<OwnedSemaphorePermit>,
        work: F,
    ) -> (Self, oneshot::Receiver<Result<T>>) {
        let (reply, answer) = oneshot::channel();
        (Self { terms, work, result: None, reply: Some(reply), _room: room }, answer)
    }
}

impl<T, F> Job for Task<T, F>
where
    T: Send,
    F: FnMut(&mut Txn<'_>) -> Outcome<T> + Send,
{
    fn terms(&self) -> Terms {
        self.terms
    }

    fn run(&mut self, txn: &mut Txn<'_>) -> Outcome<()> {
        match (self.work)(txn) {
            Ok(value) => self.result = Some(Ok(value)),
            Err(Fault::Refused(error)) => {
                self.result = Some(Err(error));
                return Err(Fault::Refused(Error::new(ErrorKind::Invalid, "")));
            }
            Err(store) => return Err(store),
        }
        Ok(())
    }

    fn answer(&mut self, verdict: Option<&Verdict>) {
        let result = match (verdict, self.result.take()) {
            // What was refused stays refused, whatever became of the others.
            (_, Some(Err(error))) => Err(error),
            (Some(verdict), _) => Err(verdict.error()),
            (None, Some(Ok(value))) => Ok(value),
            (None, None) => Err(Error::new(ErrorKind::Closed, "the writer ended")),
        };
        if let Some(reply) = self.reply.take() {
            // A caller that went away does not want the answer.
            let _ = reply.send(result);
        }
    }
}

pub(crate) type Jobs = mpsc::Receiver<Box<dyn Job>>;

/// The thread's own things.
pub(crate) struct Writer {
    conn: Connection,
    shared: Arc<Shared>,
    /// The ids that are known.
    index: Index,
    /// How the connection syncs at this moment.
    level: Durability,
    /// Set by the checkpointer when what is left to copy needs a moment without writes.
    pub(crate) finish_checkpoint: Arc<AtomicBool>,
}

impl Writer {
    pub(crate) fn new(conn: Connection, shared: Arc<Shared>, finish_checkpoint: Arc<AtomicBool>) -> Self {
        let level = shared.options.durability;
        Self { conn, shared, index: Index::default(), level, finish_checkpoint }
    }

    /// One synced transaction that changes nothing: what a killed process left in the log is on disk afterwards, and
    /// the head file has caught up with it.
    pub(crate) fn catch_up(&mut self) -> Result<()> {
        let (task, mut answer) =
            Task::new(Terms { durable: true, synced: true, ..Terms::default() }, None, |txn: &mut Txn<'_>| {
                txn.tell_all = true;
                Ok(())
            });
        self.process(vec![Box::new(task)]);
        answer.try_recv().unwrap_or_else(|_| Err(Error::new(ErrorKind::Closed, "the writer ended")))?;
        self.shared.heads.sync().map_err(|e| {
            Error::new(ErrorKind::Unavailable, format!("the head file cannot be synced: {e}")).with_source(e)
        })
    }

    /// Works until all senders are gone.
    pub(crate) fn run(mut self, mut jobs: Jobs) {
        while let Some(first) = jobs.blocking_recv() {
            let mut group = vec![first];
            let mut bytes = group[0].terms().bytes;
            while group.len() < JOBS && bytes < BYTES {
                let Ok(job) = jobs.try_recv() else { break };
                bytes += job.terms().bytes;
                group.push(job);
            }
            let (small, large): (Vec<_>, Vec<_>) = group.into_iter().partition(|job| job.terms().bytes <= SMALL);
            for group in [small, large] {
                if !group.is_empty() {
                    self.process(group);
                }
            }
            if let Some(topic) = self.index.crowded() {
                self.sort_ids(topic);
            }
            if self.finish_checkpoint.swap(false, Ordering::AcqRel) {
                self.checkpoint();
            }
        }
        if let Err(error) = self.shared.heads.sync() {
            tracing::error!(%error, "the head file could not be synced");
        }
    }

    /// Sorts the ids of a topic, in a transaction of its own. When it fails the ids stay as they are for now.
    fn sort_ids(&mut self, topic: i64) {
        let (task, mut answer) = Task::new(Terms::default(), None, move |txn: &mut Txn<'_>| {
            if txn.catalog.topics.values().any(|known| known.id == topic) {
                txn.index.sort(txn.conn, topic)?;
            }
            Ok(())
        });
        self.process(vec![Box::new(task)]);
        if let Ok(Err(error)) = answer.try_recv() {
            tracing::debug!(%error, "ids could not be sorted for now");
        }
    }

    fn process(&mut self, mut group: Vec<Box<dyn Job>>) {
        let verdict = match self.shared.failed.get() {
            Some(why) => Some(Verdict { kind: ErrorKind::Closed, message: why.clone(), fatal: false }),
            None => self.attempt(&mut group).err(),
        };
        if let Some(verdict) = &verdict {
            if verdict.fatal {
                tracing::error!(error = %verdict.message, "the journal stops writing");
                let _ = self.shared.failed.set(verdict.message.clone());
            }
            if verdict.kind == ErrorKind::Corrupt && group.len() > 1 {
                group.into_iter().for_each(|job| self.process(vec![job]));
                return;
            }
        }
        group.iter_mut().for_each(|job| job.answer(verdict.as_ref()));
    }

    /// One transaction. An error means that nothing was written, or says that this is not known.
    fn attempt(&mut self, group: &mut [Box<dyn Job>]) -> Result<(), Verdict> {
        let durable = group.iter().any(|job| job.terms().durable);
        let level = match self.shared.options.durability {
            Durability::Full if !durable => Durability::Process,
            Durability::Process if group.iter().any(|job| job.terms().synced) => Durability::Full,
            usual => usual,
        };
        let outcome = self.write(group, level);
        let done = match outcome {
            Ok(done) => done,
            Err(fault) => {
                let verdict = self.verdict(Stage::Write, fault);
                self.roll_back();
                return Err(verdict);
            }
        };
        if self.shared.options.faults.ack_before_commit {
            group.iter_mut().for_each(|job| job.answer(None));
        }
        let committed = self.conn.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([]));
        if let Err(error) = committed {
            let verdict = self.verdict(Stage::Commit, error.into());
            self.roll_back();
            return Err(verdict);
        }
        let told = match level {
            _ if !durable => Ok(()),
            // Unsynced commits must not be known outside the database before it has them for good; see the keeper.
            Durability::Process => {
                if !self.shared.lagging.swap(true, Ordering::AcqRel) {
                    self.shared.nudge();
                }
                Ok(())
            }
            Durability::Full | Durability::None => {
                let known = self.shared.heads.is_dirty();
                let told = self.tell(&done);
                if !known {
                    self.shared.nudge();
                }
                told
            }
        };
        self.index.keep(done.sequence);
        self.shared.news.committed(done.sequence, done.topics.iter(), done.general);
        told.map_err(|error| Verdict {
            kind: ErrorKind::Indeterminate,
            message: format!("written, but the head file could not be told: {error}"),
            fatal: error.raw_os_error() == Some(libc::EIO),
        })
    }

    fn write(&mut self, group: &mut [Box<dyn Job>], level: Durability) -> Outcome<Done> {
        let shared = self.shared.clone();
        if self.level != level {
            self.conn.pragma_update(None, "synchronous", synchronous(level))?;
            self.level = level;
        }
        let mut txn = Txn::begin(&self.conn, &shared, &mut self.index)?;
        for job in group {
            let savepoint = job.terms().savepoint;
            if !savepoint {
                match job.run(&mut txn) {
                    Ok(()) | Err(Fault::Refused(_)) => continue,
                    Err(store) => return Err(store),
                }
            }
            txn.flush()?;
            let mark = txn.mark();
            txn.conn.prepare_cached("SAVEPOINT job")?.execute([])?;
            match job.run(&mut txn) {
                Ok(()) => {}
                Err(Fault::Refused(_)) => {
                    txn.conn.prepare_cached("ROLLBACK TO job")?.execute([])?;
                    txn.undo(mark);
                }
                Err(store) => return Err(store),
            }
            txn.conn.prepare_cached("RELEASE job")?.execute([])?;
        }
        txn.finish()
    }

    /// Tells the head file. New slots are synced before the last head, that of the journal, counts them.
    fn tell(&self, done: &Done) -> std::io::Result<()> {
        match done.heads.split_last() {
            Some((journal, partitions)) if done.all => {
                self.shared.heads.write(partitions)?;
                self.shared.heads.sync()?;
                self.shared.heads.write(std::slice::from_ref(journal))
            }
            _ => self.shared.heads.write(&done.heads),
        }
    }

    fn verdict(&self, stage: Stage, fault: Fault) -> Verdict {
        match fault {
            Fault::Store(error) => judge(&self.conn, stage, &error),
            Fault::Refused(error) => Verdict { kind: error.kind(), message: error.to_string(), fatal: false },
        }
    }

    fn roll_back(&mut self) {
        self.index.abandon();
        if !self.conn.is_autocommit()
            && let Err(error) = self.conn.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a transaction could not be rolled back");
        }
    }

    /// Copies the rest of the log into the database, so that the next commit begins the log anew.
    fn checkpoint(&self) {
        if let Err(verdict) = crate::checkpoint::passive(&self.conn) {
            self.shared.note_checkpoint(&verdict);
        }
    }
}
