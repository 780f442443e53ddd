//! The embedders that URIs mean, behind one cache: in memory, and on disk for what takes longer to make than to read.

use crate::context::data_dir;
use crate::failure::{Failure, Outcome, Status};
use crate::settings::Settings;
use async_trait::async_trait;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use stillhouse_embedcache::{EmbedCache, Key, Opened};
use stillhouse_schemas::model::{Embedders, Embeddings, ModelError};
use stillhouse_sled::Shelf;

/// The cache of an instance, and the disk behind it.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The cache: `Arc::new(kept.cache.clone())` is the port.
    pub cache: EmbedCache,
    shelf: Option<Arc<Disk>>,
}

impl Kept {
    /// By the settings. Nothing is opened or asked yet.
    pub fn new(settings: &Settings) -> Self {
        let limit = settings.models.disk_cache_bytes;
        // A vector of what a person said is about that person, and no key seals it: an erasure could not reach it there.
        let shelf = (limit > 0 && !settings.privacy.seal).then(|| {
            let dir = data_dir(settings).join("cache");
            Arc::new(Disk { dir, limit, shelf: OnceLock::new() })
        });
        let models = settings.models.clone();
        let behind = shelf.clone().map(|shelf| shelf as Arc<dyn stillhouse_embedcache::Shelf>);
        let cache = EmbedCache::new(models.cache_bytes, behind, move |uri| {
            if let Some(lexical) = stillhouse_lexical::open(uri) {
                // It is made faster than read.
                return Ok(Opened { embedder: lexical?, worth_a_disk: false, may_change: false });
            }
            let embedder = crate::models::open_embedder(&models, uri).map_err(|failure| failure.message)?;
            Ok(Opened { embedder, worth_a_disk: true, may_change: true })
        });
        Self { cache, shelf }
    }

    /// Notices now, and not at the first text, that a URI names no model.
    pub fn check(&self, uri: &str) -> Outcome {
        self.cache.check(uri).map_err(|error| Failure::new(Status::Config, error.to_string()))
    }

    /// Values found on disk so far, bytes of the half that is being filled, and whether it works. Nothing if it was never
    /// needed.
    pub fn disk(&self) -> Option<(u64, u64, bool)> {
        Some(self.shelf.as_ref()?.shelf.get()?.as_ref()?.figures())
    }

    /// Writes what waits to be written: the end of a process.
    pub async fn close(&self) {
        let Some(disk) = self.shelf.clone() else { return };
        let closed = tokio::task::spawn_blocking(move || {
            if let Some(Some(shelf)) = disk.shelf.get() {
                shelf.close();
            }
        });
        let _ = closed.await;
    }
}

/// The disk, opened when it is first needed.
#[derive(Debug)]
struct Disk {
    dir: PathBuf,
    limit: u64,
    shelf: OnceLock<Option<Shelf>>,
}

impl Disk {
    fn shelf(&self) -> Option<&Shelf> {
        let open = || {
            let opened = crate::context::make_dir(&self.dir)
                .map_err(|failure| failure.message)
                .and_then(|dir| Shelf::open(&dir, self.limit).map_err(|error| error.to_string()));
            opened.map_err(|error| tracing::warn!(error, "vectors are not kept on disk; nothing else changes")).ok()
        };
        self.shelf.get_or_init(open).as_ref()
    }
}

impl stillhouse_embedcache::Shelf for Disk {
    fn get(&self, key: &Key) -> Option<Vec<u8>> {
        self.shelf()?.get(key)
    }

    fn put(&self, key: &Key, value: Vec<u8>) {
        // Looking there came first, and opened it.
        if let Some(Some(shelf)) = self.shelf.get() {
            shelf.put(key, value);
        }
    }
}

/// Embedders that ask nobody: those in this process.
#[derive(Debug)]
pub struct OnlyInProcess(pub EmbedCache);

#[async_trait]
impl Embedders for OnlyInProcess {
    async fn embed(&self, model: &str, texts: &[&str]) -> Result<Embeddings, ModelError> {
        if stillhouse_lexical::open(model).is_none() {
            return Err(ModelError::Never(format!("nobody is asked here, and {model} would be")));
        }
        self.0.embed(model, texts).await
    }
}
