//! A model that was opened, and what stands behind its name.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Acquire, Ordering::Release};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use stillhouse_schemas::model::{Embedder, ModelError};

/// What stands behind a name is asked again so often while it is used.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// An embedder, and what is known of it beside.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The embedder.
    pub embedder: Arc<dyn Embedder>,
    /// Reading a vector from a disk is faster than making it.
    pub worth_a_disk: bool,
    /// What stands behind its name may change while we run.
    pub may_change: bool,
}

#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) opened: Opened,
    /// Grows when what stands behind the name has changed.
    epoch: AtomicU64,
    version: Mutex<Option<(Arc<str>, Instant)>>,
    first: tokio::sync::Mutex<()>,
    looking: AtomicBool,
    look_every: Duration,
}

impl Known {
    pub(crate) fn new(opened: Opened, look_every: Option<Duration>) -> Arc<Self> {
        Arc::new(Self {
            opened,
            epoch: AtomicU64::new(0),
            version: Mutex::default(),
            first: tokio::sync::Mutex::default(),
            looking: AtomicBool::new(false),
            look_every: look_every.unwrap_or(LOOK_EVERY),
        })
    }

    fn told(&self) -> Option<(Arc<str>, Instant)> {
        self.version.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes note of what stands behind the name.
    pub(crate) fn note(&self, version: &str) -> Arc<str> {
        let mut told = self.version.lock().unwrap_or_else(PoisonError::into_inner);
        let version: Arc<str> = match told.as_ref() {
            Some((known, _)) if **known == *version => known.clone(),
            before => {
                if before.is_some() {
                    self.epoch.fetch_add(1, Release);
                }
                version.into()
            }
        };
        *told = Some((version.clone(), Instant::now()));
        version
    }

    /// What stands behind the name, as far as it is known; asked for where it is not.
    pub(crate) async fn version(self: &Arc<Self>) -> Result<Arc<str>, ModelError> {
        if let Some((version, at)) = self.told() {
            self.look_again(at);
            return Ok(version);
        }
        let _first = self.first.lock().await;
        if let Some((version, _)) = self.told() {
            return Ok(version);
        }
        Ok(self.note(&self.opened.embedder.version().await?))
    }

    /// Asks again, beside whoever wants to know, if it was long ago.
    fn look_again(self: &Arc<Self>, at: Instant) {
        if !self.opened.may_change || at.elapsed() < self.look_every || self.looking.swap(true, Acquire) {
            return;
        }
        let this = self.clone();
        tokio::spawn(async move {
            match this.opened.embedder.version().await {
                Ok(version) => {
                    this.note(&version);
                }
                Err(error) => {
                    let model = this.opened.embedder.name();
                    tracing::debug!(model, %error, "whether the model is still the same is not known");
                    // What is known stays, and is asked for again as long after.
                    if let Some((_, at)) = &mut *this.version.lock().unwrap_or_else(PoisonError::into_inner) {
                        *at = Instant::now();
                    }
                }
            }
            this.looking.store(false, Release);
        });
    }
}

/// That a model is what it was.
#[derive(Clone, Debug)]
pub struct Fresh {
    known: Arc<Known>,
    epoch: u64,
}

impl Fresh {
    pub(crate) fn of(known: &Arc<Known>) -> Self {
        Self { known: known.clone(), epoch: known.epoch.load(Acquire) }
    }

    /// Whether it still is, as far as is known.
    pub fn is_fresh(&self) -> bool {
        if self.known.opened.may_change
            && let Some((_, at)) = self.known.told()
        {
            self.known.look_again(at);
        }
        self.known.epoch.load(Acquire) == self.epoch
    }
}
