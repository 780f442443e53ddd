//! What runs and what is live: the control topic, folded.

use crate::context::Context;
use crate::events::Log;
use crate::failure::{Failure, Outcome, Status};
use std::collections::BTreeMap;
use stillhouse_processors::control::{Generations, STARTED};
use stillhouse_processors::{Definition, wire};
use stillhouse_schemas::{Control, Envelope, Event, Payload, Producer, ids};
use stillhouse_streams::Scan;
use stillhouse_streams::runner::ends;

/// Name of the topic.
pub const CONTROL: &str = "control";

/// The generations as of now, or as of an earlier end offset of the control topic.
pub async fn load<'a>(log: impl Into<Log<'a>>, until: Option<u64>) -> Outcome<Generations> {
    let log = log.into();
    let topic = log.names.topic(CONTROL);
    let until = match until {
        Some(until) => until,
        None => ends(log.journal, std::slice::from_ref(&topic)).await?.get(&topic, 0).unwrap_or(0),
    };
    let mut generations = Generations::new(log.names.clone());
    let mut scan = log.journal.scan(&topic, 0, 0, Some(until)).await?;
    while read(log, scan.as_mut(), &mut generations).await? {}
    Ok(generations)
}

/// Folds the next page; false when there is none.
pub async fn read<'a>(log: impl Into<Log<'a>>, scan: &mut dyn Scan, generations: &mut Generations) -> Outcome<bool> {
    let log = log.into();
    let page = scan.next(1_000).await?;
    for stored in &page {
        match wire::stored(log.codec, stored) {
            Ok(Some(event)) => generations.apply(&event),
            Ok(None) => {}
            Err(error) => {
                tracing::error!(offset = stored.offset, %error, "a control event cannot be read; it changes nothing");
            }
        }
    }
    Ok(!page.is_empty())
}

/// Starts a generation of a processor on the live inputs, from the beginning, with these settings.
pub async fn start(
    context: &Context,
    definition: &Definition,
    generation: &str,
    settings: BTreeMap<String, String>,
    note: &str,
) -> Outcome<String> {
    let control = Control {
        action: STARTED.into(),
        processor: definition.name.into(),
        generation: generation.into(),
        version: definition.version.into(),
        settings,
        note: note.into(),
        ..Control::default()
    };
    say(context, control, None).await
}

/// The event of what an operator says now.
pub(crate) fn said(id: String, key: String, payload: Payload) -> Event {
    let producer =
        Producer { name: "operator".into(), version: env!("CARGO_PKG_VERSION").into(), ..Producer::default() };
    let occurred_at = jiff::Timestamp::now().as_microsecond();
    Event { envelope: Envelope { id, key, occurred_at, producer, ..Envelope::default() }, payload }
}

/// Appends a control event and returns its id. `id` is given where saying it twice must be saying it once.
pub async fn say(context: &Context, control: Control, id: Option<String>) -> Outcome<String> {
    let id = id.unwrap_or_else(ids::live);
    let event = said(id.clone(), control.processor.clone(), Payload::Control(control));
    let append = wire::append(context.names.topic(CONTROL), &context.codec, &event)
        .map_err(|e| Failure::new(Status::Failed, e.to_string()))?;
    match context.journal.append(vec![append]).await {
        Ok(_) => Ok(id),
        // Another process said it first, at another moment: it is said.
        Err(error) if error.kind() == stillhouse_streams::ErrorKind::Conflict => Ok(id),
        Err(error) => Err(error.into()),
    }
}
