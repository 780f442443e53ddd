//! Claims as validators see them: what is held of an entity, and on whose word.

use crate::Micros;
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
}

/// What is held. What validators may be handed.
pub trait Claims: Send + Sync + fmt::Debug {
    /// Ends up to which claims were read, as JSON text: who asks with the same cut gets the same answers.
    fn cut(&self) -> &str;

    /// What was held of this attribute at that time; none if nobody had claimed anything by then. The error says why it
    /// cannot be known.
    fn held(&self, entity: &str, attribute: &str, at: Micros) -> Result<Option<Held>, String>;
}
