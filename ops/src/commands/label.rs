//! `stillhouse label RUN LABEL`: what a person says of a run, as an event.

use crate::Global;
use crate::context::Context;
use crate::events::{Read, Records};
use crate::failure::{Failure, Outcome, Status};
use crate::generations;
use crate::output::safe;
use serde_json::json;
use std::io::Read as _;
use stillhouse_processors::wire;
use stillhouse_schemas::{Category, Envelope, Event, Label, Payload, Producer, check, ids};
use stillhouse_streams::partition_for;
use stillhouse_streams::runner::ends;

/// Largest correction.
const MOST_BYTES: u64 = 4 << 20;

/// Says what a person thinks of a run. It counts before everything else that is said of it; of several labels the latest
/// counts.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The run
    #[arg(value_name = "RUN")]
    run_id: String,
    /// accepted, partially_accepted, needs_human_review or rejected
    label: String,
    /// Why
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// A better answer: a file, or `-` for standard input
    #[arg(long, value_name = "FILE")]
    correction: Option<std::path::PathBuf>,
    /// Who says so [default: the user's name]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

/// Runs the command.
pub async fn run(global: &Global, args: &Args) -> Outcome {
    let known = Category::ALL.map(Category::as_str);
    if !known.contains(&args.label.as_str()) {
        let message = format!("`{}` is no label", safe(&args.label));
        return Err(Failure::new(Status::Usage, message).hint(format!("one of {}", known.join(", "))));
    }
    let correction = args.correction.as_deref().map(read).transpose()?;
    let context = global.open_for_appends().await?;
    let subject = subject(&context, &args.run_id).await?;
    let event = Event {
        envelope: Envelope {
            id: ids::live(),
            key: args.run_id.clone(),
            occurred_at: jiff::Timestamp::now().as_microsecond(),
            subject,
            producer: Producer {
                name: "operator".into(),
                version: env!("CARGO_PKG_VERSION").into(),
                config_hash: String::new(),
            },
            ..Envelope::default()
        },
        payload: Payload::Label(Label {
            run_id: args.run_id.clone(),
            label: args.label.clone(),
            by: args.by.clone().or_else(|| std::env::var("USER").ok()).unwrap_or_default(),
            note: args.note.clone(),
            correction,
        }),
    };
    check(&event).map_err(|bad| Failure::new(Status::Usage, bad.to_string()))?;
    let append = wire::append(context.names.topic("labels"), &context.codec, &event)
        .map_err(|e| Failure::new(Status::Failed, e.to_string()))?;
    let receipt = context.journal.append(vec![append]).await?.pop();
    let position = receipt.map(|receipt| receipt.position.to_string()).unwrap_or_default();
    if context.out.is_json() {
        return context.out.json(&json!({
            "run_id": args.run_id, "label": args.label, "event": event.envelope.id, "position": position,
        }));
    }
    context.out.line(format_args!("{} is labelled {}  ({position})", safe(&args.run_id), args.label))
}

fn read(path: &std::path::Path) -> Outcome<String> {
    let failed = |e: std::io::Error| Failure::new(Status::NotFound, format!("cannot read {}: {e}", path.display()));
    let mut text = String::new();
    let input: Box<dyn std::io::Read> = match path.as_os_str() == "-" {
        true => Box::new(std::io::stdin().lock()),
        false => Box::new(std::fs::File::open(path).map_err(failed)?),
    };
    input.take(MOST_BYTES + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > MOST_BYTES {
        return Err(Failure::new(Status::Usage, format!("{} holds more than {MOST_BYTES} bytes", path.display())));
    }
    Ok(text)
}

/// Whom the run is about, if a person: the label is sealed as the run is. A run that nobody recorded is no run.
async fn subject(context: &Context, run_id: &str) -> Outcome<Option<String>> {
    let generations = generations::load(context, None).await?;
    let topics: Vec<String> =
        ["runs", "traces"].iter().flat_map(|topic| generations.resolve(topic).unwrap_or_default()).collect();
    let existing = context.journal.topics().await?;
    let topics: Vec<String> = topics.into_iter().filter(|t| existing.iter().any(|e| e.spec.name == *t)).collect();
    let all = ends(context.journal.as_ref(), &topics).await?;
    let partitions = |topic: &str| all.iter().filter(|(known, ..)| ***known == *topic).count();
    // What is about one run is in one partition of each topic.
    let own = all.iter().filter(|(topic, partition, _)| {
        *partition == partition_for(Some(run_id.as_bytes()), u32::try_from(partitions(topic)).unwrap_or(1))
    });
    let mut records = Records::until(context, &own.map(|(t, p, end)| (t.clone(), p, end)).collect());
    while let Some(page) = records.events().await? {
        for (_, read) in page {
            if let Read::Event(event) = read
                && event.envelope.key == run_id
            {
                return Ok(event.envelope.subject);
            }
        }
    }
    Err(Failure::new(Status::NotFound, format!("no run is called `{}`", safe(run_id)))
        .hint("`stillhouse tail runs` shows the ids of runs"))
}
