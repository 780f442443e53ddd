//! `GET /openapi.json`: the API as OpenAPI 3.1 describes it.
//!
//! Paths, roles and what they do come from [`ROUTES`], payloads from the published Avro schemas; bodies and parameters stand in
//! `openapi.json` beside this file. What a schema leaves open (OpenAI's shapes of messages and tools are taken too) it does not
//! forbid: the answer to a request that is not right names what is wrong.

use super::ROUTES;
use axum::Json;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::LazyLock;
use stillhouse_schemas::EVENTS;

/// Records that may come in another shape than their own.
const OPEN: [&str; 3] = ["Message", "Tool", "ToolCall"];

static DOCUMENT: LazyLock<Value> = LazyLock::new(document);

/// `GET /openapi.json`.
pub(crate) async fn openapi() -> Json<&'static Value> {
    Json(&DOCUMENT)
}

fn document() -> Value {
    let written: Value = serde_json::from_str(include_str!("openapi.json")).unwrap_or_default();
    let mut schemas = written["components"].as_object().cloned().unwrap_or_default();
    for event in EVENTS {
        schemas.insert(event.name.to_owned(), payload(event.schema_json(), event.doc));
    }
    let mut paths = Map::new();
    for route in ROUTES {
        let mut operation = written["paths"][format!("{} {}", route.method, route.path)].clone();
        if operation.is_null() {
            operation = json!({"responses": {"200": {"description": "JSON.", "content": {"application/json": {"schema": {}}}}}});
        }
        let words = route.path.split(['/', '{', '}', '.']).filter(|word| !word.is_empty() && *word != "v1");
        let id: Vec<String> = std::iter::once(route.method.to_lowercase()).chain(words.map(str::to_owned)).collect();
        operation["operationId"] = id.join("_").into();
        operation["summary"] = route.doc.into();
        if operation["responses"].get("default").is_none() {
            operation["responses"]["default"] = json!({"description": "Not done; the status and the body say why.",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}});
        }
        match route.role {
            None => operation["security"] = json!([]),
            Some(role) => {
                operation["description"] =
                    format!("Needs the role `{}` where tokens are configured.", role.as_str()).into()
            }
        }
        let named = route.path.split('{').skip(1).filter_map(|rest| rest.split('}').next());
        let named =
            named.map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}));
        let mut parameters: Vec<Value> = named.collect();
        parameters.extend(operation["parameters"].as_array().into_iter().flatten().cloned());
        if !parameters.is_empty() {
            operation["parameters"] = parameters.into();
        }
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method.to_lowercase()] = operation;
    }
    json!({
        "openapi": "3.1.0",
        "info": {"title": "Stillhouse", "version": env!("CARGO_PKG_VERSION"),
            "summary": "The journal of LLM agents.",
            "description": "An answer of 2xx to a POST means that all of it is durable. Errors have one shape.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
        "security": [{"token": []}, {}],
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    })
}

/// The payload of a published event, as its JSON is.
fn payload(avro: &str, doc: &str) -> Value {
    let event: Value = serde_json::from_str(avro).unwrap_or_default();
    let mut named = BTreeMap::new();
    collect(&event, &mut named);
    let fields = event["fields"].as_array().into_iter().flatten();
    let found = fields.filter(|field| field["name"] == "payload").map(|field| &field["type"]).next();
    let mut schema = found.map_or_else(|| json!({"type": "object"}), |avro| of(avro, &named));
    schema["description"] = doc.into();
    schema
}

/// Every record that is spelled out somewhere, by its short name.
fn collect<'a>(avro: &'a Value, named: &mut BTreeMap<&'a str, &'a Value>) {
    match avro {
        Value::Object(members) => {
            if let (Some("record"), Some(name)) = (avro["type"].as_str(), avro["name"].as_str()) {
                named.insert(short(name), avro);
            }
            members.values().for_each(|member| collect(member, named));
        }
        Value::Array(list) => list.iter().for_each(|entry| collect(entry, named)),
        _ => {}
    }
}

fn short(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

fn of(avro: &Value, named: &BTreeMap<&str, &Value>) -> Value {
    match avro {
        Value::Array(branches) => {
            let mut any: Vec<Value> = branches.iter().map(|branch| of(branch, named)).collect();
            if any.len() == 1 { any.remove(0) } else { json!({"anyOf": any}) }
        }
        Value::Object(_) if avro["logicalType"].as_str().is_some_and(|kind| kind.starts_with("timestamp")) => {
            json!({"type": ["string", "integer"], "format": "date-time"})
        }
        Value::Object(_) => match avro["type"].as_str() {
            Some("array") => json!({"type": "array", "items": of(&avro["items"], named)}),
            Some("map") => json!({"type": "object", "additionalProperties": of(&avro["values"], named)}),
            Some("record") => record(avro, named),
            _ => of(&avro["type"], named),
        },
        Value::String(name) => match name.as_str() {
            "null" => json!({"type": "null"}),
            "boolean" => json!({"type": "boolean"}),
            "int" | "long" => json!({"type": "integer"}),
            "float" | "double" => json!({"type": "number"}),
            "bytes" => json!({"type": "string", "contentEncoding": "base64"}),
            "string" => json!({"type": "string"}),
            name => named.get(short(name)).map_or_else(|| json!({}), |avro| record(avro, named)),
        },
        _ => json!({}),
    }
}

fn record(avro: &Value, named: &BTreeMap<&str, &Value>) -> Value {
    let name = avro["name"].as_str().map(short).unwrap_or_default();
    if OPEN.contains(&name) {
        return json!({"type": "object", "description": format!("{} OpenAI's shape is taken too.", avro["doc"].as_str().unwrap_or_default())});
    }
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for field in avro["fields"].as_array().into_iter().flatten() {
        let Some(name) = field["name"].as_str() else { continue };
        let mut schema = of(&field["type"], named);
        if let Some(doc) = field["doc"].as_str() {
            schema["description"] = doc.into();
        }
        properties.insert(name.to_owned(), schema);
        if field.get("default").is_none() {
            required.push(name);
        }
    }
    let mut schema = json!({"type": "object", "properties": properties});
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}
