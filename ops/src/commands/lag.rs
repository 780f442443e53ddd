//! `stillhouse lag`: how far each group is behind.

use crate::context::Context;
use crate::failure::{Failure, Outcome, Status};
use crate::generations;
use crate::lag::{self, GroupLag};
use crate::node::reads;
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::Duration;
use stillhouse_processors::PROCESSORS;
use stillhouse_processors::control::State;

/// Shows how far groups are behind.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Again and again, every so many seconds
    #[arg(short, long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2", value_parser = clap::value_parser!(u64).range(1..=3600))]
    watch: Option<u64>,
    /// Only this group
    #[arg(short, long, value_name = "NAME")]
    group: Option<String>,
}

/// Runs the command.
pub async fn run(context: &Context, args: Args) -> Outcome {
    let Some(seconds) = args.watch else { return show(context, &args).await };
    let watching = async {
        loop {
            if !context.out.is_json() && std::io::stdout().is_terminal() {
                // Clear the screen, and go to its corner.
                context.out.line("\u{1b}[2J\u{1b}[H")?;
            }
            show(context, &args).await?;
            tokio::time::sleep(Duration::from_secs(seconds)).await;
        }
    };
    tokio::select! {
        outcome = watching => outcome,
        _ = tokio::signal::ctrl_c() => Err(Failure::silent(Status::Interrupted)),
    }
}

async fn show(context: &Context, args: &Args) -> Outcome {
    let inputs = inputs(context).await?;
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let look = lag::look(context.journal.as_ref(), &context.names, &inputs, now_ms).await?;
    let mut groups = look.groups;
    if let Some(wanted) = &args.group {
        groups.retain(|group| group.group == *wanted);
        if groups.is_empty() {
            return Err(Failure::new(Status::NotFound, format!("there is no group `{}`", wanted.escape_debug())));
        }
    }
    let out = &context.out;
    if out.is_json() {
        return out.rows(&groups);
    }
    let rows: Vec<Vec<String>> = groups.iter().flat_map(rows).collect();
    out.table(&["GROUP", "MEMBERS", "TOPIC", "PARTITION", "COMMITTED", "END", "LAG", "SECONDS"], &rows)
}

fn rows(group: &GroupLag) -> Vec<Vec<String>> {
    let row = |p: &lag::PartitionLag| {
        vec![
            group.group.clone(),
            group.members.to_string(),
            p.topic.to_string(),
            p.partition.to_string(),
            p.committed.to_string(),
            p.end.to_string(),
            p.lag.to_string(),
            format!("{:.1}", p.lag_seconds),
        ]
    };
    group.partitions.iter().map(row).collect()
}

/// What the generations of this instance read, whether they have begun or not.
async fn inputs(context: &Context) -> Outcome<BTreeMap<String, Vec<String>>> {
    let generations = generations::load(context, None).await?;
    let mut inputs = BTreeMap::new();
    for definition in PROCESSORS.iter().filter(|d| d.is_transform()) {
        for generation in generations.of(definition.name).filter(|g| g.state == State::Active) {
            let topics = reads(&generations, definition, &generation.name)?;
            inputs.insert(context.names.group(definition.name, &generation.name), topics);
        }
    }
    Ok(inputs)
}
