//! Strict JSON, and events of JSON: what is taken, and what each refusal names.

use crate::{plain_samples, sample};
use serde_json::{Value, json};
use stillhouse_schemas::json::parse_strict;
use stillhouse_schemas::{BadEvent, BadJson, Event, Producer, Stamp, TOPICS, ids};

const NOW: i64 = 1_767_225_600_000_000;

fn stamp() -> Stamp {
    let producer = Producer { name: "test".to_owned(), version: "1".to_owned(), config_hash: String::new() };
    Stamp { now_micros: NOW, producer }
}

fn bad(text: &[u8]) -> BadJson {
    match parse_strict(text) {
        Err(e) => e,
        Ok(v) => panic!("was taken: {v:.100}"),
    }
}

#[test]
fn json_is_parsed_as_it_stands() {
    let text =
        r#" {"b": [1, -2, 18446744073709551615, 0.5, 1e300, "A\u00e9\u2028\ud83d\ude00\u0000", true, null], "a": {}}"#;
    let value = parse_strict(text.as_bytes()).expect("JSON");
    assert_eq!(value, serde_json::from_str::<Value>(text).unwrap());
    assert_eq!(value.as_object().unwrap().keys().collect::<Vec<_>>(), ["b", "a"], "in order");
    assert_eq!(parse_strict(b"\xEF\xBB\xBF[1]\r\n").expect("a mark at the start"), json!([1]));
    assert_eq!(
        parse_strict("\"\u{2028}\u{202e}\u{1b}\"".replace('\u{1b}', "\\u001b").as_bytes()).unwrap(),
        json!("\u{2028}\u{202e}\u{1b}")
    );
}

#[test]
fn each_refusal_says_where_and_what() {
    let cases: [(&[u8], usize, &str); 24] = [
        (b"", 0, "no JSON"),
        (b" \n\t ", 4, "no JSON"),
        (b"\xEF\xBB\xBF", 3, "no JSON"),
        (b"{\"a\": [1,", 8, "EOF"),
        (b"{\"a\": \"x", 7, "EOF"),
        (b"[1] \xEF\xBB\xBF", 4, "trailing"),
        (b"\xEF\xBB\xBF\xEF\xBB\xBF1", 3, "expected value"),
        (b"[\"ab\xFF\"]", 4, "not UTF-8"),
        (b"\xEF\xBB\xBF[\"\xC3\"]", 5, "not UTF-8"),
        (b"\xFF\xFE{\0}\0", 0, "not UTF-8"),
        (b"[\"\\ud800\"]", 8, "hex escape"),
        (b"[\"\\udc00 \"]", 7, "surrogate"),
        (b"[NaN]", 1, "expected value"),
        (b"[Infinity]", 1, "expected value"),
        (b"[-Infinity]", 2, "invalid number"),
        (b"[1e400]", 5, "out of range"),
        (b"[01]", 2, "invalid number"),
        (b"[1,]", 3, "trailing comma"),
        (b"{'a': 1}", 1, "key must be a string"),
        (b"[1] [2]", 4, "trailing"),
        (b"{\"role\": 1, \"role\": 2}", 17, "`role` is there twice"),
        (b"[0, 18446744073709551616]", 4, "does not fit 64 bits"),
        (b"[0, -9223372036854775809, 1.5]", 4, "does not fit 64 bits"),
        (b"[\"a\nb\"]", 3, "control character"),
    ];
    for (text, offset, said) in cases {
        let e = bad(text);
        assert!(e.message.contains(said), "{:?}: {e}", String::from_utf8_lossy(text));
        assert!(e.offset.abs_diff(offset) <= 1, "{:?}: {e}", String::from_utf8_lossy(text));
    }
}

#[test]
fn lines_and_columns_count_from_one() {
    let e = bad(b"{\n  \"a\": 1,\n  \"a\": 2\n}");
    assert_eq!(e.line, 3, "{e}");
    let e = bad(b"[1,\n2,\n  x]");
    assert_eq!((e.line, e.column, e.offset), (3, 3, 9), "{e}");
    let e = bad(b"[1,\n\xFF]");
    assert_eq!((e.line, e.column, e.offset), (2, 1, 4), "{e}");
}

#[test]
fn a_duplicate_key_is_found_at_any_depth_and_however_it_is_written() {
    assert!(bad(br#"[{"a": [{"b": {"c": 1, "d": 2, "c": 3}}]}]"#).message.contains("`c`"));
    assert!(bad(br#"{"a": 1, "\u0061": 2}"#).message.contains("`a`"));
    parse_strict(br#"{"a": {"a": 1}, "A": 2}"#).expect("different keys");
}

#[test]
fn depth_members_and_values_are_capped() {
    let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    parse_strict(nested(127).as_bytes()).expect("127 deep");
    for n in [128, 129, 100_000] {
        assert!(bad(nested(n).as_bytes()).message.contains("recursion limit"));
    }
    assert!(bad("[".repeat(100_000).as_bytes()).message.contains("recursion limit"));
    assert!(bad("{\"a\":".repeat(100_000).as_bytes()).message.contains("recursion limit"));
    let members = |n: usize| {
        let inner: Vec<String> = (0..n).map(|i| format!("\"k{i}\":0")).collect();
        format!("{{{}}}", inner.join(","))
    };
    parse_strict(members(65_536).as_bytes()).expect("at the cap");
    assert!(bad(members(65_537).as_bytes()).message.contains("members"));
    let values = |n: usize| format!("[{}0]", "0,".repeat(n - 2));
    parse_strict(values(1_000_000).as_bytes()).expect("at the cap");
    assert!(bad(values(1_000_001).as_bytes()).message.contains("values"));
}

#[test]
fn every_event_survives_json() {
    for event in plain_samples() {
        let name = event.payload.event_type().name;
        for topic in TOPICS.iter().filter(|t| t.events.contains(&name)) {
            let text = event.to_json().to_string();
            let value = parse_strict(text.as_bytes()).expect("JSON");
            assert_eq!(Event::from_json(topic.name, value, &stamp()).expect("an event"), event);
        }
    }
}

#[test]
fn what_is_left_out_is_stamped() {
    let event = Event::from_json("runs", json!({"payload": {"run_id": "r"}}), &stamp()).expect("a run");
    assert_eq!((event.envelope.key.as_str(), event.envelope.occurred_at), ("r", NOW));
    assert_eq!(event.envelope.producer, stamp().producer);
    ids::check(&event.envelope.id).expect("a live id");
    let other = Event::from_json("runs", json!({"payload": {"run_id": "r"}}), &stamp()).expect("a run");
    assert_ne!(event.envelope.id, other.envelope.id);
    let claim = json!({"type": "stillhouse.claim", "id": null, "causes": null, "producer": null,
        "payload": {"entity": "e", "attribute": "a", "value": "1", "source": "s", "run_id": "other"}});
    assert_eq!(Event::from_json("claims", claim, &stamp()).expect("a claim").envelope.key, "e");
}

fn refused(topic: &str, value: Value) -> BadEvent {
    match Event::from_json(topic, value, &stamp()) {
        Err(e) => e,
        Ok(event) => panic!("was taken: {event:?}"),
    }
}

fn run_with(change: impl FnOnce(&mut Value)) -> Value {
    let mut value = sample("run", "full").to_json();
    change(&mut value);
    value
}

#[test]
fn each_bad_field_is_named_with_a_remedy() {
    type Change = fn(&mut Value);
    let cases: [(Change, &str, &str); 33] = [
        (|v| v["reward"] = json!(1), "reward", "goes into `payload`"),
        (|v| v["id"] = json!(7), "id", "a string"),
        (|v| v["id"] = json!("a b"), "id", "' '"),
        (|v| v["type"] = json!("nothing"), "type", "`run`"),
        (|v| v["type"] = json!("score"), "type", "does not go into `runs`"),
        (|v| v["key"] = json!("other"), "key", "run_id"),
        (|v| v["key"] = json!(""), "key", "empty"),
        (|v| v["occurred_at"] = json!(1_767_225_600), "occurred_at", "RFC 3339"),
        (|v| v["occurred_at"] = json!("2026-02-30T00:00:00Z"), "occurred_at", "no time that exists"),
        (|v| v["occurred_at"] = json!("2026-01-01T00:00:00"), "occurred_at", "no zone"),
        (|v| v["occurred_at"] = json!("2026-01-01"), "occurred_at", "not a time"),
        (|v| v["occurred_at"] = json!("1969-12-31T23:59:59Z"), "occurred_at", "out of range"),
        (|v| v["occurred_at"] = json!("9999-01-01T00:00:00Z"), "occurred_at", "out of range"),
        (|v| v["occurred_at"] = json!("2026-01-01T01:00:00.000001Z"), "occurred_at", "ahead"),
        (|v| v["subject"] = json!(" x"), "subject", "blank"),
        (|v| v["producer"] = json!({"name": "x"}), "producer", "version"),
        (|v| v["producer"]["host"] = json!("h"), "producer.host", "no field"),
        (|v| v["causes"] = json!({}), "causes", "an array"),
        (|v| v["causes"][1]["offset"] = json!("1"), "causes[1]", "string"),
        (|v| v["causes"][0]["id"] = json!(""), "causes[0].id", "empty"),
        (|v| v["traceparent"] = json!("00-00000000000000000000000000000000-0123456789abcdef-01"), "traceparent", "W3C"),
        (|v| v["payload"] = json!([]), "payload", "an object"),
        (|v| v["payload"] = json!(null), "payload", "missing"),
        (|v| v["payload"]["run_id"] = json!(17), "payload.run_id", "a string"),
        (|v| v["payload"]["messages"][2]["role"] = json!("robot"), "payload.messages[2].role", "`assistant`"),
        (|v| v["payload"]["messages"][2]["role"] = json!(null), "payload.messages[2].role", "missing"),
        (|v| v["payload"]["messages"][1]["parts"] = json!("{"), "payload.messages[1].parts", "JSON text"),
        (
            |v| v["payload"]["messages"][2]["tool_calls"][1]["name"] = json!(1),
            "payload.messages[2].tool_calls[1].name",
            "a string",
        ),
        (|v| v["payload"]["outcome"]["reward"] = json!("1"), "payload.outcome.reward", "a number"),
        (|v| v["payload"]["usage"]["input_tokens"] = json!(1.5), "payload.usage.input_tokens", "an integer"),
        (|v| v["payload"]["usage"]["input_tokens"] = json!(u64::MAX), "payload.usage.input_tokens", "64 bits"),
        (|v| v["payload"]["cost_usd"] = json!(9_007_199_254_740_993_u64), "payload.cost_usd", "rounded"),
        (|v| v["payload"]["started_at"] = json!(0), "payload.started_at", "RFC 3339"),
    ];
    for (change, field, said) in cases {
        let e = refused("runs", run_with(change));
        assert_eq!(e.field, field, "{e}");
        assert!(e.message.contains(said), "{e}");
    }
}

#[test]
fn names_that_senders_chose_are_cut_in_answers() {
    let long = "é".repeat(100_000);
    for value in [
        json!({long.clone(): 1}),
        json!({"type": long.clone()}),
        json!({"occurred_at": long.clone()}),
        json!({"id": long.clone(), "payload": {"run_id": "r"}}),
        json!({"payload": {"run_id": "r", "messages": [{"role": long.clone()}]}}),
        json!({"payload": {"run_id": "r", "extra": {long.clone(): "{"}}}),
        json!({"": 1}),
    ] {
        let e = refused("runs", value);
        assert!(!e.field.is_empty() && e.to_string().len() < 1400, "{} bytes", e.to_string().len());
    }
}

#[test]
fn a_payload_other_than_a_runs_is_taken_to_the_letter() {
    let score = || sample("score", "full").to_json();
    let with = |change: &dyn Fn(&mut Value)| {
        let mut value = score();
        change(&mut value);
        refused("scores", value)
    };
    let e = with(&|v| v["payload"]["extra"] = json!(1));
    assert_eq!(e.field, "payload.extra");
    assert!(e.message.contains("`sub_scores`"), "{e}");
    let e = with(&|v| v["payload"]["category"] = json!("Accepted"));
    assert_eq!(e.field, "payload.category");
    assert!(e.message.contains("`partially_accepted`"), "{e}");
    assert_eq!(with(&|v| v["payload"]["sub_scores"]["x"] = json!(1.5)).field, "payload.sub_scores.x");
    assert_eq!(with(&|v| v["payload"]["score"] = json!(-0.1)).field, "payload.score");
    assert_eq!(with(&|v| v["payload"]["reasons"][0] = json!(null)).field, "payload.reasons[0]");
    assert_eq!(with(&|v| v["payload"]["scorer"] = json!(null)).field, "payload.scorer");
    let mut untyped = score();
    untyped["type"] = json!(null);
    let e = refused("scores", untyped);
    assert!(e.field == "type" && e.message.contains("`score_failed`"), "{e}");
    let mut dead = sample("dead_lettered", "full").to_json();
    dead["payload"]["record_headers"][0]["value"] = json!("not base64!");
    assert_eq!(refused("deadletters", dead).field, "payload.record_headers[0].value");
}

#[test]
fn topics_without_events_and_unknown_ones_are_refused() {
    for topic in ["requests", "nothing", "", "scores.v1"] {
        let e = refused(topic, json!({"payload": {"run_id": "r"}}));
        assert!(e.field == "topic" && e.message.contains("`runs`") && !e.message.contains("`requests`;"), "{e}");
    }
    for value in [json!(null), json!([]), json!("x"), json!(1)] {
        assert_eq!(refused("runs", value).field, "event");
    }
}

#[test]
fn times_are_read_in_any_zone_and_shown_in_utc() {
    use stillhouse_schemas::time::{MAX, format, parse};
    for (text, shown) in [
        ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00Z"),
        ("2026-01-31t12:00:00z", "2026-01-31T12:00:00Z"),
        ("2026-01-31 12:00:00+01:30", "2026-01-31T10:30:00Z"),
        ("2026-01-31T12:00:00-00:00", "2026-01-31T12:00:00Z"),
        ("2024-02-29T23:59:59.123456789Z", "2024-02-29T23:59:59.123456Z"),
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
        ("2262-01-01T00:00:00Z", "2262-01-01T00:00:00Z"),
    ] {
        let micros = parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(format(micros), shown);
        assert_eq!(parse(shown), Ok(micros));
    }
    assert_eq!(parse("2262-01-01T00:00:00Z"), Ok(MAX));
    for text in [
        "",
        "now",
        "2026-01-31",
        "2026-01-31T12:00Z",
        "20260131T120000Z",
        "2026-01-31T12:00:00.Z",
        "2026-01-31T12:00:00.1234567890Z",
        "2026-01-31T24:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-01-31T12:00:00+0100",
        "2026-01-31T12:00:00[Europe/Rome]",
        "2026-01-31T12:00:00Z[UTC]",
        " 2026-01-31T12:00:00Z",
        "+002026-01-31T12:00:00Z",
        "2026-01-31T12:00:00+26:00",
        "2262-01-01T00:00:00.000001Z",
        "1969-12-31T23:59:59.9Z",
        "２０２６-01-31T12:00:00Z",
    ] {
        let e = parse(text).unwrap_err();
        assert!(e.contains("RFC 3339") || e.contains("1970"), "{text}: {e}");
    }
}

#[test]
fn a_digest_is_of_what_is_said_not_of_how() {
    use stillhouse_schemas::json::digest;
    assert_eq!(
        digest(&json!({"a": 1, "b": [{"c": null, "d": 2}]})),
        digest(&json!({"b": [{"d": 2, "c": null}], "a": 1}))
    );
    assert_ne!(digest(&json!({"a": 1})), digest(&json!({"a": "1"})));
    assert_ne!(digest(&json!([1, 2])), digest(&json!([2, 1])));
    assert_eq!(digest(&json!({})).len(), 32);
}

/// A seeded walk over mangled JSON of every event: what is taken is what serde_json reads, and nothing panics.
#[test]
fn mangled_json_never_panics_and_never_means_two_things() {
    let texts: Vec<(&str, Vec<u8>)> = plain_samples()
        .iter()
        .map(|e| {
            let topic = TOPICS.iter().find(|t| t.events.contains(&e.payload.event_type().name)).expect("a topic");
            (topic.name, e.to_json().to_string().into_bytes())
        })
        .collect();
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    let (mut parsed, mut taken) = (0, 0);
    for _ in 0..20_000 {
        let (topic, text) = &texts[next(texts.len())];
        let mut text = text.clone();
        for _ in 0..=next(2) {
            let at = next(text.len());
            match next(4) {
                0 => text[at] = b"{}[]\",:0e-n\\ "[next(13)],
                1 => drop(text.drain(at..(at + next(8)).min(text.len()))),
                2 => text.insert(at, u8::try_from(next(256)).unwrap()),
                _ => {
                    let other = &texts[next(texts.len())].1;
                    let from = next(other.len());
                    let end = (from + next(24)).min(other.len());
                    text.splice(at..at, other[from..end].iter().copied());
                }
            }
            if text.is_empty() {
                break;
            }
        }
        match parse_strict(&text) {
            Err(e) => assert!(e.offset <= text.len() && e.line > 0 && e.column > 0),
            Ok(value) => {
                parsed += 1;
                assert_eq!(value, serde_json::from_slice::<Value>(&text).expect("JSON to others too"));
                match Event::from_json(topic, value, &stamp()) {
                    Err(e) => assert!(!e.field.is_empty() && !e.message.is_empty()),
                    Ok(event) => {
                        taken += 1;
                        let again = Event::from_json(topic, event.to_json(), &stamp()).expect("its own JSON");
                        assert_eq!(again, event);
                    }
                }
            }
        }
    }
    assert!(parsed > 1_000 && taken > 500, "the walk reached the deeper parts: {parsed}, {taken}");
}
