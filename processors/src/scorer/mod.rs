//! Evidence becomes scores: rules, no model.
//!
//! **What decides.** A definite outcome decides between `accepted` and `rejected`, in the order of [`Source::ALL`]: a
//! person's label before a verdict, a verdict before a reward. Only where there is none do the rules decide, over all
//! four categories. `decided_by` says which it was. See [`outcome`].
//!
//! **The score.** Quality is 1 less what the rules take away: each rule ([`RULES`]) gives a sub-score in [0, 1], and
//! takes its weight times what is missing to 1. Where the rules decide, quality is the score, and the category is the
//! band that it falls in (`accept_at`, `partial_at`, `review_at`). Where an outcome decides, the score stays within the
//! band of its category, and quality orders the runs in it: `accept_at + (1 - accept_at) * quality` if accepted,
//! `review_at * worth of the outcome * quality` if rejected. So a score is in the band of its category whoever decided.
//!
//! **A clean run that nobody judged** is accepted by the rules: its score says `rules`, its first reason that nobody
//! judged it. Who wants none of that in a dataset sets `unjudged_at_most` to `needs_human_review`.
//!
//! **What cannot be judged** is [`ScoreFailed`], never a zero: a signal that is missing, not finite or negative.
//!
//! Deterministic: plain IEEE arithmetic in a fixed order, rounded to 4 decimals before it is compared or written.

pub mod outcome;
mod rules;
mod verdict;

pub use outcome::{Source, WORDS};
pub use rules::{RULES, Rule};

use crate::settings::{Setting, SettingError, Settings, Takes};
use crate::transform::{Draft, EventTransform, unexpected};
use rules::Limits;
use std::collections::BTreeMap;
use stillhouse_schemas::{Event, Evidence, Payload, Score, ScoreFailed};
use stillhouse_streams::runner::Fault;

/// Name of the processor.
pub const NAME: &str = "scorer";
/// Version of its code: raised whenever the same evidence may get another score under the same settings.
pub const VERSION: &str = "1";

macro_rules! settings {
    ($($name:literal $default:literal $takes:expr, $doc:literal)*) => {
        /// Its settings.
        pub static SETTINGS: &[Setting] = &[$(Setting { name: $name, default: $default, takes: $takes, doc: $doc }),*];
    };
}

settings! {
    "accept_reward" "1" Takes::Number, "A reward of at least this, less 1e-9, is accepted; any other is rejected."
    "accept_at" "0.8" Takes::Fraction, "Where the rules decide: accepted from this score on."
    "partial_at" "0.6" Takes::Fraction, "Where the rules decide: partially_accepted from this score on."
    "review_at" "0.4" Takes::Fraction, "Where the rules decide: needs_human_review from this score on, rejected below."
    "unjudged_at_most" "accepted" Takes::Word(&["accepted", "partially_accepted", "needs_human_review"]),
        "Best category that a run gets which has no outcome at all and no reference."
    "max_tool_errors" "3" Takes::Count, "So many tool errors make the sub-score tool_errors 0."
    "max_repeats" "3" Takes::Count, "So many repeated calls and answers make the sub-score loops 0."
    "max_format_errors" "3" Takes::Count, "So many malformed calls and replies make the sub-score format 0."
    "min_answer_chars" "1" Takes::Count, "An answer shorter than this counts as empty."
    "weight_answer" "1" Takes::Fraction, "What an answer of no worth takes from the score."
    "weight_reference" "1" Takes::Fraction, "What an answer that the reference contradicts takes from the score."
    "weight_tool_errors" "0.75" Takes::Fraction, "What max_tool_errors take from the score."
    "weight_loops" "0.75" Takes::Fraction, "What max_repeats take from the score."
    "weight_format" "0.75" Takes::Fraction, "What max_format_errors take from the score."
}

/// The processor.
#[derive(Debug)]
pub struct Scorer {
    limits: Limits,
    config_hash: String,
}

impl Scorer {
    /// A scorer with these settings.
    pub fn new(settings: &Settings) -> Result<Self, SettingError> {
        Ok(Self { limits: Limits::new(settings)?, config_hash: settings.config_hash() })
    }

    /// The score of an evidence, or why it cannot be judged.
    pub fn judge(&self, evidence_id: &str, evidence: &Evidence) -> Result<Score, String> {
        let signals = rules::signals(evidence)?;
        let mut reasons = Vec::new();
        let standing = outcome::standing(&evidence.outcome, &self.limits, &mut reasons);
        let judged = rules::judge(&signals, &self.limits, &mut reasons);
        let verdict = verdict::of(&standing, &judged, &self.limits, &mut reasons);
        Ok(Score {
            run_id: evidence.run_id.clone(),
            evidence_id: evidence_id.to_owned(),
            scorer: NAME.to_owned(),
            scorer_version: VERSION.to_owned(),
            config_hash: self.config_hash.clone(),
            score: verdict.score,
            sub_scores: sub_scores(&standing, &judged),
            reasons,
            category: verdict.category,
            decided_by: verdict.decided_by.to_owned(),
            source_class: evidence.source_class.clone(),
            call_hash: None,
            cost_usd: None,
        })
    }
}

impl EventTransform for Scorer {
    fn apply(&self, event: &mut Event) -> Result<Vec<Draft>, Fault> {
        let Payload::Evidence(evidence) = &event.payload else { return Err(unexpected(event, "evidence")) };
        let payload = match self.judge(&event.envelope.id, evidence) {
            Ok(score) => Payload::Score(score),
            Err(error) => Payload::ScoreFailed(ScoreFailed {
                run_id: evidence.run_id.clone(),
                evidence_id: event.envelope.id.clone(),
                scorer: NAME.to_owned(),
                scorer_version: VERSION.to_owned(),
                config_hash: self.config_hash.clone(),
                error,
                source_class: evidence.source_class.clone(),
                call_hash: None,
            }),
        };
        Ok(vec![Draft { topic: "scores", payload }])
    }
}

fn sub_scores(standing: &outcome::Standing, judged: &rules::Judged) -> BTreeMap<String, f64> {
    let outcome = standing.definite.as_ref().map(|definite| ("outcome", definite.worth));
    let rules = judged.sub_scores.iter().copied();
    outcome.into_iter().chain(rules).map(|(name, value)| (name.to_owned(), round(value))).collect()
}

/// To 4 decimals, as numbers are written everywhere.
fn round(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}
