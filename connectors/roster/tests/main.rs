//! Rosters: files in, look-ups, events out and in.

mod files;
mod folds;
