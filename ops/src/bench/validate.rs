//! Validations over HTTP at a steady rate, against a roster of many; each is recorded before it is answered.

use super::client::{Client, request};
use super::load::aside;
use super::report::{Figure, Latencies, memory_mb, print};
use crate::Global;
use crate::failure::{Failure, Outcome, Status};
use crate::node::Workers;
use crate::rosters;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use stillhouse_processors::validator::{Artefact, Policies, Subject};
use stillhouse_schemas::roster::{Roster, Rosters, Worker};
use tokio_util::sync::CancellationToken;

/// Proposals that are asked about in turn.
const ASKED: usize = 50_000;

/// Measures validations over HTTP.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Workers in the roster
    #[arg(long, default_value_t = 500_000, value_name = "N")]
    workers: usize,
    /// Validations a second
    #[arg(long, default_value_t = 1_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// For so many seconds
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Validations in process, without HTTP and records
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    bare: usize,
}

/// Runs the benchmark.
pub async fn run(global: &Global, args: &Args) -> Outcome {
    let (context, scratch) = aside(global, &[("http.listen", "127.0.0.1:0".into())]).await?;
    let file = scratch.path().join("workers.parquet");
    stillhouse_roster::generate(args.workers.max(1), 1, std::fs::File::create(&file)?)
        .map_err(|e| Failure::new(Status::Failed, e.to_string()))?;
    rosters::load_file(&context, &file, true).await?;
    context.rosters().catch_up().await?;
    let roster = context.rosters().newest().ok_or_else(|| Failure::new(Status::Failed, "no roster was loaded"))?;
    let asked: Arc<[String]> =
        rosters::read_file(&file).await?.table.workers().filter_map(|w| plain(&w)).take(ASKED).collect();
    if asked.is_empty() {
        return Err(Failure::new(Status::Usage, "among so few workers nobody is free; ask for more with --workers"));
    }
    let mut figures = vec![bare(roster.as_ref(), &asked, args).await?];
    let stop = CancellationToken::new();
    let listener = crate::http::listen(context.settings()).await?;
    let address = listener.local_addr()?;
    let workers = Workers::new(context.clone(), Vec::new());
    let server = tokio::spawn(crate::http::run(context.clone(), workers, listener, stop.clone()));
    let what = format!("fill over HTTP, recorded, at {} a second against {} workers", args.rate, args.workers);
    figures.extend(steady(address, asked, args).await?.figures(&what));
    figures.push(Figure::of("memory of the process, highest", memory_mb().1, "MB"));
    stop.cancel();
    server.await.map_err(|e| Failure::new(Status::Failed, e.to_string()))??;
    print(&context.out, &figures)
}

/// The same work without HTTP and records.
async fn bare(roster: &dyn Roster, asked: &[String], args: &Args) -> Outcome<Figure> {
    let policies = Policies::parse("{}", "{}", "on").map_err(|e| Failure::new(Status::Failed, e))?;
    let policy =
        policies.policies.get("fill").ok_or_else(|| Failure::new(Status::Failed, "there is no policy `fill`"))?;
    let started = Instant::now();
    for number in 0..args.bare {
        let body: serde_json::Value =
            serde_json::from_str(&asked[number * 7 % asked.len()]).map_err(std::io::Error::from)?;
        let artefact = Artefact::of_json(body["artefact"].clone());
        let subject = Subject {
            artefact: &artefact,
            context: &body["context"],
            sources: &[],
            schema: None,
            roster: Some(roster),
            claims: None,
        };
        let verdict = policy.check(&subject, None).await.verdict().as_str();
        if verdict != "pass" {
            return Err(Failure::new(Status::Failed, format!("a plain proposal is a {verdict}")));
        }
    }
    Ok(Figure::rate("fill in process, one thread, JSON read", args.bare as u64, started.elapsed()))
}

/// So many a second, over 32 connections in turn.
async fn steady(address: SocketAddr, asked: Arc<[String]>, args: &Args) -> Outcome<Latencies> {
    const CLIENTS: u32 = 32;
    let (rate, rounds) = (args.rate, args.rate * args.seconds / CLIENTS);
    let tasks: Vec<_> = (0..CLIENTS)
        .map(|n| {
            let asked = asked.clone();
            tokio::spawn(async move {
                let mut client = Client::connect(address).await?;
                let step = Duration::from_secs(1) / rate;
                let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + step * n, step * CLIENTS);
                let mut latencies = Latencies::default();
                for round in 0..rounds {
                    let body = &asked[(round * CLIENTS + n) as usize * 7 % asked.len()];
                    let request = request("/v1/validate", "application/json", body.as_bytes());
                    let due = ticks.tick().await;
                    client.send(&request).await?;
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

/// A plain proposal of a worker who is free: for a shift of the first free day, where the worker lives.
fn plain(worker: &Worker<'_>) -> Option<String> {
    let (day, place, pay) = (worker.available_from?, worker.place?, worker.pay?);
    if worker.status != "active" {
        return None;
    }
    let day = jiff::civil::date(1970, 1, 1).checked_add(jiff::Span::new().try_days(day).ok()?).ok()?;
    let job = serde_json::json!({
        "job_id": "J-1", "role": worker.role, "city": worker.city, "state": worker.state, "lat": place.0, "lon": place.1,
        "start": format!("{day}T06:00"), "end": format!("{day}T14:00"), "headcount": 1,
        "pay_rate": f64::from(pay.0) / 100.0, "certifications": worker.certifications,
    });
    let fills = serde_json::json!([{"worker_id": worker.id, "worker_name": worker.name}]);
    Some(
        serde_json::json!({"policy": "fill", "artefact": {"job_id": "J-1", "fills": fills}, "context": {"job": job}})
            .to_string(),
    )
}
