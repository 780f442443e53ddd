//! The table of fields that a mapping can fill, and how a value gets into each.

use super::moment;
use super::template::{clip, spell};
use serde_json::Value;
use stillhouse_schemas::{Micros, Run};

/// A field of a run, as mappings name it.
pub struct Field {
    /// Its name; with a dot it stands in a table of the mapping (`[outcome] reward = …`).
    pub name: &'static str,
    /// What it holds.
    pub doc: &'static str,
    pub(super) kind: Kind,
}

/// How a value gets in.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Text(fn(&mut Run) -> &mut Option<String>),
    Number(fn(&mut Run) -> &mut Option<f64>),
    Integer(fn(&mut Run) -> &mut Option<i64>),
    Time(fn(&mut Run) -> &mut Option<Micros>),
}

/// All fields that hold one value. Beside them a mapping knows `messages`, `tools`, `tags`, `extra`, and what belongs to
/// the event: `key`, `run_id`, `occurred_at`, `subject`, `traceparent`.
pub static FIELDS: &[Field] = &[
    Field { name: "source_class", doc: "chat, agent or reasoning", kind: Kind::Text(|r| &mut r.source_class) },
    Field {
        name: "task_key",
        doc: "what was to be done; runs with one key tried the same",
        kind: Kind::Text(|r| &mut r.task_key),
    },
    Field { name: "role", doc: "role the agent acted in", kind: Kind::Text(|r| &mut r.role) },
    Field { name: "model", doc: "model, as the provider answered", kind: Kind::Text(|r| &mut r.model) },
    Field { name: "provider", doc: "provider of the model", kind: Kind::Text(|r| &mut r.provider) },
    Field { name: "reference", doc: "right answer, where there is one", kind: Kind::Text(|r| &mut r.reference) },
    Field { name: "cost_usd", doc: "cost in US dollars", kind: Kind::Number(|r| &mut r.cost_usd) },
    Field { name: "started_at", doc: "start", kind: Kind::Time(|r| &mut r.started_at) },
    Field { name: "ended_at", doc: "end", kind: Kind::Time(|r| &mut r.ended_at) },
    Field {
        name: "finish_reason",
        doc: "stop, length, content_filter, tool_calls or error",
        kind: Kind::Text(|r| &mut r.finish_reason),
    },
    Field { name: "error", doc: "the error that ended it", kind: Kind::Text(|r| &mut r.error) },
    Field { name: "session_id", doc: "session it belongs to", kind: Kind::Text(|r| &mut r.session_id) },
    Field { name: "trace_id", doc: "trace id, 32 hex digits", kind: Kind::Text(|r| &mut r.trace_id) },
    Field { name: "span_id", doc: "span id, 16 hex digits", kind: Kind::Text(|r| &mut r.span_id) },
    Field {
        name: "outcome.reward",
        doc: "reward of an environment, usually 0 to 1",
        kind: Kind::Number(|r| &mut r.outcome.reward),
    },
    Field { name: "outcome.verdict", doc: "pass or fail", kind: Kind::Text(|r| &mut r.outcome.verdict) },
    Field {
        name: "outcome.human_label",
        doc: "accepted or rejected, by a person",
        kind: Kind::Text(|r| &mut r.outcome.human_label),
    },
    Field { name: "outcome.source", doc: "who said so", kind: Kind::Text(|r| &mut r.outcome.source) },
    Field {
        name: "usage.input_tokens",
        doc: "tokens read",
        kind: Kind::Integer(|r| &mut r.usage.get_or_insert_default().input_tokens),
    },
    Field {
        name: "usage.output_tokens",
        doc: "tokens written",
        kind: Kind::Integer(|r| &mut r.usage.get_or_insert_default().output_tokens),
    },
    Field {
        name: "usage.cached_tokens",
        doc: "of the input, read from a cache",
        kind: Kind::Integer(|r| &mut r.usage.get_or_insert_default().cached_tokens),
    },
    Field {
        name: "usage.reasoning_tokens",
        doc: "of the output, spent on reasoning",
        kind: Kind::Integer(|r| &mut r.usage.get_or_insert_default().reasoning_tokens),
    },
];

impl std::fmt::Debug for Field {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Field {
    /// Puts a value into a run; the error is a sentence about the value.
    pub(super) fn fill(&self, run: &mut Run, value: &Value) -> Result<(), String> {
        let wrong = |what: &str| Err(format!("`{}` must be {what}, found {}", self.name, clip(&value.to_string())));
        match self.kind {
            Kind::Text(slot) => match text(value) {
                Ok(text) => *slot(run) = text,
                Err(e) => return Err(format!("`{}` {e}", self.name)),
            },
            Kind::Number(slot) => match value.as_f64() {
                Some(number) if number.is_finite() => *slot(run) = Some(number),
                _ => return wrong("a number (`{path|number}` reads one from text)"),
            },
            Kind::Integer(slot) => {
                let whole = value.as_i64().or_else(|| {
                    let number = value.as_f64()?;
                    (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64)
                });
                match whole {
                    Some(whole) => *slot(run) = Some(whole),
                    None => return wrong("a whole number (`{path|number}` reads one from text)"),
                }
            }
            Kind::Time(slot) => *slot(run) = Some(moment::read(value).map_err(|e| format!("`{}`: {e}", self.name))?),
        }
        Ok(())
    }
}

/// A value as the text of a field; blank text counts as nothing.
pub(super) fn text(value: &Value) -> Result<Option<String>, String> {
    match value {
        Value::Array(_) | Value::Object(_) => {
            Err(format!("must be text, found {}; `{{path|json}}` takes it as JSON text", clip(&value.to_string())))
        }
        scalar => Ok(Some(spell(scalar).into_owned()).filter(|t| !t.trim().is_empty())),
    }
}
