//! Whether the node can do its work, and what its processors say about themselves.

use crate::lag::{self, Look};
use async_trait::async_trait;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::{Duration, Instant};
use stillhouse_processors::Generations;
use stillhouse_streams::generation::Names;
use stillhouse_streams::runner::{Snapshot, State};
use stillhouse_streams::{Error, ErrorKind, GroupState, Journal, Result};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

/// What the API asks the node.
#[async_trait]
pub trait Node: Send + Sync + 'static {
    /// The processors that run in this process.
    fn processors(&self) -> Vec<ProcessorStatus>;

    /// The generations, as the control topic says now.
    async fn generations(&self) -> Result<Arc<Generations>>;

    /// What keeps its progress beside the journal.
    fn views(&self) -> Vec<GroupState> {
        Vec::new()
    }

    /// Why the node cannot work yet, or any more (starting, stopping); nothing when it can.
    fn hindrance(&self) -> Option<String> {
        None
    }
}

/// A node without processors: the API alone, with first generations.
#[derive(Debug)]
pub struct Alone(pub Names);

#[async_trait]
impl Node for Alone {
    fn processors(&self) -> Vec<ProcessorStatus> {
        Vec::new()
    }

    async fn generations(&self) -> Result<Arc<Generations>> {
        Ok(Arc::new(Generations::new(self.0.clone())))
    }
}

/// A processor that runs here.
#[derive(Clone, Debug, Serialize)]
pub struct ProcessorStatus {
    /// Name.
    pub processor: String,
    /// Its code's version.
    pub version: String,
    /// Generation.
    pub generation: String,
    /// Its consumer group.
    pub group: String,
    /// Physical topics read.
    pub inputs: Vec<String>,
    /// Physical topics written.
    pub outputs: Vec<String>,
    /// Counters.
    #[serde(flatten)]
    pub stats: Snapshot,
}

/// Looks at journal and processors, not more often than it is worth.
pub struct Health {
    journal: Arc<dyn Journal>,
    names: Names,
    node: Arc<dyn Node>,
    stall: Duration,
    started_ms: i64,
    last: Mutex<Option<(Instant, Arc<Look>)>>,
    stalls: StdMutex<HashMap<String, (i64, u64)>>,
}

/// A look is good for this long.
const FRESH: Duration = Duration::from_secs(1);
/// The journal has this long to answer.
const ANSWER: Duration = Duration::from_secs(3);
/// How often [`Health::watch`] looks.
const EVERY: Duration = Duration::from_secs(5);

impl Health {
    /// `stall`: how long a processor may make no progress while its lag grows.
    pub fn new(journal: Arc<dyn Journal>, names: Names, node: Arc<dyn Node>, stall: Duration) -> Self {
        Self { journal, names, node, stall, started_ms: now_ms(), last: Mutex::default(), stalls: StdMutex::default() }
    }

    /// The node behind it.
    pub fn node(&self) -> &dyn Node {
        &*self.node
    }

    /// Keeps looking, so that stalls are known before anybody asks. Ends with `stop`.
    pub async fn watch(&self, stop: CancellationToken) {
        let mut said = Vec::new();
        while stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
            let reasons = self.reasons().await;
            // Said when it changes, not every time: figures in a reason change all the time.
            match (said.is_empty(), reasons.is_empty()) {
                (true, false) => tracing::warn!(?reasons, "the node is not ready"),
                (false, true) => tracing::info!("the node is ready again"),
                _ => (),
            }
            said = reasons;
        }
    }

    /// Lag of all groups, at most a second old.
    pub async fn look(&self) -> Result<Arc<Look>> {
        let mut last = self.last.lock().await;
        if let Some((at, look)) = last.as_ref()
            && at.elapsed() < FRESH
        {
            return Ok(look.clone());
        }
        let inputs: BTreeMap<_, _> = self.node.processors().into_iter().map(|p| (p.group, p.inputs)).collect();
        let looking = lag::look(&*self.journal, &self.names, &inputs, self.node.views(), now_ms());
        let look = tokio::time::timeout(ANSWER, looking).await.unwrap_or_else(|_| {
            let message = format!("the journal did not answer in {} seconds", ANSWER.as_secs());
            Err(Error::new(ErrorKind::Unavailable, message))
        })?;
        let look = Arc::new(look);
        *last = Some((Instant::now(), look.clone()));
        Ok(look)
    }

    /// Why the node is not ready; empty when it is.
    pub async fn reasons(&self) -> Vec<String> {
        let mut reasons: Vec<String> = self.node.hindrance().into_iter().collect();
        match self.look().await {
            Err(error) => reasons.push(format!("journal: {error}")),
            Ok(look) => reasons.extend(self.stalled(&look, now_ms())),
        }
        reasons
    }

    /// Processors without progress for the time allowed, whose lag is larger than when they last made some.
    fn stalled(&self, look: &Look, now_ms: i64) -> Vec<String> {
        let lags: HashMap<&str, u64> = look.groups.iter().map(|g| (g.group.as_str(), g.lag)).collect();
        let mut stalls = self.stalls.lock().unwrap_or_else(PoisonError::into_inner);
        let processors = self.node.processors();
        stalls.retain(|group, _| processors.iter().any(|p| p.group == *group));
        let mut reasons = Vec::new();
        for processor in processors {
            let lag = lags.get(processor.group.as_str()).copied().unwrap_or(0);
            let progress = processor.stats.last_progress.max(self.started_ms);
            let entry = stalls.entry(processor.group.clone()).or_insert((progress, 0));
            if entry.0 != progress || lag == 0 {
                *entry = (progress, lag);
            }
            if processor.stats.state == State::Failed {
                reasons.push(format!("{}: {}", processor.group, processor.stats.error.unwrap_or_default()));
                continue;
            }
            let silent = u64::try_from(now_ms.saturating_sub(progress)).unwrap_or(0);
            if lag > entry.1 && u128::from(silent) >= self.stall.as_millis() {
                let error = processor.stats.error.map(|e| format!(" ({e})")).unwrap_or_default();
                reasons.push(format!(
                    "{}: no progress for {} seconds while its lag grew to {lag}{error}",
                    processor.group,
                    silent / 1_000
                ));
            }
        }
        reasons
    }
}

impl std::fmt::Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Health").field("names", &self.names).field("stall", &self.stall).finish_non_exhaustive()
    }
}

pub(crate) fn now_ms() -> i64 {
    super::intake::now_micros() / 1_000
}
