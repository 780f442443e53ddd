//! What the processors promise, from outside.

mod classes;
mod control;
mod diff;
mod judge;
mod lineage;
mod materializer;
mod scorer;
mod support;
mod table;
mod transform;
