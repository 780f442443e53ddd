//! Answers checked against the JSON Schema that they had to satisfy.
//!
//! Drafts as the schema names them, 2020-12 where it names none; formats are asserted, because whoever asks for a date
//! wants one. Nothing is fetched: a schema that refers to another document cannot be used, and that is counted.

//! A schema comes from whoever recorded the run, and may be made to keep its reader busy: it is bounded before it is used.

mod work;

use serde_json::Value;

/// Violations are counted up to here.
const MOST_ERRORS: usize = 100;
/// Schemas and answers of more bytes are not checked.
const MOST_BYTES: usize = 1 << 20;
/// Bytes of a pattern, compiled.
const MOST_PATTERN: usize = 1 << 20;
/// Steps that a pattern may take back.
const BACKTRACK: usize = 10_000;

/// Why a schema cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// It is none.
    Invalid,
    /// It refers to another document, or to what is not there.
    Foreign,
    /// A reference of it leads back to itself without going into the answer.
    Endless,
    /// Schemas are applied within one another too often.
    Deep,
    /// It, the answer, or the patterns in it are too many bytes.
    Large,
    /// To check the answer against it would take too many steps.
    Costly,
}

impl Unusable {
    /// All of them.
    pub(crate) const ALL: [Self; 6] =
        [Self::Invalid, Self::Foreign, Self::Endless, Self::Deep, Self::Large, Self::Costly];

    /// The signal that says so.
    pub(crate) fn signal(self) -> &'static str {
        match self {
            Self::Invalid => "schema_invalid",
            Self::Foreign => "schema_foreign",
            Self::Endless => "schema_endless",
            Self::Deep => "schema_deep",
            Self::Large => "schema_large",
            Self::Costly => "schema_costly",
        }
    }

    /// In words, for the reasons of a score.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Invalid => "it is none",
            Self::Foreign => "it refers to another document, or to what is not there",
            Self::Endless => "a reference of it leads back to itself",
            Self::Deep => "it is too deep",
            Self::Large => "it is too large",
            Self::Costly => "checking the answer against it would take too many steps",
        }
    }
}

/// A place that does not satisfy a schema.
#[derive(Debug)]
pub(crate) struct Violation {
    /// JSON Pointer into the value.
    pub(crate) place: String,
    /// The keyword that it violates, and how, without the value.
    pub(crate) what: String,
}

/// How `value` violates the schema, up to some number of times, or why the schema cannot be used.
pub(crate) fn violations(schema: &str, value: &Value, bytes: usize) -> Result<Vec<Violation>, Unusable> {
    let shown = |error: jsonschema::ValidationError<'_>| Violation {
        place: error.instance_path().to_string(),
        what: error.masked().to_string(),
    };
    violated(schema, value, bytes, |errors| errors.map(shown).collect())
}

/// How many violations `value` has, or why the schema cannot be used.
pub(super) fn count(schema: &str, value: &Value, bytes: usize) -> Result<usize, Unusable> {
    violated(schema, value, bytes, |errors| errors.count())
}

fn violated<T>(
    schema: &str,
    value: &Value,
    bytes: usize,
    take: impl FnOnce(std::iter::Take<jsonschema::ErrorIterator<'_>>) -> T,
) -> Result<T, Unusable> {
    if schema.len() > MOST_BYTES || bytes > MOST_BYTES {
        return Err(Unusable::Large);
    }
    let schema: Value = serde_json::from_str(schema).map_err(|error| match error.is_syntax() {
        // The parser's own bound.
        true if error.to_string().starts_with("recursion limit") => Unusable::Deep,
        _ => Unusable::Invalid,
    })?;
    work::bounded(&schema, value)?;
    let patterns = jsonschema::PatternOptions::fancy_regex().backtrack_limit(BACKTRACK).size_limit(MOST_PATTERN);
    let validator = jsonschema::options()
        .offline()
        .should_validate_formats(true)
        .with_pattern_options(patterns)
        .build(&schema)
        .map_err(|_| Unusable::Invalid)?;
    Ok(take(validator.iter_errors(value).take(MOST_ERRORS)))
}

#[cfg(test)]
mod tests {
    use super::Unusable::{self, Costly, Deep, Endless, Foreign, Invalid, Large};
    use super::count as violations;
    use serde_json::Value;
    use serde_json::json;

    #[test]
    fn answers_are_checked_and_nothing_hostile_takes_the_process_down() {
        let person = r#"{"type":"object","required":["name","born"],"additionalProperties":false,
            "properties":{"name":{"type":"string","minLength":1},"born":{"type":"string","format":"date"}}}"#;
        for (schema, value, expected) in [
            (person, json!({"name": "A", "born": "1990-02-03"}), Ok(0)),
            (person, json!({"name": "", "born": "1990-02-31"}), Ok(2)),
            (person, json!({"name": "A"}), Ok(1)),
            (person, json!([1]), Ok(1)),
            ("true", json!(1), Ok(0)),
            ("false", json!(1), Ok(1)),
            ("{", json!(1), Err(Invalid)),
            ("7", json!(1), Err(Invalid)),
            (r#"{"type":"nonsense"}"#, json!(1), Err(Invalid)),
            (r#"{"$ref":"https://example.com/schema.json"}"#, json!(1), Err(Foreign)),
            (r#"{"$ref":"file:///etc/passwd"}"#, json!(1), Err(Foreign)),
            (r##"{"$ref":"#/$defs/nowhere"}"##, json!(1), Err(Foreign)),
            (r##"{"$id":"a:b","$ref":"a:b#n","$defs":{"x":{"$anchor":"n","type":"null"}}}"##, json!(1), Ok(1)),
            (r##"{"$ref":"#"}"##, json!({"a": 1}), Err(Endless)),
            (r##"{"allOf":[{"$ref":"#"}]}"##, json!({"a": 1}), Err(Endless)),
            (r##"{"anyOf":[{"$ref":"#"},{"type":"string"}]}"##, json!({"a": 1}), Err(Endless)),
        ] {
            assert_eq!(violations(schema, &value, 10), expected, "{schema} over {value}");
        }
        let catastrophic = r#"{"type":"string","pattern":"^(a+)+$"}"#;
        assert!(violations(catastrophic, &json!("a".repeat(5_000) + "b"), 10).is_ok());
        let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
        let nested = r##"{"anyOf":[{"type":"integer"},{"type":"array","items":{"$ref":"#"}}]}"##;
        assert_eq!(violations(nested, &deep, 10), Ok(0));
    }

    /// A schema of so many definitions, each made of the number of the next one.
    fn chain(length: usize, link: impl Fn(String) -> Value) -> String {
        let next = |n: usize| format!("#/$defs/d{}", n + 1);
        let mut defs: serde_json::Map<_, _> = (0..length).map(|n| (format!("d{n}"), link(next(n)))).collect();
        defs.insert(format!("d{length}"), json!({"type": "string"}));
        json!({"$ref": "#/$defs/d0", "$defs": defs}).to_string()
    }

    #[test]
    fn schemas_that_ask_for_too_much_are_refused_by_name() {
        let doubled = |keyword: &str, n| chain(n, |next| json!({keyword: [{"$ref": next}, {"$ref": next}]}));
        let single = |n| chain(n, |next| json!({"$ref": next}));
        let into_items = r##"{"items":{"allOf":[{"$ref":"#"},{"$ref":"#"}]}}"##.to_owned();
        let unevaluated = chain(40, |next| json!({"$ref": next, "unevaluatedProperties": true}));
        let circles = |n: usize| {
            let all = || (0..n).map(|m| json!({"$ref": format!("#/$defs/d{m}")})).collect::<Vec<_>>();
            let defs: serde_json::Map<_, _> = (0..n).map(|n| (format!("d{n}"), json!({"anyOf": all()}))).collect();
            json!({"$ref": "#/$defs/d0", "$defs": defs}).to_string()
        };
        let constants = json!({"items": {"enum": (0..50_000).map(|n| format!("word {n}")).collect::<Vec<_>>()}});
        let repetitions =
            json!({"anyOf": (0..500).map(|n| json!({"pattern": format!(r"\w{{{n}}}")})).collect::<Vec<_>>()});
        let huge = json!({"pattern": r"(((\w{100}){100}){100}){100}"}).to_string();
        let brackets = format!("{}1{}", r#"{"not":"#.repeat(5_000), "}".repeat(5_000));
        let nested = (0..100).fold(json!("x"), |inner, _| json!([inner]));
        let many = Value::from((0..20_000).collect::<Vec<_>>());
        let backs = r#"{"items":{"pattern":"^(?=(a+)+$)(a|aa)+\\1$"}}"#.to_owned();
        let long = Value::from(vec!["a".repeat(2_000) + "b"; 2_000]);
        let few = Value::from(vec!["a".repeat(2_000) + "b"; 100]);
        let cases: Vec<(&str, String, &Value, Result<usize, Unusable>)> = vec![
            ("few doublings", doubled("allOf", 8), &nested, Ok(100)),
            ("doublings", doubled("allOf", 40), &nested, Err(Costly)),
            ("doublings, one of which is enough", doubled("anyOf", 200), &nested, Err(Costly)),
            ("doublings, each of which must be looked at", doubled("oneOf", 60), &nested, Err(Costly)),
            ("doublings on the way into the answer", into_items, &nested, Err(Costly)),
            ("doublings that nobody wrote", unevaluated, &nested, Err(Costly)),
            ("a chain", single(300), &nested, Ok(1)),
            ("a chain of choices", chain(250, |next| json!({"anyOf": [{"$ref": next}]})), &nested, Ok(1)),
            ("a chain that would take the stack", single(20_000), &nested, Err(Deep)),
            ("brackets", brackets, &nested, Err(Deep)),
            ("everything refers to everything", circles(20), &nested, Err(Endless)),
            ("many constants, many items", constants.to_string(), &many, Err(Costly)),
            ("a large list, simply", json!({"items": {"type": "integer"}}).to_string(), &many, Ok(0)),
            ("many patterns", repetitions.to_string(), &nested, Err(Large)),
            ("a pattern that grows", huge, &nested, Err(Invalid)),
            ("a pattern that goes back, often", backs.clone(), &long, Err(Costly)),
            ("a pattern that goes back", backs, &few, Ok(100)),
            ("bytes", " ".repeat(2 << 20) + "true", &nested, Err(Large)),
        ];
        for (what, schema, value, expected) in cases {
            let found = violations(&schema, value, 10);
            assert_eq!(found, expected, "{what}");
        }
    }
}
