//! What an export says beside its dataset: what it withholds, and what enters that was left out before.

use super::quarantine::quarantined;
use super::quarantine::rule_of;
use super::source::Source;
use super::{Plan, QUARANTINE, Reason, Withheld};
use crate::decisions::Ruling;
use crate::quarantine::{Fold, Release, Unsaid, cause, may_release};
use crate::transform::Maker;
use stillhouse_schemas::{Envelope, Event, Payload, Released};
use stillhouse_streams::Position;

impl Plan {
    /// What lets an event in although it would be withheld for `reason`, if an operator may override that and one did.
    pub fn overrides(&self, event_id: &str, reason: Reason) -> Option<&Ruling> {
        let may = may_release(reason.as_str()) == Release::Operator;
        self.decisions.released(event_id, self.kind.name, reason.as_str()).filter(|_| may)
    }

    /// What an operator decided that keeps a run out.
    pub fn recalled(&self, run_id: &str) -> Option<(&Ruling, Withheld)> {
        let ruling = self.decisions.recalled(run_id, self.kind.name)?;
        Some((ruling, Withheld::new(Reason::Recalled, format!("recalled {}", ruling.words()))))
    }

    /// What an operator decided that keeps out what would be a row.
    pub fn discarded(&self, event_id: &str) -> Option<(&Ruling, Withheld)> {
        let ruling = self.decisions.discarded(event_id, self.kind.name)?;
        Some((ruling, Withheld::new(Reason::Discarded, format!("discarded {}", ruling.words()))))
    }
}

/// What quarantine says of the run of something that was taken, for when it turns out what becomes of it.
pub(super) fn history(maker: &Maker, plan: &Plan, left: &Fold, source: &Source) -> Option<Vec<u8>> {
    if !left.knows(&source.run_id) {
        return None;
    }
    let grounds: Vec<_> = source.score(&plan.scores).into_iter().collect();
    // The id does not depend on the reason.
    let withheld = quarantined(maker, plan, source, &grounds, &Withheld::new(Reason::Duplicate, ""));
    let released = closing((maker, plan, left), source).into_iter();
    let ids: Vec<String> = released.chain([withheld]).map(|event| event.envelope.id).collect();
    left.of_run(&source.run_id, &ids)
}

/// The event about `evidence` being withheld, unless that is the last word already.
pub(super) fn unsaid(
    (maker, plan, left): (&Maker, &Plan, &Fold),
    source: &Source,
    grounds: &[(Envelope, Position)],
    withheld: &Withheld,
) -> Option<Event> {
    let said = quarantined(maker, plan, source, grounds, withheld);
    match left.unsaid(&said, &plan.quarantine, plan.present) {
        Unsaid::Nothing => None,
        Unsaid::New => Some(said),
        Unsaid::Again(before) => {
            let grounds = [grounds, &[*before]].concat();
            Some(quarantined(maker, plan, source, &grounds, withheld))
        }
    }
}

/// The events about what `evidence`, now a row, was left out for before. Nothing when an earlier cut is exported again:
/// what is left out now is not about that.
pub(super) fn released((maker, plan, left): (&Maker, &Plan, &Fold), source: &Source) -> Vec<Event> {
    let closing = closing((maker, plan, left), source).into_iter();
    closing.filter(|event| !left.has(&event.envelope.id)).collect()
}

fn closing((maker, plan, left): (&Maker, &Plan, &Fold), source: &Source) -> Vec<Event> {
    if !plan.present {
        return Vec::new();
    }
    let kind = plan.kind.name;
    let (envelope, position) = source.evidence(&plan.evidence);
    let closed = left.closes(&source.run_id, &envelope.id, &plan.evidence, Some(kind)).into_iter();
    let say = |word: &crate::quarantine::Word| {
        let ground = left.ground(word);
        let reason = Reason::ALL.into_iter().find(|reason| reason.as_str() == ground.reason);
        let ruling = match reason {
            Some(Reason::Recalled) => plan.decisions.about_run(&source.run_id, kind),
            Some(reason) => plan.overrides(&envelope.id, reason),
            None => None,
        };
        let mut causes = vec![(envelope.clone(), position.clone())];
        causes.extend(ruling.map(|ruling| (ruling.envelope.clone(), ruling.position.clone())));
        causes.extend(source.score(&plan.scores));
        causes.push(cause(word, &plan.quarantine));
        let (rule, rule_version) = match reason {
            Some(reason) => rule_of(reason, &source.source_class),
            None => (ground.rule.clone(), super::VERSION.to_owned()),
        };
        let payload = Released {
            run_id: source.run_id.clone(),
            event_id: word.event.to_string(),
            stage: super::NAME.to_owned(),
            kind: ground.kind.clone(),
            reason: ground.reason.clone(),
            rule,
            rule_version,
            by: ruling.map_or_else(|| "rule".to_owned(), |ruling| ruling.decision.by.clone()),
            quarantined_id: word.id.to_string(),
        };
        let causes: Vec<(&Envelope, &Position)> = causes.iter().map(|(e, p)| (e, p)).collect();
        maker.derive(&causes, QUARANTINE, 0, Payload::Released(payload))
    };
    closed.map(say).collect()
}
