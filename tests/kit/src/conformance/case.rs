//! What a case works with: a journal, names of its own, and questions that are asked until they are answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use stillhouse_streams::{
    Append, Batch, BatchLimits, Cleanup, Error, ErrorKind, GroupSpec, GroupState, Headers, ID_HEADER, Journal,
    PartitionState, Progress, Receipt, Record, Result, Session, Stored, TopicSpec,
};

use super::{Backend, Traits};
use crate::dice::Dice;

/// When the records of the suite begin: in 2023, which brokers take for neither too old nor too new.
pub(super) const EPOCH: i64 = 1_700_000_000_000;

/// The least that Kafka brokers take.
const SESSION_TIMEOUT: Duration = Duration::from_secs(6);

/// One case on one backend.
pub(super) struct Case<'b> {
    pub(super) backend: &'b dyn Backend,
    pub(super) journal: Arc<dyn Journal>,
    prefix: String,
}

impl<'b> Case<'b> {
    pub(super) async fn new(backend: &'b dyn Backend, name: &str) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let seed = now.as_nanos() as u64 ^ u64::from(std::process::id()).rotate_left(40);
        let unique = Dice::new(seed ^ COUNT.fetch_add(1, Ordering::Relaxed)).roll();
        let short: String = name.chars().filter(char::is_ascii_alphanumeric).take(24).collect();
        Self { backend, journal: backend.open().await, prefix: format!("{short}-{unique:016x}") }
    }

    pub(super) fn traits(&self) -> Traits {
        self.backend.traits()
    }

    /// A name that no other case has.
    pub(super) fn name(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    /// Makes a topic that keeps everything.
    pub(super) async fn topic(&self, name: &str, partitions: u32) -> Arc<str> {
        let name = self.name(name);
        let spec = TopicSpec { name: name.clone(), partitions, cleanup: Cleanup::Keep };
        self.journal.ensure(&[spec]).await.expect("ensure");
        name.into()
    }

    /// Appends, and tries again while the journal asks for that.
    pub(super) async fn append(&self, batch: Vec<Append>) -> Vec<Receipt> {
        append(&*self.journal, batch).await
    }

    /// Joins a group of this case.
    pub(super) async fn join(&self, group: &str, topics: &[&Arc<str>]) -> Box<dyn Session> {
        join(&*self.journal, self.name(group), topics).await
    }

    /// Asks until there is an answer.
    pub(super) async fn eventually<T, F: Future<Output = Option<T>>>(&self, what: &str, ask: impl FnMut() -> F) -> T {
        eventually(self.backend.patience(), what, ask).await
    }

    /// What a partition holds now.
    pub(super) async fn drain(&self, topic: &str, partition: u32) -> Vec<Stored> {
        drain(&*self.journal, topic, partition, 0, None).await
    }

    /// What each partition of a topic holds, once there are `count` records in all; more than that is a failure.
    pub(super) async fn settled(&self, topic: &str, count: usize) -> Vec<Vec<Stored>> {
        settled(&*self.journal, self.backend.patience(), topic, count).await
    }

    /// Start and end of a partition.
    pub(super) async fn bounds(&self, topic: &str, partition: u32) -> PartitionState {
        let topics = self.journal.topics().await.expect("topics");
        topics.iter().find(|t| t.spec.name == topic).expect("the topic is listed").partitions[partition as usize]
    }

    /// A group as it stands.
    pub(super) async fn group(&self, group: &str) -> Option<GroupState> {
        let name = self.name(group);
        self.journal.groups().await.expect("groups").into_iter().find(|g| g.group == name)
    }

    /// The committed next offset of a partition; 0 where there is none.
    pub(super) async fn committed(&self, group: &str, topic: &str, partition: u32) -> u64 {
        self.group(group).await.and_then(|g| g.progress.get(topic, partition)).unwrap_or(0)
    }

    /// Asks a session until it has given `count` records. Nothing is committed.
    pub(super) async fn take(&self, session: &mut dyn Session, count: usize) -> Batch {
        let deadline = tokio::time::Instant::now() + self.backend.patience();
        let mut all = Batch::default();
        while all.records.len() < count {
            let left = count - all.records.len();
            let batch = next(session, &limits(left)).await;
            assert!(batch.records.len() <= left, "more records than asked for");
            all.records.extend(batch.records);
            batch.progress.iter().for_each(|(t, p, next)| all.progress.set(t.clone(), p, next));
            let found = all.records.len();
            assert!(tokio::time::Instant::now() < deadline, "a session gave {found} records, not {count}");
        }
        all
    }

    /// Repeats a call that a group with members refuses, until the last member is seen to have left.
    pub(super) async fn unfenced<F: Future<Output = Result<()>>>(&self, mut call: impl FnMut() -> F) {
        let deadline = tokio::time::Instant::now() + self.backend.patience();
        loop {
            match call().await {
                Ok(()) => return,
                Err(e) if e.kind() == ErrorKind::Fenced && tokio::time::Instant::now() < deadline => pause().await,
                Err(e) => panic!("refused: {e}"),
            }
        }
    }
}

/// Between two questions.
async fn pause() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

pub(super) async fn eventually<T, F: Future<Output = Option<T>>>(
    patience: Duration,
    what: &str,
    mut ask: impl FnMut() -> F,
) -> T {
    let deadline = tokio::time::Instant::now() + patience;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(tokio::time::Instant::now() < deadline, "not within {patience:?}: {what}");
        pause().await;
    }
}

pub(super) async fn append(journal: &dyn Journal, batch: Vec<Append>) -> Vec<Receipt> {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        match journal.append(batch.clone()).await {
            Ok(receipts) => return receipts,
            Err(e) if e.is_transient() && tokio::time::Instant::now() < deadline => pause().await,
            Err(e) => panic!("append: {e} ({:?})", e.kind()),
        }
    }
}

pub(super) async fn join(journal: &dyn Journal, group: String, topics: &[&Arc<str>]) -> Box<dyn Session> {
    let topics = topics.iter().map(|t| t.to_string()).collect();
    journal.join(&GroupSpec { group, topics, session_timeout: SESSION_TIMEOUT }).await.expect("join")
}

pub(super) async fn drain(
    journal: &dyn Journal,
    topic: &str,
    partition: u32,
    from: u64,
    until: Option<u64>,
) -> Vec<Stored> {
    let mut scan = journal.scan(topic, partition, from, until).await.expect("scan");
    let mut all = Vec::new();
    loop {
        let page = scan.next(500).await.expect("page");
        assert!(page.len() <= 500, "a page of {} records, 500 were asked for", page.len());
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

async fn contents(journal: &dyn Journal, topic: &str) -> Vec<Vec<Stored>> {
    let topics = journal.topics().await.expect("topics");
    let partitions = topics.iter().find(|t| t.spec.name == topic).expect("the topic is listed").partitions.len();
    let mut all = Vec::new();
    for partition in 0..partitions as u32 {
        all.push(drain(journal, topic, partition, 0, None).await);
    }
    all
}

pub(super) async fn settled(journal: &dyn Journal, patience: Duration, topic: &str, count: usize) -> Vec<Vec<Stored>> {
    let all = eventually(patience, &format!("{count} records in {topic}"), async || {
        let all = contents(journal, topic).await;
        (all.iter().map(Vec::len).sum::<usize>() >= count).then_some(all)
    })
    .await;
    let found: usize = all.iter().map(Vec::len).sum();
    assert_eq!(found, count, "records in {topic}");
    for partition in &all {
        assert!(partition.is_sorted_by(|a, b| a.offset < b.offset), "offsets grow");
    }
    all
}

/// So many records, no other bound, a wait that lets a rebalance go on.
pub(super) fn limits(records: usize) -> BatchLimits {
    BatchLimits { records, bytes: usize::MAX, wait: Duration::from_millis(200) }
}

pub(super) fn record(key: &str, value: &str) -> Record {
    let (key, value) = (Some(key.to_owned().into()), Some(value.to_owned().into()));
    Record { key, value, headers: Headers::default(), timestamp: EPOCH }
}

pub(super) fn identified(id: &str, key: &str, value: &str) -> Record {
    Record { headers: Headers::from_pairs([(ID_HEADER, Some(id.as_bytes()))]), ..record(key, value) }
}

/// To a certain partition.
pub(super) fn into(topic: &Arc<str>, partition: u32, record: Record) -> Append {
    Append { topic: topic.clone(), partition: Some(partition), record }
}

/// To the partition of its key.
pub(super) fn keyed(topic: &Arc<str>, record: Record) -> Append {
    Append { topic: topic.clone(), partition: None, record }
}

pub(super) fn text(record: &Record) -> &str {
    std::str::from_utf8(record.value.as_deref().expect("a value")).expect("text")
}

pub(super) fn texts(stored: &[Stored]) -> Vec<&str> {
    stored.iter().map(|s| text(&s.record)).collect()
}

/// What a session is told to do after this error, other than to stop: rewind and go on.
pub(super) fn comes_back(error: &Error) -> bool {
    error.is_transient() || matches!(error.kind(), ErrorKind::Fenced | ErrorKind::Indeterminate)
}

/// The next batch; an empty one where the journal asks to try again.
pub(super) async fn next(session: &mut dyn Session, limits: &BatchLimits) -> Batch {
    match session.next(limits).await {
        Ok(batch) => batch,
        Err(e) if comes_back(&e) => Batch::default(),
        Err(e) => panic!("next: {e} ({:?})", e.kind()),
    }
}

/// Rewinds, and tries again while the journal asks for that.
pub(super) async fn rewind(session: &mut dyn Session) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while let Err(e) = session.rewind().await {
        assert!(comes_back(&e) && tokio::time::Instant::now() < deadline, "rewind: {e}");
        pause().await;
    }
}

/// Commits; the outcome of tries that are no refusals is tried again from where the group stands. Whether it worked.
pub(super) async fn commit(session: &mut dyn Session, outputs: Vec<Append>, progress: &Progress) -> bool {
    match session.commit(outputs, progress).await {
        Ok(_) => true,
        Err(e) if comes_back(&e) => {
            rewind(session).await;
            false
        }
        Err(e) => panic!("commit: {e} ({:?})", e.kind()),
    }
}

/// Commits what must work.
pub(super) async fn committed(session: &mut dyn Session, outputs: Vec<Append>, progress: &Progress) -> Vec<Receipt> {
    session.commit(outputs, progress).await.expect("commit")
}
