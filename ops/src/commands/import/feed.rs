//! The reading side of an import: files through the mapping into encoded batches, on a thread of its own.

use std::collections::HashMap;
use std::sync::Arc;
use stillhouse_files::import::{Counts, Identity, Reading, Rejection, Step, Taken};
use stillhouse_files::lines::{Format, Place};
use stillhouse_processors::wire;
use stillhouse_schemas::{Codec, Event};
use stillhouse_streams::{Append, DIGEST_HEADER, Record};
use tokio::sync::mpsc::Sender;
use tokio_util::sync::CancellationToken;

const BATCH_RECORDS: usize = 500;
const BATCH_BYTES: usize = 2 << 20;
/// Ids remembered, to tell repeats within an import from what the journal had before. Beyond that they count as the
/// latter.
const REMEMBERED: usize = 1 << 20;

/// Where runs go.
pub(super) struct Target {
    pub(super) topic: Arc<str>,
    pub(super) codec: Codec,
    pub(super) max_record: usize,
}

/// What the reader says.
pub(super) enum Message {
    Batch(Box<Batch>),
    /// All has been read.
    End {
        blank_lines: u64,
    },
    /// Reading cannot go on, by no fault of the files.
    Failed(String),
}

/// Part of one file.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) file: usize,
    pub(super) appends: Vec<Append>,
    /// Where each of them comes from.
    pub(super) origins: Vec<Origin>,
    pub(super) rejections: Vec<Rejection>,
    /// Without `appended` and `already_there`, which the journal decides.
    pub(super) counts: Counts,
    /// How far the file has come with this batch.
    pub(super) reached: Option<Reached>,
    bytes: usize,
}

/// How far a file has come.
pub(super) struct Reached {
    pub(super) identity: Identity,
    pub(super) format: Format,
    pub(super) taken: Taken,
    /// Whether reading began where an earlier import had come to.
    pub(super) resumed: bool,
}

/// Where an event comes from.
pub(super) struct Origin {
    pub(super) id: String,
    place: Place,
}

impl Origin {
    /// A rejection of that record, still without a reason.
    pub(super) fn rejection(&self, file: &str) -> Rejection {
        let Place { line, offset, record } = self.place;
        Rejection { file: file.to_owned(), line, record, offset, part: None, reason: String::new(), stopped: false }
    }
}

/// Reads, maps, encodes.
pub(super) struct Feed {
    reading: Reading,
    target: Target,
    limit: u64,
    stop_on_error: bool,
    stop: [CancellationToken; 2],
    seen: HashMap<u128, u64>,
}

impl Feed {
    pub(super) fn new(
        reading: Reading,
        target: Target,
        limit: Option<u64>,
        stop_on_error: bool,
        stop: [CancellationToken; 2],
    ) -> Self {
        Self { reading, target, limit: limit.unwrap_or(u64::MAX), stop_on_error, stop, seen: HashMap::new() }
    }

    /// Reads to the end, or until nobody listens any more.
    pub(super) fn run(mut self, sender: &Sender<Message>) {
        let message = match self.read(sender) {
            Ok(true) => Message::End { blank_lines: self.reading.blank_lines() },
            Ok(false) => return,
            Err(message) => Message::Failed(message),
        };
        // Nobody listens: then nobody needs to know.
        let _ = sender.blocking_send(message);
    }

    /// `false`: it was told to stop.
    fn read(&mut self, sender: &Sender<Message>) -> Result<bool, String> {
        let mut batch = Batch::default();
        let mut records = 0;
        let mut ended = true;
        while records < self.limit {
            if self.stop.iter().any(CancellationToken::is_cancelled) {
                ended = false;
                break;
            }
            let Some(step) = self.reading.next_step() else { break };
            records += step.records;
            if step.file != batch.file && !send(&mut batch, sender) {
                return Ok(false);
            }
            batch.file = step.file;
            let stopping = self.stop_on_error && step.results.iter().any(Result::is_err);
            if !self.step(step, !stopping, &mut batch, sender)? {
                return Ok(false);
            }
            if stopping {
                ended = false;
                break;
            }
            if batch.full() && !send(&mut batch, sender) {
                return Ok(false);
            }
        }
        Ok(send(&mut batch, sender) && ended)
    }

    /// `done`: the file has come to the end of this step, and an import that goes on later need not see it again.
    fn step(&mut self, step: Step, done: bool, batch: &mut Batch, sender: &Sender<Message>) -> Result<bool, String> {
        for result in step.results {
            // A record of many runs may fill more than one batch; only the last one has reached its end.
            if batch.full() && !send(batch, sender) {
                return Ok(false);
            }
            match result {
                Ok(event) => self.event(&event, step.place, batch)?,
                Err(rejection) => batch.reject(rejection),
            }
        }
        batch.counts.records += step.records;
        batch.counts.passed_over += step.passed_over;
        if let (true, Some(taken), Some((identity, format, resumed))) = (done, step.taken, self.reading.current()) {
            batch.reached = Some(Reached { identity: identity.clone(), format, taken, resumed });
        }
        Ok(true)
    }

    fn event(&mut self, event: &Event, place: Place, batch: &mut Batch) -> Result<(), String> {
        let origin = Origin { id: event.envelope.id.clone(), place };
        let file = self.reading.path(batch.file).to_owned();
        let refuse = |reason: String| Rejection { reason, ..origin.rejection(&file) };
        let append = match wire::append(self.target.topic.clone(), &self.target.codec, event) {
            Ok(append) => append,
            Err(error) if error.is_transient() => return Err(error.to_string()),
            Err(error) => {
                batch.reject(refuse(error.to_string()));
                return Ok(());
            }
        };
        let size = append.record.size();
        if size > self.target.max_record {
            batch.reject(refuse(format!(
                "the run has {size} bytes as stored, and the journal takes {}",
                self.target.max_record
            )));
            return Ok(());
        }
        match self.remember(&origin.id, &append.record) {
            Known::No => {
                batch.bytes += size;
                batch.appends.push(append);
                batch.origins.push(origin);
            }
            Known::Same => batch.counts.repeats += 1,
            Known::Other => {
                batch.reject(refuse("another record of this import has the same key and other content".into()))
            }
        }
        Ok(())
    }

    fn remember(&mut self, id: &str, record: &Record) -> Known {
        let Ok(id) = uuid::Uuid::parse_str(id) else { return Known::No };
        let content = record.headers.last(DIGEST_HEADER).or(record.value.as_deref()).unwrap_or_default();
        let content = fingerprint(content);
        match self.seen.get(&id.as_u128()) {
            Some(known) if *known == content => return Known::Same,
            Some(_) => return Known::Other,
            None if self.seen.len() < REMEMBERED => drop(self.seen.insert(id.as_u128(), content)),
            None => {}
        }
        Known::No
    }
}

enum Known {
    No,
    Same,
    Other,
}

impl Batch {
    fn full(&self) -> bool {
        self.appends.len() >= BATCH_RECORDS || self.bytes >= BATCH_BYTES || self.rejections.len() >= BATCH_RECORDS
    }

    fn reject(&mut self, rejection: Rejection) {
        self.counts.rejected += 1;
        self.rejections.push(rejection);
    }
}

/// Hands a batch over and begins the next; `false` if nobody listens.
fn send(batch: &mut Batch, sender: &Sender<Message>) -> bool {
    let next = Batch { file: batch.file, ..Batch::default() };
    let full = std::mem::replace(batch, next);
    let worth = !full.appends.is_empty() || full.counts != Counts::default() || full.reached.is_some();
    !worth || sender.blocking_send(Message::Batch(Box::new(full))).is_ok()
}

fn fingerprint(bytes: &[u8]) -> u64 {
    use sha2::{Digest, Sha256};
    let hash = Sha256::digest(bytes);
    u64::from_le_bytes(hash[..8].try_into().unwrap_or_default())
}
