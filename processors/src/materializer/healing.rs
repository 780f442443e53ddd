//! What became evidence that had been left out before.

use super::{NAME, VERSION};
use crate::quarantine::Ground;
use crate::transform::Maker;
use crate::wire;
use stillhouse_schemas::{Envelope, Event, Payload, Released};
use stillhouse_streams::Position;

/// The event that says that a run, which another generation had left out (`quarantined`), is `evidence` now.
pub fn released(
    maker: &Maker,
    (evidence, position): (&Event, &Position),
    (quarantined, place): &(Envelope, Position),
    ground: &Ground,
) -> Option<Event> {
    let Payload::Evidence(payload) = &evidence.payload else { return None };
    let run = evidence.envelope.causes.first()?;
    let run_place = wire::position(run)?;
    let run_envelope = Envelope { id: run.id.clone(), ..evidence.envelope.clone() };
    let causes = [(&run_envelope, &run_place), (&evidence.envelope, position), (quarantined, place)];
    let payload = Released {
        run_id: payload.run_id.clone(),
        event_id: run.id.clone(),
        stage: NAME.to_owned(),
        kind: None,
        reason: ground.reason.clone(),
        rule: ground.rule.clone(),
        rule_version: VERSION.to_owned(),
        by: "rule".to_owned(),
        quarantined_id: quarantined.id.clone(),
    };
    Some(maker.derive(&causes, super::QUARANTINE, 0, Payload::Released(payload)))
}
