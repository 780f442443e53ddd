//! The exporter: evidence and scores up to a cut become the rows of a dataset; everything else is quarantined.
//!
//! ```text
//!   scores ──▶ latest judgement per evidence ─┐
//!   evidence ──▶ in the cut? latest of its run? ─▶ firewall ─▶ template ─▶ row ──▶ outlet (sorts and writes)
//!                                   └──────────────┴──────────────┴─▶ withheld ─▶ outlet (quarantine topic)
//! ```
//!
//! Promises:
//! - every distinct evidence of the cut is one row or is withheld for one [`Reason`]; the counts add up;
//! - a [`Row`] is made of a [`firewall::Admitted`](crate::firewall::Admitted) and of nothing else;
//! - what an operator recalled or discarded up to the cut is withheld, and what enters that had been left out is said to
//!   be released, once;
//! - rows depend on event ids and contents only, never on positions, partitions or the order of arrival;
//! - memory does not grow with the data: maps are kept for one partition at a time, and for a share of its runs when
//!   it has many ([`Plan::runs_at_a_time`]).
//!
//! Lacks on purpose: files, clocks, sorting (an [`Outlet`] has them), and removal of rows that say the same.

pub mod canonical;
mod fold;
mod healing;
mod id;
mod plan;
mod quarantine;
mod reason;
mod row;
mod run;
mod superseding;
pub mod templates;

pub use id::{Id, Short, short};
pub use plan::{Plan, Stage};
pub use quarantine::quarantined;
pub use reason::{Reason, Withheld};
pub use row::Row;
pub use run::{BoxError, ExportError, Outlet, Tally, export, exported};
pub use superseding::superseding;

/// Name of the processor.
pub const NAME: &str = "exporter";
/// Version of its code: raised with every change of what it makes of the same events.
pub const VERSION: &str = "1";
/// Logical topic of what is withheld.
pub const QUARANTINE: &str = "quarantine.exporter";
/// Logical topic of finished datasets.
pub const EXPORTS: &str = "exports";

#[cfg(test)]
mod tests;
