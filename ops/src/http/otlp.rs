//! `POST /v1/traces`: spans of any OpenTelemetry SDK or collector, over OTLP/HTTP.
//!
//! 200 means that every span is durable but those that `partial_success` counts, which never will be; anything else is as
//! the protocol has it: 400, 413 and 415 are not to be repeated, 429 and 503 are, after `Retry-After`. A span that was
//! taken before is not taken twice, so repeating a request is always safe. Unlike events, the spans of one request are not
//! all or nothing: they are of many traces, and the protocol has a word for those that were refused.
//!
//! Within a request children are appended before their parents, so that a trace that comes whole closes once.

use super::HttpState;
use super::access::Caller;
use super::answer::Refusal;
use super::body::{self, BodyLimits};
use super::intake::{blocking_if, now_micros};
use super::read::Params;
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use stillhouse_otlp::{Batch, Encoding, Rejected};
use stillhouse_processors::wire;
use stillhouse_schemas::{Codec, Producer, Span, check};
use stillhouse_streams::{Append, DIGEST_HEADER, ErrorKind};

/// Logical topic.
const SPANS: &str = "spans";

/// `POST /v1/traces`.
pub(crate) async fn traces(State(state): State<HttpState>, request: Request) -> Response {
    let encoding = match encoding(request.headers()) {
        Ok(encoding) => encoding,
        Err(refusal) => return refusal.into_response(),
    };
    match take(state, encoding, request).await {
        Ok(rejected) => {
            let body = stillhouse_otlp::accepted(encoding, &rejected);
            ([(CONTENT_TYPE, HeaderValue::from_static(encoding.media_type()))], body).into_response()
        }
        Err(refusal) => {
            let message = refusal.body.message.clone();
            let mut response = refusal.into_response();
            // Senders repeat what is answered 429, 502, 503 or 504, and drop what is answered anything else.
            if response.status() == StatusCode::INSUFFICIENT_STORAGE {
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            }
            // Its body in the protocol's form, not in ours.
            response.extensions_mut().remove::<super::answer::Body>();
            *response.body_mut() = stillhouse_otlp::failed(encoding, &message).into();
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(encoding.media_type()));
            response
        }
    }
}

fn encoding(headers: &HeaderMap) -> Result<Encoding, Refusal> {
    let given = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let name = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let known = [Encoding::Protobuf, Encoding::Json];
    known.into_iter().find(|encoding| encoding.media_type() == name).ok_or_else(|| {
        let names = known.map(Encoding::media_type).join(", ");
        let grpc = if name.starts_with("application/grpc") { "; gRPC is not spoken here" } else { "" };
        let message =
            format!("Content-Type must be one of {names}{grpc}: set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf");
        Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message)
            .header(ACCEPT, HeaderValue::from_static("application/x-protobuf, application/json"))
    })
}

async fn take(state: HttpState, encoding: Encoding, request: Request) -> Result<Rejected, Refusal> {
    Params::of(request.uri(), &[])?;
    let (parts, body) = request.into_parts();
    let caller = parts.extensions.get::<Caller>().cloned().unwrap_or(Caller(None));
    let limits = BodyLimits { bytes: state.limits.body_bytes, deadline: state.limits.body_deadline };
    let wire = body::read(&parts.headers, &parts.extensions, body, limits, &state.intake.budget).await?;
    let place = state.intake.place(&caller)?;
    let frame = Frame {
        physical: state.names.topic(SPANS).into(),
        codec: state.codec.clone(),
        producer: Producer {
            name: caller.0.map_or_else(|| "otlp".to_owned(), |name| format!("otlp/{name}")),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            config_hash: String::new(),
        },
        now_micros: now_micros(),
        max_record: state.journal.max_record_bytes(),
    };
    let deadline = state.limits.append_deadline;
    let work = async move {
        let (bytes, share) = blocking_if(wire.is_big(), move || wire.inflate()).await?;
        let big = bytes.len() > 32 << 10;
        let (appends, rejected) = blocking_if(big, move || {
            let batch = stillhouse_otlp::read(encoding, &bytes)
                .map_err(|bad| Refusal::new(StatusCode::BAD_REQUEST, "bad_otlp", bad.to_string()))?;
            frame.records(batch)
        })
        .await?;
        state.append_spans(appends).await?;
        state.counters.rejected_spans(rejected.count);
        drop((share, place));
        Ok(rejected)
    };
    super::intake::within(deadline, work).await
}

/// What the spans of one request have in common.
pub(crate) struct Frame {
    pub(crate) physical: Arc<str>,
    pub(crate) codec: Codec,
    pub(crate) producer: Producer,
    pub(crate) now_micros: i64,
    pub(crate) max_record: usize,
}

impl Frame {
    /// The records of a batch, and what cannot be one.
    pub(crate) fn records(&self, batch: Batch) -> Result<(Vec<Append>, Rejected), Refusal> {
        let Batch { mut spans, mut rejected } = batch;
        children_first(&mut spans);
        let mut appends = Vec::with_capacity(spans.len());
        for span in spans {
            match self.record(span) {
                Ok(append) => appends.push(append),
                Err(Unfit::Span(why)) => rejected.add(|| why),
                Err(Unfit::Now(refusal)) => return Err(*refusal),
            }
        }
        Ok((appends, rejected))
    }

    fn record(&self, span: Span) -> Result<Append, Unfit> {
        let which = format!("span {}", span.span_id);
        let (event, digest) = stillhouse_otlp::event(span, self.producer.clone(), self.now_micros);
        check(&event).map_err(|bad| Unfit::Span(format!("{which}: {bad}")))?;
        let mut encoded = self.codec.encode(&event).map_err(|error| {
            if error.is_transient() {
                let refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", error.to_string());
                Unfit::Now(Box::new(refusal.retry_after(1)))
            } else {
                Unfit::Span(format!("{which}: {error}"))
            }
        })?;
        encoded.headers.retain(|(name, _)| *name != DIGEST_HEADER);
        encoded.headers.push((DIGEST_HEADER, digest));
        let record = wire::record(encoded);
        let size = record.size();
        if size > self.max_record {
            return Err(Unfit::Span(format!("{which} has {size} bytes, and the journal takes {}", self.max_record)));
        }
        Ok(Append { topic: self.physical.clone(), partition: None, record })
    }
}

enum Unfit {
    /// It never will be.
    Span(String),
    /// It may be later.
    Now(Box<Refusal>),
}

/// Puts those that are deeper in their traces before those above them; equals stay as they came.
fn children_first(spans: &mut [Span]) {
    let parents: HashMap<(&str, &str), &str> = spans
        .iter()
        .filter_map(|span| Some(((span.trace_id.as_str(), span.span_id.as_str()), span.parent_span_id.as_deref()?)))
        .collect();
    let mut known: HashMap<(&str, &str), usize> = HashMap::new();
    let mut depths = Vec::with_capacity(spans.len());
    for span in spans.iter() {
        let trace = span.trace_id.as_str();
        let (mut path, mut on_path) = (Vec::new(), HashSet::new());
        let mut at = span.span_id.as_str();
        let base = loop {
            if let Some(depth) = known.get(&(trace, at)) {
                break *depth;
            }
            path.push(at);
            on_path.insert(at);
            match parents.get(&(trace, at)) {
                // Parents may go round in a circle.
                Some(parent) if !on_path.contains(parent) => at = parent,
                _ => break 0,
            }
        };
        for (above, id) in path.iter().rev().enumerate() {
            known.insert((trace, id), base + above + 1);
        }
        depths.push(known.get(&(trace, span.span_id.as_str())).copied().unwrap_or_default());
    }
    let mut order: Vec<usize> = (0..spans.len()).collect();
    order.sort_by_key(|n| std::cmp::Reverse(depths[*n]));
    let mut sorted: Vec<Span> = order.into_iter().map(|n| spans[n].clone()).collect();
    spans.swap_with_slice(&mut sorted);
}

impl HttpState {
    /// Appends them, as many at a time as one request may hold events.
    async fn append_spans(&self, appends: Vec<Append>) -> Result<(), Refusal> {
        let mut appends = appends.into_iter().peekable();
        while appends.peek().is_some() {
            let mut batch: Vec<Append> = appends.by_ref().take(self.limits.events.max(1)).collect();
            let mut known = 0;
            let receipts = loop {
                let error = match self.journal.append(batch.clone()).await {
                    Ok(receipts) => break receipts,
                    Err(error) => error,
                };
                // An id says what the span says: it was taken before, in another way (an import, say).
                if error.kind() != ErrorKind::Conflict || error.conflicts().is_empty() {
                    return Err(error.into());
                }
                let mut index = 0;
                let before = batch.len();
                batch.retain(|_| {
                    index += 1;
                    !error.conflicts().contains(&(index - 1))
                });
                if batch.len() == before {
                    return Err(error.into());
                }
                known += before - batch.len();
            };
            let added = receipts.iter().filter(|receipt| !receipt.duplicate).count();
            self.counters.events(SPANS, added, known + receipts.len() - added);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(id: &str, parent: Option<&str>) -> Span {
        Span { span_id: id.into(), parent_span_id: parent.map(str::to_owned), ..Span::default() }
    }

    #[test]
    fn children_come_before_their_parents_and_circles_end() {
        let mut spans = vec![
            span("root", None),
            span("a", Some("root")),
            span("b", Some("a")),
            span("x", Some("y")),
            span("y", Some("x")),
            span("self", Some("self")),
            span("lost", Some("nobody")),
        ];
        children_first(&mut spans);
        let place = |id: &str| spans.iter().position(|span| span.span_id == id).expect("it is there");
        assert!(place("b") < place("a") && place("a") < place("root"));
        assert_eq!(spans.len(), 7);
        let mut deep: Vec<Span> =
            (0..20_000).map(|n| span(&n.to_string(), Some(&(n + 1).to_string()).map(|s| s.as_str()))).collect();
        deep.reverse();
        children_first(&mut deep);
        assert_eq!(deep[0].span_id, "0");
    }
}
