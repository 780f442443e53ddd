//! What keeps a store small and quick: few files instead of many, an index, no more old versions than are needed.

use crate::engine::run;
use crate::fault::StoreError;
use crate::nearest::partitions;
use crate::rows::VECTOR;
use crate::store::{INDEX, Settings, Stamp, State, Store, state};
use lance::Dataset;
use lance::dataset::optimize::{CompactionOptions, compact_files};
use lance::index::DatasetIndexExt;
use lance::index::vector::VectorIndexParams;
use lance_index::IndexType;
use lance_index::optimize::OptimizeOptions;
use lance_index::vector::ivf::IvfBuildParams;
use lance_index::vector::pq::PQBuildParams;
use lance_linalg::distance::DistanceType;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Rows of a file, about: what is larger is not written again to make it larger still.
const FILE_ROWS: usize = 65_536;
/// Vectors that partitions are found among, for each partition.
const SAMPLED: usize = 64;
/// The index is made anew when there are so many times the rows that it was made of.
const GROWN: u64 = 4;
/// One of so many rows may be outside of the index before they are taken in.
const OUTSIDE: u64 = 8;
/// Pieces of the index, above which they become one.
const PIECES: usize = 4;
/// Floats that one byte stands for.
const SHORTENED: usize = 4;

/// What a call did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Upkeep {
    /// Files that became fewer.
    pub files: usize,
    /// Rows that the index was made of, or that it took in.
    pub indexed: u64,
    /// Versions that were removed.
    pub versions: u64,
}

impl Upkeep {
    /// Whether there was nothing to do.
    pub fn is_idle(&self) -> bool {
        *self == Self::default()
    }
}

impl Store {
    /// Does what is due. Searches go on; what is applied meanwhile waits.
    pub fn maintain(&self) -> Result<Upkeep, StoreError> {
        let mut due = self.writing();
        let now = self.now.load_full();
        let (uri, settings) = (self.uri.clone(), self.settings.clone());
        let clean_up = due.is_some_and(|due| due <= Instant::now());
        let (done, left, later) = run(&self.uri, async move {
            let mut work = Work::new(uri, settings, now);
            work.compact(0.1).await?;
            work.index().await?;
            let mut left = !work.done.is_idle();
            if clean_up {
                let keep = work.settings.keep;
                left |= work.clean_up(keep, false).await? > 1;
            }
            Ok((work.done, left, work.state))
        })?;
        self.now.store(later);
        if clean_up {
            // A look at versions costs as many reads as there are, so not every time.
            *due = None;
        }
        if left {
            due.get_or_insert_with(|| Instant::now() + self.settings.keep);
        }
        Ok(done)
    }

    /// Leaves nothing on disk of rows that went: for what had to be erased.
    pub fn scrub(&self) -> Result<Upkeep, StoreError> {
        let _one = self.writing();
        let now = self.now.load_full();
        let (uri, settings) = (self.uri.clone(), self.settings.clone());
        let (done, later) = run(&self.uri, async move {
            let mut work = Work::new(uri, settings, now);
            work.compact(0.0).await?;
            work.clean_up(Duration::ZERO, true).await?;
            Ok((work.done, work.state))
        })?;
        self.now.store(later);
        Ok(done)
    }
}

struct Work {
    uri: String,
    settings: Settings,
    state: Arc<State>,
    done: Upkeep,
}

impl Work {
    fn new(uri: String, settings: Settings, state: Arc<State>) -> Self {
        Self { uri, settings, state, done: Upkeep::default() }
    }

    fn fault(&self) -> impl Fn(lance::Error) -> StoreError + use<> {
        let uri = self.uri.clone();
        move |error| StoreError::of(&uri, &error)
    }

    async fn see(&mut self, dataset: Dataset) -> Result<(), StoreError> {
        self.state = Arc::new(state(&self.uri, Arc::new(dataset)).await?);
        Ok(())
    }

    /// Writes small files together, and files with more gone rows than this share without them.
    async fn compact(&mut self, gone: f32) -> Result<(), StoreError> {
        let fragments = self.state.dataset.fragments();
        let before = fragments.len();
        let spoilt = fragments.iter().any(|fragment| {
            let rows = fragment.physical_rows.unwrap_or(0);
            let live = fragment.num_rows().unwrap_or(rows);
            (rows - live) as f32 > gone * rows as f32
        });
        let small = fragments.iter().filter(|f| f.physical_rows.is_none_or(|rows| rows < FILE_ROWS / 2)).count();
        if !spoilt && small <= self.settings.most_files {
            return Ok(());
        }
        let options = CompactionOptions {
            target_rows_per_fragment: FILE_ROWS,
            materialize_deletions: true,
            materialize_deletions_threshold: gone,
            num_threads: Some(1),
            batch_size: Some(2_048),
            transaction_properties: Some(Arc::new(self.state.stamp.properties())),
            ..CompactionOptions::default()
        };
        let mut dataset = Dataset::clone(&self.state.dataset);
        Box::pin(compact_files(&mut dataset, options, None)).await.map_err(self.fault())?;
        self.see(dataset).await?;
        self.done.files += before.saturating_sub(self.state.dataset.fragments().len());
        Ok(())
    }

    async fn index(&mut self) -> Result<(), StoreError> {
        let (rows, uncovered) = (self.state.rows, self.state.uncovered);
        match self.state.indexed {
            _ if rows < self.settings.index_above => Ok(()),
            None => self.make_index().await,
            Some(_) if rows > GROWN * self.state.stamp.trained => self.make_index().await,
            Some(_) if uncovered > (rows / OUTSIDE).max(self.settings.index_above / 4) => self.take_in().await,
            Some(_) => Ok(()),
        }
    }

    async fn make_index(&mut self) -> Result<(), StoreError> {
        let rows = self.state.rows;
        let mut ivf = IvfBuildParams::new(partitions(rows));
        ivf.sample_rate = SAMPLED;
        let dims = self.settings.dims;
        let shortened = rows >= self.settings.quantize_above && dims.is_multiple_of(SHORTENED);
        let params = if shortened {
            let pq = PQBuildParams {
                num_sub_vectors: dims / SHORTENED,
                num_bits: 8,
                sample_rate: 2 * SAMPLED,
                ..PQBuildParams::default()
            };
            VectorIndexParams::with_ivf_pq_params(DistanceType::Cosine, ivf, pq)
        } else {
            VectorIndexParams::with_ivf_flat_params(DistanceType::Cosine, ivf)
        };
        let stamp = Stamp { trained: rows, ..self.state.stamp.clone() };
        let mut dataset = Dataset::clone(&self.state.dataset);
        let builder = dataset.create_index_builder(&[VECTOR], IndexType::Vector, &params);
        let builder = builder.name(INDEX.to_owned()).replace(true).transaction_properties(stamp.properties());
        Box::pin(builder.into_future()).await.map_err(self.fault())?;
        self.see(dataset).await?;
        self.done.indexed += rows;
        Ok(())
    }

    /// Takes rows into the index that came since.
    async fn take_in(&mut self) -> Result<(), StoreError> {
        let uncovered = self.state.uncovered;
        let mut options = OptimizeOptions::default();
        options.num_indices_to_merge = Some(if self.state.pieces >= PIECES { self.state.pieces } else { 0 });
        options.index_names = Some(vec![INDEX.to_owned()]);
        options.transaction_properties = Some(Arc::new(self.state.stamp.properties()));
        let mut dataset = Dataset::clone(&self.state.dataset);
        Box::pin(dataset.optimize_indices(&options)).await.map_err(self.fault())?;
        self.see(dataset).await?;
        self.done.indexed += uncovered.saturating_sub(self.state.uncovered);
        Ok(())
    }

    /// Removes versions that are older than this, and files that only they name; `all`: also files that none names, which
    /// only a write that was cut short can have left, for nobody else writes. How many versions are left.
    async fn clean_up(&mut self, older: Duration, all: bool) -> Result<u64, StoreError> {
        let age = chrono::Duration::from_std(older).unwrap_or_default();
        let removed = self.state.dataset.cleanup_old_versions(age, Some(all), Some(false)).await;
        self.done.versions += removed.map_err(self.fault())?.old_versions;
        self.state.dataset.count_versions().await.map_err(self.fault())
    }
}
