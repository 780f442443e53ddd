//! `stillhouse lineage`: from an event or a dataset row back to the run, and forward to everything made of it.

use crate::Global;
use crate::context::Context;
use crate::events::{Read, Records, at, find, of_run, own_topics};
use crate::failure::{Failure, Outcome, Status};
use crate::records;
use serde_json::json;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};
use stillhouse_files::dataset::{Dataset, DatasetError};
use stillhouse_processors::wire;
use stillhouse_schemas::{Event, TOPICS};
use stillhouse_streams::Position;

/// Follows causes both ways.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// An event id, a position (topic/partition/offset), a run id, or a dataset row: DIR#NUMBER, counted
    /// from 1, or DIR#SPLIT:NUMBER
    what: String,
    /// Where datasets are looked for [default: beside the dataset asked about, else all that were exported here]
    #[arg(long, value_name = "DIR")]
    datasets: Option<PathBuf>,
}

/// A row of a dataset.
#[derive(PartialEq, serde::Serialize)]
struct DatasetRow {
    dataset: String,
    split: String,
    row: u64,
}

struct Node {
    id: String,
    kind: &'static str,
    position: Position,
    by: String,
    summary: String,
    causes: Vec<String>,
}

/// Runs the command.
pub async fn run(global: &Global, args: &Args) -> Outcome {
    let context = global.open_to_read().await?;
    let starts = starts(&context, &args.what).await?;
    let mut nodes: BTreeMap<String, Node> = BTreeMap::new();
    let origins = backward(&context, &starts, &mut nodes).await?;
    forward(&context, &origins, &mut nodes).await?;
    let runs = nodes.values().filter(|n| n.kind == "run").count();
    let beside = args.what.rsplit_once('#').and_then(|(dir, _)| Path::new(dir).parent().map(Path::to_path_buf));
    let datasets = match args.datasets.clone().or(beside) {
        Some(dir) => in_folder(&dir),
        None => super::export::written_here(&context),
    };
    let rows = dataset_rows(&datasets, &nodes)?;
    show(&context, &starts, &nodes, &rows, runs)?;
    context.out.note(format_args!("{} dataset(s) looked through; --datasets DIR looks elsewhere", datasets.len()));
    Ok(())
}

fn unreadable(error: DatasetError) -> Failure {
    Failure::new(Status::NotFound, error.to_string())
}

/// The events that the argument means.
async fn starts(context: &Context, what: &str) -> Outcome<Vec<String>> {
    let missing = || {
        Failure::new(Status::NotFound, format!("nothing is known of `{what}`"))
            .hint("give an event id, a run id, topic/partition/offset, or DATASET_DIR#ROW")
    };
    if let Some((dir, row)) = what.rsplit_once('#') {
        let (split, number) = row.split_once(':').unwrap_or(("train", row));
        let number: u64 = number.parse().ok().filter(|n| *n > 0).ok_or_else(missing)?;
        let dataset = Dataset::open(Path::new(dir)).map_err(unreadable)?;
        let mut starts = Vec::new();
        for row in dataset.rows() {
            let row = row.map_err(unreadable)?;
            if (row.split.as_str(), row.number) == (split, number) {
                starts.extend([row.score_id, row.evidence_id].into_iter().filter(|id| !id.is_empty()));
            }
        }
        return if starts.is_empty() { Err(missing()) } else { Ok(starts) };
    }
    if let Ok(position) = what.parse::<Position>() {
        let received = at(context, &position).await?.ok_or_else(missing)?;
        return Ok(vec![received.record.id().ok_or_else(missing)?.to_owned()]);
    }
    if find(context, what).await?.is_some() {
        return Ok(vec![what.to_owned()]);
    }
    let found: Vec<String> =
        of_run(context, what).await?.iter().filter_map(|r| r.record.id()).map(str::to_owned).collect();
    if found.is_empty() { Err(missing()) } else { Ok(found) }
}

/// Follows causes to where there are none, and returns those ids.
async fn backward(context: &Context, starts: &[String], nodes: &mut BTreeMap<String, Node>) -> Outcome<Vec<String>> {
    let mut queue: VecDeque<(String, Option<Position>)> = starts.iter().map(|id| (id.clone(), None)).collect();
    let mut origins = Vec::new();
    while let Some((id, place)) = queue.pop_front() {
        if nodes.contains_key(&id) {
            continue;
        }
        let found = match &place {
            Some(position) => at(context, position).await?.filter(|r| r.record.id() == Some(&id)),
            None => None,
        };
        let found = match found {
            Some(found) => Some(found),
            None => find(context, &id).await?,
        };
        let Some(received) = found else {
            context.out.note(format_args!("cause {id} is not in the journal any more"));
            continue;
        };
        let Ok(Some(event)) = wire::received(&context.codec, &received) else {
            context.out.note(format_args!("{} at {} cannot be read", id, received.position));
            continue;
        };
        if event.envelope.causes.is_empty() {
            origins.push(id.clone());
        }
        for cause in &event.envelope.causes {
            queue.push_back((cause.id.clone(), wire::position(cause)));
        }
        nodes.insert(id, node(&event, received.position));
    }
    Ok(origins)
}

/// Everything made of the origins, topic by topic in the order of the flow.
async fn forward(context: &Context, origins: &[String], nodes: &mut BTreeMap<String, Node>) -> Outcome {
    let physical = own_topics(context).await?;
    let mut known: HashSet<String> = origins.iter().cloned().collect();
    // The table is in the order of the flow: a topic's causes stand in topics before it.
    for topic in TOPICS.iter().filter(|t| !t.events.is_empty()) {
        let base = context.names.topic(topic.name);
        let all: Vec<String> = physical
            .iter()
            .filter(|name| **name == base || (topic.derived && name.starts_with(&format!("{base}."))))
            .cloned()
            .collect();
        let mut records = Records::of(context, &all).await?;
        while let Some(page) = records.events().await? {
            for (position, read) in page {
                let Read::Event(event) = read else { continue };
                if event.envelope.causes.iter().any(|cause| known.contains(&cause.id))
                    && known.insert(event.envelope.id.clone())
                {
                    nodes.entry(event.envelope.id.clone()).or_insert_with(|| node(&event, position));
                }
            }
        }
    }
    Ok(())
}

fn node(event: &Event, position: Position) -> Node {
    let summary = format!("{}  {}", event.envelope.key, records::summary(&event.payload));
    let producer = &event.envelope.producer;
    Node {
        id: event.envelope.id.clone(),
        kind: event.payload.event_type().name,
        position,
        by: format!("{} {} {}", producer.name, producer.version, producer.config_hash).trim_end().to_owned(),
        summary,
        causes: event.envelope.causes.iter().map(|c| c.id.clone()).collect(),
    }
}

/// The datasets in a folder.
fn in_folder(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut dirs: Vec<PathBuf> =
        entries.flatten().map(|e| e.path()).filter(|p| p.join("manifest.json").is_file()).collect();
    dirs.sort();
    dirs
}

/// Rows of these datasets that were made of one of the nodes: dataset, split, row number.
fn dataset_rows(datasets: &[PathBuf], nodes: &BTreeMap<String, Node>) -> Outcome<Vec<DatasetRow>> {
    let mut rows = Vec::new();
    for dir in datasets {
        let dataset = Dataset::open(dir).map_err(unreadable)?;
        for row in dataset.rows() {
            let row = row.map_err(unreadable)?;
            let found = DatasetRow { dataset: dir.display().to_string(), split: row.split, row: row.number };
            if nodes.contains_key(&row.evidence_id) && rows.last() != Some(&found) {
                rows.push(found);
            }
        }
    }
    Ok(rows)
}

fn show(
    context: &Context,
    starts: &[String],
    nodes: &BTreeMap<String, Node>,
    rows: &[DatasetRow],
    runs: usize,
) -> Outcome {
    let out = &context.out;
    if out.is_json() {
        let nodes: Vec<_> = nodes
            .values()
            .map(|n| {
                json!({
                    "id": n.id, "type": n.kind, "position": n.position.to_string(), "producer": n.by,
                    "summary": n.summary, "causes": n.causes, "asked": starts.contains(&n.id),
                })
            })
            .collect();
        return out.json(&json!({"events": nodes, "rows": rows}));
    }
    let mut children: BTreeMap<&str, Vec<&Node>> = BTreeMap::new();
    for node in nodes.values() {
        for cause in &node.causes {
            children.entry(cause).or_default().push(node);
        }
    }
    let mut shown = HashSet::new();
    for origin in nodes.values().filter(|n| !n.causes.iter().any(|c| nodes.contains_key(c))) {
        let mut stack = vec![(origin, 0_usize)];
        while let Some((node, depth)) = stack.pop() {
            let mark = if starts.contains(&node.id) { "  ← asked" } else { "" };
            let again = if shown.insert(&node.id) { "" } else { "  (above)" };
            let indent = "  ".repeat(depth);
            out.text(&format!(
                "{indent}{:<12} {}  {}  {}  [{}]{again}{mark}",
                node.kind, node.id, node.position, node.summary, node.by
            ))?;
            if again.is_empty()
                && let Some(made) = children.get(node.id.as_str())
            {
                stack.extend(made.iter().rev().map(|n| (*n, depth + 1)));
            }
        }
    }
    for DatasetRow { dataset, split, row } in rows {
        let split = if split == "train" { String::new() } else { format!("{split}:") };
        out.text(&format!("row          {dataset}#{split}{row}"))?;
    }
    out.note(format_args!("{} events of {runs} run(s), {} dataset rows", nodes.len(), rows.len()));
    Ok(())
}
