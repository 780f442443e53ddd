//! What is left out, as operators see it: the quarantine topics, folded with what they decided; and deciding.

use crate::context::Context;
use crate::decisions;
use crate::events::{Log, Read, Records};
use crate::failure::{Failure, Outcome, Status};
use crate::generations;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use stillhouse_processors::decisions::{DISCARDED, RELEASED};
use stillhouse_processors::quarantine::{Fold, Ground, Release, Word, cause, may_release};
use stillhouse_processors::{Decisions, Definition, Generations, Maker, materializer, wire};
use stillhouse_schemas::{Decision, Payload, Quarantined};

/// How an entry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Left out.
    Open,
    /// Let in: by a rule, or by an operator from the next export on.
    Released,
    /// Left out for good.
    Discarded,
}

impl State {
    /// In a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Released => "released",
            Self::Discarded => "discarded",
        }
    }
}

/// Which entries are meant.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Those that stand so; none: whatever state.
    pub state: Option<State>,
    /// Those that were left out for this.
    pub reason: Option<String>,
    /// Those with this id, or about this event or run.
    pub id: Option<String>,
}

/// What was left out.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// Id of the last event about it.
    pub id: String,
    /// `materializer` or `exporter`.
    pub stage: String,
    /// How it stands.
    pub state: State,
    /// The run.
    pub run_id: String,
    /// The event that was left out.
    pub event_id: String,
    /// Kind of dataset, if it is about one.
    pub kind: Option<String>,
    /// Stable code of the reason.
    pub reason: String,
    /// In words.
    pub detail: String,
    /// The rule.
    pub rule: String,
    /// Its version.
    pub rule_version: String,
    /// When.
    pub occurred_at: String,
    /// Where the event stands.
    pub position: String,
    /// Who let it in or discarded it.
    pub by: Option<String>,
    /// Whether an operator may let it in; if not, what helps.
    pub remedy: Option<&'static str>,
}

/// Entries by stage, reason and rule.
pub type Counts = BTreeMap<(String, String, String), u64>;

/// What was left out and is meant: how many by stage, reason and rule, and the first of them.
pub async fn entries<'a>(log: impl Into<Log<'a>>, filter: &Filter, limit: usize) -> Outcome<(Counts, Vec<Entry>)> {
    let log = log.into();
    let generations = generations::load(log, None).await?;
    let decisions = decisions::load(log, None).await?;
    let topics = generations.resolve("quarantine").map_err(|e| Failure::new(Status::Failed, e.to_string()))?;
    let (mut counts, mut entries) = (Counts::new(), Vec::new());
    for topic in &topics {
        let fold = fold(log, topic).await?;
        let mut chosen: Vec<(&Word, State)> = fold
            .words()
            .map(|word| (word, state(&decisions, word, fold.ground(word))))
            .filter(|(word, state)| {
                filter.state.is_none_or(|wanted| wanted == *state)
                    && filter.reason.as_ref().is_none_or(|reason| *reason == fold.ground(word).reason)
            })
            .collect();
        chosen.sort_by_key(|(word, _)| (word.partition, word.offset));
        let stage = topic_stage(log, topic);
        if filter.id.is_none() {
            for (word, _) in &chosen {
                let Ground { reason, rule, rule_version, .. } = fold.ground(word);
                let rule = format!("{rule} {rule_version}");
                *counts.entry((stage.clone(), reason.clone(), rule)).or_default() += 1;
            }
            chosen.truncate(limit.saturating_sub(entries.len()));
        }
        entries.extend(details(log, topic, &stage, &chosen, (filter, &decisions)).await?);
    }
    if filter.id.is_some() {
        for entry in &entries {
            let rule = format!("{} {}", entry.rule, entry.rule_version);
            *counts.entry((entry.stage.clone(), entry.reason.clone(), rule)).or_default() += 1;
        }
    }
    Ok((counts, entries))
}

fn topic_stage(log: Log<'_>, topic: &str) -> String {
    let bare = topic.strip_prefix(log.names.prefix()).unwrap_or(topic);
    bare.split('.').nth(1).unwrap_or(bare).to_owned()
}

async fn fold(log: Log<'_>, topic: &str) -> Outcome<Fold> {
    let mut fold = Fold::default();
    let mut records = Records::of(log, &[topic.to_owned()]).await?;
    while let Some(page) = records.events().await? {
        for (position, read) in page {
            if let Read::Event(event) = read {
                fold.apply(&event, &position);
            }
        }
    }
    Ok(fold)
}

fn state(decisions: &Decisions, word: &Word, ground: &Ground) -> State {
    if !word.open {
        return State::Released;
    }
    let decided = decisions.about(&word.event.to_string(), ground.kind.as_deref().unwrap_or_default());
    match decided {
        Some(ruling) if ruling.decision.action == DISCARDED => State::Discarded,
        Some(ruling) if ruling.code() == ground.reason => State::Released,
        _ => State::Open,
    }
}

/// Reads the events of these words: one more pass over the topic, whatever their number.
async fn details(
    log: Log<'_>,
    topic: &str,
    stage: &str,
    chosen: &[(&Word, State)],
    (filter, decisions): (&Filter, &Decisions),
) -> Outcome<Vec<Entry>> {
    let mut by_id: BTreeMap<String, State> = chosen.iter().map(|(word, state)| (word.id.to_string(), *state)).collect();
    let mut entries = Vec::new();
    let mut records = Records::of(log, &[topic.to_owned()]).await?;
    while !by_id.is_empty()
        && let Some(page) = records.events().await?
    {
        for (position, read) in page {
            let Read::Event(event) = read else { continue };
            let Some(state) = by_id.remove(&event.envelope.id) else { continue };
            let (q, by) = match event.payload {
                Payload::Quarantined(q) => (q, None),
                Payload::Released(r) => {
                    let detail = format!("left out by {} before", r.quarantined_id);
                    let (stage, kind) = (r.stage, r.kind);
                    let (run_id, event_id, reason) = (r.run_id, r.event_id, r.reason);
                    let (rule, rule_version) = (r.rule, r.rule_version);
                    (Quarantined { run_id, event_id, stage, reason, detail, rule, rule_version, kind }, Some(r.by))
                }
                _ => continue,
            };
            let asked = |id: &String| [&event.envelope.id, &q.event_id, &q.run_id].contains(&id);
            if !filter.id.as_ref().is_none_or(asked) {
                continue;
            }
            let decided = decisions.about(&q.event_id, q.kind.as_deref().unwrap_or_default());
            let by = by.or_else(|| decided.filter(|_| state != State::Open).map(|d| d.decision.by.clone()));
            let remedy = match may_release(&q.reason) {
                Release::Never(remedy) if state == State::Open => Some(remedy),
                _ => None,
            };
            entries.push(Entry {
                id: event.envelope.id,
                stage: stage.to_owned(),
                state,
                run_id: q.run_id,
                event_id: q.event_id,
                kind: q.kind,
                reason: q.reason,
                detail: q.detail,
                rule: q.rule,
                rule_version: q.rule_version,
                occurred_at: stillhouse_schemas::time::format(event.envelope.occurred_at),
                position: position.to_string(),
                by,
                remedy,
            });
        }
    }
    Ok(entries)
}

/// The entry that an id means: its own, or of the event or run that it is about.
pub async fn find<'a>(log: impl Into<Log<'a>>, id: &str) -> Outcome<Vec<Entry>> {
    let filter = Filter { id: Some(id.to_owned()), ..Filter::default() };
    let (_, entries) = entries(log, &filter, usize::MAX).await?;
    if entries.is_empty() {
        return Err(Failure::new(Status::NotFound, format!("nothing in quarantine is, or is about, `{id}`"))
            .hint("`stillhouse quarantine list`; an entry that another generation made anew has another id"));
    }
    Ok(entries)
}

/// Lets entries in from the next export on. All or none: one that may not be let in refuses all, with what helps.
pub async fn release<'a>(
    log: impl Into<Log<'a>>,
    entries: Vec<Entry>,
    (why, by): (&str, &str),
) -> Outcome<(Vec<Entry>, Vec<Entry>)> {
    let (todo, done): (Vec<Entry>, Vec<Entry>) = entries.into_iter().partition(|entry| entry.state != State::Released);
    let refused: Vec<&Entry> = todo.iter().filter(|e| may_release(&e.reason) != Release::Operator).collect();
    if let Some(first) = refused.first() {
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        refused.iter().for_each(|entry| *reasons.entry(&entry.reason).or_default() += 1);
        let counts: Vec<String> = reasons.iter().map(|(reason, n)| format!("{n} of {reason}")).collect();
        let remedy = match may_release(&first.reason) {
            Release::Never(remedy) => remedy.replace("RUN", &first.run_id),
            Release::Operator => String::new(),
        };
        return Err(Failure::new(
            Status::Invalid,
            format!(
                "{} ({}, run {}) cannot be released; nothing was ({})",
                first.id,
                first.reason,
                first.run_id,
                counts.join(", ")
            ),
        )
        .hint(remedy));
    }
    let say = |entry: &Entry| {
        let reason = if why.is_empty() { entry.reason.clone() } else { format!("{}: {why}", entry.reason) };
        about(entry, RELEASED, reason, by)
    };
    decide(log.into(), todo.iter().map(say).collect()).await?;
    Ok((todo, done))
}

/// Leaves entries out for good.
pub async fn discard<'a>(
    log: impl Into<Log<'a>>,
    entries: Vec<Entry>,
    (why, by): (&str, &str),
) -> Outcome<(Vec<Entry>, Vec<Entry>)> {
    let (todo, done): (Vec<Entry>, Vec<Entry>) = entries.into_iter().partition(|entry| entry.state != State::Discarded);
    let say = |entry: &Entry| about(entry, DISCARDED, why.to_owned(), by);
    decide(log.into(), todo.iter().map(say).collect()).await?;
    Ok((todo, done))
}

fn about(entry: &Entry, action: &str, reason: String, by: &str) -> Decision {
    Decision {
        action: action.into(),
        run_id: Some(entry.run_id.clone()),
        event_id: Some(entry.event_id.clone()),
        kind: entry.kind.clone(),
        reason,
        by: by.to_owned(),
        ..Decision::default()
    }
}

async fn decide(log: Log<'_>, decisions: Vec<Decision>) -> Outcome {
    for part in decisions.chunks(1_000) {
        decisions::say(log, part.to_vec()).await?;
    }
    Ok(())
}

/// Says what a promoted generation of the materializer makes evidence of that the one before left out. Once: saying it
/// again changes nothing.
pub async fn released_by_promotion(
    context: &Context,
    known: &Generations,
    definition: &'static Definition,
    (before, after): (&str, &str),
) -> Outcome<usize> {
    if definition.name != materializer::NAME || before == after {
        return Ok(0);
    }
    let (old, new) = (known.output(materializer::QUARANTINE, before), known.output(materializer::QUARANTINE, after));
    let left = fold(context.into(), &old).await?;
    let open: BTreeMap<String, &Word> =
        left.words().filter(|word| word.open).map(|word| (word.event.to_string(), word)).collect();
    if open.is_empty() {
        return Ok(0);
    }
    let said: BTreeSet<String> = {
        let mut ids = BTreeSet::new();
        let mut records = Records::of(context, std::slice::from_ref(&new)).await?;
        while let Some(page) = records.page().await? {
            ids.extend(page.iter().filter_map(|r| r.record.id()).map(str::to_owned));
        }
        ids
    };
    let generation = known.active(definition, after).map_err(|e| Failure::new(Status::NotFound, e.to_string()))?;
    let settings =
        definition.settings(&generation.settings).map_err(|e| Failure::new(Status::Failed, e.to_string()))?;
    let maker = Maker::new(definition.producer(&settings));
    let topic: Arc<str> = Arc::from(new.as_str());
    let mut batch = Vec::new();
    let mut records = Records::of(context, &[known.output("evidence", after)]).await?;
    while let Some(page) = records.events().await? {
        for (position, read) in page {
            let Read::Event(evidence) = read else { continue };
            let Some(word) = evidence.envelope.causes.first().and_then(|cause| open.get(&cause.id)) else { continue };
            let quarantined = cause(word, &old);
            let released = materializer::released(&maker, (&evidence, &position), &quarantined, left.ground(word));
            if let Some(event) = released.filter(|event| !said.contains(&event.envelope.id)) {
                let append = wire::append(topic.clone(), &context.codec, &event);
                batch.push(append.map_err(|e| Failure::new(Status::Failed, e.to_string()))?);
            }
        }
    }
    let released = batch.len();
    for part in batch.chunks(500) {
        context.journal.append(part.to_vec()).await?;
    }
    Ok(released)
}
