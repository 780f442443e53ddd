//! Tests of the crate, one binary.

mod import;
