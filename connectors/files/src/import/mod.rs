//! Import: files of other tools become runs, by a mapping written down in TOML.
//!
//! ```toml
//! name = "gsm8k"
//! source_class = "reasoning"
//! each = ["6b_finetuning", "175b_finetuning"]      # one record, several runs: {each} is the name, {item} the part
//! task_key = "gsm8k:{question|hash}"
//! model = "{each}"
//! messages = [{ role = "user", content = "{question}" }, { role = "assistant", content = "{item.solution}" }]
//! outcome.verdict = { from = "{item.is_correct}", map = { true = "pass", false = "fail" } }
//! ```
//!
//! **Promises.** Importing a file again, under whatever name, adds nothing ([`Mapping::apply`] says how ids are made).
//! A bad record is reported with file, line and reason, and the others go in. Memory is bounded by the longest record.
//! The same file gives the same events on every machine: no clock, no randomness, no order of maps.
//!
//! **Lacks, on purpose.** No expressions, no code: what a mapping cannot say is a program's to prepare. No network.
//!
//! The language is told by [`language`], from the tables that the compiler uses.

mod assemble;
mod canonical;
mod checkpoint;
mod conversation;
mod document;
mod fields;
mod gunzip;
mod input;
mod join;
mod language;
mod mapping;
mod moment;
mod nearest;
mod parquet;
mod path;
mod reading;
mod ready;
mod rule;
mod template;
mod turns;

pub use assemble::{Made, Refusal};
pub use canonical::hash as canonical_hash;
pub use checkpoint::{Checkpoint, CheckpointFile, Counts};
pub use document::MappingError;
pub use fields::{FIELDS, Field};
pub use input::{Identity, Input, OpenError, Taken, open, survey};
pub use language::language;
pub use mapping::Mapping;
pub use reading::{Options, ReadSpans, Reading, Rejection, Resume, Step};
pub use ready::{READY, Ready, ready, unknown};
pub use template::{FILTERS, Filter};
