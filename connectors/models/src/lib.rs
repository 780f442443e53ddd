//! Models that are asked over HTTP, behind the ports [`Model`] and [`Embedder`].
//!
//! ```text
//!   open(uri)          ─▶ Chat       ─┐
//!                                     ├─▶ Steady (waits its turn, tries again, trips) ─▶ Asked (one answer) ─▶ Dialect
//!   open_embedder(uri) ─▶ Vectoriser ─┘
//! ```
//!
//! - [`SCHEMES`]: the providers by the scheme of a URI. A dialect is a file and a line.
//! - [`open`], [`open_embedder`]: the model of a URI. Keys come beside the URI, never in it, and are in no error and no log.
//! - What may be tried again is tried again, with back-off and what the provider says of it; a request that may have been
//!   worked on is not, because it may have been paid for (but for vectors, which cost next to nothing).
//! - [`Poster`]: validators of users' own are asked by a plain POST.
//! - A provider that keeps failing is left alone for a while ([`Options::trip_after`]).
//!
//! Lacks on purpose: streaming, records of what was asked (the callers' `Calls` keep them), and redirects.

mod chat;
mod dialect;
mod http;
mod ollama;
mod openai;
mod post;
mod steady;
mod uri;
mod vectors;

pub use post::Poster;
pub use uri::OpenError;

use std::sync::Arc;
use std::time::Duration;
use stillhouse_schemas::model::{Embedder, Model};

/// How a model is asked.
#[derive(Clone, Debug)]
pub struct Options {
    /// Key of the provider, sent as bearer token.
    pub key: Option<Key>,
    /// Time for a connection.
    pub connect_timeout: Duration,
    /// Time for the whole of an answer.
    pub timeout: Duration,
    /// How often a request is tried, at most.
    pub attempts: u32,
    /// The first wait before another try; later ones double it.
    pub backoff: Duration,
    /// No wait is longer, whatever the provider says: what would have to wait longer fails.
    pub longest_wait: Duration,
    /// Requests under way at a time.
    pub concurrency: usize,
    /// So many failures in a row leave the provider alone for [`Options::cool_down`].
    pub trip_after: u32,
    /// How long it is left alone; then one request tries.
    pub cool_down: Duration,
    /// Texts that are made vectors of in one request, at most.
    pub batch_texts: usize,
    /// Bytes of such texts, at most; a longer text goes alone.
    pub batch_bytes: usize,
    /// A text that is longer than the model reads may be cut by the provider, where it can: the vector is of its beginning.
    pub truncate: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            key: None,
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(120),
            attempts: 4,
            backoff: Duration::from_millis(500),
            longest_wait: Duration::from_secs(60),
            concurrency: 4,
            trip_after: 8,
            cool_down: Duration::from_secs(20),
            batch_texts: 64,
            batch_bytes: 256 << 10,
            truncate: true,
        }
    }
}

/// A secret that no `Debug` shows.
#[derive(Clone)]
pub struct Key(String);

impl Key {
    /// A key, without the blanks around it.
    pub fn new(key: &str) -> Self {
        Self(key.trim().to_owned())
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

/// A scheme: how URIs are written, and what stands behind it.
#[derive(Clone, Copy, Debug)]
pub struct Scheme {
    /// Before `://`.
    pub name: &'static str,
    /// The form of a URI.
    pub form: &'static str,
    /// What is asked.
    pub doc: &'static str,
    transport: &'static str,
    dialect: &'static dyn dialect::Dialect,
}

/// The schemes that are known.
pub static SCHEMES: &[Scheme] = &[
    Scheme {
        name: "ollama",
        form: "ollama://HOST:PORT/MODEL",
        doc: "Ollama, POST /api/chat and /api/embed",
        transport: "http",
        dialect: &ollama::Ollama,
    },
    Scheme {
        name: "ollama+https",
        form: "ollama+https://HOST/MODEL",
        doc: "Ollama behind TLS, its cloud too",
        transport: "https",
        dialect: &ollama::Ollama,
    },
    Scheme {
        name: "openai",
        form: "openai://HOST/v1/MODEL",
        doc: "whatever speaks OpenAI's chat completions and embeddings",
        transport: "https",
        dialect: &openai::OpenAi,
    },
    Scheme {
        name: "openai+http",
        form: "openai+http://HOST:PORT/v1/MODEL",
        doc: "the same without TLS",
        transport: "http",
        dialect: &openai::OpenAi,
    },
];

/// The host (with its port, if it names one) that a URI means: what keys are kept by.
pub fn host(uri: &str) -> Result<String, OpenError> {
    Ok(uri::parse(uri::dimensions(uri)?.0)?.host)
}

/// Provider and model of a URI, as they go into hashes and events: asks nobody.
pub fn identity(uri: &str) -> Result<(String, String), OpenError> {
    let target = uri::parse(uri::dimensions(uri)?.0)?;
    Ok((target.provider().to_owned(), target.model))
}

/// The model of a URI. Nothing is sent yet.
pub fn open(uri: &str, options: &Options) -> Result<Arc<dyn Model>, OpenError> {
    let target = uri::parse(uri)?;
    let asked = http::Asked::new(target, options)?;
    Ok(Arc::new(chat::Chat::new(asked, options)))
}

/// The model of a URI, for vectors. `?dimensions=N` after it asks for shorter ones than the model makes by itself.
/// Nothing is sent yet.
pub fn open_embedder(uri: &str, options: &Options) -> Result<Arc<dyn Embedder>, OpenError> {
    let (uri, dimensions) = uri::dimensions(uri)?;
    let target = uri::parse(uri)?;
    let asked = http::Asked::new(target, options)?;
    Ok(Arc::new(vectors::Vectoriser::new(asked, dimensions, options)))
}
