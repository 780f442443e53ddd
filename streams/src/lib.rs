//! The log: its contract, an in-memory reference, the runner of processors, generations and rewinds.
//!
//! Nothing here knows what an event is: records are bytes with a key and headers. Backends live in `connectors/`.

mod assign;
mod error;
pub mod generation;
mod journal;
pub mod memory;
mod record;
pub mod runner;
mod topic;
mod wraps;

pub use assign::assign;
pub use error::{Error, ErrorKind, Result};
pub use journal::{Batch, BatchLimits, Damage, GroupSpec, GroupState, Journal, Loss, Scan, Session, Verified};
pub use memory::MemoryJournal;
pub use record::{
    Append, DIGEST_HEADER, Headers, ID_HEADER, NOW, Position, Progress, Receipt, Received, Record, Stored, stamp,
};
pub use topic::{Cleanup, PartitionState, TopicSpec, TopicState, check_topic_name, partition_for};
pub use wraps::Wraps;
