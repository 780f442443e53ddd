//! JSON with one spelling per value, so that equal rows are equal bytes on any host and in any language.
//!
//! Members sorted by code point, no spaces, text in UTF-8 with only `"`, `\` and control characters below U+0020
//! escaped (short forms where JSON has them, else `\u00xx` in lower case), integers as integers, our own floats with
//! exactly four decimals. This is what Python writes with `json.dumps(value, sort_keys=True, ensure_ascii=False,
//! separators=(",", ":"))`, its floats replaced by `"%.4f" % value`.
//!
//! Numbers inside JSON that a run recorded (arguments of a tool call, the schema of a tool) keep the digits they were
//! written with: rounding them would make the row say what the model did not. There is deliberately no way from
//! `serde_json::Value` into here, because it has already lost those digits.

use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// Deepest nesting of recorded JSON that is taken; as deep as `serde_json` goes.
const DEPTH: usize = 128;

/// A value to write.
#[derive(Clone, Debug, PartialEq)]
pub enum Json<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A float of ours: four decimals.
    Float(f64),
    /// A number as its source wrote it.
    Verbatim(Cow<'a, str>),
    /// Text.
    Text(Cow<'a, str>),
    /// A list, in its order.
    List(Vec<Json<'a>>),
    /// An object.
    Map(BTreeMap<Cow<'a, str>, Json<'a>>),
}

/// Why a value has no canonical form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CanonicalError {
    /// JSON has no such number.
    #[error("not a finite number")]
    NotFinite,
    /// Two readers could read two meanings.
    #[error("member `{}` is there twice", .0.escape_debug())]
    Twice(String),
    /// Not JSON.
    #[error("not valid JSON: {0}")]
    Syntax(String),
    /// Nested deeper than any reader must take.
    #[error("nested deeper than {DEPTH} levels")]
    TooDeep,
}

impl<'a> Json<'a> {
    /// Text.
    pub fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self::Text(text.into())
    }

    /// Text, or `null`.
    pub fn optional(text: Option<&'a str>) -> Self {
        text.map_or(Self::Null, Self::text)
    }

    /// An object of these members. A name given twice keeps its last value.
    pub fn map<K: Into<Cow<'a, str>>>(members: impl IntoIterator<Item = (K, Self)>) -> Self {
        Self::Map(members.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }

    /// Reads recorded JSON, numbers as written. Objects with a repeated member are refused.
    pub fn recorded(text: &'a str) -> Result<Self, CanonicalError> {
        let raw: &RawValue = serde_json::from_str(text).map_err(syntax)?;
        recorded(raw.get(), 0)
    }

    /// Appends the canonical form to `out`.
    pub fn write(&self, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
        match self {
            Self::Null => out.extend_from_slice(b"null"),
            Self::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
            Self::Int(value) => out.extend_from_slice(value.to_string().as_bytes()),
            Self::Float(value) => out.extend_from_slice(four_decimals(*value)?.as_bytes()),
            Self::Verbatim(number) => out.extend_from_slice(number.as_bytes()),
            Self::Text(text) => write_text(text, out),
            Self::List(items) => {
                out.push(b'[');
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    item.write(out)?;
                }
                out.push(b']');
            }
            Self::Map(members) => {
                out.push(b'{');
                for (i, (name, value)) in members.iter().enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    write_text(name, out);
                    out.push(b':');
                    value.write(out)?;
                }
                out.push(b'}');
            }
        }
        Ok(())
    }

    /// The canonical form.
    pub fn to_bytes(&self) -> Result<Vec<u8>, CanonicalError> {
        let mut out = Vec::new();
        self.write(&mut out)?;
        Ok(out)
    }
}

/// A float of ours: rounded to four decimals, ties to even of the exact value, never `-0.0000`.
pub fn four_decimals(value: f64) -> Result<String, CanonicalError> {
    if !value.is_finite() {
        return Err(CanonicalError::NotFinite);
    }
    let text = format!("{value:.4}");
    Ok(if text == "-0.0000" { "0.0000".to_owned() } else { text })
}

/// Appends a text in its quotes.
pub(super) fn write_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut clean = 0;
    for (i, byte) in bytes.iter().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0x08 => b"\\b",
            0x0c => b"\\f",
            0x00..=0x1f => b"",
            _ => continue,
        };
        out.extend_from_slice(&bytes[clean..i]);
        if escape.is_empty() {
            out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
        } else {
            out.extend_from_slice(escape);
        }
        clean = i + 1;
    }
    out.extend_from_slice(&bytes[clean..]);
    out.push(b'"');
}

fn syntax(error: serde_json::Error) -> CanonicalError {
    CanonicalError::Syntax(error.to_string())
}

/// `text` is one JSON value without space around it, as a `RawValue` is.
fn recorded(text: &str, depth: usize) -> Result<Json<'_>, CanonicalError> {
    if depth > DEPTH {
        return Err(CanonicalError::TooDeep);
    }
    Ok(match text.as_bytes().first() {
        Some(b'{') => {
            let Members(members) = serde_json::from_str(text).map_err(syntax)?;
            let mut map = BTreeMap::new();
            for (name, value) in members {
                if map.contains_key(name.as_str()) {
                    return Err(CanonicalError::Twice(name));
                }
                map.insert(Cow::Owned(name), recorded(value.get(), depth + 1)?);
            }
            Json::Map(map)
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text).map_err(syntax)?;
            Json::List(items.into_iter().map(|item| recorded(item.get(), depth + 1)).collect::<Result<_, _>>()?)
        }
        Some(b'"') => Json::Text(Cow::Owned(serde_json::from_str(text).map_err(syntax)?)),
        Some(b't') => Json::Bool(true),
        Some(b'f') => Json::Bool(false),
        Some(b'n') => Json::Null,
        _ => Json::Verbatim(Cow::Borrowed(text)),
    })
}

/// Members of an object in the order and number they were written.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Collect).map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(json: &Json<'_>) -> String {
        String::from_utf8(json.to_bytes().expect("canonical")).expect("UTF-8")
    }

    /// Golden: what `json.dumps` of Python gives for the same values.
    #[test]
    fn one_spelling_per_value() {
        let json = Json::map([
            ("z", Json::Int(-3)),
            (
                "a",
                Json::List(vec![
                    Json::Null,
                    Json::Bool(true),
                    Json::Bool(false),
                    Json::List(vec![]),
                    Json::map::<&str>([]),
                ]),
            ),
            ("é", Json::text("ü\u{2028}\u{7f}😀")),
            ("Z", Json::text("\"\\/\u{8}\u{c}\n\r\t\u{0}\u{1f}")),
            ("", Json::Float(0.5)),
        ]);
        assert_eq!(
            written(&json),
            "{\"\":0.5000,\"Z\":\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0000\\u001f\",\"a\":[null,true,false,[],{}],\"z\":-3,\"é\":\"ü\u{2028}\u{7f}😀\"}"
        );
    }

    #[test]
    fn floats_have_four_decimals() {
        for (value, text) in [
            (0.0, "0.0000"),
            (-0.0, "0.0000"),
            (-0.000_01, "0.0000"),
            (1.0, "1.0000"),
            (2.0 / 3.0, "0.6667"),
            (0.000_05, "0.0001"),
            (0.031_25, "0.0312"),
            (1e15, "1000000000000000.0000"),
        ] {
            assert_eq!(four_decimals(value).as_deref(), Ok(text), "{value}");
        }
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(Json::Float(value).to_bytes(), Err(CanonicalError::NotFinite));
        }
    }

    #[test]
    fn recorded_json_keeps_its_digits() {
        let text = r#" {"b": [1.10, 1E5, -0, 12345678901234567890123, 0.1234567], "a": {"y": "\u00fc\n", "x": null}} "#;
        let json = Json::recorded(text).expect("valid");
        assert_eq!(
            written(&json),
            "{\"a\":{\"x\":null,\"y\":\"ü\\n\"},\"b\":[1.10,1E5,-0,12345678901234567890123,0.1234567]}"
        );
        let again = written(&json);
        assert_eq!(written(&Json::recorded(&again).expect("canonical is valid")), again);
    }

    #[test]
    fn recorded_json_that_is_none_is_refused() {
        assert_eq!(Json::recorded(r#"{"a":1,"a":1}"#), Err(CanonicalError::Twice("a".into())));
        for bad in [
            "",
            " ",
            "{",
            "{\"a\":}",
            "[1,]",
            "nul",
            "1.",
            "01",
            "NaN",
            "\"\\ud800\"",
            "{} {}",
            "\u{feff}{}",
            "{'a':1}",
        ] {
            assert!(matches!(Json::recorded(bad), Err(CanonicalError::Syntax(_))), "{bad}: {:?}", Json::recorded(bad));
        }
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(Json::recorded(&deep).is_err());
        let allowed = format!("{}{}", "[".repeat(100), "]".repeat(100));
        assert_eq!(written(&Json::recorded(&allowed).expect("not too deep")), allowed);
    }
}
