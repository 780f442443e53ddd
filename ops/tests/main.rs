//! Tests of the binary and of its parts: a real listener over journals in memory, and the verbs that look.

mod http;
mod operators;
mod verbs;
