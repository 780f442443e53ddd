//! The HTTP API, driven over real sockets. Tests of the catalogue of bad inputs have its numbers (`h01_…`, `j17_…`).

mod bodies;
mod claims;
mod events;
mod gate;
mod heads;
mod idempotency;
mod models;
mod overload;
mod reading;
mod server;
mod traces;
mod who;
