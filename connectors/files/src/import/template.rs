//! Templates: text in which `{path}` stands for what the record holds there.
//!
//! A template that is one `{path}` and nothing else gives the value itself, of whatever type; any other gives text.
//! If one of its paths leads nowhere, the whole template gives nothing. `{path|filter|filter}` changes the value on its
//! way (see [`FILTERS`]); `{{` and `}}` are braces.

use super::canonical;
use super::path::{Path, Scope};
use serde_json::Value;
use std::borrow::Cow;

/// A filter of templates.
pub struct Filter {
    /// Its name, after the `|`.
    pub name: &'static str,
    /// What it does.
    pub doc: &'static str,
    apply: fn(&Value) -> Result<Option<Value>, String>,
}

/// All filters.
pub static FILTERS: &[Filter] = &[
    Filter {
        name: "hash",
        doc: "16 hex digits that stand for the value (SHA-256)",
        apply: |v| Ok(Some(short_hash(v).into())),
    },
    Filter { name: "json", doc: "the value as JSON text, keys sorted", apply: |v| Ok(Some(canonical::text(v).into())) },
    Filter { name: "parse", doc: "of text that is JSON, its value; anything else as it is", apply: parse },
    Filter { name: "number", doc: "of text that is a number, the number", apply: number },
    Filter {
        name: "trim",
        doc: "text without white space around it",
        apply: |v| Ok(Some(edit(v, |t| t.trim().to_owned()))),
    },
    Filter { name: "lower", doc: "text in lower case", apply: |v| Ok(Some(edit(v, str::to_lowercase))) },
    Filter {
        name: "nonempty",
        doc: "nothing, if the value is empty text, an empty list or an empty object",
        apply: nonempty,
    },
];

/// A parsed template.
#[derive(Clone, Debug)]
pub(super) struct Template {
    source: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
enum Part {
    Text(String),
    Slot { path: Path, filters: Vec<&'static Filter> },
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Template {
    /// Parses a template; the error is a sentence about it.
    pub(super) fn parse(source: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut rest = source;
        while let Some(at) = rest.find(['{', '}']) {
            text.push_str(&rest[..at]);
            rest = &rest[at..];
            if let Some(after) = rest.strip_prefix("{{").or_else(|| rest.strip_prefix("}}")) {
                text.push_str(&rest[..1]);
                rest = after;
            } else if rest.starts_with('}') {
                return Err(format!("`}}` opens nothing in `{source}`; write `}}}}` for a brace"));
            } else {
                let end = rest
                    .find('}')
                    .ok_or_else(|| format!("`{{` is not closed in `{source}`; write `{{{{` for a brace"))?;
                if !text.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut text)));
                }
                parts.push(slot(&rest[1..end])?);
                rest = &rest[end + 1..];
            }
        }
        text.push_str(rest);
        if !text.is_empty() {
            parts.push(Part::Text(text));
        }
        Ok(Self { source: source.to_owned(), parts })
    }

    /// As it was written.
    pub(super) fn source(&self) -> &str {
        &self.source
    }

    /// Its paths.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.parts.iter().filter_map(|part| match part {
            Part::Slot { path, .. } => Some(path),
            Part::Text(_) => None,
        })
    }

    /// What it gives for a record; the error says which filter failed and why.
    pub(super) fn give<'a>(&self, scope: Scope<'a>) -> Result<Option<Cow<'a, Value>>, String> {
        if let [part] = self.parts.as_slice() {
            return part.give(scope, &self.source);
        }
        let mut out = String::new();
        for part in &self.parts {
            match part.give(scope, &self.source)? {
                Some(value) => out.push_str(&spell(&value)),
                None => return Ok(None),
            }
        }
        Ok(Some(Cow::Owned(out.into())))
    }
}

impl Part {
    fn give<'a>(&self, scope: Scope<'a>, source: &str) -> Result<Option<Cow<'a, Value>>, String> {
        match self {
            Self::Text(text) => Ok(Some(Cow::Owned(text.as_str().into()))),
            Self::Slot { path, filters } => {
                let mut value = path.follow(scope);
                for filter in filters {
                    let Some(before) = value else { return Ok(None) };
                    let after = (filter.apply)(&before).map_err(|e| format!("`{source}`: {e}"))?;
                    value = after.filter(|v| !v.is_null()).map(Cow::Owned);
                }
                Ok(value)
            }
        }
    }
}

/// A value as text within text.
pub(super) fn spell(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        other => Cow::Owned(canonical::text(other)),
    }
}

fn slot(inner: &str) -> Result<Part, String> {
    // A `|` within quotes belongs to a key; keys with both are not worth a grammar.
    let (path, filters) = match inner.rfind(['"', '\'', ']']) {
        Some(quote) => match inner[quote..].find('|') {
            Some(bar) => (&inner[..quote + bar], &inner[quote + bar..]),
            None => (inner, ""),
        },
        None => inner.find('|').map_or((inner, ""), |bar| inner.split_at(bar)),
    };
    let filters = filters
        .split('|')
        .skip(1)
        .map(|name| {
            let name = name.trim();
            FILTERS.iter().find(|f| f.name == name).ok_or_else(|| {
                let known: Vec<&str> = FILTERS.iter().map(|f| f.name).collect();
                format!("`{name}` is no filter{}; there are {}", super::nearest::hint(name, &known), known.join(", "))
            })
        })
        .collect::<Result<_, _>>()?;
    Ok(Part::Slot { path: Path::parse(path)?, filters })
}

fn short_hash(value: &Value) -> String {
    use sha2::{Digest, Sha256};
    canonical::hex(&Sha256::digest(spell(value).as_bytes())[..8])
}

fn parse(value: &Value) -> Result<Option<Value>, String> {
    match value {
        Value::String(text) => stillhouse_schemas::json::parse_strict(text.as_bytes())
            .map(Some)
            .map_err(|e| format!("the text is not JSON: {e}")),
        other => Ok(Some(other.clone())),
    }
}

fn number(value: &Value) -> Result<Option<Value>, String> {
    let Value::String(text) = value else { return Ok(Some(value.clone())) };
    let text = text.trim();
    let number = text
        .parse::<i64>()
        .map(serde_json::Number::from)
        .ok()
        .or_else(|| text.parse::<f64>().ok().and_then(serde_json::Number::from_f64));
    number.map(|n| Some(Value::Number(n))).ok_or_else(|| format!("`{}` is not a number", clip(text)))
}

fn edit(value: &Value, change: impl Fn(&str) -> String) -> Value {
    match value {
        Value::String(text) => change(text).into(),
        other => other.clone(),
    }
}

fn nonempty(value: &Value) -> Result<Option<Value>, String> {
    let empty = match value {
        Value::String(text) => text.trim().is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    };
    Ok((!empty).then(|| value.clone()))
}

/// Text short enough for an error.
pub(super) fn clip(text: &str) -> String {
    let mut short = String::new();
    for c in text.chars().take(60) {
        // Quotes and backslashes are themselves; what could not be seen is escaped.
        if matches!(c, '"' | '\'' | '\\') { short.push(c) } else { short.extend(c.escape_debug()) }
    }
    if text.chars().nth(60).is_some() {
        short.push('…');
    }
    short
}
