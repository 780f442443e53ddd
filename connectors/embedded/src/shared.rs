//! What the threads of one open journal share: files, readers' connections, the catalog, the wake-up.

use crate::fault::{Fault, Outcome, Stage, explain};
use crate::heads::Heads;
use crate::ids::Index;
use crate::news::News;
use crate::options::Options;
use crate::schema::{Catalog, State};
use crate::store::{Files, Opened, Role, connect};
use rusqlite::Connection;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::thread::Thread;
use stillhouse_streams::{Error, ErrorKind, Result};

/// More idle connections than this are closed.
const IDLE_READERS: usize = 8;

/// See the module.
pub(crate) struct Shared {
    pub(crate) files: Files,
    pub(crate) options: Options,
    pub(crate) journal: [u8; 16],
    pub(crate) heads: Heads,
    /// What sessions wait for.
    pub(crate) news: News,
    /// Sessions that wait for it: only then are other processes' commits looked for.
    pub(crate) waiting: AtomicUsize,
    pub(crate) closed: AtomicBool,
    /// Commits were made that the head file does not know; only when they are not synced one by one.
    pub(crate) lagging: AtomicBool,
    /// The background thread, to be woken when there is something for it.
    pub(crate) keeper: OnceLock<Thread>,
    /// Why nothing is written any more.
    pub(crate) failed: OnceLock<String>,
    /// For who looks for ids and is not the writer. Locked before a read transaction begins, so that it never goes
    /// back in time.
    pub(crate) ids: Mutex<Index>,
    catalog: RwLock<Arc<Catalog>>,
    readers: Mutex<Vec<Connection>>,
}

/// One read transaction: everything in it is of one moment.
pub(crate) struct View<'c> {
    pub(crate) conn: &'c Connection,
    pub(crate) state: State,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) skip_crc: bool,
}

impl Shared {
    pub(crate) fn new(opened: Opened, options: Options) -> Self {
        Self {
            files: opened.files,
            journal: opened.journal,
            heads: opened.heads,
            options,
            news: News::new(),
            waiting: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            lagging: AtomicBool::new(false),
            keeper: OnceLock::new(),
            failed: OnceLock::new(),
            ids: Mutex::default(),
            // No journal has this version, so the first look reads it.
            catalog: RwLock::new(Arc::new(Catalog { version: -1, ..Catalog::default() })),
            readers: Mutex::new(Vec::new()),
        }
    }

    /// The catalog that was read last.
    pub(crate) fn known_catalog(&self) -> Arc<Catalog> {
        self.catalog.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The catalog of this state, from memory if it did not change.
    pub(crate) fn catalog(&self, conn: &Connection, state: &State) -> Outcome<Arc<Catalog>> {
        let known = self.known_catalog();
        if known.version == state.version && known.seal == state.catalog {
            return Ok(known);
        }
        let fresh = Catalog::load(conn, state)?;
        let mut known = self.catalog.write().unwrap_or_else(PoisonError::into_inner);
        if known.version < fresh.version {
            *known = fresh.clone();
        }
        Ok(fresh)
    }

    /// Runs a read transaction. It blocks: see [`Shared::reading`].
    pub(crate) fn read<T>(&self, work: impl FnOnce(&View<'_>) -> Outcome<T>) -> Result<T> {
        let conn = self.reader()?;
        let outcome = self.view(&conn, work);
        match outcome {
            Ok(value) => {
                let mut idle = self.idle();
                if idle.len() < IDLE_READERS && !self.closed.load(Ordering::Acquire) {
                    idle.push(conn);
                }
                Ok(value)
            }
            Err(fault) => Err(explain(&conn, Stage::Read, fault)),
        }
    }

    fn view<T>(&self, conn: &Connection, work: impl FnOnce(&View<'_>) -> Outcome<T>) -> Outcome<T> {
        conn.prepare_cached("BEGIN")?.execute([])?;
        let outcome = State::load(conn).and_then(|state| {
            let catalog = self.catalog(conn, &state)?;
            work(&View { conn, state, catalog, skip_crc: self.options.faults.skip_crc })
        });
        let end = conn.prepare_cached("ROLLBACK")?.execute([]);
        let value = outcome?;
        end?;
        Ok(value)
    }

    /// Runs a read transaction where blocking is fine.
    pub(crate) async fn reading<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&View<'_>) -> Outcome<T> + Send + 'static,
    ) -> Result<T> {
        let shared = self.clone();
        self.blocking(move || shared.read(work)).await
    }

    /// Runs something where blocking is fine.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let task = tokio::task::spawn_blocking(work);
        task.await.map_err(|e| Error::new(ErrorKind::Closed, format!("a reader did not end: {e}")))?
    }

    fn reader(&self) -> Result<Connection> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Closed, "the journal was closed"));
        }
        if let Some(conn) = self.idle().pop() {
            return Ok(conn);
        }
        connect(&self.files, Role::Reader, &self.options)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn close_readers(&self) {
        self.closed.store(true, Ordering::Release);
        self.idle().clear();
    }

    /// Wakes the background thread.
    pub(crate) fn nudge(&self) {
        if let Some(keeper) = self.keeper.get() {
            keeper.unpark();
        }
    }

    /// Refuses writing when it was closed, failed, or was opened for reading.
    pub(crate) fn check_writable(&self) -> Result<()> {
        if let Some(why) = self.failed.get() {
            return Err(Error::new(ErrorKind::Closed, why.clone()));
        }
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Closed, "the journal was closed"));
        }
        if self.options.read_only {
            return Err(Error::new(ErrorKind::Invalid, "the journal was opened for reading only"));
        }
        Ok(())
    }
}

impl View<'_> {
    /// A refusal in the shape of this module's outcomes.
    pub(crate) fn refuse<T>(error: Error) -> Outcome<T> {
        Err(Fault::Refused(error))
    }
}
