//! Figures of judgements: scored, failed and skipped, always apart.

use crate::context::Context;
use crate::events::{Read, Records};
use crate::failure::Outcome;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use stillhouse_schemas::{Category, Payload};
use stillhouse_streams::{Position, Progress};

/// What became of what was to be judged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Judged {
    /// Scores.
    pub scored: u64,
    /// Judgements that could not be made: they say nothing of the run.
    pub failed: u64,
    /// Records of which neither was made: of erased persons, and dead letters.
    pub skipped: u64,
    /// Scores by category, every category named.
    pub categories: BTreeMap<&'static str, u64>,
}

/// Counts the judgements below `scores`, and the records of `inputs` from `from` on that they were made of. Records, not
/// offsets: those have gaps.
pub async fn judged(context: &Context, scores: &Progress, inputs: &Progress, from: &Progress) -> Outcome<Judged> {
    let mut judged = Judged { categories: Category::ALL.map(|c| (c.as_str(), 0)).into(), ..Judged::default() };
    let mut events = Records::until(context, scores);
    while let Some(page) = events.events().await? {
        for (_, read) in page {
            let Read::Event(event) = read else { continue };
            match &event.payload {
                Payload::Score(score) => {
                    judged.scored += 1;
                    *judged.categories.entry(score.category.as_str()).or_default() += 1;
                }
                Payload::ScoreFailed(_) => judged.failed += 1,
                _ => {}
            }
        }
    }
    let (mut records, mut input) = (0_u64, Records::until(context, inputs));
    while let Some(page) = input.page().await? {
        let begun = |at: &Position| from.get(&at.topic, at.partition).is_none_or(|from| at.offset >= from);
        records += page.iter().filter(|r| r.record.value.is_some() && begun(&r.position)).count() as u64;
    }
    judged.skipped = records.saturating_sub(judged.scored + judged.failed);
    Ok(judged)
}

impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} scored, {} failed, {} skipped", self.scored, self.failed, self.skipped)
    }
}
