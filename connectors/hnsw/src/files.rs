//! Files that are complete or not there: written aside, synced, and named by what is in them.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::frozen::Stored;

/// What every file of a dump but the manifest ends with.
const ENDING: &str = ".vec";
const ASIDE: &str = ".part";

struct Summed {
    file: BufWriter<File>,
    sum: blake3::Hasher,
    bytes: u64,
}

impl Write for Summed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_all(bytes)?;
        self.sum.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Writes a file whose name ends in its checksum.
pub(crate) fn store(
    folder: &Path,
    kind: &str,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<Stored, Error> {
    let aside = folder.join(format!("{kind}{ASIDE}"));
    let file = File::create(&aside).map_err(Error::io(&aside))?;
    let mut out = Summed { file: BufWriter::with_capacity(1 << 20, file), sum: blake3::Hasher::new(), bytes: 0 };
    write(&mut out).and_then(|()| out.flush()).map_err(Error::io(&aside))?;
    out.file.get_ref().sync_all().map_err(Error::io(&aside))?;
    let blake3 = out.sum.finalize().to_hex().to_string();
    let file = format!("{kind}-{}{ENDING}", &blake3[..24]);
    fs::rename(&aside, folder.join(&file)).map_err(Error::io(&aside))?;
    Ok(Stored { file, bytes: out.bytes, blake3 })
}

/// Whether a file of this name and length is there: its name is its content's.
pub(crate) fn is_there(folder: &Path, stored: &Stored) -> bool {
    fs::metadata(folder.join(&stored.file)).is_ok_and(|found| found.is_file() && found.len() == stored.bytes)
}

/// Where the file is, once its length and checksum have been compared.
pub(crate) fn checked(folder: &Path, stored: &Stored) -> Result<PathBuf, Error> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
    if !stored.file.ends_with(ENDING) || stored.file.starts_with('.') || !stored.file.bytes().all(plain) {
        return Err(Error::refused(&folder.join("manifest"), format!("it names a file {:?}", stored.file)));
    }
    let path = folder.join(&stored.file);
    let mut file = match File::open(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(Error::refused(&path, "the file is missing")),
        other => other.map_err(Error::io(&path))?,
    };
    let bytes = file.metadata().map_err(Error::io(&path))?.len();
    if bytes != stored.bytes {
        return Err(Error::refused(&path, format!("it has {bytes} bytes, and the manifest says {}", stored.bytes)));
    }
    let mut sum = blake3::Hasher::new();
    let mut chunk = vec![0; 1 << 20];
    loop {
        match file.read(&mut chunk).map_err(Error::io(&path))? {
            0 => break,
            read => sum.update(&chunk[..read]),
        };
    }
    if sum.finalize().to_hex().as_str() != stored.blake3 {
        return Err(Error::refused(&path, "its checksum does not fit: it is damaged, or of another index"));
    }
    Ok(path)
}

/// Writes the manifest over the one before it: after this the dump is there, before it the last one is.
pub(crate) fn commit(folder: &Path, path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let aside = path.with_extension("part");
    let write = || -> io::Result<()> {
        // The files it names are there before it is.
        File::open(folder)?.sync_all()?;
        let mut file = File::create(&aside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&aside, path)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(Error::io(path))
}

/// Removes files of ours that the manifest does not name. What cannot be removed stays for the next time.
pub(crate) fn sweep<'a>(folder: &Path, keep: impl Iterator<Item = &'a str>) {
    let keep: Vec<&str> = keep.collect();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if let Some(name) = entry.file_name().to_str()
            && (name.ends_with(ENDING) || name.ends_with(ASIDE))
            && !keep.contains(&name)
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}
