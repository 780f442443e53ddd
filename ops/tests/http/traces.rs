//! `POST /v1/traces`: what senders of OTLP are answered. What bodies mean is tested where they are read.

use super::server::{Parts, Server};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use std::io::Write;
use std::sync::Arc;
use stillhouse_kit::faults::{Call, Faulty, Outcome};
use stillhouse_streams::ErrorKind;
use stillhouse_streams::memory::MemoryJournal;

fn span(n: u64, text: &str) -> Value {
    json!({"traceId": format!("{:032x}", 7), "spanId": format!("{n:016x}"), "name": "chat",
        "startTimeUnixNano": "1767225600000000000", "endTimeUnixNano": "1767225601000000000",
        "attributes": [{"key": "gen_ai.completion", "value": {"stringValue": text}}]})
}

fn body(spans: Vec<Value>) -> Value {
    json!({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]})
}

async fn post(server: &Server, media: &str, body: Vec<u8>) -> (u16, String, Vec<u8>, Option<String>) {
    let request = server.client.post(server.url("/v1/traces")).header("content-type", media).body(body);
    let answer = request.send().await.unwrap();
    let header = |name: &str| answer.headers().get(name).map(|v| v.to_str().unwrap().to_owned());
    let (status, media, retry) = (answer.status().as_u16(), header("content-type").unwrap(), header("retry-after"));
    (status, media, answer.bytes().await.unwrap().to_vec(), retry)
}

#[tokio::test]
async fn spans_are_taken_once_and_bad_ones_are_counted() {
    let server = Server::start().await;
    let mut zero = span(9, "");
    zero["spanId"] = "0".repeat(16).into();
    let sent = body(vec![span(1, "a"), zero, span(2, "b")]);
    for _ in 0..2 {
        let (status, media, answer, _) =
            post(&server, "application/json; charset=utf-8", sent.to_string().into_bytes()).await;
        assert_eq!((status, media.as_str()), (200, "application/json"));
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(answer["partialSuccess"]["rejectedSpans"], "1");
        assert!(answer["partialSuccess"]["errorMessage"].as_str().unwrap().contains("zeros"), "{answer}");
        assert_eq!(server.count("spans").await, 2);
    }
    // The same span with another content is another event.
    let (status, _, answer, _) =
        post(&server, "application/json", body(vec![span(1, "c")]).to_string().into_bytes()).await;
    assert_eq!((status, answer.as_slice(), server.count("spans").await), (200, &b"{}"[..], 3));
    // Nothing to take: what a sender tries the connection with.
    for media in ["application/json", "application/x-protobuf"] {
        let (status, said, answer, _) = post(&server, media, Vec::new()).await;
        assert_eq!((status, said.as_str()), (200, media));
        assert!(answer.is_empty() || answer == b"{}");
    }
}

#[tokio::test]
async fn refusals_are_in_the_protocols_form() {
    let server = Server::with(|limits| limits.body_bytes = 1 << 20).await;
    let (status, media, answer, _) = post(&server, "application/x-protobuf", vec![0x0f]).await;
    assert_eq!((status, media.as_str(), answer[0]), (400, "application/x-protobuf", 0x12), "a google.rpc.Status");
    let (status, _, answer, _) = post(&server, "application/json", b"{\"resourceSpans\": 1}".to_vec()).await;
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert!(status == 400 && answer["message"].as_str().unwrap().contains("resourceSpans"), "{answer}");
    for media in ["application/grpc", "text/plain", ""] {
        let (status, ..) = post(&server, media, Vec::new()).await;
        assert_eq!(status, 415, "{media}");
    }
    let (status, ..) = post(&server, "application/json", vec![b' '; 2 << 20]).await;
    assert_eq!(status, 413);
    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    bomb.write_all(&vec![0; 64 << 20]).unwrap();
    let request = server.client.post(server.url("/v1/traces")).header("content-type", "application/x-protobuf");
    let answer = request.header("content-encoding", "gzip").body(bomb.finish().unwrap()).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 413);
    // A span that the journal has no room for is counted, the others are taken.
    let server = Server::start().await;
    let sent = body(vec![span(1, &"long ".repeat(300_000)), span(2, &"ü".repeat(300_000))]).to_string();
    let (status, _, answer, _) = post(&server, "application/json", sent.into_bytes()).await;
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(
        (status, answer["partialSuccess"]["rejectedSpans"].as_str(), server.count("spans").await),
        (200, Some("1"), 1),
        "{answer}"
    );
}

#[tokio::test]
async fn a_journal_that_cannot_take_them_now_is_asked_again_later() {
    for (kind, done) in [(ErrorKind::Unavailable, false), (ErrorKind::Full, false), (ErrorKind::Indeterminate, true)] {
        let truth = MemoryJournal::new();
        let journal = Arc::new(Faulty::new(Arc::new(truth), move |call| match call {
            Call::Append if done => Outcome::FailAfter(kind),
            Call::Append => Outcome::FailBefore(kind),
            _ => Outcome::Pass,
        }));
        let parts = Parts { journal, ..Parts::default() };
        let server = parts.start().await;
        let (status, _, answer, retry) =
            post(&server, "application/json", body(vec![span(1, "a")]).to_string().into_bytes()).await;
        assert_eq!(status, 503, "{kind:?}: {}", String::from_utf8_lossy(&answer));
        assert!(retry.is_some_and(|seconds| seconds.parse::<u32>().is_ok()));
        assert_eq!(server.count("spans").await, u64::from(done));
    }
}
