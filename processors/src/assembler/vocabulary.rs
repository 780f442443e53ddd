//! The table of vocabularies: what the attributes of a span mean.

use super::attributes::{Attributes, unfold};
use super::said::{Kind, Said, fill};
use super::{genai, genai_indexed, genai_occurrences, langfuse, messages, openinference, own};
use stillhouse_schemas::Span;

/// One vocabulary.
#[derive(Debug)]
pub struct Vocabulary {
    /// Its name.
    pub name: &'static str,
    /// Who speaks it.
    pub doc: &'static str,
    /// Prefixes of attributes (or names of a span's events) by which it is known.
    pub known_by: &'static [&'static str],
    /// Reads what nobody before it in the table has said.
    read: fn(&Span, Attributes<'_>, &mut Said),
}

/// Every vocabulary there is. Where a span speaks several, the first that says a thing is believed. Adding one is a file
/// and an entry.
pub static VOCABULARIES: &[Vocabulary] = &[
    Vocabulary {
        name: "stillhouse",
        doc: "what only the application knows: `stillhouse.task_key`, `.outcome.verdict`, `.reference`, …",
        known_by: &["stillhouse."],
        read: own::read,
    },
    Vocabulary {
        name: "langfuse",
        doc: "Langfuse SDKs: `langfuse.observation.*`, `langfuse.trace.*`",
        known_by: &["langfuse."],
        read: langfuse::read,
    },
    Vocabulary {
        name: "openinference",
        doc: "OpenInference, as Phoenix and its instrumentations speak it",
        known_by: &["openinference.", "llm.", "retrieval.documents.", "tool.", "embedding."],
        read: openinference::read,
    },
    Vocabulary {
        name: "gen_ai",
        doc: "OpenTelemetry's GenAI conventions since 1.37: `gen_ai.input.messages`, …",
        known_by: &["gen_ai."],
        read: genai::read,
    },
    Vocabulary {
        name: "gen_ai.indexed",
        doc: "the same before they were conventions: `gen_ai.prompt.N.*`, `gen_ai.completion.N.*`",
        known_by: &["gen_ai.prompt", "gen_ai.completion"],
        read: genai_indexed::read,
    },
    Vocabulary {
        name: "gen_ai.events",
        doc: "the conventions up to 1.36: a span's events `gen_ai.user.message`, `gen_ai.choice`, …",
        known_by: &["gen_ai."],
        read: genai_occurrences::read,
    },
];

/// What a span says.
pub(super) fn said(span: &Span) -> Said {
    let attributes = Attributes(&span.attributes);
    let mut said = Said::default();
    for vocabulary in VOCABULARIES {
        let known = |prefix: &&str| {
            attributes.any(prefix) || span.events.iter().any(|occurrence| occurrence.name.starts_with(*prefix))
        };
        if vocabulary.known_by.iter().any(known) {
            said.known = true;
            (vocabulary.read)(span, attributes, &mut said);
        }
    }
    let named = said.tool.name.is_some();
    fill(&mut said.kind, || named.then_some(Kind::Tool));
    if said.kind == Some(Kind::Model) && !said.speaks() {
        // A call whose messages stand in a text, or that is a text.
        let messages = |text: &Option<String>, role| {
            text.iter().flat_map(|text| messages::of(&unfold(text.as_str().into()), role)).collect()
        };
        (said.input, said.output) = (messages(&said.input_text, "user"), messages(&said.output_text, "assistant"));
    }
    if span.status == "error" {
        fill(&mut said.error, || Some(span.status_message.clone().unwrap_or_else(|| exception(span))));
    }
    said
}

/// What an event of the span says went wrong.
fn exception(span: &Span) -> String {
    let find = |occurrence: &stillhouse_schemas::SpanOccurrence| {
        Attributes(&occurrence.attributes).first(&["exception.message", "exception.type"])
    };
    span.events.iter().rev().find_map(find).unwrap_or_else(|| "error".to_owned())
}
