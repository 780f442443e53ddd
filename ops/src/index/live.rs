//! An index in memory that follows its catalog: opened from a dump where there is one, caught up from there.

use super::folder;
use super::shelf::Held;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use arc_swap::ArcSwap;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use stillhouse_catalog::{Progress, Reader};
use tokio::sync::watch;

/// Rows that are taken in at a time.
const PAGE: usize = 2_000;
/// Questions to the catalog at a time.
const READERS: usize = 4;
/// How often the catalog is looked at.
const EVERY: Duration = Duration::from_millis(50);
/// How often a dump is written, if something changed.
const DUMP_EVERY: Duration = Duration::from_secs(300);

/// The index of one generation.
pub struct Live {
    generation: String,
    dir: PathBuf,
    readers: Vec<Reader>,
    turn: AtomicUsize,
    pub(super) shelves: ArcSwap<BTreeMap<i64, Arc<Held>>>,
    /// What of the catalog was taken in, and how far that is in the log.
    state: Mutex<State>,
    progress: watch::Sender<Progress>,
    stop: AtomicBool,
}

#[derive(Default)]
struct State {
    upto: (i64, i64),
    dumped: (i64, i64),
}

impl Live {
    /// Opens the index of a generation and takes in what its catalog holds.
    pub fn open(context: &Context, generation: &str) -> Outcome<Arc<Self>> {
        let dir = folder(context, generation);
        let live = Self {
            generation: generation.to_owned(),
            readers: (0..READERS).map(|_| Reader::open(&dir)).collect::<Result<_, _>>()?,
            turn: AtomicUsize::new(0),
            dir,
            shelves: ArcSwap::default(),
            state: Mutex::default(),
            progress: watch::Sender::new(Vec::new()),
            stop: AtomicBool::new(false),
        };
        while live.refresh()? {}
        Ok(Arc::new(live))
    }

    /// The generation of the embedder.
    pub fn generation(&self) -> &str {
        &self.generation
    }

    /// One of the readers of the catalog: each answers one question at a time.
    pub(super) fn reader(&self) -> &Reader {
        &self.readers[self.turn.fetch_add(1, Ordering::Relaxed) % self.readers.len()]
    }

    /// How far the log has been taken in.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Takes in some of what is new. Whether there is more.
    pub fn refresh(&self) -> Outcome<bool> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let news = self.reader().news(state.upto, PAGE)?;
        let known = self.shelves.load();
        let new = news.came.iter().any(|row| !known.contains_key(&row.shelf));
        if new {
            let mut shelves = BTreeMap::clone(&known);
            for shelf in self.reader().shelves()? {
                if let Entry::Vacant(place) = shelves.entry(shelf.id) {
                    let dir = self.place(shelf.id);
                    place.insert(Arc::new(Held::open(shelf, &dir)?));
                }
            }
            self.shelves.store(Arc::new(shelves));
        }
        let shelves = self.shelves.load();
        let more = news.came.len() == PAGE;
        for row in news.came {
            if let Some(held) = shelves.get(&row.shelf) {
                held.put(row)?;
            }
        }
        for (shelf, row) in news.went {
            if let Some(held) = shelves.get(&shelf) {
                held.remove(row);
            }
        }
        state.upto = news.upto;
        if !more {
            self.progress.send_if_modified(|progress| {
                let changed = *progress != news.progress;
                *progress = news.progress;
                changed
            });
        }
        Ok(more)
    }

    fn place(&self, shelf: i64) -> PathBuf {
        self.dir.join("vectors").join(shelf.to_string())
    }

    /// Writes what the next start opens, so that it need not put every vector in again.
    pub fn dump(&self) -> Outcome {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.dumped == state.upto {
            return Ok(());
        }
        for (id, held) in self.shelves.load().iter() {
            held.dump(&self.place(*id), state.upto)?;
        }
        state.dumped = state.upto;
        Ok(())
    }

    /// Follows the catalog until nobody holds this any more, or [`Live::end`].
    fn follow(live: &std::sync::Weak<Self>) {
        let mut last = Instant::now();
        loop {
            {
                let Some(live) = live.upgrade() else { return };
                if live.stop.load(Ordering::Acquire) {
                    return;
                }
                let worked = live.refresh().and_then(|more| {
                    let mut idle = true;
                    for held in live.shelves.load().values() {
                        let kept = held
                            .index
                            .maintain()
                            .map_err(|e| Failure::new(crate::failure::Status::Failed, e.to_string()))?;
                        idle &= kept.is_idle();
                    }
                    Ok(more || !idle)
                });
                match worked {
                    Ok(true) => continue,
                    Ok(false) => {}
                    Err(failure) => tracing::warn!(error = failure.message, "an index does not follow its catalog"),
                }
                if last.elapsed() > DUMP_EVERY {
                    last = Instant::now();
                    if let Err(failure) = live.dump() {
                        tracing::warn!(error = failure.message, "an index could not be dumped");
                    }
                }
            }
            std::thread::sleep(EVERY);
        }
    }

    /// Follows the catalog on a thread of its own.
    pub fn keep(self: &Arc<Self>) {
        let weak = Arc::downgrade(self);
        let spawned = std::thread::Builder::new().name("index".into()).spawn(move || Self::follow(&weak));
        if let Err(error) = spawned {
            tracing::error!(%error, "an index does not follow its catalog");
        }
    }

    /// Stops following.
    pub fn end(&self) {
        self.stop.store(true, Ordering::Release);
    }

    /// Rows that can be found.
    pub fn rows(&self) -> u64 {
        self.shelves.load().values().map(|held| held.len()).sum()
    }

    /// Rows of one corpus, on all its shelves.
    pub fn rows_of(&self, corpus: &str) -> u64 {
        self.shelves.load().values().filter(|held| held.shelf.corpus == corpus).map(|held| held.len()).sum()
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}
