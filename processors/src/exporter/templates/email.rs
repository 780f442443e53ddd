//! Messages to a worker: everything up to the message, be it a text or the call that sends it; the context in front.

use super::conversation::{Ending, conversation};
use super::shown::{Shown, show};
use super::tools::tools;
use super::{Sample, Template};

pub(super) const TEMPLATE: Template = Template {
    source_class: "email",
    version: "1",
    synthesise: |evidence| {
        let messages = conversation(&evidence.messages, Ending::TextOrCall)?;
        let shown = Shown::one("Context", evidence.context.as_deref());
        Ok(Sample { messages: show(evidence, messages, shown), tools: tools(&evidence.tools)? })
    },
};
