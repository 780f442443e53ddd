//! Outcome and rules become one category and one score, which agree.

use super::judge::Opinion;
use super::outcome::Standing;
use super::round;
use super::rules::{Judged, Limits};
use stillhouse_schemas::Category;

/// What follows.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) category: Category,
    pub(super) score: f64,
    pub(super) decided_by: &'static str,
}

/// The smallest difference that is written.
const STEP: f64 = 0.0001;

/// What outcome, rules and, where one was asked, a judge come to.
pub(super) fn of(
    standing: &Standing,
    judged: &Judged,
    opinion: Option<&Opinion>,
    limits: &Limits,
    reasons: &mut Vec<String>,
) -> Verdict {
    let Some(definite) = &standing.definite else {
        return match opinion.filter(|_| !judged.checked) {
            Some(opinion) => by_judge(standing, judged, opinion, limits, reasons),
            None => by_rules(standing, judged, limits, reasons),
        };
    };
    let (category, score) = if definite.accepted {
        (Category::Accepted, limits.accept_at + (1.0 - limits.accept_at) * judged.quality)
    } else {
        (Category::Rejected, below(limits.review_at, limits.review_at * definite.worth * judged.quality))
    };
    Verdict { category, score: round(score.clamp(0.0, 1.0)), decided_by: definite.source.as_str() }
}

fn by_rules(standing: &Standing, judged: &Judged, limits: &Limits, reasons: &mut Vec<String>) -> Verdict {
    if standing.at_most.is_none() && !judged.checked {
        reasons.insert(0, "nobody judged this run: the rules decide".to_owned());
    }
    let at_most = standing.at_most.or((!judged.checked).then_some(limits.unjudged_at_most));
    let (category, score) = banded(round(judged.quality), at_most, limits);
    Verdict { category, score, decided_by: "rules" }
}

/// The lower of what the judge says and what the rules leave of the run.
fn by_judge(
    standing: &Standing,
    judged: &Judged,
    opinion: &Opinion,
    limits: &Limits,
    reasons: &mut Vec<String>,
) -> Verdict {
    let quality = round(judged.quality);
    if quality < opinion.score {
        reasons.push(format!("the judge gives {}, the rules leave {quality}", opinion.score));
    }
    let (category, score) = banded(opinion.score.min(quality), standing.at_most, limits);
    Verdict { category, score, decided_by: "judge" }
}

/// The category that a score falls in, held down to `at_most`, and the score within its band.
fn banded(score: f64, at_most: Option<Category>, limits: &Limits) -> (Category, f64) {
    let category = match score {
        s if s >= limits.accept_at => Category::Accepted,
        s if s >= limits.partial_at => Category::PartiallyAccepted,
        s if s >= limits.review_at => Category::NeedsHumanReview,
        _ => Category::Rejected,
    };
    // Categories are ordered from the best on.
    let category = category.max(at_most.unwrap_or(Category::Accepted));
    (category, round(score.min(ceiling(category, limits))))
}

/// The best score of a category: what a person's word is worth.
pub(super) fn best_of(category: Category, limits: &Limits) -> f64 {
    match category {
        Category::Rejected => 0.0,
        other => ceiling(other, limits),
    }
}

fn ceiling(category: Category, limits: &Limits) -> f64 {
    let bound = match category {
        Category::Accepted => return 1.0,
        Category::PartiallyAccepted => limits.accept_at,
        Category::NeedsHumanReview => limits.partial_at,
        Category::Rejected => limits.review_at,
    };
    round(below(bound, 1.0))
}

/// `score`, if it is below the bound, else the next that is.
fn below(bound: f64, score: f64) -> f64 {
    score.min(round(bound) - STEP).max(0.0)
}
