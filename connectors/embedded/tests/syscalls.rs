//! Every system call as a place to die, or to fail, in; and the order of syncs and answers. Needs strace, which
//! `make setup-tests` installs; fails without it. The short form takes every sixth point.

use crate::child::{ROLE_ENVIRONMENT, say};
use crate::model::{self, acknowledged, check, compare};
use crate::scene::{report, thorough};
use std::path::Path;
use std::process::Command;
use stillhouse_embedded::{EmbeddedJournal, Options};
use stillhouse_streams::{ErrorKind, Journal};

/// What the crash tests of this module put a journal through: it is made, written, closed.
pub(crate) async fn short_life(dir: &Path) {
    let journal = match EmbeddedJournal::open(dir, Options::default()) {
        Ok(journal) => journal,
        Err(error) => return say(&format!("error {:?} {error}", error.kind())),
    };
    let topic = |name: &str| stillhouse_streams::TopicSpec {
        name: name.to_owned(),
        partitions: model::PARTITIONS,
        cleanup: stillhouse_streams::Cleanup::Keep,
    };
    if let Err(error) = journal.ensure(&model::TOPICS.map(topic)).await {
        return say(&format!("error {:?} {error}", error.kind()));
    }
    let mut failures = 0;
    for number in 0..8 {
        while let Err(error) = journal.append(model::batch("w", number, model::count(number), 300)).await {
            say(&format!("error {:?} {error}", error.kind()));
            failures += 1;
            if failures > 3 {
                return;
            }
        }
        say(&format!("ack w {number}"));
    }
    journal.close().await.expect("closed");
    say("ended");
}

/// Runs a short life under strace; answers with what it said and the trace.
fn traced(dir: &Path, arguments: &[&str]) -> (Vec<String>, String) {
    let trace = dir.with_extension("trace");
    let output = Command::new("strace")
        .args(["-f", "-y", "-s", "12", "-o"])
        .arg(&trace)
        .args(arguments)
        .arg(std::env::current_exe().expect("its own path"))
        .args(["child::plays_its_role", "--exact", "--nocapture", "--test-threads=1"])
        .envs([(ROLE_ENVIRONMENT[0], "short_life"), (ROLE_ENVIRONMENT[2], "")])
        .env(ROLE_ENVIRONMENT[1], dir)
        .output()
        .expect("strace is installed");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = text.lines().filter_map(|line| line.split_once('@')).map(|(_, said)| said.to_owned()).collect();
    (said, std::fs::read_to_string(&trace).expect("a trace"))
}

/// Opens what was left, and holds it against what was said.
async fn inspect(dir: &Path, said: &[String]) -> Result<(), String> {
    let journal = EmbeddedJournal::open(dir, Options::default()).map_err(|e| format!("refused: {e}"))?;
    compare(&check(&journal).await?, &acknowledged(said))?;
    let damage = journal.verify().await.map_err(|e| e.to_string())?.damage;
    model::ensure(&journal).await;
    journal.append(model::batch("later", 0, 5, 10)).await.map_err(|e| format!("does not go on: {e}"))?;
    if damage.is_empty() { Ok(()) } else { Err(format!("verify: {damage:?}")) }
}

const WRITES: &str = "pwrite64,fsync,fdatasync,rename,ftruncate,unlink,mkdir";

#[tokio::test(flavor = "multi_thread")]
async fn death_at_every_write_loses_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    for point in (1..).step_by(if thorough() { 1 } else { 6 }) {
        let path = dir.path().join(format!("journal-{point}"));
        let (said, _) = traced(&path, &["-e", &format!("inject={WRITES}:signal=KILL:when={point}")]);
        inspect(&path, &said).await.unwrap_or_else(|e| panic!("point {point}: {e}; it said {said:?}"));
        if said.last().is_some_and(|last| last == "ended") {
            report(&format!("{} points", point - 1));
            assert!(point > 50, "that was too short a life");
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_sync_ends_all_answers() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut seen = Vec::new();
    for point in 1.. {
        let path = dir.path().join(format!("journal-{point}"));
        let inject = format!("inject=fsync,fdatasync:error=EIO:when={point}");
        let (said, _) = traced(&path, &["-e", &inject]);
        inspect(&path, &said).await.unwrap_or_else(|e| panic!("point {point}: {e}; it said {said:?}"));
        let failed = said.iter().position(|line| line.starts_with("error"));
        if let Some(failed) = failed {
            assert!(!said[failed..].iter().any(|line| line.starts_with("ack")), "point {point}: {said:?}");
            seen.push(said[failed].split(' ').nth(1).unwrap_or_default().to_owned());
        }
        if said.last().is_some_and(|last| last == "ended") {
            report(&format!("{} points: {seen:?}", point - 1));
            assert!(point > 10, "some failure went unnoticed");
            assert!(seen.contains(&format!("{:?}", ErrorKind::Indeterminate)));
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_space_at_any_write_loses_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut full = 0;
    for point in (1..).step_by(if thorough() { 1 } else { 6 }) {
        let path = dir.path().join(format!("journal-{point}"));
        let (said, _) = traced(&path, &["-e", &format!("inject=pwrite64:error=ENOSPC:when={point}")]);
        inspect(&path, &said).await.unwrap_or_else(|e| panic!("point {point}: {e}; it said {said:?}"));
        full += usize::from(said.iter().any(|line| line.starts_with("error Full")));
        if said.last().is_some_and(|last| last == "ended") && !said.iter().any(|line| line.starts_with("error")) {
            report(&format!("{} points, {full} times full", point - 1));
            assert!(full > 0);
            return;
        }
    }
}

/// Answers that left while the log was not synced, and all answers.
fn early_answers(trace: &str) -> (usize, usize) {
    let (mut unsynced, mut early, mut answers) = (false, 0, 0);
    for line in trace.lines() {
        if line.contains("journal.db-wal>") {
            if line.contains("pwrite64(") {
                unsynced = true;
            } else if line.contains("fsync(") || line.contains("fdatasync(") {
                unsynced = false;
            }
        } else if line.contains("@ack") {
            answers += 1;
            early += usize::from(unsynced);
        }
    }
    (early, answers)
}

#[test]
fn no_answer_leaves_before_the_log_is_synced() {
    let dir = tempfile::tempdir().expect("a directory");
    let (_, trace) = traced(&dir.path().join("journal"), &["-e", "trace=pwrite64,fsync,fdatasync,write"]);
    assert_eq!(early_answers(&trace), (0, 8));
    // The control: the same trace without the syncs.
    let without: String =
        trace.lines().filter(|line| !line.contains("sync(")).map(|line| format!("{line}\n")).collect();
    assert_eq!(early_answers(&without), (8, 8));
}
