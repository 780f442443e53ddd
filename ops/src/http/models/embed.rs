//! `POST /v1/embed`: `{"model"?, "text"}` or `{"model"?, "texts": […]}`, and `"dimensions"?`.

use super::{Members, cut, object, ready, sent, texts, wrong};
use crate::http::HttpState;
use crate::http::answer::Refusal;
use axum::extract::{Request, State};
use axum::response::Response;
use serde::Serialize;

#[derive(Serialize)]
struct Answer<'a> {
    model: &'a str,
    provider: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    version: &'a str,
    dimensions: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    embedding: Option<&'a [f32]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    embeddings: Option<Vec<&'a [f32]>>,
}

/// `POST /v1/embed`.
pub(crate) async fn embed(State(state): State<HttpState>, request: Request) -> Result<Response, Refusal> {
    let lane = ready::Lane::of(&request);
    let (object, body) = object(&state, request).await?;
    let mut members = Members(object);
    let (text, many) = (members.take("text"), members.take("texts"));
    let dimensions = members.count("dimensions", 65_536)?;
    let model = cut(&state.serving.embedder(members.text("model")?.as_deref())?, dimensions)?;
    members.end(&["model", "text", "texts", "dimensions"])?;
    let (given, single) = match (text, many) {
        (Some(text @ serde_json::Value::String(_)), None) => (texts("text", text)?, true),
        (Some(_), None) => return Err(wrong("text", "is to be a string; `texts` takes a list of them")),
        (None, Some(many @ serde_json::Value::Array(_))) => (texts("texts", many)?, false),
        (None, Some(_)) => return Err(wrong("texts", "is to be a list of strings; `text` takes one")),
        _ => return Err(wrong("text", "or `texts` is to be there, and not both")),
    };
    let fresh = state.serving.cache.fresh(&model).map_err(|error| super::refused(&error))?;
    let given: Vec<&str> = given.iter().map(String::as_str).collect();
    let made = state.serving.vectors(&model, &given).await?;
    let vectors: Vec<&[f32]> = made.vectors.iter().map(|vector| &vector[..]).collect();
    let answer = Answer {
        model: &made.model,
        provider: &made.provider,
        version: &made.version,
        dimensions: vectors.first().map_or(0, |vector| vector.len()),
        embedding: vectors.first().copied().filter(|_| single),
        embeddings: (!single).then_some(vectors),
    };
    // The shortest digits that give the same number again.
    let bytes = serde_json::to_vec(&answer).map_err(|e| Refusal::invalid(e.to_string()))?;
    let bytes = bytes::Bytes::from(bytes);
    lane.keep(&state, &body, &bytes, fresh);
    Ok(sent(bytes))
}
