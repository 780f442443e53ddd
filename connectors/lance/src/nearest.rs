//! The nearest rows by cosine, and how they are found: by comparing every row, or by way of partitions.

use crate::engine::run;
use crate::fault::StoreError;
use crate::rows::{ROW, VECTOR, direction};
use crate::select::Selection;
use crate::store::{COMPARED, State, Store};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Int64Type};
use arrow_array::{Array, Float32Array, RecordBatch};
use futures::TryStreamExt;
use lance::dataset::ProjectionRequest;
use lance_linalg::distance::DistanceType;
use std::sync::Arc;

/// Rows that are read at a time when few are compared.
const TAKEN: usize = 2_048;
/// Partitions that are looked into, at least.
const PROBES: usize = 16;
/// One of so many partitions is looked into.
const ONE_OF: usize = 24;
/// Of shortened vectors, so many times the hits are compared again whole.
const REFINE: usize = 8;
/// And so many at least.
const REFINED: usize = 128;

/// How rows were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Every row that may be an answer was compared.
    Exact,
    /// Some partitions were looked into.
    Ivf,
}

/// What is asked.
#[derive(Clone, Debug, Default)]
pub struct Query<'a> {
    /// The vector.
    pub vector: &'a [f32],
    /// Hits, at most.
    pub k: usize,
    /// The rows that it is about; none: all.
    pub among: Option<Arc<Selection>>,
    /// Compare every row.
    pub exact: bool,
    /// Partitions to look into; none: as many as usual.
    pub probes: Option<usize>,
}

/// A row that is near.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// Its number.
    pub row: i64,
    /// Of its vector from the query's: one less the cosine.
    pub distance: f32,
}

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Nearest first, equally near ones by number.
    pub hits: Vec<Hit>,
    /// How.
    pub plan: Plan,
}

/// Partitions of an index that is made of so many rows.
pub(crate) fn partitions(rows: u64) -> usize {
    (rows as f64).sqrt().round().clamp(4.0, 4_096.0) as usize
}

impl Store {
    /// The nearest rows; fewer than `k` where there are fewer.
    pub fn nearest(&self, query: &Query<'_>) -> Result<Answer, StoreError> {
        if query.vector.len() != self.settings.dims {
            return Err(StoreError::Dims { expected: self.settings.dims, found: query.vector.len() });
        }
        let vector: Arc<[f32]> = direction(query.vector).ok_or(StoreError::Direction)?.into();
        let state = query.among.as_ref().map_or_else(|| self.now.load_full(), |among| among.state.clone());
        let rows = query.among.as_ref().map_or(state.rows, |among| among.len());
        let k = query.k.min(usize::try_from(rows).unwrap_or(usize::MAX));
        if k == 0 {
            return Ok(Answer { hits: Vec::new(), plan: Plan::Exact });
        }
        let few = query.among.is_some() && rows <= self.settings.exact_below;
        let plan = if query.exact || few || state.indexed.is_none() { Plan::Exact } else { Plan::Ivf };
        let uri = self.uri.clone();
        let among = query.among.clone();
        let hits = match (plan, among) {
            (Plan::Exact, Some(among)) if few => {
                run(&self.uri, async move { compared(&uri, &state, &among.places, &vector, k).await })?
            }
            (_, among) => {
                let way = match plan {
                    Plan::Exact => None,
                    Plan::Ivf => Some(self.way(&state, rows, k, query.probes)),
                };
                run(&self.uri, async move { searched(&uri, &state, among.as_deref(), &vector, k, way).await })?
            }
        };
        Ok(Answer { hits: best(hits, k), plan })
    }

    /// Partitions to look into, and how many times the hits to compare again.
    fn way(&self, state: &State, admitted: u64, k: usize, probes: Option<usize>) -> (usize, Option<u32>) {
        let partitions = partitions(state.stamp.trained);
        let usual = PROBES.max(partitions / ONE_OF);
        // Where a filter admits few, the nearest of them are in more partitions.
        let thin = (state.rows as f64 / admitted.max(1) as f64).sqrt().clamp(1.0, 8.0);
        let probes = probes.unwrap_or((usual as f64 * thin) as usize).clamp(1, partitions);
        let shortened = state.stamp.trained >= self.settings.quantize_above;
        let refine = u32::try_from(REFINE.max(REFINED.div_ceil(k))).unwrap_or(u32::MAX);
        (probes, shortened.then_some(refine))
    }
}

fn best(mut hits: Vec<Hit>, k: usize) -> Vec<Hit> {
    hits.sort_by(|a, b| a.distance.total_cmp(&b.distance).then(a.row.cmp(&b.row)));
    hits.truncate(k);
    hits
}

/// By Lance: all rows, or (`way`) some partitions.
async fn searched(
    uri: &str,
    state: &State,
    among: Option<&Selection>,
    vector: &Arc<[f32]>,
    k: usize,
    way: Option<(usize, Option<u32>)>,
) -> Result<Vec<Hit>, StoreError> {
    let fault = |e: lance::Error| StoreError::of(uri, &e);
    let mut scanner = state.dataset.scan();
    scanner.prefilter(true);
    let query = Float32Array::from(vector.to_vec());
    scanner.nearest(VECTOR, &query, k).map_err(fault)?.distance_metric(DistanceType::Cosine);
    match way {
        None => {
            scanner.use_index(false);
        }
        Some((probes, refine)) => {
            scanner.nprobes(probes);
            if let Some(refine) = refine {
                scanner.refine(refine);
            }
        }
    }
    if let Some(among) = among {
        scanner.with_row_id_prefilter(among.allowed());
    }
    scanner.project(&[ROW, "_distance"]).map_err(fault)?;
    let mut batches = scanner.try_into_stream().await.map_err(fault)?;
    let mut hits = Vec::with_capacity(k);
    while let Some(batch) = batches.try_next().await.map_err(fault)? {
        let rows = batch.column_by_name(ROW).and_then(|c| c.as_primitive_opt::<Int64Type>());
        let distances = batch.column_by_name("_distance").and_then(|c| c.as_primitive_opt::<Float32Type>());
        let (Some(rows), Some(distances)) = (rows, distances) else {
            return Err(StoreError::failed(uri, "a search without rows or distances"));
        };
        let near = rows.iter().zip(distances.iter()).filter_map(|(row, distance)| {
            let distance = distance.filter(|distance| distance.is_finite())?;
            Some(Hit { row: row?, distance })
        });
        hits.extend(near);
    }
    Ok(hits)
}

/// By ourselves: these rows and no others, read where they are.
async fn compared(
    uri: &str,
    state: &State,
    places: &[u64],
    vector: &Arc<[f32]>,
    k: usize,
) -> Result<Vec<Hit>, StoreError> {
    let fault = |e: lance::Error| StoreError::of(uri, &e);
    let length = dot(vector, vector).sqrt();
    let mut hits = Vec::new();
    for places in places.chunks(TAKEN) {
        let columns = ProjectionRequest::from_columns(COMPARED, state.dataset.schema());
        let batch = Box::pin(state.dataset.take_rows(places, columns)).await.map_err(fault)?;
        compare(&batch, vector, length, &mut hits)
            .ok_or_else(|| StoreError::unusable(uri, "its columns are not those of vectors"))?;
        if hits.len() > 4 * k.max(TAKEN) {
            hits = best(hits, k);
        }
    }
    Ok(hits)
}

fn compare(batch: &RecordBatch, vector: &[f32], length: f32, hits: &mut Vec<Hit>) -> Option<()> {
    let rows = batch.column_by_name(ROW)?.as_primitive_opt::<Int64Type>()?;
    let vectors = batch.column_by_name(VECTOR)?.as_fixed_size_list_opt()?;
    let floats = vectors.values().as_primitive_opt::<Float32Type>()?.values();
    for (at, other) in floats.chunks_exact(vector.len()).enumerate() {
        if vectors.is_valid(at) {
            let lengths = length * dot(other, other).sqrt();
            hits.push(Hit { row: rows.value(at), distance: 1.0 - dot(vector, other) / lengths });
        }
    }
    Some(())
}

/// In sixteen sums, so that the compiler may use as wide an instruction as there is.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (mut sums, wide) = ([0.0_f32; 16], a.len() / 16 * 16);
    for (a, b) in a[..wide].chunks_exact(16).zip(b[..wide].chunks_exact(16)) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    let rest: f32 = a[wide..].iter().zip(&b[wide..]).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}
