//! The broker is gone: every call ends in time and says so; when it is back, everything goes on.

use crate::broker::{connect, eventually, free_port, into, limits, member, name, own, topic, values};
use std::time::{Duration, Instant};
use stillhouse_devkafka::{Settings, default_home, kill, up};
use stillhouse_kafka::{KafkaJournal, Options};
use stillhouse_streams::{ErrorKind, Journal};

/// What a call with the default time of ten seconds may take.
const BOUND: Duration = Duration::from_secs(15);

async fn in_time<T>(what: &str, bound: Duration, call: impl Future<Output = T>) -> T {
    let began = Instant::now();
    let outcome = tokio::time::timeout(bound, call).await;
    outcome.unwrap_or_else(|_| panic!("{what} took longer than {:?}", began.elapsed()))
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_is_unavailable() {
    let uri = format!("kafka://127.0.0.1:{}", free_port());
    let options = Options { timeout: Duration::from_secs(2), ..Options::default() };
    let connecting = KafkaJournal::connect(&uri, options);
    let outcome = in_time("connecting", Duration::from_secs(6), connecting).await;
    let Err(error) = outcome else { panic!("nobody listens there") };
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(
        error.to_string().contains("refused") && error.to_string().contains(&uri),
        "it says why and where: {error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_may_go_and_come_back() {
    const NAME: &str = "connector-tests-outage";
    let broker = tokio::task::spawn_blocking(|| own(NAME, None)).await.expect("a broker");
    let journal = connect(&broker.uri).await;
    let (input, output) = (topic(&journal, "in", 1).await, topic(&journal, "out", 1).await);
    journal.append(vec![into(&input, 0, "before")]).await.expect("append");
    let spec = member(&name("group"), &[&input]);
    let mut session = journal.join(&spec).await.expect("join");
    let mut batch = session.next(&limits(10)).await.expect("next");
    eventually("the first record comes", async || {
        if batch.records.is_empty() {
            batch = session.next(&limits(10)).await.expect("next");
        }
        !batch.records.is_empty()
    })
    .await;
    let second = connect(&broker.uri).await;
    let leaving = second.join(&member(&name("other"), &[&input])).await.expect("join");

    let home = default_home().expect("a place for brokers");
    let gone = home.clone();
    assert!(tokio::task::spawn_blocking(move || kill(&gone, NAME)).await.expect("a thread").expect("kill"));

    // P23: leaving, and dropping everything, takes less than ten seconds.
    in_time("leaving", Duration::from_secs(10), leaving.leave()).await.expect("leave");
    in_time("dropping", Duration::from_secs(10), async { drop(second) }).await;

    let copy = || batch.records.iter().map(|_| into(&output, 0, "copied")).collect();
    let (appended, committed, listed, read, grouped) = futures::join!(
        in_time("append", BOUND, journal.append(vec![into(&input, 0, "lost")])),
        in_time("commit", BOUND, session.commit(copy(), &batch.progress)),
        in_time("topics", BOUND, journal.topics()),
        in_time("scan", BOUND, async { journal.scan(&input, 0, 0, None).await?.next(10).await }),
        in_time("groups", BOUND, journal.groups()),
    );
    let kind = |error: stillhouse_streams::Error| (error.kind(), error.to_string());
    let outcomes = [
        appended.map(drop).map_err(kind),
        committed.map(drop).map_err(kind),
        listed.map(drop).map_err(kind),
        read.map(drop).map_err(kind),
        grouped.map(drop).map_err(kind),
    ];
    for outcome in outcomes {
        let (kind, message) = outcome.expect_err("the broker is gone");
        assert_eq!(kind, ErrorKind::Unavailable, "{message}");
    }

    let settings = Settings { instance: NAME.to_owned(), port: broker.port, ..Settings::new(home) };
    tokio::task::spawn_blocking(move || up(&settings)).await.expect("a thread").expect("it starts again");
    eventually("appends go on by themselves", async || journal.append(vec![into(&input, 0, "after")]).await.is_ok())
        .await;
    eventually("the session goes on after a rewind", async || {
        if session.rewind().await.is_err() {
            return false;
        }
        let Ok(batch) = session.next(&limits(10)).await else { return false };
        let copies = batch.records.iter().map(|_| into(&output, 0, "copied")).collect();
        !batch.records.is_empty() && session.commit(copies, &batch.progress).await.is_ok()
    })
    .await;
    let found = values(&journal, &input, 0).await;
    assert_eq!(found.first().map(String::as_str), Some("before"), "what was acknowledged is there");
    assert!(!found.contains(&"lost".to_owned()), "what was said not to be written is not: {found:?}");
    eventually("what was read is copied once", async || {
        let batch = session.next(&limits(10)).await.unwrap_or_default();
        let copies = batch.records.iter().map(|_| into(&output, 0, "copied")).collect();
        if !batch.progress.is_empty() && session.commit(copies, &batch.progress).await.is_err() {
            assert!(session.rewind().await.is_ok());
        }
        values(&journal, &output, 0).await.len() == values(&journal, &input, 0).await.len()
    })
    .await;
}
