//! Times of sources: RFC 3339, `YYYY-MM-DD HH:MM:SS.ffffff` (UTC), or a number with a declared unit.

use serde_json::Value;
use stillhouse_schemas::{Micros, time};

/// Unit of a number that is a time since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Seconds,
    Millis,
    Micros,
    Nanos,
}

impl Unit {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "s" => Ok(Self::Seconds),
            "ms" => Ok(Self::Millis),
            "us" => Ok(Self::Micros),
            "ns" => Ok(Self::Nanos),
            _ => Err(format!("`{text}` is no unit of time; there are s, ms, us, ns")),
        }
    }

    /// The number as RFC 3339; text that is a time already stays.
    pub(super) fn convert(self, value: &Value) -> Result<Value, String> {
        let Value::Number(number) = value else { return Ok(value.clone()) };
        let micros = match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => match self {
                Self::Seconds => whole.checked_mul(1_000_000),
                Self::Millis => whole.checked_mul(1_000),
                Self::Micros => Some(whole),
                Self::Nanos => Some(whole.div_euclid(1_000)),
            },
            // Seconds with a fraction: a double holds microseconds of this century exactly enough to be rounded right.
            (None, Some(fraction)) => {
                let scaled = match self {
                    Self::Seconds => fraction * 1e6,
                    Self::Millis => fraction * 1e3,
                    Self::Micros => fraction,
                    Self::Nanos => fraction / 1e3,
                };
                (scaled.abs() < 9e15).then(|| scaled.round() as i64)
            }
            _ => None,
        };
        let micros = micros
            .filter(|m| time::check(*m).is_ok())
            .ok_or_else(|| format!("{number} is no time from 1970 to 2261 in the declared unit; is the unit right?"))?;
        Ok(Value::from(time::format(micros)))
    }
}

/// A time out of a value that a rule gave.
pub(super) fn read(value: &Value) -> Result<Micros, String> {
    match value {
        Value::String(text) => time::parse(&zoned(text)),
        Value::Number(number) => {
            Err(format!("{number} is a number; say its unit: {{ from = …, unit = \"s\" }} (or ms, us, ns)"))
        }
        other => Err(format!("{} is not a time", super::template::clip(&other.to_string()))),
    }
}

/// `YYYY-MM-DD HH:MM:SS[.f]`, with a space and without a zone, is how exports of databases write UTC.
fn zoned(text: &str) -> String {
    let text = text.trim();
    let bare = text.len() >= 19
        && text.as_bytes()[10] == b' '
        && text.bytes().skip(11).all(|b| b.is_ascii_digit() || matches!(b, b':' | b'.'));
    if bare { format!("{}T{}Z", &text[..10], &text[11..]) } else { text.to_owned() }
}
