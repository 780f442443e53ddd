//! The in-memory reference journal: the executable specification that the other backends must agree with.
//!
//! It keeps the whole contract of [`Journal`] except durability: everything is gone with the last clone. One lock
//! guards everything, so every call is atomic by construction. Ids are unique within a topic, and are forgotten
//! together with the record that carried them. It deliberately lacks session timeouts: a member is alive until its
//! session is dropped.
//!
//! Partitions change hands at once when members join or leave. Each ownership has a number of its own, which a commit
//! compares, so that a partition that went away and came back is no excuse for a batch from before.

use crate::{
    Append, Batch, BatchLimits, Cleanup, Error, ErrorKind, GroupSpec, GroupState, Journal, PartitionState, Position,
    Progress, Receipt, Received, Record, Result, Scan, Session, Stored, TopicSpec, TopicState, Verified, assign,
    check_topic_name, partition_for,
};
use async_trait::async_trait;
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// Largest record taken: what a Kafka broker takes by default, less the room for its own framing.
const MAX_RECORD_BYTES: usize = 1_000_000;

/// A journal in memory. Clones share it.
#[derive(Clone, Default)]
pub struct MemoryJournal {
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
}

#[derive(Default)]
struct State {
    topics: BTreeMap<Arc<str>, Topic>,
    groups: BTreeMap<String, Group>,
    /// Counts members and ownerships, so that no number is used twice.
    counter: u64,
    /// The state of the generator of gaps, if there are to be some.
    gaps: Option<u64>,
}

struct Topic {
    spec: TopicSpec,
    partitions: Vec<Partition>,
    ids: HashMap<String, (u32, u64)>,
}

#[derive(Default)]
struct Partition {
    start: u64,
    end: u64,
    records: BTreeMap<u64, Record>,
}

#[derive(Default)]
struct Group {
    members: BTreeMap<u64, Vec<Arc<str>>>,
    progress: Progress,
    /// Who owns a partition, and the number of that ownership.
    owners: BTreeMap<(Arc<str>, u32), (u64, u64)>,
}

impl MemoryJournal {
    /// An empty journal whose offsets have no gaps.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty journal whose offsets have gaps behind every batch, as Kafka's transaction markers and aborted
    /// transactions leave them; the same seed leaves the same ones.
    pub fn with_gaps(seed: u64) -> Self {
        let journal = Self::default();
        journal.lock().gaps = Some(seed | 1);
        journal
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Journal for MemoryJournal {
    fn uri(&self) -> String {
        "memory:".to_owned()
    }

    fn max_record_bytes(&self) -> usize {
        MAX_RECORD_BYTES
    }

    async fn ensure(&self, topics: &[TopicSpec]) -> Result<()> {
        let mut state = self.lock();
        for spec in topics {
            check_topic_name(&spec.name)?;
            let found = state.topics.get(spec.name.as_str()).map_or(spec.partitions, |t| t.spec.partitions);
            if spec.partitions == 0 || found != spec.partitions {
                let message = format!("topic `{}` has {found} partitions, not {}", spec.name, spec.partitions);
                return Err(Error::new(ErrorKind::Invalid, message));
            }
        }
        for spec in topics {
            let topic = state.topics.entry(spec.name.as_str().into()).or_insert_with(|| Topic {
                spec: spec.clone(),
                partitions: (0..spec.partitions).map(|_| Partition::default()).collect(),
                ids: HashMap::new(),
            });
            topic.spec.cleanup = spec.cleanup.clone();
        }
        Ok(())
    }

    async fn append(&self, mut batch: Vec<Append>) -> Result<Vec<Receipt>> {
        crate::stamp(&mut batch);
        let receipts = self.lock().append(batch, false)?;
        self.changed.notify_waiters();
        Ok(receipts)
    }

    async fn scan(&self, topic: &str, partition: u32, from: u64, until: Option<u64>) -> Result<Box<dyn Scan>> {
        self.lock().partition(topic, partition)?;
        Ok(Box::new(MemoryScan { journal: self.clone(), topic: topic.into(), partition, next: from, until }))
    }

    async fn offset_at(&self, topic: &str, partition: u32, timestamp: i64) -> Result<u64> {
        let state = self.lock();
        let partition = state.partition(topic, partition)?;
        let found = partition.records.iter().find(|(_, record)| record.timestamp >= timestamp);
        Ok(found.map_or(partition.end, |(offset, _)| *offset))
    }

    async fn find(&self, id: &str) -> Result<Option<Position>> {
        let state = self.lock();
        let mut topics = state.topics.iter();
        Ok(topics.find_map(|(name, topic)| topic.ids.get(id).map(|(p, o)| Position::new(name.clone(), *p, *o))))
    }

    async fn join(&self, spec: &GroupSpec) -> Result<Box<dyn Session>> {
        let mut state = self.lock();
        if spec.group.is_empty() || spec.topics.is_empty() {
            return Err(Error::new(ErrorKind::Invalid, "a group has a name and at least one topic"));
        }
        for topic in &spec.topics {
            state.topic(topic)?;
        }
        let member = state.number();
        let group = state.groups.entry(spec.group.clone()).or_default();
        group.members.insert(member, spec.topics.iter().map(|t| Arc::from(t.as_str())).collect());
        state.rebalance(&spec.group);
        drop(state);
        self.changed.notify_waiters();
        let journal = self.clone();
        let mut session = MemorySession { journal, group: spec.group.clone(), member, owned: BTreeMap::new(), turn: 0 };
        session.sync(&self.lock());
        Ok(Box::new(session))
    }

    async fn topics(&self) -> Result<Vec<TopicState>> {
        Ok(self.lock().topics.values().map(Topic::state).collect())
    }

    async fn groups(&self) -> Result<Vec<GroupState>> {
        let state = self.lock();
        let describe = |(name, group): (&String, &Group)| GroupState {
            group: name.clone(),
            members: group.members.len(),
            progress: group.progress.clone(),
        };
        Ok(state.groups.iter().map(describe).collect())
    }

    async fn reset(&self, group: &str, progress: &Progress) -> Result<()> {
        let mut state = self.lock();
        for (topic, partition, _) in progress.iter() {
            state.partition(topic, partition)?;
        }
        state.unattended(group)?;
        state.groups.entry(group.to_owned()).or_default().set(progress);
        Ok(())
    }

    async fn delete_topic(&self, topic: &str) -> Result<()> {
        let mut state = self.lock();
        state.topics.remove(topic);
        for group in state.groups.values_mut() {
            let rest = group.progress.iter().filter(|(name, _, _)| ***name != *topic);
            group.progress = rest.map(|(name, partition, next)| (name.clone(), partition, next)).collect();
        }
        drop(state);
        self.changed.notify_waiters();
        Ok(())
    }

    async fn delete_group(&self, group: &str) -> Result<()> {
        let mut state = self.lock();
        state.unattended(group)?;
        state.groups.remove(group);
        Ok(())
    }

    async fn clean(&self, now: i64) -> Result<()> {
        self.lock().topics.values_mut().for_each(|topic| topic.clean(now));
        Ok(())
    }

    async fn verify(&self) -> Result<Verified> {
        let state = self.lock();
        let mut verified =
            Verified { note: "held in memory: there is nothing to check".to_owned(), ..Verified::default() };
        for topic in state.topics.values() {
            for (number, partition) in (0..).zip(&topic.partitions) {
                verified.partitions += 1;
                verified.records += partition.records.len() as u64;
                verified.heads.push((topic.spec.name.clone(), number, partition.end, String::new()));
            }
        }
        Ok(verified)
    }
}

impl State {
    fn topic(&self, name: &str) -> Result<&Topic> {
        let missing = || Error::new(ErrorKind::NotFound, format!("there is no topic `{}`", name.escape_debug()));
        self.topics.get(name).ok_or_else(missing)
    }

    fn partition(&self, topic: &str, partition: u32) -> Result<&Partition> {
        let missing = || Error::new(ErrorKind::NotFound, format!("there is no partition `{topic}/{partition}`"));
        self.topic(topic)?.partitions.get(partition as usize).ok_or_else(missing)
    }

    fn number(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    fn unattended(&self, group: &str) -> Result<()> {
        match self.groups.get(group) {
            Some(found) if !found.members.is_empty() => {
                Err(Error::new(ErrorKind::Fenced, format!("group `{group}` has {} members", found.members.len())))
            }
            _ => Ok(()),
        }
    }

    /// Places the batch without writing anything, then writes all of it.
    fn append(&mut self, batch: Vec<Append>, ids_tell_all: bool) -> Result<Vec<Receipt>> {
        let mut receipts = Vec::with_capacity(batch.len());
        let mut ends: HashMap<(Arc<str>, u32), u64> = HashMap::new();
        let mut fresh: HashMap<(Arc<str>, String), (usize, Position)> = HashMap::new();
        let mut conflicts = Vec::new();
        for (index, append) in batch.iter().enumerate() {
            let topic = self.topic(&append.topic)?;
            let record = &append.record;
            let number =
                append.partition.unwrap_or_else(|| partition_for(record.key.as_deref(), topic.spec.partitions));
            let partition = topic.partitions.get(number as usize).ok_or_else(|| {
                Error::new(ErrorKind::Invalid, format!("there is no partition `{}/{number}`", append.topic))
            })?;
            if record.size() > MAX_RECORD_BYTES {
                let message = format!("record {index} has {} bytes; {MAX_RECORD_BYTES} are taken", record.size());
                return Err(Error::new(ErrorKind::TooLarge, message));
            }
            if let Some(id) = record.id() {
                let earlier = fresh.get(&(append.topic.clone(), id.to_owned()));
                let known = match (topic.ids.get(id), earlier) {
                    (Some((p, o)), _) => {
                        Some((Position::new(append.topic.clone(), *p, *o), &topic.partitions[*p as usize].records[o]))
                    }
                    (None, Some((first, position))) => Some((position.clone(), &batch[*first].record)),
                    (None, None) => None,
                };
                if let Some((position, known)) = known {
                    if !ids_tell_all && !known.same_content(record) {
                        conflicts.push(index);
                    }
                    receipts.push(Receipt { position, duplicate: true });
                    continue;
                }
            }
            let end = ends.entry((append.topic.clone(), number)).or_insert(partition.end);
            let position = Position::new(append.topic.clone(), number, *end);
            *end += 1;
            if let Some(id) = record.id() {
                fresh.insert((append.topic.clone(), id.to_owned()), (index, position.clone()));
            }
            receipts.push(Receipt { position, duplicate: false });
        }
        if !conflicts.is_empty() {
            return Err(Error::conflict(conflicts, "an id is taken by a record with other content"));
        }
        for (append, receipt) in batch.into_iter().zip(&receipts).filter(|(_, receipt)| !receipt.duplicate) {
            let Position { topic, partition, offset } = &receipt.position;
            let topic = self.topics.get_mut(topic).expect("was found above");
            if let Some(id) = append.record.id() {
                topic.ids.insert(id.to_owned(), (*partition, *offset));
            }
            topic.partitions[*partition as usize].records.insert(*offset, append.record);
        }
        let mut ends: Vec<_> = ends.into_iter().collect();
        ends.sort();
        for ((topic, partition), end) in ends {
            let gap = self.gap();
            self.topics.get_mut(&topic).expect("was found above").partitions[partition as usize].end = end + gap;
        }
        Ok(receipts)
    }

    /// The marker of a transaction, and now and then an aborted one before it (xorshift64).
    fn gap(&mut self) -> u64 {
        let Some(seed) = &mut self.gaps else { return 0 };
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        1 + (*seed >> 33) % 4
    }

    /// Gives every partition to the member that [`assign`] names; ownerships that stay keep their number.
    fn rebalance(&mut self, group: &str) {
        let Some(mut group) = self.groups.remove(group).map(|g| (group.to_owned(), g)) else { return };
        let topics: HashSet<&Arc<str>> = group.1.members.values().flatten().collect();
        let mut owners = BTreeMap::new();
        for topic in topics {
            let Some(partitions) = self.topics.get(topic).map(|t| t.spec.partitions) else { continue };
            let readers: Vec<u64> = group
                .1
                .members
                .iter()
                .filter(|(_, topics)| topics.contains(topic))
                .map(|(member, _)| *member)
                .collect();
            for (index, member) in readers.iter().enumerate() {
                for partition in assign(index, readers.len(), partitions) {
                    let place = (topic.clone(), partition);
                    let kept = group.1.owners.get(&place).filter(|(owner, _)| owner == member).copied();
                    let ownership = kept.unwrap_or_else(|| {
                        self.counter += 1;
                        (*member, self.counter)
                    });
                    owners.insert(place, ownership);
                }
            }
        }
        group.1.owners = owners;
        self.groups.insert(group.0, group.1);
    }
}

impl Topic {
    fn state(&self) -> TopicState {
        let partitions = self.partitions.iter().map(|p| PartitionState { start: p.start, end: p.end });
        TopicState { spec: self.spec.clone(), partitions: partitions.collect() }
    }

    fn clean(&mut self, now: i64) {
        for partition in &mut self.partitions {
            match self.spec.cleanup {
                Cleanup::Keep => continue,
                Cleanup::Retain(age) => {
                    let oldest = now.saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
                    let kept = partition.records.iter().find(|(_, record)| record.timestamp >= oldest);
                    partition.start = kept.map_or(partition.end, |(offset, _)| *offset);
                    partition.records = partition.records.split_off(&partition.start);
                }
                Cleanup::Compact => {
                    let keys = partition.records.iter().filter_map(|(o, r)| Some((r.key.clone()?, *o)));
                    let last: HashMap<Bytes, u64> = keys.collect();
                    partition.records.retain(|offset, r| r.key.as_ref().is_none_or(|key| last[key] == *offset));
                }
            }
        }
        let partitions = &self.partitions;
        self.ids.retain(|_, (partition, offset)| partitions[*partition as usize].records.contains_key(offset));
    }
}

impl Group {
    fn set(&mut self, progress: &Progress) {
        for (topic, partition, next) in progress.iter() {
            self.progress.set(topic.clone(), partition, next);
        }
    }
}

struct MemoryScan {
    journal: MemoryJournal,
    topic: Arc<str>,
    partition: u32,
    next: u64,
    until: Option<u64>,
}

#[async_trait]
impl Scan for MemoryScan {
    async fn next(&mut self, max: usize) -> Result<Vec<Stored>> {
        let state = self.journal.lock();
        let partition = state.partition(&self.topic, self.partition)?;
        let until = self.until.unwrap_or(u64::MAX).max(self.next);
        let records = partition.records.range(self.next..until).take(max.max(1));
        let page: Vec<_> = records.map(|(offset, record)| Stored { offset: *offset, record: record.clone() }).collect();
        if let Some(last) = page.last() {
            self.next = last.offset + 1;
        }
        Ok(page)
    }
}

/// One partition of a session.
#[derive(Clone, Copy)]
struct Owned {
    /// The number of the ownership.
    number: u64,
    /// Offset to hand out next.
    next: u64,
    /// Next offset as the caller knows it. It is behind `next` while only gaps were passed.
    told: u64,
}

struct MemorySession {
    journal: MemoryJournal,
    group: String,
    member: u64,
    owned: BTreeMap<(Arc<str>, u32), Owned>,
    /// Where the next batch begins among the partitions, so that a full one does not starve the others.
    turn: usize,
}

impl MemorySession {
    /// Takes over what the group says: what was lost is forgotten, what is new begins where the group stands.
    fn sync(&mut self, state: &State) {
        let Some(group) = state.groups.get(&self.group) else { return self.owned.clear() };
        let mine = group.owners.iter().filter(|(_, (member, _))| *member == self.member);
        let owned = |place: &(Arc<str>, u32), number| match self.owned.get(place) {
            Some(known) if known.number == number => *known,
            _ => {
                let next = group.progress.get(&place.0, place.1).unwrap_or(0);
                Owned { number, next, told: next }
            }
        };
        self.owned = mine.map(|(place, (_, number))| (place.clone(), owned(place, *number))).collect();
    }

    /// What there is now, within the limits; passes the gaps at the end of a partition too.
    fn take(&mut self, limits: &BatchLimits) -> Result<Batch> {
        let journal = self.journal.clone();
        let state = journal.lock();
        self.sync(&state);
        let mut batch = Batch::default();
        let mut bytes = 0;
        self.turn += 1;
        let places: Vec<_> = self.owned.keys().cloned().collect();
        for index in 0..places.len() {
            let place = &places[(index + self.turn) % places.len()];
            let partition = state.partition(&place.0, place.1)?;
            let Owned { next, told, .. } = self.owned.get_mut(place).expect("comes from its own keys");
            let mut full = false;
            for (offset, record) in partition.records.range(*next..) {
                let size = record.size();
                full = batch.records.len() >= limits.records.max(1)
                    || (!batch.records.is_empty() && bytes + size > limits.bytes);
                if full {
                    break;
                }
                bytes += size;
                *next = offset + 1;
                let position = Position::new(place.0.clone(), place.1, *offset);
                batch.records.push(Received { position, record: record.clone() });
            }
            if !full {
                *next = (*next).max(partition.end);
            }
            if *next > *told {
                batch.progress.set(place.0.clone(), place.1, *next);
            }
        }
        Ok(batch)
    }

    fn depart(&mut self) {
        let mut state = self.journal.lock();
        let Some(group) = state.groups.get_mut(&self.group) else { return };
        if group.members.remove(&self.member).is_some() {
            state.rebalance(&self.group);
            drop(state);
            self.journal.changed.notify_waiters();
        }
    }
}

#[async_trait]
impl Session for MemorySession {
    async fn next(&mut self, limits: &BatchLimits) -> Result<Batch> {
        let deadline = Instant::now() + limits.wait;
        let changed = self.journal.changed.clone();
        loop {
            let notified = changed.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            let batch = self.take(limits)?;
            if !batch.records.is_empty() || timeout_at(deadline, notified).await.is_err() {
                self.owned.values_mut().for_each(|owned| owned.told = owned.next);
                return Ok(batch);
            }
        }
    }

    async fn commit(&mut self, mut outputs: Vec<Append>, progress: &Progress) -> Result<Vec<Receipt>> {
        crate::stamp(&mut outputs);
        let mut state = self.journal.lock();
        let group = state.groups.get(&self.group);
        for (topic, partition, _) in progress.iter() {
            let place = (topic.clone(), partition);
            let mine = self.owned.get(&place).map(|owned| (self.member, owned.number));
            if mine.is_none() || group.and_then(|g| g.owners.get(&place).copied()) != mine {
                let message = format!("`{topic}/{partition}` of group `{}` belongs to another member now", self.group);
                return Err(Error::new(ErrorKind::Fenced, message));
            }
        }
        let receipts = state.append(outputs, true)?;
        if let Some(group) = state.groups.get_mut(&self.group) {
            group.set(progress);
        }
        drop(state);
        self.journal.changed.notify_waiters();
        Ok(receipts)
    }

    async fn rewind(&mut self) -> Result<()> {
        self.owned.clear();
        let journal = self.journal.clone();
        self.sync(&journal.lock());
        Ok(())
    }

    fn assignment(&self) -> Vec<(Arc<str>, u32)> {
        self.owned.keys().cloned().collect()
    }

    async fn leave(mut self: Box<Self>) -> Result<()> {
        self.depart();
        Ok(())
    }
}

impl Drop for MemorySession {
    fn drop(&mut self) {
        self.depart();
    }
}
