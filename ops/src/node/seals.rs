//! Seals what stands in the topics, on journals that have no hash chain of their own, and compares later.
//!
//! The sealer is one group over all topics that are kept whole: what it read and the seals over it are one commit, so
//! every record is sealed once, by whichever node comes first. The key is a file of this node (`<data>/seals`), outside
//! of what it guards.

use crate::context::Context;
use crate::failure::{Failure, Outcome, Status};
use crate::settings::Settings;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use stillhouse_files::keys::FileKeys;
use stillhouse_processors::seals::{self, Comparison, SEALS};
use stillhouse_processors::wire;
use stillhouse_schemas::{Envelope, Event, Keys, Micros, Payload, Producer, SubjectKey, ids};
use stillhouse_streams::runner::ends;
use stillhouse_streams::{BatchLimits, Cleanup, ErrorKind, Progress, Scan, Session, Stored, TopicState, Verified};
use tokio_util::sync::CancellationToken;

/// The group, and the name that seals are signed with.
const SEALER: &str = "sealer";
/// What the key of a node is kept under.
const OWN_KEY: &str = "seals of this node";
/// Records of a range, at most: what is read and hashed at a time.
const RANGE: BatchLimits = BatchLimits { records: 5_000, bytes: 8 << 20, wait: Duration::from_millis(500) };
/// Records of a partition held while comparing.
const PAGE: usize = 500;

/// Whether the journal of these settings needs seals, because it has no hash chain.
pub fn needed(settings: &Settings) -> bool {
    !crate::journals::uri(settings).starts_with("embedded:")
}

/// Seals what is new, every so often, until told to stop; the last time at the end.
pub async fn keep(context: Context, stop: CancellationToken) {
    let every = Duration::from_secs(context.settings().kafka.seal_seconds);
    if every.is_zero() || !needed(context.settings()) {
        return;
    }
    let mut known = Known::default();
    while !stop.is_cancelled() {
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(every) => {}
        }
        match seal(&context, &mut known).await {
            Ok(0) => {}
            Ok(records) => tracing::debug!(records, "sealed"),
            Err(failure) => tracing::warn!(error = %failure.message, "nothing could be sealed; it is tried again"),
        }
    }
}

/// The last range of every partition, as far as the topic of seals has been read.
#[derive(Default)]
pub struct Known {
    read: u64,
    last: BTreeMap<(String, i64), (i64, String)>,
}

impl Known {
    async fn refresh(&mut self, context: &Context) -> Outcome {
        let topic = context.names.topic(SEALS);
        let end = ends(context.journal.as_ref(), std::slice::from_ref(&topic)).await?.get(&topic, 0).unwrap_or(0);
        let mut scan = context.journal.scan(&topic, 0, self.read, Some(end)).await?;
        loop {
            let page = scan.next(PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            for range in page.iter().filter_map(|stored| seals::range(&context.codec, stored)) {
                self.last.insert((range.topic, range.partition), (range.last, range.hash));
            }
            self.read = last.offset + 1;
        }
    }
}

/// Topics that are sealed: this instance's, but for those whose records may go at any time, and the seals themselves.
fn sealed_topics(context: &Context, topics: &[TopicState]) -> Vec<String> {
    let seals = context.names.topic(SEALS);
    let ours = topics.iter().filter(|topic| topic.spec.cleanup != Cleanup::Compact);
    ours.map(|topic| topic.spec.name.clone()).filter(|name| context.names.owns(name) && *name != seals).collect()
}

/// Seals what stands in the topics now and is not sealed yet; how many records that was.
pub async fn seal(context: &Context, known: &mut Known) -> Outcome<u64> {
    let key = keys(context)?.seal_key(OWN_KEY).map_err(|e| Failure::new(Status::Config, e.to_string()))?;
    let topics = sealed_topics(context, &context.journal.topics().await?);
    let cut = ends(context.journal.as_ref(), &topics).await?;
    let mut session = context.journal.join(&context.group(context.names.group(SEALER, "v1"), topics)).await?;
    let sealed = seal_until(context, session.as_mut(), &cut, &key, known).await;
    session.leave().await?;
    sealed
}

async fn seal_until(
    context: &Context,
    session: &mut dyn Session,
    cut: &Progress,
    key: &SubjectKey,
    known: &mut Known,
) -> Outcome<u64> {
    let mut records = 0;
    // A turn without records is a rebalance, or the end; others may hold the partitions.
    let mut idle = 0;
    while idle < 6 {
        let batch = session.next(&RANGE).await?;
        if batch.records.is_empty() {
            idle += u32::from(!session.assignment().is_empty()) * 2 + 1;
            continue;
        }
        idle = 0;
        known.refresh(context).await?;
        let mut parts: BTreeMap<(Arc<str>, u32), Vec<_>> = BTreeMap::new();
        for received in &batch.records {
            let at = &received.position;
            parts.entry((at.topic.clone(), at.partition)).or_default().push((at.offset, &received.record));
        }
        let mut outputs = Vec::with_capacity(parts.len());
        for ((topic, partition), part) in parts {
            let last = known.last.get(&(topic.to_string(), i64::from(partition)));
            let previous = last.map(|(_, hash)| hash.as_str()).unwrap_or_default();
            if let Some(range) = seals::seal(&topic, partition, previous, part, key) {
                let append = wire::append(context.names.topic(SEALS), &context.codec, &event(range, now()));
                outputs.push(append.map_err(|e| Failure::new(Status::Failed, e.to_string()))?);
            }
        }
        match session.commit(outputs, &batch.progress).await {
            Ok(_) => records += batch.records.len() as u64,
            Err(error) if matches!(error.kind(), ErrorKind::Fenced | ErrorKind::Indeterminate) => {
                session.rewind().await?;
                continue;
            }
            Err(error) => return Err(error.into()),
        }
        let done = |(topic, partition, end): (&Arc<str>, u32, u64)| {
            end == 0 || batch.progress.get(topic, partition).is_some_and(|next| next >= end)
        };
        if cut.iter().all(done) {
            break;
        }
    }
    Ok(records)
}

fn now() -> Micros {
    jiff::Timestamp::now().as_microsecond()
}

fn event(range: stillhouse_schemas::RangeSealed, occurred_at: Micros) -> Event {
    let producer = Producer { name: SEALER.into(), version: "1".into(), ..Producer::default() };
    let id = ids::derived(&[&range.hash], SEALER, "1", &range.key_id, SEALS, 0);
    let envelope = Envelope { id, key: range.topic.clone(), occurred_at, producer, ..Envelope::default() };
    Event { envelope, payload: Payload::RangeSealed(range) }
}

fn keys(context: &Context) -> Outcome<FileKeys> {
    let data = context.data();
    FileKeys::open(&data.join("seals"), &data.join("seals.id"))
        .map_err(|e| Failure::new(Status::Config, format!("the key that seals: {e}")))
}

/// One partition while it is compared.
struct Walk {
    scan: Box<dyn Scan>,
    ahead: Vec<Stored>,
    comparison: Comparison,
}

impl Walk {
    /// The records up to and including `last`.
    async fn up_to(&mut self, last: u64) -> Outcome<Vec<Stored>> {
        let mut out = Vec::new();
        loop {
            let within = self.ahead.partition_point(|stored| stored.offset <= last);
            out.extend(self.ahead.drain(..within));
            if !self.ahead.is_empty() {
                return Ok(out);
            }
            self.ahead = self.scan.next(PAGE).await?;
            if self.ahead.is_empty() {
                return Ok(out);
            }
        }
    }
}

/// Compares the topics with their seals, and adds what is found to `verified`.
pub async fn compare(context: &Context, verified: &mut Verified) -> Outcome {
    let topics = context.journal.topics().await?;
    let sealed = sealed_topics(context, &topics);
    let keys = keys(context)?;
    let mut found: BTreeMap<String, Option<SubjectKey>> = BTreeMap::new();
    let mut walks: BTreeMap<(String, i64), Walk> = BTreeMap::new();
    let mut gone = 0_u64;
    let topic = context.names.topic(SEALS);
    let end = ends(context.journal.as_ref(), std::slice::from_ref(&topic)).await?.get(&topic, 0);
    let mut seals_read = context.journal.scan(&topic, 0, 0, end).await?;
    loop {
        let page = seals_read.next(PAGE).await?;
        if page.is_empty() {
            break;
        }
        for stored in &page {
            let Some(range) = seals::range(&context.codec, stored) else { continue };
            let place = (range.topic.clone(), range.partition);
            if !walks.contains_key(&place) {
                // A generation that was dropped took its topics with it; `control` says so.
                let Some(topic) = topics.iter().find(|topic| topic.spec.name == range.topic) else {
                    gone += 1;
                    continue;
                };
                let number = u32::try_from(range.partition).unwrap_or(u32::MAX);
                let Some(state) = topic.partitions.get(number as usize) else { continue };
                let scan = context.journal.scan(&range.topic, number, state.start, Some(state.end)).await?;
                let comparison = Comparison::new(&range.topic, number, state.start);
                walks.insert(place.clone(), Walk { scan, ahead: Vec::new(), comparison });
            }
            let Some(walk) = walks.get_mut(&place) else { continue };
            if walk.comparison.damage.is_some() {
                continue;
            }
            if !found.contains_key(&range.key_id) {
                found.insert(range.key_id.clone(), keys.open_key(&range.key_id).ok().flatten());
            }
            let records = walk.up_to(u64::try_from(range.last).unwrap_or(0)).await?;
            let key = found.get(&range.key_id).and_then(Option::as_ref);
            walk.comparison.take(&range, &records, key);
        }
    }
    let mut unsealed = 0;
    for (name, number, state) in topics.iter().flat_map(|topic| {
        (0_i64..).zip(&topic.partitions).map(|(number, state)| (topic.spec.name.clone(), number, state))
    }) {
        if sealed.contains(&name) {
            // The end may stand after the marker of a transaction, which is no record.
            let more = match walks.get_mut(&(name, number)) {
                Some(walk) => !walk.ahead.is_empty() || !walk.scan.next(1).await?.is_empty(),
                None => state.end > state.start,
            };
            unsealed += u64::from(more);
        }
    }
    let sum = |of: fn(&Comparison) -> u64| walks.values().map(|walk| of(&walk.comparison)).sum::<u64>();
    verified.note = format!(
        "seals: {} records as they were sealed, {} let go by retention since, {unsealed} partitions go on after their \
         last seal{}{}",
        sum(|c| c.held),
        sum(|c| c.retired),
        if gone > 0 { format!(", {gone} ranges of topics that were dropped") } else { String::new() },
        match sum(|c| c.unkeyed) {
            0 => String::new(),
            n => format!("; {n} ranges were sealed with keys that are not here, so only their digests were compared"),
        },
    );
    verified.damage.extend(walks.into_values().filter_map(|walk| walk.comparison.damage));
    Ok(())
}
