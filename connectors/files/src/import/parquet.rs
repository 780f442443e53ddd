//! Parquet as a reader of records sees it: its rows as JSON Lines, a row group's worth of memory at a time.
//!
//! Missing values are left out, times are RFC 3339, binary columns are hex. A damaged file is an error that names the row
//! after which it was found, whatever the decoder does with it.

use arrow_json::LineDelimitedWriter;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use std::fs::File;
use std::io::{self, Read, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The first bytes of every such file.
pub(super) const MAGIC: &[u8] = b"PAR1";

/// Rows that are decoded at a time.
const ROWS: usize = 256;

/// See the module.
pub(super) struct Lines {
    batches: ParquetRecordBatchReader,
    /// Lines that were not yet read.
    lines: io::Cursor<Vec<u8>>,
    row: u64,
    rows: u64,
    length: u64,
    consumed: Arc<AtomicU64>,
    done: bool,
}

impl Lines {
    /// Of a file of this length; what was read of it is added to `consumed`.
    pub(super) fn new(file: File, length: u64, consumed: Arc<AtomicU64>) -> io::Result<Self> {
        let open = || {
            ParquetRecordBatchReaderBuilder::try_new(file).and_then(|b| {
                let rows = u64::try_from(b.metadata().file_metadata().num_rows()).unwrap_or_default();
                Ok((b.with_batch_size(ROWS).build()?, rows))
            })
        };
        let (batches, rows) = whole(0, open)?;
        Ok(Self { batches, lines: io::Cursor::default(), row: 0, rows, length, consumed, done: false })
    }

    /// Of a stream, which is kept in a file for as long as it is read: the last bytes say what the first ones mean.
    pub(super) fn spooled(mut stream: impl Read) -> io::Result<Self> {
        let mut file = tempfile::tempfile()?;
        let length = io::copy(&mut stream, &mut file)?;
        file.rewind()?;
        Self::new(file, length, Arc::default())
    }

    fn more(&mut self) -> io::Result<()> {
        let batches = &mut self.batches;
        let next = whole(self.row, || batches.next().transpose());
        self.done = !matches!(next, Ok(Some(_)));
        let read = |row: u64| self.length.saturating_mul(row) / self.rows.max(1);
        let before = if self.row == 0 { 0 } else { read(self.row) };
        let Some(batch) = next? else {
            self.consumed.fetch_add(self.length.saturating_sub(before), Ordering::Relaxed);
            return Ok(());
        };
        let row = self.row + batch.num_rows() as u64;
        self.consumed.fetch_add(read(row).min(self.length).saturating_sub(before), Ordering::Relaxed);
        self.lines = io::Cursor::new(whole(self.row, || {
            let mut writer = LineDelimitedWriter::new(Vec::new());
            writer.write(&batch).and_then(|()| writer.finish()).map(|()| writer.into_inner())
        })?);
        self.row = row;
        Ok(())
    }
}

impl Read for Lines {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.lines.read(buf)?;
            if read > 0 || self.done || buf.is_empty() {
                return Ok(read);
            }
            self.more()?;
        }
    }
}

/// What the decoder says, its panics included: damaged pages make it index past their ends.
fn whole<T, E: std::fmt::Display>(row: u64, of: impl FnOnce() -> Result<T, E>) -> io::Result<T> {
    let bad = |what: String| {
        io::Error::new(io::ErrorKind::InvalidData, format!("this Parquet file cannot be read after row {row}: {what}"))
    };
    match catch_unwind(AssertUnwindSafe(of)) {
        Ok(said) => said.map_err(|error| bad(error.to_string())),
        Err(_) => Err(bad("its pages are damaged".to_owned())),
    }
}
