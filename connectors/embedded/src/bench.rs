//! The raw limit that the journal is measured beside: SQLite with one table and nothing else.

use rusqlite::Connection;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

/// Inserts `rounds` times `batch` blobs of `size` bytes into a new database at `path`, one durable commit a round
/// (WAL, `synchronous=FULL`), and answers how long that took.
pub fn bare_inserts(path: &Path, rounds: usize, batch: usize, size: usize) -> io::Result<Duration> {
    let run = || -> rusqlite::Result<Duration> {
        let connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "wal_autocheckpoint", 8_000)?;
        connection.execute_batch("CREATE TABLE log (offset INTEGER PRIMARY KEY, value BLOB NOT NULL)")?;
        let value = vec![b'x'; size];
        let started = Instant::now();
        let mut insert = connection.prepare("INSERT INTO log (value) VALUES (?1)")?;
        for _ in 0..rounds {
            connection.execute_batch("BEGIN IMMEDIATE")?;
            for _ in 0..batch {
                insert.execute([&value])?;
            }
            connection.execute_batch("COMMIT")?;
        }
        Ok(started.elapsed())
    };
    run().map_err(io::Error::other)
}
