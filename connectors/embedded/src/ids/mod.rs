//! The id index: where the record with an id stands, per topic.
//!
//! Ids come in no order, so a tree of them would have a page rewritten for almost every one. Instead each transaction
//! adds one row with all its ids (the young ones, which the writer also has in memory), and when there are many of
//! those they are sorted into a run: blocks of entries by key, with a filter that says which keys are surely not in
//! it. Eight runs become one of the next level.
//!
//! ```text
//!   ids<topic>    one row a transaction:  entries · crc
//!   runs          one row a run:          first keys of its blocks · filter · highest offset per partition · crc
//!   blocks<topic> run << 16 | number:     entries by key · crc
//!   entry         key 16 · partition u32 · offset u64
//! ```
//! Newer entries hide older ones. Ids of records that are gone stay until their run holds nothing else; who finds such
//! a one looks for the record, which is not there, and takes the id for unknown.

mod runs;

use crate::fault::{Outcome, corrupt};
use crate::framing::Seal;
use runs::Run;
use rusqlite::{Connection, params};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use uuid::Uuid;

/// What stands for an id: a UUID's own bytes, or the beginning of a hash of any other text.
pub(crate) type Key = [u8; 16];

/// Only the usual spelling is taken for a UUID: others are other ids.
pub(crate) fn key(id: &str) -> Key {
    if id.len() == 36
        && let Ok(uuid) = Uuid::try_parse(id)
        && !id.bytes().any(|b| b.is_ascii_uppercase())
    {
        return *uuid.as_bytes();
    }
    *blake3::hash(id.as_bytes()).as_bytes().first_chunk().expect("a hash is longer")
}

/// Where something stands within its topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) partition: u32,
    pub(crate) offset: u64,
}

type Entry = (Key, Spot);

/// Looked up several times a record, so not by the slower hash of the standard library. Seeded all the same: ids come
/// from outside.
pub(crate) type Spots = HashMap<Key, Spot, foldhash::fast::RandomState>;

const ENTRY: usize = 28;

fn encode(entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::with_capacity(entries.len() * ENTRY);
    for (key, spot) in entries {
        out.extend_from_slice(key);
        out.extend_from_slice(&spot.partition.to_le_bytes());
        out.extend_from_slice(&spot.offset.to_le_bytes());
    }
    out
}

fn decode(bytes: &[u8]) -> impl Iterator<Item = Entry> {
    bytes.chunks_exact(ENTRY).filter_map(|entry| {
        let partition = u32::from_le_bytes(*entry[16..].first_chunk()?);
        let offset = u64::from_le_bytes(*entry[20..].first_chunk()?);
        Some((*entry.first_chunk()?, Spot { partition, offset }))
    })
}

fn damaged(topic: i64) -> stillhouse_streams::Error {
    corrupt(format!("the id index of topic number {topic}"), "a checksum is wrong")
}

/// Tables of a topic; see the module.
pub(crate) fn create(topic: i64) -> String {
    format!(
        "CREATE TABLE ids{topic}(id INTEGER PRIMARY KEY AUTOINCREMENT, entries BLOB NOT NULL, crc INTEGER NOT NULL);
         CREATE TABLE blocks{topic}(id INTEGER PRIMARY KEY, entries BLOB NOT NULL, crc INTEGER NOT NULL);"
    )
}

/// Names of the tables of a topic.
pub(crate) fn tables(topic: i64) -> [String; 2] {
    [format!("ids{topic}"), format!("blocks{topic}")]
}

/// What somebody has in memory of the index. The writer adds to it; others look things up.
#[derive(Default)]
pub(crate) struct Index {
    topics: HashMap<i64, OfTopic>,
    /// Goes up when others may have changed the tables.
    epoch: u64,
    /// The last transaction that this index knows of.
    sequence: u64,
}

#[derive(Default)]
struct OfTopic {
    /// Of when this is; 0 is never.
    epoch: u64,
    /// The last row of young ids that is in `young`.
    seen: i64,
    young: Spots,
    runs: BTreeMap<i64, Run>,
    /// Of the transaction that is going on.
    pending: Vec<Entry>,
    pending_keys: Spots,
    /// The row that the transaction wrote.
    written: i64,
    /// Not before there are so many is sorting tried again.
    patience: usize,
}

/// As many young ids are sorted into a run.
const YOUNG: usize = 1 << 16;

impl Index {
    /// Something else than this index may have written.
    pub(crate) fn doubt(&mut self) {
        self.epoch += 1;
    }

    /// Takes note of a transaction; unless it is the one that this index knows, others wrote.
    pub(crate) fn meet(&mut self, sequence: u64) {
        if sequence != self.sequence {
            self.doubt();
            self.sequence = sequence;
        }
    }

    fn topic(&mut self, conn: &Connection, topic: i64) -> Outcome<&mut OfTopic> {
        let epoch = self.epoch + 1;
        let found = self.topics.entry(topic).or_default();
        if found.epoch != epoch {
            found.refresh(conn, topic)?;
            found.epoch = epoch;
        }
        Ok(found)
    }

    /// Where the newest record with this id stands, or stood.
    pub(crate) fn find(&mut self, conn: &Connection, topic: i64, key: &Key) -> Outcome<Option<Spot>> {
        let found = self.topic(conn, topic)?;
        if let Some(spot) = found.pending_keys.get(key).or_else(|| found.young.get(key)) {
            return Ok(Some(*spot));
        }
        for (id, run) in found.runs.iter().rev() {
            if let Some(spot) = run.find(conn, topic, *id, key)? {
                return Ok(Some(spot));
            }
        }
        Ok(None)
    }

    /// Adds ids to the transaction that is going on.
    pub(crate) fn add(&mut self, topic: i64, entries: Vec<Entry>) {
        let found = self.topics.entry(topic).or_default();
        found.pending_keys.extend(entries.iter().copied());
        if found.pending.is_empty() {
            found.pending = entries;
        } else {
            found.pending.extend(entries);
        }
    }

    /// Writes what was added.
    pub(crate) fn write(&mut self, conn: &Connection) -> Outcome<()> {
        for (topic, found) in self.topics.iter_mut().filter(|(_, found)| !found.pending.is_empty()) {
            let entries = encode(&found.pending);
            let crc = Seal::new("ids").number(*topic).bytes(&entries).finish();
            let sql = format!("INSERT INTO ids{topic}(entries, crc) VALUES (?1, ?2)");
            conn.prepare_cached(&sql)?.execute(params![entries, crc])?;
            found.written = conn.last_insert_rowid();
        }
        Ok(())
    }

    /// The transaction is there for good.
    pub(crate) fn keep(&mut self, sequence: u64) {
        self.sequence = sequence;
        for found in self.topics.values_mut().filter(|found| !found.pending.is_empty()) {
            found.young.extend(found.pending.drain(..));
            found.pending_keys.clear();
            // Unless there are rows of others before it that were not read.
            if found.epoch == self.epoch + 1 {
                found.seen = found.written;
            }
        }
    }

    /// The transaction is gone.
    pub(crate) fn abandon(&mut self) {
        for found in self.topics.values_mut() {
            found.pending.clear();
            found.pending_keys.clear();
        }
    }

    /// Forgets topics that are no more.
    pub(crate) fn retain(&mut self, topics: &BTreeSet<i64>) {
        self.topics.retain(|topic, found| topics.contains(topic) || !found.pending.is_empty());
    }

    /// A topic with so many young ids that they should be sorted. It is named once, and again after a while.
    pub(crate) fn crowded(&mut self) -> Option<i64> {
        let crowd = self.topics.iter_mut().find(|(_, found)| found.young.len() >= YOUNG.max(found.patience));
        crowd.map(|(topic, found)| {
            found.patience = found.young.len() + YOUNG / 4;
            *topic
        })
    }

    /// Sorts young ids into a run, and runs into greater ones.
    pub(crate) fn sort(&mut self, conn: &Connection, topic: i64) -> Outcome<()> {
        self.doubt();
        let found = self.topic(conn, topic)?;
        let mut entries: Vec<Entry> = found.young.iter().map(|(key, spot)| (*key, *spot)).collect();
        entries.sort_unstable_by_key(|entry| entry.0);
        conn.execute(&format!("DELETE FROM ids{topic}"), [])?;
        runs::write(conn, topic, 1, &entries)?;
        runs::merge(conn, topic)?;
        // Read again by whoever needs it next, whether or not this transaction comes through.
        found.epoch = 0;
        found.patience = 0;
        Ok(())
    }
}

impl OfTopic {
    /// Takes over what the tables say.
    fn refresh(&mut self, conn: &Connection, topic: i64) -> Outcome<()> {
        let mut query = conn.prepare_cached("SELECT id FROM runs WHERE topic = ?1")?;
        let there: BTreeSet<i64> = query.query_map([topic], |row| row.get(0))?.collect::<Result<_, _>>()?;
        if !there.iter().eq(self.runs.keys()) {
            // Young ids were sorted: what is in memory may be in a run by now.
            self.young.clear();
            self.seen = 0;
            self.runs.retain(|id, _| there.contains(id));
            for id in there {
                if let std::collections::btree_map::Entry::Vacant(entry) = self.runs.entry(id) {
                    entry.insert(Run::load(conn, topic, id)?);
                }
            }
        }
        let sql = format!("SELECT id, entries, crc FROM ids{topic} WHERE id > ?1 ORDER BY id");
        let mut query = conn.prepare_cached(&sql)?;
        let mut rows = query.query([self.seen])?;
        while let Some(row) = rows.next()? {
            let (id, entries, crc): (i64, Vec<u8>, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            if crc != Seal::new("ids").number(topic).bytes(&entries).finish() {
                return Err(damaged(topic).into());
            }
            self.young.extend(decode(&entries));
            self.seen = id;
        }
        Ok(())
    }
}

/// Removes the runs of a topic that name only records before these starts of its partitions.
pub(crate) fn prune(conn: &Connection, topic: i64, starts: &[u64]) -> Outcome<()> {
    runs::prune(conn, topic, starts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    #[test]
    fn spellings_are_different_ids() {
        let id = "0198b4a0-0000-7000-8000-00000000abcd";
        assert_eq!(key(id)[..2], [0x01, 0x98]);
        assert_ne!(key(id), key(&id.to_uppercase()));
        assert_ne!(key(id), key(&id.replace('-', "")));
        assert_ne!(key("a"), key("b"));
    }

    fn tables() -> Connection {
        let conn = Connection::open_in_memory().expect("opens");
        conn.execute_batch(crate::schema::TABLES).expect("made");
        conn.execute_batch(&create(1)).expect("made");
        conn
    }

    /// Generated transactions, some of which fail, some by another process, against a plain map.
    #[test]
    fn finds_what_was_added_and_nothing_else() {
        let (conn, mut dice) = (tables(), StdRng::seed_from_u64(7));
        let (mut one, mut other) = (Index::default(), Index::default());
        let mut known: HashMap<Key, Spot> = HashMap::new();
        for round in 0..1_500_u64 {
            let index = if dice.random_ratio(1, 5) { &mut other } else { &mut one };
            index.doubt();
            let mut entries = Vec::new();
            for n in 0..dice.random_range(1..1_000) {
                let key = if dice.random_ratio(1, 50) {
                    known.keys().next().copied().unwrap_or_default()
                } else {
                    dice.random()
                };
                entries.push((key, Spot { partition: dice.random_range(0..4), offset: round * 1_000 + n }));
            }
            conn.execute_batch("BEGIN").expect("begun");
            index.add(1, entries.clone());
            index.write(&conn).expect("written");
            if dice.random_ratio(1, 10) {
                conn.execute_batch("ROLLBACK").expect("undone");
                index.abandon();
                continue;
            }
            conn.execute_batch("COMMIT").expect("done");
            index.keep(round);
            known.extend(entries);
            if let Some(topic) = index.crowded() {
                conn.execute_batch("BEGIN").expect("begun");
                index.sort(&conn, topic).expect("sorted");
                conn.execute_batch(if dice.random_bool(0.8) { "COMMIT" } else { "ROLLBACK" }).expect("ended");
                index.doubt();
            }
        }
        let mut reader = Index::default();
        for index in [&mut one, &mut other, &mut reader] {
            index.doubt();
            for (key, spot) in known.iter().step_by(37) {
                assert_eq!(index.find(&conn, 1, key).expect("read"), Some(*spot));
            }
            for _ in 0..20_000 {
                assert_eq!(index.find(&conn, 1, &dice.random()).expect("read"), None);
            }
        }
        let levels: i64 = conn.query_row("SELECT max(level) FROM runs", [], |row| row.get(0)).expect("read");
        assert_eq!(levels, 2, "{} ids are enough for that", known.len());
        prune(&conn, 1, &[u64::MAX; 4]).expect("pruned");
        let left: i64 = conn.query_row("SELECT count(*) FROM blocks1", [], |row| row.get(0)).expect("read");
        assert_eq!(left, 0);
    }

    #[test]
    fn a_changed_block_is_noticed() {
        let conn = tables();
        let mut index = Index::default();
        let entries: Vec<Entry> =
            (0..YOUNG as u64).map(|offset| (key(&offset.to_string()), Spot { partition: 0, offset })).collect();
        index.add(1, entries);
        index.write(&conn).expect("written");
        index.keep(1);
        assert_eq!(index.crowded(), Some(1));
        index.sort(&conn, 1).expect("sorted");
        conn.execute("UPDATE blocks1 SET entries = zeroblob(length(entries))", []).expect("changed");
        let error = index.find(&conn, 1, &key("7")).expect_err("noticed");
        assert!(matches!(error, crate::fault::Fault::Refused(e) if e.kind() == stillhouse_streams::ErrorKind::Corrupt));
    }
}
