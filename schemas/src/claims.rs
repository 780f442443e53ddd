//! Claims as validators see them: what is held of an entity, and on whose word.

use crate::{Micros, Verdict};
use std::fmt;

/// What is held of one attribute.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// `agreed`, `contested`, `superseded` or `unverified`, as in [`crate::Verdict`].
    pub status: String,
    /// The value, as JSON text; none: nothing is held, as when it is contested.
    pub value: Option<String>,
    /// On whose word.
    pub source: Option<String>,
    /// By which claim.
    pub claim_id: Option<String>,
    /// When that was said.
    pub asserted_at: Option<Micros>,
    /// The values of all whose word stands, as JSON text.
    pub sides: Vec<String>,
}

impl From<Verdict> for Held {
    fn from(verdict: Verdict) -> Self {
        let stands = |standing: &str| matches!(standing, "held" | "agrees" | "contests");
        let sides = verdict.sides.into_iter().filter(|side| stands(&side.standing)).map(|side| side.value);
        Self {
            sides: sides.collect(),
            status: verdict.status,
            value: verdict.value,
            source: verdict.source,
            claim_id: verdict.claim_id,
            asserted_at: verdict.asserted_at,
        }
    }
}

/// What sources claim. What validators may be handed.
pub trait Claims: Send + Sync + fmt::Debug {
    /// Names the rule by which it is decided what is held: the hash of its settings.
    fn rule(&self) -> String;

    /// Whether anybody has claimed anything of this entity.
    fn knows(&self, entity: &str) -> bool;

    /// What was held of this attribute at that time; none if nobody had claimed anything by then.
    fn held(&self, entity: &str, attribute: &str, at: Micros) -> Option<Held>;

    /// Whether two values, as JSON text, are the same to this attribute: units, tolerances, case and blanks apart.
    fn same(&self, attribute: &str, a: &str, b: &str) -> bool;
}
