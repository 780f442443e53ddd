//! How far groups are behind, in events and in seconds: for `lag`, `/v1/lag`, `/metrics` and `/readyz` alike.
//!
//! **Events.** End of the partition minus the committed offset. Where that is more than nothing, the first record after
//! the committed offset is read: if there is none up to the end, what is left is markers and gaps (Kafka's transactions
//! leave some), and the lag is 0. With gaps in between it counts offsets and so is an upper bound.
//!
//! **Seconds.** How long the first record that a group has not taken has been waiting. A process that watches the journal
//! ([`Watch`]) knows when it saw the end pass that record, and says so (to the length of its sampling interval). What was there before the
//! watching began, and a single look from the command line, have only the record's own timestamp: when it was appended, by the
//! clock of the journal or of the foreign producer that did it.
//!
//! Reading is all that happens here: no group is joined, nothing moves.

use futures::StreamExt;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use stillhouse_streams::generation::Names;
use stillhouse_streams::{GroupState, Journal, Result, TopicState};

/// One group's lag.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GroupLag {
    /// The group.
    pub group: String,
    /// Members now.
    pub members: usize,
    /// Events behind, over all partitions.
    pub lag: u64,
    /// Longest wait over all partitions; 0 when there is no lag.
    pub lag_seconds: f64,
    /// Per partition, in order of topic and number.
    pub partitions: Vec<PartitionLag>,
}

/// One partition's lag.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PartitionLag {
    /// Physical topic.
    pub topic: Arc<str>,
    /// Number.
    pub partition: u32,
    /// Next offset that the group has not taken.
    pub committed: u64,
    /// End of the partition.
    pub end: u64,
    /// Events behind.
    pub lag: u64,
    /// How long the first of them has waited; 0 when there is none.
    pub lag_seconds: f64,
}

/// Topics and groups at one moment.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// Topics of this instance.
    pub topics: Vec<TopicState>,
    /// Their groups.
    pub groups: Vec<GroupLag>,
}

/// Partitions looked at in parallel.
const AT_A_TIME: usize = 8;
/// The first record of a partition has this long to come; without it only offsets are known.
const PATIENCE: Duration = Duration::from_secs(1);

/// Measures all groups of an instance. `inputs` adds topics that a group reads and has no progress in yet.
pub async fn look(
    journal: &dyn Journal,
    names: &Names,
    inputs: &BTreeMap<String, Vec<String>>,
    watch: Option<&Watch>,
    now_ms: i64,
) -> Result<Look> {
    let groups = journal.groups().await?;
    // Ends after progress: progress never appears to be past an end.
    let mut topics = journal.topics().await?;
    topics.retain(|topic| names.owns(&topic.spec.name));
    if let Some(watch) = watch {
        watch.sample(&topics, now_ms);
    }
    let known: BTreeMap<&str, &TopicState> = topics.iter().map(|t| (t.spec.name.as_str(), t)).collect();
    let mut lags = Vec::new();
    let idle = |group: &String| GroupState { group: group.clone(), members: 0, progress: Default::default() };
    let missing = inputs.keys().filter(|name| !groups.iter().any(|g| g.group == **name)).map(idle);
    for group in groups.iter().cloned().chain(missing).filter(|g| names.owns(&g.group)) {
        let reads = inputs.get(&group.group).map(Vec::as_slice).unwrap_or_default();
        let partitions = partitions(&group, reads, &known);
        let measured = futures::stream::iter(partitions)
            .map(|place| measure(journal, watch, now_ms, place))
            .buffered(AT_A_TIME)
            .collect::<Vec<_>>()
            .await;
        lags.push(GroupLag {
            lag: measured.iter().map(|p| p.lag).sum(),
            lag_seconds: measured.iter().map(|p| p.lag_seconds).fold(0.0, f64::max),
            group: group.group,
            members: group.members,
            partitions: measured,
        });
    }
    lags.sort_by(|a, b| a.group.cmp(&b.group));
    Ok(Look { topics, groups: lags })
}

/// Where a group stands in a partition.
struct Place {
    topic: Arc<str>,
    partition: u32,
    committed: u64,
    end: u64,
}

/// All partitions of the topics that a group reads: where it has committed nothing, it stands at the start.
fn partitions(group: &GroupState, reads: &[String], known: &BTreeMap<&str, &TopicState>) -> Vec<Place> {
    let mut names: Vec<&str> =
        group.progress.iter().map(|(topic, ..)| &**topic).chain(reads.iter().map(String::as_str)).collect();
    names.sort_unstable();
    names.dedup();
    let mut all = Vec::new();
    for name in names {
        let Some(topic) = known.get(name) else { continue };
        let name: Arc<str> = Arc::from(name);
        for (partition, state) in (0..).zip(&topic.partitions) {
            let committed = group.progress.get(&name, partition).unwrap_or(0);
            all.push(Place { topic: name.clone(), partition, committed: committed.max(state.start), end: state.end });
        }
    }
    all
}

async fn measure(journal: &dyn Journal, watch: Option<&Watch>, now_ms: i64, place: Place) -> PartitionLag {
    let Place { topic, partition, committed, end } = place;
    let caught_up = PartitionLag { topic: topic.clone(), partition, committed, end, lag: 0, lag_seconds: 0.0 };
    if committed >= end {
        return caught_up;
    }
    let reading = async { journal.scan(&topic, partition, committed, Some(end)).await?.next(1).await };
    let (offset, timestamp) = match tokio::time::timeout(PATIENCE, reading).await {
        Ok(Ok(page)) => match page.first() {
            Some(first) => (first.offset, Some(first.record.timestamp)),
            None => return caught_up,
        },
        Ok(Err(error)) => {
            tracing::warn!(%topic, partition, committed, %error, "the first record behind a group cannot be read");
            (committed, None)
        }
        Err(_) => (committed, None),
    };
    let since = watch.and_then(|watch| watch.appended(&topic, partition, offset)).or(timestamp);
    let lag_seconds = since.map_or(0.0, |since| now_ms.saturating_sub(since).max(0) as f64 / 1e3);
    PartitionLag { lag: end - offset, lag_seconds, ..caught_up }
}

/// Remembers when ends moved, to tell when an offset was appended.
#[derive(Debug, Default)]
pub struct Watch(Mutex<HashMap<(String, u32), Samples>>);

/// When an end was first seen (ms), and the end.
type Samples = VecDeque<(i64, u64)>;

/// Samples per partition. Beyond it the older half is thinned out: old waits need less precision.
const SAMPLES: usize = 128;

impl Watch {
    /// Notes the ends as they are now. Partitions of topics that are gone are forgotten.
    pub fn sample(&self, topics: &[TopicState], now_ms: i64) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(name, _), _| topics.iter().any(|t| t.spec.name == *name));
        for topic in topics {
            for (partition, state) in (0..).zip(&topic.partitions) {
                let samples = all.entry((topic.spec.name.clone(), partition)).or_default();
                if samples.back().is_some_and(|(_, end)| *end >= state.end) {
                    continue;
                }
                samples.push_back((now_ms, state.end));
                if samples.len() > SAMPLES {
                    // The first sample stays: it says what was there before the watching began.
                    let mut index = 0;
                    samples.retain(|_| {
                        index += 1;
                        index == 1 || index > SAMPLES / 2 || index % 2 == 1
                    });
                }
            }
        }
    }

    /// When the record at `offset` was first seen to be there; nothing if it was there before the watching began.
    pub fn appended(&self, topic: &str, partition: u32, offset: u64) -> Option<i64> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let samples = all.get(&(topic.to_owned(), partition))?;
        let first = samples.front()?;
        if first.1 > offset {
            return None;
        }
        samples.iter().find(|(_, end)| *end > offset).map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stillhouse_streams::{Cleanup, PartitionState, TopicSpec};

    fn topic(end: u64) -> [TopicState; 1] {
        let spec = TopicSpec { name: "runs".into(), partitions: 1, cleanup: Cleanup::Keep };
        [TopicState { spec, partitions: vec![PartitionState { start: 0, end }] }]
    }

    #[test]
    fn a_watch_tells_when_an_offset_came() {
        let watch = Watch::default();
        watch.sample(&topic(10), 1_000);
        watch.sample(&topic(10), 2_000);
        watch.sample(&topic(20), 3_000);
        watch.sample(&topic(21), 4_000);
        assert_eq!(watch.appended("runs", 0, 9), None, "there before");
        assert_eq!(watch.appended("runs", 0, 10), Some(3_000));
        assert_eq!(watch.appended("runs", 0, 20), Some(4_000));
        assert_eq!(watch.appended("runs", 0, 21), None, "not there yet");
        watch.sample(&[], 5_000);
        assert_eq!(watch.appended("runs", 0, 10), None, "the topic is gone");
    }

    #[test]
    fn a_watch_is_bounded_and_keeps_its_beginning() {
        let watch = Watch::default();
        for n in 0..10_000 {
            watch.sample(&topic(n), i64::try_from(n).unwrap() * 1_000);
        }
        assert!(watch.0.lock().unwrap()[&("runs".to_owned(), 0)].len() <= SAMPLES);
        assert_eq!(watch.appended("runs", 0, 9_998), Some(9_999_000));
        let old = watch.appended("runs", 0, 5_000).unwrap();
        assert!(old >= 5_001_000, "never before it was there");
    }
}
