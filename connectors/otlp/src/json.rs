//! OTLP in JSON, and the other JSON that spans are written in: what SDKs print and what Phoenix exports.

use crate::messages::{AnyValue, Array, Is, KeyValue, Object, Scope, WireEvent, WireLink, WireSpan, WireStatus};
use crate::{Batch, span};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};
use serde_json::{Map, Value};
use stillhouse_schemas::{json::parse_strict, time};

type Members = Map<String, Value>;

/// The spans of a request in JSON.
pub(crate) fn read(body: &[u8]) -> Result<Batch, String> {
    let value = parse_strict(body).map_err(|bad| format!("byte {}: {}", bad.offset, bad.message))?;
    let Value::Object(request) = value else { return Err("it is not an object".to_owned()) };
    let mut batch = Batch::default();
    take_request(&request, &mut batch)?;
    Ok(batch)
}

/// The spans of a JSON value: a request of OTLP (as collectors write them to files), a span as an SDK prints it, a span
/// as Phoenix exports it, or a page (`{"data": […]}`) or list of such.
///
/// # Errors
/// If it is none of these.
pub fn spans_of(value: &Value) -> Result<Batch, String> {
    let mut batch = Batch::default();
    take(value, &mut batch, 0)?;
    Ok(batch)
}

fn take(value: &Value, batch: &mut Batch, depth: usize) -> Result<(), String> {
    match value {
        Value::Array(items) if depth < 3 => items.iter().try_for_each(|item| take(item, batch, depth + 1)),
        Value::Object(members) if field(members, "resourceSpans").is_some() => take_request(members, batch),
        Value::Object(members) if members.get("data").is_some_and(Value::is_array) && depth < 3 => {
            take(&members["data"], batch, depth + 1)
        }
        Value::Object(members) if is_printed(members) => {
            let number = batch.spans.len();
            batch.take(number, printed(members));
            Ok(())
        }
        _ => Err("it is no span: neither OTLP (`resourceSpans`), nor a span with a `context`".to_owned()),
    }
}

fn take_request(request: &Members, batch: &mut Batch) -> Result<(), String> {
    let mut number = 0;
    for within in objects(request, "resourceSpans")? {
        let resource = match field(within, "resource").and_then(Value::as_object) {
            Some(resource) => key_values(resource).and_then(span::attributes),
            None => Ok(Default::default()),
        };
        for scoped in objects(within, "scopeSpans")? {
            let scope = field(scoped, "scope")
                .and_then(Value::as_object)
                .map(|scope| Scope { name: text(scope, "name"), version: text(scope, "version") });
            let scope = span::scope(&scope.unwrap_or_default());
            for wire in objects(scoped, "spans")? {
                batch.take(number, wire_span(wire).and_then(|wire| span::span(wire, &resource, &scope)));
                number += 1;
            }
        }
    }
    Ok(())
}

fn wire_span(members: &Members) -> Result<WireSpan, String> {
    let status = match field(members, "status").and_then(Value::as_object) {
        Some(status) => Some(WireStatus { message: text(status, "message"), code: code(status.get("code"), STATUS)? }),
        None => None,
    };
    let events = objects(members, "events")?.into_iter().map(|event| {
        Ok(WireEvent {
            time_unix_nano: number(event, "timeUnixNano")?,
            name: text(event, "name"),
            attributes: key_values(event)?,
        })
    });
    let links = objects(members, "links")?.into_iter().map(|link| {
        Ok(WireLink {
            trace_id: id(link, "traceId", 16),
            span_id: id(link, "spanId", 8),
            attributes: key_values(link)?,
        })
    });
    Ok(WireSpan {
        trace_id: id(members, "traceId", 16),
        span_id: id(members, "spanId", 8),
        parent_span_id: match field(members, "parentSpanId") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::String(none)) if none.is_empty() => Vec::new(),
            // Of the wrong length, so that it is refused and not taken for a root.
            Some(_) => Some(id(members, "parentSpanId", 8)).filter(|id| !id.is_empty()).unwrap_or_else(|| vec![1]),
        },
        name: text(members, "name"),
        kind: code(field(members, "kind"), KINDS)?,
        start_time_unix_nano: number(members, "startTimeUnixNano")?,
        end_time_unix_nano: number(members, "endTimeUnixNano")?,
        attributes: key_values(members)?,
        events: events.collect::<Result<_, String>>()?,
        links: links.collect::<Result<_, String>>()?,
        status,
        flags: u32::try_from(number(members, "flags")?).unwrap_or_default(),
    })
}

/// Names of enums, by number. The protocol wants numbers; some senders write names.
const KINDS: &[&str] = &["UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"];
const STATUS: &[&str] = &["UNSET", "OK", "ERROR"];

fn code(value: Option<&Value>, names: &[&str]) -> Result<i32, String> {
    match value {
        None | Some(Value::Null) => Ok(0),
        Some(Value::Number(number)) => Ok(number.as_i64().and_then(|n| i32::try_from(n).ok()).unwrap_or_default()),
        Some(Value::String(name)) => {
            let last = name.rsplit(['_', '.']).next().unwrap_or_default();
            let found = names.iter().position(|known| known.eq_ignore_ascii_case(last));
            Ok(found.and_then(|n| i32::try_from(n).ok()).unwrap_or_default())
        }
        Some(_) => Err("an enum must be a number".to_owned()),
    }
}

fn key_values(members: &Members) -> Result<Vec<KeyValue>, String> {
    let attributes = objects(members, "attributes")?.into_iter();
    attributes.map(|pair| Ok(KeyValue { key: text(pair, "key"), value: Some(any(pair.get("value"))?) })).collect()
}

fn any(value: Option<&Value>) -> Result<AnyValue, String> {
    let Some(Value::Object(value)) = value else { return Ok(AnyValue::default()) };
    let is = match value.iter().find(|(_, v)| !v.is_null()) {
        None => None,
        Some((name, value)) => match (name.as_str(), value) {
            ("stringValue" | "string_value", Value::String(text)) => Some(Is::Text(text.clone().into_bytes())),
            ("boolValue" | "bool_value", Value::Bool(bool)) => Some(Is::Bool(*bool)),
            ("intValue" | "int_value", value) => match value {
                Value::Number(number) => number.as_i64().map(Is::Int),
                Value::String(number) => number.parse().ok().map(Is::Int),
                _ => None,
            },
            ("doubleValue" | "double_value", value) => match value {
                Value::Number(number) => number.as_f64().map(Is::Double),
                Value::String(number) => number.parse().ok().map(Is::Double),
                _ => None,
            },
            ("arrayValue" | "array_value", Value::Object(array)) => {
                let values = match array.get("values") {
                    Some(Value::Array(values)) => values.iter().map(|v| any(Some(v))).collect::<Result<_, _>>()?,
                    _ => Vec::new(),
                };
                Some(Is::Array(Array { values }))
            }
            ("kvlistValue" | "kvlist_value", Value::Object(object)) => {
                let pairs = objects(object, "values")?.into_iter();
                let pair = |pair: &Members| {
                    Ok::<_, String>(KeyValue { key: text(pair, "key"), value: Some(any(pair.get("value"))?) })
                };
                Some(Is::Object(Object { values: pairs.map(pair).collect::<Result<_, _>>()? }))
            }
            ("bytesValue" | "bytes_value", Value::String(text)) => base64(text).map(Is::Bytes),
            _ => None,
        },
    };
    match (is, value.values().all(Value::is_null)) {
        (None, false) => Err("an attribute's value is of no known kind".to_owned()),
        (is, _) => Ok(AnyValue { is }),
    }
}

/// A member by its name in camelCase, or as the `.proto` file has it.
fn field<'a>(members: &'a Members, camel: &str) -> Option<&'a Value> {
    members.get(camel).or_else(|| {
        let snake = camel.chars().fold(String::new(), |mut snake, c| {
            if c.is_ascii_uppercase() {
                snake.push('_');
            }
            snake.push(c.to_ascii_lowercase());
            snake
        });
        members.get(&snake)
    })
}

fn objects<'a>(members: &'a Members, name: &str) -> Result<Vec<&'a Members>, String> {
    let wrong = || format!("`{name}` must be an array of objects");
    match field(members, name) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(items)) => items.iter().map(|item| item.as_object().ok_or_else(wrong)).collect(),
        Some(_) => Err(wrong()),
    }
}

fn text(members: &Members, name: &str) -> Vec<u8> {
    field(members, name).and_then(Value::as_str).unwrap_or_default().as_bytes().to_vec()
}

fn number(members: &Members, name: &str) -> Result<u64, String> {
    match field(members, name) {
        None | Some(Value::Null) => Ok(0),
        Some(Value::Number(number)) => number.as_u64().ok_or_else(|| format!("`{name}` must not be negative")),
        Some(Value::String(text)) => text.parse().map_err(|_| format!("`{name}` must be a whole number")),
        Some(_) => Err(format!("`{name}` must be a whole number, as a string or a number")),
    }
}

/// The bytes of an id: hex, as the protocol wants it, or base64, as protobuf's own JSON has it. Nothing if it is neither.
fn id(members: &Members, name: &str, length: usize) -> Vec<u8> {
    let text = field(members, name).and_then(Value::as_str).unwrap_or_default();
    from_hex(text).or_else(|| base64(text)).filter(|bytes| bytes.len() == length).unwrap_or_default()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> =
        text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect::<Option<_>>()?;
    digits.len().is_multiple_of(2).then(|| digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

fn base64(text: &str) -> Option<Vec<u8>> {
    [&STANDARD, &URL_SAFE, &STANDARD_NO_PAD].into_iter().find_map(|engine| engine.decode(text).ok())
}

/// Whether it is a span with its attributes as an object: what SDKs print, and what Phoenix exports.
fn is_printed(members: &Members) -> bool {
    members.get("context").is_some_and(Value::is_object) || members.contains_key("context.trace_id")
}

fn printed(members: &Members) -> Result<stillhouse_schemas::Span, String> {
    let context = members.get("context").and_then(Value::as_object);
    let of_context = |name: &str| match context {
        Some(context) => context.get(name),
        None => members.get(&format!("context.{name}")),
    };
    let ids = |value: Option<&Value>, length| {
        let text = value.and_then(Value::as_str).unwrap_or_default();
        from_hex(text.trim_start_matches("0x")).filter(|id| id.len() == length).unwrap_or_default()
    };
    let mut attributes = Members::new();
    match members.get("attributes") {
        Some(Value::Object(found)) => found.iter().for_each(|(k, v)| flatten(k, v, &mut attributes)),
        // A data frame's columns.
        _ => {
            for (name, value) in members {
                if let Some(name) = name.strip_prefix("attributes.") {
                    flatten(name, value, &mut attributes);
                }
            }
        }
    }
    let kind = members.get("span_kind").and_then(Value::as_str);
    if let Some(kind) = kind.filter(|kind| !kind.is_empty()) {
        attributes.entry("openinference.span.kind").or_insert_with(|| kind.into());
    }
    let status = members.get("status").and_then(Value::as_object);
    let code_of = members.get("status_code").or_else(|| status?.get("status_code"));
    let message = members.get("status_message").or_else(|| status?.get("description"));
    let events = members.get("events").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object);
    let resource = members.get("resource").and_then(Value::as_object).and_then(|r| r.get("attributes")?.as_object());
    let wire = WireSpan {
        trace_id: ids(of_context("trace_id"), 16),
        span_id: ids(of_context("span_id"), 8),
        parent_span_id: match members.get("parent_id") {
            None | Some(Value::Null) => Vec::new(),
            parent => Some(ids(parent, 8)).filter(|id| !id.is_empty()).unwrap_or_else(|| vec![1]),
        },
        name: text(members, "name"),
        kind: code(members.get("kind"), KINDS)?,
        start_time_unix_nano: nanos(members.get("start_time")),
        end_time_unix_nano: nanos(members.get("end_time")),
        attributes: pairs(&attributes),
        events: events
            .map(|event| WireEvent {
                time_unix_nano: nanos(event.get("timestamp")),
                name: text(event, "name"),
                attributes: event.get("attributes").and_then(Value::as_object).map(pairs).unwrap_or_default(),
            })
            .collect(),
        links: Vec::new(),
        status: Some(WireStatus {
            message: message.and_then(Value::as_str).unwrap_or_default().as_bytes().to_vec(),
            code: code(code_of, STATUS)?,
        }),
        flags: 0,
    };
    span::span(wire, &span::attributes(resource.map(pairs).unwrap_or_default()), &Ok(None))
}

/// Lists of objects become attributes with numbers in their names, as they were sent.
fn flatten(name: &str, value: &Value, out: &mut Members) {
    match value {
        Value::Object(members) => members.iter().for_each(|(k, v)| flatten(&format!("{name}.{k}"), v, out)),
        Value::Array(items) if items.iter().any(Value::is_object) => {
            items.iter().enumerate().for_each(|(n, v)| flatten(&format!("{name}.{n}"), v, out));
        }
        Value::Null => {}
        other => {
            out.insert(name.to_owned(), other.clone());
        }
    }
}

fn pairs(members: &Members) -> Vec<KeyValue> {
    members.iter().map(|(key, v)| KeyValue { key: key.clone().into_bytes(), value: Some(plain(v)) }).collect()
}

fn plain(value: &Value) -> AnyValue {
    let is = match value {
        Value::Null => None,
        Value::Bool(bool) => Some(Is::Bool(*bool)),
        Value::Number(number) => number.as_i64().map(Is::Int).or_else(|| number.as_f64().map(Is::Double)),
        Value::String(text) => Some(Is::Text(text.clone().into_bytes())),
        Value::Array(items) => Some(Is::Array(Array { values: items.iter().map(plain).collect() })),
        Value::Object(members) => Some(Is::Object(Object { values: pairs(members) })),
    };
    AnyValue { is }
}

/// RFC 3339, or milliseconds since the epoch as data frames write them.
fn nanos(value: Option<&Value>) -> u64 {
    let micros = match value {
        Some(Value::String(text)) => time::parse(text).ok(),
        Some(Value::Number(number)) => number.as_i64().map(|millis| millis.saturating_mul(1_000)),
        _ => None,
    };
    micros.and_then(|micros| u64::try_from(micros).ok()).unwrap_or_default().saturating_mul(1_000)
}
