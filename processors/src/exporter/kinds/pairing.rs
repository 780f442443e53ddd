//! Sides that answer the same prompt, paired: every better one with every worse one, each pair of answers once.
//!
//! Sides come sorted by prompt, so one prompt is in memory at a time, of it at most [`SIDES`] different answers of each
//! class. Where more pairs are possible than asked for, those with the least hashes are taken: the same ones on any host,
//! favouring nobody.

use super::super::harvest::{Candidate, Harvest, Hash, hash, hex, order};
use super::super::pack::{Damaged, Pack, Unpack};
use super::super::secrets::Redacted;
use super::super::shapes::{Content, Pair};
use super::super::source::Source;
use super::super::{ExportError, Plan, Reason, Withheld};
use crate::exporter::canonical::Json;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};

/// Different answers of a class that are taken for one prompt.
const SIDES: usize = 1_024;

/// What a side may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) enum Class {
    /// The better one of any pair.
    Chosen,
    /// The worse one of any pair.
    Rejected,
    /// The worse one beside what a person wrote in its place, and beside nothing else.
    Corrected,
}

/// An answer to a prompt, by leave of the firewall.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) struct Side {
    pub(super) class: Class,
    pub(super) source: Source,
    pub(super) split_key: Option<String>,
    /// Canonical JSON, here and below.
    pub(super) prompt: String,
    pub(super) tools: String,
    pub(super) answer: String,
    pub(super) in_prompt: Redacted,
    pub(super) in_answer: Redacted,
}

impl Side {
    /// What sides are sorted by: the prompt, the class, the order of rows.
    pub(in super::super) fn key(&self, prompt: &Hash) -> Vec<u8> {
        let label = u32::from(self.source.label_id.is_some());
        [&prompt[..], &[self.class as u8], &order(self.source.occurred_at, &self.source.evidence_id, label)].concat()
    }

    pub(in super::super) fn pack(&self) -> Vec<u8> {
        let mut pack = Pack::default();
        self.source.pack(&mut pack);
        pack.optional(self.split_key.as_deref()).text(&self.prompt).text(&self.tools).text(&self.answer);
        self.in_prompt.pack(&mut pack);
        self.in_answer.pack(&mut pack);
        pack.done()
    }

    fn unpack(class: u8, bytes: &[u8]) -> Result<Self, Damaged> {
        let mut from = Unpack::new(bytes);
        Ok(Self {
            class: match class {
                0 => Class::Chosen,
                1 => Class::Rejected,
                2 => Class::Corrected,
                _ => return Err(Damaged),
            },
            source: Source::unpack(&mut from)?,
            split_key: from.optional()?.map(str::to_owned),
            prompt: from.text()?.to_owned(),
            tools: from.text()?.to_owned(),
            answer: from.text()?.to_owned(),
            in_prompt: Redacted::unpack(&mut from)?,
            in_answer: Redacted::unpack(&mut from)?,
        })
    }
}

/// What came of the sides of one prompt.
#[derive(Debug, Default)]
pub(in super::super) struct Paired {
    /// Evidence that is in a pair.
    pub(in super::super) used: Vec<Source>,
    /// Evidence that is in none, and why.
    pub(in super::super) withheld: Vec<(Source, Withheld)>,
    /// Pairs beyond those asked for.
    pub(in super::super) over: u64,
}

/// Sides of one prompt, as they come.
#[derive(Debug, Default)]
pub(in super::super) struct Prompt {
    hash: Option<Hash>,
    chosen: Vec<Side>,
    rejected: Vec<Side>,
    answers: HashMap<(bool, String), ()>,
    fates: BTreeMap<String, Fate>,
}

/// An evidence and what becomes of it.
#[derive(Debug)]
struct Fate {
    source: Source,
    used: bool,
    /// Why it is in no pair, unless that turns out to be for want of a counterpart.
    reason: Option<Reason>,
}

/// Takes the next side in order; what came of the prompt before, when this one is of another.
pub(in super::super) fn pair_up(
    prompt: &mut Prompt,
    next: Option<(&[u8], &[u8])>,
    plan: &Plan,
    harvest: &mut Harvest,
) -> Result<Option<Paired>, ExportError> {
    let key = match next {
        Some((key, _)) => Some(key.first_chunk::<16>().copied().ok_or(Damaged)?),
        None => None,
    };
    let mut paired = None;
    if prompt.hash.is_some() && prompt.hash != key {
        paired = Some(std::mem::take(prompt).pairs(plan, harvest)?);
    }
    prompt.hash = key;
    if let Some((key, value)) = next {
        prompt.take(Side::unpack(*key.get(16).ok_or(Damaged)?, value)?);
    }
    Ok(paired)
}

impl Prompt {
    fn take(&mut self, side: Side) {
        let evidence = side.source.evidence_id.clone();
        let better = side.class == Class::Chosen;
        let list = if better { &mut self.chosen } else { &mut self.rejected };
        // An answer that only its correction may stand beside is no repetition of another.
        let said = (
            better,
            if side.class == Class::Corrected { format!("{evidence}\0{}", side.answer) } else { side.answer.clone() },
        );
        let reason = if self.answers.contains_key(&said) {
            Some(Reason::Duplicate)
        } else if list.len() >= SIDES {
            Some(Reason::OverMaxPairs)
        } else {
            None
        };
        let fate = Fate { source: side.source.clone(), used: false, reason };
        self.fates.entry(evidence).and_modify(|fate| fate.reason = fate.reason.or(reason)).or_insert(fate);
        if reason.is_none() {
            self.answers.insert(said, ());
            list.push(side);
        }
    }

    fn pairs(mut self, plan: &Plan, harvest: &mut Harvest) -> Result<Paired, ExportError> {
        let mut possible: Vec<(Hash, usize, usize)> = Vec::new();
        let mut met: BTreeMap<&str, ()> = BTreeMap::new();
        for (c, chosen) in self.chosen.iter().enumerate() {
            let base = Sha256::new()
                .chain_update((chosen.prompt.len() as u64).to_le_bytes())
                .chain_update(&chosen.prompt)
                .chain_update((chosen.tools.len() as u64).to_le_bytes())
                .chain_update(&chosen.tools)
                .chain_update((chosen.answer.len() as u64).to_le_bytes())
                .chain_update(&chosen.answer);
            for (r, rejected) in self.rejected.iter().enumerate() {
                let own = chosen.source.label_id.is_some() && chosen.source.evidence_id == rejected.source.evidence_id;
                let allowed = rejected.class == Class::Rejected || own;
                // Byte for byte: a hash alone is not taken for it.
                let same = chosen.prompt == rejected.prompt && chosen.tools == rejected.tools;
                if allowed && same && chosen.answer != rejected.answer {
                    let digest = base.clone().chain_update(&rejected.answer).finalize();
                    possible.push((std::array::from_fn(|i| digest[i]), c, r));
                    met.insert(&chosen.source.evidence_id, ());
                    met.insert(&rejected.source.evidence_id, ());
                }
            }
        }
        let met: Vec<String> = met.into_keys().map(str::to_owned).collect();
        possible.sort_unstable();
        // A worse answer may be there twice, once for everybody and once for its correction only.
        possible.dedup_by_key(|(id, ..)| *id);
        let most = plan.max_pairs.map_or(possible.len(), |most| usize::try_from(most).unwrap_or(usize::MAX));
        let over = possible.len().saturating_sub(most) as u64;
        possible.truncate(most);
        for (id, c, r) in &possible {
            let (chosen, rejected) = (&self.chosen[*c], &self.rejected[*r]);
            for side in [chosen, rejected] {
                if let Some(fate) = self.fates.get_mut(&side.source.evidence_id) {
                    fate.used = true;
                }
            }
            row(id, (chosen, rejected), &self.hash.unwrap_or_default(), plan, harvest)?;
        }
        let mut paired = Paired { over, ..Paired::default() };
        for (evidence, fate) in self.fates {
            if fate.used {
                paired.used.push(fate.source);
                continue;
            }
            let any = !possible.is_empty();
            let withheld = match fate.reason.filter(|_| any) {
                Some(Reason::Duplicate) => {
                    Withheld::new(Reason::Duplicate, "another run gave the same answer to the same prompt")
                }
                Some(reason) => Withheld::new(reason, format!("the prompt has more than {SIDES} different answers")),
                None if met.contains(&evidence) => {
                    Withheld::new(Reason::OverMaxPairs, format!("{over} more pairs were possible than asked for"))
                }
                None => Withheld::new(Reason::NoCounterpart, "no run gave the same prompt an answer judged otherwise"),
            };
            paired.withheld.push((fate.source, withheld));
        }
        Ok(paired)
    }
}

fn row(
    id: &Hash,
    (chosen, rejected): (&Side, &Side),
    prompt: &Hash,
    plan: &Plan,
    harvest: &mut Harvest,
) -> Result<(), ExportError> {
    let id = hex(id);
    let list = |text| match Json::recorded(text)? {
        Json::List(items) => Ok(items),
        _ => Err(ExportError::from(Damaged)),
    };
    let pair = Pair {
        id: &id,
        prompt: list(&chosen.prompt)?,
        tools: Json::recorded(&chosen.tools)?,
        chosen: Json::recorded(&chosen.answer)?,
        rejected: Json::recorded(&rejected.answer)?,
        chosen_source: &chosen.source,
        rejected_source: &rejected.source,
    };
    let line = (plan.form().render)(Content::Pair(pair)).to_bytes()?;
    let mut redacted = chosen.in_prompt;
    redacted.add(&chosen.in_answer);
    redacted.add(&rejected.in_answer);
    let words = if harvest.wants_words() {
        format!("{}\n{}\n{}", chosen.prompt, chosen.answer, rejected.answer)
    } else {
        String::new()
    };
    // Both of one task are where the task is; of two tasks, where the prompt is.
    let task = chosen.split_key.as_deref().filter(|key| rejected.split_key.as_deref() == Some(key));
    harvest.candidate(&Candidate {
        order: &order(chosen.source.occurred_at.max(rejected.source.occurred_at), &id, 0),
        split: plan.splits.of(task, prompt),
        content: hash(&[
            chosen.prompt.as_bytes(),
            chosen.tools.as_bytes(),
            chosen.answer.as_bytes(),
            rejected.answer.as_bytes(),
        ]),
        words: &words,
        sources: &[&chosen.source, &rejected.source],
        redacted,
        line: &line,
    })
}
