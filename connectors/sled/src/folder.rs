//! A folder that one process owns, and that is whole or gone.

use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// Folders of one kind that processes may hold side by side.
const SLOTS: usize = 64;

/// Cache of one tree, in bytes. sled takes up to ten times this.
const CACHE_BYTES: u64 = 8 << 20;

/// Why no folder could be had.
#[derive(Debug)]
pub struct FolderError(String);

impl FolderError {
    pub(crate) fn new(why: String) -> Self {
        Self(why)
    }
}

impl std::fmt::Display for FolderError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for FolderError {}

/// An open folder. Closing it by [`Drop`] leaves the mark that lets the next process keep its contents.
#[derive(Debug)]
pub struct Folder {
    db: Option<sled::Db>,
    path: PathBuf,
    lock: fs::File,
}

impl Folder {
    /// Opens the first folder `<parent>/<kind>-<n>` that no other process holds, emptied unless it was closed cleanly.
    pub fn open(parent: &Path, kind: &str) -> Result<Self, FolderError> {
        fs::create_dir_all(parent).map_err(|e| FolderError(format!("{}: {e}", parent.display())))?;
        for slot in 0..SLOTS {
            let path = parent.join(format!("{kind}-{slot}"));
            let lock_path = path.with_extension("lock");
            let lock =
                fs::File::create(&lock_path).map_err(|e| FolderError(format!("{}: {e}", lock_path.display())))?;
            match lock.try_lock() {
                Ok(()) => return Self::open_locked(path, lock),
                Err(fs::TryLockError::WouldBlock) => {}
                Err(fs::TryLockError::Error(e)) => return Err(FolderError(format!("{}: {e}", lock_path.display()))),
            }
        }
        Err(FolderError(format!("{SLOTS} processes hold {}/{kind}-*", parent.display())))
    }

    fn open_locked(path: PathBuf, lock: fs::File) -> Result<Self, FolderError> {
        let clean = fs::remove_file(mark(&path)).is_ok();
        let opened = if clean { open_db(&path) } else { None };
        let db = match opened {
            Some(db) => db,
            None => {
                match fs::remove_dir_all(&path) {
                    Err(e) if e.kind() != io::ErrorKind::NotFound => {
                        return Err(FolderError(format!("{}: {e}", path.display())));
                    }
                    _ => {}
                }
                open_db(&path).ok_or_else(|| FolderError(format!("{} cannot be opened", path.display())))?
            }
        };
        Ok(Self { db: Some(db), path, lock })
    }

    /// Bytes of the files.
    pub(crate) fn size(&self) -> u64 {
        self.db.as_ref().and_then(|db| db.size_on_disk().ok()).unwrap_or(0)
    }

    /// The same folder, emptied.
    pub(crate) fn begin_anew(mut self) -> Result<Self, FolderError> {
        drop(self.db.take());
        let (path, lock) = (self.path.clone(), self.lock.try_clone());
        let lock = lock.map_err(|e| FolderError(format!("{}: {e}", path.display())))?;
        Self::open_locked(path, lock)
    }

    /// A tree of the folder, made if it is missing.
    pub fn tree(&self, name: &str) -> Result<sled::Tree, FolderError> {
        let db = self.db.as_ref().ok_or_else(|| FolderError("closed".into()))?;
        db.open_tree(name).map_err(|e| FolderError(e.to_string()))
    }
}

fn mark(path: &Path) -> PathBuf {
    path.with_extension("clean")
}

fn open_db(path: &Path) -> Option<sled::Db> {
    let config = sled::Config::new().path(path).cache_capacity(CACHE_BYTES).flush_every_ms(None);
    catch_unwind(AssertUnwindSafe(|| config.open())).ok()?.ok()
}

impl Drop for Folder {
    fn drop(&mut self) {
        let Some(db) = self.db.take() else { return };
        let flushed = catch_unwind(AssertUnwindSafe(|| db.flush().is_ok())).unwrap_or(false);
        drop(db);
        if flushed {
            // Without the mark the next process rebuilds: failing to write it costs time, nothing else.
            let _ = fs::write(mark(&self.path), b"");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clean_folder_is_kept_and_an_unclean_one_is_emptied() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path(), "ids").unwrap();
        folder.tree("t").unwrap().insert("a", "1").unwrap();
        drop(folder);
        let folder = Folder::open(dir.path(), "ids").unwrap();
        assert!(folder.tree("t").unwrap().contains_key("a").unwrap());
        drop(folder);
        fs::remove_file(mark(&dir.path().join("ids-0"))).unwrap();
        let folder = Folder::open(dir.path(), "ids").unwrap();
        assert!(!folder.tree("t").unwrap().contains_key("a").unwrap());
    }

    #[test]
    fn two_holders_get_two_folders() {
        let dir = tempfile::tempdir().unwrap();
        let first = Folder::open(dir.path(), "ids").unwrap();
        let second = Folder::open(dir.path(), "ids").unwrap();
        assert_ne!(first.path, second.path);
    }

    #[test]
    fn garbage_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        drop(Folder::open(dir.path(), "ids").unwrap());
        for entry in fs::read_dir(dir.path().join("ids-0")).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                fs::write(path, b"not a database").unwrap();
            }
        }
        let folder = Folder::open(dir.path(), "ids").unwrap();
        folder.tree("t").unwrap().insert("a", "1").unwrap();
    }
}
