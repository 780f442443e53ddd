//! Request heads, connections and what else happens before a body.

use super::server::{Server, one_answer, status, until_closed};
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;

const POST: &str = "POST /v1/runs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n";

#[tokio::test]
async fn h04_a_length_said_twice_is_refused_and_the_connection_closed() {
    let server = Server::start().await;
    for lengths in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        "Content-Length: 4\r\nContent-Length: 4\r\n",
        "Content-Length: 4\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
    ] {
        let smuggled = "0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
        let answer = server.raw(format!("{POST}{lengths}\r\n{smuggled}").as_bytes()).await;
        assert_eq!(status(&answer), 400, "{lengths:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "the second request was not answered: {answer}");
    }
    assert_eq!(server.count("runs").await, 0);
}

#[tokio::test]
async fn h09_dribbled_and_idle_heads_end_in_time() {
    let server = Server::with(|l| l.header_timeout = Duration::from_millis(300)).await;
    let started = Instant::now();
    let mut slow = server.connect().await;
    slow.write_all(b"GET /healthz HTTP/1.1\r\nHost: ").await.unwrap();
    assert!(!until_closed(&mut slow).await.contains("200"));
    assert!(started.elapsed() >= Duration::from_millis(300));

    let mut idle = server.connect().await;
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").await.unwrap();
    assert_eq!(status(&one_answer(&mut idle).await), 200);
    until_closed(&mut idle).await;
}

#[tokio::test]
async fn h10_idle_connections_make_room_and_the_oldest_goes_first() {
    let server = Server::with(|l| l.connections = 4).await;
    let mut idle = Vec::new();
    for _ in 0..4 {
        let mut stream = server.connect().await;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").await.unwrap();
        assert_eq!(status(&one_answer(&mut stream).await), 200);
        idle.push(stream);
    }
    for _ in 0..20 {
        assert_eq!(server.get("/healthz").await.status, 200);
    }
    until_closed(&mut idle[0]).await;
    // The youngest was left alone.
    idle[3].write_all(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").await.unwrap();
    assert_eq!(status(&one_answer(&mut idle[3]).await), 200);
}

#[tokio::test]
async fn h11_too_many_or_too_large_headers() {
    let server = Server::start().await;
    let many: String = (0..200).map(|n| format!("X-{n}: a\r\n")).collect();
    let large = format!("X-Large: {}\r\n", "a".repeat(64 << 10));
    for headers in [many, large] {
        let answer = server.raw(format!("GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}\r\n").as_bytes()).await;
        assert_eq!(status(&answer), 431, "{answer}");
    }
}

#[tokio::test]
async fn h12_http2_is_not_spoken() {
    let server = Server::start().await;
    let mut preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    preface.extend([0, 0, 0, 4, 0, 0, 0, 0, 0].repeat(1_000));
    let answer = server.raw(&preface).await;
    assert!(!answer.contains(" 200 "), "{answer}");
    assert_eq!(server.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn h14_wrong_method_and_unknown_path() {
    let server = Server::start().await;
    let answer = super::server::send(server.client.delete(server.url("/v1/runs"))).await;
    assert_eq!(answer.is(405, "method_not_allowed").header("allow"), "POST");
    let answer = super::server::send(server.client.put(server.url("/v1/events/runs"))).await;
    let allow = answer.is(405, "method_not_allowed").header("allow").to_owned();
    assert!(allow.contains("POST") && allow.contains("GET"), "{allow}");
    server.get("/v2/nothing").await.is(404, "not_found");
    server.get("/v1/runs/").await.is(404, "not_found");
}

#[tokio::test]
async fn h15_names_in_paths_are_checked_after_decoding() {
    let server = Server::start().await;
    for id in ["%2e%2e%2f", "%2e%2e", "a%00b", "%c0%ae%c0%ae", "%ff", "a%20b", "-a", "a%2fb", &"a".repeat(129)] {
        for path in ["/v1/events/", "/v1/topics/", "/v1/schemas/"] {
            let tail = if path == "/v1/topics/" { "/events" } else { "" };
            // Clients tidy such paths up, so it is written by hand.
            let request = format!("GET {path}{id}{tail} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
            let answer = server.raw(request.as_bytes()).await;
            assert_eq!(status(&answer), 400, "{path}{id}: {answer}");
            assert!(answer.contains("\"code\":\"bad_request\""), "{answer}");
        }
    }
    server.get(&format!("/v1/events/{}", "a".repeat(128))).await.is(404, "not_found");
}

#[tokio::test]
async fn h26_foreign_hosts_and_origins() {
    let server = Server::start().await;
    for host in ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil.example"] {
        let answer = super::server::send(server.client.get(server.url("/v1/topics")).header("host", host)).await;
        answer.is(421, "unknown_host");
    }
    for host in ["localhost", "127.0.0.1:99", "[::1]:7600"] {
        let answer = super::server::send(server.client.get(server.url("/v1/topics")).header("host", host)).await;
        assert_eq!(answer.status, 200, "{host}");
        assert!(!answer.headers.contains_key("access-control-allow-origin"));
    }
    let answer = server.raw(b"GET /v1/topics HTTP/1.1\r\n\r\n").await;
    assert_eq!(status(&answer), 400, "{answer}");
    let answer =
        server.raw(b"GET http://evil.example/v1/topics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n").await;
    assert_eq!(status(&answer), 421, "{answer}");

    let run = super::server::run("r1");
    for origin in ["https://evil.example", "null"] {
        super::server::send(server.post("/v1/runs", &run).header("origin", origin)).await.is(403, "foreign_origin");
    }
    let own = super::server::send(server.post("/v1/runs", &run).header("origin", "http://localhost:7600")).await;
    assert_eq!(own.status, 201);
    assert_eq!(server.count("runs").await, 1);
}

#[tokio::test]
async fn h28_upgrades_are_not_taken() {
    let server = Server::start().await;
    for upgrade in [
        "websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13",
        "h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
    ] {
        let request = format!(
            "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade, close\r\nUpgrade: {upgrade}\r\n\r\n"
        );
        let answer = server.raw(request.as_bytes()).await;
        assert_eq!(status(&answer), 200, "{answer}");
    }
}

#[tokio::test]
async fn a_stopping_server_finishes_what_runs_and_takes_nothing_new() {
    let mut parts = super::server::Parts::default();
    let gate = super::gate::Gated::new(parts.journal);
    parts.journal = gate.clone();
    let server = parts.start().await;
    let idle = server.connect().await;
    let running = tokio::spawn(super::server::send(server.post("/v1/runs", &super::server::run("r1"))));
    gate.waiting(1).await;
    server.stop.cancel();
    gate.open();
    assert_eq!(running.await.unwrap().status, 201);
    tokio::time::timeout(super::server::PATIENCE, server.serving).await.expect("it stops").unwrap().unwrap();
    drop(idle);
    assert!(server.client.get(format!("http://{}/healthz", server.addr)).send().await.is_err());
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off() {
    let server = Server::with(|l| l.write_timeout = Duration::from_millis(300)).await;
    let mut large = super::server::run("r1");
    large["messages"][0]["content"] = "x".repeat(900_000).into();
    assert_eq!(super::server::send(server.post("/v1/runs", &large)).await.status, 201);
    let open = async || {
        let metrics = server.get("/metrics").await.text;
        let line = metrics.lines().find_map(|l| l.strip_prefix("stillhouse_http_connections_open ").map(str::to_owned));
        line.unwrap().parse::<u64>().unwrap()
    };
    let before = open().await;
    let mut deaf = server.connect().await;
    let request = "GET /v1/topics/runs/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".repeat(100);
    deaf.write_all(request.as_bytes()).await.unwrap();
    let watching = async {
        while open().await <= before {
            tokio::task::yield_now().await;
        }
        while open().await > before {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(super::server::PATIENCE, watching).await.expect("the deaf client is cut off");
}

#[tokio::test]
async fn half_a_head_makes_room_too() {
    let server = Server::with(|l| l.connections = 2).await;
    let mut half = Vec::new();
    for _ in 0..2 {
        let mut stream = server.connect().await;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: ").await.unwrap();
        half.push(stream);
    }
    assert_eq!(server.get("/healthz").await.status, 200);
}
