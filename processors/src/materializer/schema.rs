//! Answers checked against the JSON Schema that they had to satisfy.
//!
//! Drafts as the schema names them, 2020-12 where it names none; formats are asserted, because whoever asks for a date
//! wants one. Nothing is fetched: a schema that refers to another document cannot be used, and that is counted.

use serde_json::Value;

/// Violations are counted up to here.
const MOST_ERRORS: usize = 100;
/// Schemas and answers of more bytes are not checked.
const MOST_BYTES: usize = 1 << 20;
/// Steps that a pattern may take back.
const BACKTRACK: usize = 100_000;

/// How many violations `value` has; nothing if the schema cannot be used.
pub(super) fn violations(schema: &str, value: &Value, bytes: usize) -> Option<usize> {
    if schema.len() > MOST_BYTES || bytes > MOST_BYTES {
        return None;
    }
    let schema: Value = serde_json::from_str(schema).ok()?;
    let patterns = jsonschema::PatternOptions::fancy_regex().backtrack_limit(BACKTRACK).size_limit(MOST_BYTES);
    let validator = jsonschema::options()
        .offline()
        .should_validate_formats(true)
        .with_pattern_options(patterns)
        .build(&schema)
        .ok()?;
    Some(validator.iter_errors(value).take(MOST_ERRORS).count())
}

#[cfg(test)]
mod tests {
    use super::violations;
    use serde_json::json;

    #[test]
    fn answers_are_checked_and_nothing_hostile_takes_the_process_down() {
        let person = r#"{"type":"object","required":["name","born"],"additionalProperties":false,
            "properties":{"name":{"type":"string","minLength":1},"born":{"type":"string","format":"date"}}}"#;
        for (schema, value, expected) in [
            (person, json!({"name": "A", "born": "1990-02-03"}), Some(0)),
            (person, json!({"name": "", "born": "1990-02-31"}), Some(2)),
            (person, json!({"name": "A"}), Some(1)),
            (person, json!([1]), Some(1)),
            ("true", json!(1), Some(0)),
            ("false", json!(1), Some(1)),
            ("{", json!(1), None),
            ("7", json!(1), None),
            (r#"{"type":"nonsense"}"#, json!(1), None),
            (r#"{"$ref":"https://example.com/schema.json"}"#, json!(1), None),
            (r#"{"$ref":"file:///etc/passwd"}"#, json!(1), None),
            (r##"{"$ref":"#"}"##, json!({"a": 1}), Some(0)),
            (r##"{"allOf":[{"$ref":"#"}]}"##, json!({"a": 1}), Some(0)),
            (r##"{"anyOf":[{"$ref":"#"},{"type":"string"}]}"##, json!({"a": 1}), Some(0)),
        ] {
            assert_eq!(violations(schema, &value, 10), expected, "{schema} over {value}");
        }
        let catastrophic = r#"{"type":"string","pattern":"^(a+)+$"}"#;
        assert!(violations(catastrophic, &json!("a".repeat(5_000) + "b"), 10).is_some());
        let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
        let nested = r##"{"anyOf":[{"type":"integer"},{"type":"array","items":{"$ref":"#"}}]}"##;
        assert_eq!(violations(nested, &deep, 10), Some(0));
    }
}
