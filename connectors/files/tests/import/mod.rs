//! Import: files through mappings, as its users see it.

mod bad_input;
mod identity;
mod language;
mod reading;
mod ready;
mod resume;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use stillhouse_files::import::{Mapping, Options, Reading, Rejection};
use stillhouse_schemas::{Event, Payload, Run};

/// A mapping that takes `{"id", "q", "a"}`.
const PLAIN: &str = r#"
name = "plain"
messages = [{ role = "user", content = "{q}" }, { role = "assistant", content = "{a}" }]
"#;

/// What came of files.
#[derive(Default)]
struct Imported {
    events: Vec<Event>,
    rejections: Vec<Rejection>,
    records: u64,
    passed_over: u64,
    blank_lines: u64,
}

impl Imported {
    fn runs(&self) -> Vec<&Run> {
        self.events
            .iter()
            .map(|event| match &event.payload {
                Payload::Run(run) => run,
                other => panic!("not a run: {other:?}"),
            })
            .collect()
    }

    fn run(&self) -> &Run {
        let [run] = self.runs()[..] else { panic!("{} runs, rejected: {:?}", self.events.len(), self.rejections) };
        run
    }

    fn ids(&self) -> Vec<&str> {
        self.events.iter().map(|e| e.envelope.id.as_str()).collect()
    }

    fn reasons(&self) -> Vec<String> {
        self.rejections.iter().map(ToString::to_string).collect()
    }

    /// Role and text of every message of every run.
    fn talk(&self) -> Vec<(String, String)> {
        let messages = self.runs().into_iter().flat_map(|r| r.messages.clone());
        messages.map(|m| (m.role, m.content.unwrap_or_default())).collect()
    }
}

fn mapping(text: &str) -> Arc<Mapping> {
    Arc::new(Mapping::parse("test.toml", text).unwrap_or_else(|e| panic!("{e}")))
}

fn ready(name: &str) -> Arc<Mapping> {
    Arc::new(stillhouse_files::import::ready(name).expect(name).mapping().unwrap_or_else(|e| panic!("{e}")))
}

fn import_files(mapping: Arc<Mapping>, paths: &[&Path], options: Options) -> Imported {
    let paths = paths.iter().map(|p| p.to_str().expect("UTF-8").to_owned()).collect();
    let mut reading = Reading::new(mapping, paths, options).expect("a temporary file");
    let mut imported = Imported::default();
    while let Some(step) = reading.next_step() {
        imported.records += step.records;
        imported.passed_over += step.passed_over;
        for result in step.results {
            match result {
                Ok(event) => imported.events.push(event),
                Err(rejection) => imported.rejections.push(rejection),
            }
        }
    }
    imported.blank_lines = reading.blank_lines();
    imported
}

/// A folder with files in it.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).expect("writing a file");
        path
    }
}

/// One file through a mapping.
fn import(mapping: Arc<Mapping>, bytes: impl AsRef<[u8]>) -> Imported {
    let folder = Folder::new();
    let file = folder.file("input", bytes);
    import_files(mapping, &[&file], Options::default())
}
