//! Writing what must not be: wrong events past the processors, datasets past the exporter.

use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use stillhouse_processors::wire;
use stillhouse_schemas::{Cause, Codec, Envelope, Event, Exported, Payload, Producer, Replayed, ids};
use stillhouse_streams::{Append, Journal, Position};
use tokio::runtime::Runtime;

use crate::harness::{Reader, Runs, Stack};

/// A stack, from inside.
pub(super) struct Desk<'a> {
    stack: &'a Stack,
    runtime: Runtime,
}

/// Rows of a dataset's files, by name.
pub(super) type Files = BTreeMap<String, Vec<String>>;

impl<'a> Desk<'a> {
    pub(super) fn of(stack: &'a Stack) -> Self {
        Self { stack, runtime: Runtime::new().expect("a runtime") }
    }

    pub(super) fn folder(&self) -> &Path {
        self.stack.folder()
    }

    /// Every event of a topic.
    pub(super) fn events(&self, logical: &str) -> Vec<(Position, Event)> {
        Reader::of(self.stack).events(logical)
    }

    /// What was made of a run that came after the dataset.
    pub(super) fn later(&self, logical: &str) -> (Position, Event) {
        let run = Runs::new(5).id(super::BEFORE + 1);
        let found = self.events(logical).into_iter().find(|(_, event)| event.envelope.key == run);
        found.unwrap_or_else(|| panic!("{logical} has nothing of {run}"))
    }

    /// Appends a record as it is.
    pub(super) fn append_record(&mut self, append: Append) {
        let settings =
            stillhouse::settings::Settings { journal: self.stack.journal().to_owned(), ..Default::default() };
        self.runtime.block_on(async {
            let journal: Arc<dyn Journal> = stillhouse::journals::open(&settings).await.expect("the journal opens");
            journal.append(vec![append]).await.expect("it is appended");
        });
    }

    /// Moves a group past the ends of a topic, as if it had taken everything.
    pub(super) fn skip(&mut self, group: &str, topic: &str) {
        let settings =
            stillhouse::settings::Settings { journal: self.stack.journal().to_owned(), ..Default::default() };
        self.runtime.block_on(async {
            let journal: Arc<dyn Journal> = stillhouse::journals::open(&settings).await.expect("the journal opens");
            let ends = stillhouse_streams::runner::ends(journal.as_ref(), &[topic.to_owned()]).await.expect("ends");
            journal.reset(group, &ends).await.expect("reset");
        });
    }

    /// Appends runs that no processor takes.
    pub(super) fn feed(&self, lines: &str) {
        self.stack.feed(&["append", "runs"], lines.as_bytes()).ok();
    }

    /// Appends an event.
    pub(super) fn append(&mut self, topic: &str, event: &Event) {
        self.append_record(wire::append(topic, &Codec::plain(), event).expect("it encodes"));
    }

    /// A replay of a run by a model, sound in everything.
    pub(super) fn replay(&self) -> Event {
        let (position, run) = self.later("runs");
        let producer =
            Producer { name: "replayer".into(), version: "1".into(), config_hash: "0123456789abcdef".into() };
        let replayed = Replayed {
            run_id: run.envelope.key.clone(),
            mode: "model".into(),
            verdict: "same".into(),
            ..Replayed::default()
        };
        made(producer, "replays", &[(&position, &run)], Payload::Replayed(replayed))
    }

    /// The one dataset of a kind.
    pub(super) fn dataset(&self, kind: &str) -> PathBuf {
        let folder = self.folder().join("data/datasets");
        let mut found = std::fs::read_dir(folder).expect("datasets").map(|entry| entry.expect("an entry").path());
        let of_kind = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(kind));
        found.find(of_kind).expect("a dataset")
    }

    /// Changes a file of the SFT dataset where it stands.
    pub(super) fn edit(&self, file: &str, edit: impl FnOnce(String) -> String) {
        let path = self.dataset("sft").join(file);
        let text = std::fs::read_to_string(&path).expect("a file");
        std::fs::write(path, edit(text)).expect("a file");
    }

    /// Writes a second SFT dataset, a changed copy of the first, with a manifest and an event that fit it.
    pub(super) fn forge(&mut self, change: impl FnOnce(&mut Files, &mut Value)) {
        self.forge_of(&self.dataset("sft"), change);
    }

    /// Writes a changed copy of a dataset, with a manifest and an event that fit it. What its rows were made of is what
    /// they say then, unless the change says that too.
    pub(super) fn forge_of(&mut self, original: &Path, change: impl FnOnce(&mut Files, &mut Value)) {
        let name = "sft-f0r6ed000000";
        let folder = self.folder().join("data/datasets").join(name);
        super::copy_folder(original, &folder);
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).expect("a file");
        let mut manifest: Value = serde_json::from_str(&read("manifest.json")).expect("JSON");
        let listed = manifest["files"].as_array().expect("files").clone();
        let is_data = |file: &&Value| file["path"].as_str().is_some_and(|path| path.starts_with("data/"));
        let path = |file: &Value| file["path"].as_str().expect("a path").to_owned();
        let mut files: Files = listed
            .iter()
            .filter(is_data)
            .map(|file| (path(file), read(&path(file)).lines().map(str::to_owned).collect()))
            .collect();
        change(&mut files, &mut manifest);
        let said = files.remove(LINEAGE);
        let others = listed.iter().filter(|file| !is_data(file) && file["path"] != LINEAGE);
        let mut entries: Vec<Value> = others.cloned().collect();
        let mut write = |path: &str, lines: &[String], rows: usize| {
            let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            std::fs::write(folder.join(path), &text).expect("a file");
            entries.push(serde_json::json!({"path": path, "bytes": text.len(), "rows": rows, "sha256": sha256(&text)}));
        };
        for (path, lines) in &files {
            write(path, lines, lines.len());
        }
        match manifest["stages"] != serde_json::json!([]) {
            true => write(LINEAGE, &said.unwrap_or_else(|| lineage(&files)), 0),
            false => std::fs::remove_file(folder.join(LINEAGE)).expect("a file"),
        }
        manifest["files"] = entries.into();
        let text = format!("{manifest:#}\n");
        std::fs::write(folder.join("manifest.json"), &text).expect("a file");
        let exported = Exported {
            dataset: name.into(),
            kind: manifest["kind"].as_str().expect("a kind").into(),
            rows: manifest["counts"]["rows"].as_i64().expect("rows"),
            manifest_sha256: sha256(&text),
            ..Exported::default()
        };
        let envelope = Envelope {
            id: ids::live(),
            key: name.into(),
            producer: Producer { name: "exporter".into(), version: "1".into(), config_hash: String::new() },
            ..Envelope::default()
        };
        self.append("exports", &Event { envelope, payload: Payload::Exported(exported) });
    }
}

/// The file that says what rows were made of.
pub(super) const LINEAGE: &str = "lineage.jsonl";

/// What the rows say that they were made of.
pub(super) fn lineage(files: &Files) -> Vec<String> {
    let mut lines = Vec::new();
    for (path, rows) in files {
        let split = path.trim_start_matches("data/").split('-').next().expect("a split");
        for (number, row) in (1..).zip(rows) {
            let row: Value = serde_json::from_str(row).expect("a row");
            let sides: &[&str] = if row["chosen_run_id"].is_null() { &[""] } else { &["chosen_", "rejected_"] };
            let ids = ["evidence_id", "run_id", "score_id"];
            let from = sides.iter().map(|side| ids.map(|id| (id, row[format!("{side}{id}")].clone())));
            let from: Vec<Value> = from.map(|ids| ids.into_iter().collect::<Value>()).collect();
            lines.push(serde_json::json!({"from": from, "row": number, "split": split}).to_string());
        }
    }
    lines
}

/// An event that is sound in its envelope.
pub(super) fn made(producer: Producer, logical: &str, causes: &[(&Position, &Event)], payload: Payload) -> Event {
    let cause_ids: Vec<&str> = causes.iter().map(|(_, event)| event.envelope.id.as_str()).collect();
    let id = ids::derived(&cause_ids, &producer.name, &producer.version, &producer.config_hash, logical, 0);
    let cause = |(position, event): &(&Position, &Event)| Cause {
        id: event.envelope.id.clone(),
        topic: position.topic.to_string(),
        partition: i32::try_from(position.partition).expect("a partition"),
        offset: i64::try_from(position.offset).expect("an offset"),
    };
    let envelope = Envelope {
        id,
        key: payload.run_id().unwrap_or_default().to_owned(),
        occurred_at: causes.iter().map(|(_, event)| event.envelope.occurred_at).max().unwrap_or_default(),
        producer,
        causes: causes.iter().map(cause).collect(),
        ..Envelope::default()
    };
    Event { envelope, payload }
}

fn sha256(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}
