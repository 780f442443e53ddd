//! Reads a roster from a Parquet file: all of it, or nothing and why.
//!
//! Types are those of the file itself; what its writer's library noted beside them (dictionaries, other widths of offsets)
//! is not looked at, so one file reads the same whoever wrote it. Nulls mean that the roster does not say, but for ids.

use crate::builder::{BadWorker, Builder, Duplicates, MOST_WORKERS};
use crate::columns::{COLUMNS, Column, Kind};
use crate::table::Table;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use arrow_array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow_schema::{DataType, TimeUnit};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use stillhouse_schemas::roster::{Roster, Worker};

/// Rows that are read at a time.
const BATCH: usize = 2_048;
/// Most bytes of a file.
const MOST_BYTES: u64 = 4 << 30;
/// Problems that are told one by one.
const TOLD: usize = 10;

/// A roster as read.
#[derive(Debug)]
pub struct Loaded {
    /// The workers.
    pub table: Table,
    /// Columns that the file does not have, and what may be meant by one of its others.
    pub missing: Vec<(&'static str, Option<String>)>,
    /// Columns of the file that were passed over.
    pub ignored: Vec<String>,
}

/// Why a file gives no roster.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no Parquet file, or a damaged one.
    #[error("{} is no Parquet file that can be read: {why}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// Columns are missing, or of other types.
    #[error("{}: {}", path.display(), columns.join("; "))]
    Columns {
        /// The file.
        path: PathBuf,
        /// One sentence each.
        columns: Vec<String>,
    },
    /// Rows are wrong.
    #[error("{}: {} of {rows} rows {} wrong: {}", path.display(), total, if *total == 1 { "is" } else { "are" }, listed(problems, *total))]
    Rows {
        /// The file.
        path: PathBuf,
        /// The first of them.
        problems: Vec<Problem>,
        /// How many there are.
        total: usize,
        /// Rows of the file.
        rows: usize,
    },
    /// Several rows have one id.
    #[error("{}: {duplicates}", path.display())]
    Duplicates {
        /// The file.
        path: PathBuf,
        /// Which.
        duplicates: Duplicates,
    },
}

/// What is wrong with one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Its number, from one.
    pub row: usize,
    /// Its id, where it has one.
    pub id: String,
    /// The column.
    pub column: &'static str,
    /// What is wrong.
    pub why: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "row {}", self.row)?;
        if !self.id.is_empty() {
            let id: String = self.id.chars().take(40).collect();
            write!(f, " (`{}`)", id.escape_debug())?;
        }
        write!(f, ", {}: {}", self.column, self.why)
    }
}

fn listed(problems: &[Problem], total: usize) -> String {
    let mut said: Vec<String> = problems.iter().map(Problem::to_string).collect();
    if total > problems.len() {
        said.push(format!("and {} more", total - problems.len()));
    }
    said.join("; ")
}

/// Reads the roster in a Parquet file.
///
/// # Errors
/// Names columns by name, rows by number and id, at most ten of them.
pub fn load(path: &Path) -> Result<Loaded, LoadError> {
    let io = |source| LoadError::Io { path: path.to_path_buf(), source };
    let format = |why: String| LoadError::Format { path: path.to_path_buf(), why };
    let file = File::open(path).map_err(io)?;
    let metadata = file.metadata().map_err(io)?;
    if !metadata.is_file() {
        return Err(io(std::io::Error::other("it is no file")));
    }
    if metadata.len() > MOST_BYTES {
        return Err(format(format!("it has {} bytes; at most {MOST_BYTES} are taken", metadata.len())));
    }
    // What is decoded goes with the thread that decoded it, and the table is made meanwhile.
    let (send, receive) = sync_channel(2);
    std::thread::scope(|scope| {
        let reader = scope.spawn(move || {
            // The reader checks much, but not everything, of what a file claims.
            let read = catch_unwind(AssertUnwindSafe(|| read(path, file, &send)));
            read.unwrap_or_else(|_| Err(format("its structure is damaged".to_owned())))
        });
        let made = make(path, &receive);
        // Nobody takes any more: a reader that is still at it stops.
        drop(receive);
        let (missing, ignored) =
            reader.join().unwrap_or_else(|_| Err(format("its structure is damaged".to_owned())))?;
        Ok(Loaded { table: made?, missing, ignored })
    })
}

type Passed = (Vec<(&'static str, Option<String>)>, Vec<String>);

fn read(path: &Path, file: File, send: &SyncSender<(usize, RecordBatch)>) -> Result<Passed, LoadError> {
    let format = |why: &dyn fmt::Display| LoadError::Format { path: path.to_path_buf(), why: why.to_string() };
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options).map_err(|e| format(&e))?;
    let claimed = reader.metadata().file_metadata().num_rows();
    let Some(room) = usize::try_from(claimed).ok().filter(|rows| *rows <= MOST_WORKERS) else {
        return Err(format(&format_args!("it claims to have {claimed} rows; a roster has at most {MOST_WORKERS}")));
    };
    let schema = reader.schema().clone();
    let Found { roots, missing, ignored } =
        match_columns(schema.fields()).map_err(|columns| LoadError::Columns { path: path.to_path_buf(), columns })?;
    let mask = ProjectionMask::roots(reader.parquet_schema(), roots);
    let batches: ParquetRecordBatchReader =
        reader.with_projection(mask).with_batch_size(BATCH).build().map_err(|e| format(&e))?;
    for batch in batches {
        if send.send((room, batch.map_err(|e| format(&e))?)).is_err() {
            break;
        }
    }
    Ok((missing, ignored))
}

/// The table of all batches.
fn make(path: &Path, receive: &Receiver<(usize, RecordBatch)>) -> Result<Table, LoadError> {
    let mut builder = Builder::default();
    let (mut rows, mut problems, mut total) = (0, Vec::new(), 0);
    for (room, batch) in receive {
        if rows == 0 {
            builder = Builder::with_room(room);
        }
        let columns = Columns::of(&batch);
        for row in 0..batch.num_rows() {
            rows += 1;
            if rows > MOST_WORKERS {
                let why = format!("it has more than {MOST_WORKERS} rows");
                return Err(LoadError::Format { path: path.to_path_buf(), why });
            }
            if let Err(BadWorker { column, why }) = columns.worker(row).and_then(|worker| builder.push(&worker)) {
                total += 1;
                if problems.len() < TOLD {
                    let id = columns.id(row).to_owned();
                    problems.push(Problem { row: rows, id, column, why });
                }
            }
        }
    }
    if total > 0 {
        return Err(LoadError::Rows { path: path.to_path_buf(), problems, total, rows });
    }
    builder.finish().map_err(|duplicates| LoadError::Duplicates { path: path.to_path_buf(), duplicates })
}

struct Found {
    roots: Vec<usize>,
    missing: Vec<(&'static str, Option<String>)>,
    ignored: Vec<String>,
}

fn match_columns(fields: &arrow_schema::Fields) -> Result<Found, Vec<String>> {
    let mut wrong = Vec::new();
    let mut found = Found { roots: Vec::new(), missing: Vec::new(), ignored: Vec::new() };
    for field in fields {
        if !COLUMNS.iter().any(|column| column.name == field.name()) {
            found.ignored.push(field.name().clone());
        }
    }
    for Column { name, required, takes, kind } in COLUMNS {
        let mut named = fields.iter().enumerate().filter(|(_, field)| field.name() == name);
        match (named.next(), named.next()) {
            (Some((root, field)), None) if kind.takes(field.data_type()) => found.roots.push(root),
            (Some((_, field)), None) => {
                wrong.push(format!("column `{name}` is {}; expected {takes}", field.data_type()));
            }
            (Some(_), Some(_)) => wrong.push(format!("column `{name}` is there twice")),
            (None, _) => {
                let near = found.ignored.iter().find(|other| alike(other, name)).cloned();
                if *required {
                    let near = near.map(|near| format!("; is it `{near}`?")).unwrap_or_default();
                    wrong.push(format!("there is no column `{name}`; expected {takes}{near}"));
                } else {
                    found.missing.push((*name, near));
                }
            }
        }
    }
    if wrong.is_empty() { Ok(found) } else { Err(wrong) }
}

/// Whether one name may be meant by another: other case and signs, or one begins with the other.
fn alike(given: &str, name: &str) -> bool {
    let plain =
        |text: &str| -> String { text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect() };
    let (given, name) = (plain(given), plain(name));
    !given.is_empty()
        && (given == name || given.starts_with(&name) || given.ends_with(&name) || name.starts_with(&given))
}

/// A column of a batch, as it is read.
enum Cells<'a> {
    Text(&'a StringArray),
    Other(&'a ArrayRef),
}

/// The columns of a batch that its file has, with their entries of the table.
struct Columns<'a>(Vec<(&'static Column, Cells<'a>)>);

impl<'a> Columns<'a> {
    fn of(batch: &'a RecordBatch) -> Self {
        let cells = |column: &'static Column| {
            let array = batch.column_by_name(column.name)?;
            let text = array.as_string_opt::<i32>().filter(|_| column.kind == Kind::Text);
            Some((column, text.map_or(Cells::Other(array), Cells::Text)))
        };
        Self(COLUMNS.iter().filter_map(cells).collect())
    }

    fn id(&self, row: usize) -> &'a str {
        match self.0.first() {
            Some((Column { name: "id", .. }, Cells::Text(array))) if array.is_valid(row) => array.value(row),
            _ => "",
        }
    }

    fn worker(&self, row: usize) -> Result<Worker<'a>, BadWorker> {
        let mut worker = Worker::default();
        let (mut latitude, mut longitude, mut pay_min, mut pay_max) = (None, None, None, None);
        for (column, cells) in &self.0 {
            let array = match cells {
                Cells::Text(array) => {
                    if array.is_valid(row) {
                        let text = array.value(row);
                        *(match column.name {
                            "id" => &mut worker.id,
                            "name" => &mut worker.name,
                            "role" => &mut worker.role,
                            "city" => &mut worker.city,
                            "state" => &mut worker.state,
                            "phone" => &mut worker.phone,
                            "email" => &mut worker.email,
                            _ => &mut worker.status,
                        }) = text;
                    }
                    continue;
                }
                Cells::Other(array) if array.is_valid(row) => array,
                Cells::Other(_) => continue,
            };
            let wrong = |why: String| BadWorker { column: column.name, why };
            match column.name {
                "certifications" => worker.certifications = list(array, row, column.name)?,
                "latitude" => latitude = degrees(array, row),
                "longitude" => longitude = degrees(array, row),
                "available_from" => worker.available_from = Some(day(array, row).map_err(wrong)?),
                "available_until" => worker.available_until = Some(day(array, row).map_err(wrong)?),
                "pay_min" => pay_min = Some(cents(array, row).map_err(wrong)?),
                _ => pay_max = Some(cents(array, row).map_err(wrong)?),
            }
        }
        worker.status = status(worker.status);
        worker.place = both(latitude, longitude, "longitude", "latitude")?;
        worker.pay = both(pay_min, pay_max, "pay_max", "pay_min")?;
        Ok(worker)
    }
}

fn both<T>(a: Option<T>, b: Option<T>, second: &'static str, first: &'static str) -> Result<Option<(T, T)>, BadWorker> {
    let lone = |column, other| Err(BadWorker { column, why: format!("is null where `{other}` is not") });
    match (a, b) {
        (Some(a), Some(b)) => Ok(Some((a, b))),
        (None, None) => Ok(None),
        (Some(_), None) => lone(second, first),
        (None, Some(_)) => lone(first, second),
    }
}

/// A status as people write it. One that is not known stays as it is, and is refused.
fn status(text: &str) -> &str {
    let same = |known: &&&str| {
        known.len() == text.len()
            && known
                .bytes()
                .zip(text.bytes())
                .all(|(a, b)| a == b.to_ascii_lowercase() || (a == b'_' && matches!(b, b' ' | b'-')))
    };
    crate::STATUSES.iter().find(same).copied().unwrap_or(text)
}

fn list<'a>(array: &'a ArrayRef, row: usize, column: &'static str) -> Result<Vec<&'a str>, BadWorker> {
    if let Some(texts) = array.as_string_opt::<i32>() {
        return Ok(texts.value(row).split(';').map(str::trim).filter(|one| !one.is_empty()).collect());
    }
    let Some(lists) = array.as_list_opt::<i32>() else { return Ok(Vec::new()) };
    let offsets = lists.value_offsets();
    let Some(items) = lists.values().as_string_opt::<i32>() else { return Ok(Vec::new()) };
    (offsets[row] as usize..offsets[row + 1] as usize)
        .map(|item| match items.is_valid(item) {
            true => Ok(items.value(item).trim()),
            false => Err(BadWorker { column, why: "one of the list is null".to_owned() }),
        })
        .collect()
}

fn degrees(array: &ArrayRef, row: usize) -> Option<f32> {
    match array.data_type() {
        DataType::Float32 => array.as_primitive_opt::<Float32Type>().map(|a| a.value(row)),
        // Seven digits are a metre.
        _ => array.as_primitive_opt::<Float64Type>().map(|a| a.value(row) as f32),
    }
}

fn day(array: &ArrayRef, row: usize) -> Result<i32, String> {
    const SECONDS: i64 = 86_400;
    let days = match array.data_type() {
        DataType::Date32 => array.as_primitive_opt::<Date32Type>().map(|a| i64::from(a.value(row))),
        DataType::Timestamp(unit, _) => match unit {
            TimeUnit::Second => {
                array.as_primitive_opt::<TimestampSecondType>().map(|a| a.value(row).div_euclid(SECONDS))
            }
            TimeUnit::Millisecond => {
                array.as_primitive_opt::<TimestampMillisecondType>().map(|a| a.value(row).div_euclid(SECONDS * 1_000))
            }
            TimeUnit::Microsecond => array
                .as_primitive_opt::<TimestampMicrosecondType>()
                .map(|a| a.value(row).div_euclid(SECONDS * 1_000_000)),
            TimeUnit::Nanosecond => array
                .as_primitive_opt::<TimestampNanosecondType>()
                .map(|a| a.value(row).div_euclid(SECONDS * 1_000_000_000)),
        },
        _ => {
            let text = array.as_string_opt::<i32>().map(|a| a.value(row)).unwrap_or_default();
            let date: jiff::civil::Date = text.trim().parse().map_err(|_| {
                let shown: String = text.chars().take(40).collect();
                format!("`{}` is no date; expected one as 2026-01-31", shown.escape_debug())
            })?;
            let since = date.since(jiff::civil::Date::constant(1970, 1, 1)).map_err(|e| e.to_string())?;
            Some(i64::from(since.get_days()))
        }
    };
    // A million days are 2,700 years.
    days.filter(|days| days.abs() < 1_000_000)
        .and_then(|days| i32::try_from(days).ok())
        .ok_or_else(|| "is millennia from now".to_owned())
}

fn cents(array: &ArrayRef, row: usize) -> Result<u32, String> {
    let cents = match array.data_type() {
        DataType::Int8 => array.as_primitive_opt::<Int8Type>().map(|a| i64::from(a.value(row))),
        DataType::Int16 => array.as_primitive_opt::<Int16Type>().map(|a| i64::from(a.value(row))),
        DataType::Int32 => array.as_primitive_opt::<Int32Type>().map(|a| i64::from(a.value(row))),
        DataType::UInt8 => array.as_primitive_opt::<UInt8Type>().map(|a| i64::from(a.value(row))),
        DataType::UInt16 => array.as_primitive_opt::<UInt16Type>().map(|a| i64::from(a.value(row))),
        DataType::UInt32 => array.as_primitive_opt::<UInt32Type>().map(|a| i64::from(a.value(row))),
        DataType::UInt64 => array.as_primitive_opt::<UInt64Type>().and_then(|a| i64::try_from(a.value(row)).ok()),
        _ => array.as_primitive_opt::<Int64Type>().map(|a| a.value(row)),
    };
    // A million dollars an hour.
    cents
        .and_then(|cents| u32::try_from(cents).ok())
        .filter(|cents| *cents <= 100_000_000)
        .ok_or_else(|| "is negative or far too much".to_owned())
}

impl Loaded {
    /// What the roster does not say, and of how many workers: no name, no status, no place to be reached at.
    pub fn gaps(&self) -> Vec<(&'static str, usize)> {
        let mut counts = [
            ("without a name", 0),
            ("without a role", 0),
            ("without a status", 0),
            ("without coordinates", 0),
            ("without a pay band", 0),
            ("without phone and e-mail", 0),
        ];
        for worker in self.table.workers() {
            let absent = [
                worker.name.is_empty(),
                worker.role.is_empty(),
                worker.status.is_empty(),
                worker.place.is_none(),
                worker.pay.is_none(),
                worker.phone.is_empty() && worker.email.is_empty(),
            ];
            counts.iter_mut().zip(absent).for_each(|((_, count), absent)| *count += usize::from(absent));
        }
        counts.into_iter().filter(|(_, count)| *count > 0).collect()
    }

    /// How many workers there are of each status, in the order of [`crate::STATUSES`].
    pub fn statuses(&self) -> Vec<(&'static str, usize)> {
        let mut counts = crate::STATUSES.map(|status| (status, 0));
        for worker in self.table.workers() {
            counts.iter_mut().filter(|(status, _)| *status == worker.status).for_each(|(_, count)| *count += 1);
        }
        counts.into_iter().filter(|(_, count)| *count > 0).collect()
    }

    /// Names that several workers have.
    pub fn shared_names(&self) -> usize {
        let mut seen = BTreeSet::new();
        let hashes = self.table.names.iter().map(|entry| entry >> 32);
        let mut last = None;
        for hash in hashes {
            if last == Some(hash) {
                seen.insert(hash);
            }
            last = Some(hash);
        }
        seen.len()
    }

    /// How many workers there are.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }
}
