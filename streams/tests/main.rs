//! The suite on the reference itself, and on journals that are broken.

mod broken;
mod conformance;
mod join;
mod runner;
