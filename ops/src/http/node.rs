//! The API as part of a node: settings and workers in, a server out.

use super::health::{Health, Node, ProcessorStatus};
use super::{Access, HttpState, Limits, Serving, router, serve};
use crate::context::Context;
use crate::failure::{Failure, Outcome, Status};
use crate::generations;
use crate::index::{self, service::Searches};
use crate::node::Workers;
use crate::settings::Settings;
use async_trait::async_trait;
use std::sync::Arc;
use std::time::{Duration, Instant};
use stillhouse_processors::{Generations, processor};
use stillhouse_streams::generation::Names;
use stillhouse_streams::{Error, ErrorKind, GroupState, Result};
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

/// Who may call, by the settings.
pub fn access(settings: &Settings) -> Outcome<Access> {
    let tokens = settings.http.tokens.iter().map(|t| (t.name.as_str(), t.sha256.as_str(), t.roles.as_slice()));
    let access = Access::new(tokens, &settings.http.hosts).map_err(|message| Failure::new(Status::Config, message))?;
    Ok(access.searching_as(settings.http.tokens.iter().map(|t| (t.name.as_str(), t.search_roles.as_slice()))))
}

/// Binds the address of the settings, if it may be listened on.
pub async fn listen(settings: &Settings) -> Outcome<TcpListener> {
    let access = access(settings)?;
    let wanted = &settings.http.listen;
    let addresses: Vec<_> = tokio::net::lookup_host(wanted)
        .await
        .map_err(|e| {
            Failure::new(Status::Config, format!("http.listen = `{wanted}`: {e}"))
                .hint("write ADDRESS:PORT, as in 127.0.0.1:7600")
        })?
        .collect();
    for address in &addresses {
        access.check_listen(address).map_err(|message| Failure::new(Status::Config, message))?;
    }
    TcpListener::bind(addresses.as_slice()).await.map_err(|e| {
        Failure::new(Status::Failed, format!("cannot listen on {wanted}: {e}"))
            .hint("choose another address with --listen ADDRESS:PORT")
    })
}

/// Serves until `stop`.
pub async fn run(context: Context, workers: Arc<Workers>, listener: TcpListener, stop: CancellationToken) -> Outcome {
    let settings = context.settings();
    let access = access(settings)?;
    access.check_listen(&listener.local_addr()?).map_err(|message| Failure::new(Status::Config, message))?;
    let limits = Limits {
        body_bytes: settings.http.max_body_bytes,
        connections: settings.http.max_connections,
        ..Limits::default()
    };
    let stall = Duration::from_secs(settings.runner.stall_seconds);
    let (models, kept) = (&settings.models, context.embedders());
    for uri in std::iter::once(&models.embed).chain(&models.embedders).filter(|uri| !uri.is_empty()) {
        kept.check(uri)?;
    }
    for uri in std::iter::once(&models.generate).chain(&models.generators).filter(|uri| !uri.is_empty()) {
        context.calls().model(uri)?;
    }
    let serving = Serving::new(kept.cache.clone(), Some(context.calls()), models).on(kept);
    let (searches, recording) = if settings.search.record {
        let (searches, task) = Searches::recording(context.clone());
        (Arc::new(searches), Some(task))
    } else {
        (Arc::new(Searches::new(context.clone())), None)
    };
    let checks = Arc::new(crate::checks::Checks::new(&context)?);
    let (journal, codec, names) = (context.journal.clone(), context.codec.clone(), context.names.clone());
    let node = Arc::new(Standing { context, workers, last: Mutex::default(), stop: stop.clone() });
    let health = Arc::new(Health::new(journal.clone(), names.clone(), node, stall));
    let state = HttpState::new(journal, codec, names, health.clone(), access, limits)
        .serving(serving)
        .searching(searches.clone())
        .checking(checks);
    let watching = tokio::spawn({
        let stop = stop.clone();
        async move { health.watch(stop).await }
    });
    let served = serve(listener, router(state.clone()), &state, stop).await;
    watching.abort();
    drop(state);
    searches.close().await;
    drop(searches);
    if let Some(recording) = recording {
        // What was answered is recorded before the journal is closed.
        let _ended = tokio::time::timeout(Duration::from_secs(10), recording).await;
    }
    served.map_err(Failure::from)
}

fn physical(names: &Names, logical: &str, generation: &str) -> String {
    match stillhouse_schemas::topic(logical) {
        Some(topic) if !topic.derived => names.topic(logical),
        _ => names.derived(logical, generation),
    }
}

/// A node with workers.
struct Standing {
    context: Context,
    workers: Arc<Workers>,
    last: Mutex<Option<(Instant, Arc<Generations>)>>,
    stop: CancellationToken,
}

/// The control topic is read at most this often.
const FRESH: Duration = Duration::from_millis(500);

#[async_trait]
impl Node for Standing {
    fn processors(&self) -> Vec<ProcessorStatus> {
        let names = &self.context.names;
        let status = |worker: crate::node::WorkerView| {
            let definition = processor(worker.processor).ok();
            let outputs = definition.map_or(&[][..], |d| d.outputs);
            ProcessorStatus {
                processor: worker.processor.to_owned(),
                version: definition.map_or("", |d| d.version).to_owned(),
                outputs: outputs.iter().map(|output| physical(names, output, &worker.generation)).collect(),
                generation: worker.generation,
                group: worker.group,
                inputs: worker.inputs,
                stats: worker.stats,
            }
        };
        self.workers.view().into_iter().map(status).collect()
    }

    fn views(&self) -> Vec<GroupState> {
        index::views(&self.context)
    }

    async fn generations(&self) -> Result<Arc<Generations>> {
        let mut last = self.last.lock().await;
        if let Some((at, generations)) = last.as_ref()
            && at.elapsed() < FRESH
        {
            return Ok(generations.clone());
        }
        let loaded = generations::load(&self.context, None).await;
        let generations = Arc::new(loaded.map_err(|failure| Error::new(ErrorKind::Unavailable, failure.message))?);
        *last = Some((Instant::now(), generations.clone()));
        Ok(generations)
    }

    fn hindrance(&self) -> Option<String> {
        self.stop.is_cancelled().then(|| "the node is stopping".to_owned())
    }
}
