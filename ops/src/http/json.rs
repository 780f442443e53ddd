//! Bodies of JSON, cut into documents.
//!
//! What a document may be is decided by [`stillhouse_schemas::json::parse_strict`] (no repeated keys, nothing rounded,
//! bounded depth and size); here an array or a text of lines is only cut into its elements, which are parsed and handed
//! on one by one, so that a large body is never a large tree. Places in errors count from the start of the body.

use super::answer::{Place, Refusal};
use axum::http::StatusCode;
use serde_json::{Map, Value};
use stillhouse_schemas::BadJson;
use stillhouse_schemas::json::parse_strict;

/// What is done with each document: its index, and the document.
pub(crate) type Each<'a> = dyn FnMut(usize, Value) -> Result<(), Refusal> + 'a;

const MARK: &[u8] = "\u{feff}".as_bytes();

/// Reads one object, or an array of them.
pub(crate) fn document(body: &[u8], each: &mut Each<'_>) -> Result<(), Refusal> {
    let start = start(body);
    match body[start..].iter().position(|b| !b.is_ascii_whitespace()).map(|n| (start + n, body[start + n])) {
        None => Err(bad(body, body.len(), "the body is empty; expected a JSON object, or an array of objects")),
        Some((at, b'[')) => elements(body, at, each),
        Some((at, b'{')) => each(0, parse(body, at, body.len())?),
        // Whether it is no JSON at all, or JSON of the wrong shape, is not the same.
        Some((at, _)) => {
            parse(body, at, body.len())?;
            Err(Refusal::invalid("expected a JSON object, or an array of objects"))
        }
    }
}

/// Reads one object a line. Empty lines are skipped; the last line may lack its newline, but not its end.
pub(crate) fn lines(body: &[u8], each: &mut Each<'_>) -> Result<(), Refusal> {
    let (mut at, mut index) = (start(body), 0);
    for line in body[at..].split(|b| *b == b'\n') {
        let end = at + line.len();
        if !line.trim_ascii().is_empty() {
            each(index, parse(body, at, end)?)?;
            index += 1;
        }
        at = end + 1;
    }
    if index == 0 { Err(bad(body, body.len(), "the body is empty; expected one JSON object a line")) } else { Ok(()) }
}

/// The elements of the array that begins at `open`. A string or bracket decides where one ends; what is in it, the parser.
fn elements(body: &[u8], open: usize, each: &mut Each<'_>) -> Result<(), Refusal> {
    let (mut at, mut index) = (open + 1, 0);
    loop {
        let end = end_of_element(body, at);
        let element = body[at..end].trim_ascii();
        if index == 0 && element.is_empty() && body.get(end) == Some(&b']') {
            return Err(Refusal::invalid("the array is empty; send at least one event"));
        }
        let value = parse(body, at, end)?;
        match body.get(end) {
            Some(b',') => each(index, value)?,
            Some(_) => {
                let after = &body[end + 1..];
                if let Some(n) = after.iter().position(|b| !b.is_ascii_whitespace()) {
                    return Err(bad(body, end + 1 + n, "trailing characters after the array"));
                }
                return each(index, value);
            }
            None => return Err(bad(body, end, "the array does not end")),
        }
        at = end + 1;
        index += 1;
    }
}

/// Where the element that begins at `from` ends: at a comma or bracket of the array itself, or at the end of the body.
fn end_of_element(body: &[u8], from: usize) -> usize {
    let (mut at, mut depth) = (from, 0_usize);
    while let Some(byte) = body.get(at) {
        match byte {
            b'"' => {
                at += 1;
                while let Some(byte) = body.get(at).filter(|b| **b != b'"') {
                    at += if *byte == b'\\' { 2 } else { 1 };
                }
            }
            b'{' | b'[' => depth += 1,
            b',' | b']' | b'}' if depth == 0 => return at,
            b']' | b'}' => depth -= 1,
            _ => (),
        }
        at += 1;
    }
    body.len()
}

fn parse(body: &[u8], from: usize, to: usize) -> Result<Value, Refusal> {
    let text = &body[from..to];
    if text.trim_ascii_start().starts_with(MARK) {
        return Err(bad(body, from, "a byte-order mark may stand at the very start only"));
    }
    // The end of an element may not be the end of the text that its sender meant: `{]`.
    if body.get(to) == Some(&b'}') {
        return Err(bad(body, to, "expected `,` or `]`"));
    }
    parse_strict(text).map_err(|BadJson { offset, message, .. }| bad(body, from + offset, &message))
}

fn bad(body: &[u8], offset: usize, what: &str) -> Refusal {
    let offset = offset.min(body.len());
    let before = &body[..offset];
    let line = 1 + before.iter().filter(|b| **b == b'\n').count();
    let column = offset - before.iter().rposition(|b| *b == b'\n').map_or(0, |n| n + 1) + 1;
    let beyond =
        ["number out of range", "the integer does not fit", "more than "].iter().any(|begin| what.starts_with(begin));
    let status = if beyond { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::BAD_REQUEST };
    // A parser may quote a name of any length.
    let what: String = what.chars().take(300).collect();
    let message = format!("line {line}, column {column} (byte {offset}): {}", crate::output::safe(&what));
    Refusal::new(status, "bad_json", message).place(Place { line, column, offset })
}

fn start(body: &[u8]) -> usize {
    if body.starts_with(MARK) { MARK.len() } else { 0 }
}

/// The object with its keys sorted, for digests: `{"b":1,"a":2}` and `{"a":2,"b":1}` say the same thing.
pub(crate) fn canonical(map: &Map<String, Value>, out: &mut Vec<u8>) {
    let mut members: Vec<_> = map.iter().collect();
    members.sort_unstable_by_key(|(name, _)| *name);
    list(out, b"{}", members, |(name, value), out| {
        scalar(name, out);
        out.push(b':');
        canonical_value(value, out);
    });
}

fn canonical_value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Object(map) => canonical(map, out),
        Value::Array(items) => list(out, b"[]", items, canonical_value),
        other => scalar(other, out),
    }
}

fn list<T>(out: &mut Vec<u8>, brackets: &[u8; 2], items: impl IntoIterator<Item = T>, write: impl Fn(T, &mut Vec<u8>)) {
    out.push(brackets[0]);
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(item, out);
    }
    out.push(brackets[1]);
}

fn scalar(value: &(impl serde::Serialize + ?Sized), out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("strings and numbers are written into memory");
}

#[cfg(test)]
mod tests {
    use super::*;

    type Read = fn(&[u8], &mut Each<'_>) -> Result<(), Refusal>;

    fn all(read: Read, body: &[u8]) -> Result<Vec<Value>, Refusal> {
        let mut found = Vec::new();
        read(body, &mut |index, value| {
            assert_eq!(index, found.len());
            found.push(value);
            Ok(())
        })
        .map(|()| found)
    }

    #[test]
    fn documents_are_one_object_or_an_array() {
        assert_eq!(all(document, br#" {"a":"]},\"[{"} "#).unwrap().len(), 1);
        assert_eq!(all(document, b"\xef\xbb\xbf [{}, {\"a\":[1,[2]]} ,{\"b\":\"],\"}]\r\n").unwrap().len(), 3);
        for (body, status) in [
            (&b""[..], 400),
            (b" \n", 400),
            (b"null", 422),
            (b"\"x\"", 422),
            (b"[]", 422),
            (b"[ ]", 422),
            (b"nul", 400),
            (b"{}{}", 400),
            (b"[{}]{}", 400),
            (b"[{}]]", 400),
            (b"[{},]", 400),
            (b"[,{}]", 400),
            (b"[{} {}]", 400),
            (b"[{]}", 400),
            (b"[{}}", 400),
            (b"[{}", 400),
            (b"[", 400),
            (b"[\"", 400),
            (b"[\"\\", 400),
            (b"{\"a\":", 400),
            (b"\xef\xbb\xbf\xef\xbb\xbf{}", 400),
            (b"[\xef\xbb\xbf{}]", 400),
            (b"{\0}", 400),
            (b"{\"a\":\"\xff\"}", 400),
            (b"\xff\xfe{\0}\0", 400),
            (b"{\"a\":\"\\ud800\"}", 400),
            (b"{\"a\":NaN}", 400),
            (b"{\"a\":1e400}", 422),
            (b"{\"a\":123456789012345678901}", 422),
            (b"{\"a\":1,\"a\":2}", 400),
            (b"[{\"a\":{\"b\":1,\"b\":1}}]", 400),
        ] {
            let shown = String::from_utf8_lossy(body);
            let refusal = all(document, body).expect_err(&shown);
            assert_eq!(refusal.status.as_u16(), status, "{shown}: {}", refusal.body.message);
        }
    }

    #[test]
    fn any_cut_of_a_body_is_refused_without_panic() {
        let body = br#"[{"a":"x\"\\"},{"b":[1,{"c":null}]}]"#;
        assert_eq!(all(document, body).unwrap().len(), 2);
        for end in 0..body.len() {
            assert!(all(document, &body[..end]).is_err(), "{end}");
            assert!(all(lines, &body[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn places_count_from_the_start_of_the_body() {
        let place = |read: Read, body: &[u8]| {
            let refusal = all(read, body).unwrap_err();
            let json = serde_json::to_value(&refusal.body).unwrap();
            (json["line"].as_u64().unwrap(), json["column"].as_u64().unwrap(), json["offset"].as_u64().unwrap())
        };
        assert_eq!(place(document, b"[{\"a\":1},\n {\"b\":tru}]"), (2, 10, 19));
        assert_eq!(place(lines, b"{}\n\n{\"a\":1}\r\n{\"a\":1}x").0, 4);
        assert_eq!(place(lines, b"{}\n\n{\"a\":1}\r\n{\"a\":1}x").2, 20);
        assert_eq!(place(lines, b"\xef\xbb\xbf{}\n\xef\xbb\xbf{}"), (2, 1, 6));
    }

    #[test]
    fn depth_is_bounded() {
        for text in ["[".repeat(100_000), "{\"a\":".repeat(100_000)] {
            assert_eq!(all(document, text.as_bytes()).unwrap_err().status.as_u16(), 400);
        }
    }

    #[test]
    fn canonical_form_forgets_order_and_spaces() {
        let form = |text: &str| {
            let mut out = Vec::new();
            canonical(parse_strict(text.as_bytes()).unwrap().as_object().unwrap(), &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            form("{ \"b\": [1, 2.5], \"a\": {\"d\":null,\"c\":\"x\\n\"} }"),
            r#"{"a":{"c":"x\n","d":null},"b":[1,2.5]}"#
        );
    }
}
