//! The in-memory journal holds its own contract, with gaps in its offsets and without.

use async_trait::async_trait;
use std::sync::Arc;
use stillhouse_kit::conformance::{self, Backend, Traits};
use stillhouse_streams::{Journal, MemoryJournal};

struct Memory {
    gaps: Option<u64>,
}

#[async_trait]
impl Backend for Memory {
    fn name(&self) -> &str {
        if self.gaps.is_some() { "memory with gaps" } else { "memory" }
    }

    async fn open(&self) -> Arc<dyn Journal> {
        Arc::new(self.gaps.map_or_else(MemoryJournal::new, MemoryJournal::with_gaps))
    }

    async fn reopen(&self, journal: Arc<dyn Journal>) -> Arc<dyn Journal> {
        journal
    }

    fn traits(&self) -> Traits {
        Traits { id_index: true, dense_offsets: self.gaps.is_none(), cleans: true, immediate: true }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_conforms() {
    conformance::run(&Memory { gaps: None }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_with_gaps_conforms() {
    conformance::run(&Memory { gaps: Some(42) }).await;
}
