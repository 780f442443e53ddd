//! What an index holds: the items of its corpora, their parts with text and vector, full-text search over them, and how
//! far the log has been read, all in one SQLite file and therefore in one commit.
//!
//! ```text
//!   Writer::commit(changes, progress) ─▶ items ─ parts ─ text_<shelf> (FTS5) ─ progress
//!                                                 │ rows that came, rows that went
//!   Reader::news ◀────────────────────────────────┘        Reader::find (text), Reader::hits
//! ```
//!
//! - A **shelf** holds the rows of one corpus, one gate and one model. Of a gated corpus every role has a shelf of its
//!   own, and what has no role a shelf that no query names: a search opens shelves, so what it may not see it never
//!   meets, and word statistics of one role do not colour the scores of another.
//! - A **row** is one part of one item. Its number is never used again; a part that changes goes, and another comes.
//! - Of one item in one corpus the latest event counts, by time and then id, in whatever order they come: applying a
//!   batch twice, or two batches the other way round, leaves the same items.
//! - [`Change::Hide`] keeps an item for the day it is shown again; [`Change::Erase`] leaves nothing of it but the
//!   knowledge that it must not come back.
//!
//! One process writes, any number read. The file is a view: it can be thrown away and is then made again by a rewind.
//! What is absent: similarity, roles (the gate is a name to this crate), and the log.

mod fault;
mod read;
mod text;
mod write;

pub use fault::CatalogError;
pub use read::{Filter, Found, Head, Hit, News, Reader, Row, Shelf};
pub use write::{Writer, is_kept};

use std::collections::BTreeMap;

/// Name of the file within the folder of an index.
pub const FILE: &str = "catalog.db";

/// Next offsets: `(topic, partition, next)`.
pub type Progress = Vec<(String, u32, u64)>;

/// An item of a corpus, as one event says it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entry {
    /// Corpus.
    pub corpus: String,
    /// Whose it is, if the corpus is gated; `Some("")`: nobody's. `None`: everybody's.
    pub gate: Option<String>,
    /// Provider, model and version in one word; rows of different models never meet.
    pub model: String,
    /// Floats per vector.
    pub dims: u32,
    /// The item.
    pub item_id: String,
    /// The event.
    pub event_id: String,
    /// When it happened, in microseconds.
    pub occurred_at: i64,
    /// Where it stands.
    pub position: (String, u32, u64),
    /// The run it is about.
    pub run_id: Option<String>,
    /// The key that it was sealed with.
    pub key_id: Option<String>,
    /// Title.
    pub title: Option<String>,
    /// Role, for those who may see it.
    pub role: Option<String>,
    /// What searches may filter by.
    pub metadata: BTreeMap<String, String>,
    /// Text and vector (32-bit floats, little-endian) of each part. None: the item is to be found no more.
    pub parts: Vec<(String, Vec<u8>)>,
}

/// What a commit does.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// An item is as this event says, unless a later one was seen.
    Put(Box<Entry>),
    /// What is of this run is found no more.
    Hide {
        /// The run.
        run_id: String,
    },
    /// What is of this run is found again.
    Show {
        /// The run.
        run_id: String,
    },
    /// What was sealed with this key is gone for good.
    Erase {
        /// The key.
        key_id: String,
    },
}
