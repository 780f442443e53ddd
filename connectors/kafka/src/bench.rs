//! The raw limit that processors over Kafka are measured beside: a bare transactional consume-produce loop.

use crate::error::fail;
use crate::settings::{Options, Settings};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use stillhouse_streams::{Error, ErrorKind, Result};

const STEP: Duration = Duration::from_secs(30);

/// What a bare loop moves.
#[derive(Clone, Copy, Debug)]
pub struct Hop<'a> {
    /// Group to consume with.
    pub group: &'a str,
    /// Topic to consume from its beginning.
    pub input: &'a str,
    /// Topic to produce to.
    pub output: &'a str,
    /// Records to move.
    pub count: u64,
    /// Records of a transaction, at most.
    pub batch: usize,
    /// Bytes of each record produced.
    pub bytes: usize,
}

/// Moves records with bare librdkafka, exactly once: each record is answered by one with its key, outputs and offsets
/// in one transaction. The clients are set as the journal's own. Blocks; answers the time from the first record to the last
/// commit.
pub fn bare_loop(uri: &str, options: Options, hop: Hop<'_>) -> Result<Duration> {
    let Hop { group, input, output, count, batch, bytes } = hop;
    let settings = Settings::read(uri, options)?;
    let mut config = settings.member(group, Duration::from_secs(10));
    config.set("auto.offset.reset", "earliest");
    let consumer: BaseConsumer = config.create().map_err(|e| fail("making a consumer", &e))?;
    consumer.subscribe(&[input]).map_err(|e| fail("subscribing", &e))?;
    let producer: BaseProducer =
        settings.producer(&format!("{group}-bare")).create().map_err(|e| fail("making a producer", &e))?;
    producer.init_transactions(STEP).map_err(|e| fail("starting transactions", &e))?;
    let mut started = None;
    let mut moved = 0;
    let deadline = Instant::now() + Duration::from_secs(600);
    while moved < count {
        if Instant::now() > deadline {
            return Err(Error::new(ErrorKind::Unavailable, format!("{moved} of {count} records after ten minutes")));
        }
        let Some(first) = consumer.poll(Duration::from_millis(100)) else { continue };
        let started = *started.get_or_insert_with(Instant::now);
        producer.begin_transaction().map_err(|e| fail("beginning", &e))?;
        let mut ends: BTreeMap<i32, i64> = BTreeMap::new();
        let mut taken = 0;
        let mut next = Some(first);
        while let Some(message) = next {
            let message = message.map_err(|e| fail("consuming", &e))?;
            let payload = message.payload().unwrap_or_default();
            let answer = &payload[..bytes.min(payload.len())];
            let mut record = BaseRecord::to(output).payload(answer).key(message.key().unwrap_or_default());
            while let Err((error, again)) = producer.send(record) {
                if error.rdkafka_error_code() != Some(rdkafka::types::RDKafkaErrorCode::QueueFull) {
                    return Err(fail("producing", &error));
                }
                producer.poll(Duration::from_millis(1));
                record = again;
            }
            ends.insert(message.partition(), message.offset() + 1);
            taken += 1;
            next = if taken < batch { consumer.poll(Duration::ZERO) } else { None };
        }
        let mut offsets = TopicPartitionList::new();
        for (partition, end) in ends {
            offsets.add_partition_offset(input, partition, Offset::Offset(end)).map_err(|e| fail("offsets", &e))?;
        }
        let metadata =
            consumer.group_metadata().ok_or_else(|| Error::new(ErrorKind::Unavailable, "the consumer has no group"))?;
        producer.send_offsets_to_transaction(&offsets, &metadata, STEP).map_err(|e| fail("sending offsets", &e))?;
        // The binding's commit collects reports for a tenth of a second at least if any are outstanding: a limit that
        // is not librdkafka's.
        while producer.in_flight_count() > 0 {
            producer.poll(Duration::from_millis(1));
        }
        producer.commit_transaction(STEP).map_err(|e| fail("committing", &e))?;
        moved += taken as u64;
        if moved >= count {
            return Ok(started.elapsed());
        }
    }
    Ok(Duration::ZERO)
}
