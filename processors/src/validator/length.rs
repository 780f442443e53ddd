//! How long a text is.

use super::finding::{Checked, Code, Findings, Severity};
use super::{Check, Entry, Subject, settings};
use serde::Deserialize;

static CODES: &[Code] = &[
    Code { code: "too_short", severity: Severity::Blocking, doc: "fewer characters or words than wanted" },
    Code { code: "too_long", severity: Severity::Blocking, doc: "more characters or words than wanted" },
];

pub(super) const VALIDATOR: Entry = Entry {
    name: "length",
    doc: "Texts of so many characters or words.",
    settings: "min_chars, max_chars, min_words, max_words; field (usual: the whole artefact)",
    codes: CODES,
    make: |value| {
        let length: Length = settings(value)?;
        let none = [length.min_chars, length.max_chars, length.min_words, length.max_words].iter().all(Option::is_none);
        if none {
            return Err("it takes one of min_chars, max_chars, min_words, max_words".to_owned());
        }
        Ok(Box::new(length))
    },
};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Length {
    min_chars: Option<usize>,
    max_chars: Option<usize>,
    min_words: Option<usize>,
    max_words: Option<usize>,
    field: Option<String>,
}

impl Check for Length {
    fn check(&self, subject: &Subject<'_>) -> Checked {
        let mut found = Findings::new(CODES);
        let texts = subject.artefact.texts();
        let text = match &self.field {
            Some(field) => texts.iter().find(|(path, _)| path == field).map_or("", |(_, text)| text),
            None => subject.artefact.text(),
        };
        let field = self.field.as_deref().or(subject.artefact.json().is_none().then_some("text"));
        for (unit, count, min, max) in [
            ("characters", text.trim().chars().count(), self.min_chars, self.max_chars),
            ("words", text.split_whitespace().count(), self.min_words, self.max_words),
        ] {
            if let Some(min) = min.filter(|min| count < *min) {
                found.add(
                    "too_short",
                    field,
                    None,
                    format!("{count} {unit}, at least {min} are wanted"),
                    format!("Write at least {min} {unit}."),
                );
            }
            if let Some(max) = max.filter(|max| count > *max) {
                found.add(
                    "too_long",
                    field,
                    None,
                    format!("{count} {unit}, at most {max} are wanted"),
                    format!("Shorten it to at most {max} {unit}."),
                );
            }
        }
        found.done(None)
    }
}
