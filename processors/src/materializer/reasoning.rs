//! Questions with a checkable answer.

use super::Refusal;
use super::chat::conversation;
use super::class::Limits;
use super::reference::matches;
use super::signals::{empty_for_want_of_text, put};
use stillhouse_schemas::{Evidence, Run};

pub(super) const CLASS: &str = "reasoning";

/// Takes a question and its answer; with a reference, checks the one against the other.
pub(super) fn take(run: &mut Run, _: &Limits) -> Result<Evidence, Refusal> {
    let mut evidence = conversation(run, CLASS)?;
    empty_for_want_of_text(&mut evidence);
    if let Some(reference) = evidence.reference.as_deref().filter(|reference| !reference.trim().is_empty()) {
        let matched = evidence.answer.as_deref().is_some_and(|answer| matches(answer, reference));
        put(&mut evidence, "reference_match", matched);
    }
    Ok(evidence)
}
