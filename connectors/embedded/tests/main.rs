//! The embedded journal against the shared suite, and against what only it promises: kills, power cuts, damage,
//! full disks, several processes. Every harness has a control that it must find wanting.
//!
//! `STILLHOUSE_PROOFS=full` runs the long forms, a number that many times the short ones. `STILLHOUSE_SEED` repeats a
//! seed that was printed.

mod child;
mod conformance;
mod damage;
mod full_disk;
mod journal;
mod kills;
mod model;
mod power;
mod processes;
mod scene;
mod syscalls;
