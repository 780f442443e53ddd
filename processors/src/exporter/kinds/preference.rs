//! Pairs of answers to one prompt, the better one chosen.
//!
//! A better side is an accepted run, or what a person wrote in place of an answer; a worse one is a rejected run, or the
//! answer that was corrected. Nothing else can be a side: each is made of a type of the firewall. Here an evidence
//! becomes its sides; when all have been read they meet in [`pairing`](super::pairing).

use super::super::harvest::{Harvest, hash};
use super::super::secrets::Redacted;
use super::super::templates::{Sample, template};
use super::super::{ExportError, Reason, Withheld};
use super::pairing::{Class, Side};
use super::{Kind, Taking};
use crate::exporter::canonical::Json;
use crate::firewall::{self, Admitted, Corrected, Declined};
use stillhouse_schemas::Evidence;

pub(super) const KIND: Kind = Kind {
    name: "preference",
    doc: "Pairs of answers to the same prompt: an accepted and a rejected run, or a person's correction",
    row_is_run: false,
    meets: true,
    take: sides,
};

/// By whose leave an answer is a side.
enum Leave<'a, 'e> {
    Admitted(&'a Admitted<'e>),
    Declined(&'a Declined<'e>),
    Corrected(&'a Corrected<'e>),
}

fn sides(taking: &Taking<'_>, harvest: &mut Harvest) -> Result<Result<(), Withheld>, ExportError> {
    let corrected = taking.correction.and_then(|correction| firewall::correct(taking.event, correction));
    let judged = match taking.judgement {
        None => Err(Withheld::new(Reason::NoScore, "no score is about it")),
        Some(judgement) => match firewall::admit(taking.event, judgement, &taking.standing, &taking.policy) {
            Ok(admitted) => Ok(Ok(admitted)),
            Err(withheld) => firewall::decline(taking.event, judgement).map(Err).map_err(|_| withheld),
        },
    };
    let mut taken = None;
    match &judged {
        Ok(Ok(admitted)) => taken = Some(side(&Leave::Admitted(admitted), taking, harvest)?),
        Ok(Err(declined)) => taken = Some(side(&Leave::Declined(declined), taking, harvest)?),
        Err(_) => {}
    }
    if let Some(corrected) = &corrected
        && !matches!(taken, Some(Err(_)))
    {
        taken = Some(side(&Leave::Corrected(corrected), taking, harvest)?);
    }
    Ok(match (taken, judged) {
        (Some(taken), _) => taken,
        (None, Err(withheld)) => Err(withheld),
        (None, Ok(_)) => Ok(()),
    })
}

/// Hands over the side of an answer; of a corrected one both.
fn side(
    leave: &Leave<'_, '_>,
    taking: &Taking<'_>,
    harvest: &mut Harvest,
) -> Result<Result<(), Withheld>, ExportError> {
    let (evidence, class): (&Evidence, Class) = match leave {
        Leave::Admitted(admitted) => (admitted.evidence(), Class::Chosen),
        Leave::Declined(declined) => (declined.evidence(), Class::Rejected),
        Leave::Corrected(corrected) => (corrected.evidence(), Class::Corrected),
    };
    let sample = match template(&evidence.source_class).and_then(|t| (t.synthesise)(evidence)) {
        Ok(sample) => sample,
        Err(withheld) => return Ok(Err(withheld)),
    };
    let Sample { mut messages, mut tools, .. } = sample;
    let Some(mut answer) = messages.pop() else {
        return Ok(Err(Withheld::new(Reason::NoAssistantAnswer, "no message of the assistant could be learned from")));
    };
    let prompt = Json::List(messages);
    // Equal prompts are equal as they were recorded: redaction makes none equal.
    let recorded = hash(&[&prompt.to_bytes()?, &tools.to_bytes()?]);
    let mut correction = match leave {
        Leave::Corrected(corrected) => Some(answered(corrected.text())),
        _ => None,
    };
    let mut prompt = prompt;
    let (screen, mut in_prompt, mut in_answer, mut in_correction) =
        (taking.screen(), Redacted::default(), Redacted::default(), Redacted::default());
    let screened = screen
        .json(&mut prompt, &mut in_prompt)
        .and_then(|()| screen.json(&mut tools, &mut in_prompt))
        .and_then(|()| screen.json(&mut answer, &mut in_answer))
        .and_then(|()| correction.iter_mut().try_for_each(|json| screen.json(json, &mut in_correction)));
    if let Err(withheld) = screened {
        return Ok(Err(withheld));
    }
    let mut side = Side {
        class,
        source: taking.source.clone(),
        split_key: evidence.task_key.clone(),
        prompt: text(&prompt)?,
        tools: text(&tools)?,
        answer: text(&answer)?,
        in_prompt,
        in_answer,
    };
    harvest.side(&recorded, &side)?;
    if let (Some(correction), Leave::Corrected(corrected)) = (correction, leave) {
        side.class = Class::Chosen;
        side.answer = text(&correction)?;
        side.in_answer = in_correction;
        side.source.label_id = Some(corrected.label_id().to_owned());
        harvest.side(&recorded, &side)?;
    }
    Ok(Ok(()))
}

/// What a person wrote, as the assistant's message.
fn answered(text: &str) -> Json<'_> {
    Json::map([
        ("role", Json::text("assistant")),
        ("content", Json::text(text)),
        ("name", Json::Null),
        ("tool_call_id", Json::Null),
        ("tool_calls", Json::Null),
        ("reasoning_content", Json::Null),
    ])
}

fn text(json: &Json<'_>) -> Result<String, ExportError> {
    String::from_utf8(json.to_bytes()?).map_err(|_| super::super::pack::Damaged.into())
}
