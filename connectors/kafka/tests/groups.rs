//! Groups under disturbance: a member that comes and goes, a member that was frozen while the group went on, an offset
//! that is no longer there.

use crate::broker::{connect, eventually, free_port, into, limits, member, name, own, shared, topic, values};
use crate::proxy::{END_TXN, Proxy};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use stillhouse_kafka::{KafkaJournal, Options};
use stillhouse_streams::{Append, ErrorKind, GroupSpec, Journal, Progress, Received, Session};
use tokio::net::TcpListener;

fn copies(records: &[Received], output: &Arc<str>) -> Vec<Append> {
    let copy = |r: &Received| Append {
        topic: output.clone(),
        partition: Some(r.position.partition),
        record: r.record.clone(),
    };
    records.iter().map(copy).collect()
}

/// What a worker counts.
#[derive(Default)]
struct Tally {
    stop: AtomicBool,
    commits: AtomicUsize,
    fenced: AtomicUsize,
}

/// Copies records with a slow stage between reading and committing, until it is told to stop.
async fn work(journal: Arc<KafkaJournal>, spec: GroupSpec, output: Arc<str>, slow: Duration, tally: Arc<Tally>) {
    let mut session = journal.join(&spec).await.expect("join");
    while !tally.stop.load(Ordering::SeqCst) {
        let Ok(batch) = session.next(&limits(20)).await else { continue };
        if batch.records.is_empty() {
            continue;
        }
        tokio::time::sleep(slow).await;
        match session.commit(copies(&batch.records, &output), &batch.progress).await {
            Ok(_) => drop(tally.commits.fetch_add(1, Ordering::SeqCst)),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
                tally.fenced.fetch_add(1, Ordering::SeqCst);
                session.rewind().await.expect("rewind");
            }
        }
    }
    session.leave().await.expect("leave");
}

/// P9: a third member comes and goes while the other two are between reading and committing.
#[tokio::test(flavor = "multi_thread")]
async fn rebalances_in_the_middle_of_work_lose_and_double_nothing() {
    const ROUND: usize = 400;
    let journal = Arc::new(connect(&shared()).await);
    let (input, output) = (topic(&*journal, "in", 4).await, topic(&*journal, "out", 4).await);
    let feed = async |fed: usize| {
        let batch = (fed..fed + ROUND).map(|i| into(&input, i as u32 % 4, format!("{i:05}"))).collect();
        journal.append(batch).await.expect("append");
        fed + ROUND
    };
    let mut fed = feed(0).await;
    let spec = member(&name("group"), &[&input]);
    let (slow, tally) = (Duration::from_millis(60), Arc::new(Tally::default()));
    let start =
        |tally: &Arc<Tally>| tokio::spawn(work(journal.clone(), spec.clone(), output.clone(), slow, tally.clone()));
    let workers = [start(&tally), start(&tally)];
    eventually("the work has begun", async || tally.commits.load(Ordering::SeqCst) > 0).await;
    let mut rounds = 0;
    while rounds < 5 || tally.fenced.load(Ordering::SeqCst) == 0 {
        rounds += 1;
        assert!(rounds < 60, "no rebalance falls between reading and committing");
        fed = feed(fed).await;
        let before = tally.commits.load(Ordering::SeqCst);
        let third = Arc::new(Tally::default());
        let task = start(&third);
        let done = async || values_of(&journal, &output).await.len() >= fed;
        eventually("the group goes on with three", async || third.commits.load(Ordering::SeqCst) > 0 || done().await)
            .await;
        third.stop.store(true, Ordering::SeqCst);
        task.await.expect("the third worker");
        eventually("the group goes on with two", async || {
            tally.commits.load(Ordering::SeqCst) > before || done().await
        })
        .await;
    }
    eventually("everything came through", async || values_of(&journal, &output).await.len() >= fed).await;
    tally.stop.store(true, Ordering::SeqCst);
    for worker in workers {
        worker.await.expect("a worker");
    }
    let mut found = values_of(&journal, &output).await;
    for partition in 0..4 {
        assert!(values(&*journal, &output, partition).await.is_sorted(), "order is kept in partition {partition}");
    }
    found.sort();
    assert_eq!(found, (0..fed).map(|i| format!("{i:05}")).collect::<Vec<_>>(), "each record once");
}

async fn values_of(journal: &KafkaJournal, topic: &Arc<str>) -> Vec<String> {
    let mut all = Vec::new();
    for partition in 0..4 {
        all.extend(values(journal, topic, partition).await);
    }
    all
}

/// P10: a member that was frozen (as by SIGSTOP, or a cut line) while the group went on without it.
#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_commits_nothing() {
    let port = free_port();
    let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("the port is still free");
    let broker =
        tokio::task::spawn_blocking(move || own("connector-tests-zombie", Some(port))).await.expect("a broker");
    let proxy = Proxy::start(listener, broker.port).await;
    let uri = |client: &str| format!("kafka://127.0.0.1:{port}?client.id={client}");
    let journal = connect(&uri("sound")).await;
    // Its brokers end what it leaves open soon, so that the test need not wait for long.
    let options = Options { transaction_timeout: Duration::from_secs(4), ..Options::default() };
    let doomed = KafkaJournal::connect(&uri("zombie"), options).await.expect("the proxy answers");

    // Frozen between reading and committing, then in the middle of the commit: progress is handed over, the end of the
    // transaction is not.
    for in_the_commit in [false, true] {
        let (input, output) = (topic(&journal, "in", 2).await, topic(&journal, "out", 2).await);
        let batch = (0..20).map(|i| into(&input, i % 2, format!("{i:02}"))).collect();
        journal.append(batch).await.expect("append");
        let spec = GroupSpec { session_timeout: Duration::from_secs(1), ..member(&name("group"), &[&input]) };
        let mut zombie = doomed.join(&spec).await.expect("join");
        let held = take(&mut *zombie, 20).await;
        let outputs = copies(&held.0, &output);
        let (mut zombie, outcome, mut heir) = if in_the_commit {
            proxy.freeze_at("zombie", END_TXN);
            let commit = tokio::spawn(async move {
                let outcome = zombie.commit(outputs, &held.1).await;
                (zombie, outcome)
            });
            eventually("the commit has begun", async || proxy.is_frozen()).await;
            let heir = inherit(&journal, &spec, &output).await;
            proxy.thaw();
            let (zombie, outcome) = commit.await.expect("the zombie's commit");
            (zombie, outcome, heir)
        } else {
            proxy.freeze("zombie");
            let heir = inherit(&journal, &spec, &output).await;
            proxy.thaw();
            let outcome = zombie.commit(outputs, &held.1).await;
            (zombie, outcome, heir)
        };
        let error = outcome.expect_err("the group has gone on");
        let kinds: &[ErrorKind] =
            if in_the_commit { &[ErrorKind::Indeterminate, ErrorKind::Fenced] } else { &[ErrorKind::Fenced] };
        assert!(kinds.contains(&error.kind()), "{:?}: {error}", error.kind());

        // Back among the living, it works with what it is given.
        zombie.rewind().await.expect("rewind");
        let more = (20..40).map(|i| into(&input, i % 2, format!("{i:02}"))).collect();
        journal.append(more).await.expect("append");
        let mut found = Vec::new();
        eventually("both go on", async || {
            for session in [&mut zombie, &mut heir] {
                let Ok(batch) = session.next(&limits(100)).await else { continue };
                if batch.progress.is_empty() {
                    continue;
                }
                if session.commit(copies(&batch.records, &output), &batch.progress).await.is_err() {
                    session.rewind().await.expect("rewind");
                }
            }
            found = values(&journal, &output, 0).await;
            found.extend(values(&journal, &output, 1).await);
            found.len() >= 40
        })
        .await;
        found.sort();
        assert_eq!(found, (0..40).map(|i| format!("{i:02}")).collect::<Vec<_>>(), "each record once");
        zombie.leave().await.expect("leave");
        heir.leave().await.expect("leave");
    }
}

/// Joins, takes everything, and copies it.
async fn inherit(journal: &KafkaJournal, spec: &GroupSpec, output: &Arc<str>) -> Box<dyn Session> {
    let mut heir = journal.join(spec).await.expect("join");
    let taken = take(&mut *heir, 20).await;
    heir.commit(copies(&taken.0, output), &taken.1).await.expect("the heir owns everything");
    heir
}

async fn take(session: &mut dyn Session, count: usize) -> (Vec<Received>, Progress) {
    let (mut records, mut progress) = (Vec::new(), Progress::default());
    eventually("the records come", async || {
        if let Ok(batch) = session.next(&limits(count - records.len())).await {
            records.extend(batch.records);
            batch.progress.iter().for_each(|(t, p, next)| progress.set(t.clone(), p, next));
        }
        records.len() >= count
    })
    .await;
    (records, progress)
}

/// K6: neither lost nor read again in silence.
#[tokio::test(flavor = "multi_thread")]
async fn an_offset_that_is_not_there_stops_the_group() {
    let journal = connect(&shared()).await;
    let input = topic(&journal, "in", 1).await;
    journal.append(vec![into(&input, 0, "only")]).await.expect("append");
    let spec = member(&name("group"), &[&input]);
    let mut beyond = Progress::default();
    beyond.set(input.clone(), 0, 1_000);
    journal.reset(&spec.group, &beyond).await.expect("nobody is there yet");
    let mut session = journal.join(&spec).await.expect("join");
    let mut told = None;
    eventually("the session stops", async || {
        told = session.next(&limits(10)).await.err();
        told.is_some()
    })
    .await;
    let told = told.expect("was there just now");
    assert_eq!(told.kind(), ErrorKind::NotFound);
    assert!(told.to_string().contains("offset"), "{told}");
    assert!(session.next(&limits(10)).await.is_err(), "and does not go on by itself");
    session.leave().await.expect("leave");

    let mut start = Progress::default();
    start.set(input.clone(), 0, 0);
    journal.reset(&spec.group, &start).await.expect("nobody is there any more");
    let mut session = journal.join(&spec).await.expect("join");
    assert_eq!(take(&mut *session, 1).await.0.len(), 1, "set by hand, it goes on");
}
