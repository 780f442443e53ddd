//! Reading a request body: bounded in bytes, in time and in what it inflates to.
//!
//! Memory for bodies comes out of one budget ([`Budget`]); a body takes its share as it arrives, so that a slow sender
//! reserves nothing. Only `gzip` and `zstd` are inflated; the size on the wire and the inflated size have the same cap, and beyond
//! the first megabyte a body may not inflate to more than [`MAX_RATIO`] times its size.

use super::answer::Refusal;
use super::serve::Linger;
use crate::container::zstd;
use axum::body::Body;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use axum::http::{Extensions, HeaderMap, StatusCode};
use bytes::{Bytes, BytesMut};
use flate2::bufread::MultiGzDecoder;
use futures::StreamExt;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How much a compressed body may grow.
pub(crate) const MAX_RATIO: usize = 100;
const RATIO_FREE: usize = 1 << 20;
const UNIT: usize = 4 << 10;

/// Bytes of request bodies that may be in memory at a time, over all requests.
#[derive(Clone, Debug)]
pub(crate) struct Budget(Arc<Semaphore>);

/// A part of the budget, given back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Budget,
    permit: Option<OwnedSemaphorePermit>,
    units: usize,
}

impl Budget {
    pub(crate) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new((bytes / UNIT).clamp(1, Semaphore::MAX_PERMITS))))
    }

    pub(crate) fn share(&self) -> Share {
        Share { budget: self.clone(), permit: None, units: 0 }
    }
}

impl Share {
    /// Grows to hold `bytes` in all.
    fn grow_to(&mut self, bytes: usize) -> Result<(), Refusal> {
        let units = bytes.div_ceil(UNIT);
        let more = units.saturating_sub(self.units);
        if more == 0 {
            return Ok(());
        }
        let count = u32::try_from(more).unwrap_or(u32::MAX);
        let permit = self.budget.0.clone().try_acquire_many_owned(count).map_err(|_| busy())?;
        self.units = units;
        match &mut self.permit {
            Some(held) => held.merge(permit),
            none => *none = Some(permit),
        }
        Ok(())
    }
}

/// 429: a bounded queue is full.
pub(crate) fn busy() -> Refusal {
    let message = "too much is waiting already; nothing of this request was done";
    Refusal::new(StatusCode::TOO_MANY_REQUESTS, "busy", message).retry_after(1)
}

/// What a body may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyLimits {
    pub(crate) bytes: usize,
    pub(crate) deadline: Duration,
}

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Identity,
    Gzip,
    Zstd,
}

/// A body as it came, with its share of the budget.
#[derive(Debug)]
pub(crate) struct Wire {
    bytes: Bytes,
    coding: Coding,
    limit: usize,
    share: Share,
}

/// Reads the body. A refusal that leaves bytes unread ends the connection.
pub(crate) async fn read(
    headers: &HeaderMap,
    extensions: &Extensions,
    body: Body,
    limits: BodyLimits,
    budget: &Budget,
) -> Result<Wire, Refusal> {
    let refused = match read_all(headers, body, limits, budget).await {
        Ok(wire) => return Ok(wire),
        Err(refused) => refused,
    };
    // The client may still be sending: it should get to read the answer before its writes fail.
    if let Some(linger) = extensions.get::<Linger>() {
        linger.ask();
    }
    Err(refused.close())
}

async fn read_all(headers: &HeaderMap, body: Body, limits: BodyLimits, budget: &Budget) -> Result<Wire, Refusal> {
    let coding = encoding(headers)?;
    let limit = limits.bytes;
    let declared = headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<u64>().ok());
    if declared.is_some_and(|length| length > limit as u64) {
        return Err(too_large(limit));
    }
    let mut share = budget.share();
    let mut chunks = body.into_data_stream();
    let mut first = Bytes::new();
    let mut buffer = BytesMut::new();
    let reading = async {
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|_| {
                Refusal::new(StatusCode::BAD_REQUEST, "bad_body", "the body ended before it was complete")
            })?;
            let length = first.len() + buffer.len() + chunk.len();
            if length > limit {
                return Err(too_large(limit));
            }
            share.grow_to(length)?;
            // Most bodies are one chunk, which needs no copy.
            if first.is_empty() && buffer.is_empty() {
                first = chunk;
                continue;
            }
            if buffer.is_empty() {
                // As much as is said to come, so that it is not copied again as it grows; within reason.
                let expected = declared.and_then(|length| usize::try_from(length).ok()).unwrap_or(length);
                buffer.reserve(expected.clamp(length, length.max(1 << 20)));
                buffer.extend_from_slice(&std::mem::take(&mut first));
            }
            buffer.extend_from_slice(&chunk);
        }
        Ok(())
    };
    match tokio::time::timeout(limits.deadline, reading).await {
        Ok(outcome) => outcome?,
        Err(_) => {
            let message = format!("the body was not complete after {} seconds", limits.deadline.as_secs_f32());
            return Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", message));
        }
    }
    let bytes = if buffer.is_empty() { first } else { buffer.freeze() };
    Ok(Wire { bytes, coding, limit, share })
}

impl Wire {
    /// Whether making sense of it takes long enough to leave the thread that serves connections.
    pub(crate) fn is_big(&self) -> bool {
        self.coding != Coding::Identity || self.bytes.len() > 32 << 10
    }

    /// The body as its sender meant it, and the share that keeps paying for it.
    pub(crate) fn inflate(self) -> Result<(Bytes, Share), Refusal> {
        let Self { bytes, coding, limit, mut share } = self;
        let broken = |name: &str, error: std::io::Error| {
            let message = format!("the body is not whole {name}: {error}");
            Refusal::new(StatusCode::BAD_REQUEST, if name == "gzip" { "bad_gzip" } else { "bad_zstd" }, message)
        };
        let (name, mut decoder): (_, Box<dyn Read + '_>) = match coding {
            Coding::Identity => return Ok((bytes, share)),
            Coding::Gzip => ("gzip", Box::new(MultiGzDecoder::new(bytes.as_ref()))),
            Coding::Zstd => ("zstd", Box::new(zstd(&bytes).map_err(|error| broken("zstd", error))?)),
        };
        let mut out = BytesMut::new();
        let mut buffer = vec![0; 64 << 10];
        loop {
            let n = match decoder.read(&mut buffer) {
                Ok(0) => return Ok((out.freeze(), share)),
                Ok(n) => n,
                Err(error) => return Err(broken(name, error)),
            };
            let length = out.len() + n;
            if length > limit {
                return Err(too_large(limit));
            }
            if length > RATIO_FREE && length / MAX_RATIO > bytes.len() {
                let message = format!("the body inflates to more than {MAX_RATIO} times its size");
                return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message));
            }
            share.grow_to(bytes.len() + length)?;
            out.extend_from_slice(&buffer[..n]);
        }
    }
}

fn too_large(limit: usize) -> Refusal {
    let message = format!("the body is larger than {limit} bytes (after inflating); send it in parts");
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
}

fn encoding(headers: &HeaderMap) -> Result<Coding, Refusal> {
    let mut coding = Coding::Identity;
    for value in headers.get_all(CONTENT_ENCODING) {
        for name in value.to_str().unwrap_or("?").split(',').map(str::trim) {
            match name.to_ascii_lowercase().as_str() {
                "" | "identity" => (),
                "gzip" | "x-gzip" if coding == Coding::Identity => coding = Coding::Gzip,
                "zstd" if coding == Coding::Identity => coding = Coding::Zstd,
                _ => {
                    let message = "Content-Encoding may be `gzip` or `zstd`, once, or nothing";
                    return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_encoding", message));
                }
            }
        }
    }
    Ok(coding)
}
