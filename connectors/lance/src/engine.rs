//! What stores share: threads that read and write, and caches with a limit.

use crate::fault::StoreError;
use futures::FutureExt;
use lance::session::Session;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock, mpsc};
use tokio::runtime::{Builder, Runtime};

/// Threads that Lance's reads and writes run on, beside those that it begins itself.
const THREADS: usize = 2;
/// Of the memory for caches, one part for what is known of files; the others are for parts of indexes.
const OF_FILES: usize = 3;

static RUNTIME: OnceLock<std::io::Result<Runtime>> = OnceLock::new();

/// Stores of one engine share its caches.
#[derive(Debug)]
pub struct Engine {
    pub(crate) session: Arc<Session>,
}

impl Engine {
    /// With so many bytes of caches for all its stores together.
    pub fn new(memory: usize) -> Arc<Self> {
        let files = memory / OF_FILES;
        Arc::new(Self { session: Arc::new(Session::new(memory - files, files, Arc::default())) })
    }
}

/// Runs work of Lance's and waits for it, on whatever thread that is. What panics there (Lance does on some damaged files)
/// is an error here.
pub(crate) fn run<T: Send + 'static>(
    uri: &str,
    work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    let runtime = RUNTIME
        .get_or_init(|| Builder::new_multi_thread().worker_threads(THREADS).thread_name("lance").enable_all().build());
    let runtime = runtime.as_ref().map_err(|e| StoreError::failed(uri, format!("cannot start threads: {e}")))?;
    let (sender, receiver) = mpsc::sync_channel(1);
    runtime.spawn(async move {
        let _waits = sender.send(AssertUnwindSafe(work).catch_unwind().await);
    });
    match receiver.recv() {
        Ok(Ok(done)) => done,
        Ok(Err(panic)) => {
            let said = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
            let said = said.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            Err(StoreError::unusable(uri, format!("it cannot be read: {said}")))
        }
        Err(_) => Err(StoreError::failed(uri, "the work was given up")),
    }
}
