//! Generated operations, on the backend and on the reference, which must agree on contents and progress.
//!
//! Offsets may differ between the two, so a place in a partition is counted: the how-manieth record it is.

use std::sync::Arc;
use stillhouse_streams::{
    Append, BatchLimits, ErrorKind, GroupSpec, Headers, ID_HEADER, Journal, MemoryJournal, Progress, Record, Session,
    Stored,
};

use super::case::{self, Case, EPOCH, into};
use super::say;
use crate::dice::Dice;

const PARTITIONS: u32 = 3;

struct Model<'a, 'b> {
    case: &'a Case<'b>,
    reference: MemoryJournal,
    dice: Dice,
    topics: Vec<Arc<str>>,
    session: Option<Box<dyn Session>>,
    /// Per topic and partition: how many records the session has handed out, and how many are committed.
    read: Vec<Vec<usize>>,
    done: Vec<Vec<usize>>,
    ids: Vec<String>,
    count: u64,
}

pub(super) async fn operations_agree_with_the_reference(case: &Case<'_>) {
    let seed = Dice::seed();
    let operations = std::env::var("STILLHOUSE_OPERATIONS").ok().and_then(|n| n.parse().ok()).unwrap_or(250);
    say(&format!("    seed {seed}, {operations} operations"));
    let mut topics = Vec::new();
    for name in ["a", "b"] {
        topics.push(case.topic(name, PARTITIONS).await);
    }
    let reference = MemoryJournal::with_gaps(seed);
    let specs: Vec<_> = case.journal.topics().await.expect("topics").into_iter().map(|t| t.spec).collect();
    reference.ensure(&specs).await.expect("ensure");
    let zeros = vec![vec![0; PARTITIONS as usize]; topics.len()];
    let (read, done) = (zeros.clone(), zeros);
    let (dice, ids) = (Dice::new(seed), Vec::new());
    let mut model = Model { case, reference, dice, topics, session: None, read, done, ids, count: 0 };
    for _ in 0..operations {
        match model.dice.below(20) {
            0..7 => model.append().await,
            7..15 => model.consume().await,
            15 => model.rewind().await,
            16 => model.reset().await,
            17 => model.times().await,
            18 => model.ranges().await,
            _ => model.compare().await,
        }
    }
    model.compare().await;
}

impl Model<'_, '_> {
    fn record(&mut self) -> Record {
        self.count += 1;
        let dice = &mut self.dice;
        let key = (!dice.one_in(8)).then(|| format!("key-{}", dice.below(12)).into());
        let len = *dice.pick(&[0, 1, 10, 100, 3_000]);
        let value = (!dice.one_in(10)).then(|| dice.bytes(len).into());
        let mut headers: Vec<(&str, Option<Vec<u8>>)> = Vec::new();
        for _ in 0..dice.below(3) {
            let value = (!dice.one_in(4)).then(|| vec![7; 5]);
            headers.push((*dice.pick(&["x", "y", "имя"]), value));
        }
        if dice.one_in(2) {
            let id = self.case.name(&format!("id-{}", self.count));
            headers.push((ID_HEADER, Some(id.clone().into())));
            self.ids.push(id);
        }
        let headers = Headers::from_pairs(headers.iter().map(|(name, value)| (*name, value.as_deref())));
        Record { key, value, headers, timestamp: EPOCH + self.dice.below(10_000) as i64 }
    }

    fn batch(&mut self) -> Vec<Append> {
        let mut batch: Vec<Append> = Vec::new();
        for _ in 0..self.dice.below(9) {
            let topic = self.dice.pick(&self.topics).clone();
            let partition = self.dice.one_in(3).then(|| self.dice.below(PARTITIONS.into()) as u32);
            let record = self.record();
            batch.push(Append { topic, partition, record });
        }
        if self.case.traits().id_index && !self.ids.is_empty() && self.dice.one_in(3) {
            // An id from before, in a topic that may know it, with what may be other content.
            let id = self.dice.pick(&self.ids).clone();
            let topic = self.dice.pick(&self.topics).clone();
            let partition = self.dice.below(PARTITIONS.into()) as u32;
            batch.push(into(&topic, partition, case::identified(&id, "again", "again")));
        }
        batch
    }

    /// Both take the batch, or both refuse it for the same reason.
    async fn append(&mut self) {
        let batch = self.batch();
        let ours = self.reference.append(batch.clone()).await;
        let theirs = self.case.journal.append(batch).await;
        match (ours, theirs) {
            (Ok(ours), Ok(theirs)) => {
                let what = |receipts: &[stillhouse_streams::Receipt]| -> Vec<_> {
                    receipts.iter().map(|r| (r.position.topic.clone(), r.position.partition, r.duplicate)).collect()
                };
                assert_eq!(what(&theirs), what(&ours), "receipts");
            }
            (Err(ours), Err(theirs)) => {
                assert_eq!((theirs.kind(), theirs.conflicts()), (ours.kind(), ours.conflicts()), "refusals");
            }
            (ours, theirs) => panic!("the reference says {ours:?}, the backend {theirs:?}"),
        }
    }

    async fn partition(&self, topic: usize, partition: u32) -> Vec<Stored> {
        case::drain(&self.reference, &self.topics[topic], partition, 0, None).await
    }

    /// Takes a batch, which must be what comes next in each partition, and commits it together with outputs, or not.
    async fn consume(&mut self) {
        let topics: Vec<&Arc<str>> = self.topics.iter().collect();
        let mut session = match self.session.take() {
            Some(session) => session,
            None => self.case.join("g", &topics).await,
        };
        let records = self.dice.between(1, 40) as usize;
        let bytes = *self.dice.pick(&[1, 500, 1 << 20]);
        let bounds = BatchLimits { records, bytes, wait: std::time::Duration::from_millis(50) };
        let batch = case::next(&mut *session, &bounds).await;
        for received in &batch.records {
            let topic =
                self.topics.iter().position(|t| *t == received.position.topic).expect("one of the group's topics");
            let partition = received.position.partition;
            let index = self.read[topic][partition as usize];
            let expected = self.partition(topic, partition).await;
            let next = expected.get(index).map(|s| &s.record);
            assert_eq!(Some(&received.record), next, "record {index} of {}/{partition}", self.topics[topic]);
            self.read[topic][partition as usize] += 1;
        }
        if !batch.records.is_empty() && !self.dice.one_in(5) {
            let outputs = self.batch();
            // A commit takes a known id for a repetition, where an append might refuse it: the reference commits too.
            let names = self.topics.iter().map(ToString::to_string).collect();
            let twin =
                GroupSpec { group: "twin".into(), topics: names, session_timeout: std::time::Duration::from_secs(10) };
            let mut twin = self.reference.join(&twin).await.expect("the reference has the topics");
            let ours = twin.commit(outputs.clone(), &Progress::default()).await;
            match session.commit(outputs, &batch.progress).await {
                Ok(_) => {
                    ours.expect("the reference takes the outputs too");
                    for (name, partition, _) in batch.progress.iter() {
                        let topic = self.topics.iter().position(|t| t == name).expect("one of the group's topics");
                        self.done[topic][partition as usize] = self.read[topic][partition as usize];
                    }
                }
                Err(theirs) => {
                    let ours = ours.expect_err("the reference refuses the outputs too");
                    assert_eq!((theirs.kind(), ours.kind()), (ErrorKind::Conflict, ErrorKind::Conflict), "{theirs}");
                    case::rewind(&mut *session).await;
                    self.read = self.done.clone();
                }
            }
        }
        self.session = Some(session);
    }

    async fn rewind(&mut self) {
        if let Some(session) = &mut self.session {
            case::rewind(&mut **session).await;
            self.read = self.done.clone();
        }
    }

    /// Sets the group to some record of each partition.
    async fn reset(&mut self) {
        if let Some(session) = self.session.take() {
            session.leave().await.expect("leave");
        }
        let mut progress = Progress::default();
        for topic in 0..self.topics.len() {
            for partition in 0..PARTITIONS {
                let count = self.partition(topic, partition).await.len();
                let index = self.dice.below(count as u64 + 1) as usize;
                let found = self.settled(topic, partition, count).await;
                let next = found.get(index).map(|s| s.offset).or(found.last().map(|s| s.offset + 1)).unwrap_or(0);
                progress.set(self.topics[topic].clone(), partition, next);
                self.done[topic][partition as usize] = index;
            }
        }
        self.read = self.done.clone();
        let name = self.case.name("g");
        self.case.unfenced(|| self.case.journal.reset(&name, &progress)).await;
    }

    /// A partition of the backend, once it holds so many records.
    async fn settled(&self, topic: usize, partition: u32, count: usize) -> Vec<Stored> {
        let name = &self.topics[topic];
        let ask = || async {
            let found = self.case.drain(name, partition).await;
            (found.len() >= count).then_some(found)
        };
        let found = self.case.eventually(&format!("{count} records in {name}/{partition}"), ask).await;
        assert_eq!(found.len(), count, "records in {name}/{partition}");
        found
    }

    async fn times(&mut self) {
        let topic = self.dice.below(self.topics.len() as u64) as usize;
        let partition = self.dice.below(PARTITIONS.into()) as u32;
        let time = EPOCH + self.dice.below(10_000) as i64;
        let ours = self.partition(topic, partition).await;
        let theirs = self.settled(topic, partition, ours.len()).await;
        let offset = self.case.journal.offset_at(&self.topics[topic], partition, time).await.expect("offset_at");
        let expected = ours.iter().position(|s| s.record.timestamp >= time).unwrap_or(ours.len());
        let found = theirs.iter().position(|s| s.offset >= offset).unwrap_or(theirs.len());
        assert_eq!(found, expected, "the first record of {}/{partition} from {time}", self.topics[topic]);
    }

    async fn ranges(&mut self) {
        let topic = self.dice.below(self.topics.len() as u64) as usize;
        let partition = self.dice.below(PARTITIONS.into()) as u32;
        let ours = self.partition(topic, partition).await;
        let theirs = self.settled(topic, partition, ours.len()).await;
        let end = theirs.last().map_or(0, |s| s.offset + 1);
        let (from, until) = (self.dice.below(end + 2), self.dice.below(end + 2));
        let found = case::drain(&*self.case.journal, &self.topics[topic], partition, from, Some(until)).await;
        let expected: Vec<_> = theirs.iter().filter(|s| (from..until).contains(&s.offset)).cloned().collect();
        assert_eq!(found, expected, "{}/{partition} from {from} until {until}", self.topics[topic]);
    }

    async fn compare(&mut self) {
        let state = self.case.group("g").await;
        for topic in 0..self.topics.len() {
            for partition in 0..PARTITIONS {
                let ours = self.partition(topic, partition).await;
                let theirs = self.settled(topic, partition, ours.len()).await;
                for (index, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
                    assert_eq!(theirs.record, ours.record, "record {index} of {}/{partition}", self.topics[topic]);
                }
                let next = state.as_ref().and_then(|g| g.progress.get(&self.topics[topic], partition)).unwrap_or(0);
                let done = theirs.iter().filter(|s| s.offset < next).count();
                assert_eq!(
                    done, self.done[topic][partition as usize],
                    "progress in {}/{partition}",
                    self.topics[topic]
                );
            }
        }
    }
}
