//! Opening what is to be read: files as long as they are now, standard input, gzip and Parquet by their first bytes.

use super::gunzip::Gunzip;
use super::parquet::{Lines, MAGIC};
use crate::lines::Mark;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Why something cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no such file.
    #[error("{0}: no such file")]
    Missing(String),
    /// It is there, and is not a file.
    #[error("{path}: is {what}; {remedy}")]
    NotAFile {
        /// As given.
        path: String,
        /// What it is.
        what: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// The operating system refused.
    #[error("{path}: {source}")]
    Io {
        /// As given.
        path: String,
        /// Why.
        source: io::Error,
    },
}

/// Something that can be read.
pub struct Input {
    /// Its bytes, decompressed.
    pub reader: Box<dyn Read + Send>,
    /// Which file it is; `None` for standard input.
    pub identity: Option<Identity>,
}

/// A file at one length: bytes that are added later are not read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Its full path.
    pub path: PathBuf,
    /// Its length when it was opened.
    pub length: u64,
    /// When it was last written, in nanoseconds since 1970.
    pub modified: i64,
    /// BLAKE3 of its first bytes.
    pub head: String,
}

/// How many bytes of a file make up [`Identity::head`].
const HEAD: u64 = 4096;

/// Checks that every path can be opened, and adds up their lengths; `None` where one has none (standard input).
pub fn survey(paths: &[String]) -> Result<Option<u64>, OpenError> {
    let mut total = Some(0);
    for path in paths {
        if path == "-" {
            total = None;
        } else {
            let length = regular(path)?.1;
            total = total.map(|t: u64| t.saturating_add(length));
        }
    }
    Ok(total)
}

/// Opens a file, or standard input for `-`. Raw bytes read are added to `consumed` as they are read.
pub fn open(path: &str, consumed: Arc<AtomicU64>) -> Result<Input, OpenError> {
    if path == "-" {
        return Ok(Input { reader: unpacked(Metered { inner: io::stdin(), consumed }, path)?, identity: None });
    }
    let (file, length) = regular(path)?;
    let identity = identify(path, &file, length).map_err(|source| OpenError::Io { path: path.into(), source })?;
    let io = |source| OpenError::Io { path: path.into(), source };
    if starts_with_magic(&file).map_err(io)? {
        return Ok(Input {
            reader: Box::new(Lines::new(file, length, consumed).map_err(io)?),
            identity: Some(identity),
        });
    }
    let reader = unpacked(Metered { inner: file.take(length), consumed }, path)?;
    Ok(Input { reader, identity: Some(identity) })
}

/// Passes over what an earlier reading has taken, and checks that the record before that place is the one it took:
/// `taken` is where that record begins and the BLAKE3 of its bytes. `false`: it is another file now; read it anew.
pub(super) fn skip(input: &mut Input, taken: &Taken) -> io::Result<bool> {
    let reader = &mut input.reader;
    if io::copy(&mut reader.by_ref().take(taken.begin), &mut io::sink())? < taken.begin {
        return Ok(false);
    }
    let mut hasher = blake3::Hasher::new();
    let copied = io::copy(&mut reader.by_ref().take(taken.length), &mut hasher)?;
    if copied < taken.length || hasher.finalize().to_hex().as_str() != taken.hash {
        return Ok(false);
    }
    let rest = taken.mark.offset.saturating_sub(taken.begin + taken.length);
    Ok(io::copy(&mut reader.by_ref().take(rest), &mut io::sink())? == rest)
}

/// A record that was taken, by its place and its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// Offset (after decompression) where it begins.
    pub begin: u64,
    /// Its length in bytes.
    pub length: u64,
    /// BLAKE3 of its bytes.
    pub hash: String,
    /// Where reading goes on after it.
    pub mark: Mark,
}

fn regular(path: &str) -> Result<(File, u64), OpenError> {
    use std::os::unix::fs::FileTypeExt;
    let io = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => OpenError::Missing(path.into()),
        _ => OpenError::Io { path: path.into(), source },
    };
    // Looked at before it is opened: opening a FIFO would wait for its writer.
    let kind = std::fs::metadata(path).map_err(io)?.file_type();
    let (what, remedy) = if kind.is_dir() {
        ("a directory", "name the files in it")
    } else if kind.is_fifo() {
        ("a FIFO", "read it from standard input: `-` with `< FIFO`")
    } else if kind.is_socket() || kind.is_char_device() || kind.is_block_device() {
        ("a device or socket", "only files are read, and standard input as `-`")
    } else {
        let file = File::open(path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        return Ok((file, length));
    };
    Err(OpenError::NotAFile { path: path.into(), what, remedy })
}

fn identify(path: &str, mut file: &File, length: u64) -> io::Result<Identity> {
    let mut head = Vec::new();
    file.take(HEAD.min(length)).read_to_end(&mut head)?;
    file.seek(SeekFrom::Start(0))?;
    let path = Path::new(path).canonicalize()?;
    let modified = file.metadata()?.modified()?.duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_nanos());
    let modified = i64::try_from(modified).unwrap_or(i64::MAX);
    Ok(Identity { path, length, modified, head: blake3::hash(&head).to_hex().to_string() })
}

fn unpacked(raw: impl Read + Send + 'static, path: &str) -> Result<Box<dyn Read + Send>, OpenError> {
    let io = |source| OpenError::Io { path: path.into(), source };
    let mut raw = BufReader::with_capacity(256 << 10, raw);
    // Two bytes tell gzip, four Parquet; a pipe may give one at a time.
    let mut first = Vec::new();
    raw.by_ref().take(MAGIC.len() as u64).read_to_end(&mut first).map_err(io)?;
    let (packed, columns) = (first.starts_with(&[0x1f, 0x8b]), first == MAGIC);
    let whole = io::Cursor::new(first).chain(raw);
    Ok(match (packed, columns) {
        (true, _) => Box::new(Gunzip::new(whole)),
        (_, true) => Box::new(Lines::spooled(whole).map_err(io)?),
        _ => Box::new(whole),
    })
}

fn starts_with_magic(mut file: &File) -> io::Result<bool> {
    let mut first = Vec::new();
    file.take(MAGIC.len() as u64).read_to_end(&mut first)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(first == MAGIC)
}

struct Metered<R> {
    inner: R,
    consumed: Arc<AtomicU64>,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buf)?;
        self.consumed.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
