//! OTLP over HTTP: the bodies of `POST /v1/traces`, and what is answered to them.
//!
//! - [`read`]: a body, protobuf or JSON, becomes [`Span`]s and a count of those that cannot be taken, each with a reason.
//!   One bad span never takes the others with it; a body that is no request at all is [`Undecodable`].
//! - [`event`]: a span as an event. Its id says trace, span and content, so that a span sent twice is one event, and one
//!   that was sent again with other content is another, beside the first.
//! - [`accepted`] and [`failed`]: the answers, in the encoding of the request.
//!
//! Ids are stored as lower-case hex, attributes as JSON text. In JSON the names of fields may be in camelCase or as in
//! the `.proto` files, ids hex or base64, 64-bit numbers strings or numbers, enums numbers or names; fields that are not
//! known are passed over.
//!
//! Deliberately absent: gRPC, logs, metrics, and any opinion about what attributes mean (the `assembler` has that).

mod answer;
mod event;
mod json;
mod messages;
mod span;

pub use answer::{accepted, failed};
pub use event::event;
pub use json::spans_of;
pub use span::{MAX_EVENTS, MAX_LINKS, REMOTE_PARENT};

use stillhouse_schemas::Span;

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// `application/x-protobuf`.
    Protobuf,
    /// `application/json`.
    Json,
}

impl Encoding {
    /// Its `Content-Type`.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        }
    }
}

/// What a body held.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Spans that can be taken, as they came.
    pub spans: Vec<Span>,
    /// How many cannot, and why.
    pub rejected: Rejected,
}

/// Spans that cannot be taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rejected {
    /// How many.
    pub count: u64,
    /// Why, for the first few.
    pub reasons: Vec<String>,
}

/// Reasons that are kept.
const REASONS: usize = 5;

impl Rejected {
    /// One more.
    pub fn add(&mut self, why: impl FnOnce() -> String) {
        self.count += 1;
        if self.reasons.len() < REASONS {
            self.reasons.push(why());
        }
    }

    /// In a sentence; empty if there are none.
    pub fn message(&self) -> String {
        let mut text = self.reasons.join("; ");
        let more = self.count.saturating_sub(self.reasons.len() as u64);
        if more > 0 {
            text.push_str(&format!("; and {more} more"));
        }
        text
    }
}

impl Batch {
    pub(crate) fn take(&mut self, number: usize, span: Result<Span, String>) {
        match span {
            Ok(span) => self.spans.push(span),
            Err(why) => self.rejected.add(|| format!("span {number}: {why}")),
        }
    }
}

/// A body that is not of its kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body is no ExportTraceServiceRequest in {}: {why}", encoding.media_type())]
pub struct Undecodable {
    encoding: Encoding,
    why: String,
}

/// The spans of a body. An empty body is an empty request.
///
/// # Errors
/// If it is not of this encoding.
pub fn read(encoding: Encoding, body: &[u8]) -> Result<Batch, Undecodable> {
    let batch = match encoding {
        _ if body.is_empty() => Ok(Batch::default()),
        Encoding::Protobuf => messages::read(body),
        Encoding::Json => json::read(body),
    };
    batch.map_err(|why| Undecodable { encoding, why })
}

#[cfg(test)]
mod tests;
