//! Journals to be damaged: copies of their files, and seeds.

use rand::SeedableRng;
use rand::rngs::StdRng;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Whether the long forms are wanted.
pub(crate) fn thorough() -> bool {
    std::env::var("STILLHOUSE_PROOFS").is_ok_and(|value| value == "full")
}

/// The short count, the long one, or a multiple of the short one.
pub(crate) fn times(short: usize, long: usize) -> usize {
    match std::env::var("STILLHOUSE_PROOFS") {
        Ok(value) if value == "full" => long,
        Ok(value) => short * value.parse::<usize>().expect("STILLHOUSE_PROOFS is `full` or a number"),
        Err(_) => short,
    }
}

/// A generator whose seed is said, so that a failure can be had again.
pub(crate) fn dice(what: &str) -> StdRng {
    let seed =
        std::env::var("STILLHOUSE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random::<u64>);
    report(&format!("{what}: STILLHOUSE_SEED={seed}"));
    StdRng::seed_from_u64(seed)
}

#[expect(clippy::print_stderr, reason = "a test's output is read by whoever looks for what failed")]
pub(crate) fn report(line: &str) {
    eprintln!("{line}");
}

/// The files of a journal at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) database: Option<Vec<u8>>,
    pub(crate) log: Option<Vec<u8>>,
    pub(crate) heads: Option<Vec<u8>>,
}

impl Image {
    /// Copies the files as they are. Nobody may write meanwhile.
    pub(crate) fn take(dir: &Path) -> Self {
        let read = |name: &str| std::fs::read(dir.join(name)).ok();
        Self { database: read("journal.db"), log: read("journal.db-wal"), heads: read("journal.head") }
    }

    /// Lays the files out in a directory of their own.
    pub(crate) fn lay_out(&self) -> (TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("journal");
        std::fs::create_dir(&path).expect("a directory");
        for (name, bytes) in
            [("journal.db", &self.database), ("journal.db-wal", &self.log), ("journal.head", &self.heads)]
        {
            if let Some(bytes) = bytes {
                std::fs::write(path.join(name), bytes).expect("written");
            }
        }
        (dir, path)
    }
}
