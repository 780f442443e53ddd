//! The formats of data files. Adding one is a file and an entry in the table of whoever owns it.

mod jsonl;
mod parquet;

pub use jsonl::JSONL;
pub use parquet::PARQUET;

use super::{Column, DatasetError};
use std::fmt;
use std::path::Path;

/// A format.
pub trait Format: fmt::Debug + Sync {
    /// Name, as on the command line and in manifests.
    fn name(&self) -> &'static str;

    /// End of the names of its files.
    fn extension(&self) -> &'static str {
        self.name()
    }

    /// What it is, in a sentence.
    fn doc(&self) -> &'static str;

    /// Whether the same rows give the same bytes. Otherwise datasets are compared by their content.
    fn fixed_bytes(&self) -> bool {
        true
    }

    /// Whether rows are spread over several files when they are many. Otherwise a split is one file or directory.
    fn sharded(&self) -> bool {
        true
    }

    /// Whether a reader is told the columns by the file, so that each is there even if no row has a value for it.
    fn typed(&self) -> bool {
        true
    }

    /// Begins a file (or directory) at `path`, which is not there yet.
    fn create(&self, path: &Path, columns: &[Column]) -> Result<Box<dyn Rows>, DatasetError>;
}

/// Takes rows in order.
pub trait Rows: Send {
    /// Takes a row: a line of JSON, without its end.
    fn row(&mut self, line: &[u8]) -> Result<(), DatasetError>;

    /// Writes what is left, durably. Gives the SHA-256 of the file if it is known without reading it.
    fn finish(self: Box<Self>) -> Result<Option<String>, DatasetError>;
}
