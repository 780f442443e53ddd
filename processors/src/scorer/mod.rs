//! Evidence becomes scores: by what is known of its outcome, by rules, by a model if told to. So do labels.
//!
//! **What decides.** A label event beats everything else: it becomes a score of its run as a whole, without an evidence
//! id, which every reader of scores takes before all that is said of single evidence; of several labels the latest by
//! (`occurred_at`, id) counts. Next, a definite outcome of the run decides between `accepted` and `rejected`, in the order
//! of [`Source::ALL`]: a person's label before a verdict, a verdict before a reward (see [`outcome`]). Then a reference
//! that tells right from wrong, by the rules. Where there is none of these a judge decides, if there is one ([`judge`]),
//! else the rules, over all four categories. `decided_by` says which it was.
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
//! **What cannot be judged** is [`ScoreFailed`], never a zero: a signal that is missing, not finite or negative; a label
//! of no known word; a judge whose answer would decide, and that did not answer or cannot be read. Where a judge is only
//! asked beside what decides, its failure is a reason of the score.
//!
//! Deterministic: plain IEEE arithmetic in a fixed order, rounded to 4 decimals before it is compared or written.

mod agent;
mod artefact;
mod extraction;
pub mod judge;
mod label;
pub mod outcome;
mod retrieval;
mod review;
mod rules;
mod verdict;

pub use outcome::{Source, WORDS};
pub use rules::{RULES, Rule};

use crate::settings::{Setting, SettingError, Settings, Takes};
use crate::transform::{Ask, Draft, EventTransform, unexpected};
use judge::{Judge, Opinion};
use rules::Limits;
use std::collections::BTreeMap;
use stillhouse_schemas::model::{Answered, CallError};
use stillhouse_schemas::{Event, Evidence, Label, Payload, Score, ScoreFailed};
use stillhouse_streams::runner::Fault;

/// Name of the processor.
pub const NAME: &str = "scorer";
/// Version of its code: raised whenever the same evidence may get another score under the same settings.
pub const VERSION: &str = "2";

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
    "judge" "none" Takes::Word(&["none", "fallback", "always"]),
        "A model as judge: never; where no outcome and no reference decides and the rules do not reject; or always."
    "judge_model" "" Takes::Uri, "Which model: ollama://HOST:PORT/MODEL, openai://HOST/v1/MODEL."
    "judge_max_chars" "60000" Takes::Count, "A run with more characters is not shown to the judge: its judgement fails."
    "judge_max_tokens" "1000" Takes::Count, "Most tokens of the judge's answer."
    "weight_answer" "1" Takes::Fraction, "What an answer of no worth takes from the score."
    "weight_reference" "1" Takes::Fraction, "What an answer that the reference contradicts takes from the score."
    "weight_tool_errors" "0.75" Takes::Fraction, "What max_tool_errors take from the score."
    "weight_loops" "0.75" Takes::Fraction, "What max_repeats take from the score."
    "weight_format" "0.75" Takes::Fraction, "What max_format_errors take from the score."
    "max_policy_breaches" "1" Takes::Count, "So many breaches of its policy make the sub-score policy of an agent run 0."
    "max_schema_errors" "1" Takes::Count, "So many violations of its schema make the sub-score schema of an extraction 0."
    "max_structure_errors" "1" Takes::Count, "So many errors of form make the sub-score structure of a fill or an e-mail 0."
    "weight_policy" "0.75" Takes::Fraction, "What max_policy_breaches take from the score."
    "weight_schema" "1" Takes::Fraction, "What max_schema_errors take from the score."
    "weight_fields" "0.5" Takes::Fraction, "What an extraction that meets no field of its reference loses."
    "weight_grounding" "1" Takes::Fraction, "What an answer of which nothing stands in the passages loses."
    "weight_citations" "0.75" Takes::Fraction, "What an answer that cites only what was not given loses."
    "weight_verdict" "1" Takes::Fraction, "What a review without a verdict loses."
    "weight_structure" "0.75" Takes::Fraction, "What max_structure_errors take from the score."
}

/// The processor.
#[derive(Debug)]
pub struct Scorer {
    limits: Limits,
    judge: Judge,
    config_hash: String,
}

/// A judge's answer, or why there is none, with the hash and the cost of the call.
struct Heard {
    opinion: Result<Opinion, String>,
    call_hash: Option<String>,
    cost_usd: Option<f64>,
}

/// A judgement that could not be made, and the call that it failed by.
struct Unjudged {
    error: String,
    call_hash: Option<String>,
}

impl Scorer {
    /// A scorer with these settings.
    pub fn new(settings: &Settings) -> Result<Self, SettingError> {
        let (limits, judge) = (Limits::new(settings)?, Judge::new(settings)?);
        Ok(Self { limits, judge, config_hash: settings.config_hash() })
    }

    /// The score of an evidence, or why it cannot be judged.
    fn score(&self, evidence_id: &str, evidence: &Evidence, heard: Option<Heard>) -> Result<Score, Unjudged> {
        let unjudged = |error: String| Unjudged { error, call_hash: None };
        let signals = rules::signals(evidence).map_err(unjudged)?;
        let mut reasons = Vec::new();
        let standing = outcome::standing(&evidence.outcome, &self.limits, &mut reasons);
        let judged = rules::judge(&signals, &self.limits, &mut reasons);
        let decides = standing.definite.is_none() && !judged.checked;
        let heard = match heard {
            None if self.judge.is_asked(standing.definite.is_some(), &judged, self.limits.review_at) => {
                // It could not even be asked: `asks` knew why.
                let error = self.judge.question(evidence).err();
                let error = error.unwrap_or_else(|| "the judge was not asked".to_owned());
                Some(Heard { opinion: Err(error), call_hash: None, cost_usd: None })
            }
            heard => heard,
        };
        let (mut opinion, mut call_hash, mut cost_usd) = (None, None, None);
        if let Some(heard) = heard {
            (call_hash, cost_usd) = (heard.call_hash, heard.cost_usd);
            match heard.opinion {
                Ok(said) => {
                    reasons.extend(said.reasons.iter().cloned());
                    opinion = Some(said);
                }
                Err(error) if decides => return Err(Unjudged { error, call_hash }),
                Err(error) => reasons.push(format!("the judge failed, and does not decide here: {error}")),
            }
        }
        let verdict = verdict::of(&standing, &judged, opinion.as_ref(), &self.limits, &mut reasons);
        let mut sub_scores = sub_scores(&standing, &judged);
        sub_scores.extend(opinion.map(|opinion| ("judge".to_owned(), opinion.score)));
        Ok(Score {
            run_id: evidence.run_id.clone(),
            evidence_id: evidence_id.to_owned(),
            scorer: NAME.to_owned(),
            scorer_version: VERSION.to_owned(),
            config_hash: self.config_hash.clone(),
            score: verdict.score,
            sub_scores,
            reasons,
            category: verdict.category,
            decided_by: verdict.decided_by.to_owned(),
            source_class: evidence.source_class.clone(),
            call_hash,
            cost_usd,
        })
    }

    fn of_evidence(&self, id: &str, evidence: &Evidence, heard: Option<Heard>) -> Payload {
        match self.score(id, evidence, heard) {
            Ok(score) => Payload::Score(score),
            Err(unjudged) => self.failed((&evidence.run_id, id), &evidence.source_class, unjudged),
        }
    }

    fn of_label(&self, label: &Label) -> Payload {
        let said = match label::read(label, &self.limits) {
            Ok(said) => said,
            Err(error) => return self.failed((&label.run_id, ""), "", Unjudged { error, call_hash: None }),
        };
        Payload::Score(Score {
            run_id: label.run_id.clone(),
            evidence_id: String::new(),
            scorer: NAME.to_owned(),
            scorer_version: VERSION.to_owned(),
            config_hash: self.config_hash.clone(),
            score: said.score,
            sub_scores: BTreeMap::new(),
            reasons: said.reasons,
            category: said.category,
            decided_by: said.decided_by.to_owned(),
            source_class: String::new(),
            call_hash: None,
            cost_usd: None,
        })
    }

    fn failed(&self, (run_id, evidence_id): (&str, &str), source_class: &str, unjudged: Unjudged) -> Payload {
        Payload::ScoreFailed(ScoreFailed {
            run_id: run_id.to_owned(),
            evidence_id: evidence_id.to_owned(),
            scorer: NAME.to_owned(),
            scorer_version: VERSION.to_owned(),
            config_hash: self.config_hash.clone(),
            error: unjudged.error,
            source_class: source_class.to_owned(),
            call_hash: unjudged.call_hash,
        })
    }

    fn made(&self, event: &Event, heard: Option<Heard>) -> Result<Vec<Draft>, Fault> {
        let payload = match &event.payload {
            Payload::Evidence(evidence) => self.of_evidence(&event.envelope.id, evidence, heard),
            Payload::Label(label) => self.of_label(label),
            _ => return Err(unexpected(event, "evidence` or `label")),
        };
        Ok(vec![Draft { topic: "scores", payload }])
    }
}

impl EventTransform for Scorer {
    fn apply(&self, event: &mut Event) -> Result<Vec<Draft>, Fault> {
        self.made(event, None)
    }

    fn asks_models(&self) -> bool {
        self.judge.is_asked_ever()
    }

    fn asks(&self, event: &Event) -> Option<Ask> {
        let Payload::Evidence(evidence) = &event.payload else { return None };
        if !self.judge.is_asked_ever() {
            return None;
        }
        let signals = rules::signals(evidence).ok()?;
        let mut unsaid = Vec::new();
        let standing = outcome::standing(&evidence.outcome, &self.limits, &mut unsaid);
        let judged = rules::judge(&signals, &self.limits, &mut unsaid);
        let asked = self.judge.is_asked(standing.definite.is_some(), &judged, self.limits.review_at);
        asked.then(|| self.judge.question(evidence).ok()).flatten()
    }

    fn answered(&self, event: &mut Event, answer: Result<Answered, CallError>) -> Result<Vec<Draft>, Fault> {
        let heard = match answer {
            Ok(answer) => Heard {
                opinion: judge::read(&answer.reply),
                call_hash: Some(answer.call_hash),
                cost_usd: answer.cost_usd,
            },
            Err(error) => {
                let call_hash = match &error {
                    CallError::Model { call_hash, .. } => Some(call_hash.clone()),
                    CallError::NoModel(_) | CallError::Unrecorded(_) => None,
                };
                Heard { opinion: Err(format!("the judge did not answer: {error}")), call_hash, cost_usd: None }
            }
        };
        self.made(event, Some(heard))
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
