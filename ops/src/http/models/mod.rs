//! Models over HTTP: vectors, order, answers.
//!
//! Callers name a model by the URI that the settings have, or by its last part; they cannot name one that the settings do not
//! have, so a token never makes this node ask a host of the caller's choice. Lexical vectors of any length are always there.
//!
//! ```text
//!   POST /v1/embed, /v1/embeddings ─▶ ready (by the bytes of the body) ─▶ cache (by text) ─▶ model
//! ```
//!
//! `/v1/embeddings` and `GET /v1/models` speak as OpenAI does, errors too. Deliberately absent: streaming, tokens as input.

mod embed;
mod generate;
mod openai;
pub(super) mod ready;
mod rerank;
mod stats;

pub(crate) use embed::embed;
pub(crate) use generate::generate;
pub(crate) use openai::{embeddings, error, is_openai, list};
pub(crate) use rerank::rerank;
pub(crate) use stats::{render, stats};

use super::HttpState;
use super::answer::Refusal;
use super::body::{self, BodyLimits, busy};
use super::intake::blocking_if;
use super::json;
use super::prepare::Media;
use super::read::Params;
use crate::embedders::Kept;
use crate::settings::{Models, Settings};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;
use stillhouse_embedcache::{Answers, EmbedCache};
use stillhouse_schemas::model::{CallError, Calls, Embedders, Embeddings, ModelError};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Texts of one request.
const MOST_TEXTS: usize = 2_048;
/// Bytes of one text.
const TEXT_BYTES: usize = 256 << 10;
/// Requests that wait for models.
const PLACES: usize = 256;

/// The models that are served.
pub struct Serving {
    cache: EmbedCache,
    disk: Option<Kept>,
    answers: Answers,
    calls: Option<Arc<dyn Calls>>,
    embedders: Vec<String>,
    generators: Vec<String>,
    places: Semaphore,
}

impl Default for Serving {
    /// Lexical vectors, and nothing else.
    fn default() -> Self {
        let settings = Settings { models: Models { disk_cache_bytes: 0, ..Models::default() }, ..Settings::default() };
        Self::new(Kept::new(&settings).cache, None, &settings.models)
    }
}

impl Serving {
    /// These vectors, these answers, by the models that the settings have.
    pub fn new(cache: EmbedCache, calls: Option<Arc<dyn Calls>>, models: &Models) -> Self {
        let all = |first: &String, more: &[String]| {
            let mut all: Vec<String> = Vec::new();
            for uri in std::iter::once(first).chain(more).filter(|uri| !uri.is_empty()) {
                if !all.contains(uri) {
                    all.push(uri.clone());
                }
            }
            all
        };
        Self {
            cache,
            disk: None,
            answers: Answers::new(models.answers_bytes),
            calls,
            embedders: all(&models.embed, &models.embedders),
            generators: all(&models.generate, &models.generators),
            places: Semaphore::new(PLACES),
        }
    }

    /// The same, telling figures of the disk too.
    #[must_use]
    pub fn on(mut self, kept: &Kept) -> Self {
        self.disk = Some(kept.clone());
        self
    }

    /// The URI of an embedder, by what a caller names; the first of the settings if nothing.
    fn embedder(&self, named: Option<&str>) -> Result<String, Refusal> {
        if let Some(named) = named
            && stillhouse_lexical::open(named).is_some_and(|opened| opened.is_ok())
        {
            return Ok(named.to_owned());
        }
        pick(&self.embedders, named, "models.embed")
    }

    fn generator(&self, named: Option<&str>) -> Result<String, Refusal> {
        pick(&self.generators, named, "models.generate")
    }

    fn place(&self) -> Result<SemaphorePermit<'_>, Refusal> {
        self.places.try_acquire().map_err(|_| busy())
    }

    async fn vectors(&self, model: &str, texts: &[&str]) -> Result<Embeddings, Refusal> {
        let _place = self.place()?;
        self.cache.embed(model, texts).await.map_err(|error| refused(&error))
    }
}

/// The model that is meant by `named`, of those that there are.
fn pick(known: &[String], named: Option<&str>, setting: &str) -> Result<String, Refusal> {
    let missing = |message: String| Err(Refusal::new(StatusCode::NOT_FOUND, "model_not_found", message).field("model"));
    let Some(named) = named else {
        return match known.first() {
            Some(uri) => Ok(uri.clone()),
            None => missing(format!("no model is set: name one in `{setting}`")),
        };
    };
    let mut meant = known.iter().filter(|uri| *uri == named || short(uri) == named);
    if let Some(uri) = meant.next() {
        return match meant.next() {
            None => Ok(uri.clone()),
            Some(_) => missing(format!("more than one model has this name; give its URI: {}", known.join(", "))),
        };
    }
    let named: String = named.chars().take(100).collect();
    let there = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    missing(format!("there is no model `{}` here; there is: {there} (`{setting}`)", crate::output::safe(&named)))
}

/// The model's own name, of its URI.
fn short(uri: &str) -> &str {
    let Some((scheme, rest)) = uri.split_once("://") else { return uri };
    let name = if scheme.starts_with("openai") { rest.split_once("/v1/") } else { rest.split_once('/') };
    name.map_or(uri, |(_, name)| name)
}

/// What a model's error lets a caller do.
fn refused(error: &ModelError) -> Refusal {
    let message = error.to_string();
    match error {
        ModelError::Retry { after, .. } => {
            let seconds = after.unwrap_or(Duration::from_secs(1)).as_secs_f32().ceil().clamp(1.0, 3_600.0);
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "model_unavailable", message).retry_after(seconds as u32)
        }
        ModelError::Never(_) => Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "model_refused", message),
        ModelError::Unknown(_) => Refusal::new(StatusCode::BAD_GATEWAY, "model_failed", message),
    }
}

fn uncalled(error: CallError) -> Refusal {
    match error {
        CallError::Model { error, .. } => refused(&error),
        CallError::NoModel(message) => Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "model_refused", message),
        CallError::Unrecorded(message) => {
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message).retry_after(1)
        }
    }
}

/// A request body that is one JSON object, and its bytes.
pub(in crate::http) async fn object(
    state: &HttpState,
    request: Request,
) -> Result<(Map<String, Value>, Bytes), Refusal> {
    Params::of(request.uri(), &[])?;
    if Media::of(request.headers(), false)? != Media::Json {
        let message = "Content-Type must be application/json";
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message));
    }
    let (parts, body) = request.into_parts();
    let limits = BodyLimits { bytes: state.limits.body_bytes, deadline: state.limits.body_deadline };
    let wire = body::read(&parts.headers, &parts.extensions, body, limits, &state.intake.budget).await?;
    blocking_if(wire.is_big(), move || {
        let (bytes, _share) = wire.inflate()?;
        let mut objects = Vec::new();
        json::document(&bytes, &mut |index, value| match value {
            Value::Object(object) if index == 0 => {
                objects.push(object);
                Ok(())
            }
            _ => Err(Refusal::invalid("expected one JSON object")),
        })?;
        objects.pop().map(|object| (object, bytes)).ok_or_else(|| Refusal::invalid("expected one JSON object"))
    })
    .await
}

/// The members of an object, each asked for by name.
struct Members(Map<String, Value>);

impl Members {
    /// A member; `null` is as none.
    fn take(&mut self, name: &str) -> Option<Value> {
        self.0.shift_remove(name).filter(|value| !value.is_null())
    }

    fn text(&mut self, name: &str) -> Result<Option<String>, Refusal> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(wrong(name, "is to be a string")),
        }
    }

    fn flag(&mut self, name: &str) -> Result<bool, Refusal> {
        match self.take(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(_) => Err(wrong(name, "is to be true or false")),
        }
    }

    fn count(&mut self, name: &str, most: usize) -> Result<Option<usize>, Refusal> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let count = value.as_u64().and_then(|n| usize::try_from(n).ok()).filter(|n| (1..=most).contains(n));
        count.map(Some).ok_or_else(|| wrong(name, format!("is to be a whole number from 1 to {most}")))
    }

    /// Nobody's member is a mistake that somebody should hear of.
    fn end(self, known: &[&str]) -> Result<(), Refusal> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(name) => {
                let name: String = name.chars().take(64).collect();
                let message = format!("is not known here; known: {}", known.join(", "));
                Err(wrong(&crate::output::safe(&name), message))
            }
        }
    }
}

fn wrong(field: &str, why: impl std::fmt::Display) -> Refusal {
    Refusal::invalid(format!("`{field}` {why}")).field(field)
}

/// A text, or a list of texts, within bounds.
fn texts(field: &str, value: Value) -> Result<Vec<String>, Refusal> {
    let many = matches!(value, Value::Array(_));
    let list = match value {
        Value::Array(list) => list,
        one => vec![one],
    };
    if list.is_empty() {
        return Err(wrong(field, "is empty: send at least one text"));
    }
    if list.len() > MOST_TEXTS {
        let message = format!("`{field}` has more than {MOST_TEXTS} texts; send them in parts");
        return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "too_many_texts", message).field(field));
    }
    let text = |(index, value): (usize, Value)| {
        let refusal = match value {
            Value::String(text) if text.trim().is_empty() => wrong(field, "holds an empty text"),
            Value::String(text) if text.len() > TEXT_BYTES => {
                let message = format!("`{field}` holds a text of more than {TEXT_BYTES} bytes; cut it into parts");
                Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message).field(field)
            }
            Value::String(text) => return Ok(text),
            Value::Number(_) | Value::Array(_) => wrong(
                field,
                "holds numbers: tokens are of one model's own vocabulary and mean nothing here; send the texts",
            ),
            _ => wrong(field, "is to be a string, or a list of strings"),
        };
        Err(if many { refusal.index(index) } else { refusal })
    };
    list.into_iter().enumerate().map(text).collect()
}

fn sent(body: Bytes) -> Response {
    ([(CONTENT_TYPE, ready::JSON)], body).into_response()
}

/// The URI with other dimensions than the model's own.
fn cut(uri: &str, dimensions: Option<usize>) -> Result<String, Refusal> {
    let Some(dimensions) = dimensions else { return Ok(uri.to_owned()) };
    if stillhouse_lexical::open(uri).is_some() {
        let cut = format!("{}:{dimensions}", stillhouse_lexical::SCHEME);
        return match stillhouse_lexical::open(&cut) {
            Some(Err(why)) => Err(wrong("dimensions", why)),
            _ => Ok(cut),
        };
    }
    Ok(match uri.split_once("?dimensions=") {
        Some((_, fixed)) if fixed != dimensions.to_string() => {
            return Err(wrong("dimensions", format!("of this model are set to {fixed}")));
        }
        Some(_) => uri.to_owned(),
        None => format!("{uri}?dimensions={dimensions}"),
    })
}
