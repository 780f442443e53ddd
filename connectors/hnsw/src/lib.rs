//! Nearest vectors, in memory and in mapped files.
//!
//! An [`Index`] holds rows: a key (a number of the caller's), a group (a number that says who may see the row) and a vector.
//! Rows are put in, replaced and deleted while searches go on, and a search never waits. What came lately is in a young
//! part; [`Index::maintain`], called by a thread of the caller's, freezes it into segments with a graph of their own
//! ([`hnsw_rs`](https://docs.rs/hnsw_rs) holds the graph of what is young). A dump is a folder with a manifest; it has the
//! rows and the caller's progress in one commit, and a damaged, shortened or foreign file is refused by name.
//!
//! A query names the groups it may see, none by default: other rows are never candidates, whichever way the search goes.
//!
//! What it deliberately lacks: any knowledge of events, texts or models; threads of its own; a log of single changes (what
//! came after the last dump comes again from the caller's log).

mod bits;
mod builder;
mod codes;
mod distance;
mod dump;
mod error;
mod files;
mod frozen;
mod index;
mod machine;
mod manifest;
mod query;
mod segment;
mod settings;
mod upkeep;
mod walk;
mod young;

pub mod measure;

pub use bits::Keys;
pub use distance::Distance;
pub use error::{Error, VectorError};
pub use index::{Index, Shape};
pub use query::{Answer, Filter, Groups, Hit, Plan, Query};
pub use settings::Settings;
pub use upkeep::Upkeep;
