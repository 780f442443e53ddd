//! From a span on the wire to one of ours.

use crate::messages::{AnyValue, Is, KeyValue, Scope, WireEvent, WireLink, WireSpan};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value};
use std::collections::BTreeMap;
use stillhouse_schemas::{MAX_EXTRA, Micros, Span, SpanLink, SpanOccurrence, time};

/// Most events of a span.
pub const MAX_EVENTS: usize = 10_000;
/// Most links of a span.
pub const MAX_LINKS: usize = 1_000;
/// Attribute that is added where the sender says that the parent is in another process: such a parent may never come.
pub const REMOTE_PARENT: &str = "otlp.remote_parent";

/// Bits of `flags`: the next is valid; the parent is remote.
const HAS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;

type Attributes = BTreeMap<String, String>;

pub(crate) fn span(
    wire: WireSpan,
    resource: &Result<Attributes, String>,
    scope: &Result<Option<String>, String>,
) -> Result<Span, String> {
    let trace_id = id(&wire.trace_id, 16).map_err(|why| format!("trace id {why}"))?;
    let span_id = id(&wire.span_id, 8).map_err(|why| format!("span id {why}"))?;
    let parent_span_id = match wire.parent_span_id.iter().all(|b| *b == 0) {
        true => None,
        false => Some(id(&wire.parent_span_id, 8).map_err(|why| format!("parent span id {why}"))?),
    };
    let status = wire.status.unwrap_or_default();
    at_most("attributes", wire.attributes.len(), MAX_EXTRA)?;
    at_most("events", wire.events.len(), MAX_EVENTS)?;
    at_most("links", wire.links.len(), MAX_LINKS)?;
    let mut attributes = attributes(wire.attributes)?;
    if parent_span_id.is_some() && wire.flags & (HAS_REMOTE | IS_REMOTE) == HAS_REMOTE | IS_REMOTE {
        attributes.insert(REMOTE_PARENT.to_owned(), "true".to_owned());
    }
    Ok(Span {
        trace_id,
        span_id,
        parent_span_id,
        name: text("name", wire.name)?,
        kind: match wire.kind {
            1 => "internal",
            2 => "server",
            3 => "client",
            4 => "producer",
            5 => "consumer",
            _ => "",
        }
        .to_owned(),
        started_at: micros(wire.start_time_unix_nano),
        ended_at: micros(wire.end_time_unix_nano),
        status: match status.code {
            1 => "ok",
            2 => "error",
            _ => "",
        }
        .to_owned(),
        status_message: Some(text("status.message", status.message)?).filter(|message| !message.is_empty()),
        attributes,
        events: wire.events.into_iter().map(occurrence).collect::<Result<_, _>>()?,
        links: wire.links.into_iter().map(link).collect::<Result<_, _>>()?,
        resource: resource.clone()?,
        scope: scope.clone()?,
    })
}

fn occurrence(event: WireEvent) -> Result<SpanOccurrence, String> {
    Ok(SpanOccurrence {
        name: text("events.name", event.name)?,
        at: micros(event.time_unix_nano),
        attributes: attributes(event.attributes)?,
    })
}

fn link(link: WireLink) -> Result<SpanLink, String> {
    Ok(SpanLink {
        trace_id: hex(&link.trace_id),
        span_id: hex(&link.span_id),
        attributes: attributes(link.attributes)?,
    })
}

/// Name and version.
pub(crate) fn scope(scope: &Scope) -> Result<Option<String>, String> {
    let name = text("scope.name", scope.name.clone())?;
    let version = text("scope.version", scope.version.clone())?;
    let scope = [name, version].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
    Ok(Some(scope).filter(|scope| !scope.is_empty()))
}

/// Attributes as JSON texts. Of a name that is there twice the last counts.
pub(crate) fn attributes(wire: Vec<KeyValue>) -> Result<Attributes, String> {
    wire.into_iter()
        .map(|KeyValue { key, value }| {
            let key = text("an attribute's name", key)?;
            let value = json(value.unwrap_or_default()).map_err(|()| format!("attribute `{key}` is not UTF-8"))?;
            Ok((key, value.to_string()))
        })
        .collect()
}

fn json(value: AnyValue) -> Result<Value, ()> {
    Ok(match value.is {
        None => Value::Null,
        Some(Is::Text(text)) => Value::String(String::from_utf8(text).map_err(drop)?),
        Some(Is::Bool(bool)) => bool.into(),
        Some(Is::Int(int)) => int.into(),
        // JSON has no others: they are kept as their names, as protobuf's own JSON has them.
        Some(Is::Double(double)) => match Number::from_f64(double) {
            Some(number) => Value::Number(number),
            None if double.is_nan() => "NaN".into(),
            None if double > 0.0 => "Infinity".into(),
            None => "-Infinity".into(),
        },
        Some(Is::Array(array)) => Value::Array(array.values.into_iter().map(json).collect::<Result<_, _>>()?),
        Some(Is::Object(object)) => {
            let mut members = Map::new();
            for KeyValue { key, value } in object.values {
                members.insert(String::from_utf8(key).map_err(drop)?, json(value.unwrap_or_default())?);
            }
            Value::Object(members)
        }
        Some(Is::Bytes(bytes)) => STANDARD.encode(bytes).into(),
    })
}

/// Nothing for zero, which says that there is none, and for what no calendar has.
fn micros(nanos: u64) -> Option<Micros> {
    let micros = i64::try_from(nanos / 1_000).ok()?;
    (nanos != 0 && time::check(micros).is_ok()).then_some(micros)
}

fn id(bytes: &[u8], length: usize) -> Result<String, String> {
    match bytes {
        bytes if bytes.len() != length => Err(format!("must be {length} bytes ({} hex digits)", 2 * length)),
        bytes if bytes.iter().all(|b| *b == 0) => Err("is all zeros".to_owned()),
        bytes => Ok(hex(bytes)),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn text(what: &str, bytes: Vec<u8>) -> Result<String, String> {
    String::from_utf8(bytes).map_err(|_| format!("{what} is not UTF-8"))
}

fn at_most(what: &str, count: usize, most: usize) -> Result<(), String> {
    if count > most { Err(format!("has {count} {what}; at most {most} are taken")) } else { Ok(()) }
}
