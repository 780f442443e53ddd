//! Values that may be lost, kept until a restart and beyond: the disk behind a cache.
//!
//! Bounded: values go into the younger of two trees; when it has half of the bytes that are allowed, the older one is emptied
//! and becomes the younger. What is read from the older one is put into the younger again, so what is in use stays.
//!
//! Every value has a checksum; a wrong one empties the shelf. What cannot be opened, or was not closed, is begun anew. What
//! cannot be written (a full disk) turns the shelf off: with one line in the log, and without failing anybody.
//!
//! Deliberately absent: durability. What was put there may be gone after a crash, and is after a kill.

use crate::folder::{Folder, FolderError};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;

/// Values that wait to be written; what comes while so many wait is not kept.
const QUEUE: usize = 4_096;
/// Of the checksum before each value.
const SUM: usize = 8;
const YOUNGER: &[u8] = b"younger";

/// The shelf.
#[derive(Debug)]
pub struct Shelf {
    /// Gone once it is closed: then the folder is closed with it.
    state: RwLock<Option<Arc<State>>>,
    queue: Mutex<Option<SyncSender<Put>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

type Put = ([u8; 32], Vec<u8>);

#[derive(Debug)]
struct State {
    trees: [sled::Tree; 2],
    about: sled::Tree,
    younger: AtomicU64,
    /// In the younger tree.
    bytes: AtomicU64,
    limit: u64,
    off: AtomicBool,
    hits: AtomicU64,
    /// Closed last: the trees above belong to it.
    _folder: Folder,
}

impl Shelf {
    /// Opens a shelf under `parent` that holds about `limit` bytes of values.
    pub fn open(parent: &Path, limit: u64) -> Result<Self, FolderError> {
        let state = Arc::new(State::open(parent, limit)?);
        let (queue, puts) = sync_channel(QUEUE);
        let writer = std::thread::Builder::new().name("shelf".to_owned()).spawn({
            let state = state.clone();
            move || state.write(&puts)
        });
        let writer = writer.map_err(|e| FolderError::new(format!("a thread for the shelf: {e}")))?;
        Ok(Self { state: RwLock::new(Some(state)), queue: Mutex::new(Some(queue)), writer: Mutex::new(Some(writer)) })
    }

    /// What was put there. Blocks.
    pub fn get(&self, key: &[u8; 32]) -> Option<Vec<u8>> {
        let (value, old) = self.state()?.get(key)?;
        if old {
            self.put(key, value.clone());
        }
        Some(value)
    }

    /// Puts a value there, soon, unless too much is waiting or the shelf is off.
    pub fn put(&self, key: &[u8; 32], value: Vec<u8>) {
        if let Some(queue) = &*self.queue.lock().unwrap_or_else(PoisonError::into_inner) {
            let _ = queue.try_send((*key, value));
        }
    }

    /// Values found so far, bytes of the younger half, and whether it works.
    pub fn figures(&self) -> (u64, u64, bool) {
        let figures =
            |state: Arc<State>| (state.hits.load(Relaxed), state.bytes.load(Relaxed), !state.off.load(Relaxed));
        self.state().map_or((0, 0, false), figures)
    }

    fn state(&self) -> Option<Arc<State>> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Writes what waits, and closes: from then on it is empty, and keeps nothing.
    pub fn close(&self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(writer) = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = writer.join();
        }
        drop(self.state.write().unwrap_or_else(PoisonError::into_inner).take());
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        self.close();
    }
}

impl State {
    fn open(parent: &Path, limit: u64) -> Result<Self, FolderError> {
        let mut folder = Folder::open(parent, "vectors")?;
        // The store gives space back slowly, and not always.
        if folder.size() > limit.saturating_mul(3).max(64 << 20) {
            folder = folder.begin_anew()?;
        }
        let about = folder.tree("about")?;
        let said = about.get(YOUNGER).ok().flatten().and_then(|said| <[u8; 16]>::try_from(said.as_ref()).ok());
        let (younger, bytes) = said.map_or((0, 0), |said| {
            let (younger, bytes) = said.split_at(8);
            let number = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_le_bytes);
            (number(younger) & 1, number(bytes))
        });
        Ok(Self {
            trees: [folder.tree("0")?, folder.tree("1")?],
            about,
            younger: younger.into(),
            bytes: bytes.into(),
            limit,
            off: AtomicBool::new(false),
            hits: AtomicU64::new(0),
            _folder: folder,
        })
    }

    /// Does something with the store; its errors and panics turn the shelf off.
    fn guarded<T>(&self, act: impl FnOnce() -> sled::Result<T>) -> Option<T> {
        if self.off.load(Relaxed) {
            return None;
        }
        let why = match catch_unwind(AssertUnwindSafe(act)) {
            Ok(Ok(done)) => return Some(done),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the store panicked".to_owned(),
        };
        if !self.off.swap(true, Relaxed) {
            tracing::warn!(error = why, "the shelf for vectors is off until the next start; nothing else changes");
        }
        None
    }

    fn younger(&self) -> usize {
        usize::from(self.younger.load(Relaxed) == 1)
    }

    /// A value, and whether it lies in the older tree.
    fn get(&self, key: &[u8; 32]) -> Option<(Vec<u8>, bool)> {
        let younger = self.younger();
        for (tree, old) in [(younger, false), (1 - younger, true)] {
            let Some(stored) = self.guarded(|| self.trees[tree].get(key))? else { continue };
            let (sum, value) = stored.split_at_checked(SUM)?;
            if sum != checksum(key, value) {
                tracing::warn!("the shelf for vectors was damaged, and is begun anew");
                self.guarded(|| self.trees.iter().try_for_each(sled::Tree::clear));
                self.bytes.store(0, Relaxed);
                return None;
            }
            self.hits.fetch_add(1, Relaxed);
            return Some((value.to_vec(), old));
        }
        None
    }

    fn write(&self, puts: &Receiver<Put>) {
        while let Ok((key, value)) = puts.recv() {
            let mut stored = checksum(&key, &value).to_vec();
            stored.extend_from_slice(&value);
            let size = (key.len() + stored.len()) as u64;
            let younger = self.younger();
            if self.guarded(|| self.trees[younger].insert(key, stored)).is_none() {
                continue;
            }
            if self.bytes.fetch_add(size, Relaxed) + size > self.limit / 2 {
                let older = 1 - younger;
                self.guarded(|| self.trees[older].clear());
                self.younger.store(older as u64, Relaxed);
                self.bytes.store(0, Relaxed);
            }
        }
        let mut said = self.younger.load(Relaxed).to_le_bytes().to_vec();
        said.extend_from_slice(&self.bytes.load(Relaxed).to_le_bytes());
        self.guarded(|| self.about.insert(YOUNGER, said));
    }
}

fn checksum(key: &[u8; 32], value: &[u8]) -> [u8; SUM] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(key).update(value);
    let mut short = [0; SUM];
    short.copy_from_slice(&hasher.finalize().as_bytes()[..SUM]);
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn key(number: u64) -> [u8; 32] {
        *blake3::hash(&number.to_le_bytes()).as_bytes()
    }

    #[test]
    fn it_survives_a_restart_and_may_be_lost() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(dir.path(), 1 << 20).unwrap();
        (0..100).for_each(|n| shelf.put(&key(n), vec![7; 100 + n as usize]));
        drop(shelf);
        let shelf = Shelf::open(dir.path(), 1 << 20).unwrap();
        assert!((0..100).all(|n| shelf.get(&key(n)) == Some(vec![7; 100 + n as usize])));
        assert_eq!(shelf.get(&key(100)), None);
        let (hits, bytes, works) = shelf.figures();
        assert!(hits == 100 && bytes > 15_000 && works, "what it held was counted on");
        drop(shelf);
        std::fs::remove_dir_all(dir.path()).unwrap();
        let shelf = Shelf::open(dir.path(), 1 << 20).unwrap();
        assert_eq!(shelf.get(&key(1)), None);
        shelf.put(&key(1), vec![1]);
        shelf.close();
        assert_eq!((shelf.get(&key(1)), shelf.figures()), (None, (0, 0, false)));
        assert_eq!(Shelf::open(dir.path(), 1 << 20).unwrap().get(&key(1)), Some(vec![1]));
    }

    #[test]
    fn what_is_in_use_stays_and_the_rest_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(dir.path(), 200_000).unwrap();
        shelf.put(&key(0), vec![1; 1_000]);
        for n in 1..2_000 {
            shelf.put(&key(n), vec![2; 1_000]);
            // What is put is written by and by; the one that is used is asked for all the time.
            while shelf.get(&key(n)).is_none() {
                std::thread::yield_now();
            }
            assert_eq!(shelf.get(&key(0)), Some(vec![1; 1_000]), "at {n}");
        }
        let left = (1..2_000).filter(|n| shelf.get(&key(*n)).is_some()).count();
        assert!((1..=200).contains(&left), "{left} values of 1,040 bytes in 200,000");
    }

    #[test]
    fn damage_begins_it_anew() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(dir.path(), 1 << 20).unwrap();
        shelf.put(&key(1), vec![1; 50]);
        shelf.put(&key(2), vec![2; 50]);
        shelf.close();
        let shelf = Shelf::open(dir.path(), 1 << 20).unwrap();
        shelf.state().unwrap().trees[0].insert(key(1), vec![9; 58]).unwrap();
        assert_eq!(shelf.get(&key(2)), Some(vec![2; 50]));
        assert_eq!(shelf.get(&key(1)), None);
        assert_eq!(shelf.get(&key(2)), None, "nothing of it is trusted");
        assert!(shelf.figures().2);
    }

    /// The same test, started again by itself under a limit for the size of files: then writing fails as on a full disk.
    #[test]
    fn a_full_disk_turns_it_off_and_fails_nobody() {
        const INSIDE: &str = "STILLHOUSE_TEST_FULL_DISK";
        let Some(dir) = std::env::var_os(INSIDE) else {
            let dir = tempfile::tempdir().unwrap();
            let name = "shelf::tests::a_full_disk_turns_it_off_and_fails_nobody";
            let script = r#"trap '' XFSZ; ulimit -f 600; exec "$0" --exact "$1" --nocapture"#;
            let exe = std::env::current_exe().unwrap();
            let mut child = Command::new("sh");
            child.args(["-c", script]).arg(exe).arg(name).env(INSIDE, dir.path());
            let out = child.output().unwrap();
            let said = String::from_utf8_lossy(&out.stderr).into_owned() + &String::from_utf8_lossy(&out.stdout);
            assert!(out.status.success() && said.contains("1 passed"), "{said}");
            return;
        };
        let shelf = Shelf::open(Path::new(&dir), 64 << 20).unwrap();
        let mut put = 0;
        while shelf.figures().2 {
            shelf.put(&key(put), vec![put as u8; 4_000]);
            put += 1;
            assert!(put < 10_000_000, "nothing ever failed");
        }
        assert_eq!(shelf.get(&key(0)), None);
        shelf.put(&key(0), vec![1]);
        shelf.close();
    }
}
