//! Folds over a share of the runs: the judgement that counts per evidence, the recording that counts per run.

use super::id::{Id, Short, short};
use crate::firewall::{Correction, Judgement, Validated};
use std::collections::{HashMap, HashSet};
use stillhouse_schemas::{Envelope, Micros};

/// The judgement that counts for each evidence: of its run, if a person spoke, else of itself.
#[derive(Debug, Default)]
pub(super) struct Judgements {
    of_runs: HashMap<Short, Judgement>,
    of_evidence: HashMap<Short, Judgement>,
}

impl Judgements {
    pub(super) fn take(&mut self, judgement: Judgement) {
        let (known, key) = match judgement.of_run() {
            Some(run) => (&mut self.of_runs, run),
            None => (&mut self.of_evidence, judgement.evidence()),
        };
        match known.entry(key) {
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(judgement);
            }
            std::collections::hash_map::Entry::Occupied(mut entry) => {
                if judgement.outranks(entry.get()) {
                    entry.insert(judgement);
                }
            }
        }
    }

    pub(super) fn of(&self, run: Short, evidence_id: &str) -> Option<&Judgement> {
        self.of_runs.get(&run).or_else(|| self.of_evidence.get(&short(evidence_id)))
    }
}

/// The validation that counts for each evidence.
#[derive(Debug, Default)]
pub(super) struct Validations(HashMap<Short, Validated>);

impl Validations {
    pub(super) fn take(&mut self, validated: Validated) {
        match self.0.entry(validated.evidence()) {
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(validated);
            }
            std::collections::hash_map::Entry::Occupied(mut entry) => {
                if validated.outranks(entry.get()) {
                    entry.insert(validated);
                }
            }
        }
    }

    pub(super) fn of(&self, evidence_id: &str) -> Option<&Validated> {
        self.0.get(&short(evidence_id))
    }
}

/// The correction that counts for each run.
#[derive(Debug, Default)]
pub(super) struct Corrections(HashMap<Short, Correction>);

impl Corrections {
    pub(super) fn take(&mut self, correction: Correction) {
        match self.0.entry(correction.run()) {
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(correction);
            }
            std::collections::hash_map::Entry::Occupied(mut entry) => {
                if correction.outranks(entry.get()) {
                    entry.insert(correction);
                }
            }
        }
    }

    pub(super) fn of(&self, run: Short) -> Option<&Correction> {
        self.0.get(&run)
    }
}

/// Runs with more than one evidence. Found by ids alone, which costs no decoding.
#[derive(Debug, Default)]
pub(super) struct Recordings {
    first: HashMap<Short, Short>,
    contested: HashSet<Short>,
}

impl Recordings {
    pub(super) fn see(&mut self, run: Short, evidence: Short) {
        if *self.first.entry(run).or_insert(evidence) != evidence {
            self.contested.insert(run);
        }
    }

    pub(super) fn contested(self) -> Contested {
        Contested(self.contested.into_iter().map(|run| (run, None)).collect())
    }
}

/// Of each run with more than one evidence, the latest of those in the cut: the highest revision of the run, of these by
/// (`occurred_at`, id).
#[derive(Debug, Default)]
pub(super) struct Contested(HashMap<Short, Option<(i64, Micros, Id)>>);

impl Contested {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn holds(&self, run: Short) -> bool {
        self.0.contains_key(&run)
    }

    pub(super) fn take(&mut self, run: Short, revision: i64, envelope: &Envelope) {
        if let Some(latest) = self.0.get_mut(&run) {
            let candidate = (revision, envelope.occurred_at, Id::from(envelope.id.as_str()));
            if latest.as_ref().is_none_or(|latest| candidate > *latest) {
                *latest = Some(candidate);
            }
        }
    }

    /// The evidence that took the place of `evidence_id`, if another did.
    pub(super) fn successor(&self, run: Short, evidence_id: &str) -> Option<&Id> {
        let (.., latest) = self.0.get(&run)?.as_ref()?;
        (*latest != Id::from(evidence_id)).then_some(latest)
    }
}
