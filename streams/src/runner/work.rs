//! A transform as a member of its group: the loop, and the loop around the loop.

use super::join::Shelves;
use super::lanes::{self, Done};
use super::{Backoff, RetryPolicy, State, Stats, Transform};
use crate::{Append, Batch, BatchLimits, ErrorKind, GroupSpec, Journal, Position, Received, Result, Session};
use futures::FutureExt;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// A record that a processor could not take.
#[derive(Debug)]
pub struct Refused<'a> {
    /// The record, where it stood.
    pub received: &'a Received,
    /// `decode`, `fault`, `panic`, `exhausted` or `output`.
    pub kind: &'a str,
    /// What went wrong.
    pub error: &'a str,
    /// How often it was tried.
    pub attempts: u32,
}

/// Writes down what a processor could not take; the runner does not know how an event looks.
pub trait DeadLetters: Send + Sync + 'static {
    /// The record to append, in the same commit that moves past the refused one.
    fn letter(&self, refused: &Refused<'_>) -> Append;
}

/// A processor at one generation, ready to run.
#[derive(Clone)]
pub struct Job {
    /// For logs: `scorer.v1`.
    pub name: String,
    /// Group and physical inputs.
    pub group: GroupSpec,
    /// What to run.
    pub transform: Arc<dyn Transform>,
    /// Logical output topics to physical ones.
    pub routes: BTreeMap<&'static str, Arc<str>>,
    /// Where refused records go.
    pub dead_letters: Arc<dyn DeadLetters>,
    /// Bounds of a batch.
    pub limits: BatchLimits,
    /// Keys worked on at a time.
    pub lanes: usize,
    /// When to try again.
    pub retry: RetryPolicy,
}

/// A run that lasted this long was healthy: the next trouble starts with the shortest wait.
const HEALTHY: Duration = Duration::from_secs(30);

/// Runs a job until `stop`, starting it again with back-off after whatever goes wrong. Damage in the journal ends it:
/// trying again does not help, and a human has to decide.
pub async fn supervise(journal: Arc<dyn Journal>, job: Job, stats: Arc<Stats>, stop: CancellationToken) {
    let mut backoff = Backoff::new(&job.retry);
    while !stop.is_cancelled() {
        let started = Instant::now();
        let error = match AssertUnwindSafe(run(journal.as_ref(), &job, &stats, &stop)).catch_unwind().await {
            Ok(Ok(())) => break,
            Ok(Err(error)) if error.kind() == ErrorKind::Corrupt => {
                tracing::error!(processor = job.name, %error, "the journal is damaged; the processor has ended");
                return stats.enter(State::Failed, Some(error.to_string()));
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => {
                stats.panicked();
                "the runner panicked".to_owned()
            }
        };
        if started.elapsed() > HEALTHY {
            backoff.reset();
        }
        let wait = backoff.wait();
        tracing::error!(
            processor = job.name,
            error,
            wait_ms = wait.as_millis() as u64,
            "processor failed; starting again"
        );
        stats.restarting(error);
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
    stats.enter(State::Stopped, None);
}

/// Runs a job until `stop`, then finishes (or drops) its batch and leaves the group.
///
/// # Errors
/// What cannot be mended by a rewind of the session. Nothing uncommitted is lost: the next run gets it again.
pub async fn run(journal: &dyn Journal, job: &Job, stats: &Arc<Stats>, stop: &CancellationToken) -> Result<()> {
    let mut session = journal.join(&job.group).await?;
    stats.enter(State::Running, None);
    stats.progressed();
    let mut backoff = Backoff::new(&job.retry);
    // After an output was refused, this many records are taken one by one to find whose it was.
    let mut singly = 0_usize;
    let mut refused: BTreeMap<Position, String> = BTreeMap::new();
    let mut shelves = job.transform.join().map(Shelves::new);
    loop {
        let limits = if singly > 0 { BatchLimits { records: 1, ..job.limits.clone() } } else { job.limits.clone() };
        let batch = tokio::select! {
            () = stop.cancelled() => break,
            batch = session.next(&limits) => match batch {
                Ok(batch) => batch,
                Err(error) if error.is_transient() || error.kind() == ErrorKind::Fenced => {
                    tracing::warn!(processor = job.name, %error, "reading failed; trying again");
                    if pause(&mut backoff, stop).await { break }
                    recover(session.as_mut(), &mut shelves, stats).await?;
                    continue;
                }
                Err(error) => return Err(error),
            },
        };
        if batch.records.is_empty() {
            if !batch.progress.is_empty() {
                commit_idle(session.as_mut(), &batch, &mut shelves, stats).await?;
            }
            stats.progressed();
            continue;
        }
        let started = Instant::now();
        if let Some(shelves) = &mut shelves {
            shelves.keep(&session.assignment());
        }
        let done = tokio::select! {
            // Work in progress is finished unless a fault makes it wait: then stopping drops the batch, uncommitted.
            done = apply(journal, job, &mut shelves, &batch, stats) => done,
            () = grace(stop) => break,
        };
        let mut done = match done {
            Ok(done) => done,
            Err(error) if error.is_transient() => {
                tracing::warn!(processor = job.name, %error, "what a join has to know cannot be read; trying again");
                if pause(&mut backoff, stop).await {
                    break;
                }
                recover(session.as_mut(), &mut shelves, stats).await?;
                continue;
            }
            Err(error) => return Err(error),
        };
        if let Some(error) = refused.get(&batch.records[0].position).filter(|_| batch.records.len() == 1) {
            for (_, done) in &mut done {
                *done = Done::Dead { kind: "output", error: error.clone(), attempts: 1 };
            }
        }
        let (outputs, emitted, dead) = outputs(job, done);
        match session.commit(outputs, &batch.progress).await {
            Ok(_) => {
                stats.committed(batch.records.len(), emitted, dead, started.elapsed());
                singly = singly.saturating_sub(batch.records.len());
                if batch.records.len() == 1 {
                    refused.remove(&batch.records[0].position);
                }
                backoff.reset();
                if let Some(shelves) = &mut shelves {
                    shelves.committed(&batch.progress);
                }
            }
            Err(error) => match error.kind() {
                ErrorKind::Fenced | ErrorKind::Indeterminate => {
                    tracing::warn!(processor = job.name, %error, "commit failed; going back to what is committed");
                    recover(session.as_mut(), &mut shelves, stats).await?;
                }
                ErrorKind::Retry | ErrorKind::Unavailable | ErrorKind::Full => {
                    tracing::warn!(processor = job.name, %error, "commit refused; trying again");
                    if pause(&mut backoff, stop).await {
                        break;
                    }
                    recover(session.as_mut(), &mut shelves, stats).await?;
                }
                ErrorKind::TooLarge | ErrorKind::Invalid | ErrorKind::Conflict if batch.records.len() > 1 => {
                    tracing::warn!(processor = job.name, %error, "an output was refused; taking records one by one");
                    singly = batch.records.len();
                    recover(session.as_mut(), &mut shelves, stats).await?;
                }
                ErrorKind::TooLarge | ErrorKind::Invalid | ErrorKind::Conflict => {
                    // It comes again, and then as a dead letter.
                    // One of each partition can wait for that: what comes next after a rewind is not known.
                    refused.insert(batch.records[0].position.clone(), error.to_string());
                    singly += 1;
                    recover(session.as_mut(), &mut shelves, stats).await?;
                }
                _ => return Err(error),
            },
        }
    }
    session.leave().await
}

/// How long a stop waits for work in progress.
const GRACE: Duration = Duration::from_secs(5);

async fn grace(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(GRACE).await;
}

/// Waits; true if it was told to stop meanwhile.
async fn pause(backoff: &mut Backoff, stop: &CancellationToken) -> bool {
    tokio::select! {
        () = stop.cancelled() => true,
        () = tokio::time::sleep(backoff.wait()) => false,
    }
}

async fn recover(session: &mut dyn Session, shelves: &mut Option<Shelves>, stats: &Stats) -> Result<()> {
    stats.rewound();
    if let Some(shelves) = shelves {
        shelves.forget();
    }
    session.rewind().await
}

/// What becomes of the records of a batch; of a join also of those that it was waiting with.
async fn apply(
    journal: &dyn Journal,
    job: &Job,
    shelves: &mut Option<Shelves>,
    batch: &Batch,
    stats: &Arc<Stats>,
) -> Result<Vec<(Received, Done)>> {
    match shelves {
        Some(shelves) => shelves.apply(journal, batch, job.lanes, &job.retry, stats).await,
        None => {
            let done = lanes::apply(&job.transform, &batch.records, job.lanes, &job.retry, stats).await;
            Ok(batch.records.iter().cloned().zip(done).collect())
        }
    }
}

/// Moves the group past offsets that hold no records (transaction markers, compacted ones).
async fn commit_idle(
    session: &mut dyn Session,
    batch: &Batch,
    shelves: &mut Option<Shelves>,
    stats: &Stats,
) -> Result<()> {
    match session.commit(Vec::new(), &batch.progress).await {
        Ok(_) => Ok(()),
        Err(error) if matches!(error.kind(), ErrorKind::Fenced | ErrorKind::Indeterminate) || error.is_transient() => {
            recover(session, shelves, stats).await
        }
        Err(error) => Err(error),
    }
}

fn outputs(job: &Job, done: Vec<(Received, Done)>) -> (Vec<Append>, usize, usize) {
    let (mut outputs, mut emitted, mut dead) = (Vec::new(), 0, 0);
    for (received, done) in done {
        let received = &received;
        let (kind, error, attempts) = match done {
            Done::Emitted(emits) => match emits.iter().find(|e| !job.routes.contains_key(e.topic)) {
                None => {
                    emitted += emits.len();
                    outputs.extend(emits.into_iter().map(|emit| Append {
                        topic: job.routes[emit.topic].clone(),
                        partition: None,
                        record: emit.record,
                    }));
                    continue;
                }
                Some(stray) => ("fault", format!("`{}` is not an output of this processor", stray.topic), 1),
            },
            Done::Dead { kind, error, attempts } => (kind, error, attempts),
        };
        tracing::warn!(processor = job.name, position = %received.position, kind, error, attempts, "dead-lettered");
        dead += 1;
        outputs.push(job.dead_letters.letter(&Refused { received, kind, error: &error, attempts }));
    }
    (outputs, emitted, dead)
}
