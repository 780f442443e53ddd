//! What becomes of a dataset after it was written: a mark that it is recalled, or nothing but its name.
//!
//! ```text
//!   sft-3f9c0a1b2d4e/
//!     RECALLED.json      beside the manifest, while it holds a run that is recalled; its files stay as they are
//!     manifest.json      of an erased one: without files, with `erased`; everything else is gone
//! ```
//!
//! Both are written beside and renamed: a crash leaves the old state or the new one. What the journal says is the truth;
//! these are for whoever looks at the directory.

use super::holding::Held;
use super::manifest::Manifest;
use super::place::sync_dir;
use super::{Dataset, DatasetError, on};
use serde::{Deserialize, Serialize};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Name of the mark.
pub const RECALLED: &str = "RECALLED.json";

/// What a mark says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recalled {
    /// Name of the dataset.
    pub dataset: String,
    /// The dataset that takes its place, if one was made.
    pub superseded_by: Option<String>,
    /// The runs that are recalled, and why.
    pub runs: Vec<RecalledRun>,
    /// Where it holds them.
    pub rows: Vec<Held>,
}

/// A run that is recalled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecalledRun {
    /// The run.
    pub run_id: String,
    /// Why.
    pub reason: String,
    /// Who decided.
    pub by: String,
    /// When, as RFC 3339.
    pub recalled_at: String,
    /// The decision.
    pub decision_id: String,
}

/// Of a dataset that held what was erased.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// Why its files are gone.
    pub why: String,
    /// The decision.
    pub decision_id: String,
    /// The dataset that takes its place, if one was made.
    pub superseded_by: Option<String>,
}

/// Marks the dataset in `dir` as recalled; the mark that is there is replaced.
pub fn mark(dir: &Path, recalled: &Recalled) -> Result<(), DatasetError> {
    let mut bytes = serde_json::to_vec_pretty(recalled).expect("text keys and no numbers but integers");
    bytes.push(b'\n');
    replace(dir, RECALLED, &bytes)
}

/// Takes the mark off; whether there was one.
pub fn unmark(dir: &Path) -> Result<bool, DatasetError> {
    let path = dir.join(RECALLED);
    match std::fs::remove_file(&path) {
        Ok(()) => sync_dir(dir).map(|()| true),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(on("remove", &path)(e)),
    }
}

/// The mark of the dataset in `dir`, if it has one.
pub fn marked(dir: &Path) -> Result<Option<Recalled>, DatasetError> {
    let path = dir.join(RECALLED);
    match std::fs::read(&path) {
        Ok(bytes) => {
            serde_json::from_slice(&bytes).map(Some).map_err(|e| DatasetError::Damaged { path, what: e.to_string() })
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(on("read", &path)(e)),
    }
}

/// Removes everything of the dataset in `dir` but a manifest that says so. Doing it again changes nothing.
pub fn bury(dir: &Path, tombstone: Tombstone) -> Result<(), DatasetError> {
    let manifest = Dataset::open(dir)?.manifest().clone();
    // The manifest first: who finds a half-removed dataset must not take it for a damaged one.
    let manifest = Manifest { files: Vec::new(), erased: Some(tombstone), ..manifest };
    replace(dir, "manifest.json", &manifest.to_bytes())?;
    for entry in std::fs::read_dir(dir).map_err(on("list", dir))? {
        let path = entry.map_err(on("list", dir))?.path();
        if path.file_name().is_some_and(|name| name == "manifest.json") {
            continue;
        }
        let is_dir = std::fs::symlink_metadata(&path).map_err(on("look at", &path))?.is_dir();
        let removed = if is_dir { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        removed.map_err(on("remove", &path))?;
    }
    sync_dir(dir)
}

fn replace(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), DatasetError> {
    let (path, beside) = (dir.join(name), dir.join(format!(".{name}.tmp-{}", std::process::id())));
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)
        .map_err(on("create", &beside))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(on("write", &beside))?;
    std::fs::rename(&beside, &path).map_err(on("rename to", &path))?;
    sync_dir(dir)
}
