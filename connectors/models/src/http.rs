//! One request, one answer: sent, bounded, read, and what went wrong sorted by what the caller may do.

use crate::dialect::{EmbedRequest, Task, Vectors, error_text};
use crate::uri::{OpenError, Target};
use crate::{Key, Options};
use reqwest::header::{CONTENT_TYPE, DATE, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use std::time::{Duration, Instant};
use stillhouse_schemas::model::{ModelError, Reply, Request};

/// Answers larger than this are refused.
const MOST_BYTES: usize = 16 << 20;

/// A model at its URL.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) target: Target,
    client: Client,
    key: Option<Key>,
}

impl Asked {
    pub(crate) fn new(target: Target, options: &Options) -> Result<Self, OpenError> {
        let mut client = Client::builder()
            .timeout(options.timeout)
            .connect_timeout(options.connect_timeout)
            .redirect(reqwest::redirect::Policy::none());
        let name = target.host.rsplit_once(':').map_or(target.host.as_str(), |(name, _)| name);
        if name == "localhost"
            || name.trim_matches(['[', ']']).parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
        {
            client = client.no_proxy();
        }
        let client = client.build().map_err(|e| OpenError::Client(e.to_string()))?;
        Ok(Self { target, client, key: options.key.clone() })
    }

    /// Asks once.
    pub(crate) async fn ask(&self, request: &Request) -> Result<Reply, ModelError> {
        let Target { scheme, host, model, .. } = &self.target;
        let body = scheme.dialect.body(host, model, request)?;
        let started = Instant::now();
        let (status, body) = self.answer(self.client.post(self.target.url(Task::Chat)), Some(body)).await?;
        if !body.is_object() {
            return Err(ModelError::Unknown(format!("{host} answered {status} with what is no JSON object")));
        }
        let mut reply = scheme.dialect.reply(&body).map_err(|error| self.named(error))?;
        reply.latency = started.elapsed();
        reply.attempts = 1;
        if reply.model.is_empty() {
            reply.model.clone_from(model);
        }
        Ok(reply)
    }

    /// Asks once for vectors: as many as there are texts, in their order, checked by the caller.
    pub(crate) async fn embed(&self, texts: &[&str], asks: &EmbedRequest) -> Result<Vectors, ModelError> {
        let Target { scheme, model, .. } = &self.target;
        let body = scheme.dialect.embed_body(model, texts, asks);
        let (status, after, bytes) =
            self.exchange(self.client.post(self.target.url(Task::Embed)), Some(body.to_string())).await?;
        // Read straight into numbers: as a tree, a large answer would take ten times its bytes.
        match scheme.dialect.vectors(&bytes) {
            Ok(vectors) if status.is_success() => Ok(vectors),
            read => {
                let raw = String::from_utf8_lossy(&bytes);
                let body: Value = serde_json::from_str(&raw).unwrap_or_default();
                if !status.is_success() || is_error(&body) {
                    return Err(self.refused(status, after, &body, &raw));
                }
                let why = read.err().unwrap_or_default();
                Err(self.nonsense(&why))
            }
        }
    }

    /// An answer that cannot be: names who gave it, and for what.
    pub(crate) fn nonsense(&self, why: &str) -> ModelError {
        ModelError::Unknown(format!("{} answered nonsense for model `{}`: {why}", self.target.host, self.target.model))
    }

    /// What stands behind the model's name now, if the provider tells.
    pub(crate) async fn version(&self) -> Result<String, ModelError> {
        let Target { scheme, model, .. } = &self.target;
        if !scheme.dialect.tells_versions() {
            return Ok(String::new());
        }
        let (_, body) = self.answer(self.client.get(self.target.url(Task::List)), None).await?;
        Ok(scheme.dialect.version(&body, model))
    }

    async fn answer(&self, request: RequestBuilder, body: Option<Value>) -> Result<(StatusCode, Value), ModelError> {
        let (status, after, bytes) = self.exchange(request, body.map(|body| body.to_string())).await?;
        let raw = String::from_utf8_lossy(&bytes);
        let body: Value = serde_json::from_str(&raw).unwrap_or_default();
        // Some answer 200 and an error.
        if !status.is_success() || is_error(&body) {
            return Err(self.refused(status, after, &body, &raw));
        }
        Ok((status, body))
    }

    async fn exchange(
        &self,
        mut request: RequestBuilder,
        body: Option<String>,
    ) -> Result<(StatusCode, Option<Duration>, Vec<u8>), ModelError> {
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        if let Some(Key(key)) = &self.key {
            request = request.bearer_auth(key);
        }
        let mut response = request.send().await.map_err(|error| self.not_answered(&error))?;
        let (status, after) = (response.status(), retry_after(&response));
        Ok((status, after, self.bytes(&mut response).await?))
    }

    async fn bytes(&self, response: &mut Response) -> Result<Vec<u8>, ModelError> {
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.not_answered(&error))? {
            if bytes.len() + chunk.len() > MOST_BYTES {
                return Err(ModelError::Never(format!("{} answered more than {MOST_BYTES} bytes", self.target.host)));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    fn named(&self, error: ModelError) -> ModelError {
        match error {
            ModelError::Unknown(what) => ModelError::Unknown(format!("{}: {what}", self.target.host)),
            ModelError::Never(what) => ModelError::Never(format!("{}: {what}", self.target.host)),
            retry @ ModelError::Retry { .. } => retry,
        }
    }

    fn not_answered(&self, error: &reqwest::Error) -> ModelError {
        let host = &self.target.host;
        if error.is_connect() {
            return ModelError::Retry { what: format!("{host} cannot be reached: {}", cause(error)), after: None };
        }
        if error.is_timeout() {
            return ModelError::Unknown(format!("{host} did not answer in time (`models.timeout_seconds`)"));
        }
        ModelError::Unknown(format!("the connection to {host} broke: {}", cause(error)))
    }

    fn refused(&self, status: StatusCode, after: Option<Duration>, body: &Value, raw: &str) -> ModelError {
        let Target { scheme, host, model, .. } = &self.target;
        // An error under 200 names its status, if at all, in its body.
        let said = body["error"]["code"].as_u64().and_then(|code| u16::try_from(code).ok());
        let status = if status.is_success() { said.unwrap_or(500) } else { status.as_u16() };
        let mut what = format!("{host} answered {status} for model `{model}`: {}", error_text(body, raw));
        if let Some(remedy) = scheme.dialect.remedy(status, model) {
            what.push_str("; ");
            what.push_str(&remedy);
        }
        let busy = matches!(status, 408 | 409 | 425 | 429 | 500 | 502 | 503 | 504 | 529);
        if busy && !scheme.dialect.is_unpaid(body) {
            return ModelError::Retry { what, after };
        }
        ModelError::Never(what)
    }
}

fn is_error(body: &Value) -> bool {
    body["error"].is_string() || body["error"].is_object()
}

/// The innermost reason: reqwest's own words name the URL only.
fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// `Retry-After`, in seconds or as a date; a date is held against the `Date` of the same answer, so that the provider's
/// clock is the only one.
fn retry_after(response: &Response) -> Option<Duration> {
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let said = header(RETRY_AFTER)?;
    if let Ok(seconds) = said.parse() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let moment = |text| jiff::fmt::rfc2822::parse(text).ok().map(|zoned| zoned.timestamp());
    Some(Duration::try_from(moment(said)?.duration_since(moment(header(DATE)?)?)).unwrap_or_default())
}
