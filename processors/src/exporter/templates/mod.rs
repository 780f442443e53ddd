//! One synthesis template per source class: evidence to the `messages` and `tools` of a row.
//!
//! A template chooses and orders what was said; it never adds a word, but for what the model was shown and no message
//! holds (`shown`: passages, a schema, what was reviewed, a context). What a chat template of a model could not
//! render faithfully is withheld with its reason instead of being repaired. Adding a class is a file and a line here.
//!
//! Lacks on purpose: system prompts of our own, rephrasing, truncation to a length.

mod agent;
mod chat;
mod conversation;
mod email;
mod extraction;
mod fill;
mod reasoning;
mod retrieval;
mod review;
mod shown;
mod tools;

use super::canonical::Json;
use super::reason::{Reason, Withheld};
use stillhouse_schemas::Evidence;

/// What a template makes.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample<'a> {
    /// Messages in TRL's conversational form, the last one from the assistant.
    pub messages: Vec<Json<'a>>,
    /// Tools as JSON-Schema functions, or `null`.
    pub tools: Json<'a>,
}

/// A template.
pub struct Template {
    /// The class it is for.
    pub source_class: &'static str,
    /// Changes with every change of what it makes.
    pub version: &'static str,
    /// Makes the sample.
    pub synthesise: for<'a> fn(&'a Evidence) -> Result<Sample<'a>, Withheld>,
}

/// All templates, by class.
pub static TEMPLATES: &[Template] = &[
    agent::TEMPLATE,
    chat::TEMPLATE,
    email::TEMPLATE,
    extraction::TEMPLATE,
    fill::TEMPLATE,
    reasoning::TEMPLATE,
    retrieval::TEMPLATE,
    review::TEMPLATE,
];

/// The template of a class.
pub fn template(source_class: &str) -> Result<&'static Template, Withheld> {
    TEMPLATES.iter().find(|t| t.source_class == source_class).ok_or_else(|| {
        Withheld::new(Reason::NoTemplate, format!("no template for source class `{}`", source_class.escape_debug()))
    })
}

#[cfg(test)]
mod tests;
