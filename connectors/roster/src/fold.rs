//! The roster as its topic tells it.
//!
//! A load is a number of `roster_changed` events and a `roster_loaded` that ends it and names what it was made on
//! (`base`, the event that ended the load before; empty: on nothing) and the version that it makes. Until then it changes
//! nothing: a load that was cut short, or that another one came before, is passed over by everyone who folds the topic,
//! and so is one whose workers do not give the version that it names. An event that is repeated, as a Kafka topic may do,
//! counts once.
//!
//! Memory: the roster, and of each load that has not ended yet (at most [`OPEN`]) what it holds so far.

use crate::builder::{BadWorker, Builder};
use crate::table::Table;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use stillhouse_schemas::roster::{Roster, Worker};
use stillhouse_schemas::{Envelope, Event, Micros, Payload, RosterChanged, RosterLoaded, RosterWorker};

/// Loads that may be under way at a time; when there are more, the oldest was given up.
const OPEN: usize = 3;

/// What an event did.
#[derive(Debug)]
pub enum Step {
    /// Nothing that can be seen yet.
    Nothing,
    /// This is the roster now.
    Swapped(Arc<Table>),
    /// Nothing, and why.
    Ignored(String),
}

/// A load that has not ended.
#[derive(Debug)]
struct Loading {
    load: String,
    next: i32,
    workers: Builder,
    removed: BTreeSet<String>,
    wrong: Option<String>,
}

/// The fold of the `roster` topic.
#[derive(Debug, Default)]
pub struct Fold {
    newest: Option<Arc<Table>>,
    ended_by: String,
    last_load: String,
    loading: VecDeque<Loading>,
    versions: Vec<(Micros, String)>,
}

impl Fold {
    /// The roster now.
    pub fn newest(&self) -> Option<&Arc<Table>> {
        self.newest.as_ref()
    }

    /// The id of the event that made it; empty when there is none.
    pub fn ended_by(&self) -> &str {
        &self.ended_by
    }

    /// Every version that the topic told, with the time from which on it stood, in the order of the topic.
    pub fn versions(&self) -> &[(Micros, String)] {
        &self.versions
    }

    /// Takes the next event of the topic.
    pub fn apply(&mut self, event: &Event) -> Step {
        match &event.payload {
            Payload::RosterChanged(changed) => self.changed(changed),
            Payload::RosterLoaded(loaded) => self.ended(loaded, &event.envelope),
            other => Step::Ignored(format!("a `{}` has nothing to say here", other.event_type().name)),
        }
    }

    fn changed(&mut self, changed: &RosterChanged) -> Step {
        if changed.load == self.last_load {
            return Step::Nothing;
        }
        let at = self.loading.iter().position(|loading| loading.load == changed.load);
        let loading = match at.and_then(|at| self.loading.get_mut(at)) {
            Some(loading) => loading,
            None if changed.part != 0 => {
                return Step::Ignored(format!("load {} has no beginning here", changed.load));
            }
            None => {
                if self.loading.len() == OPEN {
                    self.loading.pop_front();
                }
                self.loading.push_back(Loading::new(&changed.load));
                let Some(loading) = self.loading.back_mut() else { return Step::Nothing };
                loading
            }
        };
        loading.take(changed);
        Step::Nothing
    }

    fn ended(&mut self, loaded: &RosterLoaded, envelope: &Envelope) -> Step {
        if loaded.load == self.last_load {
            return Step::Nothing;
        }
        let ignored = |why: String| Step::Ignored(format!("load {}: {why}", loaded.load));
        let at = self.loading.iter().position(|loading| loading.load == loaded.load);
        let loading = match at.and_then(|at| self.loading.remove(at)) {
            Some(loading) => loading,
            // Workers may all be gone, or none.
            None if loaded.parts == 0 => Loading::new(&loaded.load),
            None => return ignored("it has no beginning here".to_owned()),
        };
        if let Some(wrong) = loading.wrong {
            return ignored(wrong);
        }
        if loading.next != loaded.parts {
            return ignored(format!("it has {} of {} parts", loading.next, loaded.parts));
        }
        let base = match (loaded.base.as_str(), &self.newest) {
            ("", _) => None,
            (base, Some(newest)) if base == self.ended_by => Some(newest.clone()),
            (base, _) => return ignored(format!("it was made on {base}, and that is not what stands here")),
        };
        let made = loading.workers.finish().map_err(|e| e.to_string());
        let made = made.and_then(|changes| match base {
            None if loading.removed.is_empty() => Ok(changes),
            None => Err("it removes what is not there".to_owned()),
            Some(base) => merged(&base, &changes, &loading.removed),
        });
        let table = match made {
            Ok(table) => table,
            Err(why) => return ignored(why),
        };
        if table.version() != loaded.version {
            return ignored(format!("its workers give version {}, not {}", table.version(), loaded.version));
        }
        let table = Arc::new(table);
        self.newest = Some(table.clone());
        self.versions.push((envelope.occurred_at, loaded.version.clone()));
        envelope.id.clone_into(&mut self.ended_by);
        loaded.load.clone_into(&mut self.last_load);
        // They were made on what stands no more.
        self.loading.clear();
        Step::Swapped(table)
    }
}

impl Loading {
    fn new(load: &str) -> Self {
        Self { load: load.to_owned(), next: 0, workers: Builder::default(), removed: BTreeSet::new(), wrong: None }
    }

    fn take(&mut self, changed: &RosterChanged) {
        if changed.part < self.next || self.wrong.is_some() {
            return;
        }
        if changed.part > self.next {
            self.wrong = Some(format!("part {} is missing", self.next));
            return;
        }
        self.next += 1;
        for worker in &changed.workers {
            if let Err(bad) = push(&mut self.workers, worker) {
                self.wrong = Some(bad.to_string());
                return;
            }
        }
        self.removed.extend(changed.removed.iter().cloned());
    }
}

fn push(builder: &mut Builder, worker: &RosterWorker) -> Result<(), BadWorker> {
    let wrong = |column| move |_| BadWorker { column, why: "is negative or far too much".to_owned() };
    let cents = |column, cents: Option<i64>| cents.map(u32::try_from).transpose().map_err(wrong(column));
    builder.push(&Worker {
        id: &worker.id,
        name: &worker.name,
        role: &worker.role,
        certifications: worker.certifications.iter().map(String::as_str).collect(),
        city: &worker.city,
        state: &worker.state,
        // What was a narrow float is one again.
        place: worker.latitude.zip(worker.longitude).map(|(lat, lon)| (lat as f32, lon as f32)),
        available_from: worker.available_from,
        available_until: worker.available_until,
        pay: cents("pay_min", worker.pay_min)?.zip(cents("pay_max", worker.pay_max)?),
        phone: &worker.phone,
        email: &worker.email,
        status: &worker.status,
    })
}

fn merged(base: &Table, changes: &Table, removed: &BTreeSet<String>) -> Result<Table, String> {
    let mut builder = Builder::with_room(base.len() + changes.len());
    let mut push = |worker: &Worker<'_>| builder.push(worker).map_err(|bad| bad.to_string());
    let mut gone = 0;
    let mut new = changes.workers().peekable();
    for old in base.workers() {
        while let Some(worker) = new.next_if(|worker| worker.id < old.id) {
            push(&worker)?;
        }
        if let Some(worker) = new.next_if(|worker| worker.id == old.id) {
            push(&worker)?;
        } else if removed.contains(old.id) {
            gone += 1;
        } else {
            push(&old)?;
        }
    }
    new.try_for_each(|worker| push(&worker))?;
    if gone < removed.len() {
        return Err("it removes what is not there".to_owned());
    }
    builder.finish().map_err(|duplicates| duplicates.to_string())
}
