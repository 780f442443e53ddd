//! The vectors of a shelf in memory: by nearness in an index, rows by what searches may filter by.

use super::shelf::{Ask, Caught, Chosen, How, Near, Sample, Vectors, Wanted, cosine, floats, number};
use crate::failure::{Failure, Outcome, Status};
use roaring::RoaringBitmap;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use stillhouse_catalog::{Head, Reader, Row, Shelf};
use stillhouse_hnsw::{Distance, Index, Plan, Query, Settings};

/// Rows that are taken in at a time.
const PAGE: usize = 2_000;

/// See the module.
pub(super) struct Memory {
    id: i64,
    index: Index,
    /// Where it is dumped.
    dir: PathBuf,
    /// The last row and departure that the dump it was opened from covers.
    covered: (i64, i64),
    /// Those that are taken in, and those that the last dump covers.
    upto: Mutex<((i64, i64), (i64, i64))>,
    rows: RwLock<Rows>,
}

/// What is known of rows beside their vectors.
#[derive(Default)]
struct Rows {
    live: RoaringBitmap,
    by: HashMap<String, BTreeMap<String, RoaringBitmap>>,
    times: HashMap<u32, i64>,
    sample: Sample,
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::new(Status::Failed, error.to_string())
}

impl Memory {
    /// From the dump in `dir`, if there is a good one; else empty.
    pub(super) fn open(shelf: &Shelf, dir: PathBuf) -> Outcome<Self> {
        let dims = usize::try_from(shelf.dims).unwrap_or(0);
        let settings = Settings::new(dims, Distance::Cosine);
        let opened = Index::open(&dir, settings.clone()).map_err(|e| e.to_string()).and_then(|(index, progress)| {
            let covered: (i64, i64) = serde_json::from_slice(&progress).map_err(|e| e.to_string())?;
            Ok((index, covered))
        });
        let (index, covered) = match opened {
            Ok(opened) => opened,
            Err(why) => {
                if dir.exists() {
                    tracing::warn!(why, "vectors are put in again from the catalog");
                }
                (Index::new(settings).map_err(failed)?, (0, 0))
            }
        };
        Ok(Self { id: shelf.id, index, dir, covered, upto: Mutex::new(((0, 0), covered)), rows: RwLock::default() })
    }

    fn put(&self, row: Row) -> Outcome {
        let key = number(row.row)?;
        let vector = floats(&row.vector);
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
        rows.sample.put(key, vector);
        Ok(())
    }

    fn remove(&self, row: i64) {
        let Ok(key) = number(row) else { return };
        self.index.delete(u64::from(key));
        let mut rows = self.rows.write().unwrap_or_else(PoisonError::into_inner);
        if !rows.live.remove(key) {
            return;
        }
        rows.times.remove(&key);
        rows.sample.remove(key);
        for values in rows.by.values_mut() {
            for with in values.values_mut() {
                with.remove(key);
            }
            values.retain(|_, with| !with.is_empty());
        }
    }
}

impl Vectors for Memory {
    fn catch_up(&self, reader: &Reader, _head: &Head) -> Outcome<Caught> {
        let mut upto = self.upto.lock().unwrap_or_else(PoisonError::into_inner);
        let news = reader.news(self.id, upto.0, PAGE)?;
        for row in news.came {
            self.put(row)?;
        }
        for row in news.went {
            self.remove(row);
        }
        upto.0 = news.upto;
        Ok(if news.more { Caught::More } else { Caught::Up })
    }

    fn len(&self) -> u64 {
        self.rows.read().unwrap_or_else(PoisonError::into_inner).live.len()
    }

    fn choose(&self, wanted: &Wanted) -> Outcome<Chosen> {
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
        Ok(Chosen::Rows(Arc::new(found)))
    }

    fn near(&self, ask: &Ask<'_>) -> Outcome<(Vec<Near>, How)> {
        let rows = match ask.among {
            None => None,
            Some(Chosen::Rows(rows)) => Some(rows),
            #[cfg(feature = "lance")]
            Some(Chosen::Selected(_)) => return Err(failed("rows were chosen by another index")),
        };
        let passes = |key: u64| u32::try_from(key).is_ok_and(|key| rows.is_some_and(|rows| rows.contains(key)));
        let filter =
            if rows.is_some() { stillhouse_hnsw::Filter::Where(&passes) } else { stillhouse_hnsw::Filter::None };
        let query = Query {
            vector: ask.vector,
            k: ask.k,
            ef: ask.ef,
            groups: stillhouse_hnsw::Groups::all(),
            filter,
            plan: ask.exact.then_some(Plan::Exact),
        };
        let answer = self.index.search(&query).map_err(|e| Failure::new(Status::Invalid, e.to_string()))?;
        let near = |hit: &stillhouse_hnsw::Hit| Near { row: hit.key.cast_signed(), similarity: 1.0 - hit.distance };
        let how = if answer.plan == Plan::Exact { How::Exact } else { How::Hnsw };
        Ok((answer.hits.iter().map(near).collect(), how))
    }

    fn similarity(&self, row: i64, vector: &[f32]) -> Option<f32> {
        let (_, held) = self.index.get(u64::try_from(row).ok()?)?;
        Some(cosine(vector, &held))
    }

    fn background(&self, vector: &[f32]) -> Vec<f32> {
        self.rows.read().unwrap_or_else(PoisonError::into_inner).sample.near(vector)
    }

    fn maintain(&self) -> Outcome<bool> {
        Ok(!self.index.maintain().map_err(failed)?.is_idle())
    }

    fn dump(&self) -> Outcome {
        // Held meanwhile: what the dump says it covers is what is in it.
        let mut upto = self.upto.lock().unwrap_or_else(PoisonError::into_inner);
        if upto.0 == upto.1 {
            return Ok(());
        }
        let progress = serde_json::to_vec(&upto.0).unwrap_or_default();
        self.index.dump(&self.dir, &progress).map_err(failed)?;
        upto.1 = upto.0;
        Ok(())
    }
}
