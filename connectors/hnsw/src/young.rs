//! What was put in lately: rows in the order they came, and a graph of `hnsw_rs` over the older of them.
//!
//! A row can be found as soon as it is in: rows that the graph does not have yet are compared one by one. The graph is
//! asked only where every row may be an answer and the distance is a metric it can hold; under a filter or a gate, and for
//! dot products, all rows that are admitted are compared, which is exact and, for so few, fast. (Its own filtered search
//! ends the process where a filter leaves it nothing, version 0.3.5.)

use hnsw_rs::hnsw::Hnsw;
use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::bits::Dead;
use crate::distance::Distance;
use crate::frozen::Ask;
use crate::machine;
use crate::query::{Candidate, Nearest, Plan};
use crate::settings::Settings;

/// A row as it was put in.
#[derive(Debug)]
pub(crate) struct Row {
    pub key: u64,
    pub group: u32,
    pub vector: Box<[f32]>,
}

/// See the module. One thread puts rows in and one makes the graph; any number search.
pub(crate) struct Young {
    pub id: u32,
    rows: Box<[OnceLock<Row>]>,
    len: AtomicU32,
    pub dead: Dead,
    graph: OnceLock<Hnsw<'static, f32, Metric>>,
    graphed: AtomicU32,
}

/// Below this many rows no graph is made.
const WORTH_A_GRAPH: u32 = 2_048;
/// Rows that may wait for the graph.
const LAG: u32 = 512;
const LAYERS: usize = 16;

thread_local! {
    static COMPARED: Cell<u64> = const { Cell::new(0) };
}

/// What `hnsw_rs` compares with: never negative, which it insists on.
#[derive(Clone, Copy, Debug)]
struct Metric(Distance);

impl anndists::dist::Distance<f32> for Metric {
    fn eval(&self, a: &[f32], b: &[f32]) -> f32 {
        COMPARED.set(COMPARED.get() + 1);
        match self.0 {
            Distance::Euclidean => machine::squared(a, b),
            Distance::Cosine | Distance::Dot => (1.0 - machine::dot(a, b)).max(0.0),
        }
    }
}

impl std::fmt::Debug for Young {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Young").field("id", &self.id).field("len", &self.len).finish_non_exhaustive()
    }
}

impl Young {
    pub fn new(id: u32, room: usize) -> Self {
        Self {
            id,
            rows: (0..room).map(|_| OnceLock::new()).collect(),
            len: AtomicU32::new(0),
            dead: Dead::new(room),
            graph: OnceLock::new(),
            graphed: AtomicU32::new(0),
        }
    }

    pub fn len(&self) -> u32 {
        self.len.load(Ordering::Acquire)
    }

    pub fn is_full(&self) -> bool {
        self.len() as usize == self.rows.len()
    }

    pub fn live(&self) -> usize {
        (self.len() as usize).saturating_sub(self.dead.count())
    }

    /// Of the one thread that writes. The row can be found when this returns.
    pub fn push(&self, row: Row) -> u32 {
        let at = self.len();
        let fresh = self.rows[at as usize].set(row);
        debug_assert!(fresh.is_ok(), "one thread writes");
        self.len.store(at + 1, Ordering::Release);
        at
    }

    pub fn row(&self, at: u32) -> Option<&Row> {
        self.rows.get(at as usize).and_then(OnceLock::get)
    }

    /// Brings the graph up to date, where it is worth it. Of one thread at a time. How many rows it got.
    pub fn make_graph(&self, settings: &Settings) -> u32 {
        let (from, to) = (self.graphed.load(Ordering::Acquire), self.len());
        let room = self.rows.len() as u32;
        if settings.distance == Distance::Dot
            || to < WORTH_A_GRAPH.min(room / 4)
            || to - from < LAG.min(room / 8).max(1)
        {
            return 0;
        }
        let graph = self.graph.get_or_init(|| {
            Hnsw::new(settings.links, self.rows.len(), LAYERS, settings.ef_construction, Metric(settings.distance))
        });
        for at in from..to {
            if let Some(row) = self.row(at) {
                graph.insert_slice((&row.vector, at as usize));
                self.graphed.store(at + 1, Ordering::Release);
            }
        }
        to - from
    }

    pub fn search(&self, ask: &Ask, nearest: &mut Nearest) {
        if ask.k == 0 {
            return;
        }
        let graphed = self.graphed.load(Ordering::Acquire);
        let free = ask.groups.is_all() && ask.filter.is_none();
        let wanted = match ask.plan {
            Some(plan) => plan == Plan::Hnsw,
            // A walk of `hnsw_rs` costs about as much as comparing this many rows.
            None => self.reach(ask).saturating_mul(24) < graphed as usize,
        };
        let mut from = 0;
        if free && wanted && graphed > 0 && self.walk(ask, graphed, nearest) {
            nearest.plan = Plan::Hnsw;
            from = graphed;
        }
        // The end is read again at the end: of a row that was replaced meanwhile, the old one or the new one is seen.
        let mut at = from;
        while at < self.len() {
            if let Some(row) = self.row(at)
                && ask.groups.admits(row.group)
                && !self.dead.has(at)
                && ask.filter.admits(row.key)
            {
                nearest.visited += 1;
                self.weigh(at, row, ask, nearest);
            }
            at += 1;
        }
    }

    fn weigh(&self, at: u32, row: &Row, ask: &Ask, nearest: &mut Nearest) {
        let distance = ask.settings.distance.between(ask.vector, &row.vector);
        nearest.push(Candidate { distance, key: row.key, age: u64::from(self.id) << 32 | u64::from(at) });
    }

    /// Candidates to ask the graph for, so that enough of them are left.
    fn reach(&self, ask: &Ask) -> usize {
        ask.ef.saturating_mul(self.len().max(1) as usize) / self.live().max(1)
    }

    /// False when the graph had too few rows that are left.
    fn walk(&self, ask: &Ask, graphed: u32, nearest: &mut Nearest) -> bool {
        let Some(graph) = self.graph.get() else { return false };
        COMPARED.set(0);
        let reach = self.reach(ask).min(graphed as usize);
        let found = graph.search(ask.vector, reach, reach);
        nearest.visited += COMPARED.get();
        let rows: Vec<u32> = found
            .iter()
            .map(|neighbour| neighbour.d_id as u32)
            .filter(|&at| at < graphed && !self.dead.has(at))
            .collect();
        if rows.len() < ask.k.min((graphed as usize).saturating_sub(self.dead.count())) {
            return false;
        }
        for at in rows {
            if let Some(row) = self.row(at) {
                self.weigh(at, row, ask, nearest);
            }
        }
        true
    }
}
