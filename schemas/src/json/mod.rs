//! Events as JSON: the shape for people, HTTP and JSON Lines.
//!
//! ```json
//! {"id": "…", "type": "run", "key": "…", "occurred_at": "2026-01-31T12:00:00Z", "subject": null,
//!  "producer": {"name": "…", "version": "…", "config_hash": "…"}, "causes": [], "traceparent": null,
//!  "payload": {…}}
//! ```
//!
//! Times are RFC 3339, bytes base64, everything else as in the Avro schemas. What is written is read back as the same
//! event. `null` and absent are one.

mod digest;
mod run;
pub(crate) mod shape;
mod strict;
mod valid;

pub use digest::digest;
pub use strict::{BadJson, parse_strict};
pub(crate) use valid::validate;

use crate::compiled::compiled;
use crate::error::BadEvent;
use crate::event::{Cause, Envelope, Event, Micros, Producer};
use crate::payload::Payload;
use crate::types::{EVENTS, EventType, ReadPayload, event_type, read_payload};
use crate::{ids, time, topics};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use shape::{Unknown, kind_of, quoted, step};

/// How far ahead of the clock an event may be (as Kafka's brokers have it).
pub const MAX_AHEAD_MICROS: Micros = 3_600_000_000;

/// What the receiver puts where the sender said nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// Time of receipt.
    pub now_micros: Micros,
    /// The receiver, for events that name no producer.
    pub producer: Producer,
}

const FIELDS: [&str; 9] =
    ["id", "type", "key", "occurred_at", "subject", "producer", "causes", "traceparent", "payload"];

impl Event {
    /// As JSON. Every field is there, absent ones as `null`.
    pub fn to_json(&self) -> Value {
        let e = &self.envelope;
        json!({
            "id": e.id,
            "type": self.payload.event_type().name,
            "key": e.key,
            "occurred_at": time::format(e.occurred_at),
            "subject": e.subject,
            "producer": e.producer,
            "causes": e.causes,
            "traceparent": e.traceparent,
            "payload": self.payload.to_json(),
        })
    }

    /// An event for `topic` (a logical topic's name) of JSON, checked (see [`crate::check`]).
    ///
    /// May be left out: `id` (a new one), `type` where the topic holds one type, `key` (the payload's `run_id`),
    /// `occurred_at` and `producer` (of `stamp`), and everything optional. A field that is not known is an error, but
    /// in the payload of a run, where it goes to `extra`.
    ///
    /// # Errors
    /// Names the field, and says what to do.
    pub fn from_json(topic: &str, value: Value, stamp: &Stamp) -> Result<Self, BadEvent> {
        let held = topics::topic(topic).filter(|t| !t.events.is_empty()).ok_or_else(|| {
            let known = topics::TOPICS.iter().filter(|t| !t.events.is_empty()).map(|t| t.name);
            BadEvent::new("topic", format!("there is no topic `{topic}` of events; there are {}", quoted(known)))
        })?;
        let mut members = match value {
            Value::Object(members) => members,
            other => return Err(BadEvent::new("event", format!("must be an object, not {}", kind_of(&other)))),
        };
        if let Some(strange) = members.keys().find(|k| !FIELDS.contains(&k.as_str())) {
            return Err(BadEvent::new(
                strange.as_str(),
                format!(
                    "is no field of an event; what it says goes into `payload`, and the fields are {}",
                    quoted(FIELDS.into_iter())
                ),
            ));
        }
        let kind = type_of(text(&mut members, "type")?, held)?;
        let payload = members
            .shift_remove("payload")
            .filter(|p| !p.is_null())
            .ok_or_else(|| BadEvent::new("payload", format!("is missing; it is what a `{}` says", kind.name)))?;
        let occurred_at = match text(&mut members, "occurred_at")? {
            None => stamp.now_micros,
            Some(said) => time::parse(&said).map_err(|m| BadEvent::new("occurred_at", m))?,
        };
        if occurred_at.saturating_sub(stamp.now_micros) > MAX_AHEAD_MICROS {
            return Err(BadEvent::new(
                "occurred_at",
                format!("is more than an hour ahead of {}; a clock is wrong", time::format(stamp.now_micros)),
            ));
        }
        let payload = Payload::from_json_at(kind, payload, "payload")?;
        let key = match text(&mut members, "key")? {
            Some(key) => key,
            None => payload
                .natural_key()
                .ok_or_else(|| BadEvent::new("key", "is missing, and the payload names no run to take it from"))?
                .to_owned(),
        };
        let envelope = Envelope {
            id: text(&mut members, "id")?.unwrap_or_else(ids::live),
            key,
            occurred_at,
            subject: text(&mut members, "subject")?,
            producer: producer(members.shift_remove("producer"), stamp)?,
            causes: causes(members.shift_remove("causes"))?,
            traceparent: text(&mut members, "traceparent")?,
        };
        let event = Self { envelope, payload };
        crate::check(&event)?;
        Ok(event)
    }
}

impl Payload {
    /// As JSON.
    pub fn to_json(&self) -> Value {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        compiled().shape(self.event_type().index).present(&mut value);
        value
    }

    /// A payload of the type `kind`, of JSON.
    ///
    /// # Errors
    /// Names the field within the payload.
    pub fn from_json(kind: &EventType, value: Value) -> Result<Self, BadEvent> {
        Self::from_json_at(kind, value, "")
    }

    fn from_json_at(kind: &EventType, value: Value, path: &str) -> Result<Self, BadEvent> {
        if kind.name == "run" {
            return run::from_json(value, path).map(Self::Run);
        }
        read_payload(kind.index, ReadValue { index: kind.index, value, path, unknown: Unknown::Refuse })
    }

    /// Id of the run that it is about, if it is about one.
    pub fn run_id(&self) -> Option<&str> {
        match self {
            Self::Run(p) => Some(&p.run_id),
            Self::Evidence(p) => Some(&p.run_id),
            Self::Validation(p) => Some(&p.run_id),
            Self::Score(p) => Some(&p.run_id),
            Self::ScoreFailed(p) => Some(&p.run_id),
            Self::Quarantined(p) => Some(&p.run_id),
            Self::Label(p) => Some(&p.run_id),
            Self::Released(p) => Some(&p.run_id),
            Self::Replayed(p) => Some(&p.run_id),
            Self::Claim(p) => p.run_id.as_deref(),
            Self::CallRequested(p) => p.run_id.as_deref(),
            Self::CallReplied(p) => p.run_id.as_deref(),
            Self::Decision(p) => p.run_id.as_deref(),
            Self::Document(p) => p.run_id.as_deref(),
            Self::Embedded(p) => p.run_id.as_deref(),
            Self::Exported(_)
            | Self::Control(_)
            | Self::DeadLettered(_)
            | Self::Span(_)
            | Self::ErasureCertified(_)
            | Self::Audited(_)
            | Self::RangeSealed(_)
            | Self::Searched(_)
            | Self::RosterChanged(_)
            | Self::RosterLoaded(_)
            | Self::Checked(_)
            | Self::Verdict(_) => None,
        }
    }

    /// What an event with this payload is keyed by.
    pub fn natural_key(&self) -> Option<&str> {
        match self {
            Self::Claim(p) => Some(&p.entity),
            Self::Exported(p) => Some(&p.dataset),
            Self::Control(p) => Some(&p.processor),
            Self::DeadLettered(p) => Some(&p.processor),
            Self::Span(p) => Some(&p.trace_id),
            Self::CallRequested(p) => Some(&p.call_hash),
            Self::CallReplied(p) => Some(&p.call_hash),
            Self::Decision(p) => p.run_id.as_deref().or(p.key_id.as_deref()),
            Self::ErasureCertified(p) => Some(&p.key_id),
            Self::Audited(p) => Some(&p.audit_id),
            Self::RangeSealed(p) => Some(&p.topic),
            Self::Document(p) => Some(&p.document_id),
            Self::Embedded(p) => Some(&p.item_id),
            Self::Searched(p) => Some(&p.search_id),
            Self::RosterChanged(p) => Some(&p.load),
            Self::RosterLoaded(p) => Some(&p.load),
            Self::Checked(p) => Some(&p.check_id),
            Self::Verdict(p) => Some(&p.entity),
            other => other.run_id(),
        }
    }
}

/// Reads JSON whose shape has been admitted.
struct ReadValue<'a> {
    index: usize,
    value: Value,
    path: &'a str,
    unknown: Unknown<'a>,
}

impl ReadPayload for ReadValue<'_> {
    type Out = Payload;
    type Error = BadEvent;

    fn read<T: DeserializeOwned>(self, wrap: fn(T) -> Payload) -> Result<Payload, BadEvent> {
        self.value::<T>().map(wrap)
    }
}

impl ReadValue<'_> {
    fn value<T: DeserializeOwned>(mut self) -> Result<T, BadEvent> {
        let mut path = self.path.to_owned();
        compiled().shape(self.index).admit(&mut self.value, &mut path, &mut self.unknown)?;
        serde_json::from_value(self.value).map_err(|e| BadEvent::new(shape::named(self.path), e.to_string()))
    }
}

fn type_of(said: Option<String>, topic: &topics::Topic) -> Result<&'static EventType, BadEvent> {
    let holds = quoted(topic.events.iter().copied());
    let name = match (&said, topic.events) {
        (Some(said), _) => said.as_str(),
        (None, [only]) => only,
        (None, _) => return Err(BadEvent::new("type", format!("is missing; `{}` holds {holds}", topic.name))),
    };
    match event_type(name) {
        Some(kind) if topic.events.contains(&kind.name) => Ok(kind),
        Some(_) => {
            Err(BadEvent::new("type", format!("`{name}` does not go into `{}`, which holds {holds}", topic.name)))
        }
        None => Err(BadEvent::new(
            "type",
            format!("there is no type `{name}`; there are {}", quoted(EVENTS.iter().map(|e| e.name))),
        )),
    }
}

fn text(members: &mut Map<String, Value>, name: &str) -> Result<Option<String>, BadEvent> {
    match members.shift_remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) if name == "occurred_at" => Err(BadEvent::new(
            name,
            format!("must be a time in RFC 3339 with a zone, as in \"2026-01-31T12:00:00Z\", not {}", kind_of(&other)),
        )),
        Some(other) => Err(BadEvent::new(name, format!("must be a string, not {}", kind_of(&other)))),
    }
}

fn producer(value: Option<Value>, stamp: &Stamp) -> Result<Producer, BadEvent> {
    match value {
        None | Some(Value::Null) => Ok(stamp.producer.clone()),
        Some(value) => record(value, "producer", &["name", "version", "config_hash"]),
    }
}

fn causes(value: Option<Value>) -> Result<Vec<Cause>, BadEvent> {
    match value {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(items)) => items
            .into_iter()
            .enumerate()
            .map(|(i, item)| record(item, &format!("causes[{i}]"), &["id", "topic", "partition", "offset"]))
            .collect(),
        Some(other) => Err(BadEvent::new("causes", format!("must be an array, not {}", kind_of(&other)))),
    }
}

fn record<T: DeserializeOwned>(value: Value, path: &str, fields: &[&str]) -> Result<T, BadEvent> {
    let strange = value.as_object().and_then(|m| m.keys().find(|k| !fields.contains(&k.as_str())));
    if let Some(strange) = strange {
        let mut path = path.to_owned();
        step(&mut path, strange);
        return Err(BadEvent::new(
            path,
            format!("is no field here; the fields are {}", quoted(fields.iter().copied())),
        ));
    }
    serde_json::from_value(value).map_err(|e| BadEvent::new(path, e.to_string()))
}
