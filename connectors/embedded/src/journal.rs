//! The journal itself: what callers hold, and the threads behind it.

use crate::append::{MAX_RECORD_BYTES, Prepared, append, measure};
use crate::checkpoint;
use crate::fault::{Outcome, corrupt};
use crate::groups::{self, Member};
use crate::ids;
use crate::keeper::{Keeper, Pulse, Pulses};
use crate::options::Options;
use crate::rows::Walk;
use crate::scan::EmbeddedScan;
use crate::schema::{Catalog, Counters, Place, create_partition};
use crate::session::EmbeddedSession;
use crate::shared::{Shared, View};
use crate::store::{self, Role, connect};
use crate::txn::Txn;
use crate::verify;
use crate::writer::{Job, Task, Terms, Writer};
use async_trait::async_trait;
use rusqlite::params;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use stillhouse_streams::{
    Append, Damage, Error, ErrorKind, GroupSpec, GroupState, Journal, PartitionState, Position, Progress, Receipt,
    Result, Scan, Session, TopicSpec, TopicState, Verified, check_topic_name,
};
use tokio::sync::{Semaphore, mpsc, oneshot};

/// Calls that wait for the writer; more wait for room.
const QUEUE: usize = 1_024;
/// KiB of batches that wait for the writer; a larger batch waits to be alone.
const QUEUE_KIB: usize = 64 << 10;
/// Batches larger than this are hashed where blocking is fine.
const HASH_HERE: usize = 1 << 20;

/// A journal in a directory. Clones share it; the last one closes it.
#[derive(Clone)]
pub struct EmbeddedJournal(Arc<Handle>);

/// What clones, sessions and scans hold: the way to the writer, and the threads.
pub(crate) struct Handle {
    pub(crate) shared: Arc<Shared>,
    jobs: RwLock<Option<mpsc::Sender<Box<dyn Job>>>>,
    room: Arc<Semaphore>,
    pulses: Arc<Pulses>,
    writer: Mutex<Option<JoinHandle<()>>>,
    helpers: Mutex<Vec<JoinHandle<()>>>,
}

impl EmbeddedJournal {
    /// Opens the journal in `path`, a directory, and makes it if there is none. It blocks for some milliseconds.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if it does not hold what it acknowledged, or is damaged in what opening reads;
    /// [`ErrorKind::Invalid`] on a network file system or if a newer version made it.
    pub fn open(path: &Path, options: Options) -> Result<Self> {
        let shared = Arc::new(Shared::new(store::open(path, &options)?, options));
        let connect = |role| connect(&shared.files, role, &shared.options);
        let handle = Handle {
            jobs: RwLock::new(None),
            room: Arc::new(Semaphore::new(QUEUE_KIB)),
            pulses: Arc::default(),
            writer: Mutex::default(),
            helpers: Mutex::default(),
            shared: shared.clone(),
        };
        if shared.options.read_only {
            return Ok(Self(Arc::new(handle)));
        }
        let (sender, receiver) = mpsc::channel(QUEUE);
        let (pages, finish) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));

        let (conn, of_checkpoint) = (connect(Role::Writer)?, (shared.clone(), pages.clone(), finish.clone()));
        let checkpointer = spawn("journal-checkpoint", move || {
            checkpoint::run(conn, of_checkpoint.0, of_checkpoint.1, of_checkpoint.2);
        })?;

        let mut conn = connect(Role::Writer)?;
        let thread = checkpointer.thread().clone();
        conn.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, log: i32| {
            let log = u64::try_from(log).unwrap_or(0);
            pages.store(log, Ordering::Release);
            if log >= checkpoint::WORTHWHILE {
                thread.unpark();
            }
            Ok(())
        }))
        .map_err(|e| Error::new(ErrorKind::Unavailable, e.to_string()))?;
        handle.own(checkpointer);
        let mut writer = Writer::new(conn, shared.clone(), finish);
        writer.catch_up()?;
        let writer = spawn("journal-writer", move || writer.run(receiver))?;
        *handle.writer.lock().unwrap_or_else(PoisonError::into_inner) = Some(writer);

        let (pulses, jobs) = (handle.pulses.clone(), sender.clone());
        let keeper = Keeper { conn: connect(Role::Reader)?, shared: shared.clone(), pulses, jobs };
        let keeper = spawn("journal-keeper", move || keeper.run())?;
        let _ = shared.keeper.set(keeper.thread().clone());
        handle.own(keeper);
        *handle.jobs.write().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        Ok(Self(Arc::new(handle)))
    }

    /// Reads all of a journal that may not open, and says what is wrong with it. It writes nothing.
    pub fn examine(path: &Path) -> Result<Verified> {
        verify::examine(path)
    }

    /// Goes on without the damaged records at these positions: readers pass them from now on, and `verify` lists them.
    /// Answers what became of each; one of which nothing but the checksum was damaged is mended instead.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if one of them is not damaged, or no record; then nothing was done.
    pub async fn give_up(&self, positions: &[Position]) -> Result<Vec<Damage>> {
        let positions = positions.to_vec();
        let terms = Terms { durable: true, savepoint: true, ..Terms::default() };
        self.0.write(terms, move |txn| crate::losses::give_up(txn, &positions)).await
    }

    /// Answers what is queued, syncs, and ends. Later calls on any clone are refused. Dropping the last clone does
    /// the same.
    pub async fn close(&self) -> Result<()> {
        let handle = self.0.clone();
        self.0
            .shared
            .blocking(move || {
                handle.shut_down();
                Ok(())
            })
            .await
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map_err(|e| Error::new(ErrorKind::Unavailable, format!("no thread for the journal: {e}")).with_source(e))
}

impl Handle {
    fn own(&self, helper: JoinHandle<()>) {
        self.helpers.lock().unwrap_or_else(PoisonError::into_inner).push(helper);
    }

    fn shut_down(&self) {
        self.shared.close_readers();
        let helpers = std::mem::take(&mut *self.helpers.lock().unwrap_or_else(PoisonError::into_inner));
        for helper in &helpers {
            helper.thread().unpark();
        }
        helpers.into_iter().for_each(join_thread);
        // The writer ends when the last way to it is gone. Its connection is the last one of this process: SQLite
        // copies the log into the database when a connection finds itself alone, not when two close at once.
        self.jobs.write().unwrap_or_else(PoisonError::into_inner).take();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        writer.into_iter().for_each(join_thread);
    }

    fn sender(&self) -> Result<mpsc::Sender<Box<dyn Job>>> {
        self.shared.check_writable()?;
        let sender = self.jobs.read().unwrap_or_else(PoisonError::into_inner).clone();
        sender.ok_or_else(|| Error::new(ErrorKind::Closed, "the journal was closed"))
    }

    /// Has the writer do something. Once it is queued it happens, whether or not the caller waits for the answer.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        terms: Terms,
        work: impl FnMut(&mut Txn<'_>) -> Outcome<T> + Send + 'static,
    ) -> Result<T> {
        let sender = self.sender()?;
        let kib = u32::try_from((terms.bytes >> 10).clamp(1, QUEUE_KIB)).unwrap_or(1);
        let closed = || Error::new(ErrorKind::Closed, "the journal was closed");
        let room = self.room.clone().acquire_many_owned(kib).await.map_err(|_| closed())?;
        let (task, answer) = Task::new(terms, Some(room), work);
        let queued: Box<dyn Job> = Box::new(task);
        sender.send(queued).await.map_err(|_| closed())?;
        drop(sender);
        answer.await.unwrap_or_else(|_: oneshot::error::RecvError| {
            Err(Error::new(ErrorKind::Indeterminate, "the writer ended before it answered"))
        })
    }

    /// The same without an answer, and only if there is room in the queue.
    pub(crate) fn write_unasked(&self, work: impl FnMut(&mut Txn<'_>) -> Outcome<()> + Send + 'static) {
        let terms = Terms { savepoint: true, ..Terms::default() };
        let (task, _) = Task::new(terms, None, work);
        if let Ok(sender) = self.sender() {
            let _ = sender.try_send(Box::new(task));
        }
    }

    /// Hashes a batch.
    pub(crate) async fn prepare(&self, batch: Vec<Append>, bytes: usize) -> Result<Prepared> {
        if bytes < HASH_HERE {
            return Ok(Prepared::new(batch, bytes));
        }
        self.shared.blocking(move || Ok(Prepared::new(batch, bytes))).await
    }

    /// Partitions of a topic as far as they are known.
    pub(crate) fn known_partitions(&self, topic: &str) -> u32 {
        self.shared.known_catalog().topics.get(topic).map_or(0, |topic| topic.partitions.len() as u32)
    }
}

fn join_thread(thread: JoinHandle<()>) {
    if thread.join().is_err() {
        tracing::error!("a thread of the journal panicked");
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shut_down();
    }
}

#[async_trait]
impl Journal for EmbeddedJournal {
    fn uri(&self) -> String {
        format!("embedded:{}", self.0.shared.files.dir.display())
    }

    fn max_record_bytes(&self) -> usize {
        MAX_RECORD_BYTES
    }

    async fn ensure(&self, topics: &[TopicSpec]) -> Result<()> {
        for spec in topics {
            check_topic_name(&spec.name)?;
            if spec.partitions == 0 {
                let message = format!("topic `{}` needs at least one partition", spec.name);
                return Err(Error::new(ErrorKind::Invalid, message));
            }
        }
        let topics = topics.to_vec();
        let terms = Terms { durable: true, savepoint: true, ..Terms::default() };
        self.0.write(terms, move |txn| ensure(txn, &topics)).await
    }

    async fn append(&self, mut batch: Vec<Append>) -> Result<Vec<Receipt>> {
        stillhouse_streams::stamp(&mut batch);
        let bytes = measure(&batch)?;
        let prepared = self.0.prepare(batch, bytes).await?;
        let terms = Terms { bytes: prepared.bytes, durable: true, ..Terms::default() };
        self.0.write(terms, move |txn| append(txn, &prepared)).await
    }

    async fn scan(&self, topic: &str, partition: u32, from: u64, until: Option<u64>) -> Result<Box<dyn Scan>> {
        let topic: Arc<str> = topic.into();
        let named = topic.clone();
        self.0.shared.reading(move |view| Ok(view.catalog.place(&named, partition)?)).await?;
        let until = until.unwrap_or(u64::MAX);
        Ok(Box::new(EmbeddedScan { handle: self.0.clone(), topic, partition, next: from, until }))
    }

    async fn offset_at(&self, topic: &str, partition: u32, timestamp: i64) -> Result<u64> {
        let mut from = 0;
        loop {
            let topic = topic.to_owned();
            // In steps: a long read transaction would keep the log from beginning anew.
            let read = move |view: &View<'_>| offset_at(view, &topic, partition, timestamp, from);
            match self.0.shared.reading(read).await? {
                ControlFlow::Break(found) => return Ok(found),
                ControlFlow::Continue(next) => from = next,
            }
        }
    }

    async fn find(&self, id: &str) -> Result<Option<Position>> {
        let (id, shared) = (id.to_owned(), self.0.shared.clone());
        let look = move || {
            let mut index = shared.ids.lock().unwrap_or_else(PoisonError::into_inner);
            shared.read(|view| find(view, &mut index, &id))
        };
        self.0.shared.blocking(look).await
    }

    async fn join(&self, spec: &GroupSpec) -> Result<Box<dyn Session>> {
        if spec.group.is_empty() || spec.topics.is_empty() {
            return Err(Error::new(ErrorKind::Invalid, "a group has a name and at least one topic"));
        }
        let wanted = spec.clone();
        let id: Arc<str> = uuid::Uuid::now_v7().to_string().into();
        let terms = Terms { durable: true, savepoint: true, ..Terms::default() };
        let (member, owned) = self.0.write(terms, move |txn| join(txn, &wanted, &id)).await?;
        let pulse = Arc::new(Pulse::new(member));
        self.0.pulses.add(&pulse);
        self.0.shared.nudge();
        Ok(Box::new(EmbeddedSession::new(self.0.clone(), pulse, spec.topics.clone(), owned)))
    }

    async fn topics(&self) -> Result<Vec<TopicState>> {
        self.0.shared.reading(topics).await
    }

    async fn groups(&self) -> Result<Vec<GroupState>> {
        let read = |view: &View<'_>| {
            let state = |(name, id): (&Arc<str>, &i64)| {
                let members = groups::living(view.conn, *id)?;
                let progress = groups::named_progress(view.conn, &view.catalog, *id)?;
                Ok(GroupState { group: name.to_string(), members, progress })
            };
            view.catalog.groups.iter().map(state).collect()
        };
        self.0.shared.reading(read).await
    }

    async fn reset(&self, group: &str, progress: &Progress) -> Result<()> {
        let (group, progress) = (group.to_owned(), progress.clone());
        let terms = Terms { durable: true, savepoint: true, ..Terms::default() };
        self.0.write(terms, move |txn| reset(txn, &group, &progress)).await
    }

    async fn delete_topic(&self, topic: &str) -> Result<()> {
        let topic = topic.to_owned();
        let terms = Terms { durable: true, savepoint: true, ..Terms::default() };
        self.0.write(terms, move |txn| delete_topic(txn, &topic)).await?;
        crate::clean::sweep(&self.0).await
    }

    async fn delete_group(&self, group: &str) -> Result<()> {
        let group = group.to_owned();
        let terms = Terms { durable: true, savepoint: true, ..Terms::default() };
        let delete = move |txn: &mut Txn<'_>| match unattended(txn, &group)? {
            Some(id) => groups::delete(txn, id),
            None => Ok(()),
        };
        self.0.write(terms, delete).await
    }

    async fn clean(&self, now: i64) -> Result<()> {
        crate::clean::clean(&self.0, now).await
    }

    async fn verify(&self) -> Result<Verified> {
        let shared = self.0.shared.clone();
        self.0.shared.blocking(move || verify::verify(&shared)).await
    }
}

/// The offset if it is among the next rows, or the end; else where to go on.
fn offset_at(
    view: &View<'_>,
    topic: &str,
    partition: u32,
    timestamp: i64,
    from: u64,
) -> Outcome<ControlFlow<u64, u64>> {
    let place = view.catalog.place(topic, partition)?;
    let mut found = None;
    let walk = Walk { conn: view.conn, skip_crc: view.skip_crc };
    let end = walk.rows(&place, from..from.saturating_add(20_000), |raw| {
        if raw.kind == crate::framing::RECORD && raw.timestamp >= timestamp {
            found = Some(raw.offset);
            return Ok(ControlFlow::Break(()));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    if let Some(offset) = found {
        return Ok(ControlFlow::Break(offset));
    }
    let next = Counters::load(view.conn, &place)?.next;
    Ok(if end >= next { ControlFlow::Break(next) } else { ControlFlow::Continue(end) })
}

fn ensure(txn: &mut Txn<'_>, topics: &[TopicSpec]) -> Outcome<()> {
    let mut changed = false;
    for spec in topics {
        let cleanup = serde_json::to_string(&spec.cleanup)
            .map_err(|e| Error::new(ErrorKind::Invalid, format!("cleanup of `{}`: {e}", spec.name)))?;
        let known: Option<(i64, i64, String)> = {
            let mut query = txn.conn.prepare_cached("SELECT id, partitions, cleanup FROM topics WHERE name = ?1")?;
            let mut rows = query.query([&spec.name])?;
            rows.next()?.map(|row| Ok::<_, rusqlite::Error>((row.get(0)?, row.get(1)?, row.get(2)?))).transpose()?
        };
        match known {
            Some((_, partitions, _)) if partitions != i64::from(spec.partitions) => {
                let message = format!("topic `{}` has {partitions} partitions, not {}", spec.name, spec.partitions);
                return Err(Error::new(ErrorKind::Invalid, message).into());
            }
            Some((_, _, stored)) if stored == cleanup => {}
            Some((id, _, _)) => {
                txn.conn.execute("UPDATE topics SET cleanup = ?2 WHERE id = ?1", params![id, cleanup])?;
                changed = true;
            }
            None => {
                create_topic(txn, spec, &cleanup)?;
                changed = true;
            }
        }
    }
    if changed { txn.renew_catalog() } else { Ok(()) }
}

fn create_topic(txn: &Txn<'_>, spec: &TopicSpec, cleanup: &str) -> Outcome<()> {
    let sql = "INSERT INTO topics(name, partitions, cleanup) VALUES (?1, ?2, ?3)";
    txn.conn.execute(sql, params![spec.name, spec.partitions, cleanup])?;
    let topic = txn.conn.last_insert_rowid();
    txn.conn.execute_batch(&ids::create(topic))?;
    for number in 0..spec.partitions {
        let sql =
            "INSERT INTO partitions(topic, number, start, next, anchor, head, crc) VALUES (?1, ?2, 0, 0, x'', x'', 0)";
        txn.conn.execute(sql, params![topic, number])?;
        let id = txn.conn.last_insert_rowid();
        txn.conn.execute_batch(&create_partition(id))?;
        // The chain begins with what the partition is called, so that two never look alike.
        let mut genesis = blake3::Hasher::new();
        genesis.update(&txn.shared.journal).update(&id.to_le_bytes()).update(&number.to_le_bytes());
        let anchor = genesis.update(spec.name.as_bytes()).finalize().into();
        Counters { start: 0, next: 0, anchor, head: anchor }.store(txn.conn, id)?;
    }
    Ok(())
}

fn delete_topic(txn: &mut Txn<'_>, name: &str) -> Outcome<()> {
    let Some(topic) = txn.catalog.topics.get(name).cloned() else { return Ok(()) };
    groups::forget_partitions(txn, &topic.partitions)?;
    for id in &topic.partitions {
        txn.conn.execute("DELETE FROM partitions WHERE id = ?1", [id])?;
        txn.conn.execute("INSERT INTO retired VALUES (?1)", [id])?;
        txn.conn.execute("INSERT INTO litter VALUES (?1)", [format!("p{id}")])?;
    }
    txn.conn.execute("DELETE FROM topics WHERE id = ?1", [topic.id])?;
    txn.conn.execute("DELETE FROM runs WHERE topic = ?1", [topic.id])?;
    for table in ids::tables(topic.id) {
        txn.conn.execute("INSERT INTO litter VALUES (?1)", [table])?;
    }
    txn.renew_catalog()
}

fn join(txn: &mut Txn<'_>, spec: &GroupSpec, id: &Arc<str>) -> Outcome<(Member, groups::Owned)> {
    let mut width = 0;
    for topic in &spec.topics {
        width = width.max(txn.catalog.topic(topic)?.partitions.len() as u32);
    }
    let group = groups::ensure(txn, &spec.group)?;
    let timeout_ms = i64::try_from(spec.session_timeout.as_millis()).unwrap_or(i64::MAX).max(1);
    let member = Member { name: spec.group.as_str().into(), group, id: id.clone(), width, timeout_ms };
    let owned = groups::settle(txn, &member, &BTreeSet::new())?;
    Ok((member, owned))
}

/// The id of a group that nobody is in; `None` if there is no such group.
fn unattended(txn: &Txn<'_>, group: &str) -> Outcome<Option<i64>> {
    let Some(id) = txn.catalog.groups.get(group).copied() else { return Ok(None) };
    match groups::living(txn.conn, id)? {
        0 => Ok(Some(id)),
        members => Err(Error::new(ErrorKind::Fenced, format!("group `{group}` has {members} members")).into()),
    }
}

fn reset(txn: &mut Txn<'_>, group: &str, progress: &Progress) -> Outcome<()> {
    let mut moves: Vec<(Place, u64)> = Vec::new();
    for (topic, partition, next) in progress.iter() {
        let place = txn.catalog.place(topic, partition)?;
        let end = txn.counters(&place)?.next;
        if next > end {
            let message = format!("{place} ends at {end}: nothing can begin at {next}");
            return Err(Error::new(ErrorKind::Invalid, message).into());
        }
        moves.push((place, next));
    }
    let id = match unattended(txn, group)? {
        Some(id) => id,
        None => groups::ensure(txn, group)?,
    };
    let known = groups::progress(txn.conn, id)?;
    groups::set_progress(txn.conn, id, &known, &moves)
}

fn topics(view: &View<'_>) -> Outcome<Vec<TopicState>> {
    let state = |catalog: &Catalog, name: &str| -> Outcome<TopicState> {
        let topic = catalog.topic(name)?;
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for number in 0..topic.partitions.len() as u32 {
            let counters = Counters::load(view.conn, &catalog.place(name, number)?)?;
            partitions.push(PartitionState { start: counters.start, end: counters.next });
        }
        let (name, cleanup) = (topic.name.to_string(), topic.cleanup.clone());
        Ok(TopicState { spec: TopicSpec { name, partitions: partitions.len() as u32, cleanup }, partitions })
    };
    view.catalog.topics.keys().map(|name| state(&view.catalog, name)).collect()
}

fn find(view: &View<'_>, index: &mut ids::Index, id: &str) -> Outcome<Option<Position>> {
    let key = ids::key(id);
    index.meet(view.state.sequence);
    for topic in view.catalog.topics.values() {
        let Some(spot) = index.find(view.conn, topic.id, &key)? else { continue };
        let place = view.catalog.place(&topic.name, spot.partition)?;
        let walk = Walk { conn: view.conn, skip_crc: view.skip_crc };
        let Some(record) = walk.one(&place, spot.offset)? else { continue };
        if record.id() != Some(id) {
            let what = format!("it names the wrong record for an id at {place}/{}", spot.offset);
            return Err(corrupt(format!("the id index of `{}`", topic.name), what).into());
        }
        return Ok(Some(Position::new(topic.name.clone(), spot.partition, spot.offset)));
    }
    Ok(None)
}
