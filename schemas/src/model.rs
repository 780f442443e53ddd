//! Models, seen from those who ask them: the port.
//!
//! [`Model`] is one model of one provider, asked over whatever it takes; `connectors/models` has those that are asked
//! over HTTP. [`Calls`] is what processors are handed: it answers from what was recorded, and asks a [`Model`] only for
//! what was never answered. Errors say what the caller may do next.
//!
//! Deliberately absent: streaming, prompts, prices, and any knowledge of a provider.

use crate::event::Cause;
use crate::payload::{Message, Tool, Usage};
use async_trait::async_trait;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What is asked of a model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    /// The conversation so far.
    pub messages: Vec<Message>,
    /// Tools that the model may call.
    pub tools: Vec<Tool>,
    /// Temperature of sampling; absent: the provider's.
    pub temperature: Option<f64>,
    /// Most tokens of the answer; absent: the provider's.
    pub max_tokens: Option<u32>,
    /// Seed of sampling.
    pub seed: Option<i64>,
    /// JSON Schema that the answer must satisfy, as JSON text.
    pub response_schema: Option<String>,
}

impl Request {
    /// The request as canonical JSON, members sorted, absent ones left out, the same whatever the provider. Forever: the
    /// hash of a call is made of it.
    pub fn canonical(&self) -> String {
        let mut body = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                body.insert(name.to_owned(), value);
            }
        };
        put("max_tokens", self.max_tokens.map(Value::from));
        put("messages", Some(self.messages.iter().map(message).collect()));
        put("response_schema", self.response_schema.as_deref().map(json));
        put("seed", self.seed.map(Value::from));
        put("temperature", self.temperature.map(Value::from));
        put("tools", (!self.tools.is_empty()).then(|| self.tools.iter().map(tool).collect()));
        let mut body = Value::Object(body);
        body.sort_all_objects();
        body.to_string()
    }
}

/// JSON text as the value it means, so that spelling makes no difference; as text where it means none.
fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))
}

fn message(message: &Message) -> Value {
    let mut members = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            members.insert(name.to_owned(), value);
        }
    };
    let text = |text: &Option<String>| text.as_deref().map(Value::from);
    put("role", Some(Value::from(message.role.as_str())));
    put("content", text(&message.content));
    put("name", text(&message.name));
    put("parts", message.parts.as_deref().map(json));
    put("reasoning", text(&message.reasoning));
    put("tool_call_id", text(&message.tool_call_id));
    let call = |call: &crate::payload::ToolCall| {
        let mut members = Map::new();
        members.insert("name".to_owned(), Value::from(call.name.as_str()));
        members.insert("arguments".to_owned(), Value::from(call.arguments.as_str()));
        if let Some(id) = &call.id {
            members.insert("id".to_owned(), Value::from(id.as_str()));
        }
        Value::Object(members)
    };
    put("tool_calls", (!message.tool_calls.is_empty()).then(|| message.tool_calls.iter().map(call).collect()));
    Value::Object(members)
}

fn tool(tool: &Tool) -> Value {
    let mut members = Map::new();
    members.insert("name".to_owned(), Value::from(tool.name.as_str()));
    if let Some(description) = &tool.description {
        members.insert("description".to_owned(), Value::from(description.as_str()));
    }
    if let Some(parameters) = &tool.parameters {
        members.insert("parameters".to_owned(), json(parameters));
    }
    Value::Object(members)
}

/// What a model answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reply {
    /// The message, with the calls that it makes.
    pub message: Message,
    /// Why the model stopped, in the provider's word: `stop`, `length`, `tool_calls`, …
    pub finish_reason: Option<String>,
    /// Tokens used.
    pub usage: Option<Usage>,
    /// The model, as answered.
    pub model: String,
    /// Time of the attempt that succeeded.
    pub latency: Duration,
    /// How often it was tried.
    pub attempts: u32,
    /// What the provider says that it cost, in US dollars.
    pub cost_usd: Option<f64>,
}

impl Reply {
    /// What was said.
    pub fn text(&self) -> &str {
        self.message.content.as_deref().unwrap_or_default()
    }

    /// Whether a length limit cut the answer off.
    pub fn is_truncated(&self) -> bool {
        self.finish_reason.as_deref().is_some_and(|reason| reason == "length" || reason == "max_tokens")
    }
}

/// Why a model did not answer, by what the caller may do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// It was not worked on (refused for load, not reached): asking again later may succeed.
    #[error("{what}")]
    Retry {
        /// In words.
        what: String,
        /// Not before this time, if the provider says one.
        after: Option<Duration>,
    },
    /// The same request will never be answered: it is wrong, too long, forbidden, or not paid for.
    #[error("{0}")]
    Never(String),
    /// Nobody knows whether it was worked on (and will be billed): a time-out, a connection that broke, nonsense.
    #[error("{0}")]
    Unknown(String),
}

/// One model of one provider.
#[async_trait]
pub trait Model: Send + Sync + fmt::Debug {
    /// The provider, as it goes into hashes and events: `ollama`, or the host that is asked. Never holds a secret.
    fn provider(&self) -> &str;

    /// The model, as asked for.
    fn name(&self) -> &str;

    /// Asks. Retries, waits and gives up by rules of its own.
    async fn generate(&self, request: &Request) -> Result<Reply, ModelError>;
}

/// A call to be made, or to be answered from what was recorded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Call {
    /// What it is for: `judge`, `replay`, `generate`, …
    pub purpose: String,
    /// URI of the model.
    pub model: String,
    /// What is asked.
    pub request: Request,
    /// The run that it is about.
    pub run_id: Option<String>,
    /// Whom it is about, if a person: what is recorded is sealed as the events it was made of.
    pub subject: Option<String>,
    /// The events that it was made of.
    pub causes: Vec<Cause>,
}

/// The hash of a call: SHA-256 of purpose, provider, model and canonical request, hex. Forever.
pub fn call_hash(purpose: &str, provider: &str, model: &str, body: &str) -> String {
    let mut hasher = Sha256::new();
    for part in [purpose, provider, model, body] {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    crate::compiled::hex(&hasher.finalize())
}

/// A call that was answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answered {
    /// Its hash.
    pub call_hash: String,
    /// The answer.
    pub reply: Reply,
    /// Whether it had been recorded before, so that nobody was asked.
    pub recorded: bool,
    /// What it cost when it was made, in US dollars, where that is known.
    pub cost_usd: Option<f64>,
}

/// A call that was not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The model did not answer; this is recorded too, and the next time it is asked again.
    #[error("{error}")]
    Model {
        /// The call.
        call_hash: String,
        /// Why.
        error: ModelError,
    },
    /// The URI names no model that this build can ask.
    #[error("{0}")]
    NoModel(String),
    /// What was asked or answered could not be recorded or read: whoever asked must not go on as if it were.
    #[error("{0}")]
    Unrecorded(String),
}

/// Calls of models whose answers are kept: the same call is made once, ever. Of one call the first reply counts; a
/// failure is recorded and answers nothing.
#[async_trait]
pub trait Calls: Send + Sync + fmt::Debug {
    /// Answers a call.
    async fn call(&self, call: &Call) -> Result<Answered, CallError>;

    /// The answer that was recorded, if one was. Asks nobody.
    async fn recorded(&self, call: &Call) -> Result<Option<Answered>, CallError>;
}

/// Texts as vectors.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Embeddings {
    /// Provider of the model.
    pub provider: String,
    /// The model, as answered.
    pub model: String,
    /// Its version or digest; empty where the provider names none.
    pub version: String,
    /// A vector per text, in order, all of one length, all of finite numbers.
    pub vectors: Vec<Arc<[f32]>>,
    /// Tokens read, where the provider says so.
    pub tokens: Option<i64>,
}

/// One model of one provider that makes vectors.
#[async_trait]
pub trait Embedder: Send + Sync + fmt::Debug {
    /// The provider, as it goes into events: `lexical`, `ollama`, or the host that is asked. Never holds a secret.
    fn provider(&self) -> &str;

    /// The model, as asked for.
    fn name(&self) -> &str;

    /// What stands behind the name now, a version or a digest; empty where the provider names none. Asked anew each time.
    async fn version(&self) -> Result<String, ModelError> {
        Ok(String::new())
    }

    /// Makes a vector of each text. Batches, retries and gives up by rules of its own; all texts or none.
    async fn embed(&self, texts: &[&str]) -> Result<Embeddings, ModelError>;
}

/// Embedders by the URI of their model, with what they made before. What processors and requests are handed.
#[async_trait]
pub trait Embedders: Send + Sync + fmt::Debug {
    /// Makes a vector of each text with the model of this URI. Concurrent requests for one text make one call.
    async fn embed(&self, model: &str, texts: &[&str]) -> Result<Embeddings, ModelError>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::ToolCall;

    #[test]
    fn a_request_has_one_spelling_forever() {
        let call = ToolCall { id: Some("c".into()), name: "f".into(), arguments: "{ }".into() };
        let request = Request {
            messages: vec![
                Message { role: "user".into(), content: Some("ä\n".into()), ..Message::default() },
                Message { role: "assistant".into(), tool_calls: vec![call], ..Message::default() },
            ],
            tools: vec![Tool { name: "f".into(), description: None, parameters: Some(r#"{"b":1, "a":2}"#.into()) }],
            temperature: Some(0.0),
            max_tokens: Some(9),
            seed: Some(7),
            response_schema: Some(r#"{ "type" : "object" }"#.into()),
        };
        let body = concat!(
            r#"{"max_tokens":9,"messages":[{"content":"ä\n","role":"user"},"#,
            r#"{"role":"assistant","tool_calls":[{"arguments":"{ }","id":"c","name":"f"}]}],"#,
            r#""response_schema":{"type":"object"},"seed":7,"temperature":0.0,"#,
            r#""tools":[{"name":"f","parameters":{"a":2,"b":1}}]}"#
        );
        assert_eq!(request.canonical(), body);
        assert_eq!(Request::default().canonical(), r#"{"messages":[]}"#);
        let hash = call_hash("judge", "ollama", "m", body);
        assert_eq!(hash.len(), 64);
        for other in [("judg", "eollama", "m"), ("judge", "ollama", "m2"), ("replay", "ollama", "m")] {
            assert_ne!(call_hash(other.0, other.1, other.2, body), hash);
        }
        assert_eq!(
            call_hash("judge", "ollama", "m", r#"{"messages":[]}"#),
            "faa57912de75e50a59cf30f492e7d81e100c21a7a193617d4210862bf72441fa"
        );
    }
}
