//! One pattern that must be there, or must not.

use super::finding::{Code, Severity};
use super::rules::{Rule, Rules};
use super::{Entry, settings};
use serde::Deserialize;

static CODES: &[Code] = &[Code {
    code: "pattern",
    severity: Severity::Blocking,
    doc: "a pattern is there that must not be, or is not that must",
}];

pub(super) const VALIDATOR: Entry = Entry {
    name: "regex",
    doc: "A pattern that must not be found, or must.",
    settings: "pattern; must: not_match (usual) or match; field; folded (false); message; remedy",
    codes: CODES,
    make: |value| {
        let settings: Settings = settings(value)?;
        if settings.pattern.is_empty() {
            return Err("it takes a `pattern`".to_owned());
        }
        let rule = Rule {
            code: "pattern".to_owned(),
            regex: Some(settings.pattern),
            must: settings.must,
            terms: Vec::new(),
            required: Vec::new(),
            number: None,
            field: settings.field,
            folded: settings.folded,
            severity: None,
            message: settings.message,
            remedy: settings.remedy,
        };
        Ok(Box::new(Rules::new(&[rule])?))
    },
};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    pattern: String,
    must: Option<String>,
    field: Option<String>,
    folded: bool,
    message: Option<String>,
    remedy: Option<String>,
}
