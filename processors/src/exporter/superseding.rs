//! A dataset that takes the place of another, which held what was recalled or erased.

use super::{EXPORTS, NAME};
use stillhouse_schemas::{Envelope, Event, Payload, ids};
use stillhouse_streams::Position;

/// The event about a dataset, as one that replaces `superseded`. `causes` are the export that is replaced and the
/// decisions for which it is; the same ones give the same event.
#[must_use]
pub fn superseding(mut exported: Event, superseded: &str, causes: &[(&Envelope, &Position)]) -> Event {
    let Payload::Exported(payload) = &mut exported.payload else { return exported };
    payload.supersedes = Some(superseded.to_owned());
    let of: Vec<&str> = [exported.envelope.id.as_str(), superseded]
        .into_iter()
        .chain(causes.iter().map(|(envelope, _)| envelope.id.as_str()))
        .collect();
    let producer = &exported.envelope.producer;
    let id = ids::derived(&of, NAME, &producer.version, &producer.config_hash, EXPORTS, 1);
    exported.envelope.id = id;
    let latest = causes.iter().map(|(envelope, _)| envelope.occurred_at).max();
    exported.envelope.occurred_at = exported.envelope.occurred_at.max(latest.unwrap_or_default());
    exported.envelope.causes =
        causes.iter().map(|(envelope, position)| crate::wire::cause(&envelope.id, position)).collect();
    exported
}
