//! The kinds of datasets: what of an evidence goes into one, and by whose leave. Adding one is a file and a line here.
//!
//! Each takes an evidence with its judgement and hands candidates for rows to the [`Harvest`]; the firewall stands in
//! each of them as a type, so that none can take what was not let in.

mod pairing;
mod preference;
mod rag;
mod sft;

pub(super) use pairing::{Prompt, Side, pair_up};

use super::canonical::Json;
use super::harvest::{Harvest, hash};
use super::reason::{Reason, Withheld};
use super::secrets::Screen;
use super::source::Source;
use super::templates::{Sample, template};
use super::{ExportError, Plan};
use crate::firewall::{Correction, Judgement, Policy, Standing};
use std::borrow::Cow;
use stillhouse_schemas::{Event, Evidence};

/// Whether an evidence was taken, or why not; an error stops the export.
pub(super) type Taken = Result<Result<(), Withheld>, ExportError>;

/// A kind of dataset.
#[derive(Debug)]
pub struct Kind {
    /// Name, as on the command line and in events.
    pub name: &'static str,
    /// What it is for, in a sentence.
    pub doc: &'static str,
    /// Whether a row is a run, so that a row left out is a run left out.
    pub row_is_run: bool,
    /// Whether rows come of several runs, which only meet when all have been read.
    pub meets: bool,
    /// Takes an evidence, or says why not.
    pub(super) take: fn(&Taking<'_>, &mut Harvest) -> Taken,
}

/// An evidence of the cut, and what is known of it.
pub(super) struct Taking<'a> {
    pub(super) plan: &'a Plan,
    /// What may become rows, for this one.
    pub(super) policy: Policy,
    pub(super) event: &'a Event,
    pub(super) judgement: Option<&'a Judgement>,
    /// How it stands with validators.
    pub(super) standing: Standing,
    pub(super) correction: Option<&'a Correction>,
    pub(super) source: &'a Source,
}

impl Taking<'_> {
    /// What is done with secrets in this one: an operator may have said that what was found is none.
    fn screen(&self) -> Cow<'_, Screen> {
        let screen = &self.plan.screen;
        match self.plan.overrides(&self.source.evidence_id, Reason::SecretFound) {
            Some(_) => Cow::Owned(screen.without_quarantine()),
            None => Cow::Borrowed(screen),
        }
    }
}

/// All kinds.
pub static KINDS: &[Kind] = &[sft::KIND, rag::KIND, preference::KIND];

/// The kind of this name.
pub fn kind(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name == name)
}

/// What the split of a run without a task key is decided by: its prompt, as it was recorded.
fn prompt(evidence: &Evidence) -> Result<Vec<u8>, ExportError> {
    match template(&evidence.source_class).and_then(|t| (t.synthesise)(evidence)) {
        Ok(Sample { mut messages, tools, .. }) => {
            messages.pop();
            Ok(hash(&[&Json::List(messages).to_bytes()?, &tools.to_bytes()?]).to_vec())
        }
        // No template knows it: its first words.
        Err(_) => Ok(evidence.messages.iter().find_map(|m| m.content.clone()).unwrap_or_default().into_bytes()),
    }
}

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}
