//! Ollama's own API: `POST /api/chat`, not streamed, and `POST /api/embed`. Arguments of calls are objects there.
//!
//! Ollama cuts a prompt that is too long without a word, unless it is told not to: it is told (`truncate: false`), and
//! then answers 400. A judge that saw half a conversation would be worse than none.

use crate::dialect::{self, Dialect, EmbedRequest, Task, Vectors};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use stillhouse_schemas::model::{ModelError, Reply, Request};
use stillhouse_schemas::{Message, Usage};

#[derive(Debug)]
pub(crate) struct Ollama;

impl Dialect for Ollama {
    fn split<'a>(&self, path: &'a str) -> Option<(String, &'a str)> {
        (!path.is_empty()).then(|| (String::new(), path))
    }

    fn path(&self, task: Task) -> &'static str {
        match task {
            Task::Chat => "/api/chat",
            Task::Embed => "/api/embed",
            Task::List => "/api/tags",
        }
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

    fn embed_body(&self, model: &str, texts: &[&str], asks: &EmbedRequest) -> Value {
        let mut body = json!({"model": model, "input": texts, "truncate": asks.truncate});
        if let Some(dimensions) = asks.dimensions {
            body["dimensions"] = dimensions.into();
        }
        body
    }

    fn vectors(&self, body: &[u8]) -> Result<Vectors, String> {
        #[derive(Deserialize)]
        struct Answer {
            model: Option<String>,
            embeddings: Option<Vec<Vec<Option<f32>>>>,
            prompt_eval_count: Option<i64>,
        }
        let Answer { model, embeddings, prompt_eval_count } = dialect::read(body)?;
        let vectors = embeddings.ok_or("it holds no `embeddings`")?;
        let vectors = vectors.into_iter().map(dialect::numbers).collect::<Result<_, _>>()?;
        Ok(Vectors { model: model.unwrap_or_default(), vectors, tokens: prompt_eval_count })
    }

    fn tells_versions(&self) -> bool {
        true
    }

    fn version(&self, list: &Value, model: &str) -> String {
        // A name without a tag means this one.
        let tagged = if model.rsplit('/').next().is_some_and(|last| last.contains(':')) {
            model.to_owned()
        } else {
            format!("{model}:latest")
        };
        let named = |entry: &&Value| {
            let names = [&entry["name"], &entry["model"]];
            names.iter().filter_map(|name| name.as_str()).any(|name| name.eq_ignore_ascii_case(&tagged))
        };
        let entry = list["models"].as_array().into_iter().flatten().find(named);
        entry.and_then(|entry| entry["digest"].as_str()).unwrap_or_default().to_owned()
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
