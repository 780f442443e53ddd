//! GenAI attributes of before the conventions: a message per number, as OpenLLMetry began it.

use super::attributes::{Attributes, text};
use super::messages;
use super::said::{Said, fill, fill_all};
use serde_json::Value;
use stillhouse_schemas::{Message, Span};

pub(super) fn read(_: &Span, attributes: Attributes<'_>, said: &mut Said) {
    let numbered = |prefix: &str, role: &str| -> Vec<Message> {
        attributes.numbered(prefix).iter().flat_map(|message| messages::of(message, role)).collect()
    };
    fill_all(&mut said.input, || numbered("gen_ai.prompt", "user"));
    fill_all(&mut said.output, || numbered("gen_ai.completion", "assistant"));
    fill(&mut said.finish_reason, || {
        let last = attributes.numbered("gen_ai.completion").pop()?;
        last.get("finish_reason").filter(|reason| !reason.is_null()).cloned().map(text)
    });
    fill_all(&mut said.tools, || messages::tools(&Value::Array(attributes.numbered("llm.request.functions"))));
    fill_all(&mut said.input, || {
        attributes.value("gen_ai.prompt").map(|v| messages::of(&v, "user")).unwrap_or_default()
    });
    fill_all(&mut said.output, || {
        attributes.value("gen_ai.completion").map(|v| messages::of(&v, "assistant")).unwrap_or_default()
    });
}
