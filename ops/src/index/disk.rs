//! The vectors of a shelf on disk, in Lance: nothing that grows with their number stays in memory.
//!
//! One process of those that have the index open writes them, the first that asks; the others see what it committed. The
//! progress of a commit is what of the catalog it covers, so after a crash work is repeated and changes nothing.

use super::Readers;
use super::shelf::{Ask, Caught, Chosen, How, Near, Sample, Shared, Vectors, Wanted, cosine, floats, number};
use crate::failure::{Failure, Outcome, Status};
use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};
use stillhouse_catalog::{Head, Progress, Reader, Shelf};
use stillhouse_lance::{Engine, Filter, Plan, Query, Row, Settings, Store, StoreError};

/// Rows that are taken in at a time: a commit costs the same for few as for many.
const PAGE: usize = 8_192;
/// Of few rows there is a commit at most so often.
const COMMIT_EVERY: Duration = Duration::from_millis(500);
/// Bytes of caches for one that was opened again.
const CACHE_AGAIN: usize = 16 << 20;
/// How long upkeep that failed is put off.
const FAILED_FOR: Duration = Duration::from_secs(10);
/// Candidates of a graph for which as many partitions are looked into as usual.
const USUAL_EF: usize = 64;
/// Partitions for which that many candidates stand.
const USUAL_PROBES: usize = 16;

/// What a commit covers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Covered {
    /// The last row and departure of the catalog.
    upto: (i64, i64),
    /// People that were erased, and of whom nothing is left in the files.
    erased: u64,
    /// How far the log had been read.
    log: Progress,
}

/// See the module.
pub(super) struct Disk {
    shelf: i64,
    about: BTreeMap<String, String>,
    dir: PathBuf,
    settings: Settings,
    readers: Arc<Readers>,
    shared: Arc<Shared>,
    store: ArcSwap<Store>,
    /// What was read could not be: it is made again.
    spoilt: AtomicBool,
    sample: RwLock<Sample>,
    last: Mutex<Option<Instant>>,
    failed: Mutex<Option<Instant>>,
}

fn failure(error: &StoreError) -> Failure {
    let status = match error {
        StoreError::Dims { .. } | StoreError::Direction => Status::Invalid,
        StoreError::Scheme { .. } => Status::Config,
        _ => Status::Failed,
    };
    Failure::new(status, error.to_string())
}

fn covered(store: &Store) -> Covered {
    serde_json::from_str(&store.progress()).unwrap_or_default()
}

impl Disk {
    /// Opens what is there; makes it anew where it cannot be read, if this process may write.
    pub(super) fn open(shelf: &Shelf, dir: &Path, readers: &Arc<Readers>, shared: &Arc<Shared>) -> Outcome<Self> {
        let about = BTreeMap::from([
            ("stillhouse.format".to_owned(), "1".to_owned()),
            ("stillhouse.corpus".to_owned(), shelf.corpus.clone()),
            ("stillhouse.gate".to_owned(), serde_json::json!(shelf.gate).to_string()),
            ("stillhouse.model".to_owned(), shelf.model.clone()),
        ]);
        let settings = Settings::new(usize::try_from(shelf.dims).unwrap_or(0));
        let store = open_or_make(&shared.engine, dir, &about, &settings, shared.may_write())?;
        let reader = readers.pick();
        let sampled = Sample::rows(|put| {
            Ok(reader.rows(shelf.id, |row| {
                if let Ok(row) = number(row) {
                    put(row);
                }
            })?)
        })?;
        let mut sample = Sample::default();
        let numbers: Vec<i64> = sampled.iter().copied().map(i64::from).collect();
        for (row, vector) in sampled.into_iter().zip(reader.vectors(&numbers)?) {
            if let Some(vector) = vector {
                sample.put(row, floats(&vector));
            }
        }
        Ok(Self {
            shelf: shelf.id,
            about,
            dir: dir.to_owned(),
            settings,
            readers: readers.clone(),
            shared: shared.clone(),
            store: ArcSwap::from_pointee(store),
            spoilt: AtomicBool::new(false),
            sample: RwLock::new(sample),
            last: Mutex::default(),
            failed: Mutex::default(),
        })
    }

    /// What an error means: files that cannot be read are made again by whoever may write.
    fn noted(&self, error: &StoreError) -> Failure {
        if matches!(error, StoreError::Unusable { .. } | StoreError::Missing { .. }) {
            self.spoilt.store(true, Ordering::Release);
        }
        failure(error)
    }

    /// Again after looking at the newest version: the files of an old one may have been cleaned up.
    fn again<T>(&self, ask: impl Fn(&Store) -> Result<T, StoreError>) -> Outcome<T> {
        let store = self.store.load_full();
        match ask(&store) {
            Ok(answer) => Ok(answer),
            Err(error @ (StoreError::Dims { .. } | StoreError::Direction)) => Err(failure(&error)),
            Err(_) => {
                store.refresh().map_err(|e| self.noted(&e))?;
                ask(&store).map_err(|e| self.noted(&e))
            }
        }
    }

    fn make_again(&self) -> Outcome {
        tracing::warn!(path = %self.dir.display(), "vectors on disk are damaged; they are made again from the catalog");
        match std::fs::remove_dir_all(&self.dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        // Caches know the old files by the same names.
        let engine = Engine::new(CACHE_AGAIN);
        let made = open_or_make(&engine, &self.dir, &self.about, &self.settings, true)?;
        self.store.store(Arc::new(made));
        self.spoilt.store(false, Ordering::Release);
        Ok(())
    }

    /// Takes in a page of what is new.
    fn take_in(&self, store: &Store, reader: &Reader, head: &Head) -> Outcome<Caught> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let mut covered = covered(store);
        if covered == Covered::default() {
            covered.erased = head.erased;
        }
        if covered.upto == head.upto && covered.erased == head.erased {
            return Ok(Caught::Up);
        }
        if last.is_some_and(|last| last.elapsed() < COMMIT_EVERY) {
            return Ok(Caught::Behind);
        }
        let news = reader.news(self.shelf, covered.upto, PAGE)?;
        let said = |covered: &Covered| serde_json::to_string(covered).unwrap_or_default();
        let log = if news.more { covered.log.clone() } else { head.progress.clone() };
        covered = Covered { upto: news.upto, erased: covered.erased, log };
        let scrubbed = Covered { erased: head.erased, ..covered.clone() };
        let erase = !news.more && scrubbed != covered;
        if !news.came.is_empty() || !news.went.is_empty() {
            let mut sample = self.sample.write().unwrap_or_else(PoisonError::into_inner);
            let mut rows = Vec::with_capacity(news.came.len());
            for row in news.came {
                let vector = floats(&row.vector);
                sample.put(number(row.row)?, vector.clone());
                rows.push(Row {
                    row: row.row,
                    event_id: row.event_id,
                    occurred_at: row.occurred_at,
                    metadata: row.metadata,
                    vector,
                });
            }
            for row in &news.went {
                sample.remove(number(*row)?);
            }
            drop(sample);
            store.apply(&rows, &news.went, &said(&covered)).map_err(|error| {
                // Whether it was committed is not known: the next look says.
                let _looked = store.refresh();
                self.noted(&error)
            })?;
            *last = (!news.more).then(Instant::now);
        }
        if erase {
            store.scrub().map_err(|e| self.noted(&e))?;
            store.apply(&[], &[], &said(&scrubbed)).map_err(|e| self.noted(&e))?;
        }
        Ok(if news.more { Caught::More } else { Caught::Up })
    }
}

fn open_or_make(
    engine: &Engine,
    dir: &Path,
    about: &BTreeMap<String, String>,
    settings: &Settings,
    may_write: bool,
) -> Outcome<Store> {
    let uri = dir.to_str().ok_or_else(|| Failure::new(Status::Config, "a data directory that is not UTF-8"))?;
    let make = || Store::create(engine, uri, about, settings.clone()).map_err(|e| failure(&e));
    match Store::open(engine, uri, about, settings.clone()) {
        Ok(store) => Ok(store),
        Err(StoreError::Missing { .. }) if may_write => make(),
        Err(StoreError::Unusable { uri, what }) if may_write => {
            tracing::warn!(uri, what, "vectors on disk are made again from the catalog");
            std::fs::remove_dir_all(dir)?;
            make()
        }
        Err(error) => Err(failure(&error).hint("the process that keeps this index makes it: ask again in a moment")),
    }
}

impl Vectors for Disk {
    fn catch_up(&self, reader: &Reader, head: &Head) -> Outcome<Caught> {
        if !self.shared.may_write() {
            if self.lags() {
                // Whoever may write makes it again: then it is another one, of which caches know nothing.
                let engine = Engine::new(CACHE_AGAIN);
                match open_or_make(&engine, &self.dir, &self.about, &self.settings, false) {
                    Ok(store) => self.store.store(Arc::new(store)),
                    Err(_) => return Ok(Caught::Behind),
                }
                self.spoilt.store(false, Ordering::Release);
            }
            let store = self.store.load_full();
            store.refresh().map_err(|e| self.noted(&e))?;
            let news = reader.news(self.shelf, covered(&store).upto, 1)?;
            let up = news.came.is_empty() && news.went.is_empty();
            return Ok(if up { Caught::Up } else { Caught::Behind });
        }
        if self.spoilt.load(Ordering::Acquire) {
            self.make_again()?;
        }
        self.take_in(&self.store.load_full(), reader, head)
    }

    fn lags(&self) -> bool {
        self.spoilt.load(Ordering::Acquire)
    }

    fn len(&self) -> u64 {
        self.store.load().len()
    }

    fn choose(&self, wanted: &Wanted) -> Outcome<Chosen> {
        let filter = Filter { metadata: wanted.metadata.clone(), since: wanted.since, until: wanted.until };
        self.again(|store| store.select(&filter)).map(Chosen::Selected)
    }

    fn near(&self, ask: &Ask<'_>) -> Outcome<(Vec<Near>, How)> {
        let among = match ask.among {
            None => None,
            Some(Chosen::Selected(selection)) => Some(selection.clone()),
            Some(Chosen::Rows(_)) => {
                return Err(Failure::new(Status::Failed, "rows were chosen by another index"));
            }
        };
        let probes = ask.ef.map(|ef| (ef * USUAL_PROBES).div_ceil(USUAL_EF));
        let query = Query { vector: ask.vector, k: ask.k, among, exact: ask.exact, probes };
        let answer = self.again(|store| store.nearest(&query))?;
        let how = if answer.plan == Plan::Exact { How::LanceExact } else { How::Lance };
        let near = |hit: &stillhouse_lance::Hit| Near { row: hit.row, similarity: 1.0 - hit.distance };
        Ok((answer.hits.iter().map(near).collect(), how))
    }

    fn similarity(&self, row: i64, vector: &[f32]) -> Option<f32> {
        let held = self.readers.pick().vectors(&[row]).ok()?.pop()??;
        let held = floats(&held);
        let length: f32 = held.iter().map(|x| x * x).sum();
        (length > 0.0 && length.is_finite()).then(|| cosine(vector, &held))
    }

    fn background(&self, vector: &[f32]) -> Vec<f32> {
        self.sample.read().unwrap_or_else(PoisonError::into_inner).near(vector)
    }

    fn maintain(&self) -> Outcome<bool> {
        if !self.shared.may_write() || self.spoilt.load(Ordering::Acquire) {
            return Ok(false);
        }
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.is_some_and(|failed| failed.elapsed() < FAILED_FOR) {
            return Ok(false);
        }
        let done = self.store.load().maintain();
        *failed = done.is_err().then(Instant::now);
        done.map(|done| !done.is_idle()).map_err(|e| self.noted(&e))
    }

    fn verify(&self, reader: &Reader) -> Outcome<Option<bool>> {
        let store = self.store.load_full();
        let upto = covered(&store).upto;
        let mut kept = Sum::default();
        store.each(|row| kept.add(&row)).map_err(|e| self.noted(&e))?;
        let (mut held, mut after) = (Sum::default(), (0, upto.1));
        loop {
            let news = reader.news(self.shelf, after, PAGE)?;
            if !news.went.is_empty() || (!news.more && news.upto.0 > upto.0 && news.came.iter().any(|r| r.row > upto.0))
            {
                return Err(Failure::new(Status::Failed, "the index moved on while it was compared")
                    .hint("stop what appends, or compare again"));
            }
            after = news.upto;
            for row in news.came {
                held.add(&Row {
                    row: row.row,
                    event_id: row.event_id,
                    occurred_at: row.occurred_at,
                    metadata: row.metadata,
                    vector: floats(&row.vector),
                });
            }
            if !news.more {
                return Ok(Some(kept == held));
            }
        }
    }
}

/// Rows as one number, whatever order they come in.
#[derive(Default, PartialEq, Eq)]
struct Sum {
    rows: u64,
    hashes: u128,
}

impl Sum {
    fn add(&mut self, row: &Row) {
        let mut hasher = Sha256::new();
        let said = serde_json::json!([row.row, row.event_id, row.occurred_at, row.metadata]);
        hasher.update(said.to_string());
        let length: f32 = row.vector.iter().map(|x| x * x).sum();
        if length > 0.0 && length.is_finite() {
            row.vector.iter().for_each(|x| hasher.update(x.to_le_bytes()));
        }
        let hash = hasher.finalize();
        let first: [u8; 16] = std::array::from_fn(|at| hash[at]);
        self.hashes = self.hashes.wrapping_add(u128::from_le_bytes(first));
        self.rows += 1;
    }
}
