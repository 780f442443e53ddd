//! What only this journal has: files, formats, reading only, closing, losses.

use crate::model::{self, check, drain};
use crate::scene::Image;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use stillhouse_embedded::{EmbeddedJournal, Options};
use stillhouse_streams::{Cleanup, ErrorKind, Journal, TopicSpec};

fn place() -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("some").join("journal");
    (dir, path)
}

fn open(path: &std::path::Path) -> EmbeddedJournal {
    EmbeddedJournal::open(path, Options::default()).expect("opens")
}

fn refused(path: &std::path::Path, options: Options) -> stillhouse_streams::Error {
    EmbeddedJournal::open(path, options).err().expect("refused")
}

#[tokio::test]
async fn the_directory_is_the_owners_alone() {
    let (_dir, path) = place();
    let journal = open(&path);
    assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o700);
    assert_eq!(journal.uri(), format!("embedded:{}", path.display()));
}

/// What a kill while it was made can leave.
#[tokio::test]
async fn a_journal_half_made_is_made_whole() {
    let (_dir, path) = place();
    std::fs::create_dir_all(&path).expect("made");
    model::ensure(&open(&path)).await;

    let (_dir, path) = place();
    std::fs::create_dir_all(&path).expect("made");
    std::fs::write(path.join("journal.db"), b"").expect("written");
    model::ensure(&open(&path)).await;

    let (_dir, path) = place();
    std::fs::create_dir_all(&path).expect("made");
    let side = rusqlite::Connection::open(path.join("journal.db")).expect("opens");
    side.pragma_update(None, "journal_mode", "WAL").expect("set");
    drop(side);
    assert!(std::fs::metadata(path.join("journal.db")).expect("there").len() > 0);
    model::ensure(&open(&path)).await;
}

#[tokio::test]
async fn a_newer_format_is_refused() {
    let (_dir, path) = place();
    open(&path).close().await.expect("closed");
    let side = rusqlite::Connection::open(path.join("journal.db")).expect("opens");
    side.execute("UPDATE meta SET value = 2 WHERE name = 'format'", []).expect("changed");
    drop(side);
    let error = refused(&path, Options::default());
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("format 2"), "{error}");
}

#[tokio::test]
async fn a_database_of_something_else_is_refused() {
    let (_dir, path) = place();
    std::fs::create_dir_all(&path).expect("made");
    let side = rusqlite::Connection::open(path.join("journal.db")).expect("opens");
    side.execute("CREATE TABLE mine(x)", []).expect("made");
    drop(side);
    let error = refused(&path, Options::default());
    assert!(error.to_string().contains("not a journal"), "{error}");
    let side = rusqlite::Connection::open(path.join("journal.db")).expect("opens");
    let tables: i64 = side.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).expect("counted");
    assert_eq!(tables, 1, "nothing was added");
}

#[tokio::test]
async fn reading_only_writes_nothing() {
    let (_dir, path) = place();
    let read_only = || Options { read_only: true, ..Options::default() };
    assert_eq!(refused(&path, read_only()).kind(), ErrorKind::NotFound);
    assert!(!path.exists());
    let writer = open(&path);
    model::ensure(&writer).await;
    writer.append(model::batch("w", 0, 10, 10)).await.expect("appended");
    let reader = EmbeddedJournal::open(&path, read_only()).expect("opens");
    assert_eq!(check(&reader).await.expect("whole").batches("w"), [0]);
    writer.append(model::batch("w", 1, 10, 10)).await.expect("appended");
    assert_eq!(check(&reader).await.expect("whole").batches("w"), [0, 1]);
    let before = Image::take(&path);
    let error = reader.append(model::batch("r", 0, 1, 10)).await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(reader.clean(0).await.expect_err("refused").kind(), ErrorKind::Invalid);
    assert_eq!(Image::take(&path), before);
}

#[tokio::test]
async fn losses_are_accepted_once_and_written_down() {
    let (_dir, path) = place();
    let journal = open(&path);
    model::ensure(&journal).await;
    journal.append(model::batch("w", 0, 10, 10)).await.expect("appended");
    journal.close().await.expect("closed");
    let backup = std::fs::read(path.join("journal.db")).expect("read");
    let journal = open(&path);
    journal.append(model::batch("w", 1, 10, 10)).await.expect("appended");
    journal.close().await.expect("closed");
    std::fs::write(path.join("journal.db"), backup).expect("restored");

    let error = refused(&path, Options::default());
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let text = error.to_string();
    assert!(
        text.contains("runs/0/3")
            && text.contains("offsets 3 to 5 were acknowledged, and are missing")
            && text.contains("--accept-loss"),
        "{text}"
    );
    let examined = EmbeddedJournal::examine(&path).expect("read");
    assert!(examined.damage.iter().any(|damage| damage.place == "runs/0/3"), "{examined:?}");
    assert_eq!(examined.records, 10);

    let journal = EmbeddedJournal::open(&path, Options { accept_loss: true, ..Options::default() }).expect("opens");
    journal.append(model::batch("w", 2, 10, 10)).await.expect("appended");
    journal.close().await.expect("closed");
    let journal = open(&path);
    assert_eq!(check(&journal).await.expect("whole").batches("w"), [0, 2]);
    let verified = journal.verify().await.expect("verified");
    assert_eq!(verified.damage, []);
    assert!(verified.losses.iter().any(|loss| loss.place == "runs/0/3"), "{:?}", verified.losses);
}

#[tokio::test]
async fn a_journal_that_is_gone_can_be_begun_anew() {
    let (_dir, path) = place();
    let journal = open(&path);
    model::ensure(&journal).await;
    journal.append(model::batch("w", 0, 10, 10)).await.expect("appended");
    journal.close().await.expect("closed");
    std::fs::write(path.join("journal.db"), b"").expect("emptied");
    let error = refused(&path, Options::default());
    assert!(error.to_string().contains("runs/0 was acknowledged up to offset 2"), "{error}");
    let journal = EmbeddedJournal::open(&path, Options { accept_loss: true, ..Options::default() }).expect("opens");
    assert_eq!(journal.topics().await.expect("topics"), []);
    model::ensure(&journal).await;
    journal.append(model::batch("w", 0, 10, 10)).await.expect("appended");
    journal.close().await.expect("closed");
    assert_eq!(check(&open(&path)).await.expect("whole").batches("w"), [0]);
}

#[tokio::test]
async fn removed_topics_raise_no_alarm_and_leave_no_tables() {
    let (_dir, path) = place();
    let journal = open(&path);
    for round in 0..3 {
        model::ensure(&journal).await;
        journal.append(model::batch(&format!("w{round}"), 0, 10, 10)).await.expect("appended");
        journal.delete_topic("runs").await.expect("deleted");
    }
    journal.close().await.expect("closed");
    let journal = open(&path);
    assert_eq!(journal.topics().await.expect("topics").len(), 1);
    assert_eq!(journal.verify().await.expect("verified").damage, []);
    let side = rusqlite::Connection::open(path.join("journal.db")).expect("opens");
    let tables = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND (name GLOB 'p[0-9]*' OR name GLOB 'ids*' OR name GLOB 'blocks*')";
    let tables: i64 = side.query_row(tables, [], |row| row.get(0)).expect("counted");
    assert_eq!(tables, 4, "two partitions and one index");
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_stop_the_write() {
    let (_dir, path) = place();
    let journal = open(&path);
    model::ensure(&journal).await;
    let mut append = journal.append(model::batch("w", 0, 10, 10));
    // Polled once, which queues it, and dropped.
    let first = futures::poll!(append.as_mut());
    assert!(first.is_pending(), "a sync takes longer than this");
    drop(append);
    journal.close().await.expect("closed");
    assert_eq!(check(&open(&path)).await.expect("whole").batches("w"), [0]);
}

#[tokio::test]
async fn after_closing_everything_is_refused() {
    let (_dir, path) = place();
    let journal = open(&path);
    model::ensure(&journal).await;
    let clone = journal.clone();
    journal.close().await.expect("closed");
    journal.close().await.expect("closed again");
    let error = clone.append(model::batch("w", 0, 1, 1)).await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert_eq!(clone.topics().await.expect_err("refused").kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn damage_in_one_topic_leaves_the_others() {
    let (_dir, path) = place();
    let journal = open(&path);
    model::ensure(&journal).await;
    journal.append(model::batch("w", 0, 40, 10)).await.expect("appended");
    let side = rusqlite::Connection::open(path.join("journal.db")).expect("opens");
    // The first partition made is runs/0.
    side.execute("UPDATE p1 SET value = x'00' WHERE offset = 4", []).expect("changed");
    side.execute("DELETE FROM p2 WHERE offset = 7", []).expect("removed");
    drop(side);
    let error = drain(&journal, "runs", 0).await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("runs/0/4"), "{error}");
    let error = drain(&journal, "runs", 1).await.expect_err("refused");
    assert!(error.to_string().contains("runs/1/7"), "{error}");
    assert_eq!(drain(&journal, "scores", 0).await.expect("read").len(), 10);
    let verified = journal.verify().await.expect("verified");
    let places: Vec<&str> = verified.damage.iter().map(|damage| damage.place.as_str()).collect();
    assert_eq!(places, ["runs/0/4", "runs/1/7"], "{verified:?}");
    assert_eq!(verified.heads.len(), 4);
}

#[tokio::test]
async fn compaction_and_retention_keep_the_chain_whole() {
    let (_dir, path) = place();
    let journal = open(&path);
    model::ensure(&journal).await;
    for number in 0..30 {
        journal.append(model::batch("w", number, 8, 10)).await.expect("appended");
    }
    let heads = journal.verify().await.expect("verified").heads;
    let spec = |name: &str, cleanup| TopicSpec { name: name.to_owned(), partitions: model::PARTITIONS, cleanup };
    let retain = Cleanup::Retain(Duration::from_millis(10));
    journal.ensure(&[spec("runs", retain), spec("scores", Cleanup::Compact)]).await.expect("changed");
    journal.clean(30).await.expect("cleaned");
    let runs = drain(&journal, "runs", 0).await.expect("read");
    assert!(runs.iter().all(|stored| stored.record.timestamp >= 20) && runs.len() == 20, "{}", runs.len());
    let scores = drain(&journal, "scores", 1).await.expect("read");
    assert_eq!(scores.iter().map(|stored| stored.offset).collect::<Vec<_>>(), [59]);
    assert_eq!(journal.find("w-0-0").await.expect("asked"), None, "its id went with it");
    let verified = journal.verify().await.expect("verified");
    assert_eq!(verified.damage, []);
    assert_eq!(verified.records, 2 * 20 + 2);
    assert!(
        verified.note.contains("retention removed 80") && verified.note.contains("compaction removed 118"),
        "{}",
        verified.note
    );
    assert_eq!(verified.heads, heads, "what was thrown away does not change the hashes");
    journal.close().await.expect("closed");
    assert_eq!(open(&path).verify().await.expect("verified").heads, heads);
}

/// More ids than are kept unsorted, by two that write in turn.
#[tokio::test]
async fn many_ids_are_known_to_all() {
    let (_dir, path) = place();
    let (one, other) = (open(&path), open(&path));
    model::ensure(&one).await;
    for number in 0..20 {
        let journal = if number % 3 == 0 { &other } else { &one };
        journal.append(model::batch("w", number, 4_000, 1)).await.expect("appended");
    }
    for journal in [&one, &other, &open(&path)] {
        for number in [0, 7, 19] {
            let receipts = journal.append(model::batch("w", number, 4_000, 1)).await.expect("repeated");
            assert!(receipts.iter().all(|receipt| receipt.duplicate), "batch {number}");
            let found = journal.find(&format!("w-{number}-3999")).await.expect("asked");
            assert_eq!(found.as_ref(), receipts.last().map(|receipt| &receipt.position));
        }
        assert_eq!(journal.find("w-20-0").await.expect("asked"), None);
    }
    let sorted = rusqlite::Connection::open(path.join("journal.db")).expect("opens");
    let runs: i64 = sorted.query_row("SELECT count(*) FROM runs", [], |row| row.get(0)).expect("counted");
    assert_eq!(runs, 0, "too few of each topic to be sorted");
    for number in 20..40 {
        one.append(model::batch("w", number, 4_000, 1)).await.expect("appended");
    }
    // The next transaction comes after the sorting.
    one.append(model::batch("w", 40, 4, 1)).await.expect("appended");
    let runs: i64 = sorted.query_row("SELECT count(*) FROM runs", [], |row| row.get(0)).expect("counted");
    assert_eq!(runs, 2, "one of each topic");
    for journal in [&other, &one, &open(&path)] {
        for number in [0, 19, 39, 40] {
            let batch = model::batch("w", number, if number == 40 { 4 } else { 4_000 }, 1);
            let receipts = journal.append(batch).await.expect("repeated");
            assert!(receipts.iter().all(|receipt| receipt.duplicate), "batch {number}");
        }
    }
    assert_eq!(one.verify().await.expect("verified").damage, []);
}
