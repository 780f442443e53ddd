//! `stillhouse bench`: the figures of `benchmarks.md`, beside the raw limit of the machine in the same run.

mod client;
mod embed;
mod export;
mod http;
mod journal;
#[cfg(feature = "kafka")]
mod kafka;
mod load;
mod pipeline;
mod report;
mod search;
mod validate;

use crate::Global;
use crate::failure::Outcome;

/// What to measure.
#[derive(Debug, clap::Subcommand)]
pub enum Args {
    /// Durable appends and scans, beside bare SQLite and a bare file on the same disk
    Journal(journal::Args),
    /// The whole flow: runs in, evidence, scores, and a second scoring of all of it
    Pipeline(pipeline::Args),
    /// A dataset of many runs, beside reading and writing the same bytes
    Export(export::Args),
    /// Appends over HTTP: batches, and singles at a steady rate
    Http(http::Args),
    /// Vectors over HTTP: warm beside a bare handler, and cold
    Embed(embed::Args),
    /// Nearest vectors, HNSW and Lance: recall, rates, times, memory and disk, beside comparing every row
    Search(search::Args),
    /// Fills by `POST /v1/validate` at a steady rate against a roster of many, beside the same in process
    Validate(validate::Args),
    /// The scorer over Kafka, beside a bare librdkafka loop with the same hops, batches and bytes
    #[cfg(feature = "kafka")]
    Kafka(kafka::Args),
}

/// Runs a benchmark.
pub async fn run(global: &Global, args: &Args) -> Outcome {
    match args {
        Args::Journal(args) => journal::run(global, args).await,
        Args::Pipeline(args) => pipeline::run(global, args).await,
        Args::Export(args) => export::run(global, args).await,
        Args::Http(args) => http::run(global, args).await,
        Args::Embed(args) => embed::run(global, args).await,
        Args::Search(args) => search::run(global, args).await,
        Args::Validate(args) => validate::run(global, args).await,
        #[cfg(feature = "kafka")]
        Args::Kafka(args) => kafka::run(global, args).await,
    }
}
