//! `lineage.jsonl`: what each row was made of, in the order of rows, whatever the format and the shape of the data.
//!
//! A line is `{"from":[{"evidence_id":…,"run_id":…,"score_id":…}, …],"row":1,"split":"train"}`; rows are counted from 1 in
//! their split. A side of a pair that a person wrote has a `label_id` too.

use super::manifest::File;
use super::write::{create, hex};
use super::{DatasetError, on};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Name of the file.
pub(super) const NAME: &str = "lineage.jsonl";

/// A line of the file.
#[derive(Deserialize)]
pub(super) struct Line {
    pub(super) from: Vec<Origin>,
    pub(super) row: u64,
    pub(super) split: String,
}

/// What a row, or a side of it, was made of.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Origin {
    pub(super) run_id: String,
    pub(super) evidence_id: String,
    #[serde(default)]
    pub(super) score_id: Option<String>,
}

/// The file while it is written.
pub(super) struct Lineage {
    path: PathBuf,
    out: BufWriter<std::fs::File>,
    hash: Sha256,
    line: Vec<u8>,
    bytes: u64,
}

impl Lineage {
    pub(super) fn create(dir: &Path) -> Result<Self, DatasetError> {
        let path = dir.join(NAME);
        let out = BufWriter::with_capacity(1 << 18, create(&path)?);
        Ok(Self { path, out, hash: Sha256::new(), line: vec![], bytes: 0 })
    }

    /// `origins` is a JSON list in its canonical spelling.
    pub(super) fn row(&mut self, split: &str, number: u64, origins: &[u8]) -> Result<(), DatasetError> {
        self.line.clear();
        self.line.extend_from_slice(b"{\"from\":");
        self.line.extend_from_slice(origins);
        self.line.extend_from_slice(format!(",\"row\":{number},\"split\":\"{split}\"}}\n").as_bytes());
        self.hash.update(&self.line);
        self.bytes += self.line.len() as u64;
        self.out.write_all(&self.line).map_err(on("write", &self.path))
    }

    pub(super) fn finish(self) -> Result<File, DatasetError> {
        let Self { path, out, hash, bytes, .. } = self;
        let file = out.into_inner().map_err(|e| on("write", &path)(e.into_error()))?;
        file.sync_all().map_err(on("sync", &path))?;
        Ok(File { path: NAME.to_owned(), bytes, rows: 0, sha256: hex(&hash.finalize()) })
    }
}
