//! Who is to be woken by what: commits to its topics, or changes that may concern anybody.
//!
//! Without this every commit would send every waiting session to the database.

use crate::schema::State;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// See the module.
pub(crate) struct News {
    /// Goes up with all of it, to sleep on.
    count: watch::Sender<u64>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// Changes of members, leases, topics, and whatever other processes committed.
    general: u64,
    /// Commits of this process, per topic.
    topics: HashMap<Arc<str>, u64>,
    /// The last transaction that this process knows the consequences of.
    sequence: u64,
}

/// What a session had heard of when it last looked.
#[derive(PartialEq, Eq)]
pub(crate) struct Heard(Vec<u64>);

impl News {
    pub(crate) fn new() -> Self {
        Self { count: watch::Sender::new(0), known: Mutex::default() }
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.count.subscribe()
    }

    /// How things stand for a reader of these topics.
    pub(crate) fn heard(&self, topics: &[Arc<str>]) -> Heard {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = topics.iter().map(|topic| known.topics.get(topic).copied().unwrap_or(0));
        Heard(std::iter::once(known.general).chain(counts).collect())
    }

    /// A transaction of this process begins: `state` is what it found. Others may have committed before.
    pub(crate) fn found(&self, state: &State) {
        self.tell(|known| {
            let foreign = state.sequence != known.sequence;
            known.sequence = state.sequence;
            known.general += u64::from(foreign);
            foreign
        });
    }

    /// A transaction of this process is done.
    pub(crate) fn committed<'t>(&self, sequence: u64, topics: impl Iterator<Item = &'t Arc<str>>, general: bool) {
        self.tell(|known| {
            known.sequence = sequence;
            known.general += u64::from(general);
            let mut any = general;
            for topic in topics {
                any = true;
                match known.topics.get_mut(topic) {
                    Some(count) => *count += 1,
                    None => {
                        known.topics.insert(topic.clone(), 1);
                    }
                }
            }
            any
        });
    }

    fn tell(&self, change: impl FnOnce(&mut Known) -> bool) {
        let changed = change(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner));
        if changed {
            self.count.send_modify(|count| *count = count.wrapping_add(1));
        }
    }
}
