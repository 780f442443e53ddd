//! What is validated: JSON or text, what it is for, and what it was made from.

use crate::materializer::find_json;
use serde_json::Value;
use stillhouse_schemas::claims::Claims;
use stillhouse_schemas::roster::Roster;
use stillhouse_schemas::{Micros, time};

/// An artefact: JSON, or text; JSON within a text (fenced, or among words) counts as JSON.
#[derive(Clone, Debug, PartialEq)]
pub struct Artefact {
    text: String,
    json: Option<Value>,
}

impl Artefact {
    /// Reads a text.
    pub fn of_text(text: impl Into<String>) -> Self {
        let text = text.into();
        let json = find_json(&text).filter(|value| value.is_object() || value.is_array());
        Self { text, json }
    }

    /// Takes JSON; a JSON string is the text in it.
    pub fn of_json(value: Value) -> Self {
        match value {
            Value::String(text) => Self::of_text(text),
            value => Self { text: value.to_string(), json: Some(value) },
        }
    }

    /// As text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// As JSON, if it is any.
    pub fn json(&self) -> Option<&Value> {
        self.json.as_ref()
    }

    /// Every text in it with its path, in order: the strings and numbers of JSON, or the whole text as `text`.
    pub fn texts(&self) -> Vec<(String, String)> {
        let mut all = Vec::new();
        match &self.json {
            Some(value) => gather(value, &mut String::new(), &mut all),
            None => all.push(("text".to_owned(), self.text.clone())),
        }
        all
    }

    /// The text at a path such as `subject` or `fills[0].note`; of text that is not JSON, `text`.
    pub fn at(&self, path: &str) -> Option<&Value> {
        let mut value = self.json.as_ref()?;
        for step in path.split(['.', '[']).map(|step| step.trim_end_matches(']')).filter(|step| !step.is_empty()) {
            value = match value {
                Value::Array(items) => items.get(step.parse::<usize>().ok()?)?,
                value => value.get(step)?,
            };
        }
        Some(value)
    }
}

fn gather(value: &Value, path: &mut String, all: &mut Vec<(String, String)>) {
    let before = path.len();
    match value {
        Value::String(text) => all.push((path.clone(), text.clone())),
        Value::Number(number) => all.push((path.clone(), number.to_string())),
        Value::Array(items) => {
            for (number, item) in items.iter().enumerate() {
                path.push_str(&format!("[{number}]"));
                gather(item, path, all);
                path.truncate(before);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                if before > 0 {
                    path.push('.');
                }
                path.push_str(name);
                gather(member, path, all);
                path.truncate(before);
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}

/// All that a validator may look at.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// What is validated.
    pub artefact: &'a Artefact,
    /// What it is for: the job, the worker, the recipient, the sender, who could be chosen. An object, or null.
    pub context: &'a Value,
    /// What it was made from, if that is known.
    pub sources: &'a [&'a str],
    /// JSON Schema that it had to satisfy, as JSON text.
    pub schema: Option<&'a str>,
    /// The roster of its time.
    pub roster: Option<&'a dyn Roster>,
    /// What was claimed up to its time.
    pub claims: Option<Known<'a>>,
}

/// What was held at a time.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The claims.
    pub claims: &'a dyn Claims,
    /// The time.
    pub at: Micros,
}

impl Known<'_> {
    /// What was known, as validations name it: the same time and rule give the same answers again.
    pub fn cut(&self) -> String {
        let at = if self.at == Micros::MAX { "newest".to_owned() } else { time::format(self.at) };
        serde_json::json!({"at": at, "rule": self.claims.rule()}).to_string()
    }
}

/// The first of these members that is there and not null.
pub(super) fn member<'a>(value: &'a Value, names: &[&str]) -> Option<&'a Value> {
    names.iter().find_map(|name| value.get(*name)).filter(|value| !value.is_null())
}

/// The first of these members that is text or a number, as text, trimmed, not empty.
pub(super) fn said(value: &Value, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| plain(value.get(*name)?))
}

/// Text or a number, as text.
pub(super) fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.trim().is_empty() => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A text, a list of texts or a text with commas, as a list.
pub(super) fn list(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::Array(items)) => {
            items.iter().filter_map(|item| plain(item).or_else(|| said(item, &["name", "id", "email"]))).collect()
        }
        Some(Value::String(text)) => {
            text.split([',', ';']).map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
        }
        Some(other) => plain(other).into_iter().collect(),
        None => Vec::new(),
    }
}

/// A number, also one that is written in text, such as `$22.50`.
pub(super) fn number(value: Option<&Value>) -> Option<f64> {
    match value? {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => {
            let kept: String = text.chars().filter(|c| c.is_ascii_digit() || *c == '.' || *c == '-').collect();
            kept.parse().ok()
        }
        _ => None,
    }
    .filter(|number: &f64| number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn texts_have_paths() {
        let artefact = Artefact::of_text("Here:\n```json\n{\"fills\":[{\"id\":7}],\"to\":\"a\"}\n```");
        assert_eq!(artefact.texts(), [("fills[0].id".into(), "7".into()), ("to".into(), "a".into())]);
        assert_eq!(artefact.at("fills[0].id"), Some(&json!(7)));
        assert_eq!(artefact.at("fills[1].id"), None);
        assert_eq!(Artefact::of_text("Hello").texts(), [("text".into(), "Hello".into())]);
        assert_eq!(Artefact::of_json(json!("Hello")), Artefact::of_text("Hello"));
        assert_eq!(number(Some(&json!("$22.50/h"))), Some(22.5));
    }
}
