//! Several processes on one journal.

use crate::child::{Actor, listen, say, signal};
use crate::model::{self, acknowledged, check, compare};
use crate::scene::{dice, times};
use rand::Rng;
use std::sync::Arc;
use std::time::{Duration, Instant};
use stillhouse_embedded::{EmbeddedJournal, Options};
use stillhouse_streams::{BatchLimits, GroupSpec, Journal, Session};

fn spec(timeout: Duration) -> GroupSpec {
    GroupSpec { group: "readers".into(), topics: model::TOPICS.map(str::to_owned).into(), session_timeout: timeout }
}

fn limits() -> BatchLimits {
    BatchLimits { wait: Duration::from_millis(50), ..BatchLimits::default() }
}

/// Reads until there is a batch.
async fn take(session: &mut dyn Session) -> stillhouse_streams::Batch {
    let begin = Instant::now();
    loop {
        let batch = session.next(&limits()).await.expect("next");
        if !batch.records.is_empty() {
            return batch;
        }
        assert!(begin.elapsed() < Duration::from_secs(30), "nothing came");
    }
}

/// Waits until a session owns so many partitions.
async fn own(session: &mut dyn Session, count: usize) -> Duration {
    let begin = Instant::now();
    while session.assignment().len() < count {
        session.next(&BatchLimits { records: 1, ..limits() }).await.expect("next");
        assert!(begin.elapsed() < Duration::from_secs(60), "partitions were not given up");
    }
    begin.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_write_at_once() {
    let mut dice = dice("two processes");
    for _ in 0..times(2, 200) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("journal");
        let mut actors: Vec<Actor> = ["a", "b"].iter().map(|_| Actor::start("append", &path, "")).collect();
        for (actor, name) in actors.iter_mut().zip(["a", "b"]) {
            actor.tell(name);
        }
        // Until both have been answered some, then kill them one after the other.
        let mut said = Vec::new();
        for actor in &mut actors {
            let least = dice.random_range(10..60);
            said.extend((0..least).map_while(|_| actor.hear()));
        }
        actors.into_iter().for_each(|actor| said.extend(actor.kill()));
        let journal = EmbeddedJournal::open(&path, Options::default()).expect("opens");
        let acks = acknowledged(&said);
        assert_eq!(acks.len(), 2, "both wrote: {acks:?}");
        let found = check(&journal).await.expect("whole and in order");
        compare(&found, &acks).expect("everything answered is there");
        assert_eq!(journal.verify().await.expect("verified").damage, []);
    }
}

/// A member of the group that does what it is told, and says what came of it.
pub(crate) async fn hold(journal: &EmbeddedJournal) {
    let timeout = Duration::from_millis(listen().parse().expect("a number"));
    let mut session = journal.join(&spec(timeout)).await.expect("joined");
    let batch = take(&mut *session).await;
    say("holding");
    listen();
    let answer = session.commit(model::batch("zombie", 0, 4, 10), &batch.progress).await;
    say(&answer.map_or_else(|e| format!("{:?}", e.kind()), |_| "committed".to_owned()));
}

/// What a stopped owner's commit comes to after another member took over; and what the journal then holds.
async fn zombie(fault: &str) -> (String, bool) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("journal");
    let journal = EmbeddedJournal::open(&path, Options::default()).expect("opens");
    model::ensure(&journal).await;
    journal.append(model::batch("w", 0, 40, 10)).await.expect("appended");
    let mut actor = Actor::start("hold", &path, fault);
    actor.tell("1000");
    actor.expect("holding");
    signal(actor.id(), libc::SIGSTOP);
    let mut session = journal.join(&spec(Duration::from_secs(10))).await.expect("joined");
    own(&mut *session, 4).await;
    session.rewind().await.expect("from the beginning");
    let mut done = 0;
    while done < 40 {
        let batch = take(&mut *session).await;
        done += batch.records.len();
        session.commit(Vec::new(), &batch.progress).await.expect("committed");
    }
    signal(actor.id(), libc::SIGCONT);
    actor.tell("go");
    let answer = actor.hear().expect("an answer");
    let written = check(&journal).await.expect("whole").batches("zombie").len();
    (answer, written > 0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_owner_is_fenced() {
    assert_eq!(zombie("").await, ("Fenced".to_owned(), false));
}

/// The control: the same on a journal whose commits do not look at the lease.
#[tokio::test(flavor = "multi_thread")]
async fn committing_without_the_lease_is_caught() {
    assert_eq!(zombie("skip_fence_check").await, ("committed".to_owned(), true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_owner_is_replaced_before_its_deadline() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("journal");
    let journal = EmbeddedJournal::open(&path, Options::default()).expect("opens");
    model::ensure(&journal).await;
    journal.append(model::batch("w", 0, 40, 10)).await.expect("appended");
    let mut actor = Actor::start("hold", &path, "");
    actor.tell("3600000");
    actor.expect("holding");
    let mut session = journal.join(&spec(Duration::from_secs(3_600))).await.expect("joined");
    actor.kill();
    own(&mut *session, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_process_wakes_a_waiting_session() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("journal");
    let journal = EmbeddedJournal::open(&path, Options::default()).expect("opens");
    model::ensure(&journal).await;
    let mut session = journal.join(&spec(Duration::from_secs(10))).await.expect("joined");
    let waiting = tokio::spawn(async move {
        let wait = Duration::from_secs(60);
        let batch = session.next(&BatchLimits { wait, ..BatchLimits::default() }).await.expect("next");
        batch.records.len()
    });
    let mut actor = Actor::start("append", &path, "");
    actor.tell("other");
    assert!(waiting.await.expect("ended") > 0, "woken with records");
    actor.kill();
}

/// Members of one process and of another share what there is; each partition number has one owner.
#[tokio::test(flavor = "multi_thread")]
async fn partitions_are_shared_between_processes() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("journal");
    let first = Arc::new(EmbeddedJournal::open(&path, Options::default()).expect("opens"));
    model::ensure(&first).await;
    first.append(model::batch("w", 0, 40, 10)).await.expect("appended");
    let mut session = first.join(&spec(Duration::from_secs(30))).await.expect("joined");
    own(&mut *session, 4).await;
    session.rewind().await.expect("nothing is held");
    let mut actor = Actor::start("hold", &path, "");
    actor.tell("30000");
    // The other can only hold something when this one gives it.
    let begin = Instant::now();
    while session.assignment().len() != 2 {
        let batch = session.next(&limits()).await.expect("next");
        session.commit(Vec::new(), &batch.progress).await.expect("committed");
        assert!(begin.elapsed() < Duration::from_secs(30), "nothing was given back");
    }
    first.append(model::batch("w", 1, 40, 10)).await.expect("appended");
    actor.expect("holding");
    actor.tell("go");
    assert_eq!(actor.hear().as_deref(), Some("committed"));
}
