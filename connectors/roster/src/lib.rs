//! The roster: who the workers are, in memory, in Parquet files and as events.
//!
//! - [`Table`] holds workers by column: texts of a worker in one packed record, what repeats (roles, places, sets of
//!   certifications) once, and compact indexes of ids and of folded names. 500,000 workers take some 60 MB.
//! - [`load`] reads a Parquet file; what is wrong with it is said by column and row, and nothing of it is taken then.
//! - [`changes`] cuts the difference of two tables into events of bounded size, and [`Fold`] makes tables of such
//!   events: the roster of any version that the log still tells.
//! - [`generate`] writes a synthetic roster.
//!
//! A table's version is a hash of its workers in the order of their ids: it depends on no file, no order of rows and no
//! log, and who has it has the workers.
//!
//! Deliberately absent: the journal, and any way to change a table. A reload makes another one.

mod builder;
mod changes;
mod columns;
mod fold;
mod generate;
mod load;
mod names;
mod table;
mod texts;

pub use builder::{BadWorker, Builder, Duplicates, MOST_WORKERS, STATUSES};
pub use changes::{Change, changes, closing, differences, part_of};
pub use columns::{COLUMNS, Column};
pub use fold::{Fold, Step};
pub use generate::{Generated, generate};
pub use load::{LoadError, Loaded, Problem, load};
pub use names::folded;
pub use table::Table;
