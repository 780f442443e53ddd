//! Which rows a filter admits: looked up once, then compared or handed to the index.

use crate::engine::run;
use crate::fault::StoreError;
use crate::rows::{AT, LABELS, ROW, label};
use crate::store::{FILTERED, SELECTIONS, State, Store};
use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, UInt64Type};
use futures::TryStreamExt;
use lance::dataset::ROW_ID;
use lance::dataset::scanner::{RowAddrMask, RowAddrTreeMap};
use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, OnceLock, PoisonError};

/// Rows of all selections that are kept.
const SELECTED: u64 = 1_000_000;

/// What rows must be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of each name one of the values.
    pub metadata: BTreeMap<String, Vec<String>>,
    /// Not before, in microseconds.
    pub since: Option<i64>,
    /// Before, in microseconds.
    pub until: Option<i64>,
}

/// The rows that a filter admits, of the version that it was looked up in.
#[derive(Debug)]
pub struct Selection {
    filter: Filter,
    pub(crate) state: Arc<State>,
    /// Where they are: Lance's numbers.
    pub(crate) places: Vec<u64>,
    rows: Vec<i64>,
    allowed: OnceLock<RowAddrTreeMap>,
}

impl Selection {
    /// Rows.
    pub fn len(&self) -> u64 {
        self.rows.len() as u64
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// As the index wants to know them.
    pub(crate) fn allowed(&self) -> RowAddrMask {
        let allowed = self.allowed.get_or_init(|| self.places.iter().copied().collect());
        RowAddrMask::from_allowed(allowed.clone())
    }

    /// Their numbers, in no order.
    pub fn rows(&self) -> &[i64] {
        &self.rows
    }
}

impl Store {
    /// The rows that a filter admits. A filter that was asked lately is not looked up again while nothing changed.
    pub fn select(&self, filter: &Filter) -> Result<Arc<Selection>, StoreError> {
        let state = self.now.load_full();
        let version = state.dataset.version_id();
        {
            let mut kept = self.selections.lock().unwrap_or_else(PoisonError::into_inner);
            kept.retain(|selection| selection.state.dataset.version_id() == version);
            if let Some(found) = kept.iter().find(|selection| selection.filter == *filter) {
                return Ok(found.clone());
            }
        }
        let (uri, wanted, of) = (self.uri.clone(), Wanted::of(filter), state.clone());
        let (places, rows) = run(&self.uri, async move {
            let fault = |e: lance::Error| StoreError::of(&uri, &e);
            let mut scanner = of.dataset.scan();
            scanner.project(&FILTERED).map_err(fault)?.with_row_id();
            let mut batches = scanner.try_into_stream().await.map_err(fault)?;
            let (mut places, mut rows) = (Vec::new(), Vec::new());
            while let Some(batch) = batches.try_next().await.map_err(fault)? {
                wanted
                    .pick(&batch, &mut places, &mut rows)
                    .ok_or_else(|| StoreError::unusable(&uri, "its columns are not those of vectors"))?;
            }
            Ok((places, rows))
        })?;
        let selection = Selection { filter: filter.clone(), state, places, rows, allowed: OnceLock::new() };
        let selection = Arc::new(selection);
        let mut kept = self.selections.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push(selection.clone());
        // The oldest go; what is large is not kept at all.
        while kept.len() > SELECTIONS || kept.iter().map(|selection| selection.len()).sum::<u64>() > SELECTED {
            kept.remove(0);
        }
        Ok(selection)
    }
}

/// A filter as labels.
struct Wanted {
    any_of: Vec<HashSet<String>>,
    since: i64,
    until: Option<i64>,
}

impl Wanted {
    fn of(filter: &Filter) -> Self {
        let labels = |(name, values): (&String, &Vec<String>)| values.iter().map(|value| label(name, value)).collect();
        Self {
            any_of: filter.metadata.iter().map(labels).collect(),
            since: filter.since.unwrap_or(i64::MIN),
            until: filter.until,
        }
    }

    fn pick(&self, batch: &RecordBatch, places: &mut Vec<u64>, rows: &mut Vec<i64>) -> Option<()> {
        let numbers = batch.column_by_name(ROW)?.as_primitive_opt::<Int64Type>()?;
        let times = batch.column_by_name(AT)?.as_primitive_opt::<Int64Type>()?;
        let labels = batch.column_by_name(LABELS)?.as_list_opt::<i32>()?;
        let all = labels.values().as_string_opt::<i32>()?;
        let ids = batch.column_by_name(ROW_ID)?.as_primitive_opt::<UInt64Type>()?;
        let offsets = labels.value_offsets();
        for at in 0..batch.num_rows() {
            let when = times.value(at);
            if when < self.since || self.until.is_some_and(|until| when >= until) {
                continue;
            }
            let of = offsets[at] as usize..offsets[at + 1] as usize;
            let has = |any: &HashSet<String>| of.clone().any(|label| any.contains(all.value(label)));
            if self.any_of.iter().all(has) {
                places.push(ids.value(at));
                rows.push(numbers.value(at));
            }
        }
        Some(())
    }
}
