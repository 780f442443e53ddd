//! What one span says, in our words, whatever the vocabulary.

use std::collections::BTreeMap;
use stillhouse_schemas::{Message, Outcome, Passage, Tool, Usage};

/// What a span is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A call of a model.
    Model,
    /// A call of a tool.
    Tool,
    /// Anything around them: agents, chains, retrievers.
    Other,
}

/// What a span says. Vocabularies fill in what none before them said.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    pub(super) kind: Option<Kind>,
    /// Whether a vocabulary knew it.
    pub(super) known: bool,
    pub(super) input: Vec<Message>,
    pub(super) output: Vec<Message>,
    /// Of spans that hold no messages.
    pub(super) input_text: Option<String>,
    pub(super) output_text: Option<String>,
    pub(super) tools: Vec<Tool>,
    pub(super) tool: Use,
    pub(super) passages: Vec<Passage>,
    pub(super) model: Option<String>,
    pub(super) provider: Option<String>,
    pub(super) finish_reason: Option<String>,
    pub(super) usage: Usage,
    pub(super) cost_usd: Option<f64>,
    pub(super) session_id: Option<String>,
    pub(super) tags: Vec<String>,
    pub(super) error: Option<String>,
    pub(super) response_schema: Option<String>,
    pub(super) role: Option<String>,
    pub(super) source_class: Option<String>,
    pub(super) task_key: Option<String>,
    pub(super) reference: Option<String>,
    pub(super) outcome: Outcome,
    pub(super) extra: BTreeMap<String, String>,
}

/// A tool that was used.
#[derive(Clone, Debug, Default)]
pub(super) struct Use {
    pub(super) id: Option<String>,
    pub(super) name: Option<String>,
    pub(super) arguments: Option<String>,
    pub(super) result: Option<String>,
}

/// Fills in what was not said yet.
pub(super) fn fill<T>(place: &mut Option<T>, said: impl FnOnce() -> Option<T>) {
    if place.is_none() {
        *place = said();
    }
}

/// Fills in what was not said yet.
pub(super) fn fill_all<T>(place: &mut Vec<T>, said: impl FnOnce() -> Vec<T>) {
    if place.is_empty() {
        *place = said();
    }
}

impl Said {
    /// Whether it holds messages.
    pub(super) fn speaks(&self) -> bool {
        !self.input.is_empty() || !self.output.is_empty()
    }
}
