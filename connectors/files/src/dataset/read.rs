//! Reading a dataset back: checking it, and going through its rows.

use super::lineage::{self, Line, Origin};
use super::manifest::{File, Manifest};
use super::write::digest;
use super::{DatasetError, on, place};
use std::fs;
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

/// A row, and one of the runs that it was made of; the sides of a pair are two of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowLine {
    /// Its split.
    pub split: String,
    /// Its number in the split, from 1.
    pub number: u64,
    /// The run.
    pub run_id: String,
    /// The evidence made of it.
    pub evidence_id: String,
    /// The score that let it in; empty where a person did.
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
        let file = fs::File::open(&path).map_err(|e| match e.kind() {
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
            if !path.exists() {
                return Err(damaged("it is missing".to_owned()));
            }
            let (bytes, sha256) = digest(&path)?;
            if bytes != file.bytes {
                return Err(damaged(format!("it has {bytes} bytes, its manifest says {}", file.bytes)));
            }
            if sha256 != file.sha256 {
                return Err(damaged("its SHA-256 is not that of its manifest".to_owned()));
            }
        }
        let data = self.path.join("data");
        for path in place::files(&data)? {
            let name = path.strip_prefix(&self.path).unwrap_or(&path).to_string_lossy().into_owned();
            if self.manifest.files.iter().all(|f| f.path != name) {
                let what = "it is in no manifest: readers would take its rows too".to_owned();
                return Err(DatasetError::Damaged { path, what });
            }
        }
        Ok(())
    }

    /// Its rows in order, once for each run that they were made of.
    pub fn rows(&self) -> impl Iterator<Item = Result<RowLine, DatasetError>> + '_ {
        // The first layout had one split, and ids in every line of its data.
        let traced = self.manifest.files.iter().any(|f| f.path == lineage::NAME);
        let files = self.manifest.files.iter().filter(move |f| match traced {
            true => f.path == lineage::NAME,
            false => f.path.ends_with(".jsonl"),
        });
        files.flat_map(move |file| Lines {
            path: self.path.join(&file.path),
            traced,
            reader: None,
            number: 0,
            pending: vec![],
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

    /// The first line of its data, if its format has lines.
    pub fn first_line(&self) -> Result<Option<String>, DatasetError> {
        let data = |f: &&File| f.path.starts_with("data/") && f.path.ends_with(".jsonl");
        let Some(file) = self.manifest.files.iter().find(data) else { return Ok(None) };
        let path = self.path.join(&file.path);
        let mut line = String::new();
        let reader = BufReader::new(fs::File::open(&path).map_err(on("open", &path))?);
        reader.take(LINE).read_line(&mut line).map_err(on("read", &path))?;
        Ok((!line.is_empty()).then(|| line.trim_end().to_owned()))
    }
}

struct Lines {
    path: PathBuf,
    traced: bool,
    reader: Option<BufReader<fs::File>>,
    number: u64,
    /// Of the last line, in reverse.
    pending: Vec<RowLine>,
    done: bool,
}

impl Lines {
    fn read(&mut self) -> Result<Option<RowLine>, DatasetError> {
        while self.pending.is_empty() {
            let reader = match &mut self.reader {
                Some(reader) => reader,
                None => self.reader.insert(BufReader::new(fs::File::open(&self.path).map_err(on("open", &self.path))?)),
            };
            self.number += 1;
            let mut line = vec![];
            if reader.take(LINE).read_until(b'\n', &mut line).map_err(on("read", &self.path))? == 0 {
                return Ok(None);
            }
            let number = self.number;
            let damaged = |what: String| DatasetError::Damaged {
                path: self.path.clone(),
                what: format!("line {number}: {what}"),
            };
            if line.pop() != Some(b'\n') {
                return Err(damaged("it has no end".to_owned()));
            }
            let bad = |e: serde_json::Error| damaged(e.to_string());
            let Line { from, row, split } = match self.traced {
                true => serde_json::from_slice(&line).map_err(bad)?,
                false => Line {
                    from: vec![serde_json::from_slice(&line).map_err(bad)?],
                    row: number,
                    split: "train".to_owned(),
                },
            };
            let made = |Origin { run_id, evidence_id, score_id }| RowLine {
                split: split.clone(),
                number: row,
                run_id,
                evidence_id,
                score_id: score_id.unwrap_or_default(),
            };
            self.pending = from.into_iter().rev().map(made).collect();
        }
        Ok(self.pending.pop())
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
