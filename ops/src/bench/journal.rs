//! Durable appends and scans.

use super::load::{Filler, Scratch};
use super::report::{Figure, Latencies, memory_mb, print};
use crate::failure::{Failure, Outcome, Status};
use crate::{Global, journals};
use std::sync::Arc;
use std::time::{Duration, Instant};
use stillhouse_streams::{Cleanup, Journal, TopicSpec};

/// Measures appends and scans.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Events to append
    #[arg(long, default_value_t = 1_000_000, value_name = "N")]
    events: usize,
    /// Events of a batch
    #[arg(long, default_value_t = 500, value_name = "N")]
    batch: usize,
    /// Bytes of an event: key, value and headers
    #[arg(long, default_value_t = 600, value_name = "BYTES")]
    size: usize,
    /// Appenders at a time
    #[arg(long, default_value_t = 4, value_name = "N")]
    appenders: usize,
    /// Partitions
    #[arg(long, default_value_t = 4, value_name = "N")]
    topic_partitions: u32,
}

/// Runs the benchmark.
pub async fn run(global: &Global, args: &Args) -> Outcome {
    let mut loaded = global.load(&[])?;
    let scratch = Scratch::new(&loaded.settings.data)?;
    if loaded.settings.journal.is_empty() {
        loaded.settings.journal = format!("embedded:{}", scratch.path().join("journal").display());
    }
    let embedded = loaded.settings.journal.starts_with("embedded:");
    let journal = journals::open(&loaded.settings).await?;
    let name = format!("bench-{}", std::process::id());
    let topic: Arc<str> = Arc::from(name.as_str());
    journal
        .ensure(&[TopicSpec { name: name.clone(), partitions: args.topic_partitions, cleanup: Cleanup::Keep }])
        .await?;
    let mut figures = Vec::new();

    let raw = if embedded { bare(&scratch, args).await? } else { Vec::new() };
    let per_appender = args.events / args.appenders.max(1) / args.batch.max(1);
    let filler = Filler::new(&topic, args.size);
    let started = Instant::now();
    let tasks: Vec<_> = (0..args.appenders)
        .map(|appender| {
            let (journal, filler, batch) = (journal.clone(), filler.clone(), args.batch);
            tokio::spawn(async move {
                let mut latencies = Latencies::default();
                for round in 0..per_appender {
                    let records = filler.records((appender * per_appender + round) * batch, batch);
                    let began = Instant::now();
                    journal.append(records).await?;
                    latencies.add(began.elapsed());
                }
                Ok::<_, stillhouse_streams::Error>(latencies)
            })
        })
        .collect();
    let mut latencies = Latencies::default();
    for task in tasks {
        latencies.extend(task.await.map_err(|e| Failure::new(Status::Failed, e.to_string()))??);
    }
    let count = (per_appender * args.batch * args.appenders) as u64;
    let append = Figure::rate(
        format!("append, durable, batches of {}, {} bytes", args.batch, args.size),
        count,
        started.elapsed(),
    );
    figures.push(match raw.iter().find(|r| r.what.contains("SQLite")) {
        Some(limit) => append.beside(limit),
        None => append,
    });
    figures.extend(latencies.figures("one such batch"));

    let started = Instant::now();
    let mut read = 0;
    for partition in 0..args.topic_partitions {
        read += scan(journal.as_ref(), &topic, partition).await?;
    }
    let alone = Figure::rate("scan, every record checked, one partition after the other", read, started.elapsed());
    let started = Instant::now();
    let all = (0..args.topic_partitions).map(|partition| scan(journal.as_ref(), &topic, partition));
    let together: u64 = futures::future::try_join_all(all).await?.iter().sum();
    if read != count || together != count {
        let message = format!("{count} events were appended, {read} and {together} read");
        return Err(Failure::new(Status::Invalid, message));
    }
    figures.push(Figure::rate("scan, every record checked, all partitions at a time", together, started.elapsed()));
    figures.push(alone);
    figures.extend(singles(&journal, &filler).await?.figures("single append at 1,000 a second"));
    figures.extend(raw);
    figures.push(Figure::of("memory of the process, highest", memory_mb().1, "MB"));
    journal.delete_topic(&name).await?;
    print(&global.output(), &figures)
}

/// Reads a partition from its beginning to its end, and answers how many records it has.
async fn scan(journal: &dyn Journal, topic: &str, partition: u32) -> Outcome<u64> {
    let mut scan = journal.scan(topic, partition, 0, None).await?;
    let mut read = 0;
    loop {
        match scan.next(2_000).await?.len() {
            0 => return Ok(read),
            page => read += page as u64,
        }
    }
}

/// Appends one event every millisecond for ten seconds, whether or not the one before has been answered.
async fn singles(journal: &Arc<dyn Journal>, filler: &Filler) -> Outcome<Latencies> {
    let mut ticks = tokio::time::interval(Duration::from_millis(1));
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..10_000 {
        ticks.tick().await;
        let (journal, batch) = (journal.clone(), filler.records(number, 1));
        tasks.spawn(async move {
            let began = Instant::now();
            journal.append(batch).await.map(|_| began.elapsed())
        });
    }
    let mut latencies = Latencies::default();
    while let Some(done) = tasks.join_next().await {
        latencies.add(done.map_err(|e| Failure::new(Status::Failed, e.to_string()))??);
    }
    Ok(latencies)
}

/// What SQLite, and what a plain file, does with the same bytes, batches and syncs.
async fn bare(scratch: &Scratch, args: &Args) -> Outcome<Vec<Figure>> {
    let (dir, events, batch, size) = (scratch.path().to_path_buf(), args.events, args.batch, args.size);
    tokio::task::spawn_blocking(move || {
        use std::io::Write;
        let rounds = events / batch.max(1);
        let record = vec![b'x'; size];
        let mut file = std::fs::File::create(dir.join("bare.log"))?;
        let started = Instant::now();
        let block = record.repeat(batch);
        for _ in 0..rounds {
            file.write_all(&block)?;
            file.sync_data()?;
        }
        let plain = Figure::rate(
            "limit: a bare file, one write and one sync a batch",
            (rounds * batch) as u64,
            started.elapsed(),
        );
        let took = stillhouse_embedded::bench::bare_inserts(&dir.join("bare.db"), rounds, batch, size)?;
        Ok(vec![
            Figure::rate("limit: bare SQLite, one table, one commit a batch", (rounds * batch) as u64, took),
            plain,
        ])
    })
    .await
    .map_err(|e| Failure::new(Status::Failed, e.to_string()))?
}
