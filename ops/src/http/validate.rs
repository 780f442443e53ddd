//! `POST /v1/validate`: one artefact, or a batch of `items`, by a policy or by named validators. `GET /v1/validators`.

use super::HttpState;
use super::answer::Refusal;
use super::models::object;
use super::quarantine::refused;
use crate::checks::{By, Checks, Item, MOST_ITEMS, overall};
use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use serde_json::{Map, Value, json};

impl HttpState {
    fn checks(&self) -> Result<&Checks, Refusal> {
        self.checks.as_deref().ok_or_else(|| Refusal::missing("nothing is validated here"))
    }
}

/// `POST /v1/validate`.
pub(crate) async fn validate(State(state): State<HttpState>, request: Request) -> Result<Json<Value>, Refusal> {
    let (mut body, _) = object(&state, request).await?;
    let checks = state.checks()?;
    let by = by(&mut body)?;
    let batch = match body.shift_remove("items") {
        None => None,
        Some(Value::Array(items)) if body.is_empty() => Some(items),
        Some(Value::Array(_)) => {
            let name = body.keys().next().cloned().unwrap_or_default();
            return Err(Refusal::invalid("goes into each of `items`").field(name));
        }
        Some(_) => return Err(Refusal::invalid("`items` is to be a list").field("items")),
    };
    let single = batch.is_none();
    let items = batch.unwrap_or_else(|| vec![Value::Object(body)]);
    if items.is_empty() {
        return Err(Refusal::invalid("`items` is empty").field("items"));
    }
    if items.len() > MOST_ITEMS {
        let message = format!("at most {MOST_ITEMS} items in a request");
        return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "too_many_items", message).field("items"));
    }
    let item = |(index, value): (usize, Value)| {
        let there = value.get("artefact").is_some_and(|artefact| !artefact.is_null());
        let read = serde_json::from_value::<Item>(value).map_err(|error| error.to_string());
        let read = if there { read } else { Err("`artefact` is missing: JSON, or a text".to_owned()) };
        read.map_err(|why| {
            let refusal = Refusal::invalid(why);
            if single { refusal } else { refusal.index(index) }
        })
    };
    let items = items.into_iter().enumerate().map(item).collect::<Result<Vec<_>, _>>()?;
    let mut answers = checks.check(&items, &by).await.map_err(refused)?;
    if single {
        return Ok(Json(serde_json::to_value(answers.pop()).unwrap_or_default()));
    }
    let verdict = overall(answers.iter().map(|answer| answer.verdict));
    Ok(Json(json!({"verdict": verdict, "results": answers})))
}

/// By what is to be validated.
fn by(body: &mut Map<String, Value>) -> Result<By, Refusal> {
    let mut text = |name: &str| match body.shift_remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Refusal::invalid(format!("`{name}` is to be a string")).field(name)),
    };
    let (policy, roster) = (text("policy")?, text("roster_version")?);
    let wrong = || Refusal::invalid("`validators` is to be a list of names").field("validators");
    let validators = match body.shift_remove("validators") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(names)) => names
            .into_iter()
            .map(|name| name.as_str().map(str::to_owned).ok_or_else(wrong))
            .collect::<Result<_, _>>()?,
        Some(_) => return Err(wrong()),
    };
    if policy.is_some() != validators.is_empty() {
        return Err(Refusal::invalid("name a `policy` or `validators`, and not both").field("policy"));
    }
    Ok(By { policy, validators, roster })
}

/// `GET /v1/validators`.
pub(crate) async fn list(State(state): State<HttpState>) -> Result<Json<Value>, Refusal> {
    Ok(Json(state.checks()?.list()))
}
