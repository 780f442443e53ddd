//! One member of a group: outputs and progress, limits, resets.

use std::time::Duration;
use stillhouse_streams::{BatchLimits, ErrorKind, Progress};

use super::case::{self, Case, identified, into, limits, record, text, texts};

pub(super) async fn outputs_and_progress_are_one(case: &Case<'_>) {
    let (input, output) = (case.topic("in", 2).await, case.topic("out", 1).await);
    case.append((0..40).map(|i| into(&input, i % 2, record("k", &format!("{i:02}")))).collect()).await;
    let mut session = case.join("g", &[&input]).await;
    let mut seen = 0;
    while seen < 40 {
        let batch = case::next(&mut *session, &limits(7)).await;
        let outputs: Vec<_> = batch.records.iter().map(|r| into(&output, 0, r.record.clone())).collect();
        seen += outputs.len();
        let count = outputs.len();
        let receipts = case::committed(&mut *session, outputs, &batch.progress).await;
        assert_eq!(receipts.len(), count);
        for (topic, partition, next) in batch.progress.iter() {
            let ask = || async { (case.committed("g", topic, partition).await == next).then_some(()) };
            case.eventually("the committed progress shows", ask).await;
        }
    }
    let out = case.settled(&output, 40).await.remove(0);
    let mut values = texts(&out);
    values.sort_unstable();
    assert_eq!(values, (0..40).map(|i| format!("{i:02}")).collect::<Vec<_>>());
}

pub(super) async fn a_refused_commit_leaves_neither(case: &Case<'_>) {
    let (input, output) = (case.topic("in", 1).await, case.topic("out", 1).await);
    case.append((0..3).map(|i| into(&input, 0, record("k", &i.to_string()))).collect()).await;
    let id = case.name("id");
    case.append(vec![into(&output, 0, identified(&id, "k", "first"))]).await;
    let missing = case.name("missing").into();
    let bad = vec![
        (into(&output, 0, record("k", &"x".repeat(case.journal.max_record_bytes() + 1))), &[ErrorKind::TooLarge][..]),
        (into(&missing, 0, record("k", "v")), &[ErrorKind::NotFound]),
        (into(&output, 9, record("k", "v")), &[ErrorKind::Invalid, ErrorKind::NotFound]),
    ];
    let mut session = case.join("g", &[&input]).await;
    for (bad, kinds) in bad {
        let batch = case.take(&mut *session, 3).await;
        let outputs = vec![into(&output, 0, record("k", "must not show")), bad];
        let error = session.commit(outputs, &batch.progress).await.expect_err("the commit is refused");
        assert!(kinds.contains(&error.kind()), "{:?} is none of {kinds:?}: {error}", error.kind());
        case::rewind(&mut *session).await;
        assert_eq!(case.committed("g", &input, 0).await, 0, "progress did not move");
    }
    let batch = case.take(&mut *session, 3).await;
    case::committed(&mut *session, vec![into(&output, 0, record("k", "good"))], &batch.progress).await;
    assert_eq!(texts(&case.settled(&output, 2).await[0]), ["first", "good"]);
}

pub(super) async fn what_was_not_committed_comes_again(case: &Case<'_>) {
    let topic = case.topic("t", 1).await;
    case.append((0..10).map(|i| into(&topic, 0, record("k", &i.to_string()))).collect()).await;
    let mut session = case.join("g", &[&topic]).await;
    let first = case.take(&mut *session, 4).await;
    let second = case.take(&mut *session, 4).await;
    assert_eq!(second.records.first().map(|r| text(&r.record)), Some("4"), "a session goes on by itself");
    case::rewind(&mut *session).await;
    let again = case.take(&mut *session, 4).await;
    assert_eq!(again.records, first.records, "nothing was committed, so it begins at the beginning");
    case::committed(&mut *session, Vec::new(), &again.progress).await;
    case.take(&mut *session, 2).await;
    case::rewind(&mut *session).await;
    let rest = case.take(&mut *session, 6).await;
    assert_eq!(rest.records.first().map(|r| text(&r.record)), Some("4"));
    session.leave().await.expect("leave");

    let mut session = case.join("g", &[&topic]).await;
    let again = case.take(&mut *session, 6).await;
    assert_eq!(again.records, rest.records, "the next member begins where the group stands");
}

pub(super) async fn limits_bind(case: &Case<'_>) {
    let topic = case.topic("t", 2).await;
    let value = "x".repeat(400);
    case.append((0..40).map(|i| into(&topic, i % 2, record("k", &value))).collect()).await;
    let size = record("k", &value).size();
    let mut session = case.join("g", &[&topic]).await;
    let wait = Duration::from_millis(200);
    let mut seen = 0;
    for (records, bytes) in
        [(5, usize::MAX), (1, usize::MAX), (100, size * 3), (100, 1), (100, 0), (7, size * 2 + 1), (100, usize::MAX)]
    {
        let bounds = BatchLimits { records, bytes, wait };
        let ask = case::next(&mut *session, &bounds).await;
        let batch = if ask.records.is_empty() { case::next(&mut *session, &bounds).await } else { ask };
        assert!(batch.records.len() <= records, "{} records, {records} asked for", batch.records.len());
        let total: usize = batch.records.iter().map(|r| r.record.size()).sum();
        assert!(total <= bytes || batch.records.len() == 1, "{total} bytes, {bytes} asked for");
        seen += batch.records.len();
        case::committed(&mut *session, Vec::new(), &batch.progress).await;
    }
    let rest = case.take(&mut *session, 40 - seen).await;
    assert_eq!(rest.records.len(), 40 - seen, "what did not fit comes later, once");
}

/// A partition that always has more does not keep the others waiting.
pub(super) async fn no_partition_starves(case: &Case<'_>) {
    let topic = case.topic("t", 3).await;
    let more = |count: u32| (0..count).map(|i| into(&topic, 1, record("k", &i.to_string()))).collect();
    case.append(more(200)).await;
    case.append([0, 2].map(|p| into(&topic, p, record("k", "few"))).into()).await;
    let mut session = case.join("g", &[&topic]).await;
    let (mut rounds, mut others) = (0, 0);
    while others < 2 {
        case.append(more(10)).await;
        let batch = case::next(&mut *session, &limits(10)).await;
        others += batch.records.iter().filter(|r| r.position.partition != 1).count();
        rounds += u32::from(!batch.records.is_empty());
        assert!(rounds < 200, "after {rounds} batches of a partition that always has more, the others still wait");
    }
}

/// Whatever is at the end of a partition (markers, aborted records), a group that read everything stands at the end.
pub(super) async fn progress_reaches_the_end(case: &Case<'_>) {
    let topic = case.topic("t", 2).await;
    let mut session = case.join("g", &[&topic]).await;
    for round in 0..3 {
        case.append((0..10).map(|i| into(&topic, i % 2, record("k", &format!("{round}-{i}")))).collect()).await;
        let deadline = tokio::time::Instant::now() + case.backend.patience();
        loop {
            let batch = case::next(&mut *session, &limits(100)).await;
            case::committed(&mut *session, Vec::new(), &batch.progress).await;
            let mut lag = 0;
            for partition in 0..2 {
                let end = case.bounds(&topic, partition).await.end;
                lag += end.saturating_sub(case.committed("g", &topic, partition).await);
            }
            if lag == 0 {
                break;
            }
            assert!(tokio::time::Instant::now() < deadline, "everything was read and committed, and the lag is {lag}");
        }
    }
}

pub(super) async fn new_records_wake_a_waiting_session(case: &Case<'_>) {
    let topic = case.topic("t", 1).await;
    let mut session = case.join("g", &[&topic]).await;
    case.append(vec![into(&topic, 0, record("k", "before"))]).await;
    case.take(&mut *session, 1).await;
    let wait = case.backend.patience();
    let started = tokio::time::Instant::now();
    let bounds = BatchLimits { wait, ..limits(10) };
    let (batch, _) =
        futures::join!(case::next(&mut *session, &bounds), case.append(vec![into(&topic, 0, record("k", "woken"))]));
    assert_eq!(batch.records.iter().map(|r| text(&r.record)).collect::<Vec<_>>(), ["woken"]);
    assert!(started.elapsed() < wait, "the session waited to the end although there was a record");
}

pub(super) async fn groups_do_not_disturb_each_other(case: &Case<'_>) {
    let (a, b) = (case.topic("a", 1).await, case.topic("b", 1).await);
    case.append(vec![into(&a, 0, record("k", "a")), into(&b, 0, record("k", "b"))]).await;
    let mut one = case.join("one", &[&a]).await;
    let mut two = case.join("two", &[&a, &b]).await;
    let batch = case.take(&mut *one, 1).await;
    case::committed(&mut *one, Vec::new(), &batch.progress).await;
    let batch = case.take(&mut *two, 2).await;
    assert_eq!(batch.records.len(), 2, "one group's progress is not another's");
    let more = case::next(&mut *one, &limits(10)).await;
    assert_eq!(more.records, [], "a group has its topics only");
    assert_eq!(case.committed("two", &a, 0).await, 0);
}

pub(super) async fn reset_moves_a_group_without_members(case: &Case<'_>) {
    let topic = case.topic("t", 2).await;
    let receipts = case.append((0..10).map(|i| into(&topic, i % 2, record("k", &i.to_string()))).collect()).await;
    let mut session = case.join("g", &[&topic]).await;
    let batch = case.take(&mut *session, 10).await;
    case::committed(&mut *session, Vec::new(), &batch.progress).await;

    let mut back = Progress::default();
    back.set(topic.clone(), 0, receipts[4].position.offset);
    back.set(topic.clone(), 1, 0);
    let name = case.name("g");
    let error = case.journal.reset(&name, &back).await.expect_err("the group has a member");
    assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
    session.leave().await.expect("leave");
    case.unfenced(|| case.journal.reset(&name, &back)).await;
    let ask = || async { (case.group("g").await?.progress == back).then_some(()) };
    case.eventually("the group stands where it was set", ask).await;

    let mut session = case.join("g", &[&topic]).await;
    let batch = case.take(&mut *session, 8).await;
    let mut values: Vec<_> = batch.records.iter().map(|r| text(&r.record)).collect();
    values.sort_unstable();
    assert_eq!(values, ["1", "3", "4", "5", "6", "7", "8", "9"]);

    let fresh = case.name("fresh");
    let mut start = Progress::default();
    start.set(topic.clone(), 0, receipts[8].position.offset);
    case.journal.reset(&fresh, &start).await.expect("a group may be set before anybody joined it");
    assert_eq!(case.group("fresh").await.map(|g| (g.members, g.progress)), Some((0, start)));
    let mut session = case.join("fresh", &[&topic]).await;
    let batch = case.take(&mut *session, 6).await;
    assert_eq!(batch.records.iter().filter(|r| r.position.partition == 0).count(), 1, "it begins where it was set");
}

pub(super) async fn a_deleted_group_begins_again(case: &Case<'_>) {
    let topic = case.topic("t", 1).await;
    case.append(vec![into(&topic, 0, record("k", "v"))]).await;
    let name = case.name("g");
    case.journal.delete_group(&name).await.expect("a missing group may be deleted");
    let mut session = case.join("g", &[&topic]).await;
    let batch = case.take(&mut *session, 1).await;
    case::committed(&mut *session, Vec::new(), &batch.progress).await;
    let error = case.journal.delete_group(&name).await.expect_err("the group has a member");
    assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
    session.leave().await.expect("leave");
    case.unfenced(|| case.journal.delete_group(&name)).await;
    assert_eq!(case.group("g").await, None);
    let mut session = case.join("g", &[&topic]).await;
    assert_eq!(case.take(&mut *session, 1).await.records.len(), 1, "it begins at the beginning");
}
