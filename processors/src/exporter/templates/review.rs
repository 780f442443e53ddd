//! Verdicts over an artefact: everything up to the last text of the assistant, which gives the verdict; what was reviewed
//! in front.

use super::conversation::{Ending, conversation};
use super::shown::{Shown, show};
use super::tools::tools;
use super::{Sample, Template};

pub(super) const TEMPLATE: Template = Template {
    source_class: "review",
    version: "1",
    synthesise: |evidence| {
        let messages = conversation(&evidence.messages, Ending::Text)?;
        let shown = Shown::one("Under review", evidence.artefact.as_deref());
        Ok(Sample { messages: show(evidence, messages, shown), tools: tools(&evidence.tools)? })
    },
};
