//! Datasets on disk.
//!
//! ```text
//!   <out>/
//!     sft-3f9c0a1b2d4e/
//!       data/train-00000-of-00001.jsonl    rows in order of (occurred_at, id), shards of at most 256 MiB of rows; also
//!                                          validation and test, .parquet, or directories such as train.lance
//!       lineage.jsonl                      what each row was made of
//!       README.md                          card that Hugging Face `datasets` loads
//!       manifest.json                      what it is made of and the SHA-256 of every file; written last
//!       RECALLED.json                      while it holds a run that is recalled
//!     .sft-….tmp-<pid>-<n>/                one that is being written; removed when that fails, swept if that crashed
//! ```
//!
//! Promises: a directory with the name of a dataset is a whole one (it is built beside, synced, and renamed); the same
//! rows give the same bytes, where the format's are fixed; what is there is never overwritten; memory is bounded by [`Limits::memory`] whatever the
//! number of rows; nothing is written outside the directory that was named, and never through a symbolic link.
//!
//! Lacks on purpose: knowledge of what may be in a row. A [`Builder`] takes rows of one type and of no other, and
//! whoever owns that type decides who can make one.

mod batch;
mod card;
mod columns;
mod formats;
mod holding;
mod lineage;
mod manifest;
mod mark;
mod place;
mod read;
mod sort;
mod write;

pub use batch::{Batch, schema};
pub use columns::{Column, Type};
pub use formats::{Format, JSONL, PARQUET, Rows};
pub use holding::Held;
pub use manifest::{Counts, Cut, File, Maker, Manifest, Split, Stage};
pub use mark::{RECALLED, Recalled, RecalledRun, Tombstone, bury, mark, marked, unmark};
pub use read::{Dataset, RowLine};
pub use sort::{Lent, Sorted, Sorter, Sorting};
pub use write::{About, Builder, Layout, Limits, Written, prepare};

use std::path::{Path, PathBuf};

/// A row as the writer sees it. Rows come in the order that they are to be in.
pub trait Row {
    /// The split that it is in, one of those of the [`Layout`].
    fn split(&self) -> &'static str;
    /// One line of JSON, without the line end.
    fn line(&self) -> &[u8];
    /// What it was made of: a JSON list of objects with `run_id`, `evidence_id`, `score_id`.
    fn origins(&self) -> &[u8];
}

/// Why a dataset could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// The file system said no.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What it said.
        source: std::io::Error,
    },
    /// The place is none to write datasets to.
    #[error("{}: {why}", path.display())]
    Place {
        /// The place.
        path: PathBuf,
        /// Why not, and what to do.
        why: String,
    },
    /// A dataset of this name is there, and is another.
    #[error("{} is there already and differs: {what}; nothing was written. Move it away, or find out which of the two is right", path.display())]
    Differs {
        /// The one that is there.
        path: PathBuf,
        /// In what.
        what: String,
    },
    /// It is no dataset, or one of a newer release.
    #[error("{}: {why}", path.display())]
    NoDataset {
        /// The directory.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// What it holds is not what its manifest says.
    #[error("{} is damaged: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

impl DatasetError {
    /// Whether there was no space: the same call may succeed when there is.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Io { source, .. }
            if matches!(source.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded | std::io::ErrorKind::FileTooLarge))
    }
}

/// Turns an I/O error into one that says what was tried on what.
pub fn on<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(std::io::Error) -> DatasetError + 'a {
    move |source| DatasetError::Io { action, path: path.to_path_buf(), source }
}

#[cfg(test)]
mod tests;
