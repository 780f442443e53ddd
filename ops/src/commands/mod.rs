//! The verbs of the command line, one module each.

mod append;
mod audit;
mod claims;
mod completions;
mod config;
pub mod cut;
mod datasets;
mod deadletters;
pub mod diff;
mod doctor;
mod erase;
pub mod export;
mod import;
mod index;
mod label;
mod lag;
mod lineage;
mod preview;
pub mod progress;
pub mod quarantine;
mod recall;
mod replay;
mod rewind;
mod roster;
mod schemas;
mod search;
mod show;
mod tail;
mod topics;
mod up;
mod validate;
mod verify;

use crate::failure::Outcome;
use crate::{Global, bench, demo, dev};
use clap::Subcommand;

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Show the whole on a synthetic sample: runs in, scores and a dataset out, one rewind
    Demo(demo::Args),
    /// Run the node: HTTP API and all processors
    Up(up::Args),
    /// Run some processors as a process of their own
    Work(up::WorkArgs),
    /// Bring recorded runs in from files
    Import(import::Args),
    /// Append events from standard input
    Append(append::Args),
    /// Show the events of a topic
    Tail(tail::Args),
    /// List topics
    Topics(topics::Args),
    /// Show one event
    Show(show::Args),
    /// The workers that there are: make, check, load, show a roster
    #[command(subcommand)]
    Roster(roster::Args),
    /// Search past runs, evidence and documents
    Search(search::Args),
    /// The indexes that searches ask: list, check, compare
    Index(index::Args),
    /// Follow causes: back to the run, forward to everything made of it
    Lineage(lineage::Args),
    /// How far each group is behind, in events and in seconds
    Lag(lag::Args),
    /// Run a processor over history into a new generation
    Rewind(rewind::RewindArgs),
    /// Look at an artefact by a policy or by named validators
    Validate(validate::Args),
    /// What was held of an entity at a time, and on whose word
    Claims(claims::Args),
    /// Compare two generations of a topic
    Diff(diff::Args),
    /// Make a generation the live one
    Promote(rewind::NameArgs),
    /// Drop a generation that is not live
    Drop(rewind::NameArgs),
    /// List the generations of every processor
    Generations,
    /// What processors could not take
    #[command(subcommand)]
    Deadletters(deadletters::Args),
    /// What was left out of evidence and datasets, and why
    Quarantine(quarantine::Args),
    /// Say what a person thinks of a run
    Label(label::Args),
    /// Write a dataset
    Export(export::Args),
    /// The datasets that were written, and how they stand
    Datasets(datasets::Args),
    /// Take runs out of every dataset
    Recall(recall::RecallArgs),
    /// Take a recall back
    Reinstate(recall::ReinstateArgs),
    /// Make a person's data unreadable, and everything made of it again without
    Erase(erase::Args),
    /// Run recorded runs again, with recorded results of tools
    Replay(replay::Args),
    /// Hold everything against what must be true of it
    Audit(audit::Args),
    /// Read the whole journal and check it
    Verify(verify::Args),
    /// Measure, beside the raw limit of this machine
    #[command(subcommand)]
    Bench(bench::Args),
    /// The schemas of events
    Schemas(schemas::Args),
    /// The settings in force
    #[command(subcommand)]
    Config(config::Args),
    /// Check what could be wrong, and say how to put it right
    Doctor(doctor::Args),
    /// What developers need: an Apache Kafka without installation
    Dev(dev::DevCommand),
    /// Print a completion script
    Completions(completions::Args),
}

impl Verb {
    /// Whether it runs until it is told to stop, and logs what it does.
    pub fn is_service(&self) -> bool {
        matches!(self, Self::Up(_) | Self::Work(_))
    }
}

/// Runs a verb.
pub async fn run(global: Global, verb: Verb) -> Outcome {
    match verb {
        Verb::Demo(args) => demo::run(&global, &args).await,
        Verb::Up(args) => up::run(&global, &args).await,
        Verb::Work(args) => up::work(&global, &args).await,
        Verb::Import(args) => import::run(&global, args).await,
        Verb::Append(args) => append::run(&global, args).await,
        Verb::Tail(args) => tail::run(&global.open_to_read().await?, args).await,
        Verb::Topics(args) => topics::run(&global.open_to_read().await?, args).await,
        Verb::Show(args) => show::run(&global.open_to_read().await?, args).await,
        Verb::Roster(args) => roster::run(&global, &args).await,
        Verb::Search(args) => search::run(&global, &args).await,
        Verb::Index(args) => index::run(&global, &args).await,
        Verb::Lineage(args) => lineage::run(&global, &args).await,
        Verb::Lag(args) => lag::run(&global.open_to_read().await?, args).await,
        Verb::Rewind(args) => rewind::rewind(&global, &args).await,
        Verb::Validate(args) => validate::run(&global, &args).await,
        Verb::Claims(args) => claims::run(&global, &args).await,
        Verb::Diff(args) => diff::run(&global, &args).await,
        Verb::Promote(args) => rewind::promote(&global, &args).await,
        Verb::Drop(args) => rewind::drop(&global, &args).await,
        Verb::Generations => rewind::list(&global).await,
        Verb::Deadletters(args) => deadletters::run(&global, &args).await,
        Verb::Quarantine(args) => quarantine::run(&global, &args).await,
        Verb::Label(args) => label::run(&global, &args).await,
        Verb::Export(args) => export::run(&global, args).await,
        Verb::Datasets(args) => datasets::run(&global, &args).await,
        Verb::Recall(args) => recall::recall(&global, args).await,
        Verb::Reinstate(args) => recall::reinstate(&global, args).await,
        Verb::Erase(args) => erase::run(&global, args).await,
        Verb::Replay(args) => replay::run(&global, args).await,
        Verb::Audit(args) => audit::run(&global, args).await,
        Verb::Verify(args) => verify::run(&global, &args).await,
        Verb::Bench(args) => bench::run(&global, &args).await,
        Verb::Schemas(args) => schemas::run(&global.output(), args),
        Verb::Config(args) => config::run(&global, &args),
        Verb::Doctor(args) => doctor::run(&global, args).await,
        Verb::Dev(args) => dev::run(&global.output(), args.named(global.instance.as_deref())).await,
        Verb::Completions(args) => completions::run(&args),
    }
}
