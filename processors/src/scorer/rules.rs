//! The rules: what they look at, what they give, what they take away. Those of one class are in a file of its own.

use super::{SETTINGS, agent, artefact, extraction, retrieval, review, round};
use crate::settings::{SettingError, Settings};
use std::collections::BTreeMap;
use stillhouse_schemas::{Category, Evidence};

/// One rule.
#[derive(Debug)]
pub struct Rule {
    /// Name of its sub-score.
    pub name: &'static str,
    /// The setting with its weight.
    pub weight: &'static str,
    /// What it gives.
    pub doc: &'static str,
    pub(super) judge: fn(&Signals, &Limits, &mut Vec<String>) -> Option<f64>,
}

/// All rules. What they take away is summed in this order.
pub static RULES: &[Rule] = &[
    Rule {
        name: "answer",
        weight: "weight_answer",
        doc: "0 if there is no answer, the run ended in an error or a filter stopped it; 0.5 if it was cut off by a \
              length limit or in the middle of a call; else 1.",
        judge: answer,
    },
    Rule {
        name: "reference",
        weight: "weight_reference",
        doc: "1 if the answer matches the reference, 0 if not; absent without a reference.",
        judge: reference,
    },
    Rule {
        name: "tool_errors",
        weight: "weight_tool_errors",
        doc: "1 without errors of tools, 0 from max_tool_errors on, linear between.",
        judge: tool_errors,
    },
    Rule {
        name: "loops",
        weight: "weight_loops",
        doc: "1 without repeated calls and answers, 0 from max_repeats on, linear between.",
        judge: loops,
    },
    Rule {
        name: "format",
        weight: "weight_format",
        doc: "1 without calls that are malformed, of unknown tools, or replies to no call; 0 from max_format_errors \
              on, linear between.",
        judge: format,
    },
    agent::POLICY,
    extraction::SCHEMA,
    extraction::FIELDS,
    retrieval::GROUNDING,
    retrieval::CITATIONS,
    review::VERDICT,
    artefact::STRUCTURE,
];

/// The settings, read once.
#[derive(Debug)]
pub(super) struct Limits {
    pub(super) accept_reward: f64,
    pub(super) accept_at: f64,
    pub(super) partial_at: f64,
    pub(super) review_at: f64,
    pub(super) unjudged_at_most: Category,
    max_tool_errors: f64,
    max_repeats: f64,
    max_format_errors: f64,
    pub(super) max_schema_errors: f64,
    pub(super) max_structure_errors: f64,
    pub(super) max_policy_breaches: f64,
    min_answer_chars: f64,
    weights: Vec<f64>,
}

impl Limits {
    pub(super) fn new(settings: &Settings) -> Result<Self, SettingError> {
        debug_assert_eq!(settings.values().len(), SETTINGS.len());
        let number = |name: &str| settings.number(name);
        let at_most = settings.word("unjudged_at_most");
        let limits = Self {
            accept_reward: number("accept_reward"),
            // Scores have 4 decimals, and so have the bounds that they are compared with.
            accept_at: round(number("accept_at")),
            partial_at: round(number("partial_at")),
            review_at: round(number("review_at")),
            unjudged_at_most: Category::ALL.into_iter().find(|c| c.as_str() == at_most).unwrap_or(Category::Accepted),
            max_tool_errors: number("max_tool_errors"),
            max_repeats: number("max_repeats"),
            max_format_errors: number("max_format_errors"),
            max_schema_errors: number("max_schema_errors"),
            max_structure_errors: number("max_structure_errors"),
            max_policy_breaches: number("max_policy_breaches"),
            min_answer_chars: number("min_answer_chars"),
            weights: RULES.iter().map(|rule| number(rule.weight)).collect(),
        };
        if limits.review_at <= limits.partial_at && limits.partial_at <= limits.accept_at {
            Ok(limits)
        } else {
            Err(settings.clash("review_at must not exceed partial_at, nor partial_at exceed accept_at"))
        }
    }
}

/// The signals of an evidence, all there and sane.
#[derive(Debug, Default)]
pub(super) struct Signals<'a> {
    all: Option<&'a BTreeMap<String, f64>>,
    tool_errors: f64,
    repeats: f64,
    format_errors: f64,
    unanswered_calls: f64,
    empty_answer: bool,
    truncated: bool,
    filtered: bool,
    failed: bool,
    answer_chars: f64,
    reference_match: Option<bool>,
}

impl Signals<'_> {
    /// A count that only some classes have.
    pub(super) fn get(&self, name: &str) -> Option<f64> {
        self.all?.get(name).copied()
    }
}

/// What the rules need of every evidence.
const NEEDED: [&str; 12] = [
    "tool_errors",
    "repeated_calls",
    "repeated_answers",
    "invalid_arguments",
    "unknown_tools",
    "unmatched_replies",
    "unanswered_calls",
    "empty_answer",
    "truncated",
    "filtered",
    "failed",
    "answer_chars",
];

/// Reads what the rules need. A count that is missing is not a count of nothing.
pub(super) fn signals(evidence: &Evidence) -> Result<Signals<'_>, String> {
    let mut found: [Option<f64>; NEEDED.len()] = [None; NEEDED.len()];
    let mut reference_match = None;
    for (name, value) in &evidence.signals {
        if !value.is_finite() || *value < 0.0 {
            return Err(format!("signal `{}` is {value}; counts are finite and not negative", name.escape_debug()));
        }
        match NEEDED.iter().position(|needed| needed == name) {
            Some(i) => found[i] = Some(*value),
            None if name == "reference_match" => reference_match = Some(*value > 0.0),
            None => {}
        }
    }
    if let Some(i) = found.iter().position(Option::is_none) {
        return Err(format!("the evidence has no signal `{}`", NEEDED[i]));
    }
    let [
        tool_errors,
        repeated_calls,
        repeated_answers,
        invalid_arguments,
        unknown_tools,
        unmatched_replies,
        unanswered_calls,
        empty_answer,
        truncated,
        filtered,
        failed,
        answer_chars,
    ] = found.map(Option::unwrap_or_default);
    Ok(Signals {
        all: Some(&evidence.signals),
        tool_errors,
        repeats: repeated_calls + repeated_answers,
        format_errors: invalid_arguments + unknown_tools + unmatched_replies,
        unanswered_calls,
        empty_answer: empty_answer > 0.0,
        truncated: truncated > 0.0,
        filtered: filtered > 0.0,
        failed: failed > 0.0,
        answer_chars,
        reference_match,
    })
}

/// What the rules come to.
#[derive(Debug)]
pub(super) struct Judged {
    /// In the order of [`RULES`]; without those that do not apply.
    pub(super) sub_scores: Vec<(&'static str, f64)>,
    /// 1 less what the rules take away, in [0, 1].
    pub(super) quality: f64,
    /// Whether a reference told right from wrong.
    pub(super) checked: bool,
}

pub(super) fn judge(signals: &Signals, limits: &Limits, reasons: &mut Vec<String>) -> Judged {
    let mut judged = Judged { sub_scores: Vec::new(), quality: 1.0, checked: signals.reference_match.is_some() };
    for (rule, weight) in RULES.iter().zip(&limits.weights) {
        if let Some(sub_score) = (rule.judge)(signals, limits, reasons) {
            judged.sub_scores.push((rule.name, sub_score));
            judged.quality -= weight * (1.0 - sub_score);
        }
    }
    judged.quality = judged.quality.clamp(0.0, 1.0);
    judged
}

fn answer(signals: &Signals, limits: &Limits, reasons: &mut Vec<String>) -> Option<f64> {
    let mut worth = 1.0_f64;
    let mut found = |is: bool, at_most: f64, reason: &str| {
        if is {
            worth = worth.min(at_most);
            reasons.push(reason.to_owned());
        }
    };
    found(signals.empty_answer, 0.0, "there is no answer");
    // An agent may end in a call and have said nothing: that is not a short answer.
    let short = !signals.empty_answer && signals.answer_chars > 0.0 && signals.answer_chars < limits.min_answer_chars;
    found(short, 0.0, "the answer is shorter than min_answer_chars");
    found(signals.failed, 0.0, "an error ended the run");
    found(signals.filtered, 0.0, "a content filter stopped the model");
    found(signals.truncated, 0.5, "the answer was cut off by a length limit");
    found(signals.unanswered_calls > 0.0, 0.5, "a call was never answered");
    Some(worth)
}

fn reference(signals: &Signals, _: &Limits, reasons: &mut Vec<String>) -> Option<f64> {
    let matched = signals.reference_match?;
    reasons.push(format!("the answer {} the reference", if matched { "matches" } else { "does not match" }));
    Some(f64::from(u8::from(matched)))
}

fn tool_errors(signals: &Signals, limits: &Limits, reasons: &mut Vec<String>) -> Option<f64> {
    Some(up_to(signals.tool_errors, limits.max_tool_errors, "errors of tools", reasons))
}

fn loops(signals: &Signals, limits: &Limits, reasons: &mut Vec<String>) -> Option<f64> {
    Some(up_to(signals.repeats, limits.max_repeats, "repeated calls or answers", reasons))
}

fn format(signals: &Signals, limits: &Limits, reasons: &mut Vec<String>) -> Option<f64> {
    Some(up_to(signals.format_errors, limits.max_format_errors, "malformed calls or replies", reasons))
}

pub(super) fn up_to(count: f64, max: f64, what: &str, reasons: &mut Vec<String>) -> f64 {
    if count > 0.0 {
        reasons.push(format!("{what}: {count}; from {max} on the sub-score is 0"));
    }
    1.0 - (count / max).min(1.0)
}
