//! Keeping indexes at the end of the log: one writer for every generation of the embedder that is not dropped.

use super::folder;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::generations;
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use stillhouse_catalog::{CatalogError, Change, Entry, Writer};
use stillhouse_processors::control::{Generations, State};
use stillhouse_processors::{decisions, embedder};
use stillhouse_schemas::{Codec, CodecError, Embedded, Envelope, Payload};
use stillhouse_streams::runner::{Fault, Projection, ends, fold, follow};
use stillhouse_streams::{Progress, Received};
use tokio_util::sync::CancellationToken;

/// What it is called on the command line.
pub const NAME: &str = "indexer";

/// How often the log is looked at.
const EVERY: Duration = Duration::from_millis(200);
/// How often it is looked whether generations came or went.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A catalog as a projection of the embeddings of one generation, and of what operators decide.
struct Indexed {
    codec: Codec,
    writer: Arc<Mutex<Writer>>,
}

impl Indexed {
    fn open(context: &Context, dir: &Path) -> Outcome<Self> {
        let writer = match Writer::open(dir) {
            // A view is made again rather than mended.
            Err(CatalogError::Unusable { path, what }) => {
                tracing::warn!(path = %path.display(), what, "an index is damaged; it is made again from the log");
                std::fs::remove_dir_all(dir)?;
                Writer::open(dir)
            }
            writer => writer,
        };
        Ok(Self { codec: context.codec.clone(), writer: Arc::new(Mutex::new(writer?)) })
    }

    /// What a record means for the index.
    fn change(&self, received: &Received) -> Result<Option<Change>, Fault> {
        let Some(value) = received.record.value.as_deref() else { return Ok(None) };
        let event = match self.codec.decode(value) {
            Ok(event) => event,
            Err(CodecError::Erased { .. }) => return Ok(None),
            Err(error) if error.is_transient() => return Err(Fault::Transient(error.to_string())),
            Err(error) => {
                // The embedder writes this topic: what cannot be read there no retry makes readable, and one record
                // must not keep the others from being found.
                tracing::warn!(position = %received.position, %error, "a record is not indexed");
                return Ok(None);
            }
        };
        Ok(match event.payload {
            Payload::Embedded(embedded) => {
                let key_id = if self.codec.seals() {
                    self.codec.clear(value).map_err(|e| Fault::Transient(e.to_string()))?.1
                } else {
                    None
                };
                Some(Change::Put(Box::new(entry(event.envelope, embedded, key_id, received))))
            }
            // A recall that is limited to one kind of dataset says nothing of searches.
            Payload::Decision(decision) => match (decision.action.as_str(), decision.run_id, decision.kind) {
                (decisions::RECALLED, Some(run_id), None) => Some(Change::Hide { run_id }),
                (decisions::REINSTATED, Some(run_id), None) => Some(Change::Show { run_id }),
                (decisions::ERASED, ..) => decision.key_id.map(|key_id| Change::Erase { key_id }),
                _ => None,
            },
            _ => None,
        })
    }
}

/// The model of vectors, in one word: rows of different ones never meet.
pub(crate) fn model_of(provider: &str, model: &str, version: &str) -> String {
    format!("{provider}/{model}@{version}")
}

fn entry(envelope: Envelope, embedded: Embedded, key_id: Option<String>, received: &Received) -> Entry {
    let position = &received.position;
    Entry {
        gate: embedded.gated.then(|| embedded.role.clone().unwrap_or_default()),
        corpus: embedded.corpus,
        model: model_of(&embedded.provider, &embedded.model, &embedded.model_version),
        dims: embedded.dims.unsigned_abs(),
        item_id: embedded.item_id,
        event_id: envelope.id,
        occurred_at: envelope.occurred_at,
        position: (position.topic.to_string(), position.partition, position.offset),
        run_id: embedded.run_id,
        key_id,
        title: embedded.title,
        role: embedded.role,
        metadata: embedded.metadata,
        parts: embedded.parts.into_iter().filter_map(|part| Some((part.text, part.vector?))).collect(),
    }
}

fn fault(error: &CatalogError) -> Fault {
    match error {
        CatalogError::Unusable { .. } => Fault::Lasting { kind: "index", message: error.to_string() },
        _ => Fault::Transient(error.to_string()),
    }
}

#[async_trait]
impl Projection for Indexed {
    async fn progress(&self) -> Result<Progress, Fault> {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut progress = Progress::default();
        for (topic, partition, next) in writer.progress().map_err(|e| fault(&e))? {
            progress.set(topic.as_str(), partition, next);
        }
        Ok(progress)
    }

    async fn apply(&mut self, batch: &[Received], progress: &Progress) -> Result<(), Fault> {
        let changes: Vec<Change> =
            batch.iter().filter_map(|received| self.change(received).transpose()).collect::<Result<_, _>>()?;
        let progress = progress.iter().map(|(topic, partition, next)| (topic.to_string(), partition, next)).collect();
        let writer = self.writer.clone();
        let commit = move || {
            writer.lock().unwrap_or_else(PoisonError::into_inner).commit(&changes, &progress).map_err(|e| fault(&e))
        };
        tokio::task::spawn_blocking(commit).await.map_err(|e| Fault::Transient(e.to_string()))?
    }
}

pub(super) fn topics(context: &Context, generation: &str) -> Vec<String> {
    vec![context.names.derived("embeddings", generation), context.names.topic(decisions::DECISIONS)]
}

/// The generations that have an index.
fn wanted(generations: &Generations) -> BTreeSet<String> {
    generations.of(embedder::NAME).filter(|g| g.state == State::Active).map(|g| g.name.clone()).collect()
}

/// Brings the index of a generation to the end of the log, if no other process keeps it. Whether it did.
pub async fn bring_up(context: &Context, generation: &str) -> Outcome<bool> {
    let mut indexed = match Indexed::open(context, &folder(context, generation)) {
        Err(failure) if failure.message.contains("another process") => return Ok(false),
        indexed => indexed?,
    };
    let cut = ends(context.journal.as_ref(), &topics(context, generation)).await?;
    fold(context.journal.as_ref(), &mut indexed, &cut).await?;
    Ok(true)
}

/// Makes the index of a generation again in `dir`, from the log up to where `cut` is.
pub async fn make_again(
    context: &Context,
    generation: &str,
    dir: &Path,
    cut: &stillhouse_catalog::Progress,
) -> Outcome {
    let mut indexed = Indexed::open(context, dir)?;
    let topics = topics(context, generation);
    let mut upto = Progress::default();
    for (topic, partition, next) in cut.iter().filter(|(topic, ..)| topics.contains(topic)) {
        upto.set(topic.as_str(), *partition, *next);
    }
    Ok(fold(context.journal.as_ref(), &mut indexed, &upto).await?)
}

/// Keeps the indexes of all generations until `stop`.
pub async fn keep(context: Context, stop: CancellationToken) -> Outcome {
    let mut running: BTreeMap<String, (CancellationToken, tokio::task::JoinHandle<()>)> = BTreeMap::new();
    while !stop.is_cancelled() {
        match generations::load(&context, None).await {
            Ok(generations) => {
                let wanted = wanted(&generations);
                let ended: Vec<String> = running
                    .iter()
                    .filter(|(name, (_, task))| !wanted.contains(*name) || task.is_finished())
                    .map(|(name, _)| name.clone())
                    .collect();
                for name in ended {
                    let Some((token, task)) = running.remove(&name) else { continue };
                    token.cancel();
                    if let Err(error) = task.await {
                        tracing::error!(generation = name, %error, "the keeper of an index did not end well");
                    }
                    if !wanted.contains(&name) {
                        // A generation that was dropped is not searched again.
                        let _gone = std::fs::remove_dir_all(folder(&context, &name));
                    }
                }
                for name in wanted {
                    running.entry(name).or_insert_with_key(|name| {
                        let token = stop.child_token();
                        let task = tokio::spawn(keep_one(context.clone(), name.clone(), token.clone()));
                        (token, task)
                    });
                }
            }
            Err(failure) => tracing::warn!(error = failure.message, "the control topic cannot be read"),
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
    for (_, task) in running.into_values() {
        drop(task.await);
    }
    Ok(())
}

async fn keep_one(context: Context, generation: String, stop: CancellationToken) {
    let work = async {
        let topics = topics(&context, &generation);
        // The embedder makes its topic when it starts.
        let known = context.journal.topics().await?;
        if !topics.iter().all(|t| known.iter().any(|k| k.spec.name == *t)) {
            return Ok(());
        }
        let mut indexed = Indexed::open(&context, &folder(&context, &generation))?;
        follow(context.journal.as_ref(), &mut indexed, &topics, EVERY, &stop).await?;
        Ok::<(), Failure>(())
    };
    if let Err(failure) = work.await {
        tracing::warn!(generation, error = failure.message, "an index is not kept; trying again");
    }
}
