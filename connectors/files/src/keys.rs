//! Keys of subjects, as files.
//!
//! ```text
//!   <dir>/            0700
//!     index.secret    32 random bytes, 0600: names of files say nothing without it
//!     <h>.key         one subject's key, 0600; <h> is 32 hex digits of a keyed hash of the subject
//!     <key id>.erased empty: this key was destroyed; who meets it is told so
//!     unknown.erased  made by an operator whose keys are lost for good: all that are not here count as destroyed
//!   <identity>        beside the journal: which store was used there, as a hash of its index secret
//!   text of a key file: "stillhouse-key 1\n<key id>\n<secret, 64 hex digits>\n"
//! ```
//!
//! A key that is not here and was not destroyed is *lost*: the store is not the one that sealed, or an older copy of it.
//! That is an error that names the store, never an erasure. Nothing is made before the first key is: who only opens may
//! do so on a disk that cannot be written.
//!
//! The pseudonym of a key begins with the name of its file, so that both lookups open one file; what follows is random,
//! so that a subject that comes back after its erasure gets another pseudonym. Every file is written beside, synced,
//! and *linked* into place: of several processes that make the key of one subject at once, one wins and all use its key.
//!
//! Promises: a key that was answered is durable; a destroyed one is gone from the directory when that returns. What is
//! deliberately absent: backups (they would keep what was erased) and encryption of the files themselves (that is the
//! disk's to do).

mod erasure;

use std::collections::HashMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use stillhouse_schemas::{Keys, KeysError, SubjectKey};

/// First line of a key file.
const FORMAT: &str = "stillhouse-key 1";
/// File of the secret that file names are derived with.
const INDEX: &str = "index.secret";
/// Mark of a store whose missing keys are given up.
const GIVEN_UP: &str = "unknown.erased";
/// First line of an identity file.
const IDENTITY: &str = "stillhouse-keys 1";
/// Hex digits of a file name.
const NAME: usize = 32;
/// Keys kept in memory, so that only a file that changed is read again.
const CACHED: usize = 4_096;

static NUMBER: AtomicU64 = AtomicU64::new(0);

/// Keys in a directory. Several processes may use one directory.
#[derive(Debug)]
pub struct FileKeys {
    dir: PathBuf,
    identity: PathBuf,
    index: Mutex<Option<[u8; 32]>>,
    cache: Mutex<HashMap<String, (Stamp, SubjectKey)>>,
}

/// What tells one version of a file from another.
type Stamp = (u64, i64, i64);

impl FileKeys {
    /// Opens the store in `dir`, which is made with its first key. `identity` is a file outside of it that knows which
    /// store was used here before: another one, or none where there was one, is refused.
    pub fn open(dir: &Path, identity: &Path) -> Result<Self, KeysError> {
        let keys = Self {
            dir: dir.to_path_buf(),
            identity: identity.to_path_buf(),
            index: Mutex::default(),
            cache: Mutex::default(),
        };
        match std::fs::symlink_metadata(dir) {
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            found => check_private(dir, &found.map_err(at("look at", dir))?)?,
        }
        let index = keys.read_index()?;
        if keys.recognise(index.as_ref())? {
            *keys.index.lock().unwrap_or_else(PoisonError::into_inner) = index;
        }
        Ok(keys)
    }

    fn read_index(&self) -> Result<Option<[u8; 32]>, KeysError> {
        let path = self.dir.join(INDEX);
        let Some((bytes, _)) = read(&path)? else { return Ok(None) };
        let index = bytes.try_into().map_err(|_| KeysError::Failed(format!("{} is damaged", path.display())))?;
        Ok(Some(index))
    }

    /// Refuses a store that is not the one that was used here; whether one was.
    fn recognise(&self, index: Option<&[u8; 32]>) -> Result<bool, KeysError> {
        let Some((text, _)) = read(&self.identity)? else { return Ok(false) };
        let state = match index {
            Some(index) if text == identity_of(index).as_bytes() => return Ok(true),
            Some(_) => "is not the one that sealed what is here",
            None => "is gone",
        };
        Err(KeysError::Lost(format!(
            "the key store {} {state} ({} says which one was used): put the newest copy of that directory back. If it is \
             lost for good, what it sealed stays unreadable: remove {1} to begin with another store",
            self.dir.display(),
            self.identity.display()
        )))
    }

    /// The secret that file names are derived with, made with the store if there is none.
    fn index(&self) -> Result<[u8; 32], KeysError> {
        let mut known = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = *known {
            return Ok(index);
        }
        DirBuilder::new().recursive(true).mode(0o700).create(&self.dir).map_err(at("create", &self.dir))?;
        check_private(&self.dir, &std::fs::symlink_metadata(&self.dir).map_err(at("look at", &self.dir))?)?;
        let index = match self.read_index()? {
            Some(index) => index,
            None => {
                write(&self.dir, INDEX, &SubjectKey::random().secret)?;
                self.read_index()?.ok_or_else(|| KeysError::Failed(format!("{} is gone", self.dir.display())))?
            }
        };
        if !self.recognise(Some(&index))? {
            self.write_identity(&index)?;
        }
        *known = Some(index);
        Ok(index)
    }

    fn write_identity(&self, index: &[u8; 32]) -> Result<(), KeysError> {
        let wrong = || KeysError::Failed(format!("{} is no file", self.identity.display()));
        let parent = self.identity.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let name = self.identity.file_name().and_then(|name| name.to_str()).ok_or_else(wrong)?;
        DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(at("create", parent))?;
        write(parent, name, identity_of(index).as_bytes())
    }

    /// Destroys the key of `subject`; gives its pseudonym, if there was one. What was sealed with it stays sealed.
    pub fn destroy(&self, subject: &str) -> Result<Option<String>, KeysError> {
        let name = self.name(subject)?;
        let Some(key) = self.load(&name)? else { return Ok(None) };
        self.remove(&name, &key.key_id)?;
        Ok(Some(key.key_id))
    }

    fn remove(&self, name: &str, key_id: &str) -> Result<(), KeysError> {
        let path = self.path(name);
        // Said first: a key that is gone without it would look lost.
        write(&self.dir, &format!("{key_id}.erased"), b"")?;
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
        self.forget(name);
        Ok(())
    }

    fn name(&self, subject: &str) -> Result<String, KeysError> {
        let mut name = blake3::keyed_hash(&self.index()?, subject.as_bytes()).to_hex().to_string();
        name.truncate(NAME);
        Ok(name)
    }

    /// Whether this key was destroyed, or all that are missing are given up.
    fn is_erased(&self, key_id: &str) -> Result<bool, KeysError> {
        let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'-');
        let of_key = (key_id.len() <= 128 && key_id.bytes().all(legal)).then(|| format!("{key_id}.erased"));
        for name in of_key.iter().map(String::as_str).chain([GIVEN_UP]) {
            let path = self.dir.join(name);
            if path.try_exists().map_err(at("look at", &path))? {
                return Ok(true);
            }
        }
        Ok(false)
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
            return Err(KeysError::Failed(format!("{} is damaged", path.display())));
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
        let name = self.name(subject)?;
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
        Err(KeysError::Failed(format!("the key {} is destroyed as fast as it is made", self.path(&name).display())))
    }

    fn open_key(&self, key_id: &str) -> Result<Option<SubjectKey>, KeysError> {
        if let Some(name) = key_id.get(..NAME).filter(|name| name.bytes().all(|b| b.is_ascii_hexdigit()))
            && let Some(key) = self.load(name)?.filter(|key| key.key_id == key_id)
        {
            return Ok(Some(key));
        }
        if self.is_erased(key_id)? {
            return Ok(None);
        }
        Err(KeysError::Lost(format!(
            "the key store {} has no such key, and did not destroy it: put the newest copy of that directory back. If it \
             is lost for good, an empty file {GIVEN_UP} in it has all missing keys count as destroyed",
            self.dir.display()
        )))
    }
}

/// Refuses a directory that others may look into.
fn check_private(dir: &Path, found: &std::fs::Metadata) -> Result<(), KeysError> {
    if !found.is_dir() {
        return Err(KeysError::Failed(format!("{} is not a directory", dir.display())));
    }
    if found.mode() & 0o077 != 0 {
        return Err(KeysError::Failed(format!(
            "{} may be read by others (mode {:o}): chmod 700 it",
            dir.display(),
            found.mode() & 0o777
        )));
    }
    Ok(())
}

/// Text of the identity file of a store.
fn identity_of(index: &[u8; 32]) -> String {
    let hash = blake3::derive_key("stillhouse 2026 key store: identity", index);
    format!("{IDENTITY}\n{}\n", hex(&hash[..16]))
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
    move |error| KeysError::Failed(format!("cannot {action} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn open(dir: &tempfile::TempDir) -> FileKeys {
        FileKeys::open(&dir.path().join("keys"), &dir.path().join("keys.id")).expect("opens")
    }

    fn store() -> (tempfile::TempDir, FileKeys) {
        let dir = tempfile::tempdir().expect("a directory");
        let keys = open(&dir);
        (dir, keys)
    }

    #[test]
    fn a_subject_has_one_key_across_openings() {
        let (dir, keys) = store();
        let key = keys.seal_key("worker:7").expect("a key");
        assert_eq!(keys.seal_key("worker:7").expect("a key"), key);
        assert_ne!(keys.seal_key("worker:8").expect("a key").secret, key.secret);
        let again = open(&dir);
        assert_eq!(again.seal_key("worker:7").expect("a key"), key);
        assert_eq!(again.open_key(&key.key_id).expect("opens"), Some(key));
    }

    #[test]
    fn a_destroyed_key_is_gone_for_every_process_and_never_comes_back() {
        let (dir, keys) = store();
        let other = open(&dir);
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
        let path = keys.path(&keys.name("worker:7").expect("a name"));
        std::fs::write(keys.dir.join(format!("{}.erased", key.key_id)), b"").expect("said");
        std::fs::write(&path, [0; 100]).expect("overwrites");
        assert_eq!(keys.open_key(&key.key_id).expect("opens"), None);
        assert_ne!(keys.seal_key("worker:7").expect("a key").key_id, key.key_id);
    }

    /// Another store, an older copy of it, or none: what they lack was not destroyed.
    #[test]
    fn a_lost_store_is_no_erasure() {
        let (dir, keys) = store();
        let lost = |outcome: Result<FileKeys, KeysError>| matches!(outcome, Err(KeysError::Lost(_)));
        let paths = (dir.path().join("keys"), dir.path().join("keys.id"));
        assert!(!paths.0.exists() && !paths.1.exists(), "opening makes nothing");
        let key = keys.seal_key("worker:7").expect("a key");
        // An older copy.
        std::fs::remove_file(keys.path(&keys.name("worker:7").expect("a name"))).expect("removed");
        assert!(matches!(open(&dir).open_key(&key.key_id), Err(KeysError::Lost(_))));
        std::fs::write(paths.0.join("unknown.erased"), b"").expect("given up");
        assert_eq!(open(&dir).open_key(&key.key_id), Ok(None));
        // Another store, then none.
        std::fs::write(paths.0.join("index.secret"), [7; 32]).expect("another");
        assert!(lost(FileKeys::open(&paths.0, &paths.1)));
        std::fs::remove_dir_all(&paths.0).expect("removed");
        assert!(lost(FileKeys::open(&paths.0, &paths.1)));
        assert!(!paths.0.exists(), "nothing is made in its place");
        std::fs::remove_file(&paths.1).expect("removed");
        assert_ne!(open(&dir).seal_key("worker:7").expect("a new store").key_id, key.key_id);
    }

    #[test]
    fn damage_is_said_and_never_replaced() {
        let (_dir, keys) = store();
        keys.seal_key("worker:7").expect("a key");
        let path = keys.path(&keys.name("worker:7").expect("a name"));
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
        assert!(FileKeys::open(open.path(), &dir.path().join("other.id")).is_err());
        for odd in ["", "x", "../../../../etc/passwd/aaaaaaaaaaaaaaaaaaaa", &"é".repeat(40)] {
            assert!(matches!(keys.open_key(odd), Err(KeysError::Lost(_))), "{odd}");
        }
    }

    #[test]
    fn many_makers_agree_on_one_key() {
        let (dir, _) = store();
        let made: HashSet<String> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        let keys = open(&dir);
                        (0..20).map(|i| keys.seal_key(&format!("s{i}")).expect("a key").key_id).collect::<Vec<_>>()
                    })
                })
                .collect();
            threads.into_iter().flat_map(|t| t.join().expect("no panic")).collect()
        });
        assert_eq!(made.len(), 20);
    }
}
