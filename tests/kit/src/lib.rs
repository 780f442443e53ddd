//! What the tests of all crates share: the conformance suite of journals, journals that fail on purpose, dice.
//!
//! Nothing here is part of the product, and nothing here knows a backend.

pub mod conformance;
pub mod dice;
pub mod faults;
