//! Where rows and quarantine events of an export go, and where it sorts.

use super::super::import::appender::{Appender, Settled};
use async_trait::async_trait;
use indicatif::ProgressBar;
use stillhouse_files::dataset::{self, Builder, Row as DatasetRow, Sorting};
use stillhouse_processors::exporter::{BoxError, Entry, Outlet, Row, Sorted, Sorter, Sorters};
use stillhouse_processors::wire;
use stillhouse_schemas::{Codec, Event};

/// A row of a dataset. Holds what only an export can make of what the firewall let in; builders take nothing else.
pub(super) struct ExportRow(Row);

impl DatasetRow for ExportRow {
    fn split(&self) -> &'static str {
        self.0.split()
    }

    fn line(&self) -> &[u8] {
        self.0.line()
    }

    fn origins(&self) -> &[u8] {
        self.0.origins()
    }
}

/// Rows to a builder, quarantine events to the journal.
pub(super) struct Spout {
    pub(super) builder: Builder<ExportRow>,
    pub(super) appender: Appender,
    pub(super) codec: Codec,
    /// Nothing can be said in the journal.
    pub(super) read_only: bool,
    pub(super) quarantine: String,
    pub(super) bar: ProgressBar,
    pub(super) rows: u64,
}

#[async_trait]
impl Outlet for Spout {
    fn row(&mut self, row: Row) -> Result<(), BoxError> {
        if self.rows == 0 {
            self.bar.set_message("rows");
            self.bar.unset_length();
        }
        self.rows += 1;
        Ok(self.builder.row(&ExportRow(row))?)
    }

    async fn quarantine(&mut self, events: Vec<Event>) -> Result<u64, BoxError> {
        if self.read_only {
            return Ok(0);
        }
        let appends = events
            .iter()
            .map(|event| wire::append(self.quarantine.as_str(), &self.codec, event))
            .collect::<Result<Vec<_>, _>>()?;
        let mut new = 0;
        for settled in self.appender.append(appends).await? {
            match settled {
                Settled::Stands(receipt) => new += u64::from(!receipt.duplicate),
                Settled::Refused(why) => return Err(format!("quarantine: {why}").into()),
                Settled::Unsent => return Err("interrupted before all that was withheld was in quarantine".into()),
            }
        }
        Ok(new)
    }

    fn progress(&mut self, read: u64, of: u64) {
        self.bar.set_length(of);
        self.bar.set_position(read);
    }

    async fn breathe(&mut self) -> Result<(), BoxError> {
        if self.rows > 0 {
            self.bar.set_position(self.rows);
        }
        tokio::task::yield_now().await;
        Ok(())
    }
}

/// Sorters in the directory of the dataset that is being written.
pub(super) struct Shelves(pub(super) Sorting);

impl Sorters for Shelves {
    fn sorter(&mut self, name: &'static str) -> Result<Box<dyn Sorter>, BoxError> {
        // Rows and sides are whole texts, the others a few bytes a row.
        let share = if matches!(name, "rows" | "sides") { 1.0 } else { 0.25 };
        Ok(Box::new(Shelf(self.0.sorter(share)?)))
    }
}

struct Shelf(dataset::Sorter);

impl Sorter for Shelf {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), BoxError> {
        Ok(self.0.put(key, value)?)
    }

    fn sorted(self: Box<Self>) -> Result<Box<dyn Sorted>, BoxError> {
        Ok(Box::new(Shown(self.0.sorted()?)))
    }
}

struct Shown(dataset::Sorted);

impl Sorted for Shown {
    fn next(&mut self) -> Result<Option<Entry<'_>>, BoxError> {
        Ok(self.0.next()?)
    }
}
