//! Accepted runs as conversations to fine-tune on.

use super::super::harvest::{Candidate, Harvest, hash, order};
use super::super::secrets::Redacted;
use super::super::shapes::{Content, Conversation};
use super::super::templates::template;
use super::super::{ExportError, Reason, Withheld};
use super::{Kind, Taking};
use crate::exporter::canonical::Json;
use crate::firewall::{self, Admitted};

pub(super) const KIND: Kind = Kind {
    name: "sft",
    doc: "Accepted runs as conversations to fine-tune on",
    row_is_run: true,
    meets: false,
    take: |taking, harvest| {
        let Some(judgement) = taking.judgement else {
            return Ok(Err(Withheld::new(Reason::NoScore, "no score is about it")));
        };
        match firewall::admit(taking.event, judgement, &taking.standing, &taking.policy) {
            Ok(admitted) => row(&admitted, taking, harvest),
            Err(withheld) => Ok(Err(withheld)),
        }
    },
};

/// The row of an admitted evidence, or why there is none.
fn row(
    admitted: &Admitted<'_>,
    taking: &Taking<'_>,
    harvest: &mut Harvest,
) -> Result<Result<(), Withheld>, ExportError> {
    let evidence = admitted.evidence();
    let mut sample = match template(&evidence.source_class).and_then(|t| (t.synthesise)(evidence)) {
        Ok(sample) => sample,
        Err(withheld) => return Ok(Err(withheld)),
    };
    // The split is of what was asked, so it is decided before anything is redacted.
    let prompt = match taking.plan.by_prompt(evidence) {
        true => super::prompt(evidence)?,
        false => Vec::new(),
    };
    let (screen, mut redacted) = (taking.screen(), Redacted::default());
    let screened = sample.messages.iter_mut().chain([&mut sample.tools]);
    if let Err(withheld) = screened.into_iter().try_for_each(|json| screen.json(json, &mut redacted)) {
        return Ok(Err(withheld));
    }
    let messages = Json::List(sample.messages);
    let content = hash(&[&messages.to_bytes()?, &sample.tools.to_bytes()?]);
    let words = if harvest.wants_words() { said(&messages) } else { String::new() };
    let Json::List(messages) = messages else { return Err(super::super::pack::Damaged.into()) };
    let conversation = Conversation { messages, tools: sample.tools, source: taking.source };
    let line = (taking.plan.form().render)(Content::Conversation(conversation)).to_bytes()?;
    harvest.candidate(&Candidate {
        order: &order(taking.source.occurred_at, &taking.source.evidence_id, 0),
        split: taking.plan.splits.of(evidence.task_key.as_deref(), &prompt),
        content,
        words: &words,
        sources: &[taking.source],
        redacted,
        line: &line,
    })?;
    Ok(Ok(()))
}

/// The words of all messages, one after another.
pub(super) fn said(messages: &Json<'_>) -> String {
    let Json::List(messages) = messages else { return String::new() };
    let mut words = String::new();
    for message in messages {
        if let Json::Map(members) = message
            && let Some(Json::Text(text)) = members.get("content")
        {
            words.push_str(text);
            words.push('\n');
        }
    }
    words
}
