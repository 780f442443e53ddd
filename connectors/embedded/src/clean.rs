//! Throwing away: retention from the front, compaction by key, the tables of removed topics.
//!
//! All of it goes in small transactions between those of others. What goes is overwritten with zeros in the database
//! (`secure_delete`); the write-ahead log may hold copies until it begins anew.

use crate::fault::Outcome;
use crate::framing::{HOLE, RECORD, content_crc, digest, row_crc};
use crate::ids::{self, Key};
use crate::journal::Handle;
use crate::rows::Walk;
use crate::schema::Place;
use crate::txn::Txn;
use crate::writer::Terms;
use rusqlite::{OptionalExtension, params};
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use stillhouse_streams::{Cleanup, Result};

/// Rows that one transaction throws away, or one read transaction looks at.
const STEP: u64 = 2_000;
/// Keys that one pass of compaction remembers.
const KEYS: usize = 1_000_000;

/// Cleans every topic as its cleanup says, and the remains of removed ones.
pub(crate) async fn clean(handle: &Arc<Handle>, now: i64) -> Result<()> {
    handle.shared.check_writable()?;
    sweep(handle).await?;
    let places: Vec<Place> = handle.shared.reading(|view| Ok(view.catalog.places().collect())).await?;
    for place in places {
        match place.topic.cleanup {
            Cleanup::Keep => {}
            Cleanup::Retain(age) => {
                let oldest = now.saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
                while retain(handle, &place, oldest).await? {}
            }
            Cleanup::Compact => compact(handle, &place).await?,
        }
        if place.topic.cleanup != Cleanup::Keep && place.number == 0 {
            prune(handle, &place).await?;
        }
    }
    Ok(())
}

/// Forgets ids of records that retention removed before.
async fn prune(handle: &Arc<Handle>, place: &Place) -> Result<()> {
    let place = place.clone();
    let step = move |txn: &mut Txn<'_>| -> Outcome<()> {
        if !is_there(txn, &place) {
            return Ok(());
        }
        let mut starts = Vec::new();
        for number in 0..place.topic.partitions.len() as u32 {
            let place = txn.catalog.place(&place.topic.name, number)?;
            starts.push(txn.counters(&place)?.start);
        }
        ids::prune(txn.conn, place.topic.id, &starts)
    };
    handle.write(terms(), step).await
}

fn terms() -> Terms {
    Terms { bytes: 1 << 20, durable: true, savepoint: true, ..Terms::default() }
}

/// Whether the topic of a place is still there: it may have been removed meanwhile.
fn is_there(txn: &Txn<'_>, place: &Place) -> bool {
    txn.catalog.topics.get(&place.topic.name).is_some_and(|topic| topic.id == place.topic.id)
}

/// Removes records from the front up to the first that is not too old; whether there may be more to remove.
async fn retain(handle: &Arc<Handle>, place: &Place, oldest: i64) -> Result<bool> {
    let place = place.clone();
    let step = move |txn: &mut Txn<'_>| -> Outcome<bool> {
        if !is_there(txn, &place) {
            return Ok(false);
        }
        let mut counters = txn.counters(&place)?;
        let mut found_young = false;
        let walk = Walk { conn: txn.conn, skip_crc: false };
        let (mut start, mut anchor) = (counters.start, counters.anchor);
        walk.rows_of(&place, counters, counters.start..counters.start.saturating_add(STEP), |raw| {
            if raw.kind == RECORD && raw.timestamp >= oldest {
                found_young = true;
                return Ok(ControlFlow::Break(()));
            }
            (start, anchor) = (raw.offset + 1, *raw.chain);
            Ok(ControlFlow::Continue(()))
        })?;
        if start == counters.start {
            return Ok(false);
        }
        secure(txn, &format!("DELETE FROM p{} WHERE offset < ?1", place.id), start as i64)?;
        (counters.start, counters.anchor) = (start, anchor);
        txn.set_counters(&place, counters);
        Ok(!found_young && counters.start < counters.next)
    };
    handle.write(terms(), step).await
}

/// Overwrites what it deletes.
fn secure(txn: &Txn<'_>, sql: &str, argument: i64) -> Outcome<()> {
    txn.conn.pragma_update(None, "secure_delete", true)?;
    let outcome = txn.conn.execute(sql, [argument]);
    txn.conn.pragma_update(None, "secure_delete", false)?;
    outcome?;
    Ok(())
}

/// Of the records with one key, leaves the last. Goes over the partition in windows of as many keys as it remembers:
/// a record goes when its key comes again later in the window, or when a later window finds its key again.
async fn compact(handle: &Arc<Handle>, place: &Place) -> Result<()> {
    let mut window = 0;
    loop {
        let (last, next) = survey(handle, place, window).await?;
        if !last.is_empty() {
            let last = Arc::new(last);
            let mut from = 0;
            while let Some(after) = punch(handle, place, from, next, &last).await? {
                from = after;
            }
        }
        if next <= window {
            return Ok(());
        }
        window = next;
    }
}

type Last = HashMap<Key, u64>;

fn key_of(key: &[u8]) -> Key {
    *blake3::hash(key).as_bytes().first_chunk().expect("a hash is longer")
}

/// The last offset of each key from `from` on, until there are too many keys or no more records.
async fn survey(handle: &Arc<Handle>, place: &Place, from: u64) -> Result<(Last, u64)> {
    let (mut last, mut next) = (Last::new(), from);
    loop {
        let place = place.clone();
        let (keys, after) = handle
            .shared
            .reading(move |view| {
                let mut keys = Vec::new();
                if view.catalog.topics.get(&place.topic.name).is_none_or(|topic| topic.id != place.topic.id) {
                    return Ok((keys, next));
                }
                let walk = Walk { conn: view.conn, skip_crc: false };
                let after = walk.rows(&place, next..next.saturating_add(STEP), |raw| {
                    keys.extend(raw.key.filter(|_| raw.kind == RECORD).map(|key| (key_of(key), raw.offset)));
                    Ok(ControlFlow::Continue(()))
                })?;
                Ok((keys, after))
            })
            .await?;
        last.extend(keys);
        let ended = after <= next;
        next = after.max(next);
        if ended || last.len() >= KEYS {
            return Ok((last, next));
        }
    }
}

/// Makes holes of records before `until` whose key comes again; answers where to go on.
async fn punch(handle: &Arc<Handle>, place: &Place, from: u64, until: u64, last: &Arc<Last>) -> Result<Option<u64>> {
    let (place, last) = (place.clone(), last.clone());
    let step = move |txn: &mut Txn<'_>| -> Outcome<Option<u64>> {
        if !is_there(txn, &place) {
            return Ok(None);
        }
        let counters = txn.counters(&place)?;
        let mut holes = Vec::new();
        let walk = Walk { conn: txn.conn, skip_crc: false };
        let after = walk.rows_of(&place, counters, from..until.min(from.saturating_add(STEP)), |raw| {
            let later = raw.key.filter(|_| raw.kind == RECORD).and_then(|key| last.get(&key_of(key)));
            if later.is_some_and(|later| *later > raw.offset) {
                holes.push((raw.offset, digest(raw.timestamp, raw.key, raw.value, raw.headers), *raw.chain));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        let sql = format!(
            "REPLACE INTO p{}(offset, timestamp, kind, crc, chain, key, value, headers) \
             VALUES (?1, 0, ?2, ?3, ?4, NULL, ?5, NULL)",
            place.id
        );
        txn.conn.pragma_update(None, "secure_delete", true)?;
        for (offset, digest, chain) in holes {
            let crc = row_crc(content_crc(0, None, Some(&digest), &[]), HOLE, place.id, offset, &chain);
            txn.conn.prepare_cached(&sql)?.execute(params![offset as i64, HOLE, crc, chain, digest])?;
        }
        txn.conn.pragma_update(None, "secure_delete", false)?;
        Ok((after > from && after < until).then_some(after))
    };
    handle.write(terms(), step).await
}

/// Empties and drops the tables of removed topics, step by step: the removal itself was over long before.
pub(crate) async fn sweep(handle: &Arc<Handle>) -> Result<()> {
    let step = |txn: &mut Txn<'_>| -> Outcome<bool> {
        let table = "SELECT name FROM litter LIMIT 1";
        let Some(table) = txn.conn.query_row(table, [], |row| row.get::<_, String>(0)).optional()? else {
            return Ok(false);
        };
        // Names are of our own making; one that is not was put there by damage.
        if !table.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(crate::fault::corrupt("the list of tables to drop", "it holds a foreign name").into());
        }
        let (column, rows) = if table.starts_with('p') { ("offset", STEP) } else { ("id", STEP) };
        let sql = format!("DELETE FROM {table} WHERE {column} IN (SELECT {column} FROM {table} LIMIT ?1)");
        secure(txn, &sql, rows as i64)?;
        let left: bool = txn.conn.query_row(&format!("SELECT EXISTS(SELECT 1 FROM {table})"), [], |row| row.get(0))?;
        if !left {
            txn.conn.execute_batch(&format!("DROP TABLE {table}"))?;
            txn.conn.execute("DELETE FROM litter WHERE name = ?1", [&table])?;
        }
        Ok(true)
    };
    while handle.write(terms(), step).await? {}
    Ok(())
}
