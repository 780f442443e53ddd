//! Appends over HTTP, by clients of the same process over loopback.

use super::client::Client;
use super::load::aside;
use super::report::{Figure, Latencies, memory_mb, print};
use crate::Global;
use crate::failure::{Failure, Outcome, Status};
use crate::node::Workers;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Measures appends over HTTP.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Events to append in batches
    #[arg(long, default_value_t = 300_000, value_name = "N")]
    events: usize,
    /// Events of a request
    #[arg(long, default_value_t = 500, value_name = "N")]
    batch: usize,
    /// Connections
    #[arg(long, default_value_t = 4, value_name = "N")]
    connections: usize,
}

/// Runs the benchmark.
pub async fn run(global: &Global, args: &Args) -> Outcome {
    let (context, _scratch) = aside(global, &[("http.listen", "127.0.0.1:0".into())]).await?;
    let stop = CancellationToken::new();
    let listener = crate::http::listen(context.settings()).await?;
    let address = listener.local_addr()?;
    let workers = Workers::new(context.clone(), Vec::new());
    let server = tokio::spawn(crate::http::run(context.clone(), workers, listener, stop.clone()));

    let mut figures = Vec::new();
    let per_connection = args.events / args.connections.max(1) / args.batch.max(1);
    let started = Instant::now();
    let tasks: Vec<_> = (0..args.connections)
        .map(|connection| {
            let batch = args.batch;
            tokio::spawn(async move {
                let mut client = Client::connect(address).await?;
                let mut latencies = Latencies::default();
                for round in 0..per_connection {
                    let body = body((connection * per_connection + round) * batch, batch);
                    let began = Instant::now();
                    client.post("/v1/runs", "application/x-ndjson", &body).await?;
                    latencies.add(began.elapsed());
                }
                Ok::<_, Failure>(latencies)
            })
        })
        .collect();
    let mut latencies = Latencies::default();
    for task in tasks {
        latencies.extend(task.await.map_err(|e| Failure::new(Status::Failed, e.to_string()))??);
    }
    let count = (per_connection * args.batch * args.connections) as u64;
    figures.push(Figure::rate(
        format!("HTTP append, durable, {} runs a request", args.batch),
        count,
        started.elapsed(),
    ));
    figures.extend(latencies.figures("one such request"));
    figures.extend(singles(address, count as usize).await?.figures("single run over HTTP at 1,000 a second"));
    figures.push(Figure::of("memory of the process, highest", memory_mb().1, "MB"));
    stop.cancel();
    server.await.map_err(|e| Failure::new(Status::Failed, e.to_string()))??;
    print(&context.out, &figures)
}

/// One run every millisecond for ten seconds, over 32 connections in turn.
async fn singles(address: SocketAddr, from: usize) -> Outcome<Latencies> {
    const CLIENTS: usize = 32;
    let tasks: Vec<_> = (0..CLIENTS)
        .map(|n| {
            tokio::spawn(async move {
                let mut client = Client::connect(address).await?;
                let first = tokio::time::Instant::now() + Duration::from_millis(n as u64);
                let mut ticks = tokio::time::interval_at(first, Duration::from_millis(CLIENTS as u64));
                let mut latencies = Latencies::default();
                for round in 0..10_000 / CLIENTS {
                    let due = ticks.tick().await;
                    client.post("/v1/runs", "application/json", &body(from + round * CLIENTS + n, 1)).await?;
                    latencies.add(due.elapsed());
                }
                Ok::<_, Failure>(latencies)
            })
        })
        .collect();
    let mut latencies = Latencies::default();
    for task in tasks {
        latencies.extend(task.await.map_err(|e| Failure::new(Status::Failed, e.to_string()))??);
    }
    Ok(latencies)
}

/// Runs of about 600 bytes, as JSON lines.
fn body(first: usize, count: usize) -> Vec<u8> {
    let mut lines = Vec::with_capacity(count * 620);
    for number in first..first + count {
        let filler = "plainly made up, of the length that short answers have; ".repeat(5);
        let line = format!(
            r#"{{"run_id":"http-{number:09}","source_class":"chat","task_key":"task {}","model":"sample-model","messages":[{{"role":"user","content":"Question {number}?"}},{{"role":"assistant","content":"{filler}"}}],"outcome":{{"verdict":"pass"}},"finish_reason":"stop","tags":["bench","sample"]}}"#,
            number / 4
        );
        lines.extend_from_slice(line.as_bytes());
        lines.push(b'\n');
    }
    lines
}
