//! Paths into a record: `a.b[0].c`.
//!
//! ```text
//!   path    = root? step*            a path without root begins at the record
//!   root    = $ | each | item        the record | name of the part | the part   (see `each` of a mapping)
//!   step    = key | .key | [0] | [-1] | [name=x] | [last name=x]
//!   key     = any characters but . [ ] { } | " '    or anything within "…" or '…'
//! ```
//!
//! `[-1]` counts from the end; `[name=x]` is the first element of an array whose `name` is `x`, `[last name=x]` the
//! last. Where a text is JSON, a path goes on in what it says. A path that leads nowhere, or to `null`, gives nothing: that is no error here.

use super::template::spell;
use serde_json::Value;
use std::borrow::Cow;

/// What a path is followed in.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    /// The record.
    pub(super) record: &'a Value,
    /// Name (or number) of the part that the run is made of.
    pub(super) each: Option<&'a str>,
    /// That part.
    pub(super) item: Option<&'a Value>,
}

/// A parsed path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    root: Root,
    steps: Vec<Step>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Root {
    Record,
    Each,
    Item,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(i64),
    Where { key: String, value: String, last: bool },
}

impl Path {
    /// Parses a path; the error is a sentence about it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err("a path is empty; write `$` for the whole record".into());
        }
        let mut path = Self { root: Root::Record, steps: Vec::new() };
        let mut first = true;
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('[') {
                let end = after.find(']').ok_or_else(|| format!("`[` is not closed in the path `{text}`"))?;
                path.steps.push(bracket(after[..end].trim(), text)?);
                rest = &after[end + 1..];
            } else {
                if !first {
                    rest = rest
                        .strip_prefix('.')
                        .ok_or_else(|| format!("a `.` or `[` is missing before `{rest}` in the path `{text}`"))?;
                }
                let (key, quoted, after) = key(rest, text)?;
                rest = after;
                match (first, quoted, key.as_str()) {
                    (true, false, "$") => {}
                    (true, false, "each") => path.root = Root::Each,
                    (true, false, "item") => path.root = Root::Item,
                    _ => path.steps.push(Step::Key(key)),
                }
            }
            first = false;
        }
        if path.root == Root::Each && !path.steps.is_empty() {
            return Err(format!("`each` in the path `{text}` is a name and holds nothing; the part itself is `item`"));
        }
        Ok(path)
    }

    /// Whether it needs `each` to be declared.
    pub(super) fn needs_each(&self) -> bool {
        self.root != Root::Record
    }

    /// The field of the record that it begins with.
    pub(super) fn top(&self) -> Option<&str> {
        match (self.root, self.steps.first()) {
            (Root::Record, Some(Step::Key(key))) => Some(key),
            _ => None,
        }
    }

    /// What it leads to.
    pub(super) fn follow<'a>(&self, scope: Scope<'a>) -> Option<Cow<'a, Value>> {
        let mut at = match self.root {
            Root::Record => scope.record,
            Root::Item => scope.item?,
            Root::Each => return scope.each.map(|name| Cow::Owned(Value::from(name))),
        };
        for (n, step) in self.steps.iter().enumerate() {
            at = match step.take(at) {
                Some(found) => found,
                // Some sources keep JSON as text: the path goes on in what it says.
                None => return within(at, &self.steps[n..]),
            };
        }
        (!at.is_null()).then_some(Cow::Borrowed(at))
    }
}

/// What steps lead to in a text that is an object or a list in JSON.
fn within<'a>(text: &Value, steps: &[Step]) -> Option<Cow<'a, Value>> {
    let text = text.as_str().filter(|text| text.trim_start().starts_with(['{', '[']))?;
    let value = stillhouse_schemas::json::parse_strict(text.as_bytes()).ok()?;
    let mut at = &value;
    for step in steps {
        at = step.take(at)?;
    }
    (!at.is_null()).then(|| Cow::Owned(at.clone()))
}

impl Step {
    fn take<'a>(&self, at: &'a Value) -> Option<&'a Value> {
        match self {
            Self::Key(key) => at.as_object()?.get(key),
            Self::Index(index) => {
                let list = at.as_array()?;
                let index = if *index < 0 { i64::try_from(list.len()).ok()? + index } else { *index };
                list.get(usize::try_from(index).ok()?)
            }
            Self::Where { key, value, last } => {
                let list = at.as_array()?;
                let fits = |element: &&Value| match element.get(key) {
                    Some(found) => !found.is_null() && spell(found) == value.as_str(),
                    None => false,
                };
                if *last { list.iter().rfind(fits) } else { list.iter().find(fits) }
            }
        }
    }
}

fn bracket(inner: &str, text: &str) -> Result<Step, String> {
    if let Ok(index) = inner.parse() {
        return Ok(Step::Index(index));
    }
    let (condition, last) = inner.strip_prefix("last ").map_or((inner, false), |rest| (rest, true));
    let (key, value) = condition
        .split_once('=')
        .ok_or_else(|| format!("`[{inner}]` in the path `{text}` is neither a number nor `name=value`"))?;
    let bare = |part: &str| part.trim().trim_matches(['"', '\'']).to_owned();
    Ok(Step::Where { key: bare(key), value: bare(value), last })
}

/// One key: its text, whether it was quoted, and what follows.
fn key<'a>(rest: &'a str, text: &str) -> Result<(String, bool, &'a str), String> {
    if let Some(quote) = rest.chars().next().filter(|c| matches!(c, '"' | '\'')) {
        let end = rest[1..].find(quote).ok_or_else(|| format!("a quote is not closed in the path `{text}`"))?;
        return Ok((rest[1..=end].to_owned(), true, &rest[end + 2..]));
    }
    let end = rest.find(['.', '[', ']', '{', '}', '|', '"', '\'']).unwrap_or(rest.len());
    let key = rest[..end].trim();
    if key.is_empty() {
        return Err(format!("a name is missing at `{rest}` in the path `{text}`"));
    }
    Ok((key.to_owned(), false, &rest[end..]))
}
