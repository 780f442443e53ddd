//! Claims that are not to be made: guarantees, superlatives that nobody has shown, and what the settings add. A sentence that
//! denies one makes none.

use super::finding::{Checked, Code, Findings, Severity};
use super::words::{Phrases, Words};
use super::{Check, Entry, Subject, settings};
use serde::Deserialize;

static CODES: &[Code] =
    &[Code { code: "forbidden_claim", severity: Severity::Blocking, doc: "a claim that is not to be made" }];

/// Claims that nobody can stand by.
const USUAL: &[&str] = &[
    "we guarantee",
    "is guaranteed",
    "guaranteed results",
    "guaranteed income",
    "100 percent safe",
    "completely safe",
    "risk free",
    "no risk",
    "the best in the world",
    "number one in the",
    "scientifically proven",
    "clinically proven",
    "cures",
    "miracle",
    "never fails",
    "always works",
    "no side effects",
    "money back guaranteed",
    "get rich",
    "unlimited earnings",
];

pub(super) const VALIDATOR: Entry = Entry {
    name: "forbidden_claims",
    doc: "Claims that are not to be made.",
    settings: "claims: phrases, in addition; usual (true): the usual ones too; field",
    codes: CODES,
    make: |value| {
        let settings: Settings = settings(value)?;
        let usual = USUAL.iter().copied().filter(|_| settings.usual);
        let phrases = Phrases::of_texts(usual.chain(settings.claims.iter().map(String::as_str)));
        if !settings.usual && settings.claims.is_empty() {
            return Err("without the usual ones it takes `claims`".to_owned());
        }
        Ok(Box::new(Claims { phrases, field: settings.field }))
    },
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    claims: Vec<String>,
    usual: bool,
    field: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { claims: Vec::new(), usual: true, field: None }
    }
}

#[derive(Debug)]
struct Claims {
    phrases: Phrases,
    field: Option<String>,
}

impl Check for Claims {
    fn check(&self, subject: &Subject<'_>) -> Checked {
        let mut found = Findings::new(CODES);
        for (field, text) in subject.artefact.texts() {
            if self.field.as_ref().is_some_and(|own| *own != field) {
                continue;
            }
            let words = Words::new(&text);
            for (_, range) in self.phrases.find(&words) {
                if !words.is_denied(range.start) && words.get(range.end) != "not" {
                    let remedy = "Delete the claim, or say what can be shown.";
                    found.add(
                        "forbidden_claim",
                        Some(&field),
                        Some(words.span(range)),
                        "a claim that is not to be made",
                        remedy,
                    );
                }
            }
        }
        found.done(None)
    }
}
