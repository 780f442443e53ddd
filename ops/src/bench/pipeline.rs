//! The whole flow over many runs, with single appends going on meanwhile.

use super::load::{aside, runs};
use super::report::{Figure, Latencies, memory_mb, print};
use crate::Global;
use crate::failure::{Failure, Outcome, Status};
use crate::generations;
use crate::node;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use stillhouse_processors::processor;
use stillhouse_streams::runner::ends;
use tokio_util::sync::CancellationToken;

/// Measures the flow.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Runs to push through
    #[arg(long, default_value_t = 1_000_000, value_name = "N")]
    runs: usize,
    /// Runs of an append
    #[arg(long, default_value_t = 500, value_name = "N")]
    batch: usize,
}

/// Runs the benchmark.
pub async fn run(global: &Global, args: &Args) -> Outcome {
    let (context, _scratch) = aside(global, &[]).await?;
    let topic: Arc<str> = Arc::from(context.names.topic("runs"));
    let mut figures = Vec::new();

    let started = Instant::now();
    for first in (0..args.runs).step_by(args.batch.max(1)) {
        let batch = runs(&topic, &context.codec, first, args.batch.min(args.runs - first))?;
        context.journal.append(batch).await?;
    }
    let count = args.runs as u64;
    figures.push(Figure::rate("runs made, encoded and appended, one appender", count, started.elapsed()));
    figures.push(Figure::of("memory after the appends", memory_mb().0, "MB"));

    let started = Instant::now();
    let reached = node::catch_up(&context, node::upstream("exporter"), None, |_| {}).await?;
    let took = started.elapsed();
    figures.push(Figure::rate("materialized and scored", count, took));
    figures.push(Figure::of("materialized and scored", took.as_secs_f64(), "s"));
    figures.push(Figure::of("memory after that", memory_mb().0, "MB"));

    // Score everything again, while others append at a steady rate.
    let scorer = processor("scorer").map_err(|e| Failure::new(Status::Failed, e.to_string()))?;
    let softer = BTreeMap::from([("accept_reward".into(), "0.5".into())]);
    generations::start(&context, scorer, "v2", softer, "").await?;
    let inputs = node::reads(&reached.generations, scorer, "v1")?;
    let cut = ends(context.journal.as_ref(), &inputs).await?;
    let (stop, journal) = (CancellationToken::new(), context.journal.clone());
    let appends = tokio::spawn(appending(journal, topic.clone(), context.codec.clone(), args.runs, stop.clone()));
    let started = Instant::now();
    node::run_generation(&context, scorer, "v2", &cut, |_| {}).await?;
    let took = started.elapsed();
    stop.cancel();
    let latencies = appends.await.map_err(|e| Failure::new(Status::Failed, e.to_string()))??;
    figures.push(Figure::rate("scored again into a new generation", count, took));
    figures.push(Figure::of("scored again into a new generation", took.as_secs_f64(), "s"));
    figures.extend(latencies.figures("single append meanwhile, at 1,000 a second"));
    figures.push(Figure::of("memory of the process, highest", memory_mb().1, "MB"));
    print(&context.out, &figures)
}

async fn appending(
    journal: Arc<dyn stillhouse_streams::Journal>,
    topic: Arc<str>,
    codec: stillhouse_schemas::Codec,
    from: usize,
    stop: CancellationToken,
) -> Outcome<Latencies> {
    let mut ticks = tokio::time::interval(Duration::from_millis(1));
    let mut tasks = tokio::task::JoinSet::new();
    let mut latencies = Latencies::default();
    let mut number = from;
    while !stop.is_cancelled() {
        ticks.tick().await;
        let (journal, batch) = (journal.clone(), runs(&topic, &codec, number, 1)?);
        number += 1;
        tasks.spawn(async move {
            let began = Instant::now();
            journal.append(batch).await.map(|_| began.elapsed())
        });
        while let Some(done) = tasks.try_join_next() {
            latencies.add(done.map_err(|e| Failure::new(Status::Failed, e.to_string()))??);
        }
    }
    while let Some(done) = tasks.join_next().await {
        latencies.add(done.map_err(|e| Failure::new(Status::Failed, e.to_string()))??);
    }
    Ok(latencies)
}
