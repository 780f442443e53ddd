//! Keys of subjects, as files.
//!
//! ```text
//!   <dir>/            0700
//!     index.secret    32 random bytes, 0600: names of files say nothing without it
//!     <h>.key         one subject's key, 0600; <h> is 32 hex digits of a keyed hash of the subject
//!   text of a key file: "stillhouse-key 1\n<key id>\n<secret, 64 hex digits>\n"
//! ```
//!
//! The pseudonym of a key begins with the name of its file, so that both lookups open one file; what follows is random,
//! so that a subject that comes back after its erasure gets another pseudonym. Every file is written beside, synced,
//! and *linked* into place: of several processes that make the key of one subject at once, one wins and all use its key.
//!
//! Promises: a key that was answered is durable; a destroyed one is gone from the directory when that returns. What is
//! deliberately absent: backups (they would keep what was erased) and encryption of the files themselves (that is the
//! disk's to do).

use std::collections::HashMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use stillhouse_schemas::{Keys, KeysError, SubjectKey};

/// First line of a key file.
const FORMAT: &str = "stillhouse-key 1";
/// File of the secret that file names are derived with.
const INDEX: &str = "index.secret";
/// Hex digits of a file name.
const NAME: usize = 32;
/// Keys kept in memory, so that only a file that changed is read again.
const CACHED: usize = 4_096;

static NUMBER: AtomicU64 = AtomicU64::new(0);

/// Keys in a directory. Several processes may use one directory.
#[derive(Debug)]
pub struct FileKeys {
    dir: PathBuf,
    index: [u8; 32],
    cache: Mutex<HashMap<String, (Stamp, SubjectKey)>>,
}

/// What tells one version of a file from another.
type Stamp = (u64, i64, i64);

impl FileKeys {
    /// Opens the store in `dir`, making it if it is missing.
    pub fn open(dir: &Path) -> Result<Self, KeysError> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(at("create", dir))?;
        let found = std::fs::symlink_metadata(dir).map_err(at("look at", dir))?;
        if !found.is_dir() {
            return Err(KeysError(format!("{} is not a directory", dir.display())));
        }
        if found.mode() & 0o077 != 0 {
            return Err(KeysError(format!(
                "{} may be read by others (mode {:o}): chmod 700 it",
                dir.display(),
                found.mode() & 0o777
            )));
        }
        let path = dir.join(INDEX);
        let index = match read(&path)? {
            Some((bytes, _)) => bytes,
            None => {
                write(dir, INDEX, &SubjectKey::random().secret)?;
                read(&path)?.ok_or_else(|| KeysError(format!("{} is gone", path.display())))?.0
            }
        };
        let index = index.try_into().map_err(|_| KeysError(format!("{} is damaged", path.display())))?;
        Ok(Self { dir: dir.to_path_buf(), index, cache: Mutex::default() })
    }

    /// Destroys the key of `subject`; gives its pseudonym, if there was one. What was sealed with it stays sealed.
    pub fn destroy(&self, subject: &str) -> Result<Option<String>, KeysError> {
        let name = self.name(subject);
        let Some(key) = self.load(&name)? else { return Ok(None) };
        let path = self.path(&name);
        // The blocks of the file may outlive its name; overwriting first is the best that a file can do.
        if let Ok(mut file) = OpenOptions::new().write(true).open(&path) {
            let length = file.metadata().map_or(0, |m| m.len());
            let zeros = vec![0; usize::try_from(length).unwrap_or(0)];
            file.write_all(&zeros).and_then(|()| file.sync_all()).map_err(at("overwrite", &path))?;
        }
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(at("remove", &path)(e)),
            _ => {}
        }
        sync(&self.dir)?;
        self.forget(&name);
        Ok(Some(key.key_id))
    }

    fn name(&self, subject: &str) -> String {
        let mut name = blake3::keyed_hash(&self.index, subject.as_bytes()).to_hex().to_string();
        name.truncate(NAME);
        name
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.key"))
    }

    /// The key in the file of this name. The file is looked at every time, so that a key that another process destroyed
    /// is never used again; it is read only when it changed.
    fn load(&self, name: &str) -> Result<Option<SubjectKey>, KeysError> {
        let path = self.path(name);
        let found = match std::fs::symlink_metadata(&path) {
            Ok(found) => stamp(&found),
            Err(e) if e.kind() == ErrorKind::NotFound => {
                self.forget(name);
                return Ok(None);
            }
            Err(e) => return Err(at("look at", &path)(e)),
        };
        if let Ok(cache) = self.cache.lock()
            && let Some((stamp, key)) = cache.get(name)
            && *stamp == found
        {
            return Ok(Some(key.clone()));
        }
        let Some((bytes, stamp)) = read(&path)? else { return Ok(None) };
        let Some(key) = parse(&bytes, name) else {
            // Overwritten by a destruction that is still going on, or that was cut short: the key is gone either way.
            if is_overwritten(&bytes) {
                return Ok(None);
            }
            return Err(KeysError(format!("{} is damaged", path.display())));
        };
        if let Ok(mut cache) = self.cache.lock() {
            if cache.len() >= CACHED {
                cache.clear();
            }
            cache.insert(name.to_owned(), (stamp, key.clone()));
        }
        Ok(Some(key))
    }

    fn forget(&self, name: &str) {
        if let Ok(mut cache) = self.cache.lock() {
            cache.remove(name);
        }
    }
}

impl Keys for FileKeys {
    fn seal_key(&self, subject: &str) -> Result<SubjectKey, KeysError> {
        let name = self.name(subject);
        for _ in 0..8 {
            if let Some(key) = self.load(&name)? {
                return Ok(key);
            }
            let path = self.path(&name);
            // What a destruction that was cut short left.
            if read(&path)?.is_some_and(|(bytes, _)| is_overwritten(&bytes)) {
                match std::fs::remove_file(&path) {
                    Err(e) if e.kind() != ErrorKind::NotFound => return Err(at("remove", &path)(e)),
                    _ => {}
                }
            }
            let random = SubjectKey::random();
            let key_id = format!("{name}.{}", &random.key_id[..random.key_id.len().min(16)]);
            let text = format!("{FORMAT}\n{key_id}\n{}\n", hex(&random.secret));
            write(&self.dir, &format!("{name}.key"), text.as_bytes())?;
        }
        Err(KeysError(format!("the key {} is destroyed as fast as it is made", self.path(&name).display())))
    }

    fn open_key(&self, key_id: &str) -> Result<Option<SubjectKey>, KeysError> {
        let Some(name) = key_id.get(..NAME).filter(|name| name.bytes().all(|b| b.is_ascii_hexdigit())) else {
            return Ok(None);
        };
        Ok(self.load(name)?.filter(|key| key.key_id == key_id))
    }
}

fn is_overwritten(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|b| *b == 0)
}

fn parse(bytes: &[u8], name: &str) -> Option<SubjectKey> {
    let mut lines = std::str::from_utf8(bytes).ok()?.lines();
    let (format, key_id, secret) = (lines.next()?, lines.next()?, lines.next()?);
    if format != FORMAT || !key_id.starts_with(name) || secret.len() != 64 || lines.next().is_some() {
        return None;
    }
    let mut key = SubjectKey { key_id: key_id.to_owned(), secret: [0; 32] };
    for (i, byte) in key.secret.iter_mut().enumerate() {
        *byte = u8::from_str_radix(secret.get(2 * i..2 * i + 2)?, 16).ok()?;
    }
    Some(key)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn stamp(found: &std::fs::Metadata) -> Stamp {
    (found.ino(), found.mtime(), found.mtime_nsec())
}

fn read(path: &Path) -> Result<Option<(Vec<u8>, Stamp)>, KeysError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(at("open", path)(e)),
    };
    let stamp = stamp(&file.metadata().map_err(at("look at", path))?);
    let mut bytes = Vec::new();
    file.take(4_096).read_to_end(&mut bytes).map_err(at("read", path))?;
    Ok(Some((bytes, stamp)))
}

/// Writes a file whole and durable, unless one of that name is there by then.
fn write(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), KeysError> {
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let temporary = dir.join(format!(".{name}.tmp-{}-{number}", std::process::id()));
    let path = dir.join(name);
    // What a process of this id left when it crashed.
    let _ = std::fs::remove_file(&temporary);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| match std::fs::hard_link(&temporary, &path) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        });
    let removed = std::fs::remove_file(&temporary);
    written.map_err(at("write", &path))?;
    removed.map_err(at("remove", &temporary))?;
    sync(dir)
}

fn sync(dir: &Path) -> Result<(), KeysError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(at("sync", dir))
}

fn at<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(std::io::Error) -> KeysError + 'a {
    move |error| KeysError(format!("cannot {action} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn store() -> (tempfile::TempDir, FileKeys) {
        let dir = tempfile::tempdir().expect("a directory");
        let keys = FileKeys::open(&dir.path().join("keys")).expect("opens");
        (dir, keys)
    }

    #[test]
    fn a_subject_has_one_key_across_openings() {
        let (dir, keys) = store();
        let key = keys.seal_key("worker:7").expect("a key");
        assert_eq!(keys.seal_key("worker:7").expect("a key"), key);
        assert_ne!(keys.seal_key("worker:8").expect("a key").secret, key.secret);
        let again = FileKeys::open(&dir.path().join("keys")).expect("opens");
        assert_eq!(again.seal_key("worker:7").expect("a key"), key);
        assert_eq!(again.open_key(&key.key_id).expect("opens"), Some(key));
    }

    #[test]
    fn a_destroyed_key_is_gone_for_every_process_and_never_comes_back() {
        let (dir, keys) = store();
        let other = FileKeys::open(&dir.path().join("keys")).expect("opens");
        let key = keys.seal_key("worker:7").expect("a key");
        assert_eq!(other.open_key(&key.key_id).expect("opens"), Some(key.clone()));
        assert_eq!(keys.destroy("worker:7").expect("destroys"), Some(key.key_id.clone()));
        assert_eq!(keys.destroy("worker:7").expect("destroys"), None);
        assert_eq!(other.open_key(&key.key_id).expect("opens"), None);
        let new = other.seal_key("worker:7").expect("a key");
        assert_ne!(new.key_id, key.key_id);
        assert_ne!(new.secret, key.secret);
        assert_eq!(keys.open_key(&key.key_id).expect("opens"), None);
        assert_eq!(keys.open_key(&new.key_id).expect("opens"), Some(new));
    }

    #[test]
    fn a_destruction_cut_short_after_the_overwriting_is_one() {
        let (_dir, keys) = store();
        let key = keys.seal_key("worker:7").expect("a key");
        let path = keys.path(&keys.name("worker:7"));
        std::fs::write(&path, [0; 100]).expect("overwrites");
        assert_eq!(keys.open_key(&key.key_id).expect("opens"), None);
        assert_ne!(keys.seal_key("worker:7").expect("a key").key_id, key.key_id);
    }

    #[test]
    fn damage_is_said_and_never_replaced() {
        let (_dir, keys) = store();
        keys.seal_key("worker:7").expect("a key");
        let path = keys.path(&keys.name("worker:7"));
        let whole = std::fs::read(&path).expect("reads");
        for damaged in [&whole[..10], b"", b"stillhouse-key 1\nx\ny\n", &[whole.as_slice(), b"more\n"].concat()] {
            std::fs::write(&path, damaged).expect("writes");
            assert!(keys.seal_key("worker:7").is_err(), "{damaged:?}");
            std::fs::write(&path, &whole).expect("writes");
        }
    }

    #[test]
    fn names_and_modes_say_nothing() {
        let (dir, keys) = store();
        keys.seal_key("mary@example.com").expect("a key");
        for entry in std::fs::read_dir(dir.path().join("keys")).expect("lists") {
            let entry = entry.expect("an entry");
            let name = entry.file_name().into_string().expect("text");
            assert!(!name.contains("mary") && !name.contains(".tmp-"), "{name}");
            assert_eq!(entry.metadata().expect("metadata").mode() & 0o777, 0o600, "{name}");
        }
        let open = tempfile::tempdir().expect("a directory");
        std::fs::set_permissions(open.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("sets");
        assert!(FileKeys::open(open.path()).is_err());
        for odd in ["", "x", "../../../../etc/passwd/aaaaaaaaaaaaaaaaaaaa", &"é".repeat(40)] {
            assert_eq!(keys.open_key(odd).expect("opens"), None, "{odd}");
        }
    }

    #[test]
    fn many_makers_agree_on_one_key() {
        let (dir, _) = store();
        let path = dir.path().join("keys");
        let made: HashSet<String> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        let keys = FileKeys::open(&path).expect("opens");
                        (0..20).map(|i| keys.seal_key(&format!("s{i}")).expect("a key").key_id).collect::<Vec<_>>()
                    })
                })
                .collect();
            threads.into_iter().flat_map(|t| t.join().expect("no panic")).collect()
        });
        assert_eq!(made.len(), 20);
    }
}
