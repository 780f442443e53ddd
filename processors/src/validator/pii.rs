//! What leads to a person, and secrets: the rules that exports are screened with, over the folded text, and social security
//! numbers however they are written.

use super::digits::chains;
use super::email::ssn;
use super::finding::{Checked, Code, Findings, Severity};
use super::words::Words;
use super::{Check, Entry, Subject, settings};
use crate::exporter::secrets::{Finds, Screen};
use serde::Deserialize;

static CODES: &[Code] = &[
    Code { code: "secret", severity: Severity::Blocking, doc: "a key, token or password of a known form" },
    Code { code: "card", severity: Severity::Blocking, doc: "a payment card number" },
    Code { code: "email", severity: Severity::Warning, doc: "an e-mail address" },
    Code { code: "phone", severity: Severity::Warning, doc: "a telephone number" },
    Code { code: "ssn", severity: Severity::Blocking, doc: "a social security number, however it is written" },
    Code { code: "ssn_partial", severity: Severity::Blocking, doc: "the last digits of a social security number" },
    Code {
        code: "ssn_possible",
        severity: Severity::Warning,
        doc: "nine digits that could be a social security number",
    },
    Code { code: "asks_for_ssn", severity: Severity::Blocking, doc: "asks for a social security number" },
];

/// Kinds that can be looked for.
const KINDS: [&str; 5] = ["secrets", "card", "email", "phone", "ssn"];

pub(super) const VALIDATOR: Entry = Entry {
    name: "pii",
    doc: "Personal data and secrets: social security numbers, cards, addresses, telephone numbers, keys.",
    settings: "kinds: of secrets, card, email, phone, ssn (usual: all); allow: addresses and numbers that may stand there",
    codes: CODES,
    make: |value| {
        let settings: Settings = settings(value)?;
        let kinds = settings.kinds.unwrap_or_else(|| KINDS.map(str::to_owned).to_vec());
        if let Some(kind) = kinds.iter().find(|kind| !KINDS.contains(&kind.as_str())) {
            return Err(format!("no kind is called `{}`: there are {}", kind.escape_debug(), KINDS.join(", ")));
        }
        let screened: Vec<&str> = kinds.iter().map(String::as_str).filter(|kind| *kind != "ssn").collect();
        let screen = match screened.is_empty() {
            true => Screen::open(),
            false => Screen::finding(&screened.join(",").parse::<Finds>().map_err(|error| error.to_string())?),
        };
        let allow = settings.allow.iter().map(|text| super::fold::folded(text)).collect();
        Ok(Box::new(Pii { screen, ssn: kinds.iter().any(|kind| kind == "ssn"), allow }))
    },
};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    kinds: Option<Vec<String>>,
    allow: Vec<String>,
}

#[derive(Debug)]
struct Pii {
    screen: Screen,
    ssn: bool,
    allow: Vec<String>,
}

impl Check for Pii {
    fn check(&self, subject: &Subject<'_>) -> Checked {
        let mut found = Findings::new(CODES);
        for (field, text) in subject.artefact.texts() {
            let words = Words::new(&text);
            if self.ssn {
                ssn::find(&field, &words, &chains(&words), &mut found);
            }
            // Keys are told by their capitals: they are looked for in the text as it is, the rest in the folded one.
            let raw = self.screen.found(&text).into_iter().filter(|(_, kind)| is_secret(kind));
            let finds = self.screen.found(words.text()).into_iter().filter(|(_, kind)| !is_secret(kind));
            let folded =
                finds.filter(|(range, _)| !self.allow.iter().any(|allowed| *allowed == words.text()[range.clone()]));
            for (span, kind) in raw.chain(folded.map(|(range, kind)| (words.folded.span(range), kind))) {
                let (code, what) = match kind {
                    "email" => ("email", "an e-mail address"),
                    "phone" => ("phone", "a telephone number"),
                    "card" => ("card", "a payment card number"),
                    _ => ("secret", "a key or token"),
                };
                found.add(code, Some(&field), Some(span), format!("holds {what}"), format!("Delete {what}."));
            }
        }
        found.done(None)
    }
}

fn is_secret(kind: &str) -> bool {
    !["email", "phone", "card"].contains(&kind)
}
