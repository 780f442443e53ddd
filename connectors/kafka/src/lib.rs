//! Apache Kafka behind the journal's contract: how users outgrow one machine.
//!
//! Promises: appends and commits are Kafka transactions, so that batches over several topics, and a group's progress
//! with its outputs, are visible wholly or not at all to `read_committed` readers, which all of ours are. Every call
//! ends within the [`Options::timeout`] (a little more where several steps follow each other), broker or no broker.
//!
//! **The producer rule.** librdkafka speaks the transaction protocol in which an `EndTxn` that was delayed on its way
//! can end a *later* transaction. Against that, a producer is dropped and built anew (which raises its epoch, so that
//! the broker refuses what is late) after every failed or unclear transactional call, and also after a transaction
//! that succeeded while a connection broke or a request timed out: librdkafka repeats an `EndTxn` by itself then and
//! reports nothing but success. `tests/delayed_end.rs` shows the harm without the rule, and none with it.
//!
//! Deliberately lacks: an index of ids (a repeated append is written again; folds drop it, `find` knows nothing), hash
//! chains (brokers check a CRC per batch), and any durability beyond the brokers': a single broker acknowledges before
//! it has flushed, unless it is told otherwise.

mod admin;
mod append;
pub mod bench;
mod client;
mod convert;
mod error;
mod groups;
mod journal;
mod member;
mod ownership;
mod scan;
mod session;
mod settings;
mod transaction;

pub use journal::KafkaJournal;
pub use settings::Options;
