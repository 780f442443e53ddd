//! What was said in accepted runs, in chunks to be searched.
//!
//! Texts of users, assistants and tools; not system prompts, which say how to speak and not what is so. A chunk's id is
//! of its run, message, span and text, so it stays when the run is made into evidence again. Its span counts characters
//! of the message as it was recorded, whatever was redacted in it.

use super::super::harvest::{Candidate, Harvest, hash, hex, order};
use super::super::secrets::{self, Redacted};
use super::super::shapes::{Chunk, Content};
use super::super::{ExportError, Reason, Withheld};
use super::{Kind, Taking};
use crate::chunking::chunks;
use crate::firewall::{self, Admitted};

pub(super) const KIND: Kind = Kind {
    name: "rag",
    doc: "What was said in accepted runs, in chunks to be searched",
    row_is_run: false,
    meets: false,
    take: |taking, harvest| {
        let Some(judgement) = taking.judgement else {
            return Ok(Err(Withheld::new(Reason::NoScore, "no score is about it")));
        };
        match firewall::admit(taking.event, judgement, &taking.standing, &taking.policy) {
            Ok(admitted) => rows(&admitted, taking, harvest),
            Err(withheld) => Ok(Err(withheld)),
        }
    },
};

/// Whose words are cut into chunks.
const ROLES: [&str; 3] = ["user", "assistant", "tool"];

fn rows(
    admitted: &Admitted<'_>,
    taking: &Taking<'_>,
    harvest: &mut Harvest,
) -> Result<Result<(), Withheld>, ExportError> {
    let (plan, source, evidence) = (taking.plan, taking.source, admitted.evidence());
    let spoken = || {
        let messages = (0..).zip(&evidence.messages).filter(|(_, message)| ROLES.contains(&message.role.as_str()));
        messages.filter_map(|(index, message)| Some((index, message, message.content.as_deref()?)))
    };
    // All or nothing: one message with what is to be quarantined keeps out the run.
    let screen = taking.screen();
    let mut marked = Vec::new();
    for (index, message, text) in spoken() {
        match screen.marks(text) {
            Ok(marks) => marked.push((index, message, text, marks)),
            Err(withheld) => return Ok(Err(withheld)),
        }
    }
    let prompt = match plan.by_prompt(evidence) {
        true => super::prompt(evidence)?,
        false => Vec::new(),
    };
    let split = plan.splits.of(evidence.task_key.as_deref(), &prompt);
    let mut number: u32 = 0;
    for (message_index, message, text, marks) in marked {
        let pieces = chunks(text, plan.chunk_chars, plan.chunk_overlap);
        let n_chunks = count(pieces.len());
        for (chunk_index, piece) in (0..).zip(pieces) {
            let mut redacted = Redacted::default();
            let said = secrets::part(text, piece.bytes.clone(), &marks, &mut redacted);
            let content = hash(&[said.as_bytes()]);
            let place = format!("{message_index}\0{}\0{}", piece.chars.start, piece.chars.end);
            let id = hex(&hash(&[source.run_id.as_bytes(), place.as_bytes(), said.as_bytes()]));
            let chunk = Chunk {
                id: &id,
                text: &said,
                content_hash: &hex(&content),
                role: &message.role,
                message_index,
                chunk_index,
                n_chunks,
                start_char: count(piece.chars.start),
                end_char: count(piece.chars.end),
                source,
            };
            let line = (plan.form().render)(Content::Chunk(chunk)).to_bytes()?;
            harvest.candidate(&Candidate {
                order: &order(source.occurred_at, &source.evidence_id, number),
                split,
                content,
                words: &said,
                sources: &[source],
                redacted,
                line: &line,
            })?;
            number += 1;
        }
    }
    if number == 0 {
        return Ok(Err(Withheld::new(Reason::NoText, "nobody said anything that could be searched")));
    }
    Ok(Ok(()))
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
