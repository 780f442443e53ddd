//! Structured output from a text: the JSON of the answer, checked against the schema that it had to satisfy, and against
//! the reference where there is one, field by field.

use super::Refusal;
use super::chat::conversation;
use super::class::Limits;
use super::json_answer::find;
use super::reference::matches;
use super::schema::count;
use super::signals::{empty_for_want_of_text, put};
use serde_json::Value;
use std::collections::BTreeMap;
use stillhouse_schemas::{Evidence, Run};

pub(super) const CLASS: &str = "extraction";

/// Fields of a reference are compared up to here.
const MOST_FIELDS: usize = 10_000;

/// Takes an extraction.
pub(super) fn take(run: &mut Run, _: &Limits) -> Result<Evidence, Refusal> {
    let mut evidence = conversation(run, CLASS)?;
    empty_for_want_of_text(&mut evidence);
    // What the run recorded as its result counts before what its last words hold.
    let answer = evidence.artefact.clone().or_else(|| evidence.answer.clone()).unwrap_or_default();
    let found = find(&answer);
    put(&mut evidence, "json_answer", found.is_some());
    put(&mut evidence, "surrounded_json", found.as_ref().is_some_and(|found| found.surrounded));
    if let (Some(schema), Some(found)) = (evidence.response_schema.as_deref(), &found) {
        let checked = count(schema, &found.value, found.text.len());
        put(&mut evidence, "schema_unusable", checked.is_err());
        match checked {
            Ok(count) => drop(evidence.signals.insert("schema_errors".to_owned(), count as f64)),
            Err(why) => put(&mut evidence, why.signal(), true),
        }
    }
    if let Some(reference) = evidence.reference.clone().filter(|reference| !reference.trim().is_empty()) {
        let wanted = serde_json::from_str::<Value>(&reference).ok().filter(|r| r.is_object() || r.is_array());
        let (met, all) = match (&wanted, &found) {
            (Some(wanted), Some(found)) => compare(wanted, &found.value),
            (Some(wanted), None) => (0, leaves(wanted).len()),
            (None, _) => (usize::from(matches(&answer, &reference)), 1),
        };
        evidence.signals.insert("reference_fields".to_owned(), all as f64);
        evidence.signals.insert("reference_fields_met".to_owned(), met as f64);
        put(&mut evidence, "reference_match", met == all);
    }
    if evidence.artefact.is_none() {
        evidence.artefact = found.map(|found| found.text.to_owned());
    }
    Ok(evidence)
}

/// How many fields of the reference the answer meets, and how many there are. What the answer has beyond them is not
/// held against it.
fn compare(wanted: &Value, found: &Value) -> (usize, usize) {
    let (wanted, found) = (leaves(wanted), leaves(found));
    let met = wanted.iter().filter(|(path, value)| found.get(*path).is_some_and(|other| same(value, other))).count();
    (met, wanted.len())
}

fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::String(a), Value::String(b)) => a.trim() == b.trim(),
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        _ => a == b,
    }
}

/// Everything that is no object or list, or is an empty one, by its path.
fn leaves(value: &Value) -> BTreeMap<String, &Value> {
    let mut leaves = BTreeMap::new();
    let mut open = vec![(String::new(), value)];
    while let Some((path, value)) = open.pop() {
        if leaves.len() >= MOST_FIELDS {
            break;
        }
        match value {
            Value::Object(members) if !members.is_empty() => {
                let escaped = |name: &str| name.replace('~', "~0").replace('/', "~1");
                open.extend(members.iter().map(|(name, value)| (format!("{path}/{}", escaped(name)), value)));
            }
            Value::Array(items) if !items.is_empty() => {
                open.extend(items.iter().enumerate().map(|(i, value)| (format!("{path}/{i}"), value)));
            }
            leaf => {
                leaves.insert(path, leaf);
            }
        }
    }
    leaves
}
