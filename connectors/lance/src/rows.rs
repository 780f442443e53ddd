//! Rows as Lance holds them: `row`, `event_id`, `occurred_at`, `labels`, `vector`.
//!
//! A label is `name=value`, with `=` and `\` of the name behind a `\`, so that no two pairs are one label. A vector without
//! a direction (zero, or not finite) is null: it is a row like others, and near to nothing.

use crate::fault::StoreError;
use arrow_array::builder::{FixedSizeListBuilder, Float32Builder, ListBuilder, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Int64Type};
use arrow_array::{Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

pub(crate) const ROW: &str = "row";
pub(crate) const EVENT: &str = "event_id";
pub(crate) const AT: &str = "occurred_at";
pub(crate) const LABELS: &str = "labels";
pub(crate) const VECTOR: &str = "vector";

/// A row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// Number, of the catalog's.
    pub row: i64,
    /// The event that it is of.
    pub event_id: String,
    /// When that happened, in microseconds.
    pub occurred_at: i64,
    /// What searches may filter by.
    pub metadata: BTreeMap<String, String>,
    /// Vector; empty where it has no direction.
    pub vector: Vec<f32>,
}

/// The vector as it is stored, if it can be compared.
pub(crate) fn direction(vector: &[f32]) -> Option<&[f32]> {
    let length: f32 = vector.iter().map(|x| x * x).sum();
    (length.is_finite() && length > 0.0).then_some(vector)
}

pub(crate) fn label(name: &str, value: &str) -> String {
    let mut label = String::with_capacity(name.len() + value.len() + 1);
    for c in name.chars() {
        if matches!(c, '=' | '\\') {
            label.push('\\');
        }
        label.push(c);
    }
    label.push('=');
    label.push_str(value);
    label
}

fn pair(label: &str) -> (String, String) {
    let (mut name, mut behind) = (String::new(), false);
    for (at, c) in label.char_indices() {
        match c {
            '\\' if !behind => behind = true,
            '=' if !behind => return (name, label[at + 1..].to_owned()),
            c => {
                name.push(c);
                behind = false;
            }
        }
    }
    (name, String::new())
}

/// The columns, and beside them what the caller says the rows are about.
pub(crate) fn schema(dims: usize, about: &BTreeMap<String, String>) -> SchemaRef {
    let item = Arc::new(Field::new("item", DataType::Float32, true));
    let dims = i32::try_from(dims).unwrap_or(i32::MAX);
    let fields = vec![
        Field::new(ROW, DataType::Int64, false),
        Field::new(EVENT, DataType::Utf8, false),
        Field::new(AT, DataType::Int64, false),
        Field::new(LABELS, DataType::List(Arc::new(Field::new("item", DataType::Utf8, true))), false),
        Field::new(VECTOR, DataType::FixedSizeList(item, dims), true),
    ];
    let about: HashMap<String, String> = about.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    Arc::new(Schema::new_with_metadata(fields, about))
}

/// Rows as a batch of these columns; every vector has `dims` floats, or none.
pub(crate) fn batch<'a>(
    rows: impl Iterator<Item = &'a Row>,
    dims: usize,
    schema: SchemaRef,
) -> Result<RecordBatch, StoreError> {
    let (mut numbers, mut events, mut times) = (Vec::new(), Vec::new(), Vec::new());
    let mut labels = ListBuilder::new(StringBuilder::new());
    let mut vectors = FixedSizeListBuilder::new(Float32Builder::new(), i32::try_from(dims).unwrap_or(i32::MAX));
    for row in rows {
        if !row.vector.is_empty() && row.vector.len() != dims {
            return Err(StoreError::Dims { expected: dims, found: row.vector.len() });
        }
        numbers.push(row.row);
        events.push(row.event_id.as_str());
        times.push(row.occurred_at);
        for (name, value) in &row.metadata {
            labels.values().append_value(label(name, value));
        }
        labels.append(true);
        match direction(&row.vector) {
            Some(vector) => vectors.values().append_slice(vector),
            None => vectors.values().append_nulls(dims),
        }
        vectors.append(direction(&row.vector).is_some());
    }
    let columns: Vec<Arc<dyn Array>> = vec![
        Arc::new(Int64Array::from(numbers)),
        Arc::new(StringArray::from(events)),
        Arc::new(Int64Array::from(times)),
        Arc::new(labels.finish()),
        Arc::new(vectors.finish()),
    ];
    RecordBatch::try_new(schema, columns).map_err(|e| StoreError::failed("rows", e.to_string()))
}

/// Rows of a batch that has all columns. None: it is another batch.
pub(crate) fn rows(batch: &RecordBatch) -> Option<Vec<Row>> {
    let numbers = batch.column_by_name(ROW)?.as_primitive_opt::<Int64Type>()?;
    let events = batch.column_by_name(EVENT)?.as_string_opt::<i32>()?;
    let times = batch.column_by_name(AT)?.as_primitive_opt::<Int64Type>()?;
    let labels = batch.column_by_name(LABELS)?.as_list_opt::<i32>()?;
    let vectors = batch.column_by_name(VECTOR)?.as_fixed_size_list_opt()?;
    let mut rows = Vec::with_capacity(batch.num_rows());
    for at in 0..batch.num_rows() {
        let of = labels.value(at);
        let of = of.as_string_opt::<i32>()?;
        let vector = match vectors.is_valid(at) {
            true => vectors.value(at).as_primitive_opt::<Float32Type>()?.values().to_vec(),
            false => Vec::new(),
        };
        rows.push(Row {
            row: numbers.value(at),
            event_id: events.value(at).to_owned(),
            occurred_at: times.value(at),
            metadata: of.iter().flatten().map(pair).collect(),
            vector,
        });
    }
    Some(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_pairs_and_no_two_pairs_are_one_label() {
        let pairs = [("a", "b=c"), ("a=b", "c"), ("a\\", "=b"), ("a\\=", "b"), ("", ""), ("é", "'; --")];
        for (name, value) in pairs {
            assert_eq!(pair(&label(name, value)), (name.to_owned(), value.to_owned()));
        }
        let labels: std::collections::BTreeSet<String> = pairs.iter().map(|(n, v)| label(n, v)).collect();
        assert_eq!(labels.len(), pairs.len());
    }
}
