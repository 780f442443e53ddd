//! OpenAI's chat completions and embeddings, and whatever else speaks them. Arguments of calls are JSON text there.

use crate::dialect::{self, Dialect, EmbedRequest, Task, Vectors};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use stillhouse_schemas::model::{ModelError, Reply, Request};
use stillhouse_schemas::{Message, Usage};

#[derive(Debug)]
pub(crate) struct OpenAi;

/// Errors that say that nothing is paid: under 429, where others mean that it is too soon.
const UNPAID: &[&str] = &[
    "insufficient_quota",
    "exceeded_current_quota_error",
    "payment_required",
    "CreditsError",
    "MonthlyLimitError",
    "UserLimitError",
    "FreeUsageLimitError",
    "GoUsageLimitError",
];

/// Hosts that refuse `max_tokens` and want its newer name.
const NEWER_NAME: &[&str] = &["openai.com", "moonshot.ai", "moonshot.cn"];
/// Hosts that refuse a temperature.
const FIXED_SAMPLING: &[&str] = &["moonshot.ai", "moonshot.cn"];

fn among(host: &str, domains: &[&str]) -> bool {
    let host = host.split(':').next().unwrap_or(host);
    domains.iter().any(|domain| host == *domain || host.strip_suffix(domain).is_some_and(|sub| sub.ends_with('.')))
}

impl Dialect for OpenAi {
    fn split<'a>(&self, path: &'a str) -> Option<(String, &'a str)> {
        let (base, model) = match path.strip_prefix("v1/") {
            Some(model) => ("", model),
            None => path.split_once("/v1/")?,
        };
        let base = if base.is_empty() { String::new() } else { format!("/{base}") };
        (!model.is_empty()).then_some((base, model))
    }

    fn path(&self, task: Task) -> &'static str {
        match task {
            Task::Chat => "/v1/chat/completions",
            Task::Embed => "/v1/embeddings",
            Task::List => "/v1/models",
        }
    }

    fn provider<'a>(&self, host: &'a str) -> &'a str {
        host
    }

    fn body(&self, host: &str, model: &str, request: &Request) -> Result<Value, ModelError> {
        let messages = request.messages.iter().map(message).collect::<Result<Vec<_>, _>>()?;
        let mut body = json!({"model": model, "messages": messages});
        if let Some(temperature) = request.temperature.filter(|_| !among(host, FIXED_SAMPLING)) {
            body["temperature"] = temperature.into();
        }
        if let Some(most) = request.max_tokens {
            let name = if among(host, NEWER_NAME) { "max_completion_tokens" } else { "max_tokens" };
            body[name] = most.into();
        }
        if let Some(seed) = request.seed {
            body["seed"] = seed.into();
        }
        if let Some(schema) = &request.response_schema {
            let schema = dialect::json("the response schema", schema)?;
            body["response_format"] =
                json!({"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}});
        }
        if let Some(tools) = dialect::tools(request)? {
            body["tools"] = tools;
        }
        Ok(body)
    }

    fn reply(&self, body: &Value) -> Result<Reply, ModelError> {
        let choice = &body["choices"][0];
        if !choice["message"].is_object() {
            return Err(ModelError::Unknown("the answer holds no `choices[0].message`".to_owned()));
        }
        if choice["finish_reason"] == "error" {
            return Err(ModelError::Unknown("the provider broke off in the middle of the answer".to_owned()));
        }
        let usage = &body["usage"];
        let counted = Usage {
            input_tokens: usage["prompt_tokens"].as_i64(),
            output_tokens: usage["completion_tokens"].as_i64(),
            cached_tokens: usage["prompt_tokens_details"]["cached_tokens"].as_i64(),
            reasoning_tokens: usage["completion_tokens_details"]["reasoning_tokens"].as_i64(),
        };
        let mut said = dialect::message(&choice["message"], &["reasoning_content", "reasoning"]);
        if said.content.is_none() {
            said.content = choice["message"]["refusal"].as_str().map(str::to_owned);
        }
        Ok(Reply {
            message: said,
            finish_reason: choice["finish_reason"].as_str().map(str::to_owned),
            usage: usage.is_object().then_some(counted),
            model: body["model"].as_str().unwrap_or_default().to_owned(),
            cost_usd: usage["cost"].as_f64().or(body["cost"].as_f64()).filter(|cost| cost.is_finite()),
            ..Reply::default()
        })
    }

    fn embed_body(&self, model: &str, texts: &[&str], asks: &EmbedRequest) -> Value {
        // Numbers in base64 are a third of the bytes; who does not know the word answers with plain ones.
        let mut body = json!({"model": model, "input": texts, "encoding_format": "base64"});
        if let Some(dimensions) = asks.dimensions {
            body["dimensions"] = dimensions.into();
        }
        body
    }

    fn vectors(&self, body: &[u8]) -> Result<Vectors, String> {
        #[derive(Deserialize)]
        struct Answer {
            model: Option<String>,
            data: Option<Vec<Entry>>,
            usage: Option<Counted>,
        }
        #[derive(Deserialize)]
        struct Counted {
            prompt_tokens: Option<i64>,
        }
        #[derive(Deserialize)]
        struct Entry {
            index: Option<usize>,
            embedding: Numbers,
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Numbers {
            Plain(Vec<Option<f32>>),
            Base64(String),
        }
        let Answer { model, data, usage } = dialect::read(body)?;
        let data = data.ok_or("it holds no `data`")?;
        let mut vectors = vec![Vec::new(); data.len()];
        let mut filled = vec![false; data.len()];
        for (place, entry) in data.into_iter().enumerate() {
            let index = entry.index.unwrap_or(place);
            if filled.get(index) != Some(&false) {
                return Err(format!("index {index} comes twice, or lies beyond the end"));
            }
            filled[index] = true;
            vectors[index] = match entry.embedding {
                Numbers::Plain(numbers) => dialect::numbers(numbers)?,
                Numbers::Base64(text) => floats(&text)?,
            };
        }
        let tokens = usage.and_then(|usage| usage.prompt_tokens);
        Ok(Vectors { model: model.unwrap_or_default(), vectors, tokens })
    }

    fn is_unpaid(&self, body: &Value) -> bool {
        let error = &body["error"];
        let words = [&error["code"], &error["type"], &error["metadata"]["error_type"]];
        words.iter().filter_map(|word| word.as_str()).any(|word| UNPAID.contains(&word))
    }

    fn remedy(&self, status: u16, _: &str) -> Option<String> {
        let what = match status {
            401 | 403 => "name the environment variable that holds the provider's key in `models.keys`",
            402 => "the provider wants to be paid",
            404 => "`GET /v1/models` of the provider lists its models",
            _ => return None,
        };
        Some(what.to_owned())
    }
}

/// Little-endian floats of four bytes, in base64.
fn floats(text: &str) -> Result<Vec<f32>, String> {
    let bytes = STANDARD.decode(text).map_err(|e| format!("a vector is no base64: {e}"))?;
    let (floats, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(format!("a vector has {} bytes, and a number four", bytes.len()));
    }
    Ok(floats.iter().map(|float| f32::from_le_bytes(*float)).collect())
}

fn message(message: &Message) -> Result<Value, ModelError> {
    let content = match (&message.parts, &message.content) {
        (Some(parts), _) => dialect::json("a message in parts", parts)?,
        (None, content) => content.as_deref().into(),
    };
    let mut json = json!({"role": message.role, "content": content});
    if !message.tool_calls.is_empty() {
        let calls = message.tool_calls.iter().map(|call| {
            json!({"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}})
        });
        json["tool_calls"] = Value::Array(calls.collect());
    }
    if let Some(reasoning) = message.reasoning.as_deref().filter(|_| message.role == "assistant") {
        json["reasoning_content"] = reasoning.into();
    }
    if message.role == "tool" {
        json["tool_call_id"] = message.tool_call_id.as_deref().into();
    } else if let Some(name) = &message.name {
        json["name"] = name.as_str().into();
    }
    Ok(json)
}
