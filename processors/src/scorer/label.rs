//! What a person says of a run becomes a score of the run as a whole: it has no evidence id, and counts before every score
//! of a single evidence (`firewall`).

use super::outcome::meaning;
use super::rules::Limits;
use super::verdict::best_of;
use crate::firewall::HUMAN_LABEL;
use stillhouse_schemas::{Category, Label};

/// Longest note that is repeated in the reasons.
const MOST_CHARS: usize = 300;

/// What follows from a label.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) category: Category,
    pub(super) score: f64,
    pub(super) reasons: Vec<String>,
    pub(super) decided_by: &'static str,
}

/// Reads a label; what it says must be one of the known words.
pub(super) fn read(label: &Label, limits: &Limits) -> Result<Said, String> {
    let shown: String = label.label.trim().chars().take(64).collect();
    let category = meaning(&label.label).ok_or_else(|| format!("label `{}` is no known word", shown.escape_debug()))?;
    let mut reasons = vec![format!("a person says {}", category.as_str())];
    if let Some(note) = label.note.as_deref().map(str::trim).filter(|note| !note.is_empty()) {
        reasons.push(format!("note: {}", note.chars().take(MOST_CHARS).collect::<String>()));
    }
    if label.correction.is_some() {
        reasons.push("the label has a correction".to_owned());
    }
    Ok(Said { category, score: best_of(category, limits), reasons, decided_by: HUMAN_LABEL })
}
