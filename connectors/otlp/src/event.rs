//! Spans as events.

use crate::span::REMOTE_PARENT;
use serde_json::Value;
use stillhouse_schemas::{Envelope, Event, Micros, Payload, Producer, Span, ids, json};

/// How far ahead of the receiver's clock a span may be; beyond that its time is not believed.
const AHEAD: Micros = 3_600_000_000;

/// The event of a span that arrived at `now`, and the digest of what its sender said.
///
/// It happened when the span ended, or, where that is not said or cannot be (a clock an hour ahead), when it started, or
/// now.
pub fn event(span: Span, producer: Producer, now: Micros) -> (Event, String) {
    let believable = |at: &Micros| *at <= now.saturating_add(AHEAD);
    let occurred_at = span.ended_at.filter(believable).or(span.started_at.filter(believable)).unwrap_or(now);
    let payload = Payload::Span(span);
    let digest = json::digest(&said(&payload));
    let Payload::Span(span) = &payload else { unreachable!("it was made a span above") };
    let id = ids::imported("otlp", &format!("{}/{}/{digest}", span.trace_id, span.span_id));
    let envelope = Envelope { id, key: span.trace_id.clone(), occurred_at, producer, ..Envelope::default() };
    (Event { envelope, payload }, digest)
}

/// Without what differs between two ways of sending the same span: JSON says `flags` rarely, protobuf mostly.
fn said(payload: &Payload) -> Value {
    let mut value = payload.to_json();
    if let Some(attributes) = value.get_mut("attributes").and_then(Value::as_object_mut) {
        attributes.shift_remove(REMOTE_PARENT);
    }
    value
}
