//! Reading a dataset back: checking it, and going through its rows.

use super::manifest::Manifest;
use super::write::hex;
use super::{DatasetError, on};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// Largest manifest that is read.
const MANIFEST: u64 = 16 << 20;
/// Longest line that is read.
const LINE: u64 = 256 << 20;

/// A dataset on disk.
#[derive(Clone, Debug)]
pub struct Dataset {
    path: PathBuf,
    manifest: Manifest,
}

/// A row, and what it is traced by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowLine {
    /// File within the dataset.
    pub file: String,
    /// Line of the file, from 1.
    pub number: u64,
    /// The JSON text.
    pub text: String,
    /// The run.
    pub run_id: String,
    /// The evidence made of it.
    pub evidence_id: String,
    /// The score that let it in.
    pub score_id: String,
}

impl Dataset {
    /// Opens the dataset in `dir` (or that of a manifest, by its path). Reads the manifest only.
    pub fn open(dir: &Path) -> Result<Self, DatasetError> {
        let dir = match dir.file_name() {
            Some(name) if name == "manifest.json" => dir.parent().unwrap_or(Path::new(".")),
            _ => dir,
        };
        let path = dir.join("manifest.json");
        let file = File::open(&path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => DatasetError::NoDataset {
                path: dir.to_path_buf(),
                why: "not a dataset: there is no manifest.json in it".to_owned(),
            },
            _ => on("open", &path)(e),
        })?;
        let mut bytes = vec![];
        file.take(MANIFEST).read_to_end(&mut bytes).map_err(on("read", &path))?;
        Ok(Self { manifest: Manifest::parse(&bytes, &path)?, path: dir.to_path_buf() })
    }

    /// Its directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it says about itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Checks that every file is there and is what the manifest says, and that there is no other data file.
    pub fn verify(&self) -> Result<(), DatasetError> {
        if self.manifest.erased.is_some() {
            return Ok(());
        }
        for file in &self.manifest.files {
            let path = self.path.join(&file.path);
            let damaged = |what: String| DatasetError::Damaged { path: path.clone(), what };
            let opened = File::open(&path).map_err(|e| match e.kind() {
                std::io::ErrorKind::NotFound => damaged("it is missing".to_owned()),
                _ => on("open", &path)(e),
            })?;
            let mut reader = BufReader::with_capacity(1 << 18, opened);
            let (mut hash, mut bytes) = (Sha256::new(), 0);
            loop {
                let chunk = reader.fill_buf().map_err(on("read", &path))?;
                if chunk.is_empty() {
                    break;
                }
                hash.update(chunk);
                let read = chunk.len();
                bytes += read as u64;
                reader.consume(read);
            }
            if bytes != file.bytes {
                return Err(damaged(format!("it has {bytes} bytes, its manifest says {}", file.bytes)));
            }
            if hex(&hash.finalize()) != file.sha256 {
                return Err(damaged("its SHA-256 is not that of its manifest".to_owned()));
            }
        }
        let data = self.path.join("data");
        for entry in std::fs::read_dir(&data).map_err(on("list", &data))? {
            let entry = entry.map_err(on("list", &data))?;
            let name = format!("data/{}", entry.file_name().to_string_lossy());
            if self.manifest.files.iter().all(|f| f.path != name) {
                let what = "it is in no manifest: readers would take its rows too".to_owned();
                return Err(DatasetError::Damaged { path: entry.path(), what });
            }
        }
        Ok(())
    }

    /// Its rows in order, one line in memory at a time.
    pub fn rows(&self) -> impl Iterator<Item = Result<RowLine, DatasetError>> + '_ {
        let files = self.manifest.files.iter().filter(|f| f.path.ends_with(".jsonl"));
        files.flat_map(|file| Lines {
            path: self.path.join(&file.path),
            file: file.path.clone(),
            reader: None,
            number: 0,
            done: false,
        })
    }

    /// The row made of this run, evidence or score, if there is one.
    pub fn find(&self, id: &str) -> Result<Option<RowLine>, DatasetError> {
        self.rows()
            .find(|row| match row {
                Ok(row) => [&row.run_id, &row.evidence_id, &row.score_id].into_iter().any(|known| known == id),
                Err(_) => true,
            })
            .transpose()
    }
}

struct Lines {
    path: PathBuf,
    file: String,
    reader: Option<BufReader<File>>,
    number: u64,
    done: bool,
}

impl Lines {
    fn read(&mut self) -> Result<Option<RowLine>, DatasetError> {
        #[derive(Deserialize)]
        struct Ids {
            run_id: String,
            evidence_id: String,
            score_id: String,
        }
        let reader = match &mut self.reader {
            Some(reader) => reader,
            None => self.reader.insert(BufReader::new(File::open(&self.path).map_err(on("open", &self.path))?)),
        };
        self.number += 1;
        let mut line = vec![];
        if reader.take(LINE).read_until(b'\n', &mut line).map_err(on("read", &self.path))? == 0 {
            return Ok(None);
        }
        let number = self.number;
        let damaged =
            |what: String| DatasetError::Damaged { path: self.path.clone(), what: format!("line {number}: {what}") };
        if line.pop() != Some(b'\n') {
            return Err(damaged("it has no end".to_owned()));
        }
        let text = String::from_utf8(line).map_err(|e| damaged(e.to_string()))?;
        let Ids { run_id, evidence_id, score_id } = serde_json::from_str(&text).map_err(|e| damaged(e.to_string()))?;
        Ok(Some(RowLine { file: self.file.clone(), number, text, run_id, evidence_id, score_id }))
    }
}

impl Iterator for Lines {
    type Item = Result<RowLine, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let row = self.read();
        self.done = !matches!(row, Ok(Some(_)));
        row.transpose()
    }
}
