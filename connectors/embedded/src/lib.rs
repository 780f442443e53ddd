//! The embedded journal: a log on one machine, in one SQLite database, for as many processes as like.
//!
//! It promises the whole contract of [`stillhouse_streams::Journal`], and more than the contract asks:
//!
//! - **Durable** means fsynced, unless [`Durability`] says otherwise: kills and power cuts lose nothing that was
//!   answered, and a batch is never there in part.
//! - **Wrong bytes are never served.** Every record carries a CRC32C, every scan checks it, and checks that no record
//!   is missing; a hash chain per partition, checked by `verify`, finds what was changed with its checksum, removed or
//!   put elsewhere.
//! - **A lost end is noticed.** The head file beside the database knows what was acknowledged; a journal that does not
//!   hold it (a restored backup, a missing write-ahead log, files of two copies) is refused, naming what is missing,
//!   until [`Options::accept_loss`] says to go on.
//! - **Several processes** may open it at once. Groups share partitions between them by leases; an owner that was
//!   stopped and lost its lease cannot commit.
//! - **A full disk** refuses appends ([`ErrorKind::Full`](stillhouse_streams::ErrorKind::Full)); reads go on, and
//!   appends do by themselves when there is space. A process that may meet `RLIMIT_FSIZE` has to ignore `SIGXFSZ`.
//!
//! What it deliberately lacks: network file systems (refused), adding partitions, offsets for a time by an index
//! (`offset_at` reads), and protection from who rewrites database, chain and head file together: keep the heads that
//! `verify` answers somewhere else for that. A process that is stopped (not killed) in the middle of a transaction
//! keeps the others from writing until it goes on or is killed; they are told to retry.

mod append;
pub mod bench;
mod checkpoint;
mod clean;
mod fault;
mod framing;
mod groups;
mod heads;
mod ids;
mod journal;
mod keeper;
mod losses;
mod news;
mod options;
mod rows;
mod scan;
mod schema;
mod session;
mod shared;
mod store;
mod sys;
mod txn;
mod verify;
mod writer;

pub use journal::EmbeddedJournal;
pub use options::{Durability, Faults, Options};
