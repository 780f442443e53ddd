//! Scans of one partition, by consumers that are taken from a small pool and go back when the end is reached.

use crate::client::{Plain, bury, has_forgotten};
use crate::convert::record_in;
use crate::error::{fail, kind};
use crate::journal::Observer;
use crate::settings::Settings;
use async_trait::async_trait;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use stillhouse_streams::{Error, ErrorKind, Result, Scan, Stored};

type Reader = BaseConsumer<Plain>;

/// Readers that wait for the next scan.
const KEPT: usize = 4;

pub(crate) struct Readers {
    settings: Arc<Settings>,
    observer: Arc<Observer>,
    idle: Mutex<Vec<Reader>>,
}

impl Readers {
    pub(crate) fn new(settings: Arc<Settings>, observer: Arc<Observer>) -> Self {
        Self { settings, observer, idle: Mutex::default() }
    }

    fn take(&self) -> Result<Reader> {
        if let Some(reader) = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop() {
            return Ok(reader);
        }
        let made = self.settings.reader().create_with_context(Plain::default());
        made.map_err(|e| fail("making a reader", &e))
    }

    /// Takes a reader back, unless it is in doubt or there are enough.
    fn give(&self, reader: Reader) {
        if reader.unassign().is_ok() && !reader.context().signs.request_may_be_late() {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < KEPT {
                return idle.push(reader);
            }
        }
        bury(reader);
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        for reader in self.idle.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            bury(reader);
        }
    }
}

/// A scan. Between pages it keeps a reader only while it is in the middle of what was there when it began.
pub(crate) struct KafkaScan {
    state: Option<Box<State>>,
}

struct State {
    readers: Arc<Readers>,
    topic: String,
    partition: u32,
    next: u64,
    until: u64,
    /// The end when the reader was taken, and the reader.
    reading: Option<(u64, Reader)>,
}

impl KafkaScan {
    pub(crate) fn new(readers: Arc<Readers>, topic: &str, partition: u32, from: u64, until: Option<u64>) -> Self {
        let until = until.unwrap_or(u64::MAX);
        let state = State { readers, topic: topic.to_owned(), partition, next: from, until, reading: None };
        Self { state: Some(Box::new(state)) }
    }
}

#[async_trait]
impl Scan for KafkaScan {
    async fn next(&mut self, max: usize) -> Result<Vec<Stored>> {
        let Some(mut state) = self.state.take() else {
            return Err(Error::new(ErrorKind::Closed, "an earlier read of this scan was abandoned"));
        };
        if state.next >= state.until {
            self.state = Some(state);
            return Ok(Vec::new());
        }
        let read = tokio::task::spawn_blocking(move || {
            let page = state.page(max.max(1));
            (state, page)
        });
        let (state, page) = read.await.map_err(|e| Error::new(ErrorKind::Closed, e.to_string()))?;
        self.state = Some(state);
        page
    }
}

impl State {
    fn page(&mut self, max: usize) -> Result<Vec<Stored>> {
        let Some((end, reader)) = self.begin()? else { return Ok(Vec::new()) };
        let mut page = Vec::new();
        let outcome = self.fill(&reader, end, max, &mut page);
        match outcome {
            Ok(true) => {
                self.next = self.next.max(end.min(self.until));
                self.readers.give(reader);
            }
            Ok(false) => self.reading = Some((end, reader)),
            Err(error) => {
                bury(reader);
                return Err(error);
            }
        }
        Ok(page)
    }

    /// A reader that stands at the next offset; none at the end.
    fn begin(&mut self) -> Result<Option<(u64, Reader)>> {
        if let Some(reading) = self.reading.take() {
            return Ok(Some(reading));
        }
        let (start, end) = self.readers.observer.ends(&self.topic, self.partition)?;
        self.next = self.next.max(start);
        if self.next >= end.min(self.until) {
            return Ok(None);
        }
        let reader = self.readers.take()?;
        let number = i32::try_from(self.partition).unwrap_or(i32::MAX);
        let mut place = TopicPartitionList::new();
        let offset = Offset::Offset(i64::try_from(self.next).unwrap_or(i64::MAX));
        let assigned = place.add_partition_offset(&self.topic, number, offset).and_then(|()| reader.assign(&place));
        assigned.map_err(|e| fail(&self.doing(), &e))?;
        if !has_forgotten(&reader, Instant::now() + self.readers.observer.timeout) {
            bury(reader);
            return Err(Error::new(ErrorKind::Unavailable, format!("{}: the reader does not start", self.doing())));
        }
        Ok(Some((end, reader)))
    }

    /// Fills a page; whether the scan has reached its end, as it was when the reader was taken.
    fn fill(&mut self, reader: &Reader, end: u64, max: usize, page: &mut Vec<Stored>) -> Result<bool> {
        let stop = end.min(self.until);
        let mut patience = Instant::now() + self.readers.observer.timeout;
        while page.len() < max {
            match reader.poll(Duration::from_millis(2)) {
                Some(Ok(message)) => {
                    let offset = u64::try_from(message.offset()).unwrap_or_default();
                    if offset >= self.until {
                        return Ok(true);
                    }
                    self.next = offset + 1;
                    page.push(Stored { offset, record: record_in(&message) });
                    if self.next >= stop {
                        return Ok(true);
                    }
                    patience = Instant::now() + self.readers.observer.timeout;
                }
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(true),
                Some(Err(error)) => self.complaint(&error)?,
                // Behind the last record there may be markers of transactions, which no message tells.
                None if self.position(reader) >= stop => return Ok(true),
                // A connection that stands gets more time: a busy broker is slow, and not gone.
                None if Instant::now() > patience
                    && (reader.context().signs.request_may_be_late()
                        || Instant::now() > patience + 2 * self.readers.observer.timeout) =>
                {
                    let error = KafkaError::MessageConsumption(Code::OperationTimedOut);
                    return Err(self.readers.observer.explain(&self.doing(), &error));
                }
                None => {}
            }
        }
        Ok(false)
    }

    fn position(&self, reader: &Reader) -> u64 {
        let Ok(positions) = reader.position() else { return 0 };
        let offset = positions.elements().first().map(|e| e.offset());
        match offset {
            Some(Offset::Offset(next)) => u64::try_from(next).unwrap_or_default(),
            _ => 0,
        }
    }

    fn complaint(&self, error: &KafkaError) -> Result<()> {
        match error.rdkafka_error_code() {
            Some(Code::BadMessage | Code::InvalidMessage | Code::BadCompression) => Err(Error::new(
                ErrorKind::Corrupt,
                format!("{} at or after offset {}: {error}", self.doing(), self.next),
            )),
            Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => {
                let message = format!("{}: offset {} is no longer there", self.doing(), self.next);
                Err(Error::new(ErrorKind::NotFound, message))
            }
            // librdkafka connects again by itself; the scan's patience is the bound.
            _ if kind(error) == ErrorKind::Unavailable || kind(error) == ErrorKind::Retry => Ok(()),
            _ => Err(fail(&self.doing(), error)),
        }
    }

    fn doing(&self) -> String {
        format!("reading {}/{}", self.topic, self.partition)
    }
}

impl Drop for State {
    fn drop(&mut self) {
        if let Some((_, reader)) = self.reading.take() {
            self.readers.give(reader);
        }
    }
}
