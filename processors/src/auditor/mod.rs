//! Audits: everything in a cut, held against what must be true of it.
//!
//! ```text
//!   journal ──▶ gather: a share of the runs at a time ─┐
//!   datasets ──▶ rows: line by line ──────────────────┴─▶ facts ──▶ INVARIANTS ──▶ tally ──▶ report
//! ```
//!
//! What must hold is one table, [`INVARIANTS`]: 22 sentences with an id and a check each. A check is a pure function of one
//! [`Fact`]; whatever has to be brought together for it (a row with its run, an output with what is made of its input again)
//! is gathered before. So an invariant can be read, and broken on purpose, on its own.
//!
//! Figures by source class ([`Slice`](crate::contracts::Slice)) are compared with those of an earlier audit in [`drift`].
//!
//! Promises: nothing that is audited is changed; memory is bounded by [`gather::RUNS_AT_A_TIME`], whatever the journal
//! holds; scored, failed and skipped are counted apart.
//!
//! Lacks on purpose: files and clocks (the caller has them), and repair.

pub mod drift;
mod fact;
pub mod gather;
mod invariants;
mod report;
pub mod rows;
mod share;
mod tally;

pub use fact::{DatasetFacts, Fact, Found, Remade, Spot};
pub use invariants::{INVARIANTS, Invariant};
pub use report::{PHASES, Phase, Report, Verdict};
pub use tally::{Tallied, Tally};

use crate::settings::{Setting, Takes};

/// Name of the processor.
pub const NAME: &str = "auditor";
/// Version of its code: raised with every change of what it finds in the same events.
pub const VERSION: &str = "1";
/// Logical topic of what audits found.
pub const AUDITS: &str = "audits";

/// Its settings.
pub static SETTINGS: &[Setting] = &[
    Setting {
        name: "drift_warn",
        default: "0.05",
        takes: Takes::Fraction,
        doc: "A share of a category, or a mean score, that moved by so much since the baseline is a warning.",
    },
    Setting {
        name: "drift_fail",
        default: "0.15",
        takes: Takes::Fraction,
        doc: "One that moved by so much fails the audit.",
    },
    Setting {
        name: "drift_min_runs",
        default: "30",
        takes: Takes::Count,
        doc: "Source classes with fewer runs than this, then or now, are listed and not judged.",
    },
];
