//! What a processor could not take, written as an event with the original bytes.

use std::sync::Arc;
use stillhouse_processors::wire;
use stillhouse_schemas::{Cause, Codec, DeadLettered, Envelope, Event, Payload, Producer, RecordHeader, ids};
use stillhouse_streams::runner::{DeadLetters, Refused};
use stillhouse_streams::{Append, Record};

/// Writes the dead letters of one generation.
pub struct Letters {
    /// Physical topic of the letters.
    pub topic: Arc<str>,
    /// The processor, its version and the hash of its settings.
    pub producer: Producer,
    /// Its generation.
    pub generation: String,
    /// Encodes the letters.
    pub codec: Codec,
}

impl DeadLetters for Letters {
    fn letter(&self, refused: &Refused<'_>) -> Append {
        let position = &refused.received.position;
        let record = &refused.received.record;
        let place = position.to_string();
        let Producer { name, version, config_hash } = &self.producer;
        let cause = record.id().filter(|id| ids::check(id).is_ok()).map(|id| Cause {
            id: id.to_owned(),
            topic: position.topic.to_string(),
            partition: i32::try_from(position.partition).unwrap_or(i32::MAX),
            offset: i64::try_from(position.offset).unwrap_or(i64::MAX),
        });
        let letter = DeadLettered {
            processor: name.clone(),
            generation: self.generation.clone(),
            topic: position.topic.to_string(),
            partition: i32::try_from(position.partition).unwrap_or(i32::MAX),
            offset: i64::try_from(position.offset).unwrap_or(i64::MAX),
            error: refused.error.to_owned(),
            kind: refused.kind.to_owned(),
            attempts: i32::try_from(refused.attempts).unwrap_or(i32::MAX),
            record_key: record.key.as_ref().map(|key| key.to_vec()),
            record_value: record.value.as_ref().map(|value| value.to_vec()),
            record_headers: record
                .headers
                .iter()
                .map(|(name, value)| RecordHeader { name: name.to_owned(), value: value.map(<[u8]>::to_vec) })
                .collect(),
            record_timestamp: record.timestamp,
            resolution: String::new(),
        };
        let event = Event {
            envelope: Envelope {
                // The record may have no id that can be trusted: its place names it.
                id: ids::derived(&[&place], name, version, config_hash, "deadletters", 0),
                key: format!("{name}.{}", self.generation),
                occurred_at: record.timestamp.saturating_mul(1_000),
                producer: self.producer.clone(),
                causes: cause.into_iter().collect(),
                ..Envelope::default()
            },
            payload: Payload::DeadLettered(letter),
        };
        let record = wire::encode(&self.codec, &event).unwrap_or_else(|error| {
            // A letter too large to encode must still move the partition on: the place and the reason remain.
            tracing::error!(%error, %place, "a dead letter could not hold the record");
            Record { key: None, value: None, headers: Default::default(), timestamp: record.timestamp }
        });
        Append { topic: self.topic.clone(), partition: None, record }
    }
}
