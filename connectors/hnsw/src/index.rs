//! The index: rows go into its young part, searches see a snapshot of all its parts.
//!
//! One lock orders writers. A search takes none: it loads the list of parts, and parts only ever gain rows and lose them
//! by a bit. A row that is replaced is first put in anew and then taken away where it was, and searches go from older
//! parts to younger ones, so that whichever instant a search falls on, it finds one of the two; of both it keeps the newer.

use arc_swap::ArcSwap;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::Error;
use crate::frozen::{Ask, Frozen};
use crate::query::{Answer, Nearest, Query};
use crate::segment::MOST_ROWS;
use crate::settings::Settings;
use crate::young::{Row, Young};

/// See the module.
#[derive(Debug)]
pub struct Index {
    pub(crate) settings: Settings,
    pub(crate) parts: ArcSwap<Parts>,
    counts: ArcSwap<BTreeMap<u32, Arc<AtomicU64>>>,
    writer: Mutex<Writer>,
    /// Held by whoever changes which parts there are: one at a time freezes, merges or dumps.
    pub(crate) keeper: Mutex<()>,
}

/// What a search sees: parts by age, the last young one still growing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parts {
    pub frozen: Vec<Arc<Frozen>>,
    pub young: Vec<Arc<Young>>,
}

/// A part, whichever it is.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    Frozen(Arc<Frozen>),
    Young(Arc<Young>),
}

/// Where each key's row is.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    pub places: HashMap<u64, Place, foldhash::fast::RandomState>,
    pub next: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub part: u32,
    pub row: u32,
}

/// How an index is made up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Rows that can be found.
    pub rows: u64,
    /// Of each segment: rows that can be found, rows that are gone, bytes of its file or its image.
    pub segments: Vec<(u64, u64, u64)>,
    /// Rows of the young parts that can be found.
    pub young: u64,
}

/// Searches again where a row was replaced in between; after that the newer of two rows counts.
const TRIES: usize = 8;

impl Part {
    pub fn id(&self) -> u32 {
        match self {
            Self::Frozen(part) => part.id,
            Self::Young(part) => part.id,
        }
    }

    pub fn rows(&self) -> u32 {
        match self {
            Self::Frozen(part) => part.segment.rows(),
            Self::Young(part) => part.len(),
        }
    }

    pub fn is_dead(&self, row: u32) -> bool {
        match self {
            Self::Frozen(part) => part.dead.has(row),
            Self::Young(part) => part.dead.has(row),
        }
    }

    fn kill(&self, row: u32) {
        match self {
            Self::Frozen(part) => part.dead.set(row),
            Self::Young(part) => part.dead.set(row),
        }
    }

    /// Key and group of a row that is there.
    pub fn key_and_group(&self, row: u32) -> Option<(u64, u32)> {
        match self {
            Self::Frozen(part) => {
                let view = part.segment.view();
                let label = *view.labels.get(row as usize)?;
                Some((view.keys[row as usize], view.groups[label as usize]))
            }
            Self::Young(part) => part.row(row).map(|row| (row.key, row.group)),
        }
    }

    pub fn vector(&self, row: u32) -> &[f32] {
        match self {
            Self::Frozen(part) => part.segment.view().vector(row),
            Self::Young(part) => part.row(row).map_or(&[], |row| &row.vector),
        }
    }

    fn search(&self, ask: &Ask, nearest: &mut Nearest) {
        match self {
            Self::Frozen(part) => part.search(ask, nearest),
            Self::Young(part) => part.search(ask, nearest),
        }
    }
}

impl Parts {
    pub fn all(&self) -> impl Iterator<Item = Part> + '_ {
        let frozen = self.frozen.iter().map(|part| Part::Frozen(Arc::clone(part)));
        frozen.chain(self.young.iter().map(|part| Part::Young(Arc::clone(part))))
    }

    fn find(&self, id: u32) -> Option<Part> {
        let frozen = self.frozen.iter().find(|part| part.id == id).cloned().map(Part::Frozen);
        frozen.or_else(|| self.young.iter().find(|part| part.id == id).cloned().map(Part::Young))
    }
}

impl Index {
    /// An index without rows.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        settings.check()?;
        Ok(Self::of(settings, Parts::default(), Writer::default()))
    }

    pub(crate) fn of(settings: Settings, parts: Parts, writer: Writer) -> Self {
        let mut counts = BTreeMap::<u32, u64>::new();
        for part in parts.all() {
            let live = (0..part.rows()).filter(|&row| !part.is_dead(row));
            live.filter_map(|row| part.key_and_group(row))
                .for_each(|(_, group)| *counts.entry(group).or_default() += 1);
        }
        let counts = counts.into_iter().map(|(group, rows)| (group, Arc::new(AtomicU64::new(rows)))).collect();
        Self {
            settings,
            parts: ArcSwap::from_pointee(parts),
            counts: ArcSwap::from_pointee(counts),
            writer: Mutex::new(writer),
            keeper: Mutex::new(()),
        }
    }

    /// What it was made with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Puts a row in, in place of the one with the same key. Searches that begin after this returned find it. True when
    /// it replaced one. A vector that cannot be compared is refused, and what was there stays.
    pub fn put(&self, key: u64, group: u32, vector: &[f32]) -> Result<bool, Error> {
        let vector = self.settings.distance.prepare(vector, self.settings.dims)?.into_boxed_slice();
        let mut writer = self.writer();
        if writer.places.len() as u64 >= MOST_ROWS {
            return Err(Error::Full(MOST_ROWS));
        }
        let young = self.growing(&mut writer);
        self.count(group).fetch_add(1, Ordering::AcqRel);
        let row = young.push(Row { key, group, vector });
        let old = writer.places.insert(key, Place { part: young.id, row });
        Ok(old.is_some_and(|old| self.bury(old)))
    }

    /// Takes a row away. Searches that begin after this returned do not find it. False when there was none.
    pub fn delete(&self, key: u64) -> bool {
        let mut writer = self.writer();
        writer.places.remove(&key).is_some_and(|place| self.bury(place))
    }

    /// The group and the vector of a row, the vector as it is compared: of length one under cosine.
    pub fn get(&self, key: u64) -> Option<(u32, Vec<f32>)> {
        let writer = self.writer();
        let place = *writer.places.get(&key)?;
        let part = self.parts.load().find(place.part)?;
        let (_, group) = part.key_and_group(place.row)?;
        Some((group, part.vector(place.row).to_vec()))
    }

    /// Rows that can be found.
    pub fn len(&self) -> u64 {
        self.writer().places.len() as u64
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Rows of each group that can be found.
    pub fn groups(&self) -> BTreeMap<u32, u64> {
        let counts = self.counts.load();
        counts
            .iter()
            .map(|(&group, rows)| (group, rows.load(Ordering::Acquire)))
            .filter(|&(_, rows)| rows > 0)
            .collect()
    }

    /// How it is made up.
    pub fn shape(&self) -> Shape {
        let parts = self.parts.load();
        let segments = parts
            .frozen
            .iter()
            .map(|part| (part.live() as u64, part.dead.count() as u64, part.segment.bytes().len() as u64));
        Shape {
            rows: self.len(),
            segments: segments.collect(),
            young: parts.young.iter().map(|part| part.live() as u64).sum(),
        }
    }

    /// Searches. Fewer than `k` hits where fewer rows may be found.
    pub fn search(&self, query: &Query) -> Result<Answer, Error> {
        let vector = self.settings.distance.prepare(query.vector, self.settings.dims)?;
        let (mut rows, mut withheld) = (0, 0);
        for (&group, count) in self.counts.load().iter() {
            let count = count.load(Ordering::Acquire);
            rows += count;
            withheld += if query.groups.admits(group) { 0 } else { count };
        }
        // No more than there are: memory is for what can be found.
        let k = query.k.min(usize::try_from(rows).unwrap_or(usize::MAX).saturating_add(1_024));
        let ef = query.ef.unwrap_or(self.settings.ef).clamp(1, 1 << 20).max(k);
        let ask = Ask {
            vector: &vector,
            k,
            ef,
            groups: &query.groups,
            filter: query.filter,
            plan: query.plan,
            settings: &self.settings,
        };
        let mut visited = 0;
        for attempt in 1.. {
            let mut nearest = Nearest::new(k);
            self.look(&ask, &mut nearest);
            visited += nearest.visited;
            let plan = nearest.plan;
            let (hits, twice) = nearest.hits();
            if !twice || attempt == TRIES {
                return Ok(Answer { hits, plan, visited, withheld, rows });
            }
        }
        unreachable!("the last attempt returns")
    }

    fn look(&self, ask: &Ask, nearest: &mut Nearest) {
        let mut looked: Option<u32> = None;
        loop {
            // Parts that were begun since may have what was taken away meanwhile from those already seen.
            let parts = self.parts.load();
            let fresh = |id: u32| looked.is_none_or(|looked| id > looked);
            let mut newest = looked;
            for part in parts.all().filter(|part| fresh(part.id())) {
                part.search(ask, nearest);
                newest = newest.max(Some(part.id()));
            }
            if newest == looked {
                return;
            }
            looked = newest;
        }
    }

    pub(crate) fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The young part with room for a row.
    fn growing(&self, writer: &mut Writer) -> Arc<Young> {
        match self.parts.load().young.last() {
            Some(young) if !young.is_full() => Arc::clone(young),
            _ => self.begin(writer),
        }
    }

    /// Begins another young part: the one before it does not change any more but by what is taken away.
    pub(crate) fn begin(&self, writer: &mut Writer) -> Arc<Young> {
        let young = Arc::new(Young::new(writer.next, self.settings.young_rows));
        writer.next += 1;
        let mut parts = Parts::clone(&self.parts.load());
        parts.young.push(Arc::clone(&young));
        self.parts.store(Arc::new(parts));
        young
    }

    /// Of whoever holds the writer's lock.
    fn bury(&self, place: Place) -> bool {
        let Some(part) = self.parts.load().find(place.part) else { return false };
        if let Some((_, group)) = part.key_and_group(place.row) {
            self.count(group).fetch_sub(1, Ordering::AcqRel);
        }
        part.kill(place.row);
        true
    }

    /// Of whoever holds the writer's lock.
    fn count(&self, group: u32) -> Arc<AtomicU64> {
        if let Some(count) = self.counts.load().get(&group) {
            return Arc::clone(count);
        }
        let mut counts = BTreeMap::clone(&self.counts.load());
        let count = Arc::clone(counts.entry(group).or_default());
        self.counts.store(Arc::new(counts));
        count
    }
}
