//! The contract of the log.
//!
//! ```text
//!   append ──▶ topic ─┬─ partition 0: 0 1 2 3 · 5 6     one order per partition, none between them
//!                     └─ partition 1: 0 1 2             offsets grow and may have gaps
//!                              │
//!   scan  ◀────────────────────┤   any range, no group, nobody notices
//!   join  ◀── next / commit ───┘   a group shares the partitions; progress moves with the outputs
//! ```
//!
//! **Durable.** [`Journal::append`] and [`Session::commit`] answer after the journal has what it needs to give the
//! records back after a crash of this process (and, for backends that say so, of the machine). What was answered is
//! never lost and never changes its position.
//!
//! **Atomic.** One call is one unit, over any number of topics: a reader sees all of its records or none. A commit
//! includes the group's progress: outputs and progress, both or neither.
//!
//! **Unknown outcomes.** An error of kind [`ErrorKind::Indeterminate`](crate::ErrorKind::Indeterminate) means that the
//! call may have happened. Repeating it is harmless because records carry ids: journals with an id index refuse the
//! second, folds drop it.
//!
//! **Ownership.** A partition of a group belongs to one session at a time. An owner that lost its partition gets
//! [`ErrorKind::Fenced`](crate::ErrorKind::Fenced) from its next commit, which wrote nothing; it calls
//! [`Session::rewind`] and goes on with what it owns now. Partition `n` of every topic of a group goes to the same
//! member, so that what has one key meets in one worker.
//!
//! **Bounded.** Nothing here buffers more than the limits it is given.

use crate::{Append, Progress, Receipt, Received, Result, Stored, TopicSpec, TopicState};
use async_trait::async_trait;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;

/// A log of topics. See the module for what is promised.
#[async_trait]
pub trait Journal: Send + Sync + 'static {
    /// Its URI, without secrets.
    fn uri(&self) -> String;

    /// Largest key + value + headers of one record, in bytes.
    fn max_record_bytes(&self) -> usize;

    /// Creates the topics that are missing. An existing topic must have the same number of partitions, else
    /// [`Invalid`](crate::ErrorKind::Invalid); its cleanup is updated.
    async fn ensure(&self, topics: &[TopicSpec]) -> Result<()>;

    /// Appends all or nothing, and answers in the order of the batch when it is durable. Ids that are known with the
    /// same content come back as duplicates; with other content the whole batch is refused as a
    /// [`Conflict`](crate::ErrorKind::Conflict). An id repeated within one batch is treated the same way.
    async fn append(&self, batch: Vec<Append>) -> Result<Vec<Receipt>>;

    /// Reads one partition from `from` (or the first record after it) up to, not including, `until` (or the end as
    /// it moves). `from` before the start of the partition begins at the start.
    async fn scan(&self, topic: &str, partition: u32, from: u64, until: Option<u64>) -> Result<Box<dyn Scan>>;

    /// The offset of the first record whose timestamp is at or after `timestamp` (ms), or the end.
    async fn offset_at(&self, topic: &str, partition: u32, timestamp: i64) -> Result<u64>;

    /// Where the record with this id stands, by an index; `None` if it is unknown or the backend has no such index.
    async fn find(&self, id: &str) -> Result<Option<crate::Position>>;

    /// Becomes a member of a group. Topics must exist.
    async fn join(&self, spec: &GroupSpec) -> Result<Box<dyn Session>>;

    /// All topics, by name.
    async fn topics(&self) -> Result<Vec<TopicState>>;

    /// All groups, by name.
    async fn groups(&self) -> Result<Vec<GroupState>>;

    /// Sets a group's progress. The group must have no members, else [`Fenced`](crate::ErrorKind::Fenced).
    async fn reset(&self, group: &str, progress: &Progress) -> Result<()>;

    /// Removes a topic and all it holds. Missing is fine.
    async fn delete_topic(&self, topic: &str) -> Result<()>;

    /// Removes a group and its progress. Missing is fine; with members it is [`Fenced`](crate::ErrorKind::Fenced).
    async fn delete_group(&self, group: &str) -> Result<()>;

    /// Throws away what the topics' cleanup allows, by this time (ms). Backends that do so themselves do nothing.
    async fn clean(&self, now: i64) -> Result<()>;

    /// Reads everything and checks it as far as the backend can (checksums, hash chain, acknowledged heads).
    async fn verify(&self) -> Result<Verified>;
}

/// Reads one partition in pages.
#[async_trait]
pub trait Scan: Send {
    /// The next records, at most `max` of them and at least one unless the range (or, for now, the partition) has
    /// ended; an empty page at an open end may be followed by more.
    async fn next(&mut self, max: usize) -> Result<Vec<Stored>>;
}

/// One member of a group. Dropping it without [`Session::leave`] leaves as a crash would.
#[async_trait]
pub trait Session: Send {
    /// Waits up to `limits.wait` for records, and returns what there is (possibly nothing). Rebalancing happens in
    /// here; records of partitions that were lost meanwhile are not handed out.
    async fn next(&mut self, limits: &BatchLimits) -> Result<Batch>;

    /// Appends `outputs` and moves the group to `progress`, both or neither. Where there is an id index, an output whose
    /// id stands in its topic already is a duplicate, whatever else differs: the id of a derived record says what it was
    /// made of, and only the places of its causes can differ.
    async fn commit(&mut self, outputs: Vec<Append>, progress: &Progress) -> Result<Vec<Receipt>>;

    /// Goes back to the committed offsets: what was handed out and not committed comes again. Call it after every
    /// failed commit.
    async fn rewind(&mut self) -> Result<()>;

    /// The partitions owned now.
    fn assignment(&self) -> Vec<(Arc<str>, u32)>;

    /// Gives the partitions back at once.
    async fn leave(self: Box<Self>) -> Result<()>;
}

/// Who joins what.
#[derive(Clone, Debug)]
pub struct GroupSpec {
    /// Name of the group.
    pub group: String,
    /// Physical topics; those with equal partition counts are assigned together.
    pub topics: Vec<String>,
    /// A silent member loses its partitions after this long.
    pub session_timeout: Duration,
}

/// Bounds of one [`Session::next`].
#[derive(Clone, Debug)]
pub struct BatchLimits {
    /// At most this many records.
    pub records: usize,
    /// At most this many bytes, but always at least one record.
    pub bytes: usize,
    /// How long to wait for the first record.
    pub wait: Duration,
}

impl Default for BatchLimits {
    fn default() -> Self {
        Self { records: 1_000, bytes: 4 << 20, wait: Duration::from_millis(500) }
    }
}

/// What a session hands out: records, and the progress that covers them.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// In order within each partition.
    pub records: Vec<Received>,
    /// What to commit when all of them are done.
    pub progress: Progress,
}

/// A group as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GroupState {
    /// Its name.
    pub group: String,
    /// Live members.
    pub members: usize,
    /// Committed next offsets.
    pub progress: Progress,
}

/// What [`Journal::verify`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Records read and found good.
    pub records: u64,
    /// Partitions walked.
    pub partitions: u64,
    /// Per partition: topic, partition, end offset and the hex hash of the chain there, for keeping elsewhere.
    pub heads: Vec<(String, u32, u64, String)>,
    /// Each thing that is wrong, first position first. Empty: the journal is whole.
    pub damage: Vec<Damage>,
    /// What is missing and was accepted as lost, in the order in which that was said.
    pub losses: Vec<Loss>,
    /// What the backend cannot check, in a sentence; empty when there is nothing to add.
    pub note: String,
}

/// Something that is known to be lost: somebody said to go on without it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Loss {
    /// When that was said (ms since the epoch).
    pub at: i64,
    /// Where, as in [`Damage`].
    pub place: String,
    /// What was wrong there.
    pub what: String,
}

/// One thing that is wrong in a journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// Where, as far as it can be told (`topic/partition/offset`, or a file).
    pub place: String,
    /// What is wrong there.
    pub what: String,
}
