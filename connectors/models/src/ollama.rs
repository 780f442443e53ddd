//! Ollama's own API: `POST /api/chat`, not streamed. Arguments of calls are objects there.
//!
//! Ollama cuts a prompt that is too long without a word, unless it is told not to: it is told (`truncate: false`), and
//! then answers 400. A judge that saw half a conversation would be worse than none.

use crate::dialect::{self, Dialect};
use serde_json::{Map, Value, json};
use stillhouse_schemas::model::{ModelError, Reply, Request};
use stillhouse_schemas::{Message, Usage};

#[derive(Debug)]
pub(crate) struct Ollama;

impl Dialect for Ollama {
    fn split<'a>(&self, path: &'a str) -> Option<(String, &'a str)> {
        (!path.is_empty()).then(|| ("/api/chat".to_owned(), path))
    }

    fn provider<'a>(&self, _: &'a str) -> &'a str {
        "ollama"
    }

    fn body(&self, _: &str, model: &str, request: &Request) -> Result<Value, ModelError> {
        let messages = request.messages.iter().map(message).collect::<Result<Vec<_>, _>>()?;
        let mut body = json!({"model": model, "messages": messages, "stream": false, "truncate": false});
        let mut options = Map::new();
        if let Some(temperature) = request.temperature {
            options.insert("temperature".to_owned(), temperature.into());
        }
        if let Some(most) = request.max_tokens {
            options.insert("num_predict".to_owned(), most.into());
        }
        if let Some(seed) = request.seed {
            options.insert("seed".to_owned(), seed.into());
        }
        if !options.is_empty() {
            body["options"] = Value::Object(options);
        }
        if let Some(schema) = &request.response_schema {
            body["format"] = dialect::json("the response schema", schema)?;
        }
        if let Some(tools) = dialect::tools(request)? {
            body["tools"] = tools;
        }
        Ok(body)
    }

    fn reply(&self, body: &Value) -> Result<Reply, ModelError> {
        if !body["message"].is_object() {
            return Err(ModelError::Unknown("the answer holds no `message`".to_owned()));
        }
        if body["done"] == Value::Bool(false) {
            return Err(ModelError::Unknown("the answer is not whole (`done` is false)".to_owned()));
        }
        if body["done_reason"] == "load" {
            return Err(ModelError::Never("the model was loaded and asked nothing: the request is empty".to_owned()));
        }
        let (input, output) = (body["prompt_eval_count"].as_i64(), body["eval_count"].as_i64());
        let usage = Usage { input_tokens: input, output_tokens: output, ..Usage::default() };
        Ok(Reply {
            message: dialect::message(&body["message"], &["thinking"]),
            finish_reason: body["done_reason"].as_str().map(str::to_owned),
            usage: (input.is_some() || output.is_some()).then_some(usage),
            model: body["model"].as_str().unwrap_or_default().to_owned(),
            ..Reply::default()
        })
    }

    fn is_unpaid(&self, _: &Value) -> bool {
        false
    }

    fn remedy(&self, status: u16, model: &str) -> Option<String> {
        (status == 404).then(|| format!("`ollama pull {model}` fetches it"))
    }
}

fn message(message: &Message) -> Result<Value, ModelError> {
    let mut json = json!({"role": message.role, "content": message.content.as_deref().unwrap_or_default()});
    if message.role == "developer" {
        json["role"] = "system".into();
    }
    if let Some(reasoning) = &message.reasoning {
        json["thinking"] = reasoning.as_str().into();
    }
    if !message.tool_calls.is_empty() {
        let calls = message.tool_calls.iter().map(|call| {
            let arguments = match call.arguments.trim() {
                "" => Value::Object(Map::new()),
                text => dialect::json(&format!("arguments of `{}`", call.name), text)?,
            };
            Ok(json!({"id": call.id, "function": {"name": call.name, "arguments": arguments}}))
        });
        json["tool_calls"] = Value::Array(calls.collect::<Result<_, _>>()?);
    }
    if message.role == "tool" {
        json["tool_name"] = message.name.as_deref().into();
        json["tool_call_id"] = message.tool_call_id.as_deref().into();
    }
    Ok(json)
}
