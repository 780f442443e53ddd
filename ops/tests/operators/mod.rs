//! What operators decide: recalls, releases, erasures, over an embedded journal, in this process.

mod erasure;
mod office;
mod quarantine;
mod recall;
