//! `stillhouse lag`: how far each group is behind.

use crate::context::Context;
use crate::failure::{Failure, Outcome, Status};
use crate::figures;
use crate::generations;
use crate::index;
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
    /// What the scorers made of what they have taken, too: scored, failed, skipped. Reads all scores and evidence
    #[arg(long, conflicts_with = "watch")]
    judged: bool,
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
    let look = lag::look(context.journal.as_ref(), &context.names, &inputs, index::views(context), now_ms).await?;
    let mut groups = look.groups;
    if let Some(wanted) = &args.group {
        groups.retain(|group| group.group == *wanted);
        if groups.is_empty() {
            return Err(Failure::new(Status::NotFound, format!("there is no group `{}`", wanted.escape_debug())));
        }
    }
    let out = &context.out;
    let mut scorers = if args.judged { figures::scorers(context).await? } else { Vec::new() };
    scorers.retain(|scorer| groups.iter().any(|group| group.group == scorer.group));
    if out.is_json() {
        let with_figures = |group: &GroupLag| {
            let mut object = serde_json::to_value(group).map_err(anyhow::Error::from)?;
            if let Some(scorer) = scorers.iter().find(|scorer| scorer.group == group.group) {
                object["judged"] = serde_json::to_value(&scorer.judged).map_err(anyhow::Error::from)?;
            }
            Ok(object)
        };
        return out.rows(&groups.iter().map(with_figures).collect::<Outcome<Vec<_>>>()?);
    }
    let rows: Vec<Vec<String>> = groups.iter().flat_map(rows).collect();
    out.table(&["GROUP", "MEMBERS", "TOPIC", "PARTITION", "COMMITTED", "END", "LAG", "SECONDS"], &rows)?;
    scorers.iter().try_for_each(|scorer| out.line(format_args!("{}: {}", scorer.group, scorer.judged)))
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
