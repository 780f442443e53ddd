//! Several members of a group: who owns what, handing over, fencing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use stillhouse_streams::{ErrorKind, Journal, Session};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::case::{self, Case, into, keyed, limits, record, text};

type Owned = BTreeSet<(Arc<str>, u32)>;

fn owned(session: &dyn Session) -> Owned {
    session.assignment().into_iter().collect()
}

pub(super) async fn partitions_with_one_number_have_one_owner(case: &Case<'_>) {
    let (a, b) = (case.topic("a", 5).await, case.topic("b", 5).await);
    let mut one = case.join("g", &[&a, &b]).await;
    let mut two = case.join("g", &[&a, &b]).await;
    let deadline = tokio::time::Instant::now() + case.backend.patience();
    loop {
        let short = limits(1);
        futures::join!(case::next(&mut *one, &short), case::next(&mut *two, &short));
        let (first, second) = (owned(&*one), owned(&*two));
        if first.len() + second.len() == 10 && !first.is_empty() && !second.is_empty() {
            assert!(first.is_disjoint(&second), "each partition has one owner");
            for mine in [first, second] {
                let numbers = |topic: &Arc<str>| -> BTreeSet<u32> {
                    mine.iter().filter(|(t, _)| t == topic).map(|(_, p)| *p).collect()
                };
                assert_eq!(numbers(&a), numbers(&b), "what has one key meets in one member");
            }
            let ask = || async { (case.group("g").await?.members == 2).then_some(()) };
            case.eventually("two members are listed", ask).await;
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "two members own {first:?} and {second:?}");
    }
}

/// Copies records until it is told to stop, as a worker does.
fn worker(
    journal: Arc<dyn Journal>,
    group: String,
    input: Arc<str>,
    output: Arc<str>,
) -> (watch::Sender<bool>, JoinHandle<Box<dyn Session>>) {
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(async move {
        let mut session = case::join(&*journal, group, &[&input]).await;
        while !*stopped.borrow() {
            let batch = case::next(&mut *session, &limits(37)).await;
            let outputs = batch.records.iter().map(|r| into(&output, r.position.partition, r.record.clone())).collect();
            if !batch.progress.is_empty() {
                case::commit(&mut *session, outputs, &batch.progress).await;
            }
        }
        session
    });
    (stop, task)
}

pub(super) async fn members_come_and_go(case: &Case<'_>) {
    const RECORDS: usize = 3_000;
    const KEYS: usize = 40;
    let (input, output) = (case.topic("in", 8).await, case.topic("out", 8).await);
    let start = || worker(case.journal.clone(), case.name("g"), input.clone(), output.clone());
    let feed = async |from: usize, to: usize| {
        for n in (from..to).step_by(50) {
            let batch = (n..n + 50).map(|i| keyed(&input, record(&format!("key-{}", i % KEYS), &format!("{i:06}"))));
            case.append(batch.collect()).await;
        }
    };
    let at_least = async |count: usize| {
        let ask = || async {
            let mut found = 0;
            for partition in 0..8 {
                found += case.drain(&output, partition).await.len();
            }
            (found >= count).then_some(())
        };
        case.eventually(&format!("{count} records came through"), ask).await;
    };
    let (stop_a, a) = start();
    feed(0, 1_000).await;
    at_least(200).await;
    let (stop_b, b) = start();
    let ask = || async { (case.group("g").await?.members == 2).then_some(()) };
    case.eventually("the second member is there", ask).await;
    feed(1_000, 2_000).await;
    at_least(1_500).await;
    stop_a.send_replace(true);
    a.await.expect("worker a").leave().await.expect("leave");
    let (stop_c, c) = start();
    feed(2_000, RECORDS).await;
    at_least(2_200).await;
    stop_b.send_replace(true);
    drop(b.await.expect("worker b"));

    let all = case.settled(&output, RECORDS).await;
    let mut by_key: BTreeMap<&[u8], Vec<&str>> = BTreeMap::new();
    for stored in all.iter().flatten() {
        by_key.entry(stored.record.key.as_deref().expect("a key")).or_default().push(text(&stored.record));
    }
    assert_eq!(by_key.len(), KEYS);
    for values in by_key.values() {
        assert!(values.is_sorted_by(|a, b| a < b), "the records of a key come once each and in order");
    }
    stop_c.send_replace(true);
    c.await.expect("worker c").leave().await.expect("leave");
}

pub(super) async fn a_lost_partition_is_fenced(case: &Case<'_>) {
    let (input, output) = (case.topic("in", 4).await, case.topic("out", 1).await);
    case.append((0..40).map(|i| into(&input, i % 4, record("k", &format!("{i:02}")))).collect()).await;
    let mut a = case.join("g", &[&input]).await;
    let held = case.take(&mut *a, 40).await;
    let mut b = case.join("g", &[&input]).await;
    let deadline = tokio::time::Instant::now() + case.backend.patience();
    while owned(&*a).len() != 2 || owned(&*b).len() != 2 {
        let bounds = limits(1);
        futures::join!(case::next(&mut *a, &bounds), case::next(&mut *b, &bounds));
        assert!(tokio::time::Instant::now() < deadline, "the second member gets nothing");
    }
    let outputs = held.records.iter().map(|r| into(&output, 0, r.record.clone())).collect();
    let error = a.commit(outputs, &held.progress).await.expect_err("a lost half of what it held");
    assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
    for partition in 0..4 {
        assert_eq!(case.committed("g", &input, partition).await, 0, "the fenced commit moved progress");
    }

    case::rewind(&mut *a).await;
    case::rewind(&mut *b).await;
    let mut found = 0;
    while found < 40 {
        for session in [&mut a, &mut b] {
            let batch = case::next(&mut **session, &limits(100)).await;
            let outputs: Vec<_> = batch.records.iter().map(|r| into(&output, 0, r.record.clone())).collect();
            let count = outputs.len();
            if case::commit(&mut **session, outputs, &batch.progress).await {
                found += count;
            }
        }
        assert!(tokio::time::Instant::now() < deadline + case.backend.patience(), "{found} of 40 came through");
    }
    let out = case.settled(&output, 40).await;
    let values: BTreeSet<&str> = out[0].iter().map(|s| text(&s.record)).collect();
    assert_eq!(values.len(), 40, "the fenced commit wrote nothing, and everything came through once");
}

pub(super) async fn a_dropped_member_is_replaced(case: &Case<'_>) {
    let topic = case.topic("t", 2).await;
    case.append((0..10).map(|i| into(&topic, i % 2, record("k", &i.to_string()))).collect()).await;
    let mut a = case.join("g", &[&topic]).await;
    let batch = case.take(&mut *a, 4).await;
    case::committed(&mut *a, Vec::new(), &batch.progress).await;
    case.take(&mut *a, 3).await;
    drop(a);
    let mut b = case.join("g", &[&topic]).await;
    let rest = case.take(&mut *b, 6).await;
    let done: BTreeSet<_> = batch.records.iter().chain(&rest.records).map(|r| text(&r.record)).collect();
    assert_eq!(done.len(), 10, "what was committed does not come again, what was not does");
}
