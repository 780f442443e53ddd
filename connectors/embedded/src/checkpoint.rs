//! Copies the write-ahead log into the database off the writer's path.
//!
//! While others write, a pass never reaches the end of the log, and the log only begins anew from its end. So a pass
//! here does the bulk, and when little is left the writer does the rest between two transactions.

use crate::fault::{Stage, Verdict, judge};
use crate::shared::Shared;
use rusqlite::Connection;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use stillhouse_streams::ErrorKind;

/// Pages in the log from which on it is worth copying: 16 MiB.
pub(crate) const WORTHWHILE: u64 = 4_000;
/// From here on the writer copies the rest however much it is: the log must not grow for ever.
const LARGE: u64 = 8 * WORTHWHILE;
/// Few enough for the writer to copy in between.
const REST: u64 = 1_000;

/// Pages in the log and pages of it already copied. Nothing of it stops writers or readers.
pub(crate) fn passive(conn: &Connection) -> Result<(u64, u64), Verdict> {
    let passed = conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
        Ok((row.get::<_, i64>(1)?.max(0) as u64, row.get::<_, i64>(2)?.max(0) as u64))
    });
    passed.map_err(|error| judge(conn, Stage::Read, &error))
}

/// Runs until the journal closes; parked unless the writer says that the log has grown.
pub(crate) fn run(conn: Connection, shared: Arc<Shared>, pages: Arc<AtomicU64>, finish: Arc<AtomicBool>) {
    loop {
        if shared.closed.load(Ordering::Acquire) {
            return;
        }
        if pages.load(Ordering::Acquire) < WORTHWHILE || finish.load(Ordering::Acquire) {
            std::thread::park();
            continue;
        }
        match passive(&conn) {
            Ok((log, done)) if done >= log => pages.store(0, Ordering::Release),
            Ok((log, done)) if log - done <= REST || log >= LARGE => {
                finish.store(true, Ordering::Release);
                pages.store(0, Ordering::Release);
            }
            Ok(_) => std::thread::sleep(std::time::Duration::from_millis(20)),
            Err(verdict) => {
                shared.note_checkpoint(&verdict);
                pages.store(0, Ordering::Release);
            }
        }
    }
}

impl Shared {
    /// A copy that failed loses nothing, since the log stays; but a failed sync means that no later one can be
    /// believed.
    pub(crate) fn note_checkpoint(&self, verdict: &Verdict) {
        match verdict.kind {
            ErrorKind::Retry | ErrorKind::Full => tracing::debug!(error = %verdict.message, "the log stays for now"),
            _ => tracing::warn!(error = %verdict.message, "the log could not be copied into the database"),
        }
        if verdict.fatal {
            let _ = self.failed.set(verdict.message.clone());
        }
    }
}
