//! What people decide, and what follows at once.

use serde::{Deserialize, Serialize};

/// What a person says of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// The run.
    pub run_id: String,
    /// `accepted`, `partially_accepted`, `needs_human_review` or `rejected`.
    pub label: String,
    /// Who says so.
    #[serde(default)]
    pub by: String,
    /// Why.
    #[serde(default)]
    pub note: Option<String>,
    /// A better answer, in the person's own words.
    #[serde(default)]
    pub correction: Option<String>,
}

/// What an operator decides about a run, a row or a person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// `recalled`, `reinstated`, `released`, `discarded` or `erased`.
    pub action: String,
    /// The run it is about.
    #[serde(default)]
    pub run_id: Option<String>,
    /// The event it is about.
    #[serde(default)]
    pub event_id: Option<String>,
    /// The person it is about, by the id of the key that sealed what names them.
    #[serde(default)]
    pub key_id: Option<String>,
    /// Kind of dataset it is limited to.
    #[serde(default)]
    pub kind: Option<String>,
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// Who decides.
    #[serde(default)]
    pub by: String,
}

/// What was left out once and enters now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Released {
    /// The run.
    pub run_id: String,
    /// Event that had been left out.
    pub event_id: String,
    /// `materializer` or `exporter`.
    #[serde(default)]
    pub stage: String,
    /// Kind of dataset.
    #[serde(default)]
    pub kind: Option<String>,
    /// The reason it had been left out for.
    pub reason: String,
    /// The rule that had said so.
    #[serde(default)]
    pub rule: String,
    /// Its version now.
    #[serde(default)]
    pub rule_version: String,
    /// `rule` or who released it.
    #[serde(default)]
    pub by: String,
    /// The event that had left it out.
    #[serde(default)]
    pub quarantined_id: String,
}

/// What was done to make a person's data unreadable.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErasureCertified {
    /// Id of the destroyed key.
    pub key_id: String,
    /// Sealed events that can no longer be read.
    pub events: i64,
    /// Runs that they are about.
    #[serde(default)]
    pub runs: Vec<String>,
    /// Views that were made again without them.
    #[serde(default)]
    pub rebuilt: Vec<Rebuilt>,
    /// What could not be made again, and why.
    #[serde(default)]
    pub remaining: Vec<String>,
    /// The decision that asked for it.
    #[serde(default)]
    pub decision_id: String,
}

/// A view before and after.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rebuilt {
    /// `dataset`, `index`.
    pub what: String,
    /// Its name before.
    pub before: String,
    /// Its name after; absent if nothing was left to make.
    #[serde(default)]
    pub after: Option<String>,
    /// Rows that are gone.
    #[serde(default)]
    pub removed: i64,
}
