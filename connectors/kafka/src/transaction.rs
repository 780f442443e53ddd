//! Transactional producers, and the rule that keeps their transactions apart.
//!
//! A [`Writer`] lives on one thread, because transactional calls block. It has at most one transaction open, and only
//! within [`Writer::write`]. Whatever goes wrong there ends in one of two ways: the transaction was aborted and the
//! broker said so, or the producer is dropped; its successor has the same transactional id, so that the broker ends
//! what is open and refuses whatever is still on its way.

use crate::client::{Signs, bury};
use crate::convert::{headers_out, timestamp_out};
use crate::error::{fail, fail_code, fences, kind, refuses};
use crate::settings::Settings;
use rdkafka::ClientContext;
use rdkafka::TopicPartitionList;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use stillhouse_streams::{Append, Error, ErrorKind, Position, Receipt, Result};

/// Time for a step that begins when the time of the whole call is already used up.
const LAST_STEP: Duration = Duration::from_secs(2);

/// A record and the partition it goes to.
pub(crate) struct Placed {
    pub(crate) append: Append,
    pub(crate) partition: u32,
}

/// Writes transactions, one after another.
///
/// After a transaction its producer is not taken up again by the brokers before all markers are written, and
/// librdkafka waits a fiftieth of a second then. So under load two producers take turns.
pub(crate) struct Writer {
    settings: Arc<Settings>,
    lanes: Vec<Lane>,
    turn: usize,
}

/// One producer after another, all with one transactional id.
struct Lane {
    transactional_id: String,
    live: Option<BaseProducer<Deliveries>>,
    /// A producer was dropped, and what it left open has not been ended by another.
    unsettled: bool,
    /// When its last transaction ended.
    used: Option<Instant>,
}

/// As long after a transaction its markers are written.
const MARKED: Duration = Duration::from_millis(100);

/// A failed transaction.
pub(crate) struct Failed {
    pub(crate) error: Error,
    /// The broker refused these records; others might have been taken.
    pub(crate) refused: bool,
}

impl Writer {
    pub(crate) fn new(settings: Arc<Settings>) -> Self {
        let id = format!("{}-{}", settings.options.transactional_prefix, uuid::Uuid::new_v4().simple());
        let lane = |n| Lane { transactional_id: format!("{id}-{n}"), live: None, unsettled: false, used: None };
        let lanes = (0..settings.options.producers.max(1)).map(lane).collect();
        Self { settings, lanes, turn: 0 }
    }

    /// Has a producer ready.
    pub(crate) fn ready(&mut self, deadline: Instant) -> Result<()> {
        self.lanes[self.turn].ready(&self.settings, deadline).map(drop)
    }

    /// Whether a transaction was left open or unclear, so that readers wait for its end.
    pub(crate) fn is_unsettled(&self) -> bool {
        self.lanes.iter().any(|lane| lane.unsettled)
    }

    /// Ends what was left open or unclear, one way or the other.
    pub(crate) fn settle(&mut self, deadline: Instant) -> Result<()> {
        for lane in self.lanes.iter_mut().filter(|lane| lane.unsettled) {
            lane.ready(&self.settings, deadline)?;
        }
        Ok(())
    }

    /// Writes all records, and moves the group, or does neither. Only [`ErrorKind::Indeterminate`] leaves it open.
    pub(crate) fn write(
        &mut self,
        records: &[Placed],
        progress: Option<(&TopicPartitionList, &ConsumerGroupMetadata)>,
        deadline: Instant,
    ) -> Result<Vec<Receipt>, Failed> {
        if self.lanes[self.turn].used.is_some_and(|used| used.elapsed() < MARKED) {
            self.turn = (self.turn + 1) % self.lanes.len();
        }
        self.lanes[self.turn].write(&self.settings, records, progress, deadline)
    }
}

impl Lane {
    fn ready(&mut self, settings: &Settings, deadline: Instant) -> Result<&BaseProducer<Deliveries>> {
        if self.live.as_ref().is_some_and(|p| p.client().context().signs.request_may_be_late())
            && !settings.options.break_the_producer_rule
        {
            self.discard();
        }
        if self.live.is_none() {
            let config = settings.producer(&self.transactional_id);
            let producer: BaseProducer<Deliveries> =
                config.create_with_context(Deliveries::default()).map_err(|e| fail("making a producer", &e))?;
            if let Err(error) = producer.init_transactions(remaining(deadline)) {
                let error = explained("starting transactions", &error, &producer);
                bury(producer);
                return Err(error);
            }
            self.live = Some(producer);
            self.unsettled = false;
        }
        Ok(self.live.as_ref().expect("was just made"))
    }

    fn write(
        &mut self,
        settings: &Settings,
        records: &[Placed],
        progress: Option<(&TopicPartitionList, &ConsumerGroupMetadata)>,
        deadline: Instant,
    ) -> Result<Vec<Receipt>, Failed> {
        let producer = self.ready(settings, deadline).map_err(Failed::plain)?;
        producer.client().context().expect(records.len());
        let prepared = prepare(producer, records, progress, deadline);
        if let Err(trouble) = prepared {
            return Err(self.back_out(trouble));
        }
        if let Err(error) = self.commit(settings, deadline) {
            let producer = self.live.as_ref().expect("was used just now");
            let told = explained("the commit", &error, producer);
            self.discard();
            let message = format!("whether the transaction was committed is not known: {told}");
            return Err(Failed::plain(Error::new(ErrorKind::Indeterminate, message)));
        }
        self.used = Some(Instant::now());
        let producer = self.live.as_ref().expect("was used just now");
        // What the log has to say about this transaction must be read before the next one begins.
        for _ in 0..8 {
            producer.poll(Duration::ZERO);
        }
        let offsets = producer.client().context().offsets();
        let receipts = records.iter().zip(offsets).map(|(placed, offset)| Receipt {
            position: Position::new(placed.append.topic.clone(), placed.partition, offset),
            duplicate: false,
        });
        Ok(receipts.collect())
    }

    fn commit(&self, settings: &Settings, deadline: Instant) -> Result<(), KafkaError> {
        let producer = self.live.as_ref().expect("has an open transaction");
        let last = deadline.max(Instant::now() + LAST_STEP);
        let mut answer = producer.commit_transaction(remaining(last));
        if settings.options.break_the_producer_rule {
            // What a program does that believes in repeating the call.
            for _ in 0..5 {
                match &answer {
                    Err(KafkaError::Transaction(e)) if e.is_retriable() => {
                        answer = producer.commit_transaction(Duration::from_secs(2));
                    }
                    _ => break,
                }
            }
        }
        answer
    }

    /// Ends the transaction without a trace; the commit was not asked for, so nothing of it can appear.
    fn back_out(&mut self, trouble: Trouble) -> Failed {
        let clean = trouble.is_clear() && self.live.as_ref().is_some_and(aborted);
        if clean {
            self.used = Some(Instant::now());
        } else {
            self.discard();
        }
        match trouble {
            Trouble::Refused(code) => Failed { error: fail_code("the broker refused a record", code), refused: true },
            Trouble::Fenced(code) => {
                let message = format!("the group has gone on without this member: {code}");
                Failed::plain(Error::new(ErrorKind::Fenced, message))
            }
            Trouble::Unclear(error) => Failed::plain(error),
        }
    }

    fn discard(&mut self) {
        if let Some(producer) = self.live.take() {
            self.unsettled = true;
            bury(producer);
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.discard();
    }
}

impl Failed {
    fn plain(error: Error) -> Self {
        Self { error, refused: false }
    }
}

/// Why a transaction is not committed.
enum Trouble {
    Refused(Code),
    Fenced(Code),
    Unclear(Error),
}

impl Trouble {
    /// Whether the broker itself said what is wrong.
    fn is_clear(&self) -> bool {
        !matches!(self, Self::Unclear(_))
    }
}

/// Everything up to the commit.
fn prepare(
    producer: &BaseProducer<Deliveries>,
    records: &[Placed],
    progress: Option<(&TopicPartitionList, &ConsumerGroupMetadata)>,
    deadline: Instant,
) -> Result<(), Trouble> {
    let unclear = |doing: &str, error: &KafkaError| Trouble::Unclear(explained(doing, error, producer));
    producer.begin_transaction().map_err(|e| unclear("beginning a transaction", &e))?;
    for (index, placed) in records.iter().enumerate() {
        send(producer, index, placed, deadline)?;
    }
    if let Some((offsets, group)) = progress {
        producer.send_offsets_to_transaction(offsets, group, remaining(deadline)).map_err(|error| {
            match error.rdkafka_error_code() {
                Some(code) if fences(code) => Trouble::Fenced(code),
                _ => unclear("handing over the group's progress", &error),
            }
        })?;
    }
    let deliveries = producer.client().context();
    loop {
        match deliveries.state() {
            Delivered::All => return Ok(()),
            Delivered::Failed(code) if refuses(code) => return Err(Trouble::Refused(code)),
            Delivered::Failed(code) => {
                return Err(unclear("writing", &KafkaError::MessageProduction(code)));
            }
            Delivered::Some if Instant::now() > deadline => {
                return Err(unclear("writing", &KafkaError::MessageProduction(Code::MessageTimedOut)));
            }
            Delivered::Some => producer.poll(Duration::from_millis(1)),
        }
    }
}

fn send(producer: &BaseProducer<Deliveries>, index: usize, placed: &Placed, deadline: Instant) -> Result<(), Trouble> {
    let record = &placed.append.record;
    let mut out: BaseRecord<'_, [u8], [u8], usize> =
        BaseRecord::with_opaque_to(&placed.append.topic, index).timestamp(timestamp_out(record.timestamp));
    out.partition = i32::try_from(placed.partition).ok();
    out.key = record.key.as_deref();
    out.payload = record.value.as_deref();
    out.headers = headers_out(&record.headers);
    loop {
        match producer.send(out) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(Code::QueueFull), back)) if Instant::now() < deadline => {
                producer.poll(Duration::from_millis(1));
                out = back;
            }
            Err((KafkaError::MessageProduction(code), _)) if refuses(code) => return Err(Trouble::Refused(code)),
            Err((error, _)) => return Err(Trouble::Unclear(explained("writing", &error, producer))),
        }
    }
}

/// Whether the transaction was aborted in a way that leaves nothing behind.
fn aborted(producer: &BaseProducer<Deliveries>) -> bool {
    // librdkafka waits for reports too, and does not collect them by itself.
    let deadline = Instant::now() + LAST_STEP;
    while producer.in_flight_count() > 0 {
        if Instant::now() > deadline {
            return false;
        }
        producer.poll(Duration::from_millis(1));
    }
    producer.abort_transaction(LAST_STEP).is_ok()
}

/// An error with what the client last complained about, which often is the cause.
fn explained(doing: &str, error: &KafkaError, producer: &BaseProducer<Deliveries>) -> Error {
    // The log lines that say why wait in the producer's queue.
    for _ in 0..8 {
        producer.poll(Duration::ZERO);
    }
    let last = producer.client().context().signs.last();
    let cause = if last.is_empty() { String::new() } else { format!(" (last: {last})") };
    Error::new(kind(error), format!("{}{cause}", fail(doing, error)))
}

fn remaining(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(100))
}

/// Collects the delivery reports of the open transaction, by the index of the record.
#[derive(Default)]
pub(crate) struct Deliveries {
    signs: Signs,
    reports: Mutex<Reports>,
}

#[derive(Default)]
struct Reports {
    offsets: Vec<i64>,
    waiting: usize,
    failed: Option<Code>,
}

enum Delivered {
    All,
    Some,
    Failed(Code),
}

impl Deliveries {
    fn reports(&self) -> MutexGuard<'_, Reports> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn expect(&self, records: usize) {
        *self.reports() = Reports { offsets: vec![-1; records], waiting: records, failed: None };
    }

    fn state(&self) -> Delivered {
        let reports = self.reports();
        match reports.failed {
            Some(code) => Delivered::Failed(code),
            None if reports.waiting == 0 => Delivered::All,
            None => Delivered::Some,
        }
    }

    fn offsets(&self) -> Vec<u64> {
        self.reports().offsets.iter().map(|offset| u64::try_from(*offset).unwrap_or_default()).collect()
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.signs.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.signs.error(&error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, index: usize) {
        let mut reports = self.reports();
        reports.waiting = reports.waiting.saturating_sub(1);
        match result {
            Ok(message) => {
                if let Some(offset) = reports.offsets.get_mut(index) {
                    *offset = message.offset();
                }
            }
            Err((error, _)) => {
                let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
                // The first refusal says more than the failures that follow from it.
                let known = reports.failed.is_some_and(|c| refuses(c) || !refuses(code));
                if !known {
                    reports.failed = Some(code);
                }
            }
        }
    }
}
