//! What the processors promise, from outside.

mod control;
mod diff;
mod materializer;
mod replayer;
mod scorer;
mod support;
mod table;
mod transform;
