//! What is exported: up to where, from which generations, by which rules.

use super::canonical::{CanonicalError, Json};
use super::kinds::Kind;
use super::secrets::{self, Action, Screen};
use super::shapes::{Form, Shape};
use super::templates::TEMPLATES;
use super::{Filters, NAME, Splits, VERSION, duplicates};
use crate::decisions::Decisions;
use crate::firewall::{self, Policy, SFT_NEVER};
use crate::transform::Maker;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use stillhouse_schemas::{Category, Evidence, Producer, config_hash};
use stillhouse_streams::Progress;

/// A generation that the rows come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// The processor.
    pub processor: String,
    /// Its generation.
    pub generation: String,
    /// Version of its code.
    pub version: String,
    /// Hash of its settings.
    pub config_hash: String,
}

/// One export.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What is made.
    pub kind: &'static Kind,
    /// How its rows look; one that knows the kind.
    pub shape: &'static Shape,
    /// Name of the format of its files, which only the outlet knows.
    pub format: &'static str,
    /// Which runs are asked for.
    pub filters: Filters,
    /// Shares of train, validation and test.
    pub splits: Splits,
    /// What is done with secrets and personal data.
    pub screen: Screen,
    /// Rows as similar to an earlier one as this, or more, are left out.
    pub near_duplicates: Option<f64>,
    /// Pairs taken for one prompt; all, if nothing is said.
    pub max_pairs: Option<u64>,
    /// Characters of a chunk, at most.
    pub chunk_chars: usize,
    /// Characters that a chunk has in common with the one before, at most.
    pub chunk_overlap: usize,
    /// End offsets of the source topics, of those that runs are read from, of decisions and of control.
    pub cut: Progress,
    /// Physical topics of runs: as they came in, and as they were put together from traces.
    pub runs: Vec<String>,
    /// Physical topics of runs that are gone: all that was made of them was made before the cut.
    pub runs_before: Vec<String>,
    /// Physical topic of evidence.
    pub evidence: String,
    /// Physical topic of scores.
    pub scores: String,
    /// Physical topic of validations, if the live validator has a policy for any class.
    pub validations: Option<String>,
    /// Classes whose runs have to have passed.
    pub validated: BTreeSet<String>,
    /// Physical topic of labels, if there is one in the cut.
    pub labels: Option<String>,
    /// Physical topic of what is withheld.
    pub quarantine: String,
    /// What may become rows.
    pub policy: Policy,
    /// What operators decided up to the cut.
    pub decisions: Decisions,
    /// Whether the cut is the present: then what enters is released from quarantine.
    pub present: bool,
    /// The generations that evidence and scores come from, in the order of the pipeline.
    pub stages: Vec<Stage>,
    /// Runs folded at a time; a partition with more is read several times. Bounds the memory (about 200 bytes a run)
    /// and changes nothing else.
    pub runs_at_a_time: u64,
}

impl Plan {
    /// A good number for [`Plan::runs_at_a_time`].
    pub const RUNS_AT_A_TIME: u64 = 1 << 18;

    /// Characters of a chunk unless something else is asked for: about 300 tokens of English.
    pub const CHUNK_CHARS: usize = 1_200;
    /// Overlap of chunks unless something else is asked for.
    pub const CHUNK_OVERLAP: usize = 150;

    /// The form of its rows.
    ///
    /// # Panics
    /// If the shape does not know the kind; [`Shape::find`] gives none that does not.
    pub fn form(&self) -> &'static Form {
        self.shape.form(self.kind).expect("a shape that knows the kind")
    }

    /// Whether the split of this evidence is decided by its prompt.
    pub(super) fn by_prompt(&self, evidence: &Evidence) -> bool {
        self.splits != Splits::default() && evidence.task_key.as_deref().is_none_or(str::is_empty)
    }

    /// Categories that may become rows.
    pub fn categories(&self) -> Vec<Category> {
        Category::ALL.into_iter().filter(|c| self.policy.allows(*c)).collect()
    }

    /// All that changes what is made of the same events: name to value.
    pub fn settings(&self) -> BTreeMap<String, String> {
        let words = |categories: &[Category]| categories.iter().map(|c| c.as_str()).collect::<Vec<_>>().join(",");
        let mut settings = BTreeMap::from([
            ("kind".to_owned(), self.kind.name.to_owned()),
            ("shape".to_owned(), format!("{} {}", self.shape.name, self.form().version)),
            ("format".to_owned(), self.format.to_owned()),
            ("splits".to_owned(), self.splits.to_string()),
            ("secrets".to_owned(), secrets::VERSION.to_owned()),
            ("redact".to_owned(), self.screen.kinds(Action::Redact).join(",")),
            ("quarantine".to_owned(), self.screen.kinds(Action::Quarantine).join(",")),
            ("duplicates".to_owned(), duplicates::VERSION.to_owned()),
            ("categories".to_owned(), words(&self.categories())),
            ("never".to_owned(), words(&SFT_NEVER)),
            ("firewall".to_owned(), firewall::VERSION.to_owned()),
        ]);
        if let Some(threshold) = self.near_duplicates {
            settings.insert("near_duplicates".to_owned(), threshold.to_string());
        }
        if self.kind.meets {
            let most = self.max_pairs.map_or("all".to_owned(), |most| most.to_string());
            settings.insert("max_pairs".to_owned(), most);
        }
        if self.kind.name == "rag" {
            settings.insert("chunk_chars".to_owned(), self.chunk_chars.to_string());
            settings.insert("chunk_overlap".to_owned(), self.chunk_overlap.to_string());
        }
        for (name, values) in self.filters.lists() {
            settings.insert(format!("filter.{name}"), serde_json::json!(values).to_string());
        }
        settings.extend(TEMPLATES.iter().map(|t| (format!("template.{}", t.source_class), t.version.to_owned())));
        settings
    }

    /// What it is limited to, as the event about the dataset says it: enough to ask for the same again.
    pub fn limits(&self) -> BTreeMap<String, String> {
        let names = ["categories", "splits", "near_duplicates", "max_pairs", "redact", "quarantine"];
        let wanted = |name: &str| names.contains(&name) || name.starts_with("filter.") || name.starts_with("chunk_");
        self.settings().into_iter().filter(|(name, value)| wanted(name) && !value.is_empty()).collect()
    }

    /// Versions of what the dataset is made by: name to version.
    pub fn versions(&self) -> BTreeMap<String, String> {
        let mut versions = BTreeMap::from([
            (NAME.to_owned(), VERSION.to_owned()),
            ("firewall".to_owned(), firewall::VERSION.to_owned()),
            (format!("shape.{}", self.shape.name), self.form().version.to_owned()),
        ]);
        versions.extend(TEMPLATES.iter().map(|t| (format!("template.{}", t.source_class), t.version.to_owned())));
        let stage = |s: &Stage| (s.processor.clone(), format!("{} {} {}", s.version, s.generation, s.config_hash));
        versions.extend(self.stages.iter().map(stage));
        versions
    }

    /// Who makes the dataset and the events about it.
    pub fn producer(&self) -> Producer {
        Producer { name: NAME.into(), version: VERSION.into(), config_hash: config_hash(&self.settings()) }
    }

    /// Signs the events about it.
    pub fn maker(&self) -> Maker {
        Maker::new(self.producer())
    }

    /// SHA-256 of all that decides the rows: cut, generations, settings. Hex.
    pub fn digest(&self) -> Result<String, CanonicalError> {
        let producer = self.producer();
        let cut = self.cut.iter().map(|(topic, partition, end)| {
            Json::List(vec![
                Json::text(topic.as_ref()),
                Json::Int(partition.into()),
                Json::Verbatim(end.to_string().into()),
            ])
        });
        let stages = self.stages.iter().map(|s| {
            Json::map([
                ("processor", Json::text(s.processor.as_str())),
                ("generation", Json::text(s.generation.as_str())),
                ("version", Json::text(s.version.as_str())),
                ("config_hash", Json::text(s.config_hash.as_str())),
            ])
        });
        let settings = self.settings();
        let json = Json::map([
            ("cut", Json::List(cut.collect())),
            ("exporter", Json::List(vec![Json::text(producer.version), Json::text(producer.config_hash)])),
            ("settings", Json::map(settings.iter().map(|(k, v)| (k.as_str(), Json::text(v.as_str()))))),
            ("stages", Json::List(stages.collect())),
        ]);
        Ok(Sha256::digest(json.to_bytes()?).iter().map(|b| format!("{b:02x}")).collect())
    }

    /// Name of the dataset: its kind, and enough of its digest.
    pub fn dataset(&self) -> Result<String, CanonicalError> {
        Ok(format!("{}-{}", self.kind.name, &self.digest()?[..12]))
    }

    /// Name of what is left of the dataset when the owners of these keys were erased after its cut: not the same, so
    /// another name.
    pub fn remainder(&self, erased: &BTreeSet<String>) -> Result<String, CanonicalError> {
        let name = self.dataset()?;
        if erased.is_empty() {
            return Ok(name);
        }
        let keys = Json::List(erased.iter().map(|key| Json::text(key.as_str())).collect()).to_bytes()?;
        let digest: String = Sha256::digest(keys).iter().take(4).map(|b| format!("{b:02x}")).collect();
        Ok(format!("{name}-{digest}"))
    }
}
