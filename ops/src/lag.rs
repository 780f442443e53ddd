//! How far groups are behind, in events and in seconds: for `lag`, `/v1/lag`, `/metrics` and `/readyz` alike.
//!
//! **Events.** End of the partition minus the committed offset. Where that is more than nothing, the first record after
//! the committed offset is read: if there is none up to the end, what is left is markers and gaps (Kafka's transactions
//! leave some), and the lag is 0. With gaps in between it counts offsets and so is an upper bound.
//!
//! **Seconds.** How long the first record that a group has not taken has been waiting: now minus its time stamp, which is
//! the time of its append (by the journal's clock, or by that of a foreign Kafka producer). An old event that was imported
//! a second ago has waited for a second.
//!
//! Reading is all that happens here: no group is joined, nothing moves.

use futures::StreamExt;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
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

/// Measures all groups of an instance. `inputs` adds topics that a group reads and has no progress in yet, `views` what keeps
/// its progress beside the journal, with what it made (indexes).
pub async fn look(
    journal: &dyn Journal,
    names: &Names,
    inputs: &BTreeMap<String, Vec<String>>,
    views: Vec<GroupState>,
    now_ms: i64,
) -> Result<Look> {
    let mut groups = views;
    groups.extend(journal.groups().await?);
    // Ends after progress: progress never appears to be past an end.
    let mut topics = journal.topics().await?;
    topics.retain(|topic| names.owns(&topic.spec.name));
    let known: BTreeMap<&str, &TopicState> = topics.iter().map(|t| (t.spec.name.as_str(), t)).collect();
    let mut lags = Vec::new();
    let idle = |group: &String| GroupState { group: group.clone(), members: 0, progress: Default::default() };
    let missing = inputs.keys().filter(|name| !groups.iter().any(|g| g.group == **name)).map(idle);
    for group in groups.iter().cloned().chain(missing).filter(|g| names.owns(&g.group)) {
        let reads = inputs.get(&group.group).map(Vec::as_slice).unwrap_or_default();
        let partitions = partitions(&group, reads, &known);
        let measured = futures::stream::iter(partitions)
            .map(|place| measure(journal, now_ms, place))
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

async fn measure(journal: &dyn Journal, now_ms: i64, place: Place) -> PartitionLag {
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
    let lag_seconds = timestamp.map_or(0.0, |since| now_ms.saturating_sub(since).max(0) as f64 / 1e3);
    PartitionLag { lag: end - offset, lag_seconds, ..caught_up }
}
