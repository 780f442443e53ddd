//! The format of exported datasets: a directory a split.
//!
//! The same rows give the same content, and other bytes: Lance names its files by chance. A dataset is one version without
//! history. Lance does not fsync local files, so all of them are synced here before the rows count as written.
//!
//! Lacks on purpose: indexes, vectors, appending to what is there.

use arrow_array::{RecordBatch, RecordBatchIterator};
use arrow_schema::{ArrowError, SchemaRef};
use lance::dataset::{Dataset, WriteMode, WriteParams};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use stillhouse_files::dataset::{Batch, Column, DatasetError, Format, Rows, on, schema};

/// Lance.
pub static LANCE: &dyn Format = &Lance;

/// Rows handed over at a time.
const GROUP: usize = 1_000;
/// Bytes of rows handed over at a time.
const GROUP_BYTES: usize = 16 << 20;

#[derive(Debug)]
struct Lance;

impl Format for Lance {
    fn name(&self) -> &'static str {
        "lance"
    }

    fn doc(&self) -> &'static str {
        "a Lance dataset a split, JSON columns as text; equal by content, not by bytes"
    }

    fn fixed_bytes(&self) -> bool {
        false
    }

    fn sharded(&self) -> bool {
        false
    }

    fn create(&self, path: &Path, columns: &[Column]) -> Result<Box<dyn Rows>, DatasetError> {
        let uri = path.to_str().ok_or_else(|| on("create", path)(io::Error::other("a path that is not UTF-8")))?;
        let (sender, receiver) = sync_channel::<RecordBatch>(1);
        let (uri, schema): (String, SchemaRef) = (uri.to_owned(), schema(columns));
        // Lance pulls; rows are pushed. So it pulls on a thread of its own.
        let writer = std::thread::Builder::new().name("lance".to_owned()).spawn(move || {
            let batches = receiver.into_iter().map(Ok::<_, ArrowError>);
            let batches = RecordBatchIterator::new(batches, schema);
            let params = WriteParams { mode: WriteMode::Create, ..WriteParams::default() };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let written = runtime.block_on(Box::pin(Dataset::write(batches, uri.as_str(), Some(params))));
            written.map(drop).map_err(io::Error::other)
        });
        let writer = writer.map_err(on("start a thread for", path))?;
        Ok(Box::new(Pushed {
            path: path.to_path_buf(),
            batch: Batch::new(columns),
            sender: Some(sender),
            writer: Some(writer),
            any: false,
        }))
    }
}

struct Pushed {
    path: PathBuf,
    batch: Batch,
    sender: Option<SyncSender<RecordBatch>>,
    writer: Option<JoinHandle<io::Result<()>>>,
    any: bool,
}

impl Pushed {
    fn flush(&mut self) -> Result<(), DatasetError> {
        let batch = self.batch.take(&self.path)?;
        self.any = true;
        let sent = self.sender.as_ref().is_some_and(|sender| sender.send(batch).is_ok());
        // Nobody takes it: the writer has ended, and says why.
        if sent { Ok(()) } else { self.join() }
    }

    fn join(&mut self) -> Result<(), DatasetError> {
        drop(self.sender.take());
        let ended = match self.writer.take().map(JoinHandle::join) {
            Some(Ok(ended)) => ended,
            Some(Err(_)) => Err(io::Error::other("the writer of Lance panicked")),
            None => Err(io::Error::other("the writer of Lance has ended")),
        };
        ended.map_err(on("write", &self.path))
    }
}

impl Rows for Pushed {
    fn row(&mut self, line: &[u8]) -> Result<(), DatasetError> {
        self.batch.row(line);
        if self.batch.rows() >= GROUP || self.batch.bytes() >= GROUP_BYTES { self.flush() } else { Ok(()) }
    }

    fn finish(mut self: Box<Self>) -> Result<Option<String>, DatasetError> {
        // Without a batch there would be no dataset, and a reader would find none.
        if self.batch.rows() > 0 || !self.any {
            self.flush()?;
        }
        self.join()?;
        sync(&self.path).map_err(on("sync", &self.path))?;
        Ok(None)
    }
}

impl Drop for Pushed {
    /// Waits for the writer, so that nobody removes a directory that is being written to.
    fn drop(&mut self) {
        drop(self.sender.take());
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

/// Makes a directory and all below it durable.
fn sync(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        for entry in std::fs::read_dir(path)? {
            sync(&entry?.path())?;
        }
    }
    File::open(path)?.sync_all()
}
