//! Where things are on disk.

use crate::error::{Error, Result, at};
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// `$STILLHOUSE_DEV_DIR`, or `~/.cache/stillhouse/kafka`.
pub fn default_home() -> Result<PathBuf> {
    if let Some(dir) = std::env::var_os("STILLHOUSE_DEV_DIR").filter(|d| !d.is_empty()) {
        return Ok(dir.into());
    }
    let home = std::env::var_os("HOME").filter(|d| !d.is_empty()).ok_or(Error::NoHome)?;
    Ok(PathBuf::from(home).join(".cache").join("stillhouse").join("kafka"))
}

/// The folder of one broker.
pub(crate) struct Instance {
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
    lock_file: PathBuf,
}

impl Instance {
    pub(crate) fn of(home: &Path, name: &str) -> Result<Self> {
        let legal = (1..=64).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
        if !legal {
            return Err(Error::Name(name.to_owned()));
        }
        let all = home.join("instances");
        Ok(Self {
            name: name.to_owned(),
            folder: all.join(name),
            // Beside the folder, so that it survives a purge.
            lock_file: all.join(format!(".{name}.lock")),
        })
    }

    /// Held while the instance is started or stopped.
    pub(crate) fn lock(&self) -> Result<File> {
        lock(&self.lock_file)
    }

    pub(crate) fn properties_file(&self) -> PathBuf {
        self.folder.join("server.properties")
    }

    pub(crate) fn logging_file(&self) -> PathBuf {
        self.folder.join("log4j2.properties")
    }

    pub(crate) fn pid_file(&self) -> PathBuf {
        self.folder.join("pid")
    }

    pub(crate) fn log_file(&self) -> PathBuf {
        self.folder.join("server.log")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    pub(crate) fn forget_pid(&self) -> Result<()> {
        remove(fs::remove_file(self.pid_file()), &self.pid_file())
    }

    pub(crate) fn purge(&self) -> Result<()> {
        remove(fs::remove_dir_all(&self.folder), &self.folder)
    }

    pub(crate) fn log_length(&self) -> u64 {
        fs::metadata(self.log_file()).map_or(0, |m| m.len())
    }

    pub(crate) fn log_since(&self, seen: u64) -> String {
        let mut text = Vec::new();
        let read = File::open(self.log_file()).and_then(|mut file| {
            file.seek(SeekFrom::Start(seen))?;
            file.take(16 << 20).read_to_end(&mut text)
        });
        read.map_or_else(|_| String::new(), |_| String::from_utf8_lossy(&text).into_owned())
    }

    pub(crate) fn log_tail(&self, seen: u64) -> String {
        let text = self.log_since(seen);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

pub(crate) fn instances(home: &Path) -> Result<Vec<String>> {
    let all = home.join("instances");
    let entries = match fs::read_dir(&all) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(at(all)(e)),
    };
    let folders = entries.filter_map(Result::ok).filter(|e| e.path().is_dir());
    let mut names: Vec<String> = folders.filter_map(|e| e.file_name().into_string().ok()).collect();
    names.sort();
    Ok(names)
}

/// Waits for an exclusive lock that ends with the file, or with this process.
pub(crate) fn lock(path: &Path) -> Result<File> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(at(parent))?;
    }
    let file = File::options().create(true).append(true).open(path).map_err(at(path))?;
    file.lock().map_err(at(path))?;
    Ok(file)
}

fn remove(result: std::io::Result<()>, path: &Path) -> Result<()> {
    match result {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(at(path)(e)),
        _ => Ok(()),
    }
}
