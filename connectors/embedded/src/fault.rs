//! What SQLite's errors mean to a caller of the journal.

use rusqlite::{Connection, ErrorCode, ffi};
use stillhouse_streams::{Error, ErrorKind};

/// Why a piece of work did not happen.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The journal refused it, before it wrote anything.
    Refused(Error),
    /// SQLite failed; the transaction is gone.
    Store(rusqlite::Error),
}

pub(crate) type Outcome<T> = Result<T, Fault>;

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

/// Where an error of SQLite struck: it decides what is known about the outcome.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Read,
    Write,
    Commit,
}

/// An error that can be given to several callers.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    pub(crate) kind: ErrorKind,
    pub(crate) message: String,
    /// The journal must not write any more.
    pub(crate) fatal: bool,
}

impl Verdict {
    pub(crate) fn error(&self) -> Error {
        Error::new(self.kind, self.message.clone())
    }
}

/// Damage at a place.
pub(crate) fn corrupt(place: impl std::fmt::Display, what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Corrupt, format!("{place} is damaged: {what}"))
}

/// What an error of SQLite means at this stage.
pub(crate) fn judge(conn: &Connection, stage: Stage, error: &rusqlite::Error) -> Verdict {
    let message = |what: &str| format!("the journal {what}: {error}");
    let verdict = |kind, what: &str| Verdict { kind, message: message(what), fatal: false };
    let rusqlite::Error::SqliteFailure(code, _) = error else {
        // Rows and columns that are not what this crate writes.
        return verdict(ErrorKind::Corrupt, "is damaged");
    };
    match code.code {
        ErrorCode::DiskFull => verdict(ErrorKind::Full, "has no space"),
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::OutOfMemory => {
            verdict(ErrorKind::Retry, "is busy")
        }
        ErrorCode::TooBig => verdict(ErrorKind::TooLarge, "cannot hold this"),
        ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied => {
            verdict(ErrorKind::Unavailable, "cannot be opened or written")
        }
        ErrorCode::SystemIoFailure => judge_io(conn, stage, code.extended_code, message),
        // The statements of this crate are right, so a table or column that is not there was taken away.
        _ => verdict(ErrorKind::Corrupt, "is damaged"),
    }
}

fn judge_io(conn: &Connection, stage: Stage, extended: i32, message: impl Fn(&str) -> String) -> Verdict {
    let errno = crate::sys::errno(conn);
    let verdict = |kind, what: &str| Verdict {
        kind,
        message: format!("{} ({})", message(what), std::io::Error::from_raw_os_error(errno)),
        fatal: false,
    };
    match extended {
        // The kernel may have thrown the pages away: a second fsync would succeed and mean nothing.
        ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC => Verdict {
            fatal: true,
            ..verdict(
                if stage == Stage::Read { ErrorKind::Unavailable } else { ErrorKind::Indeterminate },
                "could not be synced to disk and takes no more writes until it is opened again",
            )
        },
        _ if matches!(errno, libc::ENOSPC | libc::EFBIG | libc::EDQUOT) => verdict(ErrorKind::Full, "has no space"),
        ffi::SQLITE_IOERR_READ
        | ffi::SQLITE_IOERR_SHORT_READ
        | ffi::SQLITE_IOERR_CORRUPTFS
        | ffi::SQLITE_IOERR_DATA => verdict(ErrorKind::Corrupt, "cannot be read back"),
        _ if stage == Stage::Commit => verdict(ErrorKind::Indeterminate, "does not know whether it wrote this"),
        _ => verdict(ErrorKind::Unavailable, "failed"),
    }
}

/// A fault as an error to the caller.
pub(crate) fn explain(conn: &Connection, stage: Stage, fault: Fault) -> Error {
    match fault {
        Fault::Refused(error) => error,
        Fault::Store(error) => judge(conn, stage, &error).error().with_source(error),
    }
}
