//! JSON that two parsers cannot read in two ways: no duplicate keys, no invalid UTF-8, nothing rounded in silence.

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::cell::Cell;
use std::fmt;

/// Most members of one object.
const MAX_MEMBERS: usize = 65_536;
/// Most values in one text: a value in memory costs some seventy bytes however short it was written.
const MAX_VALUES: usize = 1_000_000;

/// Where and why a text is not JSON that is taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column} (byte {offset}): {message}")]
pub struct BadJson {
    /// Bytes before the fault, from the beginning of the text.
    pub offset: usize,
    /// From 1.
    pub line: usize,
    /// In bytes, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

/// Parses one JSON value.
///
/// Refused, beside what is no JSON: invalid UTF-8, lone surrogates, a key twice in one object, nesting beyond 128,
/// integers that 64 bits do not hold and other numbers out of range, more than 65,536 members of an object or 1,000,000
/// values in all. A byte-order mark is taken at the very start only.
///
/// # Errors
/// Says where.
pub fn parse_strict(text: &[u8]) -> Result<Value, BadJson> {
    let body = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
    let skipped = text.len() - body.len();
    let at = |offset: usize, message: String| located(text, skipped + offset, message);
    let body = match std::str::from_utf8(body) {
        Ok(body) => body,
        Err(e) => return Err(at(e.valid_up_to(), "the bytes are not UTF-8".to_owned())),
    };
    if body.trim_ascii().is_empty() {
        return Err(at(body.len(), "there is no JSON here".to_owned()));
    }
    let state = State { values: Cell::new(0), huge: Cell::new(false) };
    let mut deserializer = serde_json::Deserializer::from_str(body);
    let parsed = Strict(&state).deserialize(&mut deserializer).and_then(|v| deserializer.end().map(|()| v));
    let value = parsed.map_err(|e| {
        // "message at line 1 column 5"
        let full = e.to_string();
        let message = full.rsplit_once(" at line ").map_or(full.as_str(), |(m, _)| m).to_owned();
        at(offset_of(body, e.line(), e.column()), message)
    })?;
    if state.huge.get()
        && let Some(offset) = integer_beyond_64_bits(body.as_bytes())
    {
        return Err(at(
            offset,
            "the integer does not fit 64 bits and would be rounded; write it as a string".to_owned(),
        ));
    }
    Ok(value)
}

struct State {
    values: Cell<usize>,
    /// A float that an integer literal may have been rounded to.
    huge: Cell<bool>,
}

#[derive(Clone, Copy)]
struct Strict<'s>(&'s State);

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let values = self.0.values.get() + 1;
        if values > MAX_VALUES {
            return Err(D::Error::custom(format_args!("more than {MAX_VALUES} values in one text")));
        }
        self.0.values.set(values);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E: Error>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }

    fn visit_i64<E: Error>(self, v: i64) -> Result<Value, E> {
        Ok(Value::Number(v.into()))
    }

    fn visit_u64<E: Error>(self, v: u64) -> Result<Value, E> {
        Ok(Value::Number(v.into()))
    }

    fn visit_f64<E: Error>(self, v: f64) -> Result<Value, E> {
        // 2^63: the least size at which an integer literal may not have fitted an i64.
        if v.abs() >= 9_223_372_036_854_775_808.0 {
            self.0.huge.set(true);
        }
        Number::from_f64(v).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E: Error>(self, v: &str) -> Result<Value, E> {
        Ok(Value::String(v.to_owned()))
    }

    fn visit_string<E: Error>(self, v: String) -> Result<Value, E> {
        Ok(Value::String(v))
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut out = Vec::new();
        while let Some(item) = seq.next_element_seed(self)? {
            out.push(item);
        }
        Ok(Value::Array(out))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut out = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if out.contains_key(&key) {
                return Err(A::Error::custom(format_args!("the key `{key}` is there twice in one object")));
            }
            if out.len() >= MAX_MEMBERS {
                return Err(A::Error::custom(format_args!("more than {MAX_MEMBERS} members of one object")));
            }
            let value = map.next_value_seed(self)?;
            out.insert(key, value);
        }
        Ok(Value::Object(out))
    }
}

/// Where the first integer literal beyond `i64` and `u64` begins. `json` is known to be JSON.
fn integer_beyond_64_bits(json: &[u8]) -> Option<usize> {
    let mut i = 0;
    while i < json.len() {
        match json[i] {
            b'"' => {
                i += 1;
                while i < json.len() && json[i] != b'"' {
                    i += if json[i] == b'\\' { 2 } else { 1 };
                }
                i += 1;
            }
            b'-' | b'0'..=b'9' => {
                let start = i;
                while i < json.len() && matches!(json[i], b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9') {
                    i += 1;
                }
                let literal = std::str::from_utf8(&json[start..i]).unwrap_or_default();
                let integer = !literal.contains(['.', 'e', 'E']);
                if integer && literal.parse::<i64>().is_err() && literal.parse::<u64>().is_err() {
                    return Some(start);
                }
            }
            _ => i += 1,
        }
    }
    None
}

fn located(text: &[u8], offset: usize, message: String) -> BadJson {
    let offset = offset.min(text.len());
    let before = &text[..offset];
    let line = 1 + before.iter().filter(|b| **b == b'\n').count();
    let column = 1 + before.iter().rev().take_while(|b| **b != b'\n').count();
    BadJson { offset, line, column, message }
}

/// Of serde_json's line (from 1) and column (bytes read of that line).
fn offset_of(text: &str, line: usize, column: usize) -> usize {
    let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    (start + column.saturating_sub(1)).min(text.len())
}
