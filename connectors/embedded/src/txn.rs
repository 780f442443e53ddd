//! One write transaction, shared by the jobs of a group commit.

use crate::fault::Outcome;
use crate::heads::{Head, JOURNAL};
use crate::ids::Index;
use crate::schema::{Catalog, Counters, Place, State};
use crate::shared::Shared;
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

/// See the module.
pub(crate) struct Txn<'c> {
    pub(crate) conn: &'c Connection,
    pub(crate) shared: &'c Shared,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) index: &'c mut Index,
    state: State,
    touched: BTreeMap<i64, Touched>,
    /// Whether something changed that any session may wait for.
    pub(crate) general: bool,
    /// The head file is told of every partition, not only of those that moved: it may be behind, or have no slots for
    /// some of them.
    pub(crate) tell_all: bool,
}

/// What came of a transaction.
pub(crate) struct Done {
    /// For the head file; that of the journal is the last.
    pub(crate) heads: Vec<Head>,
    /// They are of all partitions.
    pub(crate) all: bool,
    pub(crate) sequence: u64,
    /// Topics whose partitions moved.
    pub(crate) topics: Vec<Arc<str>>,
    /// Something changed that any session may wait for.
    pub(crate) general: bool,
}

/// See [`Txn::mark`].
pub(crate) struct Mark(State, Arc<Catalog>, BTreeMap<i64, Touched>, bool);

#[derive(Clone)]
struct Touched {
    place: Place,
    counters: Counters,
    /// Differs from the table.
    dirty: bool,
    /// To be told to the head file.
    told: bool,
}

impl<'c> Txn<'c> {
    pub(crate) fn begin(conn: &'c Connection, shared: &'c Shared, index: &'c mut Index) -> Outcome<Self> {
        conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let state = State::load(conn)?;
        shared.news.found(&state);
        index.meet(state.sequence);
        let catalog = shared.catalog(conn, &state)?;
        Ok(Self { conn, shared, catalog, index, state, touched: BTreeMap::new(), general: false, tell_all: false })
    }

    /// The counters of a partition as this transaction has them.
    pub(crate) fn counters(&mut self, place: &Place) -> Outcome<Counters> {
        match self.touched.entry(place.id) {
            Entry::Occupied(entry) => Ok(entry.get().counters),
            Entry::Vacant(entry) => {
                let counters = Counters::load(self.conn, place)?;
                entry.insert(Touched { place: place.clone(), counters, dirty: false, told: false });
                Ok(counters)
            }
        }
    }

    /// The same, for who cannot keep them here.
    pub(crate) fn known_counters(&self, place: &Place) -> Outcome<Counters> {
        self.touched.get(&place.id).map_or_else(|| Counters::load(self.conn, place), |touched| Ok(touched.counters))
    }

    /// Moves them. They are written once, at the end.
    pub(crate) fn set_counters(&mut self, place: &Place, counters: Counters) {
        self.touched.insert(place.id, Touched { place: place.clone(), counters, dirty: true, told: true });
    }

    /// Writes the counters, for work that goes to the tables itself.
    pub(crate) fn flush(&mut self) -> Outcome<()> {
        for (id, touched) in &mut self.touched {
            if touched.dirty {
                touched.counters.store(self.conn, *id)?;
                touched.dirty = false;
            }
        }
        Ok(())
    }

    /// What is in memory now, to come back to when a job is undone.
    pub(crate) fn mark(&self) -> Mark {
        Mark(self.state, self.catalog.clone(), self.touched.clone(), self.tell_all)
    }

    /// Comes back to it.
    pub(crate) fn undo(&mut self, mark: Mark) {
        (self.state, self.catalog, self.touched, self.tell_all) = (mark.0, mark.1, mark.2, mark.3);
    }

    /// Takes the catalog as the tables have it now, after a change.
    pub(crate) fn renew_catalog(&mut self) -> Outcome<()> {
        self.state.version += 1;
        let catalog = Catalog::read(self.conn, self.state.version)?;
        self.state.catalog = catalog.seal;
        self.catalog = Arc::new(catalog);
        self.touched.retain(|id, _| self.catalog.places().any(|place| place.id == *id));
        self.index.retain(&self.catalog.topics.values().map(|topic| topic.id).collect());
        self.general = true;
        self.tell_all = true;
        Ok(())
    }

    /// Writes what is left to write, but does not commit. Answers with what others have to know after the commit.
    pub(crate) fn finish(&mut self) -> Outcome<Done> {
        let moved = self.touched.values().filter(|touched| touched.told);
        let topics = moved.map(|touched| touched.place.topic.name.clone()).collect();
        if self.tell_all {
            for place in self.catalog.clone().places() {
                self.counters(&place)?;
            }
            self.touched.values_mut().for_each(|touched| touched.told = true);
        }
        self.flush()?;
        self.index.write(self.conn)?;
        self.state.sequence += 1;
        self.state.store(self.conn)?;
        let sequence = self.state.sequence;
        let told = self.touched.values().filter(|touched| touched.told);
        let mut heads: Vec<Head> = told.map(|t| head(&t.place, &t.counters, sequence)).collect();
        // Of slots that another process is about to make, nothing is said here.
        let slots = if self.tell_all { heads.iter().map(|head| head.id).max().unwrap_or(0) as u64 } else { 0 };
        let (topic, partition) = (String::new(), 0);
        heads.push(Head { id: JOURNAL, sequence, next: slots, chain: [0; 32], topic, partition });
        Ok(Done { heads, all: self.tell_all, sequence, topics, general: self.general })
    }
}

fn head(place: &Place, counters: &Counters, sequence: u64) -> Head {
    Head {
        id: place.id,
        sequence,
        next: counters.next,
        chain: counters.head,
        topic: place.topic.name.to_string(),
        partition: place.number,
    }
}

/// What the head file may know of a moment.
pub(crate) fn heads_of(view: &crate::shared::View<'_>) -> Outcome<Vec<Head>> {
    let sequence = view.state.sequence;
    let mut heads = Vec::new();
    for place in view.catalog.places() {
        heads.push(head(&place, &Counters::load(view.conn, &place)?, sequence));
    }
    let slots = heads.iter().map(|head| head.id).max().unwrap_or(0) as u64;
    heads.push(Head { id: JOURNAL, sequence, next: slots, chain: [0; 32], topic: String::new(), partition: 0 });
    Ok(heads)
}
