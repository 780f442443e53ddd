//! OpenInference: lists flattened into numbered attributes.

use super::attributes::{Attributes, text, unfold};
use super::messages;
use super::said::{Kind, Said, fill, fill_all};
use serde_json::{Map, Value};
use stillhouse_schemas::{Message, Span, Tool};

pub(super) fn read(_: &Span, attributes: Attributes<'_>, said: &mut Said) {
    let kind = attributes.text("openinference.span.kind").map(|kind| kind.to_ascii_uppercase());
    fill(&mut said.kind, || match kind.as_deref() {
        Some("LLM") => Some(Kind::Model),
        Some("TOOL") => Some(Kind::Tool),
        Some(_) => Some(Kind::Other),
        None => attributes.any("llm.input_messages.").then_some(Kind::Model),
    });
    fill_all(&mut said.input, || numbered(attributes, "llm.input_messages", "user"));
    fill_all(&mut said.output, || numbered(attributes, "llm.output_messages", "assistant"));
    let prompts = || attributes.numbered("llm.prompts").iter().map(prompt).collect::<Vec<_>>();
    fill_all(&mut said.input, || prompts().iter().flat_map(|value| messages::of(value, "user")).collect());
    fill(&mut said.input_text, || attributes.text("input.value"));
    fill(&mut said.output_text, || attributes.text("output.value"));
    fill_all(&mut said.tools, || {
        let tools = attributes.numbered("llm.tools");
        let schema = |tool: &Value| tool.pointer("/tool/json_schema").cloned().map(unfold);
        tools.iter().filter_map(schema).flat_map(|schema| messages::tools(&schema)).collect::<Vec<Tool>>()
    });
    fill(&mut said.model, || {
        attributes.first(&[
            "llm.response.model_name",
            "llm.model_name",
            "llm.request.model_name",
            "embedding.model_name",
        ])
    });
    fill(&mut said.provider, || attributes.first(&["llm.provider", "llm.system"]));
    fill(&mut said.finish_reason, || attributes.text("llm.finish_reason"));
    let usage = &mut said.usage;
    fill(&mut usage.input_tokens, || attributes.count(&["llm.token_count.prompt"]));
    fill(&mut usage.output_tokens, || attributes.count(&["llm.token_count.completion"]));
    fill(&mut usage.cached_tokens, || attributes.count(&["llm.token_count.prompt_details.cache_read"]));
    fill(&mut usage.reasoning_tokens, || attributes.count(&["llm.token_count.completion_details.reasoning"]));
    fill(&mut said.cost_usd, || attributes.number("llm.cost.total"));
    fill(&mut said.session_id, || attributes.text("session.id"));
    fill(&mut said.role, || attributes.text("agent.name"));
    fill_all(&mut said.tags, || attributes.texts("tag.tags"));
    fill_all(&mut said.passages, || {
        let documents = attributes.numbered("retrieval.documents");
        documents.iter().filter_map(|document| messages::passage(document.get("document")?)).collect()
    });
    if said.kind == Some(Kind::Tool) {
        let tool = &mut said.tool;
        fill(&mut tool.name, || attributes.text("tool.name"));
        fill(&mut tool.id, || attributes.first(&["tool_call.id", "tool.id"]));
        fill(&mut tool.arguments, || {
            attributes.first(&["tool_call.function.arguments", "tool.parameters", "input.value"])
        });
        fill(&mut tool.result, || attributes.text("output.value"));
    }
    if let Some(metadata) = attributes.value("metadata") {
        said.extra.entry("metadata".to_owned()).or_insert_with(|| metadata.to_string());
    }
}

fn numbered(attributes: Attributes<'_>, prefix: &str, role: &str) -> Vec<Message> {
    let plain = attributes.numbered(prefix).into_iter().map(|value| message(&value));
    plain.flat_map(|value| messages::of(&value, role)).collect()
}

fn prompt(value: &Value) -> Value {
    value.pointer("/prompt/text").cloned().unwrap_or_default()
}

/// The message of `{message: {role, content | contents, tool_calls: [{tool_call: {id, function}}]}}`, as others write it.
fn message(value: &Value) -> Value {
    let Some(inner) = value.get("message").and_then(Value::as_object) else { return value.clone() };
    let mut message = Map::new();
    for name in ["role", "content", "name", "tool_call_id"] {
        if let Some(said) = inner.get(name) {
            message.insert(name.to_owned(), said.clone());
        }
    }
    let each = |name: &str, inside: &str| -> Vec<Value> {
        let items = inner.get(name).and_then(Value::as_array).into_iter().flatten();
        items.map(|item| item.get(inside).unwrap_or(item).clone()).collect()
    };
    let contents = each("contents", "message_content");
    if !contents.is_empty() && !message.contains_key("content") {
        message.insert("content".to_owned(), Value::Array(contents));
    }
    let calls = each("tool_calls", "tool_call");
    if !calls.is_empty() {
        message.insert("tool_calls".to_owned(), Value::Array(calls));
    }
    if let Some(name) = inner.get("function_call_name") {
        let arguments = inner.get("function_call_arguments_json").cloned().map(text).unwrap_or_default();
        message.insert("function_call".to_owned(), serde_json::json!({"name": name, "arguments": arguments}));
    }
    Value::Object(message)
}
