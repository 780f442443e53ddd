//! A TOML document that knows where everything stands in it, so that every complaint has a line and a column.

use super::nearest;
use serde_json::Value;
use std::cell::RefCell;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What is wrong with a mapping, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {message}")]
pub struct MappingError {
    /// The file (or the name of a ready mapping).
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong there, and what would be right.
    pub message: String,
}

/// The text of a document, for telling places.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) file: &'a str,
    pub(super) text: &'a str,
}

impl<'a> Source<'a> {
    /// Parses the document.
    pub(super) fn parse(self) -> Result<Spanned<DeTable<'a>>, MappingError> {
        // The parser finds more than one thing wrong after a slip; the first in the text is the slip.
        let (document, errors) = DeTable::parse_recoverable(self.text);
        let first = errors.into_iter().min_by_key(|e| e.span().map_or(usize::MAX, |s| s.start));
        first.map_or(Ok(document), |e| Err(self.error(e.span().unwrap_or(0..0), e.message().to_owned())))
    }

    /// A complaint about a place.
    pub(super) fn error(self, at: Range<usize>, message: impl Into<String>) -> MappingError {
        let before = self.text.get(..at.start).unwrap_or(self.text);
        let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        MappingError { file: self.file.to_owned(), line, column, message: message.into() }
    }
}

/// A value of the document.
#[derive(Clone, Copy)]
pub(super) struct Node<'a> {
    source: Source<'a>,
    value: &'a Spanned<DeValue<'a>>,
}

impl<'a> Node<'a> {
    /// A complaint about it.
    pub(super) fn error(self, message: impl Into<String>) -> MappingError {
        self.source.error(self.value.span(), message)
    }

    fn wrong(self, expected: &str) -> MappingError {
        self.error(format!("expected {expected}, found {}", article(self.value.get_ref().type_str())))
    }

    /// As text.
    pub(super) fn str(self) -> Result<&'a str, MappingError> {
        self.value.get_ref().as_str().ok_or_else(|| self.wrong("text in quotes"))
    }

    /// As text, if it is.
    pub(super) fn as_str(self) -> Option<&'a str> {
        self.value.get_ref().as_str()
    }

    /// As a truth value.
    pub(super) fn bool(self) -> Result<bool, MappingError> {
        self.value.get_ref().as_bool().ok_or_else(|| self.wrong("true or false"))
    }

    /// As a number.
    pub(super) fn number(self) -> Result<f64, MappingError> {
        match self.scalar() {
            Some(Value::Number(n)) => n.as_f64().ok_or_else(|| self.wrong("a number")),
            _ => Err(self.wrong("a number")),
        }
    }

    /// As a list.
    pub(super) fn list(self) -> Result<Vec<Self>, MappingError> {
        self.as_list().ok_or_else(|| self.wrong("a list"))
    }

    /// As a list, if it is.
    pub(super) fn as_list(self) -> Option<Vec<Self>> {
        let list = self.value.get_ref().as_array()?;
        Some(list.iter().map(|value| Self { source: self.source, value }).collect())
    }

    /// As a table.
    pub(super) fn table(self) -> Result<Table<'a>, MappingError> {
        self.as_table().ok_or_else(|| self.wrong("a table"))
    }

    /// As a table, if it is.
    pub(super) fn as_table(self) -> Option<Table<'a>> {
        let table = self.value.get_ref().as_table()?;
        Some(Table { source: self.source, span: self.value.span(), entries: table, asked: RefCell::default() })
    }

    /// As a number or truth value, if it is.
    pub(super) fn scalar(self) -> Option<Value> {
        match self.value.get_ref() {
            DeValue::Boolean(b) => Some(Value::Bool(*b)),
            DeValue::Integer(i) => i64::from_str_radix(&i.as_str().replace('_', ""), i.radix()).ok().map(Value::from),
            DeValue::Float(f) => f
                .as_str()
                .replace('_', "")
                .parse::<f64>()
                .ok()
                .and_then(serde_json::Number::from_f64)
                .map(Value::Number),
            _ => None,
        }
    }

    /// The value as JSON, for hashing what a mapping says whatever its spelling.
    pub(super) fn json(self) -> Value {
        match self.value.get_ref() {
            DeValue::String(text) => Value::from(text.as_ref()),
            DeValue::Array(_) => self.as_list().unwrap_or_default().into_iter().map(Self::json).collect(),
            DeValue::Table(_) => self.as_table().map(|t| t.json()).unwrap_or_default(),
            DeValue::Datetime(time) => Value::from(time.to_string()),
            _ => self.scalar().unwrap_or_default(),
        }
    }
}

/// A table of the document. It remembers what was asked for, so that [`Table::finish`] can complain about the rest.
pub(super) struct Table<'a> {
    source: Source<'a>,
    span: Range<usize>,
    entries: &'a DeTable<'a>,
    asked: RefCell<Vec<String>>,
}

impl<'a> Table<'a> {
    /// The whole document.
    pub(super) fn root(source: Source<'a>, document: &'a Spanned<DeTable<'a>>) -> Self {
        Self { source, span: 0..0, entries: document.get_ref(), asked: RefCell::default() }
    }

    /// The value under a key.
    pub(super) fn get(&self, key: &str) -> Option<Node<'a>> {
        self.asked.borrow_mut().push(key.to_owned());
        self.entries.get(key).map(|value| Node { source: self.source, value })
    }

    /// Keys and values.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'a str, Node<'a>)> + use<'a> {
        let source = self.source;
        self.entries.iter().map(move |(key, value)| (key.get_ref().as_ref(), Node { source, value }))
    }

    /// A complaint about the table.
    pub(super) fn error(&self, message: impl Into<String>) -> MappingError {
        self.source.error(self.span.clone(), message)
    }

    /// Complains about the first key that nothing asked for.
    pub(super) fn finish(&self) -> Result<(), MappingError> {
        let asked = self.asked.borrow();
        let known: Vec<&str> = asked.iter().map(String::as_str).collect();
        let mut unknown: Vec<_> = self.entries.keys().filter(|key| !known.contains(&key.get_ref().as_ref())).collect();
        unknown.sort_by_key(|key| key.span().start);
        let Some(key) = unknown.first() else { return Ok(()) };
        let hint = match nearest::nearest(key.get_ref(), &known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known here: {}", known.join(", ")),
        };
        Err(self.source.error(key.span(), format!("unknown key `{}`; {hint}", key.get_ref())))
    }

    /// The table as JSON.
    pub(super) fn json(&self) -> Value {
        Value::Object(self.iter().map(|(key, node)| (key.to_owned(), node.json())).collect())
    }
}

/// The word with its article.
pub(super) fn article(kind: &str) -> String {
    let vowel = kind.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {kind}", if vowel { "an" } else { "a" })
}
