//! Answers that are ready to be sent, before anything is parsed.
//!
//! A request that may be answered so is a `POST` of plain JSON of a known, small length to one of two paths. It is let in as
//! every request is (host, token, role), its body is read, and if an answer to these very bytes is kept, and the model is what
//! it was, it is sent. Everything else goes on to its handler as if nothing had been looked at.

use crate::http::access::Role;
use crate::http::{HttpState, REQUEST_ID, place, request_id_given};
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use hyper::body::Incoming;
use std::sync::LazyLock;
use std::time::Instant;
use stillhouse_embedcache::Fresh;

pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Longer bodies are not kept.
const BODY_BYTES: usize = 64 << 10;
/// Longer answers are not kept.
const ANSWER_BYTES: usize = 1 << 20;

const PATHS: [&str; 2] = ["/v1/embed", "/v1/embeddings"];

/// Their places among the routes.
static ROUTES: LazyLock<[Option<usize>; 2]> = LazyLock::new(|| PATHS.map(|path| place(&Method::POST, path)));

/// Where a request's answer may be kept.
pub(crate) struct Lane(Option<u8>);

impl Lane {
    /// Of a request that came to a handler.
    pub(crate) fn of(request: &Request) -> Self {
        Self(kind(request.method(), request.uri(), request.headers()))
    }

    /// Keeps the answer, if it may be.
    pub(crate) fn keep(&self, state: &HttpState, body: &Bytes, answer: &Bytes, fresh: Fresh) {
        if let Some(kind) = self.0.filter(|_| body.len() <= BODY_BYTES && answer.len() <= ANSWER_BYTES) {
            state.serving.answers.put(kind, body, answer.clone(), fresh);
        }
    }
}

/// The kind of a request whose answer its body alone decides.
fn kind(method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<u8> {
    if *method != Method::POST || uri.query().is_some() {
        return None;
    }
    let kind = PATHS.iter().position(|path| *path == uri.path())?;
    let plain = headers.get(CONTENT_TYPE).is_some_and(|given| *given == JSON)
        && !headers.contains_key(CONTENT_ENCODING)
        && !headers.contains_key(TRANSFER_ENCODING);
    let length: usize = headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()?;
    (plain && length <= BODY_BYTES).then(|| u8::try_from(kind).ok())?
}

/// The answer to a request, if it is ready; else the request, to be handled.
pub(crate) async fn answer(state: &HttpState, request: Request<Incoming>) -> Result<Response<Body>, Request<Body>> {
    let Some(kind) = kind(request.method(), request.uri(), request.headers()) else {
        return Err(request.map(Body::new));
    };
    let started = Instant::now();
    let let_in = state.access.check_host(request.uri(), request.version(), request.method(), request.headers()).is_ok()
        && state.access.authorise(request.headers(), Role::Read).is_ok();
    if !let_in {
        return Err(request.map(Body::new));
    }
    let (parts, body) = request.into_parts();
    let body = match read(state, body).await {
        Ok(bytes) => bytes,
        // Its handler meets the same body, and says what is wrong with it.
        Err(rest) => return Err(Request::from_parts(parts, rest)),
    };
    let Some(bytes) = state.serving.answers.get(kind, &body) else {
        return Err(Request::from_parts(parts, Body::from(body)));
    };
    let mut response = Response::new(Body::from(bytes));
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response.headers_mut().insert(REQUEST_ID, request_id(&parts.headers));
    state.counters.answered(ROUTES[usize::from(kind)], StatusCode::OK, started.elapsed());
    Ok(response)
}

/// The whole body; or one that is what was read, and what is to come.
async fn read(state: &HttpState, body: Incoming) -> Result<Bytes, Body> {
    let mut chunks = Body::new(body).into_data_stream();
    let mut read = Vec::new();
    let whole = async {
        while let Some(chunk) = chunks.next().await {
            let failed = chunk.is_err();
            read.push(chunk);
            if failed {
                return false;
            }
        }
        true
    };
    // The handler has its own deadline, and begins it then.
    let whole = tokio::time::timeout(state.limits.body_deadline, whole).await.unwrap_or(false);
    if !whole {
        return Err(Body::from_stream(futures::stream::iter(read).chain(chunks)));
    }
    let mut read = read.into_iter().flatten();
    let first = read.next().unwrap_or_default();
    let Some(second) = read.next() else { return Ok(first) };
    let mut all = BytesMut::from(first);
    for chunk in std::iter::once(second).chain(read) {
        all.extend_from_slice(&chunk);
    }
    Ok(all.freeze())
}

/// As for every request; a new one without asking the system for randomness each time.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    if let Some(given) = request_id_given(headers) {
        return given.clone();
    }
    let id = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
    let mut text = uuid::Uuid::encode_buffer();
    HeaderValue::from_str(id.hyphenated().encode_lower(&mut text)).unwrap_or(HeaderValue::from_static("none"))
}
