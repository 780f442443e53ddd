//! Which replies of tools are errors.
//!
//! Tools say it in many ways and in no field of the conversation, so this is a table of what is really seen. It is
//! meant to miss a rare way rather than to take a found document about errors for one: only the beginning of a text
//! counts, and only the top of a JSON object.

use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// How texts of errors begin, in lower case. Besides these, a text is an error when its first word is the name of an
/// exception with a colon: `ValueError: …`, `java.io.IOException: …`.
pub static ERROR_STARTS: &[&str] = &[
    "error:",
    "error -",
    "[error]",
    "<error>",
    "<tool_error>",
    "<tool_use_error>",
    "error executing",
    "error calling",
    "error invoking",
    "error running",
    "error while",
    "error in tool",
    "an error occurred",
    "tool error",
    "tool execution failed",
    "tool call failed",
    "traceback (most recent call last)",
    "exception:",
    "fatal:",
    "failed to ",
    "unknown tool",
    "unknown action",
    "unknown function",
    "http error",
];

/// Members at the top of a JSON object that make it an error: name, and the value that says so. `None`: any value but
/// `null`, `false`, `0`, and empty text, list or object.
pub static ERROR_FLAGS: &[(&str, Option<&str>)] = &[
    ("error", None),
    ("errors", None),
    ("exception", None),
    ("traceback", None),
    ("is_error", Some("true")),
    ("isError", Some("true")),
    ("success", Some("false")),
    ("ok", Some("false")),
    ("status", Some("\"error\"")),
];

#[derive(Deserialize)]
#[serde(transparent)]
struct Members<'a> {
    #[serde(borrow)]
    members: BTreeMap<Cow<'a, str>, &'a RawValue>,
}

/// Whether what a tool said is an error.
pub fn is_error(text: &str) -> bool {
    let text = text.trim_start();
    if text.starts_with('{') {
        return serde_json::from_str::<Members>(text).is_ok_and(|object| object.members.iter().any(flags));
    }
    let start: String = text.chars().take(40).collect::<String>().to_lowercase();
    ERROR_STARTS.iter().any(|begin| start.starts_with(begin)) || names_exception(text)
}

fn flags((name, value): (&Cow<'_, str>, &&RawValue)) -> bool {
    let value = value.get();
    ERROR_FLAGS.iter().any(|(flag, says)| {
        name == flag
            && match says {
                Some(says) => value.eq_ignore_ascii_case(says),
                None => !matches!(value, "null" | "false" | "0" | "\"\"") && !is_hollow(value),
            }
    })
}

/// `[]` or `{}`, with or without blanks.
fn is_hollow(value: &str) -> bool {
    let inner = value.strip_prefix('[').and_then(|v| v.strip_suffix(']'));
    inner.or_else(|| value.strip_prefix('{').and_then(|v| v.strip_suffix('}'))).is_some_and(|v| v.trim().is_empty())
}

fn names_exception(text: &str) -> bool {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.')).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    (word.ends_with("Error") || word.ends_with("Exception")) && rest.starts_with(':')
}

#[cfg(test)]
mod tests {
    use super::is_error;

    #[test]
    fn errors_are_told_from_results() {
        for error in [
            "Error: payment amount does not add up, total price is 290, but paid 250",
            "  error: no such file",
            "Traceback (most recent call last):\n  File \"x.py\", line 1",
            "ValueError: invalid literal",
            "java.io.IOException: closed",
            "Unknown action book_flight",
            "Failed to fetch the page",
            r#"{"error": "not found"}"#,
            r#"{"error": {"code": 404}}"#,
            r#"{"errors": ["a"], "data": null}"#,
            r#"{"success": false, "message": "no"}"#,
            r#"{"status": "ERROR"}"#,
            r#"{"content": "x", "is_error": true}"#,
        ] {
            assert!(is_error(error), "{error}");
        }
        for result in [
            "",
            "Transfer successful",
            "299.0",
            "[]",
            "Error handling in Rust is done with Result.",
            "The log says Error: x",
            r#"{"error": null, "data": 1}"#,
            r#"{"error": "", "errors": [ ], "exception": {}, "traceback": false}"#,
            r#"{"rows": [{"error": "in a row"}]}"#,
            r#"{"success": true}"#,
            r#"{"status": "failed payment"}"#,
            r#"{"name": {"first": "A"}, "error_count": 4}"#,
            r#"{"error": cut"#,
            r#"["error"]"#,
        ] {
            assert!(!is_error(result), "{result}");
        }
    }
}
