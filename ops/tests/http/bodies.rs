//! Request bodies: too large, too slow, badly encoded, badly written.

use super::server::{Server, event, one_answer, run, send, status, until_closed};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use std::io::Write;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

const HEAD: &str = "POST /v1/runs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

async fn post_gzip(server: &Server, body: Vec<u8>) -> super::server::Answer {
    let request = server.client.post(server.url("/v1/runs")).header("content-type", "application/json");
    send(request.header("content-encoding", "gzip").body(body)).await
}

#[tokio::test]
async fn h01_an_honest_length_is_refused_before_the_body() {
    let server = Server::with(|l| l.body_bytes = 1_000).await;
    let mut stream = server.connect().await;
    stream.write_all(format!("{HEAD}Content-Length: 1001\r\n\r\n").as_bytes()).await.unwrap();
    let answer = one_answer(&mut stream).await;
    assert_eq!(status(&answer), 413, "{answer}");
    assert!(answer.to_lowercase().contains("connection: close"), "{answer}");
    // The answer arrives even if the client sends everything before it reads.
    let body = vec![b' '; 4 << 20];
    let answer =
        server.raw(&[format!("{HEAD}Content-Length: {}\r\n\r\n", body.len()).as_bytes(), &body].concat()).await;
    assert_eq!(status(&answer), 413, "{answer}");
}

#[tokio::test]
async fn h02_a_chunked_body_is_refused_as_soon_as_it_is_too_large() {
    let server = Server::with(|l| l.body_bytes = 1_000).await;
    let mut stream = server.connect().await;
    let chunk = format!("3e9\r\n{}\r\n", " ".repeat(1_001));
    stream.write_all(format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n{chunk}").as_bytes()).await.unwrap();
    // The body has not ended, and never will.
    let answer = one_answer(&mut stream).await;
    assert_eq!(status(&answer), 413, "{answer}");
    until_closed(&mut stream).await;
}

#[tokio::test]
async fn h03_a_body_that_does_not_come_is_given_up() {
    let server = Server::with(|l| l.body_deadline = Duration::from_millis(200)).await;
    let mut stream = server.connect().await;
    let body = run("r1").to_string();
    stream.write_all(format!("{HEAD}Content-Length: {}\r\n\r\n{body}", body.len() + 1).as_bytes()).await.unwrap();
    let answer = until_closed(&mut stream).await;
    assert_eq!(status(&answer), 408, "{answer}");
    assert_eq!(server.count("runs").await, 0);
}

#[tokio::test]
async fn h05_a_gzip_bomb_stops_at_the_cap() {
    let server = Server::with(|l| l.body_bytes = 4 << 20).await;
    let bomb = gzip(&vec![b' '; 64 << 20]);
    assert!(bomb.len() < 4 << 20);
    post_gzip(&server, bomb).await.is(413, "too_large");
    // Below the cap, and still more than a hundred times its size.
    let mut steep = vec![b' '; 3 << 20];
    steep.extend(run("r1").to_string().bytes());
    post_gzip(&server, gzip(&steep)).await.is(413, "too_large");
    assert_eq!(server.count("runs").await, 0);
}

#[tokio::test]
async fn h06_the_wire_size_has_its_own_cap() {
    let server = Server::with(|l| l.body_bytes = 10_000).await;
    let empty_members = gzip(b"").repeat(1_000);
    assert!(empty_members.len() > 10_000);
    post_gzip(&server, empty_members).await.is(413, "too_large");
}

#[tokio::test]
async fn h07_encodings_that_are_not_taken() {
    let server = Server::start().await;
    for encoding in ["br", "deflate", "gzip, gzip", "zstd, gzip", "gzip, br", "x"] {
        let request = server.post("/v1/runs", &run("r1")).header("content-encoding", encoding);
        send(request).await.is(415, "unsupported_encoding");
    }
    let twice =
        server.post("/v1/runs", &run("r1")).header("content-encoding", "gzip").header("content-encoding", "gzip");
    send(twice).await.is(415, "unsupported_encoding");
    assert_eq!(send(server.post("/v1/runs", &run("r1")).header("content-encoding", "identity")).await.status, 201);
}

#[tokio::test]
async fn h08_j23_gzip_that_is_none_or_not_whole() {
    let server = Server::start().await;
    let body = run("r1").to_string().into_bytes();
    let whole = gzip(&body);
    let garbage = [whole.as_slice(), b"garbage"].concat();
    for bad in [body.clone(), whole[..whole.len() - 1].to_vec(), whole[..20].to_vec(), garbage, Vec::new()] {
        let answer = post_gzip(&server, bad).await;
        assert_eq!(answer.status, 400, "{answer:?}");
    }
    assert_eq!(server.count("runs").await, 0);
    // Two members are read in turn.
    let (first, second) = body.split_at(body.len() / 2);
    assert_eq!(post_gzip(&server, [gzip(first), gzip(second)].concat()).await.status, 201);
}

#[tokio::test]
async fn h13_content_types() {
    let server = Server::start().await;
    let body = run("r1").to_string();
    for kind in
        ["text/plain", "application/vnd.apache.avro", "application/json; charset=latin-1", "application/jsonx", ""]
    {
        let request = server.client.post(server.url("/v1/events/runs")).header("content-type", kind).body(body.clone());
        let answer = send(request).await;
        answer.is(415, "unsupported_media_type");
        assert!(answer.text.contains("application/x-ndjson") && answer.text.contains("application/avro"), "{answer:?}");
    }
    send(server.client.post(server.url("/v1/runs")).body(body.clone())).await.is(415, "unsupported_media_type");
    for kind in ["application/json", "Application/JSON; charset=\"UTF-8\"", "application/x-ndjson", "application/jsonl"]
    {
        let answer =
            send(server.client.post(server.url("/v1/runs")).header("content-type", kind).body(body.clone())).await;
        assert!(answer.status < 300, "{kind}: {answer:?}");
    }
}

#[tokio::test]
async fn h27_no_100_continue_for_what_is_too_large() {
    let server = Server::with(|l| l.body_bytes = 1_000).await;
    let mut stream = server.connect().await;
    stream.write_all(format!("{HEAD}Expect: 100-continue\r\nContent-Length: 1001\r\n\r\n").as_bytes()).await.unwrap();
    let answer = one_answer(&mut stream).await;
    assert_eq!(status(&answer), 413, "{answer}");

    let body = run("r1").to_string();
    let mut stream = server.connect().await;
    stream
        .write_all(format!("{HEAD}Expect: 100-continue\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes())
        .await
        .unwrap();
    assert_eq!(status(&one_answer(&mut stream).await), 100);
    stream.write_all(body.as_bytes()).await.unwrap();
    assert_eq!(status(&one_answer(&mut stream).await), 201);
}

#[tokio::test]
async fn j01_to_j07_text_that_is_not_taken() {
    let server = Server::start().await;
    let cases: &[(&[u8], u16)] = &[
        (b"", 400),
        (b"  \n", 400),
        (b"null", 422),
        (b"[]", 422),
        (b"\"x\"", 422),
        (b"[1]", 422),
        (b"[null]", 422),
        (b"{\"run_id\":\"r\",\"mess", 400),
        (b"\xff\xfe{\x00}\x00", 400),
        (b"{\"run_id\":\"\xe9\"}", 400),
        (b"{\"run_id\":\"\\ud800\"}", 400),
        (b"{\"run_id\":\"a\",\"run_id\":\"b\"}", 400),
        (b"{\"run_id\":NaN}", 400),
        (b"{\"run_id\":\"r\",\"cost_usd\":1e400}", 422),
        (b"{\"run_id\":\"r\",\"x\":99999999999999999999999}", 422),
    ];
    for (body, status) in cases {
        let request = server.client.post(server.url("/v1/runs")).header("content-type", "application/json");
        let answer = send(request.body(body.to_vec())).await;
        assert_eq!(answer.status, *status, "{}: {answer:?}", String::from_utf8_lossy(body));
        assert!(!answer.json()["error"]["message"].as_str().unwrap().is_empty());
    }
    let deep = "[".repeat(100_000);
    let request = server.client.post(server.url("/v1/runs")).header("content-type", "application/json");
    send(request.body(deep)).await.is(400, "bad_json");
    assert_eq!(server.count("runs").await, 0);
}

#[tokio::test]
async fn j02_lines_say_where_they_are_wrong_and_nothing_is_taken() {
    let server = Server::start().await;
    let good = event("e1", "r1").to_string();
    let body = format!("{good}\r\n\n{good}\n{{\"id\":\"e2\",");
    let request = server.client.post(server.url("/v1/events/runs")).header("content-type", "application/x-ndjson");
    let answer = send(request.body(body.clone())).await;
    let error = answer.is(400, "bad_json").json()["error"].clone();
    assert_eq!(error["line"], 4);
    // One past the last byte, or the last: where the value should have gone on.
    let offset = usize::try_from(error["offset"].as_u64().unwrap()).unwrap();
    assert!((body.len() - 1..=body.len()).contains(&offset), "{offset} of {}", body.len());
    assert_eq!(server.count("runs").await, 0);
}

#[tokio::test]
async fn j12_j16_fields_and_times_are_named() {
    let server = Server::start().await;
    let with = |field: &str, value: serde_json::Value| {
        let mut event = event("e1", "r1");
        event[field] = value;
        event
    };
    for (event, field) in [
        (with("surprise", json!(1)), "surprise"),
        (with("occurred_at", json!("2026-02-30T00:00:00Z")), "occurred_at"),
        (with("occurred_at", json!("2026-01-01T00:00:00")), "occurred_at"),
        (with("occurred_at", json!(1_700_000_000)), "occurred_at"),
        (with("occurred_at", json!("9999-01-01T00:00:00Z")), "occurred_at"),
        (with("id", json!("../etc")), "id"),
        (with("type", json!("score")), "type"),
        (with("payload", json!(null)), "payload"),
    ] {
        let answer = send(server.post("/v1/events/runs", &json!([super::server::event("e0", "r0"), event]))).await;
        let error = answer.is(422, "invalid").field(field).json()["error"].clone();
        assert_eq!(error["index"], 1, "{error}");
    }
    assert_eq!(server.count("runs").await, 0, "all or nothing");
    // What a run says beyond the known goes along.
    let mut more = run("r9");
    more["surprise"] = json!({"a": [1, 2]});
    assert_eq!(send(server.post("/v1/runs", &more)).await.status, 201);
}

#[tokio::test]
async fn j10_j14_floods_of_lines_and_members() {
    let server = Server::start().await;
    let lines = format!("{}{}\r\n{}", "\n".repeat(1_000_000), run("r1"), "\r\n".repeat(1_000));
    let request = server.client.post(server.url("/v1/runs")).header("content-type", "application/x-ndjson");
    assert_eq!(send(request.body(lines)).await.status, 201);
    let members: Vec<String> = (0..200_000).map(|n| format!("\"k{n}\":0")).collect();
    let request = server.client.post(server.url("/v1/runs")).header("content-type", "application/json");
    let answer = send(request.body(format!("{{\"run_id\":\"r2\",{}}}", members.join(",")))).await;
    assert_eq!(answer.status, 422, "{answer:?}");
    assert_eq!(server.count("runs").await, 1);
}

#[tokio::test]
async fn j15_strings_are_stored_as_they_are() {
    let server = Server::start().await;
    let text = "a\u{0}b\u{1b}[31mc\u{202e}d\u{2028}e\u{1f600}";
    let mut odd = run("r1");
    odd["messages"][1]["content"] = json!(text);
    let answer = send(server.post("/v1/runs", &odd)).await;
    let id = answer.json()["events"][0]["id"].as_str().unwrap().to_owned();
    let read = server.get(&format!("/v1/events/{id}")).await.json();
    assert_eq!(read["event"]["payload"]["messages"][1]["content"], text);
}

#[tokio::test]
async fn zstd_is_taken_within_the_same_limits() {
    let server = Server::with(|l| l.body_bytes = 4 << 20).await;
    let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 3).unwrap();
    let post = async |body: Vec<u8>| {
        let request = server.client.post(server.url("/v1/runs")).header("content-type", "application/json");
        send(request.header("content-encoding", "zstd").body(body)).await
    };
    let whole = zstd(run("r1").to_string().as_bytes());
    assert_eq!(post(whole.clone()).await.status, 201);
    // Bombs, an end that is missing, what is none, and a window beyond any reason.
    post(zstd(&vec![b' '; 64 << 20])).await.is(413, "too_large");
    let mut steep = vec![b' '; 3 << 20];
    steep.extend(run("r2").to_string().bytes());
    post(zstd(&steep)).await.is(413, "too_large");
    post(whole[..whole.len() - 3].to_vec()).await.is(400, "bad_zstd");
    post(b"{}".to_vec()).await.is(400, "bad_zstd");
    let wide = [&[0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8], whole.as_slice()].concat();
    post(wide).await.is(400, "bad_zstd");
    // Frames that hold nothing are no way round the cap on the wire.
    post([0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0].repeat(1 << 20)).await.is(413, "too_large");
    assert_eq!(server.count("runs").await, 1);
}
