//! How fast appends and scans are here: `throughput [EVENTS] [CALLERS] [v4|v7|none]`, in a directory of `TMPDIR`.
//!
//! Events have 600 bytes; batches have 500 of them; every append is durable.

use std::io::Write;
use std::time::{Duration, Instant};
use stillhouse_embedded::{EmbeddedJournal, Options};
use stillhouse_streams::{Append, Cleanup, Headers, ID_HEADER, Journal, Record, TopicSpec};

const BATCH: usize = 500;
const PARTITIONS: u32 = 4;

fn event(ids: &str, number: usize) -> Append {
    let id = match ids {
        "v4" => Some(uuid::Uuid::new_v4().to_string()),
        "v7" => Some(uuid::Uuid::now_v7().to_string()),
        _ => None,
    };
    let headers: Vec<(&str, Option<&[u8]>)> = match &id {
        Some(id) => vec![
            ("ce_specversion", Some(b"1.0")),
            (ID_HEADER, Some(id.as_bytes())),
            ("ce_source", Some(b"bench")),
            ("ce_type", Some(b"stillhouse.run")),
            ("content-type", Some(b"application/avro")),
        ],
        None => Vec::new(),
    };
    let headers = Headers::from_pairs(headers);
    let key = format!("run-{number}");
    let value = vec![b'x'; 600 - key.len() - headers.encoded().len()];
    let record = Record { key: Some(key.into()), value: Some(value.into()), headers, timestamp: number as i64 };
    Append { topic: "runs".into(), partition: None, record }
}

fn say(line: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout().lock(), "{line}")
}

/// Nanoseconds that the writer has run: what it costs, however busy the machine is.
fn writer_ns() -> u64 {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let of = |path: std::path::PathBuf| {
        let name = std::fs::read_to_string(path.join("comm")).ok()?;
        let stat = std::fs::read_to_string(path.join("schedstat")).ok()?;
        (name.trim() == "journal-writer").then(|| stat.split(' ').next()?.parse::<u64>().ok())?
    };
    threads.filter_map(|thread| of(thread.path())).sum()
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let events: usize = args.next().map_or(Ok(1_000_000), |arg| arg.parse())?;
    let callers: usize = args.next().map_or(Ok(4), |arg| arg.parse())?;
    let ids = args.next().unwrap_or_else(|| "v7".to_owned());
    let dir = tempfile::tempdir()?;
    let journal = EmbeddedJournal::open(&dir.path().join("journal"), Options::default())?;
    let spec = TopicSpec { name: "runs".into(), partitions: PARTITIONS, cleanup: Cleanup::Keep };
    journal.ensure(&[spec]).await?;

    let each = events / callers / BATCH;
    let batches = |caller: usize| -> Vec<Vec<Append>> {
        let batch = |b: usize| (0..BATCH).map(|i| event(&ids, (caller * each + b) * BATCH + i)).collect();
        (0..each).map(batch).collect()
    };
    // Made before the clock starts: this is about the journal.
    let work: Vec<_> = (0..callers).map(batches).collect();
    let begin = Instant::now();
    let tasks: Vec<_> = work
        .into_iter()
        .map(|batches| {
            let journal = journal.clone();
            tokio::spawn(async move {
                for batch in batches {
                    journal.append(batch).await?;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    let count = each * callers * BATCH;
    let per_second = |count: usize, took: Duration| (count as f64 / took.as_secs_f64()) as u64;
    say(&format!("the writer: {} ns an event", writer_ns() / count as u64))?;
    say(&format!("append: {} events a second ({ids} ids, {callers} callers)", per_second(count, begin.elapsed())))?;

    let begin = Instant::now();
    let mut found = 0;
    for partition in 0..PARTITIONS {
        let mut scan = journal.scan("runs", partition, 0, None).await?;
        loop {
            let page = scan.next(2_000).await?;
            if page.is_empty() {
                break;
            }
            found += page.len();
        }
    }
    anyhow::ensure!(found == count, "{found} of {count} found");
    say(&format!("scan: {} events a second", per_second(found, begin.elapsed())))?;

    let mut took = Vec::new();
    let mut tick = tokio::time::interval(Duration::from_millis(1));
    for number in 0..3_000 {
        tick.tick().await;
        let journal = journal.clone();
        let batch = vec![event("v7", number)];
        took.push(tokio::spawn(async move {
            let begin = Instant::now();
            journal.append(batch).await.map(|_| begin.elapsed())
        }));
    }
    let mut latencies = Vec::new();
    for task in took {
        latencies.push(task.await??);
    }
    latencies.sort_unstable();
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize];
    say(&format!("single appends at 1,000 a second: p50 {:?}, p99 {:?}, most {:?}", at(0.5), at(0.99), at(1.0)))?;

    let begin = Instant::now();
    let verified = journal.verify().await?;
    anyhow::ensure!(verified.damage.is_empty(), "{:?}", verified.damage);
    say(&format!("verify: {} records a second", per_second(count, begin.elapsed())))?;
    let bytes: u64 = std::fs::read_dir(dir.path().join("journal"))?
        .flatten()
        .filter_map(|f| f.metadata().ok())
        .map(|m| m.len())
        .sum();
    say(&format!("disk: {} MB for {} MB of events", bytes / 1_000_000, count * 600 / 1_000_000))?;
    Ok(())
}
