//! Groups seen from outside: where they stand, and setting that.
//!
//! The client library can ask for the offsets of its own group only, so there is a consumer for each group that was
//! asked about. It never joins.

use crate::client::{Plain, bury};
use crate::error::{fail, fences};
use crate::journal::Observer;
use crate::settings::Settings;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use stillhouse_streams::{Error, ErrorKind, GroupState, Progress, Result};

/// Consumers that are kept for the next question.
const KEPT: usize = 16;

pub(crate) struct Groups {
    settings: Arc<Settings>,
    observer: Arc<Observer>,
    bystanders: Mutex<HashMap<String, Arc<BaseConsumer<Plain>>>>,
}

impl Groups {
    pub(crate) fn new(settings: Arc<Settings>, observer: Arc<Observer>) -> Self {
        Self { settings, observer, bystanders: Mutex::default() }
    }

    /// All groups by name. Blocks.
    pub(crate) fn all(&self) -> Result<Vec<GroupState>> {
        let observer = &self.observer;
        let listed = observer.consumer.fetch_group_list(None, observer.timeout);
        let listed = listed.map_err(|e| observer.explain("asking for the groups", &e))?;
        let mut members: Vec<(String, usize)> = listed
            .groups()
            .iter()
            .filter(|g| matches!(g.protocol_type(), "consumer" | ""))
            .map(|g| (g.name().to_owned(), g.members().len()))
            .collect();
        members.sort();
        let metadata = observer.consumer.fetch_metadata(None, observer.timeout);
        let metadata = metadata.map_err(|e| observer.explain("asking for the topics", &e))?;
        let mut places = TopicPartitionList::new();
        for topic in metadata.topics().iter().filter(|t| !t.name().starts_with("__")) {
            for partition in topic.partitions() {
                places.add_partition(topic.name(), partition.id());
            }
        }
        members
            .into_iter()
            .map(|(group, members)| {
                let progress = self.progress(&group, &places)?;
                Ok(GroupState { group, members, progress })
            })
            .collect()
    }

    fn progress(&self, group: &str, places: &TopicPartitionList) -> Result<Progress> {
        if places.count() == 0 {
            return Ok(Progress::default());
        }
        let bystander = self.bystander(group)?;
        let committed = bystander.committed_offsets(places.clone(), self.observer.timeout);
        let committed = committed.map_err(|e| self.observer.explain("asking where a group stands", &e))?;
        let offsets = committed.elements();
        let known = offsets.iter().filter_map(|element| match element.offset() {
            Offset::Offset(next) => {
                let partition = u32::try_from(element.partition()).ok()?;
                Some((Arc::from(element.topic()), partition, u64::try_from(next).ok()?))
            }
            _ => None,
        });
        Ok(known.collect())
    }

    /// Sets the offsets of a group that has no members. Blocks.
    pub(crate) fn reset(&self, group: &str, progress: &Progress) -> Result<()> {
        if group.is_empty() {
            return Err(Error::new(ErrorKind::Invalid, "a group has a name"));
        }
        let listed = self.observer.consumer.fetch_group_list(Some(group), self.observer.timeout);
        let listed = listed.map_err(|e| self.observer.explain("asking for the members of a group", &e))?;
        let members: usize = listed.groups().iter().map(|g| g.members().len()).sum();
        if members > 0 {
            return Err(Error::new(ErrorKind::Fenced, format!("group `{group}` has {members} members")));
        }
        if progress.is_empty() {
            return Ok(());
        }
        let mut offsets = TopicPartitionList::new();
        for (topic, partition, next) in progress.iter() {
            let (partition, next) = (i32::try_from(partition), i64::try_from(next));
            let (Ok(partition), Ok(next)) = (partition, next) else {
                return Err(Error::new(ErrorKind::Invalid, "an offset beyond what Kafka can count"));
            };
            let added = offsets.add_partition_offset(topic, partition, Offset::Offset(next));
            added.map_err(|e| fail("setting where a group stands", &e))?;
        }
        match self.bystander(group)?.commit(&offsets, CommitMode::Sync) {
            Ok(()) => Ok(()),
            // Somebody joined between the question and the commit.
            Err(error) if error.rdkafka_error_code().is_some_and(fences) => {
                Err(Error::new(ErrorKind::Fenced, format!("group `{group}` has members")))
            }
            Err(error) => Err(self.observer.explain("setting where a group stands", &error)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<BaseConsumer<Plain>>>> {
        self.bystanders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bystander(&self, group: &str) -> Result<Arc<BaseConsumer<Plain>>> {
        if let Some(known) = self.lock().get(group) {
            // Its log lines wait to be collected.
            for _ in 0..4 {
                drop(known.poll(Duration::ZERO));
            }
            return Ok(known.clone());
        }
        let made = self.settings.bystander(group).create_with_context(Plain::default());
        let made: Arc<BaseConsumer<Plain>> = Arc::new(made.map_err(|e| fail("making a client", &e))?);
        let mut bystanders = self.lock();
        if bystanders.len() >= KEPT {
            let other = bystanders.keys().next().cloned();
            if let Some(old) = other.and_then(|name| bystanders.remove(&name)) {
                bury(old);
            }
        }
        bystanders.insert(group.to_owned(), made.clone());
        Ok(made)
    }

    /// Before the group goes, its consumer goes.
    pub(crate) fn forget(&self, group: &str) {
        if let Some(old) = self.lock().remove(group) {
            bury(old);
        }
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        for (_, old) in self.lock().drain() {
            bury(old);
        }
    }
}
