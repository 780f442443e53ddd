//! The JSON shape of a payload, made of its Avro schema: what is checked and how it is named comes from there.

use crate::error::BadEvent;
use crate::time;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

/// What a JSON value must be.
#[derive(Clone, Debug)]
pub(crate) enum Shape {
    Null,
    Boolean,
    Int,
    Long,
    /// RFC 3339 outside, microseconds inside.
    Time,
    Double,
    Text,
    /// Base64 outside.
    Bytes,
    Symbol(Arc<[String]>),
    List(Box<Shape>),
    Table(Box<Shape>),
    Record(Arc<Record>),
    Maybe(Box<Shape>),
}

/// The shape of an Avro record.
#[derive(Debug)]
pub(crate) struct Record {
    fields: Vec<Field>,
}

#[derive(Debug)]
struct Field {
    name: String,
    shape: Shape,
    required: bool,
}

/// What becomes of a field that the shape does not know.
pub(crate) enum Unknown<'a> {
    /// It is an error.
    Refuse,
    /// It is taken out and put here, with its path from the root of the payload.
    Collect(&'a mut Vec<(String, Value)>),
}

impl Shape {
    /// The shape of a self-contained schema.
    pub(crate) fn of_schema(schema: &Value) -> Self {
        of(schema, &mut HashMap::new())
    }

    /// Checks `value` and turns times into microseconds; `null` counts as absent where a field may be.
    /// `path` is the path of `value`, and the same again afterwards unless this fails.
    pub(crate) fn admit(
        &self,
        value: &mut Value,
        path: &mut String,
        unknown: &mut Unknown<'_>,
    ) -> Result<(), BadEvent> {
        let wrong = |path: &str, value: &Value, wanted: &str| {
            Err(BadEvent::new(named(path), format!("must be {wanted}, not {}", kind_of(value))))
        };
        match self {
            Self::Null => match value {
                Value::Null => Ok(()),
                other => wrong(path, other, "null"),
            },
            Self::Boolean => match value {
                Value::Bool(_) => Ok(()),
                other => wrong(path, other, "true or false"),
            },
            Self::Int => match value.as_i64() {
                Some(i) if i32::try_from(i).is_ok() => Ok(()),
                Some(_) => Err(BadEvent::new(named(path), "does not fit 32 bits")),
                None => wrong(path, value, "an integer"),
            },
            Self::Long => match value {
                Value::Number(n) if n.is_u64() && n.as_i64().is_none() => {
                    Err(BadEvent::new(named(path), "does not fit 64 bits with a sign"))
                }
                Value::Number(n) if n.is_i64() => Ok(()),
                other => wrong(path, other, "an integer"),
            },
            Self::Time => match value {
                Value::String(text) => {
                    let micros = time::parse(text).map_err(|m| BadEvent::new(named(path), m))?;
                    *value = Value::from(micros);
                    Ok(())
                }
                other => wrong(path, other, "a time in RFC 3339 with a zone, as in \"2026-01-31T12:00:00Z\""),
            },
            Self::Double => match value {
                Value::Number(n) if exact(n) => Ok(()),
                Value::Number(_) => Err(BadEvent::new(named(path), "would be rounded; at most 2^53 as a number")),
                other => wrong(path, other, "a number"),
            },
            Self::Text => match value {
                Value::String(_) => Ok(()),
                other => wrong(path, other, "a string"),
            },
            Self::Bytes => match value {
                Value::String(text) if crate::bytes_or_base64::bytes(text).is_some() => Ok(()),
                Value::String(_) => Err(BadEvent::new(named(path), "is not base64 (standard alphabet, with padding)")),
                other => wrong(path, other, "base64 text"),
            },
            Self::Symbol(symbols) => match value {
                Value::String(text) if symbols.iter().any(|s| s == text) => Ok(()),
                Value::String(_) => Err(BadEvent::new(
                    named(path),
                    format!("must be one of {}", quoted(symbols.iter().map(|s| s.as_str()))),
                )),
                other => wrong(path, other, "a string"),
            },
            Self::Maybe(shape) => match value {
                Value::Null => Ok(()),
                value => shape.admit(value, path, unknown),
            },
            Self::List(shape) => match value {
                Value::Array(items) => {
                    let length = path.len();
                    for (i, item) in items.iter_mut().enumerate() {
                        let _ = write!(path, "[{i}]");
                        shape.admit(item, path, unknown)?;
                        path.truncate(length);
                    }
                    Ok(())
                }
                other => wrong(path, other, "an array"),
            },
            Self::Table(shape) => match value {
                Value::Object(members) => {
                    let length = path.len();
                    for (name, member) in members {
                        step(path, name);
                        shape.admit(member, path, unknown)?;
                        path.truncate(length);
                    }
                    Ok(())
                }
                other => wrong(path, other, "an object"),
            },
            Self::Record(record) => match value {
                Value::Object(members) => record.admit(members, path, unknown),
                other => wrong(path, other, "an object"),
            },
        }
    }

    /// Turns times into RFC 3339 and bytes, which come as arrays of numbers, into base64.
    pub(crate) fn present(&self, value: &mut Value) {
        match (self, value) {
            (Self::Time, value) => {
                if let Some(micros) = value.as_i64() {
                    *value = Value::String(time::format(micros));
                }
            }
            (Self::Bytes, value) => {
                if let Value::Array(numbers) = value {
                    let byte = |number: &Value| number.as_u64().and_then(|n| u8::try_from(n).ok());
                    let bytes: Vec<u8> = numbers.iter().filter_map(byte).collect();
                    *value = Value::String(crate::bytes_or_base64::text(&bytes));
                }
            }
            (Self::Maybe(shape), value) => shape.present(value),
            (Self::List(shape), Value::Array(items)) if shape.is_presented() => {
                items.iter_mut().for_each(|i| shape.present(i));
            }
            (Self::Table(shape), Value::Object(members)) if shape.is_presented() => {
                members.values_mut().for_each(|m| shape.present(m));
            }
            (Self::Record(record), Value::Object(members)) => {
                for field in &record.fields {
                    if let Some(member) = members.get_mut(&field.name) {
                        field.shape.present(member);
                    }
                }
            }
            _ => {}
        }
    }

    fn is_presented(&self) -> bool {
        match self {
            Self::Time | Self::Bytes => true,
            Self::Maybe(s) | Self::List(s) | Self::Table(s) => s.is_presented(),
            Self::Record(r) => r.fields.iter().any(|f| f.shape.is_presented()),
            _ => false,
        }
    }
}

impl Record {
    fn admit(
        &self,
        members: &mut Map<String, Value>,
        path: &mut String,
        unknown: &mut Unknown<'_>,
    ) -> Result<(), BadEvent> {
        let length = path.len();
        let mut strange = Vec::new();
        let mut absent = Vec::new();
        for (name, member) in members.iter_mut() {
            match self.fields.iter().find(|f| f.name == *name) {
                None => strange.push(name.clone()),
                Some(field) if member.is_null() && !field.required => absent.push(name.clone()),
                Some(field) => {
                    step(path, name);
                    field.shape.admit(member, path, unknown)?;
                    path.truncate(length);
                }
            }
        }
        for name in absent {
            members.shift_remove(&name);
        }
        for name in strange {
            step(path, &name);
            match unknown {
                Unknown::Refuse => {
                    let known = quoted(self.fields.iter().map(|f| f.name.as_str()));
                    return Err(BadEvent::new(path.as_str(), format!("is no field here; the fields are {known}")));
                }
                Unknown::Collect(found) => {
                    if let Some(value) = members.shift_remove(&name) {
                        found.push((path.clone(), value));
                    }
                }
            }
            path.truncate(length);
        }
        match self.fields.iter().find(|f| f.required && !members.contains_key(&f.name)) {
            None => Ok(()),
            Some(field) => {
                step(path, &field.name);
                Err(BadEvent::new(path.as_str(), "is missing, and required"))
            }
        }
    }
}

/// Whether a double holds the number as it was written.
fn exact(n: &serde_json::Number) -> bool {
    const LIMIT: u64 = 1 << 53;
    match (n.as_u64(), n.as_i64()) {
        (Some(u), _) => u <= LIMIT,
        (None, Some(i)) => i.unsigned_abs() <= LIMIT,
        (None, None) => true,
    }
}

pub(crate) fn step(path: &mut String, name: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(name);
}

/// A path for an error; that of the whole has no name of its own.
pub(crate) fn named(path: &str) -> &str {
    if path.is_empty() { "event" } else { path }
}

pub(crate) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(n) if n.is_f64() => "a fraction",
        Value::Number(_) => "an integer",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

pub(crate) fn quoted<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
}

fn of(schema: &Value, named: &mut HashMap<String, Shape>) -> Shape {
    match schema {
        Value::String(name) => match name.as_str() {
            "null" => Shape::Null,
            "boolean" => Shape::Boolean,
            "int" => Shape::Int,
            "long" => Shape::Long,
            "double" => Shape::Double,
            "string" => Shape::Text,
            "bytes" => Shape::Bytes,
            other => named.get(short(other)).cloned().unwrap_or_else(|| panic!("no schema named {other}")),
        },
        Value::Array(branches) => match branches.as_slice() {
            [null, other] if null == "null" => Shape::Maybe(Box::new(of(other, named))),
            _ => panic!("unions are of null and one other"),
        },
        Value::Object(o) => {
            let kind = &o["type"];
            let name = o.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
            let shape = match kind.as_str() {
                Some("long") if o.get("logicalType").is_some_and(|l| l == "timestamp-micros") => Shape::Time,
                Some("array") => Shape::List(Box::new(of(&o["items"], named))),
                Some("map") => Shape::Table(Box::new(of(&o["values"], named))),
                Some("enum") => {
                    let symbols = o["symbols"].as_array().into_iter().flatten();
                    Shape::Symbol(symbols.filter_map(Value::as_str).map(str::to_owned).collect())
                }
                Some("record") => {
                    let fields = o["fields"].as_array().into_iter().flatten();
                    let fields = fields.map(|f| Field {
                        name: f["name"].as_str().unwrap_or_default().to_owned(),
                        shape: of(&f["type"], named),
                        required: f.get("default").is_none(),
                    });
                    Shape::Record(Arc::new(Record { fields: fields.collect() }))
                }
                _ => of(kind, named),
            };
            if matches!(shape, Shape::Record(_) | Shape::Symbol(_)) {
                named.insert(short(&name).to_owned(), shape.clone());
            }
            shape
        }
        other => panic!("not a schema: {other}"),
    }
}

fn short(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}
