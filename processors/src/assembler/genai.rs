//! OpenTelemetry's GenAI conventions, 1.37 to 1.41 and the names that came after; also names of before that mean the same.

use super::attributes::{Attributes, text};
use super::messages;
use super::said::{Kind, Said, fill, fill_all};
use serde_json::Value;
use stillhouse_schemas::{Passage, Span};

pub(super) fn read(_: &Span, attributes: Attributes<'_>, said: &mut Said) {
    let operation = attributes.text("gen_ai.operation.name");
    let speaks = attributes.any("gen_ai.input.messages")
        || attributes.any("gen_ai.output.messages")
        || attributes.any("gen_ai.prompt")
        || attributes.any("gen_ai.completion");
    fill(&mut said.kind, || match operation.as_deref() {
        Some("chat" | "text_completion" | "generate_content" | "completion") => Some(Kind::Model),
        Some("execute_tool") => Some(Kind::Tool),
        Some(_) => Some(Kind::Other),
        None if attributes.any("gen_ai.tool.name") => Some(Kind::Tool),
        None => (speaks || attributes.any("gen_ai.request.model") || attributes.any("gen_ai.response.model"))
            .then_some(Kind::Model),
    });
    fill(&mut said.model, || attributes.first(&["gen_ai.response.model", "gen_ai.request.model"]));
    fill(&mut said.provider, || attributes.first(&["gen_ai.provider.name", "gen_ai.system"]));
    fill(&mut said.session_id, || attributes.text("gen_ai.conversation.id"));
    fill(&mut said.role, || attributes.text("gen_ai.agent.name"));
    fill(&mut said.finish_reason, || attributes.texts("gen_ai.response.finish_reasons").pop());
    let usage = &mut said.usage;
    fill(&mut usage.input_tokens, || attributes.count(&["gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"]));
    fill(&mut usage.output_tokens, || {
        attributes.count(&["gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"])
    });
    fill(&mut usage.cached_tokens, || {
        attributes.count(&["gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cached_tokens"])
    });
    fill(&mut usage.reasoning_tokens, || {
        attributes.count(&["gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens"])
    });
    fill(&mut said.cost_usd, || {
        attributes.number("gen_ai.usage.cost").or_else(|| attributes.number("gen_ai.cost.total"))
    });
    fill_all(&mut said.input, || {
        let said = attributes.value("gen_ai.input.messages");
        let mut input = said.map(|value| messages::of(&value, "user")).unwrap_or_default();
        let system = attributes.value("gen_ai.system_instructions");
        if let Some(system) = system.and_then(|value| messages::system(&value)) {
            input.insert(0, system);
        }
        input
    });
    if let Some(output) = attributes.value("gen_ai.output.messages") {
        fill(&mut said.finish_reason, || Some(text(output.as_array()?.last()?.get("finish_reason")?.clone())));
        fill_all(&mut said.output, || messages::of(&output, "assistant"));
    }
    fill_all(&mut said.tools, || {
        attributes.value("gen_ai.tool.definitions").map(|v| messages::tools(&v)).unwrap_or_default()
    });
    let tool = &mut said.tool;
    fill(&mut tool.name, || attributes.text("gen_ai.tool.name"));
    fill(&mut tool.id, || attributes.text("gen_ai.tool.call.id"));
    fill(&mut tool.arguments, || attributes.text("gen_ai.tool.call.arguments"));
    fill(&mut tool.result, || attributes.text("gen_ai.tool.call.result"));
    fill_all(&mut said.passages, || passages(attributes.value("gen_ai.retrieval.documents")));
    fill(&mut said.error, || attributes.text("error.type"));
}

fn passages(documents: Option<Value>) -> Vec<Passage> {
    let Some(Value::Array(documents)) = documents else { return Vec::new() };
    documents.iter().filter_map(messages::passage).collect()
}
