//! Messages, tools and passages, in the shapes that libraries write them in.
//!
//! Taken: a text; a message or a list of them as OpenAI, Anthropic, LangChain or the GenAI conventions have them; items of
//! OpenAI's responses API; a request or an answer of a chat API that holds them. Nothing is an error: what is no message
//! becomes the text of one, as JSON.

use super::attributes::{text, unfold};
use serde_json::{Map, Value};
use stillhouse_schemas::{Message, Passage, Tool, ToolCall};

/// The messages of a value; those that do not say their role have `role`.
pub(super) fn of(value: &Value, role: &str) -> Vec<Message> {
    let mut found = Vec::new();
    take(value, role, &mut found, 0);
    found
}

const MAX_DEPTH: usize = 4;

fn take(value: &Value, role: &str, found: &mut Vec<Message>, depth: usize) {
    match value {
        Value::Null => {}
        Value::Array(items) if depth < MAX_DEPTH && items.iter().any(Value::is_object) => {
            items.iter().for_each(|item| take(item, role, found, depth + 1));
        }
        Value::Object(members) if depth < MAX_DEPTH => {
            let inner = ["messages", "choices", "message"].iter().find_map(|name| members.get(*name));
            match inner {
                Some(inner) if !members.contains_key("role") => take(inner, role, found, depth + 1),
                _ => message(members, role, found),
            }
        }
        other => found.push(plain(role, text(other.clone()))),
    }
}

fn plain(role: &str, content: String) -> Message {
    Message { role: role.to_owned(), content: Some(content), ..Message::default() }
}

/// What is system's, of instructions: parts, messages or a text.
pub(super) fn system(value: &Value) -> Option<Message> {
    let texts: Vec<String> = match value {
        Value::Array(parts) => parts.iter().filter_map(part_text).collect(),
        Value::String(text) => vec![text.clone()],
        other => part_text(other).into_iter().collect(),
    };
    (!texts.is_empty()).then(|| plain("system", texts.join("\n")))
}

fn role_of(said: &str, otherwise: &str) -> String {
    let known = crate::materializer::ROLES.iter().find(|(word, _)| word.eq_ignore_ascii_case(said.trim()));
    match known {
        Some((_, "system")) if said.eq_ignore_ascii_case("developer") => "developer".to_owned(),
        Some((_, role)) => (*role).to_owned(),
        None => otherwise.to_owned(),
    }
}

fn string(members: &Map<String, Value>, name: &str) -> Option<String> {
    members.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

fn message(members: &Map<String, Value>, otherwise: &str, found: &mut Vec<Message>) {
    match members.get("type").and_then(Value::as_str) {
        Some("function_call") => {
            let call = call(members);
            return found.push(Message {
                role: "assistant".to_owned(),
                tool_calls: call.into_iter().collect(),
                ..Message::default()
            });
        }
        Some("function_call_output") => {
            let content = members.get("output").cloned().map(text);
            return found.push(Message {
                role: "tool".to_owned(),
                content,
                tool_call_id: string(members, "call_id"),
                ..Message::default()
            });
        }
        Some("reasoning") if !members.contains_key("role") => return,
        _ => {}
    }
    let said = string(members, "role").or_else(|| string(members, "type"));
    let mut message = Message {
        role: said.map_or_else(|| otherwise.to_owned(), |said| role_of(&said, otherwise)),
        name: string(members, "name"),
        tool_call_id: string(members, "tool_call_id").or_else(|| {
            let is_reply = members.get("role").is_some_and(|role| role == "tool" || role == "function");
            is_reply.then(|| string(members, "id")).flatten()
        }),
        reasoning: string(members, "reasoning_content").or_else(|| string(members, "reasoning")),
        ..Message::default()
    };
    let calls = members.get("tool_calls").cloned().map(unfold);
    message.tool_calls = calls
        .as_ref()
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_object)
        .filter_map(call)
        .collect();
    if let Some(Value::Object(old)) = members.get("function_call").cloned().map(unfold) {
        message.tool_calls.extend(call(&old));
    }
    let mut replies = Vec::new();
    let known = ["role", "content", "parts", "tool_calls", "function_call", "tool_call_id", "refusal", "text"];
    match members.get("parts").or_else(|| members.get("content")).cloned() {
        Some(Value::Array(parts)) => spread(&mut message, &mut replies, parts),
        Some(Value::Null) => {}
        Some(Value::String(content)) => message.content = Some(content),
        Some(other) => message.content = Some(other.to_string()),
        None => message.content = string(members, "text"),
    }
    if message.content.is_none() {
        message.content = string(members, "refusal");
    }
    let empty = message.content.is_none() && message.parts.is_none() && message.tool_calls.is_empty();
    if !members.keys().any(|name| known.contains(&name.as_str())) {
        // An object of the application's: what it holds is what was said.
        message.content = Some(Value::Object(members.clone()).to_string());
        message.name = None;
    } else if empty && !replies.is_empty() {
        return found.extend(replies);
    }
    found.push(message);
    found.extend(replies);
}

/// Parts of a message: texts are its content, calls its calls, results messages of their own.
fn spread(message: &mut Message, replies: &mut Vec<Message>, parts: Vec<Value>) {
    let mut texts = Vec::new();
    let mut others = false;
    for part in &parts {
        if let Some(text) = part_text(part) {
            texts.push(text);
            continue;
        }
        let Some(members) = part.as_object() else { continue };
        let result = || ["response", "result", "content", "output"].iter().find_map(|name| members.get(*name));
        match members.get("type").and_then(Value::as_str).unwrap_or_default() {
            "tool_call" | "tool_use" | "toolCall" => message.tool_calls.extend(call(members)),
            "tool_call_response" | "tool_result" => replies.push(Message {
                role: "tool".to_owned(),
                content: result().map(result_text),
                name: string(members, "name"),
                tool_call_id: string(members, "id").or_else(|| string(members, "tool_use_id")),
                ..Message::default()
            }),
            "reasoning" | "thinking" => {
                message.reasoning = string(members, "content").or_else(|| string(members, "thinking"));
            }
            _ => others = true,
        }
    }
    if !texts.is_empty() {
        message.content = Some(texts.join("\n"));
    }
    if others {
        message.parts = Some(Value::Array(parts).to_string());
    }
}

fn part_text(part: &Value) -> Option<String> {
    match part {
        Value::String(text) => Some(text.clone()),
        Value::Object(members) => match members.get("type").and_then(Value::as_str) {
            None | Some("text" | "input_text" | "output_text") => {
                string(members, "text").or_else(|| string(members, "content"))
            }
            Some(_) => None,
        },
        _ => None,
    }
}

fn result_text(value: &Value) -> String {
    match value {
        Value::Array(parts) if parts.iter().all(|part| part_text(part).is_some()) && !parts.is_empty() => {
            parts.iter().filter_map(part_text).collect::<Vec<_>>().join("\n")
        }
        other => text(other.clone()),
    }
}

/// A call: OpenAI's nested one, a flat one, a part.
fn call(members: &Map<String, Value>) -> Option<ToolCall> {
    let inner = members.get("function").and_then(Value::as_object).unwrap_or(members);
    let arguments = ["arguments", "args", "input"].iter().find_map(|name| inner.get(*name)).filter(|v| !v.is_null());
    Some(ToolCall {
        id: string(members, "call_id").or_else(|| string(members, "id")),
        name: string(inner, "name")?,
        arguments: arguments.cloned().map_or_else(|| "{}".to_owned(), text),
    })
}

/// Tools: a list of them or one, nested or flat.
pub(super) fn tools(value: &Value) -> Vec<Tool> {
    let items = match value {
        Value::Array(items) => items.as_slice(),
        one => std::slice::from_ref(one),
    };
    let tool = |item: &Value| {
        let item = unfold(item.clone());
        let members = item.as_object()?;
        let inner = members.get("function").and_then(Value::as_object).unwrap_or(members);
        let parameters = ["parameters", "input_schema"].iter().find_map(|name| inner.get(*name));
        let parameters = parameters.cloned().map(unfold).filter(|v| !v.is_null()).map(|v| v.to_string());
        Some(Tool { name: string(inner, "name")?, description: string(inner, "description"), parameters })
    };
    items.iter().filter_map(tool).collect()
}

/// A document that was found.
pub(super) fn passage(document: &Value) -> Option<Passage> {
    let members = document.as_object()?;
    let content = ["content", "text", "page_content"].iter().find_map(|name| string(members, name))?;
    let metadata = members.get("metadata").cloned().map(unfold);
    let source = metadata.as_ref().and_then(Value::as_object).and_then(|m| string(m, "source"));
    let id = members.get("id").filter(|id| !id.is_null()).cloned().map(text);
    Some(Passage { id, text: content, source })
}
