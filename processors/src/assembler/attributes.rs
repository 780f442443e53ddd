//! Reading attributes, whose values are JSON texts.

use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Attributes of a span, or of an event in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attributes<'a>(pub(super) &'a BTreeMap<String, String>);

impl<'a> Attributes<'a> {
    /// Whether one begins so.
    pub(super) fn any(&self, prefix: &str) -> bool {
        self.below(prefix).next().is_some()
    }

    /// Those that begin so, with what comes after.
    pub(super) fn below(&self, prefix: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let owned = prefix.to_owned();
        let from = self.0.range(owned.clone()..);
        from.map_while(move |(name, value)| Some((name.strip_prefix(owned.as_str())?, value.as_str())))
    }

    /// As it was sent.
    pub(super) fn raw(&self, name: &str) -> Option<Value> {
        serde_json::from_str(self.0.get(name)?).ok().filter(|value: &Value| !value.is_null())
    }

    /// As JSON; a text that holds JSON is read, because most libraries can send only that.
    pub(super) fn value(&self, name: &str) -> Option<Value> {
        self.raw(name).map(unfold)
    }

    /// As text: a string as it is, anything else as JSON. Not if it is empty.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.raw(name).map(text).filter(|text| !text.is_empty())
    }

    /// The first of these that there is.
    pub(super) fn first(&self, names: &[&str]) -> Option<String> {
        names.iter().find_map(|name| self.text(name))
    }

    /// A count.
    pub(super) fn count(&self, names: &[&str]) -> Option<i64> {
        names.iter().find_map(|name| whole(&self.value(name)?))
    }

    /// A number that is finite and not negative.
    pub(super) fn number(&self, name: &str) -> Option<f64> {
        amount(&self.value(name)?)
    }

    /// Texts: a list of them, or one.
    pub(super) fn texts(&self, name: &str) -> Vec<String> {
        match self.value(name) {
            Some(Value::Array(items)) => items.into_iter().map(text).filter(|text| !text.is_empty()).collect(),
            Some(other) => Some(text(other)).filter(|text| !text.is_empty()).into_iter().collect(),
            None => Vec::new(),
        }
    }

    /// The objects under `prefix.0.`, `prefix.1.`, …, in order; deeper numbers become lists within them.
    pub(super) fn numbered(&self, prefix: &str) -> Vec<Value> {
        let mut root = Value::Null;
        for (path, value) in self.below(&format!("{prefix}.")) {
            let Ok(value) = serde_json::from_str::<Value>(value) else { continue };
            let steps: Vec<&str> = path.split('.').collect();
            if steps[0].parse::<u64>().is_err() {
                continue;
            }
            // Names come from outside: neither depth nor holes may cost more than what was sent.
            if steps.len() <= MAX_DEPTH {
                put(&mut root, &steps, value);
            }
        }
        match close(root) {
            Value::Array(items) => items,
            _ => Vec::new(),
        }
    }
}

const MAX_DEPTH: usize = 16;

fn put(at: &mut Value, steps: &[&str], value: Value) {
    let Some((step, rest)) = steps.split_first() else {
        *at = value;
        return;
    };
    if !at.is_object() {
        *at = Value::Object(Map::new());
    }
    if let Value::Object(members) = at {
        put(members.entry((*step).to_owned()).or_insert(Value::Null), rest, value);
    }
}

/// Objects whose members are all numbers become lists, in the order of the numbers.
fn close(value: Value) -> Value {
    let Value::Object(members) = value else { return value };
    let numbers: Option<Vec<u64>> = members.keys().map(|name| name.parse().ok()).collect();
    let closed = members.into_iter().map(|(name, value)| (name, close(value)));
    match numbers.filter(|numbers| !numbers.is_empty()) {
        Some(numbers) => {
            let sorted: BTreeMap<u64, Value> = numbers.into_iter().zip(closed.map(|(_, value)| value)).collect();
            Value::Array(sorted.into_values().collect())
        }
        None => Value::Object(closed.collect()),
    }
}

/// A string that holds an object or a list is that.
pub(super) fn unfold(value: Value) -> Value {
    match &value {
        Value::String(text) if text.trim_start().starts_with(['{', '[']) => serde_json::from_str(text).unwrap_or(value),
        _ => value,
    }
}

/// A string as it is, anything else as JSON.
pub(super) fn text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// A whole number that is not negative.
pub(super) fn whole(value: &Value) -> Option<i64> {
    let number = match value {
        Value::Number(number) => {
            number.as_i64().or_else(|| number.as_f64().filter(|n| n.fract() == 0.0).map(|n| n as i64))
        }
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.filter(|number| *number >= 0)
}

/// A number that is finite and not negative.
pub(super) fn amount(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.filter(|number| number.is_finite() && *number >= 0.0)
}
