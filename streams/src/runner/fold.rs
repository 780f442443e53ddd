//! Projections: reading ranges of topics into a store, up to a cut or for as long as it runs.

use super::{Backoff, Fault, Projection, RetryPolicy};
use crate::{Error, ErrorKind, Journal, Position, Progress, Received, Result};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Records of a page.
const PAGE: usize = 2_000;

/// The end of every partition of `topics`, as it is now: a cut.
pub async fn ends(journal: &dyn Journal, topics: &[String]) -> Result<Progress> {
    let all = journal.topics().await?;
    let mut cut = Progress::default();
    for name in topics {
        let topic = all
            .iter()
            .find(|topic| topic.spec.name == *name)
            .ok_or_else(|| Error::new(ErrorKind::NotFound, format!("there is no topic `{name}`")))?;
        let shared: Arc<str> = Arc::from(name.as_str());
        for (partition, state) in (0_u32..).zip(&topic.partitions) {
            cut.set(shared.clone(), partition, state.end);
        }
    }
    Ok(cut)
}

/// Whether `progress` leaves nothing to read below `cut`. Offsets may have gaps, so a difference of offsets alone does
/// not tell: what lies between is looked at.
pub async fn passed(journal: &dyn Journal, progress: &Progress, cut: &Progress) -> Result<bool> {
    for (topic, partition, end) in cut.iter() {
        let next = progress.get(topic, partition).unwrap_or(0);
        if next < end && !journal.scan(topic, partition, next, Some(end)).await?.next(1).await?.is_empty() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Feeds a projection every partition of `cut`, from its own progress up to the cut.
pub async fn fold(journal: &dyn Journal, projection: &mut dyn Projection, cut: &Progress) -> Result<()> {
    let mut progress = projection.progress().await.map_err(refused)?;
    for (topic, partition, end) in cut.iter() {
        let from = progress.get(topic, partition).unwrap_or(0);
        if from >= end {
            continue;
        }
        let mut scan = journal.scan(topic, partition, from, Some(end)).await?;
        loop {
            let page = scan.next(PAGE).await?;
            let Some(last) = page.last().map(|stored| stored.offset) else { break };
            progress.pass(&Position::new(topic.clone(), partition, last));
            let records: Vec<Received> = page
                .into_iter()
                .map(|s| Received { position: Position::new(topic.clone(), partition, s.offset), record: s.record })
                .collect();
            projection.apply(&records, &progress).await.map_err(refused)?;
        }
        progress.set(topic.clone(), partition, end);
    }
    projection.apply(&[], &progress).await.map_err(refused)
}

/// Keeps a projection at the end of `topics` until `stop`, looking again after `every`.
pub async fn follow(
    journal: &dyn Journal,
    projection: &mut dyn Projection,
    topics: &[String],
    every: Duration,
    stop: &CancellationToken,
) -> Result<()> {
    let mut backoff = Backoff::new(&RetryPolicy::default());
    while !stop.is_cancelled() {
        let round = async {
            let cut = ends(journal, topics).await?;
            fold(journal, projection, &cut).await
        };
        let wait = match round.await {
            Ok(()) => {
                backoff.reset();
                every
            }
            Err(error) if error.is_transient() => {
                tracing::warn!(%error, "a projection cannot read; trying again");
                backoff.wait()
            }
            Err(error) => return Err(error),
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
    Ok(())
}

fn refused(fault: Fault) -> Error {
    match fault {
        Fault::Transient(message) => Error::new(ErrorKind::Retry, message),
        Fault::Lasting { kind, message } => Error::new(ErrorKind::Corrupt, format!("{kind}: {message}")),
    }
}
