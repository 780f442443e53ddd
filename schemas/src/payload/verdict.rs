//! What is held of what was claimed.

use crate::event::Micros;
use serde::{Deserialize, Serialize};

/// What is held of one attribute of an entity, after all that was claimed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Id of the entity it is about.
    pub entity: String,
    /// Which of its attributes; `*`: all of them.
    pub attribute: String,
    /// `agreed`, `contested`, `superseded` (held against a word that the rule set aside) or `unverified`.
    pub status: String,
    /// What is held, as JSON text as its source said it; none: nothing is.
    #[serde(default)]
    pub value: Option<String>,
    /// On whose word.
    #[serde(default)]
    pub source: Option<String>,
    /// By which claim.
    #[serde(default)]
    pub claim_id: Option<String>,
    /// When that was said.
    #[serde(default)]
    pub asserted_at: Option<Micros>,
    /// From when it holds, if the source says.
    #[serde(default)]
    pub valid_from: Option<Micros>,
    /// Until when it holds, if the source says.
    #[serde(default)]
    pub valid_until: Option<Micros>,
    /// The time for which this was decided: that of the latest claim.
    pub as_of: Micros,
    /// How many claims it was decided by; of one attribute the highest revision counts.
    pub revision: i64,
    /// How many sources say what is held.
    #[serde(default)]
    pub agreeing: i64,
    /// What everybody says: who stands first, then by authority and time.
    #[serde(default)]
    pub sides: Vec<ClaimSide>,
    /// Sides that are not listed because there are too many.
    #[serde(default)]
    pub omitted: i64,
    /// Why, one sentence each.
    #[serde(default)]
    pub reasons: Vec<String>,
    /// Version of the rule.
    pub rule_version: String,
    /// Hash of its settings.
    pub config_hash: String,
}

/// One claim, as a verdict took it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClaimSide {
    /// Id of the claim's event.
    pub claim_id: String,
    /// Who says so.
    pub source: String,
    /// The value, as JSON text.
    pub value: String,
    /// When it was said.
    pub asserted_at: Micros,
    /// `held`, `agrees`, `contests`, `superseded`, `withdrawn`, `expired`, `early` or `stale`.
    pub standing: String,
    /// Rank of the source by the rule.
    #[serde(default)]
    pub authority: f64,
    /// From when it holds, if the source says.
    #[serde(default)]
    pub valid_from: Option<Micros>,
    /// Until when it holds, if the source says.
    #[serde(default)]
    pub valid_until: Option<Micros>,
    /// Confidence of the source, in [0, 1].
    #[serde(default)]
    pub confidence: Option<f64>,
}
