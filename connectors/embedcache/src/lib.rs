//! Vectors that were made before, so that nobody is asked for them again.
//!
//! ```text
//!   request body ─▶ Answers (ready to send) ┄┄ not there ┄┄▶ EmbedCache: memory ─▶ shelf (disk) ─▶ the model, once
//! ```
//!
//! - [`EmbedCache`] is the port [`Embedders`] over embedders that are opened by URI. Concurrent requests for one text make
//!   one call, which goes on when whoever asked first goes away; if it fails, all who wait for it fail, and nothing is kept.
//! - [`Answers`] keeps whole answers by the bytes of their requests.
//! - [`Shelf`] is what may keep vectors longer than this process lives.
//!
//! A vector is kept under the URI of its model, its version and its text. What stands behind a model's name is asked again
//! every so often while it is used; when it changed, what was kept under the old version is not found any more.
//!
//! Memory is bounded by bytes. What is given up is decided by `quick_cache` (CLOCK-Pro with ghosts: what was asked for
//! once does not push out what is asked for often). Deliberately absent: a time to live.

mod answers;
mod cache;
mod flights;
mod known;

pub use answers::Answers;
pub use cache::{EmbedCache, Figures};
pub use known::{Fresh, Opened};

/// The hash that a vector is kept under.
pub type Key = [u8; 32];

/// What keeps vectors longer than this process lives. It may lose any of them at any time.
pub trait Shelf: Send + Sync + std::fmt::Debug {
    /// What was put there. Blocks.
    fn get(&self, key: &Key) -> Option<Vec<u8>>;

    /// Puts something there, now or later, or not at all. Does not block.
    fn put(&self, key: &Key, value: Vec<u8>);
}
