//! A store: one Lance dataset with the rows of one shelf, and how far its caller has read.

use crate::commit::Synced;
use crate::engine::{Engine, run};
use crate::fault::StoreError;
use crate::rows::{self, AT, LABELS, ROW, Row, VECTOR};
use crate::select::Selection;
use arc_swap::ArcSwap;
use arrow_array::{RecordBatch, RecordBatchIterator};
use arrow_schema::ArrowError;
use futures::TryStreamExt;
use lance::Dataset;
use lance::dataset::builder::DatasetBuilder;
use lance::dataset::transaction::{Operation, TransactionBuilder, UpdateMode};
use lance::dataset::{CommitBuilder, DeleteBuilder, InsertBuilder, WriteMode, WriteParams};
use lance::deps::datafusion::prelude::{Expr, col, lit};
use lance::index::DatasetIndexExt;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The index over vectors.
pub(crate) const INDEX: &str = "nearest";
/// Of what a commit carries.
const PROGRESS: &str = "stillhouse.progress";
const LAST: &str = "stillhouse.last";
const TRAINED: &str = "stillhouse.trained";
/// Versions that are looked at for what they carry: Lance puts few of its own between ours.
const LOOK_BACK: u64 = 64;
/// Selections that are kept, for filters that are asked again.
pub(crate) const SELECTIONS: usize = 8;

/// How a store is searched and kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Floats of a vector.
    pub dims: usize,
    /// Rows above which there is an index of partitions.
    pub index_above: u64,
    /// Rows above which it holds shortened vectors (product quantization), and the nearest are compared again whole.
    pub quantize_above: u64,
    /// Rows that a filter admits which are compared one by one all the same.
    pub exact_below: u64,
    /// Small files, above which they are written together.
    pub most_files: usize,
    /// How long a version is kept after a newer one came: for searches that are under way, in other processes too.
    pub keep: Duration,
}

impl Settings {
    /// What is used where nobody says otherwise.
    pub fn new(dims: usize) -> Self {
        Self {
            dims,
            index_above: 20_000,
            quantize_above: 200_000,
            exact_below: 10_000,
            most_files: 32,
            keep: Duration::from_secs(120),
        }
    }
}

/// How a store is made up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Rows.
    pub rows: u64,
    /// Rows that the index covers.
    pub indexed: u64,
    /// Version of the dataset.
    pub version: u64,
    /// Versions that are kept.
    pub versions: u64,
    /// Files of rows.
    pub files: usize,
}

/// What a commit carries beside its rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub progress: String,
    /// The largest row number that ever came.
    pub last: i64,
    /// Rows that the partitions of the index were found among.
    pub trained: u64,
}

impl Stamp {
    pub fn properties(&self) -> HashMap<String, String> {
        HashMap::from([
            (PROGRESS.to_owned(), self.progress.clone()),
            (LAST.to_owned(), self.last.to_string()),
            (TRAINED.to_owned(), self.trained.to_string()),
        ])
    }

    fn of(properties: &HashMap<String, String>) -> Option<Self> {
        Some(Self {
            progress: properties.get(PROGRESS)?.clone(),
            last: properties.get(LAST)?.parse().ok()?,
            trained: properties.get(TRAINED)?.parse().ok()?,
        })
    }
}

/// One version, as searches see it.
#[derive(Debug)]
pub(crate) struct State {
    pub dataset: Arc<Dataset>,
    pub stamp: Stamp,
    pub rows: u64,
    /// Rows in files that the index covers, gone ones among them; none: there is no index.
    pub indexed: Option<u64>,
    pub uncovered: u64,
    /// Pieces of the index.
    pub pieces: usize,
}

/// See the module.
#[derive(Debug)]
pub struct Store {
    pub(crate) uri: String,
    pub(crate) settings: Settings,
    pub(crate) now: ArcSwap<State>,
    pub(crate) selections: Mutex<Vec<Arc<Selection>>>,
    /// Held by whoever commits. When old versions are next looked at; none: when something changed.
    writing: Mutex<Option<Instant>>,
    root: Option<PathBuf>,
}

/// A path, or what stands for it.
fn place(uri: &str) -> Result<(String, Option<PathBuf>), StoreError> {
    let path = match uri.split_once(':') {
        Some(("memory", _)) => return Ok((uri.to_owned(), None)),
        Some(("file", path)) => path.strip_prefix("//").unwrap_or(path),
        Some((scheme, rest)) if rest.starts_with("//") => {
            return Err(StoreError::Scheme { uri: uri.to_owned(), scheme: scheme.to_owned() });
        }
        _ => uri,
    };
    let path = std::path::absolute(path).map_err(|e| StoreError::failed(uri, e.to_string()))?;
    let name = path.to_str().ok_or_else(|| StoreError::failed(uri, "a path that is not UTF-8"))?;
    Ok((name.to_owned(), Some(path)))
}

/// What a folder is, before Lance looks at it.
fn look(uri: &str, root: &Path) -> Result<(), StoreError> {
    let missing = || StoreError::Missing { uri: uri.to_owned() };
    if root.is_file() {
        return Err(StoreError::unusable(uri, "this is a file, not a folder of vectors"));
    }
    let Ok(entries) = std::fs::read_dir(root) else { return Err(missing()) };
    let (mut versions, mut other) = (false, false);
    for entry in entries.flatten() {
        let name = entry.file_name();
        if name == "_versions" {
            let files = std::fs::read_dir(entry.path()).into_iter().flatten().flatten();
            versions = files.into_iter().any(|file| file.path().extension().is_some_and(|e| e == "manifest"));
        } else if !["data", "_deletions", "_indices", "_transactions"].iter().any(|known| name == *known) {
            other = true;
        }
    }
    match (versions, other) {
        (true, _) => Ok(()),
        // A creation that was cut short.
        (false, false) => Err(missing()),
        (false, true) => Err(StoreError::unusable(uri, "this is something else than a folder of vectors")),
    }
}

impl Store {
    /// Opens a store. `about` is what was said at its creation: another store is refused.
    pub fn open(
        engine: &Engine,
        uri: &str,
        about: &BTreeMap<String, String>,
        settings: Settings,
    ) -> Result<Self, StoreError> {
        let (uri, root) = place(uri)?;
        if let Some(root) = &root {
            look(&uri, root)?;
        }
        let (from, session, handler) = (uri.clone(), engine.session.clone(), root.as_deref().map(Synced::new));
        let expected = rows::schema(settings.dims, about);
        let local = root.is_some();
        let opened = run(&uri, async move {
            let fault = |e: lance::Error| StoreError::of(&from, &e).at_opening();
            let mut builder = DatasetBuilder::from_uri(&from).with_session(session);
            if let Some(handler) = handler {
                builder = builder.with_commit_handler(Arc::new(handler));
            }
            let dataset = match Box::pin(builder.load()).await.map_err(fault) {
                // Its manifests were seen.
                Err(StoreError::Missing { uri }) if local => {
                    return Err(StoreError::unusable(&uri, "no version of it can be read"));
                }
                dataset => dataset?,
            };
            let found = arrow_schema::Schema::from(dataset.schema());
            let columns = |schema: &arrow_schema::Schema| -> Vec<(String, arrow_schema::DataType)> {
                schema.fields().iter().map(|f| (f.name().clone(), f.data_type().clone())).collect()
            };
            if columns(&found) != columns(&expected) {
                return Err(StoreError::unusable(&from, "its columns are not those of vectors of this length"));
            }
            if found.metadata != expected.metadata {
                return Err(StoreError::unusable(&from, "it holds the vectors of something else"));
            }
            state(&from, Arc::new(dataset)).await.map_err(StoreError::at_opening)
        })?;
        if let Some(root) = &root {
            whole(&uri, root, &opened.dataset)?;
        }
        Ok(Self {
            uri,
            settings,
            now: ArcSwap::from_pointee(opened),
            selections: Mutex::default(),
            writing: Mutex::new(Some(Instant::now())),
            root,
        })
    }

    /// Makes a store without rows.
    pub fn create(
        engine: &Engine,
        uri: &str,
        about: &BTreeMap<String, String>,
        settings: Settings,
    ) -> Result<Self, StoreError> {
        let (uri, root) = place(uri)?;
        if let Some(root) = &root {
            let failed = |e: std::io::Error| StoreError::failed(&uri, e.to_string());
            std::fs::create_dir_all(root).map_err(failed)?;
        }
        let (at, session, handler) = (uri.clone(), engine.session.clone(), root.as_deref().map(Synced::new));
        let schema = rows::schema(settings.dims, about);
        let stamp = Stamp::default();
        let made = run(&uri, async move {
            let fault = |e: lance::Error| StoreError::of(&at, &e);
            let none = RecordBatchIterator::new(std::iter::empty::<Result<RecordBatch, ArrowError>>(), schema);
            let mut params = WriteParams {
                mode: WriteMode::Create,
                session: Some(session),
                skip_auto_cleanup: true,
                ..WriteParams::default()
            };
            if let Some(handler) = handler {
                params.commit_handler = Some(Arc::new(handler));
            }
            let params = params.with_transaction_properties(stamp.properties());
            let dataset = Box::pin(Dataset::write(none, at.as_str(), Some(params))).await.map_err(fault)?;
            state(&at, Arc::new(dataset)).await
        })?;
        Ok(Self {
            uri,
            settings,
            now: ArcSwap::from_pointee(made),
            selections: Mutex::default(),
            writing: Mutex::new(Some(Instant::now())),
            root,
        })
    }

    /// What it was opened with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Where it is.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// What the last commit said; empty: nothing yet.
    pub fn progress(&self) -> String {
        self.now.load().stamp.progress.clone()
    }

    /// Rows.
    pub fn len(&self) -> u64 {
        self.now.load().rows
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes on disk; 0 for one in memory.
    pub fn bytes(&self) -> u64 {
        self.root.as_deref().map_or(0, size)
    }

    /// How it is made up.
    pub fn shape(&self) -> Result<Shape, StoreError> {
        let now = self.now.load_full();
        let (uri, dataset) = (self.uri.clone(), now.dataset.clone());
        let versions =
            run(&self.uri, async move { dataset.count_versions().await.map_err(|e| StoreError::of(&uri, &e)) })?;
        Ok(Shape {
            rows: now.rows,
            indexed: now.indexed.unwrap_or(0),
            version: now.dataset.version_id(),
            versions,
            files: now.dataset.count_fragments(),
        })
    }

    pub(crate) fn writing(&self) -> MutexGuard<'_, Option<Instant>> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sees what another process committed. Whether there was anything.
    pub fn refresh(&self) -> Result<bool, StoreError> {
        let now = self.now.load_full();
        let uri = self.uri.clone();
        let later = run(&self.uri, async move {
            let fault = |e: lance::Error| StoreError::of(&uri, &e);
            let (latest, known) = (now.dataset.latest_version_id().await.map_err(fault)?, now.dataset.version_id());
            if latest == known {
                return Ok(None);
            }
            if latest < known {
                // Caches know the old one by the same names.
                return Err(StoreError::unusable(&uri, "it was made anew meanwhile: open it again"));
            }
            let mut dataset = Dataset::clone(&now.dataset);
            dataset.checkout_latest().await.map_err(fault)?;
            state(&uri, Arc::new(dataset)).await.map(Some)
        })?;
        let any = later.is_some();
        if let Some(state) = later {
            self.now.store(Arc::new(state));
        }
        Ok(any)
    }

    /// Takes in rows that came (each in place of the one with its number), takes out those that went (what did both went),
    /// and keeps what the caller says of its progress: one commit, durable when this returns. After an error nothing of it,
    /// or all of it, is there: [`Store::progress`] says which after [`Store::refresh`].
    pub fn apply(&self, came: &[Row], went: &[i64], progress: &str) -> Result<(), StoreError> {
        let mut due = self.writing();
        let now = self.now.load_full();
        let gone: BTreeSet<i64> = went.iter().copied().collect();
        let mut last_of: BTreeMap<i64, &Row> = came.iter().map(|row| (row.row, row)).collect();
        last_of.retain(|row, _| !gone.contains(row));
        let batch = match last_of.is_empty() {
            true => None,
            false => {
                let schema = arrow_schema::Schema::from(now.dataset.schema());
                Some(rows::batch(last_of.values().copied(), self.settings.dims, Arc::new(schema))?)
            }
        };
        // Numbers are not used again, so what is beyond the last one cannot be there.
        let known = |row: &i64| *row <= now.stamp.last;
        let replaced: Vec<i64> = last_of.keys().chain(went).copied().filter(known).collect();
        let stamp = Stamp {
            progress: progress.to_owned(),
            last: last_of.last_key_value().map_or(now.stamp.last, |(row, _)| now.stamp.last.max(*row)),
            trained: now.stamp.trained,
        };
        let uri = self.uri.clone();
        let applied = run(&self.uri, async move { apply(&uri, &now.dataset, batch, &replaced, &stamp).await })?;
        self.now.store(Arc::new(applied));
        due.get_or_insert_with(|| Instant::now() + self.settings.keep);
        Ok(())
    }

    /// Every row, some at a time, in no order.
    pub fn each(&self, mut of: impl FnMut(Row)) -> Result<u64, StoreError> {
        let now = self.now.load_full();
        let (sender, receiver) = std::sync::mpsc::sync_channel::<Vec<Row>>(1);
        let uri = self.uri.clone();
        std::thread::scope(|scope| {
            let reading = scope.spawn(|| {
                run(&self.uri, async move {
                    let fault = |e: lance::Error| StoreError::of(&uri, &e);
                    let mut scanner = now.dataset.scan();
                    scanner.batch_size(2_048).batch_readahead(2);
                    let mut batches = scanner.try_into_stream().await.map_err(fault)?;
                    while let Some(batch) = batches.try_next().await.map_err(fault)? {
                        let rows = rows::rows(&batch)
                            .ok_or_else(|| StoreError::unusable(&uri, "its columns are not those of vectors"))?;
                        if tokio::task::block_in_place(|| sender.send(rows)).is_err() {
                            break;
                        }
                    }
                    Ok(())
                })
            });
            let mut count = 0;
            for rows in receiver {
                count += rows.len() as u64;
                rows.into_iter().for_each(&mut of);
            }
            let ended = reading.join().unwrap_or_else(|_| Err(StoreError::failed(&self.uri, "reading panicked")));
            ended.map(|()| count)
        })
    }
}

/// The rows with these numbers.
fn with_numbers(rows: &[i64]) -> Expr {
    col(ROW).in_list(rows.iter().map(|row| lit(*row)).collect(), false)
}

async fn apply(
    uri: &str,
    dataset: &Arc<Dataset>,
    batch: Option<RecordBatch>,
    replaced: &[i64],
    stamp: &Stamp,
) -> Result<State, StoreError> {
    let fault = |e: lance::Error| StoreError::of(uri, &e);
    let (mut updated_fragments, mut removed_fragment_ids, mut affected) = (Vec::new(), Vec::new(), None);
    if !replaced.is_empty() {
        let staged = DeleteBuilder::from_expr(dataset.clone(), with_numbers(replaced));
        let staged = Box::pin(staged.execute_uncommitted()).await.map_err(fault)?;
        if let Operation::Delete { updated_fragments: updated, deleted_fragment_ids: removed, .. } =
            staged.transaction.operation
        {
            (updated_fragments, removed_fragment_ids) = (updated, removed);
        }
        affected = staged.affected_rows;
    }
    let mut new_fragments = Vec::new();
    if let Some(batch) = batch {
        let params = WriteParams { mode: WriteMode::Append, skip_auto_cleanup: true, ..WriteParams::default() };
        let insert = InsertBuilder::new(dataset.clone()).with_params(&params);
        let staged = Box::pin(insert.execute_uncommitted(vec![batch])).await.map_err(fault)?;
        if let Operation::Append { fragments } = staged.operation {
            new_fragments = fragments;
        }
    }
    // Somebody else's commit would be merged with this one, and rows of both be there twice.
    if dataset.latest_version_id().await.map_err(fault)? != dataset.version_id() {
        return Err(StoreError::Busy { uri: uri.to_owned() });
    }
    let operation = Operation::Update {
        removed_fragment_ids,
        updated_fragments,
        new_fragments,
        fields_modified: Vec::new(),
        compacted_sstables: Vec::new(),
        fields_for_preserving_frag_bitmap: Vec::new(),
        update_mode: Some(UpdateMode::RewriteRows),
        inserted_rows_filter: None,
        updated_fragment_offsets: None,
    };
    let transaction = TransactionBuilder::new(dataset.version_id(), operation)
        .transaction_properties(Some(Arc::new(stamp.properties())))
        .build();
    let mut commit = CommitBuilder::new(dataset.clone()).with_skip_auto_cleanup(true);
    if let Some(affected) = affected {
        commit = commit.with_affected_rows(affected);
    }
    let dataset = Box::pin(commit.execute(transaction)).await.map_err(fault)?;
    state(uri, Arc::new(dataset)).await
}

/// What a version carries, or the last one before it that carries anything.
async fn stamp(uri: &str, dataset: &Dataset) -> Result<Stamp, StoreError> {
    let newest = dataset.version_id();
    for version in (newest.saturating_sub(LOOK_BACK).max(1)..=newest).rev() {
        let Ok(found) = dataset.read_version_transaction(version).await else { break };
        let properties = found.transaction.and_then(|transaction| transaction.transaction_properties);
        if let Some(stamp) = properties.as_deref().and_then(Stamp::of) {
            return Ok(stamp);
        }
    }
    Err(StoreError::unusable(uri, "it does not say how far it was written"))
}

pub(crate) async fn state(uri: &str, dataset: Arc<Dataset>) -> Result<State, StoreError> {
    let fault = |e: lance::Error| StoreError::of(uri, &e);
    let stamp = stamp(uri, &dataset).await?;
    let rows = dataset.count_rows(None).await.map_err(fault)? as u64;
    let pieces = dataset.load_indices_by_name(INDEX).await.map_err(fault)?;
    let (mut indexed, mut uncovered) = (0, 0);
    for fragment in dataset.fragments().iter() {
        let id = u32::try_from(fragment.id).unwrap_or(u32::MAX);
        let rows = fragment.num_rows().unwrap_or(0) as u64;
        if pieces.iter().any(|piece| piece.fragment_bitmap.as_ref().is_some_and(|covered| covered.contains(id))) {
            indexed += rows;
        } else {
            uncovered += rows;
        }
    }
    let indexed = (!pieces.is_empty()).then_some(indexed);
    Ok(State { dataset, stamp, rows, indexed, uncovered, pieces: pieces.len() })
}

/// Whether the files that a version names are there, each as long as it should be.
fn whole(uri: &str, root: &Path, dataset: &Dataset) -> Result<(), StoreError> {
    for file in dataset.fragments().iter().flat_map(|fragment| &fragment.files) {
        let path = root.join("data").join(&file.path);
        let found = std::fs::metadata(&path).map(|m| m.len());
        let said = file.file_size_bytes.get().map(u64::from);
        match found {
            Ok(found) if said.is_none_or(|said| said == found) => {}
            Ok(found) => {
                let what = format!("{} is {found} bytes long, and should be {}", file.path, said.unwrap_or(0));
                return Err(StoreError::unusable(uri, what));
            }
            Err(error) => return Err(StoreError::unusable(uri, format!("{}: {error}", file.path))),
        }
    }
    Ok(())
}

fn size(path: &Path) -> u64 {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(found) if found.is_dir() => size(&entry.path()),
            Ok(found) => found.len(),
            Err(_) => 0,
        })
        .sum()
}

/// The columns that a search or a filter reads.
pub(crate) const COMPARED: [&str; 2] = [ROW, VECTOR];
/// See [`COMPARED`].
pub(crate) const FILTERED: [&str; 3] = [ROW, AT, LABELS];
