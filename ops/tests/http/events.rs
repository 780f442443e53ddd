//! Events in: answers, duplicates, conflicts, all or nothing.

use super::server::{Parts, Server, event, run, send};
use serde_json::{Value, json};
use std::sync::Arc;
use stillhouse_kit::faults::{Call, Faulty, Outcome};
use stillhouse_processors::wire;
use stillhouse_schemas::{Codec, Event, Payload, Producer, Stamp};
use stillhouse_streams::ErrorKind;

/// The events of a topic, as the API gives them.
async fn stored(server: &Server, topic: &str) -> Vec<Value> {
    let page = server.get(&format!("/v1/topics/{topic}/events?limit=1000")).await.json();
    page["events"].as_array().unwrap().iter().map(|e| e["event"].clone()).collect()
}

#[tokio::test]
async fn an_event_is_answered_with_its_position_and_can_be_read_there() {
    let server = Server::start().await;
    let answer = send(server.post("/v1/events/runs", &event("e1", "r1"))).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let written = answer.json()["events"][0].clone();
    assert_eq!(written["id"], "e1");
    assert_eq!(written["topic"], "runs");
    assert_eq!(written["duplicate"], false);
    let position = format!("runs/{}/{}", written["partition"], written["offset"]);
    assert_eq!(written["position"], position.as_str());
    let read = server.get("/v1/events/e1").await.json();
    assert_eq!(read["position"], position.as_str());
    assert_eq!(read["event"]["payload"]["messages"][1]["content"], "4");
    assert_eq!(read["event"]["producer"]["name"], "http");
    server.get("/v1/events/e2").await.is(404, "not_found");
}

#[tokio::test]
async fn what_people_say_of_a_run_needs_no_envelope_and_may_be_said_twice() {
    let server = Server::start().await;
    let said = json!({"label": "rejected", "by": "reviewer-1", "note": "too long"});
    for _ in 0..2 {
        assert_eq!(send(server.post("/v1/runs/r1/labels", &said)).await.status, 201);
    }
    let labels = stored(&server, "labels").await;
    assert_eq!(labels.len(), 2);
    assert_eq!((&labels[0]["payload"]["run_id"], &labels[0]["key"]), (&json!("r1"), &json!("r1")));
    assert_eq!(labels[0]["payload"]["note"], "too long");
    send(server.post("/v1/runs/r1/labels", &json!({"label": "fine"}))).await.is(422, "invalid");
    send(server.post("/v1/runs/r1/labels", &json!({"label": "accepted", "run_id": "r2"}))).await.is(400, "bad_request");
    assert_eq!(stored(&server, "labels").await.len(), 2);
}

#[tokio::test]
async fn arrays_and_lines_are_written_in_order_and_ids_are_given() {
    let server = Server::start().await;
    let events: Vec<Value> = (0..20).map(|n| json!({"payload": run(&format!("r{n}"))})).collect();
    let answer = send(server.post("/v1/events/runs", &json!(events))).await;
    assert_eq!(answer.json()["events"].as_array().unwrap().len(), 20);
    let lines: String = (20..40).map(|n| format!("{}\n", event(&format!("e{n}"), &format!("r{n}")))).collect();
    let request = server.client.post(server.url("/v1/events/runs")).header("content-type", "application/x-ndjson");
    let answer = send(request.body(lines)).await;
    assert_eq!(answer.status, 201);
    let ids: Vec<String> =
        answer.json()["events"].as_array().unwrap().iter().map(|e| e["id"].as_str().unwrap().into()).collect();
    assert_eq!(ids, (20..40).map(|n| format!("e{n}")).collect::<Vec<_>>());
    assert_eq!(server.count("runs").await, 40);
}

#[tokio::test]
async fn only_topics_from_outside_are_written() {
    let server = Server::start().await;
    for topic in ["scores", "evidence", "control", "deadletters", "requests", "exports"] {
        let answer = send(server.post(&format!("/v1/events/{topic}"), &event("e1", "r1"))).await;
        assert!(answer.is(403, "not_writable").text.contains("runs, claims"), "{answer:?}");
    }
    for topic in ["scores.v1", "nothing"] {
        let answer = send(server.post(&format!("/v1/events/{topic}"), &event("e1", "r1"))).await;
        assert!(answer.is(404, "not_found").text.contains("runs, claims"), "{answer:?}");
    }
    let claim = json!({"id": "c1", "payload": {"entity": "e", "attribute": "a", "value": "1", "source": "s"}});
    assert_eq!(send(server.post("/v1/events/claims", &claim)).await.status, 201);
}

#[tokio::test]
async fn j17_the_same_event_again_is_a_duplicate_even_if_the_node_stamped_it() {
    let server = Server::start().await;
    let first = send(server.post("/v1/events/runs", &event("e1", "r1"))).await;
    // Other order of keys, other trace, another moment: what the client said is the same.
    let again: Value = json!({"payload": run("r1"), "id": "e1"});
    let traced = server
        .post("/v1/events/runs", &again)
        .header("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    let second = send(traced).await;
    assert_eq!((first.status, second.status), (201, 200), "{second:?}");
    assert_eq!(second.json()["events"][0]["duplicate"], true);
    assert_eq!(second.json()["events"][0]["position"], first.json()["events"][0]["position"]);
    // Some new, some not.
    let both =
        send(server.post("/v1/events/runs", &json!([event("e1", "r1"), event("e2", "r2"), event("e2", "r2")]))).await;
    assert_eq!(both.status, 201, "{both:?}");
    let duplicates: Vec<bool> =
        both.json()["events"].as_array().unwrap().iter().map(|e| e["duplicate"] == true).collect();
    assert_eq!(duplicates, [true, false, true]);
    assert_eq!(server.count("runs").await, 2);
}

#[tokio::test]
async fn j18_the_same_id_with_other_content_is_a_conflict_and_nothing_is_written() {
    let server = Server::start().await;
    send(server.post("/v1/events/runs", &event("e1", "r1"))).await;
    let answer = send(server.post("/v1/events/runs", &json!([event("e0", "r0"), event("e1", "r2")]))).await;
    let error = answer.is(409, "conflict").field("id").json()["error"].clone();
    assert_eq!(error["index"], 1);
    assert!(error["message"].as_str().unwrap().contains("`e1`"), "{error}");
    assert_eq!(server.count("runs").await, 1);
    let metrics = server.get("/metrics").await.text;
    assert!(metrics.contains("stillhouse_http_conflicts_total 1\n"), "{metrics}");
}

#[tokio::test]
async fn a_bare_run_is_one_event_however_often_it_is_sent() {
    let server = Server::start().await;
    let first = send(server.post("/v1/runs", &run("r1"))).await;
    let second = send(server.post("/v1/runs", &run("r1"))).await;
    assert_eq!((first.status, second.status), (201, 200));
    let mut changed = run("r1");
    changed["outcome"]["reward"] = json!(0.0);
    send(server.post("/v1/runs", &changed)).await.is(409, "conflict");
    let answer = send(server.post("/v1/runs", &json!([run("r2"), run("r3")]))).await;
    assert_eq!(answer.json()["events"].as_array().unwrap().len(), 2);
    assert_eq!(server.count("runs").await, 3);
    let mut nameless = run("r4");
    nameless["messages"][0]["role"] = json!(7);
    let answer = send(server.post("/v1/runs", &nameless)).await;
    let field = answer.is(422, "invalid").json()["error"]["field"].as_str().unwrap().to_owned();
    assert!(field.starts_with("messages[0]"), "{field}");
}

#[tokio::test]
async fn a_run_that_says_when_it_ended_happened_then() {
    let server = Server::start().await;
    let mut ended = run("r1");
    ended["ended_at"] = json!("2026-01-02T03:04:05Z");
    send(server.post("/v1/runs", &ended)).await;
    assert_eq!(stored(&server, "runs").await[0]["occurred_at"], "2026-01-02T03:04:05Z");
}

#[tokio::test]
async fn trace_context_goes_into_the_events_and_the_request_id_comes_back() {
    let server = Server::start().await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let own = "00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbb-00";
    let mut with_own = event("e2", "r2");
    with_own["traceparent"] = json!(own);
    let events = json!([event("e1", "r1"), with_own]);
    let request =
        server.post("/v1/events/runs", &events).header("traceparent", trace).header("x-request-id", "my-request");
    let answer = send(request).await;
    assert_eq!(answer.header("x-request-id"), "my-request");
    assert_eq!(server.get("/v1/events/e1").await.json()["event"]["traceparent"], trace);
    assert_eq!(server.get("/v1/events/e2").await.json()["event"]["traceparent"], own);
    // A malformed one is as none, a request id with control characters or spaces is replaced.
    let request =
        server.post("/v1/events/runs", &event("e3", "r3")).header("traceparent", "00-x").header("x-request-id", "a b");
    let answer = send(request).await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.header("x-request-id").len(), 36);
    assert_eq!(server.get("/v1/events/e3").await.json()["event"]["traceparent"], Value::Null);
}

#[tokio::test]
async fn avro_is_one_event_as_the_published_schema_has_it() {
    let server = Server::start().await;
    let producer = Producer { name: "client".into(), version: "1".into(), ..Producer::default() };
    let stamp = Stamp { now_micros: 1_700_000_000_000_000, producer };
    let event = Event::from_json("runs", event("e1", "r1"), &stamp).unwrap();
    let record = wire::encode(&Codec::plain(), &event).unwrap();
    let value = record.value.unwrap();
    let post = |kind: &str, body: Vec<u8>| {
        send(server.client.post(server.url("/v1/events/runs")).header("content-type", kind).body(body))
    };
    assert_eq!(post("application/avro", value.to_vec()).await.status, 201);
    assert_eq!(post("avro/binary", value.to_vec()).await.status, 200);
    let read = server.get("/v1/events/e1").await.json();
    assert_eq!(read["event"], event.to_json());

    post("application/avro", Vec::new()).await.is(400, "bad_avro");
    post("application/avro", b"{}".to_vec()).await.is(400, "bad_avro");
    for cut in 1..value.len() {
        let answer = post("application/avro", value[..cut].to_vec()).await;
        assert!(matches!(answer.status, 400 | 422), "{cut}: {answer:?}");
    }
    let mut foreign = value.to_vec();
    foreign[2] ^= 0xff;
    post("application/avro", foreign).await.is(422, "invalid");
    post("application/avro", [value.as_ref(), b"x"].concat()).await.is(400, "bad_avro");
    // Of another topic.
    let answer = send(
        server.client.post(server.url("/v1/events/claims")).header("content-type", "application/avro").body(value),
    )
    .await;
    answer.is(422, "invalid").field("type");
    assert_eq!(server.count("runs").await, 1);
    assert!(matches!(event.payload, Payload::Run(_)));
}

#[tokio::test]
async fn too_many_events_and_too_large_ones_are_named() {
    let server = Server::with(|l| l.events = 3).await;
    let events: Vec<Value> = (0..4).map(|n| event(&format!("e{n}"), "r")).collect();
    send(server.post("/v1/events/runs", &json!(events))).await.is(413, "too_many_events");
    let mut large = event("e1", "r1");
    large["payload"]["messages"][0]["content"] = json!("x".repeat(server.journal.max_record_bytes()));
    let answer = send(server.post("/v1/events/runs", &json!([event("e0", "r0"), large]))).await;
    assert_eq!(answer.is(413, "too_large").json()["error"]["index"], 1);
    assert_eq!(server.count("runs").await, 0);
}

#[tokio::test]
async fn journal_errors_say_what_to_do() {
    for (kind, status, code, retry) in [
        (ErrorKind::Retry, 503, "busy", true),
        (ErrorKind::Unavailable, 503, "unavailable", true),
        (ErrorKind::Indeterminate, 503, "indeterminate", true),
        (ErrorKind::Full, 507, "journal_full", true),
        (ErrorKind::Closed, 503, "stopping", true),
        (ErrorKind::Corrupt, 500, "journal_damaged", false),
        (ErrorKind::TooLarge, 413, "too_large", false),
    ] {
        let mut parts = Parts::default();
        parts.journal = Arc::new(Faulty::new(parts.journal, move |call| match call {
            Call::Append => Outcome::FailBefore(kind),
            _ => Outcome::Pass,
        }));
        let server = parts.start().await;
        let answer = send(server.post("/v1/runs", &run("r1"))).await;
        answer.is(status, code);
        assert_eq!(answer.headers.contains_key("retry-after"), retry, "{kind:?}");
        assert_eq!(server.count("runs").await, 0);
        // Reads go on.
        assert_eq!(server.get("/v1/topics").await.status, 200);
    }
}

#[tokio::test]
async fn h23_a_full_journal_refuses_until_there_is_space() {
    let full = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let mut parts = Parts::default();
    parts.journal = Arc::new(Faulty::full(parts.journal, full.clone()));
    let server = parts.start().await;
    let answer = send(server.post("/v1/runs", &run("r1"))).await;
    answer.is(507, "journal_full");
    assert_eq!(server.get("/v1/topics/runs/events").await.status, 200);
    full.store(false, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(send(server.post("/v1/runs", &run("r1"))).await.status, 201);
}

/// A number as Avro writes it.
fn long(number: i64) -> Vec<u8> {
    let mut left = ((number << 1) ^ (number >> 63)) as u64;
    let mut out = Vec::new();
    loop {
        let more = left >> 7 != 0;
        out.push((left & 0x7f) as u8 | if more { 0x80 } else { 0 });
        left >>= 7;
        if !more {
            return out;
        }
    }
}

fn text(bytes: &[u8]) -> Vec<u8> {
    [long(bytes.len() as i64), bytes.to_vec()].concat()
}

/// A container file of one block.
fn container(schema: &str, codec: &str, count: i64, data: &[u8]) -> Vec<u8> {
    let metadata =
        [text(b"avro.schema"), text(schema.as_bytes()), text(b"avro.codec"), text(codec.as_bytes())].concat();
    [b"Obj\x01".to_vec(), long(2), metadata, long(0), vec![7; 16], long(count), text(data), vec![7; 16]].concat()
}

#[tokio::test]
async fn avro_container_files_hold_several_events() {
    use std::io::Write;
    let server = Server::with(|l| {
        l.events = 3;
        l.body_bytes = 1 << 20;
    })
    .await;
    let stamp =
        Stamp { now_micros: 1_700_000_000_000_000, producer: Producer { name: "c".into(), ..Producer::default() } };
    let datum = |n: usize| {
        let event = Event::from_json("runs", event(&format!("e{n}"), &format!("r{n}")), &stamp).unwrap();
        // Without the framing of a single object.
        Codec::plain().encode(&event).unwrap().value[10..].to_vec()
    };
    let schema = stillhouse_schemas::event_type("run").unwrap().schema_json();
    let post = async |body: Vec<u8>| {
        send(server.client.post(server.url("/v1/events/runs")).header("content-type", "application/avro").body(body))
            .await
    };
    let deflate = |data: &[u8]| {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    };
    let two = [datum(0), datum(1)].concat();
    let plain = container(schema, "null", 2, &two);
    let answer = post(plain.clone()).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.json()["events"].as_array().unwrap().len(), 2);
    for (codec, data) in [("deflate", deflate(&two)), ("zstandard", zstd::encode_all(two.as_slice(), 3).unwrap())] {
        assert_eq!(post(container(schema, codec, 2, &data)).await.status, 200, "{codec}: the same events");
    }
    // Whatever is cut off, nothing goes in; and never more than the limits.
    for cut in 4..plain.len() {
        let answer = post(plain[..cut].to_vec()).await;
        assert!(matches!(answer.status, 400 | 422), "{cut}: {answer:?}");
    }
    post(container(schema, "snappy", 2, &two)).await.is(400, "bad_avro");
    post(container("\"string\"", "null", 1, &text(b"x"))).await.is(422, "invalid");
    let nested =
        |depth: usize| format!("{}\"int\"{}", "{\"type\":\"array\",\"items\":".repeat(depth), "}".repeat(depth));
    let endless = r#"{"type":"record","name":"a","fields":[{"name":"f","type":"a"}]}"#.to_owned();
    let unknown = r#"{"type":"record","name":"a","fields":[{"name":"f","type":"b"}]}"#.to_owned();
    for hostile in [nested(100), nested(30_000), endless, unknown, "{".to_owned(), String::new(), " ".repeat(900_000)] {
        let answer = post(container(&hostile, "null", 1, &text(b"x"))).await;
        assert!(matches!(answer.status, 400 | 422), "{answer:?}");
    }
    post(container(schema, "null", 1, &two)).await.is(400, "bad_avro");
    post(container(schema, "null", i64::MAX, &two)).await.is(400, "bad_avro");
    post(container(schema, "null", -2, &two)).await.is(400, "bad_avro");
    post(container(schema, "null", 0, b"")).await.is(400, "bad_avro");
    post(container(schema, "null", 4, &(2..6).map(datum).collect::<Vec<_>>().concat()))
        .await
        .is(413, "too_many_events");
    for (codec, bomb) in
        [("deflate", deflate(&vec![0; 8 << 20])), ("zstandard", zstd::encode_all(&*vec![0; 8 << 20], 3).unwrap())]
    {
        post(container(schema, codec, 1, &bomb)).await.is(413, "too_large");
    }
    assert_eq!(server.count("runs").await, 2);
}
