//! Bodies, good and bad, in both encodings.

use crate::messages::{
    AnyValue, Is, KeyValue, Request, Resource, ResourceSpans, ScopeSpans, WireEvent, WireSpan, WireStatus,
};
use crate::{Encoding, REMOTE_PARENT, accepted, event, failed, read, spans_of};
use prost::Message;
use serde_json::{Value, json};
use stillhouse_schemas::{Producer, check};

const TRACE: [u8; 16] = [0xab; 16];
const NANOS: u64 = 1_767_225_600_000_000_000;

fn pair(key: &str, is: Is) -> KeyValue {
    KeyValue { key: key.as_bytes().to_vec(), value: Some(AnyValue { is: Some(is) }) }
}

fn wire(id: u8, parent: u8) -> WireSpan {
    WireSpan {
        trace_id: TRACE.to_vec(),
        span_id: vec![id; 8],
        parent_span_id: if parent == 0 { Vec::new() } else { vec![parent; 8] },
        name: b"chat".to_vec(),
        kind: 3,
        start_time_unix_nano: NANOS,
        end_time_unix_nano: NANOS + 1_500,
        attributes: vec![
            pair("text", Is::Text("ein Wort, 言葉".into())),
            pair("int", Is::Int(i64::MAX)),
            pair("double", Is::Double(f64::NAN)),
            pair("bytes", Is::Bytes(vec![1, 2, 3])),
            pair(
                "list",
                Is::Array(crate::messages::Array {
                    values: vec![AnyValue { is: Some(Is::Bool(true)) }, AnyValue::default()],
                }),
            ),
        ],
        events: vec![WireEvent { time_unix_nano: NANOS, name: b"happened".to_vec(), attributes: Vec::new() }],
        status: Some(WireStatus { message: b"no".to_vec(), code: 2 }),
        ..WireSpan::default()
    }
}

fn request(spans: Vec<WireSpan>) -> Vec<u8> {
    let resource = Some(Resource { attributes: vec![pair("service.name", Is::Text("shop".into()))] });
    let scope = Some(crate::messages::Scope { name: b"lib".to_vec(), version: b"1".to_vec() });
    Request { resource_spans: vec![ResourceSpans { resource, scope_spans: vec![ScopeSpans { scope, spans }] }] }
        .encode_to_vec()
}

fn in_json() -> Value {
    json!({"resourceSpans": [{"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}, "newField": 1,
        "scopeSpans": [{"scope": {"name": "lib", "version": "1"}, "spans": [{
            "traceId": "AB".repeat(16), "spanId": "01".repeat(8), "parentSpanId": null, "name": "chat", "kind": 3,
            "startTimeUnixNano": NANOS.to_string(), "endTimeUnixNano": NANOS + 1_500, "droppedAttributesCount": 0,
            "attributes": [
                {"key": "text", "value": {"stringValue": "ein Wort, 言葉"}}, {"key": "int", "value": {"intValue": i64::MAX.to_string()}},
                {"key": "double", "value": {"doubleValue": "NaN"}}, {"key": "bytes", "value": {"bytesValue": "AQID"}},
                {"key": "list", "value": {"arrayValue": {"values": [{"boolValue": true}, {}]}}}],
            "events": [{"timeUnixNano": NANOS.to_string(), "name": "happened"}],
            "status": {"message": "no", "code": 2}}]}]}]})
}

#[test]
fn both_encodings_say_the_same_span() {
    let binary = read(Encoding::Protobuf, &request(vec![wire(1, 0)])).unwrap();
    let mut body = in_json();
    let text = read(Encoding::Json, body.to_string().as_bytes()).unwrap();
    assert_eq!(binary, text);
    let span = &binary.spans[0];
    assert_eq!(span.attributes["text"], "\"ein Wort, 言葉\"");
    assert_eq!(
        (span.attributes["int"].as_str(), span.attributes["double"].as_str()),
        ("9223372036854775807", "\"NaN\"")
    );
    assert_eq!((span.attributes["bytes"].as_str(), span.attributes["list"].as_str()), ("\"AQID\"", "[true,null]"));
    assert_eq!((span.resource["service.name"].as_str(), span.scope.as_deref()), ("\"shop\"", Some("lib 1")));
    assert_eq!((span.kind.as_str(), span.status.as_str(), span.parent_span_id.as_deref()), ("client", "error", None));
    assert_eq!(span.ended_at.unwrap() - span.started_at.unwrap(), 1);

    // Names of enums, ids in base64, names of the `.proto` files, an array without its values.
    let span = &mut body["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
    span["kind"] = "SPAN_KIND_CLIENT".into();
    span["status"]["code"] = "STATUS_CODE_ERROR".into();
    span["traceId"] = "q6urq6urq6urq6urq6urqw==".into();
    span["span_id"] = span["spanId"].take();
    span.as_object_mut().unwrap().shift_remove("spanId");
    assert_eq!(read(Encoding::Json, body.to_string().as_bytes()).unwrap(), binary);
    assert_eq!(spans_of(&json!([{"data": [body]}])).unwrap(), binary);
}

#[test]
fn one_bad_span_is_counted_and_the_others_are_taken() {
    type Spoil = fn(&mut WireSpan);
    let bad: Vec<(&str, Spoil)> = vec![
        ("trace id is all zeros", |s| s.trace_id = vec![0; 16]),
        ("span id must be 8 bytes", |s| s.span_id = vec![1; 7]),
        ("parent span id must be", |s| s.parent_span_id = vec![1; 3]),
        ("attribute `text` is not UTF-8", |s| s.attributes[0] = pair("text", Is::Text(vec![0xff]))),
        ("name is not UTF-8", |s| s.name = vec![0xc3]),
        ("10001 attributes", |s| s.attributes = (0..10_001).map(|n| pair(&n.to_string(), Is::Int(n))).collect()),
    ];
    for (why, spoil) in &bad {
        let mut spoilt = wire(2, 1);
        spoil(&mut spoilt);
        let batch = read(Encoding::Protobuf, &request(vec![spoilt, wire(1, 0)])).unwrap();
        assert_eq!((batch.spans.len(), batch.rejected.count), (1, 1), "{why}");
        assert!(batch.rejected.message().contains(why), "{}", batch.rejected.message());
    }
    let mut many = vec![wire(1, 0)];
    many.extend((0..20).map(|_| WireSpan::default()));
    let batch = read(Encoding::Protobuf, &request(many)).unwrap();
    assert!(batch.rejected.message().ends_with("and 15 more"));
    let answer: Value = serde_json::from_slice(&accepted(Encoding::Json, &batch.rejected)).unwrap();
    assert_eq!(answer["partialSuccess"]["rejectedSpans"], "20");
    let answer = crate::messages::Answer::decode(&*accepted(Encoding::Protobuf, &batch.rejected)).unwrap();
    assert_eq!(answer.partial_success.unwrap().rejected_spans, 20);

    let mut body = in_json();
    let spans = body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array_mut().unwrap();
    for (name, value) in [
        ("traceId", json!("xyz")),
        ("spanId", json!("00".repeat(8))),
        ("startTimeUnixNano", json!(-1)),
        ("attributes", json!([{"key": "a", "value": {"newValue": 1}}])),
    ] {
        let mut spoilt = spans[0].clone();
        spoilt[name] = value;
        spans.push(spoilt);
    }
    let batch = read(Encoding::Json, body.to_string().as_bytes()).unwrap();
    assert_eq!((batch.spans.len(), batch.rejected.count), (1, 4), "{}", batch.rejected.message());
}

#[test]
fn what_is_no_request_is_refused_whole() {
    let whole = request(vec![wire(1, 0), wire(2, 1)]);
    let mut refused = 0;
    for end in 0..whole.len() {
        refused += usize::from(read(Encoding::Protobuf, &whole[..end]).is_err());
    }
    assert!(refused > whole.len() - 10, "a cut is seen");
    // A length beyond the end, an unknown wire type, groups within groups.
    for body in [&b"\x0a\xff\xff\xff\xff\x0f"[..], b"\x0f", &[0x0b; 10_000]] {
        assert!(read(Encoding::Protobuf, body).is_err());
    }
    let mut nested = AnyValue { is: Some(Is::Int(1)) };
    for _ in 0..200 {
        nested = AnyValue { is: Some(Is::Array(crate::messages::Array { values: vec![nested] })) };
    }
    let mut deep = wire(1, 0);
    deep.attributes = vec![KeyValue { key: b"deep".to_vec(), value: Some(nested) }];
    assert!(read(Encoding::Protobuf, &request(vec![deep])).is_err());
    for body in ["[", "[]", "7", "{\"resourceSpans\": 7}", "{\"resourceSpans\": [7]}", "\u{1}"] {
        let bad = read(Encoding::Json, body.as_bytes()).unwrap_err().to_string();
        assert!(bad.contains("ExportTraceServiceRequest"), "{bad}");
    }
    assert!(read(Encoding::Json, "[".repeat(100_000).as_bytes()).is_err());
    for encoding in [Encoding::Json, Encoding::Protobuf] {
        assert_eq!(read(encoding, b"").unwrap(), crate::Batch::default());
    }
    assert_eq!(accepted(Encoding::Protobuf, &crate::Rejected::default()), b"");
    assert_eq!(accepted(Encoding::Json, &crate::Rejected::default()), b"{}");
    assert_eq!(failed(Encoding::Protobuf, "no"), b"\x12\x02no");
}

#[test]
fn an_id_is_of_the_trace_the_span_and_what_it_says() {
    let made = |change: fn(&mut WireSpan), now: i64| {
        let mut span = wire(1, 2);
        change(&mut span);
        let span = read(Encoding::Protobuf, &request(vec![span])).unwrap().spans.remove(0);
        let producer = Producer { name: "otlp".into(), version: "1".into(), config_hash: String::new() };
        let (event, digest) = event(span, producer, now);
        check(&event).expect("what is taken is legal");
        (event, digest)
    };
    let now = i64::try_from(NANOS / 1_000).unwrap() + 60_000_000;
    let (first, digest) = made(|_| {}, now);
    assert_eq!((first.envelope.key.as_str(), first.envelope.occurred_at), (&*"ab".repeat(16), now - 60_000_000 + 1));
    assert_eq!(made(|_| {}, now + 5), (first.clone(), digest), "sent again, it is the same event");
    assert_ne!(made(|s| s.name = b"other".to_vec(), now).0.envelope.id, first.envelope.id);
    assert_ne!(made(|s| s.span_id = vec![7; 8], now).0.envelope.id, first.envelope.id);
    // Clocks: one that is a day ahead, none at all, an end before the start, an end beyond all calendars.
    assert_eq!(made(|s| s.end_time_unix_nano += 86_400_000_000_000, now).0.envelope.occurred_at, now - 60_000_000);
    assert_eq!(made(|s| (s.start_time_unix_nano, s.end_time_unix_nano) = (0, 0), now).0.envelope.occurred_at, now);
    assert_eq!(made(|s| s.end_time_unix_nano = 1_000, now).0.envelope.occurred_at, 1);
    assert_eq!(made(|s| s.end_time_unix_nano = u64::MAX, now).0.envelope.occurred_at, now - 60_000_000);
    let remote = made(|s| s.flags = 0x301, now).0;
    let stillhouse_schemas::Payload::Span(span) = &remote.payload else { panic!("a span") };
    assert_eq!((span.attributes[REMOTE_PARENT].as_str(), &remote.envelope.id), ("true", &first.envelope.id));
}

#[test]
fn spans_as_sdks_print_them_and_phoenix_exports_them_are_read() {
    let printed = json!({"name": "chat", "context": {"trace_id": format!("0x{}", "ab".repeat(16)), "span_id": "0x0101010101010101"},
        "kind": "SpanKind.CLIENT", "parent_id": null, "start_time": "2026-01-01T00:00:00.000000Z", "end_time": "2026-01-01T00:00:01.000000Z",
        "status": {"status_code": "ERROR", "description": "no"}, "attributes": {"a": 1, "b": ["x"]},
        "events": [{"name": "e", "timestamp": "2026-01-01T00:00:00.500000Z", "attributes": {"c": true}}],
        "resource": {"attributes": {"service.name": "shop"}}});
    let api = json!({"data": [{"id": "U3Bhbg==", "name": "chat", "context": {"trace_id": "ab".repeat(16), "span_id": "01".repeat(8)},
        "span_kind": "LLM", "parent_id": "02".repeat(8), "start_time": "2026-01-01T00:00:00+00:00", "end_time": "2026-01-01T00:00:01+00:00",
        "status_code": "OK", "attributes": {"llm": {"input_messages": [{"message": {"role": "user", "content": "q"}}]}}, "events": []}],
        "next_cursor": null});
    let frame = json!({"context.span_id": "01".repeat(8), "context.trace_id": "ab".repeat(16), "name": "chat", "span_kind": "LLM",
        "parent_id": null, "start_time": 1_767_225_600_000_u64, "end_time": "2026-01-01T00:00:01.000", "status_code": "UNSET",
        "attributes.llm.input_messages": [{"message.role": "user", "message.content": "q"}], "attributes.llm.model_name": null});
    let [printed, api, frame] = [printed, api, frame].map(|value| {
        let batch = spans_of(&value).unwrap();
        assert_eq!(batch.rejected.count, 0, "{}", batch.rejected.message());
        batch.spans.into_iter().next().unwrap()
    });
    assert_eq!(
        (printed.status.as_str(), printed.status_message.as_deref(), printed.kind.as_str()),
        ("error", Some("no"), "client")
    );
    assert_eq!((printed.attributes["b"].as_str(), printed.events[0].attributes["c"].as_str()), ("[\"x\"]", "true"));
    assert_eq!(api.parent_span_id.as_deref(), Some("0202020202020202"));
    for span in [&api, &frame] {
        assert_eq!(span.attributes["llm.input_messages.0.message.content"], "\"q\"");
        assert_eq!(span.attributes["openinference.span.kind"], "\"LLM\"");
        assert_eq!(span.started_at, printed.started_at);
    }
    assert!(!frame.attributes.contains_key("llm.model_name"));
    assert!(spans_of(&json!({"messages": []})).is_err() && spans_of(&json!([[[[[]]]]])).is_err());
}
