//! Brokers for the tests, and journals on them.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use stillhouse_devkafka::{BrokerInfo, Settings, Status, default_home, end_with_me, status, up};
use stillhouse_kafka::{KafkaJournal, Options};
use stillhouse_streams::{Append, BatchLimits, Cleanup, GroupSpec, Journal, Record, TopicSpec};

/// The broker that all tests share: started once, on data of its own.
pub(crate) fn shared() -> String {
    static URI: OnceLock<String> = OnceLock::new();
    let start = || match std::env::var("STILLHOUSE_KAFKA") {
        Ok(hosts) if !hosts.is_empty() => format!("kafka://{hosts}"),
        _ => own("connector-tests", None).uri,
    };
    URI.get_or_init(start).clone()
}

/// A broker that a test may mistreat. It ends with this process.
pub(crate) fn own(name: &str, advertised: Option<u16>) -> BrokerInfo {
    let home = default_home().expect("a place for brokers");
    let mut settings = Settings { instance: name.to_owned(), fresh: true, ..Settings::new(home.clone()) };
    settings.advertised = advertised;
    settings.port = match status(&home, name).expect("status") {
        Status::Up(info) | Status::Silent(info) => info.port,
        _ => free_port(),
    };
    let info = up(&settings).expect("a broker starts");
    end_with_me(&home, name).expect("a watchman");
    info
}

pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("an address").port()
}

pub(crate) async fn connect(uri: &str) -> KafkaJournal {
    KafkaJournal::connect(uri, Options::default()).await.expect("the broker answers")
}

/// A name that nothing else has.
pub(crate) fn name(base: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    format!("{base}-{}-{}-{count}", std::process::id(), now.as_nanos())
}

pub(crate) async fn topic(journal: &dyn Journal, base: &str, partitions: u32) -> Arc<str> {
    let name = name(base);
    journal.ensure(&[TopicSpec { name: name.clone(), partitions, cleanup: Cleanup::Keep }]).await.expect("a topic");
    name.into()
}

pub(crate) fn into(topic: &Arc<str>, partition: u32, value: impl Into<Vec<u8>>) -> Append {
    let record = Record { value: Some(value.into().into()), timestamp: 1_700_000_000_000, ..Record::default() };
    Append { topic: topic.clone(), partition: Some(partition), record }
}

pub(crate) fn member(group: &str, topics: &[&Arc<str>]) -> GroupSpec {
    let topics = topics.iter().map(|t| t.to_string()).collect();
    GroupSpec { group: group.to_owned(), topics, session_timeout: Duration::from_secs(6) }
}

pub(crate) fn limits(records: usize) -> BatchLimits {
    BatchLimits { records, bytes: usize::MAX, wait: Duration::from_millis(200) }
}

/// The values of a partition, as readers of committed records see them.
pub(crate) async fn values(journal: &dyn Journal, topic: &str, partition: u32) -> Vec<String> {
    let mut scan = journal.scan(topic, partition, 0, None).await.expect("a scan");
    let mut all = Vec::new();
    loop {
        let page = scan.next(1_000).await.expect("a page");
        if page.is_empty() {
            return all;
        }
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        all.extend(page.iter().map(|s| text(s.record.value.as_deref().unwrap_or_default())));
    }
}

/// Asks until the answer is yes.
pub(crate) async fn eventually(what: &str, mut ask: impl AsyncFnMut() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while !ask().await {
        assert!(std::time::Instant::now() < deadline, "not within a minute: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
