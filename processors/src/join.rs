//! From all events with one key to the events made of them.
//!
//! What [`crate::transform`] is for single events, this is for those that have to be seen together: a processor says what
//! is known after each event ([`EventJoin::add`]) and what follows from that ([`EventJoin::made`]); ids, causes, times and
//! encoding are decided here. The causes of what is made are all the events joined that belong to it, in the order of their
//! ids, so that it is the same event in whatever order they came. An event that is there twice counts once.

use crate::transform::{Draft, FAULT, Maker, event, fault};
use crate::wire;
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use stillhouse_schemas::{Codec, Envelope, Event};
use stillhouse_streams::runner::{Emit, Fault, Join, Transform};
use stillhouse_streams::{Position, Received};

/// A processor of all events with one key. Pure: no clock, no randomness, no I/O.
pub trait EventJoin: Send + Sync + 'static {
    /// What is known of one key.
    type Joined: Default;

    /// Takes an event in.
    fn add(&self, joined: &mut Self::Joined, event: Event) -> Result<(), Fault>;

    /// What follows from what is known now. `settled`: nothing more came for as long as is waited.
    fn made(&self, joined: &Self::Joined, settled: bool) -> Vec<Draft>;

    /// Whether the event of this id, one of those joined, is a cause of what was made.
    fn is_made_of(&self, _draft: &Draft, _joined: &Self::Joined, _cause: &str) -> bool {
        true
    }

    /// What follows from an event with which there are more of one key than are joined.
    fn too_much(&self, event: &Event) -> Vec<Draft>;

    /// How long is waited.
    fn settles_after(&self) -> Duration;

    /// Most events of one key, and most bytes.
    fn most(&self) -> (usize, usize);
}

/// Runs an [`EventJoin`] under the runner.
#[derive(Debug)]
pub struct JoinAdapter<T>(Arc<Inner<T>>);

#[derive(Debug)]
struct Inner<T> {
    join: T,
    maker: Maker,
    codec: Codec,
}

impl<T: EventJoin> JoinAdapter<T> {
    /// Runs `join`, signing as `maker`.
    pub fn new(join: T, maker: Maker, codec: Codec) -> Self {
        Self(Arc::new(Inner { join, maker, codec }))
    }
}

#[async_trait]
impl<T: EventJoin> Transform for JoinAdapter<T> {
    /// Each record as if it were alone.
    async fn apply(&self, batch: &[Received]) -> Vec<Result<Vec<Emit>, Fault>> {
        batch.iter().flat_map(|received| self.0.apply(std::slice::from_ref(received), 1)).collect()
    }

    fn join(&self) -> Option<Arc<dyn Join>> {
        Some(self.0.clone())
    }
}

/// Events with one key, and what is known of them.
struct Together<J> {
    joined: J,
    causes: BTreeMap<String, (Envelope, Position)>,
}

impl<T: EventJoin> Inner<T> {
    /// Takes a record in; whether it said something new.
    fn take(&self, together: &mut Together<T::Joined>, received: &Received) -> Result<bool, Fault> {
        let Some(event) = event(&self.codec, received)? else { return Ok(false) };
        if together.causes.contains_key(&event.envelope.id) {
            return Ok(false);
        }
        let envelope = event.envelope.clone();
        self.join.add(&mut together.joined, event)?;
        together.causes.insert(envelope.id.clone(), (envelope, received.position.clone()));
        Ok(true)
    }

    fn sign(&self, causes: &[(&Envelope, &Position)], draft: Draft, emits: &mut Vec<Emit>) -> Result<(), Fault> {
        let Draft { topic, payload } = draft;
        let ordinal = emits.iter().map(|before| u32::from(before.topic == topic)).sum();
        let event = self.maker.derive(causes, topic, ordinal, payload);
        let record = wire::encode(&self.codec, &event).map_err(|error| fault(&error, FAULT))?;
        emits.push(Emit { topic, record });
        Ok(())
    }

    fn made(&self, together: &Together<T::Joined>, settled: bool) -> Result<Vec<Emit>, Fault> {
        let mut emits = Vec::new();
        for draft in self.join.made(&together.joined, settled) {
            let of_it = |id: &str| self.join.is_made_of(&draft, &together.joined, id);
            let causes = together.causes.iter().filter(|(id, _)| of_it(id));
            let causes: Vec<_> = causes.map(|(_, (envelope, position))| (envelope, position)).collect();
            self.sign(&causes, draft, &mut emits)?;
        }
        Ok(emits)
    }

    /// The first of them, without calling anything. A fault that may pass is the fault of all; what cannot be taken for
    /// ever was said so when it was new.
    fn gather(&self, records: &[Received]) -> Result<Together<T::Joined>, Fault> {
        let mut together = Together { joined: T::Joined::default(), causes: BTreeMap::new() };
        for received in records {
            if let Err(Fault::Transient(message)) = self.take(&mut together, received) {
                return Err(Fault::Transient(message));
            }
        }
        Ok(together)
    }
}

impl<T: EventJoin> Join for Inner<T> {
    fn apply(&self, records: &[Received], new: usize) -> Vec<Result<Vec<Emit>, Fault>> {
        let (before, new) = records.split_at(records.len().saturating_sub(new));
        let mut together = match self.gather(before) {
            Ok(together) => together,
            Err(fault) => return vec![Err(fault); new.len()],
        };
        let one = |received| match self.take(&mut together, received)? {
            true => self.made(&together, false),
            false => Ok(Vec::new()),
        };
        new.iter().map(one).collect()
    }

    fn settle(&self, records: &[Received]) -> Result<Vec<Emit>, Fault> {
        self.made(&self.gather(records)?, true)
    }

    fn overflow(&self, record: &Received) -> Result<Vec<Emit>, Fault> {
        let Some(event) = event(&self.codec, record)? else { return Ok(Vec::new()) };
        let mut emits = Vec::new();
        for draft in self.join.too_much(&event) {
            self.sign(&[(&event.envelope, &record.position)], draft, &mut emits)?;
        }
        Ok(emits)
    }

    fn settles_after(&self) -> Duration {
        self.join.settles_after()
    }

    fn most(&self) -> (usize, usize) {
        self.join.most()
    }
}
