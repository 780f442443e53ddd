//! `POST /v1/embeddings` and `GET /v1/models` as OpenAI has them, errors too.
//!
//! Members that are not known are passed over, as there. `encoding_format: "base64"` is little-endian floats of four bytes,
//! what the official clients ask for.

use super::{Members, cut, object, ready, refused, sent, short, texts, wrong};
use crate::http::HttpState;
use crate::http::answer::{Body, Refusal};
use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::{Value, json};

const PATHS: &[&str] = &["/v1/embeddings", "/v1/models"];

/// Whether a route answers in OpenAI's words.
pub(crate) fn is_openai(path: &str) -> bool {
    PATHS.contains(&path)
}

/// A refusal in OpenAI's words.
pub(crate) fn error(status: StatusCode, body: &Body, request_id: &str) -> Value {
    let (kind, code) = match status {
        StatusCode::UNAUTHORIZED => ("invalid_request_error", "invalid_api_key"),
        StatusCode::FORBIDDEN => ("permission_error", body.code),
        StatusCode::TOO_MANY_REQUESTS => ("rate_limit_error", "rate_limit_exceeded"),
        status if status.is_server_error() => ("server_error", body.code),
        _ => ("invalid_request_error", body.code),
    };
    json!({"message": body.message, "type": kind, "param": body.field(), "code": code, "request_id": request_id})
}

#[derive(Serialize)]
#[serde(untagged)]
enum Numbers<'a> {
    Plain(&'a [f32]),
    Base64(String),
}

#[derive(Serialize)]
struct Entry<'a> {
    object: &'static str,
    index: usize,
    embedding: Numbers<'a>,
}

#[derive(Serialize)]
struct Answer<'a> {
    object: &'static str,
    data: Vec<Entry<'a>>,
    model: &'a str,
    usage: Usage,
}

/// What was made before cost nothing, and what is lexical has no tokens: nobody counts, and the members must be there.
#[derive(Serialize)]
struct Usage {
    prompt_tokens: u32,
    total_tokens: u32,
}

/// `POST /v1/embeddings`.
pub(crate) async fn embeddings(State(state): State<HttpState>, request: Request) -> Result<Response, Refusal> {
    let lane = ready::Lane::of(&request);
    let (object, body) = object(&state, request).await?;
    let mut members = Members(object);
    let input = members.take("input").ok_or_else(|| wrong("input", "is missing"))?;
    let given = texts("input", input)?;
    let dimensions = members.count("dimensions", 65_536)?;
    let base64 = match members.text("encoding_format")?.as_deref() {
        None | Some("float") => false,
        Some("base64") => true,
        Some(_) => return Err(wrong("encoding_format", "is to be `float` or `base64`")),
    };
    let model = cut(&state.serving.embedder(members.text("model")?.as_deref())?, dimensions)?;
    let fresh = state.serving.cache.fresh(&model).map_err(|error| refused(&error))?;
    let given: Vec<&str> = given.iter().map(String::as_str).collect();
    let made = state.serving.vectors(&model, &given).await?;
    let numbers = |vector: &'_ [f32]| {
        let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
        Numbers::Base64(STANDARD.encode(bytes))
    };
    let entry = |(index, vector)| {
        let embedding = if base64 { numbers(vector) } else { Numbers::Plain(vector) };
        Entry { object: "embedding", index, embedding }
    };
    let data = made.vectors.iter().map(|vector| &vector[..]).enumerate().map(entry).collect();
    let usage = Usage { prompt_tokens: 0, total_tokens: 0 };
    let answer = Answer { object: "list", data, model: &made.model, usage };
    let bytes = bytes::Bytes::from(serde_json::to_vec(&answer).map_err(|e| Refusal::invalid(e.to_string()))?);
    lane.keep(&state, &body, &bytes, fresh);
    Ok(sent(bytes))
}

/// `GET /v1/models`.
pub(crate) async fn list(State(state): State<HttpState>) -> Json<Value> {
    let serving = &state.serving;
    let all = serving.embedders.iter().map(|uri| (uri, "embedding"));
    let all = all.chain(serving.generators.iter().map(|uri| (uri, "generation")));
    let entry = |(uri, task): (&String, &str)| {
        let owner = uri.split_once("://").map_or(stillhouse_lexical::SCHEME, |(scheme, _)| scheme);
        json!({"id": short(uri), "object": "model", "created": 0, "owned_by": owner, "uri": uri, "task": task})
    };
    let data: Vec<Value> = all.map(entry).collect();
    Json(json!({"object": "list", "data": data}))
}
