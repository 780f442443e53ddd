//! `/v1/quarantine`: what is left out, and deciding about it.

use super::HttpState;
use super::access::Caller;
use super::answer::Refusal;
use super::read::{Params, path_id};
use crate::events::Log;
use crate::failure::{Failure, Status};
use crate::quarantine::{self, Filter, State as Stands, entries, find};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::{Extension, Json};
use clap::ValueEnum;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

type Answer = Result<Json<Value>, Refusal>;

/// Entries of one answer, at most.
const MAX_LIMIT: usize = 1_000;
/// A listing waits this long for other readers to be done.
const PATIENCE: Duration = Duration::from_secs(5);

impl HttpState {
    pub(super) fn log(&self) -> Log<'_> {
        Log { journal: self.journal.as_ref(), codec: &self.codec, names: &self.names }
    }

    /// A place among those who read whole topics.
    pub(super) async fn place(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        let waited = tokio::time::timeout(PATIENCE, self.pages.clone().acquire_owned()).await;
        let busy =
            || Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "too many readers; try again").retry_after(1);
        waited.map_err(|_| busy())?.map_err(|_| busy())
    }
}

pub(super) fn refused(failure: Failure) -> Refusal {
    let hint = failure.hint.map(|hint| format!("; {hint}")).unwrap_or_default();
    let message = format!("{}{hint}", failure.message);
    match failure.status {
        Status::NotFound => Refusal::missing(message),
        Status::Invalid | Status::Usage => Refusal::invalid(message),
        Status::Unreachable => Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message).retry_after(5),
        _ => Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message),
    }
}

/// `GET /v1/quarantine`: what is left out; `state`, `reason`, `limit`.
pub(crate) async fn list(State(state): State<HttpState>, uri: Uri) -> Answer {
    let params = Params::of(&uri, &["state", "reason", "limit"])?;
    let stands = match params.get("state").unwrap_or("open") {
        "all" => None,
        word => Some(
            Stands::from_str(word, false)
                .map_err(|_| Refusal::bad("state", "state is `open`, `released`, `discarded` or `all`"))?,
        ),
    };
    let limit = params.number("limit", 0, MAX_LIMIT)?.unwrap_or(100);
    let filter = Filter { state: stands, reason: params.get("reason").map(str::to_owned), id: None };
    let _place = state.place().await?;
    let (counts, entries) = entries(state.log(), &filter, limit).await.map_err(refused)?;
    let total: u64 = counts.values().sum();
    let counts: Vec<Value> = counts
        .into_iter()
        .map(|((stage, reason, rule), n)| json!({"stage": stage, "reason": reason, "rule": rule, "count": n}))
        .collect();
    Ok(Json(json!({"total": total, "counts": counts, "entries": entries})))
}

/// `GET /v1/quarantine/{id}`.
pub(crate) async fn show(
    State(state): State<HttpState>,
    path: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Answer {
    let id = path_id(path, "id")?;
    Params::of(&uri, &[])?;
    let _place = state.place().await?;
    Ok(Json(json!({"entries": find(state.log(), &id).await.map_err(refused)?})))
}

/// `POST /v1/quarantine/{id}/release`.
pub(crate) async fn release(
    State(state): State<HttpState>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Answer {
    decide(state, caller, path, uri, true).await
}

/// `POST /v1/quarantine/{id}/discard`.
pub(crate) async fn discard(
    State(state): State<HttpState>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Answer {
    decide(state, caller, path, uri, false).await
}

async fn decide(
    state: HttpState,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
    uri: Uri,
    lets_in: bool,
) -> Answer {
    let id = path_id(path, "id")?;
    let params = Params::of(&uri, &["why"])?;
    let why = params.get("why").unwrap_or_default();
    if why.chars().count() > 1_000 {
        return Err(Refusal::bad("why", "at most 1000 characters"));
    }
    let by = caller.0.as_deref().unwrap_or("api").to_owned();
    let _place = state.place().await?;
    let chosen = find(state.log(), &id).await.map_err(refused)?;
    let (word, done) = if lets_in {
        ("released", quarantine::release(state.log(), chosen, (why, &by)).await)
    } else {
        ("discarded", quarantine::discard(state.log(), chosen, (why, &by)).await)
    };
    let (now, before) = done.map_err(refused)?;
    let ids = |entries: Vec<quarantine::Entry>| entries.into_iter().map(|entry| entry.id).collect::<Vec<_>>();
    Ok(Json(json!({word: ids(now), "before": ids(before)})))
}
