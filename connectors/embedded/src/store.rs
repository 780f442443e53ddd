//! The files of a journal: made, opened, checked.
//!
//! `journal.db` (with SQLite's `-wal` and `-shm`), `journal.head`, and `journal.lock`, which is held while a process
//! opens. A kill at any moment of the making leaves no database, an empty one, or a whole one, and the next start
//! goes on from there: the tables come in one transaction, and nothing is acknowledged before the head file is there.

use crate::fault::{Outcome, Stage, corrupt, explain};
use crate::heads::{Head, Heads, JOURNAL, Known};
use crate::options::{Durability, Options};
use crate::schema::{APPLICATION, Catalog, Counters, FORMAT, State, TABLES};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use stillhouse_streams::{Damage, Error, ErrorKind, Result};

/// 3.51.3 is the first without the bug that could corrupt a database when its write-ahead log was reset.
const LEAST_SQLITE: i32 = 3_051_003;

/// How long a process waits for another one that is opening the same journal, and for the write lock.
const PATIENCE: Duration = Duration::from_secs(10);

const PAGE_SIZE: u32 = 4_096;

/// Where the files are.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    pub(crate) dir: PathBuf,
}

impl Files {
    pub(crate) fn database(&self) -> PathBuf {
        self.dir.join("journal.db")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.dir.join("journal.db-wal")
    }

    pub(crate) fn heads(&self) -> PathBuf {
        self.dir.join("journal.head")
    }

    fn unreachable(&self, error: io::Error) -> Error {
        Error::new(ErrorKind::Unavailable, format!("`{}` cannot be used: {error}", self.dir.display()))
            .with_source(error)
    }
}

impl Files {
    /// Says which journal cannot be opened, and what helps.
    fn name(&self, error: Error) -> Error {
        let advice = if error.kind() == ErrorKind::Corrupt { ". Put the newest copy of its files back" } else { "" };
        Error::new(error.kind(), format!("`{}`: {error}{advice}", self.dir.display())).with_source(error)
    }
}

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Writer,
    Reader,
    /// Opens what may be damaged, and leaves it as it is.
    Examiner,
}

/// Opens a connection to an existing database.
pub(crate) fn connect(files: &Files, role: Role, options: &Options) -> Result<Connection> {
    let mut conn = open_file(files, options)?;
    let mut prepared = prepare(&mut conn, role, options);
    if prepared.is_err() && options.read_only && length(&files.log()).is_ok_and(|log| log.unwrap_or(0) == 0) {
        // SQLite makes files beside the database even for reading. Where it cannot, and nothing is in the log, the
        // database alone is the whole truth.
        conn = open_alone(files)?;
        prepared = prepare(&mut conn, role, options);
    }
    match prepared {
        Ok(()) => Ok(conn),
        Err(error) => Err(files.name(explain(&conn, Stage::Read, error.into()))),
    }
}

fn open_file(files: &Files, options: &Options) -> Result<Connection> {
    let access = if options.read_only { OpenFlags::SQLITE_OPEN_READ_ONLY } else { OpenFlags::SQLITE_OPEN_READ_WRITE };
    Connection::open_with_flags(files.database(), access | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(|e| Error::new(ErrorKind::Unavailable, format!("{}: {e}", files.database().display())).with_source(e))
}

/// Opens the database without any file beside it.
fn open_alone(files: &Files) -> Result<Connection> {
    use std::os::unix::ffi::OsStrExt;
    let mut uri = "file:".to_owned();
    for byte in files.database().as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => uri.push(char::from(*byte)),
            other => uri.push_str(&format!("%{other:02X}")),
        }
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(format!("{uri}?immutable=1"), flags)
        .map_err(|e| Error::new(ErrorKind::Unavailable, format!("{}: {e}", files.database().display())).with_source(e))
}

fn prepare(conn: &mut Connection, role: Role, options: &Options) -> rusqlite::Result<()> {
    conn.busy_handler(Some(wait))?;
    conn.set_prepared_statement_cache_capacity(256);
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, role == Role::Examiner)?;
    conn.execute_batch(
        "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0; PRAGMA temp_store = MEMORY;",
    )?;
    match role {
        Role::Writer => {
            let cache = -1_024 * i64::from(options.cache_mib.clamp(1, 4_096));
            log_ahead(conn)?;
            conn.pragma_update(None, "cache_size", cache)?;
            conn.pragma_update(None, "synchronous", synchronous(options.durability))?;
            conn.pragma_update(None, "journal_size_limit", 64 << 20)?;
            conn.pragma_update(None, "wal_autocheckpoint", 0)?;
        }
        Role::Reader | Role::Examiner => {
            conn.pragma_update(None, "cache_size", -4_096)?;
            conn.pragma_update(None, "query_only", true)?;
        }
    }
    if options.read_only {
        // The first look at the file itself: what cannot be read without writing says so here.
        conn.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    }
    Ok(())
}

/// SQLite's word for it.
pub(crate) fn synchronous(durability: Durability) -> &'static str {
    match durability {
        Durability::Full => "FULL",
        Durability::Process => "NORMAL",
        Durability::None => "OFF",
    }
}

/// Waits for a lock of another connection: briefly at first, since commits are short.
fn wait(tries: i32) -> bool {
    let pause = match tries {
        0..20 => Duration::from_micros(250),
        20..100 => Duration::from_millis(1),
        _ => Duration::from_millis(5),
    };
    std::thread::sleep(pause);
    tries < 100 + i32::try_from(PATIENCE.as_millis() / 5).unwrap_or(i32::MAX)
}

/// What opening found.
pub(crate) struct Opened {
    pub(crate) files: Files,
    pub(crate) journal: [u8; 16],
    pub(crate) heads: Heads,
}

/// Opens the journal in `dir`, makes it if there is none, and refuses one that lost what it acknowledged.
pub(crate) fn open(dir: &Path, options: &Options) -> Result<Opened> {
    let found = rusqlite::version_number();
    if found < LEAST_SQLITE {
        let message = format!("SQLite {} may corrupt a journal; 3.51.3 is the least", rusqlite::version());
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    let files = Files { dir: dir.to_owned() };
    if !options.read_only {
        make_directory(dir).map_err(|e| files.unreachable(e))?;
    }
    if let Some(kind) = crate::sys::network_file_system(dir) {
        let message = format!("`{}` is on {kind}: a journal needs a local disk", dir.display());
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    if options.read_only {
        return open_existing(files, options);
    }
    let _lock = lock(&files)?;
    if let Some(state) = emptiness(&files)? {
        let known = Heads::read(&files.heads()).map_err(|e| files.unreachable(e))?;
        if let Some(known) = known.filter(|known| known.anything() && !options.faults.skip_head_check) {
            let what = format!("it is {state}; {}", everything(&known));
            let lost = vec![Damage { place: "journal.db".to_owned(), what }];
            accept(&files, options, &lost)?;
            create(&files, options)?;
            record_losses(&files, options, &lost)?;
        } else {
            create(&files, options)?;
        }
    }
    open_existing(files, options)
}

/// How the database is empty, if it is. A file without length is not shown to SQLite, which would throw away the
/// write-ahead log beside it.
fn emptiness(files: &Files) -> Result<Option<&'static str>> {
    match length(&files.database()).map_err(|e| files.unreachable(e))? {
        None => return Ok(Some("gone")),
        Some(0) => return Ok(Some("of length zero")),
        Some(_) => {}
    }
    let conn = connect(files, Role::Examiner, &Options::default())?;
    let tables = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0));
    let tables = tables.map_err(|e| files.name(explain(&conn, Stage::Read, e.into())))?;
    Ok((tables == 0).then_some("without tables"))
}

fn everything(known: &Known) -> String {
    let parts = known.heads.iter().filter(|head| head.id != JOURNAL && head.next > 0);
    listed(parts.map(acknowledged).collect(), ", ")
        .unwrap_or_else(|| "the head file says that there was a journal".to_owned())
}

fn acknowledged(head: &Head) -> String {
    match head.next.checked_sub(1) {
        None => format!("nothing of {}/{} was acknowledged", head.topic, head.partition),
        Some(last) => format!("{}/{} was acknowledged up to offset {last}", head.topic, head.partition),
    }
}

/// Some of many, and how many more.
fn listed(mut parts: Vec<String>, between: &str) -> Option<String> {
    let more = parts.len().saturating_sub(8);
    parts.truncate(8);
    if more > 0 {
        parts.push(format!("and {more} more"));
    }
    (!parts.is_empty()).then(|| parts.join(between))
}

fn make_directory(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent)?;
    }
    match std::fs::DirBuilder::new().mode(0o700).create(dir) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => {}
        outcome => outcome?,
    }
    match dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

fn length(path: &Path) -> io::Result<Option<u64>> {
    match std::fs::metadata(path) {
        Ok(meta) => Ok(Some(meta.len())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Only one process at a time opens; the lock ends with the process or the file.
fn lock(files: &Files) -> Result<File> {
    let path = files.dir.join("journal.lock");
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    let file = file.map_err(|e| files.unreachable(e))?;
    let begin = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if begin.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(2));
            }
            Err(TryLockError::WouldBlock) => {
                let message = format!("another process has been opening `{}` for {PATIENCE:?}", files.dir.display());
                return Err(Error::new(ErrorKind::Unavailable, message));
            }
            Err(TryLockError::Error(e)) => return Err(files.unreachable(e)),
        }
    }
}

/// Makes database and head file as far as they are missing.
fn create(files: &Files, options: &Options) -> Result<()> {
    let path = files.database();
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
        Ok(file) => {
            file.sync_all().map_err(|e| files.unreachable(e))?;
            File::open(&files.dir).and_then(|dir| dir.sync_all()).map_err(|e| files.unreachable(e))?;
        }
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
        Err(e) => return Err(files.unreachable(e)),
    }
    let conn = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)
        .map_err(|e| Error::new(ErrorKind::Unavailable, e.to_string()))?;
    let journal = create_tables(&conn, options).map_err(|e| explain(&conn, Stage::Write, e))?;
    drop(conn);
    Heads::create(&files.heads(), &journal).map_err(|e| files.unreachable(e))
}

/// Makes the tables of a new journal, and answers with its id.
fn create_tables(conn: &Connection, options: &Options) -> Outcome<[u8; 16]> {
    conn.pragma_update(None, "page_size", PAGE_SIZE)?;
    log_ahead(conn)?;
    conn.pragma_update(None, "synchronous", synchronous(options.durability))?;
    conn.execute_batch("BEGIN IMMEDIATE")?;
    conn.execute_batch(TABLES)?;
    conn.pragma_update(None, "application_id", APPLICATION)?;
    let id = uuid::Uuid::new_v4();
    conn.execute("INSERT INTO meta VALUES ('format', ?1), ('journal', ?2)", params![FORMAT, id.as_bytes()])?;
    let empty = Catalog::read(conn, 0)?;
    State { sequence: 0, version: 0, catalog: empty.seal }.store(conn)?;
    conn.execute_batch("COMMIT")?;
    Ok(*id.as_bytes())
}

/// Makes sure of the write-ahead log. SQLite answers a failed change with the old mode, and no error.
fn log_ahead(conn: &Connection) -> rusqlite::Result<()> {
    let mode: String = conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode == "wal" {
        return Ok(());
    }
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN);
    Err(rusqlite::Error::SqliteFailure(code, Some(format!("there is no write-ahead log, but the mode `{mode}`"))))
}

fn identity(conn: &Connection) -> Outcome<[u8; 16]> {
    let application: i32 = conn.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if application != APPLICATION {
        let what = "the database is not a journal of Stillhouse, or its header is damaged";
        return Err(Error::new(ErrorKind::Corrupt, what).into());
    }
    let format: i64 = conn.query_row("SELECT value FROM meta WHERE name = 'format'", [], |row| row.get(0))?;
    if format > FORMAT {
        let message = format!("the journal has format {format}, this build reads up to {FORMAT}: use a newer one");
        return Err(Error::new(ErrorKind::Invalid, message).into());
    }
    if format < 1 {
        return Err(corrupt("the database", format!("format {format} never was")).into());
    }
    Ok(conn.query_row("SELECT value FROM meta WHERE name = 'journal'", [], |row| row.get(0))?)
}

fn open_existing(files: Files, options: &Options) -> Result<Opened> {
    // The file first, then the database: whatever other processes do meanwhile only takes the database further.
    let known = Heads::read(&files.heads()).map_err(|e| files.unreachable(e))?;
    if length(&files.database()).map_err(|e| files.unreachable(e))?.is_none() {
        return Err(Error::new(ErrorKind::NotFound, format!("there is no journal in `{}`", files.dir.display())));
    }
    let conn = connect(&files, Role::Examiner, options)?;
    let check = || -> Outcome<([u8; 16], Vec<Damage>)> {
        let transaction = conn.unchecked_transaction()?;
        let journal = identity(&transaction)?;
        let losses = compare(&transaction, known.as_ref(), &journal)?;
        Ok((journal, losses))
    };
    let (journal, losses) = check().map_err(|fault| files.name(explain(&conn, Stage::Read, fault)))?;
    if !losses.is_empty() && !options.faults.skip_head_check {
        accept(&files, options, &losses)?;
    }
    if options.read_only {
        return Ok(Opened { files, journal, heads: Heads::untouched() });
    }
    let heads = files.heads();
    if !losses.is_empty() && !options.faults.skip_head_check {
        record_losses(&files, options, &losses)?;
        Heads::create(&heads, &journal).map_err(|e| files.unreachable(e))?;
    } else if known.is_none() {
        Heads::create(&heads, &journal).map_err(|e| files.unreachable(e))?;
    }
    let heads = Heads::open(&heads).map_err(|e| files.unreachable(e))?;
    Ok(Opened { files, journal, heads })
}

/// Refuses, unless the caller accepts losses.
fn accept(files: &Files, options: &Options, losses: &[Damage]) -> Result<()> {
    let told = losses.iter().map(|d| format!("{}: {}", d.place, d.what)).collect();
    let told = listed(told, "; ").unwrap_or_default();
    if options.accept_loss && !options.read_only {
        tracing::error!(journal = %files.dir.display(), losses = %told, "accepting the loss of what was acknowledged");
        return Ok(());
    }
    let message = format!(
        "the journal in `{}` does not hold what it acknowledged ({}). Put the newest copy of its files back, or open \
         it once with --accept-loss to go on with what is there",
        files.dir.display(),
        told
    );
    Err(Error::new(ErrorKind::Corrupt, message))
}

fn record_losses(files: &Files, options: &Options, losses: &[Damage]) -> Result<()> {
    let conn = connect(files, Role::Writer, options)?;
    let write = || -> Outcome<()> {
        conn.execute_batch("BEGIN IMMEDIATE")?;
        crate::losses::record(&conn, losses)?;
        conn.execute_batch("COMMIT")?;
        Ok(())
    };
    write().map_err(|fault| explain(&conn, Stage::Commit, fault))
}

/// What the head file knows and the database does not.
pub(crate) fn compare(conn: &Connection, known: Option<&Known>, journal: &[u8; 16]) -> Outcome<Vec<Damage>> {
    let state = State::load(conn)?;
    let catalog = Catalog::load(conn, &state)?;
    let damage = |place: String, what: String| Damage { place, what };
    let file = || "journal.head".to_owned();
    let Some(known) = known else {
        // It is made before anything is acknowledged.
        let new = state.sequence == 0;
        let what = "it is gone, so nobody can tell whether the end of the journal is missing";
        return Ok(if new { Vec::new() } else { vec![damage(file(), what.to_owned())] });
    };
    let mut losses = Vec::new();
    if let Some(what) = &known.damage {
        losses.push(damage(file(), format!("it is damaged: {what}")));
    } else if known.journal != journal {
        if !known.anything() && state.sequence == 0 {
            return Ok(losses);
        }
        return Ok(vec![damage(file(), "it belongs to another journal".to_owned())]);
    }
    let written = |head: &Head| head.id == JOURNAL;
    if known.damage.is_none() && !known.heads.iter().any(written) {
        for place in catalog.places() {
            if Counters::load(conn, &place)?.next > 0 {
                losses.push(damage(file(), "its contents are gone".to_owned()));
                break;
            }
        }
    }
    for head in &known.heads {
        if head.id == JOURNAL {
            if state.sequence < head.sequence {
                let what = format!("transaction {} was acknowledged, the last is {}", head.sequence, state.sequence);
                losses.push(damage("journal.db".to_owned(), what));
            }
            continue;
        }
        let Some(place) = catalog.places().find(|place| place.id == head.id) else {
            let retired = "SELECT 1 FROM retired WHERE partition = ?1";
            let retired = conn.prepare_cached(retired)?.query_row([head.id], |_| Ok(())).optional()?;
            if retired.is_none() {
                losses.push(damage(
                    format!("{}/{}", head.topic, head.partition),
                    format!("it is gone; {}", acknowledged(head)),
                ));
            }
            continue;
        };
        let counters = Counters::load(conn, &place)?;
        if counters.next < head.next {
            let what = match (counters.next, head.next - 1) {
                (first, last) if first == last => format!("offset {last} was acknowledged, and is missing"),
                (first, last) => format!("offsets {first} to {last} were acknowledged, and are missing"),
            };
            losses.push(damage(format!("{place}/{}", counters.next), what));
            continue;
        }
        let found = if head.next == counters.next {
            Some(counters.head)
        } else if head.next == counters.start {
            Some(counters.anchor)
        } else if head.next < counters.start {
            continue;
        } else {
            let sql = format!("SELECT chain FROM p{} WHERE offset = ?1", place.id);
            conn.prepare_cached(&sql)?.query_row([head.next as i64 - 1], |row| row.get(0)).optional()?
        };
        // Where a damaged record was given up, nobody can tell.
        if found != Some(head.chain) && found != Some(crate::framing::UNKNOWN) {
            let what = "other records stand here than were acknowledged (the files are not of one copy)".to_owned();
            losses.push(damage(format!("{place}/{}", head.next.saturating_sub(1)), what));
        }
    }
    // The places first, then what speaks of the whole.
    losses.sort_by_key(|damage| damage.place == "journal.db");
    Ok(losses)
}
