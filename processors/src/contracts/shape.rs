//! What a value of a contract may be.

use super::ContractError;
use crate::exporter::canonical::Json;
use serde_json::{Map, Value, json};
use std::borrow::Cow;

/// What a value may be.
#[derive(Debug)]
pub enum Shape {
    /// Text.
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A whole number in 64 bits.
    Int,
    /// A number, written with four decimals.
    Float,
    /// `null`, or this.
    Optional(&'static Self),
    /// A list of these.
    List(&'static Self),
    /// A list of these, one after the other.
    Tuple(&'static [Self]),
    /// An object of any names with these.
    Map(&'static Self),
    /// An object of exactly these members, in the order of their names.
    Members(&'static [(&'static str, Self)]),
    /// An object that a run recorded: anything, numbers as written.
    Recorded,
}

impl Shape {
    /// The value in the types of this shape; `path` is where it stands, and is left as it came.
    pub(super) fn take<'a>(&self, json: Json<'a>, path: &mut String) -> Result<Json<'a>, ContractError> {
        let refuse = |path: &str, why: String| Err(ContractError::Shape { path: path.to_owned(), why });
        match (self, json) {
            (Self::Optional(_), Json::Null) => Ok(Json::Null),
            (Self::Optional(shape), json) => shape.take(json, path),
            (Self::Text, json @ Json::Text(_)) | (Self::Recorded, json @ Json::Map(_)) => Ok(json),
            (Self::Word(words), Json::Text(text)) => {
                if words.contains(&text.as_ref()) {
                    return Ok(Json::Text(text));
                }
                refuse(path, format!("`{}` is none of {}", text.escape_debug(), words.join(", ")))
            }
            (Self::Int, Json::Verbatim(number)) => match number.parse::<i64>() {
                // `-0` is a second spelling of zero; an exponent or a point does not parse.
                Ok(value) if number != "-0" => Ok(Json::Int(value)),
                _ => refuse(path, format!("{} is no whole number in 64 bits", shortened(&number))),
            },
            (Self::Float, Json::Verbatim(number)) => match number.parse::<f64>() {
                Ok(value) if value.is_finite() => Ok(Json::Float(value)),
                _ => refuse(path, format!("{} is too great a number", shortened(&number))),
            },
            (Self::List(shape), Json::List(items)) => {
                let items = items.into_iter().enumerate();
                let items = items.map(|(i, item)| within(path, &format!("[{i}]"), |path| shape.take(item, path)));
                Ok(Json::List(items.collect::<Result<_, _>>()?))
            }
            (Self::Tuple(shapes), Json::List(items)) if items.len() == shapes.len() => {
                let items = shapes.iter().zip(items).enumerate();
                let items =
                    items.map(|(i, (shape, item))| within(path, &format!("[{i}]"), |path| shape.take(item, path)));
                Ok(Json::List(items.collect::<Result<_, _>>()?))
            }
            (Self::Map(shape), Json::Map(members)) => {
                let take = |(name, value): (Cow<'a, str>, Json<'a>)| {
                    let taken = within(path, &format!(".{name}"), |path| shape.take(value, path));
                    taken.map(|value| (name, value))
                };
                Ok(Json::Map(members.into_iter().map(take).collect::<Result<_, ContractError>>()?))
            }
            (Self::Members(shapes), Json::Map(mut members)) => {
                let mut taken = Vec::with_capacity(shapes.len());
                for (name, shape) in *shapes {
                    let Some(value) = members.remove(*name) else {
                        return refuse(path, format!("`{name}` is missing"));
                    };
                    taken.push((*name, within(path, &format!(".{name}"), |path| shape.take(value, path))?));
                }
                match members.pop_first() {
                    Some((name, _)) => refuse(path, format!("`{}` is no member", shortened(&name))),
                    None => Ok(Json::map(taken)),
                }
            }
            (shape, json) => refuse(path, format!("{} is expected, and {} is there", shape.word(), kind(&json))),
        }
    }

    fn word(&self) -> &'static str {
        match self {
            Self::Text | Self::Word(_) => "text",
            Self::Int => "a whole number",
            Self::Float => "a number",
            Self::Optional(shape) => shape.word(),
            Self::List(_) => "a list",
            Self::Tuple(_) => "a list of another length",
            Self::Map(_) | Self::Members(_) | Self::Recorded => "an object",
        }
    }

    /// As JSON Schema.
    pub(super) fn json_schema(&self) -> Value {
        match self {
            Self::Text => json!({"type": "string"}),
            Self::Word(words) => json!({"enum": words}),
            Self::Int => json!({"type": "integer"}),
            Self::Float => json!({"type": "number", "description": "written with four decimals"}),
            Self::Optional(shape) => json!({"anyOf": [{"type": "null"}, shape.json_schema()]}),
            Self::List(shape) => json!({"type": "array", "items": shape.json_schema()}),
            Self::Tuple(shapes) => {
                let items: Vec<Value> = shapes.iter().map(Self::json_schema).collect();
                json!({"type": "array", "prefixItems": items, "items": false, "minItems": shapes.len()})
            }
            Self::Map(shape) => json!({"type": "object", "additionalProperties": shape.json_schema()}),
            Self::Members(members) => {
                let names: Vec<&str> = members.iter().map(|(name, _)| *name).collect();
                let properties: Map<String, Value> =
                    members.iter().map(|(name, shape)| ((*name).to_owned(), shape.json_schema())).collect();
                json!({"type": "object", "required": names, "properties": properties, "additionalProperties": false})
            }
            Self::Recorded => json!({"type": "object", "description": "as recorded, numbers as written"}),
        }
    }
}

fn within<T>(path: &mut String, part: &str, take: impl FnOnce(&mut String) -> T) -> T {
    let before = path.len();
    path.push_str(if before == 0 { part.trim_start_matches('.') } else { part });
    let taken = take(path);
    path.truncate(before);
    taken
}

fn kind(json: &Json<'_>) -> &'static str {
    match json {
        Json::Null => "null",
        Json::Bool(_) => "true or false",
        Json::Int(_) | Json::Float(_) | Json::Verbatim(_) => "a number",
        Json::Text(_) => "text",
        Json::List(_) => "a list",
        Json::Map(_) => "an object",
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(40).flat_map(char::escape_debug).collect()
}
