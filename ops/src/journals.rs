//! Every journal backend by the scheme of its URI, and the codec that goes with the settings.

use crate::context::{data_dir, make_dir};
use crate::failure::{Failure, Outcome, Status};
use crate::settings::Settings;
use std::path::PathBuf;
use std::sync::Arc;
use stillhouse_embedded::{Durability, EmbeddedJournal, Options};
use stillhouse_files::keys::FileKeys;
use stillhouse_schemas::{Codec, TOPICS, Writer};
use stillhouse_streams::generation::Names;
use stillhouse_streams::{Damage, Journal, Position};

/// The schemes that are known, with what stands behind them.
pub const SCHEMES: &[(&str, &str)] = &[
    ("embedded:DIR", "SQLite in a directory; nothing to install; several processes of one host may open it"),
    ("kafka://HOST:PORT[,HOST:PORT][?property=value]", "Apache Kafka; librdkafka properties may follow"),
];

/// The URI that the settings mean.
pub fn uri(settings: &Settings) -> String {
    if settings.journal.is_empty() {
        format!("embedded:{}", data_dir(settings).join("journal").display())
    } else {
        settings.journal.clone()
    }
}

/// Opens the journal that the settings name.
pub async fn open(settings: &Settings) -> Outcome<Arc<dyn Journal>> {
    open_with(settings, false).await
}

/// Opens the journal for who only reads; whether it can be written. An embedded one that is there and cannot be, because
/// the disk is full or not to be written, is read all the same.
pub async fn open_to_read(settings: &Settings) -> Outcome<(Arc<dyn Journal>, bool)> {
    let refused = match open(settings).await {
        Ok(journal) => return Ok((journal, true)),
        Err(refused) => refused,
    };
    let dir = uri(settings).strip_prefix("embedded:").map(PathBuf::from);
    let Some(dir) = dir.filter(|dir| !refused.is_damage() && dir.join("journal.db").is_file()) else {
        return Err(refused);
    };
    let options = Options { read_only: true, ..Options::default() };
    let opened = tokio::task::spawn_blocking(move || EmbeddedJournal::open(&dir, options)).await;
    match opened.map_err(|e| Failure::new(Status::Failed, e.to_string()))? {
        Ok(journal) => Ok((Arc::new(journal), false)),
        Err(_) => Err(refused),
    }
}

/// Opens the journal; `accept_loss` goes on with what is left of a damaged embedded one.
pub async fn open_with(settings: &Settings, accept_loss: bool) -> Outcome<Arc<dyn Journal>> {
    let uri = uri(settings);
    if let Some(dir) = uri.strip_prefix("embedded:") {
        let dir = PathBuf::from(dir);
        if dir.as_os_str().is_empty() {
            return Err(Failure::new(Status::Config, "`embedded:` names no directory").hint("write embedded:DIR"));
        }
        let options = Options { durability: durability(settings)?, accept_loss, ..Options::default() };
        let journal = tokio::task::spawn_blocking(move || {
            if let Some(parent) = dir.parent().filter(|p| !p.as_os_str().is_empty()) {
                make_dir(parent)?;
            }
            EmbeddedJournal::open(&dir, options).map_err(Failure::from)
        })
        .await
        .map_err(|e| Failure::new(Status::Failed, e.to_string()))??;
        return Ok(Arc::new(journal));
    }
    if uri.starts_with("kafka://") {
        return open_kafka(&uri, settings).await;
    }
    let known: Vec<String> = SCHEMES.iter().map(|(form, what)| format!("{form} ({what})")).collect();
    Err(Failure::new(Status::Config, format!("`{uri}` is not a journal")).hint(known.join("; ")))
}

/// Goes on without the damaged records at these positions of an embedded journal; says what became of each.
pub async fn give_up(settings: &Settings, positions: &[Position]) -> Outcome<Vec<Damage>> {
    let Some(dir) = uri(settings).strip_prefix("embedded:").map(PathBuf::from) else {
        return Err(Failure::new(Status::Usage, "only records of an embedded journal can be given up by name"));
    };
    let options = Options { durability: durability(settings)?, ..Options::default() };
    let opened = tokio::task::spawn_blocking(move || EmbeddedJournal::open(&dir, options)).await;
    let journal = opened.map_err(|e| Failure::new(Status::Failed, e.to_string()))??;
    let done = journal.give_up(positions).await;
    journal.close().await?;
    Ok(done?)
}

fn durability(settings: &Settings) -> Outcome<Durability> {
    match settings.embedded.durability.as_str() {
        "full" => Ok(Durability::Full),
        "process" => Ok(Durability::Process),
        other => Err(Failure::new(Status::Config, format!("embedded.durability = `{other}`"))
            .hint("`full` survives a power cut, `process` only a crash of the process")),
    }
}

/// What the physical topics of this instance are called, or begin with before a generation.
#[cfg(feature = "kafka")]
fn own_topics(settings: &Settings) -> Vec<String> {
    let names = Names::new(&settings.instance);
    TOPICS.iter().map(|topic| names.topic(topic.name)).collect()
}

#[cfg(feature = "kafka")]
async fn open_kafka(uri: &str, settings: &Settings) -> Outcome<Arc<dyn Journal>> {
    let mut properties = settings.kafka.properties.clone();
    if let Some(file) = &settings.kafka.properties_file {
        properties.extend(properties_of(file)?);
    }
    let options =
        stillhouse_kafka::Options { properties, own: own_topics(settings), ..stillhouse_kafka::Options::default() };
    Ok(Arc::new(stillhouse_kafka::KafkaJournal::connect(uri, options).await?))
}

/// Reads `property=value` lines; `#` begins a comment. Others must not be able to read it.
#[cfg(feature = "kafka")]
fn properties_of(file: &std::path::Path) -> Outcome<std::collections::BTreeMap<String, String>> {
    use std::os::unix::fs::PermissionsExt;
    let shown = file.display();
    let wrong = |why: String| Failure::new(Status::Config, format!("kafka.properties_file {shown}: {why}"));
    let mode = std::fs::metadata(file).map_err(|e| wrong(e.to_string()))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(wrong("others can read it".into()).hint(format!("chmod 600 {shown}")));
    }
    let text = std::fs::read_to_string(file).map_err(|e| wrong(e.to_string()))?;
    let lines =
        (1..).zip(text.lines()).map(|(n, l)| (n, l.trim())).filter(|(_, l)| !l.is_empty() && !l.starts_with('#'));
    lines
        .map(|(number, line)| match line.split_once('=') {
            Some((name, value)) => Ok((name.trim().to_owned(), value.trim().to_owned())),
            None => Err(wrong(format!("line {number} is not property=value"))),
        })
        .collect()
}

/// A journal without an index of ids gets a memory of the ids that come from outside; others stay as they are.
pub async fn remembering(settings: &Settings, journal: Arc<dyn Journal>) -> Outcome<Arc<dyn Journal>> {
    if !uri(settings).starts_with("kafka:") {
        return Ok(journal);
    }
    let names = Names::new(&settings.instance);
    let topics = TOPICS
        .iter()
        .filter(|t| matches!(t.writer, Writer::Outside | Writer::Node))
        .map(|t| names.topic(t.name))
        .collect();
    let dir = data_dir(settings).join("memory");
    Ok(Arc::new(stillhouse_sled::Remembering::open(journal, &dir, topics).await?))
}

#[cfg(not(feature = "kafka"))]
async fn open_kafka(_uri: &str, _settings: &Settings) -> Outcome<Arc<dyn Journal>> {
    Err(Failure::new(Status::Config, "this binary was built without Kafka")
        .hint("build it with: cargo build --release -p stillhouse"))
}

/// The store of the keys that payloads are sealed with, if there is one.
pub fn key_store(settings: &Settings) -> Outcome<Option<FileKeys>> {
    let dir = keys_dir(settings);
    if !dir.is_dir() {
        return Ok(None);
    }
    FileKeys::open(&dir, &identity(settings)).map(Some).map_err(|e| Failure::new(Status::Config, e.to_string()))
}

/// File that knows which key store was used here.
fn identity(settings: &Settings) -> PathBuf {
    data_dir(settings).join("keys.id")
}

fn keys_dir(settings: &Settings) -> PathBuf {
    if settings.privacy.keys.as_os_str().is_empty() {
        data_dir(settings).join("keys")
    } else {
        settings.privacy.keys.clone()
    }
}

/// The codec: framed for a registry where there is one, sealing what names a person where that is asked for.
pub fn codec(settings: &Settings) -> Outcome<Codec> {
    let dir = keys_dir(settings);
    let identity = identity(settings);
    // What was sealed once is opened as long as its keys are there, whether or not sealing is still on.
    let codec = if settings.privacy.seal || dir.is_dir() || identity.is_file() {
        let keys = FileKeys::open(&dir, &identity).map_err(|e| Failure::new(Status::Config, e.to_string()))?;
        if settings.privacy.seal {
            Codec::with_keys(Arc::new(keys))
        } else {
            Codec::with_keys_for_opening(Arc::new(keys))
        }
    } else {
        Codec::plain()
    };
    match &settings.kafka.schema_registry {
        None => Ok(codec),
        Some(url) => registered(codec, url),
    }
}

#[cfg(feature = "kafka")]
fn registered(codec: Codec, url: &str) -> Outcome<Codec> {
    let registry = stillhouse_registry::ConfluentRegistry::new(url)
        .map_err(|e| Failure::new(Status::Config, format!("kafka.schema_registry: {e}")))?;
    Ok(codec.with_registry(Arc::new(registry)))
}

#[cfg(not(feature = "kafka"))]
fn registered(_codec: Codec, _url: &str) -> Outcome<Codec> {
    Err(Failure::new(Status::Config, "this binary was built without Kafka and schema registries")
        .hint("build it with: cargo build --release -p stillhouse"))
}
