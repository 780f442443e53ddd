//! Langfuse's own attributes, which its SDKs set beside or instead of others.

use super::attributes::{Attributes, amount, whole};
use super::messages;
use super::said::{Kind, Said, fill, fill_all};
use serde_json::Value;
use stillhouse_schemas::Span;

pub(super) fn read(span: &Span, attributes: Attributes<'_>, said: &mut Said) {
    let kind = attributes.text("langfuse.observation.type").map(|kind| kind.to_ascii_lowercase());
    fill(&mut said.kind, || match kind.as_deref() {
        Some("generation") => Some(Kind::Model),
        Some("tool") => Some(Kind::Tool),
        // A span by default: others may know better.
        Some("span") | None => None,
        Some(_) => Some(Kind::Other),
    });
    let input = attributes.value("langfuse.observation.input");
    let output = attributes.value("langfuse.observation.output");
    if said.kind == Some(Kind::Model) {
        fill_all(&mut said.input, || input.as_ref().map(|v| messages::of(v, "user")).unwrap_or_default());
        fill_all(&mut said.output, || output.as_ref().map(|v| messages::of(v, "assistant")).unwrap_or_default());
        fill_all(&mut said.tools, || {
            input.as_ref().and_then(|v| v.get("tools")).map(messages::tools).unwrap_or_default()
        });
    }
    if said.kind == Some(Kind::Tool) {
        fill(&mut said.tool.name, || Some(span.name.clone()));
        fill(&mut said.tool.arguments, || attributes.text("langfuse.observation.input"));
        fill(&mut said.tool.result, || attributes.text("langfuse.observation.output"));
    }
    fill(&mut said.input_text, || attributes.first(&["langfuse.observation.input", "langfuse.trace.input"]));
    fill(&mut said.output_text, || attributes.first(&["langfuse.observation.output", "langfuse.trace.output"]));
    fill(&mut said.model, || attributes.text("langfuse.observation.model.name"));
    fill(&mut said.session_id, || attributes.first(&["langfuse.session.id", "session.id"]));
    said.tags.extend(attributes.texts("langfuse.trace.tags"));
    said.tags.extend(attributes.text("langfuse.environment"));
    if let Some(usage) = attributes.value("langfuse.observation.usage_details") {
        let count = |names: &[&str]| names.iter().find_map(|name| whole(usage.get(*name)?));
        fill(&mut said.usage.input_tokens, || count(&["input", "prompt_tokens", "input_tokens"]));
        fill(&mut said.usage.output_tokens, || count(&["output", "completion_tokens", "output_tokens"]));
        fill(&mut said.usage.cached_tokens, || {
            count(&["input_cached_tokens", "cache_read_input_tokens"])
                .or_else(|| whole(usage.pointer("/prompt_tokens_details/cached_tokens")?))
        });
        fill(&mut said.usage.reasoning_tokens, || {
            count(&["output_reasoning_tokens"])
                .or_else(|| whole(usage.pointer("/completion_tokens_details/reasoning_tokens")?))
        });
    }
    if let Some(Value::Object(costs)) = attributes.value("langfuse.observation.cost_details") {
        fill(&mut said.cost_usd, || match costs.get("total") {
            Some(total) => amount(total),
            None => Some(costs.values().filter_map(amount).sum()),
        });
    }
    if attributes.text("langfuse.observation.level").as_deref() == Some("ERROR") {
        fill(&mut said.error, || {
            Some(attributes.text("langfuse.observation.status_message").unwrap_or_else(|| "error".to_owned()))
        });
    }
    for (name, _) in attributes.below("langfuse.trace.metadata") {
        let full = format!("langfuse.trace.metadata{name}");
        if let Some(value) = attributes.value(&full) {
            said.extra.entry(format!("metadata{name}")).or_insert_with(|| value.to_string());
        }
    }
    if let Some(name) = attributes.text("langfuse.trace.name") {
        said.extra.entry("langfuse.trace.name".to_owned()).or_insert_with(|| Value::String(name).to_string());
    }
}
