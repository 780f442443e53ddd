//! What pairs ask, made again of the evidence behind them: for whoever holds a dataset against its journal.

use super::canonical::Json;
use super::kinds::kind;
use super::secrets::{self, Action, Redacted, Screen};
use super::shapes::{Content, Form, Pair, Shape};
use super::source::Source;
use super::templates::template;
use super::{Short, short};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use stillhouse_schemas::{Event, Payload};
use stillhouse_streams::Position;

/// Members of a row that ask, in every shape of pairs. The others answer, or trace.
const ASKING: [&str; 5] = ["conversations", "input", "messages", "prompt", "tools"];

/// How a dataset of pairs writes what it asks.
#[derive(Clone, Debug)]
pub struct Asked {
    form: &'static Form,
    screen: Screen,
    /// The versions of the templates that it was made by.
    settings: BTreeMap<String, String>,
}

impl Asked {
    /// Of a dataset with these settings; nothing if it holds no pairs, or other versions made it than are here.
    pub fn of(kind_name: &str, shape: &str, settings: &BTreeMap<String, String>) -> Option<Self> {
        let kind = kind(kind_name).filter(|kind| kind.meets)?;
        let form = Shape::find(kind, Some(shape)).ok()?.form(kind)?;
        let same = |name: &str, version: &str| settings.get(name).is_some_and(|said| said == version);
        if !same("shape", &format!("{shape} {}", form.version)) || !same("secrets", secrets::VERSION) {
            return None;
        }
        // What would have kept a row out was let in by an operator, and left as it was.
        let mut screen = Screen::open();
        if let Some(finds) = settings.get("redact").filter(|finds| !finds.is_empty()) {
            screen.set(&finds.parse().ok()?, Action::Redact);
        }
        Some(Self { form, screen, settings: settings.clone() })
    }

    /// What an evidence asks; nothing if that cannot be told.
    pub fn of_evidence(&self, event: &Event, position: &Position) -> Option<Short> {
        let Payload::Evidence(evidence) = &event.payload else { return None };
        let template = template(&evidence.source_class).ok()?;
        let version = self.settings.get(&format!("template.{}", template.source_class))?;
        let mut sample = (template.synthesise)(evidence).ok().filter(|_| version == template.version)?;
        sample.messages.pop()?;
        let mut redacted = Redacted::default();
        for json in sample.messages.iter_mut().chain([&mut sample.tools]) {
            self.screen.json(json, &mut redacted).ok()?;
        }
        let source = Source::new(event, evidence, position, None);
        let pair = Pair {
            id: "",
            prompt: sample.messages,
            tools: sample.tools,
            chosen: Json::Null,
            rejected: Json::Null,
            chosen_source: &source,
            rejected_source: &source,
        };
        Some(of_row(&(self.form.render)(Content::Pair(pair))))
    }
}

/// What a row asks.
pub fn of_row(row: &Json<'_>) -> Short {
    let Json::Map(members) = row else { return Short::default() };
    let mut hash = Sha256::new();
    for name in ASKING {
        let bytes = members.get(name).and_then(|value| value.to_bytes().ok()).unwrap_or_default();
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    }
    short(hash.finalize())
}
