//! `Idempotency-Key`.

use super::gate::Gated;
use super::server::{Answer, Parts, Server, event, run, send};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use stillhouse_kit::faults::{Call, Faulty, Outcome};
use stillhouse_streams::ErrorKind;
use tokio::io::AsyncWriteExt;

async fn post(server: &Server, key: &str, body: &Value) -> Answer {
    send(server.post("/v1/events/runs", body).header("Idempotency-Key", key)).await
}

/// Without ids, so that nothing but the key can tell that it is the same.
fn body() -> Value {
    json!([{"payload": run("r1")}, {"payload": run("r2")}])
}

fn is_replay(answer: &Answer) -> bool {
    answer.header("idempotent-replayed") == "true"
}

#[tokio::test]
async fn h18_the_same_request_is_answered_as_the_first_time() {
    let server = Server::start().await;
    send(server.post("/v1/events/runs", &event("there", "r9"))).await;
    for request in [body(), json!([event("there", "r9"), event("new", "r8"), event("new", "r8")]), event("there", "r9")]
    {
        let key = request.to_string().len().to_string();
        let before = server.count("runs").await;
        let first = post(&server, &key, &request).await;
        assert!(first.status < 300 && !is_replay(&first), "{first:?}");
        let after = server.count("runs").await;
        for _ in 0..3 {
            let again = post(&server, &key, &request).await;
            assert_eq!((again.status, &again.text), (first.status, &first.text));
            assert!(is_replay(&again));
        }
        assert_eq!(server.count("runs").await, after);
        assert!(after >= before);
    }
    assert_eq!(server.count("runs").await, 4);
    assert_eq!(server.count("requests").await, 3);
}

#[tokio::test]
async fn h18_a_key_outlives_the_server() {
    let parts = Parts::default();
    let journal = parts.journal.clone();
    let server = parts.start().await;
    let first = post(&server, "k", &body()).await;
    let second = Parts { journal, ..Parts::default() }.start().await;
    let again = post(&second, "k", &body()).await;
    assert_eq!((again.status, &again.text, is_replay(&again)), (first.status, &first.text, true));
    assert_eq!(second.count("runs").await, 2);
}

#[tokio::test]
async fn h19_the_same_key_for_another_request_is_refused() {
    let server = Server::start().await;
    post(&server, "k", &body()).await;
    post(&server, "k", &event("e1", "r1")).await.is(409, "idempotency_key_reused");
    // Another place to write to is another request too.
    let elsewhere = server.post("/v1/runs", &body()).header("Idempotency-Key", "k");
    send(elsewhere).await.is(409, "idempotency_key_reused");
    assert_eq!(server.count("runs").await, 2);
}

#[tokio::test]
async fn keys_that_are_none() {
    let server = Server::start().await;
    for key in ["", &"k".repeat(256)] {
        post(&server, key, &body()).await.is(400, "bad_request").field("Idempotency-Key");
    }
    let twice = server.post("/v1/events/runs", &body()).header("Idempotency-Key", "a").header("Idempotency-Key", "b");
    send(twice).await.is(400, "bad_request");
    assert_eq!(server.count("runs").await, 0);
}

#[tokio::test]
async fn a_refused_request_does_not_use_up_its_key() {
    let server = Server::start().await;
    post(&server, "k", &json!([])).await.is(422, "invalid");
    assert_eq!(post(&server, "k", &body()).await.status, 201);
}

#[tokio::test]
async fn many_at_once_write_once() {
    let parts = Parts::default();
    let journal = parts.journal.clone();
    // Two servers on one journal, as two processes are.
    let servers = Arc::new([parts.start().await, Parts { journal, ..Parts::default() }.start().await]);
    let mut all = tokio::task::JoinSet::new();
    for n in 0..40 {
        let servers = servers.clone();
        all.spawn(async move { post(&servers[n % 2], "k", &body()).await });
    }
    let answers = all.join_all().await;
    assert_eq!(servers[0].count("runs").await, 2);
    assert_eq!(servers[0].count("requests").await, 1);
    let ids = |answer: &Answer| {
        answer.json()["events"].as_array().unwrap().iter().map(|e| e["id"].clone()).collect::<Vec<_>>()
    };
    for answer in &answers {
        assert!(answer.status < 300, "{answer:?}");
        assert_eq!(ids(answer), ids(&answers[0]));
    }
}

#[tokio::test]
async fn h20_a_client_that_goes_away_leaves_a_whole_request() {
    let mut parts = Parts::default();
    let gate = Gated::new(parts.journal);
    parts.journal = gate.clone();
    let server = parts.start().await;
    let body = body().to_string();
    let request = format!(
        "POST /v1/events/runs HTTP/1.1\r\nHost: 127.0.0.1\r\nIdempotency-Key: k\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = server.connect().await;
    stream.write_all(request.as_bytes()).await.unwrap();
    gate.waiting(1).await;
    drop(stream);
    gate.open();
    let again = send(
        server
            .client
            .post(server.url("/v1/events/runs"))
            .header("idempotency-key", "k")
            .header("content-type", "application/json")
            .body(body),
    )
    .await;
    assert_eq!((again.status, is_replay(&again)), (201, true), "{again:?}");
    assert_eq!(server.count("runs").await, 2);
}

#[tokio::test]
async fn an_unknown_outcome_is_settled_by_asking_again() {
    for happened in [true, false] {
        let failing = Arc::new(AtomicBool::new(true));
        let once = failing.clone();
        let mut parts = Parts::default();
        parts.journal = Arc::new(Faulty::new(parts.journal, move |call| match call {
            Call::Append if once.swap(false, Ordering::SeqCst) => {
                if happened {
                    Outcome::FailAfter(ErrorKind::Indeterminate)
                } else {
                    Outcome::FailBefore(ErrorKind::Indeterminate)
                }
            }
            _ => Outcome::Pass,
        }));
        let server = parts.start().await;
        let first = post(&server, "k", &body()).await;
        first.is(503, "indeterminate");
        let again = post(&server, "k", &body()).await;
        assert_eq!((again.status, is_replay(&again)), (201, happened), "{again:?}");
        assert_eq!(server.count("runs").await, 2);
        assert!(!failing.load(Ordering::SeqCst));
    }
}
