//! Looking at what a stack holds, past the command line: the journal's records, and the files of datasets.

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use stillhouse_schemas::{Codec, Event, topic};
use stillhouse_streams::generation::{FIRST, Names};
use stillhouse_streams::{Journal, Position, Record, Verified};
use tokio::runtime::Runtime;

use super::stack::Stack;

/// Reads a stack's journal in this process.
pub(crate) struct Reader {
    runtime: Runtime,
    journal: Arc<dyn Journal>,
    names: Names,
}

impl Reader {
    pub(crate) fn of(stack: &Stack) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let settings = stillhouse::settings::Settings {
            journal: stack.journal().to_owned(),
            instance: stack.instance().to_owned(),
            ..Default::default()
        };
        let journal = runtime.block_on(stillhouse::journals::open(&settings)).expect("the journal opens");
        Self { runtime, journal, names: Names::new(stack.instance()) }
    }

    /// The physical name of a topic's first generation.
    pub(crate) fn physical(&self, logical: &str) -> String {
        let derived = topic(logical).unwrap_or_else(|| panic!("{logical} is a topic")).derived;
        if derived { self.names.derived(logical, FIRST) } else { self.names.topic(logical) }
    }

    /// Every event of a topic, by partition and offset.
    pub(crate) fn events(&self, logical: &str) -> Vec<(Position, Event)> {
        self.read(&self.physical(logical))
    }

    /// Every event that a generation wrote to a topic.
    pub(crate) fn events_of(&self, logical: &str, generation: &str) -> Vec<(Position, Event)> {
        self.read(&self.names.derived(logical, generation))
    }

    /// Every record of a topic, as it stands, partition after partition.
    pub(crate) fn records(&self, logical: &str) -> Vec<Record> {
        let name = self.physical(logical);
        self.block_on(async |journal| {
            let topics = journal.topics().await.expect("topics");
            let found = topics.iter().find(|t| t.spec.name == name).expect("the topic");
            let mut records = Vec::new();
            for (partition, bounds) in (0..).zip(&found.partitions) {
                let mut scan = journal.scan(&name, partition, 0, Some(bounds.end)).await.expect("scan");
                loop {
                    let page = scan.next(1_000).await.expect("page");
                    if page.is_empty() {
                        break;
                    }
                    records.extend(page.into_iter().map(|stored| stored.record));
                }
            }
            records
        })
    }

    /// Does something with the journal itself.
    pub(crate) fn block_on<T>(&self, work: impl AsyncFnOnce(&dyn Journal) -> T) -> T {
        self.runtime.block_on(work(self.journal.as_ref()))
    }

    fn read(&self, name: &str) -> Vec<(Position, Event)> {
        let codec = Codec::plain();
        self.runtime.block_on(async {
            let topics = self.journal.topics().await.expect("topics");
            let found =
                topics.iter().find(|t| t.spec.name == name).unwrap_or_else(|| panic!("there is no topic {name}"));
            let mut events = Vec::new();
            for (partition, bounds) in (0..).zip(&found.partitions) {
                let mut scan = self.journal.scan(name, partition, 0, Some(bounds.end)).await.expect("scan");
                loop {
                    let page = scan.next(1_000).await.expect("page");
                    if page.is_empty() {
                        break;
                    }
                    events.extend(page.into_iter().map(|stored| {
                        let event = codec.decode(stored.record.value.as_deref().expect("a value")).expect("an event");
                        (Position::new(name, partition, stored.offset), event)
                    }));
                }
            }
            events
        })
    }

    /// How often each key stands in a topic, in events that are not the same one again.
    pub(crate) fn counts(&self, logical: &str) -> BTreeMap<String, usize> {
        let mut ids: BTreeMap<String, String> = BTreeMap::new();
        for (_, event) in self.events(logical) {
            ids.insert(event.envelope.id, event.envelope.key);
        }
        let mut counts = BTreeMap::new();
        for key in ids.into_values() {
            *counts.entry(key).or_default() += 1;
        }
        counts
    }

    /// What the journal finds when it checks itself.
    pub(crate) fn verify(&self) -> Verified {
        self.runtime.block_on(self.journal.verify()).expect("verify")
    }
}

/// A dataset: its manifest, its files, its rows.
pub(crate) struct Dataset {
    pub(crate) manifest: Value,
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    pub(crate) rows: Vec<Row>,
}

/// One row.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) run_id: String,
    pub(crate) evidence_id: String,
    pub(crate) score_id: String,
    pub(crate) value: Value,
}

/// Reads a dataset's folder, whose files must be those that the manifest names.
pub(crate) fn dataset(folder: &Path) -> Dataset {
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    let manifest: Value = serde_json::from_slice(&read("manifest.json")).expect("the manifest is JSON");
    let mut files = BTreeMap::new();
    let mut rows = Vec::new();
    for file in manifest["files"].as_array().expect("files") {
        let name = file["path"].as_str().expect("a path").to_owned();
        let bytes = read(&name);
        assert_eq!(file["sha256"].as_str(), Some(sha256(&bytes).as_str()), "the hash of {name}");
        if name.starts_with("data/") && name.ends_with(".jsonl") {
            rows.extend(String::from_utf8(bytes.clone()).expect("UTF-8").lines().map(row));
        }
        files.insert(name, bytes);
    }
    let mut found = Vec::new();
    list(folder, "", &mut found);
    found.retain(|name| name != "manifest.json");
    found.sort();
    assert!(found.iter().eq(files.keys()), "the manifest names {:?}, the folder has {found:?}", files.keys());
    Dataset { manifest, files, rows }
}

/// Every file below a folder, by its path there.
fn list(folder: &Path, prefix: &str, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder").map(|e| e.expect("an entry")) {
        let name = format!("{prefix}{}", entry.file_name().to_str().expect("UTF-8"));
        if entry.path().is_dir() {
            list(&entry.path(), &format!("{name}/"), found);
        } else {
            found.push(name);
        }
    }
}

fn row(line: &str) -> Row {
    let value: Value = serde_json::from_str(line).expect("a row is JSON");
    // Of a pair the better side's; other shapes have none.
    let of = |name: &str| value[name].as_str().or_else(|| value[format!("chosen_{name}")].as_str());
    let field = |name: &str| of(name).unwrap_or_default().to_owned();
    Row { run_id: field("run_id"), evidence_id: field("evidence_id"), score_id: field("score_id"), value }
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
