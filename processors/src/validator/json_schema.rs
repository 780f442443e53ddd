//! JSON that has to satisfy a schema: the one of the settings, or the one that the run names.

use super::finding::{Checked, Code, Findings, Severity};
use super::{Check, Entry, Subject, settings};
use crate::materializer::violations;
use serde::Deserialize;
use serde_json::Value;

static CODES: &[Code] = &[
    Code { code: "not_json", severity: Severity::Blocking, doc: "it is no JSON" },
    Code { code: "schema_violation", severity: Severity::Blocking, doc: "the schema does not allow this" },
];

pub(super) const VALIDATOR: Entry = Entry {
    name: "json_schema",
    doc: "JSON that satisfies a JSON Schema.",
    settings: "schema: a JSON Schema; without it, the one that comes with the artefact",
    codes: CODES,
    make: |value| {
        let settings: Settings = settings(value)?;
        let schema = match settings.schema {
            None => None,
            Some(Value::String(text)) => Some(text),
            Some(schema) => Some(schema.to_string()),
        };
        if let Some(Err(why)) = schema.as_deref().map(|schema| violations(schema, &Value::Null, 0)) {
            return Err(format!("the schema cannot be used: {}", why.words()));
        }
        Ok(Box::new(JsonSchema { schema }))
    },
};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    schema: Option<Value>,
}

#[derive(Debug)]
struct JsonSchema {
    schema: Option<String>,
}

impl Check for JsonSchema {
    fn check(&self, subject: &Subject<'_>) -> Checked {
        let Some(schema) = self.schema.as_deref().or(subject.schema) else {
            return Checked::skipped("there is no schema, neither in the settings nor with the artefact");
        };
        let mut found = Findings::new(CODES);
        let text = subject.artefact.text();
        let parsed = match subject.artefact.json() {
            Some(value) => value.clone(),
            None => match serde_json::from_str(text.trim()) {
                Ok(value) => value,
                Err(_) => {
                    found.add("not_json", None, None, "this is no JSON", "Answer with JSON, and with nothing else.");
                    return found.done(None);
                }
            },
        };
        match violations(schema, &parsed, text.len()) {
            Ok(violations) => {
                for violation in violations {
                    let remedy = "Change this part so that the schema allows it.";
                    found.add("schema_violation", Some(&violation.place), None, violation.what, remedy);
                }
                found.done(None)
            }
            Err(why) => Checked::skipped(format!("the schema cannot be used: {}", why.words())),
        }
    }
}
