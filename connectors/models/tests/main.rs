//! Both dialects against a provider on a loopback port: what is sent, what is read, and what each failure lets the
//! caller do.

mod vectors;

use serde_json::{Value, json};
use std::time::Duration;
use stillhouse_kit::providers::{Answer, Provider};
use stillhouse_models::{Key, Options, open};
use stillhouse_schemas::model::{ModelError, Reply, Request};
use stillhouse_schemas::{Message, Tool, ToolCall};

fn options() -> Options {
    Options {
        backoff: Duration::from_millis(1),
        timeout: Duration::from_secs(20),
        attempts: 3,
        trip_after: 100,
        ..Options::default()
    }
}

fn says(role: &str, content: &str) -> Message {
    Message { role: role.into(), content: Some(content.into()), ..Message::default() }
}

fn asks(content: &str) -> Request {
    Request { messages: vec![says("user", content)], ..Request::default() }
}

async fn ask(uri: &str, options: &Options, request: &Request) -> Result<Reply, ModelError> {
    open(uri, options).expect("a model").generate(request).await
}

/// Everything that a request can hold.
fn whole() -> Request {
    let call = ToolCall { id: Some("c1".into()), name: "f".into(), arguments: r#"{"a":1}"#.into() };
    let reply = Message { name: Some("f".into()), tool_call_id: Some("c1".into()), ..says("tool", "3") };
    Request {
        messages: vec![
            says("system", "be brief"),
            says("user", "go"),
            Message { tool_calls: vec![call], reasoning: Some("hm".into()), ..says("assistant", "") },
            reply,
        ],
        tools: vec![Tool {
            name: "f".into(),
            description: Some("does".into()),
            parameters: Some(r#"{"type":"object"}"#.into()),
        }],
        temperature: Some(0.0),
        max_tokens: Some(50),
        seed: Some(7),
        response_schema: Some(r#"{"type":"object"}"#.into()),
    }
}

#[tokio::test]
async fn ollama_is_asked_in_its_own_words() {
    let provider = Provider::start(|_, _| {
        Answer::status(
            200,
            json!({"model": "m:7b", "done": true, "done_reason": "stop", "prompt_eval_count": 5, "eval_count": 2,
                "message": {"role": "assistant", "content": "ok", "thinking": "so",
                    "tool_calls": [{"function": {"name": "g", "arguments": {"x": [1]}}}]}}),
        )
    });
    let options = Options { key: Some(Key::new(" sk-1\n")), ..options() };
    let reply = ask(&provider.ollama("m:7b"), &options, &whole()).await.expect("an answer");
    assert_eq!((reply.text(), reply.model.as_str(), reply.attempts), ("ok", "m:7b", 1));
    assert_eq!(reply.message.reasoning.as_deref(), Some("so"));
    assert_eq!(reply.message.tool_calls[0].arguments, r#"{"x":[1]}"#);
    let usage = reply.usage.expect("usage");
    assert_eq!((usage.input_tokens, usage.output_tokens), (Some(5), Some(2)));
    let asked = provider.asked().remove(0);
    assert_eq!((asked.path.as_str(), asked.header("authorization")), ("/api/chat", Some("Bearer sk-1")));
    let sent = json!({
        "model": "m:7b", "stream": false, "truncate": false, "format": {"type": "object"},
        "options": {"temperature": 0.0, "num_predict": 50, "seed": 7},
        "tools": [{"type": "function",
            "function": {"name": "f", "description": "does", "parameters": {"type": "object"}}}],
        "messages": [
            {"role": "system", "content": "be brief"}, {"role": "user", "content": "go"},
            {"role": "assistant", "content": "", "thinking": "hm",
                "tool_calls": [{"id": "c1", "function": {"name": "f", "arguments": {"a": 1}}}]},
            {"role": "tool", "content": "3", "tool_name": "f", "tool_call_id": "c1"},
        ],
    });
    assert_eq!(asked.body, sent);
}

#[tokio::test]
async fn chat_completions_are_asked_in_theirs() {
    let provider = Provider::start(|_, _| {
        Answer::status(
            200,
            json!({"id": "x", "model": "m-2", "choices": [{"finish_reason": "tool_calls", "message": {
                "role": "assistant", "content": null, "reasoning_content": "so",
                "tool_calls": [{"id": "c2", "type": "function", "function": {"name": "g", "arguments": "{\"x\":1}"}}]}}],
                "usage": {"prompt_tokens": 5, "completion_tokens": 2, "cost": 0.25,
                    "prompt_tokens_details": {"cached_tokens": 3}}}),
        )
    });
    let reply = ask(&provider.openai("v/m"), &options(), &whole()).await.expect("an answer");
    assert_eq!((reply.text(), reply.model.as_str(), reply.cost_usd), ("", "m-2", Some(0.25)));
    assert_eq!(reply.message.tool_calls[0].arguments, r#"{"x":1}"#);
    assert_eq!(reply.usage.expect("usage").cached_tokens, Some(3));
    let asked = provider.asked().remove(0);
    assert_eq!((asked.path.as_str(), asked.header("authorization")), ("/v1/chat/completions", None));
    assert_eq!(asked.body["model"], "v/m");
    assert_eq!((&asked.body["max_tokens"], &asked.body["seed"]), (&json!(50), &json!(7)));
    assert_eq!(asked.body["response_format"]["json_schema"]["schema"], json!({"type": "object"}));
    let call = &asked.body["messages"][2]["tool_calls"][0];
    assert_eq!(call["function"], json!({"name": "f", "arguments": "{\"a\":1}"}));
    assert_eq!(asked.body["messages"][3], json!({"role": "tool", "content": "3", "tool_call_id": "c1"}));
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum May {
    Retry,
    Never,
    Unknown,
}

/// What each failure lets the caller do, how often it was asked, and what the error says.
#[tokio::test]
async fn errors_say_what_the_caller_may_do() {
    let error = |text: &str| json!({"error": text});
    let nested = |kind: &str, text: &str| json!({"error": {"message": text, "type": kind, "code": Value::Null}});
    for (ollama, answer, may, times, says) in [
        (true, Answer::status(404, error("model 'm' not found")), May::Never, 1, "`ollama pull m` fetches it"),
        (true, Answer::status(400, error("input length exceeds the context length")), May::Never, 1, "answered 400"),
        (true, Answer::status(503, error("server busy, please try again.")), May::Retry, 3, "(tried 3 times)"),
        (true, Answer::status(200, error("runner died")), May::Retry, 3, "runner died"),
        (
            true,
            Answer::status(200, json!({"done": true, "done_reason": "load", "message": {}})),
            May::Never,
            1,
            "empty",
        ),
        (true, Answer::status(200, json!({"done": false, "message": {}})), May::Unknown, 1, "not whole"),
        (true, Answer::Raw(200, vec![], "<html>".into()), May::Unknown, 1, "no JSON object"),
        (true, Answer::Raw(302, vec![("location", "http://h/".into())], String::new()), May::Never, 1, "302"),
        (true, Answer::Hangup, May::Unknown, 1, "broke"),
        (false, Answer::status(401, nested("x", "bad key")), May::Never, 1, "`models.keys`"),
        (false, Answer::status(402, json!({"error": {"code": 402, "message": "no credit"}})), May::Never, 1, "paid"),
        (false, Answer::status(429, nested("rate_limit_reached_error", "slow")), May::Retry, 3, "slow"),
        (false, Answer::status(429, nested("insufficient_quota", "broke")), May::Never, 1, "broke"),
        (false, Answer::status(200, json!({"error": {"code": 502, "message": "up"}})), May::Retry, 3, "answered 502"),
        (false, Answer::status(200, json!({"choices": []})), May::Unknown, 1, "choices[0].message"),
        (false, Answer::Raw(500, vec![], "oops".into()), May::Retry, 3, "oops"),
        (false, Answer::Raw(429, vec![("retry-after", "9000".into())], "{}".into()), May::Retry, 1, "tried 1 times"),
    ] {
        let scripted = answer.clone();
        let provider = Provider::start(move |_, _| scripted.clone());
        let uri = if ollama { provider.ollama("m") } else { provider.openai("m") };
        let failed = ask(&uri, &options(), &asks("q")).await.expect_err("a failure");
        let found = match &failed {
            ModelError::Retry { .. } => May::Retry,
            ModelError::Never(_) => May::Never,
            ModelError::Unknown(_) => May::Unknown,
        };
        assert_eq!((found, provider.asked().len()), (may, times), "{answer:?}: {failed}");
        assert!(failed.to_string().contains(says), "{answer:?}: {failed}");
    }
}

#[tokio::test]
async fn what_may_be_tried_again_is_and_a_late_answer_counts() {
    let provider = Provider::start(|_, n| match n {
        0 => Answer::status(503, json!({"error": "server busy"})),
        1 => Answer::Raw(429, vec![("retry-after", "0.01".into())], "{}".into()),
        _ => Answer::text("done"),
    });
    let reply = ask(&provider.ollama("m"), &options(), &asks("q")).await.expect("an answer");
    assert_eq!((reply.text(), reply.attempts), ("done", 3));
}

#[tokio::test]
async fn silence_ends_and_nobody_knows_what_happened() {
    let provider = Provider::start(|_, _| Answer::Silence);
    let options = Options { timeout: Duration::from_millis(100), ..options() };
    let failed = ask(&provider.openai("m"), &options, &asks("q")).await.expect_err("a time-out");
    assert!(matches!(&failed, ModelError::Unknown(what) if what.contains("in time")), "{failed}");
    assert_eq!(provider.asked().len(), 1);
}

#[tokio::test]
async fn nobody_there_may_be_tried_again() {
    let uri = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        format!("ollama://{}/m", listener.local_addr().expect("its address"))
    };
    let failed = ask(&uri, &options(), &asks("q")).await.expect_err("nobody");
    assert!(matches!(&failed, ModelError::Retry { what, .. } if what.contains("cannot be reached")), "{failed}");
}

#[tokio::test]
async fn a_provider_that_keeps_failing_is_left_alone_then_tried_once() {
    let provider = Provider::start(|_, n| match n {
        0..3 => Answer::status(500, json!({"error": "x"})),
        _ => Answer::text("well again"),
    });
    let cool_down = Duration::from_millis(300);
    let options = Options { attempts: 1, trip_after: 3, cool_down, ..options() };
    let model = open(&provider.ollama("m"), &options).expect("a model");
    for _ in 0..3 {
        model.generate(&asks("q")).await.expect_err("500");
    }
    let ModelError::Retry { after: Some(after), what } = model.generate(&asks("q")).await.expect_err("left alone")
    else {
        panic!("it says when to come back");
    };
    assert!(after <= cool_down && what.contains("3 times in a row"), "{what}");
    assert_eq!(provider.asked().len(), 3, "it was not asked");
    // Refused until the time it named is over, then asked once more.
    let answer = loop {
        match model.generate(&asks("q")).await {
            Ok(answer) => break answer,
            Err(ModelError::Retry { after: Some(_), .. }) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!((answer.text(), provider.asked().len()), ("well again", 4));
    assert_eq!(model.generate(&asks("q")).await.expect("an answer").text(), "well again");
}

#[tokio::test]
async fn only_so_many_are_under_way() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Barrier};
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let together = Arc::new(Barrier::new(2));
    let (counted, highest) = (now.clone(), most.clone());
    let provider = Provider::start(move |_, _| {
        highest.fetch_max(counted.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        // Two at a time, or nobody would come out of here.
        together.wait();
        counted.fetch_sub(1, Ordering::SeqCst);
        Answer::text("ok")
    });
    let model = open(&provider.ollama("m"), &Options { concurrency: 2, ..options() }).expect("a model");
    let tasks: Vec<_> = (0..6)
        .map(|i| {
            let model = model.clone();
            tokio::spawn(async move { model.generate(&asks(&i.to_string())).await })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic").expect("an answer");
    }
    assert_eq!((most.load(Ordering::SeqCst), provider.asked().len()), (2, 6));
}

#[tokio::test]
async fn a_key_is_shown_nowhere() {
    let provider = Provider::start(|asked, _| {
        assert_eq!(asked.header("authorization"), Some("Bearer sk-hidden"));
        Answer::status(401, json!({"error": {"message": "wrong key"}}))
    });
    let options = Options { key: Some(Key::new("sk-hidden")), ..options() };
    let model = open(&provider.openai("m"), &options).expect("a model");
    let failed = model.generate(&asks("q")).await.expect_err("refused");
    assert!(!format!("{failed} {failed:?} {options:?} {model:?}").contains("sk-hidden"));
}

#[test]
fn what_cannot_be_sent_is_refused_before_it_is() {
    let broken = Request { response_schema: Some("{".into()), ..asks("q") };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let failed = runtime.block_on(ask("ollama://127.0.0.1:9/m", &options(), &broken)).expect_err("no JSON");
    assert!(matches!(failed, ModelError::Never(what) if what.contains("response schema")));
}
