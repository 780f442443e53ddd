//! GenAI conventions up to 1.36: every message is an event of the span.

use super::attributes::{Attributes, unfold};
use super::messages;
use super::said::{Kind, Said, fill, fill_all};
use serde_json::{Map, Value};
use stillhouse_schemas::{Message, Span, SpanOccurrence};

/// Names of events, whether they are output, and the role that they have where they do not say it.
const EVENTS: &[(&str, bool, &str)] = &[
    ("gen_ai.system.message", false, "system"),
    ("gen_ai.user.message", false, "user"),
    ("gen_ai.assistant.message", false, "assistant"),
    ("gen_ai.tool.message", false, "tool"),
    ("gen_ai.content.prompt", false, "user"),
    ("gen_ai.choice", true, "assistant"),
    ("gen_ai.content.completion", true, "assistant"),
];

pub(super) fn read(span: &Span, _: Attributes<'_>, said: &mut Said) {
    let (mut input, mut output) = (Vec::new(), Vec::new());
    for occurrence in &span.events {
        if occurrence.name == "gen_ai.client.inference.operation.details" {
            super::genai::read(span, Attributes(&occurrence.attributes), said);
        }
        let Some((name, is_output, role)) = EVENTS.iter().find(|(name, ..)| *name == occurrence.name) else { continue };
        let body = body(occurrence);
        if *name == "gen_ai.choice" {
            fill(&mut said.finish_reason, || body.get("finish_reason")?.as_str().map(str::to_owned));
        }
        let found: Vec<Message> = messages::of(&message(body), role);
        if *is_output { output.extend(found) } else { input.extend(found) }
    }
    if !input.is_empty() || !output.is_empty() {
        fill(&mut said.kind, || Some(Kind::Model));
    }
    fill_all(&mut said.input, || input);
    fill_all(&mut said.output, || output);
}

/// Its attributes as an object; a body in one attribute is spread out.
fn body(occurrence: &SpanOccurrence) -> Map<String, Value> {
    let attributes = Attributes(&occurrence.attributes);
    let mut body = Map::new();
    for name in occurrence.attributes.keys() {
        let Some(value) = attributes.raw(name) else { continue };
        match (name.as_str(), unfold(value.clone())) {
            ("body" | "event_body", Value::Object(members)) => body.extend(members),
            ("content", _) => drop(body.insert(name.clone(), value)),
            (_, unfolded) => drop(body.insert(name.clone(), unfolded)),
        }
    }
    body
}

/// The message of a body: itself, or what it holds as `message`, `gen_ai.prompt` or `gen_ai.completion`.
fn message(mut body: Map<String, Value>) -> Value {
    let inner = ["message", "gen_ai.prompt", "gen_ai.completion"].iter().find_map(|name| body.remove(*name));
    let Some(inner) = inner else { return Value::Object(body) };
    match (inner, body.remove("tool_calls")) {
        (Value::Object(mut inner), Some(calls)) => {
            inner.entry("tool_calls").or_insert(calls);
            Value::Object(inner)
        }
        (Value::String(text), Some(calls)) => {
            Value::Object(Map::from_iter([("content".to_owned(), text.into()), ("tool_calls".to_owned(), calls)]))
        }
        (inner, _) => inner,
    }
}
