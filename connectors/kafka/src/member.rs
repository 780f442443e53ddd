//! The thread of one member of a group: it polls, so that the member stays one, and commits.
//!
//! ```text
//!   librdkafka's queue ──poll──▶ buffer (bounded) ──next──▶ caller ──commit──▶ transaction (outputs and offsets)
//! ```
//!
//! The thread sleeps until there is a command, or the consumer says that its queue is no longer empty. While the
//! caller works, records are taken into the buffer; when that is full for long, the partitions are paused and polling
//! goes on, because a consumer that is not polled loses its membership.

use crate::append::{now, place};
use crate::client::has_forgotten;
use crate::convert::record_in;
use crate::error::{fail, fences};
use crate::journal::Partitions;
use crate::ownership::{Ownership, Place, out_of_range, starts};
use crate::settings::Settings;
use crate::transaction::Writer;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use stillhouse_streams::{
    Append, Batch, BatchLimits, Error, ErrorKind, GroupSpec, Position, Progress, Receipt, Received, Result,
};
use tokio::sync::oneshot;

/// What the buffer holds beyond one batch.
const BUFFER_BYTES: usize = 4 << 20;
const BUFFER_RECORDS: usize = 4_000;

/// A full buffer is nothing to worry about for this long.
const PATIENCE: Duration = Duration::from_secs(1);

/// Polls this often without being woken, for events that wake nobody.
const IDLE: Duration = Duration::from_millis(250);

pub(crate) type Answer<T> = oneshot::Sender<Result<T>>;

/// What the session asks of its thread.
pub(crate) enum Command {
    Next(BatchLimits, Answer<Batch>),
    Commit(Vec<Append>, Progress, Answer<Vec<Receipt>>),
    Rewind(Answer<()>),
    Leave(Answer<()>),
    Wake,
}

/// What session and thread share.
#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) owned: Mutex<Vec<Place>>,
}

pub(crate) struct Member {
    consumer: BaseConsumer<Ownership>,
    writer: Writer,
    settings: Arc<Settings>,
    partitions: Arc<Partitions>,
    spec: GroupSpec,
    shared: Arc<Shared>,
    woken: Arc<AtomicBool>,
    owned: BTreeMap<Place, Owned>,
    buffer: VecDeque<Received>,
    buffered: usize,
    limits: BatchLimits,
    pending: Option<(BatchLimits, Instant, Answer<Batch>)>,
    /// Why the next commit is refused: something that was handed out was lost since.
    fenced: Option<String>,
    /// The log does not go on where the group stands.
    broken: Option<String>,
    /// The consumer has failed for good: only another session helps.
    dead: Option<String>,
    full_since: Option<Instant>,
    source: Option<Source>,
    paused: bool,
    /// The queue of librdkafka was not emptied.
    more: bool,
}

/// One partition of the member.
#[derive(Clone, Copy)]
struct Owned {
    /// The number of the assignment that brought it.
    number: u64,
    /// Next offset after what was handed out.
    handed: u64,
    /// Next offset that the caller was told, or has committed.
    told: u64,
    /// Handed out and not committed.
    open: bool,
}

impl Owned {
    fn new(number: u64) -> Self {
        Self { number, handed: 0, told: 0, open: false }
    }
}

impl Member {
    /// Joins, and waits a while for the first assignment.
    pub(crate) fn join(
        settings: Arc<Settings>,
        partitions: Arc<Partitions>,
        spec: GroupSpec,
        shared: Arc<Shared>,
        commands: Sender<Command>,
    ) -> Result<Self> {
        let config = settings.member(&spec.group, spec.session_timeout);
        let mut consumer: BaseConsumer<Ownership> =
            config.create_with_context(Ownership::default()).map_err(|e| fail("making a consumer", &e))?;
        let woken = Arc::new(AtomicBool::new(false));
        let flag = woken.clone();
        consumer.set_nonempty_callback(move || {
            if !flag.swap(true, Ordering::AcqRel) {
                drop(commands.send(Command::Wake));
            }
        });
        let topics: Vec<&str> = spec.topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics).map_err(|e| fail("joining the group", &e))?;
        let writer = Writer::new(settings.clone());
        let mut member = Self {
            consumer,
            writer,
            settings,
            partitions,
            spec,
            shared,
            woken,
            owned: BTreeMap::new(),
            buffer: VecDeque::new(),
            buffered: 0,
            limits: BatchLimits::default(),
            pending: None,
            fenced: None,
            broken: None,
            dead: None,
            full_since: None,
            source: None,
            paused: false,
            more: true,
        };
        let deadline = Instant::now() + member.settings.options.timeout;
        member.writer.ready(deadline)?;
        while !member.consumer.context().is_settled() && Instant::now() < deadline {
            member.poll(Duration::from_millis(20))?;
        }
        Ok(member)
    }

    /// Serves commands until the session is gone.
    pub(crate) fn serve(mut self, commands: &Receiver<Command>) {
        loop {
            let wait = match &self.pending {
                _ if self.more && !self.is_full() => Duration::ZERO,
                Some((_, deadline, _)) => deadline.saturating_duration_since(Instant::now()).min(IDLE),
                None => IDLE,
            };
            match commands.recv_timeout(wait) {
                Ok(Command::Wake) => self.woken.store(false, Ordering::Release),
                Ok(Command::Next(limits, answer)) => {
                    self.limits = limits.clone();
                    self.pending = Some((limits.clone(), Instant::now() + limits.wait, answer));
                }
                Ok(Command::Commit(outputs, progress, answer)) => drop(answer.send(self.commit(outputs, &progress))),
                Ok(Command::Rewind(answer)) => drop(answer.send(self.rewind())),
                Ok(Command::Leave(answer)) => {
                    drop(self);
                    drop(answer.send(Ok(())));
                    return;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let drained = self.drain();
            self.answer(drained);
        }
    }

    fn is_full(&self) -> bool {
        self.buffer.len() >= self.limits.records.max(BUFFER_RECORDS)
            || self.buffered >= self.limits.bytes.max(BUFFER_BYTES)
    }

    /// Takes what is there into the buffer, as far as there is room.
    fn drain(&mut self) -> Result<()> {
        self.check_alive()?;
        if let Some(detail) = &self.broken {
            return Err(out_of_range(&self.spec.group, detail));
        }
        if self.is_full() {
            let since = *self.full_since.get_or_insert_with(Instant::now);
            if since.elapsed() < PATIENCE {
                return Ok(());
            }
            self.pause(true);
        } else {
            self.full_since = None;
            if self.paused {
                self.pause(false);
            }
        }
        let mut quiet = 0;
        self.more = true;
        while quiet < 4 && (!self.is_full() || self.paused) {
            quiet = if self.poll(Duration::ZERO)? { 0 } else { quiet + 1 };
        }
        self.more = quiet < 4;
        match self.consumer.context().take_trouble() {
            Some(trouble) => {
                // Without an assignment taken up it is a member in name only: begin anew.
                self.consumer.unsubscribe();
                let topics: Vec<&str> = self.spec.topics.iter().map(String::as_str).collect();
                self.consumer.subscribe(&topics).map_err(|e| fail("joining the group again", &e))?;
                Err(trouble)
            }
            None => Ok(()),
        }
    }

    /// Polls once; whether there was a record.
    fn poll(&mut self, wait: Duration) -> Result<bool> {
        // The message borrows the consumer, and taking it in changes the rest.
        let outcome = match self.consumer.poll(wait) {
            Some(Ok(message)) => Some(Ok(received(&self.owned, &mut self.source, &message))),
            Some(Err(error)) => Some(Err(error)),
            None => None,
        };
        if self.consumer.context().take_change() {
            self.take_assignment();
        }
        match outcome {
            None => Ok(false),
            Some(Ok(None)) => Ok(true),
            Some(Ok(Some(received))) => {
                self.buffered += received.record.size();
                self.buffer.push_back(received);
                Ok(true)
            }
            Some(Err(error)) => self.complaint(&error).map(|()| false),
        }
    }

    fn check_alive(&self) -> Result<()> {
        match &self.dead {
            Some(why) => Err(Error::new(ErrorKind::Closed, format!("the consumer has failed for good: {why}"))),
            None => Ok(()),
        }
    }

    fn complaint(&mut self, error: &KafkaError) -> Result<()> {
        if let KafkaError::MessageConsumptionFatal(code) = error {
            self.dead = Some(code.to_string());
            return self.check_alive();
        }
        match error.rdkafka_error_code() {
            Some(code @ (Code::AutoOffsetReset | Code::OffsetOutOfRange | Code::NoOffset)) => {
                let detail = self.consumer.context().signs.last();
                let detail = if detail.is_empty() { code.to_string() } else { detail };
                let broken = out_of_range(&self.spec.group, &detail);
                self.broken = Some(detail);
                Err(broken)
            }
            Some(code) if fences(code) => {
                self.fenced = Some(format!("the group has gone on without this member: {code}"));
                Ok(())
            }
            Some(
                Code::UnknownTopicOrPartition
                | Code::UnknownTopic
                | Code::InvalidSessionTimeout
                | Code::TopicAuthorizationFailed
                | Code::GroupAuthorizationFailed
                | Code::InconsistentGroupProtocol,
            ) => Err(fail(&format!("reading as a member of `{}`", self.spec.group), error)),
            // librdkafka goes on by itself.
            _ => Ok(()),
        }
    }

    /// Follows the assignment: what was lost is forgotten, and fences what it was used for.
    fn take_assignment(&mut self) {
        let current = self.consumer.context().owned();
        let before = std::mem::take(&mut self.owned);
        for (place, number) in &current {
            let kept = before.get(place).filter(|owned| owned.number == *number).copied();
            self.owned.insert(place.clone(), kept.unwrap_or(Owned::new(*number)));
        }
        let is_kept = |place: &Place| before.get(place).is_some_and(|b| current.get(place) == Some(&b.number));
        if let Some(((topic, partition), _)) = before.iter().find(|(place, owned)| owned.open && !is_kept(place)) {
            self.fenced = Some(format!("`{topic}/{partition}` of group `{}` was given away", self.spec.group));
        }
        let kept = |r: &Received| is_kept(&(r.position.topic.clone(), r.position.partition));
        self.buffer.retain(kept);
        self.buffered = self.buffer.iter().map(|r| r.record.size()).sum();
        self.source = None;
        // A new assignment begins unpaused.
        self.paused = false;
        *self.shared.owned.lock().unwrap_or_else(PoisonError::into_inner) = self.owned.keys().cloned().collect();
    }

    /// Answers the waiting `next`, if there is something to say.
    fn answer(&mut self, drained: Result<()>) {
        let Some((limits, deadline, answer)) = self.pending.take_if(|(_, deadline, answer)| {
            drained.is_err() || !self.buffer.is_empty() || Instant::now() >= *deadline || answer.is_closed()
        }) else {
            return;
        };
        if answer.is_closed() {
            return;
        }
        if let Err(error) = drained {
            drop(answer.send(Err(error)));
            return;
        }
        let before = self.owned.clone();
        let batch = self.take(&limits);
        if batch.records.is_empty() && Instant::now() < deadline {
            self.pending = Some((limits, deadline, answer));
            return;
        }
        if let Err(Ok(batch)) = answer.send(Ok(batch)) {
            // Nobody waits for it any more: the next one gets it.
            for received in batch.records.into_iter().rev() {
                self.buffered += received.record.size();
                self.buffer.push_front(received);
            }
            self.owned = before;
        }
    }

    /// A batch from the buffer, with the progress that covers it, control records and all.
    fn take(&mut self, limits: &BatchLimits) -> Batch {
        let mut batch = Batch::default();
        let mut bytes = 0;
        while let Some(received) = self.buffer.front() {
            let size = received.record.size();
            let full = batch.records.len() >= limits.records.max(1)
                || (!batch.records.is_empty() && bytes + size > limits.bytes);
            if full {
                break;
            }
            bytes += size;
            let received = self.buffer.pop_front().expect("was there just now");
            batch.records.push(received);
        }
        self.buffered = self.buffered.saturating_sub(bytes);
        for run in batch.records.chunk_by(|a, b| a.position.partition == b.position.partition && same_topic(a, b)) {
            let Some(Received { position, .. }) = run.last() else { continue };
            if let Some(owned) = self.owned.get_mut(&(position.topic.clone(), position.partition)) {
                owned.handed = position.offset + 1;
                owned.open = true;
            }
        }
        self.pass_gaps();
        for ((topic, partition), owned) in &mut self.owned {
            if owned.handed > owned.told {
                owned.told = owned.handed;
                batch.progress.set(topic.clone(), *partition, owned.handed);
            }
        }
        batch
    }

    /// Moves partitions of which nothing is buffered to where the consumer stands: behind transaction markers too.
    fn pass_gaps(&mut self) {
        let Ok(positions) = self.consumer.position() else { return };
        let mut buffered: Vec<Place> = Vec::new();
        for received in &self.buffer {
            if !buffered.last().is_some_and(|place| is_of(received, place)) {
                buffered.push((received.position.topic.clone(), received.position.partition));
            }
        }
        for element in positions.elements() {
            let (Offset::Offset(next), Ok(partition)) = (element.offset(), u32::try_from(element.partition())) else {
                continue;
            };
            let place = (Arc::from(element.topic()), partition);
            if let Some(owned) = self.owned.get_mut(&place)
                && !buffered.contains(&place)
            {
                owned.handed = owned.handed.max(u64::try_from(next).unwrap_or_default());
            }
        }
    }

    fn commit(&mut self, outputs: Vec<Append>, progress: &Progress) -> Result<Vec<Receipt>> {
        if let Some(why) = &self.fenced {
            return Err(Error::new(ErrorKind::Fenced, why.clone()));
        }
        let mut offsets = TopicPartitionList::new();
        for (topic, partition, next) in progress.iter() {
            if !self.owned.contains_key(&(topic.clone(), partition)) {
                let message = format!("`{topic}/{partition}` does not belong to this member of `{}`", self.spec.group);
                return Err(Error::new(ErrorKind::Fenced, message));
            }
            let (partition, next) = (i32::try_from(partition), i64::try_from(next));
            let (Ok(partition), Ok(next)) = (partition, next) else {
                return Err(Error::new(ErrorKind::Invalid, "an offset beyond what Kafka can count"));
            };
            offsets
                .add_partition_offset(topic, partition, Offset::Offset(next))
                .map_err(|e| fail("handing over the group's progress", &e))?;
        }
        let outputs = place(outputs, self.settings.max_record_bytes(), now(), |topic| self.partitions.of(topic))?;
        if outputs.is_empty() && progress.is_empty() {
            return Ok(Vec::new());
        }
        let Some(group) = self.consumer.group_metadata() else {
            return Err(Error::new(ErrorKind::Fenced, "the consumer is not a member of its group"));
        };
        let deadline = Instant::now() + self.settings.options.timeout;
        let moved = (!progress.is_empty()).then_some((&offsets, &group));
        match self.writer.write(&outputs, moved, deadline) {
            Ok(receipts) => {
                for (topic, partition, next) in progress.iter() {
                    if let Some(owned) = self.owned.get_mut(&(topic.clone(), partition)) {
                        owned.open = owned.handed > next;
                        owned.told = owned.told.max(next);
                    }
                }
                Ok(receipts)
            }
            Err(failed) => {
                // Where the group stands is known again after a rewind only.
                if matches!(failed.error.kind(), ErrorKind::Fenced | ErrorKind::Indeterminate) {
                    self.fenced = Some(failed.error.to_string());
                }
                Err(failed.error)
            }
        }
    }

    /// Back to the committed offsets, after the last transaction has ended one way or the other.
    fn rewind(&mut self) -> Result<()> {
        self.check_alive()?;
        self.writer.settle(Instant::now() + self.settings.options.timeout)?;
        // An assignment that waits to be taken up brings its own offsets.
        for _ in 0..4 {
            self.poll(Duration::ZERO)?;
        }
        self.buffer.clear();
        self.buffered = 0;
        let mut owned = TopicPartitionList::with_capacity(self.owned.len());
        for (topic, partition) in self.owned.keys() {
            owned.add_partition(topic, i32::try_from(*partition).unwrap_or(i32::MAX));
        }
        if !self.owned.is_empty() {
            let starts = starts(&self.consumer, &owned).map_err(|e| fail("asking where the group stands", &e))?;
            self.consumer.assign(&starts).map_err(|e| fail("going back to where the group stands", &e))?;
            if !has_forgotten(&self.consumer, Instant::now() + self.settings.options.timeout) {
                return Err(Error::new(ErrorKind::Retry, "the consumer does not start again"));
            }
        }
        for owned in self.owned.values_mut() {
            *owned = Owned::new(owned.number);
        }
        self.fenced = None;
        self.broken = None;
        self.paused = false;
        self.more = true;
        Ok(())
    }

    fn pause(&mut self, pause: bool) {
        if self.paused == pause {
            return;
        }
        let outcome = self
            .consumer
            .assignment()
            .and_then(|assigned| if pause { self.consumer.pause(&assigned) } else { self.consumer.resume(&assigned) });
        match outcome {
            Ok(()) => self.paused = pause,
            Err(error) => tracing::debug!(target: "stillhouse_kafka", "pausing or resuming: {error}"),
        }
    }
}

/// The record with its position, unless its partition was lost meanwhile.
fn received(
    owned: &BTreeMap<Place, Owned>,
    source: &mut Option<Source>,
    message: &BorrowedMessage<'_>,
) -> Option<Received> {
    let handle = (message.topic_ptr().addr(), message.partition());
    // Messages come in long runs of one partition, and looking it up costs as much as copying the record.
    if source.as_ref().is_none_or(|known| known.handle != handle) {
        let number = u32::try_from(message.partition()).ok()?;
        let name = message.topic();
        let place = owned.keys().find(|(topic, partition)| *partition == number && **topic == *name)?.clone();
        *source = Some(Source { handle, place });
    }
    let (topic, partition) = &source.as_ref()?.place;
    let offset = u64::try_from(message.offset()).ok()?;
    Some(Received { position: Position::new(topic.clone(), *partition, offset), record: record_in(message) })
}

/// Where a run of messages comes from: librdkafka's handle of the topic and the partition, and what we call them.
struct Source {
    handle: (usize, i32),
    place: Place,
}

fn same_topic(a: &Received, b: &Received) -> bool {
    Arc::ptr_eq(&a.position.topic, &b.position.topic)
}

fn is_of(received: &Received, place: &Place) -> bool {
    received.position.partition == place.1 && Arc::ptr_eq(&received.position.topic, &place.0)
}
