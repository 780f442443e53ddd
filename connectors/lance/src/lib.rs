//! Lance: datasets for training, and vectors that are searched from disk.
//!
//! ```text
//!   LANCE ─▶ a dataset a split (export)                      Store ─▶ the vectors of one shelf of an index
//!            one version, no history                                  apply(rows, gone, progress): one commit
//!                                                                     select(filter), nearest(vector)
//!                                                                     maintain(), scrub()
//! ```
//!
//! A [`Store`] holds rows: the number that a catalog gave them, event, time, metadata and vector. What is promised:
//!
//! - **Rows and progress, both or neither.** A batch that comes and goes and the caller's word of how far it has read are
//!   one version of the dataset; a batch that is repeated gives the same rows.
//! - **Synced before it counts.** Lance does not fsync local files. Here the files of a version are synced before its
//!   manifest is, and that before it can be seen ([`Store::apply`] returns afterwards).
//! - **Not in memory.** What is searched is read from the files; caches have a limit that the caller sets ([`Engine::new`]).
//! - **Exact where that is cheap.** Few rows, or few that a filter admits, are compared one by one; others are looked up in
//!   an index of partitions (IVF), with rows that it does not cover yet compared beside it.
//! - **Refused, not trusted.** A folder that is something else, or is damaged, is an error that names it.
//!
//! Lacks on purpose: several writers of one store (one process holds the right to write, the caller sees to that), roles
//! (a store is one shelf: what a query may not see is in a store that it does not open), object stores beyond `file:` and
//! `memory:` (each brings an SDK of its own), threads of its own for upkeep.

mod commit;
mod engine;
mod fault;
mod format;
mod nearest;
mod rows;
mod select;
mod store;
mod upkeep;

pub use engine::Engine;
pub use fault::StoreError;
pub use format::LANCE;
pub use nearest::{Answer, Hit, Plan, Query};
pub use rows::Row;
pub use select::{Filter, Selection};
pub use store::{Settings, Shape, Store};
pub use upkeep::Upkeep;
