//! Files: what comes in by import, and what goes out as datasets.

pub mod dataset;
pub mod import;
pub mod keys;
pub mod lines;
