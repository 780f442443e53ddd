//! Topics: made, compared, described, removed.

use crate::client::Plain;
use crate::error::{fail, fail_code};
use crate::journal::{Observer, Partitions};
use crate::settings::Settings;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigResource, ConfigSource, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode as Code;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};
use stillhouse_streams::{Cleanup, Error, ErrorKind, PartitionState, Result, TopicSpec, TopicState, check_topic_name};

pub(crate) struct Admin {
    client: AdminClient<Plain>,
    settings: Arc<Settings>,
    observer: Arc<Observer>,
    partitions: Arc<Partitions>,
}

/// Partitions that are asked for their ends at the same time.
const AT_ONCE: usize = 8;

impl Admin {
    pub(crate) fn new(settings: Arc<Settings>, observer: Arc<Observer>, partitions: Arc<Partitions>) -> Result<Self> {
        let client = settings.admin().create_with_context(Plain::default());
        Ok(Self { client: client.map_err(|e| fail("making a client", &e))?, settings, observer, partitions })
    }

    fn options(&self) -> AdminOptions {
        let timeout = self.settings.options.timeout;
        AdminOptions::new().request_timeout(Some(timeout)).operation_timeout(Some(timeout / 2))
    }

    pub(crate) async fn ensure(&self, specs: &[TopicSpec]) -> Result<()> {
        for spec in specs {
            check_topic_name(&spec.name)?;
            if spec.partitions == 0 || i32::try_from(spec.partitions).is_err() {
                let message = format!("topic `{}` cannot have {} partitions", spec.name, spec.partitions);
                return Err(Error::new(ErrorKind::Invalid, message));
            }
        }
        let found = self.counts().await?;
        compare(specs, &found)?;
        let (old, new): (Vec<&TopicSpec>, Vec<&TopicSpec>) = specs.iter().partition(|s| found.contains_key(&s.name));
        if !new.is_empty() {
            self.create(&new).await?;
            let found = self.wait_for(&new).await?;
            compare(specs, &found)?;
        }
        if !old.is_empty() {
            self.configure(&old).await?;
        }
        Ok(())
    }

    async fn create(&self, specs: &[&TopicSpec]) -> Result<()> {
        let configs: Vec<Vec<(&str, String)>> = specs.iter().map(|spec| config_of(&spec.cleanup)).collect();
        let replication = self.settings.options.replication.and_then(|r| i32::try_from(r).ok()).unwrap_or(-1);
        let topics = specs.iter().zip(&configs).map(|(spec, config)| {
            let partitions = i32::try_from(spec.partitions).unwrap_or(i32::MAX);
            let topic = NewTopic::new(&spec.name, partitions, TopicReplication::Fixed(replication));
            config.iter().fold(topic, |topic, (key, value)| topic.set(key, value))
        });
        let topics: Vec<NewTopic<'_>> = topics.collect();
        let answers = self.client.create_topics(&topics, &self.options()).await;
        for answer in answers.map_err(|e| self.observer.explain("making topics", &e))? {
            match answer {
                // Another process was faster; its partitions are compared below.
                Ok(_) | Err((_, Code::TopicAlreadyExists)) => {}
                Err((name, code)) => return Err(fail_code(&format!("making topic `{name}`"), code)),
            }
        }
        Ok(())
    }

    /// Waits until every partition has a leader, so that the first append finds it.
    async fn wait_for(&self, specs: &[&TopicSpec]) -> Result<HashMap<String, u32>> {
        // Hundreds of partitions at once take a small broker more time than a call.
        let deadline = Instant::now() + 3 * self.settings.options.timeout;
        loop {
            let led = self.listed().await?.into_iter().filter(|(_, listed)| listed.led);
            let led: HashMap<String, u32> = led.map(|(name, listed)| (name, listed.partitions)).collect();
            if specs.iter().all(|spec| led.contains_key(&spec.name)) {
                return Ok(led);
            }
            if Instant::now() > deadline {
                return Err(Error::new(
                    ErrorKind::Unavailable,
                    "the brokers have made topics, and no leaders for them",
                ));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Partitions of the topics, without Kafka's own topics.
    async fn counts(&self) -> Result<HashMap<String, u32>> {
        let listed = self.listed().await?;
        Ok(listed.into_iter().map(|(name, listed)| (name, listed.partitions)).collect())
    }

    async fn listed(&self) -> Result<HashMap<String, Listed>> {
        let observer = self.observer.clone();
        let ask = move || {
            let metadata = observer.consumer.fetch_metadata(None, observer.timeout);
            let metadata = metadata.map_err(|e| observer.explain("asking for the topics", &e))?;
            let there = metadata.topics().iter().filter(|topic| {
                let code = topic.error().map(Code::from);
                matches!(code, None | Some(Code::LeaderNotAvailable))
                    && !topic.partitions().is_empty()
                    && !topic.name().starts_with("__")
            });
            let listed = there.map(|topic| {
                let partitions = u32::try_from(topic.partitions().len()).unwrap_or(u32::MAX);
                let led = topic.partitions().iter().all(|p| p.leader() >= 0);
                (topic.name().to_owned(), Listed { partitions, led })
            });
            Ok(listed.collect())
        };
        tokio::task::spawn_blocking(ask).await.map_err(|e| Error::new(ErrorKind::Closed, e.to_string()))?
    }

    /// Sets the cleanup of topics where it differs. Kafka forgets the settings that are not sent along, so all are.
    async fn configure(&self, specs: &[&TopicSpec]) -> Result<()> {
        let names: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
        let described = self.describe(&names).await?;
        let mut changed: Vec<(&str, BTreeMap<String, String>)> = Vec::new();
        for spec in specs {
            let Some(config) = described.get(&spec.name) else { continue };
            if cleanup_of(config) == spec.cleanup {
                continue;
            }
            let own = config.entries.iter().filter(|e| e.source == ConfigSource::DynamicTopic);
            let mut all: BTreeMap<String, String> =
                own.filter_map(|e| Some((e.name.clone(), e.value.clone()?))).collect();
            all.extend(config_of(&spec.cleanup).into_iter().map(|(key, value)| (key.to_owned(), value)));
            changed.push((&spec.name, all));
        }
        if changed.is_empty() {
            return Ok(());
        }
        let configs = changed.iter().map(|(name, all)| {
            let config = AlterConfig::new(ResourceSpecifier::Topic(name));
            all.iter().fold(config, |config, (key, value)| config.set(key, value))
        });
        let configs: Vec<AlterConfig<'_>> = configs.collect();
        let answers = self.client.alter_configs(&configs, &self.options()).await;
        for answer in answers.map_err(|e| self.observer.explain("setting the cleanup of topics", &e))? {
            answer.map_err(|(_, code)| fail_code("setting the cleanup of a topic", code))?;
        }
        Ok(())
    }

    async fn describe(&self, names: &[&str]) -> Result<HashMap<String, ConfigResource>> {
        let wanted: Vec<ResourceSpecifier<'_>> = names.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
        let answers = self.client.describe_configs(&wanted, &self.options()).await;
        let answers = answers.map_err(|e| self.observer.explain("asking for the cleanup of topics", &e))?;
        // In the order of the question; a topic that is gone meanwhile is left out.
        let described = names.iter().zip(answers).filter_map(|(name, answer)| Some(((*name).to_owned(), answer.ok()?)));
        Ok(described.collect())
    }

    pub(crate) async fn topics(&self) -> Result<Vec<TopicState>> {
        let own = |name: &String| self.settings.options.owns(name);
        let counts: BTreeMap<String, u32> = self.counts().await?.into_iter().filter(|(name, _)| own(name)).collect();
        if counts.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<&str> = counts.keys().map(String::as_str).collect();
        let described = self.describe(&names).await?;
        let places: Vec<(String, u32)> =
            counts.iter().flat_map(|(name, count)| (0..*count).map(|p| (name.clone(), p))).collect();
        let observer = self.observer.clone();
        let ask = move || ends(&observer, &places);
        let ends =
            tokio::task::spawn_blocking(ask).await.map_err(|e| Error::new(ErrorKind::Closed, e.to_string()))??;
        let states = counts.into_iter().filter_map(|(name, partitions)| {
            let cleanup = described.get(&name).map(cleanup_of).unwrap_or_default();
            let states = (0..partitions).map(|p| ends.get(&(name.clone(), p)).copied());
            let partitions_state: Option<Vec<PartitionState>> = states.collect();
            Some(TopicState { spec: TopicSpec { name, partitions, cleanup }, partitions: partitions_state? })
        });
        Ok(states.collect())
    }

    pub(crate) async fn delete_topic(&self, topic: &str) -> Result<()> {
        self.partitions.forget(topic);
        let answers = self.client.delete_topics(&[topic], &self.options()).await;
        for answer in answers.map_err(|e| self.observer.explain("removing a topic", &e))? {
            match answer {
                Ok(_) | Err((_, Code::UnknownTopicOrPartition)) => {}
                Err((name, code)) => return Err(fail_code(&format!("removing topic `{name}`"), code)),
            }
        }
        let deadline = Instant::now() + self.settings.options.timeout;
        while self.counts().await?.contains_key(topic) && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    pub(crate) async fn delete_group(&self, group: &str) -> Result<()> {
        let answers = self.client.delete_groups(&[group], &self.options()).await;
        for answer in answers.map_err(|e| self.observer.explain("removing a group", &e))? {
            match answer {
                Ok(_) | Err((_, Code::GroupIdNotFound)) => {}
                Err((name, code)) => return Err(fail_code(&format!("removing group `{name}`"), code)),
            }
        }
        Ok(())
    }
}

/// A topic as the brokers list it.
#[derive(Clone, Copy)]
struct Listed {
    partitions: u32,
    /// Whether every partition has a leader. One that moves has none for a moment; its topic is there all the same.
    led: bool,
}

/// Whether the code says something else than that there is no such topic.
pub(crate) fn is_other_than_missing(code: Code) -> bool {
    !matches!(code, Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::NoError)
}

/// K5: other numbers of partitions would move keys.
fn compare(specs: &[TopicSpec], found: &HashMap<String, u32>) -> Result<()> {
    for spec in specs {
        if let Some(count) = found.get(&spec.name).filter(|count| **count != spec.partitions) {
            let message = format!("topic `{}` has {count} partitions, not {}", spec.name, spec.partitions);
            return Err(Error::new(ErrorKind::Invalid, message));
        }
    }
    Ok(())
}

/// The ends of partitions; those that are gone meanwhile are left out.
fn ends(observer: &Observer, places: &[(String, u32)]) -> Result<HashMap<(String, u32), PartitionState>> {
    let ask = |part: &[(String, u32)]| -> Result<Vec<((String, u32), PartitionState)>> {
        let mut states = Vec::with_capacity(part.len());
        for place in part {
            match observer.ends(&place.0, place.1) {
                Ok((start, end)) => states.push((place.clone(), PartitionState { start, end })),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(states)
    };
    let parts = places.chunks(places.len().div_ceil(AT_ONCE).max(1));
    std::thread::scope(|scope| {
        let threads: Vec<_> = parts.map(|part| scope.spawn(move || ask(part))).collect();
        let mut all = HashMap::new();
        for thread in threads {
            let part = thread.join().map_err(|_| Error::new(ErrorKind::Closed, "asking for ends failed"))?;
            all.extend(part?);
        }
        Ok(all)
    })
}

fn config_of(cleanup: &Cleanup) -> Vec<(&'static str, String)> {
    match cleanup {
        Cleanup::Keep => delete_after("-1".to_owned()),
        Cleanup::Retain(age) => delete_after(age.as_millis().to_string()),
        Cleanup::Compact => vec![("cleanup.policy", "compact".to_owned())],
    }
}

fn delete_after(milliseconds: String) -> Vec<(&'static str, String)> {
    let policy = ("cleanup.policy", "delete".to_owned());
    vec![policy, ("retention.ms", milliseconds), ("retention.bytes", "-1".to_owned())]
}

fn cleanup_of(config: &ConfigResource) -> Cleanup {
    let value = |name: &str| config.get(name).and_then(|entry| entry.value.as_deref()).unwrap_or_default();
    if value("cleanup.policy").contains("compact") {
        return Cleanup::Compact;
    }
    match value("retention.ms").parse::<u64>() {
        Ok(milliseconds) => Cleanup::Retain(Duration::from_millis(milliseconds)),
        Err(_) => Cleanup::Keep,
    }
}
