//! `GET /v1/claims/{entity}`: what was held of an entity at a time, and on whose word.

use super::HttpState;
use super::answer::Refusal;
use super::intake::now_micros;
use super::quarantine::refused;
use super::read::Params;
use crate::claims::{Asked, held, rule};
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::Uri;
use serde_json::{Value, json};
use stillhouse_schemas::{Payload, time};

/// `GET /v1/claims/{entity}`: `at`, `attribute`.
pub(crate) async fn show(
    State(state): State<HttpState>,
    path: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Json<Value>, Refusal> {
    let Ok(Path(entity)) = path else {
        return Err(Refusal::bad("entity", "the path is not UTF-8 once it is decoded"));
    };
    let params = Params::of(&uri, &["at", "attribute"])?;
    let at = match params.get("at") {
        None => now_micros(),
        Some(text) => time::parse(text).map_err(|why| Refusal::bad("at", format!("at {why}")))?,
    };
    let generations = state.health.node().generations().await?;
    let rule = rule(&generations, None).map_err(refused)?;
    let _place = state.place().await?;
    let asked = Asked { name: &entity, attribute: params.get("attribute"), dotted: false };
    let verdicts = held(state.log(), &rule, &asked, at).await.map_err(refused)?;
    let verdicts: Vec<Value> = verdicts.into_iter().map(|verdict| Payload::Verdict(verdict).to_json()).collect();
    Ok(Json(json!({"entity": entity, "at": time::format(at), "held": verdicts})))
}
