//! Embedders by URI, behind what they made before.

use crate::flights::{Brought, Flight, Flights};
use crate::known::{Fresh, Known, Opened};
use crate::{Key, Shelf};
use async_trait::async_trait;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use stillhouse_schemas::model::{Embedders, Embeddings, ModelError};

/// Models that are kept open.
const MOST_MODELS: usize = 256;

type Opener = dyn Fn(&str) -> Result<Opened, String> + Send + Sync;

#[derive(Clone, Debug)]
struct Bytewise;

impl Weighter<Key, Arc<[f32]>> for Bytewise {
    fn weight(&self, _: &Key, vector: &Arc<[f32]>) -> u64 {
        // The numbers, the key, and what the cache keeps of both.
        (size_of_val::<[f32]>(vector) + 112) as u64
    }
}

/// What happened so far, and what is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Texts whose vector was in memory.
    pub hits: u64,
    /// Texts whose vector was on the shelf.
    pub shelf_hits: u64,
    /// Texts whose vector somebody else was waiting for already.
    pub joined: u64,
    /// Texts that a model was asked for.
    pub misses: u64,
    /// Calls of models.
    pub calls: u64,
    /// Those that failed.
    pub failed: u64,
    /// Vectors in memory.
    pub vectors: u64,
    /// Bytes of memory.
    pub bytes: u64,
}

#[derive(Debug, Default)]
struct Counts {
    hits: AtomicU64,
    shelf_hits: AtomicU64,
    joined: AtomicU64,
    misses: AtomicU64,
    calls: AtomicU64,
    failed: AtomicU64,
}

fn add(count: &AtomicU64, more: usize) {
    count.fetch_add(more as u64, Relaxed);
}

/// The cache. Cheap to clone.
#[derive(Clone, Debug)]
pub struct EmbedCache(Arc<Inner>);

struct Inner {
    open: Box<Opener>,
    look_every: Option<Duration>,
    models: Mutex<HashMap<String, Arc<Known>>>,
    memory: Cache<Key, Arc<[f32]>, Bytewise>,
    shelf: Option<Arc<dyn Shelf>>,
    flights: Arc<Flights>,
    counts: Counts,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbedCache").field("memory", &self.memory.weight()).finish_non_exhaustive()
    }
}

impl EmbedCache {
    /// Keeps so many bytes in memory, and more on a shelf if there is one. `open` makes the embedder of a URI, or says why
    /// there is none.
    pub fn new(
        bytes: u64,
        shelf: Option<Arc<dyn Shelf>>,
        open: impl Fn(&str) -> Result<Opened, String> + Send + Sync + 'static,
    ) -> Self {
        // Vectors of 384 numbers.
        let expected = usize::try_from(bytes / 1_648).unwrap_or(0).max(8);
        Self(Arc::new(Inner {
            open: Box::new(open),
            look_every: None,
            models: Mutex::default(),
            memory: Cache::with_weighter(expected, bytes, Bytewise),
            shelf,
            flights: Arc::default(),
            counts: Counts::default(),
        }))
    }

    /// Asks what stands behind a model's name so often. For tests.
    #[must_use]
    pub fn looking_every(mut self, time: Duration) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.look_every = Some(time);
        }
        self
    }

    /// What happened so far.
    pub fn figures(&self) -> Figures {
        let Inner { counts, memory, .. } = &*self.0;
        Figures {
            hits: counts.hits.load(Relaxed),
            shelf_hits: counts.shelf_hits.load(Relaxed),
            joined: counts.joined.load(Relaxed),
            misses: counts.misses.load(Relaxed),
            calls: counts.calls.load(Relaxed),
            failed: counts.failed.load(Relaxed),
            vectors: memory.len() as u64,
            bytes: memory.weight(),
        }
    }

    /// Opens the model of a URI, if it is not open: a URI that names none is noticed here and not at the first text.
    pub fn check(&self, model: &str) -> Result<(), ModelError> {
        self.0.known(model).map(drop)
    }

    /// That the model of a URI is what it is now.
    pub fn fresh(&self, model: &str) -> Result<Fresh, ModelError> {
        Ok(Fresh::of(&self.0.known(model)?))
    }
}

impl Inner {
    fn known(&self, model: &str) -> Result<Arc<Known>, ModelError> {
        let mut models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = models.get(model) {
            return Ok(known.clone());
        }
        if models.len() >= MOST_MODELS {
            models.retain(|_, known| Arc::strong_count(known) > 1);
        }
        let known = Known::new((self.open)(model).map_err(ModelError::Never)?, self.look_every);
        models.insert(model.to_owned(), known.clone());
        Ok(known)
    }

    /// Takes from the shelf what is there, into memory too.
    async fn take(&self, keys: Vec<Key>) -> HashMap<Key, Arc<[f32]>> {
        let Some(shelf) = self.shelf.clone() else { return HashMap::new() };
        let looked = tokio::task::spawn_blocking(move || {
            let found = |key: Key| Some((key, floats(&shelf.get(&key)?)?));
            keys.into_iter().filter_map(found).collect::<HashMap<_, _>>()
        });
        let found = looked.await.unwrap_or_default();
        for (key, vector) in &found {
            self.memory.insert(*key, vector.clone());
        }
        found
    }

    /// Makes a call, keeps what it brings, and tells those that wait.
    async fn fly(&self, known: Arc<Known>, model: String, version: Arc<str>, texts: Vec<String>, flight: Flight) {
        add(&self.counts.calls, 1);
        add(&self.counts.misses, texts.len());
        let given: Vec<&str> = texts.iter().map(String::as_str).collect();
        let mut answer = known.opened.embedder.embed(&given).await;
        if let Ok(made) = &answer
            && made.vectors.len() != texts.len()
        {
            answer = Err(ModelError::Unknown(format!("{} vectors for {} texts", made.vectors.len(), texts.len())));
        }
        let brought: Brought = answer.map(|made| {
            let same = *made.version == *version;
            if !same {
                known.note(&made.version);
            }
            for ((vector, text), asked) in made.vectors.iter().zip(&texts).zip(&flight.keys) {
                let key = if same { *asked } else { key(&model, &made.version, text) };
                self.memory.insert(key, vector.clone());
                if let Some(shelf) = self.shelf.as_ref().filter(|_| known.opened.worth_a_disk) {
                    shelf.put(&key, bytes(vector));
                }
            }
            Arc::new(made.vectors)
        });
        if brought.is_err() {
            add(&self.counts.failed, 1);
        }
        flight.land(brought);
    }
}

#[async_trait]
impl Embedders for EmbedCache {
    async fn embed(&self, model: &str, texts: &[&str]) -> Result<Embeddings, ModelError> {
        let inner = &self.0;
        let known = inner.known(model)?;
        let version = known.version().await?;
        let keys: Vec<Key> = texts.iter().map(|text| key(model, &version, text)).collect();
        let mut found: Vec<Option<Arc<[f32]>>> = keys.iter().map(|key| inner.memory.get(key)).collect();
        add(&inner.counts.hits, found.iter().flatten().count());
        let mut missing: Vec<usize> = (0..keys.len()).filter(|place| found[*place].is_none()).collect();
        if !missing.is_empty() && known.opened.worth_a_disk {
            let shelved = inner.take(missing.iter().map(|place| keys[*place]).collect()).await;
            missing.retain(|place| {
                found[*place] = shelved.get(&keys[*place]).cloned();
                found[*place].is_none()
            });
            add(&inner.counts.shelf_hits, shelved.len());
        }
        if !missing.is_empty() {
            let wanted: Vec<Key> = missing.iter().map(|place| keys[*place]).collect();
            let (seats, flight) = inner.flights.board(&wanted, |key| inner.memory.peek(key));
            let asked = flight.as_ref().map_or(0, |flight| flight.keys.len());
            add(&inner.counts.joined, wanted.len() - asked);
            if let Some(flight) = flight {
                let place_of: HashMap<&Key, usize> = wanted.iter().zip(missing.iter().copied()).collect();
                let asked = flight.keys.iter().filter_map(|key| place_of.get(key));
                let texts: Vec<String> = asked.map(|place| texts[*place].to_owned()).collect();
                let (cache, known, model, version) = (self.clone(), known.clone(), model.to_owned(), version.clone());
                // By itself: it goes on when whoever asked goes away, because others may be waiting for it.
                tokio::spawn(async move { cache.0.fly(known, model, version, texts, flight).await });
            }
            for (place, seat) in missing.into_iter().zip(seats) {
                found[place] = Some(match seat {
                    Ok(vector) => vector,
                    Err(seat) => seat.landed().await?,
                });
            }
        }
        let embedder = &known.opened.embedder;
        Ok(Embeddings {
            provider: embedder.provider().to_owned(),
            model: embedder.name().to_owned(),
            version: version.as_ref().to_owned(),
            vectors: found.into_iter().flatten().collect(),
            tokens: None,
        })
    }
}

/// What a vector is kept under.
fn key(model: &str, version: &str, text: &str) -> Key {
    let mut hasher = blake3::Hasher::new();
    for part in [model, version, text] {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    *hasher.finalize().as_bytes()
}

/// Little-endian, as on the shelf.
fn bytes(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn floats(bytes: &[u8]) -> Option<Arc<[f32]>> {
    let (floats, rest) = bytes.as_chunks::<4>();
    let vector: Arc<[f32]> = floats.iter().map(|float| f32::from_le_bytes(*float)).collect();
    (rest.is_empty() && !vector.is_empty() && vector.iter().all(|number| number.is_finite())).then_some(vector)
}

#[cfg(test)]
mod tests;
