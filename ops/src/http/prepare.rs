//! From the bytes of a body to records ready to append. Pure but for the time and ids that it is handed or told to make.

use super::answer::Refusal;
use super::json;
use crate::container::{self, Broken};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use stillhouse_processors::wire;
use stillhouse_schemas::{BadEvent, Codec, CodecError, Event, Payload, Producer, Stamp, Topic, check, ids};
use stillhouse_streams::{Append, DIGEST_HEADER, Record};

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Media {
    /// One object, or an array of objects.
    Json,
    /// One object a line.
    Lines,
    /// One event in Avro (single-object encoding or Confluent framing), or a container file of several.
    Avro,
}

/// What is taken, as `Content-Type`.
pub(crate) const MEDIA_TYPES: &[(&str, Media)] = &[
    ("application/json", Media::Json),
    ("application/x-ndjson", Media::Lines),
    ("application/jsonl", Media::Lines),
    ("application/avro", Media::Avro),
    ("avro/binary", Media::Avro),
];

impl Media {
    pub(crate) fn of(headers: &HeaderMap, avro: bool) -> Result<Self, Refusal> {
        let given = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let mut parts = given.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let utf8 = parts.all(|p| {
            let (name, value) = p.split_once('=').unwrap_or((p, ""));
            !name.trim().eq_ignore_ascii_case("charset") || value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        });
        let taken = MEDIA_TYPES.iter().filter(|(_, media)| avro || *media != Self::Avro);
        match taken.clone().find(|(known, _)| *known == name) {
            Some((_, media)) if utf8 => Ok(*media),
            _ => {
                let names = taken.map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
                let message = format!("Content-Type must be one of {names}, in UTF-8");
                Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message)
                    .header(ACCEPT, HeaderValue::from_str(&names).expect("media types are ASCII")))
            }
        }
    }
}

/// What the documents of a body are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Events with their envelopes.
    Events,
    /// Runs without.
    Runs,
    /// Labels of this run, without.
    LabelsOf(String),
}

/// What the events of one request have in common.
pub(crate) struct Frame {
    pub(crate) topic: &'static Topic,
    /// Physical topic.
    pub(crate) physical: Arc<str>,
    /// What the documents are.
    pub(crate) form: Form,
    pub(crate) media: Media,
    pub(crate) codec: Codec,
    pub(crate) producer: Producer,
    pub(crate) now_micros: i64,
    /// For events that have none of their own.
    pub(crate) traceparent: Option<String>,
    /// What ids are derived from where they are missing: the hash of the idempotency key.
    pub(crate) id_seed: Option<String>,
    pub(crate) max_events: usize,
    /// Bytes that a body may be, inflated.
    pub(crate) max_body: usize,
    pub(crate) max_record: usize,
}

/// An event ready to be appended.
pub(crate) struct Ready {
    pub(crate) id: String,
    /// The id was derived from the idempotency key, so nobody else can have used it.
    pub(crate) derived: bool,
    pub(crate) append: Append,
}

/// Makes records of all events of a body, or refuses all, naming the first that cannot be taken.
pub(crate) fn prepare(frame: &Frame, body: &[u8]) -> Result<Vec<Ready>, Refusal> {
    let mut ready = Vec::new();
    let mut each = |index: usize, value: Value| {
        if index >= frame.max_events {
            return Err(too_many(frame.max_events));
        }
        ready.push(frame.document(index, value)?);
        Ok(())
    };
    match frame.media {
        Media::Json => json::document(body, &mut each)?,
        Media::Lines => json::lines(body, &mut each)?,
        Media::Avro if body.starts_with(container::MAGIC) => {
            let limit = frame.max_body;
            container::read(&frame.codec, body, limit, |index, event| {
                if index >= frame.max_events {
                    return Err(too_many(frame.max_events));
                }
                ready.push(frame.decoded(index, &event)?);
                Ok(())
            })?;
        }
        Media::Avro => ready.push(frame.avro(body)?),
    }
    Ok(ready)
}

impl Frame {
    fn document(&self, index: usize, value: Value) -> Result<Ready, Refusal> {
        let Value::Object(mut object) = value else {
            return Err(Refusal::invalid(format!("event {index} is not a JSON object")).index(index));
        };
        match &self.form {
            Form::Events => {}
            Form::Runs => {
                let id = object.get("run_id").and_then(Value::as_str).map(|run| ids::imported("http/runs", run));
                object = enveloped(object, id);
            }
            Form::LabelsOf(run_id) => {
                let other = object.insert("run_id".into(), run_id.as_str().into());
                if other.is_some_and(|other| other != **run_id) {
                    return Err(Refusal::bad("run_id", "is another one than the path's; leave it out").index(index));
                }
                // A person may say the same twice: every label is an event of its own.
                object = enveloped(object, None);
            }
        }
        // As in the codec: null and absent are one.
        let there = |name: &str| object.get(name).is_some_and(|value| !value.is_null());
        let (given, timed) = (there("id"), there("occurred_at"));
        let stamped = !(timed && there("producer") && there("traceparent"));
        let seed = self.id_seed.as_ref().filter(|_| !given);
        if let Some(seed) = seed {
            object.insert("id".into(), ids::imported("idempotency", &format!("{seed}/{index}")).into());
        }
        // The digest leaves out what this node is about to add, so that a repetition a second later is the same event.
        let digest = (stamped && (given || seed.is_some())).then(|| digest(&object));
        let stamp = Stamp { now_micros: self.now_micros, producer: self.producer.clone() };
        let mut event = Event::from_json(self.topic.name, Value::Object(object), &stamp)
            .map_err(|bad| self.unacceptable(index, bad))?;
        if event.envelope.traceparent.is_none() {
            event.envelope.traceparent.clone_from(&self.traceparent);
        }
        if let (true, false, Payload::Run(run)) = (self.form == Form::Runs, timed, &event.payload) {
            let ended = run.ended_at.filter(|ended| *ended <= self.now_micros);
            event.envelope.occurred_at = ended.unwrap_or(event.envelope.occurred_at);
        }
        self.encode(index, &event, digest, seed.is_some())
    }

    fn avro(&self, body: &[u8]) -> Result<Ready, Refusal> {
        if body.is_empty() {
            return Err(Refusal::new(
                StatusCode::BAD_REQUEST,
                "bad_avro",
                "the body is empty; expected one event in Avro",
            ));
        }
        let event = self.codec.decode(body).map_err(|error| undecodable(0, &error))?;
        self.decoded(0, &event)
    }

    fn decoded(&self, index: usize, event: &Event) -> Result<Ready, Refusal> {
        let name = event.payload.event_type().name;
        if !self.topic.events.contains(&name) {
            let message = format!("`{}` holds {}; this is a `{name}`", self.topic.name, self.topic.events.join(", "));
            return Err(Refusal::invalid(message).field("type").index(index));
        }
        check(event).map_err(|bad| self.unacceptable(index, bad))?;
        self.encode(index, event, None, false)
    }

    fn encode(&self, index: usize, event: &Event, digest: Option<String>, derived: bool) -> Result<Ready, Refusal> {
        let mut encoded = self.codec.encode(event).map_err(|error| unencodable(index, &error))?;
        if let Some(digest) = digest {
            encoded.headers.retain(|(name, _)| *name != DIGEST_HEADER);
            encoded.headers.push((DIGEST_HEADER, digest));
        }
        let record: Record = wire::record(encoded);
        let size = record.size();
        if size > self.max_record {
            let message =
                format!("event {index} has {size} bytes as stored, and the journal takes {}", self.max_record);
            return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message).index(index));
        }
        let append = Append { topic: self.physical.clone(), partition: None, record };
        Ok(Ready { id: event.envelope.id.clone(), derived, append })
    }

    fn unacceptable(&self, index: usize, bad: BadEvent) -> Refusal {
        let BadEvent { field, message } = bad;
        let field = match field.strip_prefix("payload.") {
            Some(inner) if self.form != Form::Events => inner.to_owned(),
            _ => field,
        };
        Refusal::invalid(format!("event {index}, {field}: {message}")).field(field).index(index)
    }
}

/// A run alone gets its id from its run id: sent again it is the same event, changed it is a conflict.
fn enveloped(mut payload: Map<String, Value>, id: Option<String>) -> Map<String, Value> {
    let mut object = Map::new();
    if let Some(id) = id {
        object.insert("id".into(), id.into());
    }
    // What an event says about itself, where a run without an envelope says it.
    for field in ["subject", "occurred_at", "traceparent"] {
        if let Some(value) = payload.shift_remove(field) {
            object.insert(field.into(), value);
        }
    }
    object.insert("payload".into(), Value::Object(payload));
    object
}

fn digest(object: &Map<String, Value>) -> String {
    let mut text = Vec::with_capacity(1 << 10);
    json::canonical(object, &mut text);
    hex(&Sha256::digest(&text)[..16])
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    out
}

fn too_many(limit: usize) -> Refusal {
    let message = format!("more than {limit} events in one request; send them in parts");
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "too_many_events", message)
}

impl From<Broken> for Refusal {
    fn from(broken: Broken) -> Self {
        match &broken {
            Broken::TooLarge(_) => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", broken.to_string()),
            Broken::Bad(_) => Self::new(StatusCode::BAD_REQUEST, "bad_avro", broken.to_string()),
            Broken::Event { index, error } => undecodable(*index, error),
        }
    }
}

fn undecodable(index: usize, error: &CodecError) -> Refusal {
    let (status, code) = match error {
        error if error.is_transient() => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        CodecError::Framing(_) | CodecError::Malformed { .. } | CodecError::Trailing { .. } => {
            (StatusCode::BAD_REQUEST, "bad_avro")
        }
        CodecError::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
        _ => (StatusCode::UNPROCESSABLE_ENTITY, "invalid"),
    };
    let refusal = Refusal::new(status, code, error.to_string()).index(index);
    if error.is_transient() { refusal.retry_after(1) } else { refusal }
}

fn unencodable(index: usize, error: &CodecError) -> Refusal {
    match error {
        CodecError::TooLarge { .. } => Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", error.to_string()),
        error if error.is_transient() => {
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", error.to_string()).retry_after(1)
        }
        error => Refusal::invalid(error.to_string()),
    }
    .index(index)
}
