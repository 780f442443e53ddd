//! The models that URIs mean, with keys and limits from the settings. What this build lacks it says.

use crate::failure::{Failure, Outcome, Status};
use crate::settings::Models;
use std::sync::Arc;
use stillhouse_processors::{Settings, Takes, processor};
use stillhouse_schemas::model::Model;

/// The model of a URI, ready to be asked.
#[cfg(feature = "models")]
pub fn open(settings: &Models, uri: &str) -> Outcome<Arc<dyn Model>> {
    use std::time::Duration;
    let wrong = |e: stillhouse_models::OpenError| Failure::new(Status::Config, e.to_string());
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
    let options = stillhouse_models::Options {
        key,
        timeout: Duration::from_secs(settings.timeout_seconds),
        attempts: settings.attempts,
        concurrency: settings.concurrency,
        ..stillhouse_models::Options::default()
    };
    stillhouse_models::open(uri, &options).map_err(wrong)
}

/// A build without models has none.
#[cfg(not(feature = "models"))]
pub fn open(_: &Models, uri: &str) -> Outcome<Arc<dyn Model>> {
    Err(Failure::new(Status::Config, format!("this build asks no models, so not {uri} either"))
        .hint("build the whole: cargo build --release -p stillhouse"))
}

/// The URIs of models in a generation's settings.
pub fn asked<'a>(name: &str, settings: &'a Settings) -> Vec<&'a str> {
    let declared = processor(name).map_or(&[][..], |definition| definition.settings);
    let uris = declared.iter().filter(|setting| setting.takes == Takes::Uri).map(|setting| settings.word(setting.name));
    uris.filter(|uri| !uri.is_empty()).collect()
}
