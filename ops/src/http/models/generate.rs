//! `POST /v1/generate`: `{"model"?, "prompt" | "messages", "system"?, "temperature"?, "max_tokens"?, "seed"?,
//! "response_schema"?}`.
//!
//! The call and its answer are events before the caller has it. The same call is made once, ever: asked again, it is answered
//! from the journal, and says so (`recorded`).

use super::{Members, object, uncalled, wrong};
use crate::http::HttpState;
use crate::http::answer::Refusal;
use axum::Json;
use axum::extract::{Request, State};
use serde_json::{Value, json};
use stillhouse_schemas::Message;
use stillhouse_schemas::model::{Call, Request as Asked};

const KNOWN: &[&str] =
    &["model", "prompt", "messages", "system", "temperature", "max_tokens", "seed", "response_schema"];
const ROLES: &[&str] = &["system", "developer", "user", "assistant"];
const MOST_MESSAGES: usize = 1_000;

/// `POST /v1/generate`.
pub(crate) async fn generate(State(state): State<HttpState>, request: Request) -> Result<Json<Value>, Refusal> {
    let (object, _) = object(&state, request).await?;
    let mut members = Members(object);
    let mut messages = Vec::new();
    if let Some(system) = members.text("system")? {
        messages.push(Message { role: "system".into(), content: Some(system), ..Message::default() });
    }
    match (members.text("prompt")?, members.take("messages")) {
        (Some(prompt), None) if !prompt.trim().is_empty() => {
            messages.push(Message { role: "user".into(), content: Some(prompt), ..Message::default() });
        }
        (None, Some(Value::Array(said))) if !said.is_empty() && said.len() <= MOST_MESSAGES => {
            for (index, message) in said.into_iter().enumerate() {
                messages.push(read(message).map_err(|refusal| refusal.index(index))?);
            }
        }
        (Some(_), None) => return Err(wrong("prompt", "is empty")),
        (None, Some(_)) => return Err(wrong("messages", format!("is to be a list of 1 to {MOST_MESSAGES} messages"))),
        _ => return Err(wrong("prompt", "or `messages` is to be there, and not both")),
    }
    let temperature = match members.take("temperature") {
        None => None,
        Some(value) => {
            let legal = value.as_f64().filter(|t| (0.0..=2.0).contains(t));
            Some(legal.ok_or_else(|| wrong("temperature", "is to be a number from 0 to 2"))?)
        }
    };
    let seed = match members.take("seed") {
        None => None,
        Some(value) => Some(value.as_i64().ok_or_else(|| wrong("seed", "is to be a whole number"))?),
    };
    let response_schema = match members.take("response_schema") {
        None => None,
        Some(schema @ Value::Object(_)) => Some(schema.to_string()),
        Some(_) => return Err(wrong("response_schema", "is to be a JSON Schema")),
    };
    let max_tokens = members.count("max_tokens", 1 << 20)?.and_then(|most| u32::try_from(most).ok());
    let model = state.serving.generator(members.text("model")?.as_deref())?;
    members.end(KNOWN)?;
    let Some(calls) = state.serving.calls.as_ref() else {
        return Err(wrong("model", "cannot be asked: calls are not recorded here"));
    };
    let _place = state.serving.place()?;
    let request = Asked { messages, tools: Vec::new(), temperature, max_tokens, seed, response_schema };
    let call = Call { purpose: "generate".to_owned(), model, request, ..Call::default() };
    let answered = calls.call(&call).await.map_err(uncalled)?;
    let reply = &answered.reply;
    let usage = reply
        .usage
        .as_ref()
        .map(|usage| json!({"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}));
    Ok(Json(json!({
        "model": reply.model,
        "text": reply.text(),
        "reasoning": reply.message.reasoning,
        "finish_reason": reply.finish_reason,
        "usage": usage,
        "cost_usd": answered.cost_usd,
        "call_hash": answered.call_hash,
        "recorded": answered.recorded,
    })))
}

/// A message: who, and what.
fn read(message: Value) -> Result<Message, Refusal> {
    let Value::Object(message) = message else { return Err(wrong("messages", "holds what is no object")) };
    let mut members = Members(message);
    let role = members.text("role")?.filter(|role| ROLES.contains(&role.as_str()));
    let role = role.ok_or_else(|| wrong("role", format!("is to be one of {}", ROLES.join(", "))))?;
    let content = members.text("content")?.ok_or_else(|| wrong("content", "is missing"))?;
    members.end(&["role", "content"])?;
    Ok(Message { role, content: Some(content), ..Message::default() })
}
