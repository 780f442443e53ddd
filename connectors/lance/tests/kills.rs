//! A process that writes is killed again and again: what is there is always what its progress says.

use crate::scene::{Dice, engine, numbers, open_or_create, rows};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// Says to the child that it is one, and where to write.
const PLACE: &str = "STILLHOUSE_TEST_LANCE_PLACE";
const BATCH: i64 = 40;
const BATCHES: i64 = 60;

fn came(batch: i64) -> std::ops::RangeInclusive<i64> {
    batch * BATCH + 1..=(batch + 1) * BATCH
}

/// Rows of earlier batches that go with this one.
fn went(batch: i64) -> Vec<i64> {
    let mut dice = Dice(batch.unsigned_abs() + 1);
    (0..5).map(|_| dice.below((batch * BATCH + 1).unsigned_abs()) as i64).collect()
}

fn expected(batches: i64) -> BTreeSet<i64> {
    let mut rows = BTreeSet::new();
    for batch in 0..batches {
        rows.extend(came(batch));
        for row in went(batch) {
            rows.remove(&row);
        }
    }
    rows
}

/// In the child: writes on from where the store says it is, and says what was committed.
#[test]
fn child() {
    let Ok(place) = std::env::var(PLACE) else { return };
    let store = open_or_create(&engine(), &place);
    let begun = store.progress().parse().unwrap_or(0);
    for batch in begun..BATCHES {
        store.apply(&rows(came(batch)), &went(batch), &(batch + 1).to_string()).expect("applied");
        use std::io::Write;
        let mut out = std::io::stderr().lock();
        writeln!(out, "committed {}", batch + 1).expect("said");
        drop(out);
        store.maintain().expect("upkeep");
    }
}

#[test]
fn what_is_there_after_a_kill_is_what_progress_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = folder.path().join("vectors");
    let place = place.to_str().expect("a path");
    let mut dice = Dice(11);
    let mut kills = 0;
    loop {
        let mut child = Command::new(std::env::current_exe().expect("this"))
            .args(["--exact", "kills::child", "--nocapture"])
            .env(PLACE, place)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a child");
        // Killed after some commits and some of the next: what was said is there, what was under way may be.
        let after = dice.below(7);
        let mut said = 0;
        let lines = BufReader::new(child.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
        for (seen, line) in (1..).zip(lines.filter(|line| line.starts_with("committed "))) {
            said = line["committed ".len()..].parse().expect("a number");
            if seen > after {
                (0..dice.below(200_000)).for_each(|n| assert!(std::hint::black_box(n) < 200_000));
                child.kill().expect("killed");
                kills += 1;
                break;
            }
        }
        child.wait().expect("ended");
        let store = open_or_create(&engine(), place);
        let progress: i64 = store.progress().parse().unwrap_or(0);
        assert!(progress >= said, "{progress} after {said} was said");
        assert_eq!(numbers(&store), expected(progress), "after {progress}");
        if progress == BATCHES {
            break;
        }
    }
    assert!(kills >= 6, "{kills} kills");
}
