//! `POST /v1/events/{topic}` and `POST /v1/runs`: all events of a request are written, or none are.
//!
//! The answer is given when the journal has them durably. The write runs in a task of its own: a client that goes away
//! in the middle does not leave half a request. Requests wait in a queue of fixed size (in bytes while their bodies are
//! read, in number afterwards); what does not fit is answered 429 at once.

use super::access::Caller;
use super::answer::Refusal;
use super::body::{self, BodyLimits, Budget};
use super::idempotency::{self, Done, Key, Locks, REPLAYED_HEADER};
use super::prepare::{Form, Frame, Media, Ready, prepare};
use super::read::{Params, path_id};
use super::{HttpState, Limits};
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use stillhouse_schemas::{Producer, TOPICS, Topic, Writer, topic};
use stillhouse_streams::{Append, ErrorKind, Position, Receipt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The bounded queue in front of the journal.
#[derive(Debug)]
pub(crate) struct Intake {
    pub(super) budget: Budget,
    requests: Arc<Semaphore>,
    capacity: usize,
    callers: std::sync::Mutex<std::collections::HashMap<Arc<str>, usize>>,
    locks: Locks,
}

impl Intake {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            // One request at its limit must fit, with what it inflates to.
            budget: Budget::new(limits.intake_bytes.max(2 * limits.body_bytes)),
            requests: Arc::new(Semaphore::new(limits.intake_requests.max(1))),
            capacity: limits.intake_requests.max(1),
            callers: std::sync::Mutex::default(),
            locks: Locks::default(),
        }
    }

    /// A place in the queue. A caller with a name gets at most half of all places, so that it cannot keep out the others.
    pub(super) fn place(self: &Arc<Self>, caller: &Caller) -> Result<Place, Refusal> {
        let permit = self.requests.clone().try_acquire_owned().map_err(|_| body::busy())?;
        let mut place = Place { intake: self.clone(), caller: None, _permit: permit };
        if let Some(name) = &caller.0 {
            let mut callers = self.callers.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let held = callers.entry(name.clone()).or_default();
            if *held >= self.capacity.div_ceil(2) {
                return Err(body::busy());
            }
            *held += 1;
            place.caller = Some(name.clone());
        }
        Ok(place)
    }
}

pub(super) struct Place {
    intake: Arc<Intake>,
    caller: Option<Arc<str>>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(name) = &self.caller else { return };
        let mut callers = self.intake.callers.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(held) = callers.get_mut(name) {
            *held -= 1;
            if *held == 0 {
                callers.remove(name);
            }
        }
    }
}

/// The answer to events that are written.
#[derive(Debug, Serialize)]
struct Written {
    events: Vec<WrittenEvent>,
}

#[derive(Debug, Serialize)]
struct WrittenEvent {
    id: String,
    topic: Option<Arc<str>>,
    partition: Option<u32>,
    offset: Option<u64>,
    position: Option<String>,
    duplicate: bool,
}

impl WrittenEvent {
    fn new(id: String, position: Option<Position>, duplicate: bool) -> Self {
        Self {
            id,
            partition: position.as_ref().map(|p| p.partition),
            offset: position.as_ref().map(|p| p.offset),
            topic: position.as_ref().map(|p| p.topic.clone()),
            position: position.map(|p| p.to_string()),
            duplicate,
        }
    }
}

/// `POST /v1/events/{topic}`.
pub(crate) async fn events(
    State(state): State<HttpState>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Refusal> {
    let name = path_id(path, "topic")?;
    let topic = writable(&name)?;
    accept(state, topic, Form::Events, request).await
}

/// `POST /v1/runs`: runs without envelopes.
pub(crate) async fn runs(State(state): State<HttpState>, request: Request) -> Result<Response, Refusal> {
    accept(state, writable("runs")?, Form::Runs, request).await
}

/// `POST /v1/runs/{run_id}/labels`: what people say of a run, without envelopes.
pub(crate) async fn labels(
    State(state): State<HttpState>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Refusal> {
    let Ok(Path(run_id)) = path else {
        return Err(Refusal::bad("run_id", "the path is not UTF-8 once it is decoded"));
    };
    accept(state, writable("labels")?, Form::LabelsOf(run_id), request).await
}

fn writable(name: &str) -> Result<&'static Topic, Refusal> {
    let outside =
        || TOPICS.iter().filter(|t| t.writer == Writer::Outside).map(|t| t.name).collect::<Vec<_>>().join(", ");
    match topic(name) {
        Some(topic) if topic.writer == Writer::Outside => Ok(topic),
        Some(topic) => {
            let writer = match topic.writer {
                Writer::Processor(name) => format!("the processor `{name}`"),
                _ => "the node itself".to_owned(),
            };
            let message = format!("`{name}` is written by {writer} only; topics written from outside: {}", outside());
            Err(Refusal::new(StatusCode::FORBIDDEN, "not_writable", message).field("topic"))
        }
        None => Err(Refusal::missing(format!("there is no such topic; topics written from outside: {}", outside()))
            .field("topic")),
    }
}

async fn accept(state: HttpState, topic: &'static Topic, form: Form, request: Request) -> Result<Response, Refusal> {
    Params::of(request.uri(), &[])?;
    let (parts, body) = request.into_parts();
    let media = Media::of(&parts.headers, form == Form::Events)?;
    let caller = parts.extensions.get::<Caller>().cloned().unwrap_or(Caller(None));
    let key = Key::of(&parts.headers, caller.0.as_deref())?;
    let limits = BodyLimits { bytes: state.limits.body_bytes, deadline: state.limits.body_deadline };
    let wire = body::read(&parts.headers, &parts.extensions, body, limits, &state.intake.budget).await?;
    let place = state.intake.place(&caller)?;

    let now_micros = now_micros();
    let frame = Frame {
        topic,
        physical: state.names.topic(topic.name).into(),
        form,
        media,
        codec: state.codec.clone(),
        producer: Producer {
            name: caller.0.map_or_else(|| "http".to_owned(), |name| format!("http/{name}")),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            config_hash: String::new(),
        },
        now_micros,
        traceparent: traceparent(&parts.headers),
        id_seed: key.as_ref().map(Key::seed),
        max_events: state.limits.events,
        max_body: state.limits.body_bytes,
        max_record: state.journal.max_record_bytes(),
    };
    let deadline = state.limits.append_deadline;
    let work = async move {
        let (wire, share) = blocking_if(wire.is_big(), move || wire.inflate()).await?;
        let written = match key {
            None => state.append(frame, wire, None).await,
            Some(key) => state.append_once(key, parts.uri.path(), frame, wire).await,
        };
        drop((share, place));
        written
    };
    within(deadline, work).await
}

/// What a write answers within its time. It goes on when nobody waits any more: what came of it is not known then.
pub(crate) async fn within<T: Send + 'static>(
    deadline: std::time::Duration,
    work: impl Future<Output = Result<T, Refusal>> + Send + 'static,
) -> Result<T, Refusal> {
    match tokio::time::timeout(deadline, tokio::spawn(work)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => {
            tracing::error!(%error, "an append ended in a panic");
            Err(Refusal::indeterminate("the write ended unexpectedly"))
        }
        Err(_) => {
            Err(Refusal::indeterminate(&format!("no answer from the journal in {} seconds", deadline.as_secs_f32())))
        }
    }
}

impl HttpState {
    /// Appends, without or with the record of an idempotency key.
    async fn append(
        &self,
        frame: Frame,
        body: bytes::Bytes,
        once: Option<(&Key, String)>,
    ) -> Result<Response, Refusal> {
        let name = frame.topic.name;
        let big = body.len() > 32 << 10;
        let ready = blocking_if(big, move || prepare(&frame, &body)).await?;
        let expected = match once {
            None => None,
            Some((key, digest)) => Some((key, Done::expected(&*self.journal, digest, &ready).await?)),
        };
        let (ids, mut batch): (Vec<String>, Vec<Append>) =
            ready.into_iter().map(|Ready { id, append, .. }| (id, append)).unzip();
        if let Some((key, done)) = &expected {
            batch.push(done.append(&self.names.topic("requests"), key));
        }
        let mut receipts = self
            .journal
            .append(batch)
            .await
            .map_err(|error| self.refused(&error, &ids).unwrap_or_else(|| error.into()))?;
        receipts.truncate(ids.len());
        let known = expected.map(|(_, done)| done.duplicates);
        let duplicate = |index: usize, receipt: &Receipt| {
            known.as_ref().map_or(receipt.duplicate, |known| known.binary_search(&index).is_ok())
        };
        let added = receipts.iter().filter(|r| !r.duplicate).count();
        self.counters.events(name, added, receipts.len() - added);
        let events = ids
            .into_iter()
            .zip(receipts)
            .enumerate()
            .map(|(index, (id, receipt))| {
                let duplicate = duplicate(index, &receipt);
                WrittenEvent::new(id, Some(receipt.position), duplicate)
            })
            .collect();
        Ok(answer(Written { events }))
    }

    /// Appends unless the key says that it was done before.
    async fn append_once(&self, key: Key, path: &str, frame: Frame, body: bytes::Bytes) -> Result<Response, Refusal> {
        let _alone = self.intake.locks.lock(&key).await;
        let topic = frame.physical.clone();
        let digest = idempotency::digest(path, &format!("{:?}", frame.media), &body);
        if let Some(done) = Done::find(&*self.journal, &key).await? {
            return self.replay(done, &topic, &digest).await;
        }
        let refusal = match self.append(frame, body, Some((&key, digest.clone()))).await {
            Err(refusal) if refusal.status == StatusCode::CONFLICT => refusal,
            other => return other,
        };
        // Another process may have used the key since it was looked up.
        match Done::find(&*self.journal, &key).await? {
            Some(done) => self.replay(done, &topic, &digest).await,
            None => Err(refusal),
        }
    }

    async fn replay(&self, done: Done, topic: &str, digest: &str) -> Result<Response, Refusal> {
        done.check(digest)?;
        let mut events = Vec::with_capacity(done.ids.len());
        for (index, id) in done.ids.into_iter().enumerate() {
            let position = idempotency::find_in(&*self.journal, topic, &id).await?;
            events.push(WrittenEvent::new(id, position, done.duplicates.binary_search(&index).is_ok()));
        }
        let mut response = answer(Written { events });
        response.headers_mut().insert(HeaderName::from_static(REPLAYED_HEADER), HeaderValue::from_static("true"));
        Ok(response)
    }

    /// A conflict, with the events that it is about.
    fn refused(&self, error: &stillhouse_streams::Error, ids: &[String]) -> Option<Refusal> {
        match error.kind() {
            ErrorKind::Conflict => {
                let index = error.conflicts().iter().copied().find(|index| *index < ids.len())?;
                self.counters.conflict();
                let (id, more) = (&ids[index], error.conflicts().len().saturating_sub(1));
                let others = if more == 0 { String::new() } else { format!(" (and {more} more)") };
                let message = format!(
                    "event {index}: the id `{id}` is taken by an event with other content{others}; nothing was written"
                );
                Some(Refusal::new(StatusCode::CONFLICT, "conflict", message).field("id").index(index))
            }
            // The topics are made when the node starts; without them it is the node that is not ready.
            ErrorKind::NotFound => Some(
                Refusal::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "unavailable",
                    format!("the journal lacks a topic: {error}"),
                )
                .retry_after(5),
            ),
            _ => None,
        }
    }
}

fn answer(written: Written) -> Response {
    let status = if written.events.iter().all(|e| e.duplicate) { StatusCode::OK } else { StatusCode::CREATED };
    (status, Json(written)).into_response()
}

pub(super) async fn blocking_if<T: Send + 'static>(
    big: bool,
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    if !big {
        return work();
    }
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        tracing::error!(%error, "a body made its reader panic");
        Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the body could not be read; see the log"))
    })
}

pub(crate) fn now_micros() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_micros()).unwrap_or(i64::MAX)
}

/// W3C trace context; one that is malformed is as none, as the standard wants it.
pub(crate) fn traceparent(headers: &HeaderMap) -> Option<String> {
    let value = headers.get("traceparent")?.to_str().ok()?;
    let parts: Vec<&str> = value.split('-').collect();
    let hex = |text: &str, len: usize| {
        text.len() == len
            && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
            && (len == 2 || text.bytes().any(|b| b != b'0'))
    };
    match parts.as_slice() {
        [version, trace, span, flags]
            if hex(version, 2) && *version != "ff" && hex(trace, 32) && hex(span, 16) && hex(flags, 2) =>
        {
            Some(value.to_owned())
        }
        _ => None,
    }
}
