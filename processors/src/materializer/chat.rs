//! Conversations. What the other classes share is here too: a run of any class is a conversation.

use super::class::Limits;
use super::signals::{count, empty_for_want_of_text};
use super::{Refusal, roles};
use stillhouse_schemas::{Evidence, Message, Run};

pub(super) const CLASS: &str = "chat";

/// Takes a conversation.
pub(super) fn take(run: &mut Run, _: &Limits) -> Result<Evidence, Refusal> {
    let mut evidence = conversation(run, CLASS)?;
    empty_for_want_of_text(&mut evidence);
    Ok(evidence)
}

/// The evidence of any run: roles known, turns there, answer found, everything counted that a conversation has.
pub(super) fn conversation(run: &mut Run, class: &'static str) -> Result<Evidence, Refusal> {
    let mut messages = std::mem::take(&mut run.messages);
    roles::name(&mut messages)?;
    let has = |role: &str| messages.iter().any(|message| message.role == role);
    if messages.is_empty() {
        return Err(Refusal::new("no_messages", with_error("the run holds no messages", run)));
    }
    if !has("user") {
        return Err(Refusal::new("no_user_turn", "no message is a user's: there is nothing that was answered"));
    }
    if !has("assistant") && run.error.is_none() {
        return Err(Refusal::new("no_assistant_turn", "no message is the assistant's, and no error says why"));
    }
    let mut evidence = Evidence {
        run_id: std::mem::take(&mut run.run_id),
        source_class: class.to_owned(),
        task_key: run.task_key.take(),
        role: run.role.take(),
        model: run.model.take(),
        provider: run.provider.take(),
        answer: answer(&messages),
        messages,
        tools: std::mem::take(&mut run.tools),
        reference: run.reference.take(),
        outcome: std::mem::take(&mut run.outcome),
        finish_reason: run.finish_reason.take(),
        error: run.error.take(),
        signals: std::collections::BTreeMap::new(),
        tags: std::mem::take(&mut run.tags),
        passages: std::mem::take(&mut run.passages),
        response_schema: run.response_schema.take(),
        artefact: run.artefact.take(),
        context: run.context.take(),
        revision: run.revision,
    };
    count(&mut evidence);
    Ok(evidence)
}

/// The last text of the assistant, trimmed. A run may end in a call: what was said last was said before it.
fn answer(messages: &[Message]) -> Option<String> {
    let texts = messages.iter().rev().filter(|message| message.role == "assistant");
    let texts = texts.filter_map(|message| message.content.as_deref().map(str::trim));
    texts.filter(|text| !text.is_empty()).map(str::to_owned).next()
}

fn with_error(text: &str, run: &Run) -> String {
    match &run.error {
        Some(error) => format!("{text}; its error: {}", error.chars().take(300).collect::<String>()),
        None => text.to_owned(),
    }
}
