//! The port by which an export sorts more than fits into memory.
//!
//! What goes in comes out in the order of its keys, byte by byte, then of its values; nothing is lost, and nothing is
//! merged. The exporter's own types go through it as bytes that only the exporter can turn into its types again.

use super::BoxError;

/// Makes sorters.
pub trait Sorters: Send {
    /// A new, empty one. `name` is for people.
    fn sorter(&mut self, name: &'static str) -> Result<Box<dyn Sorter>, BoxError>;
}

/// Takes entries in any order.
pub trait Sorter: Send {
    /// Takes an entry.
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), BoxError>;

    /// Gives them back in order.
    fn sorted(self: Box<Self>) -> Result<Box<dyn Sorted>, BoxError>;
}

/// A key and its value.
pub type Entry<'a> = (&'a [u8], &'a [u8]);

/// Entries in order.
pub trait Sorted: Send {
    /// The next one: key and value, until the next call.
    fn next(&mut self) -> Result<Option<Entry<'_>>, BoxError>;
}
