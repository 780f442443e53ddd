//! Every journal backend by the scheme of its URI, and the codec that goes with the settings.

use crate::context::{data_dir, make_dir};
use crate::failure::{Failure, Outcome, Status};
use crate::settings::Settings;
use std::path::PathBuf;
use std::sync::Arc;
use stillhouse_schemas::Codec;
use stillhouse_streams::Journal;
use stillhouse_embedded::{Durability, EmbeddedJournal, Options};

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

fn durability(settings: &Settings) -> Outcome<Durability> {
    match settings.embedded.durability.as_str() {
        "full" => Ok(Durability::Full),
        "process" => Ok(Durability::Process),
        other => Err(Failure::new(Status::Config, format!("embedded.durability = `{other}`"))
            .hint("`full` survives a power cut, `process` only a crash of the process")),
    }
}

#[cfg(not(feature = "kafka"))]
async fn open_kafka(_uri: &str, _settings: &Settings) -> Outcome<Arc<dyn Journal>> {
    Err(Failure::new(Status::Config, "this binary was built without Kafka").hint("build it with: cargo build --release -p stillhouse"))
}

/// The codec: plain, or sealing what names a person.
pub fn codec(settings: &Settings) -> Outcome<Codec> {
    if !settings.privacy.seal {
        return Ok(Codec::plain());
    }
    let dir = if settings.privacy.keys.as_os_str().is_empty() {
        data_dir(settings).join("keys")
    } else {
        settings.privacy.keys.clone()
    };
    let keys = stillhouse_files::keys::FileKeys::open(&dir).map_err(|e| Failure::new(Status::Config, e.to_string()))?;
    Ok(Codec::with_keys(Arc::new(keys)))
}
