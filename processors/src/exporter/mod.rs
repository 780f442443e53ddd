//! The exporter: evidence and scores up to a cut become the rows of a dataset; everything else is quarantined.
//!
//! ```text
//!   scores ──▶ latest judgement per evidence ─┐
//!   evidence ──▶ in the cut? latest of its run? ─▶ kind: firewall ─▶ template ─▶ screen ─▶ shape ─▶ candidates ─▶ sorter
//!                                   └──────────────────┴─────────────┴──────────┴─▶ withheld ─▶ outlet (quarantine topic)
//!   sorter ─▶ pairs ─▶ without repetitions ─▶ rows in order ─▶ outlet (files)
//! ```
//!
//! What is made is a [`Kind`](kinds::Kind) in a [`Shape`](shapes::Shape), in a format that only the outlet knows: three
//! tables that know nothing of each other.
//!
//! Promises:
//! - every distinct evidence of the cut that was asked for is in a row or is withheld for one [`Reason`]; the counts add up;
//! - a [`Row`] is made of what the [firewall](crate::firewall) let in and of nothing else;
//! - what an operator recalled or discarded up to the cut is withheld, and what enters that had been left out is said to
//!   be released, once;
//! - rows depend on event ids and contents only, never on positions, partitions or the order of arrival;
//! - memory does not grow with the data: maps are kept for one partition at a time, and for a share of its runs when
//!   it has many ([`Plan::runs_at_a_time`]); what must be seen whole goes through [`Sorters`].
//!
//! Lacks on purpose: files, clocks, sorting (ports have them).

pub mod asked;
pub mod canonical;
mod duplicates;
mod feeds;
mod filters;
mod fold;
mod harvest;
mod healing;
mod id;
pub mod kinds;
mod pack;
mod plan;
mod quarantine;
mod reason;
mod row;
mod run;
pub mod secrets;
mod settle;
pub mod shapes;
mod sorting;
mod source;
mod splits;
mod superseding;
pub mod templates;

pub use filters::Filters;
pub use id::{Id, Short, short};
pub use plan::{Plan, Stage};
pub use reason::{Reason, Withheld};
pub use row::Row;
pub use run::{BoxError, ExportError, Outlet, Placed, Tally, export, exported};
pub use sorting::{Entry, Sorted, Sorter, Sorters};
pub use splits::{BadSplits, NAMES as SPLITS, Splits};
pub use superseding::superseding;

/// Name of the processor.
pub const NAME: &str = "exporter";
/// Version of its code: raised with every change of what it makes of the same events.
pub const VERSION: &str = "3";
/// Logical topic of what is withheld.
pub const QUARANTINE: &str = "quarantine.exporter";
/// Logical topic of finished datasets.
pub const EXPORTS: &str = "exports";

#[cfg(test)]
mod tests;
