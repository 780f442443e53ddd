//! `kill -9` at random moments: what was answered is there afterwards, batches are whole, nothing is doubled.

use crate::child::{Actor, say, signal};
use crate::model::{self, acknowledged, check, compare};
use crate::scene::{dice, report, times};
use rand::Rng;
use std::path::Path;
use std::time::Duration;
use stillhouse_embedded::{EmbeddedJournal, Options};
use stillhouse_streams::Journal;

/// Opens what a killed process left, and holds it against what the process had said.
async fn inspect(dir: &Path, said: &[String]) -> Result<usize, String> {
    let journal = EmbeddedJournal::open(dir, Options::default()).map_err(|e| e.to_string())?;
    let found = check(&journal).await?;
    let acks = acknowledged(said);
    compare(&found, &acks)?;
    let verified = journal.verify().await.map_err(|e| e.to_string())?;
    if !verified.damage.is_empty() {
        return Err(format!("verify: {:?}", verified.damage));
    }
    Ok(acks.values().map(|last| *last as usize + 1).sum())
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_at_random_moments_lose_nothing() {
    let mut dice = dice("kills");
    let (mut answered, cycles) = (0, times(12, 400));
    for cycle in 0..cycles {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("journal");
        let mut said = Vec::new();
        // The same journal is killed several times, so that recovery is killed as well.
        for life in 0..3 {
            let mut actor = Actor::start("append", &path, "");
            actor.tell(&format!("w{life}"));
            let wait = Duration::from_micros(dice.random_range(500..120_000));
            let killer = actor.id();
            let timer = std::thread::spawn(move || {
                std::thread::sleep(wait);
                signal(killer, libc::SIGKILL);
            });
            said.extend(actor.rest());
            timer.join().expect("killed");
            let inspected = inspect(&path, &said).await;
            answered += inspected.unwrap_or_else(|e| panic!("cycle {cycle}, life {life}: {e}"));
        }
    }
    report(&format!("{} kills, {answered} answers checked", 3 * cycles));
    assert!(answered > 0, "the children never got to answer");
}

/// Dies in the moment of the first answer to a batch that takes a while to write.
pub(crate) async fn die_at_ack(journal: &EmbeddedJournal) {
    model::ensure(journal).await;
    for number in 0..8 {
        journal.append(model::batch("w", number, 10, 100)).await.expect("appended");
        say(&format!("ack w {number}"));
    }
    journal.append(model::batch("w", 8, 6_000, 1_000)).await.expect("appended");
    say("ack w 8");
    signal(std::process::id() as i32, libc::SIGKILL);
}

async fn deaths_at_answers(fault: &str, count: usize) -> Result<(), String> {
    for _ in 0..count {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("journal");
        let said = Actor::start("die_at_ack", &path, fault).rest();
        assert!(said.iter().any(|line| line == "ack w 8"), "it died before its time: {said:?}");
        inspect(&path, &said).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn death_in_the_moment_of_the_answer_loses_nothing() {
    deaths_at_answers("", times(3, 200)).await.expect("what was answered is there");
}

/// The control: the same check on a journal that answers before it commits.
#[tokio::test(flavor = "multi_thread")]
async fn answering_before_the_commit_is_caught() {
    let lost = deaths_at_answers("ack_before_commit", 40).await;
    let lost = lost.expect_err("an answer before the commit was not noticed");
    assert!(lost.contains("was answered") || lost.contains("acknowledged"), "{lost}");
}
