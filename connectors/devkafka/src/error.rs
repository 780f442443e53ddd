//! What can go wrong around a development broker.

use std::path::PathBuf;

/// What can go wrong around a development broker.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A program that is needed is missing.
    #[error("`{program}` is needed and was not found; install {install}")]
    Missing {
        /// The program.
        program: &'static str,
        /// What to install.
        install: &'static str,
    },
    /// A program that was run failed.
    #[error("{what} failed: {output}")]
    Failed {
        /// What was attempted.
        what: &'static str,
        /// What the program said last.
        output: String,
    },
    /// Something else listens there.
    #[error("port {0} is taken by something else; choose another with --port")]
    PortTaken(u16),
    /// The instance runs on another port.
    #[error("broker `{instance}` already runs on port {running}, not {asked}; stop it first or give it another name")]
    OtherPort {
        /// Name of the instance.
        instance: String,
        /// The port it listens on.
        running: u16,
        /// The port that was asked for.
        asked: u16,
    },
    /// An instance name that is no folder name.
    #[error("`{0}` is not an instance name: 1 to 64 characters of a-z A-Z 0-9 _ -")]
    Name(String),
    /// The broker's process ended while it was starting.
    #[error("the broker ended while it was starting; see {}\n{tail}", log.display())]
    Died {
        /// Its log.
        log: PathBuf,
        /// The end of its log.
        tail: String,
    },
    /// The broker does not answer.
    #[error("the broker on port {port} does not answer; see {}\n{tail}", log.display())]
    Silent {
        /// Its port.
        port: u16,
        /// Its log.
        log: PathBuf,
        /// The end of its log.
        tail: String,
    },
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is neither `STILLHOUSE_DEV_DIR` nor `HOME`.
    #[error("no place for the broker: set HOME or STILLHOUSE_DEV_DIR")]
    NoHome,
}

/// The result of what is done to a development broker.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Names the file in an I/O error.
pub(crate) fn at(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.into();
    move |source| Error::File { path, source }
}
