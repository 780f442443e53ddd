//! The search of one segment: which way, and how each goes.

use std::sync::Arc;

use crate::bits::Dead;
use crate::codes::Probe;
use crate::distance::Distance;
use crate::query::{Candidate, Filter, Groups, Nearest, Plan};
use crate::segment::{Segment, View};
use crate::settings::Settings;
use crate::walk::{Graph, Scratch, descend, walk, walk_admitted};

/// A segment in use, with the rows of it that are gone.
#[derive(Clone, Debug)]
pub(crate) struct Frozen {
    pub id: u32,
    pub segment: Arc<Segment>,
    pub dead: Arc<Dead>,
    /// How many rows each of the segment's groups has, gone or not.
    pub census: Arc<[u32]>,
    /// Its file, once there is one.
    pub stored: Option<Stored>,
}

/// A file of a dump, as the manifest has it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stored {
    pub file: String,
    pub bytes: u64,
    pub blake3: String,
}

/// A query that was checked.
pub(crate) struct Ask<'a> {
    pub vector: &'a [f32],
    pub k: usize,
    pub ef: usize,
    pub groups: &'a Groups,
    pub filter: Filter<'a>,
    pub plan: Option<Plan>,
    pub settings: &'a Settings,
}

/// Rows that are tried to learn how many a filter lets through.
const SAMPLE: u32 = 256;
/// Rows that a scan asks memory for before it reads the first of them.
const AHEAD: usize = 16;

impl Frozen {
    pub fn new(id: u32, segment: Segment, dead: Dead, stored: Option<Stored>) -> Self {
        let census = segment.census().into();
        Self { id, segment: Arc::new(segment), dead: Arc::new(dead), census, stored }
    }

    pub fn live(&self) -> usize {
        (self.segment.rows() as usize).saturating_sub(self.dead.count())
    }

    pub fn search(&self, ask: &Ask, nearest: &mut Nearest) {
        let view = self.segment.view();
        let labels: Option<Vec<bool>> =
            (!ask.groups.is_all()).then(|| view.groups.iter().map(|&group| ask.groups.admits(group)).collect());
        let seen: usize = match &labels {
            None => view.rows as usize,
            Some(open) => {
                open.iter().zip(self.census.iter()).filter(|(open, _)| **open).map(|(_, &rows)| rows as usize).sum()
            }
        };
        let admits = |row: u32| {
            labels.as_ref().is_none_or(|open| open[view.labels[row as usize] as usize])
                && !self.dead.has(row)
                && ask.filter.admits(view.keys[row as usize])
        };
        if seen == 0 || ask.k == 0 {
            return;
        }
        let admitted = match ask.filter {
            Filter::None => seen.saturating_sub(self.dead.count()),
            _ => sampled(view.rows, admits),
        };
        let probe = self.segment.coder(ask.settings.distance).probe(ask.vector);
        let scan = Scan { view, probe: &probe, distance: ask.settings.distance, vector: ask.vector, id: self.id };
        let exact = match ask.plan {
            Some(plan) => plan == Plan::Exact || ask.ef >= admitted,
            None => cost_of_walk(ask.ef, view.rows, admitted) >= admitted || admitted <= ask.settings.exact_below,
        };
        let free = labels.is_none() && ask.filter.is_none() && self.dead.count() == 0;
        if exact || !scan.walk(ask, free, admits, admitted, nearest) {
            scan.all(admits, nearest);
        } else {
            nearest.plan = Plan::Hnsw;
        }
    }
}

/// Rows that a walk looks at. Measured on clustered vectors of 384 floats: some ten for each candidate it keeps, and as
/// many times more as there are rows for each that is admitted.
fn cost_of_walk(ef: usize, rows: u32, admitted: usize) -> usize {
    let depth = rows.max(2).ilog2() as usize;
    (ef * 12 + depth * 32).saturating_mul(rows as usize) / admitted.max(1)
}

fn sampled(rows: u32, admits: impl Fn(u32) -> bool) -> usize {
    let tried = rows.min(SAMPLE);
    let hits = (0..tried).filter(|&at| admits((u64::from(at) * u64::from(rows) / u64::from(tried)) as u32)).count();
    hits * rows as usize / tried.max(1) as usize
}

struct Scan<'a> {
    view: View<'a>,
    probe: &'a Probe,
    distance: Distance,
    vector: &'a [f32],
    id: u32,
}

impl Scan<'_> {
    /// By the whole vector, unless the bound rules the row out.
    #[inline(always)]
    fn weigh(&self, row: u32, key: f32, nearest: &mut Nearest) {
        if !nearest.rules_out(self.probe.least(key, &self.view.head(row))) {
            let distance = self.distance.between(self.vector, self.view.vector(row));
            let age = u64::from(self.id) << 32 | u64::from(row);
            nearest.push(Candidate { distance, key: self.view.keys[row as usize], age });
        }
    }

    fn all(&self, admits: impl Fn(u32) -> bool, nearest: &mut Nearest) {
        // Asked for some rows ahead of their turn: under a filter they lie scattered.
        let mut ahead = [0u32; AHEAD];
        let mut rows = (0..self.view.rows).filter(|&row| admits(row)).inspect(|&row| self.view.prefetch(row));
        loop {
            let mut taken = 0;
            for (place, row) in ahead.iter_mut().zip(&mut rows) {
                *place = row;
                taken += 1;
            }
            nearest.visited += taken as u64;
            for &row in &ahead[..taken] {
                self.weigh(row, self.view.key(self.probe, row), nearest);
            }
            if taken < AHEAD {
                return;
            }
        }
    }

    /// False when it was given up.
    fn walk(
        &self,
        ask: &Ask,
        free: bool,
        admits: impl Fn(u32) -> bool,
        admitted: usize,
        nearest: &mut Nearest,
    ) -> bool {
        Scratch::with(|scratch| {
            let start = descend(&self.view, self.probe, self.view.entry, self.view.top, 0, scratch);
            let sure = if free {
                walk(&self.view, self.probe, start, ask.ef, 0, scratch);
                true
            } else {
                // The nearest of few rows lie farther apart than the nearest of all, so more of them are kept.
                let ef = if admitted < self.view.rows as usize / 2 { ask.ef + ask.ef / 2 } else { ask.ef };
                let budget = (admitted as u64).max(u64::from(self.view.rows) / 16);
                walk_admitted(&self.view, self.probe, start, ef, admits, budget, scratch)
            };
            nearest.visited += scratch.visited;
            if sure {
                for (key, row) in scratch.found() {
                    self.weigh(row, key, nearest);
                }
            }
            sure
        })
    }
}
