//! What a model was shown beside the conversation: passages, a schema, what was to be reviewed, the context of a job.
//!
//! A run records it in fields of its own, and may or may not hold it in a message too. A row without it would teach to
//! answer from nothing. So what stands in no message before the answer is put in front, in one form, as a system message:
//! after the words of the one that is there, or as one of its own. What stands there already is not repeated.

use super::super::canonical::Json;
use stillhouse_schemas::{Evidence, Message};

/// One thing that was shown.
pub(super) struct Shown<'a> {
    /// What it is called, where it is not in a message.
    pub(super) heading: &'static str,
    /// Each part with its label, if it has one.
    pub(super) parts: Vec<(Option<String>, &'a str)>,
}

impl<'a> Shown<'a> {
    /// One thing without parts; nothing if there is none.
    pub(super) fn one(heading: &'static str, text: Option<&'a str>) -> Option<Self> {
        let text = text.filter(|text| !text.trim().is_empty())?;
        Some(Self { heading, parts: vec![(None, text)] })
    }
}

/// Puts in front of `messages`, which were made of the evidence, what of `shown` is not there.
pub(super) fn show<'a>(evidence: &Evidence, messages: Vec<Json<'a>>, shown: Option<Shown<'_>>) -> Vec<Json<'a>> {
    let Some(shown) = shown else { return messages };
    let prompt = || evidence.messages.iter().filter(|message| message.role != "assistant").filter_map(text);
    let said =
        |part: &str| prompt().any(|text| spellings(part).iter().any(|spelling| text.contains(spelling.as_str())));
    let missing: Vec<_> = shown.parts.iter().filter(|(_, part)| !said(part)).collect();
    if missing.is_empty() {
        return messages;
    }
    let mut block = format!("{}:", shown.heading);
    for (label, part) in missing {
        block.push_str("\n\n");
        if let Some(label) = label {
            block.push_str(&format!("[{label}] "));
        }
        block.push_str(part.trim());
    }
    in_front(messages, block)
}

fn text(message: &Message) -> Option<&str> {
    message.content.as_deref()
}

/// A text as it may stand in a message: as it is, and, if it is JSON, without blanks and indented.
fn spellings(part: &str) -> Vec<String> {
    let mut spellings = vec![part.trim().to_owned()];
    if let Ok(value @ (serde_json::Value::Object(_) | serde_json::Value::Array(_))) = serde_json::from_str(part) {
        spellings.push(value.to_string());
        spellings.extend(serde_json::to_string_pretty(&value));
    }
    spellings
}

fn in_front<'a>(mut messages: Vec<Json<'a>>, block: String) -> Vec<Json<'a>> {
    if let Some(Json::Map(members)) = messages.first_mut()
        && members.get("role") == Some(&Json::text("system"))
        && let Some(Json::Text(content)) = members.get_mut("content")
    {
        let words = content.trim_end();
        *content = if words.is_empty() { block } else { format!("{words}\n\n{block}") }.into();
        return messages;
    }
    let null = ["name", "tool_call_id", "tool_calls", "reasoning_content"].map(|name| (name, Json::Null));
    let told = [("role", Json::text("system")), ("content", Json::text(block))];
    messages.insert(0, Json::map(told.into_iter().chain(null)));
    messages
}
