//! Writing: one process, one commit for items, text and progress.

use crate::fault::CatalogError;
use crate::text::TOKENIZER;
use crate::{Change, Entry, FILE, Progress};
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// `PRAGMA application_id`: the bytes `SHC1`.
pub(crate) const APPLICATION: i32 = i32::from_be_bytes(*b"SHC1");
/// `PRAGMA user_version`: of the tables below.
pub(crate) const FORMAT: i32 = 2;

const TABLES: &str = "
CREATE TABLE shelves(id INTEGER PRIMARY KEY, corpus TEXT NOT NULL, gate TEXT, model TEXT NOT NULL, dims INTEGER NOT NULL,
                     rows INTEGER NOT NULL DEFAULT 0);
CREATE TABLE items(id INTEGER PRIMARY KEY, corpus TEXT NOT NULL, item_id TEXT NOT NULL, event_id TEXT NOT NULL,
                   occurred_at INTEGER NOT NULL, topic TEXT NOT NULL, partition INTEGER NOT NULL, offset INTEGER NOT NULL,
                   run_id TEXT, key_id TEXT, title TEXT, role TEXT, metadata TEXT NOT NULL, shelf INTEGER,
                   hidden INTEGER NOT NULL, UNIQUE(corpus, item_id));
CREATE INDEX items_by_run ON items(run_id) WHERE run_id IS NOT NULL;
CREATE INDEX items_by_key ON items(key_id) WHERE key_id IS NOT NULL;
CREATE TABLE parts(row INTEGER PRIMARY KEY AUTOINCREMENT, item INTEGER NOT NULL, part INTEGER NOT NULL,
                   shelf INTEGER, text TEXT NOT NULL, vector BLOB NOT NULL);
CREATE INDEX parts_by_item ON parts(item, part);
CREATE INDEX parts_by_shelf ON parts(shelf, row);
CREATE TABLE gone(seq INTEGER PRIMARY KEY AUTOINCREMENT, row INTEGER NOT NULL, shelf INTEGER NOT NULL);
CREATE INDEX gone_by_shelf ON gone(shelf, seq);
CREATE TABLE hidden(run_id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE erased(key_id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE progress(topic TEXT NOT NULL, partition INTEGER NOT NULL, next INTEGER NOT NULL,
                      PRIMARY KEY (topic, partition)) WITHOUT ROWID;
";

/// The one writer of a catalog.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    connection: Connection,
    /// Whether the write-ahead log still holds what was erased.
    truncate: bool,
    /// Held as long as this lives: its lock is the right to write.
    _lock: std::fs::File,
}

/// Whether a process writes the catalog in `dir` now.
pub fn is_kept(dir: &Path) -> bool {
    let lock = std::fs::File::open(dir.join("lock"));
    lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(std::fs::TryLockError::WouldBlock)))
}

impl Writer {
    /// Opens the catalog in `dir`, or makes one. One that is damaged, or of another format, is refused; another writer
    /// too.
    pub fn open(dir: &Path) -> Result<Self, CatalogError> {
        let path = dir.join(FILE);
        let failed = |error: std::io::Error| CatalogError::Failed { path: path.clone(), what: error.to_string() };
        std::fs::create_dir_all(dir).map_err(failed)?;
        let lock = std::fs::File::create(dir.join("lock")).map_err(failed)?;
        lock.try_lock().map_err(|_| CatalogError::Busy { path: path.clone() })?;
        let connection = Self::prepare(&path).map_err(|e| CatalogError::of(&path, &e))?;
        let format = connection
            .query_row("SELECT * FROM pragma_application_id, pragma_user_version", [], |r| Ok((r.get(0)?, r.get(1)?)))
            .map_err(|e| CatalogError::of(&path, &e))?;
        if format != (APPLICATION, FORMAT) {
            let what = "this is no catalog of this version".to_owned();
            return Err(CatalogError::Unusable { path, what });
        }
        Ok(Self { path, connection, truncate: false, _lock: lock })
    }

    fn prepare(path: &Path) -> rusqlite::Result<Connection> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(Duration::from_secs(10))?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        // The log is the truth: after a power cut the file is whole, and what it lacks is read again.
        connection.pragma_update(None, "synchronous", "normal")?;
        connection.pragma_update(None, "cache_size", -16_384)?;
        // What is erased is overwritten, not only forgotten.
        connection.pragma_update(None, "secure_delete", true)?;
        let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        if tables == 0 {
            connection.execute_batch(&format!(
                "BEGIN IMMEDIATE; PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {FORMAT}; {TABLES} COMMIT;"
            ))?;
        }
        Ok(connection)
    }

    fn explain(&self, error: &rusqlite::Error) -> CatalogError {
        CatalogError::of(&self.path, error)
    }

    /// Next offsets, as of the last commit.
    pub fn progress(&self) -> Result<Progress, CatalogError> {
        progress(&self.connection).map_err(|e| self.explain(&e))
    }

    /// Applies changes in order, together with the progress that covers them: all or nothing.
    pub fn commit(&mut self, changes: &[Change], progress: &Progress) -> Result<(), CatalogError> {
        let path = self.path.clone();
        let work =
            |connection: &mut Connection| -> rusqlite::Result<bool> {
                let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
                let mut erased = false;
                for change in changes {
                    match change {
                        Change::Put(entry) => put(&transaction, entry)?,
                        Change::Hide { run_id } => hide(&transaction, run_id)?,
                        Change::Show { run_id } => show(&transaction, run_id)?,
                        Change::Erase { key_id } => {
                            erase(&transaction, key_id)?;
                            erased = true;
                        }
                    }
                }
                for (topic, partition, next) in progress {
                    transaction
                        .prepare_cached("INSERT OR REPLACE INTO progress VALUES (?, ?, ?)")?
                        .execute(params![topic, partition, next.cast_signed()])?;
                }
                transaction.commit()?;
                Ok(erased)
            };
        self.truncate |= work(&mut self.connection).map_err(|e| CatalogError::of(&path, &e))?;
        if self.truncate {
            // The write-ahead log holds what the pages no longer do. A reader may be in the way: then next time.
            let truncate = |c: &Connection| c.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0));
            self.truncate = truncate(&self.connection).map_err(|e| self.explain(&e))?;
        }
        Ok(())
    }
}

pub(crate) fn progress(connection: &Connection) -> rusqlite::Result<Progress> {
    let mut statement = connection.prepare_cached("SELECT topic, partition, next FROM progress ORDER BY 1, 2")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, i64>(2)?.cast_unsigned())))?;
    rows.collect()
}

fn put(t: &Transaction<'_>, entry: &Entry) -> rusqlite::Result<()> {
    let is = |sql: &str, value: &Option<String>| -> rusqlite::Result<bool> {
        match value {
            Some(value) => t.prepare_cached(sql)?.exists([value]),
            None => Ok(false),
        }
    };
    let erased = is("SELECT 1 FROM erased WHERE key_id = ?", &entry.key_id)?;
    let hidden = is("SELECT 1 FROM hidden WHERE run_id = ?", &entry.run_id)?;
    let before = t
        .prepare_cached("SELECT id, occurred_at, event_id FROM items WHERE corpus = ? AND item_id = ?")?
        .query_row([&entry.corpus, &entry.item_id], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, String>(2)?))
        })
        .optional()?;
    match before {
        Some((_, at, id)) if (at, id.as_str()) >= (entry.occurred_at, entry.event_id.as_str()) => return Ok(()),
        Some((item, ..)) => {
            take_down(t, item)?;
            t.prepare_cached("DELETE FROM parts WHERE item = ?")?.execute([item])?;
            t.prepare_cached("DELETE FROM items WHERE id = ?")?.execute([item])?;
        }
        None => {}
    }
    let empty = entry.parts.is_empty() || erased;
    let shelf = if empty { None } else { Some(shelf(t, entry)?) };
    let some = |text: &Option<String>| if empty { None } else { text.clone() };
    let metadata = if empty { "{}".to_owned() } else { serde_json::json!(entry.metadata).to_string() };
    let (topic, partition, offset) = &entry.position;
    t.prepare_cached(
        "INSERT INTO items(corpus, item_id, event_id, occurred_at, topic, partition, offset, run_id, key_id, title, role,
                           metadata, shelf, hidden) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        entry.corpus,
        entry.item_id,
        entry.event_id,
        entry.occurred_at,
        topic,
        partition,
        offset.cast_signed(),
        entry.run_id,
        entry.key_id,
        some(&entry.title),
        some(&entry.role),
        metadata,
        shelf,
        hidden,
    ])?;
    let item = t.last_insert_rowid();
    if !empty {
        for (part, (text, vector)) in (0_u32..).zip(&entry.parts) {
            t.prepare_cached("INSERT INTO parts(item, part, shelf, text, vector) VALUES (?, ?, ?, ?, ?)")?
                .execute(params![item, part, shelf, text, vector])?;
        }
        if !hidden {
            put_up(t, item)?;
        }
    }
    Ok(())
}

fn hide(t: &Transaction<'_>, run_id: &str) -> rusqlite::Result<()> {
    t.prepare_cached("INSERT OR IGNORE INTO hidden VALUES (?)")?.execute([run_id])?;
    for item in of(t, "SELECT id FROM items WHERE run_id = ? AND NOT hidden", run_id)? {
        take_down(t, item)?;
        t.prepare_cached("UPDATE items SET hidden = 1 WHERE id = ?")?.execute([item])?;
    }
    Ok(())
}

fn show(t: &Transaction<'_>, run_id: &str) -> rusqlite::Result<()> {
    t.prepare_cached("DELETE FROM hidden WHERE run_id = ?")?.execute([run_id])?;
    for item in of(t, "SELECT id FROM items WHERE run_id = ? AND hidden", run_id)? {
        t.prepare_cached("UPDATE items SET hidden = 0 WHERE id = ?")?.execute([item])?;
        // Numbers are never used again: readers may still know the old ones as gone.
        for row in of(t, "SELECT row FROM parts WHERE item = ? ORDER BY part", item)? {
            t.prepare_cached(
                "INSERT INTO parts(item, part, shelf, text, vector)
                 SELECT item, part, shelf, text, vector FROM parts WHERE row = ?",
            )?
            .execute([row])?;
            t.prepare_cached("DELETE FROM parts WHERE row = ?")?.execute([row])?;
        }
        put_up(t, item)?;
    }
    Ok(())
}

fn erase(t: &Transaction<'_>, key_id: &str) -> rusqlite::Result<()> {
    t.prepare_cached("INSERT OR IGNORE INTO erased VALUES (?)")?.execute([key_id])?;
    let mut shelves = BTreeSet::new();
    for item in of(t, "SELECT id FROM items WHERE key_id = ?", key_id)? {
        if let Some(shelf) = shelf_of(t, item)? {
            shelves.insert(shelf);
        }
        take_down(t, item)?;
        t.prepare_cached("DELETE FROM parts WHERE item = ?")?.execute([item])?;
        t.prepare_cached("UPDATE items SET title = NULL, role = NULL, metadata = '{}', shelf = NULL WHERE id = ?")?
            .execute([item])?;
    }
    for shelf in shelves {
        // What is only marked as deleted keeps its words in the segments until they are merged.
        t.execute(&format!("INSERT INTO text_{shelf}(text_{shelf}) VALUES ('optimize')"), [])?;
    }
    Ok(())
}

fn of(t: &Transaction<'_>, sql: &str, about: impl rusqlite::ToSql) -> rusqlite::Result<Vec<i64>> {
    t.prepare_cached(sql)?.query_map([about], |row| row.get(0))?.collect()
}

/// The shelf of an entry; made, with its full-text table, if it is the first.
fn shelf(t: &Transaction<'_>, entry: &Entry) -> rusqlite::Result<i64> {
    let known = t
        .prepare_cached("SELECT id FROM shelves WHERE corpus = ? AND gate IS ? AND model = ? AND dims = ?")?
        .query_row(params![entry.corpus, entry.gate, entry.model, entry.dims], |row| row.get(0))
        .optional()?;
    if let Some(id) = known {
        return Ok(id);
    }
    t.execute(
        "INSERT INTO shelves(corpus, gate, model, dims) VALUES (?, ?, ?, ?)",
        params![entry.corpus, entry.gate, entry.model, entry.dims],
    )?;
    let id = t.last_insert_rowid();
    t.execute_batch(&format!(
        "CREATE VIRTUAL TABLE text_{id} USING fts5(title, text, content = '', contentless_delete = 1,
                                                   tokenize = '{TOKENIZER}');
         CREATE VIRTUAL TABLE words_{id} USING fts5vocab(text_{id}, row);"
    ))?;
    Ok(id)
}

/// Puts an item's parts where searches find them.
fn put_up(t: &Transaction<'_>, item: i64) -> rusqlite::Result<()> {
    let Some(shelf) = shelf_of(t, item)? else { return Ok(()) };
    let rows = t
        .prepare_cached(&format!(
            "INSERT INTO text_{shelf}(rowid, title, text) SELECT row, items.title, text FROM parts JOIN items
             ON items.id = item WHERE item = ?"
        ))?
        .execute([item])?;
    t.prepare_cached("UPDATE shelves SET rows = rows + ? WHERE id = ?")?
        .execute(params![rows.cast_signed() as i64, shelf])?;
    Ok(())
}

/// Takes an item's parts from where searches find them.
fn take_down(t: &Transaction<'_>, item: i64) -> rusqlite::Result<()> {
    let up = t.prepare_cached("SELECT 1 FROM items WHERE id = ? AND NOT hidden")?.exists([item])?;
    let (true, Some(shelf)) = (up, shelf_of(t, item)?) else { return Ok(()) };
    let rows = of(t, "SELECT row FROM parts WHERE item = ? ORDER BY part", item)?;
    for row in &rows {
        t.prepare_cached(&format!("DELETE FROM text_{shelf} WHERE rowid = ?"))?.execute([row])?;
        t.prepare_cached("INSERT INTO gone(row, shelf) VALUES (?, ?)")?.execute([*row, shelf])?;
    }
    t.prepare_cached("UPDATE shelves SET rows = rows - ? WHERE id = ?")?
        .execute(params![rows.len().cast_signed() as i64, shelf])?;
    Ok(())
}

fn shelf_of(t: &Transaction<'_>, item: i64) -> rusqlite::Result<Option<i64>> {
    t.prepare_cached("SELECT shelf FROM items WHERE id = ?")?.query_row([item], |row| row.get(0))
}
