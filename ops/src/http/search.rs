//! `POST /v1/search`: one question over many corpora. `GET /v1/corpora`: what there is to be searched.

use super::HttpState;
use super::access::Caller;
use super::answer::Refusal;
use super::models::object;
use super::quarantine::refused;
use super::read::Params;
use crate::index::search::Question;
use crate::index::service::Searches;
use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri};
use axum::{Extension, Json};
use serde_json::{Value, json};
use std::time::Duration;
use stillhouse_streams::Position;

/// Time to wait for a position, at most.
const LONGEST_MS: u64 = 60_000;

impl HttpState {
    fn searches(&self) -> Result<&Searches, Refusal> {
        self.searches.as_deref().ok_or_else(|| Refusal::missing("this server keeps no index"))
    }
}

/// `POST /v1/search`.
pub(crate) async fn search(
    State(state): State<HttpState>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Json<Value>, Refusal> {
    let (mut body, _) = object(&state, request).await?;
    let mut text = |name: &str| match body.shift_remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Refusal::invalid(format!("`{name}` is to be a string")).field(name)),
    };
    let generation = text("generation")?;
    let position = text("wait_for")?;
    let position = position.map(|text| {
        text.parse::<Position>()
            .map_err(|e| Refusal::invalid(format!("`wait_for` is to be topic/partition/offset: {e}")).field("wait_for"))
    });
    let position = position.transpose()?;
    let patience = match body.shift_remove("timeout_ms") {
        None | Some(Value::Null) => 5_000,
        Some(value) => value
            .as_u64()
            .filter(|ms| (1..=LONGEST_MS).contains(ms))
            .ok_or_else(|| Refusal::invalid(format!("`timeout_ms` is from 1 to {LONGEST_MS}")).field("timeout_ms"))?,
    };
    let question: Question =
        serde_json::from_value(Value::Object(body)).map_err(|e| Refusal::invalid(e.to_string()))?;
    if let Some(role) = question.query_role.as_deref().map(str::trim).filter(|role| !role.is_empty())
        && !state.access.may_search_as(&caller, role)
    {
        let message = "this token may not search in that role: name it in its `search_roles`";
        return Err(Refusal::new(StatusCode::FORBIDDEN, "forbidden", message).field("query_role"));
    }
    let generations = state.health.node().generations().await?;
    let wait = position.as_ref().map(|position| (position, Duration::from_millis(patience)));
    let answer =
        state.searches()?.search(&generations, generation.as_deref(), question, wait).await.map_err(refused)?;
    Ok(Json(serde_json::to_value(answer).unwrap_or_default()))
}

/// `GET /v1/corpora`.
pub(crate) async fn corpora(State(state): State<HttpState>, uri: Uri) -> Result<Json<Value>, Refusal> {
    let params = Params::of(&uri, &["generation"])?;
    let generations = state.health.node().generations().await?;
    let (generation, corpora, progress) =
        state.searches()?.corpora(&generations, params.get("generation")).await.map_err(refused)?;
    Ok(Json(json!({"generation": generation, "corpora": corpora, "as_of": progress})))
}
