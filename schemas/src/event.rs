//! The envelope that every event has, and the event itself.

use crate::payload::Payload;
use serde::{Deserialize, Serialize};

/// Microseconds since the Unix epoch, UTC (Avro `timestamp-micros`).
pub type Micros = i64;

/// What every event says about itself, whatever it is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// Identity: an imported event's is a UUIDv5 of its source and key there, a live one's a UUIDv7, a derived one's
    /// a UUIDv5 of what it was derived from and by. Characters `[A-Za-z0-9._:-]`, at most 128, the first alphanumeric.
    pub id: String,
    /// What the record is keyed by in its topic: the run id for everything about a run.
    pub key: String,
    /// When it happened, by its producer; a derived event has the latest of its causes. Order of rows in datasets is
    /// by (`occurred_at`, `id`).
    pub occurred_at: Micros,
    /// Whom it is about, if a person. Decides whose key seals the payload.
    #[serde(default)]
    pub subject: Option<String>,
    /// Who made it.
    pub producer: Producer,
    /// What it was derived from, in order. Empty for what came from outside.
    #[serde(default)]
    pub causes: Vec<Cause>,
    /// W3C trace context of the work that made it.
    #[serde(default)]
    pub traceparent: Option<String>,
}

/// The maker of an event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Producer {
    /// For example `import/tau-bench`, `scorer`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Hash of its settings, 16 hex digits; empty when it has none.
    #[serde(default)]
    pub config_hash: String,
}

/// One event that another was made from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// Id of the event.
    pub id: String,
    /// Physical topic it was read from.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
}

/// An event: envelope and opened payload.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// About itself.
    pub envelope: Envelope,
    /// What it says.
    pub payload: Payload,
}
