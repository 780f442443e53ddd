//! `stillhouse tail`: the events of a topic, decoded, in the order in which they came.
//!
//! Partitions have no order between them: their records are merged by the time of their append, a page of each in memory. With
//! `-o json` as with `-o jsonl` each record is one line, because a tail has no end to close an array at.

use crate::context::Context;
use crate::failure::{Failure, Outcome, Status};
use crate::{generations, records};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use stillhouse_streams::{Position, Scan, Stored};

/// Shows the events of a topic.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "-o json gives one JSON object a line, as -o jsonl does: a tail has no end to close an array at."
)]
pub struct Args {
    /// Topic: a name (`scores`: its live generation), one generation (`scores.v2`), or a name that `topics` lists
    topic: String,
    /// Where to begin: `beginning`, `end`, an offset, or a time as 2026-01-31T12:00:00Z [default: the last --limit]
    #[arg(long, value_name = "WHERE")]
    from: Option<String>,
    /// Wait for more
    #[arg(short, long)]
    follow: bool,
    /// At most this many [default: 10, or all with --from; with --follow, of what is there]
    #[arg(short = 'n', long, value_name = "N")]
    limit: Option<usize>,
    /// Only this partition
    #[arg(short, long, value_name = "N")]
    partition: Option<u32>,
}

/// Records of a page.
const PAGE: usize = 256;
/// How often an idle topic is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Shown where nothing is said.
const LAST: usize = 10;

/// A partition being read.
struct Source {
    topic: Arc<str>,
    partition: u32,
    scan: Box<dyn Scan>,
    ready: VecDeque<Stored>,
    ended: bool,
}

/// Runs the command.
pub async fn run(context: &Context, args: Args) -> Outcome {
    tokio::select! {
        outcome = tail(context, &args) => outcome,
        _ = tokio::signal::ctrl_c() => Err(Failure::silent(Status::Interrupted)),
    }
}

async fn tail(context: &Context, args: &Args) -> Outcome {
    let mut left = args.limit.unwrap_or(if args.from.is_some() { usize::MAX } else { LAST });
    let mut sources = open(context, args, left).await?;
    if args.from.is_none() {
        // The last of each partition are more than the last of all.
        let mut last = Vec::new();
        while let Some((position, stored)) = next(&mut sources).await? {
            last.push((position, stored));
        }
        let skip = last.len().saturating_sub(left);
        last.into_iter().skip(skip).try_for_each(|(position, stored)| show(context, &position, &stored))?;
    } else {
        while left > 0 {
            let Some((position, stored)) = next(&mut sources).await? else { break };
            show(context, &position, &stored)?;
            left -= 1;
        }
    }
    if !args.follow || (args.from.is_some() && left == 0) {
        return Ok(());
    }
    loop {
        let mut idle = true;
        for source in &mut sources {
            let page = source.scan.next(PAGE).await?;
            idle &= page.is_empty();
            for stored in page {
                show(context, &Position::new(source.topic.clone(), source.partition, stored.offset), &stored)?;
                if args.from.is_some() {
                    left -= 1;
                    if left == 0 {
                        return Ok(());
                    }
                }
            }
        }
        if idle {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

fn show(context: &Context, position: &Position, stored: &Stored) -> Outcome {
    if context.out.is_json() {
        let record = records::to_json(&context.codec, position, &stored.record);
        return context.out.line(record);
    }
    context.out.text(&records::to_line(&context.codec, position, &stored.record))
}

/// The record with the earliest time stamp that is ready; none when every source has ended.
async fn next(sources: &mut [Source]) -> Outcome<Option<(Position, Stored)>> {
    for source in sources.iter_mut().filter(|s| s.ready.is_empty() && !s.ended) {
        source.ready = source.scan.next(PAGE).await?.into();
        source.ended = source.ready.is_empty();
    }
    let earliest = sources
        .iter_mut()
        .filter(|s| !s.ready.is_empty())
        .min_by_key(|s| (s.ready.front().map(|r| r.record.timestamp), s.topic.clone(), s.partition));
    let Some(source) = earliest else { return Ok(None) };
    let stored = source.ready.pop_front();
    Ok(stored.map(|stored| (Position::new(source.topic.clone(), source.partition, stored.offset), stored)))
}

async fn open(context: &Context, args: &Args, last: usize) -> Outcome<Vec<Source>> {
    let generations = generations::load(context, None).await?;
    let topics = context.journal.topics().await?;
    let known = |name: &str| topics.iter().find(|t| t.spec.name == name);
    let names = match generations.locate(&args.topic) {
        Ok(names) => names,
        // A topic that no generation writes any more, or a foreign one, is there all the same.
        Err(_) if known(&args.topic).is_some() => vec![args.topic.clone()],
        Err(unknown) => {
            return Err(Failure::new(Status::NotFound, unknown.to_string()).hint("`stillhouse topics` lists them"));
        }
    };
    let mut sources = Vec::new();
    for name in names {
        let Some(topic) = known(&name) else {
            return Err(Failure::new(Status::NotFound, format!("the topic `{name}` does not exist yet")));
        };
        if args.partition.is_some_and(|p| p >= topic.spec.partitions) {
            let message = format!("`{name}` has the partitions 0 to {}", topic.spec.partitions - 1);
            return Err(Failure::new(Status::Usage, message));
        }
        let topic_name: Arc<str> = Arc::from(name.as_str());
        for (partition, state) in (0..).zip(&topic.partitions).filter(|(n, _)| args.partition.is_none_or(|p| p == *n)) {
            let from = match args.from.as_deref() {
                // Gaps make these fewer than asked for, never others.
                None => state.end.saturating_sub(last as u64).max(state.start),
                Some("beginning") => state.start,
                Some("end") => state.end,
                Some(text) => match (text.parse::<u64>(), stillhouse_schemas::time::parse(text)) {
                    (Ok(offset), _) => offset,
                    (_, Ok(micros)) => context.journal.offset_at(&name, partition, micros.div_euclid(1_000)).await?,
                    _ => {
                        let message = format!(
                            "--from {text}: say `beginning`, `end`, an offset, or a time as 2026-01-31T12:00:00Z"
                        );
                        return Err(Failure::new(Status::Usage, message));
                    }
                },
            };
            let until = if args.follow { None } else { Some(state.end) };
            let scan = context.journal.scan(&name, partition, from, until).await?;
            sources.push(Source { topic: topic_name.clone(), partition, scan, ready: VecDeque::new(), ended: false });
        }
    }
    Ok(sources)
}
