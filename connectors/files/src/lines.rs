//! Records in a stream of bytes: one JSON value a line, one array of values, or values one after another.
//!
//! **Promises.** Memory is bounded by the longest record taken ([`Limits::record_bytes`]); what is longer is reported
//! and passed over. The pieces do not depend on how the stream arrives. Every piece knows its line, its offset and
//! where reading can be taken up again. A last line that was cut is reported, never taken.
//!
//! **Lacks, on purpose.** It does not parse: it finds where a record begins and ends by brackets and quotes, so that one
//! bad record costs only itself. Where brackets no longer pair, the rest of an array cannot be told apart and is not
//! guessed at.

use std::io::{self, BufRead, BufReader, Chain, Cursor, Read};

/// How records stand in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// One value a line (JSON Lines, NDJSON).
    Lines,
    /// One array whose elements are the records.
    Array,
    /// Values one after another, over any number of lines.
    Concatenated,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Lines, Self::Array, Self::Concatenated];

    /// As written on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lines => "lines",
            Self::Array => "array",
            Self::Concatenated => "concatenated",
        }
    }
}

/// What a splitter takes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest record, in bytes.
    pub record_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { record_bytes: 64 << 20 }
    }
}

/// Where a record stands in its stream (after decompression).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Place {
    /// Line of its first byte, from 1.
    pub line: u64,
    /// Offset of its first byte, from 0.
    pub offset: u64,
    /// Its number among the records of the stream, from 1.
    pub record: u64,
}

/// Where reading goes on after a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Mark {
    /// Offset of the next unread byte.
    pub offset: u64,
    /// Line of that byte, from 1.
    pub line: u64,
    /// Records read so far.
    pub records: u64,
}

/// One record, or what is wrong in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where it begins.
    pub place: Place,
    /// Where reading goes on.
    pub mark: Mark,
    /// Its bytes, without what separates records.
    pub bytes: Result<Vec<u8>, Flaw>,
    /// Nothing ended this record but the end of the stream: if it does not parse, the stream was cut.
    pub last: bool,
}

/// Why a record was passed over; reading goes on after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// It is longer than [`Limits::record_bytes`].
    #[error("the record is {bytes} bytes long, and {cap} are taken at most")]
    TooLong {
        /// How long it is.
        bytes: u64,
        /// The limit.
        cap: usize,
    },
    /// Nothing stands between two commas, or before the end of the array.
    #[error("a record is missing between commas")]
    Missing,
    /// Something stands between records that cannot begin one.
    #[error("this cannot begin a record")]
    Stray,
}

/// Why reading cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The stream ends inside a record or an array.
    #[error("{what} that begins here is never closed: the input was cut, or a bracket or quote is missing")]
    Unclosed {
        /// Where the thing begins.
        place: Place,
        /// What it is.
        what: &'static str,
    },
    /// A bracket closes what another kind opened.
    #[error("brackets do not pair in this record (`{found}` at byte {at}), so what follows cannot be told apart")]
    Unpaired {
        /// Where the record begins.
        place: Place,
        /// The bracket found.
        found: char,
        /// Where it stands.
        at: u64,
    },
    /// The caller asked for an array and this is none.
    #[error("no array begins here (`[` is expected); leave the format to be found by itself")]
    NoArray {
        /// Where it should begin.
        place: Place,
    },
    /// Something stands after the end of the array.
    #[error("there is more after the end of the array")]
    Trailing {
        /// Where it begins.
        place: Place,
    },
    /// Not text that could hold JSON.
    #[error("this is {what}, not JSON in UTF-8; {remedy}")]
    Foreign {
        /// What it looks like.
        what: &'static str,
        /// What to do about it.
        remedy: &'static str,
    },
    /// Reading failed.
    #[error("reading stopped after byte {}: {source}", place.offset)]
    Io {
        /// How far it came.
        place: Place,
        /// Why it failed.
        source: io::Error,
    },
}

impl Broken {
    /// Where it is.
    pub fn place(&self) -> Place {
        match self {
            Self::Unclosed { place, .. }
            | Self::Unpaired { place, .. }
            | Self::NoArray { place }
            | Self::Trailing { place }
            | Self::Io { place, .. } => *place,
            Self::Foreign { .. } => Place { line: 1, offset: 0, record: 0 },
        }
    }
}

/// How much of a stream is looked at to find its format.
const PEEK: usize = 64 << 10;
const BUFFER: usize = 256 << 10;
const BOM: &[u8] = b"\xef\xbb\xbf";

/// Cuts a stream into records.
pub struct Splitter<R> {
    input: Chain<Cursor<Vec<u8>>, BufReader<Failing<R>>>,
    format: Format,
    limits: Limits,
    mark: Mark,
    blank: u64,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the `[` of an array.
    Opening,
    /// Between records; in an array, after `[` (first) or after an element.
    Between {
        first: bool,
    },
    Done,
}

impl<R: Read> Splitter<R> {
    /// Looks at the beginning of `input` and reads from there; `format` decides where it is given.
    pub fn new(input: R, format: Option<Format>, limits: Limits) -> Result<Self, Broken> {
        let mut input = Failing { inner: input, error: None };
        let mut head = Vec::new();
        if let Err(error) = input.by_ref().take(PEEK as u64).read_to_end(&mut head) {
            // What came before it is read first.
            input.error = Some(error);
        }
        refuse_foreign(&head)?;
        let skip = if head.starts_with(BOM) { BOM.len() } else { 0 };
        let format = format.unwrap_or_else(|| find_format(&head[skip..]));
        let mut head = Cursor::new(head);
        head.set_position(skip as u64);
        let state = if format == Format::Array { State::Opening } else { State::Between { first: true } };
        let mark = Mark { offset: skip as u64, line: 1, records: 0 };
        let input = BufReader::with_capacity(BUFFER, input);
        Ok(Self { input: head.chain(input), format, limits, mark, blank: 0, state })
    }

    /// Goes on where an earlier splitter of this format stood at `mark`; `input` begins at that offset.
    pub fn resume(input: R, format: Format, mark: Mark, limits: Limits) -> Self {
        let input = Failing { inner: input, error: None };
        let input = Cursor::new(Vec::new()).chain(BufReader::with_capacity(BUFFER, input));
        Self { input, format, limits, mark, blank: 0, state: State::Between { first: mark.records == 0 } }
    }

    /// How records stand in this stream.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Empty lines passed over.
    pub fn blank_lines(&self) -> u64 {
        self.blank
    }

    /// Records seen so far, good or bad.
    pub fn records(&self) -> u64 {
        self.mark.records
    }

    /// The next record, `None` at the end. After an `Err` there is nothing more.
    pub fn next_piece(&mut self) -> Option<Result<Piece, Broken>> {
        let piece = match (self.state, self.format) {
            (State::Done, _) => return None,
            (_, Format::Lines) => self.line(),
            (_, Format::Array) => self.element(),
            (_, Format::Concatenated) => self.value(),
        };
        if !matches!(piece, Ok(Some(_))) {
            self.state = State::Done;
        }
        piece.transpose()
    }

    fn here(&self) -> Place {
        Place { line: self.mark.line, offset: self.mark.offset, record: self.mark.records + 1 }
    }

    fn io(&self, source: io::Error) -> Broken {
        Broken::Io { place: self.here(), source }
    }

    fn piece(&mut self, place: Place, bytes: Result<Vec<u8>, Flaw>, last: bool) -> Piece {
        self.mark.records += 1;
        Piece { place, mark: self.mark, bytes, last }
    }

    fn line(&mut self) -> Result<Option<Piece>, Broken> {
        let cap = self.limits.record_bytes;
        loop {
            let place = self.here();
            let mut bytes = Vec::new();
            // One more than the cap, and two for the line's end.
            let room = (cap as u64).saturating_add(3);
            let read = self.input.by_ref().take(room).read_until(b'\n', &mut bytes).map_err(|e| self.io(e))?;
            if read == 0 {
                return Ok(None);
            }
            self.mark.offset += read as u64;
            let mut ended = bytes.last() == Some(&b'\n');
            let mut beyond = 0;
            if !ended && read as u64 == room {
                (beyond, ended) = self.skip_line()?;
                self.mark.offset += beyond;
            }
            if ended {
                self.mark.line += 1;
            }
            while matches!(bytes.last(), Some(b'\n' | b'\r')) {
                bytes.pop();
            }
            if beyond == 0 && bytes.iter().all(u8::is_ascii_whitespace) {
                self.blank += 1;
                continue;
            }
            let long = if beyond == 0 { bytes.len() as u64 } else { read as u64 + beyond - u64::from(ended) };
            let bytes = if long > cap as u64 { Err(Flaw::TooLong { bytes: long, cap }) } else { Ok(bytes) };
            return Ok(Some(self.piece(place, bytes, !ended)));
        }
    }

    /// Passes over the rest of a line: its bytes, and whether a line feed ended it.
    fn skip_line(&mut self) -> Result<(u64, bool), Broken> {
        let mut skipped = 0;
        loop {
            let (used, found) = {
                let buffer = match self.input.fill_buf() {
                    Ok(buffer) => buffer,
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                    Err(e) => return Err(self.io(e)),
                };
                match buffer.iter().position(|b| *b == b'\n') {
                    Some(at) => (at + 1, true),
                    None => (buffer.len(), false),
                }
            };
            self.input.consume(used);
            skipped += used as u64;
            if found || used == 0 {
                return Ok((skipped, found));
            }
        }
    }

    fn element(&mut self) -> Result<Option<Piece>, Broken> {
        if self.state == State::Opening {
            let place = self.here();
            match self.skip_space()? {
                Some(b'[') => self.eat(b'['),
                _ => return Err(Broken::NoArray { place }),
            }
            self.state = State::Between { first: true };
        }
        let mut first = self.state == State::Between { first: true };
        loop {
            match self.skip_space()? {
                None => {
                    return Err(Broken::Unclosed { place: Place { line: 1, offset: 0, record: 0 }, what: "the array" });
                }
                Some(b']') => {
                    self.eat(b']');
                    let trailing = self.skip_space()?.is_some();
                    let place = self.here();
                    return if trailing { Err(Broken::Trailing { place }) } else { Ok(None) };
                }
                Some(b',') if !first => {
                    self.eat(b',');
                    first = true;
                    match self.skip_space()? {
                        Some(b',' | b']') => {
                            let place = self.here();
                            self.state = State::Between { first: false };
                            return Ok(Some(self.piece(place, Err(Flaw::Missing), false)));
                        }
                        _ => continue,
                    }
                }
                Some(b',') => {
                    let place = self.here();
                    self.state = State::Between { first: false };
                    return Ok(Some(self.piece(place, Err(Flaw::Missing), false)));
                }
                Some(_) => {
                    let place = self.here();
                    let bytes = self.scan(place, true)?;
                    self.state = State::Between { first: false };
                    return Ok(Some(self.piece(place, bytes, false)));
                }
            }
        }
    }

    fn value(&mut self) -> Result<Option<Piece>, Broken> {
        let Some(byte) = self.skip_space()? else { return Ok(None) };
        let place = self.here();
        if matches!(byte, b'{' | b'[') {
            let bytes = self.scan(place, false)?;
            return Ok(Some(self.piece(place, bytes, false)));
        }
        // What cannot begin a record is passed over up to the next bracket, as one flaw.
        loop {
            match self.peek()? {
                Some(b'{' | b'[') | None => return Ok(Some(self.piece(place, Err(Flaw::Stray), false))),
                Some(byte) => self.eat(byte),
            }
        }
    }

    /// Reads one value by its brackets and quotes. In an array it ends before the `,` or `]` that follows it, else
    /// with the bracket that closes it.
    fn scan(&mut self, place: Place, in_array: bool) -> Result<Result<Vec<u8>, Flaw>, Broken> {
        let cap = self.limits.record_bytes;
        let mut kept = Vec::new();
        let mut brackets = Brackets::default();
        let (mut quoted, mut escaped) = (false, false);
        let mut length = 0_u64;
        loop {
            let mut used = 0;
            let mut lines = 0;
            let mut done = false;
            let mut unpaired = None;
            let empty = {
                let buffer = match self.input.fill_buf() {
                    Ok(buffer) => buffer,
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                    Err(e) => return Err(self.io(e)),
                };
                for byte in buffer {
                    lines += u64::from(*byte == b'\n');
                    match byte {
                        _ if quoted && escaped => escaped = false,
                        b'\\' if quoted => escaped = true,
                        // A line feed cannot stand in a string: the quote before it is the broken one.
                        b'"' | b'\n' if quoted => quoted = false,
                        _ if quoted => {}
                        b'"' => quoted = true,
                        b'{' | b'[' => brackets.open(*byte),
                        b',' | b']' if in_array && brackets.depth == 0 => {
                            done = true;
                            break;
                        }
                        b'}' | b']' if brackets.depth > 0 => {
                            if !brackets.close(*byte) {
                                unpaired = Some((char::from(*byte), self.mark.offset + used as u64));
                                break;
                            }
                            if brackets.depth == 0 && !in_array {
                                used += 1;
                                done = true;
                                break;
                            }
                        }
                        _ => {}
                    }
                    used += 1;
                }
                if length + used as u64 <= cap as u64 {
                    kept.extend_from_slice(&buffer[..used]);
                }
                buffer.is_empty()
            };
            self.input.consume(used);
            self.mark.offset += used as u64;
            self.mark.line += lines;
            length += used as u64;
            if let Some((found, at)) = unpaired {
                return Err(Broken::Unpaired { place, found, at });
            }
            if done {
                while kept.last().is_some_and(u8::is_ascii_whitespace) {
                    kept.pop();
                }
                return Ok(if length > cap as u64 { Err(Flaw::TooLong { bytes: length, cap }) } else { Ok(kept) });
            }
            if length > cap as u64 {
                kept = Vec::new();
            }
            if empty {
                if in_array && brackets.depth == 0 && !quoted {
                    // The element is whole; it is the array that is not.
                    return Ok(if length > cap as u64 { Err(Flaw::TooLong { bytes: length, cap }) } else { Ok(kept) });
                }
                return Err(Broken::Unclosed { place, what: "the record" });
            }
        }
    }

    fn peek(&mut self) -> Result<Option<u8>, Broken> {
        loop {
            match self.input.fill_buf() {
                Ok(buffer) => return Ok(buffer.first().copied()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Broken::Io { place: self.here(), source: e }),
            }
        }
    }

    fn eat(&mut self, byte: u8) {
        self.input.consume(1);
        self.mark.offset += 1;
        self.mark.line += u64::from(byte == b'\n');
    }

    /// The next byte that is no white space (nor the record separator of RFC 7464), not consumed.
    fn skip_space(&mut self) -> Result<Option<u8>, Broken> {
        let mut line_is_blank = false;
        loop {
            match self.peek()? {
                Some(byte @ (b' ' | b'\t' | b'\r' | b'\n' | 0x1e)) => {
                    if byte == b'\n' {
                        self.blank += u64::from(line_is_blank);
                        line_is_blank = true;
                    }
                    self.eat(byte);
                }
                other => return Ok(other),
            }
        }
    }
}

/// A reader with an error that is still to be told.
struct Failing<R> {
    inner: R,
    error: Option<io::Error>,
}

impl<R: Read> Read for Failing<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.error.take().map_or_else(|| self.inner.read(buf), Err)
    }
}

/// Open brackets. The kinds are kept for the outer levels only: records nested deeper are refused by the parser anyway,
/// and a million brackets must not cost memory.
#[derive(Default)]
struct Brackets {
    depth: u64,
    curly: Vec<bool>,
}

impl Brackets {
    const KEPT: u64 = 1024;

    fn open(&mut self, bracket: u8) {
        if self.depth < Self::KEPT {
            self.curly.push(bracket == b'{');
        }
        self.depth += 1;
    }

    /// Whether `bracket` closes what is open.
    fn close(&mut self, bracket: u8) -> bool {
        self.depth -= 1;
        self.depth >= Self::KEPT || self.curly.pop() == Some(bracket == b'}')
    }
}

fn refuse_foreign(head: &[u8]) -> Result<(), Broken> {
    const UNPACK: &str = "unpack it first";
    let signs: [(&[u8], &str, &str); 8] = [
        (b"\xff\xfe", "UTF-16", "convert it: iconv -f UTF-16 -t UTF-8"),
        (b"\xfe\xff", "UTF-16", "convert it: iconv -f UTF-16 -t UTF-8"),
        (b"\x1f\x8b", "gzip within gzip", UNPACK),
        (b"\x28\xb5\x2f\xfd", "zstd", "unpack it first: zstd -d"),
        (b"PK\x03\x04", "a zip archive", "unpack it first: unzip"),
        (b"\xfd7zXZ\0", "xz", "unpack it first: xz -d"),
        (b"BZh", "bzip2", "unpack it first: bzip2 -d"),
        (b"PAR1", "Parquet", "unpack it: Parquet is read as it is"),
    ];
    if let Some((_, what, remedy)) = signs.iter().find(|(sign, ..)| head.starts_with(sign)) {
        return Err(Broken::Foreign { what, remedy });
    }
    if matches!(head, [0, b, ..] | [b, 0, ..] if matches!(b, b'{' | b'[' | b'"')) {
        return Err(Broken::Foreign { what: "UTF-16 or UTF-32", remedy: "convert it: iconv -f UTF-16 -t UTF-8" });
    }
    Ok(())
}

/// An array by its first byte. Otherwise lines, unless the first line does not end a value that it begins and the next
/// line does not look like a new record: then values over several lines.
fn find_format(head: &[u8]) -> Format {
    let text = head.trim_ascii_start();
    match text.first() {
        Some(b'[') => return Format::Array,
        Some(b'{') => {}
        _ => return Format::Lines,
    }
    let Some(end) = text.iter().position(|b| *b == b'\n') else { return Format::Lines };
    let (line, rest) = text.split_at(end);
    let (mut depth, mut quoted, mut escaped) = (0_i64, false, false);
    for byte in line {
        match byte {
            _ if quoted && escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
    }
    let next =
        rest.split(|b| *b == b'\n').map(|l| l.strip_suffix(b"\r").unwrap_or(l)).find(|l| !l.trim_ascii().is_empty());
    let new_record = next.is_some_and(|l| l.starts_with(b"{"));
    if depth > 0 && !new_record { Format::Concatenated } else { Format::Lines }
}
