//! The walk over everything.
//!
//! Records (checksum, chain, none missing), counters, progress, id index, SQLite's own structure, and the head file.
//! It reads page by page, so writing goes on; a partition is walked up to where it ended when its turn came.

use crate::fault::{Fault, Outcome};
use crate::framing::{HOLE, Hash, LOST, RECORD, UNKNOWN, chain, digest};
use crate::groups;
use crate::heads::Heads;
use crate::ids;
use crate::losses;
use crate::options::Options;
use crate::rows::{RawRow, Walk};
use crate::schema::{Counters, Place};
use crate::shared::{Shared, View};
use crate::store;
use std::ops::ControlFlow;
use std::path::Path;
use stillhouse_streams::{Damage, Error, Result, Verified};

/// Rows walked in one read transaction.
const STEP: u64 = 5_000;
/// Damage listed per partition.
const MOST: usize = 100;

/// Reads a journal that may not open.
pub(crate) fn examine(path: &Path) -> Result<Verified> {
    let mut options = Options { read_only: true, ..Options::default() };
    options.faults.skip_head_check = true;
    match store::open(path, &options) {
        Ok(opened) => verify(&Shared::new(opened, options)),
        Err(error) => Ok(Verified { damage: vec![of_error("journal.db", &error)], ..Verified::default() }),
    }
}

fn of_error(place: &str, error: &Error) -> Damage {
    Damage { place: place.to_owned(), what: error.to_string() }
}

/// Walks everything.
pub(crate) fn verify(shared: &Shared) -> Result<Verified> {
    let mut verified = Verified::default();
    // The head file first: whatever is committed meanwhile only takes the database further.
    let known = Heads::read(&shared.files.heads());
    match structure(shared) {
        Ok(found) => verified.damage.extend(found),
        Err(error) => verified.damage.push(of_error("journal.db", &error)),
    }
    let places = match shared.read(|view| Ok(view.catalog.places().collect::<Vec<_>>())) {
        Ok(places) => places,
        Err(error) => {
            verified.damage.push(of_error("journal.db", &error));
            return Ok(verified);
        }
    };
    let mut removed = Removed::default();
    for place in &places {
        match partition(shared, place, &mut verified, &mut removed) {
            Ok(()) => verified.partitions += 1,
            Err(error) => verified.damage.push(of_error(&place.to_string(), &error)),
        }
    }
    let rest = shared.read(|view| {
        let mut damage = progress(view)?;
        match known {
            Ok(known) => damage.extend(store::compare(view.conn, known.as_ref(), &shared.journal)?),
            Err(error) => damage.push(Damage { place: "journal.head".to_owned(), what: error.to_string() }),
        }
        Ok((damage, losses::accepted(view.conn)?))
    });
    match rest {
        Ok((damage, losses)) => {
            verified.damage.extend(damage);
            verified.losses = losses;
            verified.note = removed.note();
        }
        Err(error) => verified.damage.push(of_error("journal.db", &error)),
    }
    Ok(verified)
}

/// What is rightly not there any more.
#[derive(Default)]
struct Removed {
    retained: u64,
    compacted: u64,
}

impl Removed {
    fn note(&self) -> String {
        let mut parts = Vec::new();
        if self.retained > 0 {
            parts.push(format!("retention removed {} records from the beginning of partitions", self.retained));
        }
        if self.compacted > 0 {
            parts.push(format!("compaction removed {} records, whose digests stay in the chain", self.compacted));
        }
        parts.join("; ")
    }
}

/// SQLite's own look at its pages and trees.
fn structure(shared: &Shared) -> Result<Vec<Damage>> {
    shared.read(|view| {
        let mut query = view.conn.prepare("PRAGMA integrity_check(100)")?;
        let mut rows = query.query([])?;
        let mut damage = Vec::new();
        while let Some(row) = rows.next()? {
            let what: String = row.get(0)?;
            if what != "ok" {
                damage.push(Damage { place: "journal.db".to_owned(), what });
            }
        }
        Ok(damage)
    })
}

/// The walk over one partition.
struct Walker<'w> {
    place: &'w Place,
    /// The chain before `next`.
    chain: Hash,
    next: u64,
    records: u64,
    holes: u64,
    index: ids::Index,
    damage: Vec<Damage>,
}

impl Walker<'_> {
    fn row(&mut self, view: &View<'_>, raw: &RawRow<'_>) -> Outcome<()> {
        if raw.kind == LOST {
            (self.chain, self.next) = (*raw.chain, raw.offset + 1);
            return Ok(());
        }
        let digest = match raw.value.filter(|_| raw.kind == HOLE) {
            Some(digest) => digest.try_into().unwrap_or_default(),
            None => digest(raw.timestamp, raw.key, raw.value, raw.headers),
        };
        // Behind a lost record whose chain nobody knows, the next one cannot be checked against it.
        if self.chain == UNKNOWN || chain(&self.chain, raw.offset, &digest) == *raw.chain {
            self.records += u64::from(raw.kind == RECORD);
            self.holes += u64::from(raw.kind == HOLE);
        } else {
            self.note(raw.offset, "it is not what was appended here, or what comes before it is not");
        }
        let record = raw.record();
        if let Some(id) = record.as_ref().and_then(stillhouse_streams::Record::id) {
            let spot = self.index.find(view.conn, self.place.topic.id, &ids::key(id))?;
            let same = |spot: ids::Spot| spot.partition != self.place.number || spot.offset <= raw.offset;
            if !spot.is_some_and(same) {
                self.note(raw.offset, "the id index does not know it");
            }
        } else if raw.kind != HOLE && record.is_none() {
            self.note(raw.offset, "its headers are not of their layout");
        }
        (self.chain, self.next) = (*raw.chain, raw.offset + 1);
        Ok(())
    }

    fn note(&mut self, offset: u64, what: &str) {
        if self.damage.len() < MOST {
            self.damage.push(Damage { place: format!("{}/{offset}", self.place), what: what.to_owned() });
        }
    }
}

fn partition(shared: &Shared, place: &Place, verified: &mut Verified, removed: &mut Removed) -> Result<()> {
    let first = shared.read(|view| Counters::load(view.conn, place))?;
    let end = first.next;
    let mut walker = Walker {
        place,
        chain: first.anchor,
        next: first.start,
        records: 0,
        holes: 0,
        index: ids::Index::default(),
        damage: Vec::new(),
    };
    while walker.next < end {
        let there = shared.read(|view| step(view, &mut walker, end))?;
        if !there {
            return Ok(());
        }
    }
    if walker.damage.is_empty() {
        let surplus = shared.read(|view| {
            let counters = Counters::load(view.conn, place)?;
            if counters.next == walker.next && counters.head != walker.chain {
                walker.note(walker.next.saturating_sub(1), "the chain ends in another hash than the counters say");
            }
            let sql = format!("SELECT count(*) FROM p{} WHERE offset < ?1 OR offset >= ?2", place.id);
            let bounds = [counters.start as i64, counters.next as i64];
            Ok(view.conn.query_row(&sql, bounds, |row| row.get::<_, i64>(0))?)
        })?;
        if surplus != 0 {
            walker.note(end, &format!("{surplus} records stand outside of the partition's bounds"));
        }
    }
    verified.records += walker.records;
    removed.retained += first.start;
    removed.compacted += walker.holes;
    let hex = walker.chain.iter().map(|byte| format!("{byte:02x}")).collect();
    verified.heads.push((place.topic.name.to_string(), place.number, walker.next, hex));
    verified.damage.extend(walker.damage);
    Ok(())
}

/// Walks some rows on; `false` if the topic was removed meanwhile.
fn step(view: &View<'_>, walker: &mut Walker<'_>, end: u64) -> Outcome<bool> {
    let place = walker.place;
    if !view.catalog.places().any(|known| known.id == place.id) {
        return Ok(false);
    }
    walker.index.meet(view.state.sequence);
    let counters = Counters::load(view.conn, place)?;
    if counters.start > walker.next {
        // Retention went past this walk.
        (walker.chain, walker.next) = (counters.anchor, counters.start);
    }
    let until = end.min(walker.next.saturating_add(STEP));
    let walk = Walk { conn: view.conn, skip_crc: false };
    let walked = walk.rows_of(place, counters, walker.next..until, |raw| {
        walker.row(view, raw)?;
        Ok(ControlFlow::Continue(()))
    });
    match walked {
        Ok(_) => Ok(true),
        Err(Fault::Refused(error)) => {
            walker.note(walker.next, &error.to_string());
            skip(view, walker, end)?;
            Ok(true)
        }
        Err(fault) => Err(fault),
    }
}

/// Goes on behind a bad row, with the chain that the next good one claims to follow.
fn skip(view: &View<'_>, walker: &mut Walker<'_>, end: u64) -> Outcome<()> {
    let sql = format!("SELECT offset, chain FROM p{} WHERE offset >= ?1 ORDER BY offset LIMIT 1", walker.place.id);
    let mut query = view.conn.prepare_cached(&sql)?;
    let mut rows = query.query([walker.next as i64])?;
    let found = match rows.next()? {
        Some(row) => Some((row.get::<_, i64>(0)? as u64, row.get::<_, Hash>(1).unwrap_or_default())),
        None => None,
    };
    match found {
        // A row that stands where it should, but is bad.
        Some((offset, chain)) if offset == walker.next => (walker.next, walker.chain) = (offset + 1, chain),
        // Rows are missing: what comes after them cannot be checked against what was before.
        Some((offset, _)) if offset < end => {
            let sql = format!("SELECT chain FROM p{} WHERE offset = ?1", walker.place.id);
            walker.chain = view.conn.query_row(&sql, [offset as i64], |row| row.get(0)).unwrap_or_default();
            walker.next = offset + 1;
        }
        _ => walker.next = end,
    }
    Ok(())
}

/// Progress that goes past the end of its partition.
fn progress(view: &View<'_>) -> Outcome<Vec<Damage>> {
    let mut damage = Vec::new();
    for (name, group) in &view.catalog.groups {
        let known = groups::progress(view.conn, *group)?;
        for place in view.catalog.places() {
            let end = Counters::load(view.conn, &place)?.next;
            if let Some(next) = known.get(&place.id).filter(|next| **next > end) {
                let what = format!("its next offset in {place} is {next}, which ends at {end}");
                damage.push(Damage { place: format!("group {name}"), what });
            }
        }
    }
    Ok(damage)
}

#[cfg(test)]
mod tests {
    use crate::framing::{Hash, RECORD, chain, content_crc, digest, row_crc};
    use crate::{EmbeddedJournal, Options};
    use rusqlite::{Connection, params};
    use stillhouse_streams::{Append, Cleanup, Journal, Record, TopicSpec};

    /// A journal with ten records in its first partition.
    async fn journal() -> (tempfile::TempDir, EmbeddedJournal, Connection) {
        let dir = tempfile::tempdir().expect("a directory");
        let journal = EmbeddedJournal::open(dir.path(), Options::default()).expect("opens");
        let spec = TopicSpec { name: "runs".into(), partitions: 1, cleanup: Cleanup::Keep };
        journal.ensure(&[spec]).await.expect("made");
        let record = |n: u8| Record { key: None, value: Some(vec![n; 20].into()), ..Record::default() };
        let append = |n| Append { topic: "runs".into(), partition: None, record: record(n) };
        journal.append((0..10).map(append).collect()).await.expect("appended");
        let side = Connection::open(dir.path().join("journal.db")).expect("opens");
        (dir, journal, side)
    }

    /// Writes a row with a checksum that fits it, as somebody does who knows how.
    fn forge(side: &Connection, offset: u64, value: &[u8], chain: &Hash) {
        let crc = row_crc(content_crc(0, None, Some(value), &[]), RECORD, 1, offset, chain);
        let sql = "UPDATE p1 SET value = ?2, crc = ?3, chain = ?4 WHERE offset = ?1";
        side.execute(sql, params![offset as i64, value, crc, chain]).expect("forged");
    }

    fn chain_at(side: &Connection, offset: u64) -> Hash {
        side.query_row("SELECT chain FROM p1 WHERE offset = ?1", [offset as i64], |row| row.get(0)).expect("there")
    }

    async fn places(journal: &EmbeddedJournal) -> Vec<String> {
        let verified = journal.verify().await.expect("verified");
        verified.damage.into_iter().map(|damage| damage.place).collect()
    }

    #[tokio::test]
    async fn a_forged_record_breaks_the_chain() {
        let (_dir, journal, side) = journal().await;
        assert_eq!(places(&journal).await, Vec::<String>::new());
        forge(&side, 4, &[99; 20], &chain_at(&side, 4));
        assert_eq!(places(&journal).await, ["runs/0/4"]);
    }

    #[tokio::test]
    async fn swapped_records_break_the_chain() {
        let (_dir, journal, side) = journal().await;
        let (three, seven) = (chain_at(&side, 3), chain_at(&side, 7));
        forge(&side, 3, &[7; 20], &three);
        forge(&side, 7, &[3; 20], &seven);
        assert_eq!(places(&journal).await, ["runs/0/3", "runs/0/7"]);
    }

    /// Who rewrites the chain to its end meets the counters and the head file.
    #[tokio::test]
    async fn a_forged_chain_does_not_fit_the_head() {
        let (_dir, journal, side) = journal().await;
        let mut link = chain_at(&side, 3);
        for offset in 4..10_u64 {
            let value = [offset as u8 + 100; 20];
            link = chain(&link, offset, &digest(0, None, Some(&value), &[]));
            forge(&side, offset, &value, &link);
        }
        assert_eq!(places(&journal).await, ["runs/0/9"]);
    }
}
