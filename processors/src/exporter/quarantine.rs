//! What is withheld, as an event.

use super::source::Source;
use super::{NAME, Plan, QUARANTINE, Reason, VERSION, Withheld, duplicates, secrets};
use crate::firewall;
use crate::transform::Maker;
use stillhouse_schemas::{Envelope, Event, Payload, Quarantined};
use stillhouse_streams::Position;

/// The event that says that an evidence makes no row of this plan's dataset, and why. `grounds` are the other events that
/// said so: a decision, the judgement.
///
/// Its id is of the evidence, the grounds and the exporter's configuration: repeated exports give the same event, and
/// another verdict gives another.
pub(super) fn quarantined(
    maker: &Maker,
    plan: &Plan,
    source: &Source,
    grounds: &[(Envelope, Position)],
    withheld: &Withheld,
) -> Event {
    let evidence = source.evidence(&plan.evidence);
    let mut causes = vec![(&evidence.0, &evidence.1)];
    causes.extend(grounds.iter().map(|(envelope, position)| (envelope, position)));
    let Withheld { reason, detail } = withheld;
    let (rule, rule_version) = rule_of(*reason, &source.source_class);
    debug_assert_ne!(*reason, Reason::Erased, "nothing is said about the erased");
    let payload = Quarantined {
        run_id: source.run_id.clone(),
        event_id: source.evidence_id.clone(),
        stage: NAME.to_owned(),
        reason: reason.as_str().to_owned(),
        detail: detail.clone(),
        rule,
        rule_version,
        kind: Some(plan.kind.name.to_owned()),
    };
    maker.derive(&causes, QUARANTINE, 0, Payload::Quarantined(payload))
}

/// The rule behind a reason, and its version now.
pub(super) fn rule_of(reason: Reason, source_class: &str) -> (String, String) {
    match reason.rule() {
        "firewall" => (format!("{NAME}.firewall"), firewall::VERSION.to_owned()),
        "template" => {
            let version = super::templates::template(source_class).map_or(VERSION, |t| t.version);
            (format!("{NAME}.template.{source_class}"), version.to_owned())
        }
        rule @ "secrets" => (format!("{NAME}.{rule}"), secrets::VERSION.to_owned()),
        rule @ "duplicates" => (format!("{NAME}.{rule}"), duplicates::VERSION.to_owned()),
        rule => (format!("{NAME}.{rule}"), VERSION.to_owned()),
    }
}
