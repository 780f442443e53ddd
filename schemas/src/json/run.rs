//! Runs of JSON: our own shape, and OpenAI's where a value can mean one thing only.
//!
//! Taken beside our own: message content as a string, an array of parts or null; `tool_calls` with a nested `function`
//! or flat; the older `function_call` and role `function`; `reasoning_content`; tools with a nested `function` or flat,
//! and the older `functions`; arguments and parameters as JSON text or as JSON; usage under the names of either OpenAI
//! API; `reward`, `verdict` and `human_label` beside `outcome`. Saying a thing twice is an error.
//!
//! A field that is not known goes to `extra` under its path, as JSON text.

use super::ReadValue;
use super::shape::{Unknown, kind_of, named, step};
use crate::error::BadEvent;
use crate::payload::Run;
use crate::types::EVENTS;
use serde_json::{Map, Value};

type Object = Map<String, Value>;

impl Run {
    /// A run of JSON. Not checked beyond its shape; [`crate::check`] is for the event.
    ///
    /// # Errors
    /// Names the field.
    pub fn from_json(value: Value) -> Result<Self, BadEvent> {
        from_json(value, "")
    }
}

pub(super) fn from_json(mut value: Value, path: &str) -> Result<Run, BadEvent> {
    let Value::Object(run) = &mut value else {
        return Err(BadEvent::new(named(path), format!("must be an object, not {}", kind_of(&value))));
    };
    run.retain(|_, v| !v.is_null());
    rename(run, "functions", "tools", path)?;
    lift_outcome(run, path)?;
    let mut given = Vec::new();
    if let Some(Value::Object(extra)) = run.get_mut("extra") {
        for (name, value) in std::mem::take(extra) {
            given.push((name, value));
        }
    }
    each(run, "messages", path, message)?;
    each(run, "tools", path, tool)?;
    if let Some(Value::Object(usage)) = run.get_mut("usage") {
        let mut at = path.to_owned();
        step(&mut at, "usage");
        tokens(usage, &at)?;
    }

    let index = EVENTS.iter().position(|e| e.name == "run").unwrap_or_default();
    let mut found = Vec::new();
    let unknown = Unknown::Collect(&mut found);
    let mut run: Run = ReadValue { index, value, path, unknown }.value()?;
    for (name, value) in given {
        // Text there is JSON text already, so that what was written is read back the same.
        let text = match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        run.extra.insert(name, text);
    }
    let prefix = if path.is_empty() { 0 } else { path.len() + 1 };
    for (at, value) in found {
        if value.is_null() {
            continue;
        }
        let name = at[prefix..].to_owned();
        if run.extra.contains_key(&name) {
            return Err(BadEvent::new(at, "is there twice: by itself and in `extra`"));
        }
        run.extra.insert(name, value.to_string());
    }
    Ok(run)
}

fn each(
    run: &mut Object,
    name: &str,
    path: &str,
    normalise: fn(&mut Object, &str) -> Result<(), BadEvent>,
) -> Result<(), BadEvent> {
    let Some(Value::Array(items)) = run.get_mut(name) else { return Ok(()) };
    let mut at = path.to_owned();
    step(&mut at, name);
    for (i, item) in items.iter_mut().enumerate() {
        if let Value::Object(item) = item {
            item.retain(|_, v| !v.is_null());
            normalise(item, &format!("{at}[{i}]"))?;
        }
    }
    Ok(())
}

fn message(message: &mut Object, at: &str) -> Result<(), BadEvent> {
    rename(message, "reasoning_content", "reasoning", at)?;
    if message.get("role").is_some_and(|r| r == "function") {
        message.insert("role".to_owned(), "tool".into());
    }
    if matches!(message.get("content"), Some(Value::Array(_))) {
        if message.contains_key("parts") {
            return Err(twice(at, "content", "parts"));
        }
        if let Some(Value::Array(parts)) = message.shift_remove("content") {
            put_parts(message, parts, at)?;
        }
    } else if let Some(Value::Array(_)) = message.get("parts") {
        let Some(Value::Array(parts)) = message.shift_remove("parts") else { return Ok(()) };
        match message.shift_remove("content") {
            None => put_parts(message, parts, at)?,
            Some(content) => {
                message.insert("content".to_owned(), content);
                message.insert("parts".to_owned(), Value::Array(parts).to_string().into());
            }
        }
    }
    if let Some(call) = message.shift_remove("function_call") {
        if message.contains_key("tool_calls") {
            return Err(twice(at, "function_call", "tool_calls"));
        }
        message.insert("tool_calls".to_owned(), Value::Array(vec![call]));
    }
    if let Some(Value::Array(calls)) = message.get_mut("tool_calls") {
        for (i, call) in calls.iter_mut().enumerate() {
            if let Value::Object(call) = call {
                call.retain(|_, v| !v.is_null());
                unnest(call, &format!("{at}.tool_calls[{i}]"))?;
                json_text(call, "arguments");
                // A call without arguments; some providers leave them out.
                call.entry("arguments").or_insert_with(|| "{}".into());
            }
        }
    }
    Ok(())
}

/// Text parts make the content, and the whole is kept.
fn put_parts(message: &mut Object, parts: Vec<Value>, at: &str) -> Result<(), BadEvent> {
    let mut texts = Vec::new();
    for (i, part) in parts.iter().enumerate() {
        match part {
            Value::String(text) => texts.push(text.as_str()),
            Value::Object(part) => {
                let kind = part.get("type").and_then(Value::as_str);
                if matches!(kind, None | Some("text" | "input_text" | "output_text"))
                    && let Some(Value::String(text)) = part.get("text")
                {
                    texts.push(text);
                }
            }
            other => {
                let message = format!("must be a part (an object with `type`) or a string, not {}", kind_of(other));
                return Err(BadEvent::new(format!("{at}.content[{i}]"), message));
            }
        }
    }
    if !texts.is_empty() {
        message.insert("content".to_owned(), texts.join("\n").into());
    }
    message.insert("parts".to_owned(), Value::Array(parts).to_string().into());
    Ok(())
}

fn tool(tool: &mut Object, at: &str) -> Result<(), BadEvent> {
    unnest(tool, at)?;
    rename(tool, "input_schema", "parameters", at)?;
    json_text(tool, "parameters");
    Ok(())
}

/// Moves what is in `function` one up, and drops the type that goes with it.
fn unnest(object: &mut Object, at: &str) -> Result<(), BadEvent> {
    if object.get("type").is_some_and(|t| t == "function") {
        object.shift_remove("type");
    }
    match object.get("function") {
        Some(Value::Object(_)) => {}
        Some(other) => {
            return Err(BadEvent::new(format!("{at}.function"), format!("must be an object, not {}", kind_of(other))));
        }
        None => return Ok(()),
    }
    let Some(Value::Object(function)) = object.shift_remove("function") else { return Ok(()) };
    for (name, value) in function {
        if value.is_null() {
            continue;
        }
        if object.contains_key(&name) {
            return Err(twice(at, &name, &format!("function.{name}")));
        }
        object.insert(name, value);
    }
    Ok(())
}

fn json_text(object: &mut Object, name: &str) {
    if let Some(value) = object.get_mut(name)
        && !value.is_string()
    {
        *value = Value::String(value.to_string());
    }
}

fn tokens(usage: &mut Object, at: &str) -> Result<(), BadEvent> {
    usage.retain(|_, v| !v.is_null());
    rename(usage, "prompt_tokens", "input_tokens", at)?;
    rename(usage, "completion_tokens", "output_tokens", at)?;
    for (details, name) in [
        ("prompt_tokens_details", "cached_tokens"),
        ("input_tokens_details", "cached_tokens"),
        ("completion_tokens_details", "reasoning_tokens"),
        ("output_tokens_details", "reasoning_tokens"),
    ] {
        let inner = match usage.get_mut(details) {
            Some(Value::Object(inner)) => inner.shift_remove(name).filter(|v| !v.is_null()),
            _ => None,
        };
        if let Some(Value::Object(rest)) = usage.get(details)
            && rest.is_empty()
        {
            usage.shift_remove(details);
        }
        if let Some(inner) = inner {
            if usage.contains_key(name) {
                return Err(twice(at, name, &format!("{details}.{name}")));
            }
            usage.insert(name.to_owned(), inner);
        }
    }
    Ok(())
}

fn lift_outcome(run: &mut Object, path: &str) -> Result<(), BadEvent> {
    for name in ["reward", "verdict", "human_label"] {
        let Some(value) = run.shift_remove(name) else { continue };
        let outcome = run.entry("outcome").or_insert_with(|| Value::Object(Object::new()));
        if let Value::Object(outcome) = outcome {
            if outcome.get(name).is_some_and(|v| !v.is_null()) {
                return Err(twice(path, name, &format!("outcome.{name}")));
            }
            outcome.insert(name.to_owned(), value);
        }
    }
    Ok(())
}

fn rename(object: &mut Object, from: &str, to: &str, at: &str) -> Result<(), BadEvent> {
    if !object.contains_key(from) {
        return Ok(());
    }
    if object.contains_key(to) {
        return Err(twice(at, from, to));
    }
    if let Some(value) = object.shift_remove(from) {
        object.insert(to.to_owned(), value);
    }
    Ok(())
}

fn twice(at: &str, one: &str, other: &str) -> BadEvent {
    let mut path = at.to_owned();
    step(&mut path, one);
    BadEvent::new(path, format!("says the same as `{other}`; give one of the two"))
}
