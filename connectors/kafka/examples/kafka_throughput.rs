//! What the journal moves, beside what a bare transactional librdkafka loop moves on the same broker with the same
//! records, batches and hops: `cargo run --release --example kafka_throughput -- kafka://127.0.0.1:19092 [RECORDS]`.

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};
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

    let began = Instant::now();
    let copied = session(&journal, &input, &output, found).await?;
    say("session: next, copy, commit", copied, began)?;
    let hosts = uri.trim_start_matches("kafka://").to_owned();
    let began = Instant::now();
    let copied = tokio::task::spawn_blocking(move || loop_of_librdkafka(&hosts, &input, &bare, found)).await??;
    say("bare librdkafka: poll, copy, commit", copied, began)?;
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

async fn session(journal: &KafkaJournal, input: &str, output: &str, records: usize) -> anyhow::Result<usize> {
    let (group, topics) = (format!("{input}-copier"), vec![input.to_owned()]);
    let spec = GroupSpec { group, topics, session_timeout: Duration::from_secs(10) };
    let mut session = journal.join(&spec).await?;
    let limits = BatchLimits { records: BATCH, bytes: 16 << 20, wait: Duration::from_millis(500) };
    let output: Arc<str> = output.into();
    let mut copied = 0;
    while copied < records {
        let batch = session.next(&limits).await?;
        copied += batch.records.len();
        let copies = batch.records.into_iter().map(|r| Append {
            topic: output.clone(),
            partition: Some(r.position.partition),
            record: r.record,
        });
        session.commit(copies.collect(), &batch.progress).await?;
    }
    session.leave().await?;
    Ok(copied)
}

/// What nobody can do better with this library: no contract, no checks, no buffers of its own.
fn loop_of_librdkafka(hosts: &str, input: &str, output: &str, records: usize) -> anyhow::Result<usize> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", hosts).set("group.id", format!("{input}-bare")).set("enable.auto.commit", "false");
    config.set("isolation.level", "read_committed").set("auto.offset.reset", "earliest");
    config.set("queued.min.messages", "20000").set("queued.max.messages.kbytes", "16384");
    config.set("fetch.queue.backoff.ms", "5").set("check.crcs", "true");
    let consumer: BaseConsumer = config.create()?;
    consumer.subscribe(&[input])?;
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", hosts).set("transactional.id", format!("{input}-bare"));
    config.set("compression.type", "lz4").set("linger.ms", "1").set("queue.buffering.max.messages", "200000");
    let producer: BaseProducer = config.create()?;
    producer.init_transactions(Duration::from_secs(10))?;
    let mut copied = 0;
    while copied < records {
        let mut ends = HashMap::new();
        let mut sent = 0;
        producer.begin_transaction()?;
        while sent < BATCH {
            let Some(message) = consumer.poll(Duration::from_millis(if sent == 0 { 500 } else { 0 })) else {
                if sent == 0 {
                    continue;
                }
                break;
            };
            let message = message?;
            let headers = message.headers().map(rdkafka::message::BorrowedHeaders::detach).unwrap_or_default();
            let mut record: BaseRecord<'_, [u8], [u8]> =
                BaseRecord::to(output).partition(message.partition()).headers(headers);
            record.key = message.key();
            record.payload = message.payload();
            producer.send(record).map_err(|(error, _)| error)?;
            ends.insert(message.partition(), message.offset() + 1);
            sent += 1;
        }
        let mut offsets = TopicPartitionList::new();
        for (partition, next) in ends {
            offsets.add_partition_offset(input, partition, Offset::Offset(next))?;
        }
        let group = consumer.group_metadata().ok_or_else(|| anyhow::anyhow!("no group"))?;
        producer.send_offsets_to_transaction(&offsets, &group, Duration::from_secs(10))?;
        while producer.in_flight_count() > 0 {
            producer.poll(Duration::from_millis(1));
        }
        producer.commit_transaction(Duration::from_secs(10))?;
        copied += sent;
    }
    Ok(copied)
}
