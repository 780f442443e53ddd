//! Refusals: one JSON shape for everything that is not answered as asked.
//!
//! `{"error":{"code","message","field"?,"index"?,"line"?,"column"?,"offset"?,"request_id"}}`. A message names the place
//! and the rule, and never repeats the input beyond a short escaped name, a secret or a stack trace. The request id is
//! added by [`super::around`], which sees every answer.

use axum::http::header::{CONNECTION, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use stillhouse_streams::{Error, ErrorKind};

/// Why a request was not done, and what the caller may do about it.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) body: Box<Body>,
    retry_after: Option<u32>,
    close: bool,
    header: Option<Box<(HeaderName, HeaderValue)>>,
}

/// The inner object of an error answer.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Body {
    pub(crate) code: &'static str,
    pub(crate) message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<usize>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    place: Option<Place>,
}

impl Body {
    pub(crate) fn field(&self) -> Option<&str> {
        self.field.as_deref()
    }
}

/// Where in a body: line and column from 1, offset in bytes from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) offset: usize,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        let body = Box::new(Body { code, message: message.into(), field: None, index: None, place: None });
        Self { status, body, retry_after: None, close: false, header: None }
    }

    /// 400 for something outside the events: a query, a header, a path.
    pub(crate) fn bad(field: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message).field(field)
    }

    /// 422: understood, and not acceptable.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", message)
    }

    /// 404.
    pub(crate) fn missing(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    #[must_use]
    pub(crate) fn field(mut self, field: impl Into<String>) -> Self {
        self.body.field = Some(field.into());
        self
    }

    #[must_use]
    pub(crate) fn index(mut self, index: usize) -> Self {
        self.body.index = Some(index);
        self
    }

    #[must_use]
    pub(crate) fn place(mut self, place: Place) -> Self {
        self.body.place = Some(place);
        self
    }

    #[must_use]
    pub(crate) fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// The rest of the request is not going to be read: the connection ends with this answer.
    #[must_use]
    pub(crate) fn close(mut self) -> Self {
        self.close = true;
        self
    }

    #[must_use]
    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.header = Some(Box::new((name, value)));
        self
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error.kind() {
            ErrorKind::Retry => Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", message).retry_after(1),
            ErrorKind::Unavailable => Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message).retry_after(5),
            ErrorKind::Fenced => Self::new(StatusCode::SERVICE_UNAVAILABLE, "fenced", message).retry_after(1),
            ErrorKind::Closed => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", "the node is stopping; nothing was written")
                    .retry_after(5)
            }
            ErrorKind::Indeterminate => Self::indeterminate(&message),
            ErrorKind::Full => Self::new(
                StatusCode::INSUFFICIENT_STORAGE,
                "journal_full",
                format!("the journal has no space left, nothing was written; reads go on: {message}"),
            )
            .retry_after(30),
            ErrorKind::TooLarge => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message),
            ErrorKind::Conflict => Self::new(StatusCode::CONFLICT, "conflict", message),
            ErrorKind::Invalid => Self::invalid(message),
            ErrorKind::NotFound => Self::missing(message),
            // A damaged journal is the operator's business: the log has the place, the caller gets the fact.
            ErrorKind::Corrupt => {
                tracing::error!(error = %message, "the journal is damaged");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "journal_damaged", "the journal is damaged; see the log")
            }
            _ => {
                tracing::error!(error = %message, "unexpected journal error");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the journal failed; see the log")
            }
        }
    }
}

impl Refusal {
    /// The write may have happened: the caller repeats it with the same ids or the same `Idempotency-Key`.
    pub(crate) fn indeterminate(what: &str) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "indeterminate",
            format!(
                "the outcome is not known, the events may have been written: {what}; \
                 repeating the request with the same ids or Idempotency-Key is safe"
            ),
        )
        .retry_after(1)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.close {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some((name, value)) = self.header.map(|header| *header) {
            headers.insert(name, value);
        }
        response.extensions_mut().insert(*self.body);
        response
    }
}
