//! The shared suite, whole.

use async_trait::async_trait;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;
use stillhouse_embedded::{Durability, EmbeddedJournal, Options};
use stillhouse_kit::conformance::{Backend, Traits, run};
use stillhouse_streams::Journal;
use tempfile::TempDir;

struct Embedded {
    durability: Durability,
    dirs: Mutex<Vec<TempDir>>,
}

impl Embedded {
    fn open_in(&self, dir: &std::path::Path) -> Arc<dyn Journal> {
        let options = Options { durability: self.durability, ..Options::default() };
        Arc::new(EmbeddedJournal::open(&dir.join("journal"), options).expect("opens"))
    }
}

#[async_trait]
impl Backend for Embedded {
    fn name(&self) -> &str {
        "embedded"
    }

    async fn open(&self) -> Arc<dyn Journal> {
        let dir = tempfile::tempdir().expect("a directory");
        let journal = self.open_in(dir.path());
        self.dirs.lock().expect("not poisoned").push(dir);
        journal
    }

    async fn reopen(&self, journal: Arc<dyn Journal>) -> Arc<dyn Journal> {
        let uri = journal.uri();
        drop(journal);
        let dir = uri.strip_prefix("embedded:").expect("its own scheme");
        self.open_in(std::path::Path::new(dir).parent().expect("a parent"))
    }

    fn traits(&self) -> Traits {
        Traits { id_index: true, dense_offsets: true, cleans: true, immediate: true }
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(30)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embedded_conforms() {
    run(&Embedded { durability: Durability::Full, dirs: Mutex::default() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embedded_conforms_without_a_sync_per_commit() {
    run(&Embedded { durability: Durability::Process, dirs: Mutex::default() }).await;
}
