//! Builds the graph of a segment, by several threads at a time or reproducibly by one.
//!
//! Rows are inserted as in the paper (Malkov and Yashunin, arXiv 1603.09320, algorithms 1 and 4), over codes instead of
//! vectors. Links are atomic words: whoever walks takes no lock and may see a row's links half rewritten, which are links
//! still; only who changes a row's links holds that row's lock. The row with the highest level goes first, so the entry
//! never changes. At the end, what no walk from the entry reaches on the lowest level is linked to its nearest row that
//! one does.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::codes::{Coder, Head, Probe, apart, padded};
use crate::machine;
use crate::walk::{Graph, Scratch, descend, walk};

/// No link.
pub(crate) const NONE: u32 = u32::MAX;

const HIGHEST: u8 = 12;

/// The vectors to build of, by row.
pub(crate) trait Rows: Sync {
    fn len(&self) -> u32;
    fn vector(&self, row: u32) -> &[f32];
}

#[derive(Debug)]
pub(crate) struct Builder<'a> {
    coder: Coder<'a>,
    links: usize,
    ef: usize,
    /// Bytes of a block.
    stride: usize,
    /// Head and codes of each row.
    blocks: Vec<u8>,
    levels: Vec<u8>,
    /// `2 * links` words a row, filled from the front.
    low: Vec<AtomicU32>,
    /// Where a row's words for the upper levels begin.
    places: Vec<u32>,
    high: Vec<AtomicU32>,
    locks: Vec<Mutex<()>>,
    entry: u32,
}

fn level_of(row: u32, links: usize) -> u8 {
    let mut state = u64::from(row).wrapping_add(0x9E37_79B9_7F4A_7C15).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    state = (state ^ state >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    state ^= state >> 31;
    let uniform = ((state >> 11) as f64 + 1.0) / (1u64 << 53) as f64;
    (-uniform.ln() / (links as f64).ln()).min(f64::from(HIGHEST)) as u8
}

/// Rows that came one after the other are often alike, and a graph of rows inserted in such an order has few long links:
/// measured, a recall of 0.968 instead of 0.997. So the next row to insert is always about 0.618 of all rows further on.
fn stride_of(count: u64) -> u64 {
    let divides = |mut a: u64, mut b: u64| {
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    (count * 618 / 1_000..).find(|&step| step > 0 && divides(step, count) == 1).unwrap_or(1)
}

impl<'a> Builder<'a> {
    /// Encodes and links all rows.
    pub fn build(rows: &impl Rows, coder: Coder<'a>, links: usize, ef: usize, threads: usize) -> Self {
        let count = rows.len() as usize;
        let stride = Head::BYTES + padded(coder.mean.len());
        let levels: Vec<u8> = (0..rows.len()).map(|row| level_of(row, links)).collect();
        let entry = (0..rows.len()).rev().max_by_key(|&row| levels[row as usize]).unwrap_or_default();
        let mut words = 0u32;
        let places = levels
            .iter()
            .map(|&level| {
                let place = words;
                words += u32::from(level) * links as u32;
                place
            })
            .collect();
        let empty = |words: usize| {
            let mut made = machine::enlarge(Vec::with_capacity(words));
            made.extend((0..words).map(|_| AtomicU32::new(NONE)));
            made
        };
        let mut builder = Self {
            coder,
            links,
            ef,
            stride,
            blocks: machine::enlarge(vec![0; count * stride]),
            levels,
            low: empty(count * links * 2),
            places,
            high: empty(words as usize),
            locks: (0..count.clamp(1, 1 << 16).next_power_of_two()).map(|_| Mutex::new(())).collect(),
            entry,
        };
        builder.encode(rows, threads);
        builder.link(rows, threads);
        builder.reconnect(rows);
        builder
    }

    fn encode(&mut self, rows: &impl Rows, threads: usize) {
        let share = self.levels.len().div_ceil(threads).max(1);
        let (coder, stride) = (&self.coder, self.stride);
        thread::scope(|scope| {
            for (part, blocks) in self.blocks.chunks_mut(share * stride).enumerate() {
                let mut work = move || {
                    for (at, block) in blocks.chunks_mut(stride).enumerate() {
                        let (head, codes) = block.split_at_mut(Head::BYTES);
                        let made =
                            coder.encode(rows.vector((part * share + at) as u32), bytemuck::cast_slice_mut(codes));
                        head.copy_from_slice(bytemuck::bytes_of(&made.words()));
                    }
                };
                if threads == 1 { work() } else { drop(scope.spawn(work)) }
            }
        });
    }

    fn link(&self, rows: &impl Rows, threads: usize) {
        let (next, count) = (AtomicU32::new(0), u64::from(rows.len()));
        let step = stride_of(count);
        let work = || {
            loop {
                let at = u64::from(next.fetch_add(1, Ordering::Relaxed));
                if at >= count {
                    break;
                }
                let row = (at * step % count) as u32;
                if row != self.entry {
                    self.insert(rows, row);
                }
            }
        };
        thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(work);
            }
            work();
        });
    }

    fn insert(&self, rows: &impl Rows, row: u32) {
        let probe = self.coder.probe_row(rows.vector(row), &self.head(row));
        Scratch::with(|scratch| {
            let top = usize::from(self.levels[self.entry as usize]);
            let level = usize::from(self.levels[row as usize]);
            let mut start = descend(self, &probe, self.entry, top, level.min(top), scratch);
            let mut chosen = Vec::with_capacity(self.links);
            for level in (0..=level.min(top)).rev() {
                walk(self, &probe, start, self.ef, level, scratch);
                let bias = self.head(row).bias();
                let found = scratch.found().filter(|&(_, other)| other != row).map(|(key, other)| (key + bias, other));
                self.choose(found, self.links, &mut chosen);
                start = chosen.first().map_or(start, |&(_, other)| other);
                self.set(row, level, chosen.iter().map(|&(_, other)| other));
                for &(distance, other) in &chosen {
                    self.link_back(other, level, row, distance);
                }
            }
        });
    }

    /// The nearest, without those that are nearer to one already chosen: so links go in all directions.
    fn choose(&self, sorted: impl Iterator<Item = (f32, u32)>, most: usize, chosen: &mut Vec<(f32, u32)>) {
        chosen.clear();
        for (distance, row) in sorted {
            if chosen.len() >= most {
                break;
            }
            if chosen.iter().all(|&(_, other)| self.apart(row, other) >= distance) {
                chosen.push((distance, row));
            }
        }
    }

    fn link_back(&self, row: u32, level: usize, to: u32, distance: f32) {
        let _held = self.lock(row);
        let words = self.words(row, level);
        let mut linked = Vec::with_capacity(words.len() + 1);
        for word in words {
            match word.load(Ordering::Relaxed) {
                NONE => {
                    word.store(to, Ordering::Release);
                    return;
                }
                other if other == to => return,
                other => linked.push(other),
            }
        }
        let mut all: Vec<(f32, u32)> = linked.into_iter().map(|other| (self.apart(row, other), other)).collect();
        all.push((distance, to));
        all.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let mut chosen = Vec::with_capacity(words.len());
        self.choose(all.into_iter(), words.len(), &mut chosen);
        fill(words, chosen.iter().map(|&(_, other)| other));
    }

    fn set(&self, row: u32, level: usize, links: impl Iterator<Item = u32>) {
        let _held = self.lock(row);
        fill(self.words(row, level), links);
    }

    /// Gives whatever the entry does not lead to a link from its nearest row that the entry does lead to.
    fn reconnect(&self, rows: &impl Rows) {
        let mut reached = vec![false; self.levels.len()];
        let mut waiting = Vec::new();
        let mut spread = |from: u32, reached: &mut Vec<bool>| {
            if !std::mem::replace(&mut reached[from as usize], true) {
                waiting.push(from);
            }
            while let Some(row) = waiting.pop() {
                Graph::links(self, row, |to| {
                    if !std::mem::replace(&mut reached[to as usize], true) {
                        waiting.push(to);
                    }
                });
            }
        };
        if !reached.is_empty() {
            spread(self.entry, &mut reached);
        }
        for row in 0..rows.len() {
            if reached[row as usize] {
                continue;
            }
            let probe = self.coder.probe(rows.vector(row));
            let near: Vec<u32> = Scratch::with(|scratch| {
                walk(self, &probe, self.entry, self.ef, 0, scratch);
                scratch.found().map(|(_, other)| other).filter(|&other| reached[other as usize]).collect()
            });
            // A free place if there is one; else the last link of the nearest, whose row others lead to as a rule.
            let words = |other: u32| self.words(other, 0);
            let free = |other: &&u32| words(**other).last().is_some_and(|last| last.load(Ordering::Relaxed) == NONE);
            if let Some(&other) = near.iter().find(free).or(near.first()) {
                let place = words(other).iter().find(|word| word.load(Ordering::Relaxed) == NONE);
                if let Some(word) = place.or(words(other).last()) {
                    word.store(row, Ordering::Relaxed);
                }
                spread(row, &mut reached);
            }
        }
    }

    fn words(&self, row: u32, level: usize) -> &[AtomicU32] {
        let row = row as usize;
        if level == 0 {
            return &self.low[row * self.links * 2..][..self.links * 2];
        }
        let place = self.places[row] as usize + (level - 1) * self.links;
        &self.high[place..][..self.links]
    }

    fn lock(&self, row: u32) -> impl Drop {
        self.locks[row as usize & (self.locks.len() - 1)].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn apart(&self, a: u32, b: u32) -> f32 {
        apart(&self.head(a), self.codes(a), &self.head(b), self.codes(b))
    }

    #[inline(always)]
    pub fn block(&self, row: u32) -> &[u8] {
        &self.blocks[row as usize * self.stride..][..self.stride]
    }

    #[inline(always)]
    fn codes(&self, row: u32) -> &[i8] {
        bytemuck::cast_slice(&self.block(row)[Head::BYTES..])
    }

    #[inline(always)]
    pub fn head(&self, row: u32) -> Head {
        Head::of(bytemuck::pod_read_unaligned(&self.block(row)[..Head::BYTES]))
    }

    pub fn level(&self, row: u32) -> u8 {
        self.levels[row as usize]
    }

    pub fn entry(&self) -> u32 {
        self.entry
    }

    /// All words of a row's links on one level, [`NONE`] at the end.
    pub fn linked(&self, row: u32, level: usize) -> impl Iterator<Item = u32> + '_ {
        self.words(row, level).iter().map(|word| word.load(Ordering::Relaxed))
    }
}

fn fill(words: &[AtomicU32], links: impl Iterator<Item = u32>) {
    for (word, link) in words.iter().zip(links.chain(std::iter::repeat(NONE))) {
        word.store(link, Ordering::Release);
    }
}

impl Graph for Builder<'_> {
    fn rows(&self) -> u32 {
        self.levels.len() as u32
    }

    #[inline(always)]
    fn key(&self, probe: &Probe, row: u32) -> f32 {
        probe.key(&self.head(row), self.codes(row))
    }

    #[inline(always)]
    fn prefetch(&self, row: u32) {
        machine::prefetch(self.block(row));
    }

    #[inline(always)]
    fn prefetch_links(&self, row: u32) {
        let at = row as usize * self.links * 2;
        machine::prefetch(&self.low[at..at + self.links * 2]);
    }

    #[inline(always)]
    fn links(&self, row: u32, mut to: impl FnMut(u32)) {
        for word in self.words(row, 0) {
            match word.load(Ordering::Relaxed) {
                NONE => break,
                row => to(row),
            }
        }
    }

    fn upper(&self, row: u32, level: usize, mut to: impl FnMut(u32)) {
        if level > usize::from(self.levels[row as usize]) {
            return;
        }
        for word in self.words(row, level) {
            match word.load(Ordering::Relaxed) {
                NONE => break,
                row => to(row),
            }
        }
    }
}
