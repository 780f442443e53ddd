//! What was changed on Kafka after it was sealed is found, by the position of the first record that differs.

use crate::harness::{Broker, Reader, Runs, Stack};
use serde_json::Value;
use stillhouse_streams::{Append, Cleanup, TopicSpec};

fn verified(stack: &Stack, args: &[&str]) -> (Option<i32>, Value) {
    let ended = stack.run(&[&["verify", "-o", "json"], args].concat());
    let json = serde_json::from_str(&ended.stdout).unwrap_or_else(|e| panic!("{e}: {ended:?}"));
    (ended.code, json)
}

#[test]
fn what_was_changed_on_kafka_after_it_was_sealed_is_named() {
    let stack = Stack::kafka(Broker::shared(), 1);
    let runs = Runs::new(77);
    stack.feed(&["append", "runs"], runs.lines(0..12).as_bytes()).ok();
    let (code, whole) = verified(&stack, &["--seal"]);
    assert_eq!((code, &whole["damage"]), (Some(0), &Value::Array(vec![])), "{whole}");
    let note = whole["note"].as_str().expect("a note");
    assert!(
        note.starts_with("seals: 12 records as they were sealed") && note.contains(" 0 partitions go on"),
        "{note}"
    );

    // What comes later is sealed by a second call and chained to the first.
    stack.feed(&["append", "runs"], runs.lines(12..20).as_bytes()).ok();
    let (code, whole) = verified(&stack, &["--seal"]);
    assert_eq!(code, Some(0), "{whole}");
    assert!(whole["note"].as_str().is_some_and(|note| note.starts_with("seals: 20 records")), "{whole}");

    // Somebody with the rights of an administrator makes the topic anew, with one word of one run changed.
    let reader = Reader::of(&stack);
    let topic = reader.physical("runs");
    let before = reader.records("runs");
    reader.block_on(async |journal| {
        journal.delete_topic(&topic).await.expect("deleted");
        let spec = TopicSpec { name: topic.clone(), partitions: 1, cleanup: Cleanup::Keep };
        journal.ensure(&[spec]).await.expect("made anew");
        let mut records = before.clone();
        assert_eq!(records.len(), 20);
        let value = records[7].value.as_deref().expect("a value").to_vec();
        records[7].value = Some([&value[..value.len() - 1], b"\x02"].concat().into());
        let topic = std::sync::Arc::<str>::from(topic.as_str());
        let batch = records.into_iter().map(|record| Append { topic: topic.clone(), partition: Some(0), record });
        journal.append(batch.collect()).await.expect("appended");
    });
    let (code, found) = verified(&stack, &[]);
    assert_eq!(code, Some(6), "{found}");
    // At the latest that record; before it, where the marker of a transaction stood and a record stands now.
    let place = found["damage"][0]["place"].as_str().expect("a place");
    let offset = place.strip_prefix(&format!("{topic}/0/")).and_then(|offset| offset.parse::<u64>().ok());
    assert!(offset.is_some_and(|offset| offset <= 7 + 2), "{found}");
}
