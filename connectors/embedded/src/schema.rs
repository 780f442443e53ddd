//! The tables, and the small rows that everything hangs on: state, catalog, counters.
//!
//! Small rows carry a CRC of their own; that none of them is missing is checked by one CRC over the whole catalog,
//! which the state row holds, and by the number of progress entries, which the group's row holds.

use crate::fault::{Outcome, corrupt};
use crate::framing::{Hash, Seal};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::BTreeMap;
use std::sync::Arc;
use stillhouse_streams::{Cleanup, Error, ErrorKind, Result};

/// Of the tables below. A journal with a greater number is refused.
pub(crate) const FORMAT: i64 = 1;

/// `PRAGMA application_id`: the bytes `SHJ1`.
pub(crate) const APPLICATION: i32 = i32::from_be_bytes(*b"SHJ1");

/// One table `p<id>` per partition comes with [`create_partition`], the tables of a topic's ids with
/// [`crate::ids::create`].
pub(crate) const TABLES: &str = "
CREATE TABLE meta(name TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;
CREATE TABLE state(one INTEGER PRIMARY KEY CHECK (one = 1), sequence INTEGER NOT NULL, version INTEGER NOT NULL,
                   catalog INTEGER NOT NULL, crc INTEGER NOT NULL);
CREATE TABLE topics(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, partitions INTEGER NOT NULL,
                    cleanup TEXT NOT NULL);
CREATE TABLE partitions(id INTEGER PRIMARY KEY AUTOINCREMENT, topic INTEGER NOT NULL, number INTEGER NOT NULL,
                        start INTEGER NOT NULL, next INTEGER NOT NULL, anchor BLOB NOT NULL, head BLOB NOT NULL,
                        crc INTEGER NOT NULL);
CREATE TABLE groups(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, entries INTEGER NOT NULL,
                    crc INTEGER NOT NULL);
CREATE TABLE progress(grp INTEGER NOT NULL, partition INTEGER NOT NULL, next INTEGER NOT NULL, crc INTEGER NOT NULL,
                      PRIMARY KEY (grp, partition)) WITHOUT ROWID;
CREATE TABLE members(grp INTEGER NOT NULL, member TEXT NOT NULL, width INTEGER NOT NULL, host TEXT NOT NULL,
                     pid INTEGER NOT NULL, started INTEGER NOT NULL, deadline INTEGER NOT NULL,
                     PRIMARY KEY (grp, member)) WITHOUT ROWID;
CREATE TABLE leases(grp INTEGER NOT NULL, number INTEGER NOT NULL, member TEXT, epoch INTEGER NOT NULL,
                    PRIMARY KEY (grp, number)) WITHOUT ROWID;
CREATE TABLE runs(id INTEGER PRIMARY KEY AUTOINCREMENT, topic INTEGER NOT NULL, level INTEGER NOT NULL,
                  firsts BLOB NOT NULL, filter BLOB NOT NULL, tops BLOB NOT NULL, crc INTEGER NOT NULL);
CREATE INDEX runs_by_topic ON runs(topic, level);
CREATE TABLE retired(partition INTEGER PRIMARY KEY);
CREATE TABLE litter(name TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE losses(at INTEGER NOT NULL, what TEXT NOT NULL);
";

/// Integrity is held by hand, so these tables need no more than their key.
pub(crate) fn create_partition(id: i64) -> String {
    format!(
        "CREATE TABLE p{id}(offset INTEGER PRIMARY KEY, timestamp INTEGER NOT NULL, kind INTEGER NOT NULL, \
         crc INTEGER NOT NULL, chain BLOB NOT NULL, key BLOB, value BLOB, headers BLOB)"
    )
}

/// The one row that every transaction moves on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// Counts the transactions.
    pub(crate) sequence: u64,
    /// Counts the changes of the catalog.
    pub(crate) version: i64,
    /// CRC of the catalog.
    pub(crate) catalog: i64,
}

impl State {
    fn seal(self) -> i64 {
        Seal::new("state").number(self.sequence as i64).number(self.version).number(self.catalog).finish()
    }

    pub(crate) fn load(conn: &Connection) -> Outcome<Self> {
        let mut query = conn.prepare_cached("SELECT sequence, version, catalog, crc FROM state WHERE one = 1")?;
        let (state, crc) = query.query_row([], |row| {
            let sequence = row.get::<_, i64>(0)? as u64;
            Ok((Self { sequence, version: row.get(1)?, catalog: row.get(2)? }, row.get::<_, i64>(3)?))
        })?;
        if crc != state.seal() {
            return Err(corrupt("the state row", "its checksum is wrong").into());
        }
        Ok(state)
    }

    pub(crate) fn store(self, conn: &Connection) -> Outcome<()> {
        conn.prepare_cached("REPLACE INTO state(one, sequence, version, catalog, crc) VALUES (1, ?1, ?2, ?3, ?4)")?
            .execute(params![self.sequence as i64, self.version, self.catalog, self.seal()])?;
        Ok(())
    }
}

/// A topic.
#[derive(Clone, Debug)]
pub(crate) struct Topic {
    pub(crate) id: i64,
    pub(crate) name: Arc<str>,
    pub(crate) cleanup: Cleanup,
    /// Ids of the partitions' tables, by number.
    pub(crate) partitions: Vec<i64>,
}

/// Names and ids of everything; read again when the state row says that it changed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Catalog {
    pub(crate) version: i64,
    pub(crate) topics: BTreeMap<Arc<str>, Arc<Topic>>,
    pub(crate) groups: BTreeMap<Arc<str>, i64>,
    pub(crate) seal: i64,
}

/// One partition by all its names.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) id: i64,
    pub(crate) topic: Arc<Topic>,
    pub(crate) number: u32,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.topic.name, self.number)
    }
}

impl Catalog {
    /// Reads the catalog and checks it against the state row.
    pub(crate) fn load(conn: &Connection, state: &State) -> Outcome<Arc<Self>> {
        let catalog = Self::read(conn, state.version)?;
        if catalog.seal != state.catalog {
            return Err(corrupt("the catalog of topics and groups", "its checksum is wrong").into());
        }
        Ok(Arc::new(catalog))
    }

    /// Reads the catalog as it is.
    pub(crate) fn read(conn: &Connection, version: i64) -> Outcome<Self> {
        let mut seal = Seal::new("catalog");
        let mut topics: BTreeMap<i64, Topic> = BTreeMap::new();
        let mut query = conn.prepare_cached("SELECT id, name, partitions, cleanup FROM topics ORDER BY id")?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            let (id, name, count): (i64, String, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let cleanup: String = row.get(3)?;
            seal = seal.number(id).bytes(name.as_bytes()).number(count).bytes(cleanup.as_bytes());
            let cleanup = serde_json::from_str(&cleanup).map_err(|e| corrupt(format!("topic `{name}`"), e))?;
            topics.insert(id, Topic { id, name: name.into(), cleanup, partitions: Vec::new() });
        }
        let mut query = conn.prepare_cached("SELECT id, topic, number FROM partitions ORDER BY id")?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            let (id, topic, number): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            seal = seal.number(id).number(topic).number(number);
            let found = topics.get_mut(&topic).filter(|t| t.partitions.len() as i64 == number);
            found.ok_or_else(|| corrupt("the catalog", format!("partition {id} is out of place")))?.partitions.push(id);
        }
        let mut groups = BTreeMap::new();
        let mut query = conn.prepare_cached("SELECT id, name FROM groups ORDER BY id")?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            let (id, name): (i64, String) = (row.get(0)?, row.get(1)?);
            seal = seal.number(id).bytes(name.as_bytes());
            groups.insert(name.into(), id);
        }
        let topics = topics.into_values().map(|t| (t.name.clone(), Arc::new(t))).collect();
        Ok(Self { version, topics, groups, seal: seal.finish() })
    }

    pub(crate) fn topic(&self, name: &str) -> Result<&Arc<Topic>> {
        self.topics
            .get(name)
            .ok_or_else(|| Error::new(ErrorKind::NotFound, format!("there is no topic `{}`", name.escape_debug())))
    }

    /// A partition that a reader asks for.
    pub(crate) fn place(&self, topic: &str, number: u32) -> Result<Place> {
        let found = self.topic(topic)?;
        let id = found
            .partitions
            .get(number as usize)
            .copied()
            .ok_or_else(|| Error::new(ErrorKind::NotFound, format!("there is no partition `{topic}/{number}`")))?;
        Ok(Place { id, topic: found.clone(), number })
    }

    /// Every partition there is.
    pub(crate) fn places(&self) -> impl Iterator<Item = Place> {
        self.topics.values().flat_map(|topic| {
            let places = (0..).zip(&topic.partitions);
            places.map(|(number, id)| Place { id: *id, topic: topic.clone(), number })
        })
    }
}

/// Where a partition begins and ends, with the chain at both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counters {
    pub(crate) start: u64,
    pub(crate) next: u64,
    /// The chain before `start`.
    pub(crate) anchor: Hash,
    /// The chain at `next - 1`.
    pub(crate) head: Hash,
}

impl Counters {
    pub(crate) fn seal(&self, partition: i64) -> i64 {
        let seal = Seal::new("partitions").number(partition).number(self.start as i64).number(self.next as i64);
        seal.bytes(&self.anchor).bytes(&self.head).finish()
    }

    pub(crate) fn load(conn: &Connection, place: &Place) -> Outcome<Self> {
        let mut query = conn.prepare_cached("SELECT start, next, anchor, head, crc FROM partitions WHERE id = ?1")?;
        let found = query
            .query_row([place.id], |row| {
                let (start, next) = (row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64);
                Ok((Self { start, next, anchor: row.get(2)?, head: row.get(3)? }, row.get::<_, i64>(4)?))
            })
            .optional()?;
        match found {
            Some((counters, crc)) if crc == counters.seal(place.id) && counters.start <= counters.next => Ok(counters),
            Some(_) => Err(corrupt(place, "the checksum of its counters is wrong").into()),
            None => Err(corrupt(place, "its counters are gone").into()),
        }
    }

    pub(crate) fn store(&self, conn: &Connection, partition: i64) -> Outcome<()> {
        let sql = "UPDATE partitions SET start = ?2, next = ?3, anchor = ?4, head = ?5, crc = ?6 WHERE id = ?1";
        let (start, next) = (self.start as i64, self.next as i64);
        conn.prepare_cached(sql)?.execute(params![
            partition,
            start,
            next,
            self.anchor,
            self.head,
            self.seal(partition)
        ])?;
        Ok(())
    }
}
