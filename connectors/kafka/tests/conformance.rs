//! The suite that every journal passes.

use crate::broker::{connect, shared};
use async_trait::async_trait;
use std::sync::Arc;
use stillhouse_kit::conformance::{Backend, Traits, run};
use stillhouse_streams::Journal;

struct Kafka;

#[async_trait]
impl Backend for Kafka {
    fn name(&self) -> &str {
        "kafka"
    }

    async fn open(&self) -> Arc<dyn Journal> {
        Arc::new(connect(&shared()).await)
    }

    async fn reopen(&self, journal: Arc<dyn Journal>) -> Arc<dyn Journal> {
        drop(journal);
        self.open().await
    }

    fn traits(&self) -> Traits {
        Traits { id_index: false, dense_offsets: false, cleans: false, immediate: false }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_contract_holds() {
    run(&Kafka).await;
}
