//! The whole, from outside: the real binary, real journals, real processes that die.
//!
//! Long proofs run in short forms here; `STILLHOUSE_PROOFS=full` runs the whole (`make proofs`). Every generated input
//! prints its seed; `STILLHOUSE_SEED` repeats one.

mod architecture;
mod harness;
mod layout;
mod topics;
