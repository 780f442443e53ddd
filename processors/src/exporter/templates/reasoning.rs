//! Tasks with a checkable answer: the question and all that led to the last text of the assistant, which is the answer.
//! The reference is not in the row: the model is taught what it said, which was found right, not what it should have said.

use super::conversation::{Ending, conversation};
use super::tools::tools;
use super::{Sample, Template};

pub(super) const TEMPLATE: Template = Template {
    source_class: "reasoning",
    version: "1",
    synthesise: |evidence| {
        Ok(Sample { messages: conversation(&evidence.messages, Ending::Text)?, tools: tools(&evidence.tools)? })
    },
};
