//! What can go wrong with a store.

/// Why a store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is none yet.
    #[error("{uri}: there are no vectors yet")]
    Missing {
        /// Where.
        uri: String,
    },
    /// It is damaged, or not a store of this version, or of another shelf.
    #[error("{uri}: {what}; remove it, and it is made again")]
    Unusable {
        /// Where.
        uri: String,
        /// What is wrong with it.
        what: String,
    },
    /// A place that this build cannot reach.
    #[error("{uri}: `{scheme}:` is not known here; vectors are kept at a path, or under `file:` or `memory:`")]
    Scheme {
        /// The place.
        uri: String,
        /// Its scheme.
        scheme: String,
    },
    /// Another process writes it.
    #[error("{uri}: another process wrote these vectors; let one process write them")]
    Busy {
        /// Where.
        uri: String,
    },
    /// The disk is full.
    #[error("{uri}: the disk is full")]
    Full {
        /// Where.
        uri: String,
    },
    /// A vector of another model.
    #[error("the vector has {found} dimensions, these vectors {expected}: was it made by another model?")]
    Dims {
        /// What the store has.
        expected: usize,
        /// What the vector has.
        found: usize,
    },
    /// A vector that cannot be compared.
    #[error("the vector has no direction: it is zero, or holds what is no number")]
    Direction,
    /// Anything else that Lance says.
    #[error("{uri}: {what}")]
    Failed {
        /// Where.
        uri: String,
        /// What it says.
        what: String,
    },
}

impl StoreError {
    pub(crate) fn of(uri: &str, error: &lance::Error) -> Self {
        use lance::Error as E;
        let (uri, what) = (uri.to_owned(), words(&error.to_string()));
        match error {
            E::DatasetNotFound { .. } => Self::Missing { uri },
            E::CorruptFile { .. } | E::Schema { .. } | E::VersionNotFound { .. } => Self::Unusable { uri, what },
            E::CommitConflict { .. } | E::RetryableCommitConflict { .. } | E::TooMuchWriteContention { .. } => {
                Self::Busy { uri }
            }
            _ if what.contains("No space left") || what.contains("StorageFull") => Self::Full { uri },
            _ => Self::Failed { uri, what },
        }
    }

    pub(crate) fn unusable(uri: &str, what: impl Into<String>) -> Self {
        Self::Unusable { uri: uri.to_owned(), what: what.into() }
    }

    pub(crate) fn failed(uri: &str, what: impl Into<String>) -> Self {
        Self::Failed { uri: uri.to_owned(), what: what.into() }
    }

    /// The same, of a store that could not even be opened: what is there cannot be read, so it is of no use.
    pub(crate) fn at_opening(self) -> Self {
        match self {
            Self::Failed { uri, what } => Self::Unusable { uri, what },
            error => error,
        }
    }
}

/// What Lance says, without where in its source it says so.
fn words(said: &str) -> String {
    let words = |piece: &&str| !piece.contains(".rs:") || piece.contains(' ');
    said.split(", ").filter(words).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    #[test]
    fn places_in_sources_are_no_news_to_a_reader() {
        let said = "LanceError(IO): no such file, a/b.lance, /some/where/src/reader.rs:12:5";
        assert_eq!(super::words(said), "LanceError(IO): no such file, a/b.lance");
    }
}
