//! One member of a group.

use crate::append::{Prepared, append, measure};
use crate::fault::Outcome;
use crate::groups::{self, Member, Owned};
use crate::journal::Handle;
use crate::keeper::Pulse;
use crate::news::Heard;
use crate::rows::{Page, Walk};
use crate::schema::Place;
use crate::shared::View;
use crate::sys::monotonic_ms;
use crate::txn::Txn;
use crate::writer::Terms;
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use stillhouse_streams::{
    Append, Batch, BatchLimits, Error, ErrorKind, Position, Progress, Receipt, Received, Result, Session,
};
use tokio::time::Instant;

/// How often the other members are looked at.
const BURY_EVERY: Duration = Duration::from_millis(100);
/// A page is not larger than this, whatever a caller allows: it is one buffer and one read transaction.
const PAGE_BYTES: usize = 32 << 20;

/// Where a session stands in one partition.
#[derive(Clone, Copy, Debug)]
struct Cursor {
    /// Next offset that the group has committed.
    committed: u64,
    /// Next offset to read.
    next: u64,
    /// Next offset as the caller knows it: behind `next` while only holes were passed.
    told: u64,
    /// Offset after the last record handed out.
    handed: u64,
}

impl Cursor {
    fn at(committed: u64) -> Self {
        Self { committed, next: committed, told: committed, handed: committed }
    }

    fn is_busy(&self) -> bool {
        self.handed > self.committed
    }
}

type Cursors = BTreeMap<(Arc<str>, u32), Cursor>;

/// See the module.
pub(crate) struct EmbeddedSession {
    handle: Arc<Handle>,
    pulse: Arc<Pulse>,
    topics: Arc<[Arc<str>]>,
    owned: Owned,
    cursors: Cursors,
    /// Where the next batch begins among the partitions, so that a full one does not starve the others.
    turn: usize,
    buried: Option<Instant>,
    /// Since when something belongs to others that cannot be given back, because it is handed out.
    overdue: Option<Instant>,
    left: bool,
}

/// What one look at the database came to.
struct Found {
    outlook: groups::Outlook,
    cursors: Cursors,
    records: Vec<Received>,
    progress: Progress,
}

impl EmbeddedSession {
    pub(crate) fn new(handle: Arc<Handle>, pulse: Arc<Pulse>, topics: Vec<String>, owned: Owned) -> Self {
        let topics = topics.into_iter().map(Arc::from).collect();
        Self {
            handle,
            pulse,
            topics,
            owned,
            cursors: Cursors::new(),
            turn: 0,
            buried: None,
            overdue: None,
            left: false,
        }
    }

    fn member(&self) -> &Member {
        &self.pulse.member
    }

    /// Numbers of which something is handed out and not committed, and which are kept for that reason; not for longer
    /// than a session timeout when they belong to others.
    fn busy(&self) -> BTreeSet<u32> {
        let patience = Duration::from_millis(self.member().timeout_ms.unsigned_abs());
        if self.overdue.is_some_and(|since| since.elapsed() >= patience) {
            return BTreeSet::new();
        }
        self.cursors.iter().filter(|(_, cursor)| cursor.is_busy()).map(|((_, number), _)| *number).collect()
    }

    /// Looks at the group, and reads what there is.
    async fn look(&mut self, limits: &BatchLimits) -> Result<Found> {
        let bury = self.buried.is_none_or(|at| at.elapsed() >= BURY_EVERY);
        if bury {
            self.buried = Some(Instant::now());
        }
        self.turn = self.turn.wrapping_add(1);
        let (member, busy, turn) = (self.member().clone(), self.busy(), self.turn);
        let (topics, known, held) = (self.topics.clone(), self.cursors.clone(), self.owned.clone());
        let limits = limits.clone();
        let skip_crc = self.handle.shared.options.faults.skip_crc;
        let work = move |view: &View<'_>| {
            let outlook = groups::look(view.conn, &member, &busy, bury)?;
            let mut reading = Reading { view, walk: Walk { conn: view.conn, skip_crc }, limits: &limits };
            let cursors = reading.cursors(&member, &topics, &known, &held, &outlook.owned)?;
            reading.records(outlook, cursors, turn)
        };
        self.handle.shared.reading(work).await
    }

    /// Takes and gives back what has to change hands.
    async fn settle(&mut self) -> Result<()> {
        let (member, busy) = (self.member().clone(), self.busy());
        let terms = Terms { savepoint: true, ..Terms::default() };
        let owned = self.handle.write(terms, move |txn| groups::settle(txn, &member, &busy)).await?;
        self.keep(owned);
        Ok(())
    }

    /// Forgets what is no longer owned, or was lost and came back since.
    fn keep(&mut self, owned: Owned) {
        let before = std::mem::replace(&mut self.owned, owned);
        self.cursors
            .retain(|(_, number), _| self.owned.get(number).is_some_and(|epoch| before.get(number) == Some(epoch)));
    }

    /// Waits until there is news that concern this session, or this long.
    async fn wait(&self, changes: &mut tokio::sync::watch::Receiver<u64>, heard: &Heard, longest: Duration) {
        let shared = &self.handle.shared;
        let _waiting = Waiting::new(shared);
        let news = async {
            // An end of the sender is no news: the handle holds it.
            while changes.changed().await.is_ok() && shared.news.heard(&self.topics) == *heard {}
        };
        let _ = tokio::time::timeout(longest, news).await;
    }

    fn touch(&self) -> Result<()> {
        if self.left {
            return Err(Error::new(ErrorKind::Closed, "the session has left its group"));
        }
        self.pulse.called.store(monotonic_ms(), Ordering::Relaxed);
        self.handle.shared.check_writable()
    }
}

/// Counts a waiting session, and wakes the background thread for the first.
struct Waiting<'s>(&'s crate::shared::Shared);

impl<'s> Waiting<'s> {
    fn new(shared: &'s crate::shared::Shared) -> Self {
        if shared.waiting.fetch_add(1, Ordering::AcqRel) == 0 {
            shared.nudge();
        }
        Self(shared)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

/// One look at the database.
struct Reading<'v> {
    view: &'v View<'v>,
    walk: Walk<'v>,
    limits: &'v BatchLimits,
}

impl Reading<'_> {
    /// Cursors of what is owned: known ones go on, new ones begin where the group stands.
    fn cursors(
        &self,
        member: &Member,
        topics: &[Arc<str>],
        known: &Cursors,
        held: &Owned,
        owned: &Owned,
    ) -> Outcome<Cursors> {
        let mut progress = None;
        let mut cursors = Cursors::new();
        for topic in topics {
            for (number, id) in (0..).zip(&self.view.catalog.topic(topic)?.partitions) {
                let Some(epoch) = owned.get(&number) else { continue };
                let place = (topic.clone(), number);
                let cursor = match known.get(&place).filter(|_| held.get(&number) == Some(epoch)) {
                    Some(cursor) => *cursor,
                    None => {
                        let progress = match &mut progress {
                            Some(progress) => progress,
                            none => none.insert(groups::progress(self.view.conn, member.group)?),
                        };
                        Cursor::at(progress.get(id).copied().unwrap_or(0))
                    }
                };
                cursors.insert(place, cursor);
            }
        }
        Ok(cursors)
    }

    /// Reads the partitions in turn, within the limits.
    fn records(&mut self, outlook: groups::Outlook, mut cursors: Cursors, turn: usize) -> Outcome<Found> {
        let mut found = Vec::new();
        let mut progress = Progress::default();
        let (most, mut bytes_left) = (self.limits.records.max(1), self.limits.bytes.min(PAGE_BYTES));
        let places: Vec<_> = cursors.keys().cloned().collect();
        for index in 0..places.len() {
            let (topic, number) = &places[(index + turn) % places.len()];
            let Some(cursor) = cursors.get_mut(&(topic.clone(), *number)) else { continue };
            // What is about to be given back gets no more work.
            if !outlook.owned.contains_key(number) || outlook.leaving.contains(number) {
                continue;
            }
            if found.len() < most && (bytes_left > 0 || found.is_empty()) {
                let place = self.view.catalog.place(topic, *number)?;
                let page = self.page(&place, cursor, most - found.len(), bytes_left, found.is_empty())?;
                bytes_left = bytes_left.saturating_sub(page.bytes());
                let received = |stored: stillhouse_streams::Stored| Received {
                    position: Position::new(topic.clone(), *number, stored.offset),
                    record: stored.record,
                };
                found.extend(page.records()?.into_iter().map(received));
            }
            if cursor.next > cursor.told {
                progress.set(topic.clone(), *number, cursor.next);
            }
        }
        Ok(Found { outlook, cursors, records: found, progress })
    }

    fn page(&self, place: &Place, cursor: &mut Cursor, most: usize, bytes: usize, first: bool) -> Outcome<Page> {
        let mut page = Page::new(place.clone(), most, bytes);
        let mut turned_away = None;
        let end = self.walk.rows(place, cursor.next..u64::MAX, |raw| {
            // A record too large for what is left waits for a batch of its own, unless it is the first.
            let size = raw.key.map_or(0, <[u8]>::len) + raw.value.map_or(0, <[u8]>::len) + raw.headers.len();
            if !first && page.len() == 0 && size > bytes {
                turned_away = Some(raw.offset);
                return Ok(ControlFlow::Break(()));
            }
            let step = page.take(raw);
            if page.turned_away() {
                turned_away = Some(raw.offset);
            } else if raw.kind == crate::framing::RECORD {
                cursor.handed = raw.offset + 1;
            }
            Ok(step)
        })?;
        cursor.next = turned_away.unwrap_or(end).max(cursor.next);
        Ok(page)
    }
}

#[async_trait]
impl Session for EmbeddedSession {
    async fn next(&mut self, limits: &BatchLimits) -> Result<Batch> {
        self.touch()?;
        let deadline = Instant::now() + limits.wait;
        let mut changes = self.handle.shared.news.subscribe();
        loop {
            changes.mark_unchanged();
            let heard = self.handle.shared.news.heard(&self.topics);
            let found = self.look(limits).await?;
            if found.outlook.unsettled {
                // What was read is read again, under the leases that come of this.
                self.keep(found.outlook.owned);
                self.settle().await?;
                continue;
            }
            self.overdue = (!found.outlook.leaving.is_empty()).then(|| self.overdue.unwrap_or_else(Instant::now));
            self.owned = found.outlook.owned;
            self.cursors = found.cursors;
            let left = deadline.saturating_duration_since(Instant::now());
            if !found.records.is_empty() || left.is_zero() {
                for cursor in self.cursors.values_mut() {
                    cursor.told = cursor.next;
                }
                return Ok(Batch { records: found.records, progress: found.progress });
            }
            // Who waits for a partition, or may have to bury somebody, looks now and then without being told.
            let longest = if found.outlook.waiting { BURY_EVERY } else { 5 * BURY_EVERY };
            self.wait(&mut changes, &heard, left.min(longest)).await;
        }
    }

    async fn commit(&mut self, mut outputs: Vec<Append>, progress: &Progress) -> Result<Vec<Receipt>> {
        stillhouse_streams::stamp(&mut outputs);
        self.touch()?;
        let bytes = measure(&outputs)?;
        let mut prepared = self.handle.prepare(outputs, bytes).await?;
        prepared.ids_tell_all = true;
        let pulse = self.pulse.clone();
        let (owned, moved) = (self.owned.clone(), progress.clone());
        let check = !self.handle.shared.options.faults.skip_fence_check;
        let terms = Terms { bytes, durable: true, ..Terms::default() };
        let receipts = self
            .handle
            .write(terms, move |txn| commit(txn, &pulse, check.then_some(&owned), &prepared, &moved))
            .await?;
        for (topic, number, next) in progress.iter() {
            if let Some(cursor) = self.cursors.get_mut(&(topic.clone(), number)) {
                cursor.committed = next;
            }
        }
        Ok(receipts)
    }

    async fn rewind(&mut self) -> Result<()> {
        self.touch()?;
        self.cursors.clear();
        self.settle().await
    }

    fn assignment(&self) -> Vec<(Arc<str>, u32)> {
        let width = |topic: &Arc<str>| self.handle.known_partitions(topic);
        let pairs = self.topics.iter().flat_map(|topic| {
            let width = width(topic);
            self.owned.keys().filter(move |number| **number < width).map(|number| (topic.clone(), *number))
        });
        pairs.collect()
    }

    async fn leave(mut self: Box<Self>) -> Result<()> {
        self.left = true;
        let member = self.member().clone();
        let terms = Terms { savepoint: true, ..Terms::default() };
        self.handle.write(terms, move |txn| groups::leave(txn, &member)).await
    }
}

/// Outputs and progress, in one transaction.
fn commit(
    txn: &mut Txn<'_>,
    pulse: &Pulse,
    owned: Option<&Owned>,
    prepared: &Prepared,
    progress: &Progress,
) -> Outcome<Vec<Receipt>> {
    let me = &pulse.member;
    if txn.catalog.groups.get(&me.name) != Some(&me.group) {
        return View::refuse(Error::new(ErrorKind::Fenced, format!("group `{}` was deleted", me.name)));
    }
    let known = groups::progress(txn.conn, me.group)?;
    let mut moves = Vec::new();
    for (topic, number, next) in progress.iter() {
        let place = txn.catalog.place(topic, number)?;
        if known.get(&place.id) == Some(&next) {
            continue;
        }
        let end = txn.counters(&place)?.next;
        if next > end {
            let message = format!("{place} ends at {end}, so nobody can have read up to {next}");
            return View::refuse(Error::new(ErrorKind::Invalid, message));
        }
        moves.push((place, next));
    }
    if let Some(owned) = owned {
        let numbers = moves.iter().map(|(place, _)| place.number).collect();
        groups::check_leases(txn, me, owned, &numbers)?;
    }
    let receipts = append(txn, prepared)?;
    groups::set_progress(txn.conn, me.group, &known, &moves)?;
    let now = monotonic_ms();
    if pulse.is_due(now) {
        groups::beat(txn.conn, me, now)?;
        pulse.beaten.store(now, Ordering::Relaxed);
    }
    Ok(receipts)
}

impl Drop for EmbeddedSession {
    fn drop(&mut self) {
        if !self.left {
            let member = self.pulse.member.clone();
            self.handle.write_unasked(move |txn| groups::leave(txn, &member));
        }
    }
}
