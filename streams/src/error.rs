//! Errors as instructions: the kind says what the caller should do next, the message says what happened and where.

use std::fmt;

/// What a caller should do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Nothing was written; the same call may succeed later (a lock was busy, a broker is electing).
    Retry,
    /// The journal cannot be reached. Nothing was written; try again after a longer pause.
    Unavailable,
    /// The caller no longer owns a partition it tried to commit for. Nothing was written: rewind the session.
    Fenced,
    /// The outcome of an append or commit is not known: it may have happened. Rewind the session, or append
    /// the same ids again; never treat it as "not written".
    Indeterminate,
    /// There is no space. Nothing was written; reads go on, appends go on by themselves when there is space.
    Full,
    /// A record or batch is larger than the journal takes.
    TooLarge,
    /// An id is already taken by a record with other content; see [`Error::conflicts`]. Nothing was written.
    Conflict,
    /// The request makes no sense (bad topic name, partition out of range). Do not repeat it.
    Invalid,
    /// The topic, partition, group or offset does not exist (any more).
    NotFound,
    /// What is stored is damaged. Stop, and let a human decide; the message names the first bad position.
    Corrupt,
    /// The journal was closed.
    Closed,
}

/// A journal error: a kind to act on, a sentence to read.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    conflicts: Vec<usize>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The result of a journal call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of `kind` with a sentence that names the place.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), conflicts: Vec::new(), source: None }
    }

    /// Keeps what caused it.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// A [`ErrorKind::Conflict`] over the records at these indices of the batch.
    pub fn conflict(indices: Vec<usize>, message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Conflict, message: message.into(), conflicts: indices, source: None }
    }

    /// What to do about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// For [`ErrorKind::Conflict`]: the indices, in the refused batch, of the records whose ids are taken.
    pub fn conflicts(&self) -> &[usize] {
        &self.conflicts
    }

    /// Whether the same call may succeed if it is simply made again later.
    pub fn is_transient(&self) -> bool {
        matches!(self.kind, ErrorKind::Retry | ErrorKind::Unavailable | ErrorKind::Full)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|e| e as _)
    }
}
