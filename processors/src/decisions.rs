//! What operators decided: the fold of the `decisions` topic.
//!
//! | action | is about | says |
//! |---|---|---|
//! | `recalled` | `run_id`, maybe one `kind` | the run enters no dataset (of that kind) |
//! | `reinstated` | the same | takes a recall back |
//! | `released` | `event_id`, maybe one `kind` | what was left out for the reason named may enter |
//! | `discarded` | the same | what was left out stays out, whatever rules say later |
//! | `erased` | `key_id` | a person's key is destroyed |
//!
//! A release names what it overrides: its `reason` begins with the code that the event was left out for, and words may
//! follow after a colon (`near_duplicate: the other one is worse`). It lets nothing in that was left out for another
//! reason, and which reasons can be overridden at all is the table of [`crate::quarantine`].
//!
//! The last word counts, in the order of the topic's single partition; a decision about one kind of dataset goes before
//! one about all, unless the latter is later. An event that is repeated, as a Kafka topic may do, counts once. The fold
//! is total: a decision that makes no sense changes nothing, and [`check`] says so beforehand. Folded up to a cut, it is
//! part of what a dataset is made of: an earlier cut has the decisions of its time, and no later ones.

use std::collections::{BTreeMap, BTreeSet};
use stillhouse_schemas::{Decision, Envelope, ErasureCertified, Event, Payload};
use stillhouse_streams::Position;

/// Logical name of the topic.
pub const DECISIONS: &str = "decisions";
/// The action that takes a run out of datasets.
pub const RECALLED: &str = "recalled";
/// The action that takes a recall back.
pub const REINSTATED: &str = "reinstated";
/// The action that lets in what was left out.
pub const RELEASED: &str = "released";
/// The action that keeps out for good what was left out.
pub const DISCARDED: &str = "discarded";
/// The action that destroys a person's key.
pub const ERASED: &str = "erased";

/// A decision that stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Ruling {
    /// The event.
    pub envelope: Envelope,
    /// Where it stands.
    pub position: Position,
    /// What it says.
    pub decision: Decision,
}

impl Ruling {
    /// Id of the decision.
    pub fn id(&self) -> &str {
        &self.envelope.id
    }

    /// The code that a release names: what it lets in was left out for this and for nothing else.
    pub fn code(&self) -> &str {
        code(&self.decision.reason)
    }

    /// In words: who and why.
    pub fn words(&self) -> String {
        let Decision { by, reason, .. } = &self.decision;
        let by = if by.is_empty() { "an operator" } else { by };
        if reason.is_empty() { format!("by {by}") } else { format!("by {by}: {reason}") }
    }
}

/// The code that the reason of a release begins with.
fn code(reason: &str) -> &str {
    reason.split(':').next().unwrap_or_default().trim()
}

/// Why a decision makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecisionError {
    /// An action that is none.
    #[error("`{0}` is no action; there are recalled, reinstated, released, discarded, erased")]
    Action(String),
    /// It does not say what it is about.
    #[error("a decision `{action}` needs `{field}`")]
    About {
        /// The action.
        action: &'static str,
        /// What is missing.
        field: &'static str,
    },
}

/// Whether a decision makes sense.
pub fn check(decision: &Decision) -> Result<(), DecisionError> {
    let (action, field, about) = match decision.action.as_str() {
        RECALLED => (RECALLED, "run_id", &decision.run_id),
        REINSTATED => (REINSTATED, "run_id", &decision.run_id),
        RELEASED => (RELEASED, "event_id", &decision.event_id),
        DISCARDED => (DISCARDED, "event_id", &decision.event_id),
        ERASED => (ERASED, "key_id", &decision.key_id),
        other => return Err(DecisionError::Action(other.escape_debug().to_string())),
    };
    match about {
        Some(about) if !about.is_empty() => Ok(()),
        _ => Err(DecisionError::About { action, field }),
    }
}

/// What was decided last, for all kinds of datasets (`None`) and for some.
type ByKind = BTreeMap<Option<String>, Ruling>;

/// All decisions up to a cut.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decisions {
    runs: BTreeMap<String, ByKind>,
    events: BTreeMap<String, ByKind>,
    erased: BTreeMap<String, Ruling>,
    certified: BTreeMap<String, ErasureCertified>,
    seen: BTreeSet<String>,
}

impl Decisions {
    /// The decisions of these events, in the order of their topic.
    pub fn fold<'a>(events: impl IntoIterator<Item = (&'a Event, &'a Position)>) -> Self {
        let mut decisions = Self::default();
        events.into_iter().for_each(|(event, position)| decisions.apply(event, position));
        decisions
    }

    /// Takes the next event of the topic.
    pub fn apply(&mut self, event: &Event, position: &Position) {
        if !self.seen.insert(event.envelope.id.clone()) {
            return;
        }
        match &event.payload {
            Payload::Decision(decision) if check(decision).is_ok() => {
                let ruling =
                    Ruling { envelope: event.envelope.clone(), position: position.clone(), decision: decision.clone() };
                self.take(ruling);
            }
            Payload::ErasureCertified(certified) => {
                self.certified.insert(certified.key_id.clone(), certified.clone());
            }
            _ => {}
        }
    }

    fn take(&mut self, ruling: Ruling) {
        let Decision { action, run_id, event_id, key_id, kind, .. } = &ruling.decision;
        let (rulings, about) = match action.as_str() {
            RECALLED | REINSTATED => (&mut self.runs, run_id),
            RELEASED | DISCARDED => (&mut self.events, event_id),
            _ => {
                // Destroyed once is destroyed: the first word counts.
                if let Some(key_id) = key_id.clone() {
                    self.erased.entry(key_id).or_insert(ruling);
                }
                return;
            }
        };
        let Some(by_kind) = about.clone().map(|about| rulings.entry(about).or_default()) else { return };
        if kind.is_none() {
            by_kind.clear();
        }
        by_kind.insert(kind.clone(), ruling);
    }

    /// The recall of a run from datasets of a kind, if one stands.
    pub fn recalled(&self, run_id: &str, kind: &str) -> Option<&Ruling> {
        last(self.runs.get(run_id)?, kind).filter(|ruling| ruling.decision.action == RECALLED)
    }

    /// What lets an event into datasets of a kind that was left out for `code`, if something does.
    pub fn released(&self, event_id: &str, kind: &str, code: &str) -> Option<&Ruling> {
        let released = |ruling: &&Ruling| ruling.decision.action == RELEASED && ruling.code() == code;
        last(self.events.get(event_id)?, kind).filter(released)
    }

    /// What keeps an event out of datasets of a kind for good, if something does.
    pub fn discarded(&self, event_id: &str, kind: &str) -> Option<&Ruling> {
        last(self.events.get(event_id)?, kind).filter(|ruling| ruling.decision.action == DISCARDED)
    }

    /// What was decided last about a run for datasets of all kinds.
    pub fn about_all(&self, run_id: &str) -> Option<&Ruling> {
        self.runs.get(run_id)?.get(&None)
    }

    /// What was decided last about a run.
    pub fn about_run(&self, run_id: &str, kind: &str) -> Option<&Ruling> {
        last(self.runs.get(run_id)?, kind)
    }

    /// What was decided last about an event that was left out.
    pub fn about(&self, event_id: &str, kind: &str) -> Option<&Ruling> {
        last(self.events.get(event_id)?, kind)
    }

    /// Every event about which something was decided.
    pub fn events(&self) -> impl Iterator<Item = &str> {
        self.events.keys().map(String::as_str)
    }

    /// The decision that destroyed a key.
    pub fn erased(&self, key_id: &str) -> Option<&Ruling> {
        self.erased.get(key_id)
    }

    /// Every key that was destroyed, with the decision.
    pub fn erasures(&self) -> impl Iterator<Item = (&str, &Ruling)> {
        self.erased.iter().map(|(key_id, ruling)| (key_id.as_str(), ruling))
    }

    /// What was certified of a key that was destroyed.
    pub fn certified(&self, key_id: &str) -> Option<&ErasureCertified> {
        self.certified.get(key_id)
    }

    /// Every recall that stands, by run.
    pub fn recalls(&self) -> impl Iterator<Item = (&str, &Ruling)> {
        self.runs.iter().flat_map(|(run, by_kind)| {
            let stands = by_kind.values().filter(|ruling| ruling.decision.action == RECALLED);
            stands.map(|ruling| (run.as_str(), ruling))
        })
    }
}

/// The word about a kind, else the word about all.
fn last<'a>(by_kind: &'a ByKind, kind: &str) -> Option<&'a Ruling> {
    let own = by_kind.iter().find(|(about, _)| about.as_deref() == Some(kind));
    own.map(|(_, ruling)| ruling).or_else(|| by_kind.get(&None))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decisions(all: &[(&str, &str, Option<&str>)]) -> Decisions {
        let mut decisions = Decisions::default();
        for (offset, (action, about, kind)) in (0..).zip(all) {
            let about = Some((*about).to_owned());
            let decision = Decision {
                action: (*action).to_owned(),
                run_id: about.clone(),
                event_id: about.clone(),
                key_id: about,
                kind: kind.map(str::to_owned),
                reason: "near_duplicate: looked at".into(),
                by: "op".into(),
            };
            let envelope = Envelope { id: format!("d{offset}"), ..Envelope::default() };
            let event = Event { envelope, payload: Payload::Decision(decision) };
            let position = Position::new(DECISIONS, 0, offset);
            // As a Kafka topic may do.
            decisions.apply(&event, &position);
            decisions.apply(&event, &position);
        }
        decisions
    }

    #[test]
    fn the_last_word_counts_and_that_about_a_kind_before_that_about_all() {
        type Said<'a> = (&'a str, &'a str, Option<&'a str>);
        let cases: [(&[Said<'_>], bool, bool); 7] = [
            (&[], false, false),
            (&[(RECALLED, "r", None)], true, true),
            (&[(RECALLED, "r", Some("sft"))], true, false),
            (&[(RECALLED, "r", None), (REINSTATED, "r", None)], false, false),
            (&[(RECALLED, "r", None), (REINSTATED, "r", Some("sft"))], false, true),
            (&[(REINSTATED, "r", Some("sft")), (RECALLED, "r", None)], true, true),
            (&[(RECALLED, "other", None), ("forgiven", "r", None)], false, false),
        ];
        for (all, sft, rag) in cases {
            let decisions = decisions(all);
            let recalled = |kind| decisions.recalled("r", kind).is_some();
            assert_eq!((recalled("sft"), recalled("rag")), (sft, rag), "{all:?}");
        }
    }

    #[test]
    fn a_release_overrides_the_reason_that_it_names_and_no_other() {
        let released = decisions(&[(RELEASED, "e", Some("sft"))]);
        assert!(released.released("e", "sft", "near_duplicate").is_some());
        assert!(released.released("e", "sft", "category_rejected").is_none());
        assert!(released.released("e", "rag", "near_duplicate").is_none());
        let discarded = decisions(&[(RELEASED, "e", None), (DISCARDED, "e", None)]);
        assert!(discarded.released("e", "sft", "near_duplicate").is_none());
        assert!(discarded.discarded("e", "sft").is_some());
    }

    #[test]
    fn what_says_not_what_it_is_about_changes_nothing() {
        for action in [RECALLED, REINSTATED, RELEASED, DISCARDED, ERASED] {
            let decision = Decision { action: action.into(), ..Decision::default() };
            assert!(matches!(check(&decision), Err(DecisionError::About { .. })), "{action}");
        }
        assert!(matches!(check(&Decision::default()), Err(DecisionError::Action(_))));
        let erased = decisions(&[(ERASED, "k", None), (ERASED, "k", None)]);
        assert_eq!(erased.erased("k").map(Ruling::id), Some("d0"), "destroyed once is destroyed");
    }
}
