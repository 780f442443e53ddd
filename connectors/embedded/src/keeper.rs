//! The background tick: heartbeats, the head file's sync, and the look-out for other processes' commits.
//!
//! It sleeps unless there is something to do: a second after a commit it syncs the head file, three times per session
//! timeout it prolongs leases, and only while a session waits does it ask SQLite, 20 to 100 times a second, whether
//! another process has committed.

use crate::fault::Outcome;
use crate::groups::{self, Member};
use crate::options::Durability;
use crate::shared::Shared;
use crate::sys::monotonic_ms;
use crate::txn::Txn;
use crate::writer::{Job, Task, Terms};
use rusqlite::Connection;
use std::fs::File;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::mpsc;

/// A session that nobody has called for this long is taken for hung: its lease runs out although its process lives.
const HUNG_AFTER_MS: i64 = 30 * 60 * 1_000;
const SYNC_EVERY_MS: i64 = 1_000;
const LOOK_FAST_MS: i64 = 10;
const LOOK_SLOW_MS: i64 = 50;

/// The heartbeat of one session.
pub(crate) struct Pulse {
    pub(crate) member: Member,
    /// When the deadline was last moved.
    pub(crate) beaten: AtomicI64,
    /// When the session was last called.
    pub(crate) called: AtomicI64,
}

impl Pulse {
    pub(crate) fn new(member: Member) -> Self {
        let now = monotonic_ms();
        Self { member, beaten: AtomicI64::new(now), called: AtomicI64::new(now) }
    }

    /// When the next beat is due; `None` if the session hangs.
    fn due(&self, now: i64) -> Option<i64> {
        let hung = now - self.called.load(Ordering::Relaxed) > HUNG_AFTER_MS.max(2 * self.member.timeout_ms);
        (!hung).then(|| self.beaten.load(Ordering::Relaxed) + self.member.timeout_ms / 3)
    }

    /// Whether a commit should move the deadline as well.
    pub(crate) fn is_due(&self, now: i64) -> bool {
        self.due(now).is_some_and(|due| due <= now)
    }
}

/// The sessions of this process.
#[derive(Default)]
pub(crate) struct Pulses(Mutex<Vec<Weak<Pulse>>>);

impl Pulses {
    pub(crate) fn add(&self, pulse: &Arc<Pulse>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(pulse));
    }

    fn living(&self) -> Vec<Arc<Pulse>> {
        let mut pulses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pulses.retain(|pulse| pulse.strong_count() > 0);
        pulses.iter().filter_map(Weak::upgrade).collect()
    }
}

/// See the module.
pub(crate) struct Keeper {
    pub(crate) conn: Connection,
    pub(crate) shared: Arc<Shared>,
    pub(crate) pulses: Arc<Pulses>,
    pub(crate) jobs: mpsc::Sender<Box<dyn Job>>,
}

impl Keeper {
    /// Runs until the journal closes.
    pub(crate) fn run(self) {
        let (mut synced, mut version, mut quiet) = (monotonic_ms(), self.version(), 0_i64);
        while !self.shared.closed.load(Ordering::Acquire) {
            let now = monotonic_ms();
            let mut sleep = i64::MAX;
            if self.unsynced() {
                if now - synced >= SYNC_EVERY_MS {
                    self.sync();
                    synced = now;
                }
                sleep = SYNC_EVERY_MS;
            }
            if let Some(due) = self.beat(now) {
                sleep = sleep.min((due - now).max(1));
            }
            if self.shared.waiting.load(Ordering::Acquire) > 0 {
                let found = self.version();
                quiet = if found == version { quiet + 1 } else { 0 };
                if found != version {
                    version = found;
                    self.look();
                }
                sleep = sleep.min((LOOK_FAST_MS + quiet / 4).min(LOOK_SLOW_MS));
            }
            match u64::try_from(sleep) {
                Ok(ms) if sleep != i64::MAX => std::thread::park_timeout(Duration::from_millis(ms)),
                _ => std::thread::park(),
            }
        }
        self.sync();
    }

    /// A number that changes with every commit of another connection. One that cannot be read counts as a change:
    /// who is woken for nothing looks for himself.
    fn version(&self) -> i64 {
        let version = self.conn.prepare_cached("PRAGMA data_version");
        version.and_then(|mut query| query.query_row([], |row| row.get(0))).unwrap_or_else(|_| monotonic_ms())
    }

    /// Tells the sessions, unless it was this process that committed.
    fn look(&self) {
        if let Ok(state) = self.shared.read(|view| Ok(view.state)) {
            self.shared.news.found(&state);
        }
    }

    fn unsynced(&self) -> bool {
        match self.shared.options.durability {
            Durability::Full => self.shared.heads.is_dirty(),
            Durability::Process => self.shared.lagging.load(Ordering::Acquire) || self.shared.heads.is_dirty(),
            Durability::None => false,
        }
    }

    fn sync(&self) {
        let outcome = match self.shared.options.durability {
            Durability::Full => self.shared.heads.sync(),
            Durability::None => Ok(()),
            Durability::Process => self.sync_log(),
        };
        if let Err(error) = outcome {
            tracing::error!(%error, "the head file could not be synced; writing stops");
            let _ = self.shared.failed.set(format!("the head file could not be synced: {error}"));
        }
    }

    /// Commits were not synced one by one: the log is synced first, and only what it then holds for good is told to
    /// the head file.
    fn sync_log(&self) -> std::io::Result<()> {
        if !self.shared.lagging.swap(false, Ordering::AcqRel) {
            return self.shared.heads.sync();
        }
        let heads = self.shared.read(crate::txn::heads_of);
        let Ok(heads) = heads else { return Ok(()) };
        match File::open(self.shared.files.log()) {
            Ok(log) => log.sync_data()?,
            // Another process may have closed it, which syncs the database.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
        let (journal, partitions) = heads.split_last().expect("the journal itself is always there");
        self.shared.heads.write(partitions)?;
        self.shared.heads.sync()?;
        self.shared.heads.write(std::slice::from_ref(journal))?;
        self.shared.heads.sync()
    }

    /// Prolongs the leases that are due; answers when the next are.
    fn beat(&self, now: i64) -> Option<i64> {
        let pulses = self.pulses.living();
        let due: Vec<Arc<Pulse>> = pulses.iter().filter(|pulse| pulse.is_due(now)).cloned().collect();
        if !due.is_empty() {
            let beating = due.clone();
            let work = move |txn: &mut Txn<'_>| -> Outcome<()> {
                beating.iter().try_for_each(|pulse| groups::beat(txn.conn, &pulse.member, monotonic_ms()))
            };
            let (task, _) = Task::new(Terms::default(), None, work);
            // A full queue is full of commits, which prolong as well; the next tick tries again.
            if self.jobs.try_send(Box::new(task)).is_ok() {
                due.iter().for_each(|pulse| pulse.beaten.store(now, Ordering::Relaxed));
            }
        }
        pulses.iter().filter_map(|pulse| pulse.due(now)).map(|due| due.max(now + 50)).min()
    }
}
