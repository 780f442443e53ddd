//! Cleaning: retention and compaction, where the backend does them when told to.

use std::sync::Arc;
use std::time::Duration;
use stillhouse_streams::{Cleanup, Record, TopicSpec};

use super::case::{self, Case, EPOCH, identified, into, record, texts};

async fn topic(case: &Case<'_>, name: &str, cleanup: Cleanup) -> Arc<str> {
    let spec = TopicSpec { name: case.name(name), partitions: 1, cleanup };
    case.journal.ensure(std::slice::from_ref(&spec)).await.expect("ensure");
    spec.name.into()
}

pub(super) async fn retention_takes_the_old_from_the_beginning(case: &Case<'_>) {
    let topic = topic(case, "t", Cleanup::Retain(Duration::from_millis(100))).await;
    let keep = case.topic("keep", 1).await;
    let at = |time: i64| Record { timestamp: EPOCH + time, ..record("k", &time.to_string()) };
    let times = [10, 20, 300, 30, 400];
    let receipts = case.append(times.map(|time| into(&topic, 0, at(time))).into()).await;
    case.append(vec![into(&keep, 0, at(10))]).await;
    if !case.traits().cleans {
        case.journal.clean(EPOCH).await.expect("a backend that cleans by itself does nothing");
        return;
    }
    case.journal.clean(EPOCH + 100).await.expect("clean");
    assert_eq!(texts(&case.drain(&topic, 0).await), ["10", "20", "300", "30", "400"], "nothing is too old yet");
    case.journal.clean(EPOCH + 150).await.expect("clean");
    assert_eq!(texts(&case.drain(&topic, 0).await), ["300", "30", "400"], "a young record ends the cleaning");
    let bounds = case.bounds(&topic, 0).await;
    assert_eq!(bounds.start, receipts[2].position.offset, "the partition begins later");
    let mut session = case.join("g", &[&topic]).await;
    let batch = case.take(&mut *session, 3).await;
    assert_eq!(batch.records[0].position.offset, bounds.start, "a new group begins with what is left");
    case::committed(&mut *session, Vec::new(), &batch.progress).await;

    case.journal.clean(EPOCH + 1_000).await.expect("clean");
    assert_eq!(case.drain(&topic, 0).await, []);
    let bounds = case.bounds(&topic, 0).await;
    assert_eq!(bounds.start, bounds.end, "an emptied partition begins at its end");
    let receipts = case.append(vec![into(&topic, 0, at(2_000))]).await;
    assert!(receipts[0].position.offset >= bounds.end, "no offset is used twice");
    assert_eq!(case.take(&mut *session, 1).await.records[0].position, receipts[0].position);
    assert_eq!(case.drain(&keep, 0).await.len(), 1, "topics that keep everything do");
    assert_eq!(case.journal.verify().await.expect("verify").damage, [], "what was cleaned away is no damage");
}

pub(super) async fn compaction_keeps_the_last_of_each_key(case: &Case<'_>) {
    let topic = topic(case, "t", Cleanup::Compact).await;
    let id = case.name("id");
    let receipts = case
        .append(vec![
            into(&topic, 0, record("a", "a1")),
            into(&topic, 0, record("b", "b1")),
            into(&topic, 0, record("a", "a2")),
            into(&topic, 0, identified(&id, "c", "c1")),
            into(&topic, 0, record("b", "b2")),
        ])
        .await;
    if !case.traits().cleans {
        case.journal.clean(EPOCH).await.expect("a backend that cleans by itself does nothing");
        return;
    }
    case.journal.clean(EPOCH).await.expect("clean");
    let found = case.drain(&topic, 0).await;
    assert_eq!(texts(&found), ["a2", "c1", "b2"]);
    assert_eq!(found[0].offset, receipts[2].position.offset, "what stays keeps its offset");
    case.append(vec![into(&topic, 0, Record { value: None, ..record("a", "") })]).await;
    case.append(vec![into(&topic, 0, record("b", "b3"))]).await;
    case.journal.clean(EPOCH).await.expect("clean");
    case.journal.clean(EPOCH).await.expect("cleaning twice is cleaning once");
    let found = case.drain(&topic, 0).await;
    let values: Vec<_> = found.iter().map(|s| s.record.value.as_deref()).collect();
    assert_eq!(values, [Some(&b"c1"[..]), None, Some(b"b3")], "a tombstone is the last of its key");
    let mut session = case.join("g", &[&topic]).await;
    let batch = case.take(&mut *session, 3).await;
    assert_eq!(
        batch.records.iter().map(|r| &r.record).collect::<Vec<_>>(),
        found.iter().map(|s| &s.record).collect::<Vec<_>>()
    );
    let again = case.append(vec![into(&topic, 0, identified(&id, "c", "c1"))]).await;
    assert_eq!(again[0].duplicate, case.traits().id_index, "an id that is still there is known");
    assert_eq!(case.journal.verify().await.expect("verify").damage, [], "what was cleaned away is no damage");
}
