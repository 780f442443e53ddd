//! `scored_run`: a run and its verdict. Audits write one a run, as `summary.json`.

use super::Shape;
use crate::exporter::canonical::{CanonicalError, Json};
use std::collections::BTreeMap;
use stillhouse_schemas::{Evidence, Payload, Score, ScoreFailed};

pub(super) const SHAPE: Shape = Shape::Members(&[
    ("category", Shape::Optional(&Shape::Word(&["accepted", "partially_accepted", "needs_human_review", "rejected"]))),
    ("config_hash", Shape::Optional(&Shape::Text)),
    ("decided_by", Shape::Optional(&Shape::Text)),
    ("error", Shape::Optional(&Shape::Text)),
    ("evidence_id", Shape::Text),
    ("model", Shape::Optional(&Shape::Text)),
    ("reasons", Shape::List(&Shape::Text)),
    ("run_id", Shape::Text),
    ("score", Shape::Optional(&Shape::Float)),
    ("score_id", Shape::Optional(&Shape::Text)),
    ("scorer", Shape::Optional(&Shape::Text)),
    ("scorer_version", Shape::Optional(&Shape::Text)),
    ("source_class", Shape::Text),
    ("status", Shape::Word(&["scored", "failed", "skipped"])),
    ("sub_scores", Shape::Map(&Shape::Float)),
    ("task_key", Shape::Optional(&Shape::Text)),
]);

/// What came of judging a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Judged: id of the event, and what it says.
    Scored(String, Score),
    /// The judge failed, which is no zero.
    Failed(String, ScoreFailed),
    /// Nobody has judged it.
    Skipped,
}

impl Verdict {
    /// What an event of `scores` says; nothing if it is none.
    pub fn of(id: &str, payload: &Payload) -> Option<Self> {
        match payload {
            Payload::Score(score) => Some(Self::Scored(id.to_owned(), score.clone())),
            Payload::ScoreFailed(failed) => Some(Self::Failed(id.to_owned(), failed.clone())),
            _ => None,
        }
    }
}

/// A run with its verdict.
#[derive(Clone, Debug)]
pub struct ScoredRun<'a> {
    /// Id of the evidence event.
    pub evidence_id: &'a str,
    /// The evidence.
    pub evidence: &'a Evidence,
    /// What was judged of it.
    pub verdict: &'a Verdict,
}

impl ScoredRun<'_> {
    /// The line, without its end.
    pub fn line(&self) -> Result<Vec<u8>, CanonicalError> {
        let (mut status, mut id, mut scorer, mut error) = ("skipped", None, None, None);
        let (mut score, mut category, mut decided_by) = (Json::Null, None, None);
        let (mut reasons, mut subs): (Vec<Json<'_>>, BTreeMap<_, _>) = (Vec::new(), BTreeMap::new());
        match self.verdict {
            Verdict::Scored(event, s) => {
                (status, id, score) = ("scored", Some(event), Json::Float(s.score));
                scorer = Some((&s.scorer, &s.scorer_version, &s.config_hash));
                (category, decided_by) = (Some(s.category.as_str()), Some(s.decided_by.as_str()));
                reasons = s.reasons.iter().map(|r| Json::text(r.as_str())).collect();
                subs = s.sub_scores.iter().map(|(name, value)| (name.as_str().into(), Json::Float(*value))).collect();
            }
            Verdict::Failed(event, s) => {
                (status, id, error) = ("failed", Some(event), Some(s.error.as_str()));
                scorer = Some((&s.scorer, &s.scorer_version, &s.config_hash));
            }
            Verdict::Skipped => {}
        }
        let evidence = self.evidence;
        Json::map([
            ("category", Json::optional(category)),
            ("config_hash", Json::optional(scorer.map(|(.., hash)| hash.as_str()))),
            ("decided_by", Json::optional(decided_by)),
            ("error", Json::optional(error)),
            ("evidence_id", Json::text(self.evidence_id)),
            ("model", Json::optional(evidence.model.as_deref())),
            ("reasons", Json::List(reasons)),
            ("run_id", Json::text(evidence.run_id.as_str())),
            ("score", score),
            ("score_id", Json::optional(id.map(String::as_str))),
            ("scorer", Json::optional(scorer.map(|(name, ..)| name.as_str()))),
            ("scorer_version", Json::optional(scorer.map(|(_, version, _)| version.as_str()))),
            ("source_class", Json::text(evidence.source_class.as_str())),
            ("status", Json::text(status)),
            ("sub_scores", Json::Map(subs)),
            ("task_key", Json::optional(evidence.task_key.as_deref())),
        ])
        .to_bytes()
    }
}
