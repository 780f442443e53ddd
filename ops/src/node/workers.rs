//! Starting, stopping and watching workers.

use super::letters::Letters;
use crate::context::Context;
use crate::failure::{Failure, Outcome, Status};
use crate::{generations, models};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use stillhouse_processors::control::{Generations, STARTED, State};
use stillhouse_processors::{Definition, PROCESSORS, Settings};
use stillhouse_schemas::Control;
use stillhouse_streams::BatchLimits;
use stillhouse_streams::generation::FIRST;
use stillhouse_streams::runner::{Job, RetryPolicy, Snapshot, Stats, Transform, supervise};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How often the control topic is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Records of a batch where each may need a model's answer.
const ASKING_RECORDS: usize = 50;

/// One worker, as others see it.
#[derive(Clone, Debug)]
pub struct WorkerView {
    /// The processor.
    pub processor: &'static str,
    /// Its generation.
    pub generation: String,
    /// Its consumer group.
    pub group: String,
    /// Physical topics that it reads.
    pub inputs: Vec<String>,
    /// Its counters now.
    pub stats: Snapshot,
}

struct Worker {
    processor: &'static str,
    generation: String,
    group: String,
    inputs: Vec<String>,
    stats: Arc<Stats>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// The workers of this process.
pub struct Workers {
    context: Context,
    only: Vec<&'static Definition>,
    running: Mutex<BTreeMap<String, Worker>>,
}

/// The table entries that `names` mean; none: all of them.
pub fn selection(names: &[String]) -> Outcome<Vec<&'static Definition>> {
    if names.is_empty() {
        return Ok(PROCESSORS.iter().filter(|d| d.is_transform()).collect());
    }
    names
        .iter()
        .map(|name| {
            PROCESSORS.iter().find(|d| d.name == name && d.is_transform()).ok_or_else(|| {
                let known: Vec<&str> = PROCESSORS.iter().filter(|d| d.is_transform()).map(|d| d.name).collect();
                Failure::new(Status::Usage, format!("there is no processor `{name}` that runs as a worker"))
                    .hint(format!("known: {}", known.join(", ")))
            })
        })
        .collect()
}

impl Workers {
    /// No workers yet, for these processors.
    pub fn new(context: Context, only: Vec<&'static Definition>) -> Arc<Self> {
        Arc::new(Self { context, only, running: Mutex::default() })
    }

    /// Makes what runs be what `generations` says.
    pub async fn reconcile(&self, generations: &Generations) -> Outcome {
        let mut wanted = BTreeMap::new();
        for definition in &self.only {
            for generation in generations.of(definition.name).filter(|g| g.state == State::Active) {
                let group = self.context.names.group(definition.name, &generation.name);
                if generation.version != definition.version {
                    // Its topic must not hold the work of two versions of the code.
                    tracing::warn!(
                        group,
                        started_with = generation.version,
                        this_is = definition.version,
                        "not run: `stillhouse rewind` starts a generation of this version"
                    );
                    continue;
                }
                wanted.insert(group, (*definition, generation.clone()));
            }
        }
        let mut stopping = Vec::new();
        {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            let stale: Vec<String> = running
                .iter()
                .filter(|(group, worker)| match wanted.get(*group) {
                    None => true,
                    Some((definition, generation)) => {
                        reads(generations, definition, &generation.name).ok().as_ref() != Some(&worker.inputs)
                    }
                })
                .map(|(group, _)| group.clone())
                .collect();
            stopping.extend(stale.iter().filter_map(|group| running.remove(group)));
        }
        join(stopping).await;
        for (group, (definition, generation)) in wanted {
            if self.running.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&group) {
                continue;
            }
            let worker =
                self.start(definition, &generation.name, &generation.settings, group.clone(), generations).await?;
            self.running.lock().unwrap_or_else(PoisonError::into_inner).insert(group, worker);
        }
        Ok(())
    }

    /// Starts a worker for one generation, whatever else is selected.
    pub async fn start_one(
        &self,
        definition: &'static Definition,
        generation: &str,
        generations: &Generations,
    ) -> Outcome {
        let found =
            generations.active(definition, generation).map_err(|e| Failure::new(Status::NotFound, e.to_string()))?;
        let group = self.context.names.group(definition.name, generation);
        let worker = self.start(definition, generation, &found.settings, group.clone(), generations).await?;
        self.running.lock().unwrap_or_else(PoisonError::into_inner).insert(group, worker);
        Ok(())
    }

    async fn start(
        &self,
        definition: &'static Definition,
        generation: &str,
        settings: &BTreeMap<String, String>,
        group: String,
        generations: &Generations,
    ) -> Outcome<Worker> {
        let context = &self.context;
        let (settings, transform) = build(context, definition, generation, settings)?;
        let inputs = reads(generations, definition, generation)?;
        ensure_outputs(context, definition, generation).await?;
        let routes = definition
            .outputs
            .iter()
            .map(|output| (*output, Arc::from(context.names.derived(output, generation))))
            .collect();
        let runner = &context.settings().runner;
        // Models are slow: what they answered is committed in small steps, so that progress is seen.
        let outside = |uri: &String| stillhouse_lexical::open(uri).is_none();
        let asks = !models::asked(definition.name, &settings).is_empty()
            || models::embedders(definition.name, &settings).iter().any(outside);
        let records = if asks { runner.batch_records.min(ASKING_RECORDS) } else { runner.batch_records };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let job = Job {
            name: format!("{}.{generation}", definition.name),
            group: context.group(group.clone(), inputs.clone()),
            transform,
            routes,
            dead_letters: Arc::new(Letters {
                topic: Arc::from(context.names.topic("deadletters")),
                producer: definition.producer(&settings),
                generation: generation.to_owned(),
                codec: context.codec.clone(),
            }),
            limits: BatchLimits { records, bytes: runner.batch_bytes, ..BatchLimits::default() },
            lanes: if runner.lanes == 0 { cores } else { runner.lanes },
            retry: RetryPolicy { attempts: runner.max_attempts, ..RetryPolicy::default() },
        };
        let (stats, stop) = (Arc::new(Stats::default()), CancellationToken::new());
        let task = tokio::spawn(supervise(context.journal.clone(), job, stats.clone(), stop.clone()));
        tracing::info!(processor = definition.name, generation, ?inputs, "started");
        Ok(Worker { processor: definition.name, generation: generation.to_owned(), group, inputs, stats, stop, task })
    }

    /// The workers now.
    pub fn view(&self) -> Vec<WorkerView> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running
            .values()
            .map(|worker| WorkerView {
                processor: worker.processor,
                generation: worker.generation.clone(),
                group: worker.group.clone(),
                inputs: worker.inputs.clone(),
                stats: worker.stats.snapshot(),
            })
            .collect()
    }

    /// Stops all of them: each finishes or drops its batch, commits, leaves its group.
    pub async fn stop(&self) {
        let all = std::mem::take(&mut *self.running.lock().unwrap_or_else(PoisonError::into_inner));
        join(all.into_values().collect()).await;
    }
}

/// The physical topics that a generation reads.
pub fn reads(generations: &Generations, definition: &'static Definition, generation: &str) -> Outcome<Vec<String>> {
    let inputs =
        generations.inputs(definition, generation).map_err(|e| Failure::new(Status::NotFound, e.to_string()))?;
    Ok(inputs.into_iter().flat_map(|(_, physical)| physical).collect())
}

/// A generation's effective settings, and its transform.
pub fn build(
    context: &Context,
    definition: &'static Definition,
    generation: &str,
    given: &BTreeMap<String, String>,
) -> Outcome<(Settings, Arc<dyn Transform>)> {
    let wrong = |why: String| Failure::new(Status::Config, format!("{} {generation}: {why}", definition.name));
    let settings = definition.settings(given).map_err(|e| wrong(e.to_string()))?;
    let transform = definition.build(&settings, context.ports()).map_err(|e| wrong(e.to_string()))?;
    for uri in models::asked(definition.name, &settings) {
        // Noticed now, and not at the first call.
        context.calls().model(uri)?;
    }
    for uri in models::embedders(definition.name, &settings) {
        context.embedders().check(&uri)?;
    }
    let transform = transform.ok_or_else(|| wrong("it runs when asked for, not as a worker".into()))?;
    Ok((settings, transform))
}

async fn join(workers: Vec<Worker>) {
    for worker in &workers {
        worker.stop.cancel();
    }
    for worker in workers {
        if let Err(error) = worker.task.await {
            tracing::error!(group = worker.group, %error, "a worker did not end well");
        }
    }
}

/// Makes the output topics of a generation, as far as they are missing.
pub(crate) async fn ensure_outputs(context: &Context, definition: &Definition, generation: &str) -> Outcome {
    let existing = context.journal.topics().await?;
    let missing: Vec<_> = definition
        .outputs
        .iter()
        .filter_map(|output| {
            let topic = stillhouse_schemas::topic(output)?;
            let name = context.names.derived(output, generation);
            let known = existing.iter().any(|t| t.spec.name == name);
            (!known).then(|| context.topic_spec(topic, name))
        })
        .collect();
    if missing.is_empty() { Ok(()) } else { Ok(context.journal.ensure(&missing).await?) }
}

/// Records the settings of first generations, so that a later start with other settings is noticed instead of mixing
/// two configurations in one topic.
pub(crate) async fn settle_first_generations(context: &Context) -> Outcome<Generations> {
    let mut generations = generations::load(context, None).await?;
    let mut said = false;
    for definition in PROCESSORS.iter().filter(|d| d.is_transform()) {
        let wanted = context.settings().processors.get(definition.name).cloned().unwrap_or_default();
        let effective = definition
            .settings(&wanted)
            .map_err(|e| Failure::new(Status::Config, format!("processors.{}: {e}", definition.name)))?;
        match generations.of(definition.name).find(|g| g.name == FIRST && g.started_at.is_some()) {
            Some(recorded) => {
                let recorded = definition
                    .settings(&recorded.settings)
                    .map_err(|e| Failure::new(Status::Config, format!("{} {FIRST}: {e}", definition.name)))?;
                if context.settings().processors.contains_key(definition.name)
                    && recorded.config_hash() != effective.config_hash()
                {
                    let sets: Vec<String> = wanted.iter().map(|(k, v)| format!("--set {k}={v}")).collect();
                    return Err(Failure::new(
                        Status::Config,
                        format!("the settings of {} differ from those that {FIRST} was started with", definition.name),
                    )
                    .hint(format!(
                        "start a generation of its own: stillhouse rewind {} --from beginning --as v2 {}",
                        definition.name,
                        sets.join(" ")
                    )));
                }
            }
            None if context.read_only => {}
            None => {
                let control = Control {
                    action: STARTED.into(),
                    processor: definition.name.into(),
                    generation: FIRST.into(),
                    version: definition.version.into(),
                    settings: wanted,
                    ..Control::default()
                };
                let id = stillhouse_schemas::ids::imported(
                    "stillhouse/generation",
                    &context.names.group(definition.name, FIRST),
                );
                generations::say(context, control, Some(id)).await?;
                said = true;
            }
        }
    }
    if said {
        generations = generations::load(context, None).await?;
    }
    Ok(generations)
}

/// Keeps the workers as the control topic says, until `stop`; then stops them.
pub async fn follow_control(workers: Arc<Workers>, stop: CancellationToken) -> Outcome {
    let context = workers.context.clone();
    let topic = context.names.topic(generations::CONTROL);
    // A journal that goes away in the first moments is waited for, as it is later. A broker that has just started does
    // not know its topics for a moment; they were there when the journal was opened.
    let begin = async || -> Outcome<_> {
        let known = settle_first_generations(&context).await?;
        workers.reconcile(&known).await?;
        Ok((known, context.journal.scan(&topic, 0, 0, None).await?))
    };
    let (mut known, mut scan) = loop {
        match begin().await {
            Ok(begun) => break begun,
            Err(failure)
                if matches!(failure.status, Status::Unreachable | Status::NotFound) && !stop.is_cancelled() =>
            {
                tracing::warn!(error = failure.message, "the control topic cannot be read; trying again");
                tokio::time::sleep(LOOK_EVERY).await;
            }
            Err(failure) => return Err(failure),
        }
    };
    let mut fold = Generations::new(context.names.clone());
    while !stop.is_cancelled() {
        match generations::read(&context, scan.as_mut(), &mut fold).await {
            Ok(true) => continue,
            Ok(false) if fold != known => {
                known = fold.clone();
                if let Err(error) = workers.reconcile(&known).await {
                    tracing::error!(%error, "what the control topic says cannot be done");
                }
            }
            Ok(false) => {}
            // Damage does not go away.
            Err(error) if error.status == Status::Invalid => {
                workers.stop().await;
                return Err(error);
            }
            Err(error) => {
                tracing::warn!(%error, "the control topic cannot be read; trying again");
                if let Ok(again) = context.journal.scan(&topic, 0, 0, None).await {
                    (scan, fold) = (again, Generations::new(context.names.clone()));
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
    workers.stop().await;
    Ok(())
}
