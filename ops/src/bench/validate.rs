//! Validations over HTTP at a steady rate, against a roster of many; each is recorded before it is answered.

use super::client::{Client, request};
use super::load::aside;
use super::report::{Figure, Latencies, memory_mb, print};
use crate::Global;
use crate::failure::{Failure, Outcome, Status};
use crate::node::Workers;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use stillhouse_processors::validator::{Artefact, Policies, Subject};
use stillhouse_schemas::roster::{Roster, Rosters, Worker};
use tokio_util::sync::CancellationToken;

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

/// Workers that are plainly made up, with their ids looked up in a map.
#[derive(Debug)]
struct Many {
    version: String,
    ids: Vec<String>,
    by_id: HashMap<String, usize>,
}

impl Many {
    fn new(count: usize) -> Self {
        let ids: Vec<String> = (0..count).map(id).collect();
        let by_id = ids.iter().cloned().zip(0..).collect();
        Self { version: format!("made-up-{count}"), ids, by_id }
    }
}

fn id(number: usize) -> String {
    format!("W-{number:07}")
}

impl Roster for Many {
    fn version(&self) -> &str {
        &self.version
    }

    fn len(&self) -> usize {
        self.ids.len()
    }

    fn worker(&self, id: &str) -> Option<Worker<'_>> {
        let number = *self.by_id.get(id)?;
        Some(Worker {
            id: &self.ids[number],
            name: "Sample Worker",
            role: "Forklift Operator",
            certifications: vec!["OSHA-10"],
            city: "Chicago",
            state: "IL",
            place: Some((41.88, -87.63)),
            available_from: Some(0),
            available_until: Some(40_000),
            pay: Some((1_500, 3_000)),
            phone: "(312) 555-0100",
            email: "sample.worker@example.com",
            status: "active",
        })
    }

    fn named(&self, _: &str, _: usize) -> Vec<Worker<'_>> {
        Vec::new()
    }
}

#[derive(Debug)]
struct Only(Arc<Many>);

impl Rosters for Only {
    fn newest(&self) -> Option<Arc<dyn Roster>> {
        Some(self.0.clone())
    }

    fn at(&self, version: &str) -> Option<Arc<dyn Roster>> {
        (version == self.0.version).then(|| self.0.clone() as Arc<dyn Roster>)
    }
}

/// Runs the benchmark.
pub async fn run(global: &Global, args: &Args) -> Outcome {
    let (context, _scratch) = aside(global, &[("http.listen", "127.0.0.1:0".into())]).await?;
    let roster = Arc::new(Many::new(args.workers.max(1)));
    let context = context.with_rosters(Arc::new(Only(roster.clone())));
    let mut figures = vec![bare(&roster, args).await?];
    let stop = CancellationToken::new();
    let listener = crate::http::listen(context.settings()).await?;
    let address = listener.local_addr()?;
    let workers = Workers::new(context.clone(), Vec::new());
    let server = tokio::spawn(crate::http::run(context.clone(), workers, listener, stop.clone()));
    let what = format!("fill over HTTP, recorded, at {} a second against {} workers", args.rate, args.workers);
    figures.extend(steady(address, args).await?.figures(&what));
    figures.push(Figure::of("memory of the process, highest", memory_mb().1, "MB"));
    stop.cancel();
    server.await.map_err(|e| Failure::new(Status::Failed, e.to_string()))??;
    print(&context.out, &figures)
}

/// The same work without HTTP and records.
async fn bare(roster: &Many, args: &Args) -> Outcome<Figure> {
    let policies = Policies::parse("{}", "{}", "on").map_err(|e| Failure::new(Status::Failed, e))?;
    let policy =
        policies.policies.get("fill").ok_or_else(|| Failure::new(Status::Failed, "there is no policy `fill`"))?;
    let started = Instant::now();
    for number in 0..args.bare {
        let body: serde_json::Value = serde_json::from_str(&asked(number * 7 % args.workers.max(1)))?;
        let artefact = Artefact::of_json(body["artefact"].clone());
        let subject = Subject {
            artefact: &artefact,
            context: &body["context"],
            sources: &[],
            schema: None,
            roster: Some(roster),
        };
        let verdict = policy.check(&subject, None).await.verdict().as_str();
        if verdict != "pass" {
            return Err(Failure::new(Status::Failed, format!("a plain proposal is a {verdict}")));
        }
    }
    Ok(Figure::rate("fill in process, one thread, JSON read", args.bare as u64, started.elapsed()))
}

/// So many a second, over 32 connections in turn.
async fn steady(address: SocketAddr, args: &Args) -> Outcome<Latencies> {
    const CLIENTS: u32 = 32;
    let (rate, rounds, workers) = (args.rate, args.rate * args.seconds / CLIENTS, args.workers.max(1));
    let tasks: Vec<_> = (0..CLIENTS)
        .map(|n| {
            tokio::spawn(async move {
                let mut client = Client::connect(address).await?;
                let step = Duration::from_secs(1) / rate;
                let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + step * n, step * CLIENTS);
                let mut latencies = Latencies::default();
                for round in 0..rounds {
                    let body = asked((round * CLIENTS + n) as usize * 7 % workers);
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

/// A plain proposal.
fn asked(number: usize) -> String {
    let id = id(number);
    format!(
        r#"{{"policy":"fill","artefact":{{"job_id":"J-1","fills":[{{"worker_id":"{id}","worker_name":"Sample Worker"}}]}},"context":{{"job":{{"job_id":"J-1","role":"Forklift Operator","city":"Chicago","state":"IL","lat":41.9,"lon":-87.6,"start":"2026-03-02T06:00","end":"2026-03-02T14:00","headcount":1,"pay_rate":21.5,"certifications":["OSHA-10"]}}}}}}"#
    )
}
