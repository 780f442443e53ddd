//! Bad records, one table: each is refused with a reason, and its neighbours go in.

use super::{PLAIN, import, mapping};

#[test]
fn each_bad_record_is_refused_and_its_neighbours_go_in() {
    let good = r#"{"q":"1","a":"x"}"#;
    let table: &[(&str, &[u8], &str)] = &[
        ("null", b"null", "a record must be an object"),
        ("text", b"\"x\"", "a record must be an object"),
        ("array", b"[1]", "a record must be an object"),
        ("number", b"1", "a record must be an object"),
        ("no JSON", b"hello", "not JSON that is taken"),
        ("cut", b"{\"q\":\"1\",", "not JSON that is taken"),
        ("single quotes", b"{'q':1}", "not JSON that is taken"),
        ("trailing comma", b"{\"q\":\"1\",\"a\":\"x\",}", "not JSON that is taken"),
        ("two values", b"{\"q\":\"1\",\"a\":\"x\"} {}", "not JSON that is taken"),
        ("byte-order mark within", b"\xef\xbb\xbf{\"q\":\"1\",\"a\":\"x\"}", "byte-order mark"),
        ("Latin-1", b"{\"q\":\"\xe9\",\"a\":\"x\"}", "UTF-8"),
        ("overlong", b"{\"q\":\"\xc0\xaf\",\"a\":\"x\"}", "UTF-8"),
        ("lone surrogate", br#"{"q":"\ud800","a":"x"}"#, "not JSON that is taken"),
        ("duplicate key", br#"{"q":"1","q":"2","a":"x"}"#, "q"),
        ("duplicate key within", br#"{"q":"1","a":"x","m":{"role":1,"role":2}}"#, "role"),
        ("NaN", br#"{"q":"1","a":"x","n":NaN}"#, "not JSON that is taken"),
        ("Infinity", br#"{"q":"1","a":"x","n":-Infinity}"#, "not JSON that is taken"),
        ("out of range", br#"{"q":"1","a":"x","n":1e400}"#, "not JSON that is taken"),
        ("beyond 64 bits", br#"{"q":"1","a":"x","n":123456789012345678901234567890}"#, "not JSON that is taken"),
        ("missing field", br#"{"q":"1"}"#, "`{a}` is missing"),
        ("null field", br#"{"q":null,"a":"x"}"#, "`{q}` is missing"),
    ];
    for (name, bytes, reason) in table {
        let text = [good.as_bytes(), b"\n", bytes, b"\n", good.replace('1', "2").as_bytes(), b"\n"].concat();
        let imported = import(mapping(PLAIN), text);
        assert_eq!(imported.events.len(), 2, "{name}: {:?}", imported.reasons());
        let [rejection] = &imported.rejections[..] else { panic!("{name}: {:?}", imported.reasons()) };
        assert_eq!((rejection.line, rejection.record, rejection.stopped), (2, 2, false), "{name}");
        assert!(rejection.reason.contains(reason), "{name}: {}", rejection.reason);
    }
}

#[test]
fn nesting_and_members_have_limits() {
    let deep = format!("{{\"q\":\"1\",\"a\":\"x\",\"d\":{}1{}}}\n", "[".repeat(100_000), "]".repeat(100_000));
    let many: Vec<String> = (0..200_000).map(|i| format!("\"k{i}\":1")).collect();
    let wide = format!("{{\"q\":\"1\",\"a\":\"x\",{}}}\n", many.join(","));
    let imported = import(mapping(PLAIN), deep + &wide);
    assert_eq!(imported.rejections.len(), 2, "{:?}", imported.reasons());
}

#[test]
fn an_invalid_byte_is_named_by_its_place() {
    let imported = import(mapping(PLAIN), b"{\"q\":\"1\",\"a\":\"\xff\"}\n");
    assert!(imported.reasons()[0].contains("at byte 14 of the record"), "{:?}", imported.reasons());
}

#[test]
fn strange_text_is_stored_exactly() {
    let imported = import(mapping(PLAIN), "{\"q\":\"\\u0000\\u001b[31m\",\"a\":\"\u{202e}abc\u{2028}\"}\r\n");
    let talk = imported.talk();
    assert_eq!(talk, [("user".into(), "\0\u{1b}[31m".into()), ("assistant".into(), "\u{202e}abc\u{2028}".into())]);
}

#[test]
fn an_incomplete_last_line_is_reported_and_a_complete_one_taken() {
    let cut = import(mapping(PLAIN), "{\"q\":\"1\",\"a\":\"x\"}\n{\"q\":\"2\",\"a");
    assert_eq!(cut.events.len(), 1);
    assert!(cut.reasons()[0].contains("the last line is incomplete"), "{:?}", cut.reasons());
    let whole = import(mapping(PLAIN), "{\"q\":\"1\",\"a\":\"x\"}\n{\"q\":\"2\",\"a\":\"y\"}");
    assert_eq!((whole.events.len(), whole.rejections.len()), (2, 0));
}

#[test]
fn a_file_without_records_is_reported() {
    for text in ["", "  \n\n", "[]", "\u{feff}"] {
        let imported = import(mapping(PLAIN), text);
        assert!(imported.reasons()[0].contains("there is no record in it"), "{text:?}: {:?}", imported.reasons());
    }
}

#[test]
fn a_rejection_reads_as_file_line_reason() {
    let imported = import(mapping(PLAIN), "{\"q\":\"1\",\"a\":\"x\"}\n{\"q\":\"2\"}\n");
    let text = imported.reasons().remove(0);
    assert!(text.contains("/input:2: record 2 (byte 18): `{a}` is missing, and the conversation needs it"), "{text}");
}

#[test]
fn times_are_parsed_or_refused() {
    let map = |rule: &str| mapping(&format!("{PLAIN}occurred_at = {rule}\n"));
    let with = |time: &str| format!("{{\"q\":\"1\",\"a\":\"x\",\"t\":{time}}}\n");
    let seconds = "{ from = \"{t}\", unit = \"s\" }";
    for (rule, value, micros) in [
        ("\"{t}\"", "\"2026-01-31T12:00:00Z\"", 1_769_860_800_000_000),
        ("\"{t}\"", "\"2026-01-31T13:00:00.5+01:00\"", 1_769_860_800_500_000),
        ("\"{t}\"", "\"2026-01-31 12:00:00.123456\"", 1_769_860_800_123_456),
        (seconds, "1769860800", 1_769_860_800_000_000),
        (seconds, "1769860800.25", 1_769_860_800_250_000),
        (seconds, "0", 0),
        ("{ from = \"{t}\", unit = \"ms\" }", "1769860800123", 1_769_860_800_123_000),
        ("{ from = \"{t}\", unit = \"us\" }", "1769860800123456", 1_769_860_800_123_456),
        ("{ from = \"{t}\", unit = \"ns\" }", "1769860800123456789", 1_769_860_800_123_456),
        ("\"2020-01-01T00:00:00Z\"", "null", 1_577_836_800_000_000),
        ("\"{missing}\"", "null", 0),
    ] {
        let imported = import(map(rule), with(value));
        let found: Vec<_> = imported.events.iter().map(|e| e.envelope.occurred_at).collect();
        assert_eq!(found, [micros], "{rule} of {value}: {:?}", imported.reasons());
    }
    for (rule, value, reason) in [
        ("\"{t}\"", "\"2026-02-30T00:00:00Z\"", "occurred_at"),
        ("\"{t}\"", "\"2026-01-31T12:00:00\"", "zone"),
        ("\"{t}\"", "\"yesterday\"", "occurred_at"),
        ("\"{t}\"", "1769860800", "unit"),
        ("\"{t}\"", "true", "not a time"),
        (seconds, "-1", "1970"),
        (seconds, "1769860800123", "unit"),
        (seconds, "1e300", "unit"),
    ] {
        let imported = import(map(rule), with(value));
        assert_eq!(imported.events.len(), 0, "{rule} of {value}");
        assert!(imported.reasons()[0].contains(reason), "{rule} of {value}: {:?}", imported.reasons());
    }
}
