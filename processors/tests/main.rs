//! What the processors promise, from outside.

mod assembler;
mod classes;
mod control;
mod diff;
mod judge;
mod materializer;
mod replayer;
mod scorer;
mod support;
mod table;
mod transform;
mod validator;
mod validators;
