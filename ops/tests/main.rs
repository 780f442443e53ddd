//! Tests of the binary's parts through their public interfaces: a real listener, journals in memory.

mod http;
