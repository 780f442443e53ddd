//! What a member of a group owns, as its consumer's callbacks tell it.

use crate::client::Signs;
use crate::error::fail;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use stillhouse_streams::{Error, ErrorKind, Result};

/// A partition of a topic.
pub(crate) type Place = (Arc<str>, u32);

/// How long the group's offsets may take to come, at an assignment. A transaction of a member that died holds them
/// back until the brokers abort it, so it is longer than that takes.
const OFFSETS: Duration = Duration::from_secs(25);

/// The context of a member's consumer.
#[derive(Default)]
pub(crate) struct Ownership {
    pub(crate) signs: Signs,
    changed: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    owned: BTreeMap<Place, u64>,
    /// Counts assignments; each gives its number to the partitions it brings.
    assignments: u64,
    trouble: Option<Error>,
}

impl Ownership {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anything changed since the last call.
    pub(crate) fn take_change(&self) -> bool {
        self.changed.swap(false, Ordering::AcqRel)
    }

    /// The partitions owned, each with the number of the assignment that brought it.
    pub(crate) fn owned(&self) -> BTreeMap<Place, u64> {
        self.state().owned.clone()
    }

    /// Whether there has been an assignment, be it an empty one.
    pub(crate) fn is_settled(&self) -> bool {
        self.state().assignments > 0
    }

    /// Why the last assignment could not be taken up, once.
    pub(crate) fn take_trouble(&self) -> Option<Error> {
        self.state().trouble.take()
    }

    fn assigned(&self, consumer: &BaseConsumer<Self>, partitions: &TopicPartitionList) {
        let begun = begin(consumer, partitions);
        let mut state = self.state();
        state.assignments += 1;
        let number = state.assignments;
        match begun {
            Ok(places) => state.owned = places.into_iter().map(|place| (place, number)).collect(),
            Err(error) => {
                state.owned.clear();
                state.trouble = Some(error);
            }
        }
        drop(state);
        self.changed.store(true, Ordering::Release);
    }

    fn revoked(&self, consumer: &BaseConsumer<Self>) {
        // Of the range assignor: everything goes, and what stays comes back with the next assignment.
        self.state().owned.clear();
        self.changed.store(true, Ordering::Release);
        if let Err(error) = consumer.unassign() {
            tracing::debug!(target: "stillhouse_kafka", "giving partitions back: {error}");
        }
    }
}

impl ClientContext for Ownership {
    fn log(&self, level: rdkafka::config::RDKafkaLogLevel, facility: &str, message: &str) {
        self.signs.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.signs.error(&error, reason);
    }
}

impl ConsumerContext for Ownership {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, event: RDKafkaRespErr, partitions: &mut TopicPartitionList) {
        if event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            self.assigned(consumer, partitions);
        } else {
            self.revoked(consumer);
        }
    }
}

/// Takes up an assignment where the group stands, and at the beginning of partitions where it stands nowhere.
fn begin(consumer: &BaseConsumer<Ownership>, partitions: &TopicPartitionList) -> Result<Vec<Place>> {
    let taken = starts(consumer, partitions)
        .and_then(|starts| consumer.assign(&starts).map(|()| places(&starts)))
        .map_err(|e| fail("beginning where the group stands", &e));
    if taken.is_err() {
        // The protocol wants an answer to every assignment.
        drop(consumer.unassign());
    }
    taken
}

/// Where to begin: the committed offsets, or the beginning; waits for transactions that hold them back.
pub(crate) fn starts(
    consumer: &BaseConsumer<Ownership>,
    partitions: &TopicPartitionList,
) -> KafkaResult<TopicPartitionList> {
    if partitions.count() == 0 {
        return Ok(TopicPartitionList::new());
    }
    let deadline = Instant::now() + OFFSETS;
    let committed = loop {
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(100));
        let answer = consumer.committed_offsets(bare(partitions)?, left.min(Duration::from_secs(10)));
        let answer = answer.and_then(|list| list.elements().iter().try_for_each(|e| e.error()).map(|()| list));
        match answer {
            Ok(list) => break list,
            Err(error) => {
                let held_back = error.rdkafka_error_code() == Some(Code::UnstableOffsetCommit);
                if !held_back || Instant::now() > deadline {
                    return Err(error);
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    };
    let mut starts = TopicPartitionList::with_capacity(committed.count());
    for element in committed.elements() {
        let offset = match element.offset() {
            Offset::Offset(next) => Offset::Offset(next),
            _ => Offset::Beginning,
        };
        starts.add_partition_offset(element.topic(), element.partition(), offset)?;
    }
    Ok(starts)
}

fn bare(partitions: &TopicPartitionList) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(partitions.count());
    for element in partitions.elements() {
        list.add_partition_offset(element.topic(), element.partition(), Offset::Invalid)?;
    }
    Ok(list)
}

fn places(partitions: &TopicPartitionList) -> Vec<Place> {
    let elements = partitions.elements();
    elements.iter().filter_map(|e| Some((Arc::from(e.topic()), u32::try_from(e.partition()).ok()?))).collect()
}

/// K6: the group stands where the log is not (any more). Anything but stopping would lose or repeat records.
pub(crate) fn out_of_range(group: &str, detail: &str) -> Error {
    let message = format!(
        "group `{group}` stands at an offset that its topic does not have (any more): {detail}. Set its progress by \
         hand, or rebuild from the beginning under another name"
    );
    Error::new(ErrorKind::NotFound, message)
}
