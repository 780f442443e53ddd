//! JSON in what a model said: all of it, a fenced block, or the largest piece that begins with a bracket.

use serde_json::Value;

/// So many brackets are tried as beginnings.
const MOST_TRIES: usize = 64;

/// JSON that was found.
#[derive(Debug)]
pub(super) struct Found<'a> {
    pub(super) value: Value,
    /// As it was written.
    pub(super) text: &'a str,
    /// Whether other words stand around it (a fence is none).
    pub(super) surrounded: bool,
}

/// The JSON of an answer, if it holds any. Text of which all is a number or a quoted word counts; within other words only
/// objects and lists do.
pub(super) fn find(answer: &str) -> Option<Found<'_>> {
    let whole = answer.trim();
    if let Ok(value) = serde_json::from_str(whole) {
        return Some(Found { value, text: whole, surrounded: false });
    }
    fenced(whole).or_else(|| inner(whole))
}

/// The last fenced block that is JSON.
fn fenced(text: &str) -> Option<Found<'_>> {
    let mut found = None;
    let mut rest = text;
    while let Some((before, block)) = rest.split_once("```") {
        let Some((block, after)) = block.split_once("```") else { break };
        // The first line may name the language.
        let block = match block.split_once('\n') {
            Some((language, body)) if language.trim().bytes().all(|b| b.is_ascii_alphanumeric()) => body,
            _ => block,
        };
        if let Ok(value) = serde_json::from_str(block.trim()) {
            let alone = before.trim().is_empty() && after.trim().is_empty() && rest.len() == text.len();
            found = Some(Found { value, text: block.trim(), surrounded: !alone });
        }
        rest = after;
    }
    found
}

fn inner(text: &str) -> Option<Found<'_>> {
    let mut best: Option<Found<'_>> = None;
    let mut from = 0;
    for _ in 0..MOST_TRIES {
        let Some(at) = text[from..].find(['{', '[']).map(|at| from + at) else { break };
        let mut values = serde_json::Deserializer::from_str(&text[at..]).into_iter::<Value>();
        from = at + 1;
        if let Some(Ok(value)) = values.next() {
            let piece = &text[at..at + values.byte_offset()];
            from = at + piece.len();
            if best.as_ref().is_none_or(|best| piece.len() > best.text.len()) {
                best = Some(Found { value, text: piece, surrounded: true });
            }
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn json_is_found_where_it_is() {
        for (answer, expected) in [
            (r#" {"a": 1} "#, Some((r#"{"a": 1}"#, false))),
            ("7", Some(("7", false))),
            ("```json\n{\"a\":1}\n```", Some((r#"{"a":1}"#, false))),
            ("```\n[1]\n```", Some(("[1]", false))),
            ("Here:\n```json\n{\"a\":1}\n```\nDone.", Some((r#"{"a":1}"#, true))),
            ("```json\n{\"a\":1}\n```\n```json\n{\"b\":1}\n```", Some((r#"{"b":1}"#, true))),
            (r#"It is {"a": {"b": [1]}}, as [1] says."#, Some((r#"{"a": {"b": [1]}}"#, true))),
            ("{broken [1, 2]", Some(("[1, 2]", true))),
            ("no JSON, 7 at most", None),
            ("```json\n{\n```", None),
            ("", None),
            ("{[{[", None),
        ] {
            let found = find(answer).map(|found| (found.text, found.surrounded));
            assert_eq!(found, expected, "{answer}");
        }
        assert!(find(&"[".repeat(100_000)).is_none());
    }
}
