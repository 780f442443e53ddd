//! Processors: functions from events to events, and the table of all.
//!
//! Everything here is pure. There is no clock, no randomness, no file, no network and no environment in this crate:
//! `clippy.toml` bans them by name and says what to do instead. The same events give the same output bytes, in whatever
//! batches, on whatever journal; nothing but `causes[].topic/partition/offset` depends on where an event stands.
//! Iteration over hash maps is banned with the rest, because its order is a kind of randomness.
//!
//! - [`table`]: all processors, with inputs, outputs and settings.
//! - [`assembler`], [`materializer`], [`scorer`], [`reconciler`], [`validator`], [`embedder`], [`exporter`], [`replayer`], [`auditor`]: the processors; [`firewall`]: what
//!   may enter training data.
//! - [`transform`]: what a processor says, and what is signed for it (ids, causes, times).
//! - [`join`]: the same for processors that see all events with one key.
//! - [`settings`]: what can be set, checked and hashed.
//! - [`decisions`]: what operators decided. [`quarantine`]: what is left out now, and what of it may be let in.
//! - [`contracts`]: the JSONL files that others build on, pinned.
//! - [`control`]: which generation a logical topic means. [`diff`]: two generations compared.
//! - [`seals`]: digests of ranges of a log that has no hash chain.
//! - [`wire`]: events to records and back.
//!
//! What is absent: any knowledge of a backend, and any state between events: a join is handed all it has to know.

#![warn(clippy::iter_over_hash_type)]

pub mod assembler;
pub mod auditor;
mod chunking;
pub mod contracts;
pub mod control;
pub mod decisions;
pub mod diff;
pub mod embedder;
pub mod exporter;
pub mod firewall;
pub mod join;
pub mod materializer;
mod nearest;
pub mod quarantine;
pub mod reconciler;
pub mod replayer;
pub mod scorer;
pub mod seals;
pub mod settings;
pub mod table;
pub mod transform;
pub mod validator;
pub mod wire;

pub use control::Generations;
pub use decisions::Decisions;
pub use join::{EventJoin, JoinAdapter};
pub use nearest::nearest;
pub use settings::{Setting, SettingError, Settings, Takes};
pub use table::{Definition, Kind, PROCESSORS, processor};
pub use transform::{Adapter, Ask, Draft, EventTransform, Known, Maker, Ports};
