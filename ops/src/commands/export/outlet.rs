//! Where rows and quarantine events of an export go.

use super::super::import::appender::{Appender, Settled};
use async_trait::async_trait;
use indicatif::ProgressBar;
use stillhouse_files::dataset::{Builder, Row as DatasetRow};
use stillhouse_processors::exporter::{BoxError, Outlet, Row};
use stillhouse_processors::wire;
use stillhouse_schemas::{Codec, Event};

/// A row of an SFT dataset. Holds what only the firewall's verdict can make; the builder of SFT datasets takes nothing else.
pub(super) struct SftRow(Row);

impl DatasetRow for SftRow {
    fn occurred_at(&self) -> i64 {
        self.0.occurred_at()
    }

    fn id(&self) -> &str {
        self.0.evidence_id()
    }

    fn line(&self) -> &[u8] {
        self.0.line()
    }
}

/// Rows to a builder, quarantine events to the journal.
pub(super) struct Spout {
    pub(super) builder: Builder<SftRow>,
    pub(super) appender: Appender,
    pub(super) codec: Codec,
    /// Nothing can be said in the journal.
    pub(super) read_only: bool,
    pub(super) quarantine: String,
    pub(super) bar: ProgressBar,
}

#[async_trait]
impl Outlet for Spout {
    fn row(&mut self, row: Row) -> Result<(), BoxError> {
        Ok(self.builder.row(&SftRow(row))?)
    }

    async fn quarantine(&mut self, events: Vec<Event>) -> Result<(), BoxError> {
        if self.read_only {
            return Ok(());
        }
        let appends = events
            .iter()
            .map(|event| wire::append(self.quarantine.as_str(), &self.codec, event))
            .collect::<Result<Vec<_>, _>>()?;
        for settled in self.appender.append(appends).await? {
            match settled {
                Settled::Stands(_) => {}
                Settled::Refused(why) => return Err(format!("quarantine: {why}").into()),
                Settled::Unsent => return Err("interrupted before all that was withheld was in quarantine".into()),
            }
        }
        Ok(())
    }

    fn progress(&mut self, read: u64, of: u64) {
        self.bar.set_length(of);
        self.bar.set_position(read);
    }
}
