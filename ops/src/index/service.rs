//! Searches of a node: the indexes that are open, the generation that is asked, what is kept of it.

use super::corpora;
use super::live::Live;
use super::search::{Answer, Question, search};
use crate::context::Context;
use crate::failure::{Failure, Outcome, Status};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use stillhouse_processors::control::Generations;
use stillhouse_processors::embedder::{self, Corpus};
use stillhouse_processors::{PROCESSORS, wire};
use stillhouse_schemas::{Envelope, Event, Payload, Producer};
use stillhouse_streams::runner::{ends, passed};
use stillhouse_streams::{Position, Progress};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// How often progress is looked at by those who wait for it.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Searches that wait to be recorded, at most.
const WAITING: usize = 10_000;
/// Searches that are recorded at a time.
const TOGETHER: usize = 500;

/// An open index, with the corpora that it was made for.
#[derive(Clone)]
struct Opened {
    live: Arc<Live>,
    corpora: Arc<Vec<Corpus>>,
}

/// A corpus, as people see it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct CorpusView {
    /// Name.
    pub corpus: String,
    /// Topic.
    pub made_of: &'static str,
    /// Whether roles matter.
    pub gated: bool,
    /// URI of the model.
    pub model: String,
    /// Rows that can be found, by whoever may.
    pub rows: u64,
}

/// The open indexes of a process.
pub struct Searches {
    context: Context,
    open: Mutex<BTreeMap<String, Opened>>,
    opening: tokio::sync::Mutex<()>,
    record: Option<mpsc::Sender<Event>>,
}

impl Searches {
    /// Nothing is open yet, and nothing is recorded.
    pub fn new(context: Context) -> Self {
        Self { context, open: Mutex::default(), opening: tokio::sync::Mutex::default(), record: None }
    }

    /// The same, where every search is recorded; the task ends when this is dropped and all are.
    pub fn recording(context: Context) -> (Self, tokio::task::JoinHandle<()>) {
        let (sender, receiver) = mpsc::channel(WAITING);
        let task = tokio::spawn(record(context.clone(), receiver));
        (Self { record: Some(sender), ..Self::new(context) }, task)
    }

    /// The index of a generation, opened if it is not. Indexes of generations that are no more are closed.
    async fn of(&self, generations: &Generations, generation: &str) -> Outcome<Opened> {
        let known = |open: &BTreeMap<String, Opened>| open.get(generation).cloned();
        let lock = || self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(opened) = known(&lock()) {
            // A folder that was thrown away is made again, by whoever keeps it.
            if opened.live.dir().join(stillhouse_catalog::FILE).exists() {
                return Ok(opened);
            }
            opened.live.end();
            lock().remove(generation);
        }
        let _one = self.opening.lock().await;
        if let Some(opened) = known(&lock()) {
            return Ok(opened);
        }
        let corpora = Arc::new(corpora(generations, generation)?);
        let (context, name) = (self.context.clone(), generation.to_owned());
        let opening = tokio::task::spawn_blocking(move || Live::open(&context, &name));
        let live = opening.await.map_err(|e| Failure::new(Status::Failed, e.to_string()))?.map_err(|failure| {
            if failure.status == Status::NotFound {
                return Failure::new(Status::NotFound, format!("generation `{generation}` has no index yet"))
                    .hint("run `stillhouse up`, or `stillhouse work embedder indexer`");
            }
            failure
        })?;
        live.keep();
        let opened = Opened { live, corpora };
        let mut open = lock();
        let active: BTreeSet<&str> = generations.of(embedder::NAME).map(|g| g.name.as_str()).collect();
        open.retain(|name, opened| {
            let stays = active.contains(name.as_str());
            if !stays {
                opened.live.end();
            }
            stays
        });
        open.insert(generation.to_owned(), opened.clone());
        Ok(opened)
    }

    /// Answers a question, from the live generation unless another is named; first waits, if told to, until what stood
    /// at a position can be found.
    pub async fn search(
        &self,
        generations: &Generations,
        generation: Option<&str>,
        question: Question,
        wait: Option<(&Position, Duration)>,
    ) -> Outcome<Answer> {
        let generation = generation.unwrap_or_else(|| generations.live(embedder::NAME)).to_owned();
        let deadline = wait.map(|(_, time)| Instant::now() + time);
        let target = match wait {
            Some((position, _)) => Some(self.embedded(generations, &generation, position, deadline).await?),
            None => None,
        };
        let opened = loop {
            match self.of(generations, &generation).await {
                // It is made when there is something to put in.
                Err(failure) if failure.status == Status::NotFound && deadline.is_some() => {
                    pause(deadline, "the index").await?;
                }
                opened => break opened?,
            }
        };
        if let Some(target) = target {
            taken_in(&opened.live, &target, deadline).await?;
        }
        let ports = self.context.ports();
        let embedders = ports.embedders.ok_or_else(|| Failure::new(Status::Config, "nothing here makes vectors"))?;
        let answer = search(&opened.live, &opened.corpora, embedders.as_ref(), question.clone()).await?;
        if let Some(record) = &self.record {
            let payload = Payload::Searched(answer.event(&question));
            let envelope = Envelope {
                id: answer.search_id.clone(),
                key: answer.search_id.clone(),
                occurred_at: jiff::Timestamp::now().as_microsecond(),
                producer: Producer {
                    name: "node".into(),
                    version: env!("CARGO_PKG_VERSION").into(),
                    ..Producer::default()
                },
                ..Envelope::default()
            };
            // An answer does not wait for its record; where records cannot keep up, callers do.
            if record.send(Event { envelope, payload }).await.is_err() {
                tracing::error!(search_id = answer.search_id, "a search was not recorded");
            }
        }
        Ok(answer)
    }

    /// Where the embeddings topic ends when everything made of a record is in it.
    async fn embedded(
        &self,
        generations: &Generations,
        generation: &str,
        position: &Position,
        deadline: Option<Instant>,
    ) -> Outcome<Progress> {
        let (journal, names) = (self.context.journal.as_ref(), &self.context.names);
        let embeddings = names.derived("embeddings", generation);
        let mut cut = Progress::default();
        cut.set(position.topic.clone(), position.partition, position.offset + 1);
        for definition in PROCESSORS.iter().filter(|d| d.is_transform()) {
            let of = if definition.name == embedder::NAME { generation } else { generations.live(definition.name) };
            let inputs: Vec<String> = crate::node::reads(generations, definition, of)?;
            let mut wanted = Progress::default();
            for (topic, partition, next) in
                cut.iter().filter(|(topic, ..)| inputs.iter().any(|i| i.as_str() == &***topic))
            {
                wanted.set(topic.clone(), partition, next);
            }
            if wanted.iter().next().is_none() {
                continue;
            }
            let group = names.group(definition.name, of);
            loop {
                let groups = journal.groups().await?;
                let progress = groups.into_iter().find(|g| g.group == group).map(|g| g.progress).unwrap_or_default();
                if passed(journal, &progress, &wanted).await? {
                    break;
                }
                pause(deadline, &group).await?;
            }
            let outputs: Vec<String> = definition.outputs.iter().map(|output| names.derived(output, of)).collect();
            for (topic, partition, end) in ends(journal, &outputs).await?.iter() {
                cut.set(topic.clone(), partition, end);
            }
        }
        let mut target = Progress::default();
        for (topic, partition, end) in cut.iter().filter(|(topic, ..)| ***topic == *embeddings) {
            target.set(topic.clone(), partition, end);
        }
        if target.iter().next().is_none() {
            let what = format!("nothing that is searched is made of `{}`", position.topic);
            return Err(Failure::new(Status::Invalid, what));
        }
        Ok(target)
    }

    /// The corpora of a generation, and how far the log was taken in.
    pub async fn corpora(
        &self,
        generations: &Generations,
        generation: Option<&str>,
    ) -> Outcome<(String, Vec<CorpusView>, stillhouse_catalog::Progress)> {
        let generation = generation.unwrap_or_else(|| generations.live(embedder::NAME));
        let opened = self.of(generations, generation).await?;
        let view = |corpus: &Corpus| CorpusView {
            corpus: corpus.name.clone(),
            made_of: corpus.topic(),
            gated: corpus.gated,
            model: corpus.model.clone(),
            rows: opened.live.rows_of(&corpus.name),
        };
        let progress = opened.live.progress().borrow().clone();
        Ok((generation.to_owned(), opened.corpora.iter().map(view).collect(), progress))
    }

    /// Writes what the next start opens.
    pub async fn close(&self) {
        let open = std::mem::take(&mut *self.open.lock().unwrap_or_else(PoisonError::into_inner));
        let dump = move || {
            for (generation, opened) in open {
                opened.live.end();
                if let Err(failure) = opened.live.dump() {
                    tracing::warn!(generation, error = failure.message, "an index could not be dumped");
                }
            }
        };
        let _ended = tokio::task::spawn_blocking(dump).await;
    }
}

fn late(what: &str) -> Failure {
    Failure::new(Status::Unreachable, format!("{what} has not come so far in the time given"))
        .hint("ask again, wait longer (`timeout_ms`), or see `stillhouse lag`")
}

async fn pause(deadline: Option<Instant>, what: &str) -> Outcome {
    if deadline.is_some_and(|deadline| Instant::now() > deadline) {
        return Err(late(what));
    }
    tokio::time::sleep(LOOK_EVERY).await;
    Ok(())
}

/// Waits until an index has taken in the log up to there.
async fn taken_in(live: &Live, target: &Progress, deadline: Option<Instant>) -> Outcome {
    let mut progress = live.progress();
    let there = |now: &stillhouse_catalog::Progress| {
        let next =
            |topic: &str, partition| now.iter().find(|(t, p, _)| t == topic && *p == partition).map_or(0, |n| n.2);
        target.iter().all(|(topic, partition, end)| next(topic, partition) >= end)
    };
    let waiting = progress.wait_for(there);
    let deadline = deadline.unwrap_or_else(Instant::now);
    match tokio::time::timeout_at(deadline, waiting).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(_)) => Err(Failure::new(Status::Failed, "the index was closed meanwhile")),
        Err(_) => Err(late("the index")),
    }
}

/// Appends what was searched, a few at a time.
async fn record(context: Context, mut searches: mpsc::Receiver<Event>) {
    let topic: Arc<str> = context.names.topic("searches").into();
    let mut events = Vec::with_capacity(TOGETHER);
    while searches.recv_many(&mut events, TOGETHER).await > 0 {
        let batch: Result<Vec<_>, _> =
            events.iter().map(|event| wire::append(topic.clone(), &context.codec, event)).collect();
        match batch {
            Ok(batch) => {
                if let Err(error) = context.journal.append(batch).await {
                    tracing::error!(%error, searches = events.len(), "searches were not recorded");
                }
            }
            Err(error) => tracing::error!(%error, "searches were not recorded"),
        }
        events.clear();
    }
}
