//! The search of a graph, the same for one being built and one that is frozen.

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::codes::Probe;

/// Rows with links between them.
pub(crate) trait Graph {
    fn rows(&self) -> u32;
    fn key(&self, probe: &Probe, row: u32) -> f32;
    /// Asks for what [`Graph::key`] will read.
    fn prefetch(&self, row: u32);
    /// Asks for what [`Graph::links`] will read.
    fn prefetch_links(&self, row: u32);
    /// Each link of a row on the lowest level.
    fn links(&self, row: u32, to: impl FnMut(u32));
    /// Each link of a row on a level above it.
    fn upper(&self, row: u32, level: usize, to: impl FnMut(u32));
}

/// What a walk needs to remember; one a thread, used again.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    seen: Vec<u64>,
    batch: Vec<u32>,
    /// Nearest first: packed key and row, the lowest bit set once its links were followed.
    pool: Vec<u64>,
    frontier: BinaryHeap<Reverse<u64>>,
    best: BinaryHeap<u64>,
    /// Rows whose distance was computed.
    pub visited: u64,
}

thread_local! {
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

impl Scratch {
    /// With this thread's scratch, or a fresh one where a filter searches within a search.
    pub fn with<T>(work: impl FnOnce(&mut Self) -> T) -> T {
        let mut scratch = SCRATCH.take().unwrap_or_default();
        scratch.visited = 0;
        let out = work(&mut scratch);
        SCRATCH.set(Some(scratch));
        out
    }

    fn begin(&mut self, rows: u32) {
        self.seen.clear();
        self.seen.resize((rows as usize).div_ceil(64), 0);
        self.pool.clear();
        self.frontier.clear();
        self.best.clear();
    }

    /// Nearest first: key and row.
    pub fn found(&self) -> impl Iterator<Item = (f32, u32)> + '_ {
        self.pool.iter().map(|&item| (key_of(item), row_of(item)))
    }
}

/// Key and row in one number that sorts by key; the lowest bit is free.
fn pack(key: f32, row: u32) -> u64 {
    let bits = key.to_bits();
    let ordered = bits ^ (((bits as i32) >> 31) as u32 | 0x8000_0000);
    u64::from(ordered) << 32 | u64::from(row) << 1
}

fn key_of(item: u64) -> f32 {
    let ordered = (item >> 32) as u32;
    f32::from_bits(if ordered & 0x8000_0000 == 0 { !ordered } else { ordered ^ 0x8000_0000 })
}

fn row_of(item: u64) -> u32 {
    (item as u32) >> 1
}

#[inline(always)]
fn mark(seen: &mut [u64], row: u32) -> bool {
    match seen.get_mut(row as usize / 64) {
        Some(word) => {
            let bit = 1u64 << (row % 64);
            let fresh = *word & bit == 0;
            *word |= bit;
            fresh
        }
        None => false,
    }
}

/// From `start` on level `from`, down to level `to`: the nearest row of each level leads into the next.
pub(crate) fn descend<G: Graph>(
    graph: &G,
    probe: &Probe,
    start: u32,
    from: usize,
    to: usize,
    scratch: &mut Scratch,
) -> u32 {
    let mut here = start;
    let mut nearest = graph.key(probe, here);
    let rows = graph.rows();
    for level in (to + 1..=from).rev() {
        loop {
            scratch.batch.clear();
            graph.upper(here, level, |row| {
                if row < rows {
                    graph.prefetch(row);
                    scratch.batch.push(row);
                }
            });
            let before = here;
            scratch.visited += scratch.batch.len() as u64;
            for &row in &scratch.batch {
                let key = graph.key(probe, row);
                if key < nearest {
                    (nearest, here) = (key, row);
                }
            }
            if here == before {
                break;
            }
        }
    }
    here
}

/// The `ef` nearest rows that a walk from `start` comes by, into [`Scratch::found`].
pub(crate) fn walk<G: Graph>(graph: &G, probe: &Probe, start: u32, ef: usize, level: usize, scratch: &mut Scratch) {
    scratch.begin(graph.rows());
    let Scratch { seen, batch, pool, visited, .. } = scratch;
    mark(seen, start);
    pool.push(pack(graph.key(probe, start), start));
    let mut at = 0;
    while at < pool.len() {
        if pool[at] & 1 == 1 {
            at += 1;
            continue;
        }
        pool[at] |= 1;
        let row = row_of(pool[at]);
        if let Some(&next) = pool.get(at + 1) {
            graph.prefetch_links(row_of(next));
        }
        batch.clear();
        let to = |row| {
            if mark(seen, row) {
                graph.prefetch(row);
                batch.push(row);
            }
        };
        if level == 0 {
            graph.links(row, to)
        } else {
            graph.upper(row, level, to)
        }
        *visited += batch.len() as u64;
        for &row in batch.iter().filter(|&&row| row < graph.rows()) {
            let item = pack(graph.key(probe, row), row);
            if pool.len() >= ef {
                if pool.last().is_some_and(|&last| item >= last) {
                    continue;
                }
                pool.pop();
            }
            let place = pool.partition_point(|&other| other < item);
            if place <= at {
                graph.prefetch_links(row);
            }
            pool.insert(place, item);
            at = at.min(place);
        }
    }
}

/// The `ef` nearest of the rows that are `admitted`, into [`Scratch::found`]; the others only lead the way. False when more
/// than `budget` rows were looked at before it was sure: then looking at all admitted rows is cheaper.
pub(crate) fn walk_admitted<G: Graph>(
    graph: &G,
    probe: &Probe,
    start: u32,
    ef: usize,
    admitted: impl Fn(u32) -> bool,
    budget: u64,
    scratch: &mut Scratch,
) -> bool {
    scratch.begin(graph.rows());
    let Scratch { seen, batch, pool, frontier, best, visited, .. } = scratch;
    let most = *visited + budget;
    mark(seen, start);
    let item = pack(graph.key(probe, start), start);
    frontier.push(Reverse(item));
    if admitted(start) {
        best.push(item);
    }
    while let Some(Reverse(item)) = frontier.pop() {
        if best.len() >= ef && best.peek().is_some_and(|&worst| item > worst) {
            break;
        }
        batch.clear();
        graph.links(row_of(item), |row| {
            if mark(seen, row) {
                graph.prefetch(row);
                batch.push(row);
            }
        });
        *visited += batch.len() as u64;
        if *visited > most {
            return false;
        }
        for &row in batch.iter().filter(|&&row| row < graph.rows()) {
            let item = pack(graph.key(probe, row), row);
            let full = best.len() >= ef;
            if full && best.peek().is_some_and(|&worst| item >= worst) {
                continue;
            }
            frontier.push(Reverse(item));
            if admitted(row) {
                if full {
                    best.pop();
                }
                best.push(item);
            }
        }
    }
    pool.extend(best.drain());
    pool.sort_unstable();
    true
}
