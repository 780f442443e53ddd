//! Files through a mapping, record by record.

use super::assemble::Made;
use super::input::{self, Identity, Taken};
use super::join::Joiner;
use super::mapping::Mapping;
use super::template::clip;
use crate::lines::{Broken, Flaw, Format, Limits, Piece, Place, Splitter};
use serde::Serialize;
use serde_json::Value;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use stillhouse_schemas::{Event, Producer};

/// How files are read.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Format of the records; found by the first bytes where not given.
    pub format: Option<Format>,
    /// What is taken at most.
    pub limits: Limits,
    /// Reads records of mappings that say `spans`.
    pub spans: Option<ReadSpans>,
}

/// Makes events of a record that holds spans, or says why not.
pub type ReadSpans = fn(&Value, &Producer) -> Vec<Result<Event, String>>;

/// Where an earlier reading of a file came to.
#[derive(Clone, Debug)]
pub struct Resume {
    /// Format that it found.
    pub format: Format,
    /// The last record that it took.
    pub taken: Taken,
}

/// Why a run, a record or the rest of a file was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rejection {
    /// File, as given.
    pub file: String,
    /// Line, from 1.
    pub line: u64,
    /// Number of the record in the file, from 1.
    pub record: u64,
    /// Offset of the record (after decompression).
    pub offset: u64,
    /// Part of the record, where it holds several runs.
    pub part: Option<String>,
    /// What is wrong, and what would be right.
    pub reason: String,
    /// Nothing after it was read from this file.
    pub stopped: bool,
}

impl std::fmt::Display for Rejection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: ", self.file, self.line)?;
        if self.record > 0 {
            write!(f, "record {} (byte {})", self.record, self.offset)?;
            if let Some(part) = &self.part {
                write!(f, ", part `{part}`")?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&self.reason)?;
        if self.stopped { f.write_str("; the rest of this file was not read") } else { Ok(()) }
    }
}

/// What became of one piece of a file.
#[derive(Debug)]
pub struct Step {
    /// Index of the file.
    pub file: usize,
    /// Runs, or reasons why not.
    pub results: Vec<Result<Event, Rejection>>,
    /// Where the first record of the piece begins.
    pub place: Place,
    /// Records that the piece held.
    pub records: u64,
    /// Of these, not what the mapping is for.
    pub passed_over: u64,
    /// How far the file has been taken; absent where reading cannot go on from here.
    pub taken: Option<Taken>,
}

/// Reads files through a mapping. Memory is bounded by the longest record.
pub struct Reading {
    mapping: Arc<Mapping>,
    paths: Vec<String>,
    options: Options,
    resume: Vec<Option<Resume>>,
    consumed: Arc<AtomicU64>,
    at: usize,
    open: Option<Open>,
    joiner: Option<Joiner>,
    blank_lines: u64,
    left: std::vec::IntoIter<super::join::Alone>,
}

struct Open {
    splitter: Splitter<Box<dyn Read + Send>>,
    identity: Option<Identity>,
    resumed: bool,
}

impl Reading {
    /// Reads `paths` one after another.
    pub fn new(mapping: Arc<Mapping>, paths: Vec<String>, options: Options) -> std::io::Result<Self> {
        let joiner = mapping.join.as_ref().map(|_| Joiner::new()).transpose()?;
        let resume = vec![None; paths.len()];
        Ok(Self {
            mapping,
            paths,
            options,
            resume,
            consumed: Arc::default(),
            at: 0,
            open: None,
            joiner,
            blank_lines: 0,
            left: Vec::new().into_iter(),
        })
    }

    /// Goes on in file `index` where an earlier reading came to, if it is the same file still; otherwise the file is
    /// read anew. Mappings that join read everything anew.
    pub fn resume(&mut self, index: usize, from: Resume) {
        if !self.mapping.joins() {
            self.resume[index] = Some(from);
        }
    }

    /// A file, as it is called in rejections.
    pub fn path(&self, index: usize) -> &str {
        match self.paths[index].as_str() {
            "-" => "<stdin>",
            path => path,
        }
    }

    /// Raw bytes read so far, of all files.
    pub fn consumed(&self) -> Arc<AtomicU64> {
        self.consumed.clone()
    }

    /// Empty lines passed over so far.
    pub fn blank_lines(&self) -> u64 {
        self.blank_lines + self.open.as_ref().map_or(0, |o| o.splitter.blank_lines())
    }

    /// The file being read: its identity, its format, and whether reading went on where an earlier one had come to.
    pub fn current(&self) -> Option<(&Identity, Format, bool)> {
        let open = self.open.as_ref()?;
        Some((open.identity.as_ref()?, open.splitter.format(), open.resumed))
    }

    /// The next piece; `None` at the end of the last file.
    pub fn next_step(&mut self) -> Option<Step> {
        loop {
            if let Some(alone) = self.left.next() {
                return Some(self.rejected(alone.file, alone.place, alone.reason, false));
            }
            if self.at >= self.paths.len() {
                let (joiner, join) = (self.joiner.take(), self.mapping.join.as_ref());
                self.left = joiner.zip(join).map(|(mut joiner, join)| joiner.alone(join))?.into_iter();
                continue;
            }
            let file = self.at;
            if self.open.is_none() {
                match self.start(file) {
                    Ok(open) => self.open = Some(open),
                    Err((place, reason)) => {
                        self.at += 1;
                        return Some(self.rejected(file, place, reason, true));
                    }
                }
            }
            let open = self.open.as_mut()?;
            match open.splitter.next_piece() {
                Some(Ok(piece)) => return Some(self.piece(file, piece)),
                end => {
                    let empty = open.splitter.records() == 0;
                    self.blank_lines += open.splitter.blank_lines();
                    self.open = None;
                    self.at += 1;
                    match end {
                        Some(Err(broken)) => {
                            return Some(self.rejected(file, broken.place(), broken.to_string(), true));
                        }
                        _ if empty => {
                            let place = Place { line: 1, offset: 0, record: 0 };
                            return Some(self.rejected(file, place, "there is no record in it".into(), false));
                        }
                        _ => {}
                    }
                }
            }
        }
    }

    fn start(&mut self, file: usize) -> Result<Open, (Place, String)> {
        let first = Place { line: 1, offset: 0, record: 0 };
        let path = &self.paths[file];
        let plain = |e: input::OpenError| {
            let text = e.to_string();
            (first, text.strip_prefix(&format!("{path}: ")).map_or(text.clone(), str::to_owned))
        };
        if let Some(resume) = self.resume[file].take() {
            let mut input = input::open(path, self.consumed.clone()).map_err(plain)?;
            if let Ok(true) = input::skip(&mut input, &resume.taken) {
                let splitter = Splitter::resume(input.reader, resume.format, resume.taken.mark, self.options.limits);
                return Ok(Open { splitter, identity: input.identity, resumed: true });
            }
        }
        let input = input::open(path, self.consumed.clone()).map_err(plain)?;
        let splitter = Splitter::new(input.reader, self.options.format, self.options.limits)
            .map_err(|e: Broken| (e.place(), e.to_string()))?;
        Ok(Open { splitter, identity: input.identity, resumed: false })
    }

    fn piece(&mut self, file: usize, piece: Piece) -> Step {
        let place = piece.place;
        let bytes = match piece.bytes {
            Ok(bytes) => bytes,
            Err(flaw) => {
                let mut step = self.rejected(file, place, remedy(flaw), false);
                step.taken = Some(Taken { begin: place.offset, mark: piece.mark, ..Taken::default() }.unchecked());
                return step;
            }
        };
        let taken = Taken {
            begin: place.offset,
            length: bytes.len() as u64,
            hash: blake3::hash(&bytes).to_hex().to_string(),
            mark: piece.mark,
        };
        let mut step = match parse(&bytes, piece.last) {
            Ok(value) => self.records(file, place, value),
            Err(reason) => self.rejected(file, place, reason, false),
        };
        step.taken = Some(taken);
        step
    }

    fn records(&mut self, file: usize, place: Place, value: Value) -> Step {
        let mapping = self.mapping.clone();
        let mut step = Step { file, results: Vec::new(), place, records: 0, passed_over: 0, taken: None };
        for record in mapping.records(&value) {
            let record = record.as_ref();
            step.records += 1;
            let joined;
            let record = match (&mapping.join, &mut self.joiner) {
                (Some(join), Some(joiner)) => match joiner.take(join, record.clone(), file, place) {
                    Ok(Some(whole)) => {
                        joined = whole;
                        &joined
                    }
                    Ok(None) => continue,
                    Err(reason) => {
                        step.results.push(Err(self.rejection(file, place, reason, false)));
                        continue;
                    }
                },
                _ => record,
            };
            if mapping.spans {
                let read = self.options.spans.map_or_else(Vec::new, |read| read(record, &mapping.producer));
                let made = read.into_iter().map(|made| made.map_err(|why| self.rejection(file, place, why, false)));
                step.results.extend(made);
                continue;
            }
            match mapping.apply(record) {
                Made::PassedOver => step.passed_over += 1,
                Made::Runs(runs) => step.results.extend(runs.into_iter().map(|run| {
                    run.map_err(|refusal| Rejection {
                        part: refusal.part,
                        ..self.rejection(file, place, refusal.reason, false)
                    })
                })),
            }
        }
        step
    }

    fn rejection(&self, file: usize, place: Place, reason: String, stopped: bool) -> Rejection {
        let Place { line, offset, record } = place;
        Rejection { file: self.path(file).to_owned(), line, record, offset, part: None, reason, stopped }
    }

    fn rejected(&self, file: usize, place: Place, reason: String, stopped: bool) -> Step {
        let rejection = self.rejection(file, place, reason, stopped);
        Step {
            file,
            results: vec![Err(rejection)],
            place,
            records: u64::from(place.record > 0),
            passed_over: 0,
            taken: None,
        }
    }
}

impl Taken {
    /// Of a record that was not kept, so that its bytes cannot be checked later.
    fn unchecked(mut self) -> Self {
        self.hash = blake3::hash(b"").to_hex().to_string();
        self
    }
}

fn parse(bytes: &[u8], last: bool) -> Result<Value, String> {
    if bytes.starts_with(b"\xef\xbb\xbf") {
        return Err(
            "a byte-order mark stands in the middle of the file; remove it (files joined by `cat` have one each)"
                .into(),
        );
    }
    stillhouse_schemas::json::parse_strict(bytes).map_err(|e| {
        if last && cut(bytes) {
            return "the last line is incomplete: the file was cut, or is still being written; import it again when it is whole".into();
        }
        let near = bytes.get(e.offset.saturating_sub(10)..(e.offset + 10).min(bytes.len())).unwrap_or_default();
        format!("not JSON that is taken: {} (at byte {} of the record, near `{}`)", e.message, e.offset, clip(&String::from_utf8_lossy(near)))
    })
}

/// Whether a text would be JSON if only it went on.
fn cut(bytes: &[u8]) -> bool {
    match serde_json::from_slice::<serde::de::IgnoredAny>(bytes) {
        Err(e) => e.is_eof(),
        Ok(_) => false,
    }
}

fn remedy(flaw: Flaw) -> String {
    match flaw {
        Flaw::TooLong { .. } => format!("{flaw}; split it, or keep what is large elsewhere"),
        Flaw::Missing | Flaw::Stray => flaw.to_string(),
    }
}
