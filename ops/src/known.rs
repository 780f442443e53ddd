//! What validators know: the rosters, and what sources claim, as the log tells both by now.
//!
//! [`LoggedClaims`] is the topic `claims`, followed and kept in memory by entity and attribute, some 400 bytes a claim; what
//! is held is decided when it is asked for, by the rule of the live reconciler. A person's claims leave it with their key.
//!
//! Deliberately absent: what was taken out of runs (`extracted`). It follows what validators look at, and would make what
//! they find depend on which of the two was faster.

use crate::claims::rule;
use crate::context::Context;
use crate::events::Log;
use crate::failure::Outcome;
use crate::generations::{self, CONTROL};
use crate::rosters::LoggedRosters;
use async_trait::async_trait;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;
use stillhouse_processors::decisions::ERASED;
use stillhouse_processors::reconciler::{NAME, Rule, Word, word};
use stillhouse_processors::{Known, wire};
use stillhouse_schemas::claims::{Claims, Held};
use stillhouse_schemas::{Codec, CodecError, Micros, Payload};
use stillhouse_streams::generation::Names;
use stillhouse_streams::runner::ends;
use stillhouse_streams::{Journal, Progress};
use tokio_util::sync::CancellationToken;

/// How often the ends of the topics are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Events of a page.
const PAGE: usize = 1_000;
const CLAIMS: &str = "claims";
const DECISIONS: &str = "decisions";

/// The claims about an entity, by attribute.
type Words = HashMap<Box<str>, Vec<Word>>;

/// What the log tells by now.
#[derive(Default)]
struct Told {
    rule: Option<Rule>,
    words: HashMap<Box<str>, Words>,
}

/// What sources claim.
pub struct LoggedClaims {
    journal: Arc<dyn Journal>,
    codec: Codec,
    names: Names,
    /// Settings of a reconciler that never ran.
    configured: Option<BTreeMap<String, String>>,
    told: RwLock<Told>,
    /// The offsets that reading goes on from.
    next: tokio::sync::Mutex<Progress>,
}

impl fmt::Debug for LoggedClaims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoggedClaims").field("entities", &self.told().words.len()).finish()
    }
}

impl LoggedClaims {
    /// Of the topic of this instance. Nothing is read before [`LoggedClaims::catch_up`].
    pub fn new(context: &Context) -> Self {
        Self {
            journal: context.journal.clone(),
            codec: context.codec.clone(),
            names: context.names.clone(),
            configured: context.settings().processors.get(NAME).cloned(),
            told: RwLock::default(),
            next: tokio::sync::Mutex::default(),
        }
    }

    fn told(&self) -> RwLockReadGuard<'_, Told> {
        self.told.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self) -> RwLockWriteGuard<'_, Told> {
        self.told.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn log(&self) -> Log<'_> {
        Log { journal: self.journal.as_ref(), codec: &self.codec, names: &self.names }
    }

    /// Reads what the log says by now.
    pub async fn catch_up(&self) -> Outcome {
        let mut next = self.next.lock().await;
        let topics = [CLAIMS, CONTROL, DECISIONS].map(|topic| self.names.topic(topic));
        let [claims, control, decisions] = &topics;
        let now = ends(self.journal.as_ref(), &topics).await?;
        if self.told().rule.is_none() || now.get(control, 0) != next.get(control, 0) {
            let generations = generations::load(self.log(), now.get(control, 0)).await?;
            let rule = rule(&generations, self.configured.as_ref())?;
            self.tell().rule = Some(rule);
        }
        let (from, end) = (next.get(decisions, 0).unwrap_or(0), now.get(decisions, 0).unwrap_or(0));
        if from < end && self.somebody_was_erased(decisions, from, end).await? {
            self.tell().words.clear();
            *next = next
                .iter()
                .filter(|(topic, ..)| topic.as_ref() != claims.as_str())
                .map(|(t, p, n)| (t.clone(), p, n))
                .collect();
        }
        for (topic, partition, end) in now.iter().filter(|(topic, ..)| topic.as_ref() == claims.as_str()) {
            let from = next.get(topic, partition).unwrap_or(0);
            if from < end {
                self.read(topic, partition, from, end).await?;
                next.set(topic.clone(), partition, end);
            }
        }
        *next = now;
        Ok(())
    }

    async fn somebody_was_erased(&self, topic: &str, from: u64, end: u64) -> Outcome<bool> {
        let mut scan = self.journal.scan(topic, 0, from, Some(end)).await?;
        loop {
            let page = scan.next(PAGE).await?;
            if page.is_empty() {
                return Ok(false);
            }
            let erased = page.iter().any(|stored| match wire::stored(&self.codec, stored) {
                Ok(Some(event)) => matches!(event.payload, Payload::Decision(decision) if decision.action == ERASED),
                _ => false,
            });
            if erased {
                return Ok(true);
            }
        }
    }

    async fn read(&self, topic: &str, partition: u32, from: u64, end: u64) -> Outcome {
        let mut scan = self.journal.scan(topic, partition, from, Some(end)).await?;
        loop {
            let page = scan.next(PAGE).await?;
            if page.is_empty() {
                return Ok(());
            }
            let mut words = Vec::with_capacity(page.len());
            for stored in &page {
                match wire::stored(&self.codec, stored) {
                    // What the reconciler does not take counts nowhere.
                    Ok(Some(event)) => words.extend(word(event)),
                    Ok(None) | Err(CodecError::Erased { .. }) => {}
                    Err(error) => {
                        let offset = stored.offset;
                        tracing::warn!(partition, offset, %error, "a claim cannot be read; it is left out");
                    }
                }
            }
            let mut told = self.tell();
            for word in words {
                let attributes = told.words.entry(word.claim.entity.as_str().into()).or_default();
                attributes.entry(word.claim.attribute.as_str().into()).or_default().push(word);
            }
        }
    }
}

impl Claims for LoggedClaims {
    fn rule(&self) -> String {
        self.told().rule.as_ref().map(|rule| rule.config_hash().to_owned()).unwrap_or_default()
    }

    fn knows(&self, entity: &str) -> bool {
        self.told().words.contains_key(entity)
    }

    fn held(&self, entity: &str, attribute: &str, at: Micros) -> Option<Held> {
        let told = self.told();
        let words = told.words.get(entity)?.get(attribute)?;
        Some(Held::from(told.rule.as_ref()?.held(words, at)?))
    }

    fn same(&self, attribute: &str, a: &str, b: &str) -> bool {
        self.told().rule.as_ref().is_some_and(|rule| rule.same(attribute, a, b))
    }
}

/// Rosters and claims, kept up with the log.
#[derive(Debug)]
pub struct KnownByLog {
    rosters: Arc<LoggedRosters>,
    claims: Arc<LoggedClaims>,
    /// When a reading began that ended well.
    read_at: AtomicI64,
}

impl KnownByLog {
    /// Of these two.
    pub fn new(rosters: Arc<LoggedRosters>, claims: Arc<LoggedClaims>) -> Self {
        Self { rosters, claims, read_at: AtomicI64::new(Micros::MIN) }
    }

    /// The rosters.
    pub fn rosters(&self) -> &Arc<LoggedRosters> {
        &self.rosters
    }

    /// The claims.
    pub fn claims(&self) -> &Arc<LoggedClaims> {
        &self.claims
    }

    /// Reads what the log says by now.
    pub async fn catch_up(&self) -> Outcome {
        let began = jiff::Timestamp::now().as_microsecond();
        self.rosters.catch_up().await?;
        self.claims.catch_up().await?;
        self.read_at.fetch_max(began, Ordering::Relaxed);
        Ok(())
    }

    /// Keeps both as the log says, until `stop`.
    pub async fn keep(&self, stop: &CancellationToken) {
        let mut failing = false;
        while !stop.is_cancelled() {
            match self.catch_up().await {
                Ok(()) => failing = false,
                Err(error) if failing => tracing::debug!(%error, "rosters and claims still cannot be read"),
                Err(error) => {
                    tracing::warn!(%error, "rosters and claims cannot be read; they stay as they are meanwhile");
                    failing = true;
                }
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }
}

#[async_trait]
impl Known for KnownByLog {
    /// What is of a time to come is looked up in what is known now.
    async fn until(&self, at: Micros) -> Result<(), String> {
        let now = jiff::Timestamp::now().as_microsecond();
        if self.read_at.load(Ordering::Relaxed) > at.min(now) {
            return Ok(());
        }
        self.catch_up().await.map_err(|failure| failure.to_string())
    }
}
