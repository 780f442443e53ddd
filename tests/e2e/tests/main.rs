//! The whole, from outside: the real binary, real journals, real processes that die.
//!
//! Long proofs run in short forms here; `STILLHOUSE_PROOFS=full` runs the whole (`make proofs`). Every generated input
//! prints its seed; `STILLHOUSE_SEED` repeats one. `STILLHOUSE_KAFKA` names a broker to use instead of one started
//! here; without either, the tests on Kafka fail. `STILLHOUSE_BINARY` names another binary to test than this build's.

mod architecture;
mod audit;
mod bad_inputs;
mod contracts;
mod distil;
mod equality;
mod exports;
mod harness;
mod inputs;
mod judging;
mod kills;
mod layout;
mod python;
mod recalls;
mod rewinds;
mod rosters;
mod seals;
mod search;
mod topics;
mod traces;
mod validating;
