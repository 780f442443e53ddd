//! `stillhouse deadletters`: what processors could not take, and what becomes of it.

use crate::Global;
use crate::context::Context;
use crate::events::{Read, Records};
use crate::failure::{Failure, Outcome, Status};
use crate::node;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use stillhouse_processors::{PROCESSORS, wire};
use stillhouse_schemas::{DeadLettered, Envelope, Event, Payload, ids};
use stillhouse_streams::runner::{Emit, Fault, Join};
use stillhouse_streams::{Append, Headers, Position, Received, Record};

/// Lists, shows, replays or discards dead letters.
#[derive(Debug, clap::Subcommand)]
pub enum Args {
    /// Those that are open (or all of them)
    List {
        /// Resolved ones too
        #[arg(long)]
        all: bool,
    },
    /// One of them, with the original record
    Show {
        /// Id of the letter
        id: String,
    },
    /// Gives records to their processors again; those that are taken now leave the list
    Replay {
        /// Ids of letters
        #[arg(value_name = "ID", required_unless_present = "all")]
        ids: Vec<String>,
        /// All open ones
        #[arg(long)]
        all: bool,
    },
    /// Takes letters off the list for good; they stay in the journal
    Discard {
        /// Ids of letters
        #[arg(value_name = "ID", required = true)]
        ids: Vec<String>,
    },
}

struct Letter {
    event: Event,
    position: Position,
    resolution: Option<String>,
}

impl Letter {
    fn body(&self) -> Option<&DeadLettered> {
        match &self.event.payload {
            Payload::DeadLettered(letter) => Some(letter),
            _ => None,
        }
    }
}

/// Runs the command.
pub async fn run(global: &Global, args: &Args) -> Outcome {
    let context = global.open().await?;
    let letters = load(&context).await?;
    match args {
        Args::List { all } => list(&context, &letters, *all),
        Args::Show { id } => show(&context, pick(&letters, id)?),
        Args::Replay { ids, all } => {
            let chosen = if *all {
                letters.values().filter(|l| l.resolution.is_none()).collect()
            } else {
                ids.iter().map(|id| pick(&letters, id)).collect::<Outcome<Vec<_>>>()?
            };
            replay(&context, &chosen).await
        }
        Args::Discard { ids } => {
            for id in ids {
                let letter = open(pick(&letters, id)?)?;
                context.journal.append(vec![resolve(&context, letter, "discarded")?]).await?;
                context.out.line(format_args!("discarded: {id}"))?;
            }
            Ok(())
        }
    }
}

async fn load(context: &Context) -> Outcome<BTreeMap<String, Letter>> {
    let mut letters: BTreeMap<String, Letter> = BTreeMap::new();
    let mut records = Records::of(context, &[context.names.topic("deadletters")]).await?;
    while let Some(page) = records.events().await? {
        for (position, read) in page {
            let Read::Event(event) = read else { continue };
            let Payload::DeadLettered(body) = &event.payload else { continue };
            if body.resolution.is_empty() {
                letters.entry(event.envelope.id.clone()).or_insert(Letter {
                    event: *event,
                    position,
                    resolution: None,
                });
            } else if let Some(cause) = event.envelope.causes.first()
                && let Some(letter) = letters.get_mut(&cause.id)
            {
                letter.resolution = Some(body.resolution.clone());
            }
        }
    }
    Ok(letters)
}

fn pick<'a>(letters: &'a BTreeMap<String, Letter>, id: &str) -> Outcome<&'a Letter> {
    letters.get(id).ok_or_else(|| {
        Failure::new(Status::NotFound, format!("there is no dead letter {id}"))
            .hint("`stillhouse deadletters list --all`")
    })
}

fn open(letter: &Letter) -> Outcome<&Letter> {
    match &letter.resolution {
        None => Ok(letter),
        Some(done) => {
            Err(Failure::new(Status::Usage, format!("letter {} was {done} before", letter.event.envelope.id)))
        }
    }
}

fn list(context: &Context, letters: &BTreeMap<String, Letter>, all: bool) -> Outcome {
    let mut shown: Vec<&Letter> = letters.values().filter(|l| all || l.resolution.is_none()).collect();
    shown.sort_by_key(|l| l.position.offset);
    let bodies = shown.iter().filter_map(|l| Some((*l, l.body()?)));
    if context.out.is_json() {
        let rows: Vec<_> = bodies
            .map(|(l, b)| {
                json!({
                    "id": l.event.envelope.id, "processor": b.processor, "generation": b.generation, "kind": b.kind,
                    "error": b.error, "attempts": b.attempts, "resolution": l.resolution,
                    "position": format!("{}/{}/{}", b.topic, b.partition, b.offset),
                })
            })
            .collect();
        return context.out.rows(&rows);
    }
    let rows: Vec<Vec<String>> = bodies
        .map(|(l, b)| {
            vec![
                l.event.envelope.id.clone(),
                format!("{}.{}", b.processor, b.generation),
                format!("{}/{}/{}", b.topic, b.partition, b.offset),
                b.kind.clone(),
                b.attempts.to_string(),
                l.resolution.clone().unwrap_or_else(|| "open".into()),
                b.error.clone(),
            ]
        })
        .collect();
    if rows.is_empty() {
        context.out.note("no dead letters");
        return Ok(());
    }
    context.out.table(&["ID", "PROCESSOR", "RECORD", "KIND", "TRIES", "STATE", "ERROR"], &rows)
}

fn show(context: &Context, letter: &Letter) -> Outcome {
    let mut value = letter.event.to_json();
    value["resolution"] = json!(letter.resolution);
    context.out.json(&value)
}

fn resolve(context: &Context, letter: &Letter, resolution: &str) -> Outcome<Append> {
    let Some(body) = letter.body() else { return Err(Failure::new(Status::Failed, "not a dead letter")) };
    let id = &letter.event.envelope.id;
    let event = Event {
        envelope: Envelope {
            id: ids::derived(&[id], "operator", "1", resolution, "deadletters", 0),
            causes: vec![wire::cause(id, &letter.position)],
            ..letter.event.envelope.clone()
        },
        payload: Payload::DeadLettered(DeadLettered {
            resolution: resolution.to_owned(),
            // The record stays in the letter itself.
            record_key: None,
            record_value: None,
            record_headers: Vec::new(),
            ..body.clone()
        }),
    };
    wire::append(context.names.topic("deadletters"), &context.codec, &event)
        .map_err(|e| Failure::new(Status::Failed, e.to_string()))
}

/// Takes each record through its processor again; outputs and resolution are appended together.
async fn replay(context: &Context, letters: &[&Letter]) -> Outcome {
    let generations = node::settle_first_generations(context).await?;
    let mut still = 0_usize;
    for letter in letters {
        let letter = open(letter)?;
        let Some(body) = letter.body() else { continue };
        let id = &letter.event.envelope.id;
        let unknown = || Failure::new(Status::NotFound, format!("{}.{} is gone", body.processor, body.generation));
        let definition = PROCESSORS.iter().find(|d| d.name == body.processor).ok_or_else(unknown)?;
        let generation = generations.active(definition, &body.generation).map_err(|_| unknown())?;
        let (_, transform) = node::build(context, definition, &body.generation, &generation.settings)?;
        let received = Received { position: place(body), record: record(body) };
        let result = match transform.join() {
            None => transform.apply(&[received]).await.pop(),
            Some(join) => Some(join_again(context, join.as_ref(), &received).await?),
        };
        match result {
            Some(Ok(emits)) => {
                let mut batch: Vec<Append> = emits
                    .into_iter()
                    .map(|emit| Append {
                        topic: Arc::from(context.names.derived(emit.topic, &body.generation)),
                        partition: None,
                        record: emit.record,
                    })
                    .collect();
                let emitted = batch.len();
                batch.push(resolve(context, letter, "replayed")?);
                context.journal.append(batch).await?;
                context.out.line(format_args!("replayed: {id}  ({emitted} events emitted)"))?;
            }
            Some(Err(fault)) => {
                still += 1;
                let (Fault::Transient(why) | Fault::Lasting { message: why, .. }) = fault;
                context.out.text(&format!("still refused: {id}  {why}"))?;
            }
            None => still += 1,
        }
    }
    if still > 0 { Err(Failure::silent(Status::Invalid)) } else { Ok(()) }
}

/// What a join makes of all records with the key of this one, as they stand now.
async fn join_again(context: &Context, join: &dyn Join, received: &Received) -> Outcome<Result<Vec<Emit>, Fault>> {
    let Position { topic, partition, .. } = &received.position;
    let key = &received.record.key;
    let mut scan = context.journal.scan(topic, *partition, 0, None).await?;
    let mut records = Vec::new();
    loop {
        let page = scan.next(1_000).await?;
        if page.is_empty() {
            break;
        }
        let own = page.into_iter().filter(|stored| key.is_some() && stored.record.key == *key);
        records.extend(own.map(|stored| Received {
            position: Position::new(topic.clone(), *partition, stored.offset),
            record: stored.record,
        }));
        if records.len() > join.most().0 {
            return Ok(join.overflow(received));
        }
    }
    if records.is_empty() {
        records.push(received.clone());
    }
    let made = join.apply(&records, 1).pop().unwrap_or(Ok(Vec::new()));
    Ok(match made {
        Ok(emits) if emits.is_empty() => join.settle(&records),
        made => made,
    })
}

fn place(body: &DeadLettered) -> Position {
    Position::new(
        body.topic.as_str(),
        u32::try_from(body.partition).unwrap_or_default(),
        u64::try_from(body.offset).unwrap_or_default(),
    )
}

fn record(body: &DeadLettered) -> Record {
    Record {
        key: body.record_key.clone().map(Into::into),
        value: body.record_value.clone().map(Into::into),
        headers: Headers::from_pairs(body.record_headers.iter().map(|h| (h.name.as_str(), h.value.as_deref()))),
        timestamp: body.record_timestamp,
    }
}
