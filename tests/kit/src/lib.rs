//! What the tests of all crates share: the conformance suite of journals, journals that fail on purpose, synthetic runs, a provider
//! of models that says what it is told, dice.
//!
//! Nothing here is part of the product, and nothing here knows a backend.

pub mod conformance;
pub mod dice;
pub mod events;
pub mod faults;
pub mod providers;
