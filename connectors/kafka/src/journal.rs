//! The journal itself: what it holds, and which part answers which call.

use crate::admin::{self, Admin};
use crate::append::{Appender, now, place};
use crate::client::Plain;
use crate::error::{fail, fail_code, kind};
use crate::groups::Groups;
use crate::scan::{KafkaScan, Readers};
use crate::session::KafkaSession;
use crate::settings::{Options, Settings};
use async_trait::async_trait;
use rdkafka::Offset;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};
use stillhouse_streams::{
    Append, Error, ErrorKind, GroupSpec, GroupState, Journal, Position, Progress, Receipt, Result, Scan, Session,
    TopicSpec, TopicState, Verified,
};

/// A journal on Apache Kafka.
pub struct KafkaJournal {
    settings: Arc<Settings>,
    cluster: String,
    observer: Arc<Observer>,
    partitions: Arc<Partitions>,
    admin: Admin,
    groups: Arc<Groups>,
    readers: Arc<Readers>,
    appender: Appender,
}

impl KafkaJournal {
    /// Connects, and finds out whether a broker answers.
    pub async fn connect(uri: &str, options: Options) -> Result<Self> {
        let settings = Arc::new(Settings::read(uri, options)?);
        let observer = Arc::new(Observer::new(&settings)?);
        let asked = observer.clone();
        let cluster = blocking(settings.options.timeout, move || asked.cluster_id())
            .await
            .map_err(|error| Error::new(error.kind(), format!("{}: {error}", settings.uri())).with_source(error))?;
        let partitions = Arc::new(Partitions { observer: observer.clone(), counts: RwLock::default() });
        Ok(Self {
            admin: Admin::new(settings.clone(), observer.clone(), partitions.clone())?,
            groups: Arc::new(Groups::new(settings.clone(), observer.clone())),
            readers: Arc::new(Readers::new(settings.clone(), observer.clone())),
            appender: Appender::start(settings.clone())?,
            settings,
            cluster,
            observer,
            partitions,
        })
    }

    /// The cluster's own id: another one behind the same address is another journal.
    pub fn cluster_id(&self) -> &str {
        &self.cluster
    }

    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        blocking(self.settings.options.timeout, work).await
    }

    /// Learns the partition counts of topics that are new to this process.
    async fn learn<'a>(&self, topics: impl Iterator<Item = &'a str>) -> Result<()> {
        let mut missing: Vec<String> =
            topics.filter(|t| self.partitions.known(t).is_none()).map(ToOwned::to_owned).collect();
        if missing.is_empty() {
            return Ok(());
        }
        missing.sort();
        missing.dedup();
        let partitions = self.partitions.clone();
        self.blocking(move || missing.iter().try_for_each(|topic| partitions.of(topic).map(drop))).await
    }

    async fn check_partition(&self, topic: &str, partition: u32) -> Result<()> {
        self.learn([topic].into_iter()).await?;
        if self.partitions.known(topic).is_some_and(|count| partition < count) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::NotFound, format!("there is no partition `{topic}/{partition}`")))
    }
}

/// Runs what blocks where it may. Everything in there has its own bounds; this one is for what forgot.
async fn blocking<T: Send + 'static>(
    timeout: Duration,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::time::timeout(timeout + Duration::from_secs(2), tokio::task::spawn_blocking(work)).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(error)) => Err(Error::new(ErrorKind::Closed, error.to_string())),
        Err(_) => Err(Error::new(ErrorKind::Unavailable, "Kafka does not answer")),
    }
}

#[async_trait]
impl Journal for KafkaJournal {
    fn uri(&self) -> String {
        self.settings.uri().to_owned()
    }

    fn max_record_bytes(&self) -> usize {
        self.settings.max_record_bytes()
    }

    async fn ensure(&self, topics: &[TopicSpec]) -> Result<()> {
        self.admin.ensure(topics).await
    }

    async fn append(&self, mut batch: Vec<Append>) -> Result<Vec<Receipt>> {
        stillhouse_streams::stamp(&mut batch);
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        self.learn(batch.iter().map(|a| &*a.topic)).await?;
        let unknown =
            |topic: &str| Error::new(ErrorKind::NotFound, format!("there is no topic `{}`", topic.escape_debug()));
        let count = |topic: &str| self.partitions.known(topic).ok_or_else(|| unknown(topic));
        let mut topics: Vec<Arc<str>> = batch.iter().map(|a| a.topic.clone()).collect();
        let placed = place(batch, self.max_record_bytes(), now(), count)?;
        let outcome = self.appender.append(placed).await;
        if outcome.as_ref().is_err_and(|e| e.kind() == ErrorKind::NotFound) {
            // It was made anew with other partitions, or is gone.
            topics.dedup();
            topics.iter().for_each(|topic| self.partitions.forget(topic));
        }
        outcome
    }

    async fn scan(&self, topic: &str, partition: u32, from: u64, until: Option<u64>) -> Result<Box<dyn Scan>> {
        self.check_partition(topic, partition).await?;
        Ok(Box::new(KafkaScan::new(self.readers.clone(), topic, partition, from, until)))
    }

    async fn offset_at(&self, topic: &str, partition: u32, timestamp: i64) -> Result<u64> {
        self.check_partition(topic, partition).await?;
        let (observer, name) = (self.observer.clone(), topic.to_owned());
        let (from, end) = self.blocking(move || observer.offset_at(&name, partition, timestamp)).await?;
        // Brokers count the markers of transactions too, and those are dated when they were written.
        let mut scan = KafkaScan::new(self.readers.clone(), topic, partition, from, Some(end));
        loop {
            let page = scan.next(1_000).await?;
            if let Some(found) = page.iter().find(|stored| stored.record.timestamp >= timestamp) {
                return Ok(found.offset);
            }
            if page.is_empty() {
                return Ok(end);
            }
        }
    }

    async fn find(&self, _id: &str) -> Result<Option<Position>> {
        Ok(None)
    }

    async fn join(&self, spec: &GroupSpec) -> Result<Box<dyn Session>> {
        if spec.group.is_empty() || spec.topics.is_empty() {
            return Err(Error::new(ErrorKind::Invalid, "a group has a name and at least one topic"));
        }
        self.learn(spec.topics.iter().map(String::as_str)).await?;
        KafkaSession::join(self.settings.clone(), self.partitions.clone(), spec.clone()).await
    }

    async fn topics(&self) -> Result<Vec<TopicState>> {
        self.admin.topics().await
    }

    async fn groups(&self) -> Result<Vec<GroupState>> {
        let groups = self.groups.clone();
        self.blocking(move || groups.all()).await
    }

    async fn reset(&self, group: &str, progress: &Progress) -> Result<()> {
        let places: Vec<(Arc<str>, u32)> = progress.iter().map(|(t, p, _)| (t.clone(), p)).collect();
        for (topic, partition) in places {
            self.check_partition(&topic, partition).await?;
        }
        let (groups, group, progress) = (self.groups.clone(), group.to_owned(), progress.clone());
        self.blocking(move || groups.reset(&group, &progress)).await
    }

    async fn delete_topic(&self, topic: &str) -> Result<()> {
        self.admin.delete_topic(topic).await
    }

    async fn delete_group(&self, group: &str) -> Result<()> {
        self.groups.forget(group);
        self.admin.delete_group(group).await
    }

    async fn clean(&self, _now: i64) -> Result<()> {
        Ok(())
    }

    async fn verify(&self) -> Result<Verified> {
        let note = "Kafka checks a CRC per batch as it is read; there is no hash chain, and a tail that brokers lost \
                    leaves no trace";
        let mut verified = Verified { note: note.to_owned(), ..Verified::default() };
        for topic in self.topics().await? {
            for (number, state) in (0..).zip(&topic.partitions) {
                let mut scan = self.scan(&topic.spec.name, number, state.start, Some(state.end)).await?;
                verified.partitions += 1;
                loop {
                    match scan.next(5_000).await {
                        Ok(page) if page.is_empty() => break,
                        Ok(page) => verified.records += page.len() as u64,
                        Err(error) if error.kind() == ErrorKind::Corrupt => {
                            let place = format!("{}/{number}", topic.spec.name);
                            verified.damage.push(stillhouse_streams::Damage { place, what: error.to_string() });
                            break;
                        }
                        Err(error) => return Err(error),
                    }
                }
            }
        }
        Ok(verified)
    }
}

/// So long a broker is believed to be still learning what there is.
const SETTLING: Duration = Duration::from_secs(2);

fn is_late(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(rdkafka::types::RDKafkaErrorCode::OperationTimedOut)
}

/// A consumer that reads nothing: it answers questions about topics and offsets.
pub(crate) struct Observer {
    pub(crate) consumer: BaseConsumer<Plain>,
    pub(crate) timeout: Duration,
}

impl Observer {
    fn new(settings: &Settings) -> Result<Self> {
        let consumer = settings.observer().create_with_context(Plain::default());
        let consumer = consumer.map_err(|e| fail("making a client", &e))?;
        Ok(Self { consumer, timeout: settings.options.timeout })
    }

    /// An error, with what the client last complained about.
    pub(crate) fn explain(&self, doing: &str, error: &KafkaError) -> Error {
        for _ in 0..16 {
            drop(self.consumer.poll(Duration::ZERO));
        }
        let error = fail(doing, error);
        let last = self.consumer.context().signs.last();
        if error.kind() != ErrorKind::Unavailable || last.is_empty() {
            return error;
        }
        Error::new(ErrorKind::Unavailable, format!("{error} (last: {last})"))
    }

    fn cluster_id(&self) -> Result<String> {
        self.consumer.fetch_metadata(None, self.timeout).map_err(|e| self.explain("connecting to Kafka", &e))?;
        Ok(self.consumer.client().fetch_cluster_id(self.timeout).unwrap_or_default())
    }

    /// Whether a broker tells where the topic is, within a quarter of the time of a call.
    fn answers(&self, topic: &str) -> bool {
        self.consumer.fetch_metadata(Some(topic), self.timeout / 4).is_ok()
    }

    /// Whether a broker says that the topic has this partition.
    fn has(&self, topic: &str, partition: i32) -> bool {
        let metadata = self.consumer.fetch_metadata(Some(topic), self.timeout / 4);
        metadata.is_ok_and(|known| {
            let mut partitions = known.topics().iter().flat_map(|topic| topic.partitions());
            partitions.any(|known| known.id() == partition)
        })
    }

    /// First offset, and the end as readers of committed records see it.
    pub(crate) fn ends(&self, topic: &str, partition: u32) -> Result<(u64, u64)> {
        let number = i32::try_from(partition).unwrap_or(i32::MAX);
        let begin = Instant::now();
        let deadline = begin + 3 * self.timeout;
        // A broker that has just started may not have read of all topics yet.
        let settling = |error: &KafkaError| {
            kind(error) == ErrorKind::NotFound && (begin.elapsed() < SETTLING || self.has(topic, number))
        };
        let (low, high) = loop {
            match self.consumer.fetch_watermarks(topic, number, self.timeout) {
                Ok(ends) => break ends,
                // A leader that is announced may not know it yet: a new topic's, or one that has just moved. One that is
                // busy with many of those answers late; one that is gone does not answer this either.
                Err(error)
                    if Instant::now() < deadline
                        && (kind(&error) == ErrorKind::Retry
                            || is_late(&error) && self.answers(topic)
                            || settling(&error)) =>
                {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(error) => return Err(self.explain(&format!("asking for the ends of {topic}/{partition}"), &error)),
            }
        };
        Ok((u64::try_from(low).unwrap_or_default(), u64::try_from(high).unwrap_or_default()))
    }

    /// An offset before which nothing is as late as that, and the end.
    fn offset_at(&self, topic: &str, partition: u32, timestamp: i64) -> Result<(u64, u64)> {
        let (low, high) = self.ends(topic, partition)?;
        if timestamp <= 0 {
            // Kafka reads negative times as names of offsets, and 0 is written as no time at all.
            return Ok((low, high));
        }
        let doing = format!("asking for an offset of {topic}/{partition} by time");
        let mut times = TopicPartitionList::new();
        let number = i32::try_from(partition).unwrap_or(i32::MAX);
        times.add_partition_offset(topic, number, Offset::Offset(timestamp)).map_err(|e| fail(&doing, &e))?;
        let found = self.consumer.offsets_for_times(times, self.timeout).map_err(|e| self.explain(&doing, &e))?;
        match found.elements().first().map(|e| (e.error(), e.offset())) {
            Some((Err(error), _)) => Err(self.explain(&doing, &error)),
            Some((Ok(()), Offset::Offset(offset))) => Ok((u64::try_from(offset).unwrap_or(high).min(high), high)),
            _ => Ok((high, high)),
        }
    }
}

/// How many partitions the topics have. Kept for the life of the process: adding some would move keys.
pub(crate) struct Partitions {
    observer: Arc<Observer>,
    counts: RwLock<HashMap<String, u32>>,
}

impl Partitions {
    /// Without asking.
    pub(crate) fn known(&self, topic: &str) -> Option<u32> {
        self.counts.read().unwrap_or_else(PoisonError::into_inner).get(topic).copied()
    }

    /// By asking, if need be. Blocks.
    pub(crate) fn of(&self, topic: &str) -> Result<u32> {
        if let Some(count) = self.known(topic) {
            return Ok(count);
        }
        stillhouse_streams::check_topic_name(topic)?;
        let doing = format!("asking for the partitions of `{topic}`");
        let observer = &self.observer;
        let metadata = observer.consumer.fetch_metadata(Some(topic), observer.timeout);
        let metadata = metadata.map_err(|e| observer.explain(&doing, &e))?;
        let found = metadata.topics().iter().find(|t| t.name() == topic);
        let count = match found.map(|t| (t.error(), t.partitions().len())) {
            Some((None, count)) if count > 0 => u32::try_from(count).unwrap_or(u32::MAX),
            Some((Some(code), _)) if admin::is_other_than_missing(code.into()) => {
                return Err(fail_code(&doing, code.into()));
            }
            _ => return Err(Error::new(ErrorKind::NotFound, format!("there is no topic `{topic}`"))),
        };
        self.counts.write().unwrap_or_else(PoisonError::into_inner).insert(topic.to_owned(), count);
        Ok(count)
    }

    pub(crate) fn forget(&self, topic: &str) {
        self.counts.write().unwrap_or_else(PoisonError::into_inner).remove(topic);
    }
}
