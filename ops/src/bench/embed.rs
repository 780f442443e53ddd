//! `POST /v1/embed`: warm, beside a bare axum handler that sends stored bytes of the same size; cold, with a model that takes
//! 20 ms; and what lexical vectors cost. All over loopback, by clients of the same process.

use super::client::{Client, request};
use super::report::{Figure, Latencies, memory_mb, print};
use crate::Global;
use crate::failure::{Failure, Outcome, Status};
use crate::http::{Access, Alone, Health, HttpState, Limits, Serving, router, serve};
use crate::settings::Models;
use async_trait::async_trait;
use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::post;
use bytes::Bytes;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use stillhouse_embedcache::{EmbedCache, Opened};
use stillhouse_lexical::Lexical;
use stillhouse_schemas::Codec;
use stillhouse_schemas::model::{Embedder, Embeddings, ModelError};
use stillhouse_streams::generation::Names;
use stillhouse_streams::memory::MemoryJournal;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const PATH: &str = "/v1/embed";
const JSON: &str = "application/json";
/// Bodies that take turns.
const BODIES: usize = 6;
/// What the simulated model takes.
const SLOW: Duration = Duration::from_millis(20);

/// Measures vectors over HTTP.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Connections
    #[arg(long, default_value_t = 10, value_name = "N")]
    connections: usize,
    /// Seconds of each of three turns
    #[arg(long, default_value_t = 4, value_name = "N")]
    seconds: u64,
    /// Numbers of a vector
    #[arg(long, default_value_t = 768, value_name = "N")]
    dimensions: usize,
    /// Another server, asked the same in the same turns
    #[arg(long, value_name = "HOST:PORT")]
    beside: Option<SocketAddr>,
}

/// Runs the benchmark.
pub async fn run(global: &Global, args: &Args) -> Outcome {
    let stop = CancellationToken::new();
    let (ours, _) = ours(args, Duration::ZERO, &stop).await?;
    let warm: Vec<Bytes> = (0..BODIES).map(|n| asked(&format!("warm {n}"))).collect();
    let mut size = 0;
    let mut first = Client::connect(ours).await?;
    for asked in &warm {
        size = first.send(asked).await?;
    }
    let bare = bare(size).await?;
    let mut servers = vec![("a bare axum handler that sends stored bytes of the same size", bare), ("warm", ours)];
    servers.extend(args.beside.map(|address| ("the other server", address)));
    let mut counts = vec![(0_u64, Duration::ZERO, Latencies::default()); servers.len()];
    for _ in 0..3 {
        for ((_, address), (count, took, latencies)) in servers.iter().zip(&mut counts) {
            let turn = load(*address, args, Duration::from_secs(args.seconds), {
                let warm = warm.clone();
                move |count, connection| warm[(count + connection) % BODIES].clone()
            })
            .await?;
            *count += turn.0;
            *took += turn.1;
            latencies.extend(turn.2);
        }
    }
    let mut figures: Vec<Figure> = Vec::new();
    for ((name, _), (count, took, latencies)) in servers.iter().zip(counts) {
        let mut rate = Figure { unit: "requests/s", ..Figure::rate(*name, count, took) };
        if let Some(limit) = figures.first() {
            rate = rate.beside(limit);
        }
        figures.push(rate);
        figures.extend(latencies.figures(name));
    }
    figures.push(Figure::of("one answer", size as f64, "bytes"));
    let cold = cold(args, &stop).await?;
    figures.extend(cold);
    figures.extend(lexical(args));
    figures.push(Figure::of("memory of the process, highest", memory_mb().1, "MB"));
    stop.cancel();
    print(&global.output(), &figures)
}

fn asked(text: &str) -> Bytes {
    let filler = "plainly made up, of the length that questions have; ".repeat(3);
    request(PATH, JSON, serde_json::json!({ "text": format!("{text}: {filler}") }).to_string().as_bytes()).into()
}

/// Our API on a journal in memory, with one model; and what it keeps.
async fn ours(args: &Args, takes: Duration, stop: &CancellationToken) -> Outcome<(SocketAddr, EmbedCache)> {
    let simulated: Arc<dyn Embedder> = Arc::new(Simulated { dimensions: args.dimensions, takes });
    let cache = EmbedCache::new(64 << 20, None, move |_| {
        Ok(Opened { embedder: simulated.clone(), worth_a_disk: false, may_change: false })
    });
    let models = Models { embed: "simulated://here/simulated".to_owned(), ..Models::default() };
    Ok((up(Serving::new(cache.clone(), None, &models), stop).await?, cache))
}

async fn up(serving: Serving, stop: &CancellationToken) -> Outcome<SocketAddr> {
    let (journal, names) = (Arc::new(MemoryJournal::new()), Names::default());
    let node = Arc::new(Alone(names.clone()));
    let health = Arc::new(Health::new(journal.clone(), names.clone(), node, Duration::from_secs(60)));
    let state = HttpState::new(journal, Codec::plain(), names, health, Access::open(), Limits::default());
    let state = state.serving(serving);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let stop = stop.clone();
    tokio::spawn(async move { serve(listener, router(state.clone()), &state, stop).await });
    Ok(address)
}

/// The raw limit: axum as it comes, sending what is stored.
async fn bare(size: usize) -> Outcome<SocketAddr> {
    let stored = Bytes::from(vec![b'1'; size]);
    let handler = move || {
        let stored = stored.clone();
        async move { ([(CONTENT_TYPE, JSON)], stored) }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let router = Router::new().route(PATH, post(handler));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(address)
}

/// Requests until the time is over: how many, in what time, and how long each took.
async fn load(
    address: SocketAddr,
    args: &Args,
    time: Duration,
    body: impl Fn(usize, usize) -> Bytes + Clone + Send + 'static,
) -> Outcome<(u64, Duration, Latencies)> {
    let started = Instant::now();
    let tasks: Vec<_> = (0..args.connections)
        .map(|n| {
            let body = body.clone();
            tokio::spawn(async move {
                let mut client = Client::connect(address).await?;
                let (mut latencies, mut count) = (Latencies::default(), 0_usize);
                while started.elapsed() < time {
                    let request = body(count, n);
                    let began = Instant::now();
                    client.send(&request).await?;
                    latencies.add(began.elapsed());
                    count += 1;
                }
                Ok::<_, Failure>((count as u64, latencies))
            })
        })
        .collect();
    let (mut count, mut latencies) = (0, Latencies::default());
    for task in tasks {
        let done = task.await.map_err(|e| Failure::new(Status::Failed, e.to_string()))??;
        count += done.0;
        latencies.extend(done.1);
    }
    Ok((count, started.elapsed(), latencies))
}

/// A model that takes its time, and whose vectors have no zeros: an answer is as long as a trained model's.
#[derive(Debug)]
struct Simulated {
    dimensions: usize,
    takes: Duration,
}

impl Simulated {
    fn vector(&self, text: &str) -> Vec<f32> {
        let seed = text.bytes().fold(7_u32, |seed, byte| seed.wrapping_mul(31).wrapping_add(u32::from(byte)));
        let mut state = seed | 1;
        let next = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state as f32 / u32::MAX as f32 - 0.5) / 14.0
        };
        (0..self.dimensions).map(next).collect()
    }
}

#[async_trait]
impl Embedder for Simulated {
    fn provider(&self) -> &str {
        "simulated"
    }

    fn name(&self) -> &str {
        "simulated"
    }

    async fn embed(&self, texts: &[&str]) -> Result<Embeddings, ModelError> {
        if !self.takes.is_zero() {
            tokio::time::sleep(self.takes).await;
        }
        let vectors = texts.iter().map(|text| self.vector(text).into()).collect();
        Ok(Embeddings { vectors, ..Embeddings::default() })
    }
}

/// Every text for the first time; and one text wanted by all connections at the same time.
async fn cold(args: &Args, stop: &CancellationToken) -> Outcome<Vec<Figure>> {
    let (address, cache) = ours(args, SLOW, stop).await?;
    let time = Duration::from_secs(args.seconds);
    let (count, took, latencies) =
        load(address, args, time, |count, connection| asked(&format!("cold {connection} {count}"))).await?;
    let name = "cold, a model that takes 20 ms, every text new";
    let mut figures = vec![Figure { unit: "requests/s", ..Figure::rate(name, count, took) }];
    figures.extend(latencies.figures("one such request"));
    let calls = cache.figures().calls;
    let (shared, ..) = load(address, args, time, |count, _| asked(&format!("shared {count}"))).await?;
    let calls = (cache.figures().calls - calls).max(1);
    figures.push(Figure::of("the same texts on all connections: requests a call", shared as f64 / calls as f64, ""));
    Ok(figures)
}

/// What making a lexical vector costs, on one thread.
fn lexical(args: &Args) -> Vec<Figure> {
    let lexical = Lexical::new(args.dimensions);
    let text = |n: usize| format!("text {n}: {}", "plainly made up, of the length that answers have; ".repeat(8));
    let texts: Vec<String> = (0..5_000).map(text).collect();
    let started = Instant::now();
    for text in &texts {
        std::hint::black_box(lexical.vector(text));
    }
    let (took, bytes) = (started.elapsed(), texts.iter().map(String::len).sum::<usize>());
    let rate = Figure { unit: "texts/s", ..Figure::rate("lexical vectors of texts of 400 bytes", 5_000, took) };
    vec![rate, Figure::of("the same", bytes as f64 / took.as_secs_f64() / 1e6, "MB/s")]
}
