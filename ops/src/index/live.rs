//! An index that follows its catalog: what is in memory from a dump where there is one, what is on disk from its last
//! commit, caught up from there.

use super::shelf::{Caught, Held, Shared};
use super::{Readers, folder};
use crate::context::Context;
use crate::failure::Outcome;
use arc_swap::ArcSwap;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use stillhouse_catalog::{Head, Progress, Reader};
use tokio::sync::watch;

/// Questions to the catalog at a time.
const READERS: usize = 4;
/// How often the catalog is looked at.
const EVERY: Duration = Duration::from_millis(50);
/// How often a dump is written, if something changed.
const DUMP_EVERY: Duration = Duration::from_secs(300);
/// How long one that has just been opened waits for what another process writes.
const WAIT_FOR_OTHERS: Duration = Duration::from_secs(5);

/// The index of one generation.
pub struct Live {
    context: Context,
    generation: String,
    dir: PathBuf,
    readers: Arc<Readers>,
    shared: Arc<Shared>,
    pub(super) shelves: ArcSwap<BTreeMap<i64, Arc<Held>>>,
    /// What of the catalog was taken in.
    state: Mutex<State>,
    progress: watch::Sender<Progress>,
    stop: AtomicBool,
}

#[derive(Default)]
struct State {
    head: Option<Head>,
    /// Something is not there yet, though the catalog says nothing new.
    behind: bool,
}

impl Live {
    /// Opens the index of a generation and takes in what its catalog holds.
    pub fn open(context: &Context, generation: &str) -> Outcome<Arc<Self>> {
        let dir = folder(context, generation);
        let live = Self {
            context: context.clone(),
            generation: generation.to_owned(),
            readers: Arc::new(Readers::open(&dir, READERS)?),
            shared: Shared::new(context, &dir),
            dir,
            shelves: ArcSwap::default(),
            state: Mutex::default(),
            progress: watch::Sender::new(Vec::new()),
            stop: AtomicBool::new(false),
        };
        let opened = Instant::now();
        while live.refresh()? || (live.is_behind() && opened.elapsed() < WAIT_FOR_OTHERS) {
            if live.is_behind() {
                std::thread::sleep(EVERY);
            }
        }
        Ok(Arc::new(live))
    }

    fn is_behind(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).behind
    }

    /// The generation of the embedder.
    pub fn generation(&self) -> &str {
        &self.generation
    }

    /// One of the readers of the catalog: each answers one question at a time.
    pub(super) fn reader(&self) -> &Reader {
        self.readers.pick()
    }

    /// How far the log has been taken in.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Takes in some of what is new. Whether there is more.
    pub fn refresh(&self) -> Outcome<bool> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // Before it is taken in: what is said to be covered is.
        let head = self.reader().head()?;
        let lags = self.shelves.load().values().any(|held| held.vectors.lags());
        let known = state.head.as_ref();
        let news = known.is_none_or(|known| (known.upto, known.erased) != (head.upto, head.erased));
        if news {
            self.open_shelves()?;
        }
        let (mut more, mut behind) = (false, false);
        if news || lags || state.behind {
            for held in self.shelves.load().values() {
                match held.vectors.catch_up(self.reader(), &head)? {
                    Caught::More => more = true,
                    Caught::Behind => behind = true,
                    Caught::Up => {}
                }
            }
        }
        if more {
            return Ok(true);
        }
        state.behind = behind;
        if !behind {
            self.progress.send_if_modified(|progress| {
                let changed = *progress != head.progress;
                progress.clone_from(&head.progress);
                changed
            });
        }
        state.head = Some(head);
        Ok(false)
    }

    /// Opens the shelves that are new.
    fn open_shelves(&self) -> Outcome {
        let known = self.shelves.load();
        let mut shelves = BTreeMap::clone(&known);
        for shelf in self.reader().shelves()? {
            if let Entry::Vacant(place) = shelves.entry(shelf.id) {
                let held = Held::open(&self.context, shelf, &self.dir, &self.readers, &self.shared)?;
                place.insert(Arc::new(held));
            }
        }
        if shelves.len() > known.len() {
            self.shelves.store(Arc::new(shelves));
        }
        Ok(())
    }

    /// Writes what the next start opens, so that it need not put every vector in again.
    pub fn dump(&self) -> Outcome {
        let _still = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.shelves.load().values().try_for_each(|held| held.vectors.dump())
    }

    /// The corpora that are kept on disk, row by row beside what the catalog holds; those in memory are made of it.
    pub fn verify(&self) -> Outcome<Vec<(String, u64, bool)>> {
        let _still = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut verified = Vec::new();
        for held in self.shelves.load().values() {
            if let Some(same) = held.vectors.verify(self.reader())? {
                verified.push((held.shelf.corpus.clone(), held.len(), same));
            }
        }
        Ok(verified)
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
                        idle &= !held.vectors.maintain()?;
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
