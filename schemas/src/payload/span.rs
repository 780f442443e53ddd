//! Traces, as they arrive: span by span.

use crate::event::Micros;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One span of a trace, as its exporter sent it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Trace, 32 hex digits.
    pub trace_id: String,
    /// Span, 16 hex digits.
    pub span_id: String,
    /// Parent span; absent for the root.
    #[serde(default)]
    pub parent_span_id: Option<String>,
    /// Name.
    pub name: String,
    /// `internal`, `server`, `client`, `producer`, `consumer`; empty if unspecified.
    #[serde(default)]
    pub kind: String,
    /// Start.
    #[serde(default)]
    pub started_at: Option<Micros>,
    /// End; absent while it is open.
    #[serde(default)]
    pub ended_at: Option<Micros>,
    /// `ok`, `error`; empty if unset.
    #[serde(default)]
    pub status: String,
    /// What went wrong.
    #[serde(default)]
    pub status_message: Option<String>,
    /// Attributes: name to JSON text.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
    /// Events within the span.
    #[serde(default)]
    pub events: Vec<SpanOccurrence>,
    /// Linked spans.
    #[serde(default)]
    pub links: Vec<SpanLink>,
    /// Attributes of the resource: name to JSON text.
    #[serde(default)]
    pub resource: BTreeMap<String, String>,
    /// Instrumentation scope, name and version joined by a blank.
    #[serde(default)]
    pub scope: Option<String>,
}

/// An event within a span.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpanOccurrence {
    /// Name.
    pub name: String,
    /// When.
    #[serde(default)]
    pub at: Option<Micros>,
    /// Attributes: name to JSON text.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
}

/// A link to another span.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpanLink {
    /// Trace.
    pub trace_id: String,
    /// Span.
    pub span_id: String,
    /// Attributes: name to JSON text.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
}
