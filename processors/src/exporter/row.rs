//! One line of a dataset.

use super::canonical::{CanonicalError, Json};
use super::reason::Withheld;
use super::templates::template;
use crate::firewall::Admitted;
use stillhouse_schemas::Micros;

/// A row in its canonical spelling, with what it is ordered by. Made by [`Row::render`] only.
///
/// Members: `messages` and `tools` in TRL's conversational form; `run_id`, `evidence_id` and `score_id` by which the row
/// is traced; `category`, `score` (four decimals), `source_class`, `task_key`, `model`. All are in every row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    occurred_at: Micros,
    evidence_id: String,
    line: Vec<u8>,
}

/// A row that cannot be written although it was let in. Never about a run: a score is checked by the firewall.
#[derive(Debug, thiserror::Error)]
#[error("row of evidence {evidence_id}: {source}")]
pub struct RowError {
    evidence_id: String,
    source: CanonicalError,
}

impl Row {
    /// The row of an admitted evidence, or why there is none.
    pub fn render(admitted: &Admitted<'_>) -> Result<Result<Self, Withheld>, RowError> {
        let (envelope, evidence) = (&admitted.event().envelope, admitted.evidence());
        let sample = match template(&evidence.source_class).and_then(|t| (t.synthesise)(evidence)) {
            Ok(sample) => sample,
            Err(withheld) => return Ok(Err(withheld)),
        };
        let row = Json::map([
            ("category", Json::text(admitted.category().as_str())),
            ("evidence_id", Json::text(envelope.id.as_str())),
            ("messages", Json::List(sample.messages)),
            ("model", Json::optional(evidence.model.as_deref())),
            ("run_id", Json::text(evidence.run_id.as_str())),
            ("score", Json::Float(admitted.score())),
            ("score_id", Json::text(admitted.score_id())),
            ("source_class", Json::text(evidence.source_class.as_str())),
            ("task_key", Json::optional(evidence.task_key.as_deref())),
            ("tools", sample.tools),
        ]);
        let line = row.to_bytes().map_err(|source| RowError { evidence_id: envelope.id.clone(), source })?;
        Ok(Ok(Self { occurred_at: envelope.occurred_at, evidence_id: envelope.id.clone(), line }))
    }

    /// When the run happened: rows are ordered by this, then by [`Row::evidence_id`].
    pub fn occurred_at(&self) -> Micros {
        self.occurred_at
    }

    /// The evidence.
    pub fn evidence_id(&self) -> &str {
        &self.evidence_id
    }

    /// The JSON text, without a line end.
    pub fn line(&self) -> &[u8] {
        &self.line
    }
}
