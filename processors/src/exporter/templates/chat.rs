//! Conversations: everything up to the last text of the assistant.

use super::conversation::{Ending, conversation};
use super::tools::tools;
use super::{Sample, Template};

pub(super) const TEMPLATE: Template = Template {
    source_class: "chat",
    version: "1",
    synthesise: |evidence| {
        Ok(Sample { messages: conversation(&evidence.messages, Ending::Text)?, tools: tools(&evidence.tools)? })
    },
};
