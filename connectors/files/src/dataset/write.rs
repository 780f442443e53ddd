//! Writing: rows in order into files by split and shard, hash, describe, sync, rename.

use super::formats::{Format, Rows};
use super::lineage::Lineage;
use super::manifest::{Counts, Cut, FORMAT, File, Maker, Manifest, Split, Stage, VERSION};
use super::place::{Root, Temporary, make_dir, sync_dir};
use super::sort::{self, Sorting};
use super::{Column, Dataset, DatasetError, Row, card, on, place};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::marker::PhantomData;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Sizes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes held by each large sorter. Changes nothing in what is written.
    pub memory: usize,
    /// Bytes of rows in a data file, but always at least one row.
    pub shard: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory: 32 << 20, shard: 256 << 20 }
    }
}

/// How rows are laid down.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Format of the files.
    pub format: &'static dyn Format,
    /// Columns of a row.
    pub columns: &'static [Column],
    /// Whether every row has every column.
    pub declared: bool,
    /// Splits that rows may be in, the first for all that say nothing.
    pub splits: Vec<&'static str>,
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
    /// What became of the evidence; rows are counted here.
    pub counts: Counts,
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
    /// It was there already; nothing was written.
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
    layout: Layout,
    limits: Limits,
    writers: BTreeMap<&'static str, SplitWriter>,
    lineage: Lineage,
    row: PhantomData<fn(R)>,
}

impl<R: Row> Builder<R> {
    /// Begins the dataset `name` in the directory `out`.
    pub fn create(out: &Path, name: &str, layout: Layout, limits: Limits, force: bool) -> Result<Self, DatasetError> {
        let root = Root::open(out, force)?;
        let temporary = root.temporary(name)?;
        make_dir(&temporary.path().join("data"))?;
        let lineage = Lineage::create(temporary.path())?;
        Ok(Self {
            root,
            name: name.to_owned(),
            temporary,
            layout,
            limits,
            writers: BTreeMap::new(),
            lineage,
            row: PhantomData,
        })
    }

    /// Gives it another name than it was begun with: what it is called may depend on what turns out to be in it.
    pub fn rename(&mut self, name: &str) {
        name.clone_into(&mut self.name);
    }

    /// A place beside the data for whoever must sort before there are rows; it is removed with the last row.
    pub fn sorting(&self) -> Sorting {
        Sorting::new(self.temporary.path().join("sorting"), self.limits.memory)
    }

    /// Takes the next row.
    pub fn row(&mut self, row: &R) -> Result<(), DatasetError> {
        let split = row.split();
        let writer = match self.writers.entry(split) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(SplitWriter::new(split, self.temporary.path(), &self.layout))
            }
        };
        let number = writer.row(row.line(), &self.layout, self.limits.shard)?;
        self.lineage.row(split, number, row.origins())
    }

    /// Writes everything, durably, and gives it its name. A dataset of that name that is there already must be the same.
    pub fn finish(mut self, about: About) -> Result<Written, DatasetError> {
        let dir = self.temporary.path().to_path_buf();
        sort::remove(&dir.join("sorting"))?;
        if self.writers.is_empty() {
            // A dataset without rows is one too: it has an empty file.
            let first = self.layout.splits.first().copied().unwrap_or("train");
            let mut writer = SplitWriter::new(first, &dir, &self.layout);
            writer.begin(&self.layout)?;
            self.writers.insert(first, writer);
        }
        let mut splits: Vec<Split> = vec![];
        let mut files = vec![];
        for name in &self.layout.splits {
            let split = match self.writers.remove(name) {
                Some(writer) => {
                    let (split, written) = writer.finish(&dir, self.layout.format)?;
                    files.extend(written);
                    split
                }
                None => Split { name: (*name).to_owned(), ..Split::default() },
            };
            splits.push(split);
        }
        sync_dir(&dir.join("data"))?;
        files.push(self.lineage.finish()?);
        let mut manifest = Manifest {
            format: FORMAT.to_owned(),
            format_version: VERSION,
            kind: about.kind,
            shape: about.shape,
            file_format: self.layout.format.name().to_owned(),
            filters: about.filters,
            exporter: about.exporter,
            stages: about.stages,
            counts: Counts { rows: splits.iter().map(|split| split.rows).sum(), ..about.counts },
            splits,
            files,
            cut: about.cut,
            irreproducible: about.irreproducible,
            erased: None,
        };
        let card = card::card(&manifest, &self.layout);
        manifest.files.push(whole(&dir, "README.md", card.as_bytes())?);
        let bytes = manifest.to_bytes();
        let manifest_sha256 = whole(&dir, "manifest.json", &bytes)?.sha256;
        sync_dir(&dir)?;
        let fixed = self.layout.format.fixed_bytes();
        let (path, already_there) =
            self.root.publish(self.temporary, &self.name, |there| same(there, &manifest, fixed))?;
        if already_there {
            let there = Dataset::open(&path)?;
            let manifest_sha256 = hex(&Sha256::digest(there.manifest().to_bytes()));
            return Ok(Written { path, manifest: there.manifest().clone(), manifest_sha256, already_there });
        }
        Ok(Written { path, manifest, manifest_sha256, already_there })
    }
}

/// Whether the dataset that is there is whole and is this one.
fn same(there: &Path, new: &Manifest, fixed: bool) -> Result<(), DatasetError> {
    let differs = |what: String| DatasetError::Differs { path: there.to_path_buf(), what };
    let dataset = Dataset::open(there).map_err(|e| differs(e.to_string()))?;
    dataset.verify().map_err(|e| differs(e.to_string()))?;
    let old = dataset.manifest();
    // Where bytes are not fixed, the contents of splits tell whether they hold the same.
    let comparable = |manifest: &Manifest| {
        let mut manifest = manifest.clone();
        if !fixed {
            manifest.files.retain(|file| !file.path.starts_with("data/"));
        }
        manifest.to_bytes()
    };
    if comparable(new) == comparable(old) {
        return Ok(());
    }
    let files = |m: &Manifest| m.files.iter().map(|f| (f.path.clone(), f.sha256.clone())).collect::<Vec<_>>();
    Err(differs(if files(new) == files(old) {
        "the files are the same, the manifests are not".to_owned()
    } else {
        format!("it has {} rows, this export has {}", old.counts.rows, new.counts.rows)
    }))
}

/// Writes the rows of one split into files of at most the limit.
struct SplitWriter {
    name: &'static str,
    data: PathBuf,
    shard: Option<Shard>,
    done: Vec<(PathBuf, u64, Option<String>)>,
    rows: u64,
    content: Option<blake3::Hasher>,
}

struct Shard {
    path: PathBuf,
    out: Box<dyn Rows>,
    rows: u64,
    bytes: u64,
}

impl SplitWriter {
    fn new(name: &'static str, dir: &Path, layout: &Layout) -> Self {
        let content = (!layout.format.fixed_bytes()).then(blake3::Hasher::new);
        Self { name, data: dir.join("data"), shard: None, done: vec![], rows: 0, content }
    }

    fn begin(&mut self, layout: &Layout) -> Result<&mut Shard, DatasetError> {
        let path = self.data.join(format!("{}.shard-{}", self.name, self.done.len()));
        let out = layout.format.create(&path, layout.columns)?;
        Ok(self.shard.insert(Shard { path, out, rows: 0, bytes: 0 }))
    }

    /// Takes a row, and gives its number in the split, from 1.
    fn row(&mut self, line: &[u8], layout: &Layout, limit: u64) -> Result<u64, DatasetError> {
        let bytes = line.len() as u64 + 1;
        let full = |shard: &Shard| layout.format.sharded() && shard.rows > 0 && shard.bytes + bytes > limit;
        if let Some(shard) = self.shard.take_if(|shard| full(shard)) {
            self.close(shard)?;
        }
        let shard = match &mut self.shard {
            Some(shard) => shard,
            None => self.begin(layout)?,
        };
        shard.out.row(line)?;
        shard.rows += 1;
        shard.bytes += bytes;
        if let Some(content) = &mut self.content {
            content.update(line).update(b"\n");
        }
        self.rows += 1;
        Ok(self.rows)
    }

    fn close(&mut self, shard: Shard) -> Result<(), DatasetError> {
        let sha256 = shard.out.finish()?;
        self.done.push((shard.path, shard.rows, sha256));
        Ok(())
    }

    /// Gives the files their names, which tell how many there are.
    fn finish(mut self, dir: &Path, format: &dyn Format) -> Result<(Split, Vec<File>), DatasetError> {
        if let Some(shard) = self.shard.take() {
            self.close(shard)?;
        }
        let of = self.done.len();
        let mut files = vec![];
        for (i, (path, rows, sha256)) in self.done.into_iter().enumerate() {
            let name = match format.sharded() {
                true => format!("{}-{i:05}-of-{of:05}.{}", self.name, format.extension()),
                false => format!("{}.{}", self.name, format.extension()),
            };
            let named = self.data.join(&name);
            std::fs::rename(&path, &named).map_err(on("rename", &path))?;
            for path in place::files(&named)? {
                let relative = path.strip_prefix(dir).unwrap_or(&path).to_string_lossy().into_owned();
                let (bytes, digest) = match &sha256 {
                    Some(sha256) => (std::fs::metadata(&path).map_err(on("look at", &path))?.len(), sha256.clone()),
                    None => digest(&path)?,
                };
                files.push(File { path: relative, bytes, rows, sha256: digest });
            }
        }
        if !format.sharded() {
            // The rows are in the directory as a whole; the first file stands for it.
            files.iter_mut().skip(1).for_each(|file| file.rows = 0);
        }
        let content = self.content.map(|content| content.finalize().to_hex().to_string());
        Ok((Split { name: self.name.to_owned(), rows: self.rows, content_blake3: content }, files))
    }
}

/// Bytes and SHA-256 of a file.
pub(super) fn digest(path: &Path) -> Result<(u64, String), DatasetError> {
    let file = std::fs::File::open(path).map_err(on("open", path))?;
    let mut reader = BufReader::with_capacity(1 << 18, file);
    let (mut hash, mut bytes) = (Sha256::new(), 0);
    loop {
        let chunk = reader.fill_buf().map_err(on("read", path))?;
        if chunk.is_empty() {
            return Ok((bytes, hex(&hash.finalize())));
        }
        hash.update(chunk);
        let read = chunk.len();
        bytes += read as u64;
        reader.consume(read);
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

/// Makes a file that only its owner may read. It must not be there.
pub(super) fn create(path: &Path) -> Result<std::fs::File, DatasetError> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(on("create", path))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
