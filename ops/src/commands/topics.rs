//! `stillhouse topics`: what there is to read, under which names.

use crate::context::Context;
use crate::failure::Outcome;
use crate::figures;
use crate::generations;
use crate::http::read::{cleanup, logical, written_by};
use serde_json::json;

/// Lists the topics of this instance.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// One line per partition
    #[arg(long)]
    detail: bool,
    /// What is in topics of scores, too: scored, failed, skipped. Reads all scores and evidence
    #[arg(long)]
    judged: bool,
}

/// Runs the command.
pub async fn run(context: &Context, args: Args) -> Outcome {
    let mut topics = context.journal.topics().await?;
    topics.retain(|topic| context.names.owns(&topic.spec.name));
    let generations = generations::load(context, None).await?;
    let scorers = if args.judged { figures::scorers(context).await? } else { Vec::new() };
    let (mut rows, mut objects) = (Vec::new(), Vec::new());
    for topic in &topics {
        let name = &topic.spec.name;
        let logical = logical(context.names.prefix(), name);
        let live =
            logical.filter(|l| l.derived).map(|l| generations.resolve(l.name).is_ok_and(|live| live.contains(name)));
        let writer = logical.map_or_else(|| "-".to_owned(), written_by);
        let records: u64 = topic.partitions.iter().map(|p| p.end - p.start).sum();
        let cleanup = cleanup(&topic.spec.cleanup);
        if args.detail {
            for (number, partition) in topic.partitions.iter().enumerate() {
                rows.push(vec![
                    name.clone(),
                    number.to_string(),
                    partition.start.to_string(),
                    partition.end.to_string(),
                    (partition.end - partition.start).to_string(),
                ]);
            }
        } else {
            let range = |offset: fn(&stillhouse_streams::PartitionState) -> u64| {
                topic.partitions.iter().map(|p| offset(p).to_string()).collect::<Vec<_>>().join(",")
            };
            let shown = match live {
                Some(true) => "live",
                Some(false) => "shadow",
                None => "-",
            };
            rows.push(vec![
                name.clone(),
                topic.spec.partitions.to_string(),
                records.to_string(),
                range(|p| p.start),
                range(|p| p.end),
                cleanup.clone(),
                writer.clone(),
                shown.to_owned(),
                logical.map_or("-", |l| l.doc).to_owned(),
            ]);
        }
        let partitions: Vec<_> = (0..)
            .zip(&topic.partitions)
            .map(|(n, p): (u32, _)| json!({"partition": n, "start": p.start, "end": p.end}))
            .collect();
        objects.push(json!({
            "topic": name,
            "logical": logical.map(|l| l.name),
            "live": live,
            "records": records,
            "cleanup": cleanup,
            "written_by": writer,
            "events": logical.map(|l| l.events),
            "partitions": partitions,
        }));
        if let (Some(scorer), Some(object)) = (scorers.iter().find(|s| s.topic == *name), objects.last_mut()) {
            object["judged"] = serde_json::to_value(&scorer.judged).map_err(anyhow::Error::from)?;
        }
    }
    match (context.out.is_json(), args.detail) {
        (true, _) => context.out.rows(&objects),
        (_, true) => context.out.table(&["TOPIC", "PARTITION", "START", "END", "RECORDS"], &rows),
        _ => context.out.table(
            &["TOPIC", "PARTITIONS", "RECORDS", "START", "END", "CLEANUP", "WRITTEN BY", "GENERATION", "WHAT"],
            &rows,
        ),
    }?;
    if !context.out.is_json() {
        scorers.iter().try_for_each(|s| context.out.line(format_args!("{}: {}", s.topic, s.judged)))?;
    }
    Ok(())
}
