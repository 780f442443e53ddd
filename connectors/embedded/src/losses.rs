//! What is known to be lost: records that were given up by name, and ends that were missing when the journal was opened.
//!
//! A damaged record stops everybody who reads past it, until somebody says to go on without it. Its place is then taken by
//! a row without content, which readers pass as they pass a gap, and the table `losses` says what was there no more.
//! `verify` lists that table on every run.

use crate::fault::Outcome;
use crate::framing::{HOLE, Hash, LOST, RECORD, UNKNOWN, chain, content_crc, digest, row_crc};
use crate::rows::{CHECKSUM, COLUMNS, MISSING, RawRow};
use crate::schema::{Counters, Place};
use crate::txn::Txn;
use rusqlite::{Connection, OptionalExtension, params};
use std::time::{SystemTime, UNIX_EPOCH};
use stillhouse_streams::{Damage, Error, ErrorKind, Loss, Position};

/// Writes losses down. Within a transaction of the caller's.
pub(crate) fn record(conn: &Connection, losses: &[Damage]) -> Outcome<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64;
    for loss in losses {
        let what = format!("{}: {}", loss.place, loss.what);
        conn.execute("INSERT INTO losses VALUES (?1, ?2)", params![now, what])?;
    }
    Ok(())
}

/// All that were accepted so far, in order.
pub(crate) fn accepted(conn: &Connection) -> Outcome<Vec<Loss>> {
    let mut query = conn.prepare("SELECT at, what FROM losses ORDER BY rowid")?;
    let rows = query.query_map([], |row| {
        let (at, text): (i64, String) = (row.get(0)?, row.get(1)?);
        let (place, what) = text.split_once(": ").unwrap_or(("journal.db", text.as_str()));
        Ok(Loss { at, place: place.to_owned(), what: what.to_owned() })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Gives up the damaged records at these positions, or mends them where only their checksum was damaged; answers what
/// became of each. All or none: a position that is whole, or holds nothing, refuses the call.
pub(crate) fn give_up(txn: &mut Txn<'_>, positions: &[Position]) -> Outcome<Vec<Damage>> {
    let mut done = Vec::new();
    for position in positions {
        let place = txn.catalog.place(&position.topic, position.partition)?;
        let counters = txn.counters(&place)?;
        if !(counters.start..counters.next).contains(&position.offset) {
            let (start, next) = (counters.start, counters.next);
            let message =
                format!("there is no record at {position}: {place} has the offsets {start} to {next}, without");
            return Err(Error::new(ErrorKind::Invalid, message).into());
        }
        done.push(give_up_one(txn.conn, &place, &counters, position.offset)?);
    }
    record(txn.conn, &done)?;
    Ok(done)
}

fn give_up_one(conn: &Connection, place: &Place, counters: &Counters, offset: u64) -> Outcome<Damage> {
    let before = match offset.checked_sub(1).filter(|before| *before >= counters.start) {
        None => Some(counters.anchor),
        Some(before) => look(conn, place, before, |raw| *raw.chain)?.filter(|link| *link != UNKNOWN),
    };
    // What the next record follows, if that can be told from it.
    let follows = |link: &Hash| -> Outcome<bool> {
        if offset + 1 == counters.next {
            return Ok(*link == counters.head);
        }
        let fits = look(conn, place, offset + 1, |raw| {
            raw.is_whole(place.id) && digest_of(raw).is_some_and(|next| chain(link, offset + 1, &next) == *raw.chain)
        })?;
        Ok(fits.unwrap_or(false))
    };
    let damage = |what: &str| Damage { place: format!("{place}/{offset}"), what: what.to_owned() };
    let found = look(conn, place, offset, |raw| {
        let made = before.zip(digest_of(raw)).map(|(before, content)| chain(&before, offset, &content));
        let content = content_crc(raw.timestamp, raw.key, raw.value, raw.headers);
        (raw.kind, raw.is_whole(place.id), *raw.chain, made, content)
    })?;
    let Some((kind, whole, stored, made, content)) = found else {
        let link = if offset + 1 == counters.next { counters.head } else { UNKNOWN };
        put_lost(conn, place, offset, &link)?;
        return Ok(damage(MISSING));
    };
    if whole && (kind == LOST || made.is_none_or(|made| made == stored)) {
        let message = format!("{place}/{offset} is not damaged: only what is can be given up");
        return Err(Error::new(ErrorKind::Invalid, message).into());
    }
    if let Some(made) = made.filter(|_| kind == RECORD)
        && follows(&made)?
    {
        // The chain vouches for the content.
        let crc = row_crc(content, RECORD, place.id, offset, &made);
        let sql = format!("UPDATE p{} SET crc = ?2, chain = ?3 WHERE offset = ?1", place.id);
        conn.execute(&sql, params![offset as i64, crc, made])?;
        return Ok(damage("its checksum was wrong, its content is not: mended, nothing was lost"));
    }
    let mut link = if offset + 1 == counters.next { counters.head } else { UNKNOWN };
    for candidate in [Some(stored), made].into_iter().flatten() {
        if follows(&candidate)? {
            link = candidate;
        }
    }
    put_lost(conn, place, offset, &link)?;
    Ok(damage(if whole { "other content than was appended here; given up" } else { CHECKSUM }))
}

fn digest_of(raw: &RawRow<'_>) -> Option<Hash> {
    match raw.kind {
        RECORD => Some(digest(raw.timestamp, raw.key, raw.value, raw.headers)),
        HOLE => raw.value?.try_into().ok(),
        _ => None,
    }
}

/// Looks at a row as it stands; `None` if there is none, or its columns are not of their types.
fn look<T>(conn: &Connection, place: &Place, offset: u64, seen: impl FnOnce(&RawRow<'_>) -> T) -> Outcome<Option<T>> {
    let sql = format!("SELECT {COLUMNS} FROM p{} WHERE offset = ?1", place.id);
    let mut query = conn.prepare_cached(&sql)?;
    let found = query.query_row([offset as i64], |row| Ok(RawRow::read(row)?.as_ref().map(seen))).optional()?;
    Ok(found.flatten())
}

fn put_lost(conn: &Connection, place: &Place, offset: u64, link: &Hash) -> Outcome<()> {
    let sql = format!(
        "REPLACE INTO p{}(offset, timestamp, kind, crc, chain, key, value, headers) VALUES (?1, 0, ?2, ?3, ?4, NULL, NULL, NULL)",
        place.id
    );
    let crc = row_crc(content_crc(0, None, None, &[]), LOST, place.id, offset, link);
    conn.execute(&sql, params![offset as i64, LOST, crc, link])?;
    Ok(())
}
