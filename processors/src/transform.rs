//! From one event to the events made of it.
//!
//! A processor says *what* is made of an event, as [`Draft`]s; who made it, from what, when and under which id is the
//! same for all of them and is decided here, by [`Maker`]:
//!
//! - the id is a UUIDv5 of the cause ids in order, the processor's name, version and configuration hash, the *logical*
//!   topic and the draft's number among those for that topic: whoever makes it again, makes the same;
//! - `occurred_at` is the latest of the causes, the subject and the trace context are the first cause's that has one;
//! - the key is the natural one of what is said, a run id mostly;
//! - positions of the causes are recorded, and nothing else depends on them.
//!
//! What is absent: state. A transform sees one event at a time, so batches can be cut anywhere.

use crate::validator::remote::Remotes;
use crate::wire;
use async_trait::async_trait;
use futures::future::join_all;
use std::fmt;
use std::sync::Arc;
use stillhouse_schemas::claims::Claims;
use stillhouse_schemas::model::{Answered, Call, CallError, Calls, Embedders, Request};
use stillhouse_schemas::roster::Rosters;
use stillhouse_schemas::{Codec, CodecError, Envelope, Event, Micros, Payload, Producer, ids};
use stillhouse_streams::runner::{Emit, Fault, Transform};
use stillhouse_streams::{Position, Received};

/// A kind of [`Fault::Lasting`]: the bytes are not an event that this processor takes.
pub const DECODE: &str = "decode";
/// A kind of [`Fault::Lasting`]: it is an event, and still cannot be taken.
pub const FAULT: &str = "fault";

/// What a processor makes of an event.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// Logical topic.
    pub topic: &'static str,
    /// What the new event says.
    pub payload: Payload,
}

/// A question to a model that must be answered before something is made of an event.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    /// What it is for: `judge`, …
    pub purpose: &'static str,
    /// URI of the model.
    pub model: String,
    /// What is asked.
    pub request: Request,
}

impl Ask {
    /// The call about `event`, which stands at `position`.
    pub fn about(self, event: &Event, position: &Position) -> Call {
        Call {
            purpose: self.purpose.to_owned(),
            model: self.model,
            request: self.request,
            run_id: event.payload.run_id().map(str::to_owned),
            subject: event.envelope.subject.clone(),
            causes: vec![wire::cause(&event.envelope.id, position)],
        }
    }
}

/// A processor of single events. Pure: no clock, no randomness, no I/O; the same event, and the same answer of a model
/// where one was asked, give the same drafts.
pub trait EventTransform: Send + Sync + 'static {
    /// What is made of an event. The payload may be taken apart: only the envelope is read afterwards.
    fn apply(&self, event: &mut Event) -> Result<Vec<Draft>, Fault>;

    /// Whether it ever asks a model.
    fn asks_models(&self) -> bool {
        false
    }

    /// What must be asked before something can be made of an event, if anything. Then [`Self::answered`] is called, and
    /// not [`Self::apply`].
    fn asks(&self, _event: &Event) -> Option<Ask> {
        None
    }

    /// What is made of an event and what a model answered, or of its failure to.
    fn answered(&self, event: &mut Event, _answer: Result<Answered, CallError>) -> Result<Vec<Draft>, Fault> {
        self.apply(event)
    }
}

/// What processors are handed of the world.
#[derive(Clone, Debug)]
pub struct Ports {
    /// Between events and bytes.
    pub codec: Codec,
    /// Models, and what they answered before. A processor that needs them is not built without.
    pub calls: Option<Arc<dyn Calls>>,
    /// Models that make vectors. A processor that needs them is not built without.
    pub embedders: Option<Arc<dyn Embedders>>,
    /// Rosters of workers; without, nobody can be looked up.
    pub rosters: Option<Arc<dyn Rosters>>,
    /// What sources claim; without, nothing is held.
    pub claims: Option<Arc<dyn Claims>>,
    /// Keeps rosters and claims up with the log.
    pub known: Option<Arc<dyn Known>>,
    /// Validators over HTTP; without, what they would say is skipped.
    pub remotes: Option<Arc<dyn Remotes>>,
}

/// Rosters and claims are views of topics that have no order with those that a processor reads.
#[async_trait]
pub trait Known: Send + Sync + fmt::Debug {
    /// Returns when all that was in the log at that time is known, so that what is made does not depend on how far this
    /// process had read. The error says why that cannot be.
    async fn until(&self, at: Micros) -> Result<(), String>;
}

impl From<Codec> for Ports {
    fn from(codec: Codec) -> Self {
        Self { codec, calls: None, embedders: None, rosters: None, claims: None, known: None, remotes: None }
    }
}

/// The event of a record; nothing for what nothing is made of.
pub(crate) fn event(codec: &Codec, received: &Received) -> Result<Option<Event>, Fault> {
    match wire::received(codec, received) {
        Ok(event) => Ok(event),
        Err(CodecError::Erased { event_id, .. }) => {
            tracing::debug!(%event_id, position = %received.position, "erased: nothing is made of it");
            Ok(None)
        }
        Err(error) => Err(fault(&error, DECODE)),
    }
}

/// Signs what a processor makes.
#[derive(Clone, Debug)]
pub struct Maker {
    producer: Producer,
}

impl Maker {
    /// A maker that signs as `producer`.
    pub fn new(producer: Producer) -> Self {
        Self { producer }
    }

    /// Whom it signs as.
    pub fn producer(&self) -> &Producer {
        &self.producer
    }

    /// The event that says `payload`, made of `causes` (in order, at least one) as number `ordinal` of what is made
    /// of them for `topic` (logical).
    pub fn derive(&self, causes: &[(&Envelope, &Position)], topic: &str, ordinal: u32, payload: Payload) -> Event {
        let cause_ids: Vec<&str> = causes.iter().map(|(envelope, _)| envelope.id.as_str()).collect();
        let Producer { name, version, config_hash } = &self.producer;
        let key = match payload.natural_key() {
            Some(key) if !key.is_empty() => key.to_owned(),
            _ => causes.first().map(|(envelope, _)| envelope.key.clone()).unwrap_or_default(),
        };
        let envelope = Envelope {
            id: ids::derived(&cause_ids, name, version, config_hash, topic, ordinal),
            key,
            occurred_at: causes.iter().map(|(envelope, _)| envelope.occurred_at).max().unwrap_or_default(),
            subject: causes.iter().find_map(|(envelope, _)| envelope.subject.clone()),
            producer: self.producer.clone(),
            causes: causes.iter().map(|(envelope, position)| wire::cause(&envelope.id, position)).collect(),
            traceparent: causes.iter().find_map(|(envelope, _)| envelope.traceparent.clone()),
        };
        Event { envelope, payload }
    }
}

/// Runs an [`EventTransform`] under the runner: decodes, calls, signs, encodes.
///
/// Tombstones and events of erased subjects are passed over: nothing is made of them. Bytes that are no event are a
/// lasting fault of kind [`DECODE`]; a key store or registry that fails is a transient one.
#[derive(Debug)]
pub struct Adapter<T> {
    transform: T,
    maker: Maker,
    ports: Ports,
}

impl<T: EventTransform> Adapter<T> {
    /// Runs `transform`, signing as `maker`.
    pub fn new(transform: T, maker: Maker, ports: impl Into<Ports>) -> Self {
        Self { transform, maker, ports: ports.into() }
    }

    /// Signs what was drafted of an event and encodes it.
    fn emits(&self, event: &Event, position: &Position, drafts: Vec<Draft>) -> Result<Vec<Emit>, Fault> {
        let causes = [(&event.envelope, position)];
        let mut emits: Vec<Emit> = Vec::with_capacity(drafts.len());
        for Draft { topic, payload } in drafts {
            let ordinal = emits.iter().map(|before| u32::from(before.topic == topic)).sum();
            let derived = self.maker.derive(&causes, topic, ordinal, payload);
            let record = wire::encode(&self.ports.codec, &derived).map_err(|error| fault(&error, FAULT))?;
            emits.push(Emit { topic, record });
        }
        Ok(emits)
    }

    fn made(&self, received: &Received) -> Result<Vec<Emit>, Fault> {
        let Some(mut event) = event(&self.ports.codec, received)? else { return Ok(Vec::new()) };
        let drafts = self.transform.apply(&mut event)?;
        self.emits(&event, &received.position, drafts)
    }

    async fn made_of_answers(&self, received: &Received) -> Result<Vec<Emit>, Fault> {
        let Some(mut event) = event(&self.ports.codec, received)? else { return Ok(Vec::new()) };
        let drafts = match self.transform.asks(&event) {
            None => self.transform.apply(&mut event)?,
            Some(ask) => {
                let calls = self.ports.calls.as_ref();
                let calls = calls.ok_or_else(|| Fault::Transient("no models can be asked here".to_owned()))?;
                match calls.call(&ask.about(&event, &received.position)).await {
                    // Not the run's fault, nor the model's.
                    Err(error @ (CallError::Unrecorded(_) | CallError::NoModel(_))) => {
                        return Err(Fault::Transient(error.to_string()));
                    }
                    answer => self.transform.answered(&mut event, answer)?,
                }
            }
        };
        self.emits(&event, &received.position, drafts)
    }
}

#[async_trait]
impl<T: EventTransform> Transform for Adapter<T> {
    async fn apply(&self, batch: &[Received]) -> Vec<Result<Vec<Emit>, Fault>> {
        if self.transform.asks_models() {
            // All at once: how many are under way at a time is for the model to say.
            return join_all(batch.iter().map(|received| self.made_of_answers(received))).await;
        }
        batch.iter().map(|received| self.made(received)).collect()
    }
}

/// The lasting fault of a processor that was handed an event of a type it does not take.
pub fn unexpected(event: &Event, takes: &str) -> Fault {
    let (name, id) = (event.payload.event_type().name, &event.envelope.id);
    Fault::Lasting {
        kind: FAULT,
        message: format!("event {id} is a `{name}`; this topic holds events of type `{takes}`"),
    }
}

pub(crate) fn fault(error: &CodecError, kind: &'static str) -> Fault {
    if error.is_transient() {
        Fault::Transient(error.to_string())
    } else {
        Fault::Lasting { kind, message: error.to_string() }
    }
}
