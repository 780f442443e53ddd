//! From an event back to what it was made of, and forward to what was made of it.
//!
//! Back: every event names its causes with their positions, so each step is one look-up ([`causes`]).
//!
//! Forward: nothing points forward. But what is made of an event stands in a topic downstream of the event's own, so
//! one pass over each topic of [`downstream`], in that order, finds everything: [`Forward`] is told every event and keeps
//! those that have a cause among what it already found. Everything about a run is keyed by the run, so the partitions of
//! that key are enough.

use crate::table::PROCESSORS;
use crate::wire;
use std::collections::BTreeSet;
use stillhouse_schemas::Event;
use stillhouse_streams::Position;

/// What an event was made of: ids, and where they stand (nothing if the numbers cannot be a position).
pub fn causes(event: &Event) -> impl Iterator<Item = (&str, Option<Position>)> {
    event.envelope.causes.iter().map(|cause| (cause.id.as_str(), wire::position(cause)))
}

/// Logical topics that can hold what was made, in any number of steps, of events of `logical`; causes before effects.
pub fn downstream(logical: &str) -> Vec<&'static str> {
    let mut found: Vec<&'static str> = Vec::new();
    // The table has upstream processors first: one pass finds all.
    for definition in PROCESSORS {
        if definition.inputs.iter().any(|input| *input == logical || found.contains(input)) {
            found.extend(
                definition.outputs.iter().copied().filter(|output| !found.contains(output)).collect::<Vec<_>>(),
            );
        }
    }
    found
}

/// Collects what was made of an event.
#[derive(Debug)]
pub struct Forward {
    found: BTreeSet<String>,
}

impl Forward {
    /// Looks for what was made of the event with this id.
    pub fn of(id: impl Into<String>) -> Self {
        Self { found: BTreeSet::from([id.into()]) }
    }

    /// Whether `event` was made of what was found so far. If so, it is found too.
    pub fn take(&mut self, event: &Event) -> bool {
        let made = event.envelope.causes.iter().any(|cause| self.found.contains(&cause.id));
        if made {
            self.found.insert(event.envelope.id.clone());
        }
        made
    }
}
