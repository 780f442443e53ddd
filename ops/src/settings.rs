//! The settings tree: a file, then the environment, then flags; each value knows where it came from.

use crate::failure::{Failure, Outcome, Status};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Name of the settings file looked for in the working directory.
pub const FILE: &str = "stillhouse.toml";

/// Everything that can be set. Serialisable; components (journal, codec) are made from it and passed beside it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Where data is kept.
    pub data: PathBuf,
    /// URI of the journal; empty: `embedded:<data>/journal`.
    pub journal: String,
    /// Prefix of all topics and groups, so that stacks on one journal do not meet.
    pub instance: String,
    /// Partitions of the topics about runs.
    pub partitions: u32,
    /// The HTTP API.
    pub http: Http,
    /// The embedded journal.
    pub embedded: Embedded,
    /// Apache Kafka.
    pub kafka: Kafka,
    /// The loop that runs processors.
    pub runner: Runner,
    /// Personal data.
    pub privacy: Privacy,
    /// Models that are asked.
    pub models: Models,
    /// The workers that there are.
    pub roster: Roster,
    /// Searches.
    pub search: Search,
    /// What can be searched: name to declaration, for the first generation of the embedder. None: the usual ones.
    pub corpora: BTreeMap<String, serde_json::Value>,
    /// Policies: name to declaration. The ready ones, `fill` and `email`, need none.
    pub policies: BTreeMap<String, serde_json::Value>,
    /// Validators of your own: name to rules, or to a URL.
    pub validators: BTreeMap<String, serde_json::Value>,
    /// Settings of the first generation of each processor: name to value.
    pub processors: BTreeMap<String, BTreeMap<String, String>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data: PathBuf::from("stillhouse-data"),
            journal: String::new(),
            instance: String::new(),
            partitions: 4,
            http: Http::default(),
            embedded: Embedded::default(),
            kafka: Kafka::default(),
            runner: Runner::default(),
            privacy: Privacy::default(),
            models: Models::default(),
            roster: Roster::default(),
            search: Search::default(),
            corpora: BTreeMap::new(),
            policies: BTreeMap::new(),
            validators: BTreeMap::new(),
            processors: BTreeMap::new(),
        }
    }
}

/// The HTTP API.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// Address to listen on. Anything but loopback needs tokens.
    pub listen: String,
    /// Largest request body, after inflating, in bytes.
    pub max_body_bytes: usize,
    /// Connections at a time.
    pub max_connections: usize,
    /// Names, beside loopback ones, that a `Host` header may have.
    pub hosts: Vec<String>,
    /// Who may call. Empty: anyone who reaches the loopback address.
    pub tokens: Vec<Token>,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:7600".into(),
            max_body_bytes: 16 << 20,
            max_connections: 1_024,
            hosts: Vec::new(),
            tokens: Vec::new(),
        }
    }
}

/// A bearer token, stored hashed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// For logs.
    pub name: String,
    /// SHA-256 of the token, hex.
    pub sha256: String,
    /// Of `append`, `read`, `operate`, `admin`.
    pub roles: Vec<String>,
    /// Roles in which it may search gated corpora; `*`: any; none: none.
    #[serde(default)]
    pub search_roles: Vec<String>,
}

/// The workers that there are.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Roster {
    /// A Parquet file that a node makes the roster of when it starts; empty: it stays as the log tells it.
    pub path: PathBuf,
}

/// Searches.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Search {
    /// Whether every search is recorded, with what was withheld from it, in the `searches` topic.
    pub record: bool,
    /// Where vectors are kept.
    pub store: Kept,
    /// Where those of single corpora are kept: name to place.
    pub stores: BTreeMap<String, Kept>,
    /// Under `auto`, rows of a shelf above which it is kept in Lance, decided when it is opened.
    pub lance_above: u64,
    /// Megabytes of caches for what is kept in Lance.
    pub lance_cache_mb: usize,
}

impl Default for Search {
    fn default() -> Self {
        Self {
            record: true,
            store: Kept::default(),
            stores: BTreeMap::new(),
            lance_above: 1_000_000,
            lance_cache_mb: 128,
        }
    }
}

/// Where vectors are kept and searched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kept {
    /// In memory, in graphs (HNSW).
    #[default]
    Memory,
    /// On disk, in Lance.
    Lance,
    /// In memory up to some size, beyond that in Lance.
    Auto,
}

/// The embedded journal.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Embedded {
    /// `full` survives a power cut, `process` survives a crash of the process only.
    pub durability: String,
}

impl Default for Embedded {
    fn default() -> Self {
        Self { durability: "full".into() }
    }
}

/// Apache Kafka.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Kafka {
    /// librdkafka properties, as in its CONFIGURATION.md. Secrets belong in `properties_file`.
    pub properties: BTreeMap<String, String>,
    /// A file of `property=value` lines, readable by its owner only.
    pub properties_file: Option<PathBuf>,
    /// Every so many seconds a node seals what is new, so that `verify` can tell what was changed since; 0: never.
    pub seal_seconds: u64,
    /// URL of a schema registry; set: values are framed as Confluent's serialisers do.
    pub schema_registry: Option<String>,
}

impl Default for Kafka {
    fn default() -> Self {
        Self { properties: BTreeMap::new(), properties_file: None, seal_seconds: 60, schema_registry: None }
    }
}

/// The loop that runs processors.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Runner {
    /// Records of a batch, at most.
    pub batch_records: usize,
    /// Bytes of a batch, at most.
    pub batch_bytes: usize,
    /// Keys worked on at a time within a batch; 0: one per core.
    pub lanes: usize,
    /// Tries before a transient fault becomes a dead letter.
    pub max_attempts: u32,
    /// A silent worker loses its partitions after this many seconds.
    pub session_timeout_seconds: u64,
    /// Seconds without progress, while lag grows, after which the node is not ready.
    pub stall_seconds: u64,
}

impl Default for Runner {
    fn default() -> Self {
        Self {
            batch_records: 1_000,
            batch_bytes: 4 << 20,
            lanes: 0,
            max_attempts: 8,
            session_timeout_seconds: 10,
            stall_seconds: 60,
        }
    }
}

/// Personal data.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Privacy {
    /// Seal the payload of every event that names a subject.
    pub seal: bool,
    /// Where the keys are kept; empty: `<data>/keys`. Keep it out of the journal's backups.
    pub keys: PathBuf,
}

/// Models that are asked: which are, the URIs of processors' settings say.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Models {
    /// Time for an answer.
    pub timeout_seconds: u64,
    /// Tries of what may be tried again.
    pub attempts: u32,
    /// Requests under way at a time, per model.
    pub concurrency: usize,
    /// Environment variable that holds a provider's key, by the provider's host. Keys themselves stand nowhere here.
    pub keys: BTreeMap<String, String>,
    /// The model that makes vectors where nobody names one: its URI.
    pub embed: String,
    /// The other models that callers of the HTTP API may have vectors of; `lexical:N` always.
    pub embedders: Vec<String>,
    /// The model that answers in words where nobody names one: its URI. Empty: none.
    pub generate: String,
    /// The other models that callers of the HTTP API may have answers of.
    pub generators: Vec<String>,
    /// What is too long for a model that makes vectors may be cut by its provider; else it is an error.
    pub truncate: bool,
    /// Bytes of vectors kept in memory.
    pub cache_bytes: u64,
    /// Bytes of vectors kept on disk, of models whose answer takes longer than a disk's; 0: none.
    pub disk_cache_bytes: u64,
    /// Bytes of answers of `/v1/embed` and `/v1/embeddings` kept ready to be sent.
    pub answers_bytes: u64,
    /// What a model costs, by its name, or by provider and name (`api.openai.com/gpt-5`).
    pub prices: BTreeMap<String, Price>,
}

impl Default for Models {
    fn default() -> Self {
        Self {
            timeout_seconds: 120,
            attempts: 4,
            concurrency: 4,
            keys: BTreeMap::new(),
            embed: "lexical:384".into(),
            embedders: Vec::new(),
            generate: String::new(),
            generators: Vec::new(),
            truncate: true,
            cache_bytes: 64 << 20,
            disk_cache_bytes: 1 << 30,
            answers_bytes: 32 << 20,
            prices: BTreeMap::new(),
        }
    }
}

/// US dollars for a million tokens.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Read.
    pub input: f64,
    /// Written.
    pub output: f64,
}

impl Models {
    /// What a model costs, if the table says it.
    pub fn price(&self, provider: &str, model: &str) -> Option<Price> {
        self.prices.get(&format!("{provider}/{model}")).or_else(|| self.prices.get(model)).copied()
    }
}

impl Price {
    /// What so many tokens cost, in US dollars.
    pub fn of(self, input_tokens: i64, output_tokens: i64) -> f64 {
        // Far below 2^53.
        (self.input * input_tokens as f64 + self.output * output_tokens as f64) / 1e6
    }
}

/// Settings with the origin of each value that is not the default: `http.listen` to `environment`.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The values.
    pub settings: Settings,
    /// Dotted name to origin.
    pub origins: BTreeMap<String, String>,
}

/// Reads the layers: `file` (or `stillhouse.toml` where there is one), `STILLHOUSE_…` variables (`__` between levels:
/// `STILLHOUSE_HTTP__LISTEN`), then `flags` as dotted names with values.
pub fn load(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
    flags: &[(&str, String)],
) -> Outcome<Loaded> {
    let mut tree = toml::Table::new();
    let mut origins = BTreeMap::new();
    let path = file.map(Path::to_path_buf).or_else(|| Path::new(FILE).exists().then(|| PathBuf::from(FILE)));
    if let Some(path) = path {
        let shown = path.display();
        let text = std::fs::read_to_string(&path).map_err(|e| config(format!("cannot read {shown}: {e}")))?;
        // Parsed into the type first, for an error that names line, column and the known keys.
        let wrong = |e: toml::de::Error| {
            let before = e.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            // What is set there, without the value: it may be a secret.
            let whole = text.lines().nth(line - 1).unwrap_or_default();
            let setting = whole.split_once('=').map_or(whole, |(name, _)| name).trim();
            let said = whole.contains('=') || setting.starts_with('[');
            let at = if said { format!(", at `{setting}`") } else { String::new() };
            config(format!("{shown}: line {line}, column {column}{at}: {}", meant(e.message())))
        };
        toml::from_str::<Settings>(&text).map_err(wrong)?;
        tree = text.parse().map_err(wrong)?;
        note_origins(&tree, "", &shown.to_string(), &mut origins);
    }
    for (name, value) in environment {
        let Some(dotted) = name.strip_prefix("STILLHOUSE_").map(|n| n.to_lowercase().replace("__", ".")) else {
            continue;
        };
        // Other variables of ours (`STILLHOUSE_PROOFS`, `STILLHOUSE_DEV_…`) are not settings: only known roots count.
        if is_setting(&dotted) {
            set(&mut tree, &dotted, &value).map_err(|e| config(format!("{name}: {e}")))?;
            origins.insert(dotted, format!("environment ({name})"));
        }
    }
    for (dotted, value) in flags {
        set(&mut tree, dotted, value).map_err(config)?;
        origins.insert((*dotted).to_owned(), "flag".into());
    }
    let mut settings: Settings =
        toml::Value::Table(tree).try_into().map_err(|e: toml::de::Error| config(meant(e.message())))?;
    check(&settings)?;
    embedder(&mut settings)?;
    validator(&mut settings)?;
    Ok(Loaded { settings, origins })
}

/// What the parser says, in one line; of an unknown name, the known one that was probably meant.
fn meant(said: &str) -> String {
    let line = said.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut names = said.split('`').skip(1).step_by(2);
    match names.next().filter(|_| said.starts_with("unknown ")) {
        Some(given) => match stillhouse_processors::nearest(given, names) {
            Some(near) => format!("{line}; did you mean `{near}`?"),
            None => line,
        },
        None => line,
    }
}

fn config(message: impl Into<String>) -> Failure {
    Failure::new(Status::Config, message)
}

fn check(settings: &Settings) -> Outcome {
    if settings.partitions == 0 || settings.partitions > 1_024 {
        return Err(config(format!("partitions = {} is out of range: 1 to 1024", settings.partitions)));
    }
    if settings.runner.batch_records == 0 || settings.runner.batch_bytes == 0 {
        return Err(config("runner.batch_records and runner.batch_bytes must be at least 1"));
    }
    if settings.runner.session_timeout_seconds == 0 {
        return Err(config("runner.session_timeout_seconds must be at least 1"));
    }
    if settings.models.timeout_seconds == 0 || settings.models.attempts == 0 || settings.models.concurrency == 0 {
        return Err(config("models.timeout_seconds, models.attempts and models.concurrency must be at least 1"));
    }
    if let Some((model, _)) = settings.models.prices.iter().find(|(_, p)| !(p.input >= 0.0 && p.output >= 0.0)) {
        return Err(config(format!("models.prices.{model}: prices are not negative")));
    }
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if settings.instance.len() > 32 || !settings.instance.chars().all(legal) {
        return Err(config(format!("instance `{}`: at most 32 of a-z A-Z 0-9 _ -", settings.instance.escape_debug())));
    }
    Ok(())
}

/// The corpora and the model of vectors are settings of the embedder, written where people look for them.
fn embedder(settings: &mut Settings) -> Outcome {
    use stillhouse_processors::embedder::{NAME, corpus};
    let given = settings.processors.get(NAME);
    let mut said = BTreeMap::new();
    if !settings.corpora.is_empty() {
        if given.is_some_and(|given| given.contains_key("corpora")) {
            return Err(config(format!("corpora: write [corpora.…] or processors.{NAME}.corpora, not both")));
        }
        let json = serde_json::json!(settings.corpora).to_string();
        corpus::parse(&json, &settings.models.embed).map_err(config)?;
        said.insert("corpora".to_owned(), json);
    }
    let model = &settings.models.embed;
    if *model != Models::default().embed && !given.is_some_and(|given| given.contains_key("model")) {
        said.insert("model".to_owned(), model.clone());
    }
    if !said.is_empty() {
        settings.processors.entry(NAME.to_owned()).or_default().extend(said);
    }
    Ok(())
}

/// Policies and validators are settings of the validator, written where people look for them.
fn validator(settings: &mut Settings) -> Outcome {
    use stillhouse_processors::validator::{NAME, policies};
    let given = settings.processors.get(NAME);
    let mut said = BTreeMap::new();
    for (name, declared) in [("policies", &settings.policies), ("validators", &settings.validators)] {
        if declared.is_empty() {
            continue;
        }
        if given.is_some_and(|given| given.contains_key(name)) {
            return Err(config(format!("{name}: write [{name}.…] or processors.{NAME}.{name}, not both")));
        }
        said.insert(name.to_owned(), serde_json::json!(declared).to_string());
    }
    if !said.is_empty() {
        settings.processors.entry(NAME.to_owned()).or_default().extend(said);
    }
    if let Some(given) = settings.processors.get(NAME) {
        let definition = stillhouse_processors::processor(NAME).map_err(|e| config(e.to_string()))?;
        let checked = definition.settings(given).map_err(|e| config(e.to_string()))?;
        policies(&checked).map_err(|e| config(e.to_string()))?;
    }
    Ok(())
}

fn is_setting(dotted: &str) -> bool {
    let root = dotted.split('.').next().unwrap_or(dotted);
    matches!(serde_json::to_value(Settings::default()), Ok(serde_json::Value::Object(map)) if map.contains_key(root))
}

fn set(tree: &mut toml::Table, dotted: &str, value: &str) -> Result<(), String> {
    let mut parts: Vec<&str> = dotted.split('.').collect();
    let last = parts.pop().unwrap_or(dotted);
    let mut table = tree;
    for part in parts {
        let entry = table.entry(part).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        table = entry.as_table_mut().ok_or_else(|| format!("`{part}` is not a group of settings"))?;
    }
    // The type of the default decides how the text is read; processors' settings and lists of names stay text.
    let known = lookup(&toml::Value::try_from(Settings::default()).unwrap_or(toml::Value::Integer(0)), dotted);
    let typed = match known {
        Some(toml::Value::Integer(_)) => {
            toml::Value::Integer(value.parse().map_err(|_| format!("`{value}` is not a whole number"))?)
        }
        Some(toml::Value::Boolean(_)) => {
            toml::Value::Boolean(value.parse().map_err(|_| format!("`{value}` is neither true nor false"))?)
        }
        Some(toml::Value::Array(_)) => {
            toml::Value::Array(value.split(',').map(|s| toml::Value::String(s.trim().to_owned())).collect())
        }
        _ => toml::Value::String(value.to_owned()),
    };
    table.insert(last.to_owned(), typed);
    Ok(())
}

fn lookup(tree: &toml::Value, dotted: &str) -> Option<toml::Value> {
    dotted.split('.').try_fold(tree, |node, part| node.get(part)).cloned()
}

fn note_origins(table: &toml::Table, prefix: &str, origin: &str, origins: &mut BTreeMap<String, String>) {
    for (name, value) in table {
        let dotted = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match value {
            toml::Value::Table(inner) => note_origins(inner, &dotted, origin, origins),
            _ => {
                origins.insert(dotted, origin.to_owned());
            }
        }
    }
}
