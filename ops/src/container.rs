//! Avro container files: many events by one schema, in blocks.
//!
//! ```text
//!   "Obj" 1 · metadata (map of bytes: avro.schema, avro.codec) · marker of 16 bytes
//!   block:  how many · length · data, by the codec · the same marker
//! ```
//! Read by hand, because what comes from outside must not decide how much is allocated: nothing is reserved by what a
//! file says of itself, and what blocks inflate to has a limit. The schema must be a released one; data is decoded as
//! everywhere. Codecs: `null`, `deflate`, `zstandard`.

use flate2::bufread::DeflateDecoder;
use std::borrow::Cow;
use std::io::Read;
use stillhouse_schemas::{Codec, CodecError, Event, evolution};

/// How a container file begins.
pub const MAGIC: &[u8; 4] = b"Obj\x01";
/// Bytes of a marker.
const MARKER: usize = 16;
/// Largest window that a zstd decoder may ask memory for, as a power of two: 8 MiB, as RFC 8878 has it.
pub const ZSTD_WINDOW: u32 = 23;

/// Why a container file was not read to its end.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// Its blocks inflate to more than is taken.
    #[error("its blocks are larger than {0} bytes (after inflating)")]
    TooLarge(usize),
    /// It is not a whole container file.
    #[error("{0}")]
    Bad(String),
    /// An event in it cannot be read, and where the next begins is not known.
    #[error("event {index}: {error}")]
    Event {
        /// Which, from 0.
        index: usize,
        /// What the codec said.
        error: CodecError,
    },
}

fn bad(what: impl Into<String>) -> Broken {
    Broken::Bad(format!("not a whole Avro container file: {}", what.into()))
}

/// Hands the events of a file to `each`, in order, until one is refused. `limit`: bytes after inflating, all blocks
/// together.
pub fn read<E: From<Broken>>(
    codec: &Codec,
    bytes: &[u8],
    limit: usize,
    mut each: impl FnMut(usize, Event) -> Result<(), E>,
) -> Result<(), E> {
    let mut cursor = Cursor(bytes.strip_prefix(MAGIC).ok_or_else(|| bad("it does not begin as one"))?);
    let header = Header::read(&mut cursor)?;
    let (mut index, mut left) = (0, limit);
    while !cursor.0.is_empty() {
        let count = cursor.length("the number of events in a block")?;
        let size = cursor.length("the length of a block")?;
        let data = cursor.take(size, "a block")?;
        let block = header.inflate(data, left).map_err(|too_large| too_large.unwrap_or(Broken::TooLarge(limit)))?;
        left -= block.len();
        let mut rest = block.as_ref();
        for _ in 0..count {
            let (event, after) =
                codec.decode_next(header.schema, rest).map_err(|error| Broken::Event { index, error })?;
            rest = after;
            each(index, event)?;
            index += 1;
        }
        if !rest.is_empty() {
            return Err(bad(format!("{} bytes follow the last event of a block", rest.len())).into());
        }
        if cursor.take(MARKER, "a marker")? != header.marker {
            return Err(bad("a block does not end with the marker of the file").into());
        }
    }
    if index == 0 { Err(bad("there is no event in it").into()) } else { Ok(()) }
}

#[derive(Clone, Copy)]
enum Packing {
    Plain,
    Deflate,
    Zstandard,
}

struct Header<'a> {
    schema: [u8; 8],
    packing: Packing,
    marker: &'a [u8],
}

impl<'a> Header<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, Broken> {
        let (mut schema, mut packing) = (None, Packing::Plain);
        loop {
            // A negative count is followed by the size of its entries, for those who skip them.
            let count = match cursor.long("the metadata")? {
                0 => break,
                count if count < 0 => {
                    cursor.long("the metadata")?;
                    count.unsigned_abs()
                }
                count => count.unsigned_abs(),
            };
            for _ in 0..count {
                let length = cursor.length("the metadata")?;
                let key = cursor.take(length, "the metadata")?;
                let length = cursor.length("the metadata")?;
                let value = cursor.take(length, "the metadata")?;
                match key {
                    b"avro.schema" => {
                        let text = std::str::from_utf8(value).map_err(|_| bad("its schema is not text"))?;
                        let print = evolution::fingerprint(text);
                        schema = Some(print.map_err(|why| bad(format!("its schema cannot be read: {why}")))?);
                    }
                    b"avro.codec" => {
                        packing = match value {
                            b"null" | b"" => Packing::Plain,
                            b"deflate" => Packing::Deflate,
                            b"zstandard" => Packing::Zstandard,
                            other => {
                                let name = String::from_utf8_lossy(&other[..other.len().min(40)]).into_owned();
                                let message = format!("its codec is `{}`", name.escape_debug());
                                return Err(Broken::Bad(format!("{message}; null, deflate and zstandard are taken")));
                            }
                        }
                    }
                    _ => {}
                }
            }
        }
        let schema = schema.ok_or_else(|| bad("it has no schema"))?;
        Ok(Self { schema, packing, marker: cursor.take(MARKER, "its marker")? })
    }

    /// The data of a block; the error is nothing where it would be more than `most` bytes.
    fn inflate<'d>(&self, data: &'d [u8], most: usize) -> Result<Cow<'d, [u8]>, Option<Broken>> {
        let wrong = |error: std::io::Error| Some(bad(format!("a block does not inflate: {error}")));
        let mut out = Vec::new();
        let most_read = most as u64 + 1;
        match self.packing {
            Packing::Plain if data.len() > most => return Err(None),
            Packing::Plain => return Ok(Cow::Borrowed(data)),
            Packing::Deflate => DeflateDecoder::new(data).take(most_read).read_to_end(&mut out).map_err(wrong)?,
            Packing::Zstandard => zstd(data).map_err(wrong)?.take(most_read).read_to_end(&mut out).map_err(wrong)?,
        };
        if out.len() > most { Err(None) } else { Ok(Cow::Owned(out)) }
    }
}

/// Inflates zstd, in a bounded window.
pub fn zstd(bytes: &[u8]) -> std::io::Result<zstd::stream::read::Decoder<'static, &[u8]>> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(bytes)?;
    decoder.window_log_max(ZSTD_WINDOW)?;
    Ok(decoder)
}

/// What is left of the file.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize, what: &str) -> Result<&'a [u8], Broken> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or_else(|| bad(format!("it ends within {what}")))?;
        self.0 = rest;
        Ok(taken)
    }

    /// A number by zigzag, in groups of seven bits.
    fn long(&mut self, what: &str) -> Result<i64, Broken> {
        let mut number = 0_u64;
        for shift in (0..70).step_by(7) {
            let byte = self.take(1, what)?[0];
            number |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte & 0x80 == 0 {
                return Ok((number >> 1) as i64 ^ -((number & 1) as i64));
            }
        }
        Err(bad(format!("a number of {what} is too long")))
    }

    fn length(&mut self, what: &str) -> Result<usize, Broken> {
        usize::try_from(self.long(what)?).map_err(|_| bad(format!("{what} is negative")))
    }
}
