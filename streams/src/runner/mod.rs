//! The one loop that runs processors.
//!
//! ```text
//!   session.next ──▶ lanes (by key, in parallel) ──▶ outputs in input order ──▶ session.commit
//!        ▲                │ transient fault: again, with back-off                    │ fenced, unknown: rewind
//!        └────────────────┴ lasting fault: a dead letter among the outputs           └ transient: wait, rewind
//! ```
//!
//! One batch is in memory at a time, and nothing is fetched while it is worked on: a slow processor holds a batch, not
//! a queue. Work runs on blocking threads, so that a processor that computes for long starves no other and no request.
//!
//! There is no state here beyond the session: what a processor knows, it knows from its records. A [`Join`] is handed all
//! earlier records with the same key; what is kept for that is a cache of the topic.

mod contract;
mod fold;
mod join;
mod lanes;
mod retry;
mod stats;
mod work;

pub use contract::{Emit, Fault, Projection, Transform};
pub use fold::{ends, fold, follow, passed};
pub use join::{Join, SETTLED, SHELF_BYTES};
pub use retry::{Backoff, RetryPolicy};
pub use stats::{BATCH_SECONDS, Snapshot, State, Stats};
pub use work::{DeadLetters, Job, Refused, run, supervise};
