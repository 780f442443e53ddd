//! Erasure: a person's data made unreadable, and everything that was made of it made again without.
//!
//! ```text
//!   decisions ◀─ erased               1. said, by the pseudonym of the key: nobody's name is in the journal
//!   key store ─▶ destroyed            2. what was sealed with it can never be read again, in backups neither
//!   exports   ◀─ exported             3. every dataset that held rows of it derived again
//!   files     ─▶ removed              4. of the old ones a manifest stays that says so
//!   decisions ◀─ erasure_certified    5. what was done, and what remains
//! ```
//!
//! Every step can be repeated, and none needs what an earlier one destroyed: an erasure that was cut short anywhere goes
//! on with the next call. The journal itself is not touched: its checksums and hashes are over what is stored.
//!
//! What is absent: reach beyond this journal, its key store and the directories that its exports were written to. What
//! was copied elsewhere, and events that were appended without sealing, are named in the certificate as remaining.

use crate::commands::export;
use crate::context::Context;
use crate::datasets::{self, Version};
use crate::decisions;
use crate::events::{Records, own_topics};
use crate::failure::{Failure, Outcome, Status};
use crate::journals;
use crate::recall;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use stillhouse_files::dataset::{self, Tombstone};
use stillhouse_files::keys::FileKeys;
use stillhouse_processors::Decisions;
use stillhouse_processors::decisions::{DECISIONS, ERASED, Ruling};
use stillhouse_processors::wire;
use stillhouse_schemas::{Decision, ErasureCertified, Payload, Rebuilt, ids};
use stillhouse_streams::{Position, Received};
use tokio_util::sync::CancellationToken;

/// Whom, and by whom.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The person, as events name them.
    pub subject: Option<String>,
    /// Or the pseudonym of their key.
    pub key_id: Option<String>,
    /// Why. Must not name the person.
    pub reason: String,
    /// Who decides.
    pub by: String,
}

/// What has been done: told after each, and whoever is told may stop it there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The decision stands.
    Decided,
    /// The key is gone.
    Destroyed,
    /// A dataset was derived again.
    Derived(String),
    /// The files of a dataset are gone.
    Removed(String),
    /// The certificate stands.
    Certified,
}

/// What the journal holds of a person.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Traces {
    /// Pseudonym of the key.
    pub key_id: String,
    /// Events that are sealed with it.
    pub events: u64,
    /// Runs that they are about.
    pub runs: BTreeSet<String>,
    /// Events that no key protects: how many of each topic, with the first position.
    pub unsealed: BTreeMap<String, (u64, String)>,
    #[serde(skip)]
    sources: Vec<Position>,
}

/// How an erasure ended.
#[derive(Clone, Debug, Serialize)]
pub struct Done {
    /// It had been done before; nothing was changed.
    pub done_before: bool,
    /// What was certified.
    pub certificate: ErasureCertified,
}

/// Pseudonym of the key that is meant: of one that is there, or of an erasure that was begun.
pub async fn key_of(context: &Context, request: &Request) -> Outcome<String> {
    let store = journals::key_store(context.settings())?;
    let failed = |e: stillhouse_schemas::KeysError| Failure::new(Status::Config, e.to_string());
    let decisions = decisions::load(context, None).await?;
    let Some(subject) = &request.subject else {
        let key_id = request.key_id.clone().unwrap_or_default();
        let known = decisions.erased(&key_id).is_some()
            || match &store {
                Some(store) => store.has(&key_id).map_err(failed)?,
                None => false,
            };
        let missing = || Failure::new(Status::NotFound, format!("there is no key `{key_id}`"));
        return if known { Ok(key_id) } else { Err(missing()) };
    };
    if let Some(store) = &store {
        if let Some(key_id) = store.key_of(subject).map_err(failed)? {
            return Ok(key_id);
        }
        // The last one: a person who came back after an erasure has another key.
        let mut begun = Vec::new();
        for (key_id, ruling) in decisions.erasures() {
            if store.belongs(key_id, subject).map_err(failed)? {
                begun.push((ruling.position.offset, key_id.to_owned()));
            }
        }
        if let Some((_, key_id)) = begun.into_iter().max() {
            return Ok(key_id);
        }
    }
    let unsealed = unsealed(context, subject).await?;
    let open: u64 = unsealed.values().map(|(events, _)| events).sum();
    if open > 0 {
        let places: Vec<String> =
            unsealed.iter().map(|(t, (n, first))| format!("{n} in {t} (first {first})")).collect();
        return Err(Failure::new(
            Status::Config,
            format!("{open} events name this person and none is sealed, so no key can be destroyed: {}", places.join(", ")),
        )
        .hint(
            "sealing (`privacy.seal = true`) protects what is appended from then on. What is here already leaves only with \
             its journal: turn sealing on, import what may stay into a new instance (--instance NAME), delete the old one; \
             on Kafka, retention removes it",
        ));
    }
    let seals = context.settings().privacy.seal || store.is_some();
    let failure = Failure::new(Status::NotFound, "nothing here names this person: nothing was erased");
    Err(if seals {
        failure.hint("subjects are spelled as events name them: `stillhouse show EVENT`")
    } else {
        failure
            .hint("sealing is off (`privacy.seal`): events name their subjects in the clear, and could not be erased")
    })
}

/// Erases; `told` hears of each step.
pub async fn erase(
    context: &Context,
    request: &Request,
    stop: &CancellationToken,
    told: &mut (dyn FnMut(Step) -> Outcome + Send),
) -> Outcome<Done> {
    if request.subject.as_ref().is_some_and(|subject| request.reason.contains(subject.as_str())) {
        return Err(Failure::new(Status::Usage, "the reason names the person: it would stay in the journal for ever")
            .hint("say it without the name: a number of the request, say"));
    }
    let key_id = key_of(context, request).await?;
    let mut known = decisions::load(context, None).await?;
    if let Some(certificate) = known.certified(&key_id) {
        return Ok(Done { done_before: true, certificate: certificate.clone() });
    }
    if known.erased(&key_id).is_none() {
        let decision = Decision {
            action: ERASED.into(),
            key_id: Some(key_id.clone()),
            reason: request.reason.clone(),
            by: request.by.clone(),
            ..Decision::default()
        };
        decisions::say(context, vec![decision]).await?;
        known = decisions::load(context, None).await?;
    }
    told(Step::Decided)?;
    destroy(context, &key_id)?;
    told(Step::Destroyed)?;
    let ruling = known.erased(&key_id).cloned();
    let ruling = ruling.ok_or_else(|| Failure::new(Status::Failed, "the decision is not in the journal"))?;
    let traces = traces(context, &key_id, request.subject.as_deref()).await?;
    for version in datasets::load(context).await? {
        settle(context, (&version, &ruling, &traces), stop, told).await?;
    }
    let certificate = certificate(context, request, &traces, (&ruling, &known)).await?;
    let id = ids::derived(&[ruling.id()], "operator", "", "", DECISIONS, 0);
    decisions::say_once(context, id, Payload::ErasureCertified(certificate.clone())).await?;
    told(Step::Certified)?;
    Ok(Done { done_before: false, certificate })
}

fn destroy(context: &Context, key_id: &str) -> Outcome {
    let store = journals::key_store(context.settings())?;
    let failed = |e: stillhouse_schemas::KeysError| Failure::new(Status::Failed, e.to_string());
    store.as_ref().map(|store: &FileKeys| store.destroy_key(key_id).map_err(failed)).transpose()?;
    Ok(())
}

/// Derives a version again that held rows of it, and removes its files. What was done before is not done again.
async fn settle(
    context: &Context,
    (version, ruling, traces): (&Version, &Ruling, &Traces),
    stop: &CancellationToken,
    told: &mut (dyn FnMut(Step) -> Outcome + Send),
) -> Outcome {
    let name = &version.exported.dataset;
    let done = version.successors.iter().find(|s| s.causes.iter().any(|cause| cause == ruling.id()));
    let superseded_by = match done {
        Some(successor) => successor.dataset.clone(),
        None => {
            let mut holds = false;
            for place in &version.places {
                let dataset = dataset::Dataset::open(place).map_err(export::refused)?;
                holds |= dataset.manifest().erased.is_none()
                    && !dataset.holding(&traces.runs).map_err(export::refused)?.is_empty();
            }
            if !holds {
                return Ok(());
            }
            let causes = [(&version.envelope, &version.position), (&ruling.envelope, &ruling.position)];
            let causes = causes.map(|(envelope, position)| (envelope.clone(), position.clone())).to_vec();
            let reports = recall::derive(context, version, causes, None, stop).await?;
            let after = reports.first().map(|report| report.dataset.clone()).unwrap_or_default();
            told(Step::Derived(name.clone()))?;
            after
        }
    };
    for place in &version.places {
        let tombstone = Tombstone {
            why: "it held data of a person that was erased: its files were removed, and its cut is not reproducible"
                .into(),
            decision_id: ruling.id().to_owned(),
            superseded_by: Some(superseded_by.clone()),
        };
        dataset::bury(place, tombstone).map_err(export::refused)?;
        told(Step::Removed(name.clone()))?;
    }
    Ok(())
}

/// What was done, as the journal has it, and what is beyond reach.
async fn certificate(
    context: &Context,
    request: &Request,
    traces: &Traces,
    (ruling, decisions): (&Ruling, &Decisions),
) -> Outcome<ErasureCertified> {
    let (mut rebuilt, mut remaining) = (Vec::new(), Vec::new());
    for version in datasets::load(context).await? {
        let done = version.successors.iter().rev().find(|s| s.causes.iter().any(|cause| cause == ruling.id()));
        if let Some(successor) = done {
            rebuilt.push(Rebuilt {
                what: "dataset".into(),
                before: version.exported.dataset.clone(),
                after: Some(successor.dataset.clone()),
                removed: version.exported.rows - successor.rows,
            });
        } else if version.places.is_empty() && may_hold(&version, traces, decisions, context)? {
            let place = version.exported.location.as_deref().unwrap_or("a place that is not known");
            remaining.push(format!(
                "dataset {}, written to {place}, is not there any more: what was copied from it may hold rows of these runs",
                version.exported.dataset
            ));
        }
    }
    for (topic, (events, first)) in &traces.unsealed {
        remaining.push(format!("{events} events in {topic} are not sealed and stay readable, the first at {first}"));
    }
    if let (Some(subject), Some(store)) = (&request.subject, journals::key_store(context.settings())?)
        && store.key_of(subject).map_err(|e| Failure::new(Status::Failed, e.to_string()))?.is_some()
    {
        remaining.push("events about this person came in meanwhile, under a new key: erase once more".into());
    }
    Ok(ErasureCertified {
        key_id: traces.key_id.clone(),
        events: i64::try_from(traces.events).unwrap_or(i64::MAX),
        runs: traces.runs.iter().cloned().collect(),
        rebuilt,
        remaining,
        decision_id: ruling.id().to_owned(),
    })
}

/// Whether a dataset whose files are out of sight was made of a cut with such a run in it, before the erasure.
fn may_hold(version: &Version, traces: &Traces, decisions: &Decisions, context: &Context) -> Outcome<bool> {
    let cut = export::cut_of(&version.exported)?;
    let decided = cut.get(&context.names.topic(DECISIONS), 0).unwrap_or(0);
    let later = decisions.erased(&traces.key_id).is_some_and(|ruling| ruling.position.offset >= decided);
    let inside =
        |position: &Position| cut.get(&position.topic, position.partition).is_some_and(|end| position.offset < end);
    Ok(later && traces.sources.iter().any(inside))
}

/// What is sealed with a key, and what of the same runs or person is not. Needs no key.
pub async fn traces(context: &Context, key_id: &str, subject: Option<&str>) -> Outcome<Traces> {
    let mut traces = Traces { key_id: key_id.to_owned(), ..Traces::default() };
    let topics: Vec<String> = own_topics(context).await?;
    let sources: BTreeSet<String> = stillhouse_schemas::TOPICS
        .iter()
        .filter(|topic| topic.events.contains(&"run"))
        .map(|topic| context.names.topic(topic.name))
        .collect();
    let mut sealed = BTreeSet::new();
    let mut records = Records::of(context, &topics).await?;
    while let Some(page) = records.page().await? {
        for received in &page {
            let Some((envelope, key)) = clear(context, received) else { continue };
            if key.as_deref() == Some(key_id) {
                if sources.iter().any(|source| **source == *received.position.topic) {
                    traces.sources.push(received.position.clone());
                }
                traces.runs.insert(envelope.key);
                sealed.insert(envelope.id);
            } else if key.is_none() && subject.is_some() && envelope.subject.as_deref() == subject {
                note(&mut traces.unsealed, received);
            }
        }
    }
    traces.events = sealed.len() as u64;
    // Of the same runs, what says something of its own and is not sealed: a label's note, a model's call.
    let mut records = Records::of(context, &topics).await?;
    while let Some(page) = records.page().await? {
        for received in &page {
            // What is sealed with another's key is protected by that.
            let Some((_, None)) = clear(context, received) else { continue };
            let Ok(Some(event)) = wire::received(&context.codec, received) else { continue };
            let speaks = matches!(
                event.payload,
                Payload::Run(_)
                    | Payload::Evidence(_)
                    | Payload::Label(_)
                    | Payload::Claim(_)
                    | Payload::CallRequested(_)
                    | Payload::CallReplied(_)
                    | Payload::Replayed(_)
            );
            let of_run = event.payload.run_id().is_some_and(|run| traces.runs.contains(run));
            if speaks && of_run && (subject.is_none() || event.envelope.subject.as_deref() != subject) {
                note(&mut traces.unsealed, received);
            }
        }
    }
    Ok(traces)
}

async fn unsealed(context: &Context, subject: &str) -> Outcome<BTreeMap<String, (u64, String)>> {
    let mut unsealed = BTreeMap::new();
    let mut records = Records::of(context, &own_topics(context).await?).await?;
    while let Some(page) = records.page().await? {
        for received in &page {
            if let Some((envelope, None)) = clear(context, received)
                && envelope.subject.as_deref() == Some(subject)
            {
                note(&mut unsealed, received);
            }
        }
    }
    Ok(unsealed)
}

fn note(unsealed: &mut BTreeMap<String, (u64, String)>, received: &Received) {
    let entry = unsealed.entry(received.position.topic.to_string());
    entry.or_insert_with(|| (0, received.position.to_string())).0 += 1;
}

fn clear(context: &Context, received: &Received) -> Option<(stillhouse_schemas::Envelope, Option<String>)> {
    context.codec.clear(received.record.value.as_deref()?).ok()
}
