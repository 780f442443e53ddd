//! From one event to the events made of it.
//!
//! A processor says *what* is made of an event, as [`Draft`]s; who made it, from what, when and under which id is the
//! same for all of them and is decided here, by [`Maker`]:
//!
//! - the id is a UUIDv5 of the cause ids in order, the processor's name, version and configuration hash, the *logical*
//!   topic and the draft's number among those for that topic: whoever makes it again, makes the same;
//! - `occurred_at` is the latest of the causes, the subject and the trace context are the first cause's that has one;
//! - the key is the run id;
//! - positions of the causes are recorded, and nothing else depends on them.
//!
//! What is absent: state. A transform sees one event at a time, so batches can be cut anywhere.

use crate::wire;
use async_trait::async_trait;
use stillhouse_schemas::{Codec, CodecError, Envelope, Event, Payload, Producer, ids};
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

/// A processor of single events. Pure: no clock, no randomness, no I/O; the same event gives the same drafts.
pub trait EventTransform: Send + Sync + 'static {
    /// What is made of an event. The payload may be taken apart: only the envelope is read afterwards.
    fn apply(&self, event: &mut Event) -> Result<Vec<Draft>, Fault>;
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
        let key = match payload.run_id() {
            Some(run_id) if !run_id.is_empty() => run_id.to_owned(),
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
    codec: Codec,
}

impl<T: EventTransform> Adapter<T> {
    /// Runs `transform`, signing as `maker`.
    pub fn new(transform: T, maker: Maker, codec: Codec) -> Self {
        Self { transform, maker, codec }
    }

    /// The events made of one record.
    pub fn events(&self, received: &Received) -> Result<Vec<(&'static str, Event)>, Fault> {
        let mut event = match wire::received(&self.codec, received) {
            Ok(Some(event)) => event,
            Ok(None) => return Ok(Vec::new()),
            Err(CodecError::Erased { event_id, .. }) => {
                tracing::debug!(%event_id, position = %received.position, "erased: nothing is made of it");
                return Ok(Vec::new());
            }
            Err(error) => return Err(fault(&error, DECODE)),
        };
        let drafts = self.transform.apply(&mut event)?;
        let causes = [(&event.envelope, &received.position)];
        let mut derived: Vec<(&'static str, Event)> = Vec::with_capacity(drafts.len());
        for Draft { topic, payload } in drafts {
            let ordinal = derived.iter().map(|(before, _)| u32::from(*before == topic)).sum();
            derived.push((topic, self.maker.derive(&causes, topic, ordinal, payload)));
        }
        Ok(derived)
    }

    fn emits(&self, received: &Received) -> Result<Vec<Emit>, Fault> {
        let emit = |(topic, event): (&'static str, Event)| match wire::encode(&self.codec, &event) {
            Ok(record) => Ok(Emit { topic, record }),
            Err(error) => Err(fault(&error, FAULT)),
        };
        self.events(received)?.into_iter().map(emit).collect()
    }
}

#[async_trait]
impl<T: EventTransform> Transform for Adapter<T> {
    async fn apply(&self, batch: &[Received]) -> Vec<Result<Vec<Emit>, Fault>> {
        batch.iter().map(|received| self.emits(received)).collect()
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

fn fault(error: &CodecError, kind: &'static str) -> Fault {
    if error.is_transient() {
        Fault::Transient(error.to_string())
    } else {
        Fault::Lasting { kind, message: error.to_string() }
    }
}
