//! One shelf in memory: vectors by nearness, rows by what searches may filter by.

use crate::failure::{Failure, Outcome, Status};
use roaring::RoaringBitmap;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{PoisonError, RwLock};
use stillhouse_catalog::{Row, Shelf};
use stillhouse_hnsw::{Distance, Index, Plan, Query, Settings};

/// Vectors that stand for all of them when it is measured how near a query is to what it has nothing to do with.
const SAMPLE: usize = 256;

/// A shelf, searched while it grows.
pub(super) struct Held {
    pub(super) shelf: Shelf,
    pub(super) index: Index,
    /// The last row and departure that the dump it was opened from covers.
    covered: (i64, i64),
    rows: RwLock<Rows>,
}

/// What is known of rows beside their vectors.
#[derive(Default)]
struct Rows {
    live: RoaringBitmap,
    by: HashMap<String, BTreeMap<String, RoaringBitmap>>,
    times: HashMap<u32, i64>,
    /// Those with the smallest hashes: the same ones, in whatever order they came.
    sample: BTreeMap<(u64, u32), Vec<f32>>,
}

/// What rows must be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Of each name one of the values.
    pub(super) metadata: BTreeMap<String, Vec<String>>,
    /// Not before, in microseconds.
    pub(super) since: Option<i64>,
    /// Before, in microseconds.
    pub(super) until: Option<i64>,
}

impl Wanted {
    fn is_anything(&self) -> bool {
        self.metadata.is_empty() && self.since.is_none() && self.until.is_none()
    }
}

/// A row that is near.
pub(super) struct Near {
    pub(super) row: i64,
    pub(super) similarity: f32,
}

fn number(row: i64) -> Outcome<u32> {
    u32::try_from(row).map_err(|_| Failure::new(Status::Failed, "an index holds at most 4294967295 rows in its life"))
}

impl Held {
    /// From the dump in `dir`, if there is a good one; else empty.
    pub(super) fn open(shelf: Shelf, dir: &Path) -> Outcome<Self> {
        let dims = usize::try_from(shelf.dims).unwrap_or(0);
        let settings = Settings::new(dims, Distance::Cosine);
        let opened = Index::open(dir, settings.clone()).map_err(|e| e.to_string()).and_then(|(index, progress)| {
            let covered: (i64, i64) = serde_json::from_slice(&progress).map_err(|e| e.to_string())?;
            Ok((index, covered))
        });
        let (index, covered) = match opened {
            Ok(opened) => opened,
            Err(why) => {
                if dir.exists() {
                    tracing::warn!(why, "vectors are put in again from the catalog");
                }
                (Index::new(settings).map_err(|e| Failure::new(Status::Failed, e.to_string()))?, (0, 0))
            }
        };
        Ok(Self { shelf, index, covered, rows: RwLock::default() })
    }

    pub(super) fn put(&self, row: Row) -> Outcome {
        let key = number(row.row)?;
        let vector: Vec<f32> =
            row.vector.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        if row.row > self.covered.0
            && let Err(error) = self.index.put(u64::from(key), 0, &vector)
        {
            // A text without a word has a vector without a direction: words cannot find it, and nor can this.
            tracing::debug!(row.row, %error, "a row has no place among vectors");
        }
        let mut rows = self.rows.write().unwrap_or_else(PoisonError::into_inner);
        rows.live.insert(key);
        rows.times.insert(key, row.occurred_at);
        for (name, value) in row.metadata {
            rows.by.entry(name).or_default().entry(value).or_default().insert(key);
        }
        let hash = foldhash::quality::FixedState::default();
        rows.sample.insert((std::hash::BuildHasher::hash_one(&hash, key), key), vector);
        while rows.sample.len() > SAMPLE {
            rows.sample.pop_last();
        }
        Ok(())
    }

    pub(super) fn remove(&self, row: i64) {
        let Ok(key) = number(row) else { return };
        self.index.delete(u64::from(key));
        let mut rows = self.rows.write().unwrap_or_else(PoisonError::into_inner);
        if !rows.live.remove(key) {
            return;
        }
        rows.times.remove(&key);
        rows.sample.retain(|(_, k), _| *k != key);
        for values in rows.by.values_mut() {
            for with in values.values_mut() {
                with.remove(key);
            }
            values.retain(|_, with| !with.is_empty());
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.rows.read().unwrap_or_else(PoisonError::into_inner).live.len()
    }

    /// The rows that are what is wanted; nothing: all are.
    pub(super) fn wanted(&self, wanted: &Wanted) -> Option<RoaringBitmap> {
        if wanted.is_anything() {
            return None;
        }
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        let mut found = rows.live.clone();
        for (name, values) in &wanted.metadata {
            let of_name = rows.by.get(name);
            let any = values.iter().filter_map(|value| of_name?.get(value));
            found &= any.fold(RoaringBitmap::new(), |all, with| all | with);
        }
        if wanted.since.is_some() || wanted.until.is_some() {
            let inside = |row: &u32| {
                rows.times.get(row).is_some_and(|at| {
                    wanted.since.is_none_or(|since| *at >= since) && wanted.until.is_none_or(|until| *at < until)
                })
            };
            found = found.iter().filter(inside).collect();
        }
        Some(found)
    }

    /// The nearest rows, nearest first, and how they were found.
    pub(super) fn near(
        &self,
        vector: &[f32],
        k: usize,
        rows: Option<&RoaringBitmap>,
        plan: Option<Plan>,
        ef: Option<usize>,
    ) -> Outcome<(Vec<Near>, Plan)> {
        let passes = |key: u64| u32::try_from(key).is_ok_and(|key| rows.is_some_and(|rows| rows.contains(key)));
        let filter =
            if rows.is_some() { stillhouse_hnsw::Filter::Where(&passes) } else { stillhouse_hnsw::Filter::None };
        let query = Query { vector, k, ef, groups: stillhouse_hnsw::Groups::all(), filter, plan };
        let answer = self.index.search(&query).map_err(|e| Failure::new(Status::Invalid, e.to_string()))?;
        let near = |hit: &stillhouse_hnsw::Hit| Near { row: hit.key.cast_signed(), similarity: 1.0 - hit.distance };
        Ok((answer.hits.iter().map(near).collect(), answer.plan))
    }

    /// How near a row is, if it has a vector.
    pub(super) fn similarity(&self, row: i64, vector: &[f32]) -> Option<f32> {
        let (_, held) = self.index.get(u64::try_from(row).ok()?)?;
        Some(cosine(vector, &held))
    }

    /// How near rows are that were not asked for.
    pub(super) fn background(&self, vector: &[f32]) -> Vec<f32> {
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        rows.sample.values().map(|held| cosine(vector, held)).collect()
    }

    /// Writes what can be opened again. `upto`: what of the catalog it covers.
    pub(super) fn dump(&self, dir: &Path, upto: (i64, i64)) -> Outcome {
        let progress = serde_json::to_vec(&upto).unwrap_or_default();
        self.index.dump(dir, &progress).map_err(|e| Failure::new(Status::Failed, e.to_string()))
    }
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let lengths = (dot(a, a) * dot(b, b)).sqrt();
    if lengths > 0.0 { dot(a, b) / lengths } else { 0.0 }
}
