//! Answers from passages: everything up to the last text of the assistant; the passages in front, each with its id, or
//! its place where it has none.

use super::conversation::{Ending, conversation};
use super::shown::{Shown, show};
use super::tools::tools;
use super::{Sample, Template};

pub(super) const TEMPLATE: Template = Template {
    source_class: "retrieval",
    version: "1",
    synthesise: |evidence| {
        let messages = conversation(&evidence.messages, Ending::Text)?;
        let shown = (!evidence.passages.is_empty()).then(|| Shown {
            heading: "Passages",
            parts: evidence
                .passages
                .iter()
                .zip(1..)
                .map(|(passage, place): (_, usize)| {
                    (Some(passage.id.clone().unwrap_or_else(|| place.to_string())), passage.text.as_str())
                })
                .collect(),
        });
        Ok(Sample { messages: show(evidence, messages, shown), tools: tools(&evidence.tools)? })
    },
};
