//! Appends: order, atomicity, ids.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use stillhouse_streams::{ErrorKind, partition_for};

use super::case::{self, Case, identified, into, keyed, record, texts};

pub(super) async fn order_is_kept_per_partition(case: &Case<'_>) {
    let topic = case.topic("t", 3).await;
    for round in 0..20 {
        let batch = (0..30).map(|i| into(&topic, i % 3, record("k", &format!("{:04}", round * 30 + i)))).collect();
        case.append(batch).await;
    }
    for partition in case.settled(&topic, 600).await {
        assert_eq!(partition.len(), 200);
        assert!(texts(&partition).is_sorted(), "records come in the order in which they were appended");
    }
}

pub(super) async fn receipts_tell_where_each_record_stands(case: &Case<'_>) {
    let (a, b) = (case.topic("a", 2).await, case.topic("b", 1).await);
    let batch = vec![
        into(&a, 1, record("k", "0")),
        into(&b, 0, record("k", "1")),
        into(&a, 0, record("k", "2")),
        into(&a, 1, record("k", "3")),
    ];
    let receipts = case.append(batch.clone()).await;
    assert_eq!(receipts.len(), batch.len());
    case.settled(&a, 3).await;
    case.settled(&b, 1).await;
    for (append, receipt) in batch.iter().zip(&receipts) {
        let position = &receipt.position;
        assert!(!receipt.duplicate);
        assert_eq!((&position.topic, Some(position.partition)), (&append.topic, append.partition));
        let until = Some(position.offset + 1);
        let found = case::drain(&*case.journal, &position.topic, position.partition, position.offset, until).await;
        assert_eq!(found.len(), 1, "one record stands at {position}");
        assert_eq!((found[0].offset, &found[0].record), (position.offset, &append.record));
    }
}

pub(super) async fn keys_decide_the_partition(case: &Case<'_>) {
    let topic = case.topic("t", 5).await;
    let mut batch: Vec<_> = (0..100).map(|i| keyed(&topic, record(&format!("key-{i}"), "v"))).collect();
    let mut keyless = record("", "keyless");
    keyless.key = None;
    batch.push(keyed(&topic, keyless));
    let receipts = case.append(batch.clone()).await;
    for (append, receipt) in batch.iter().zip(&receipts) {
        assert_eq!(receipt.position.partition, partition_for(append.record.key.as_deref(), 5));
    }
    let all = case.settled(&topic, 101).await;
    assert_eq!(all[0].last().map(|s| s.record.key.is_none()), Some(true), "keyless records go to partition 0");
    assert!(all.iter().all(|partition| !partition.is_empty()), "a hundred keys reach all partitions");
}

pub(super) async fn concurrent_appends_all_arrive(case: &Case<'_>) {
    let topic = case.topic("t", 2).await;
    let writer = async |writer: u32| {
        for i in 0..20 {
            let value = format!("{writer}:{i:04}");
            case.append(vec![into(&topic, 0, record("k", &value)), into(&topic, 1, record("k", &value))]).await;
        }
    };
    futures::future::join_all((0..8).map(writer)).await;
    for partition in case.settled(&topic, 320).await {
        let values = texts(&partition);
        assert_eq!(values.iter().collect::<BTreeSet<_>>().len(), 160, "each record stands once");
        for writer in 0..8 {
            let own: Vec<_> = values.iter().filter(|v| v.starts_with(&format!("{writer}:"))).collect();
            assert!(own.is_sorted() && own.len() == 20, "one writer's records stay in order");
        }
    }
}

/// A reader that looks all the time never sees part of a batch: not within a partition, and not, once it saw the batch
/// in one topic, without the part in the other.
pub(super) async fn batches_over_topics_are_atomic(case: &Case<'_>) {
    const BATCHES: usize = 60;
    let (a, b) = (case.topic("a", 1).await, case.topic("b", 2).await);
    let done = AtomicBool::new(false);
    let write = async {
        for n in 0..BATCHES {
            let value = format!("{n:04}");
            let mut batch: Vec<_> = (0..4).map(|_| into(&a, 0, record("k", &value))).collect();
            batch.extend((0..6).map(|i| into(&b, i % 2, record("k", &value))));
            case.append(batch).await;
        }
        done.store(true, Ordering::SeqCst);
    };
    let read = async {
        let places: [(&Arc<str>, u32, usize); 3] = [(&a, 0, 4), (&b, 0, 3), (&b, 1, 3)];
        let mut turn = 0;
        let mut last = false;
        while !last {
            last = done.load(Ordering::SeqCst);
            turn += 1;
            let (topic, partition, per_batch) = places[turn % 3];
            let first = case.drain(topic, partition).await;
            assert_eq!(first.len() % per_batch, 0, "part of a batch shows in {topic}/{partition}");
            let (topic, partition, other) = places[(turn + 1 + turn % 2) % 3];
            let wanted = first.len() / per_batch * other;
            if case.traits().immediate {
                let second = case.drain(topic, partition).await.len();
                assert!(second >= wanted, "a batch shows in one partition and not in {topic}/{partition}");
            } else {
                let ask = || async { (case.drain(topic, partition).await.len() >= wanted).then_some(()) };
                case.eventually("the rest of a batch", ask).await;
            }
        }
    };
    futures::join!(write, read);
    case.settled(&a, BATCHES * 4).await;
    case.settled(&b, BATCHES * 6).await;
}

pub(super) async fn a_refused_batch_leaves_nothing(case: &Case<'_>) {
    let (a, b) = (case.topic("a", 1).await, case.topic("b", 1).await);
    let big = "x".repeat(case.journal.max_record_bytes() + 1);
    let missing: Arc<str> = case.name("missing").into();
    for (bad, kinds) in [
        (into(&b, 0, record("k", &big)), &[ErrorKind::TooLarge][..]),
        (into(&b, 7, record("k", "no such partition")), &[ErrorKind::Invalid, ErrorKind::NotFound]),
        (into(&missing, 0, record("k", "no such topic")), &[ErrorKind::NotFound]),
    ] {
        let batch = vec![into(&a, 0, record("k", "1")), into(&b, 0, record("k", "2")), bad];
        let error = case.journal.append(batch).await.expect_err("the batch is refused");
        assert!(kinds.contains(&error.kind()), "{:?} is none of {kinds:?}: {error}", error.kind());
    }
    case.append(vec![into(&a, 0, record("k", "after")), into(&b, 0, record("k", "after"))]).await;
    assert_eq!(texts(&case.settled(&a, 1).await[0]), ["after"]);
    assert_eq!(texts(&case.settled(&b, 1).await[0]), ["after"]);
}

pub(super) async fn known_ids_are_duplicates_or_conflicts(case: &Case<'_>) {
    if !case.traits().id_index {
        let answer = case.journal.find("whatever").await.expect("find");
        assert_eq!(answer, None, "a journal without an index knows no id");
        return;
    }
    let topic = case.topic("t", 2).await;
    let id = case.name("id");
    let first = case.append(vec![into(&topic, 1, identified(&id, "k", "v"))]).await;
    assert_eq!(case.journal.find(&id).await.expect("find").as_ref(), Some(&first[0].position));
    assert_eq!(case.journal.find(&case.name("other")).await.expect("find"), None);

    let again = case
        .append(vec![
            into(&topic, 1, identified(&id, "k", "v")),
            into(&topic, 0, identified(&case.name("new"), "k", "new")),
            into(&topic, 0, identified(&case.name("new"), "k", "new")),
        ])
        .await;
    assert!(again[0].duplicate && again[0].position == first[0].position, "the known record is where it was");
    assert!(!again[1].duplicate && again[2].duplicate, "an id repeated within a batch is a duplicate too");
    assert_eq!(again[1].position, again[2].position);

    let conflicting = vec![
        into(&topic, 0, identified(&case.name("unwritten"), "k", "v")),
        into(&topic, 0, identified(&id, "k", "something else")),
        into(&topic, 0, identified(&case.name("twice"), "k", "1")),
        into(&topic, 0, identified(&case.name("twice"), "k", "2")),
    ];
    let error = case.journal.append(conflicting).await.expect_err("a conflict");
    assert_eq!((error.kind(), error.conflicts()), (ErrorKind::Conflict, &[1, 3][..]));
    assert_eq!(case.journal.find(&case.name("unwritten")).await.expect("find"), None, "nothing was written");
    case.settled(&topic, 2).await;
}

pub(super) async fn ids_are_known_per_topic(case: &Case<'_>) {
    let (a, b) = (case.topic("a", 1).await, case.topic("b", 1).await);
    let id = case.name("id");
    let receipts =
        case.append(vec![into(&a, 0, identified(&id, "k", "1")), into(&b, 0, identified(&id, "k", "2"))]).await;
    assert!(receipts.iter().all(|r| !r.duplicate), "one id in two topics is two records");
    case.settled(&a, 1).await;
    case.settled(&b, 1).await;
}

pub(super) async fn an_empty_batch_is_nothing(case: &Case<'_>) {
    assert_eq!(case.append(Vec::new()).await, []);
    let topic = case.topic("t", 1).await;
    let mut session = case.join("g", &[&topic]).await;
    case.take(&mut *session, 0).await;
    assert_eq!(case::committed(&mut *session, Vec::new(), &Default::default()).await, []);
    case.settled(&topic, 0).await;
}
