//! Which reply answers which call.
//!
//! By id where the reply has one: of several calls with one id (some providers count anew in every turn) the first that
//! waits. Without an id: the first call that waits, of the tool that the reply names, if it names one. A call may be
//! answered in parts; a reply to a call that nobody made before it is unmatched.

use serde_json::Value;
use std::collections::BTreeMap;
use stillhouse_schemas::{Message, ToolCall};

/// The calls of a conversation, in order, and the replies that answer none.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    pub(crate) calls: Vec<Call>,
    /// Places of the messages.
    pub(crate) unmatched: Vec<usize>,
}

/// A call and what came of it.
#[derive(Debug)]
pub(crate) struct Call {
    /// Place of its message.
    pub(crate) message: usize,
    /// Place within the message's calls.
    pub(crate) place: usize,
    /// Places of the messages that answer it.
    pub(crate) replies: Vec<usize>,
}

impl Call {
    pub(crate) fn call<'a>(&self, messages: &'a [Message]) -> &'a ToolCall {
        &messages[self.message].tool_calls[self.place]
    }

    /// What the tool said, if it said anything.
    pub(crate) fn result<'a>(&self, messages: &'a [Message]) -> Option<Vec<&'a str>> {
        let texts = self.replies.iter().map(|reply| messages[*reply].content.as_deref().unwrap_or_default());
        (!self.replies.is_empty()).then(|| texts.collect())
    }
}

/// Matches replies with calls. Roles must be the known ones.
pub(crate) fn pair(messages: &[Message]) -> Calls {
    let mut found = Calls::default();
    let mut by_id: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    // Calls before this one are all answered.
    let mut waiting_from = 0;
    for (i, message) in messages.iter().enumerate() {
        if message.role == "tool" {
            let calls = &mut found.calls;
            while calls.get(waiting_from).is_some_and(|call| !call.replies.is_empty()) {
                waiting_from += 1;
            }
            let waits = |c: &usize| calls[*c].replies.is_empty();
            let id = message.tool_call_id.as_deref().filter(|id| !id.is_empty());
            let name = message.name.as_deref().filter(|name| !name.is_empty());
            let answered = match id {
                Some(id) => by_id.get(id).and_then(|same| same.iter().copied().find(waits).or(same.last().copied())),
                None => {
                    let fits = |c: &usize| name.is_none_or(|name| calls[*c].call(messages).name == name);
                    (waiting_from..calls.len()).filter(waits).find(fits)
                }
            };
            match answered {
                Some(call) => calls[call].replies.push(i),
                None => found.unmatched.push(i),
            }
        }
        for (place, call) in message.tool_calls.iter().enumerate() {
            if let Some(id) = call.id.as_deref().filter(|id| !id.is_empty()) {
                by_id.entry(id).or_default().push(found.calls.len());
            }
            found.calls.push(Call { message: i, place, replies: Vec::new() });
        }
    }
    found
}

/// Gives each reply the id and the name of its call, where it came without.
pub(crate) fn name_replies(messages: &mut [Message], calls: &Calls) {
    for call in &calls.calls {
        for reply in &call.replies {
            let made = call.call(messages);
            let bare = |text: &Option<String>| text.as_deref().is_none_or(str::is_empty);
            let id = bare(&messages[*reply].tool_call_id).then(|| made.id.clone()).flatten();
            let name = bare(&messages[*reply].name).then(|| made.name.clone());
            let reply = &mut messages[*reply];
            reply.tool_call_id = id.or(reply.tool_call_id.take());
            reply.name = name.or(reply.name.take());
        }
    }
}

/// The first reply that answers no call: its place and the id that it names.
pub(crate) fn first_unmatched(messages: &[Message]) -> Option<(usize, Option<&str>)> {
    let first = *pair(messages).unmatched.first()?;
    Some((first, messages[first].tool_call_id.as_deref().filter(|id| !id.is_empty())))
}

/// The arguments of a call in canonical JSON, so that spelling makes no difference; nothing if they are not a JSON
/// object. No text and `null` are the empty object: so some providers call a tool that takes nothing.
pub(crate) fn canonical(arguments: &str) -> Option<String> {
    if arguments.trim().is_empty() {
        return Some("{}".to_owned());
    }
    match serde_json::from_str(arguments).ok()? {
        Value::Null => Some("{}".to_owned()),
        mut object @ Value::Object(_) => {
            object.sort_all_objects();
            Some(object.to_string())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(id: &str, name: &str) -> ToolCall {
        let id = (!id.is_empty()).then(|| id.to_owned());
        ToolCall { id, name: name.to_owned(), arguments: "{}".to_owned() }
    }

    fn asks(calls: &[(&str, &str)]) -> Message {
        let tool_calls = calls.iter().map(|(id, name)| call(id, name)).collect();
        Message { role: "assistant".to_owned(), tool_calls, ..Message::default() }
    }

    fn reply(id: &str, name: &str) -> Message {
        let text = |t: &str| (!t.is_empty()).then(|| t.to_owned());
        Message { role: "tool".to_owned(), tool_call_id: text(id), name: text(name), ..Message::default() }
    }

    /// Replies per call, and what is unmatched.
    fn paired(messages: &[Message]) -> (Vec<Vec<usize>>, Vec<usize>) {
        let found = pair(messages);
        (found.calls.into_iter().map(|c| c.replies).collect(), found.unmatched)
    }

    #[test]
    fn replies_find_their_calls() {
        let none = Vec::<usize>::new;
        for (what, messages, expected) in [
            (
                "by id, out of order",
                vec![asks(&[("a", "f"), ("b", "f")]), reply("b", ""), reply("a", "")],
                (vec![vec![2], vec![1]], none()),
            ),
            (
                "ids counted anew",
                vec![asks(&[("0", "f")]), reply("0", ""), asks(&[("0", "f")]), reply("0", "")],
                (vec![vec![1], vec![3]], none()),
            ),
            ("in parts", vec![asks(&[("a", "f")]), reply("a", ""), reply("a", "")], (vec![vec![1, 2]], none())),
            (
                "by name",
                vec![asks(&[("", "f"), ("", "g")]), reply("", "g"), reply("", "f")],
                (vec![vec![2], vec![1]], none()),
            ),
            (
                "by order",
                vec![asks(&[("", "f"), ("", "g")]), reply("", ""), reply("", "")],
                (vec![vec![1], vec![2]], none()),
            ),
            ("another id", vec![asks(&[("a", "f")]), reply("z", "f")], (vec![none()], vec![1])),
            ("before the call", vec![reply("a", "f"), asks(&[("a", "f")])], (vec![none()], vec![0])),
            ("nothing waits", vec![asks(&[("", "f")]), reply("", "f"), reply("", "f")], (vec![vec![1]], vec![2])),
        ] {
            assert_eq!(paired(&messages), expected, "{what}");
        }
    }

    #[test]
    fn a_reply_gets_what_its_call_has() {
        let mut messages = vec![asks(&[("a", "f"), ("b", "g")]), reply("b", "own"), reply("", "f")];
        let calls = pair(&messages);
        name_replies(&mut messages, &calls);
        assert_eq!((messages[1].tool_call_id.as_deref(), messages[1].name.as_deref()), (Some("b"), Some("own")));
        assert_eq!((messages[2].tool_call_id.as_deref(), messages[2].name.as_deref()), (Some("a"), Some("f")));
    }

    #[test]
    fn arguments_are_compared_by_meaning() {
        assert_eq!(
            canonical(r#"{"b": {"y":1,"x":2}, "a" : [ {"d":1,"c":2} ]}"#).unwrap(),
            r#"{"a":[{"c":2,"d":1}],"b":{"x":2,"y":1}}"#
        );
        for empty in ["", "  ", "{}", "null"] {
            assert_eq!(canonical(empty).as_deref(), Some("{}"), "{empty:?}");
        }
        for invalid in ["{", "[1]", "\"text\"", "{'a': 1}", "{\"a\":1}}", &"[".repeat(100_000)] {
            assert_eq!(canonical(invalid), None);
        }
    }
}
