//! The roster: the topic of that name, followed; what files change in it, appended.
//!
//! [`LoggedRosters`] is what validators are handed ([`Rosters`]). The newest roster is swapped when a load has ended on the
//! topic; who asks meanwhile gets the one before, and nobody waits. An older version is made of the topic again when it is
//! asked for, and the last few that were asked for are kept.
//!
//! Deliberately absent: a roster that the topic does not tell. A file is read, compared with what the topic says, and what
//! differs is appended; from there everyone takes it, this process too.

use crate::context::Context;
use crate::events::Log;
use crate::failure::{Failure, Outcome, Status};
use crate::generations::said;
use arc_swap::ArcSwapOption;
use std::collections::VecDeque;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use stillhouse_processors::wire;
use stillhouse_roster::{Fold, LoadError, Loaded, Step, Table, changes, closing};
use stillhouse_schemas::roster::{Roster, Rosters};
use stillhouse_schemas::{Codec, Micros, Payload, ids};
use stillhouse_streams::Journal;
use stillhouse_streams::generation::Names;
use stillhouse_streams::runner::ends;

/// Logical name of the topic.
pub const ROSTER: &str = "roster";
/// Events of a page: some hundred kilobytes each.
const PAGE: usize = 16;
/// Events of an append.
const BATCH: usize = 8;
/// Older versions that are kept when they were asked for.
const KEPT: usize = 2;

/// The rosters that the topic tells.
pub struct LoggedRosters {
    journal: Arc<dyn Journal>,
    codec: Codec,
    topic: String,
    newest: ArcSwapOption<Table>,
    /// The fold, and the offset that it goes on from.
    followed: tokio::sync::Mutex<(Fold, u64)>,
    /// Which version stood from when on, in the order of the topic, for those who do not wait for `followed`.
    versions: Mutex<Vec<(Micros, String)>>,
    older: Mutex<VecDeque<Arc<Table>>>,
}

impl fmt::Debug for LoggedRosters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoggedRosters").field("topic", &self.topic).field("newest", &self.newest).finish()
    }
}

/// What a load did.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// The version that stands now.
    pub version: String,
    /// The one before; empty: none.
    pub before: String,
    /// Workers now.
    pub workers: usize,
    /// Workers that were not there before.
    pub added: i64,
    /// Workers of whom something else is said now.
    pub changed: i64,
    /// Workers that are there no more.
    pub removed: i64,
    /// Events that were appended: none when nothing had changed.
    pub events: usize,
}

impl LoggedRosters {
    /// Of the topic of this instance. Nothing is read before [`LoggedRosters::catch_up`].
    pub fn new(journal: Arc<dyn Journal>, codec: Codec, names: &Names) -> Self {
        Self {
            journal,
            codec,
            topic: names.topic(ROSTER),
            newest: ArcSwapOption::empty(),
            followed: tokio::sync::Mutex::default(),
            versions: Mutex::default(),
            older: Mutex::default(),
        }
    }

    fn log<'a>(&'a self, names: &'a Names) -> Log<'a> {
        Log { journal: self.journal.as_ref(), codec: &self.codec, names }
    }

    /// Reads what the topic says by now.
    pub async fn catch_up(&self) -> Outcome {
        let mut followed = self.followed.lock().await;
        self.follow(&mut followed).await
    }

    async fn follow(&self, followed: &mut (Fold, u64)) -> Outcome {
        let end =
            ends(self.journal.as_ref(), std::slice::from_ref(&self.topic)).await?.get(&self.topic, 0).unwrap_or(0);
        let (fold, next) = followed;
        if *next >= end {
            return Ok(());
        }
        let swapped = |fold: &Fold, table: &Arc<Table>| {
            tracing::info!(version = table.version(), workers = table.len(), "the roster was swapped");
            self.newest.store(Some(table.clone()));
            *self.versions.lock().unwrap_or_else(PoisonError::into_inner) = fold.versions().to_vec();
            true
        };
        let (journal, codec) = (self.journal.as_ref(), &self.codec);
        read(journal, codec, &self.topic, fold, next, end, swapped).await
    }

    /// Appends what makes `new` of what the topic says, and waits until it counts. `whole`: all workers, whatever the
    /// topic says already.
    pub async fn tell(&self, names: &Names, new: Table, source: &str, whole: bool) -> Outcome<Told> {
        let (old, base) = {
            let mut followed = self.followed.lock().await;
            self.follow(&mut followed).await?;
            (followed.0.newest().cloned(), followed.0.ended_by().to_owned())
        };
        let before = old.as_ref().map(|old| old.version().to_owned()).unwrap_or_default();
        let mut told = Told { version: new.version().to_owned(), workers: new.len(), ..Told::default() };
        if before == told.version && !whole {
            return Ok(Told { before, ..told });
        }
        let (old, base) = if whole { (None, String::new()) } else { (old, base) };
        let load = ids::live();
        let log = self.log(names);
        let mut counts = [0; 3];
        let mut parts = 0;
        let mut batch = Vec::with_capacity(BATCH);
        for part in changes(old.as_deref(), &new, &load, &mut counts) {
            let event = said(
                ids::imported("stillhouse/roster", &format!("{load}/{parts}")),
                load.clone(),
                Payload::RosterChanged(part),
            );
            parts += 1;
            batch.push(encoded(log, &self.topic, &event)?);
            if batch.len() == BATCH {
                self.journal.append(std::mem::take(&mut batch)).await?;
            }
        }
        let end = closing(&load, &base, old.as_deref(), &new, parts, counts, source);
        let id = ids::live();
        batch.push(encoded(log, &self.topic, &said(id.clone(), load, Payload::RosterLoaded(end)))?);
        self.journal.append(batch).await?;
        // What the topic tells is the same workers: two tables of them are one too many.
        drop((old, new));
        let mut followed = self.followed.lock().await;
        self.follow(&mut followed).await?;
        if followed.0.ended_by() != id && followed.0.newest().map(|table| table.version()) != Some(&told.version) {
            return Err(Failure::new(
                Status::Failed,
                "another roster was loaded at the same moment, and that one counts",
            )
            .hint("run it again: it is compared with that one then"));
        }
        [told.added, told.changed, told.removed] = counts;
        told.events = usize::try_from(parts).unwrap_or_default() + 1;
        told.before = before;
        Ok(told)
    }

    /// The roster of a version, made of the topic again.
    async fn again(&self, version: &str) -> Outcome<Option<Arc<Table>>> {
        let end =
            ends(self.journal.as_ref(), std::slice::from_ref(&self.topic)).await?.get(&self.topic, 0).unwrap_or(0);
        let (mut fold, mut next) = (Fold::default(), 0);
        let sought = |_: &Fold, table: &Arc<Table>| table.version() != version;
        read(self.journal.as_ref(), &self.codec, &self.topic, &mut fold, &mut next, end, sought).await?;
        Ok(fold.newest().filter(|table| table.version() == version).cloned())
    }
}

/// Folds the topic from `next` to `end`, or until `swapped` wants no more.
async fn read(
    journal: &dyn Journal,
    codec: &Codec,
    topic: &str,
    fold: &mut Fold,
    next: &mut u64,
    end: u64,
    swapped: impl Fn(&Fold, &Arc<Table>) -> bool,
) -> Outcome {
    let mut scan = journal.scan(topic, 0, *next, Some(end)).await?;
    loop {
        let page = scan.next(PAGE).await?;
        if page.is_empty() {
            *next = end;
            return Ok(());
        }
        for stored in &page {
            *next = stored.offset + 1;
            match wire::stored(codec, stored) {
                Ok(None) => {}
                Ok(Some(event)) => match fold.apply(&event) {
                    Step::Nothing => {}
                    Step::Ignored(why) => {
                        tracing::warn!(offset = stored.offset, why, "passed over in the roster topic")
                    }
                    Step::Swapped(table) => {
                        if !swapped(fold, &table) {
                            return Ok(());
                        }
                    }
                },
                // A load without one of its parts is passed over as a whole.
                Err(error) => tracing::error!(offset = stored.offset, %error, "an event of the roster cannot be read"),
            }
        }
    }
}

fn encoded(log: Log<'_>, topic: &str, event: &stillhouse_schemas::Event) -> Outcome<stillhouse_streams::Append> {
    wire::append(topic, log.codec, event).map_err(|e| Failure::new(Status::Failed, e.to_string()))
}

impl Rosters for LoggedRosters {
    fn newest(&self) -> Option<Arc<dyn Roster>> {
        self.newest.load_full().map(|table| table as Arc<dyn Roster>)
    }

    fn at(&self, version: &str) -> Option<Arc<dyn Roster>> {
        if let Some(newest) = self.newest.load_full().filter(|table| table.version() == version) {
            return Some(newest);
        }
        if !self.versions.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|(_, known)| known == version) {
            return None;
        }
        // Held while it is made: who asks for the same one meanwhile waits for it instead of making it too.
        let mut older = self.older.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = older.iter().position(|table| table.version() == version) {
            let table = older.remove(at)?;
            older.push_back(table.clone());
            return Some(table);
        }
        let made = aside(self.again(version));
        match made {
            Ok(Some(table)) => {
                if older.len() == KEPT {
                    older.pop_front();
                }
                older.push_back(table.clone());
                Some(table)
            }
            Ok(None) => None,
            Err(error) => {
                tracing::error!(version, %error, "an older roster cannot be made of the topic");
                None
            }
        }
    }

    fn of_time(&self, at: Micros) -> Result<Option<Arc<dyn Roster>>, String> {
        let version = {
            let versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
            let then = versions.iter().rev().find(|(since, _)| *since <= at);
            then.or(versions.first()).map(|(_, version)| version.clone())
        };
        let Some(version) = version else { return Ok(None) };
        self.at(&version).map(Some).ok_or_else(|| format!("roster `{version}` cannot be had any more"))
    }
}

/// Waits for what is asynchronous where nothing may be: on a thread of its own, so that it needs none of the caller's.
fn aside<T: Send>(work: impl Future<Output = Outcome<T>> + Send) -> Outcome<T> {
    let waited = || {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(work)
            });
            thread.join().unwrap_or_else(|_| Err(Failure::new(Status::Failed, "the thread panicked")))
        })
    };
    match tokio::runtime::Handle::try_current().map(|handle| handle.runtime_flavor()) {
        // The caller's other tasks go to another thread meanwhile.
        Ok(tokio::runtime::RuntimeFlavor::MultiThread) => tokio::task::block_in_place(waited),
        _ => waited(),
    }
}

/// Reads a roster file, off the threads that serve others.
pub async fn read_file(path: &Path) -> Outcome<Loaded> {
    let path = path.to_path_buf();
    let read = tokio::task::spawn_blocking(move || stillhouse_roster::load(&path)).await;
    read.map_err(|e| Failure::new(Status::Failed, e.to_string()))?.map_err(|error| {
        let status = match &error {
            LoadError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => Status::NotFound,
            LoadError::Io { .. } => Status::Failed,
            _ => Status::Invalid,
        };
        Failure::new(status, error.to_string())
            .hint("`stillhouse roster generate --out FILE` writes one to compare with")
    })
}

/// Loads a file into the topic.
pub async fn load_file(context: &Context, path: &Path, whole: bool) -> Outcome<(Told, Loads)> {
    let Loaded { table, missing, ignored } = read_file(path).await?;
    // The name alone: where the file stands is nobody's business.
    let source = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let told = context.rosters().tell(&context.names, table, &source, whole).await?;
    Ok((told, Loads { missing, ignored }))
}

/// What of a file was not there, or passed over.
#[derive(Clone, Debug, Default)]
pub struct Loads {
    /// Columns that the file does not have, and what may be meant by one of its others.
    pub missing: Vec<(&'static str, Option<String>)>,
    /// Columns of the file that were passed over.
    pub ignored: Vec<String>,
}

/// Loads the file that the settings name, if they name one.
pub async fn load_configured(context: &Context) -> Outcome {
    let path = &context.settings().roster.path;
    if path.as_os_str().is_empty() {
        return Ok(());
    }
    let loaded = load_file(context, path, false).await;
    let (told, _) = loaded.map_err(|failure| Failure {
        status: Status::Config,
        message: format!("roster.path: {}", failure.message),
        ..failure
    })?;
    tracing::info!(version = told.version, workers = told.workers, events = told.events, "the roster file was loaded");
    Ok(())
}
