//! Joins: processors that see all there is with one key, whenever there is more of it.
//!
//! ```text
//!   batch ──▶ shelf of its partition: key ─▶ trail (its records so far) ──▶ apply(trail, how many are new) ──▶ outputs
//!                 │  a trail that nothing was added to for `settles_after` ──▶ settle(trail), then only its beginning is kept
//!                 └─ what a shelf does not have is read again from the topic
//! ```
//!
//! A shelf is a cache: what it holds follows from the records of its partition before the session's place, in order, and
//! from nothing else. So it is thrown away whenever that place is not known to be where the shelf ends (a restart, a
//! rebalance, a failed commit) and made again by reading the partition up to there without calling the join; outputs and
//! progress are one commit as ever. Time is that of the records' timestamps.
//!
//! **Bounded.** A trail may have as many records and bytes as [`Join::most`] says; contents of trails that have been quiet
//! longest go first when a shelf has more than [`SHELF_BYTES`], and are read again when they are needed, which changes no
//! output. Of settled trails the offset of the first record is kept, for the latest [`SETTLED`] of a partition: what
//! comes still later begins a trail of its own.
//!
//! Joins read one topic: trails of one key in two topics do not meet.

use super::lanes::Done;
use super::{Backoff, Emit, Fault, RetryPolicy, Stats};
use crate::{Batch, Journal, Position, Progress, Received, Result};
use bytes::Bytes;
use std::collections::hash_map::DefaultHasher;
use std::collections::{HashMap, VecDeque};
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

/// Bytes of records that a shelf keeps.
pub const SHELF_BYTES: usize = 32 << 20;
/// Settled trails of a partition whose beginning is kept.
pub const SETTLED: usize = 250_000;
/// Records read at a time.
const PAGE: usize = 2_000;

/// A processor of all records with one key. Pure, as a [`Transform`](super::Transform) is.
pub trait Join: Send + Sync + 'static {
    /// `records` are all there are with one key, in order; the last `new` of them are new. One result per new one, of
    /// what follows from it and those before it: the same however the new ones are cut into batches.
    fn apply(&self, records: &[Received], new: usize) -> Vec<Result<Vec<Emit>, Fault>>;

    /// What follows from the fact that these are all for now. May be asked again when there were more.
    fn settle(&self, records: &[Received]) -> Result<Vec<Emit>, Fault>;

    /// What follows from the record with which a trail has more than it may. What comes after it is passed over.
    fn overflow(&self, record: &Received) -> Result<Vec<Emit>, Fault>;

    /// How long a trail is quiet before it is settled.
    fn settles_after(&self) -> Duration;

    /// Most records of a trail, and most bytes.
    fn most(&self) -> (usize, usize);
}

/// The records with one key.
#[derive(Debug)]
struct Trail {
    first: u64,
    /// Offset of the latest.
    last: u64,
    contents: Contents,
    /// The call of this batch that it takes part in.
    call: Option<usize>,
}

#[derive(Debug)]
enum Contents {
    Here {
        records: Vec<Received>,
        bytes: usize,
    },
    /// To be read again from the first on.
    Elsewhere,
    /// More than it may have.
    TooMuch,
}

/// What is known of one partition.
#[derive(Debug, Default)]
struct Shelf {
    /// Everything below is in here.
    next: u64,
    /// Latest timestamp of a record.
    clock: i64,
    trails: HashMap<Bytes, Trail>,
    /// By when something was added: clock, offset, key. Outdated where the trail's `last` is another offset.
    quiet: VecDeque<(i64, u64, Bytes)>,
    /// Hash of the key to the first offset: of two keys with one hash the lower, from which both can be read.
    settled: HashMap<u64, u64>,
    settled_order: VecDeque<u64>,
    bytes: usize,
}

/// One call of the join.
#[derive(Debug)]
enum Call {
    /// Records, and the numbers in the batch of those that are new.
    Apply(Vec<Received>, Vec<usize>),
    /// Records, and the number of the record that showed them to be quiet.
    Settle(Vec<Received>, usize),
    Overflow(Received, usize),
}

/// The shelves of a session.
pub(super) struct Shelves {
    join: Arc<dyn Join>,
    shelves: HashMap<(Arc<str>, u32), Shelf>,
}

impl Shelves {
    pub(super) fn new(join: Arc<dyn Join>) -> Self {
        Self { join, shelves: HashMap::new() }
    }

    /// Nothing is known any more.
    pub(super) fn forget(&mut self) {
        self.shelves.clear();
    }

    /// Partitions that went away are forgotten.
    pub(super) fn keep(&mut self, owned: &[(Arc<str>, u32)]) {
        self.shelves.retain(|place, _| owned.contains(place));
    }

    /// What was handed out is committed.
    pub(super) fn committed(&mut self, progress: &Progress) {
        for (topic, partition, next) in progress.iter() {
            if let Some(shelf) = self.shelves.get_mut(&(topic.clone(), partition)) {
                shelf.next = shelf.next.max(next);
            }
        }
    }

    /// What becomes of a batch: each of its records, and trails that turned out to be quiet (by their last record).
    pub(super) async fn apply(
        &mut self,
        journal: &dyn Journal,
        batch: &Batch,
        lanes: usize,
        retry: &RetryPolicy,
        stats: &Arc<Stats>,
    ) -> Result<Vec<(Received, Done)>> {
        let mut calls = Vec::new();
        for (index, received) in batch.records.iter().enumerate() {
            let Position { topic, partition, offset } = &received.position;
            let place = (topic.clone(), *partition);
            if self.shelves.get(&place).is_none_or(|shelf| shelf.next > *offset) {
                self.shelves.insert(place.clone(), Shelf::default());
            }
            let Some(shelf) = self.shelves.get_mut(&place) else { continue };
            if shelf.next < *offset {
                shelf.read_up(self.join.as_ref(), journal, &place, *offset).await?;
            }
            shelf.take(self.join.as_ref(), journal, received, Some((&mut calls, index))).await?;
        }
        for shelf in self.shelves.values_mut() {
            shelf.trails.values_mut().for_each(|trail| trail.call = None);
        }
        self.call(batch, calls, lanes, retry, stats).await
    }

    async fn call(
        &self,
        batch: &Batch,
        calls: Vec<Call>,
        lanes: usize,
        retry: &RetryPolicy,
        stats: &Arc<Stats>,
    ) -> Result<Vec<(Received, Done)>> {
        let lanes = lanes.clamp(1, calls.len().max(1));
        let mut split: Vec<Vec<Call>> = (0..lanes).map(|_| Vec::new()).collect();
        for (number, call) in calls.into_iter().enumerate() {
            split[number % lanes].push(call);
        }
        let tasks: Vec<_> = split
            .into_iter()
            .map(|calls| {
                let (join, retry, stats) = (self.join.clone(), retry.clone(), stats.clone());
                tokio::spawn(async move {
                    let mut done = Vec::new();
                    for call in calls {
                        done.extend(follow(&join, call, &retry, &stats).await);
                    }
                    done
                })
            })
            .collect();
        // By the number of the record in the batch; what a record showed comes before what is made of it.
        let mut done: Vec<(usize, bool, Received, Done)> = Vec::new();
        for task in tasks {
            done.extend(task.await.expect("a lane contains the panics of its join"));
        }
        let mut answered = vec![false; batch.records.len()];
        for (index, own, ..) in &done {
            answered[*index] |= own;
        }
        let silent = answered.iter().enumerate().filter(|(_, answered)| !**answered);
        done.extend(
            silent.map(|(n, _)| (n, true, batch.records[n].clone(), Done::Emitted(Vec::new()))).collect::<Vec<_>>(),
        );
        done.sort_by_key(|(index, own, received, _)| (*index, *own, received.position.clone()));
        Ok(done.into_iter().map(|(_, _, received, done)| (received, done)).collect())
    }
}

impl Shelf {
    /// Takes in what is before `until`, calling nobody.
    async fn read_up(
        &mut self,
        join: &dyn Join,
        journal: &dyn Journal,
        place: &(Arc<str>, u32),
        until: u64,
    ) -> Result<()> {
        let mut scan = journal.scan(&place.0, place.1, self.next, Some(until)).await?;
        let mut read = 0_usize;
        loop {
            let page = scan.next(PAGE).await?;
            if page.is_empty() {
                break;
            }
            read += page.len();
            for stored in page {
                let position = Position::new(place.0.clone(), place.1, stored.offset);
                self.take(join, journal, &Received { position, record: stored.record }, None).await?;
            }
        }
        self.next = until;
        if read > 0 {
            tracing::debug!(topic = %place.0, partition = place.1, read, until, "read again what a join has to know");
        }
        Ok(())
    }

    /// Takes in a record, and notes the calls that follow where there are to be some.
    async fn take(
        &mut self,
        join: &dyn Join,
        journal: &dyn Journal,
        received: &Received,
        mut calls: Option<(&mut Vec<Call>, usize)>,
    ) -> Result<()> {
        let offset = received.position.offset;
        self.next = offset + 1;
        self.clock = self.clock.max(received.record.timestamp);
        self.settle(join, journal, &received.position, &mut calls).await?;
        // Without a key there is nothing to be joined with.
        let Some(key) = &received.record.key else {
            if let Some((calls, index)) = calls {
                calls.push(Call::Apply(vec![received.clone()], vec![index]));
            }
            return Ok(());
        };
        let hash = hash(key);
        let mut trail = match self.trails.remove(key) {
            Some(trail) => trail,
            None => match self.settled.remove(&hash) {
                Some(first) => Trail { first, last: offset, contents: Contents::Elsewhere, call: None },
                None => {
                    let contents = Contents::Here { records: Vec::new(), bytes: 0 };
                    Trail { first: offset, last: offset, contents, call: None }
                }
            },
        };
        trail.last = offset;
        // The key of a record is a part of its buffer, which must not be kept for it.
        let key = Bytes::copy_from_slice(key);
        if let Some((calls, index)) = calls {
            if let (Contents::Elsewhere, None) = (&trail.contents, trail.call) {
                trail.contents = read_again(join, journal, &received.position, trail.first, &key).await?;
                self.bytes += trail.contents.bytes();
            }
            let open = trail.call.and_then(|call| calls.get_mut(call));
            match (&trail.contents, open) {
                (Contents::TooMuch, _) => {}
                (contents, Some(Call::Apply(records, new)))
                    if !contents.grown_beyond(join.most(), received)
                        && (!matches!(contents, Contents::Elsewhere) || fits(records, join.most(), received)) =>
                {
                    records.push(received.clone());
                    new.push(index);
                }
                (Contents::Here { records, .. }, _) if !trail.contents.grown_beyond(join.most(), received) => {
                    let mut all = Vec::with_capacity(records.len() + 1);
                    all.extend_from_slice(records);
                    all.push(received.clone());
                    trail.call = Some(calls.len());
                    calls.push(Call::Apply(all, vec![index]));
                }
                _ => calls.push(Call::Overflow(received.clone(), index)),
            }
        }
        self.bytes -= trail.contents.bytes();
        trail.contents.add(join.most(), received);
        self.bytes += trail.contents.bytes();
        self.trails.insert(key.clone(), trail);
        self.quiet.push_back((self.clock, offset, key));
        // One that stays quiet for long keeps what is outdated behind it from being dropped in its turn.
        if self.quiet.len() > 2 * self.trails.len() + PAGE {
            let trails = &self.trails;
            self.quiet.retain(|(_, offset, key)| trails.get(key).is_some_and(|trail| trail.last == *offset));
        }
        if self.bytes > SHELF_BYTES {
            self.make_room();
        }
        Ok(())
    }

    /// Trails that nothing was added to for long enough.
    async fn settle(
        &mut self,
        join: &dyn Join,
        journal: &dyn Journal,
        shown_by: &Position,
        calls: &mut Option<(&mut Vec<Call>, usize)>,
    ) -> Result<()> {
        let patience = i64::try_from(join.settles_after().as_millis()).unwrap_or(i64::MAX);
        while let Some((at, offset, _)) = self.quiet.front() {
            let current = |trail: &Trail| trail.last == *offset;
            if !self.trails.get(&self.quiet[0].2).is_some_and(current) {
                self.quiet.pop_front();
                continue;
            }
            if self.clock < at.saturating_add(patience) {
                break;
            }
            let Some((_, _, key)) = self.quiet.pop_front() else { break };
            let Some(trail) = self.trails.remove(&key) else { continue };
            self.bytes -= trail.contents.bytes();
            self.remember(hash(&key), trail.first);
            if let Some((calls, index)) = calls {
                let contents = match trail.contents {
                    Contents::Elsewhere => read_again(join, journal, shown_by, trail.first, &key).await?,
                    contents => contents,
                };
                if let Contents::Here { records, .. } = contents {
                    calls.push(Call::Settle(records, *index));
                }
            }
        }
        Ok(())
    }

    fn remember(&mut self, hash: u64, first: u64) {
        let known = self.settled.entry(hash).or_insert(first);
        *known = first.min(*known);
        self.settled_order.push_back(hash);
        while self.settled_order.len() > SETTLED {
            if let Some(oldest) = self.settled_order.pop_front() {
                self.settled.remove(&oldest);
            }
        }
    }

    /// Drops the contents of the trails that have been quiet longest, until half of the room is free.
    fn make_room(&mut self) {
        for (_, offset, key) in &self.quiet {
            if self.bytes <= SHELF_BYTES / 2 {
                break;
            }
            if let Some(trail) = self.trails.get_mut(key).filter(|trail| trail.last == *offset) {
                self.bytes -= trail.contents.bytes();
                if !matches!(trail.contents, Contents::TooMuch) {
                    trail.contents = Contents::Elsewhere;
                }
            }
        }
    }
}

impl Contents {
    fn bytes(&self) -> usize {
        match self {
            Self::Here { bytes, .. } => *bytes,
            Self::Elsewhere | Self::TooMuch => 0,
        }
    }

    /// Whether it would have too much with one more.
    fn grown_beyond(&self, (most, most_bytes): (usize, usize), one: &Received) -> bool {
        match self {
            Self::Here { records, bytes } => records.len() >= most || bytes + one.record.size() > most_bytes,
            Self::Elsewhere => false,
            Self::TooMuch => true,
        }
    }

    fn add(&mut self, most: (usize, usize), one: &Received) {
        if self.grown_beyond(most, one) {
            *self = Self::TooMuch;
        } else if let Self::Here { records, bytes } = self {
            records.push(one.clone());
            *bytes += one.record.size();
        }
    }
}

/// Reads the records with `key` from `first` on, up to and without the one at `until`.
async fn read_again(
    join: &dyn Join,
    journal: &dyn Journal,
    until: &Position,
    first: u64,
    key: &Bytes,
) -> Result<Contents> {
    let mut contents = Contents::Here { records: Vec::new(), bytes: 0 };
    let mut scan = journal.scan(&until.topic, until.partition, first, Some(until.offset)).await?;
    loop {
        let page = scan.next(PAGE).await?;
        if page.is_empty() {
            return Ok(contents);
        }
        for stored in page.into_iter().filter(|stored| stored.record.key.as_ref() == Some(key)) {
            let position = Position::new(until.topic.clone(), until.partition, stored.offset);
            contents.add(join.most(), &Received { position, record: stored.record });
        }
    }
}

/// Whether there is room for one more; the records of a call may have been dropped from their trail meanwhile.
fn fits(records: &[Received], (most, most_bytes): (usize, usize), one: &Received) -> bool {
    let bytes = || records.iter().chain([one]).map(|received| received.record.size()).sum::<usize>();
    records.len() < most && bytes() <= most_bytes
}

fn hash(key: &Bytes) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

/// Follows one call to its end: which record it is for, whether it is that record's own, and what was done.
async fn follow(
    join: &Arc<dyn Join>,
    call: Call,
    retry: &RetryPolicy,
    stats: &Stats,
) -> Vec<(usize, bool, Received, Done)> {
    let call = Arc::new(call);
    let mut backoff = Backoff::new(retry);
    let mut attempts = 0;
    let results = loop {
        attempts += 1;
        let (join, asked) = (join.clone(), call.clone());
        let task = tokio::task::spawn_blocking(move || match asked.as_ref() {
            Call::Apply(records, new) => join.apply(records, new.len()),
            Call::Settle(records, _) => vec![join.settle(records)],
            Call::Overflow(record, _) => vec![join.overflow(record)],
        });
        let results = task.await.unwrap_or_else(|_| {
            stats.panicked();
            vec![Err(Fault::Lasting { kind: "panic", message: "it panicked; see the log".to_owned() }); call.len()]
        });
        let again = results.iter().any(|result| matches!(result, Err(Fault::Transient(_))));
        if !again || attempts >= retry.attempts.max(1) {
            break results;
        }
        stats.retried();
        tokio::time::sleep(backoff.wait()).await;
    };
    let mut results = results.into_iter();
    let mut next = || match results.next() {
        Some(Ok(emits)) => Done::Emitted(emits),
        Some(Err(Fault::Lasting { kind, message })) => Done::Dead { kind, error: message, attempts },
        Some(Err(Fault::Transient(error))) => Done::Dead { kind: "exhausted", error, attempts },
        None => Done::Dead { kind: "fault", error: "the join gave fewer results than it got records".into(), attempts },
    };
    match call.as_ref() {
        Call::Apply(records, new) => {
            let first = records.len() - new.len();
            new.iter().zip(&records[first..]).map(|(index, record)| (*index, true, record.clone(), next())).collect()
        }
        Call::Settle(records, index) => {
            records.last().map(|last| (*index, false, last.clone(), next())).into_iter().collect()
        }
        Call::Overflow(record, index) => vec![(*index, true, record.clone(), next())],
    }
}

impl Call {
    fn len(&self) -> usize {
        match self {
            Self::Apply(_, new) => new.len(),
            Self::Settle(..) | Self::Overflow(..) => 1,
        }
    }
}
