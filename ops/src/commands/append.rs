//! `stillhouse append TOPIC`: events from standard input.

use super::import::appender::{Appender, Settled};
use super::up::stop_on_signals;
use crate::Global;
use crate::container::{self, Broken};
use crate::context::Context;
use crate::failure::{Failure, Outcome, Status};
use crate::output::{Format, Output, safe};
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use std::io::Read;
use std::sync::Arc;
use stillhouse_files::import::canonical_hash;
use stillhouse_files::lines::{Format as Form, Limits, Place, Splitter};
use stillhouse_processors::wire;
use stillhouse_schemas::{
    Codec, Event, MAX_VALUE_BYTES, Producer, Stamp, TOPICS, Topic, Writer, check, json::parse_strict, topic,
};
use stillhouse_streams::{Append, DIGEST_HEADER};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

/// Batches under way at a time.
const IN_FLIGHT: usize = 4;
const BATCH_RECORDS: usize = 500;
const BATCH_BYTES: usize = 2 << 20;
/// Bytes that wait for the journal, in KiB.
const WAITING_KIB: usize = 64 << 10;
/// Largest Avro input, as it is and inflated: it is held in memory.
const CONTAINER_BYTES: usize = 256 << 20;

/// Appends events from standard input; each is answered with its position when it is durable. An event that cannot be
/// taken is reported with its line, and the others go in (exit status 6 then).
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The topic: one that is written from outside, such as `runs`
    topic: String,
    /// Form of the input
    #[arg(long, value_enum, default_value_t = Input::Jsonl, value_name = "FORM")]
    format: Input,
}

/// Form of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Input {
    /// One event, an array of events, or events one after another.
    Json,
    /// One event a line.
    Jsonl,
    /// One event in Avro (single-object encoding or Confluent framing), or an Avro container file of several.
    Avro,
}

/// Runs the command.
pub async fn run(global: &Global, args: Args) -> Outcome {
    let topic = writable(&args.topic)?;
    let context = global.open_for_appends().await?;
    let stop = stop_on_signals();
    let intake = Intake {
        topic,
        physical: context.names.topic(topic.name).into(),
        codec: context.codec.clone(),
        max_record: context.journal.max_record_bytes(),
        stop: stop.clone(),
        budget: Arc::new(Semaphore::new(WAITING_KIB)),
    };
    let (sender, receiver) = mpsc::channel(BATCH_RECORDS);
    let runtime = tokio::runtime::Handle::current();
    let reading = tokio::task::spawn_blocking(move || intake.run(args.format, &sender, &runtime));
    let outcome = answer(&context, receiver, stop).await;
    // A reader that waits for standard input is left behind.
    drop(reading);
    outcome
}

fn writable(name: &str) -> Outcome<&'static Topic> {
    let outside = |t: &&Topic| t.writer == Writer::Outside;
    topic(name).filter(outside).ok_or_else(|| {
        let known: Vec<&str> = TOPICS.iter().filter(outside).map(|t| t.name).collect();
        let status = if topic(name).is_some() { Status::Usage } else { Status::NotFound };
        Failure::new(status, format!("nothing is appended to `{}` from outside", safe(name)))
            .hint(format!("topics that take events: {}", known.join(", ")))
    })
}

/// One event of the input, or why it is none.
struct Item {
    place: Place,
    event: Result<(String, Append), String>,
    bytes: usize,
    _share: Option<OwnedSemaphorePermit>,
}

async fn answer(context: &Context, receiver: mpsc::Receiver<Item>, stop: CancellationToken) -> Outcome {
    let out = context.out.clone();
    let voice = {
        let out = out.clone();
        Arc::new(move |text: &str| out.note(safe(text)))
    };
    let appender = Appender::new(context.journal.clone(), voice, stop.clone());
    let appender = &appender;
    let batches = stream::unfold((receiver, stop.clone()), |(mut receiver, stop)| async move {
        let first = tokio::select! {
            biased;
            () = stop.cancelled() => None,
            item = receiver.recv() => item,
        }?;
        let mut bytes = first.bytes;
        let mut batch = vec![first];
        while batch.len() < BATCH_RECORDS && bytes < BATCH_BYTES {
            let Ok(item) = receiver.try_recv() else { break };
            bytes += item.bytes;
            batch.push(item);
        }
        Some((batch, (receiver, stop)))
    });
    let settling = batches.map(|batch| async move {
        let appends =
            batch.iter().filter_map(|item| item.event.as_ref().ok()).map(|(_, append)| append.clone()).collect();
        (appender.append(appends).await, batch)
    });
    let mut settling = std::pin::pin!(settling.buffered(IN_FLIGHT));
    let mut answers = Answers { out: &out, count: 0, rejected: 0 };
    while let Some((settled, batch)) = settling.next().await {
        let mut settled = match settled {
            Ok(settled) => settled.into_iter(),
            Err(error) => {
                answers.finish()?;
                return Err(error.into());
            }
        };
        for item in batch {
            match item.event {
                Err(reason) => answers.reject(item.place, &reason),
                Ok((id, _)) => match settled.next() {
                    Some(Settled::Stands(receipt)) => answers.stands(&id, &receipt)?,
                    Some(Settled::Refused(reason)) => answers.reject(item.place, &reason),
                    Some(Settled::Unsent) | None => {}
                },
            }
        }
    }
    answers.finish()?;
    match (stop.is_cancelled(), answers.rejected) {
        (true, _) => Err(Failure::silent(Status::Interrupted)),
        (false, 0) => Ok(()),
        (false, _) => Err(Failure::silent(Status::Invalid)),
    }
}

struct Answers<'a> {
    out: &'a Output,
    count: u64,
    rejected: u64,
}

impl Answers<'_> {
    fn stands(&mut self, id: &str, receipt: &stillhouse_streams::Receipt) -> Outcome {
        let position = &receipt.position;
        let first = self.count == 0;
        self.count += 1;
        if !self.out.is_json() {
            let mark = if receipt.duplicate { "  duplicate" } else { "" };
            return self.out.line(format_args!("{position}  {id}{mark}"));
        }
        let answer = json!({
            "id": id, "position": position.to_string(), "topic": position.topic, "partition": position.partition,
            "offset": position.offset, "duplicate": receipt.duplicate,
        });
        let before = match (self.out.format, first) {
            (Format::Json, true) => "[",
            (Format::Json, false) => ",",
            _ => "",
        };
        self.out.line(format_args!("{before}{answer}"))
    }

    fn reject(&mut self, place: Place, reason: &str) {
        self.rejected += 1;
        if self.out.is_json() {
            let error =
                json!({"error": {"code": "rejected", "message": reason, "line": place.line, "record": place.record}});
            self.out.complaint(error);
        } else {
            self.out.complaint(safe(&format!("<stdin>:{}: {reason}", place.line)));
        }
    }

    fn finish(&self) -> Outcome {
        if self.out.format == Format::Json {
            self.out.line(if self.count == 0 { "[]" } else { "]" })?;
        }
        Ok(())
    }
}

/// Reads standard input, on a thread of its own.
struct Intake {
    topic: &'static Topic,
    physical: Arc<str>,
    codec: Codec,
    max_record: usize,
    stop: CancellationToken,
    budget: Arc<Semaphore>,
}

impl Intake {
    fn run(&self, format: Input, sender: &mpsc::Sender<Item>, runtime: &tokio::runtime::Handle) {
        let first = Place { line: 1, offset: 0, record: 0 };
        if format == Input::Avro {
            let mut bytes = Vec::new();
            let read = std::io::stdin().lock().take(CONTAINER_BYTES as u64 + 1).read_to_end(&mut bytes);
            match read {
                Err(error) => drop(self.send(first, Err(error.to_string()), sender, runtime)),
                Ok(length) if length > CONTAINER_BYTES => {
                    let reason = format!("more than {CONTAINER_BYTES} bytes; give it in several files");
                    self.send(first, Err(reason), sender, runtime);
                }
                Ok(_) if bytes.starts_with(container::MAGIC) => self.container(&bytes, sender, runtime),
                Ok(_) => drop(self.send(first, self.avro(&bytes), sender, runtime)),
            }
            return;
        }
        // Ways to write several events in one document are told apart by the first byte; lines are lines.
        let form = (format == Input::Jsonl).then_some(Form::Lines);
        let limits = Limits { record_bytes: self.max_record.max(MAX_VALUE_BYTES) };
        let mut splitter = match Splitter::new(std::io::stdin().lock(), form, limits) {
            Ok(splitter) => splitter,
            Err(broken) => {
                self.send(broken.place(), Err(broken.to_string()), sender, runtime);
                return;
            }
        };
        while !self.stop.is_cancelled() {
            let (place, event) = match splitter.next_piece() {
                None => break,
                Some(Err(broken)) => (broken.place(), Err(broken.to_string())),
                Some(Ok(piece)) => {
                    let event = piece.bytes.map_err(|flaw| flaw.to_string()).and_then(|bytes| self.json(&bytes));
                    (piece.place, event)
                }
            };
            if !self.send(place, event, sender, runtime) {
                return;
            }
        }
        if splitter.records() == 0 && !self.stop.is_cancelled() {
            let reason = "there is no event in the input; expected JSON objects, one a line".to_owned();
            self.send(first, Err(reason), sender, runtime);
        }
    }

    /// `false`: nobody listens.
    fn send(
        &self,
        place: Place,
        event: Result<(String, Append), String>,
        sender: &mpsc::Sender<Item>,
        runtime: &tokio::runtime::Handle,
    ) -> bool {
        let bytes = event.as_ref().map_or(0, |(_, append)| append.record.size());
        let units = u32::try_from((bytes >> 10).clamp(1, WAITING_KIB)).unwrap_or(1);
        let share = runtime.block_on(self.budget.clone().acquire_many_owned(units)).ok();
        sender.blocking_send(Item { place, event, bytes, _share: share }).is_ok()
    }

    fn json(&self, bytes: &[u8]) -> Result<(String, Append), String> {
        let value = parse_strict(bytes).map_err(|e| format!("{} (at byte {} of the event)", e.message, e.offset))?;
        let Value::Object(object) = &value else { return Err("an event is a JSON object".into()) };
        let there = |name: &str| object.get(name).is_some_and(|v| !v.is_null());
        // As over HTTP: whether a repeated id repeats the content is decided by what the sender said, without what is
        // added here.
        let stamped = !(there("occurred_at") && there("producer") && there("traceparent"));
        let digest = (there("id") && stamped).then(|| canonical_hash(&value)[..32].to_owned());
        let producer =
            Producer { name: "append".into(), version: env!("CARGO_PKG_VERSION").into(), config_hash: String::new() };
        let stamp = Stamp { now_micros: jiff::Timestamp::now().as_microsecond(), producer };
        let event = Event::from_json(self.topic.name, value, &stamp).map_err(|e| e.to_string())?;
        self.encode(&event, digest)
    }

    /// The events of a container file; one that cannot be taken is reported, and the others go in.
    fn container(&self, bytes: &[u8], sender: &mpsc::Sender<Item>, runtime: &tokio::runtime::Handle) {
        let place = |index: usize| Place { line: 1, offset: 0, record: index as u64 + 1 };
        let each = |index: usize, event: Event| {
            let item = self.event(&event).map_err(|why| format!("event {index}: {why}"));
            match !self.stop.is_cancelled() && self.send(place(index), item, sender, runtime) {
                true => Ok(()),
                false => Err(None),
            }
        };
        if let Err(Some(broken)) = container::read(&self.codec, bytes, CONTAINER_BYTES, each) {
            let index = if let Broken::Event { index, .. } = &broken { *index } else { 0 };
            self.send(place(index), Err(format!("{broken}; nothing after it was read")), sender, runtime);
        }
    }

    fn avro(&self, bytes: &[u8]) -> Result<(String, Append), String> {
        let event = self.codec.decode(bytes).map_err(|e| e.to_string())?;
        self.event(&event)
    }

    fn event(&self, event: &Event) -> Result<(String, Append), String> {
        let name = event.payload.event_type().name;
        if !self.topic.events.contains(&name) {
            return Err(format!("`{}` holds {}; this is a `{name}`", self.topic.name, self.topic.events.join(", ")));
        }
        check(event).map_err(|e| e.to_string())?;
        self.encode(event, None)
    }

    fn encode(&self, event: &Event, digest: Option<String>) -> Result<(String, Append), String> {
        let mut encoded = self.codec.encode(event).map_err(|e| e.to_string())?;
        if let Some(digest) = digest {
            encoded.headers.retain(|(name, _)| *name != DIGEST_HEADER);
            encoded.headers.push((DIGEST_HEADER, digest));
        }
        let record = wire::record(encoded);
        if record.size() > self.max_record {
            return Err(format!(
                "the event has {} bytes as stored, and the journal takes {}",
                record.size(),
                self.max_record
            ));
        }
        Ok((event.envelope.id.clone(), Append { topic: self.physical.clone(), partition: None, record }))
    }
}
