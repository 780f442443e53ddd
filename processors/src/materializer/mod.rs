//! Runs become evidence: classed, normalised, with what can be counted counted.
//!
//! One transform per source class, in [`CLASSES`]. A run says its class, or [`class_of`] tells it by what the run holds.
//! A run that cannot be taken is quarantined with one of [`REASONS`]; nothing is dropped.
//!
//! What it promises: the words of a conversation are never changed, trimmed or left out, because they become training
//! text. Normalised are only the names of things around them:
//! - roles, by [`ROLES`]; `developer` becomes `system`, because it is the newer word of one provider for the same place
//!   in a prompt, and most chat templates know the older one only; the run itself keeps what was said;
//! - a tool's reply gets the id and the name of the call that it answers, where it came without.
//!
//! What is absent: judgement. A signal counts; whether it matters is the scorer's to say.

mod agent;
pub(crate) mod calls;
mod chat;
mod class;
mod email;
mod extraction;
mod fill;
mod healing;
mod json_answer;
mod latex;
mod number;
mod policy;
mod reasoning;
mod reference;
mod replies;
mod retrieval;
mod review;
pub(crate) mod roles;
mod schema;
mod signals;

pub use class::{CLASSES, SourceClass, class_of};
pub(crate) use fill::{CHOICES, HEADCOUNTS, id, proposals, text as plain_id};
pub use fill::{JOB_NAMES, WORKER_NAMES};
pub use healing::released;
pub use policy::CONFIRMATIONS;
pub use reference::{MARKERS, matches as reference_matches};
pub use replies::{ERROR_FLAGS, ERROR_STARTS, is_error};
pub use retrieval::DECLINES;
pub use review::{VERDICTS, Verdict};
pub use roles::ROLES;
pub(crate) use schema::{Unusable, violations};
pub use signals::{SIGNALS, Signal};

use crate::settings::{Setting, SettingError, Settings, Takes};
use crate::transform::{Draft, EventTransform, FAULT, unexpected};
use class::Limits;
use stillhouse_schemas::{Event, Evidence, Payload, Quarantined, Run, check};
use stillhouse_streams::runner::Fault;

/// The JSON in what a model said, if there is any.
pub(crate) fn find_json(text: &str) -> Option<serde_json::Value> {
    json_answer::find(text).map(|found| found.value)
}

/// Name of the processor.
pub const NAME: &str = "materializer";
/// Version of its code: raised whenever the same run may give other evidence.
pub const VERSION: &str = "3";
/// Logical topic of what cannot be taken.
pub const QUARANTINE: &str = "quarantine.materializer";

/// Its settings.
pub static SETTINGS: &[Setting] = &[
    Setting {
        name: "default_class",
        default: "auto",
        takes: Takes::Word(&[
            "auto",
            "chat",
            "agent",
            "reasoning",
            "extraction",
            "retrieval",
            "review",
            "fill",
            "email",
        ]),
        doc: "Class of runs that do not say theirs; auto: by what they hold (artefact, tools, passages, schema, reference).",
    },
    Setting {
        name: "unmatched_replies",
        default: "quarantine",
        takes: Takes::Word(&["quarantine", "count"]),
        doc: "What to do with an agent run that holds a tool's reply to a call nobody made: quarantine it, or take it and count.",
    },
    Setting {
        name: "grounded_overlap",
        default: "0.6",
        takes: Takes::Fraction,
        doc: "Of retrievals: the share of a claim's words that must stand in one passage.",
    },
];

/// Why a run was not taken: a stable code and what it means.
pub static REASONS: &[(&str, &str)] = &[
    ("invalid_run", "the run breaks a rule for events; the detail names the field"),
    ("no_messages", "the run holds no messages"),
    ("no_user_turn", "no message is a user's: there is nothing that was answered"),
    ("no_assistant_turn", "no message is the assistant's, and no error says why"),
    ("unknown_role", "a message has a role that is none of the known ones"),
    ("unknown_class", "the source class is none of the known ones"),
    ("unmatched_reply", "a tool's reply answers a call that nobody made before it"),
];

/// Fields of a run's event that every event made of it has from it: where one of them is wrong, nothing sound can be
/// made of it, not even a quarantined event.
const INHERITED: &[&str] = &["id", "occurred_at", "subject", "traceparent", "payload.run_id"];

/// Why a run cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// One of [`REASONS`].
    pub reason: &'static str,
    /// In words.
    pub detail: String,
}

impl Refusal {
    fn new(reason: &'static str, detail: impl Into<String>) -> Self {
        debug_assert!(REASONS.iter().any(|(code, _)| *code == reason), "{reason} is not in REASONS");
        Self { reason, detail: detail.into() }
    }
}

/// The processor.
#[derive(Debug)]
pub struct Materializer {
    limits: Limits,
}

impl Materializer {
    /// A materializer with these settings.
    pub fn new(settings: &Settings) -> Result<Self, SettingError> {
        let default_class = match settings.word("default_class") {
            "auto" => None,
            name => class::find(name),
        };
        Ok(Self {
            limits: Limits {
                default_class,
                count_unmatched: settings.word("unmatched_replies") == "count",
                grounded_overlap: settings.number("grounded_overlap"),
            },
        })
    }

    /// The evidence of a run, or why there is none. Takes the conversation out of the run.
    pub fn take(&self, run: &mut Run) -> Result<Evidence, (&'static str, Refusal)> {
        let class = class::choose(run, &self.limits).map_err(|refusal| ("class", refusal))?;
        let untrained = signals::untrained(run);
        let mut evidence = (class.transform)(run, &self.limits).map_err(|refusal| (class.name, refusal))?;
        evidence.signals.extend(untrained.map(|answers| ("untrained_answers".to_owned(), answers)));
        Ok(evidence)
    }
}

impl EventTransform for Materializer {
    fn apply(&self, event: &mut Event) -> Result<Vec<Draft>, Fault> {
        // Runs may come through Kafka from producers that check nothing, in words of their own.
        let named = match &mut event.payload {
            Payload::Run(run) => roles::name(&mut run.messages),
            _ => Ok(()),
        };
        let checked = check(event);
        let event_id = event.envelope.id.clone();
        let Payload::Run(run) = &mut event.payload else { return Err(unexpected(event, "run")) };
        let run_id = run.run_id.clone();
        let taken = match (checked, named) {
            (Err(bad), _) if INHERITED.contains(&bad.field.as_str()) => {
                return Err(Fault::Lasting { kind: FAULT, message: format!("event {event_id}: {bad}") });
            }
            (_, Err(refusal)) => Err(("roles", refusal)),
            (Err(bad), _) => Err(("event", Refusal::new("invalid_run", bad.to_string()))),
            (Ok(()), Ok(())) => self.take(run),
        };
        Ok(vec![match taken {
            Ok(evidence) => Draft { topic: "evidence", payload: Payload::Evidence(evidence) },
            Err((rule, refusal)) => Draft {
                topic: QUARANTINE,
                payload: Payload::Quarantined(Quarantined {
                    run_id,
                    event_id,
                    stage: NAME.to_owned(),
                    reason: refusal.reason.to_owned(),
                    detail: refusal.detail,
                    rule: format!("{NAME}.{rule}"),
                    rule_version: VERSION.to_owned(),
                    kind: None,
                }),
            },
        }])
    }
}
