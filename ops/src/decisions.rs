//! What operators decided: the decisions topic, folded and added to.

use crate::events::Log;
use crate::failure::{Failure, Outcome, Status};
use stillhouse_processors::decisions::{DECISIONS, Decisions};
use stillhouse_processors::wire;
use stillhouse_schemas::{Decision, Payload, ids};
use stillhouse_streams::runner::ends;
use stillhouse_streams::{ErrorKind, Position};

/// The decisions as of now, or as of an earlier end offset of their topic.
pub async fn load<'a>(log: impl Into<Log<'a>>, until: Option<u64>) -> Outcome<Decisions> {
    let log = log.into();
    let topic = log.names.topic(DECISIONS);
    let until = match until {
        Some(until) => until,
        None => ends(log.journal, std::slice::from_ref(&topic)).await?.get(&topic, 0).unwrap_or(0),
    };
    let mut decisions = Decisions::default();
    let mut scan = log.journal.scan(&topic, 0, 0, Some(until)).await?;
    loop {
        let page = scan.next(1_000).await?;
        if page.is_empty() {
            return Ok(decisions);
        }
        for stored in &page {
            let position = Position::new(topic.as_str(), 0, stored.offset);
            match wire::stored(log.codec, stored) {
                Ok(Some(event)) => decisions.apply(&event, &position),
                Ok(None) => {}
                // A recall that is passed over would let a bad run in.
                Err(error) => {
                    return Err(Failure::new(Status::Invalid, format!("decision at {position}: {error}"))
                        .hint("`stillhouse verify` tells whether the journal is damaged"));
                }
            }
        }
    }
}

/// Appends decisions, all or none, and returns their ids.
pub async fn say<'a>(log: impl Into<Log<'a>>, decisions: Vec<Decision>) -> Outcome<Vec<String>> {
    let payloads = decisions.into_iter().map(|decision| (ids::live(), Payload::Decision(decision)));
    append(log.into(), payloads.collect()).await
}

/// Appends what is said under an id that makes saying it twice the same as once.
pub async fn say_once<'a>(log: impl Into<Log<'a>>, id: String, payload: Payload) -> Outcome<String> {
    match append(log.into(), vec![(id.clone(), payload)]).await {
        Ok(_) => Ok(id),
        Err(failure) => Err(failure),
    }
}

async fn append(log: Log<'_>, payloads: Vec<(String, Payload)>) -> Outcome<Vec<String>> {
    let (mut said, mut batch) = (Vec::new(), Vec::new());
    for (id, payload) in payloads {
        let about = match &payload {
            Payload::Decision(d) => d.run_id.as_ref().or(d.event_id.as_ref()).or(d.key_id.as_ref()).cloned(),
            Payload::ErasureCertified(c) => Some(c.key_id.clone()),
            _ => None,
        };
        let event = crate::generations::said(id.clone(), about.unwrap_or_default(), payload);
        batch.push(
            wire::append(log.names.topic(DECISIONS), log.codec, &event)
                .map_err(|e| Failure::new(Status::Failed, e.to_string()))?,
        );
        said.push(id);
    }
    match log.journal.append(batch).await {
        Ok(_) => Ok(said),
        // Said before, at another moment.
        Err(error) if error.kind() == ErrorKind::Conflict && said.len() == 1 => Ok(said),
        Err(error) => Err(error.into()),
    }
}

/// Who decides, if nobody is named: the user of the system.
pub fn operator(by: Option<&str>) -> String {
    let named = by.map(str::to_owned).or_else(|| std::env::var("USER").ok()).filter(|name| !name.is_empty());
    named.unwrap_or_else(|| "operator".into())
}
