//! What differs between providers: where to ask, how a request is written, how an answer and an error are read.

use serde_json::Value;
use std::fmt;
use stillhouse_schemas::model::{ModelError, Reply, Request};
use stillhouse_schemas::{Message, ToolCall};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    Chat,
    Embed,
    List,
}

/// How vectors are asked for.
#[derive(Clone, Debug)]
pub(crate) struct EmbedRequest {
    /// So many numbers, and not the model's own count.
    pub(crate) dimensions: Option<usize>,
    /// What is too long may be cut by the provider.
    pub(crate) truncate: bool,
}

/// Vectors as they came.
#[derive(Debug, Default)]
pub(crate) struct Vectors {
    pub(crate) model: String,
    pub(crate) vectors: Vec<Vec<f32>>,
    pub(crate) tokens: Option<i64>,
}

impl Vectors {
    /// What was answered after it.
    pub(crate) fn add(&mut self, more: Self) {
        if !more.model.is_empty() {
            self.model = more.model;
        }
        self.tokens = match (self.tokens, more.tokens) {
            (Some(so_far), Some(more)) => Some(so_far.saturating_add(more)),
            (so_far, more) => so_far.or(more),
        };
        self.vectors.extend(more.vectors);
    }
}

/// One way of speaking. Pure: what is sent and received goes by [`crate::http`].
pub(crate) trait Dialect: Send + Sync + fmt::Debug {
    /// What stands before all paths, and the model, of what follows the host in a URI.
    fn split<'a>(&self, path: &'a str) -> Option<(String, &'a str)>;

    /// Where to ask.
    fn path(&self, task: Task) -> &'static str;

    /// The provider at `host`, as it goes into hashes.
    fn provider<'a>(&self, host: &'a str) -> &'a str;

    /// The body of a request.
    fn body(&self, host: &str, model: &str, request: &Request) -> Result<Value, ModelError>;

    /// The answer that a body holds, without times.
    fn reply(&self, body: &Value) -> Result<Reply, ModelError>;

    /// The body of a request for vectors.
    fn embed_body(&self, model: &str, texts: &[&str], asks: &EmbedRequest) -> Value;

    /// The vectors that an answer holds, or why it holds none.
    fn vectors(&self, body: &[u8]) -> Result<Vectors, String>;

    /// Whether the list of models has digests.
    fn tells_versions(&self) -> bool {
        false
    }

    /// The digest of a model in the list of models; empty if it is not there.
    fn version(&self, _list: &Value, _model: &str) -> String {
        String::new()
    }

    /// Whether an error means that nothing was paid: then nothing is tried again.
    fn is_unpaid(&self, body: &Value) -> bool;

    /// What to do about a status, in words.
    fn remedy(&self, status: u16, model: &str) -> Option<String>;
}

/// Text as JSON; what is none is the model's or the caller's fault, and never gets better.
pub(crate) fn json(what: &str, text: &str) -> Result<Value, ModelError> {
    serde_json::from_str(text).map_err(|e| ModelError::Never(format!("{what} is not JSON: {e}")))
}

/// An answer read into what it should be.
pub(crate) fn read<'de, T: serde::Deserialize<'de>>(body: &'de [u8]) -> Result<T, String> {
    // Of an answer that broke off, the rest is in the error.
    serde_json::from_slice(body).map_err(|e| format!("it cannot be read: {e}"))
}

/// Numbers that are all there: some write `null` for what is none.
pub(crate) fn numbers(numbers: Vec<Option<f32>>) -> Result<Vec<f32>, String> {
    numbers.into_iter().collect::<Option<Vec<f32>>>().ok_or_else(|| "a vector holds null".to_owned())
}

/// The text of a message: some providers give it in parts.
pub(crate) fn text(content: &Value) -> Option<String> {
    match content {
        Value::String(text) => Some(text.clone()),
        Value::Array(parts) => {
            let texts: Vec<&str> = parts.iter().filter_map(|part| part["text"].as_str()).collect();
            (!texts.is_empty()).then(|| texts.concat())
        }
        _ => None,
    }
}

/// The assistant's message of an answer.
pub(crate) fn message(message: &Value, reasoning: &[&str]) -> Message {
    let call = |call: &Value| {
        let function = &call["function"];
        let arguments = match &function["arguments"] {
            Value::String(text) => text.clone(),
            Value::Null => "{}".to_owned(),
            object => object.to_string(),
        };
        let id = call["id"].as_str().filter(|id| !id.is_empty()).map(str::to_owned);
        ToolCall { id, name: function["name"].as_str().unwrap_or_default().to_owned(), arguments }
    };
    let thought = reasoning.iter().find_map(|name| message[*name].as_str()).filter(|text| !text.is_empty());
    Message {
        role: "assistant".to_owned(),
        content: text(&message["content"]),
        reasoning: thought.map(str::to_owned),
        tool_calls: message["tool_calls"].as_array().into_iter().flatten().map(call).collect(),
        ..Message::default()
    }
}

/// Tools as both dialects write them.
pub(crate) fn tools(request: &Request) -> Result<Option<Value>, ModelError> {
    if request.tools.is_empty() {
        return Ok(None);
    }
    let tool = |tool: &stillhouse_schemas::Tool| {
        let parameters = match tool.parameters.as_deref().map(str::trim).filter(|text| !text.is_empty()) {
            Some(text) => json(&format!("the schema of tool `{}`", tool.name), text)?,
            None => serde_json::json!({"type": "object", "properties": {}}),
        };
        let description = tool.description.as_deref().unwrap_or_default();
        Ok(serde_json::json!({"type": "function",
            "function": {"name": tool.name, "description": description, "parameters": parameters}}))
    };
    request.tools.iter().map(tool).collect::<Result<Vec<_>, _>>().map(|tools| Some(Value::Array(tools)))
}

/// What an error's body says: `error.message`, else `error`, else the body. Bounded, on one line.
pub(crate) fn error_text(body: &Value, raw: &str) -> String {
    let said = body["error"]["message"].as_str().or(body["error"].as_str()).or(body["message"].as_str());
    let said: String = said.unwrap_or(raw).trim().chars().take(400).collect();
    said.escape_debug().to_string()
}
