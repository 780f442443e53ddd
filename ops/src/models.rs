//! The models that URIs mean, with keys and limits from the settings. What this build lacks it says.

use crate::failure::{Failure, Outcome, Status};
use crate::settings::Models;
use std::sync::Arc;
use stillhouse_processors::validator::remote::Remotes;
use stillhouse_processors::{Settings, Takes, processor};
use stillhouse_schemas::model::{Embedder, Model};

/// The model of a URI, ready to be asked.
#[cfg(feature = "models")]
pub fn open(settings: &Models, uri: &str) -> Outcome<Arc<dyn Model>> {
    stillhouse_models::open(uri, &options(settings, uri)?).map_err(wrong)
}

/// The embedder of a URI that is asked over HTTP.
#[cfg(feature = "models")]
pub fn open_embedder(settings: &Models, uri: &str) -> Outcome<Arc<dyn Embedder>> {
    stillhouse_models::open_embedder(uri, &options(settings, uri)?).map_err(wrong)
}

#[cfg(feature = "models")]
fn wrong(error: stillhouse_models::OpenError) -> Failure {
    Failure::new(Status::Config, error.to_string())
}

/// How the model of a URI is asked.
#[cfg(feature = "models")]
fn options(settings: &Models, uri: &str) -> Outcome<stillhouse_models::Options> {
    use std::time::Duration;
    let host = stillhouse_models::host(uri).map_err(wrong)?;
    let variable = settings.keys.get(&host).or_else(|| settings.keys.get(host.split(':').next().unwrap_or(&host)));
    let key = match variable {
        None => None,
        Some(variable) => {
            let value = std::env::var(variable).ok().filter(|value| !value.trim().is_empty());
            let value = value.ok_or_else(|| {
                Failure::new(
                    Status::Config,
                    format!("models.keys: the key of {host} is in {variable}, which is not set"),
                )
                .hint(format!("export {variable}=… where stillhouse runs"))
            })?;
            Some(stillhouse_models::Key::new(&value))
        }
    };
    Ok(stillhouse_models::Options {
        key,
        timeout: Duration::from_secs(settings.timeout_seconds),
        attempts: settings.attempts,
        concurrency: settings.concurrency,
        truncate: settings.truncate,
        ..stillhouse_models::Options::default()
    })
}

/// What asks validators of users' own.
#[cfg(feature = "models")]
pub fn remotes() -> Option<Arc<dyn Remotes>> {
    static POSTER: std::sync::OnceLock<Option<stillhouse_models::Poster>> = std::sync::OnceLock::new();
    let made = || stillhouse_models::Poster::new().inspect_err(|error| tracing::error!(error, "no HTTP client")).ok();
    POSTER.get_or_init(made).clone().map(|poster| Arc::new(Posted(poster)) as Arc<dyn Remotes>)
}

/// A build without models asks nobody.
#[cfg(not(feature = "models"))]
pub fn remotes() -> Option<Arc<dyn Remotes>> {
    None
}

#[cfg(feature = "models")]
#[derive(Debug)]
struct Posted(stillhouse_models::Poster);

#[cfg(feature = "models")]
#[async_trait::async_trait]
impl Remotes for Posted {
    async fn post(&self, url: &str, timeout_ms: u64, body: String) -> Result<String, String> {
        self.0.post(url, std::time::Duration::from_millis(timeout_ms), body).await
    }
}

/// A build without models has none.
#[cfg(not(feature = "models"))]
pub fn open(_: &Models, uri: &str) -> Outcome<Arc<dyn Model>> {
    Err(lacking(uri))
}

/// A build without models has none.
#[cfg(not(feature = "models"))]
pub fn open_embedder(_: &Models, uri: &str) -> Outcome<Arc<dyn Embedder>> {
    Err(lacking(uri))
}

#[cfg(not(feature = "models"))]
fn lacking(uri: &str) -> Failure {
    Failure::new(Status::Config, format!("this build asks no models over HTTP, so not {uri} either"))
        .hint("build the whole: cargo build --release -p stillhouse")
}

/// The URIs of the models that make a generation's vectors.
pub fn embedders(name: &str, settings: &Settings) -> Vec<String> {
    use stillhouse_processors::embedder::{NAME, corpus};
    if name != NAME {
        return Vec::new();
    }
    let corpora = corpus::parse(settings.word("corpora"), settings.word("model")).unwrap_or_default();
    corpora.into_iter().map(|corpus| corpus.model).collect()
}

/// The URIs of models in a generation's settings.
pub fn asked<'a>(name: &str, settings: &'a Settings) -> Vec<&'a str> {
    let declared = processor(name).map_or(&[][..], |definition| definition.settings);
    let uris = declared.iter().filter(|setting| setting.takes == Takes::Uri).map(|setting| settings.word(setting.name));
    uris.filter(|uri| !uri.is_empty()).collect()
}
