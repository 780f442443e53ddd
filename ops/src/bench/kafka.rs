//! The scorer over Kafka, beside a bare loop.

use super::load::runs;
use super::report::{Figure, memory_mb, print};
use crate::Global;
use crate::context::Context;
use crate::events::Records;
use crate::failure::{Failure, Outcome, Status};
use crate::node::{self, Workers};
use std::sync::Arc;
use std::time::{Duration, Instant};
use stillhouse_kafka::bench::{Hop, bare_loop};
use stillhouse_processors::processor;
use stillhouse_streams::runner::ends;
use stillhouse_streams::{Cleanup, TopicSpec};

/// Measures the scorer over Kafka. Give the broker with --journal.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Runs to score
    #[arg(long, default_value_t = 200_000, value_name = "N")]
    runs: usize,
}

/// Runs the benchmark.
pub async fn run(global: &Global, args: &Args) -> Outcome {
    let mut loaded = global.load(&[])?;
    if !loaded.settings.journal.starts_with("kafka:") {
        return Err(Failure::new(Status::Usage, "this measures Kafka").hint("--journal kafka://HOST:PORT"));
    }
    loaded.settings.instance = format!("bench-{}", std::process::id());
    let uri = loaded.settings.journal.clone();
    let context = Context::open(loaded, global.output()).await?;
    let (journal, count) = (context.journal.clone(), args.runs as u64);
    let mut figures = Vec::new();

    let topic: Arc<str> = Arc::from(context.names.topic("runs"));
    let started = Instant::now();
    for first in (0..args.runs).step_by(1_000) {
        journal.append(runs(&topic, &context.codec, first, 1_000.min(args.runs - first))?).await?;
    }
    figures.push(Figure::rate("runs appended, transactions of 1,000", count, started.elapsed()));
    let known = node::settle_first_generations(&context).await?;
    let materializer = processor("materializer").map_err(|e| Failure::new(Status::Failed, e.to_string()))?;
    let scorer = processor("scorer").map_err(|e| Failure::new(Status::Failed, e.to_string()))?;
    let cut = ends(journal.as_ref(), &[topic.to_string()]).await?;
    node::run_generation(&context, materializer, "v1", &cut, |_| {}).await?;

    // From the first commit to the last, so that joining the group counts for neither side.
    let workers = Workers::new(context.clone(), Vec::new());
    workers.start_one(scorer, "v1", &known).await?;
    let processed = || workers.view().first().map_or(0, |w| w.stats.processed);
    let began = loop {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let done = processed();
        if done > 0 {
            break (Instant::now(), done);
        }
    };
    while processed() < count {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let took = began.0.elapsed();
    workers.stop().await;
    let ours = Figure::rate("scorer, exactly once", count - began.1, took);

    let bytes = record_bytes(&context).await?;
    let output = context.names.topic("bare");
    let spec = TopicSpec { name: output.clone(), partitions: context.settings().partitions, cleanup: Cleanup::Keep };
    journal.ensure(&[spec]).await?;
    let (input, group) = (context.names.derived("evidence", "v1"), context.names.group("bare", "v1"));
    let batch = context.settings().runner.batch_records;
    let took = tokio::task::spawn_blocking(move || {
        let hop = Hop { group: &group, input: &input, output: &output, count, batch, bytes };
        bare_loop(&uri, stillhouse_kafka::Options::default(), hop)
    })
    .await
    .map_err(|e| Failure::new(Status::Failed, e.to_string()))??;
    let bare = Figure::rate(format!("limit: bare librdkafka loop, {bytes} bytes out"), count, took);
    figures.push(ours.beside(&bare));
    figures.push(bare);
    figures.push(Figure::of("memory of the process, highest", memory_mb().1, "MB"));
    for topic in crate::events::own_topics(&context).await? {
        journal.delete_topic(&topic).await?;
    }
    print(&context.out, &figures)
}

/// Mean bytes of a score: key, value and headers.
async fn record_bytes(context: &Context) -> Outcome<usize> {
    let mut records = Records::of(context, &[context.names.derived("scores", "v1")]).await?;
    let page = records.page().await?.unwrap_or_default();
    Ok(page.iter().map(|r| r.record.size()).sum::<usize>() / page.len().max(1))
}
