//! What a running processor tells about itself.

use serde::Serialize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Upper bounds, in seconds, of the buckets of the batch histogram.
pub const BATCH_SECONDS: [f64; 10] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0];

/// What a processor is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Not joined yet.
    #[default]
    Starting,
    /// Member of its group.
    Running,
    /// Failed, and waiting to start again.
    Waiting,
    /// Met damage in the journal, and does not go on by itself.
    Failed,
    /// Left its group.
    Stopped,
}

/// Counters of one processor in this process. Shared; all methods take `&self`.
#[derive(Debug, Default)]
pub struct Stats {
    processed: AtomicU64,
    emitted: AtomicU64,
    dead: AtomicU64,
    retries: AtomicU64,
    panics: AtomicU64,
    rewinds: AtomicU64,
    restarts: AtomicU64,
    batches: [AtomicU64; BATCH_SECONDS.len() + 1],
    batch_micros: AtomicU64,
    last_progress: AtomicI64,
    life: Mutex<(State, Option<String>)>,
}

/// The counters at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Snapshot {
    /// Records taken and committed.
    pub processed: u64,
    /// Records emitted.
    pub emitted: u64,
    /// Records that went to dead letters.
    pub dead_lettered: u64,
    /// Tries that failed and were made again.
    pub retries: u64,
    /// Panics contained.
    pub panics: u64,
    /// Batches taken back after a failed commit.
    pub rewinds: u64,
    /// Times the processor was started again.
    pub restarts: u64,
    /// Batches by duration: one count per bound of [`BATCH_SECONDS`], and one above.
    pub batches: Vec<u64>,
    /// Seconds spent in batches.
    pub batch_seconds: f64,
    /// When it last made progress or found nothing to do (ms since the epoch); 0: never.
    pub last_progress: i64,
    /// What it is doing.
    pub state: State,
    /// The last error, while it waits to start again or has failed.
    pub error: Option<String>,
}

impl Stats {
    /// The counters now.
    pub fn snapshot(&self) -> Snapshot {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (state, error) = self.life.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        Snapshot {
            processed: get(&self.processed),
            emitted: get(&self.emitted),
            dead_lettered: get(&self.dead),
            retries: get(&self.retries),
            panics: get(&self.panics),
            rewinds: get(&self.rewinds),
            restarts: get(&self.restarts),
            batches: self.batches.iter().map(get).collect(),
            batch_seconds: get(&self.batch_micros) as f64 / 1e6,
            last_progress: self.last_progress.load(Ordering::Relaxed),
            state,
            error,
        }
    }

    pub(crate) fn committed(&self, records: usize, emitted: usize, dead: usize, took: Duration) {
        self.processed.fetch_add(records as u64, Ordering::Relaxed);
        self.emitted.fetch_add(emitted as u64, Ordering::Relaxed);
        self.dead.fetch_add(dead as u64, Ordering::Relaxed);
        let seconds = took.as_secs_f64();
        let bucket = BATCH_SECONDS.iter().position(|bound| seconds <= *bound).unwrap_or(BATCH_SECONDS.len());
        self.batches[bucket].fetch_add(1, Ordering::Relaxed);
        self.batch_micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.progressed();
    }

    /// Progress was made, or there was nothing to do.
    pub(crate) fn progressed(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.last_progress.store(i64::try_from(now.as_millis()).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn retried(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn panicked(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn rewound(&self) {
        self.rewinds.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn restarting(&self, error: String) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
        self.enter(State::Waiting, Some(error));
    }

    pub(crate) fn enter(&self, state: State, error: Option<String>) {
        *self.life.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = (state, error);
    }
}
