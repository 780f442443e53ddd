//! Verdicts over an artefact: whether there is an artefact, and whether the verdict is one.

use super::Refusal;
use super::chat::conversation;
use super::class::Limits;
use super::json_answer::find;
use super::signals::{empty_for_want_of_text, put};
use serde_json::Value;
use stillhouse_schemas::{Evidence, Run};

pub(super) const CLASS: &str = "review";

/// What a verdict comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may go out as it is.
    Approve,
    /// It must be changed first.
    Change,
    /// It must not go out.
    Reject,
    /// No verdict at all.
    Undecided,
}

/// Words of verdicts, in lower case with `_` for blanks and `-`; longer ones are tried before shorter.
pub static VERDICTS: &[(Verdict, &[&str])] = &[
    (
        Verdict::Approve,
        &[
            "approve",
            "approved",
            "accept",
            "accepted",
            "pass",
            "passed",
            "ok",
            "lgtm",
            "looks_good",
            "compliant",
            "yes",
        ],
    ),
    (
        Verdict::Change,
        &[
            "approve_with_changes",
            "approved_with_changes",
            "request_changes",
            "changes_requested",
            "needs_changes",
            "needs_work",
            "revise",
            "needs_revision",
        ],
    ),
    (
        Verdict::Reject,
        &["reject", "rejected", "fail", "failed", "block", "blocked", "deny", "denied", "non_compliant", "no"],
    ),
    (
        Verdict::Undecided,
        &["undecided", "unsure", "unclear", "needs_human_review", "needs_review", "cannot_say", "abstain"],
    ),
];

/// Names that a verdict stands behind, in text (`Verdict: …`) and in JSON.
static NAMES: &[&str] = &["verdict", "decision", "recommendation", "conclusion", "outcome"];

/// Takes a review.
pub(super) fn take(run: &mut Run, _: &Limits) -> Result<Evidence, Refusal> {
    let mut evidence = conversation(run, CLASS)?;
    empty_for_want_of_text(&mut evidence);
    let verdict = evidence.answer.as_deref().and_then(verdict);
    let given = evidence.artefact.as_deref().is_some_and(says_something);
    put(&mut evidence, "artefact_given", given);
    put(&mut evidence, "verdict_given", verdict.is_some());
    put(&mut evidence, "verdict_definite", verdict.is_some_and(|verdict| verdict != Verdict::Undecided));
    if let Some(wanted) =
        evidence.reference.as_deref().and_then(|reference| meaning(reference).or(self::verdict(reference)))
    {
        put(&mut evidence, "reference_match", verdict == Some(wanted));
    }
    Ok(evidence)
}

/// Whether an artefact holds anything.
pub(super) fn says_something(artefact: &str) -> bool {
    !matches!(artefact.trim(), "" | "null" | "{}" | "[]" | "\"\"")
}

/// The verdict that an answer gives: its JSON's, else that of its last line that begins with one of [`NAMES`], else of a
/// first or last line that is nothing but a verdict.
pub(super) fn verdict(answer: &str) -> Option<Verdict> {
    let by_json = find(answer).and_then(|found| match &found.value {
        Value::Object(members) => NAMES.iter().find_map(|name| match members.get(*name)? {
            Value::String(word) => meaning(word),
            Value::Bool(good) => Some(if *good { Verdict::Approve } else { Verdict::Reject }),
            _ => None,
        }),
        _ => None,
    });
    let lines = || answer.lines().map(bare).filter(|line| !line.is_empty());
    by_json
        .or_else(|| lines().filter_map(|line| named(&line)).next_back())
        .or_else(|| lines().next_back().and_then(|line| alone(&line)))
        .or_else(|| lines().next().and_then(|line| alone(&line)))
}

fn bare(line: &str) -> String {
    line.replace(['*', '#', '`', '_'], " ").trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase()
}

/// `verdict: approve, because …`
fn named(line: &str) -> Option<Verdict> {
    let rest = NAMES.iter().find_map(|name| line.strip_prefix("final ").unwrap_or(line).strip_prefix(name))?;
    let rest =
        rest.trim_start().strip_prefix([':', '-', '–', '=']).or_else(|| rest.trim_start().strip_prefix("is "))?;
    // The longest words that are a verdict: `approve with changes` before `approve`.
    let words: Vec<&str> = rest.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).take(4).collect();
    (1..=words.len()).rev().find_map(|n| meaning(&words[..n].join("_")))
}

fn alone(line: &str) -> Option<Verdict> {
    meaning(line.trim_end_matches(['.', '!']))
}

fn meaning(word: &str) -> Option<Verdict> {
    let word = word.trim().to_lowercase().replace([' ', '-'], "_");
    VERDICTS.iter().find(|(_, words)| words.contains(&word.as_str())).map(|(verdict, _)| *verdict)
}
