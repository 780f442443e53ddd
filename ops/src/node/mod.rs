//! Processors at work in this process.
//!
//! [`Workers`] holds one worker per generation that is not dropped, live and shadow alike, each a member of its own
//! group. What runs is decided by the control topic: when it changes, workers are started, stopped, or started again
//! on other inputs. Nothing else is kept here.

mod catch_up;
mod letters;
pub mod seals;
mod workers;

pub use catch_up::{CaughtUp, Stage, catch_up, run_generation, upstream};
pub use workers::{WorkerView, Workers, build, follow_control, reads, selection};
pub(crate) use workers::{ensure_outputs, settle_first_generations};
