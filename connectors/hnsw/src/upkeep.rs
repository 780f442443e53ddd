//! What keeps searches fast: the young part's graph, segments of what is no longer young, few segments instead of many.
//!
//! None of it changes what is found. It runs on the caller's thread, beside searches and writers: building takes no lock
//! that they wait for, only the exchange of the parts at the end waits for the writer.

use std::sync::{Arc, PoisonError};

use crate::bits::Dead;
use crate::builder::Rows;
use crate::error::Error;
use crate::frozen::Frozen;
use crate::index::{Index, Part, Parts, Place};
use crate::segment::{Segment, Sources};

/// What a call of [`Index::maintain`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Upkeep {
    /// Rows that the young part's graph got.
    pub graphed: u64,
    /// Rows that were frozen.
    pub frozen: u64,
    /// Rows that were merged.
    pub merged: u64,
}

impl Upkeep {
    /// Whether there was nothing to do.
    pub fn is_idle(&self) -> bool {
        *self == Self::default()
    }
}

/// Segments of about one size that are merged together.
const FAN_IN: usize = 4;
/// A segment with more than one gone row among this many is built anew.
const GONE: usize = 3;

/// Rows of several parts, one after the other.
struct Gathered<'a> {
    parts: &'a [Part],
    rows: Vec<(u32, u32)>,
}

impl Rows for Gathered<'_> {
    fn len(&self) -> u32 {
        self.rows.len() as u32
    }

    fn vector(&self, row: u32) -> &[f32] {
        let (part, row) = self.rows[row as usize];
        self.parts[part as usize].vector(row)
    }
}

impl Sources for Gathered<'_> {
    fn key(&self, row: u32) -> u64 {
        self.both(row).0
    }

    fn group(&self, row: u32) -> u32 {
        self.both(row).1
    }
}

impl Gathered<'_> {
    fn both(&self, row: u32) -> (u64, u32) {
        let (part, row) = self.rows[row as usize];
        self.parts[part as usize].key_and_group(row).unwrap_or_default()
    }
}

impl Index {
    /// Does what is due: to be called every now and then by one thread, and again while it is not idle.
    pub fn maintain(&self) -> Result<Upkeep, Error> {
        let _held = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        let parts = self.parts.load_full();
        let mut done = Upkeep::default();
        if let Some(young) = parts.young.last() {
            done.graphed = u64::from(young.make_graph(&self.settings));
        }
        let full: Vec<Part> = parts.young.iter().filter(|part| part.is_full()).cloned().map(Part::Young).collect();
        if !full.is_empty() {
            done.frozen = self.rebuild(&full)?;
        }
        let due = due(&self.parts.load().frozen);
        if !due.is_empty() {
            done.merged = self.rebuild(&due)?;
        }
        Ok(done)
    }

    /// Freezes everything that is young.
    pub fn freeze(&self) -> Result<u64, Error> {
        let _held = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        let young: Vec<Part> = {
            let mut writer = self.writer();
            let young = self.parts.load().young.iter().cloned().map(Part::Young).collect();
            self.begin(&mut writer);
            young
        };
        self.rebuild(&young)
    }

    /// Makes one segment of everything, without the rows that are gone.
    pub fn compact(&self) -> Result<u64, Error> {
        let _held = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        let all: Vec<Part> = {
            let mut writer = self.writer();
            let parts: Vec<Part> = self.parts.load().all().collect();
            let filled: Vec<&Part> = parts.iter().filter(|part| part.rows() > 0).collect();
            match filled[..] {
                [] => return Ok(0),
                [Part::Frozen(only)] if only.dead.count() == 0 => return Ok(0),
                _ => drop(self.begin(&mut writer)),
            }
            parts
        };
        self.rebuild(&all)
    }

    /// Makes one segment of parts that do not grow, and puts it in their place. Of whoever holds the keeper's lock.
    fn rebuild(&self, sources: &[Part]) -> Result<u64, Error> {
        let Some(id) = sources.iter().map(Part::id).max() else { return Ok(0) };
        let mut gathered = Gathered { parts: sources, rows: Vec::new() };
        for (at, part) in sources.iter().enumerate() {
            let live = (0..part.rows()).filter(|&row| !part.is_dead(row));
            gathered.rows.extend(live.map(|row| (at as u32, row)));
        }
        let count = gathered.rows.len() as u64;
        let built = if count > 0 { Some(Segment::build(&gathered, &self.settings)?) } else { None };
        let mut writer = self.writer();
        let mut parts = Parts::clone(&self.parts.load());
        let ids: Vec<u32> = sources.iter().map(Part::id).collect();
        let stays = |id: u32| !ids.contains(&id);
        parts.frozen.retain(|part| stays(part.id));
        parts.young.retain(|part| stays(part.id));
        if let Some((segment, moved)) = built {
            let dead = Dead::new(moved.len());
            for (&(at, row), &new) in gathered.rows.iter().zip(&moved) {
                let source = &sources[at as usize];
                if source.is_dead(row) {
                    dead.set(new);
                } else if let Some((key, _)) = source.key_and_group(row) {
                    writer.places.insert(key, Place { part: id, row: new });
                }
            }
            let place = parts.frozen.partition_point(|part| part.id < id);
            parts.frozen.insert(place, Arc::new(Frozen::new(id, segment, dead, None)));
        }
        self.parts.store(Arc::new(parts));
        Ok(count)
    }
}

/// Segments to make one of: one with too many gone rows, or the smaller ones once there are several of about one size.
fn due(frozen: &[Arc<Frozen>]) -> Vec<Part> {
    let part = |frozen: &Arc<Frozen>| Part::Frozen(Arc::clone(frozen));
    if let Some(spoilt) = frozen.iter().find(|part| part.dead.count() * GONE > part.segment.rows() as usize) {
        return vec![part(spoilt)];
    }
    let mut sizes: Vec<&Arc<Frozen>> = frozen.iter().collect();
    sizes.sort_by_key(|part| part.live());
    let (mut sum, mut take) = (0, 0);
    for (at, frozen) in sizes.iter().enumerate() {
        if at + 1 >= FAN_IN && frozen.live() <= sum {
            take = at + 1;
        }
        sum += frozen.live();
    }
    sizes[..take].iter().map(|frozen| part(frozen)).collect()
}
