//! The id index: where the record with an id stands, per topic.

use crate::fault::Outcome;
use crate::schema::Topic;
use rusqlite::{Connection, OptionalExtension, params};
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

pub(crate) fn find(conn: &Connection, topic: &Topic, key: &Key) -> Outcome<Option<Spot>> {
    let mut query = conn.prepare_cached(&format!("SELECT partition, offset FROM ids{} WHERE id = ?1", topic.id))?;
    let spot = |row: &rusqlite::Row<'_>| Ok(Spot { partition: row.get(0)?, offset: row.get::<_, i64>(1)? as u64 });
    Ok(query.query_row([key], spot).optional()?)
}

/// The spots of several ids, in their order.
pub(crate) fn find_all(conn: &Connection, topic: &Topic, keys: &[Option<Key>]) -> Outcome<Vec<Option<Spot>>> {
    let mut query = conn.prepare_cached(&format!("SELECT partition, offset FROM ids{} WHERE id = ?1", topic.id))?;
    let mut find = |key: &Key| -> Outcome<Option<Spot>> {
        let mut rows = query.query([key])?;
        match rows.next()? {
            Some(row) => Ok(Some(Spot { partition: row.get(0)?, offset: row.get::<_, i64>(1)? as u64 })),
            None => Ok(None),
        }
    };
    keys.iter().map(|key| key.as_ref().map_or(Ok(None), &mut find)).collect()
}

pub(crate) fn insert(conn: &Connection, topic: &Topic, fresh: &[(Key, Spot)]) -> Outcome<()> {
    let sql = format!("REPLACE INTO ids{}(id, partition, offset) VALUES (?1, ?2, ?3)", topic.id);
    let mut insert = conn.prepare_cached(&sql)?;
    for (key, spot) in fresh {
        insert.execute(params![key, spot.partition, spot.offset as i64])?;
    }
    Ok(())
}

/// Forgets ids of records that go, unless the same id stands elsewhere by now.
pub(crate) fn remove(conn: &Connection, topic: &Topic, gone: &[(Key, Spot)]) -> Outcome<()> {
    let sql = format!("DELETE FROM ids{} WHERE id = ?1 AND partition = ?2 AND offset = ?3", topic.id);
    let mut delete = conn.prepare_cached(&sql)?;
    for (key, spot) in gone {
        delete.execute(params![key, spot.partition, spot.offset as i64])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::key;

    #[test]
    fn spellings_are_different_ids() {
        let id = "0198b4a0-0000-7000-8000-00000000abcd";
        assert_eq!(key(id)[..2], [0x01, 0x98]);
        assert_ne!(key(id), key(&id.to_uppercase()));
        assert_ne!(key(id), key(&id.replace('-', "")));
        assert_ne!(key("a"), key("b"));
    }
}
