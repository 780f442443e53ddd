//! Conversations: how the messages of a run are found in a record.
//!
//! `messages` is one piece or a list of pieces, which follow each other in the run:
//!
//! | piece | gives |
//! |---|---|
//! | `"{path}"`, `{ from = R, … }` | messages as the source has them |
//! | `{ role = "user", content = R }` | one message (also `name`, `reasoning`, `tool_call_id`: rules) |
//! | `{ text = R, turns = { "Human:" = "user", … } }` | a conversation written as one text (see [`super::turns`]) |
//!
//! What `from` gives may be a list of messages, one message, an object with `messages` or `choices`, or text with the
//! JSON of any of these. Whatever else it gives becomes one message of the role `as`, if that is declared. Other names
//! than OpenAI's are declared by `role_key`, `content_key` (each one name or several) and `roles`; the role `tool_call` means that the content is the
//! JSON of a call: `{"name", "arguments"}`.
//!
//! A piece that gives nothing refuses the record, unless `optional = true`.

use super::document::{MappingError, Node, Table};
use super::path::{Path, Scope};
use super::rule::Rule;
use super::template::{clip, spell};
use super::turns::Turns;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const ROLES: [&str; 5] = ["system", "developer", "user", "assistant", "tool"];
/// Role of a turn whose content is the JSON of a call.
const TOOL_CALL: &str = "tool_call";

/// A part of a conversation.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    what: What,
    optional: bool,
}

#[derive(Clone, Debug)]
enum What {
    One { role: Rule, fields: Vec<(&'static str, Rule)> },
    Many { from: Rule, keys: Keys },
    Text { text: Rule, turns: Turns },
}

#[derive(Clone, Debug)]
struct Keys {
    /// Fields that name the speaker; the first that is there counts.
    role: Vec<String>,
    /// Fields that hold what was said; likewise.
    content: Vec<String>,
    roles: BTreeMap<String, String>,
    otherwise: Option<String>,
}

impl Piece {
    /// Compiles `messages`.
    pub(super) fn compile_all(node: Node<'_>) -> Result<Vec<Self>, MappingError> {
        match node.as_list() {
            Some(list) if list.is_empty() => Err(node.error("`messages` is empty; a run needs a conversation")),
            Some(list) => list.into_iter().map(Self::compile).collect(),
            None => Ok(vec![Self::compile(node)?]),
        }
    }

    fn compile(node: Node<'_>) -> Result<Self, MappingError> {
        if node.as_str().is_some() {
            let what = What::Many { from: Rule::compile(node, false)?, keys: Keys::default() };
            return Ok(Self { what, optional: false });
        }
        let table = node.table()?;
        let rule = |key: &str| table.get(key).map(|n| Rule::compile(n, false)).transpose();
        let optional = table.get("optional").map_or(Ok(false), Node::bool)?;
        let what = match (rule("from")?, rule("text")?, rule("role")?) {
            (Some(from), None, None) => What::Many { from, keys: Keys::compile(&table)? },
            (None, Some(text), None) => {
                What::Text { text, turns: Turns::compile(&table, &|role, node| legal_role(role, node))? }
            }
            (None, None, Some(role)) => {
                let content = rule("content")?.ok_or_else(|| table.error("a message needs `content`"))?;
                let mut fields = vec![("content", content)];
                for key in ["name", "reasoning", "tool_call_id"] {
                    fields.extend(rule(key)?.map(|r| (key, r)));
                }
                What::One { role, fields }
            }
            _ => {
                table.finish()?;
                return Err(
                    table.error("a piece of a conversation has one of `from`, `text`, or `role` with `content`")
                );
            }
        };
        table.finish()?;
        Ok(Self { what, optional })
    }

    /// Calls `visit` with every path of the piece.
    pub(super) fn paths(&self, visit: &mut dyn FnMut(&Path)) {
        match &self.what {
            What::One { role, fields } => {
                role.paths(visit);
                fields.iter().for_each(|(_, rule)| rule.paths(visit));
            }
            What::Many { from, .. } => from.paths(visit),
            What::Text { text, .. } => text.paths(visit),
        }
    }

    /// Adds what it gives to the conversation; the error is a sentence about the record.
    pub(super) fn give(&self, scope: Scope<'_>, out: &mut Vec<Value>) -> Result<(), String> {
        let rule = match &self.what {
            What::One { fields, .. } => &fields[0].1,
            What::Many { from, .. } => from,
            What::Text { text, .. } => text,
        };
        let found = rule.give(scope)?;
        let blank = found.as_deref().and_then(Value::as_str).is_some_and(str::is_empty);
        let Some(value) = found.filter(|_| !(blank && self.optional)) else {
            return if self.optional {
                Ok(())
            } else {
                Err(format!("`{}` is missing, and the conversation needs it", rule.describe()))
            };
        };
        match &self.what {
            What::One { role, fields } => {
                let role = role
                    .give(scope)?
                    .ok_or_else(|| format!("`{}` is missing, and a message needs a role", role.describe()))?;
                let mut message = Map::new();
                message.insert("role".into(), spell(&role).into());
                message.insert("content".into(), text_or_parts(&value));
                for (key, rule) in &fields[1..] {
                    if let Some(value) = rule.give(scope)? {
                        message.insert((*key).into(), spell(&value).into());
                    }
                }
                out.push(Value::Object(message));
                Ok(())
            }
            What::Many { from, keys } => keys.take(&value, out, 0).map_err(|e| format!("`{}`: {e}", from.describe())),
            What::Text { text, turns } => {
                let Value::String(whole) = value.as_ref() else {
                    return Err(format!("`{}` is not text", text.describe()));
                };
                let turns = turns.split(whole).map_err(|e| format!("`{}`: {e}", text.describe()))?;
                out.extend(turns.into_iter().map(|(role, content)| json!({"role": role, "content": content})));
                Ok(())
            }
        }
    }
}

impl Default for Keys {
    fn default() -> Self {
        Self { role: vec!["role".into()], content: vec!["content".into()], roles: BTreeMap::new(), otherwise: None }
    }
}

impl Keys {
    fn compile(table: &Table<'_>) -> Result<Self, MappingError> {
        let mut keys = Self::default();
        for (name, key) in [("role_key", &mut keys.role), ("content_key", &mut keys.content)] {
            if let Some(node) = table.get(name) {
                *key = match node.as_list() {
                    Some(list) => list.into_iter().map(|n| n.str().map(str::to_owned)).collect::<Result<_, _>>()?,
                    None => vec![node.str()?.to_owned()],
                };
            }
        }
        if let Some(node) = table.get("roles") {
            for (from, to) in node.table()?.iter() {
                let role = to.str()?;
                if role != TOOL_CALL {
                    legal_role(role, to)?;
                }
                keys.roles.insert(from.to_lowercase(), role.to_owned());
            }
        }
        if let Some(node) = table.get("as") {
            keys.otherwise = Some(legal_role(node.str()?, node)?);
        }
        Ok(keys)
    }

    fn is_message(&self, value: &Value) -> bool {
        self.role.iter().any(|key| value.get(key).is_some_and(Value::is_string))
    }

    fn take(&self, value: &Value, out: &mut Vec<Value>, depth: u32) -> Result<(), String> {
        match value {
            // Nobody asks in numbers.
            Value::Bool(_) | Value::Number(_) if self.otherwise.as_deref() == Some("user") => Err(self.unlike(value)),
            Value::Array(list)
                if self.otherwise.as_deref() == Some("user")
                    && !list.iter().any(|v| v.is_object() || v.is_string()) =>
            {
                Err("expected a list of messages, found none in it".to_owned())
            }
            Value::Array(list) if self.otherwise.is_none() || list.iter().any(|m| self.is_message(m)) => {
                for (index, message) in list.iter().enumerate() {
                    self.message(message, out).map_err(|e| format!("message {index}: {e}"))?;
                }
                Ok(())
            }
            message @ Value::Object(_) if self.is_message(message) => self.message(message, out),
            Value::Object(map) if depth < 2 => {
                if let Some(messages @ Value::Array(_)) = map.get("messages") {
                    return self.take(messages, out, depth + 1);
                }
                if let Some(Value::Array(choices)) = map.get("choices")
                    && let Some(message) = choices.first().and_then(|c| c.get("message"))
                {
                    return self.take(message, out, depth + 1);
                }
                self.other(value, out)
            }
            Value::String(text) if depth < 2 && text.trim_start().starts_with(['{', '[']) => {
                match stillhouse_schemas::json::parse_strict(text.as_bytes()) {
                    Ok(parsed) if self.holds_messages(&parsed) => self.take(&parsed, out, depth + 1),
                    _ => self.other(value, out),
                }
            }
            _ => self.other(value, out),
        }
    }

    fn holds_messages(&self, value: &Value) -> bool {
        match value {
            Value::Array(list) => list.iter().any(|m| self.is_message(m)),
            Value::Object(map) => {
                self.is_message(value)
                    || map.get("messages").is_some_and(Value::is_array)
                    || map.get("choices").is_some_and(Value::is_array)
            }
            _ => false,
        }
    }

    fn other(&self, value: &Value, out: &mut Vec<Value>) -> Result<(), String> {
        let role = self.otherwise.as_ref().ok_or_else(|| self.unlike(value))?;
        out.push(json!({"role": role, "content": spell(value)}));
        Ok(())
    }

    fn unlike(&self, value: &Value) -> String {
        let (role, content) = (self.role.join("` or `"), self.content.join("` or `"));
        let what = format!("expected messages with `{role}` and `{content}`, found {}", kind(value));
        match self.otherwise {
            Some(_) => what,
            None => format!("{what}; `as = \"user\"` would take it as one message"),
        }
    }

    fn message(&self, message: &Value, out: &mut Vec<Value>) -> Result<(), String> {
        let Value::Object(map) = message else { return Err(format!("expected an object, found {}", kind(message))) };
        let said = self.role.iter().find_map(|key| map.get(key).and_then(Value::as_str));
        let said = said.ok_or_else(|| format!("`{}` is missing or not text", self.role.join("` or `")))?;
        let role = self.role_of(said)?;
        let content = self.content.iter().find_map(|key| map.get(key)).unwrap_or(&Value::Null);
        let mut made = Map::new();
        if role == TOOL_CALL {
            made.insert("role".into(), "assistant".into());
            made.insert("tool_calls".into(), calls(content)?);
        } else {
            made.insert("role".into(), role.into());
            made.insert("content".into(), text_or_parts(content));
        }
        for (key, value) in map {
            if value.is_null() || self.role.contains(key) || self.content.contains(key) {
                continue;
            }
            match key.as_str() {
                "name" | "tool_call_id" => drop(made.insert(key.clone(), spell(value).into())),
                "reasoning" | "reasoning_content" | "thinking" if value.is_string() => {
                    drop(made.insert("reasoning".into(), value.clone()))
                }
                "tool_calls" if value.as_array().is_some_and(Vec::is_empty) => {}
                "tool_calls" => drop(made.insert(key.clone(), value.clone())),
                // The form of before tool calls: one call, without an id.
                "function_call" if value.is_object() => {
                    drop(made.insert("tool_calls".into(), json!([{"type": "function", "function": value}])))
                }
                "refusal" if content.is_null() && value.is_string() => {
                    drop(made.insert("content".into(), value.clone()))
                }
                // What a message says beyond that ends in the run's `extra`, or is dropped, as `keep_extra` has it.
                key if !made.contains_key(key) => drop(made.insert(key.to_owned(), value.clone())),
                _ => {}
            }
        }
        out.push(Value::Object(made));
        Ok(())
    }

    fn role_of(&self, said: &str) -> Result<String, String> {
        let lower = said.to_lowercase();
        if let Some(role) = self.roles.get(&lower) {
            return Ok(role.clone());
        }
        match lower.as_str() {
            role if ROLES.contains(&role) => Ok(lower),
            "function" => Ok("tool".into()),
            _ => Err(format!(
                "`{}` is no role; declare it in `roles` (there are {} and {TOOL_CALL})",
                clip(said),
                ROLES.join(", ")
            )),
        }
    }
}

/// Content as a message takes it: text, parts or null; anything else as JSON text.
fn text_or_parts(value: &Value) -> Value {
    match value {
        Value::String(_) | Value::Null => value.clone(),
        Value::Array(parts) if parts.iter().all(|p| p.get("type").is_some_and(Value::is_string)) => value.clone(),
        other => spell(other).into(),
    }
}

/// Calls out of the JSON of one call or of several.
fn calls(content: &Value) -> Result<Value, String> {
    let parsed = match content {
        Value::String(text) => stillhouse_schemas::json::parse_strict(text.as_bytes())
            .map_err(|e| format!("a tool call must be JSON with `name` and `arguments`: {e}"))?,
        other => other.clone(),
    };
    let list = match parsed {
        Value::Array(list) => list,
        one => vec![one],
    };
    let made = list.into_iter().map(|call| {
        let name = call.get("name").and_then(Value::as_str).ok_or("a tool call must have a `name`")?;
        let arguments = call
            .get("arguments")
            .or_else(|| call.get("parameters"))
            .map_or_else(|| "{}".into(), |a| spell(a).into_owned());
        Ok(json!({"type": "function", "function": {"name": name, "arguments": arguments}}))
    });
    made.collect::<Result<Vec<_>, String>>().map(Value::Array)
}

fn legal_role(role: &str, node: Node<'_>) -> Result<String, MappingError> {
    if ROLES.contains(&role) {
        return Ok(role.to_owned());
    }
    Err(node.error(format!(
        "`{role}` is no role{}; there are {}",
        super::nearest::hint(role, &ROLES),
        ROLES.join(", ")
    )))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
