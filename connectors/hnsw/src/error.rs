//! What can be wrong with a vector, and with files.

use std::io;
use std::path::{Path, PathBuf};

/// A vector that has no place here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VectorError {
    /// Vectors of different models do not mix.
    #[error("the vector has {found} dimensions, the index {expected}: was it made by another model?")]
    Dims {
        /// What the index has.
        expected: usize,
        /// What the vector has.
        found: usize,
    },
    /// NaN or infinite.
    #[error("the vector's element {at} is not a finite number")]
    NotFinite {
        /// The first such element.
        at: usize,
    },
    /// Under cosine.
    #[error("the vector is zero, and cosine distance asks for a direction")]
    Zero,
    /// So long that distances to it overflow.
    #[error("the vector is longer than 1e15, and distances to it would not be finite")]
    TooLong,
}

/// What a call of the index may fail with.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The vector of the call.
    #[error(transparent)]
    Vector(#[from] VectorError),
    /// Settings that cannot be.
    #[error("{0}")]
    Settings(String),
    /// More rows than row numbers.
    #[error("an index holds at most {0} rows: split the corpus")]
    Full(u64),
    /// There is no index in the folder.
    #[error("{}: no index has been dumped here", .0.display())]
    Missing(PathBuf),
    /// A file that is not what the manifest or this version of the format says it is. The folder can be removed: the
    /// index is built again from the log.
    #[error("{}: {reason}; remove the folder to build the index again from the log", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file system.
    #[error("{}: {source}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn refused(path: &Path, reason: impl Into<String>) -> Self {
        Self::Refused { path: path.to_owned(), reason: reason.into() }
    }

    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}
