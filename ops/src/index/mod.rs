//! The index: what can be searched, made of the `embeddings` topic and thrown away at will.
//!
//! ```text
//!   embeddings.<g> ─┐
//!   decisions ──────┴─▶ keeper ─▶ catalog (rows, text, progress: one commit) ─▶ live ─▶ search
//!                                                        vectors in memory, or on disk in Lance
//! ```
//!
//! - Every generation of the embedder has an index of its own in `<data>/index/<generation>`, so that another model or
//!   another template is tried beside the live one, and promoting the embedder swaps what is searched.
//! - [`keeper`] follows the log; [`live`] follows the catalog, in the same process or in another; [`search`] asks both.
//! - Losing the folder costs a rewind: it is made again from the log, and says the same.
//!
//! What is absent: any truth. A recalled run and an erased person leave the index as they leave every other view.

#[cfg(feature = "lance")]
mod disk;
pub mod keeper;
pub mod live;
mod memory;
mod rank;
pub mod search;
pub mod service;
mod shelf;

use crate::context::Context;
use crate::failure::{Failure, Outcome, Status};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use stillhouse_catalog::{CatalogError, Reader};
use stillhouse_processors::control::{Generations, State};
use stillhouse_processors::embedder::{self, Corpus, corpus};
use stillhouse_streams::{GroupState, Progress};

/// Where the index of a generation of the embedder is.
pub fn folder(context: &Context, generation: &str) -> PathBuf {
    context.data().join("index").join(generation)
}

/// How far each index is in the log, as a group of consumers says it; a member is a process that keeps it.
pub fn views(context: &Context) -> Vec<GroupState> {
    let folders = std::fs::read_dir(context.data().join("index")).into_iter().flatten().flatten();
    let names = folders.filter_map(|entry| entry.file_name().into_string().ok());
    let view = |name: String| {
        let dir = folder(context, &name);
        // One that is being made, or cannot be read, is none: the keeper says what is wrong with it.
        let known = Reader::open(&dir).and_then(|reader| reader.progress()).ok()?;
        let mut progress = Progress::default();
        for topic in keeper::topics(context, &name) {
            progress.set(topic.as_str(), 0, 0);
        }
        for (topic, partition, next) in known {
            progress.set(topic.as_str(), partition, next);
        }
        let members = usize::from(stillhouse_catalog::is_kept(&dir));
        Some(GroupState { group: context.names.group(keeper::NAME, &name), members, progress })
    };
    names.filter_map(view).collect()
}

/// Readers of one catalog: each answers one question at a time.
struct Readers {
    readers: Vec<Reader>,
    turn: AtomicUsize,
}

impl Readers {
    fn open(dir: &Path, count: usize) -> Result<Self, CatalogError> {
        let readers = (0..count.max(1)).map(|_| Reader::open(dir)).collect::<Result<_, _>>()?;
        Ok(Self { readers, turn: AtomicUsize::new(0) })
    }

    fn pick(&self) -> &Reader {
        &self.readers[self.turn.fetch_add(1, Ordering::Relaxed) % self.readers.len()]
    }
}

/// The corpora of a generation of the embedder.
pub fn corpora(generations: &Generations, generation: &str) -> Outcome<Vec<Corpus>> {
    let definition =
        stillhouse_processors::processor(embedder::NAME).map_err(|e| Failure::new(Status::Failed, e.to_string()))?;
    let found =
        generations.of(embedder::NAME).find(|g| g.name == generation && g.state == State::Active).ok_or_else(|| {
            Failure::new(Status::NotFound, format!("there is no generation `{generation}` of the embedder"))
        })?;
    let settings =
        definition.settings(&found.settings).map_err(|e| Failure::new(Status::Config, format!("embedder: {e}")))?;
    corpus::parse(settings.word("corpora"), settings.word("model")).map_err(|e| Failure::new(Status::Config, e))
}

impl From<CatalogError> for Failure {
    fn from(error: CatalogError) -> Self {
        let status = match &error {
            CatalogError::Missing { .. } => Status::NotFound,
            CatalogError::Unusable { .. } => Status::Invalid,
            _ => Status::Failed,
        };
        Self::new(status, error.to_string())
    }
}
