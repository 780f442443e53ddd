//! Writing: sort, cut into shards, hash, describe, sync, rename.

use super::manifest::{Counts, Cut, FORMAT, File, Maker, Manifest, Stage, VERSION};
use super::place::{Root, Temporary, sync_dir};
use super::sort::{Merge, Sorter};
use super::{Dataset, DatasetError, Row, card, on, place, sort};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Sizes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of rows held while sorting. Changes nothing in what is written.
    pub memory: usize,
    /// Bytes of a data file, but always at least one row.
    pub shard: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory: 32 << 20, shard: 256 << 20 }
    }
}

/// What a dataset is, beside its rows.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// `sft`, `rag`, `preference`.
    pub kind: String,
    /// Shape of the rows.
    pub shape: String,
    /// What was let in.
    pub filters: BTreeMap<String, Value>,
    /// Who writes it.
    pub exporter: Maker,
    /// The generations that the rows come from.
    pub stages: Vec<Stage>,
    /// Evidence and what was withheld; rows are counted here.
    pub evidence: u64,
    /// Left out, by reason.
    pub withheld: BTreeMap<String, u64>,
    /// Up to where the journal was read.
    pub cut: Cut,
    /// Why exporting this cut cannot give the bytes that it once gave, if it cannot.
    pub irreproducible: Option<String>,
}

/// A dataset that is on disk.
#[derive(Clone, Debug)]
pub struct Written {
    /// Its directory.
    pub path: PathBuf,
    /// Its manifest.
    pub manifest: Manifest,
    /// SHA-256 of the manifest, hex.
    pub manifest_sha256: String,
    /// It was there already, byte for byte; nothing was written.
    pub already_there: bool,
}

/// Checks that datasets can be written to `out` (and makes it, and sweeps what crashes left there), so that a long export
/// does not begin for nothing.
pub fn prepare(out: &Path, force: bool) -> Result<(), DatasetError> {
    Root::open(out, force).map(drop)
}

/// Builds a dataset of rows of type `R`. Dropped before [`Builder::finish`], it leaves nothing.
pub struct Builder<R> {
    root: Root,
    name: String,
    temporary: Temporary,
    sorter: Sorter<R>,
    limits: Limits,
    stop: Arc<AtomicBool>,
}

impl<R: Row> Builder<R> {
    /// Begins the dataset `name` in the directory `out`.
    pub fn create(out: &Path, name: &str, limits: Limits, force: bool) -> Result<Self, DatasetError> {
        let root = Root::open(out, force)?;
        let temporary = root.temporary(name)?;
        let sorter = Sorter::new(temporary.path().join("sorting"), limits.memory);
        Ok(Self { root, name: name.to_owned(), temporary, sorter, limits, stop: Arc::default() })
    }

    /// Gives it another name than it was begun with: what it is called may depend on what turns out to be in it.
    pub fn rename(&mut self, name: &str) {
        name.clone_into(&mut self.name);
    }

    /// Set from another thread, it makes [`Builder::finish`] end with [`DatasetError::Stopped`], leaving nothing.
    pub fn stop_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
    }

    /// Takes a row. They may come in any order.
    pub fn row(&mut self, row: &R) -> Result<(), DatasetError> {
        self.sorter.push(row)
    }

    /// Writes everything, durably, and gives it its name. A dataset of that name that is there already must be the same.
    pub fn finish(self, about: About) -> Result<Written, DatasetError> {
        let dir = self.temporary.path().to_path_buf();
        let files = shards(&dir, self.sorter.finish()?, self.limits.shard, &self.stop)?;
        sort::remove(&dir.join("sorting"))?;
        let counts =
            Counts { evidence: about.evidence, rows: files.iter().map(|f| f.rows).sum(), withheld: about.withheld };
        let mut manifest = Manifest {
            format: FORMAT.to_owned(),
            format_version: VERSION,
            kind: about.kind,
            shape: about.shape,
            file_format: "jsonl".to_owned(),
            filters: about.filters,
            exporter: about.exporter,
            stages: about.stages,
            counts,
            files,
            cut: about.cut,
            irreproducible: about.irreproducible,
            erased: None,
        };
        manifest.files.push(whole(&dir, "README.md", card::card(&manifest).as_bytes())?);
        let bytes = manifest.to_bytes();
        let manifest_sha256 = whole(&dir, "manifest.json", &bytes)?.sha256;
        sync_dir(&dir)?;
        let (path, already_there) = self.root.publish(self.temporary, &self.name, |there| same(there, &bytes))?;
        Ok(Written { path, manifest, manifest_sha256, already_there })
    }
}

/// Whether the dataset that is there is whole and has this manifest.
fn same(there: &Path, manifest: &[u8]) -> Result<(), DatasetError> {
    let differs = |what: String| DatasetError::Differs { path: there.to_path_buf(), what };
    let dataset = Dataset::open(there).map_err(|e| differs(e.to_string()))?;
    dataset.verify().map_err(|e| differs(e.to_string()))?;
    if dataset.manifest().to_bytes() == manifest {
        return Ok(());
    }
    let new = Manifest::parse(manifest, there)?;
    let old = dataset.manifest();
    let files = |m: &Manifest| m.files.iter().map(|f| (f.path.clone(), f.sha256.clone())).collect::<Vec<_>>();
    Err(differs(if files(&new) == files(old) {
        "the files are the same, the manifests are not".to_owned()
    } else {
        format!("it has {} rows, this export has {}", old.counts.rows, new.counts.rows)
    }))
}

/// Writes the rows into files of at most `limit` bytes. There is always one file.
fn shards<R>(dir: &Path, mut rows: Merge<R>, limit: u64, stop: &AtomicBool) -> Result<Vec<File>, DatasetError> {
    let data = dir.join("data");
    place::make_dir(&data)?;
    let mut done = vec![];
    let mut shard = Shard::create(data.join("shard-0"))?;
    while let Some(row) = rows.next()? {
        if stop.load(Ordering::Relaxed) {
            return Err(DatasetError::Stopped);
        }
        let bytes = row.line().len() as u64 + 1;
        if shard.rows > 0 && shard.bytes + bytes > limit {
            done.push(shard.finish()?);
            shard = Shard::create(data.join(format!("shard-{}", done.len())))?;
        }
        shard.write(row.line())?;
    }
    done.push(shard.finish()?);
    let of = done.len();
    let mut files = vec![];
    for (i, (path, mut file)) in done.into_iter().enumerate() {
        let name = format!("train-{i:05}-of-{of:05}.jsonl");
        std::fs::rename(&path, data.join(&name)).map_err(on("rename", &path))?;
        file.path = format!("data/{name}");
        files.push(file);
    }
    sync_dir(&data)?;
    Ok(files)
}

struct Shard {
    path: PathBuf,
    out: BufWriter<std::fs::File>,
    hash: Sha256,
    rows: u64,
    bytes: u64,
}

impl Shard {
    fn create(path: PathBuf) -> Result<Self, DatasetError> {
        let out = BufWriter::with_capacity(1 << 18, create(&path)?);
        Ok(Self { path, out, hash: Sha256::new(), rows: 0, bytes: 0 })
    }

    fn write(&mut self, line: &[u8]) -> Result<(), DatasetError> {
        for part in [line, b"\n"] {
            self.out.write_all(part).map_err(on("write", &self.path))?;
            self.hash.update(part);
        }
        self.rows += 1;
        self.bytes += line.len() as u64 + 1;
        Ok(())
    }

    fn finish(self) -> Result<(PathBuf, File), DatasetError> {
        let Self { path, out, hash, rows, bytes } = self;
        let file = out.into_inner().map_err(|e| on("write", &path)(e.into_error()))?;
        file.sync_all().map_err(on("sync", &path))?;
        Ok((path, File { path: String::new(), bytes, rows, sha256: hex(&hash.finalize()) }))
    }
}

/// Writes a file that is no data, durably.
fn whole(dir: &Path, name: &str, bytes: &[u8]) -> Result<File, DatasetError> {
    let path = dir.join(name);
    let mut file = create(&path)?;
    file.write_all(bytes).map_err(on("write", &path))?;
    file.sync_all().map_err(on("sync", &path))?;
    Ok(File { path: name.to_owned(), bytes: bytes.len() as u64, rows: 0, sha256: hex(&Sha256::digest(bytes)) })
}

fn create(path: &Path) -> Result<std::fs::File, DatasetError> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(on("create", path))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
