//! A dataset of many runs, beside the same records merely read and the same rows merely written.

use super::load::{aside, runs_with_reward};
use super::report::{Figure, memory_mb, print, reset_peak};
use crate::Global;
use crate::commands::export::{self, Order, Request};
use crate::context::Context;
use crate::failure::{Failure, Outcome, Status};
use crate::node;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use stillhouse_streams::generation::FIRST;
use tokio_util::sync::CancellationToken;

/// Measures an export.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Runs to export, all of them accepted
    #[arg(long, default_value_t = 1_000_000, value_name = "N")]
    runs: usize,
    /// Kind of dataset: sft, rag or preference
    #[arg(long, default_value = "sft", value_name = "KIND")]
    kind: String,
    /// Format of the files
    #[arg(long, default_value = "jsonl", value_name = "FORMAT")]
    format: String,
}

/// Runs the benchmark.
pub async fn run(global: &Global, args: &Args) -> Outcome {
    let (context, scratch) = aside(global, &[]).await?;
    let topic: Arc<str> = Arc::from(context.names.topic("runs"));
    for first in (0..args.runs).step_by(500) {
        let batch = runs_with_reward(&topic, &context.codec, first, 500.min(args.runs - first), |_| 1.0)?;
        context.journal.append(batch).await?;
    }
    node::catch_up(&context, node::upstream("exporter"), None, |_| {}).await?;
    let count = args.runs as u64;

    let request = Request { format: args.format.clone(), ..Request::now(scratch.path().join("datasets")) };
    let order = Order::new(&args.kind, request)?;
    reset_peak();
    let before = memory_mb().0;
    let started = Instant::now();
    let report = export::write(&context, &order, &CancellationToken::new()).await?;
    let export = Figure::rate(format!("exported, {} as {}", args.kind, args.format), count, started.elapsed());
    let peak = memory_mb().1;

    let limit = Figure::rate("limit: evidence and scores read, the same files written", count, {
        read(&context).await? + write(&report.path, scratch.path())?
    });
    print(
        &context.out,
        &[
            export.beside(&limit),
            limit,
            Figure::of("rows", report.rows as f64, "rows"),
            Figure::of("memory before", before, "MB"),
            Figure::of("memory while exporting, highest", peak, "MB"),
        ],
    )
}

/// How long it takes to read what an export must read, record by record, and to do nothing with it.
async fn read(context: &Context) -> Outcome<Duration> {
    let started = Instant::now();
    let topics = context.journal.topics().await?;
    for name in ["evidence", "scores"].map(|topic| context.names.derived(topic, FIRST)) {
        let state = topics.iter().find(|t| t.spec.name == name);
        let state = state.ok_or_else(|| Failure::new(Status::Failed, format!("there is no topic `{name}`")))?;
        for (partition, bounds) in (0..).zip(&state.partitions) {
            let mut scan = context.journal.scan(&name, partition, bounds.start, Some(bounds.end)).await?;
            while !scan.next(1_000).await?.is_empty() {}
        }
    }
    Ok(started.elapsed())
}

/// How long it takes to write the files of a dataset again, durably.
fn write(dataset: &Path, scratch: &Path) -> Outcome<Duration> {
    let mut took = Duration::ZERO;
    let mut buffer = vec![0; 1 << 20];
    for entry in std::fs::read_dir(dataset.join("data"))? {
        let path = entry?.path();
        if !path.is_file() {
            continue;
        }
        let mut from = std::fs::File::open(&path)?;
        let copy = scratch.join("copy");
        let started = Instant::now();
        let mut to = std::fs::File::create(&copy)?;
        loop {
            let n = from.read(&mut buffer)?;
            if n == 0 {
                break;
            }
            to.write_all(&buffer[..n])?;
        }
        to.sync_all()?;
        took += started.elapsed();
        std::fs::remove_file(copy)?;
    }
    Ok(took)
}
