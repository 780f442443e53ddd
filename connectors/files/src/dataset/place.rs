//! Where datasets are written: the directory that the user named, temporary ones in it, and the rename.
//!
//! The directory must be named without `..` and without symbolic links, and hold nothing but datasets; so a slip of the
//! hand cannot fill a home directory, and a planted link cannot lead the writer elsewhere. A lock on the directory
//! itself is held while names in it change. A temporary directory holds a locked file as long as its writer lives; one
//! whose lock is free was left by a crash and is swept.

use super::{DatasetError, on};
use std::fs::{DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Of one process, in order.
static NUMBER: AtomicU64 = AtomicU64::new(0);
/// In a temporary directory: locked while its writer lives.
const LOCK: &str = "lock";
/// Entries beside datasets that do no harm.
const HARMLESS: [&str; 5] = [".gitignore", ".gitattributes", ".gitkeep", ".DS_Store", "lost+found"];

/// The directory that the user named.
#[derive(Debug)]
pub(super) struct Root {
    path: PathBuf,
}

impl Root {
    /// Checks the directory, makes it if it is missing, and sweeps what crashes left. `force` lets it hold other things
    /// than datasets.
    pub(super) fn open(path: &Path, force: bool) -> Result<Self, DatasetError> {
        let refuse = |why: &str| Err(DatasetError::Place { path: path.to_path_buf(), why: why.to_owned() });
        if path.as_os_str().is_empty() {
            return refuse("name a directory to write to");
        }
        let mut walked = PathBuf::new();
        for part in path.components() {
            if part == Component::ParentDir {
                return refuse("`..` in the path of an output directory; give the path without");
            }
            walked.push(part);
            match std::fs::symlink_metadata(&walked) {
                Ok(found) if found.is_symlink() => {
                    let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
                    let why =
                        format!("{} is a symbolic link; name the real path ({})", walked.display(), real.display());
                    return refuse(&why);
                }
                Ok(found) if !found.is_dir() => return refuse(&format!("{} is not a directory", walked.display())),
                Ok(_) => {}
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => break,
                Err(e) => return Err(on("look at", &walked)(e)),
            }
        }
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(on("create", path))?;
        let root = Self { path: path.to_path_buf() };
        if !force {
            root.refuse_strangers()?;
        }
        let _lock = root.lock()?;
        root.sweep()?;
        Ok(root)
    }

    /// A temporary directory for the dataset `name`.
    pub(super) fn temporary(&self, name: &str) -> Result<Temporary, DatasetError> {
        let legal = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if !legal {
            let why = format!("`{}` is no name of a dataset: a-z 0-9 -", name.escape_debug());
            return Err(DatasetError::Place { path: self.path.clone(), why });
        }
        let _lock = self.lock()?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = self.path.join(format!(".{name}.tmp-{}-{number}", std::process::id()));
        make_dir(&path)?;
        let mut temporary = Temporary { path, lock: None };
        let lock = temporary.path.join(LOCK);
        let file = File::create_new(&lock).map_err(on("create", &lock))?;
        file.lock().map_err(on("lock", &lock))?;
        temporary.lock = Some(file);
        Ok(temporary)
    }

    /// Gives a finished temporary directory its name. `there` is asked first if that name is taken already.
    pub(super) fn publish(
        &self,
        temporary: Temporary,
        name: &str,
        there: impl FnOnce(&Path) -> Result<(), DatasetError>,
    ) -> Result<(PathBuf, bool), DatasetError> {
        let path = self.path.join(name);
        let _lock = self.lock()?;
        match std::fs::symlink_metadata(&path) {
            Ok(_) => {
                there(&path)?;
                return Ok((path, true));
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(on("look at", &path)(e)),
        }
        let lock = temporary.path.join(LOCK);
        std::fs::remove_file(&lock).map_err(on("remove", &lock))?;
        sync_dir(&temporary.path)?;
        std::fs::rename(&temporary.path, &path).map_err(on("rename to", &path))?;
        temporary.keep();
        sync_dir(&self.path)?;
        Ok((path, false))
    }

    fn lock(&self) -> Result<File, DatasetError> {
        let dir = File::open(&self.path).map_err(on("open", &self.path))?;
        dir.lock().map_err(on("lock", &self.path))?;
        Ok(dir)
    }

    fn entries(&self) -> Result<Vec<(String, PathBuf)>, DatasetError> {
        let read = std::fs::read_dir(&self.path).map_err(on("list", &self.path))?;
        read.map(|entry| entry.map(|e| (e.file_name().to_string_lossy().into_owned(), e.path())))
            .collect::<Result<_, _>>()
            .map_err(on("list", &self.path))
    }

    fn refuse_strangers(&self) -> Result<(), DatasetError> {
        for (name, path) in self.entries()? {
            let ours = is_temporary(&name) || HARMLESS.contains(&name.as_str());
            if !ours && !path.join("manifest.json").is_file() {
                let why = format!(
                    "holds `{}`, which is no dataset; choose an empty or new directory, or say --force",
                    name.escape_debug()
                );
                return Err(DatasetError::Place { path: self.path.clone(), why });
            }
        }
        Ok(())
    }

    /// Removes temporary directories whose writers are gone. The root is locked, so none is just being made.
    fn sweep(&self) -> Result<(), DatasetError> {
        for (name, path) in self.entries()? {
            let is_dir = std::fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir());
            if !is_dir || !is_temporary(&name) {
                continue;
            }
            let lock = match File::open(path.join(LOCK)) {
                Ok(file) => Some(file),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
                Err(e) => return Err(on("open", &path)(e)),
            };
            match lock.as_ref().map(File::try_lock) {
                Some(Err(TryLockError::WouldBlock)) => continue,
                Some(Err(TryLockError::Error(e))) => return Err(on("lock", &path)(e)),
                Some(Ok(())) | None => {}
            }
            tracing::info!(path = %path.display(), "removing what an interrupted export left");
            std::fs::remove_dir_all(&path).map_err(on("remove", &path))?;
        }
        Ok(())
    }
}

fn is_temporary(name: &str) -> bool {
    name.starts_with('.') && name.contains(".tmp-")
}

/// A directory that is removed unless it is published.
#[derive(Debug)]
pub(super) struct Temporary {
    path: PathBuf,
    lock: Option<File>,
}

impl Temporary {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn keep(mut self) {
        self.path = PathBuf::new();
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.path.as_os_str().is_empty()
            && let Err(error) = std::fs::remove_dir_all(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove an unfinished dataset");
        }
        self.lock = None;
    }
}

/// Makes a directory that only its owner may look into. It must not be there.
pub(super) fn make_dir(path: &Path) -> Result<(), DatasetError> {
    DirBuilder::new().mode(0o700).create(path).map_err(on("create", path))
}

/// Makes the names in a directory durable.
pub(super) fn sync_dir(path: &Path) -> Result<(), DatasetError> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(on("sync", path))
}

/// All files at or below a path, in the order of their names.
pub(super) fn files(path: &Path) -> Result<Vec<PathBuf>, DatasetError> {
    if !std::fs::symlink_metadata(path).map_err(on("look at", path))?.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut entries: Vec<PathBuf> = std::fs::read_dir(path)
        .and_then(|entries| entries.map(|entry| entry.map(|e| e.path())).collect())
        .map_err(on("list", path))?;
    entries.sort();
    let mut found = vec![];
    for entry in entries {
        found.extend(files(&entry)?);
    }
    Ok(found)
}
