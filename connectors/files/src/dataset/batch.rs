//! Lines of JSON as columns in memory, for formats that store columns.

use super::{Column, DatasetError, Type, on};
use arrow_array::builder::{BooleanBuilder, Float64Builder, Int64Builder, StringBuilder};
use arrow_array::{ArrayRef, ListArray, RecordBatch, RecordBatchOptions, StructArray};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{ArrowError, DataType, Field, Fields, Schema, SchemaRef};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// The columns as an Arrow schema.
pub fn schema(columns: &[Column]) -> SchemaRef {
    Arc::new(Schema::new(fields(columns)))
}

fn fields(columns: &[Column]) -> Fields {
    columns.iter().map(|column| Field::new(column.name, data_type(&column.ty), true)).collect()
}

fn item(ty: &Type) -> Arc<Field> {
    Arc::new(Field::new("item", data_type(ty), true))
}

fn data_type(ty: &Type) -> DataType {
    match ty {
        Type::Text | Type::Json => DataType::Utf8,
        Type::Int => DataType::Int64,
        Type::Float => DataType::Float64,
        Type::Bool => DataType::Boolean,
        Type::List(items) => DataType::List(item(items)),
        Type::Struct(members) => DataType::Struct(fields(members)),
    }
}

/// Gathers lines until they are taken as columns.
#[derive(Debug)]
pub struct Batch {
    columns: Vec<Column>,
    lines: Vec<Box<[u8]>>,
    bytes: usize,
}

impl Batch {
    /// Without lines.
    pub fn new(columns: &[Column]) -> Self {
        Self { columns: columns.to_vec(), lines: vec![], bytes: 0 }
    }

    /// Takes a line.
    pub fn row(&mut self, line: &[u8]) {
        self.bytes += line.len();
        self.lines.push(line.into());
    }

    /// Lines that are there.
    pub fn rows(&self) -> usize {
        self.lines.len()
    }

    /// Bytes of them.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The lines as columns; none are left. `path` is where they go, for people.
    pub fn take(&mut self, path: &Path) -> Result<RecordBatch, DatasetError> {
        let lines = std::mem::take(&mut self.lines);
        self.bytes = 0;
        batch(&self.columns, &lines).map_err(|e| on("write columns to", path)(std::io::Error::other(e)))
    }
}

/// Why lines are no columns.
#[derive(Debug, thiserror::Error)]
enum BatchError {
    #[error("a row is not what its columns say: {0}")]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Arrow(#[from] ArrowError),
}

type Values<'a> = Vec<Option<&'a RawValue>>;
type Members<'a> = HashMap<Cow<'a, str>, &'a RawValue>;

fn batch(columns: &[Column], lines: &[Box<[u8]>]) -> Result<RecordBatch, BatchError> {
    let rows: Vec<Option<Members<'_>>> =
        lines.iter().map(|line| serde_json::from_slice(line).map(Some)).collect::<Result<_, _>>()?;
    let arrays =
        columns.iter().map(|column| array(&column.ty, &picked(&rows, column.name))).collect::<Result<_, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    Ok(RecordBatch::try_new_with_options(schema(columns), arrays, &options)?)
}

/// The values of one member; null stands for what is not there.
fn picked<'a>(rows: &[Option<Members<'a>>], name: &str) -> Values<'a> {
    let of = |row: &Option<Members<'a>>| row.as_ref()?.get(name).copied().filter(|value| value.get() != "null");
    rows.iter().map(of).collect()
}

fn array(ty: &Type, values: &[Option<&RawValue>]) -> Result<ArrayRef, BatchError> {
    fn parsed<'a, T: serde::Deserialize<'a>>(value: Option<&'a RawValue>) -> Result<Option<T>, serde_json::Error> {
        value.map(|value| serde_json::from_str(value.get())).transpose()
    }
    Ok(match ty {
        Type::Text => {
            let mut builder = StringBuilder::new();
            for value in values {
                builder.append_option(parsed::<Cow<'_, str>>(*value)?);
            }
            Arc::new(builder.finish())
        }
        Type::Json => {
            // As it was written, digits and all.
            let mut builder = StringBuilder::new();
            values.iter().for_each(|value| builder.append_option(value.map(RawValue::get)));
            Arc::new(builder.finish())
        }
        Type::Int => {
            let mut builder = Int64Builder::new();
            for value in values {
                builder.append_option(parsed(*value)?);
            }
            Arc::new(builder.finish())
        }
        Type::Float => {
            let mut builder = Float64Builder::new();
            for value in values {
                builder.append_option(parsed(*value)?);
            }
            Arc::new(builder.finish())
        }
        Type::Bool => {
            let mut builder = BooleanBuilder::new();
            for value in values {
                builder.append_option(parsed(*value)?);
            }
            Arc::new(builder.finish())
        }
        Type::List(items) => {
            let lists: Vec<Option<Vec<&RawValue>>> =
                values.iter().map(|value| parsed(*value)).collect::<Result<_, _>>()?;
            let lengths = OffsetBuffer::from_lengths(lists.iter().map(|list| list.as_ref().map_or(0, Vec::len)));
            let nulls: NullBuffer = lists.iter().map(Option::is_some).collect();
            let flat: Values<'_> =
                lists.iter().flatten().flatten().map(|v| Some(*v).filter(|value| value.get() != "null")).collect();
            Arc::new(ListArray::try_new(item(items), lengths, array(items, &flat)?, Some(nulls))?)
        }
        Type::Struct(members) => {
            let rows: Vec<Option<Members<'_>>> = values.iter().map(|value| parsed(*value)).collect::<Result<_, _>>()?;
            let nulls: NullBuffer = rows.iter().map(Option::is_some).collect();
            let arrays = members
                .iter()
                .map(|member| array(&member.ty, &picked(&rows, member.name)))
                .collect::<Result<_, _>>()?;
            Arc::new(StructArray::try_new(fields(members), arrays, Some(nulls))?)
        }
    })
}
