//! Vectors, order and answers, over a real listener.

use super::server::{Answer, PATIENCE, Parts, Server, one_answer, send};
use super::who::access;
use async_trait::async_trait;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;
use stillhouse::http::Serving;
use stillhouse::settings::Models;
use stillhouse_embedcache::{EmbedCache, Opened};
use stillhouse_lexical::Lexical;
use stillhouse_schemas::Message;
use stillhouse_schemas::model::{Answered, Call, CallError, Calls, Embedder, Embeddings, ModelError, Reply, call_hash};
use tokio::io::AsyncWriteExt;

/// Vectors of four numbers under a version that can change, and errors on demand.
#[derive(Debug, Default)]
struct Scripted {
    calls: AtomicU64,
    version: AtomicU64,
}

#[async_trait]
impl Embedder for Scripted {
    fn provider(&self) -> &str {
        "scripted"
    }

    fn name(&self) -> &str {
        "four"
    }

    async fn version(&self) -> Result<String, ModelError> {
        Ok(self.version.load(SeqCst).to_string())
    }

    async fn embed(&self, texts: &[&str]) -> Result<Embeddings, ModelError> {
        self.calls.fetch_add(1, SeqCst);
        match texts[0] {
            "busy" => return Err(ModelError::Retry { what: "busy".into(), after: Some(Duration::from_millis(2_500)) }),
            "never" => return Err(ModelError::Never("never".into())),
            "lost" => return Err(ModelError::Unknown("lost".into())),
            _ => {}
        }
        let version = self.version().await?;
        let number: f32 = version.parse().unwrap();
        let vectors = texts.iter().map(|text| vec![text.len() as f32, 0.1, -1.0 / 3.0, number].into()).collect();
        Ok(Embeddings { vectors, version, ..Embeddings::default() })
    }
}

/// Says what the last message says; of what says `refuse`, an error.
#[derive(Debug, Default)]
struct Echo(AtomicU64);

#[async_trait]
impl Calls for Echo {
    async fn call(&self, call: &Call) -> Result<Answered, CallError> {
        self.0.fetch_add(1, SeqCst);
        let body = call.request.canonical();
        let call_hash = call_hash(&call.purpose, "echo", &call.model, &body);
        let last = call.request.messages.last().and_then(|m| m.content.clone()).unwrap_or_default();
        if last.contains("refuse") {
            return Err(CallError::Model { call_hash, error: ModelError::Never("refused".into()) });
        }
        // A judge that likes what is long.
        let said = match serde_json::from_str::<Value>(&last) {
            Ok(shown) if call.purpose == "rerank" => {
                json!({"score": shown["document"].as_str().unwrap().len() as f64 / 100.0}).to_string()
            }
            _ => format!("{}: {last}", call.request.messages.len()),
        };
        let message = Message { content: Some(said), ..Message::default() };
        let reply = Reply { message, model: "echo-1".into(), finish_reason: Some("stop".into()), ..Reply::default() };
        Ok(Answered { call_hash, reply, recorded: false, cost_usd: None })
    }

    async fn recorded(&self, _: &Call) -> Result<Option<Answered>, CallError> {
        Ok(None)
    }
}

fn parts() -> (Parts, Arc<Scripted>, Arc<Echo>) {
    let (scripted, echo) = (Arc::new(Scripted::default()), Arc::new(Echo::default()));
    let embedder = scripted.clone();
    let cache = EmbedCache::new(1 << 20, None, move |uri| {
        if let Some(lexical) = stillhouse_lexical::open(uri) {
            return Ok(Opened { embedder: lexical?, worth_a_disk: false, may_change: false });
        }
        Ok(Opened { embedder: embedder.clone(), worth_a_disk: false, may_change: true })
    })
    .looking_every(Duration::ZERO);
    let models =
        Models { embed: "test://h/four".into(), generate: "openai://h.example/v1/echo".into(), ..Models::default() };
    let serving = Serving::new(cache, Some(echo.clone()), &models);
    (Parts { serving, ..Parts::default() }, scripted, echo)
}

async fn ask(server: &Server, path: &str, body: Value) -> Answer {
    send(server.post(path, &body)).await
}

#[tokio::test]
async fn one_text_or_several_and_numbers_at_their_shortest() {
    let (parts, scripted, _) = parts();
    let server = parts.start().await;
    let answer = ask(&server, "/v1/embed", json!({"text": "abc"})).await;
    let wanted =
        r#"{"model":"four","provider":"scripted","version":"0","dimensions":4,"embedding":[3.0,0.1,-0.33333334,0.0]}"#;
    assert_eq!((answer.status, answer.text.as_str()), (200, wanted));
    let many = ask(&server, "/v1/embed", json!({"texts": ["abc", "de"], "model": "four"})).await.json();
    assert_eq!(many["embeddings"][1][0], 2.0);
    assert!(many.get("embedding").is_none());
    assert_eq!(scripted.calls.load(SeqCst), 2, "`abc` was not asked for again");
    let lexical = ask(&server, "/v1/embed", json!({"text": "abc", "model": "lexical://64"})).await.json();
    assert_eq!(
        (&lexical["model"], &lexical["dimensions"], &lexical["version"]),
        (&json!("lexical:64"), &json!(64), &json!("1"))
    );
    let made: Vec<f32> = serde_json::from_value(lexical["embedding"].clone()).unwrap();
    assert_eq!(made, Lexical::new(64).vector("abc"), "every number comes back as it was");
    let cut = ask(&server, "/v1/embed", json!({"text": "abc", "model": "lexical:64", "dimensions": 32})).await.json();
    assert_eq!(cut["dimensions"], 32);
}

#[tokio::test]
async fn what_is_ready_is_sent_to_whoever_may_have_it_and_only_while_the_model_is_the_same() {
    let (parts, scripted, _) = parts();
    let access = access(&[("r", "reads", &["read"]), ("a", "appends", &["append"])]);
    let server = Parts { access, ..parts }.start().await;
    let ask = async |token: &str, body: &str| {
        let request = server.client.post(server.url("/v1/embed")).header("content-type", "application/json");
        send(request.header("authorization", format!("Bearer {token}")).body(body.to_owned())).await
    };
    let ready = async || server_stats(&server, "reads").await["embeddings"]["answers"]["hits"].as_u64().unwrap();
    let first = ask("reads", r#"{"text":"x"}"#).await;
    assert_eq!((first.status, ready().await), (200, 0));
    let second = ask("reads", r#"{"text":"x"}"#).await;
    assert_eq!((second.status, second.text, ready().await), (200, first.text.clone(), 1));
    assert_eq!(second.headers["content-type"], "application/json");
    assert!(uuid::Uuid::try_parse(second.headers["x-request-id"].to_str().unwrap()).is_ok());
    // Other bytes are another request, whatever they mean.
    let third = ask("reads", r#"{"text": "x"}"#).await;
    assert_eq!((third.text, ready().await), (first.text.clone(), 1));
    ask("appends", r#"{"text":"x"}"#).await.is(403, "forbidden");
    ask("nobody", r#"{"text":"x"}"#).await.is(401, "unauthorized");
    let plain = server.client.post(server.url("/v1/embed")).header("authorization", "Bearer reads");
    send(plain.header("content-type", "text/plain").body(r#"{"text":"x"}"#)).await.is(415, "unsupported_media_type");
    let query = server.client.post(server.url("/v1/embed?a=b")).header("authorization", "Bearer reads");
    send(query.header("content-type", "application/json").body(r#"{"text":"x"}"#)).await.is(400, "bad_request");
    let host = server.client.post(server.url("/v1/embed")).header("authorization", "Bearer reads");
    let host = host.header("host", "evil.example").header("content-type", "application/json");
    send(host.body(r#"{"text":"x"}"#)).await.is(421, "unknown_host");
    assert_eq!(ready().await, 1);
    // Another model under the name: what was ready is not, once that is known.
    scripted.version.store(7, SeqCst);
    let changed = async {
        loop {
            let answer = ask("reads", r#"{"text":"x"}"#).await;
            if answer.text != first.text {
                return answer;
            }
        }
    };
    let changed = tokio::time::timeout(PATIENCE, changed).await.expect("it is noticed").json();
    assert_eq!((&changed["version"], &changed["embedding"][3]), (&json!("7"), &json!(7.0)));
    let metrics = server.client.get(server.url("/metrics")).header("authorization", "Bearer reads");
    let metrics = send(metrics).await.text;
    for line in ["stillhouse_embed_texts_total{found=\"nowhere\"} 2", "stillhouse_embed_calls_failed_total 0"] {
        assert!(metrics.contains(line), "{metrics}");
    }
    assert!(metrics.contains(r#"stillhouse_http_requests_total{method="POST",route="/v1/embed",status="200"}"#));
}

async fn server_stats(server: &Server, token: &str) -> Value {
    let request = server.client.get(server.url("/v1/stats")).header("authorization", format!("Bearer {token}"));
    send(request).await.json()
}

#[tokio::test]
async fn a_body_in_pieces_is_answered_as_one_that_came_whole() {
    let server = parts().0.start().await;
    let body = r#"{"text":"in pieces"}"#;
    let whole = ask(&server, "/v1/embed", json!({"text": "in pieces"})).await;
    for _ in 0..2 {
        let mut stream = server.connect().await;
        let length = body.len();
        let head = format!(
            "POST /v1/embed HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        for piece in [head.as_bytes(), &body.as_bytes()[..5], &body.as_bytes()[5..]] {
            stream.write_all(piece).await.unwrap();
            stream.flush().await.unwrap();
            tokio::task::yield_now().await;
        }
        let answer = one_answer(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(&whole.text), "{answer}");
    }
    let head =
        "POST /v1/embed HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 90\r\n\r\n{";
    let mut stream = server.connect().await;
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let answer = super::server::until_closed(&mut stream).await;
    assert!(answer.is_empty() || answer.contains("bad_body"), "{answer}");
    assert_eq!(ask(&server, "/v1/embed", json!({"text": "in pieces"})).await.status, 200);
}

#[tokio::test]
async fn what_cannot_be_embedded_is_refused_with_its_place() {
    let (parts, scripted, _) = parts();
    let server = parts.start().await;
    for (body, status, code, field) in [
        (json!({}), 422, "invalid", "text"),
        (json!({"text": "a", "texts": ["b"]}), 422, "invalid", "text"),
        (json!({"text": " "}), 422, "invalid", "text"),
        (json!({"text": ["a"]}), 422, "invalid", "text"),
        (json!({"texts": "a"}), 422, "invalid", "texts"),
        (json!({"texts": []}), 422, "invalid", "texts"),
        (json!({"texts": ["a", 3]}), 422, "invalid", "texts"),
        (json!({"text": "a", "txet": "b"}), 422, "invalid", "txet"),
        (json!({"text": "a", "dimensions": 0}), 422, "invalid", "dimensions"),
        (json!({"text": "a", "model": "lexical", "dimensions": 9}), 422, "invalid", "dimensions"),
        (json!({"text": "a", "model": "ollama://169.254.1.1/m"}), 404, "model_not_found", "model"),
        (json!({"text": "a", "model": "echo"}), 404, "model_not_found", "model"),
        (json!({"text": "a".repeat(300_000)}), 413, "too_large", "text"),
        (json!({"texts": vec!["a"; 2_049]}), 413, "too_many_texts", "texts"),
    ] {
        ask(&server, "/v1/embed", body).await.is(status, code).field(field);
    }
    assert_eq!(ask(&server, "/v1/embed", json!({"texts": ["a", ""]})).await.json()["error"]["index"], 1);
    ask(&server, "/v1/embed", json!([{"text": "a"}, {"text": "b"}])).await.is(422, "invalid");
    assert_eq!(scripted.calls.load(SeqCst), 0);
    let busy = ask(&server, "/v1/embed", json!({"text": "busy"})).await;
    assert_eq!(busy.is(503, "model_unavailable").header("retry-after"), "3");
    ask(&server, "/v1/embed", json!({"text": "never"})).await.is(422, "model_refused");
    ask(&server, "/v1/embed", json!({"text": "lost"})).await.is(502, "model_failed");
}

#[tokio::test]
async fn openai_clients_get_what_they_know() {
    let (parts, ..) = parts();
    let server = parts.start().await;
    let body = json!({"model": "four", "input": ["ab", "c"], "user": "u", "encoding_format": "float"});
    let plain = ask(&server, "/v1/embeddings", body).await.json();
    assert_eq!(
        (&plain["object"], &plain["model"], &plain["usage"]["total_tokens"]),
        (&json!("list"), &json!("four"), &json!(0))
    );
    assert_eq!((&plain["data"][1]["index"], &plain["data"][1]["embedding"][0]), (&json!(1), &json!(1.0)));
    let base64 =
        ask(&server, "/v1/embeddings", json!({"model": "four", "input": "ab", "encoding_format": "base64"})).await;
    // 2.0, 0.1, -1/3, 0.0, little-endian.
    assert_eq!(base64.json()["data"][0]["embedding"], "AAAAQM3MzD2rqqq+AAAAAA==");
    for (body, status, code, param) in [
        (json!({"model": "four", "input": [1, 2]}), 422, "invalid", json!("input")),
        (json!({"model": "four", "input": [[1, 2]]}), 422, "invalid", json!("input")),
        (json!({"model": "text-embedding-3-small", "input": "a"}), 404, "model_not_found", json!("model")),
        (json!({"model": "four"}), 422, "invalid", json!("input")),
        (json!({"model": "four", "input": "a", "encoding_format": "int8"}), 422, "invalid", json!("encoding_format")),
        (json!({"model": "four", "input": "busy"}), 503, "model_unavailable", Value::Null),
    ] {
        let answer = ask(&server, "/v1/embeddings", body).await;
        let error = &answer.json()["error"];
        assert_eq!((answer.status, &error["code"], &error["param"]), (status, &json!(code), &param), "{answer:?}");
        let kind = if status < 500 { "invalid_request_error" } else { "server_error" };
        assert_eq!(error["type"], kind);
    }
    let list = server.get("/v1/models").await.json();
    let ids: Vec<&str> = list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["four", "echo"]);
    let closed = Parts { access: access(&[("r", "reads", &["read"])]), ..Parts::default() }.start().await;
    let error = closed.get("/v1/models").await.json()["error"].clone();
    assert_eq!((&error["code"], &error["type"]), (&json!("invalid_api_key"), &json!("invalid_request_error")));
}

#[tokio::test]
async fn documents_are_ordered_by_vectors_or_by_a_judge() {
    let (parts, _, echo) = parts();
    let access = access(&[("r", "reads", &["read"]), ("o", "operates", &["operate", "read"])]);
    let server = Parts { access, ..parts }.start().await;
    let ask = async |token: &str, body: Value| {
        send(server.post("/v1/rerank", &body).header("authorization", format!("Bearer {token}"))).await
    };
    let documents = json!(["apples and pears", "a refund of the cancelled flight", {"text": "flights"}]);
    let body = json!({"model": "lexical", "query": "refund for a cancelled flight", "documents": documents,
        "top_n": 2, "return_documents": true});
    let answer = ask("reads", body).await.json();
    let results = answer["results"].as_array().unwrap();
    let order: Vec<u64> = results.iter().map(|result| result["index"].as_u64().unwrap()).collect();
    assert_eq!((order, answer["model"].as_str()), (vec![1, 2], Some("lexical:384")));
    assert_eq!(results[0]["document"]["text"], "a refund of the cancelled flight");
    assert!(results[0]["relevance_score"].as_f64() > results[1]["relevance_score"].as_f64());
    let judged = json!({"model": "echo", "query": "q", "documents": ["aa", "aaaa", "a"]});
    ask("reads", judged.clone()).await.is(403, "forbidden");
    let answer = ask("operates", judged).await.json();
    assert_eq!(
        answer["results"],
        json!([{"index": 1, "relevance_score": 0.04}, {"index": 0, "relevance_score": 0.02},
        {"index": 2, "relevance_score": 0.01}])
    );
    assert_eq!(echo.0.load(SeqCst), 3);
    // A score beyond the scale is none.
    ask("operates", json!({"model": "echo", "query": "q", "documents": ["a".repeat(200)]}))
        .await
        .is(502, "model_failed");
    ask("operates", json!({"model": "echo", "query": "q", "documents": vec!["a"; 101]}))
        .await
        .is(413, "too_many_texts");
    ask("reads", json!({"query": "q"})).await.is(422, "invalid").field("documents");
    ask("reads", json!({"query": "q", "documents": ["a"], "model": "none"})).await.is(404, "model_not_found");
}

#[tokio::test]
async fn answers_of_models_are_recorded_calls() {
    let server = parts().0.start().await;
    let answer = ask(&server, "/v1/generate", json!({"prompt": "hello", "system": "be brief", "temperature": 0})).await;
    let said = answer.json();
    assert_eq!(
        (&said["text"], &said["model"], &said["recorded"]),
        (&json!("2: hello"), &json!("echo-1"), &json!(false))
    );
    assert_eq!(said["call_hash"].as_str().map(str::len), Some(64));
    let messages = json!([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]);
    let said = ask(&server, "/v1/generate", json!({"messages": messages, "model": "echo"})).await.json();
    assert_eq!(said["text"], "3: c");
    for (body, status, code) in [
        (json!({}), 422, "invalid"),
        (json!({"prompt": "a", "messages": [{"role": "user", "content": "b"}]}), 422, "invalid"),
        (json!({"messages": [{"role": "tool", "content": "b"}]}), 422, "invalid"),
        (json!({"messages": [{"role": "user", "content": [{"type": "text"}]}]}), 422, "invalid"),
        (json!({"prompt": "a", "temperature": 3}), 422, "invalid"),
        (json!({"prompt": "a", "stream": true}), 422, "invalid"),
        (json!({"prompt": "a", "model": "four"}), 404, "model_not_found"),
        (json!({"prompt": "refuse"}), 422, "model_refused"),
    ] {
        ask(&server, "/v1/generate", body).await.is(status, code);
    }
    let none = Server::start().await;
    ask(&none, "/v1/generate", json!({"prompt": "a"})).await.is(404, "model_not_found");
}
