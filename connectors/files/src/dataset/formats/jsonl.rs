//! A JSON object a line, in the canonical spelling that the exporter gave it.

use super::super::write::{create, hex};
use super::super::{Column, DatasetError, on};
use super::{Format, Rows};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// JSON lines.
pub static JSONL: &dyn Format = &Jsonl;

#[derive(Debug)]
struct Jsonl;

impl Format for Jsonl {
    fn name(&self) -> &'static str {
        "jsonl"
    }

    fn doc(&self) -> &'static str {
        "a JSON object a line"
    }

    fn typed(&self) -> bool {
        false
    }

    fn create(&self, path: &Path, _: &[Column]) -> Result<Box<dyn Rows>, DatasetError> {
        let out = BufWriter::with_capacity(1 << 18, create(path)?);
        Ok(Box::new(Lines { path: path.to_path_buf(), out, hash: Sha256::new() }))
    }
}

struct Lines {
    path: PathBuf,
    out: BufWriter<File>,
    hash: Sha256,
}

impl Rows for Lines {
    fn row(&mut self, line: &[u8]) -> Result<(), DatasetError> {
        for part in [line, b"\n"] {
            self.out.write_all(part).map_err(on("write", &self.path))?;
            self.hash.update(part);
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Option<String>, DatasetError> {
        let Self { path, out, hash } = *self;
        let file = out.into_inner().map_err(|e| on("write", &path)(e.into_error()))?;
        file.sync_all().map_err(on("sync", &path))?;
        Ok(Some(hex(&hash.finalize())))
    }
}
