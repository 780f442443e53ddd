//! What is withheld, as an event.

use super::{NAME, QUARANTINE, Reason, VERSION, Withheld};
use crate::firewall::{self, Judgement};
use crate::transform::Maker;
use stillhouse_schemas::{Envelope, Event, Evidence, Payload, Quarantined};
use stillhouse_streams::Position;

/// The event that says that `evidence`, read at `position`, makes no row, and why. `judgement` (with the physical topic
/// of scores) is what said so, if one did.
///
/// Its id is of the evidence, the judgement and the exporter's configuration: repeated exports give the same event, and
/// another verdict gives another.
pub fn quarantined(
    maker: &Maker,
    (envelope, evidence, position): (&Envelope, &Evidence, &Position),
    judgement: Option<(&Judgement, &str)>,
    withheld: Withheld,
) -> Event {
    let score = judgement.map(|(judgement, topic)| {
        let (partition, offset) = judgement.place();
        let envelope =
            Envelope { id: judgement.id().to_string(), occurred_at: judgement.occurred_at(), ..Envelope::default() };
        (envelope, Position::new(topic, partition, offset))
    });
    let mut causes = vec![(envelope, position)];
    causes.extend(score.as_ref().map(|(envelope, position)| (envelope, position)));
    let rule = withheld.reason.rule();
    let (rule, rule_version) = match rule {
        "firewall" => (format!("{NAME}.{rule}"), firewall::VERSION),
        "template" => {
            let version = super::templates::template(&evidence.source_class).map_or(VERSION, |t| t.version);
            (format!("{NAME}.{rule}.{}", evidence.source_class), version)
        }
        _ => (format!("{NAME}.{rule}"), VERSION),
    };
    let Withheld { reason, detail } = withheld;
    debug_assert_ne!(reason, Reason::Erased, "nothing is said about the erased");
    let payload = Quarantined {
        run_id: evidence.run_id.clone(),
        event_id: envelope.id.clone(),
        stage: NAME.to_owned(),
        reason: reason.as_str().to_owned(),
        detail,
        rule,
        rule_version: rule_version.to_owned(),
        kind: Some(super::plan::Plan::KIND.to_owned()),
    };
    maker.derive(&causes, QUARANTINE, 0, Payload::Quarantined(payload))
}
