//! What a processor is to the runner.

use super::Join;
use crate::{Progress, Received, Record};
use async_trait::async_trait;
use std::sync::Arc;

/// A processor from topics to topics. Pure: the same records give the same output bytes, in whatever batches.
///
/// The runner does the rest: assignment, batching, concurrency by key with order kept per key, retries with back-off,
/// dead letters, emitting and committing in one step.
#[async_trait]
pub trait Transform: Send + Sync + 'static {
    /// One result per record, in order. Records with one key come in order, in one lane.
    async fn apply(&self, batch: &[Received]) -> Vec<Result<Vec<Emit>, Fault>>;

    /// The join that it is, if it is one: the runner then calls that, and never [`Self::apply`].
    fn join(&self) -> Option<Arc<dyn Join>> {
        None
    }
}

/// A processor from topics to a store outside the journal.
///
/// The store keeps the progress in the same commit as the data, because it cannot join the journal's transaction;
/// applying a batch twice changes nothing.
#[async_trait]
pub trait Projection: Send + 'static {
    /// Next offsets, as the store has them. Partitions that are missing begin at the beginning.
    async fn progress(&self) -> Result<Progress, Fault>;

    /// Takes records and the progress that covers them, in one commit of the store.
    async fn apply(&mut self, batch: &[Received], progress: &Progress) -> Result<(), Fault>;
}

/// A record to emit, for a logical topic; the generation decides the physical one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emit {
    /// Logical topic.
    pub topic: &'static str,
    /// The record.
    pub record: Record,
}

/// Why a record could not be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It may work later: tried again with back-off.
    Transient(String),
    /// It will never work: dead-lettered at once.
    Lasting {
        /// A stable word for it, such as `decode`.
        kind: &'static str,
        /// In words.
        message: String,
    },
}
