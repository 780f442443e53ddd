//! An instance with runs in it, and what is asked of it.

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use stillhouse::commands::export::{self, Order, Report, Request};
use stillhouse::context::Context;
use stillhouse::output::{Format, Output};
use stillhouse::settings;
use stillhouse_files::dataset::Dataset;
use stillhouse_processors::wire;
use stillhouse_schemas::{Event, Payload, Producer, Stamp};
use stillhouse_streams::Position;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

pub(super) struct Office {
    pub(super) folder: TempDir,
    pub(super) context: Context,
}

/// What a run is: its outcome, and whom it is about.
pub(super) fn run(id: &str, at: u32, verdict: &str, subject: Option<&str>) -> Value {
    json!({
        "id": format!("event-{id}-{at}"), "key": id, "occurred_at": format!("2026-01-01T00:00:{at:02}Z"), "subject": subject,
        "payload": {
            "run_id": id, "task_key": format!("task-{id}"),
            "messages": [
                {"role": "user", "content": format!("asked in {id}")},
                {"role": "assistant", "content": format!("answered in {id}")},
            ],
            "outcome": {"verdict": verdict},
        },
    })
}

impl Office {
    pub(super) async fn new(seal: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let context = open(folder.path(), seal).await;
        Self { folder, context }
    }

    pub(super) async fn append(&self, runs: &[Value]) {
        let producer = Producer { name: "tests".into(), version: "1".into(), ..Producer::default() };
        let stamp = Stamp { now_micros: 1_800_000_000_000_000, producer };
        let mut batch = Vec::new();
        for value in runs {
            let event = Event::from_json("runs", value.clone(), &stamp).unwrap();
            batch.push(wire::append("runs", &self.context.codec, &event).unwrap());
        }
        self.context.journal.append(batch).await.unwrap();
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) async fn export(&self, out: &str) -> Report {
        self.export_with(Request::now(self.path(out))).await
    }

    pub(super) async fn export_with(&self, request: Request) -> Report {
        let report =
            Box::pin(export::write(&self.context, &Order::new("sft", request).unwrap(), &CancellationToken::new()))
                .await
                .unwrap();
        assert_eq!(report.evidence, report.rows + report.withheld.values().sum::<u64>(), "the counts add up");
        report
    }

    /// The same cut as a dataset's, again.
    pub(super) async fn export_at(&self, out: &str, manifest: &Path) -> Report {
        self.export_with(Request { at: manifest.display().to_string(), ..Request::now(self.path(out)) }).await
    }

    /// The events of a topic.
    pub(super) async fn events(&self, topic: &str) -> Vec<(Position, Event)> {
        let mut records = stillhouse::events::Records::of(&self.context, &[topic.to_owned()]).await.unwrap();
        let mut events = Vec::new();
        while let Some(page) = records.events().await.unwrap() {
            events.extend(page.into_iter().filter_map(|(position, read)| match read {
                stillhouse::events::Read::Event(event) => Some((position, *event)),
                _ => None,
            }));
        }
        events
    }

    /// Actions of all decisions, and `certified` for certificates.
    pub(super) async fn decided(&self) -> Vec<String> {
        let word = |(_, event): (Position, Event)| match event.payload {
            Payload::Decision(decision) => decision.action,
            _ => "certified".to_owned(),
        };
        self.events("decisions").await.into_iter().map(word).collect()
    }
}

pub(super) async fn open(folder: &Path, seal: bool) -> Context {
    let data = folder.join("data").display().to_string();
    let flags = [("data", data), ("partitions", "2".to_owned()), ("privacy.seal", seal.to_string())];
    let loaded = settings::load(Some(Path::new("/dev/null")), [], &flags).unwrap();
    Context::open(loaded, Output { format: Format::Text, quiet: true }).await.unwrap()
}

/// Runs of a dataset, in the order of its rows.
pub(super) fn runs(path: &Path) -> Vec<String> {
    let dataset = Dataset::open(path).unwrap();
    dataset.verify().unwrap();
    dataset.rows().map(|row| row.unwrap().run_id).collect()
}

/// All bytes of all files below a folder.
pub(super) fn contents(folder: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() {
            bytes.extend(contents(&entry.path()));
        } else {
            bytes.extend(std::fs::read(entry.path()).unwrap());
        }
    }
    bytes
}

pub(super) fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
