//! Datasets that were made of the journal: their files, their lines, what ties them to it.

use super::super::export::written_here;
use super::scope::Extent;
use crate::context::Context;
use crate::events::{Read as Found, Records};
use crate::failure::Outcome;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use stillhouse_files::dataset::{Dataset, Manifest};
use stillhouse_processors::auditor::gather::{DatasetScope, Rows};
use stillhouse_processors::auditor::rows::{self, Origins, RowKey, any_category};
use stillhouse_processors::auditor::{DatasetFacts, Fact, Spot, Tally};
use stillhouse_processors::exporter::asked::Asked;
use stillhouse_processors::exporter::{BoxError, EXPORTS, Short};
use stillhouse_schemas::{Exported, Payload};

/// Longest line that is read.
const LINE: u64 = 256 << 20;
/// The file that says what rows were made of, where their shape does not.
const LINEAGE: &str = "lineage.jsonl";
/// Rows compared with one another at a time.
const AT_A_TIME: u64 = 1 << 18;

/// Datasets, and the keys of their rows in a file of their own.
pub(super) struct Datasets {
    all: Vec<One>,
    spool: BufWriter<File>,
    rows: u64,
    /// Rows that say what another row of their dataset says.
    pub(super) repeated: u64,
    /// Prompts that are in two splits.
    pub(super) shared_prompts: u64,
    /// Datasets that the journal knows and that are not here.
    pub(super) elsewhere: u64,
}

struct One {
    path: PathBuf,
    manifest: Option<Manifest>,
    files: Vec<String>,
    facts: DatasetFacts,
    /// Lines of its data.
    rows: u64,
    /// Lines that say what rows were made of, where they have a file of their own.
    traced: Option<u64>,
}

impl Datasets {
    /// Those that exports of this instance wrote, those in its own folder, and those that are named.
    pub(super) fn find(context: &Context, named: &[PathBuf]) -> Outcome<Self> {
        let own = std::fs::read_dir(context.data().join("datasets")).into_iter().flatten().flatten().map(|e| e.path());
        let own = own.filter(|path| path.join("manifest.json").is_file());
        let paths = written_here(context).into_iter().chain(own).chain(named.iter().cloned());
        let paths: BTreeSet<PathBuf> = paths.map(|path| path.canonicalize().unwrap_or(path)).collect();
        let data = crate::context::make_dir(&context.data())?;
        Ok(Self {
            // Of one that was erased nothing is left to be held against anything.
            all: paths.into_iter().map(One::open).filter(|one| !one.is_erased()).collect(),
            spool: BufWriter::with_capacity(1 << 18, tempfile::tempfile_in(data)?),
            rows: 0,
            repeated: 0,
            shared_prompts: 0,
            elsewhere: 0,
        })
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Rows of all of them.
    pub(super) fn row_count(&self) -> u64 {
        self.rows
    }

    /// Reads every line, and what the journal says of each dataset.
    pub(super) async fn hold_against(&mut self, context: &Context, extent: &Extent, tally: &mut Tally) -> Outcome {
        let said = said(context).await?;
        for (number, one) in (0..).zip(&mut self.all) {
            one.lines(number, &mut self.spool, tally)?;
            self.rows += one.rows;
            one.fit(extent, said.get(&one.facts.name).map(Vec::as_slice).unwrap_or_default());
        }
        let here: HashSet<&String> = self.all.iter().map(|one| &one.facts.name).collect();
        self.elsewhere = said.keys().filter(|name| !here.contains(name)).count() as u64;
        self.compare(tally)
    }

    /// As the gathering wants them; `evidence` gives the source of a generation's evidence.
    pub(super) fn scopes(&self, evidence: impl Fn(&str) -> Option<usize>) -> Vec<DatasetScope> {
        let scope = |one: &One| {
            let manifest = one.manifest.as_ref();
            let stage = manifest.and_then(|m| m.stages.iter().find(|stage| stage.processor == "materializer"));
            let cut = manifest.map(|m| m.cut.positions.as_slice()).unwrap_or_default();
            DatasetScope {
                name: one.facts.name.clone(),
                kind: one.facts.kind.clone(),
                cut: cut.iter().map(|(topic, partition, end)| (topic.as_str().into(), *partition, *end)).collect(),
                evidence: stage.and_then(|stage| evidence(&stage.generation)),
                filtered: manifest.is_some_and(|manifest| {
                    let of_pairs = any_category(&manifest.kind)
                        && ["duplicate", "near_duplicate"].iter().any(|why| manifest.counts.dropped.contains_key(*why));
                    manifest.counts.filtered > 0 || of_pairs
                }),
                files: one.files.clone(),
                asked: manifest.and_then(|m| Asked::of(&m.kind, &m.shape, &m.exporter.settings)),
            }
        };
        self.all.iter().map(scope).collect()
    }

    /// What each is as a whole, now that the evidence in its cut is counted.
    pub(super) fn facts(&mut self, evidence: &[u64], erased: bool) -> impl Iterator<Item = &DatasetFacts> {
        for (one, counted) in self.all.iter_mut().zip(evidence) {
            one.add_up(*counted, erased);
        }
        self.all.iter().map(|one| &one.facts)
    }

    /// Rows of one dataset beside one another: tasks and prompts in several splits, rows that say the same.
    fn compare(&mut self, tally: &mut Tally) -> Outcome {
        for number in 0..self.all.len() {
            let (files, name) = (self.all[number].files.clone(), self.all[number].facts.name.clone());
            let splits: Vec<u8> = files.iter().map(|file| split(file)).collect();
            let of = self.all[number].rows.div_ceil(AT_A_TIME).max(1);
            for share in 0..of {
                let mut tasks: HashMap<Short, (u8, u32, u64)> = HashMap::new();
                let mut prompts: HashMap<Short, u8> = HashMap::new();
                let (mut contents, mut repeated, mut shared) = (HashSet::new(), 0, 0);
                let mut broken = Vec::new();
                let mut checked = 0_u64;
                let inside = |hash: &Short| {
                    *hash != Short::default() && u64::from_le_bytes(std::array::from_fn(|i| hash[i])) % of == share
                };
                let mut take = |key: &RowKey| {
                    if key.dataset as usize != number {
                        return;
                    }
                    let bit = splits.get(key.file as usize).copied().unwrap_or_default();
                    if inside(&key.task) {
                        let known = tasks.entry(key.task).or_insert((0, key.file, key.line));
                        checked += u64::from(known.0 == 0);
                        if known.0 != 0 && known.0 & bit == 0 {
                            broken.push((key.file, key.line, (known.0 | bit).count_ones()));
                        }
                        known.0 |= bit;
                    }
                    if inside(&key.prompt) {
                        let known = prompts.entry(key.prompt).or_default();
                        shared += u64::from(*known != 0 && *known & bit == 0);
                        *known |= bit;
                    }
                    if inside(&key.content) {
                        repeated += u64::from(!contents.insert(key.content));
                    }
                };
                self.each(&mut take).map_err(|e| anyhow::anyhow!("{e}"))?;
                let spot = |file: u32, line| Spot {
                    dataset: &name,
                    file: files.get(file as usize).map(String::as_str).unwrap_or_default(),
                    line,
                };
                let place = spot(0, 0);
                (0..checked).for_each(|_| tally.take(&Fact::Task { dataset: &name, place, splits: 1 }));
                for (file, line, splits) in broken {
                    let splits = splits as usize;
                    tally.take(&Fact::Task { dataset: &name, place: spot(file, line), splits });
                }
                self.repeated += repeated;
                self.shared_prompts += shared;
            }
        }
        Ok(())
    }
}

impl Rows for Datasets {
    fn each(&mut self, take: &mut dyn FnMut(&RowKey)) -> Result<(), BoxError> {
        self.spool.flush()?;
        let mut file = self.spool.get_ref();
        file.seek(SeekFrom::Start(0))?;
        let mut reader = BufReader::with_capacity(1 << 20, file);
        let mut bytes = [0; RowKey::BYTES];
        loop {
            match reader.read_exact(&mut bytes) {
                Ok(()) => take(&RowKey::from_bytes(&bytes)),
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => break,
                Err(error) => return Err(error.into()),
            }
        }
        self.spool.get_mut().seek(SeekFrom::End(0))?;
        Ok(())
    }
}

/// The split of a file: `data/train-00000-of-00001.jsonl`.
fn split_of(file: &str) -> &str {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.split(['-', '.']).next().unwrap_or(name)
}

/// The same as a bit.
fn split(file: &str) -> u8 {
    match split_of(file) {
        "validation" => 2,
        "test" => 4,
        _ => 1,
    }
}

/// Lines of `lineage.jsonl` about one split, in the order of its rows.
struct Traces {
    reader: BufReader<File>,
    /// How such a line ends.
    end: String,
    /// Rows that were asked for.
    number: u64,
}

impl Traces {
    fn of(dataset: &Path, split: &str) -> Option<Self> {
        let reader = BufReader::with_capacity(1 << 18, File::open(dataset.join(LINEAGE)).ok()?);
        Some(Self { reader, end: format!("\"split\":\"{split}\"}}\n"), number: 0 })
    }

    /// What is said of the next row of a split, with its number; nothing after the last.
    fn next_of<'a>(
        all: &mut BTreeMap<&'a str, Self>,
        dataset: &Path,
        split: &'a str,
    ) -> std::io::Result<(u64, Option<Result<Origins, String>>)> {
        if !all.contains_key(split) {
            all.extend(Self::of(dataset, split).map(|traces| (split, traces)));
        }
        match all.get_mut(split) {
            Some(traces) => Ok((traces.number + 1, traces.next()?)),
            None => Ok((0, None)),
        }
    }

    fn next(&mut self) -> std::io::Result<Option<Result<Origins, String>>> {
        self.number += 1;
        let mut bytes = Vec::new();
        while self.reader.by_ref().take(LINE).read_until(b'\n', &mut bytes)? > 0 {
            if bytes.ends_with(self.end.as_bytes()) {
                let text = std::str::from_utf8(&bytes).map_err(|error| error.to_string());
                return Ok(Some(text.and_then(|text| rows::lineage(text.trim_end_matches('\n')))));
            }
            bytes.clear();
        }
        Ok(None)
    }
}

/// What the journal says of datasets, by name. One may be said several times: exported as such, and in the place of another,
/// which its manifest names then.
async fn said(context: &Context) -> Outcome<BTreeMap<String, Vec<Exported>>> {
    let mut said: BTreeMap<String, Vec<Exported>> = BTreeMap::new();
    let mut records = Records::of(context, &[context.names.topic(EXPORTS)]).await?;
    while let Some(page) = records.events().await? {
        for (_, read) in page {
            if let Found::Event(event) = read
                && let Payload::Exported(exported) = event.payload
            {
                said.entry(exported.dataset.clone()).or_default().push(exported);
            }
        }
    }
    Ok(said)
}

impl One {
    fn open(path: PathBuf) -> Self {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let mut one = Self {
            manifest: None,
            files: Vec::new(),
            facts: DatasetFacts { name, ..DatasetFacts::default() },
            rows: 0,
            traced: None,
            path,
        };
        match Dataset::open(&one.path) {
            Ok(dataset) => {
                one.facts.damage = dataset.verify().err().map(|error| error.to_string());
                one.facts.kind.clone_from(&dataset.manifest().kind);
                one.files = dataset.manifest().files.iter().map(|file| file.path.clone()).collect();
                one.manifest = Some(dataset.manifest().clone());
                one.traced = one.files.iter().any(|file| file == LINEAGE).then_some(0);
            }
            Err(error) => one.facts.damage = Some(error.to_string()),
        }
        one
    }

    fn is_erased(&self) -> bool {
        self.manifest.as_ref().is_some_and(|manifest| manifest.erased.is_some())
    }

    /// Every line of every file of rows, damaged or not.
    fn lines(&mut self, number: u32, spool: &mut impl Write, tally: &mut Tally) -> Outcome {
        let Some(manifest) = &self.manifest else { return Ok(()) };
        let of_rows = |name: &str| name == LINEAGE || (name.starts_with("data/") && name.ends_with(".jsonl"));
        // Lines of data are traced as they are read; what a format without lines holds is known by its traces alone.
        let lines = self.files.iter().any(|name| name != LINEAGE && of_rows(name));
        let mut traced_by: BTreeMap<&str, Traces> = BTreeMap::new();
        for (file, name) in (0..).zip(&self.files).filter(|(_, name)| of_rows(name)) {
            let traces = name == LINEAGE;
            // One that is missing is named with the hashes.
            let Ok(opened) = File::open(self.path.join(name)) else { continue };
            let mut reader = BufReader::with_capacity(1 << 18, opened);
            let mut bytes = Vec::new();
            for line in 1.. {
                bytes.clear();
                if (&mut reader).take(LINE).read_until(b'\n', &mut bytes)? == 0 {
                    break;
                }
                match &mut self.traced {
                    Some(traced) if traces => *traced += 1,
                    _ => self.rows += 1,
                }
                // A line that is no text has a trace too.
                let (row, said) = match self.traced.filter(|_| !traces) {
                    Some(_) => Traces::next_of(&mut traced_by, &self.path, split_of(name))?,
                    None => (0, None),
                };
                let ended = bytes.pop_if(|last| *last == b'\n').is_some();
                let place = Spot { dataset: &self.facts.name, file: name, line };
                let any_category = any_category(&manifest.kind);
                let text = match std::str::from_utf8(&bytes) {
                    Ok(text) if ended => text,
                    _ => {
                        let canonical = Err("it is no UTF-8, or has no end");
                        tally.take(&Fact::Line { place, canonical, category: None, any_category });
                        continue;
                    }
                };
                if traces {
                    let keys = rows::lineage(text);
                    let canonical = keys.as_ref().map(|_| ()).map_err(String::as_str);
                    tally.take(&Fact::Line { place, canonical, category: None, any_category });
                    for key in keys.map(|origins| origins.from).unwrap_or_default().into_iter().filter(|_| !lines) {
                        spool.write_all(&RowKey { dataset: number, file, line, ..key }.to_bytes())?;
                    }
                    continue;
                }
                let mut read = rows::read(text, &manifest.kind, &manifest.shape, self.traced.is_some());
                if self.traced.is_some() {
                    let same = read.traced(row, said);
                    tally.take(&Fact::Traced { place, same: same.as_ref().copied().map_err(String::as_str) });
                }
                let canonical = read.canonical.as_ref().copied().map_err(String::as_str);
                tally.take(&Fact::Line { place, canonical, category: read.category.as_deref(), any_category });
                if let Some(pair) = &read.pair {
                    tally.take(&Fact::Pair { place, pair });
                }
                for key in read.keys {
                    spool.write_all(&RowKey { dataset: number, file, line, ..key }.to_bytes())?;
                }
            }
        }
        Ok(())
    }

    /// Its cut and its event.
    fn fit(&mut self, extent: &Extent, said: &[Exported]) {
        let Some(manifest) = &self.manifest else { return };
        let misfit = &mut self.facts.misfit;
        for (topic, partition, end) in &manifest.cut.positions {
            match extent.end(topic, *partition) {
                Some(now) if *end <= now => {}
                Some(now) => misfit.push(format!("its cut says {topic}/{partition} to {end}, which ends at {now}")),
                None => misfit.push(format!("its cut names {topic}/{partition}, which is not there")),
            }
        }
        let Some(last) = said.last() else {
            misfit.push("no event says that it was written".to_owned());
            return;
        };
        let sha256 = sha256_of(&self.path.join("manifest.json"));
        let said = said.iter().find(|said| sha256.as_ref() == Some(&said.manifest_sha256));
        if said.is_none() {
            misfit.push("its manifest is not the one whose SHA-256 the journal has".to_owned());
        }
        let said = said.unwrap_or(last);
        if u64::try_from(said.rows) != Ok(manifest.counts.rows) {
            misfit.push(format!("the journal says {} rows, its manifest {}", said.rows, manifest.counts.rows));
        }
    }

    fn add_up(&mut self, evidence: u64, erased: bool) {
        let Some(manifest) = &self.manifest else { return };
        let (counts, sums) = (&manifest.counts, &mut self.facts.sums);
        let withheld: u64 = counts.withheld.values().sum();
        // The first layout did not say how many are used: a row was a run.
        let used = if manifest.format_version < 2 { counts.rows } else { counts.used };
        if counts.evidence != used + withheld {
            sums.push(format!("{} evidence are not {used} in rows and {withheld} left out", counts.evidence));
        }
        let data = || manifest.files.iter().filter(|file| file.path.starts_with("data/"));
        let listed: u64 = data().map(|file| file.rows).sum();
        if listed != counts.rows {
            sums.push(format!("its files list {listed} rows, its manifest counts {}", counts.rows));
        }
        let lines = data().any(|file| file.path.ends_with(".jsonl"));
        for lines in [lines.then_some(self.rows), self.traced].into_iter().flatten().filter(|n| *n != counts.rows) {
            sums.push(format!("a file of it has {lines} lines, its manifest counts {} rows", counts.rows));
        }
        if !erased && evidence != counts.evidence + counts.filtered {
            sums.push(format!(
                "the journal has {evidence} evidence in its cut, its manifest counts {} and {} not asked for",
                counts.evidence, counts.filtered
            ));
        }
    }
}

fn sha256_of(path: &Path) -> Option<String> {
    let bytes = std::fs::read(path).ok()?;
    Some(super::event::hex(&Sha256::digest(&bytes)))
}
