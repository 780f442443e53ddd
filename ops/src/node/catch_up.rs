//! Running processors here until all that was in the source topics has passed them.

use super::workers::{Workers, reads, settle_first_generations};
use crate::context::Context;
use crate::failure::{Failure, Outcome, Status};
use std::time::Duration;
use stillhouse_processors::control::Generations;
use stillhouse_processors::{Definition, PROCESSORS};
use stillhouse_schemas::{TOPICS, Writer};
use stillhouse_streams::runner::{State, ends, passed};
use stillhouse_streams::{ErrorKind, Progress};

/// How often the groups' progress is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A failing worker is given this many starts before waiting for it is given up.
const PATIENCE: u64 = 6;

/// How far one processor is.
#[derive(Clone, Copy, Debug)]
pub struct Stage {
    /// The processor.
    pub processor: &'static str,
    /// Offsets before its part of the cut, of all partitions together.
    pub total: u64,
    /// Offsets that are still before it.
    pub behind: u64,
}

/// What was reached.
#[derive(Clone, Debug)]
pub struct CaughtUp {
    /// The end of every source topic, of what operators decided, and of what every processor made of them.
    pub cut: Progress,
    /// What was live.
    pub generations: Generations,
}

/// The processors whose work a processor builds on, in the order of the flow: nothing else is waited for on its behalf.
pub fn upstream(of: &str) -> Vec<&'static Definition> {
    let mut read: Vec<&str> = PROCESSORS.iter().filter(|d| d.name == of).flat_map(|d| d.inputs).copied().collect();
    let mut found = Vec::new();
    for definition in PROCESSORS.iter().rev().filter(|d| d.is_transform()) {
        if definition.outputs.iter().any(|output| read.contains(output)) {
            read.extend(definition.inputs);
            found.insert(0, definition);
        }
    }
    found
}

/// Takes a cut of the source topics (or takes the given one), runs the live generations of these processors here, beside
/// whoever else runs them, until each has passed it, and returns the whole cut.
pub async fn catch_up(
    context: &Context,
    wanted: Vec<&'static Definition>,
    sources: Option<Progress>,
    mut watch: impl FnMut(Stage),
) -> Outcome<CaughtUp> {
    let journal = context.journal.as_ref();
    let generations = settle_first_generations(context).await?;
    let mut cut = match sources {
        Some(cut) => cut,
        None => {
            let sources: Vec<String> = TOPICS
                .iter()
                .filter(|t| matches!(t.writer, Writer::Outside | Writer::Operator))
                .map(|t| context.names.topic(t.name))
                .collect();
            ends(journal, &sources).await?
        }
    };
    let workers = Workers::new(context.clone(), wanted.clone());
    if !context.read_only {
        workers.reconcile(&generations).await?;
    }
    let outcome = async {
        // The table is in the order of the flow, so the outputs of one are complete when the next is waited for.
        for definition in wanted {
            let live = generations.live(definition.name);
            let inputs = reads(&generations, definition, live)?;
            let group = context.names.group(definition.name, live);
            let part: Progress = cut
                .iter()
                .filter(|(t, ..)| inputs.iter().any(|i| **i == ***t))
                .map(|(t, p, o)| (t.clone(), p, o))
                .collect();
            wait(context, &workers, definition.name, &group, &part, &mut watch).await?;
            let outputs: Vec<String> = definition.outputs.iter().map(|o| context.names.derived(o, live)).collect();
            for (topic, partition, end) in ends(journal, &outputs).await?.iter() {
                // A cut that was given may say how much of it counts.
                if cut.get(topic, partition).is_none() {
                    cut.set(topic.clone(), partition, end);
                }
            }
        }
        Ok(())
    }
    .await;
    workers.stop().await;
    outcome.map(|()| CaughtUp { cut, generations })
}

/// Runs one generation here until it has passed `cut`.
pub async fn run_generation(
    context: &Context,
    definition: &'static Definition,
    generation: &str,
    cut: &Progress,
    mut watch: impl FnMut(Stage),
) -> Outcome {
    let generations = crate::generations::load(context, None).await?;
    let workers = Workers::new(context.clone(), Vec::new());
    workers.start_one(definition, generation, &generations).await?;
    let group = context.names.group(definition.name, generation);
    let outcome = wait(context, &workers, definition.name, &group, cut, &mut watch).await;
    workers.stop().await;
    outcome
}

async fn wait(
    context: &Context,
    workers: &Workers,
    processor: &'static str,
    group: &str,
    cut: &Progress,
    watch: &mut impl FnMut(Stage),
) -> Outcome {
    let total = cut.iter().map(|(.., end)| end).sum();
    loop {
        let groups = context.journal.groups().await?;
        let progress = groups.into_iter().find(|g| g.group == group).map(|g| g.progress).unwrap_or_default();
        let behind = cut.iter().map(|(t, p, end)| end.saturating_sub(progress.get(t, p).unwrap_or(0))).sum();
        watch(Stage { processor, total, behind });
        if passed(context.journal.as_ref(), &progress, cut).await? {
            return Ok(());
        }
        if context.read_only {
            let message = format!("{processor} has {behind} records before it, and the journal cannot be written");
            return Err(Failure::new(Status::Failed, message)
                .hint("free some space, or export an earlier cut (--at) that every processor has passed"));
        }
        for worker in workers.view().iter().filter(|w| w.group == group) {
            if worker.stats.state == State::Failed {
                let error = worker.stats.error.clone().unwrap_or_default();
                let error = stillhouse_streams::Error::new(ErrorKind::Corrupt, error);
                return Err(Failure::from(error));
            }
            if worker.stats.state == State::Waiting && worker.stats.restarts >= PATIENCE {
                let error = worker.stats.error.clone().unwrap_or_default();
                return Err(Failure::new(Status::Failed, format!("{processor} cannot go on: {error}")));
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
