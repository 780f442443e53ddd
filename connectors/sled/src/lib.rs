//! Local state in sled: caches that a rewind rebuilds, never truth.
//!
//! sled's flush is no fsync, one process may open a folder at a time, and damaged files make it panic. So each process
//! has a folder of its own, a folder that was not closed cleanly is deleted, and so is one that cannot be opened.

mod folder;
mod remembering;
mod shelf;

pub use folder::{Folder, FolderError};
pub use remembering::Remembering;
pub use shelf::Shelf;
