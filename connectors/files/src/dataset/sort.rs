//! Sorts entries in bounded memory: sorted runs in temporary files, merged.
//!
//! An entry is a key and a value; entries come out in the order of their keys, byte by byte, then of their values. A
//! run's layout, repeated per entry: length of the key (u32 LE), key, length of the value (u32 LE), value. Runs of one
//! level are merged into one of the next when there are [`FAN`] of them, so that the number of open files stays small.

use super::place::make_dir;
use super::{DatasetError, on};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// Runs that are merged at a time.
const FAN: usize = 32;

/// Makes sorters that share a temporary directory.
#[derive(Debug)]
pub struct Sorting {
    dir: PathBuf,
    memory: usize,
    made: u64,
}

impl Sorting {
    pub(super) fn new(dir: PathBuf, memory: usize) -> Self {
        Self { dir, memory, made: 0 }
    }

    /// A new sorter, which takes this share of the memory before it writes to disk.
    pub fn sorter(&mut self, share: f64) -> Result<Sorter, DatasetError> {
        if self.made == 0 {
            make_dir(&self.dir)?;
        }
        let dir = self.dir.join(format!("{:03}", self.made));
        self.made += 1;
        Ok(Sorter::new(dir, (self.memory as f64 * share) as usize))
    }
}

/// Entries in memory: their bytes one after another, and where each begins.
#[derive(Debug, Default)]
struct Arena {
    bytes: Vec<u8>,
    entries: Vec<(usize, u32, u32)>,
}

impl Arena {
    fn key(&self, (at, key, _): (usize, u32, u32)) -> &[u8] {
        &self.bytes[at..at + key as usize]
    }

    fn value(&self, (at, key, value): (usize, u32, u32)) -> &[u8] {
        &self.bytes[at + key as usize..at + key as usize + value as usize]
    }

    fn size(&self) -> usize {
        self.bytes.len() + self.entries.len() * size_of::<(usize, u32, u32)>()
    }

    fn sort(&mut self) {
        let mut entries = std::mem::take(&mut self.entries);
        entries.sort_unstable_by(|a, b| (self.key(*a), self.value(*a)).cmp(&(self.key(*b), self.value(*b))));
        self.entries = entries;
    }
}

/// Takes entries in any order.
#[derive(Debug)]
pub struct Sorter {
    dir: PathBuf,
    memory: usize,
    arena: Arena,
    runs: Vec<Run>,
    written: u64,
}

#[derive(Debug)]
struct Run {
    level: u8,
    path: PathBuf,
}

impl Sorter {
    /// Sorts with about `memory` bytes, in `dir`, which is made when it is needed.
    fn new(dir: PathBuf, memory: usize) -> Self {
        Self { dir, memory, arena: Arena::default(), runs: vec![], written: 0 }
    }

    /// Takes an entry.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), DatasetError> {
        let length = |part: &[u8]| {
            u32::try_from(part.len()).map_err(|_| on("sort", &self.dir)(std::io::Error::other("a row of 4 GiB")))
        };
        let entry = (self.arena.bytes.len(), length(key)?, length(value)?);
        self.arena.bytes.extend_from_slice(key);
        self.arena.bytes.extend_from_slice(value);
        self.arena.entries.push(entry);
        if self.arena.size() >= self.memory { self.spill() } else { Ok(()) }
    }

    /// All entries in order.
    pub fn sorted(mut self) -> Result<Sorted, DatasetError> {
        if self.runs.is_empty() {
            self.arena.sort();
            return Ok(Sorted(Source::Memory(self.arena, 0)));
        }
        self.spill()?;
        self.arena = Arena::default();
        Ok(Sorted(Source::Files(Heads::open(self.runs.iter().map(|run| run.path.clone()).collect())?)))
    }

    fn spill(&mut self) -> Result<(), DatasetError> {
        if self.arena.entries.is_empty() {
            return Ok(());
        }
        self.arena.sort();
        let mut out = self.run(0)?;
        for entry in &self.arena.entries {
            out.put(self.arena.key(*entry), self.arena.value(*entry))?;
        }
        out.finish()?;
        self.arena.bytes.clear();
        self.arena.entries.clear();
        let mut level = 0;
        while self.runs.iter().filter(|run| run.level == level).count() >= FAN {
            let (merged, kept): (Vec<Run>, Vec<Run>) =
                std::mem::take(&mut self.runs).into_iter().partition(|run| run.level == level);
            self.runs = kept;
            let mut heads = Heads::open(merged.iter().map(|run| run.path.clone()).collect())?;
            level += 1;
            let mut out = self.run(level)?;
            while heads.advance()? {
                out.put(&heads.current.0, &heads.current.1)?;
            }
            out.finish()?;
            for run in merged {
                std::fs::remove_file(&run.path).map_err(on("remove", &run.path))?;
            }
        }
        Ok(())
    }

    fn run(&mut self, level: u8) -> Result<Out, DatasetError> {
        if self.written == 0 {
            make_dir(&self.dir)?;
        }
        let path = self.dir.join(format!("run-{:06}", self.written));
        self.written += 1;
        let file = File::create_new(&path).map_err(on("create", &path))?;
        self.runs.push(Run { level, path: path.clone() });
        Ok(Out { path, out: BufWriter::with_capacity(1 << 18, file) })
    }
}

/// A run that is being written.
struct Out {
    path: PathBuf,
    out: BufWriter<File>,
}

impl Out {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), DatasetError> {
        let write = |out: &mut BufWriter<File>| {
            for part in [key, value] {
                let length = u32::try_from(part.len()).map_err(std::io::Error::other)?;
                out.write_all(&length.to_le_bytes())?;
                out.write_all(part)?;
            }
            Ok(())
        };
        write(&mut self.out).map_err(on("write", &self.path))
    }

    fn finish(mut self) -> Result<(), DatasetError> {
        self.out.flush().map_err(on("write", &self.path))
    }
}

/// A key and its value, until the next one is asked for.
pub type Lent<'a> = (&'a [u8], &'a [u8]);

/// Entries in order.
#[derive(Debug)]
pub struct Sorted(Source);

#[derive(Debug)]
enum Source {
    Memory(Arena, usize),
    Files(Heads),
}

impl Sorted {
    /// The next one.
    #[expect(clippy::should_implement_trait, reason = "an iterator could not lend what it gives")]
    pub fn next(&mut self) -> Result<Option<Lent<'_>>, DatasetError> {
        match &mut self.0 {
            Source::Memory(arena, at) => {
                let entry = arena.entries.get(*at).copied();
                *at += 1;
                Ok(entry.map(|entry| (arena.key(entry), arena.value(entry))))
            }
            Source::Files(heads) => {
                let more = heads.advance()?;
                Ok(more.then_some((&heads.current.0[..], &heads.current.1[..])))
            }
        }
    }
}

type Entry = (Vec<u8>, Vec<u8>);

/// The first entry of each run.
#[derive(Debug)]
struct Heads {
    runs: Vec<(PathBuf, BufReader<File>)>,
    heap: BinaryHeap<Reverse<(Entry, usize)>>,
    current: Entry,
}

impl Heads {
    fn open(paths: Vec<PathBuf>) -> Result<Self, DatasetError> {
        let mut heads =
            Self { runs: Vec::with_capacity(paths.len()), heap: BinaryHeap::new(), current: Entry::default() };
        for path in paths {
            let file = File::open(&path).map_err(on("open", &path))?;
            heads.runs.push((path, BufReader::with_capacity(1 << 17, file)));
            heads.fill(heads.runs.len() - 1, Entry::default())?;
        }
        Ok(heads)
    }

    /// Makes the next entry the current one; its buffers go to the one that follows it in its run.
    fn advance(&mut self) -> Result<bool, DatasetError> {
        let Some(Reverse((entry, run))) = self.heap.pop() else { return Ok(false) };
        let spent = std::mem::replace(&mut self.current, entry);
        self.fill(run, spent)?;
        Ok(true)
    }

    fn fill(&mut self, run: usize, mut entry: Entry) -> Result<(), DatasetError> {
        let (path, reader) = &mut self.runs[run];
        if get(reader, &mut entry).map_err(on("read", path))? {
            self.heap.push(Reverse((entry, run)));
        }
        Ok(())
    }
}

fn get(reader: &mut impl BufRead, (key, value): &mut Entry) -> std::io::Result<bool> {
    if reader.fill_buf()?.is_empty() {
        return Ok(false);
    }
    part(reader, key)?;
    part(reader, value)?;
    Ok(true)
}

fn part(reader: &mut impl Read, into: &mut Vec<u8>) -> std::io::Result<()> {
    let mut length = [0; 4];
    reader.read_exact(&mut length)?;
    let length = u64::from(u32::from_le_bytes(length));
    into.clear();
    // Not `vec![0; length]`: a damaged length must not allocate what is not there.
    if reader.take(length).read_to_end(into)? as u64 != length {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

/// Removes the runs, if there are any.
pub(super) fn remove(dir: &Path) -> Result<(), DatasetError> {
    match std::fs::remove_dir_all(dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(on("remove", dir)(e)),
        _ => Ok(()),
    }
}
