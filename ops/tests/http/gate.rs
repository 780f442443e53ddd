//! A journal whose appends wait at a gate: for tests of what happens meanwhile, without sleeping.

use async_trait::async_trait;
use std::sync::Arc;
use stillhouse_streams::{
    Append, GroupSpec, GroupState, Journal, Position, Progress, Receipt, Result, Scan, Session, TopicSpec, TopicState,
    Verified,
};
use tokio::sync::watch;

pub(super) struct Gated {
    journal: Arc<dyn Journal>,
    open: watch::Sender<bool>,
    waiting: watch::Sender<usize>,
}

impl Gated {
    /// Closed at first.
    pub(super) fn new(journal: Arc<dyn Journal>) -> Arc<Self> {
        Arc::new(Self { journal, open: watch::Sender::new(false), waiting: watch::Sender::new(0) })
    }

    pub(super) fn open(&self) {
        self.open.send_replace(true);
    }

    /// Returns when `n` appends have come to the gate.
    pub(super) async fn waiting(&self, n: usize) {
        self.waiting.subscribe().wait_for(|waiting| *waiting >= n).await.expect("the gate is there");
    }
}

#[async_trait]
impl Journal for Gated {
    async fn append(&self, batch: Vec<Append>) -> Result<Vec<Receipt>> {
        self.waiting.send_modify(|waiting| *waiting += 1);
        self.open.subscribe().wait_for(|open| *open).await.expect("the gate is there");
        self.journal.append(batch).await
    }

    fn uri(&self) -> String {
        self.journal.uri()
    }

    fn max_record_bytes(&self) -> usize {
        self.journal.max_record_bytes()
    }

    async fn ensure(&self, topics: &[TopicSpec]) -> Result<()> {
        self.journal.ensure(topics).await
    }

    async fn scan(&self, topic: &str, partition: u32, from: u64, until: Option<u64>) -> Result<Box<dyn Scan>> {
        self.journal.scan(topic, partition, from, until).await
    }

    async fn offset_at(&self, topic: &str, partition: u32, timestamp: i64) -> Result<u64> {
        self.journal.offset_at(topic, partition, timestamp).await
    }

    async fn find(&self, id: &str) -> Result<Option<Position>> {
        self.journal.find(id).await
    }

    async fn join(&self, spec: &GroupSpec) -> Result<Box<dyn Session>> {
        self.journal.join(spec).await
    }

    async fn topics(&self) -> Result<Vec<TopicState>> {
        self.journal.topics().await
    }

    async fn groups(&self) -> Result<Vec<GroupState>> {
        self.journal.groups().await
    }

    async fn reset(&self, group: &str, progress: &Progress) -> Result<()> {
        self.journal.reset(group, progress).await
    }

    async fn delete_topic(&self, topic: &str) -> Result<()> {
        self.journal.delete_topic(topic).await
    }

    async fn delete_group(&self, group: &str) -> Result<()> {
        self.journal.delete_group(group).await
    }

    async fn clean(&self, now: i64) -> Result<()> {
        self.journal.clean(now).await
    }

    async fn verify(&self) -> Result<Verified> {
        self.journal.verify().await
    }
}
