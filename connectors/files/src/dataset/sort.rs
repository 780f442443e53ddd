//! Sorts rows in bounded memory: sorted runs in temporary files, merged.
//!
//! A run's layout, repeated per row: `occurred_at` (i64 LE), length of the id (u32 LE), id, length of the line
//! (u32 LE), line. Runs of one level are merged into one of the next when there are [`FAN`] of them, so that the number
//! of open files stays small.

use super::place::make_dir;
use super::{DatasetError, Row, on};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

/// Runs that are merged at a time.
const FAN: usize = 32;
/// What a row costs in memory beside its bytes.
const OVERHEAD: usize = 96;

/// A row, with no way to make one from outside but to hand a row of type `R` to a [`Sorter`].
pub(super) struct Sorted<R> {
    entry: Entry,
    row: PhantomData<fn(R)>,
}

impl<R> Sorted<R> {
    pub(super) fn line(&self) -> &[u8] {
        &self.entry.line
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    at: i64,
    id: Box<str>,
    line: Box<[u8]>,
}

/// Takes rows in any order.
pub(super) struct Sorter<R> {
    dir: PathBuf,
    memory: usize,
    rows: Vec<Entry>,
    bytes: usize,
    runs: Vec<Run>,
    written: u64,
    row: PhantomData<fn(R)>,
}

struct Run {
    level: u8,
    path: PathBuf,
}

impl<R: Row> Sorter<R> {
    /// Sorts with at most `memory` bytes, in `dir`, which is made when it is needed.
    pub(super) fn new(dir: PathBuf, memory: usize) -> Self {
        Self { dir, memory, rows: vec![], bytes: 0, runs: vec![], written: 0, row: PhantomData }
    }

    pub(super) fn push(&mut self, row: &R) -> Result<(), DatasetError> {
        let entry = Entry { at: row.occurred_at(), id: row.id().into(), line: row.line().into() };
        self.bytes += entry.id.len() + entry.line.len() + OVERHEAD;
        self.rows.push(entry);
        if self.bytes >= self.memory { self.spill() } else { Ok(()) }
    }

    /// All rows in order.
    pub(super) fn finish(mut self) -> Result<Merge<R>, DatasetError> {
        let source = if self.runs.is_empty() {
            self.rows.sort_unstable();
            Source::Memory(self.rows.into())
        } else {
            self.spill()?;
            Source::Files(Heads::open(self.runs.iter().map(|run| run.path.clone()).collect())?)
        };
        Ok(Merge { source, last: None, row: PhantomData })
    }

    fn spill(&mut self) -> Result<(), DatasetError> {
        if self.rows.is_empty() {
            return Ok(());
        }
        self.rows.sort_unstable();
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        self.write(0, rows.into_iter().map(Ok))?;
        let mut level = 0;
        while self.runs.iter().filter(|run| run.level == level).count() >= FAN {
            let (merged, kept) = std::mem::take(&mut self.runs).into_iter().partition(|run| run.level == level);
            self.runs = kept;
            let merged: Vec<Run> = merged;
            let mut heads = Heads::open(merged.iter().map(|run| run.path.clone()).collect())?;
            level += 1;
            self.write(level, std::iter::from_fn(move || heads.next().transpose()))?;
            for run in merged {
                std::fs::remove_file(&run.path).map_err(on("remove", &run.path))?;
            }
        }
        Ok(())
    }

    fn write(
        &mut self,
        level: u8,
        rows: impl Iterator<Item = Result<Entry, DatasetError>>,
    ) -> Result<(), DatasetError> {
        if self.written == 0 {
            make_dir(&self.dir)?;
        }
        let path = self.dir.join(format!("run-{:06}", self.written));
        self.written += 1;
        let file = File::create_new(&path).map_err(on("create", &path))?;
        let mut out = BufWriter::with_capacity(1 << 16, file);
        for row in rows {
            put(&mut out, &row?).map_err(on("write", &path))?;
        }
        out.flush().map_err(on("write", &path))?;
        self.runs.push(Run { level, path });
        Ok(())
    }
}

/// Rows in order.
pub(super) struct Merge<R> {
    source: Source,
    last: Option<(i64, Box<str>)>,
    row: PhantomData<fn(R)>,
}

enum Source {
    Memory(VecDeque<Entry>),
    Files(Heads),
}

impl<R> Merge<R> {
    pub(super) fn next(&mut self) -> Result<Option<Sorted<R>>, DatasetError> {
        let entry = match &mut self.source {
            Source::Memory(rows) => rows.pop_front(),
            Source::Files(heads) => heads.next()?,
        };
        let Some(entry) = entry else { return Ok(None) };
        let place = (entry.at, entry.id.clone());
        if self.last.as_ref() == Some(&place) {
            return Err(DatasetError::Twice(entry.id.into()));
        }
        self.last = Some(place);
        Ok(Some(Sorted { entry, row: PhantomData }))
    }
}

/// The first row of each run.
struct Heads {
    runs: Vec<(PathBuf, BufReader<File>)>,
    heap: BinaryHeap<Reverse<(Entry, usize)>>,
}

impl Heads {
    fn open(paths: Vec<PathBuf>) -> Result<Self, DatasetError> {
        let mut heads = Self { runs: Vec::with_capacity(paths.len()), heap: BinaryHeap::new() };
        for path in paths {
            let file = File::open(&path).map_err(on("open", &path))?;
            heads.runs.push((path, BufReader::with_capacity(1 << 16, file)));
            heads.advance(heads.runs.len() - 1)?;
        }
        Ok(heads)
    }

    fn next(&mut self) -> Result<Option<Entry>, DatasetError> {
        let Some(Reverse((entry, run))) = self.heap.pop() else { return Ok(None) };
        self.advance(run)?;
        Ok(Some(entry))
    }

    fn advance(&mut self, run: usize) -> Result<(), DatasetError> {
        let (path, reader) = &mut self.runs[run];
        if let Some(entry) = get(reader).map_err(on("read", path))? {
            self.heap.push(Reverse((entry, run)));
        }
        Ok(())
    }
}

fn put(out: &mut impl Write, entry: &Entry) -> std::io::Result<()> {
    out.write_all(&entry.at.to_le_bytes())?;
    for part in [entry.id.as_bytes(), &entry.line] {
        let len = u32::try_from(part.len()).map_err(|_| std::io::Error::other("a row of 4 GiB"))?;
        out.write_all(&len.to_le_bytes())?;
        out.write_all(part)?;
    }
    Ok(())
}

fn get(reader: &mut impl BufRead) -> std::io::Result<Option<Entry>> {
    if reader.fill_buf()?.is_empty() {
        return Ok(None);
    }
    let mut at = [0; 8];
    reader.read_exact(&mut at)?;
    let id = String::from_utf8(part(reader)?).map_err(std::io::Error::other)?;
    Ok(Some(Entry { at: i64::from_le_bytes(at), id: id.into(), line: part(reader)?.into() }))
}

fn part(reader: &mut impl Read) -> std::io::Result<Vec<u8>> {
    let mut len = [0; 4];
    reader.read_exact(&mut len)?;
    let len = u64::from(u32::from_le_bytes(len));
    let mut bytes = Vec::new();
    // Not `vec![0; len]`: a damaged length must not allocate what is not there.
    if reader.take(len).read_to_end(&mut bytes)? as u64 != len {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes)
}

/// Removes the runs, if there are any.
pub(super) fn remove(dir: &Path) -> Result<(), DatasetError> {
    match std::fs::remove_dir_all(dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(on("remove", dir)(e)),
        _ => Ok(()),
    }
}
