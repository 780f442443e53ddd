//! What developers and tests need around the product: a real Apache Kafka, and nothing else so far.

mod kafka;

use crate::failure::Outcome;
use crate::output::Output;

/// Start and stop what development needs.
#[derive(Debug, clap::Args)]
pub struct DevCommand {
    #[command(subcommand)]
    what: What,
}

impl DevCommand {
    /// With the name that `--instance` gives, where the command has none of its own.
    #[must_use]
    pub fn named(mut self, instance: Option<&str>) -> Self {
        let What::Kafka(command) = &mut self.what;
        if let Some(instance) = instance {
            command.default_name(instance);
        }
        self
    }
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// A single Apache Kafka broker, from Maven, without containers (needs Java 17 and Maven)
    #[command(subcommand)]
    Kafka(kafka::KafkaCommand),
}

/// Runs it. Blocks its thread for as long as a broker takes to start.
pub async fn run(out: &Output, command: DevCommand) -> Outcome {
    match command.what {
        What::Kafka(command) => kafka::run(out, command).await,
    }
}
