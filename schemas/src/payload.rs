//! What events say. Field order and types mirror the `.avsc` files, which are the truth.
//!
//! Every field that was added after the first release has a default there and `#[serde(default)]` here.

mod call;
mod decision;
mod report;
mod roster;
mod seal;
mod search;
mod span;
mod verdict;

pub use call::{CallReplied, CallRequested};
pub use decision::{Decision, ErasureCertified, Label, Rebuilt, Released};
pub use report::{AuditPhase, Audited, Divergence, Replayed};
pub use roster::{RosterChanged, RosterLoaded, RosterWorker};
pub use seal::RangeSealed;
pub use search::{Document, Embedded, EmbeddedPart, SearchHit, Searched};
pub use span::{Span, SpanLink, SpanOccurrence};
pub use verdict::{ClaimSide, Verdict};

use crate::event::Micros;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The payload of an event; one variant per entry of [`crate::EVENTS`].
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each variant is named after the type it holds")]
pub enum Payload {
    Run(Run),
    Claim(Claim),
    Evidence(Evidence),
    Validation(Validation),
    Score(Score),
    ScoreFailed(ScoreFailed),
    Quarantined(Quarantined),
    Exported(Exported),
    Control(Control),
    DeadLettered(DeadLettered),
    Span(Span),
    Label(Label),
    CallRequested(CallRequested),
    CallReplied(CallReplied),
    Decision(Decision),
    ErasureCertified(ErasureCertified),
    Released(Released),
    Replayed(Replayed),
    Audited(Audited),
    RangeSealed(RangeSealed),
    Document(Document),
    Embedded(Embedded),
    Searched(Searched),
    RosterChanged(RosterChanged),
    RosterLoaded(RosterLoaded),
    Checked(Checked),
    Verdict(Verdict),
}

/// One recorded run of an agent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Id of the run; the key of its event and of everything derived from it.
    pub run_id: String,
    /// `chat`, `agent`, `reasoning`, …; absent: the materializer decides by what the run holds.
    #[serde(default)]
    pub source_class: Option<String>,
    /// What was to be done; runs with one task key tried the same task.
    #[serde(default)]
    pub task_key: Option<String>,
    /// Role the agent acted in.
    #[serde(default)]
    pub role: Option<String>,
    /// Model, as answered by the provider.
    #[serde(default)]
    pub model: Option<String>,
    /// Provider of the model.
    #[serde(default)]
    pub provider: Option<String>,
    /// The conversation, in order.
    #[serde(default)]
    pub messages: Vec<Message>,
    /// Tools that the model could call.
    #[serde(default)]
    pub tools: Vec<Tool>,
    /// Right answer, where there is one.
    #[serde(default)]
    pub reference: Option<String>,
    /// How it ended.
    #[serde(default)]
    pub outcome: Outcome,
    /// Tokens used.
    #[serde(default)]
    pub usage: Option<Usage>,
    /// Cost in US dollars.
    #[serde(default)]
    pub cost_usd: Option<f64>,
    /// Start.
    #[serde(default)]
    pub started_at: Option<Micros>,
    /// End.
    #[serde(default)]
    pub ended_at: Option<Micros>,
    /// Why the model stopped: `stop`, `length`, `content_filter`, `tool_calls`, `error`.
    #[serde(default)]
    pub finish_reason: Option<String>,
    /// The error that ended it.
    #[serde(default)]
    pub error: Option<String>,
    /// Session or conversation it belongs to.
    #[serde(default)]
    pub session_id: Option<String>,
    /// Trace id (32 hex digits) in the producer's tracing.
    #[serde(default)]
    pub trace_id: Option<String>,
    /// Span id (16 hex digits) in the producer's tracing.
    #[serde(default)]
    pub span_id: Option<String>,
    /// Labels.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Whatever else the source said: name to JSON text.
    #[serde(default)]
    pub extra: BTreeMap<String, String>,
    /// Passages that the answer was to be given from, in order.
    #[serde(default)]
    pub passages: Vec<Passage>,
    /// JSON Schema that the answer had to satisfy, as JSON text.
    #[serde(default)]
    pub response_schema: Option<String>,
    /// What the run proposes or judges, as JSON text: a fill, an e-mail, a reviewed draft.
    #[serde(default)]
    pub artefact: Option<String>,
    /// What the artefact is for, as JSON text: the job, the worker, the recipient.
    #[serde(default)]
    pub context: Option<String>,
    /// Of one run id the highest revision counts; a trace that goes on after it was put together has another.
    #[serde(default)]
    pub revision: i64,
}

/// One message of a conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `developer`, `user`, `assistant`, `tool`.
    pub role: String,
    /// Text; of content in parts, the text parts joined by a newline.
    #[serde(default)]
    pub content: Option<String>,
    /// Content in parts, as JSON text, when it was not a plain string.
    #[serde(default)]
    pub parts: Option<String>,
    /// Reasoning text that the model gave apart from its answer.
    #[serde(default)]
    pub reasoning: Option<String>,
    /// Name of the speaker, or of the tool that answers.
    #[serde(default)]
    pub name: Option<String>,
    /// The call that this message answers.
    #[serde(default)]
    pub tool_call_id: Option<String>,
    /// Calls that the model made.
    #[serde(default)]
    pub tool_calls: Vec<ToolCall>,
}

/// One call of a tool by the model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Id, if the provider gave one.
    #[serde(default)]
    pub id: Option<String>,
    /// Name of the tool.
    pub name: String,
    /// Arguments as the model wrote them: JSON text, not always valid.
    pub arguments: String,
}

/// A tool that the model could call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// Name.
    pub name: String,
    /// What it does.
    #[serde(default)]
    pub description: Option<String>,
    /// JSON Schema of its arguments, as JSON text.
    #[serde(default)]
    pub parameters: Option<String>,
}

/// How a run ended, by whoever could tell. Any of the three is definite.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Reward of an environment, usually 0 to 1.
    #[serde(default)]
    pub reward: Option<f64>,
    /// Verdict of a check: `pass` or `fail` (others are kept and judged by the scorer).
    #[serde(default)]
    pub verdict: Option<String>,
    /// What a person said: `accepted` or `rejected` (others are kept and judged by the scorer).
    #[serde(default)]
    pub human_label: Option<String>,
    /// Who said so, or how it was found.
    #[serde(default)]
    pub source: Option<String>,
}

/// Tokens used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens read.
    #[serde(default)]
    pub input_tokens: Option<i64>,
    /// Tokens written.
    #[serde(default)]
    pub output_tokens: Option<i64>,
    /// Of the input, read from a cache.
    #[serde(default)]
    pub cached_tokens: Option<i64>,
    /// Of the output, spent on reasoning.
    #[serde(default)]
    pub reasoning_tokens: Option<i64>,
}

/// A run made ready to be scored and exported: classed, normalised, with what can be counted counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The run.
    pub run_id: String,
    /// Class that the transform was chosen by.
    pub source_class: String,
    /// As in the run.
    #[serde(default)]
    pub task_key: Option<String>,
    /// As in the run.
    #[serde(default)]
    pub role: Option<String>,
    /// As in the run.
    #[serde(default)]
    pub model: Option<String>,
    /// As in the run.
    #[serde(default)]
    pub provider: Option<String>,
    /// The conversation, normalised.
    pub messages: Vec<Message>,
    /// Tools that the model could call.
    #[serde(default)]
    pub tools: Vec<Tool>,
    /// Last text of the assistant, trimmed; absent if it never gave one.
    #[serde(default)]
    pub answer: Option<String>,
    /// As in the run.
    #[serde(default)]
    pub reference: Option<String>,
    /// As in the run.
    #[serde(default)]
    pub outcome: Outcome,
    /// As in the run.
    #[serde(default)]
    pub finish_reason: Option<String>,
    /// As in the run.
    #[serde(default)]
    pub error: Option<String>,
    /// What could be counted: name to value (`turns`, `tool_calls`, `tool_errors`, `repeated_calls`, …).
    #[serde(default)]
    pub signals: BTreeMap<String, f64>,
    /// As in the run.
    #[serde(default)]
    pub tags: Vec<String>,
    /// As in the run.
    #[serde(default)]
    pub passages: Vec<Passage>,
    /// As in the run.
    #[serde(default)]
    pub response_schema: Option<String>,
    /// What the run proposes or judges, found in the run or in its answer, as JSON text.
    #[serde(default)]
    pub artefact: Option<String>,
    /// As in the run.
    #[serde(default)]
    pub context: Option<String>,
    /// As in the run.
    #[serde(default)]
    pub revision: i64,
}

/// What a run is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the field's own words")]
pub enum Category {
    Accepted,
    PartiallyAccepted,
    NeedsHumanReview,
    Rejected,
}

impl Category {
    /// All of them, best first.
    pub const ALL: [Self; 4] = [Self::Accepted, Self::PartiallyAccepted, Self::NeedsHumanReview, Self::Rejected];

    /// As written in events and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::PartiallyAccepted => "partially_accepted",
            Self::NeedsHumanReview => "needs_human_review",
            Self::Rejected => "rejected",
        }
    }
}

/// A judgement of one evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The run.
    pub run_id: String,
    /// The evidence judged.
    pub evidence_id: String,
    /// Who judged.
    pub scorer: String,
    /// Its version.
    pub scorer_version: String,
    /// Hash of its settings.
    pub config_hash: String,
    /// In [0, 1].
    pub score: f64,
    /// Parts of the score, each in [0, 1].
    pub sub_scores: BTreeMap<String, f64>,
    /// Why, one sentence each.
    pub reasons: Vec<String>,
    /// What follows.
    pub category: Category,
    /// What decided: `human_label`, `verdict`, `reward` or `rules`.
    pub decided_by: String,
    /// Class of the run, so that figures need no join.
    pub source_class: String,
    /// The model call that judged, if one did.
    #[serde(default)]
    pub call_hash: Option<String>,
    /// What that call cost, in US dollars.
    #[serde(default)]
    pub cost_usd: Option<f64>,
}

/// A judgement that could not be made. It is never a zero.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScoreFailed {
    /// The run.
    pub run_id: String,
    /// The evidence that could not be judged.
    pub evidence_id: String,
    /// Who tried.
    pub scorer: String,
    /// Its version.
    pub scorer_version: String,
    /// Hash of its settings.
    pub config_hash: String,
    /// Why it failed.
    pub error: String,
    /// Class of the run, so that figures need no join.
    #[serde(default)]
    pub source_class: String,
    /// The model call that failed, if one did.
    #[serde(default)]
    pub call_hash: Option<String>,
}

/// A validator's verdict over a run's artefact.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validation {
    /// The run.
    pub run_id: String,
    /// Who validated.
    pub validator: String,
    /// Its version.
    pub validator_version: String,
    /// Hash of its settings.
    pub config_hash: String,
    /// `pass`, `fail` or `skipped`.
    pub verdict: String,
    /// Structured reasons.
    #[serde(default)]
    pub reasons: Vec<Finding>,
    /// The evidence that was validated.
    #[serde(default)]
    pub evidence_id: String,
    /// Class of the run, so that figures need no join.
    #[serde(default)]
    pub source_class: String,
    /// Named list of validators that was applied.
    #[serde(default)]
    pub policy: String,
    /// Validators that could not look, and why.
    #[serde(default)]
    pub skipped: BTreeMap<String, String>,
    /// Roster that was looked in; absent: none.
    #[serde(default)]
    pub roster_version: Option<String>,
    /// Up to when claims counted, and the hash of the rule by which they did, as JSON text; absent: none were looked in.
    #[serde(default)]
    pub claims_cut: Option<String>,
}

/// An artefact that somebody asked validators about. What it says is not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// This check.
    pub check_id: String,
    /// Policy that was asked for; empty: validators were named.
    #[serde(default)]
    pub policy: String,
    /// Validators that looked, in order.
    #[serde(default)]
    pub validators: Vec<String>,
    /// Version of the rules.
    #[serde(default)]
    pub validator_version: String,
    /// Hash of the policies and validators of the settings.
    #[serde(default)]
    pub config_hash: String,
    /// `pass`, `fail` or `skipped`.
    pub verdict: String,
    /// Structured reasons.
    #[serde(default)]
    pub reasons: Vec<Finding>,
    /// Validators that could not look, and why.
    #[serde(default)]
    pub skipped: BTreeMap<String, String>,
    /// Roster that was looked in; absent: none.
    #[serde(default)]
    pub roster_version: Option<String>,
    /// Up to when claims counted, and the hash of the rule by which they did, as JSON text; absent: none were looked in.
    #[serde(default)]
    pub claims_cut: Option<String>,
    /// SHA-256 of the artefact as it was asked about, in hex.
    #[serde(default)]
    pub artefact_sha256: String,
    /// Time that it took, in microseconds.
    #[serde(default)]
    pub took_us: i64,
}

/// One thing that a validator found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Stable code of the rule.
    pub code: String,
    /// In words.
    pub message: String,
    /// Where in the artefact, if anywhere.
    #[serde(default)]
    pub field: Option<String>,
    /// `blocking`, `warning` or `info`.
    #[serde(default)]
    pub severity: Option<String>,
    /// First byte of the field's text that it is about.
    #[serde(default)]
    pub span_start: Option<i64>,
    /// The byte after the last one.
    #[serde(default)]
    pub span_end: Option<i64>,
    /// What to do.
    #[serde(default)]
    pub remedy: Option<String>,
    /// Which validator found it.
    #[serde(default)]
    pub validator: Option<String>,
}

/// What a source says to be so.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    /// Id of the entity it is about.
    pub entity: String,
    /// Which of its attributes.
    pub attribute: String,
    /// The value, as JSON text.
    pub value: String,
    /// Who says so.
    pub source: String,
    /// From when it holds, if the source says.
    #[serde(default)]
    pub valid_from: Option<Micros>,
    /// Until when it holds, if the source says.
    #[serde(default)]
    pub valid_until: Option<Micros>,
    /// Confidence of the source, in [0, 1].
    #[serde(default)]
    pub confidence: Option<f64>,
    /// The run it was taken from, if any.
    #[serde(default)]
    pub run_id: Option<String>,
}

/// A run or a row that was left out, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// The run.
    pub run_id: String,
    /// Event that was left out.
    pub event_id: String,
    /// `materializer` or `exporter`.
    pub stage: String,
    /// Stable code of the reason.
    pub reason: String,
    /// In words.
    pub detail: String,
    /// The rule that said so.
    pub rule: String,
    /// Version of that rule.
    pub rule_version: String,
    /// Kind of dataset that it was left out of: `sft`, `rag`, `preference`; absent for a run that became no evidence.
    #[serde(default)]
    pub kind: Option<String>,
}

/// A dataset that was written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exported {
    /// Name of the dataset: kind and hash of its cut, filters and versions.
    pub dataset: String,
    /// `sft`, `rag`, `preference`.
    pub kind: String,
    /// Format and shape, such as `jsonl/trl`.
    pub format: String,
    /// Rows in all files.
    pub rows: i64,
    /// Files with their hashes.
    pub files: Vec<ExportedFile>,
    /// SHA-256 of the manifest, hex.
    pub manifest_sha256: String,
    /// The cut as JSON text: `[[topic, partition, end], …]`.
    pub cut: String,
    /// Events left out, by reason.
    pub withheld: BTreeMap<String, i64>,
    /// URI of the directory it was written to.
    #[serde(default)]
    pub location: Option<String>,
    /// What it was limited to: name to value.
    #[serde(default)]
    pub filters: BTreeMap<String, String>,
    /// Versions of what it was made by: name to version.
    #[serde(default)]
    pub versions: BTreeMap<String, String>,
    /// Rows by split.
    #[serde(default)]
    pub splits: BTreeMap<String, i64>,
    /// The dataset that this one replaces, which held what was recalled or erased.
    #[serde(default)]
    pub supersedes: Option<String>,
}

/// One file of a dataset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportedFile {
    /// Path within the dataset.
    pub path: String,
    /// Bytes.
    pub bytes: i64,
    /// Rows.
    pub rows: i64,
    /// SHA-256, hex.
    pub sha256: String,
}

/// A change of what runs: generations started, promoted, dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Control {
    /// `generation_started`, `promoted`, `dropped`.
    pub action: String,
    /// The processor.
    pub processor: String,
    /// Its generation.
    pub generation: String,
    /// Version of the processor's code.
    #[serde(default)]
    pub version: String,
    /// Settings of the generation: name to value.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// Inputs that are bound to a generation of their own: logical topic to physical.
    #[serde(default)]
    pub inputs: BTreeMap<String, String>,
    /// Where it began, as JSON text (`[[topic, partition, next], …]`); empty: the beginning.
    #[serde(default)]
    pub from: String,
    /// Why, in words.
    #[serde(default)]
    pub note: String,
}

/// A record that a processor could not take.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLettered {
    /// The processor.
    pub processor: String,
    /// Its generation.
    pub generation: String,
    /// Physical topic of the record.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// What went wrong.
    pub error: String,
    /// `decode`, `fault`, `panic` or `exhausted`.
    pub kind: String,
    /// How often it was tried.
    pub attempts: i32,
    /// The record's key, as it was.
    #[serde(default, with = "crate::bytes_or_base64")]
    pub record_key: Option<Vec<u8>>,
    /// The record's value, as it was.
    #[serde(default, with = "crate::bytes_or_base64")]
    pub record_value: Option<Vec<u8>>,
    /// The record's headers, as they were.
    #[serde(default)]
    pub record_headers: Vec<RecordHeader>,
    /// The record's timestamp, in milliseconds.
    #[serde(default)]
    pub record_timestamp: i64,
    /// What became of it: empty, `replayed` or `discarded`.
    #[serde(default)]
    pub resolution: String,
}

/// A header of a dead record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordHeader {
    /// Name.
    pub name: String,
    /// Value.
    #[serde(default, with = "crate::bytes_or_base64")]
    pub value: Option<Vec<u8>>,
}

/// A passage that an answer was to be given from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passage {
    /// Id in its source.
    #[serde(default)]
    pub id: Option<String>,
    /// The text.
    pub text: String,
    /// Document it is from.
    #[serde(default)]
    pub source: Option<String>,
}
