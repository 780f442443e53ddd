//! What is withheld, as an event.

use super::{NAME, QUARANTINE, Reason, VERSION, Withheld};
use crate::firewall::{self, Judgement};
use crate::transform::Maker;
use stillhouse_schemas::{Envelope, Event, Evidence, Payload, Quarantined};
use stillhouse_streams::Position;

/// The event that says that `evidence`, read at its position, makes no row, and why. `grounds` are the other events that
/// said so: a decision, the judgement.
///
/// Its id is of the evidence, the grounds and the exporter's configuration: repeated exports give the same event, and
/// another verdict gives another.
pub fn quarantined(
    maker: &Maker,
    (envelope, evidence, position): (&Envelope, &Evidence, &Position),
    grounds: &[(Envelope, Position)],
    withheld: &Withheld,
) -> Event {
    let mut causes = vec![(envelope, position)];
    causes.extend(grounds.iter().map(|(envelope, position)| (envelope, position)));
    let Withheld { reason, detail } = withheld;
    let (rule, rule_version) = rule_of(*reason, &evidence.source_class);
    debug_assert_ne!(*reason, Reason::Erased, "nothing is said about the erased");
    let payload = Quarantined {
        run_id: evidence.run_id.clone(),
        event_id: envelope.id.clone(),
        stage: NAME.to_owned(),
        reason: reason.as_str().to_owned(),
        detail: detail.clone(),
        rule,
        rule_version,
        kind: Some(super::plan::Plan::KIND.to_owned()),
    };
    maker.derive(&causes, QUARANTINE, 0, Payload::Quarantined(payload))
}

/// The judgement, from this topic of scores, as an event that said so.
pub(super) fn ground(judgement: &Judgement, scores: &str) -> (Envelope, Position) {
    let (partition, offset) = judgement.place();
    let envelope =
        Envelope { id: judgement.id().to_string(), occurred_at: judgement.occurred_at(), ..Envelope::default() };
    (envelope, Position::new(scores, partition, offset))
}

/// The rule behind a reason, and its version now.
pub(super) fn rule_of(reason: Reason, source_class: &str) -> (String, String) {
    match reason.rule() {
        "firewall" => (format!("{NAME}.firewall"), firewall::VERSION.to_owned()),
        "template" => {
            let version = super::templates::template(source_class).map_or(VERSION, |t| t.version);
            (format!("{NAME}.template.{source_class}"), version.to_owned())
        }
        rule => (format!("{NAME}.{rule}"), VERSION.to_owned()),
    }
}
