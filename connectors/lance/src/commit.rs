//! How a version comes to be on a local disk: its files first, then its manifest, each synced.
//!
//! Lance's own way writes neither durably: after a power cut a manifest may be there without its files, or with a length
//! of zero, and the dataset cannot be opened. Whoever can see a manifest written here can see all that it names.

use lance::Error;
use lance::io::ObjectStore;
use lance_table::format::{IndexMetadata, Manifest, Transaction};
use lance_table::io::commit::{
    CommitError, CommitHandler, ManifestLocation, ManifestNamingScheme, ManifestWriter, write_version_hint,
};
use object_store::path::Path as ObjectPath;
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Where a version's files are, below the root of the dataset.
const FOLDERS: [&str; 4] = ["data", "_deletions", "_indices", "_transactions"];
const VERSIONS: &str = "_versions";

/// Commits to one local dataset.
#[derive(Debug)]
pub(crate) struct Synced {
    root: PathBuf,
    /// Files that were synced before. Files are never changed, only written and removed.
    known: Arc<Mutex<HashSet<PathBuf>>>,
}

impl Synced {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), known: Arc::default() }
    }
}

#[async_trait::async_trait]
impl CommitHandler for Synced {
    fn is_version_not_found_definitive(&self) -> bool {
        true
    }

    async fn commit(
        &self,
        manifest: &mut Manifest,
        indices: Option<Vec<IndexMetadata>>,
        base_path: &ObjectPath,
        object_store: &ObjectStore,
        manifest_writer: ManifestWriter,
        naming_scheme: ManifestNamingScheme,
        transaction: Option<Transaction>,
    ) -> Result<ManifestLocation, CommitError> {
        let path = naming_scheme.manifest_path(base_path, manifest.version);
        let memory = ObjectStore::memory();
        let staged = ObjectPath::from("manifest");
        manifest_writer(&memory, manifest, indices, &staged, transaction).await?;
        let bytes = memory.read_one_all(&staged).await?;
        let size = bytes.len() as u64;
        let name = path.filename().unwrap_or_default().to_owned();
        let (root, known) = (self.root.clone(), self.known.clone());
        let write = move || {
            sync_new(&root, &mut known.lock().unwrap_or_else(PoisonError::into_inner))?;
            write_once(&root.join(VERSIONS), &name, &bytes)
        };
        let written = tokio::task::spawn_blocking(write).await;
        match written.unwrap_or_else(|e| Err(io::Error::other(e))) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(CommitError::CommitConflict),
            Err(error) => return Err(CommitError::OtherError(Error::from(error))),
        }
        write_version_hint(object_store, base_path, manifest.version).await;
        Ok(ManifestLocation {
            version: manifest.version,
            path,
            size: Some(size),
            naming_scheme,
            e_tag: None,
            identity: None,
        })
    }
}

/// Syncs the files that were not known before, and the folders that they are in.
fn sync_new(root: &Path, known: &mut HashSet<PathBuf>) -> io::Result<()> {
    let first = known.is_empty();
    let mut now = HashSet::new();
    for folder in FOLDERS {
        visit(&root.join(folder), known, &mut now)?;
    }
    if first {
        fs::create_dir_all(root.join(VERSIONS))?;
        File::open(root)?.sync_all()?;
        if let Some(parent) = root.parent().filter(|parent| parent.is_dir()) {
            File::open(parent)?.sync_all()?;
        }
    }
    *known = now;
    Ok(())
}

/// Whether anything in the folder is new.
fn visit(folder: &Path, known: &HashSet<PathBuf>, now: &mut HashSet<PathBuf>) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    let mut fresh = false;
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            fresh |= !known.contains(&path);
            visit(&path, known, now)?;
        } else if !known.contains(&path) {
            match File::open(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                file => file?.sync_all()?,
            }
            fresh = true;
        }
        now.insert(path);
    }
    if fresh { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// Writes a file that must not be there yet, so that it is either not there or whole.
fn write_once(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let staged = folder.join(format!(".{name}.{}", std::process::id()));
    let mut file = File::create(&staged)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    let place = folder.join(name);
    let linked = match fs::hard_link(&staged, &place) {
        // A file system without links. There is one writer, so looking and then renaming is enough.
        Err(error)
            if matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::PermissionDenied) && !place.exists() =>
        {
            fs::rename(&staged, &place)
        }
        linked => {
            let _gone = fs::remove_file(&staged);
            linked
        }
    };
    linked?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_written_once_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().join("versions");
        write_once(&place, "1.manifest", b"one").expect("written");
        let error = write_once(&place, "1.manifest", b"two").expect_err("twice");
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read(place.join("1.manifest")).expect("read"), b"one");
        assert_eq!(fs::read_dir(&place).expect("a folder").count(), 1);
    }
}
