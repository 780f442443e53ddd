//! How far an import came, so that a killed one goes on where everything before was acknowledged.
//!
//! It is a help and not a truth: losing it costs time, never a run, because ids make a repetition harmless. It is thrown
//! away when the import ends, so that importing again later looks at everything again.

use super::input::{Identity, Taken};
use super::mapping::Mapping;
use super::reading::Resume;
use crate::lines::Format;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};

/// What an import counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Records read.
    pub records: u64,
    /// Records that the mapping is not for.
    pub passed_over: u64,
    /// Runs added to the journal.
    pub appended: u64,
    /// Runs that the journal had before.
    pub already_there: u64,
    /// Runs that came twice in this import.
    pub repeats: u64,
    /// Records, runs or rests of files that were not taken.
    pub rejected: u64,
}

impl Counts {
    /// Adds another count.
    pub fn add(&mut self, more: &Self) {
        self.records += more.records;
        self.passed_over += more.passed_over;
        self.appended += more.appended;
        self.already_there += more.already_there;
        self.repeats += more.repeats;
        self.rejected += more.rejected;
    }
}

/// How far one file was imported by one mapping into one topic of one journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// The file.
    pub file: Identity,
    /// Format of its records.
    pub format: Format,
    /// The last record before which everything was acknowledged.
    pub taken: Taken,
    /// Id and position of an event that was acknowledged: if the journal does not have it there, it is another journal.
    pub witness: Option<(String, String)>,
    /// What was counted up to here.
    pub counts: Counts,
}

/// The place of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointFile {
    path: PathBuf,
}

impl CheckpointFile {
    /// The place for a file, under `folder`; `target` tells journal and topic.
    pub fn of(folder: &Path, file: &Path, mapping: &Mapping, target: &[&str]) -> Self {
        let mut hasher = blake3::Hasher::new();
        let file = file.to_string_lossy();
        for part in [file.as_ref(), mapping.name(), mapping.config_hash()].iter().chain(target) {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        let name = format!("{}.json", &hasher.finalize().to_hex()[..32]);
        Self { path: folder.join(name) }
    }

    /// What is there, if it can be read and is of this file as it is now. A file that was written to since is read
    /// anew: what was rejected may have been put right.
    pub fn load(&self, now: &Identity) -> Option<Checkpoint> {
        let checkpoint: Checkpoint = serde_json::from_slice(&std::fs::read(&self.path).ok()?).ok()?;
        (checkpoint.file == *now).then_some(checkpoint)
    }

    /// Replaces what is there.
    pub fn save(&self, checkpoint: &Checkpoint) -> io::Result<()> {
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let draft = self.path.with_extension("tmp");
        std::fs::write(&draft, serde_json::to_vec(checkpoint)?)?;
        std::fs::rename(draft, &self.path)
    }

    /// Removes it.
    pub fn remove(&self) {
        // Gone already is what is wanted; if it cannot be removed, the next import looks at it and finds nothing new.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Checkpoint {
    /// Where to go on.
    pub fn resume(&self) -> Resume {
        Resume { format: self.format, taken: self.taken.clone() }
    }
}
