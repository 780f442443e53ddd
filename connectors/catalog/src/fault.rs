//! What can go wrong.

use std::path::{Path, PathBuf};

/// Why a catalog cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The file is damaged, or is no catalog of this version.
    #[error("{}: {what}; remove its folder, and it is made again from the log", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The disk is full.
    #[error("{}: the disk is full", path.display())]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// Another process writes it.
    #[error("{}: another process writes this index; let one process run the indexer of a data directory", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// There is no catalog yet.
    #[error("{}: there is no index yet", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// Anything else that SQLite says.
    #[error("{}: {what}", path.display())]
    Failed {
        /// The file.
        path: PathBuf,
        /// What it says.
        what: String,
    },
}

impl CatalogError {
    pub(crate) fn of(path: &Path, error: &rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{DatabaseBusy, DatabaseCorrupt, DatabaseLocked, DiskFull, NotADatabase};
        let (path, what) = (path.to_owned(), error.to_string());
        match error.sqlite_error_code() {
            Some(DatabaseCorrupt | NotADatabase) => Self::Unusable { path, what },
            Some(DiskFull) => Self::Full { path },
            Some(DatabaseBusy | DatabaseLocked) => Self::Busy { path },
            _ => Self::Failed { path, what },
        }
    }
}
