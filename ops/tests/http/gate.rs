//! A journal whose appends wait at a gate: for tests of what happens meanwhile, without sleeping.

use async_trait::async_trait;
use std::sync::Arc;
use stillhouse_streams::{Append, Journal, Receipt, Result, Wraps};
use tokio::sync::watch;

pub(super) struct Gated {
    journal: Arc<dyn Journal>,
    open: watch::Sender<bool>,
    waiting: watch::Sender<usize>,
}

impl Gated {
    /// Closed at first.
    pub(super) fn new(journal: Arc<dyn Journal>) -> Arc<Self> {
        Arc::new(Self { journal, open: watch::Sender::new(false), waiting: watch::Sender::new(0) })
    }

    pub(super) fn open(&self) {
        self.open.send_replace(true);
    }

    /// Returns when `n` appends have come to the gate.
    pub(super) async fn waiting(&self, n: usize) {
        self.waiting.subscribe().wait_for(|waiting| *waiting >= n).await.expect("the gate is there");
    }
}

#[async_trait]
impl Wraps for Gated {
    fn wrapped(&self) -> &dyn Journal {
        self.journal.as_ref()
    }

    async fn append(&self, batch: Vec<Append>) -> Result<Vec<Receipt>> {
        self.waiting.send_modify(|waiting| *waiting += 1);
        self.open.subscribe().wait_for(|open| *open).await.expect("the gate is there");
        self.journal.append(batch).await
    }
}
