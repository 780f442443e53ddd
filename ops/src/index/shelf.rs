//! One shelf as searches see it, wherever its vectors are.
//!
//! A shelf is all that a search opens, and what it may not see lies on other shelves: so whatever way vectors are kept,
//! those that a role may not see are never among what is compared.

use super::Readers;
use super::memory::Memory;
use crate::context::Context;
use crate::failure::Outcome;
use crate::settings::Kept;
use roaring::RoaringBitmap;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use stillhouse_catalog::{Filter, Head, Shelf};

/// Vectors that stand for all of them when it is measured how near a query is to what it has nothing to do with.
const SAMPLE: usize = 256;

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

/// How a shelf was looked at; of several shelves the last of these is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum How {
    /// There was nothing that the question may see.
    None,
    /// By words alone.
    Words,
    /// Every row was compared, in memory.
    Exact,
    /// Every row was compared, on disk.
    #[cfg_attr(not(feature = "lance"), expect(dead_code, reason = "nothing is on disk in a light binary"))]
    LanceExact,
    /// By way of a graph, in memory.
    Hnsw,
    /// By way of partitions, on disk.
    #[cfg_attr(not(feature = "lance"), expect(dead_code, reason = "nothing is on disk in a light binary"))]
    Lance,
}

impl How {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Words => "words",
            Self::Exact => "exact",
            Self::LanceExact => "lance_exact",
            Self::Hnsw => "hnsw",
            Self::Lance => "lance",
        }
    }
}

/// The rows of one shelf that are what is wanted.
pub(super) enum Chosen {
    /// These.
    Rows(Arc<RoaringBitmap>),
    /// Those that Lance found.
    #[cfg(feature = "lance")]
    Selected(Arc<stillhouse_lance::Selection>),
}

impl Chosen {
    /// For a search by words.
    pub(super) fn filter(&self) -> Filter {
        let rows: Arc<RoaringBitmap> = match self {
            Self::Rows(rows) => rows.clone(),
            #[cfg(feature = "lance")]
            Self::Selected(selection) => {
                Arc::new(selection.rows().iter().filter_map(|row| u32::try_from(*row).ok()).collect())
            }
        };
        Arc::new(move |row| u32::try_from(row).is_ok_and(|row| rows.contains(row)))
    }
}

/// What is asked of the vectors of a shelf.
pub(super) struct Ask<'a> {
    pub(super) vector: &'a [f32],
    pub(super) k: usize,
    /// None: all rows.
    pub(super) among: Option<&'a Chosen>,
    /// Every row is compared.
    pub(super) exact: bool,
    pub(super) ef: Option<usize>,
}

/// How far vectors are with what the catalog holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caught {
    /// There is more to take in.
    More,
    /// Another process takes it in, or it is put off for a moment.
    #[cfg_attr(not(feature = "lance"), expect(dead_code, reason = "what is in memory is never behind"))]
    Behind,
    /// Everything up to the head.
    Up,
}

/// The vectors of one shelf, wherever they are.
pub(super) trait Vectors: Send + Sync {
    /// Takes in some of what came and went in the catalog.
    fn catch_up(&self, reader: &stillhouse_catalog::Reader, head: &Head) -> Outcome<Caught>;

    /// Whether it must catch up though the catalog says nothing new.
    fn lags(&self) -> bool {
        false
    }

    /// Rows.
    fn len(&self) -> u64;

    /// The rows that are what is wanted.
    fn choose(&self, wanted: &Wanted) -> Outcome<Chosen>;

    /// The nearest rows, nearest first, and how they were found.
    fn near(&self, ask: &Ask<'_>) -> Outcome<(Vec<Near>, How)>;

    /// How near a row is, if it has a vector.
    fn similarity(&self, row: i64, vector: &[f32]) -> Option<f32>;

    /// How near rows are that were not asked for.
    fn background(&self, vector: &[f32]) -> Vec<f32>;

    /// Does some of what keeps searches fast. Whether it did anything.
    fn maintain(&self) -> Outcome<bool>;

    /// Writes what the next start opens, where that is not done anyway.
    fn dump(&self) -> Outcome {
        Ok(())
    }

    /// Whether this holds what the catalog holds, row by row; none: it is made of the catalog at each start.
    fn verify(&self, _reader: &stillhouse_catalog::Reader) -> Outcome<Option<bool>> {
        Ok(None)
    }
}

/// A shelf, searched while it grows.
pub(super) struct Held {
    pub(super) shelf: Shelf,
    pub(super) vectors: Box<dyn Vectors>,
}

impl Held {
    /// As the settings say.
    pub(super) fn open(
        context: &Context,
        shelf: Shelf,
        dir: &Path,
        readers: &Arc<Readers>,
        shared: &Arc<Shared>,
    ) -> Outcome<Self> {
        let search = &context.settings().search;
        let kept = match search.stores.get(&shelf.corpus).copied().unwrap_or(search.store) {
            Kept::Auto if shelf.rows > search.lance_above && cfg!(feature = "lance") => Kept::Lance,
            Kept::Auto => Kept::Memory,
            kept => kept,
        };
        let (in_memory, on_disk) = (dir.join("vectors").join(shelf.id.to_string()), dir.join("lance"));
        let vectors: Box<dyn Vectors> = match kept {
            Kept::Lance => {
                shared.remove(&in_memory);
                on_disk_of(&shelf, &on_disk, readers, shared)?
            }
            Kept::Memory | Kept::Auto => {
                shared.remove(&on_disk.join(shelf.id.to_string()));
                Box::new(Memory::open(&shelf, in_memory)?)
            }
        };
        Ok(Self { shelf, vectors })
    }

    /// The rows that are what is wanted; nothing: all are.
    pub(super) fn choose(&self, wanted: &Wanted) -> Outcome<Option<Chosen>> {
        if wanted.is_anything() { Ok(None) } else { self.vectors.choose(wanted).map(Some) }
    }

    pub(super) fn len(&self) -> u64 {
        self.vectors.len()
    }
}

#[cfg(feature = "lance")]
fn on_disk_of(shelf: &Shelf, dir: &Path, readers: &Arc<Readers>, shared: &Arc<Shared>) -> Outcome<Box<dyn Vectors>> {
    Ok(Box::new(super::disk::Disk::open(shelf, &dir.join(shelf.id.to_string()), readers, shared)?))
}

#[cfg(not(feature = "lance"))]
fn on_disk_of(_: &Shelf, _: &Path, _: &Arc<Readers>, _: &Arc<Shared>) -> Outcome<Box<dyn Vectors>> {
    use crate::failure::{Failure, Status};
    Err(Failure::new(Status::Config, "this binary was built without Lance, and `search.store` says `lance`").hint(
        "build it with: cargo build --release -p stillhouse (needs protoc; `make build` installs it), or set \
         search.store = \"memory\"",
    ))
}

/// What the shelves of one index share: the right to write what other processes read, and caches.
pub(super) struct Shared {
    lock: std::path::PathBuf,
    right: std::sync::Mutex<Option<std::fs::File>>,
    #[cfg(feature = "lance")]
    pub(super) engine: Arc<stillhouse_lance::Engine>,
}

impl Shared {
    pub(super) fn new(context: &Context, dir: &Path) -> Arc<Self> {
        #[cfg(not(feature = "lance"))]
        let _without_caches = context;
        Arc::new(Self {
            lock: dir.join("vectors.lock"),
            right: std::sync::Mutex::default(),
            #[cfg(feature = "lance")]
            engine: stillhouse_lance::Engine::new(context.settings().search.lance_cache_mb << 20),
        })
    }

    /// Whether this process may write: the first that asks, for as long as it lives.
    pub(super) fn may_write(&self) -> bool {
        let mut right = self.right.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if right.is_none() {
            let file = std::fs::File::options().create(true).append(true).open(&self.lock).ok();
            *right = file.filter(|file| file.try_lock().is_ok());
        }
        right.is_some()
    }

    /// Removes what a shelf that is now kept in another way has left.
    fn remove(&self, left: &Path) {
        if left.exists() && self.may_write() {
            let _gone = std::fs::remove_dir_all(left);
        }
    }
}

/// Some vectors of a shelf: those whose rows have the smallest hashes, so the same ones in whatever order they came.
#[derive(Default)]
pub(super) struct Sample(BTreeMap<(u64, u32), Vec<f32>>);

impl Sample {
    fn hash(row: u32) -> u64 {
        std::hash::BuildHasher::hash_one(&foldhash::quality::FixedState::default(), row)
    }

    /// The rows that would be in it, of all these.
    #[cfg(feature = "lance")]
    pub(super) fn rows(rows: impl FnOnce(&mut dyn FnMut(u32)) -> Outcome) -> Outcome<Vec<u32>> {
        let mut kept = std::collections::BTreeSet::new();
        rows(&mut |row| {
            kept.insert((Self::hash(row), row));
            if kept.len() > SAMPLE {
                kept.pop_last();
            }
        })?;
        Ok(kept.into_iter().map(|(_, row)| row).collect())
    }

    pub(super) fn put(&mut self, row: u32, vector: Vec<f32>) {
        self.0.insert((Self::hash(row), row), vector);
        while self.0.len() > SAMPLE {
            self.0.pop_last();
        }
    }

    pub(super) fn remove(&mut self, row: u32) {
        self.0.remove(&(Self::hash(row), row));
    }

    pub(super) fn near(&self, vector: &[f32]) -> Vec<f32> {
        self.0.values().map(|held| cosine(vector, held)).collect()
    }
}

/// The number of a row, as indexes keep it.
pub(super) fn number(row: i64) -> Outcome<u32> {
    u32::try_from(row).map_err(|_| {
        crate::failure::Failure::new(
            crate::failure::Status::Failed,
            "an index holds at most 4294967295 rows in its life",
        )
    })
}

/// A vector as the catalog keeps it.
pub(super) fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

pub(super) fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let lengths = (dot(a, a) * dot(b, b)).sqrt();
    if lengths > 0.0 { dot(a, b) / lengths } else { 0.0 }
}
