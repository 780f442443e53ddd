//! What came of running again and of looking closely.

use crate::payload::{Finding, Usage};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A recorded run that was run again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Replayed {
    /// This replay.
    pub replay_id: String,
    /// The run.
    pub run_id: String,
    /// `recorded` (the recorded answers) or `model` (a model asked again).
    pub mode: String,
    /// Model asked.
    #[serde(default)]
    pub model: Option<String>,
    /// Its provider.
    #[serde(default)]
    pub provider: Option<String>,
    /// `same`, `diverged`, `incomplete` or `failed`.
    pub verdict: String,
    /// Steps of the recorded run.
    #[serde(default)]
    pub steps: i64,
    /// Steps that went alike before the first divergence.
    #[serde(default)]
    pub matched: i64,
    /// The first divergence.
    #[serde(default)]
    pub divergence: Option<Divergence>,
    /// Last answer of the replay.
    #[serde(default)]
    pub answer: Option<String>,
    /// Why it failed.
    #[serde(default)]
    pub error: Option<String>,
    /// Tokens used.
    #[serde(default)]
    pub usage: Option<Usage>,
    /// Cost in US dollars.
    #[serde(default)]
    pub cost_usd: Option<f64>,
    /// Calls of tools that left the journal; always 0 unless asked for.
    #[serde(default)]
    pub outside_calls: i64,
}

/// The first step that went otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Divergence {
    /// Number of the step, from 0.
    pub step: i64,
    /// `answer`, `tool_name`, `tool_arguments`, `tool_result`, `finish`.
    pub what: String,
    /// As recorded.
    #[serde(default)]
    pub recorded: Option<String>,
    /// As replayed.
    #[serde(default)]
    pub replayed: Option<String>,
}

/// What an audit found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audited {
    /// This audit.
    pub audit_id: String,
    /// `full`, `baseline` or `drift`.
    pub kind: String,
    /// `pass`, `warn` or `fail`.
    pub verdict: String,
    /// Its phases, in order.
    #[serde(default)]
    pub phases: Vec<AuditPhase>,
    /// What was counted: name to number.
    #[serde(default)]
    pub counts: BTreeMap<String, i64>,
    /// What is wrong.
    #[serde(default)]
    pub findings: Vec<Finding>,
    /// Audit that it was compared with.
    #[serde(default)]
    pub baseline: Option<String>,
    /// The cut as JSON text: `[[topic, partition, end], …]`.
    #[serde(default)]
    pub cut: String,
    /// SHA-256 of the report in JSON, hex.
    #[serde(default)]
    pub report_sha256: String,
}

/// A phase of an audit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditPhase {
    /// From 0.
    pub number: i32,
    /// Name.
    pub name: String,
    /// `pass`, `warn`, `fail` or `skipped`.
    pub verdict: String,
    /// Checks made.
    #[serde(default)]
    pub checks: i64,
    /// Checks failed.
    #[serde(default)]
    pub failed: i64,
    /// In words.
    #[serde(default)]
    pub detail: String,
}
