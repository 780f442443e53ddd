//! Makes self-contained Avro schemas of the parts in `avsc/`: the published schema of an event is the envelope with
//! the payload inside, every shared record spelled out where it first occurs.

use crate::types::EventType;
use serde_json::{Map, Value, json};
use std::collections::HashSet;

static ENVELOPE: &str = include_str!("../avsc/envelope.avsc");

/// Records that several schemas share.
static PARTS: &[&str] = &[
    include_str!("../avsc/producer.avsc"),
    include_str!("../avsc/cause.avsc"),
    include_str!("../avsc/sealed.avsc"),
    include_str!("../avsc/message.avsc"),
    include_str!("../avsc/tool_call.avsc"),
    include_str!("../avsc/tool.avsc"),
    include_str!("../avsc/outcome.avsc"),
    include_str!("../avsc/usage.avsc"),
    include_str!("../avsc/passage.avsc"),
    include_str!("../avsc/finding.avsc"),
    include_str!("../avsc/embedded_part.avsc"),
    include_str!("../avsc/search_hit.avsc"),
    include_str!("../avsc/claim_side.avsc"),
];

/// The published schema of `event`.
pub(crate) fn event_schema(event: &EventType) -> Value {
    let mut seen = HashSet::new();
    let mut envelope = part(ENVELOPE);
    let Some(Value::Array(fields)) = envelope.get_mut("fields").map(Value::take) else {
        unreachable!("the envelope has fields")
    };
    let mut out = Vec::with_capacity(fields.len() + 1);
    for field in fields {
        if field["name"] == "sealed" {
            out.push(inline(
                json!({
                    "name": "payload",
                    "type": ["null", part(event.avsc)],
                    "doc": "What the event says; null when it is sealed.",
                    "default": null,
                }),
                &mut seen,
            ));
        }
        out.push(inline(field, &mut seen));
    }
    let (namespace, name) = event.record.rsplit_once('.').unwrap_or(("", event.record));
    json!({"type": "record", "name": name, "namespace": namespace, "doc": event.doc, "fields": out})
}

/// The payload's schema within a published schema of any release.
pub(crate) fn payload_of(event: &Value) -> Option<&Value> {
    let field = event.get("fields")?.as_array()?.iter().find(|f| f["name"] == "payload")?;
    field.get("type")?.get(1)
}

fn part(text: &str) -> Value {
    serde_json::from_str(text).expect("the .avsc files are JSON")
}

/// Puts the definition of a shared record in place of its first mention. `Value::Object`s other than schemas
/// (defaults) hold no strings of that form.
fn inline(schema: Value, seen: &mut HashSet<String>) -> Value {
    match schema {
        Value::String(name) => match PARTS.iter().map(|p| part(p)).find(|p| full_name(p).as_ref() == Some(&name)) {
            Some(definition) if seen.insert(name.clone()) => inline(definition, seen),
            _ => Value::String(name),
        },
        Value::Array(items) => items.into_iter().map(|i| inline(i, seen)).collect(),
        Value::Object(members) => {
            let out: Map<String, Value> = members
                .into_iter()
                .map(|(k, v)| {
                    let v = match k.as_str() {
                        "type" | "fields" | "items" | "values" => inline(v, seen),
                        _ => v,
                    };
                    (k, v)
                })
                .collect();
            Value::Object(out)
        }
        other => other,
    }
}

fn full_name(schema: &Value) -> Option<String> {
    Some(format!("{}.{}", schema.get("namespace")?.as_str()?, schema.get("name")?.as_str()?))
}
