//! Whether two turns of a model are the same, and in what they first differ.

use crate::exporter::canonical::Json;
use std::borrow::Cow;
use stillhouse_schemas::{Divergence, Message, ToolCall};

/// What counts as the same. Calls of tools are always compared: names exactly, arguments by meaning (canonical JSON,
/// numbers as written).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Comparison {
    /// Texts byte for byte.
    #[default]
    Exact,
    /// Texts without regard to case and to how much blank there is between words.
    Normalised,
    /// Texts not at all where a turn calls tools; elsewhere as normalised.
    Calls,
}

impl Comparison {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Exact, Self::Normalised, Self::Calls];

    /// As on the command line and in hashes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Normalised => "normalised",
            Self::Calls => "calls",
        }
    }

    /// The first thing that differs at step `step`.
    pub fn divergence(self, step: i64, recorded: &Message, replayed: &Message) -> Option<Divergence> {
        let differ = |what: &str, recorded: Option<String>, replayed: Option<String>| {
            Some(Divergence { step, what: what.to_owned(), recorded, replayed })
        };
        let (before, after) = (&recorded.tool_calls, &replayed.tool_calls);
        if before.is_empty() != after.is_empty() {
            return differ("finish", Some(shown(recorded)), Some(shown(replayed)));
        }
        for i in 0..before.len().max(after.len()) {
            match (before.get(i), after.get(i)) {
                (Some(a), Some(b)) if a.name != b.name => {
                    return differ("tool_name", Some(a.name.clone()), Some(b.name.clone()));
                }
                (Some(a), Some(b)) => {
                    if spelled(a) != spelled(b) {
                        return differ("tool_arguments", Some(a.arguments.clone()), Some(b.arguments.clone()));
                    }
                }
                (a, b) => return differ("tool_name", a.map(|c| c.name.clone()), b.map(|c| c.name.clone())),
            }
        }
        let text = |message: &Message| message.content.clone().unwrap_or_default();
        let (a, b) = (text(recorded), text(replayed));
        let same = match self {
            Self::Exact => a == b,
            Self::Calls if !before.is_empty() => true,
            Self::Normalised | Self::Calls => normal(&a) == normal(&b),
        };
        if same { None } else { differ("answer", Some(a), Some(b)) }
    }
}

/// Arguments of a call in canonical JSON; nothing if they are no JSON object. No text and `null` are the call without
/// arguments, as some providers write it.
pub fn arguments(text: &str) -> Option<Vec<u8>> {
    match text.trim() {
        "" | "null" => Some(b"{}".to_vec()),
        text => match Json::recorded(text) {
            Ok(object @ Json::Map(_)) => object.to_bytes().ok(),
            _ => None,
        },
    }
}

/// Arguments by what they mean, or as written where they mean nothing.
fn spelled(call: &ToolCall) -> Cow<'_, [u8]> {
    arguments(&call.arguments).map_or(Cow::Borrowed(call.arguments.as_bytes()), Cow::Owned)
}

fn normal(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// A turn in a line: its calls, or else its text.
pub(super) fn shown(message: &Message) -> String {
    if message.tool_calls.is_empty() {
        return message.content.clone().unwrap_or_default();
    }
    let call = |call: &ToolCall| format!("{}({})", call.name, call.arguments);
    message.tool_calls.iter().map(call).collect::<Vec<_>>().join(", ")
}
