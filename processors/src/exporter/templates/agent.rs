//! Runs with tools: everything up to the last thing the assistant did, be it a text or a call. What came after it (the
//! answer of the last tool, the user's goodbye) teaches nothing and is cut off.

use super::conversation::{Ending, conversation};
use super::tools::tools;
use super::{Sample, Template};

pub(super) const TEMPLATE: Template = Template {
    source_class: "agent",
    version: "1",
    synthesise: |evidence| {
        Ok(Sample { messages: conversation(&evidence.messages, Ending::TextOrCall)?, tools: tools(&evidence.tools)? })
    },
};
