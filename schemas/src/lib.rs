//! Events: their schemas, Rust types, JSON shapes and codec. Nothing here knows where events are kept.
//!
//! - The `.avsc` files are the truth; [`EVENTS`] lists the event types that are made of them, [`TOPICS`] the logical
//!   topics that hold them. Adding an event type is a file, a variant of [`Payload`] and a line.
//! - [`Codec`] turns an [`Event`] into a record and back. Every released version of every schema stays readable
//!   (BACKWARD_TRANSITIVE, proven by `fixtures/`).
//! - [`Event::from_json`] and [`Event::to_json`] are the shape for people and HTTP; [`json::parse_strict`] refuses what
//!   two parsers could read in two ways; [`check`] holds the limits that a type cannot.
//! - [`model`] is the port to models, as [`Registry`] is the one to registries.
//! - [`columns`] says what columns of datasets are, to those who make rows and those who write them.
//! - [`ids`] makes event ids. They are forever: the same inputs give the same id in every later release.
//!
//! Deliberately absent: any journal, any file, any clock but the one in [`ids::live`].

// The samples name the crate as its users do.
#[cfg(test)]
extern crate self as stillhouse_schemas;

mod bytes_or_base64;
mod check;
pub mod claims;
mod codec;
pub mod columns;
mod compiled;
mod compose;
mod error;
mod event;
pub mod evolution;
pub mod ids;
pub mod json;
pub mod model;
#[cfg(test)]
mod old_writers;
mod payload;
mod registry;
pub mod roster;
#[cfg(test)]
#[path = "../examples/release/samples.rs"]
mod samples;
mod sealing;
mod settings;
pub mod time;
mod topics;
mod types;

pub use check::{MAX_EXTRA, MAX_KEY_BYTES, MAX_MESSAGES, MAX_TAGS, MAX_TOOL_CALLS, MAX_TOOLS, check};
pub use codec::{Codec, Encoded, MAX_ITEMS, MAX_VALUE_BYTES};
pub use error::{BadEvent, CodecError};
pub use event::{Cause, Envelope, Event, Micros, Producer};
pub use json::{BadJson, Stamp};
pub use payload::*;
pub use registry::{MemoryRegistry, Registry, RegistryError};
pub use sealing::{Keys, KeysError, MemoryKeys, SubjectKey};
pub use settings::config_hash;
pub use topics::{Cleanup, Partitions, TOPICS, Topic, Writer, topic};
pub use types::{EVENTS, EventType, event_type};
