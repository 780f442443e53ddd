//! What the journal moves, beside what a bare transactional librdkafka loop moves on the same broker with the same
//! records, batches and hops: `cargo run --release --example kafka_throughput -- kafka://127.0.0.1:19092 [RECORDS]`.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};
use stillhouse_kafka::bench::{Hop, bare_loop};
use stillhouse_kafka::{KafkaJournal, Options};
use stillhouse_streams::{
    Append, BatchLimits, Cleanup, GroupSpec, Headers, ID_HEADER, Journal, Record, Result, TopicSpec,
};

const PARTITIONS: u32 = 4;
const BYTES: usize = 600;
const BATCH: usize = 5_000;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let uri = arguments.next().unwrap_or_else(|| "kafka://127.0.0.1:19092".to_owned());
    let records: usize = arguments.next().map_or(Ok(200_000), |n| n.parse())?;
    let journal = Arc::new(KafkaJournal::connect(&uri, Options::default()).await?);
    let run = std::process::id();
    let (input, output, bare) = (format!("bench-in-{run}"), format!("bench-out-{run}"), format!("bench-bare-{run}"));
    let spec = |name: &String| TopicSpec { name: name.clone(), partitions: PARTITIONS, cleanup: Cleanup::Keep };
    journal.ensure(&[spec(&input), spec(&output), spec(&bare)]).await?;

    let began = Instant::now();
    fill(&journal, &input, records).await?;
    say("append, 16 callers, batches of 500", records, began)?;

    let began = Instant::now();
    for _ in 0..50 {
        journal.append(vec![append(&input.as_str().into(), 0, records)]).await?;
    }
    let each = began.elapsed() / 50;
    writeln!(std::io::stdout(), "single appends, one after another: {each:.1?} each")?;

    let began = Instant::now();
    let mut found = 0;
    for partition in 0..PARTITIONS {
        let mut scan = journal.scan(&input, partition, 0, None).await?;
        loop {
            let page = scan.next(5_000).await?;
            found += page.len();
            if page.is_empty() {
                break;
            }
        }
    }
    say("scan", found, began)?;

    let began = Instant::now();
    for partition in 0..PARTITIONS {
        journal.scan(&input, partition, 0, Some(1)).await?.next(1).await?;
    }
    writeln!(std::io::stdout(), "opening a scan and reading one record: {:.1?} each", began.elapsed() / PARTITIONS)?;

    let took = session(&journal, &input, &output, found).await?;
    let rate = found as f64 / took.as_secs_f64();
    writeln!(std::io::stdout(), "session: next, copy, commit: {rate:.0} a second, with headers")?;
    let group = format!("{input}-bare");
    let raw = move || {
        let hop = Hop { group: &group, input: &input, output: &bare, count: found as u64, batch: BATCH, bytes: BYTES };
        bare_loop(&uri, Options::default(), hop)
    };
    let took = tokio::task::spawn_blocking(raw).await??;
    let rate = found as f64 / took.as_secs_f64();
    writeln!(std::io::stdout(), "bare librdkafka: poll, copy, commit: {rate:.0} a second, without headers")?;
    Ok(())
}

fn say(what: &str, records: usize, began: Instant) -> anyhow::Result<()> {
    let rate = records as f64 / began.elapsed().as_secs_f64();
    writeln!(std::io::stdout(), "{what}: {records} records of {BYTES} bytes, {rate:.0} a second")?;
    Ok(())
}

fn append(topic: &Arc<str>, n: usize, seed: usize) -> Append {
    let mut value = vec![0; BYTES];
    let mut state = (n as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ seed as u64;
    for byte in &mut value {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        *byte = b'a' + (state >> 60) as u8;
    }
    let id = format!("{n:036}");
    let record = Record {
        key: Some(format!("run-{}", n % 10_000).into()),
        value: Some(value.into()),
        headers: Headers::from_pairs([(ID_HEADER, Some(id.as_bytes()))]),
        timestamp: 1_700_000_000_000,
    };
    Append { topic: topic.clone(), partition: None, record }
}

async fn fill(journal: &Arc<KafkaJournal>, topic: &str, records: usize) -> anyhow::Result<()> {
    let topic: Arc<str> = topic.into();
    let callers: Vec<_> =
        (0..16).map(|caller| tokio::spawn(call(journal.clone(), topic.clone(), caller, records))).collect();
    for caller in callers {
        caller.await??;
    }
    Ok(())
}

async fn call(journal: Arc<KafkaJournal>, topic: Arc<str>, caller: usize, records: usize) -> Result<()> {
    for start in (caller * 500..records).step_by(16 * 500) {
        let batch = (start..(start + 500).min(records)).map(|n| append(&topic, n, caller)).collect();
        journal.append(batch).await?;
    }
    Ok(())
}

async fn session(journal: &KafkaJournal, input: &str, output: &str, records: usize) -> anyhow::Result<Duration> {
    let (group, topics) = (format!("{input}-copier"), vec![input.to_owned()]);
    let spec = GroupSpec { group, topics, session_timeout: Duration::from_secs(10) };
    let mut session = journal.join(&spec).await?;
    let limits = BatchLimits { records: BATCH, bytes: 16 << 20, wait: Duration::from_millis(500) };
    let output: Arc<str> = output.into();
    let (mut copied, mut began) = (0, None);
    while copied < records {
        let batch = session.next(&limits).await?;
        if batch.records.is_empty() {
            continue;
        }
        began.get_or_insert_with(Instant::now);
        copied += batch.records.len();
        let copies = batch.records.into_iter().map(|r| Append {
            topic: output.clone(),
            partition: Some(r.position.partition),
            record: r.record,
        });
        session.commit(copies.collect(), &batch.progress).await?;
    }
    let took = began.map_or(Duration::ZERO, |b| b.elapsed());
    session.leave().await?;
    Ok(took)
}
