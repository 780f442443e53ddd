//! Structured output: everything up to the last text of the assistant; the schema that it had to satisfy in front.

use super::conversation::{Ending, conversation};
use super::shown::{Shown, show};
use super::tools::tools;
use super::{Sample, Template};

pub(super) const TEMPLATE: Template = Template {
    source_class: "extraction",
    version: "1",
    synthesise: |evidence| {
        let messages = conversation(&evidence.messages, Ending::Text)?;
        let shown = Shown::one("Answer with JSON that satisfies this schema", evidence.response_schema.as_deref());
        Ok(Sample { messages: show(evidence, messages, shown), tools: tools(&evidence.tools)? })
    },
};
