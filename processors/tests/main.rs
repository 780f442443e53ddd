//! What the processors promise, from outside.

mod assembler;
mod classes;
mod control;
mod diff;
mod judge;
mod materializer;
mod reconciler;
mod replayer;
mod scorer;
mod support;
mod table;
mod transform;
mod validator;
mod validators;
