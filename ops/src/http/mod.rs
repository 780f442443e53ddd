//! The HTTP API: events in, events and states out.
//!
//! Promises: an answer of 2xx to a `POST` means that all of its events are durable, any other that the caller knows what
//! to do about it; nothing is half-accepted. Everything is bounded: heads, bodies (also after inflating), events of a
//! request, requests that wait, connections, time. Errors have one shape ([`answer`]).
//!
//! Deliberately absent: TLS, HTTP/2, CORS, sessions and cookies (a proxy's business, or nobody's).

mod access;
mod answer;
mod body;
mod claims;
mod counters;
mod health;
mod idempotency;
mod intake;
mod json;
pub(crate) mod models;
mod node;
mod openapi;
mod otlp;
mod prepare;
mod quarantine;
pub mod read;
mod search;
mod serve;
mod sniff;
mod validate;

pub use access::{Access, Role};
pub use counters::Counters;
pub use health::{Alone, Health, Node, ProcessorStatus};
pub use models::Serving;
pub use node::{access, listen, run};
pub use serve::serve;

use crate::checks::Checks;
use crate::index::service::Searches;
use access::Caller;
use answer::Refusal;
use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use futures::FutureExt;
use intake::Intake;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};
use stillhouse_schemas::Codec;
use stillhouse_streams::Journal;
use stillhouse_streams::generation::Names;
use tokio::sync::Semaphore;

/// Bounds of the API.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of a request body, on the wire and after inflating.
    pub body_bytes: usize,
    /// Time for a whole body to arrive.
    pub body_deadline: Duration,
    /// Events of one request.
    pub events: usize,
    /// Bytes of bodies in memory, over all requests.
    pub intake_bytes: usize,
    /// Requests that wait for the journal.
    pub intake_requests: usize,
    /// Time for the journal to take an append.
    pub append_deadline: Duration,
    /// Connections at a time.
    pub connections: usize,
    /// Time for a request head to arrive, and for an idle connection to say something.
    pub header_timeout: Duration,
    /// Time for a client to read some of its answer.
    pub write_timeout: Duration,
    /// Pages of events that are read at a time.
    pub pages: usize,
    /// Time for running requests when the node stops.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 16 << 20,
            body_deadline: Duration::from_secs(30),
            events: 10_000,
            intake_bytes: 128 << 20,
            intake_requests: 256,
            append_deadline: Duration::from_secs(30),
            connections: 1_024,
            header_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
            pages: 8,
            grace: Duration::from_secs(10),
        }
    }
}

/// What the handlers work with. Cheap to clone.
#[derive(Clone)]
pub struct HttpState {
    journal: Arc<dyn Journal>,
    codec: Codec,
    names: Names,
    health: Arc<Health>,
    access: Arc<Access>,
    limits: Arc<Limits>,
    intake: Arc<Intake>,
    pages: Arc<Semaphore>,
    counters: Arc<Counters>,
    serving: Arc<Serving>,
    searches: Option<Arc<Searches>>,
    checks: Option<Arc<Checks>>,
}

impl HttpState {
    /// From components.
    pub fn new(
        journal: Arc<dyn Journal>,
        codec: Codec,
        names: Names,
        health: Arc<Health>,
        access: Access,
        limits: Limits,
    ) -> Self {
        let intake = Arc::new(Intake::new(&limits));
        let pages = Arc::new(Semaphore::new(limits.pages.max(1)));
        Self {
            journal,
            codec,
            names,
            health,
            access: Arc::new(access),
            limits: Arc::new(limits),
            intake,
            pages,
            counters: Arc::default(),
            serving: Arc::default(),
            searches: None,
            checks: None,
        }
    }

    /// The same, serving these models.
    #[must_use]
    pub fn serving(self, serving: Serving) -> Self {
        Self { serving: Arc::new(serving), ..self }
    }

    /// The same, answering searches.
    #[must_use]
    pub fn searching(self, searches: Arc<Searches>) -> Self {
        Self { searches: Some(searches), ..self }
    }

    /// The same, looking at artefacts.
    #[must_use]
    pub fn checking(self, checks: Arc<Checks>) -> Self {
        Self { checks: Some(checks), ..self }
    }

    /// What the API counts about itself.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}

/// A route of the API.
pub struct Route {
    /// Method.
    pub method: &'static str,
    /// Path, with `{parameters}`.
    pub path: &'static str,
    /// What a token needs; nothing: no token.
    pub role: Option<Role>,
    /// What it does.
    pub doc: &'static str,
    handler: fn() -> MethodRouter<HttpState>,
}

macro_rules! route {
    ($method:literal $path:literal $role:expr, $doc:literal, $handler:expr) => {
        Route { method: $method, path: $path, role: $role, doc: $doc, handler: || $handler }
    };
}

/// Every route there is. Who may call it, what it is counted as and what `GET /v1` says all come from here.
pub static ROUTES: &[Route] = &[
    route!("POST" "/v1/events/{name}" Some(Role::Append), "Appends events to a topic: all or none.", post(intake::events)),
    route!("POST" "/v1/runs" Some(Role::Append), "Appends runs without envelopes: all or none.", post(intake::runs)),
    route!("POST" "/v1/runs/{name}/labels" Some(Role::Append), "Appends what people say of a run: all or none.", post(intake::labels)),
    route!("POST" "/v1/traces" Some(Role::Append), "Takes spans of OpenTelemetry (OTLP/HTTP, protobuf or JSON).", post(otlp::traces)),
    route!("POST" "/v1/search" Some(Role::Read), "Searches corpora: by meaning, by words, or by both.", post(search::search)),
    route!("GET" "/v1/corpora" Some(Role::Read), "The corpora that can be searched.", get(search::corpora)),
    route!("POST" "/v1/validate" Some(Role::Read), "Looks at artefacts by a policy or by named validators; the verdict is recorded.", post(validate::validate)),
    route!("GET" "/v1/validators" Some(Role::Read), "Validators with what they find, and policies.", get(validate::list)),
    route!("GET" "/v1/claims/{entity}" Some(Role::Read), "What was held of an entity at a time, and on whose word.", get(claims::show)),
    route!("GET" "/v1" Some(Role::Read), "This list.", get(read::index)),
    route!("GET" "/openapi.json" Some(Role::Read), "The API, as OpenAPI describes it.", get(openapi::openapi)),
    route!("GET" "/v1/topics" Some(Role::Read), "Topics with their partitions.", get(read::topics)),
    route!("GET" "/v1/topics/{name}/events" Some(Role::Read), "Events of a topic, in pages.", get(read::events)),
    route!("GET" "/v1/events/{name}" Some(Role::Read), "One event by its id.", get(read::event)),
    route!("GET" "/v1/quarantine" Some(Role::Read), "What is left out of evidence and datasets, and why.", get(quarantine::list)),
    route!("GET" "/v1/quarantine/{id}" Some(Role::Read), "One entry, by its id, its event or its run.", get(quarantine::show)),
    route!("POST" "/v1/quarantine/{id}/release" Some(Role::Operate), "Lets an entry in, where an operator may.", post(quarantine::release)),
    route!("POST" "/v1/quarantine/{id}/discard" Some(Role::Operate), "Leaves an entry out for good.", post(quarantine::discard)),
    route!("POST" "/v1/embed" Some(Role::Read), "Vectors of one text or several.", post(models::embed)),
    route!("POST" "/v1/embeddings" Some(Role::Read), "The same in OpenAI's shape.", post(models::embeddings)),
    route!("POST" "/v1/rerank" Some(Role::Read), "Documents in the order of their relevance to a query.", post(models::rerank)),
    route!("POST" "/v1/generate" Some(Role::Operate), "What a model answers; the call is recorded.", post(models::generate)),
    route!("GET" "/v1/models" Some(Role::Read), "Models that may be named, in OpenAI's shape.", get(models::list)),
    route!("GET" "/v1/stats" Some(Role::Read), "What is kept of vectors, and how often it was found.", get(models::stats)),
    route!("GET" "/v1/lag" Some(Role::Read), "Lag of all groups, in events and seconds.", get(read::lag)),
    route!("GET" "/v1/processors" Some(Role::Read), "Processors and what they do here.", get(read::processors)),
    route!("GET" "/v1/schemas" Some(Role::Read), "Schemas of events.", get(read::schemas)),
    route!("GET" "/v1/schemas/{name}" Some(Role::Read), "The published Avro schema of an event.", get(read::schema)),
    route!("GET" "/metrics" Some(Role::Read), "Figures in the Prometheus text format.", get(read::metrics)),
    route!("GET" "/healthz" None, "Whether the process answers.", get(read::healthz)),
    route!("GET" "/readyz" None, "Whether the node can work, or why not.", get(read::readyz)),
];

/// The API.
pub fn router(state: HttpState) -> Router {
    let mut router = Router::new();
    for route in ROUTES {
        router = router.route(route.path, (route.handler)());
    }
    router
        .fallback(|| async { Refusal::missing("there is nothing at this path; GET /v1 lists what there is") })
        .method_not_allowed_fallback(|| async {
            Refusal::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "this path does not take this method; see Allow",
            )
        })
        .layer(axum::middleware::from_fn_with_state(state.clone(), around))
        .with_state(state)
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What happens around every request: its id, who may call, panics contained, errors given their shape, counters.
async fn around(State(state): State<HttpState>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = request_id(request.headers());
    let _running = state.counters.begin();
    let method = request.method().clone();
    let trace = intake::traceparent(request.headers());
    let route = request.extensions().get::<MatchedPath>().and_then(|path| place(&method, path.as_str()));
    let mut response = match admit(&state, &mut request, route) {
        Err(refusal) => refusal.into_response(),
        Ok(()) => AssertUnwindSafe(next.run(request)).catch_unwind().await.unwrap_or_else(|_| {
            tracing::error!(request_id = id, "a request made its handler panic");
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "this should not have happened; see the log")
                .into_response()
        }),
    };
    if let Some(body) = response.extensions_mut().remove::<answer::Body>() {
        let openai = route.is_some_and(|route| models::is_openai(ROUTES[route].path));
        let error = if openai {
            models::error(response.status(), &body, &id)
        } else {
            let mut error = serde_json::to_value(&body).unwrap_or_default();
            error["request_id"] = id.as_str().into();
            error
        };
        *response.body_mut() = serde_json::json!({ "error": error }).to_string().into();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let status = response.status().as_u16();
        let (code, message) = (body.code, &body.message);
        if status >= 500 {
            tracing::warn!(request_id = id, status, code, message, "a request could not be done");
        } else {
            tracing::debug!(request_id = id, status, code, message, "a request was refused");
        }
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let took = started.elapsed();
    let (status, took_us) = (response.status(), u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    let path = route.map_or("unknown", |route| ROUTES[route].path);
    tracing::debug!(request_id = id, trace, method = %method, route = path, status = status.as_u16(), took_us, "answered");
    state.counters.answered(route, status, took);
    response
}

/// Host, then token, then role.
fn admit(state: &HttpState, request: &mut Request, route: Option<usize>) -> Result<(), Refusal> {
    state.access.check_host(request.uri(), request.version(), request.method(), request.headers())?;
    let caller = match route.and_then(|route| ROUTES[route].role) {
        Some(role) => state.access.authorise(request.headers(), role)?,
        None => Caller(None),
    };
    request.extensions_mut().insert(caller);
    Ok(())
}

fn place(method: &Method, path: &str) -> Option<usize> {
    let method = if *method == Method::HEAD { "GET" } else { method.as_str() };
    ROUTES.iter().position(|route| route.method == method && route.path == path)
}

/// The caller's id for the request, if it is a legal one.
fn request_id_given(headers: &HeaderMap) -> Option<&HeaderValue> {
    let legal = |id: &&HeaderValue| id.to_str().is_ok_and(|id| stillhouse_schemas::ids::check(id).is_ok());
    headers.get(REQUEST_ID).filter(legal)
}

/// The caller's id for the request, else a new one.
fn request_id(headers: &HeaderMap) -> String {
    let given = request_id_given(headers).and_then(|id| id.to_str().ok());
    given.map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_owned)
}
