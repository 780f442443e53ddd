//! What every command works with: settings, the journal behind its URI, the codec, names, output.

use crate::calls::{OnlyRecorded, RecordedCalls};
use crate::embedders::{Kept, OnlyInProcess};
use crate::failure::{Failure, Outcome, Status};
use crate::known::{KnownByLog, LoggedClaims};
use crate::output::Output;
use crate::rosters::LoggedRosters;
use crate::settings::{Loaded, Settings};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use stillhouse_processors::Ports;
use stillhouse_processors::validator::remote::Remotes;
use stillhouse_schemas::model::{Calls, Embedders};
use stillhouse_schemas::roster::Rosters;
use stillhouse_schemas::{Codec, Partitions, TOPICS};
use stillhouse_streams::generation::{FIRST, Names};
use stillhouse_streams::{Cleanup, GroupSpec, Journal, TopicSpec};

/// What every command works with.
#[derive(Clone)]
pub struct Context {
    /// All settings, with their origins.
    pub loaded: Arc<Loaded>,
    /// The journal.
    pub journal: Arc<dyn Journal>,
    /// Encodes and decodes events.
    pub codec: Codec,
    /// Names of this instance's topics and groups.
    pub names: Names,
    /// Where words go.
    pub out: Output,
    /// The journal cannot be written.
    pub read_only: bool,
    calls: Arc<OnceLock<Arc<RecordedCalls>>>,
    embedders: Arc<OnceLock<Kept>>,
    known: Arc<OnceLock<Arc<KnownByLog>>>,
    /// Processors get recorded answers of models and nothing else.
    asks_nobody: bool,
}

impl Context {
    /// Opens the journal that the settings name, and makes the topics that are missing.
    pub async fn open(loaded: Loaded, out: Output) -> Outcome<Self> {
        let journal = crate::journals::open(&loaded.settings).await?;
        let context = Self::new(loaded, out, journal, false)?;
        context.ensure_topics().await?;
        Ok(context)
    }

    /// Opens the journal for a command that only reads, where it cannot be written too.
    pub async fn open_to_read(loaded: Loaded, out: Output) -> Outcome<Self> {
        let (journal, writable) = crate::journals::open_to_read(&loaded.settings).await?;
        let context = Self::new(loaded, out, journal, !writable)?;
        if writable {
            context.ensure_topics().await?;
        } else {
            context.out.note("the journal cannot be written (a full disk, or one to be read only): it is only read");
        }
        Ok(context)
    }

    fn new(loaded: Loaded, out: Output, journal: Arc<dyn Journal>, read_only: bool) -> Outcome<Self> {
        let codec = crate::journals::codec(&loaded.settings)?;
        let names = Names::new(&loaded.settings.instance);
        Ok(Self {
            loaded: Arc::new(loaded),
            journal,
            codec,
            names,
            out,
            read_only,
            calls: Arc::default(),
            embedders: Arc::default(),
            known: Arc::default(),
            asks_nobody: false,
        })
    }

    /// The same, for commands that make something of what is there: refused when the keys of it are lost.
    pub async fn open_for_work(loaded: Loaded, out: Output) -> Outcome<Self> {
        let context = Self::open(loaded, out).await?;
        crate::keystore::check(&context).await?;
        Ok(context)
    }

    /// The same, recognising ids that were appended before on journals that have no index of them. It reads what
    /// others appended first, so it is for commands that append.
    pub async fn open_for_appends(loaded: Loaded, out: Output) -> Outcome<Self> {
        let mut context = Self::open_for_work(loaded, out).await?;
        context.journal = crate::journals::remembering(context.settings(), context.journal.clone()).await?;
        Ok(context)
    }

    /// The calls of models, and what was answered before.
    pub fn calls(&self) -> Arc<RecordedCalls> {
        let make = || {
            let topic = self.names.topic("calls");
            let models = self.settings().models.clone();
            Arc::new(RecordedCalls::new(self.journal.clone(), self.codec.clone(), topic, models))
        };
        self.calls.get_or_init(make).clone()
    }

    /// The models that make vectors, and what they made before.
    pub fn embedders(&self) -> &Kept {
        self.embedders.get_or_init(|| Kept::new(self.settings()))
    }

    /// The rosters and the claims that the log tells. What it tells now is read by [`KnownByLog::catch_up`].
    pub fn known(&self) -> &Arc<KnownByLog> {
        let make = || {
            let rosters = LoggedRosters::new(self.journal.clone(), self.codec.clone(), &self.names);
            Arc::new(KnownByLog::new(Arc::new(rosters), Arc::new(LoggedClaims::new(self))))
        };
        self.known.get_or_init(make)
    }

    /// The rosters of them.
    pub fn rosters(&self) -> &Arc<LoggedRosters> {
        self.known().rosters()
    }

    /// What processors are handed.
    pub fn ports(&self) -> Ports {
        let calls: Arc<dyn Calls> = if self.asks_nobody { Arc::new(OnlyRecorded(self.calls())) } else { self.calls() };
        let cache = self.embedders().cache.clone();
        let embedders: Arc<dyn Embedders> =
            if self.asks_nobody { Arc::new(OnlyInProcess(cache)) } else { Arc::new(cache) };
        let rosters: Arc<dyn Rosters> = self.rosters().clone();
        Ports {
            codec: self.codec.clone(),
            calls: Some(calls),
            embedders: Some(embedders),
            rosters: Some(rosters),
            claims: Some(self.known().claims().clone()),
            known: Some(self.known().clone()),
            remotes: self.remotes(),
        }
    }

    /// Validators that are asked over HTTP.
    pub fn remotes(&self) -> Option<Arc<dyn Remotes>> {
        if self.asks_nobody { None } else { crate::models::remotes() }
    }

    /// The same, where processors ask no model: they get what was answered before.
    pub fn asking_nobody(&self) -> Self {
        Self { asks_nobody: true, ..self.clone() }
    }

    /// The same, without words for people.
    pub fn quiet(&self) -> Self {
        Self { out: Output { quiet: true, ..self.out.clone() }, ..self.clone() }
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.loaded.settings
    }

    /// Where this instance keeps what is not in the journal.
    pub fn data(&self) -> PathBuf {
        data_dir(self.settings())
    }

    /// Makes the topics of every table entry at the first generation, as far as they are missing.
    async fn ensure_topics(&self) -> Outcome {
        let specs: Vec<TopicSpec> = TOPICS
            .iter()
            .map(|topic| {
                let name =
                    if topic.derived { self.names.derived(topic.name, FIRST) } else { self.names.topic(topic.name) };
                self.topic_spec(topic, name)
            })
            .collect();
        let existing = self.journal.topics().await?;
        let missing: Vec<TopicSpec> =
            specs.into_iter().filter(|spec| !existing.iter().any(|topic| topic.spec.name == spec.name)).collect();
        if missing.is_empty() { Ok(()) } else { Ok(self.journal.ensure(&missing).await?) }
    }

    /// The specification of a physical topic of this instance.
    pub fn topic_spec(&self, topic: &stillhouse_schemas::Topic, name: String) -> TopicSpec {
        let partitions = match topic.partitions {
            Partitions::PerRun => self.settings().partitions,
            Partitions::One => 1,
        };
        TopicSpec {
            name,
            partitions,
            cleanup: match topic.cleanup {
                stillhouse_schemas::Cleanup::Compact => Cleanup::Compact,
                stillhouse_schemas::Cleanup::Delete => Cleanup::Keep,
            },
        }
    }

    /// A group over physical topics, with the session timeout of the settings.
    pub fn group(&self, group: String, topics: Vec<String>) -> GroupSpec {
        let session_timeout = std::time::Duration::from_secs(self.settings().runner.session_timeout_seconds);
        GroupSpec { group, topics, session_timeout }
    }
}

/// Where an instance keeps what is not in the journal.
pub fn data_dir(settings: &Settings) -> PathBuf {
    if settings.instance.is_empty() { settings.data.clone() } else { settings.data.join(&settings.instance) }
}

/// The directory, made private to its owner if it is missing.
pub fn make_dir(path: &Path) -> Outcome<PathBuf> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|e| {
        Failure::new(Status::Config, format!("cannot create {}: {e}", path.display()))
            .hint("choose another place with --data DIR")
    })?;
    Ok(path.to_path_buf())
}
