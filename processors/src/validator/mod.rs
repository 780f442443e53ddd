//! Validators: does an artefact hold what must not go out.
//!
//! A validator is a pure function of an artefact, its settings, the roster and the claims of its time and what the artefact
//! was made for and from ([`Subject`]), to findings ([`Finding`]): a code, a severity, the field and the bytes in it, and a remedy that a
//! model can act on. [`VALIDATORS`] is the table; users add their own by [`rules`] and by [`remote`] without any Rust;
//! a [`policy`] names which of them look at what, and how much each finding weighs.
//!
//! **The verdict.** `fail` if any finding blocks; else `skipped` if something could not be looked at; else `pass`.
//!
//! **Hostile text.** Every text is folded first ([`fold`]): look-alike letters, digits of other scripts, zero-width and
//! bidirectional marks make no difference. All work is linear in the text's length: one pass of words, chains of digits,
//! phrases by their first word, patterns without going back. Findings are counted up to [`MOST_FINDINGS`].
//!
//! What is absent: models, the clock, the network. What a message means beyond its words, no rule here knows.

pub mod artefact;
mod digits;
mod email;
mod fill;
pub mod finding;
mod fold;
mod forbidden_claims;
mod held_claims;
mod json_schema;
mod language;
mod length;
mod moment;
mod numbers;
mod persons;
mod pii;
pub mod policy;
mod processor;
mod regex;
pub mod remote;
pub mod rules;
mod words;

pub use artefact::{Artefact, Known, Subject};
pub use finding::{Checked, Code, Finding, MOST_FINDINGS, Severity, Verdict};
pub use policy::{Member, OfMember, Policies, Policy, Report};
pub use processor::{SETTINGS, Validator, findings, policies, skipped};

use serde_json::Value;
use std::fmt;

/// Name of the processor.
pub const NAME: &str = "validator";
/// Version of the rules: raised whenever the same artefact may get other findings under the same settings.
pub const VERSION: &str = "1";

/// A validator with its settings.
pub trait Check: fmt::Debug + Send + Sync {
    /// What it finds.
    fn check(&self, subject: &Subject<'_>) -> Checked;
}

/// Makes a validator with these settings: an object, or null for the usual ones. The error says what is wrong with them.
pub type Make = fn(&Value) -> Result<Box<dyn Check>, String>;

/// A validator, as the table has it.
#[derive(Debug)]
pub struct Entry {
    /// Name, as in policies.
    pub name: &'static str,
    /// What it looks at, in a sentence.
    pub doc: &'static str,
    /// Its settings, in words; empty: none.
    pub settings: &'static str,
    /// What it may find. Validators whose codes are named in settings have one that stands for them.
    pub codes: &'static [Code],
    /// Makes it.
    pub make: Make,
}

/// Every validator there is. Adding one is a file and a line here.
pub static VALIDATORS: &[Entry] = &[
    fill::VALIDATOR,
    email::VALIDATOR,
    json_schema::VALIDATOR,
    regex::VALIDATOR,
    pii::VALIDATOR,
    length::VALIDATOR,
    language::VALIDATOR,
    forbidden_claims::VALIDATOR,
    held_claims::VALIDATOR,
    numbers::VALIDATOR,
];

/// The validator of this name.
pub fn validator(name: &str) -> Option<&'static Entry> {
    VALIDATORS.iter().find(|validator| validator.name == name)
}

/// Reads settings into their type; null is the default.
fn settings<T: serde::de::DeserializeOwned + Default>(value: &Value) -> Result<T, String> {
    if value.is_null() { Ok(T::default()) } else { serde_json::from_value(value.clone()).map_err(|e| e.to_string()) }
}

/// A value of somebody else's, fit to be shown.
fn shown(text: &str) -> String {
    let cut: String = text.chars().take(64).collect();
    cut.escape_debug().to_string()
}

/// Bytes of an artefact that are looked at; a larger one is skipped, not cut.
pub const MOST_BYTES: usize = 4 << 20;

#[cfg(test)]
mod tests;
