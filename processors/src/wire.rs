//! Between events and records: the codec knows no log, the log knows no events, and this is where they meet.

use bytes::Bytes;
use std::sync::Arc;
use stillhouse_schemas::{Cause, Codec, CodecError, Encoded, Event};
use stillhouse_streams::{Append, Headers, NOW, Position, Received, Record, Stored};

/// The record of an encoded event, to be stamped by the journal: when the event happened is in its envelope.
pub fn record(encoded: Encoded) -> Record {
    Record {
        headers: Headers::from_pairs(encoded.headers.iter().map(|(name, value)| (*name, Some(value.as_bytes())))),
        key: Some(Bytes::from(encoded.key)),
        value: Some(Bytes::from(encoded.value)),
        timestamp: NOW,
    }
}

/// Encodes an event into a record.
pub fn encode(codec: &Codec, event: &Event) -> Result<Record, CodecError> {
    Ok(record(codec.encode(event)?))
}

/// An encoded event on its way into a physical topic; its key decides the partition.
pub fn append(topic: impl Into<Arc<str>>, codec: &Codec, event: &Event) -> Result<Append, CodecError> {
    Ok(Append { topic: topic.into(), partition: None, record: encode(codec, event)? })
}

/// The event of a record. Nothing for a tombstone, which takes back what its key said and is no event itself.
pub fn decode(codec: &Codec, record: &Record) -> Result<Option<Event>, CodecError> {
    record.value.as_deref().map(|value| codec.decode(value)).transpose()
}

/// The event of a record that a session gave.
pub fn received(codec: &Codec, received: &Received) -> Result<Option<Event>, CodecError> {
    decode(codec, &received.record)
}

/// The event of a record that a scan gave.
pub fn stored(codec: &Codec, stored: &Stored) -> Result<Option<Event>, CodecError> {
    decode(codec, &stored.record)
}

/// An event, where it stands, as the cause of another.
pub fn cause(id: &str, position: &Position) -> Cause {
    Cause {
        id: id.to_owned(),
        topic: position.topic.to_string(),
        // Kafka numbers partitions and offsets in these widths; a journal of ours never gets near their ends.
        partition: i32::try_from(position.partition).unwrap_or(i32::MAX),
        offset: i64::try_from(position.offset).unwrap_or(i64::MAX),
    }
}

/// Where a cause stands; nothing if its numbers cannot be a position.
pub fn position(cause: &Cause) -> Option<Position> {
    let (partition, offset) = (u32::try_from(cause.partition).ok()?, u64::try_from(cause.offset).ok()?);
    Some(Position::new(cause.topic.as_str(), partition, offset))
}
