//! Concurrency by key: records of one key go to one lane, in order; lanes run in parallel.

use super::{Backoff, Emit, Fault, RetryPolicy, Stats, Transform};
use crate::{Received, partition_for};
use std::sync::Arc;
use tokio::runtime::Handle;

/// Batches below this many records are not worth a second lane.
const WORTH_SPLITTING: usize = 64;

/// What became of one record.
#[derive(Debug)]
pub(super) enum Done {
    Emitted(Vec<Emit>),
    Dead { kind: &'static str, error: String, attempts: u32 },
}

/// Applies the transform to a batch; one result per record, in order.
pub(super) async fn apply(
    transform: &Arc<dyn Transform>,
    records: &[Received],
    lanes: usize,
    retry: &RetryPolicy,
    stats: &Arc<Stats>,
) -> Vec<Done> {
    let lanes = if records.len() < WORTH_SPLITTING { 1 } else { lanes.max(1) };
    let mut split: Vec<(Vec<usize>, Vec<Received>)> = vec![(Vec::new(), Vec::new()); lanes];
    for (index, received) in records.iter().enumerate() {
        let lane = partition_for(received.record.key.as_deref(), u32::try_from(lanes).unwrap_or(1)) as usize;
        split[lane].0.push(index);
        split[lane].1.push(received.clone());
    }
    let tasks: Vec<_> = split
        .into_iter()
        .filter(|(indices, _)| !indices.is_empty())
        .map(|(indices, batch)| {
            let (transform, retry, stats) = (transform.clone(), retry.clone(), stats.clone());
            tokio::spawn(async move { (indices, lane(transform, Arc::new(batch), &retry, &stats).await) })
        })
        .collect();
    let mut done: Vec<Option<Done>> = records.iter().map(|_| None).collect();
    for task in tasks {
        let (indices, results) = task.await.expect("a lane contains the panics of its transform");
        for (index, result) in indices.into_iter().zip(results) {
            done[index] = Some(result);
        }
    }
    done.into_iter().map(|d| d.expect("every record is in one lane")).collect()
}

/// One lane: the whole batch first, then, one by one and with back-off, what failed in a way that may pass.
async fn lane(
    transform: Arc<dyn Transform>,
    batch: Arc<Vec<Received>>,
    retry: &RetryPolicy,
    stats: &Stats,
) -> Vec<Done> {
    let results = match call(&transform, batch.clone()).await {
        Ok(results) => results.into_iter().map(Some).collect(),
        // Somebody in the batch made it panic: find out who, one by one.
        Err(_) if batch.len() > 1 => {
            stats.panicked();
            batch.iter().map(|_| None).collect()
        }
        Err(panic) => {
            stats.panicked();
            vec![Some(Err(panic))]
        }
    };
    let mut done = Vec::with_capacity(batch.len());
    for (received, result) in batch.iter().zip(results) {
        let (first, tried) = match result {
            Some(result) => (Some(result), 1),
            None => (None, 0),
        };
        done.push(settle(&transform, received, first, tried, retry, stats).await);
    }
    done
}

/// Follows one record to its end.
async fn settle(
    transform: &Arc<dyn Transform>,
    received: &Received,
    first: Option<Result<Vec<Emit>, Fault>>,
    mut attempts: u32,
    retry: &RetryPolicy,
    stats: &Stats,
) -> Done {
    let mut backoff = Backoff::new(retry);
    let mut result = first;
    loop {
        let (kind, error) = match result.take() {
            Some(Ok(emits)) => return Done::Emitted(emits),
            Some(Err(Fault::Lasting { kind, message })) if kind != PANIC => {
                return Done::Dead { kind, error: message, attempts };
            }
            Some(Err(Fault::Lasting { kind, message })) => (kind, message),
            Some(Err(Fault::Transient(message))) => ("exhausted", message),
            None => ("", String::new()),
        };
        if attempts >= retry.attempts.max(1) {
            return Done::Dead { kind, error, attempts };
        }
        if attempts > 0 {
            stats.retried();
            tokio::time::sleep(backoff.wait()).await;
        }
        attempts += 1;
        result = Some(match call(transform, Arc::new(vec![received.clone()])).await {
            Ok(mut results) => results.pop().unwrap_or_else(|| Err(short())),
            Err(panic) => {
                stats.panicked();
                Err(panic)
            }
        });
    }
}

const PANIC: &str = "panic";

fn short() -> Fault {
    Fault::Lasting { kind: "fault", message: "the processor gave fewer results than it got records".into() }
}

/// Calls the transform on a blocking thread; a panic comes back as a fault.
async fn call(
    transform: &Arc<dyn Transform>,
    batch: Arc<Vec<Received>>,
) -> Result<Vec<Result<Vec<Emit>, Fault>>, Fault> {
    let transform = transform.clone();
    let runtime = Handle::current();
    let expected = batch.len();
    let task = tokio::task::spawn_blocking(move || runtime.block_on(transform.apply(&batch)));
    match task.await {
        Ok(mut results) => {
            results.resize_with(expected, || Err(short()));
            Ok(results)
        }
        Err(error) => {
            let message = match error.try_into_panic() {
                Ok(panic) => panic
                    .downcast_ref::<&str>()
                    .map(|s| (*s).to_owned())
                    .or_else(|| panic.downcast_ref::<String>().cloned())
                    .unwrap_or_else(|| "a panic without a message".into()),
                Err(error) => error.to_string(),
            };
            Err(Fault::Lasting { kind: PANIC, message })
        }
    }
}
