//! What is known of how a run ended, and whether that is definite.
//!
//! Sources are asked in the order of [`Source::ALL`]; the first that says something definite decides. A label or verdict
//! is definite when [`WORDS`] says that it accepts or rejects. A word that holds (`partially_accepted`,
//! `needs_human_review`) is not definite, but lesser sources cannot speak over it: then the rules decide, and give at
//! most what it says. A word that is not in the table says nothing, a reason names it, and the next source is asked.
//! A reward that is not finite says nothing either.

use super::rules::Limits;
use stillhouse_schemas::{Category, Outcome};

/// Who can say how a run ended, and the rules, which decide where none of them did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A person.
    HumanLabel,
    /// A check.
    Verdict,
    /// An environment.
    Reward,
}

impl Source {
    /// All of them; the first counts most.
    pub const ALL: [Self; 3] = [Self::HumanLabel, Self::Verdict, Self::Reward];

    /// As in `decided_by`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HumanLabel => "human_label",
            Self::Verdict => "verdict",
            Self::Reward => "reward",
        }
    }
}

/// Words of labels and verdicts and the category that each means. Compared in lower case, with `_` for blanks and `-`.
pub static WORDS: &[(Category, &[&str])] = &[
    (
        Category::Accepted,
        &[
            "accepted",
            "accept",
            "approved",
            "approve",
            "pass",
            "passed",
            "success",
            "successful",
            "succeeded",
            "correct",
            "good",
            "ok",
            "true",
            "yes",
            "1",
            "resolved",
            "solved",
            "positive",
            "thumbs_up",
            "up",
        ],
    ),
    (
        Category::Rejected,
        &[
            "rejected",
            "reject",
            "denied",
            "fail",
            "failed",
            "failure",
            "unsuccessful",
            "incorrect",
            "wrong",
            "bad",
            "false",
            "no",
            "0",
            "unresolved",
            "unsolved",
            "negative",
            "thumbs_down",
            "down",
        ],
    ),
    (Category::PartiallyAccepted, &["partially_accepted", "partial", "partially_correct"]),
    (
        Category::NeedsHumanReview,
        &["needs_human_review", "needs_review", "human_review", "review", "unsure", "unclear", "undecided"],
    ),
];

/// The category that a word means, if it is a known one.
pub fn meaning(word: &str) -> Option<Category> {
    let word = word.trim().to_lowercase().replace([' ', '-'], "_");
    WORDS.iter().find(|(_, words)| words.contains(&word.as_str())).map(|(category, _)| *category)
}

/// What the outcome comes to.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// Decides, if there.
    pub(super) definite: Option<Definite>,
    /// The best that the rules may give, by a word that holds.
    pub(super) at_most: Option<Category>,
}

/// A definite outcome.
#[derive(Debug)]
pub(super) struct Definite {
    pub(super) source: Source,
    pub(super) accepted: bool,
    /// How much of what was wanted was reached, in [0, 1]: the sub-score `outcome`.
    pub(super) worth: f64,
}

/// How far a reward may be below `accept_reward`: sums of fractions that should make 1 often do not quite.
const REWARD_TOLERANCE: f64 = 1e-9;

pub(super) fn standing(outcome: &Outcome, limits: &Limits, reasons: &mut Vec<String>) -> Standing {
    for source in Source::ALL {
        let name = source.as_str();
        let word = match source {
            Source::HumanLabel => outcome.human_label.as_deref(),
            Source::Verdict => outcome.verdict.as_deref(),
            Source::Reward => {
                if let Some(definite) = outcome.reward.and_then(|reward| by_reward(reward, limits, reasons)) {
                    return Standing { definite: Some(definite), at_most: None };
                }
                continue;
            }
        };
        let Some(word) = word.filter(|word| !word.trim().is_empty()) else { continue };
        let shown: String = word.trim().chars().take(64).collect();
        let shown = shown.escape_debug();
        match meaning(word) {
            Some(category @ (Category::Accepted | Category::Rejected)) => {
                let accepted = category == Category::Accepted;
                reasons.push(format!("{name} `{shown}` says {}", category.as_str()));
                return Standing {
                    definite: Some(Definite { source, accepted, worth: f64::from(u8::from(accepted)) }),
                    at_most: None,
                };
            }
            Some(held) => {
                reasons.push(format!("{name} `{shown}` is not definite: {} at most", held.as_str()));
                return Standing { definite: None, at_most: Some(held) };
            }
            None => reasons.push(format!("{name} `{shown}` is no known word and decides nothing")),
        }
    }
    Standing::default()
}

fn by_reward(reward: f64, limits: &Limits, reasons: &mut Vec<String>) -> Option<Definite> {
    let wanted = limits.accept_reward;
    if !reward.is_finite() {
        reasons.push("the reward is not a finite number and decides nothing".to_owned());
        return None;
    }
    let accepted = reward >= wanted - REWARD_TOLERANCE;
    let compared = if accepted { "reaches" } else { "is below" };
    reasons.push(format!("reward {reward} {compared} {wanted}"));
    let worth = match accepted {
        true => 1.0,
        // Below what was wanted by any scale: a part of it where both are positive, else nothing.
        false if wanted > 0.0 => (reward / wanted).clamp(0.0, 1.0),
        false => 0.0,
    };
    Some(Definite { source: Source::Reward, accepted, worth })
}
