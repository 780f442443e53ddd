//! The `messages` column.
//!
//! Every message has the same six members, absent ones `null` (TRL removes nulls before it renders; a reader that
//! infers a schema needs them): `content` (never null), `name` and `tool_call_id` (of a tool's answer),
//! `reasoning_content`, `role`, `tool_calls`.
//!
//! Rules, each for fidelity:
//! - `developer` is written `system`: chat templates know no other word for it. Any other unknown role withholds.
//! - Arguments of a call become the JSON object that the model wrote, digits kept; an empty text is the call without
//!   arguments, `{}`. Anything else that is no object withholds, because it cannot be rendered as it was.
//! - A tool's answer is joined to its call by id, else by order; its `name` is that of the call if it has none.
//! - Content in parts other than text withholds: its text alone is not what the model saw.
//! - Names of people who speak are left out.

use super::super::canonical::Json;
use super::super::reason::{Reason, Withheld};
use serde_json::value::RawValue;
use std::collections::VecDeque;
use stillhouse_schemas::{Message, ToolCall};

/// What the last message must be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// A text of the assistant.
    Text,
    /// A text or a call of the assistant.
    TextOrCall,
}

impl Ending {
    fn is(self, message: &Message) -> bool {
        message.role == "assistant"
            && (text(message).is_some() || (self == Self::TextOrCall && !message.tool_calls.is_empty()))
    }
}

fn text(message: &Message) -> Option<&str> {
    message.content.as_deref().filter(|text| !text.trim().is_empty())
}

/// The messages up to the last that `ending` allows.
pub(super) fn conversation(messages: &[Message], ending: Ending) -> Result<Vec<Json<'_>>, Withheld> {
    let Some(last) = messages.iter().rposition(|m| ending.is(m)) else {
        return Err(Withheld::new(Reason::NoAssistantAnswer, "no message of the assistant could be learned from"));
    };
    let messages = &messages[..=last];
    let first_answer = messages.iter().position(|m| m.role == "assistant").unwrap_or(last);
    if !messages[..first_answer].iter().any(|m| text(m).is_some()) {
        return Err(Withheld::new(Reason::NoPrompt, "nothing was said before the first answer"));
    }
    let mut open = VecDeque::new();
    messages.iter().enumerate().map(|(i, message)| turn(message, &mut open).map_err(|w| at(i, w))).collect()
}

fn at(index: usize, withheld: Withheld) -> Withheld {
    Withheld::new(withheld.reason, format!("message {index}: {}", withheld.detail))
}

/// One message; `open` are the calls that no tool has answered yet.
fn turn<'a>(message: &'a Message, open: &mut VecDeque<&'a ToolCall>) -> Result<Json<'a>, Withheld> {
    only_text(message)?;
    let role = match message.role.as_str() {
        "developer" | "system" => "system",
        known @ ("user" | "assistant" | "tool") => known,
        other => return Err(Withheld::new(Reason::UnknownRole, format!("role `{}`", other.escape_debug()))),
    };
    let (mut name, mut call_id, mut calls, mut reasoning) = (None, None, Json::Null, None);
    if role == "assistant" {
        reasoning = message.reasoning.as_deref().filter(|r| !r.is_empty());
        if !message.tool_calls.is_empty() {
            calls = Json::List(message.tool_calls.iter().map(call).collect::<Result<_, _>>()?);
            // Calls of an earlier turn that were never answered stay open: late answers are real.
            open.extend(&message.tool_calls);
        }
    } else if !message.tool_calls.is_empty() {
        return Err(Withheld::new(Reason::UnsupportedContent, format!("a {role} message calls tools")));
    }
    if role == "tool" {
        let answered = answered(message, open)?;
        name = message.name.as_deref().or(Some(answered.name.as_str()));
        call_id = message.tool_call_id.as_deref().or(answered.id.as_deref());
    }
    Ok(Json::map([
        ("role", Json::text(role)),
        ("content", Json::text(message.content.as_deref().unwrap_or(""))),
        ("name", Json::optional(name)),
        ("tool_call_id", Json::optional(call_id)),
        ("tool_calls", calls),
        ("reasoning_content", Json::optional(reasoning)),
    ]))
}

fn answered<'a>(message: &Message, open: &mut VecDeque<&'a ToolCall>) -> Result<&'a ToolCall, Withheld> {
    let id = message.tool_call_id.as_deref();
    let found = match id {
        // Calls without ids may be answered by messages with one (an importer made it up): order decides then.
        Some(_) => open.iter().position(|c| c.id.as_deref() == id).or_else(|| open.iter().position(|c| c.id.is_none())),
        None => open.iter().position(|c| message.name.as_ref().is_none_or(|name| *name == c.name)),
    };
    found.and_then(|i| open.remove(i)).ok_or_else(|| {
        Withheld::new(
            Reason::ToolResultWithoutCall,
            format!("a tool answers call {:?}, which is not open", id.unwrap_or("?")),
        )
    })
}

fn call(call: &ToolCall) -> Result<Json<'_>, Withheld> {
    let invalid = |why: &str| {
        Withheld::new(Reason::InvalidToolArguments, format!("arguments of `{}`: {why}", call.name.escape_debug()))
    };
    let arguments = match call.arguments.trim() {
        "" => Json::map::<&str>([]),
        text => match Json::recorded(text) {
            Ok(object @ Json::Map(_)) => object,
            Ok(_) => return Err(invalid("not a JSON object")),
            Err(error) => return Err(invalid(&error.to_string())),
        },
    };
    Ok(Json::map([
        ("id", Json::optional(call.id.as_deref())),
        ("type", Json::text("function")),
        ("function", Json::map([("name", Json::text(call.name.as_str())), ("arguments", arguments)])),
    ]))
}

fn only_text(message: &Message) -> Result<(), Withheld> {
    let Some(parts) = message.parts.as_deref() else { return Ok(()) };
    #[derive(serde::Deserialize)]
    struct Part {
        #[serde(rename = "type")]
        kind: String,
    }
    let unsupported = |what: String| Withheld::new(Reason::UnsupportedContent, what);
    let parts: Vec<&RawValue> =
        serde_json::from_str(parts).map_err(|e| unsupported(format!("content in parts: {e}")))?;
    for part in parts {
        // A part may be a bare string in the wild.
        if part.get().starts_with('"') {
            continue;
        }
        let Part { kind } =
            serde_json::from_str(part.get()).map_err(|e| unsupported(format!("a part of the content: {e}")))?;
        if !matches!(kind.as_str(), "text" | "input_text" | "output_text" | "refusal") {
            return Err(unsupported(format!("content of type `{}`", kind.escape_debug())));
        }
    }
    Ok(())
}
