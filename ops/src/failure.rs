//! How a command ends when it does not end well: a sentence, a remedy, an exit status.

use std::fmt;
use std::process::ExitCode;
use stillhouse_streams::ErrorKind;

/// Exit statuses, as documented in `--help`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// Something failed.
    Failed = 1,
    /// The command line made no sense.
    Usage = 2,
    /// What was asked for does not exist.
    NotFound = 3,
    /// The configuration cannot be used.
    Config = 4,
    /// The journal (or another server) cannot be reached.
    Unreachable = 5,
    /// A check failed: damaged journal, rejected records, differing files.
    Invalid = 6,
    /// Stopped by a signal.
    Interrupted = 130,
}

impl Status {
    fn code(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::NotFound => "not_found",
            Self::Config => "config",
            Self::Unreachable => "unreachable",
            Self::Invalid => "invalid",
            Self::Interrupted => "interrupted",
        }
    }
}

/// The end of a command that did not end well.
#[derive(Debug)]
pub struct Failure {
    /// Exit status.
    pub status: Status,
    /// What happened, and where.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Said already (or nobody listens: a closed pipe): print nothing.
    pub silent: bool,
}

/// What a command returns.
pub type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// A failure with a sentence.
    pub fn new(status: Status, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), hint: None, silent: false }
    }

    /// The same, with what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A failure that has been reported in full before.
    pub fn silent(status: Status) -> Self {
        Self { status, message: String::new(), hint: None, silent: true }
    }

    /// Whether what is stored is damaged.
    pub fn is_damage(&self) -> bool {
        self.status == Status::Invalid
    }

    /// The exit status for the operating system.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.status as u8)
    }

    /// As one JSON object: `{"error":{"code","message","hint"}}`.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({"error": {"code": self.status.code(), "message": self.message, "hint": self.hint}})
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<stillhouse_streams::Error> for Failure {
    fn from(error: stillhouse_streams::Error) -> Self {
        let (status, hint) = match error.kind() {
            ErrorKind::Unavailable => (Status::Unreachable, Some("`stillhouse doctor` checks the connection")),
            ErrorKind::NotFound => (Status::NotFound, None),
            ErrorKind::Invalid => (Status::Usage, None),
            ErrorKind::Corrupt => (Status::Invalid, Some("`stillhouse verify` lists all that is damaged")),
            ErrorKind::Full => (Status::Failed, Some("free some space: appends go on by themselves then")),
            ErrorKind::Indeterminate => {
                (Status::Failed, Some("it may have happened; repeating the command is safe, ids make it harmless"))
            }
            _ => (Status::Failed, None),
        };
        Self { status, message: error.to_string(), hint: hint.map(Into::into), silent: false }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(Status::Failed, format!("{error:#}"))
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Self::silent(Status::Failed);
        }
        Self::new(Status::Failed, error.to_string())
    }
}
