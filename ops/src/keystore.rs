//! Whether the keys of what was sealed are there: a lost key store must not look like an erasure.
//!
//! The newest records of every source partition are looked at. That finds a store that is gone, another one, and an
//! older copy, before anything is made of what cannot be opened. It does not find a single key that is lost: who meets
//! that record says so then.

use crate::context::Context;
use crate::events::Records;
use crate::failure::{Failure, Outcome, Status};
use stillhouse_processors::wire;
use stillhouse_schemas::{CodecError, TOPICS, Writer};

/// Records of each partition that are looked at.
const NEWEST: u64 = 100;

/// What was found among the newest records.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Sealed, and opened or rightly not opened any more.
    pub sealed: u64,
    /// Sealed with keys that are lost.
    pub lost: u64,
    /// What the first of those says.
    pub why: String,
}

/// Looks at the newest records of the source topics.
pub async fn look(context: &Context) -> Outcome<Found> {
    let sources: Vec<String> =
        TOPICS.iter().filter(|t| t.writer == Writer::Outside).map(|t| context.names.topic(t.name)).collect();
    let mut found = Found::default();
    for topic in context.journal.topics().await?.iter().filter(|t| sources.contains(&t.spec.name)) {
        for (partition, state) in (0..).zip(&topic.partitions).filter(|(_, s)| s.end > s.start) {
            let from = state.end.saturating_sub(NEWEST).max(state.start);
            let mut records = Records::between(context, &topic.spec.name, partition, from..state.end).await?;
            while let Some(page) = records.page().await? {
                for received in page {
                    match wire::received(&context.codec, &received) {
                        Ok(Some(event)) if event.envelope.subject.is_some() => found.sealed += 1,
                        Err(CodecError::Erased { .. }) => found.sealed += 1,
                        Err(error) if error.is_for_want_of_a_key() => {
                            found.lost += 1;
                            if found.why.is_empty() {
                                found.why = format!("{}: {error}", received.position);
                            }
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    Ok(found)
}

/// Refuses to go on when most of what was sealed last cannot be opened.
pub async fn check(context: &Context) -> Outcome {
    let found = look(context).await?;
    // A single record may be anybody's; it is a dead letter when it is met.
    if found.lost > found.sealed { Err(failure(&found.why)) } else { Ok(()) }
}

/// The failure of who met an event whose key is lost.
pub fn failure(why: &str) -> Failure {
    Failure::new(Status::Config, why).hint(
        "`privacy.keys` names the key store (default: `keys` in the data directory); `stillhouse doctor` checks it",
    )
}
