//! The table of processors. The command line, the node, the API, metrics, documents and tests iterate it.
//!
//! Adding a processor is a folder and an entry.

use crate::join::{EventJoin, JoinAdapter};
use crate::nearest::nearest;
use crate::settings::{Setting, SettingError, Settings};
use crate::transform::{Adapter, EventTransform, Maker, Ports};
use crate::{assembler, auditor, embedder, exporter, materializer, reconciler, replayer, scorer, validator};
use std::collections::BTreeMap;
use std::sync::Arc;
use stillhouse_schemas::Producer;
use stillhouse_streams::runner::Transform;

/// One processor: what it is called, what it reads, what it writes, what can be set.
#[derive(Debug)]
pub struct Definition {
    /// Name; also the first part of its groups' names.
    pub name: &'static str,
    /// Version of its code.
    pub version: &'static str,
    /// What it does, in a sentence.
    pub doc: &'static str,
    /// Logical topics that it reads.
    pub inputs: &'static [&'static str],
    /// Logical topics that it writes.
    pub outputs: &'static [&'static str],
    /// What can be set for a generation.
    pub settings: &'static [Setting],
    /// How it is run.
    pub kind: Kind,
}

/// How a processor is run.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// All the time, by the runner, in its own group: topics to topics.
    Transform(Build),
    /// When asked for, over a cut: topics to files. It joins no group and has no rewinds; its outputs are those of its
    /// first generation.
    OnRequest,
}

/// Makes a transform with these settings.
pub type Build = fn(&Definition, &Settings, Ports) -> Result<Arc<dyn Transform>, SettingError>;

impl Definition {
    /// Its settings, with the given values over the defaults.
    pub fn settings(&self, given: &BTreeMap<String, String>) -> Result<Settings, SettingError> {
        Settings::new(self.name, self.settings, given)
    }

    /// How it signs with these settings.
    pub fn producer(&self, settings: &Settings) -> Producer {
        Producer { name: self.name.to_owned(), version: self.version.to_owned(), config_hash: settings.config_hash() }
    }

    /// The transform with these settings; nothing for a processor that the runner does not run.
    pub fn build(
        &self,
        settings: &Settings,
        ports: impl Into<Ports>,
    ) -> Result<Option<Arc<dyn Transform>>, SettingError> {
        match self.kind {
            Kind::Transform(build) => build(self, settings, ports.into()).map(Some),
            Kind::OnRequest => Ok(None),
        }
    }

    /// Whether the runner runs it, and it can be rewound.
    pub fn is_transform(&self) -> bool {
        matches!(self.kind, Kind::Transform(_))
    }
}

/// Every processor there is, upstream first.
pub static PROCESSORS: &[Definition] = &[
    Definition {
        name: assembler::NAME,
        version: assembler::VERSION,
        doc: "Puts the spans of a trace together into a run, by the vocabularies that tracing libraries use.",
        inputs: &["spans"],
        outputs: &["traces"],
        settings: assembler::SETTINGS,
        kind: Kind::Transform(|definition, settings, ports| {
            Ok(definition.adapt_join(assembler::Assembler::new(settings), settings, ports))
        }),
    },
    Definition {
        name: materializer::NAME,
        version: materializer::VERSION,
        doc: "Makes runs into evidence, by one transform per source class; what none takes goes to quarantine.",
        inputs: &["runs", "traces"],
        outputs: &["evidence", "quarantine.materializer"],
        settings: materializer::SETTINGS,
        kind: Kind::Transform(|definition, settings, ports| {
            Ok(definition.adapt(materializer::Materializer::new(settings)?, settings, ports))
        }),
    },
    Definition {
        name: scorer::NAME,
        version: scorer::VERSION,
        doc: "Judges evidence by rules, by a model if told to, and by what people say: a score and one of four categories.",
        inputs: &["evidence", "labels"],
        outputs: &["scores"],
        settings: scorer::SETTINGS,
        kind: Kind::Transform(|definition, settings, ports| {
            let scorer = scorer::Scorer::new(settings)?;
            if scorer.asks_models() && ports.calls.is_none() {
                return Err(settings.clash("it has a judge, and no models can be asked here"));
            }
            Ok(definition.adapt(scorer, settings, ports))
        }),
    },
    Definition {
        name: reconciler::NAME,
        version: reconciler::VERSION,
        doc: "Decides what is held of what sources claim, by their authority, agreement and recency, and keeps all sides.",
        inputs: &["claims"],
        outputs: &["verdicts"],
        settings: reconciler::SETTINGS,
        kind: Kind::Transform(|definition, settings, ports| {
            Ok(definition.adapt_join(reconciler::Reconciler::new(settings)?, settings, ports))
        }),
    },
    Definition {
        name: validator::NAME,
        version: validator::VERSION,
        doc: "Looks at what evidence proposes by the policy of its class: a verdict, with reasons and remedies.",
        inputs: &["evidence"],
        outputs: &["validations"],
        settings: validator::SETTINGS,
        kind: Kind::Transform(|definition, settings, ports| {
            let maker = Maker::new(definition.producer(settings));
            Ok(Arc::new(validator::Validator::new(settings, maker, ports)?))
        }),
    },
    Definition {
        name: embedder::NAME,
        version: embedder::VERSION,
        doc: "Makes vectors of what belongs to a corpus: evidence, runs, documents.",
        inputs: &["runs", "traces", "evidence", "documents"],
        outputs: &["embeddings"],
        settings: embedder::SETTINGS,
        kind: Kind::Transform(|definition, settings, ports| {
            let maker = Maker::new(definition.producer(settings));
            Ok(Arc::new(embedder::Embedder::new(settings, maker, ports)?))
        }),
    },
    Definition {
        name: exporter::NAME,
        version: exporter::VERSION,
        doc: "Writes datasets of what the firewall admits, named by their cut; what it keeps out goes to quarantine.",
        inputs: &["evidence", "scores", "validations", "labels", "decisions"],
        outputs: &["quarantine.exporter", "exports"],
        settings: &[],
        kind: Kind::OnRequest,
    },
    Definition {
        name: replayer::NAME,
        version: replayer::VERSION,
        doc: "Runs recorded runs again, with recorded results of tools, and names the first step that goes otherwise.",
        inputs: &["runs"],
        outputs: &["replays"],
        settings: &[],
        kind: Kind::OnRequest,
    },
    Definition {
        name: auditor::NAME,
        version: auditor::VERSION,
        doc: "Checks everything in a cut against what must hold, and compares figures with those of an earlier audit.",
        inputs: &["runs", "evidence", "scores", "quarantine.materializer", "quarantine.exporter", "replays"],
        outputs: &["audits"],
        settings: auditor::SETTINGS,
        kind: Kind::OnRequest,
    },
];

impl Definition {
    fn adapt(&self, transform: impl EventTransform, settings: &Settings, ports: Ports) -> Arc<dyn Transform> {
        Arc::new(Adapter::new(transform, Maker::new(self.producer(settings)), ports))
    }

    fn adapt_join(&self, join: impl EventJoin, settings: &Settings, ports: Ports) -> Arc<dyn Transform> {
        Arc::new(JoinAdapter::new(join, Maker::new(self.producer(settings)), ports.codec))
    }
}

/// No processor of that name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no processor is called `{name}`{}", hint(nearest))]
pub struct UnknownProcessor {
    /// The name given.
    pub name: String,
    /// The most similar one, if one is similar.
    pub nearest: Option<&'static str>,
}

fn hint(nearest: &Option<&'static str>) -> String {
    match nearest {
        Some(name) => format!("; did you mean `{name}`?"),
        None => format!("; there are {}", PROCESSORS.iter().map(|p| p.name).collect::<Vec<_>>().join(", ")),
    }
}

/// The processor of this name.
pub fn processor(name: &str) -> Result<&'static Definition, UnknownProcessor> {
    PROCESSORS.iter().find(|definition| definition.name == name).ok_or_else(|| UnknownProcessor {
        name: name.escape_debug().to_string(),
        nearest: nearest(name, PROCESSORS.iter().map(|definition| definition.name)),
    })
}
