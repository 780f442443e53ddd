//! Claims become verdicts: what is held of each attribute of an entity, and on whose word.
//!
//! Claims meet by their key, the entity. Whenever there is one more about an attribute, a verdict is made of all about that
//! attribute, by the [`Rule`], for the time of the latest of them. `revision` is the number of claims in it, so that the
//! highest is the one made of all: it depends on the set of claims, and not on their order, on partitions or on batches.
//! What was held at some other time is asked of the claims up to then, by the same rule ([`Rule::held`]).
//!
//! An entity with more than [`MAX_CLAIMS`] claims or [`MAX_BYTES`] bytes of them gets a verdict that says so, for all of its
//! attributes (`*`), and none after that.
//!
//! What is absent: an opinion about what is true. Both sides are kept, and a rule that is changed is a rewind.

mod quantity;
mod rule;

pub use quantity::{Meaning, Unit, meaning};
pub use rule::{MAX_SIDES, Rule, SETTINGS, Word};

use crate::join::EventJoin;
use crate::settings::{SettingError, Settings};
use crate::transform::{Draft, FAULT, unexpected};
use std::collections::BTreeMap;
use std::time::Duration;
use stillhouse_schemas::{Event, Payload, Verdict, check};
use stillhouse_streams::runner::Fault;

/// Name of the processor.
pub const NAME: &str = "reconciler";
/// Version of its code: raised whenever the same claims may give another verdict.
pub const VERSION: &str = "1";
/// Most claims of an entity.
pub const MAX_CLAIMS: usize = 2_000;
/// Most bytes of an entity's claims.
pub const MAX_BYTES: usize = 1 << 20;
/// The attribute of a verdict about all of them.
pub const ALL_ATTRIBUTES: &str = "*";
/// Revision of the verdict about an entity of which there is too much: higher than any other.
const TOO_MUCH: i64 = 1_000_000_000;

/// What may be said of an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// Enough sources say it, and nobody who stands says otherwise.
    Agreed,
    /// Sources that none outranks say different things: nothing is held.
    Contested,
    /// It is held against a word that the rule set aside.
    Superseded,
    /// Too few say so, or nobody's word stands.
    Unverified,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Agreed, Self::Contested, Self::Superseded, Self::Unverified];

    /// As in events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agreed => "agreed",
            Self::Contested => "contested",
            Self::Superseded => "superseded",
            Self::Unverified => "unverified",
        }
    }

    /// By its name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }
}

/// Decides what is held.
#[derive(Debug)]
pub struct Reconciler {
    rule: Rule,
    config_hash: String,
}

/// The claims about an entity.
#[derive(Debug, Default)]
pub struct Claimed {
    /// By attribute and id.
    words: BTreeMap<String, BTreeMap<String, Word>>,
    /// The attribute that there is something new about.
    latest: Option<String>,
}

impl Reconciler {
    /// With these settings.
    pub fn new(settings: &Settings) -> Result<Self, SettingError> {
        Ok(Self { rule: Rule::new(settings)?, config_hash: settings.config_hash() })
    }
}

/// What a claim's event says, if it is one that counts: claims that come through Kafka were checked by nobody.
pub fn word(event: Event) -> Result<Word, Fault> {
    if let Err(bad) = check(&event) {
        return Err(Fault::Lasting { kind: FAULT, message: format!("event {}: {bad}", event.envelope.id) });
    }
    match event.payload {
        Payload::Claim(claim) => {
            Ok(Word { claim_id: event.envelope.id, asserted_at: event.envelope.occurred_at, claim })
        }
        _ => Err(unexpected(&event, "claim")),
    }
}

impl EventJoin for Reconciler {
    type Joined = Claimed;

    fn add(&self, claimed: &mut Claimed, event: Event) -> Result<(), Fault> {
        let word = word(event)?;
        claimed.latest = Some(word.claim.attribute.clone());
        claimed.words.entry(word.claim.attribute.clone()).or_default().insert(word.claim_id.clone(), word);
        Ok(())
    }

    fn made(&self, claimed: &Claimed, settled: bool) -> Vec<Draft> {
        let words = claimed.latest.as_ref().filter(|_| !settled).and_then(|attribute| claimed.words.get(attribute));
        let Some(words) = words else { return Vec::new() };
        let latest = words.values().map(|word| word.asserted_at).max();
        let verdict = latest.and_then(|at| self.rule.held(words.values(), at));
        verdict.map(|verdict| Draft { topic: "verdicts", payload: Payload::Verdict(verdict) }).into_iter().collect()
    }

    /// A verdict is made of the claims about its attribute, and of no others.
    fn is_made_of(&self, draft: &Draft, claimed: &Claimed, cause: &str) -> bool {
        let Payload::Verdict(verdict) = &draft.payload else { return true };
        let words = claimed.words.get(&verdict.attribute);
        words.is_some_and(|words| words.contains_key(cause))
    }

    fn too_much(&self, event: &Event) -> Vec<Draft> {
        let Payload::Claim(claim) = &event.payload else { return Vec::new() };
        let verdict = Verdict {
            entity: claim.entity.clone(),
            attribute: ALL_ATTRIBUTES.to_owned(),
            status: Status::Unverified.as_str().to_owned(),
            as_of: event.envelope.occurred_at,
            revision: TOO_MUCH,
            reasons: vec![format!(
                "there are more than {MAX_CLAIMS} claims or {MAX_BYTES} bytes of them: not decided any more"
            )],
            rule_version: VERSION.to_owned(),
            config_hash: self.config_hash.clone(),
            ..Verdict::default()
        };
        vec![Draft { topic: "verdicts", payload: Payload::Verdict(verdict) }]
    }

    /// Never: however late a claim comes, those before it count.
    fn settles_after(&self) -> Duration {
        Duration::MAX
    }

    fn most(&self) -> (usize, usize) {
        (MAX_CLAIMS, MAX_BYTES)
    }
}
