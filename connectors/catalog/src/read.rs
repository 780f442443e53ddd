//! Reading: what is new since, what words find, and what a hit looks like. Never writes, and never waits for a writer.

use crate::fault::CatalogError;
use crate::write::{APPLICATION, FORMAT, progress};
use crate::{FILE, Progress, text};
use rusqlite::functions::FunctionFlags;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// BM25's constants, as FTS5 has them.
const K1: f64 = 1.2;
/// Title before text, in the weights of BM25.
const WEIGHTS: &str = "2.0, 1.0";

/// Rows of one corpus, one gate and one model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shelf {
    /// Number.
    pub id: i64,
    /// Corpus.
    pub corpus: String,
    /// Whose it is; `Some("")`: nobody's; `None`: everybody's.
    pub gate: Option<String>,
    /// Provider, model and version.
    pub model: String,
    /// Floats per vector.
    pub dims: u32,
    /// Rows that can be found.
    pub rows: u64,
}

/// A row, as an index in memory wants it.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Number, never used again.
    pub row: i64,
    /// The event that it is of.
    pub event_id: String,
    /// When its event happened, in microseconds.
    pub occurred_at: i64,
    /// What searches may filter by.
    pub metadata: BTreeMap<String, String>,
    /// Vector: 32-bit floats, little-endian.
    pub vector: Vec<u8>,
}

/// What came to a shelf and went from it since. One moment of the catalog.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct News {
    /// Rows that came, by number.
    pub came: Vec<Row>,
    /// Rows that went. One that came and went is here only.
    pub went: Vec<i64>,
    /// The last row and the last departure that this covers: what to ask after next time.
    pub upto: (i64, i64),
    /// Whether more rows came than these.
    pub more: bool,
}

/// Where a catalog ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The last row and the last departure, of whatever shelf.
    pub upto: (i64, i64),
    /// People that were erased.
    pub erased: u64,
    /// How far the log has been read: covered by who has read the news of every shelf since.
    pub progress: Progress,
}

/// What words found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    /// The row.
    pub row: i64,
    /// BM25, the more the better.
    pub bm25: f64,
    /// The share of what a row could score that had every word of the question often and nothing else, in [0,1].
    pub share: f64,
}

/// A row, as people want it.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// The row.
    pub row: i64,
    /// Corpus.
    pub corpus: String,
    /// Item.
    pub item_id: String,
    /// Part, from 0.
    pub part: u32,
    /// Event.
    pub event_id: String,
    /// When it happened, in microseconds.
    pub occurred_at: i64,
    /// Where it stands.
    pub position: (String, u32, u64),
    /// The run it is about.
    pub run_id: Option<String>,
    /// Title.
    pub title: Option<String>,
    /// Role.
    pub role: Option<String>,
    /// Metadata.
    pub metadata: BTreeMap<String, String>,
    /// What of the text answers the question.
    pub snippet: String,
    /// The text.
    pub text: String,
}

/// Says of a row whether it may be found.
pub type Filter = Arc<dyn Fn(i64) -> bool + Send + Sync>;

/// A reader of a catalog. Cheap to keep; one question at a time.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    connection: Mutex<Connection>,
}

impl Reader {
    /// Opens the catalog in `dir`.
    pub fn open(dir: &Path) -> Result<Self, CatalogError> {
        let path = dir.join(FILE);
        if !path.exists() {
            return Err(CatalogError::Missing { path });
        }
        let open = || -> rusqlite::Result<(Connection, (i32, i32))> {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(&path, flags)?;
            connection.busy_timeout(Duration::from_secs(10))?;
            connection.pragma_update(None, "query_only", true)?;
            connection.pragma_update(None, "cache_size", -8_192)?;
            let sql = "SELECT * FROM pragma_application_id, pragma_user_version";
            let format = connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok((connection, format))
        };
        let (connection, format) = open().map_err(|e| CatalogError::of(&path, &e))?;
        match format {
            (APPLICATION, FORMAT) => Ok(Self { path, connection: Mutex::new(connection) }),
            // Another process is just making it.
            (0, 0) => Err(CatalogError::Missing { path }),
            _ => Err(CatalogError::Unusable { path, what: "this is no catalog of this version".to_owned() }),
        }
    }

    fn ask<T>(&self, question: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, CatalogError> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        question(&connection).map_err(|e| CatalogError::of(&self.path, &e))
    }

    /// How far the log has been read.
    pub fn progress(&self) -> Result<Progress, CatalogError> {
        self.ask(progress)
    }

    /// All shelves.
    pub fn shelves(&self) -> Result<Vec<Shelf>, CatalogError> {
        self.ask(|connection| {
            let sql = "SELECT id, corpus, gate, model, dims, rows FROM shelves ORDER BY id";
            let mut statement = connection.prepare_cached(sql)?;
            let shelf = |row: &rusqlite::Row<'_>| {
                Ok(Shelf {
                    id: row.get(0)?,
                    corpus: row.get(1)?,
                    gate: row.get(2)?,
                    model: row.get(3)?,
                    dims: row.get(4)?,
                    rows: row.get::<_, i64>(5)?.cast_unsigned(),
                })
            };
            statement.query_map([], shelf)?.collect()
        })
    }

    /// What came to a shelf and went from it after `(row, departure)`, at most `most` rows that came.
    pub fn news(&self, shelf: i64, after: (i64, i64), most: usize) -> Result<News, CatalogError> {
        self.moment(|connection| news(connection, shelf, after, most))
    }

    /// Where the catalog ends.
    pub fn head(&self) -> Result<Head, CatalogError> {
        self.moment(|connection| {
            let number = |sql: &str| connection.prepare_cached(sql)?.query_row([], |row| row.get::<_, i64>(0));
            Ok(Head {
                upto: last(connection)?,
                erased: number("SELECT count(*) FROM erased")?.cast_unsigned(),
                progress: progress(connection)?,
            })
        })
    }

    /// Numbers of the rows of a shelf, in order.
    pub fn rows(&self, shelf: i64, mut of: impl FnMut(i64)) -> Result<(), CatalogError> {
        self.ask(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT row FROM parts JOIN items ON items.id = item WHERE parts.shelf = ? AND NOT hidden ORDER BY row",
            )?;
            let mut rows = statement.query([shelf])?;
            while let Some(row) = rows.next()? {
                of(row.get(0)?);
            }
            Ok(())
        })
    }

    /// Vectors of rows, as they are kept; none where a row went. In the order asked for.
    pub fn vectors(&self, rows: &[i64]) -> Result<Vec<Option<Vec<u8>>>, CatalogError> {
        self.ask(|connection| {
            let mut statement = connection.prepare_cached("SELECT vector FROM parts WHERE row = ?")?;
            rows.iter().map(|row| statement.query_row([row], |row| row.get(0)).optional()).collect()
        })
    }

    /// Asks several things of one moment.
    fn moment<T>(&self, question: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, CatalogError> {
        self.ask(|connection| {
            connection.execute_batch("BEGIN")?;
            let answer = question(connection);
            connection.execute_batch("COMMIT")?;
            answer
        })
    }

    /// Rows of a shelf that hold words of the question, the best `k` of those the filter lets through.
    pub fn find(
        &self,
        shelf: i64,
        question: &str,
        k: usize,
        filter: Option<&Filter>,
    ) -> Result<Vec<Found>, CatalogError> {
        let words = text::words(question);
        if words.is_empty() || k == 0 {
            return Ok(Vec::new());
        }
        self.ask(|connection| {
            let best = best(connection, shelf, &words)?;
            let condition = match filter.cloned() {
                None => "",
                Some(filter) => {
                    let flags = FunctionFlags::SQLITE_UTF8;
                    connection.create_scalar_function("may_be_found", 1, flags, move |c| Ok(filter(c.get(0)?)))?;
                    "AND may_be_found(rowid)"
                }
            };
            let sql = format!(
                "SELECT rowid, -bm25(text_{shelf}, {WEIGHTS}) FROM text_{shelf} WHERE text_{shelf} MATCH ? {condition}
                 ORDER BY 2 DESC, 1 LIMIT ?"
            );
            let mut statement = connection.prepare(&sql)?;
            let found = statement.query_map(params![text::any_of(&words), k.cast_signed()], |row| {
                let bm25: f64 = row.get(1)?;
                let share = if best > 0.0 { (bm25 / best).clamp(0.0, 1.0) } else { 0.0 };
                Ok(Found { row: row.get(0)?, bm25, share })
            })?;
            found.collect()
        })
    }

    /// How rows look; those that went meanwhile are left out. In the order asked for.
    pub fn hits(&self, rows: &[i64], question: &str, snippet: usize) -> Result<Vec<Hit>, CatalogError> {
        let words = text::words(question);
        self.ask(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT row, corpus, item_id, part, event_id, occurred_at, topic, partition, offset, run_id, title, role,
                        metadata, text FROM parts JOIN items ON items.id = item WHERE row = ? AND NOT hidden",
            )?;
            let mut hits = Vec::with_capacity(rows.len());
            for row in rows {
                let hit = statement.query_row([row], |row| {
                    let text: String = row.get(13)?;
                    Ok(Hit {
                        row: row.get(0)?,
                        corpus: row.get(1)?,
                        item_id: row.get(2)?,
                        part: row.get(3)?,
                        event_id: row.get(4)?,
                        occurred_at: row.get(5)?,
                        position: (row.get(6)?, row.get(7)?, row.get::<_, i64>(8)?.cast_unsigned()),
                        run_id: row.get(9)?,
                        title: row.get(10)?,
                        role: row.get(11)?,
                        metadata: object(&row.get::<_, String>(12)?),
                        snippet: text::snippet(&text, &words, snippet),
                        text,
                    })
                });
                hits.extend(hit.optional()?);
            }
            Ok(hits)
        })
    }

    /// Everything that can be found, as lines in one order: two catalogs that hold the same say the same.
    pub fn contents(&self, mut line: impl FnMut(&str)) -> Result<u64, CatalogError> {
        self.ask(|connection| {
            let mut statement = connection.prepare(
                "SELECT items.corpus, coalesce(gate, ''), gate IS NULL, model, dims, item_id, part, event_id, occurred_at,
                        metadata, text, vector
                 FROM parts JOIN items ON items.id = item JOIN shelves ON shelves.id = items.shelf WHERE NOT hidden
                 ORDER BY items.corpus, item_id, part",
            )?;
            let mut rows = statement.query([])?;
            let mut count = 0;
            while let Some(row) = rows.next()? {
                let vector: Vec<u8> = row.get(11)?;
                let hex: String = vector.iter().map(|b| format!("{b:02x}")).collect();
                let (corpus, gate, open): (String, String, bool) = (row.get(0)?, row.get(1)?, row.get(2)?);
                let (model, dims): (String, u32) = (row.get(3)?, row.get(4)?);
                let (item, part, event): (String, u32, String) = (row.get(5)?, row.get(6)?, row.get(7)?);
                let (at, metadata, text): (i64, String, String) = (row.get(8)?, row.get(9)?, row.get(10)?);
                line(&format!("{:?}", (corpus, gate, open, model, dims, item, part, event, at, metadata, text, hex)));
                count += 1;
            }
            Ok(count)
        })
    }
}

/// The last row and the last departure.
fn last(connection: &Connection) -> rusqlite::Result<(i64, i64)> {
    let number = |sql: &str| connection.prepare_cached(sql)?.query_row([], |row| row.get::<_, i64>(0));
    Ok((number("SELECT coalesce(max(row), 0) FROM parts")?, number("SELECT coalesce(max(seq), 0) FROM gone")?))
}

fn news(connection: &Connection, shelf: i64, after: (i64, i64), most: usize) -> rusqlite::Result<News> {
    let mut gone = connection.prepare_cached("SELECT row FROM gone WHERE shelf = ? AND seq > ? ORDER BY seq")?;
    let went: Vec<i64> = gone.query_map([shelf, after.1], |r| r.get(0))?.collect::<rusqlite::Result<_>>()?;
    let mut came = connection.prepare_cached(
        "SELECT row, event_id, occurred_at, metadata, vector FROM parts JOIN items ON items.id = item
         WHERE parts.shelf = ? AND row > ? AND NOT hidden ORDER BY row LIMIT ?",
    )?;
    let came = came.query_map(params![shelf, after.0, most.cast_signed()], |row| {
        Ok(Row {
            row: row.get(0)?,
            event_id: row.get(1)?,
            occurred_at: row.get(2)?,
            metadata: object(&row.get::<_, String>(3)?),
            vector: row.get(4)?,
        })
    })?;
    let came: Vec<Row> = came.collect::<rusqlite::Result<_>>()?;
    let (end, more) = (last(connection)?, came.len() >= most);
    let row = if more { came.last().map_or(after.0, |row| row.row) } else { end.0.max(after.0) };
    Ok(News { came, went, upto: (row, end.1.max(after.1)), more })
}

/// The most that a row of this shelf can score for these words: every word, as often as one likes, in the title.
fn best(connection: &Connection, shelf: i64, words: &[String]) -> rusqlite::Result<f64> {
    let rows: f64 = connection
        .prepare_cached("SELECT rows FROM shelves WHERE id = ?")?
        .query_row([shelf], |row| row.get::<_, i64>(0))? as f64;
    let mut total = 0.0;
    let mut holding = connection.prepare_cached(&format!("SELECT doc FROM words_{shelf} WHERE term = ?"))?;
    for word in words {
        // Accents are folded by the tokenizer, and not here: such a word counts as one that nobody has.
        let with: i64 = holding.query_row([word], |row| row.get(0)).optional()?.unwrap_or(0);
        let idf = ((rows - with as f64 + 0.5) / (with as f64 + 0.5)).ln();
        total += idf.max(1e-6) * (K1 + 1.0);
    }
    // Weights multiply how often a word is there, which saturates: they do not raise the most.
    Ok(total)
}

fn object(json: &str) -> BTreeMap<String, String> {
    serde_json::from_str(json).unwrap_or_default()
}
