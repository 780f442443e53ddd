//! Apache Parquet: zstd, row groups of at most [`GROUP`] rows, JSON columns as text.
//!
//! The same rows give the same bytes: the writer's name and settings are fixed, and nothing of the writer's host, clock or
//! Arrow schema is in the file.

use super::super::write::create;
use super::super::{Batch, Column, DatasetError, on, schema};
use super::{Format, Rows};
use parquet::arrow::arrow_writer::{ArrowWriter, ArrowWriterOptions};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{WriterProperties, WriterVersion};
use std::fs::File;
use std::path::{Path, PathBuf};

/// Parquet.
pub static PARQUET: &dyn Format = &Parquet;

/// Rows of a row group: few enough for viewers that read one at a time.
const GROUP: usize = 1_000;
/// Bytes of rows of a row group.
const GROUP_BYTES: usize = 16 << 20;

#[derive(Debug)]
struct Parquet;

impl Format for Parquet {
    fn name(&self) -> &'static str {
        "parquet"
    }

    fn doc(&self) -> &'static str {
        "Apache Parquet, JSON columns as text"
    }

    fn create(&self, path: &Path, columns: &[Column]) -> Result<Box<dyn Rows>, DatasetError> {
        let level = ZstdLevel::try_new(3).map_err(failed(path))?;
        let properties = WriterProperties::builder()
            .set_created_by("stillhouse".to_owned())
            .set_writer_version(WriterVersion::PARQUET_1_0)
            .set_compression(Compression::ZSTD(level))
            .build();
        // The Arrow schema would be one more thing that may change with the library.
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let writer =
            ArrowWriter::try_new_with_options(create(path)?, schema(columns), options).map_err(failed(path))?;
        Ok(Box::new(Groups { path: path.to_path_buf(), writer, batch: Batch::new(columns) }))
    }
}

fn failed(path: &Path) -> impl FnOnce(parquet::errors::ParquetError) -> DatasetError + '_ {
    move |error| match error {
        parquet::errors::ParquetError::External(source) => match source.downcast::<std::io::Error>() {
            Ok(source) => on("write", path)(*source),
            Err(source) => on("write", path)(std::io::Error::other(source)),
        },
        other => on("write", path)(std::io::Error::other(other)),
    }
}

struct Groups {
    path: PathBuf,
    writer: ArrowWriter<File>,
    batch: Batch,
}

impl Groups {
    fn flush(&mut self) -> Result<(), DatasetError> {
        let batch = self.batch.take(&self.path)?;
        self.writer.write(&batch).and_then(|()| self.writer.flush()).map_err(failed(&self.path))
    }
}

impl Rows for Groups {
    fn row(&mut self, line: &[u8]) -> Result<(), DatasetError> {
        self.batch.row(line);
        if self.batch.rows() >= GROUP || self.batch.bytes() >= GROUP_BYTES { self.flush() } else { Ok(()) }
    }

    fn finish(mut self: Box<Self>) -> Result<Option<String>, DatasetError> {
        if self.batch.rows() > 0 {
            self.flush()?;
        }
        let file = self.writer.into_inner().map_err(failed(&self.path))?;
        file.sync_all().map_err(on("sync", &self.path))?;
        Ok(None)
    }
}
