//! The fields that filters and templates of corpora may name, by topic.

use crate::nearest;
use std::borrow::Cow;
use stillhouse_schemas::{Message, Payload};

/// A kind of event that corpora are made of.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// Logical topic.
    pub topic: &'static str,
    /// Fields that may be named.
    pub fields: &'static [&'static str],
    /// What is embedded unless the corpus says otherwise.
    pub text: &'static str,
    /// Title unless the corpus says otherwise.
    pub title: &'static str,
    /// Metadata unless the corpus says otherwise.
    pub metadata: &'static [&'static str],
}

const RUN: &[&str] = &["source_class", "task_key", "model", "provider", "verdict"];

/// Every kind there is.
pub static SOURCES: &[Source] = &[
    Source {
        topic: "evidence",
        fields: &[
            "run_id",
            "source_class",
            "task_key",
            "role",
            "model",
            "provider",
            "prompt",
            "answer",
            "conversation",
            "reference",
            "context",
            "verdict",
            "error",
        ],
        text: "{prompt}\n\n{answer}",
        title: "{task_key}",
        metadata: RUN,
    },
    Source {
        topic: "runs",
        fields: &[
            "run_id",
            "source_class",
            "task_key",
            "role",
            "model",
            "provider",
            "prompt",
            "answer",
            "conversation",
            "reference",
            "context",
            "verdict",
            "error",
            "session_id",
        ],
        text: "{conversation}",
        title: "{task_key}",
        metadata: RUN,
    },
    Source {
        topic: "documents",
        fields: &["document_id", "collection", "title", "text", "role", "source", "run_id"],
        text: "{title}\n\n{text}",
        title: "{title}",
        metadata: &["collection", "source"],
    },
];

/// The kind of a topic.
pub fn source(topic: &str) -> Result<Source, String> {
    let found = SOURCES.iter().find(|s| s.topic == topic).copied();
    found.ok_or_else(|| format!("no corpus can be made of topic `{}`{}", topic.escape_debug(), hint(topic, names())))
}

fn names() -> impl Iterator<Item = &'static str> + Clone {
    SOURCES.iter().map(|s| s.topic)
}

fn hint(given: &str, known: impl Iterator<Item = &'static str> + Clone) -> String {
    match nearest(given, known.clone()) {
        Some(near) => format!("; did you mean `{near}`?"),
        None => format!("; there are {}", known.collect::<Vec<_>>().join(", ")),
    }
}

impl Source {
    /// The field of this name.
    pub fn field(&self, name: &str) -> Result<&'static str, String> {
        let found = self.fields.iter().find(|f| **f == name).copied();
        found.ok_or_else(|| format!("no field `{}`{}", name.escape_debug(), hint(name, self.fields.iter().copied())))
    }

    /// Whether the payload is of this kind.
    pub fn takes(&self, payload: &Payload) -> bool {
        match payload {
            Payload::Evidence(_) => self.topic == "evidence",
            Payload::Run(_) => self.topic == "runs",
            Payload::Document(_) => self.topic == "documents",
            _ => false,
        }
    }
}

/// A field of a payload, trimmed; nothing where it is absent or empty.
pub fn value<'a>(payload: &'a Payload, name: &str) -> Option<Cow<'a, str>> {
    let some = |text: &'a Option<String>| text.as_deref().map(Cow::Borrowed);
    let text = |text: &'a str| Some(Cow::Borrowed(text));
    let value = match payload {
        Payload::Evidence(p) => match name {
            "run_id" => text(&p.run_id),
            "source_class" => text(&p.source_class),
            "task_key" => some(&p.task_key),
            "role" => some(&p.role),
            "model" => some(&p.model),
            "provider" => some(&p.provider),
            "prompt" => prompt(&p.messages).map(Cow::Borrowed),
            "answer" => some(&p.answer),
            "conversation" => Some(Cow::Owned(conversation(&p.messages))),
            "reference" => some(&p.reference),
            "context" => some(&p.context),
            "verdict" => some(&p.outcome.verdict),
            "error" => some(&p.error),
            _ => None,
        },
        Payload::Run(p) => match name {
            "run_id" => text(&p.run_id),
            "source_class" => some(&p.source_class),
            "task_key" => some(&p.task_key),
            "role" => some(&p.role),
            "model" => some(&p.model),
            "provider" => some(&p.provider),
            "prompt" => prompt(&p.messages).map(Cow::Borrowed),
            "answer" => answer(&p.messages).map(Cow::Borrowed),
            "conversation" => Some(Cow::Owned(conversation(&p.messages))),
            "reference" => some(&p.reference),
            "context" => some(&p.context),
            "verdict" => some(&p.outcome.verdict),
            "error" => some(&p.error),
            "session_id" => some(&p.session_id),
            _ => None,
        },
        Payload::Document(p) => match name {
            "document_id" => text(&p.document_id),
            "collection" => text(&p.collection),
            "title" => some(&p.title),
            "text" => text(&p.text),
            "role" => some(&p.role),
            "source" => some(&p.source),
            "run_id" => some(&p.run_id),
            _ => None,
        },
        _ => None,
    };
    let trimmed = match value? {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    };
    (!trimmed.is_empty()).then_some(trimmed)
}

/// What was asked first: it names the task, where later turns only go on with it.
fn prompt(messages: &[Message]) -> Option<&str> {
    messages.iter().filter(|m| m.role == "user").find_map(|m| m.content.as_deref())
}

fn answer(messages: &[Message]) -> Option<&str> {
    messages.iter().rev().filter(|m| m.role == "assistant").find_map(|m| m.content.as_deref())
}

/// What people and the model said, without instructions and results of tools.
fn conversation(messages: &[Message]) -> String {
    let said = messages.iter().filter(|m| m.role == "user" || m.role == "assistant");
    let lines = said.filter_map(|m| m.content.as_deref()).map(str::trim).filter(|t| !t.is_empty());
    lines.collect::<Vec<_>>().join("\n\n")
}
