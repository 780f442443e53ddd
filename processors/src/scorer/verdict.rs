//! Outcome and rules become one category and one score, which agree.

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

pub(super) fn of(standing: &Standing, judged: &Judged, limits: &Limits, reasons: &mut Vec<String>) -> Verdict {
    let Some(definite) = &standing.definite else { return by_rules(standing, judged, limits, reasons) };
    let (category, score) = if definite.accepted {
        (Category::Accepted, limits.accept_at + (1.0 - limits.accept_at) * judged.quality)
    } else {
        (Category::Rejected, below(limits.review_at, limits.review_at * definite.worth * judged.quality))
    };
    Verdict { category, score: round(score.clamp(0.0, 1.0)), decided_by: definite.source.as_str() }
}

fn by_rules(standing: &Standing, judged: &Judged, limits: &Limits, reasons: &mut Vec<String>) -> Verdict {
    let score = round(judged.quality);
    let category = match score {
        s if s >= limits.accept_at => Category::Accepted,
        s if s >= limits.partial_at => Category::PartiallyAccepted,
        s if s >= limits.review_at => Category::NeedsHumanReview,
        _ => Category::Rejected,
    };
    if standing.at_most.is_none() && !judged.checked {
        reasons.insert(0, "nobody judged this run: the rules decide".to_owned());
    }
    let at_most = standing.at_most.or((!judged.checked).then_some(limits.unjudged_at_most));
    // Categories are ordered from the best on.
    let category = category.max(at_most.unwrap_or(Category::Accepted));
    let score = match category {
        Category::Accepted => score,
        Category::PartiallyAccepted => below(limits.accept_at, score),
        Category::NeedsHumanReview => below(limits.partial_at, score),
        Category::Rejected => below(limits.review_at, score),
    };
    Verdict { category, score: round(score), decided_by: "rules" }
}

/// `score`, if it is below the bound, else the next that is.
fn below(bound: f64, score: f64) -> f64 {
    score.min(round(bound) - STEP).max(0.0)
}
