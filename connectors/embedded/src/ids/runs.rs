//! Sorted runs of the id index, and their filters.

use super::{ENTRY, Entry, Key, Spot, damaged, decode, encode};
use crate::fault::Outcome;
use crate::framing::Seal;
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::HashMap;

/// Entries of one block: its row fills a page of 4 KiB.
const BLOCK: usize = 140;
/// So many runs become one of the next level.
const FAN: usize = 8;
/// Runs of this level stay as they are: merging them would stop the writer for too long.
const TOP: i64 = 2;

/// What is in memory of a run.
pub(super) struct Run {
    /// The first key of each block.
    firsts: Vec<Key>,
    filter: Filter,
}

impl Run {
    pub(super) fn load(conn: &Connection, topic: i64, id: i64) -> Outcome<Self> {
        let sql = "SELECT firsts, filter, tops, crc FROM runs WHERE id = ?1";
        let (firsts, filter, tops, crc): (Vec<u8>, Vec<u8>, Vec<u8>, i64) = conn
            .prepare_cached(sql)?
            .query_row([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
        if crc != seal(topic, &firsts, &filter, &tops) {
            return Err(damaged(topic).into());
        }
        let firsts = firsts.chunks_exact(16).filter_map(|key| key.try_into().ok()).collect();
        Ok(Self { firsts, filter: Filter(filter) })
    }

    pub(super) fn find(&self, conn: &Connection, topic: i64, run: i64, key: &Key) -> Outcome<Option<Spot>> {
        if !self.filter.may_hold(key) {
            return Ok(None);
        }
        let number = self.firsts.partition_point(|first| first <= key);
        let Some(number) = number.checked_sub(1) else { return Ok(None) };
        let entries = block(conn, topic, run << 16 | number as i64)?;
        let (mut low, mut high) = (0, entries.len() / ENTRY);
        while low < high {
            let middle = usize::midpoint(low, high);
            if entries[middle * ENTRY..][..16] < key[..] { low = middle + 1 } else { high = middle }
        }
        let entry = entries.get(low * ENTRY..(low + 1) * ENTRY).and_then(|entry| decode(entry).next());
        Ok(entry.filter(|entry| entry.0 == *key).map(|entry| entry.1))
    }
}

fn seal(topic: i64, firsts: &[u8], filter: &[u8], tops: &[u8]) -> i64 {
    Seal::new("runs").number(topic).bytes(firsts).bytes(filter).bytes(tops).finish()
}

fn block_seal(topic: i64, id: i64, entries: &[u8]) -> i64 {
    Seal::new("blocks").number(topic).number(id).bytes(entries).finish()
}

fn block(conn: &Connection, topic: i64, id: i64) -> Outcome<Vec<u8>> {
    let mut query = conn.prepare_cached(&format!("SELECT entries, crc FROM blocks{topic} WHERE id = ?1"))?;
    let found: Option<(Vec<u8>, i64)> = query.query_row([id], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    match found {
        Some((entries, crc)) if crc == block_seal(topic, id, &entries) => Ok(entries),
        _ => Err(damaged(topic).into()),
    }
}

/// Writes a run of entries that are sorted by key.
pub(super) fn write(conn: &Connection, topic: i64, level: i64, entries: &[Entry]) -> Outcome<()> {
    let mut filter = Filter::sized(entries.len());
    let mut highest: HashMap<u32, u64> = HashMap::new();
    for (key, spot) in entries {
        filter.add(key);
        let top = highest.entry(spot.partition).or_default();
        *top = (*top).max(spot.offset);
    }
    let firsts: Vec<u8> = entries.chunks(BLOCK).flat_map(|block| block[0].0).collect();
    // In the layout of entries, of which only the spots mean something.
    let tops = highest.into_iter().map(|(partition, offset)| (Key::default(), Spot { partition, offset }));
    let tops = encode(&tops.collect::<Vec<_>>());
    let sql = "INSERT INTO runs(topic, level, firsts, filter, tops, crc) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let crc = seal(topic, &firsts, &filter.0, &tops);
    conn.execute(sql, params![topic, level, firsts, filter.0, tops, crc])?;
    let run = conn.last_insert_rowid();
    let mut insert =
        conn.prepare_cached(&format!("INSERT INTO blocks{topic}(id, entries, crc) VALUES (?1, ?2, ?3)"))?;
    for (number, block) in (0_i64..).zip(entries.chunks(BLOCK)) {
        let (id, entries) = (run << 16 | number, encode(block));
        let crc = block_seal(topic, id, &entries);
        insert.execute(params![id, entries, crc])?;
    }
    Ok(())
}

fn remove(conn: &Connection, topic: i64, run: i64) -> Outcome<()> {
    let sql = format!("DELETE FROM blocks{topic} WHERE id >= ?1 AND id < ?2");
    conn.execute(&sql, [run << 16, (run + 1) << 16])?;
    conn.execute("DELETE FROM runs WHERE id = ?1", [run])?;
    Ok(())
}

/// Makes one run of the many on a level.
pub(super) fn merge(conn: &Connection, topic: i64) -> Outcome<()> {
    for level in 1..TOP {
        let mut query = conn.prepare_cached("SELECT id FROM runs WHERE topic = ?1 AND level = ?2 ORDER BY id DESC")?;
        let runs: Vec<i64> = query.query_map([topic, level], |row| row.get(0))?.collect::<Result<_, _>>()?;
        if runs.len() < FAN {
            continue;
        }
        let mut entries: Vec<Entry> = Vec::new();
        for run in &runs {
            let loaded = Run::load(conn, topic, *run)?;
            for number in 0..loaded.firsts.len() as i64 {
                entries.extend(decode(&block(conn, topic, run << 16 | number)?));
            }
        }
        // Newer runs came first, and a stable sort keeps it so: of equal keys the newest stays.
        entries.sort_by_key(|entry| entry.0);
        entries.dedup_by_key(|entry| entry.0);
        runs.iter().try_for_each(|run| remove(conn, topic, *run))?;
        write(conn, topic, level + 1, &entries)?;
    }
    Ok(())
}

/// Removes runs that name only records before the starts of the partitions.
pub(super) fn prune(conn: &Connection, topic: i64, starts: &[u64]) -> Outcome<()> {
    let mut query = conn.prepare_cached("SELECT id, tops FROM runs WHERE topic = ?1")?;
    let runs = query.query_map([topic], |row| Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?)))?;
    let runs: Vec<(i64, Vec<u8>)> = runs.collect::<Result<_, _>>()?;
    for (run, tops) in runs {
        let gone = |spot: Spot| starts.get(spot.partition as usize).is_some_and(|start| spot.offset < *start);
        if decode(&tops).all(|(_, spot)| gone(spot)) {
            remove(conn, topic, run)?;
        }
    }
    Ok(())
}

/// Says of a key that it is surely not in a run, or that it may be. Ten bits a key, six of them set within one cache
/// line; one absent key in fifty or so is taken for present.
struct Filter(Vec<u8>);

const LINE: usize = 64;

impl Filter {
    fn sized(keys: usize) -> Self {
        Self(vec![0; (keys * 10).div_ceil(8 * LINE).max(1) * LINE])
    }

    /// Bytes and bits of a key.
    fn bits(&self, key: &Key) -> impl Iterator<Item = (usize, u8)> + use<> {
        let (low, high) = key.split_at(8);
        let number = |bytes: &[u8]| u64::from_le_bytes(*bytes.first_chunk().expect("eight bytes"));
        // Keys of live ids begin with the time: both halves are stirred together.
        let mut hash = (number(low).rotate_left(32) ^ number(high)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash = (hash ^ hash >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
        hash ^= hash >> 32;
        let lines = (self.0.len() / LINE) as u64;
        let line = ((u128::from(hash) * u128::from(lines)) >> 64) as usize * LINE;
        let bits = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
        (0..6).map(move |n| {
            let bit = (bits >> (9 * n + 10)) as usize % (8 * LINE);
            (line + bit / 8, 1 << (bit % 8))
        })
    }

    fn add(&mut self, key: &Key) {
        for (byte, bit) in self.bits(key) {
            self.0[byte] |= bit;
        }
    }

    fn may_hold(&self, key: &Key) -> bool {
        self.bits(key).all(|(byte, bit)| self.0.get(byte).is_some_and(|found| found & bit != 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn the_filter_knows_its_keys_and_few_others() {
        for make in [Uuid::now_v7, Uuid::new_v4] {
            let keys: Vec<Key> = (0..20_000).map(|_| *make().as_bytes()).collect();
            let (held, others) = keys.split_at(10_000);
            let mut filter = Filter::sized(held.len());
            held.iter().for_each(|key| filter.add(key));
            assert!(held.iter().all(|key| filter.may_hold(key)));
            let wrong = others.iter().filter(|key| filter.may_hold(key)).count();
            assert!(wrong < 500, "{wrong} of 10,000");
        }
    }
}
