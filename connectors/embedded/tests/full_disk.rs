//! No space: refused in so many words, reads go on, writing does by itself when there is space again.

use crate::child::{Actor, say};
use crate::model::{self, check};
use std::path::Path;
use stillhouse_embedded::{EmbeddedJournal, Options};
use stillhouse_streams::{ErrorKind, Journal};

/// Sets how large a file may grow.
fn limit(bytes: u64) {
    #[expect(unsafe_code, reason = "the standard library has no limits and no signals")]
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        let mut old = std::mem::MaybeUninit::<libc::rlimit>::uninit();
        assert_eq!(libc::getrlimit(libc::RLIMIT_FSIZE, old.as_mut_ptr()), 0);
        let limit = libc::rlimit { rlim_cur: bytes, rlim_max: old.assume_init().rlim_max };
        assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &limit), 0);
    }
}

/// Writes until there is no space, looks around, gets space, writes on; several times.
pub(crate) async fn starved(dir: &Path) {
    let journal = EmbeddedJournal::open(dir, Options::default()).expect("opens");
    model::ensure(&journal).await;
    let (mut number, mut room) = (0, 2 << 20);
    for round in 0..3 {
        limit(room);
        let refused = loop {
            match journal.append(model::batch("w", number, 50, 1_000)).await {
                Ok(_) => number += 1,
                Err(error) => break error,
            }
            assert!(number < 100_000, "the limit was not met");
        };
        assert_eq!(refused.kind(), ErrorKind::Full, "{refused}");
        assert!(refused.is_transient());
        let found = check(&journal).await.expect("reads go on");
        assert_eq!(found.batches("w").len() as u64, number, "what was refused is not there");
        // Still full, still sound.
        let again = journal.append(model::batch("w", number, 50, 1_000)).await.expect_err("still full");
        assert_eq!(again.kind(), ErrorKind::Full, "{again}");
        limit(libc::RLIM_INFINITY);
        journal.append(model::batch("w", number, 50, 1_000)).await.expect("by itself");
        number += 1;
        // SQLite may have given space back by then; the next limit is above what is there now.
        room = std::fs::metadata(dir.join("journal.db-wal")).map_or(0, |meta| meta.len()) + (2 << 20) + round;
    }
    assert_eq!(journal.verify().await.expect("verified").damage, []);
    say(&format!("survived {number}"));
}

#[tokio::test]
async fn a_full_disk_loses_nothing_and_recovers_by_itself() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("journal");
    let said = Actor::start("starved", &path, "").rest();
    let count: usize = match said.as_slice() {
        [line] => line.strip_prefix("survived ").and_then(|n| n.parse().ok()).expect("a count"),
        other => panic!("it did not survive: {other:?}"),
    };
    let journal = EmbeddedJournal::open(&path, Options::default()).expect("opens");
    assert_eq!(check(&journal).await.expect("whole").batches("w").len(), count);
}
