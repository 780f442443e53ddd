//! A memory of ids for journals that have none of their own (Kafka): a wrapper that recognises repeated appends.
//!
//! It is a projection of the remembered topics: id to position and digest. It catches up when it is opened and follows
//! other producers from then on. Between two processes that append one id at the same moment it can miss the
//! repetition; folds drop it then, as they do with every repetition.

use crate::folder::{Folder, FolderError};
use async_trait::async_trait;
use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use stillhouse_streams::runner::{Fault, Projection, ends, fold, follow};
use stillhouse_streams::{
    Append, DIGEST_HEADER, Error, ErrorKind, Journal, Position, Progress, Receipt, Received, Record, Result, Wraps,
};
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};

/// How often the memory looks for what other producers appended.
const FOLLOW_EVERY: Duration = Duration::from_millis(500);

/// A journal that remembers the ids of some topics.
pub struct Remembering {
    inner: Arc<dyn Journal>,
    memory: Arc<Memory>,
    _follow: DropGuard,
}

impl Remembering {
    /// Wraps `inner`, keeping the ids of `topics` in a folder under `dir`. Returns when the memory has caught up.
    pub async fn open(inner: Arc<dyn Journal>, dir: &Path, topics: Vec<String>) -> Result<Self> {
        let memory = Arc::new(Memory::open(dir, topics)?);
        let mut projection = Follower(memory.clone());
        fold(inner.as_ref(), &mut projection, &ends(inner.as_ref(), &memory.topics).await?).await?;
        let stop = CancellationToken::new();
        let (journal, token) = (inner.clone(), stop.clone());
        tokio::spawn(async move {
            let topics = projection.0.topics.clone();
            if let Err(error) = follow(journal.as_ref(), &mut projection, &topics, FOLLOW_EVERY, &token).await {
                tracing::error!(%error, "the memory of ids no longer follows the journal");
            }
        });
        Ok(Self { inner, memory, _follow: stop.drop_guard() })
    }
}

struct Memory {
    ids: sled::Tree,
    progress: sled::Tree,
    topics: Vec<String>,
    taken: Mutex<HashSet<[u8; ID]>>,
    released: Notify,
    /// Closed last: the trees above belong to it.
    _folder: Folder,
}

const ID: usize = 17;

/// What is remembered of one id.
struct Entry {
    partition: u32,
    offset: u64,
    digest: [u8; 16],
}

impl Memory {
    fn open(dir: &Path, topics: Vec<String>) -> Result<Self> {
        let folder = Folder::open(dir, "ids").map_err(unusable)?;
        let (ids, progress) = (folder.tree("ids").map_err(unusable)?, folder.tree("progress").map_err(unusable)?);
        Ok(Self { ids, progress, topics, taken: Mutex::default(), released: Notify::new(), _folder: folder })
    }

    fn topic_index(&self, topic: &str) -> Option<u8> {
        self.topics.iter().position(|t| t == topic).and_then(|i| u8::try_from(i).ok())
    }

    fn key(topic: u8, id: &str) -> [u8; ID] {
        let mut key = [topic; ID];
        key[..16].copy_from_slice(&blake3::hash(id.as_bytes()).as_bytes()[..16]);
        key
    }

    fn get(&self, key: &[u8; ID]) -> Result<Option<Entry>> {
        let Some(value) = self.ids.get(key).map_err(|e| unusable(e.to_string()))? else { return Ok(None) };
        let bytes: [u8; 28] = value.as_ref().try_into().map_err(|_| unusable("an entry has the wrong length"))?;
        let (partition, rest) = bytes.split_at(4);
        let (offset, digest) = rest.split_at(8);
        let wrong = |_| unusable("an entry has the wrong length");
        Ok(Some(Entry {
            partition: u32::from_le_bytes(partition.try_into().map_err(wrong)?),
            offset: u64::from_le_bytes(offset.try_into().map_err(wrong)?),
            digest: digest.try_into().map_err(wrong)?,
        }))
    }

    fn put(&self, key: [u8; ID], entry: &Entry) -> Result<()> {
        let mut value = [0; 28];
        value[..4].copy_from_slice(&entry.partition.to_le_bytes());
        value[4..12].copy_from_slice(&entry.offset.to_le_bytes());
        value[12..].copy_from_slice(&entry.digest);
        // The first record with an id counts.
        let kept = self.ids.compare_and_swap(key, None::<&[u8]>, Some(&value)).map_err(|e| unusable(e.to_string()))?;
        drop(kept);
        Ok(())
    }

    /// Waits until none of `keys` is in an append that is under way, and takes them.
    async fn take(self: &Arc<Self>, keys: Vec<[u8; ID]>) -> Taken {
        loop {
            let released = self.released.notified();
            tokio::pin!(released);
            released.as_mut().enable();
            {
                let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
                if keys.iter().all(|key| !taken.contains(key)) {
                    taken.extend(&keys);
                    return Taken { memory: self.clone(), keys };
                }
            }
            released.await;
        }
    }
}

struct Taken {
    memory: Arc<Memory>,
    keys: Vec<[u8; ID]>,
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut taken = self.memory.taken.lock().unwrap_or_else(PoisonError::into_inner);
        for key in &self.keys {
            taken.remove(key);
        }
        self.memory.released.notify_waiters();
    }
}

fn digest(record: &Record) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    match record.headers.last(DIGEST_HEADER) {
        Some(said) => hasher.update(b"said").update(said),
        None => {
            let key = record.key.as_deref().unwrap_or_default();
            hasher.update(b"have").update(&(key.len() as u64).to_le_bytes()).update(key);
            hasher.update(record.value.as_deref().unwrap_or_default())
        }
    };
    let mut short = [0; 16];
    short.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    short
}

fn unusable(error: impl Into<UnusableReason>) -> Error {
    Error::new(ErrorKind::Retry, format!("the local memory of ids cannot be used: {}", error.into().0))
}

struct UnusableReason(String);

impl From<FolderError> for UnusableReason {
    fn from(error: FolderError) -> Self {
        Self(error.to_string())
    }
}

impl From<String> for UnusableReason {
    fn from(error: String) -> Self {
        Self(error)
    }
}

impl From<&str> for UnusableReason {
    fn from(error: &str) -> Self {
        Self(error.to_owned())
    }
}

/// The memory as a projection of its topics.
struct Follower(Arc<Memory>);

#[async_trait]
impl Projection for Follower {
    async fn progress(&self) -> Result<Progress, Fault> {
        let mut progress = Progress::default();
        for entry in &self.0.progress {
            let (key, value) = entry.map_err(|e| Fault::Transient(e.to_string()))?;
            let broken =
                || Fault::Lasting { kind: "state", message: "progress of the memory of ids is damaged".into() };
            let topic = self.0.topics.get(usize::from(*key.first().ok_or_else(broken)?)).ok_or_else(broken)?;
            let partition = u32::from_be_bytes(key.get(1..5).and_then(|b| b.try_into().ok()).ok_or_else(broken)?);
            let next = u64::from_be_bytes(value.as_ref().try_into().map_err(|_| broken())?);
            progress.set(topic.as_str(), partition, next);
        }
        Ok(progress)
    }

    async fn apply(&mut self, batch: &[Received], progress: &Progress) -> Result<(), Fault> {
        let fault = |e: String| Fault::Transient(e);
        for received in batch {
            let (Some(topic), Some(id)) = (self.0.topic_index(&received.position.topic), received.record.id()) else {
                continue;
            };
            let entry = Entry {
                partition: received.position.partition,
                offset: received.position.offset,
                digest: digest(&received.record),
            };
            self.0.put(Memory::key(topic, id), &entry).map_err(|e| fault(e.to_string()))?;
        }
        for (topic, partition, next) in progress.iter() {
            let Some(index) = self.0.topic_index(topic) else { continue };
            let mut key = vec![index];
            key.extend(partition.to_be_bytes());
            self.0.progress.insert(key, &next.to_be_bytes()).map_err(|e| fault(e.to_string()))?;
        }
        Ok(())
    }
}

#[async_trait]
impl Wraps for Remembering {
    fn wrapped(&self) -> &dyn Journal {
        self.inner.as_ref()
    }

    async fn append(&self, batch: Vec<Append>) -> Result<Vec<Receipt>> {
        let keys: Vec<Option<[u8; ID]>> =
            batch.iter().map(|a| Some(Memory::key(self.memory.topic_index(&a.topic)?, a.record.id()?))).collect();
        let _taken = self.memory.take(keys.iter().flatten().copied().collect()).await;
        let mut receipts: Vec<Option<Receipt>> = vec![None; batch.len()];
        let (mut conflicts, mut fresh, mut first) = (Vec::new(), Vec::new(), std::collections::HashMap::new());
        let mut repeats = Vec::new();
        for (index, (append, key)) in batch.iter().zip(&keys).enumerate() {
            let Some(key) = key else {
                fresh.push(index);
                continue;
            };
            let said = digest(&append.record);
            if let Some(entry) = self.memory.get(key)? {
                if entry.digest != said {
                    conflicts.push(index);
                }
                let position = Position::new(append.topic.clone(), entry.partition, entry.offset);
                receipts[index] = Some(Receipt { position, duplicate: true });
            } else if let Some((earlier, digest)) = first.get(key) {
                if *digest != said {
                    conflicts.push(index);
                }
                repeats.push((index, *earlier));
            } else {
                first.insert(*key, (index, said));
                fresh.push(index);
            }
        }
        if !conflicts.is_empty() {
            let ids: Vec<&str> = conflicts.iter().take(3).filter_map(|i| batch[*i].record.id()).collect();
            let message = format!("taken by other content: {}", ids.join(", "));
            return Err(Error::conflict(conflicts, message));
        }
        if !fresh.is_empty() {
            let appends: Vec<Append> = fresh.iter().map(|i| batch[*i].clone()).collect();
            for (index, receipt) in fresh.into_iter().zip(self.inner.append(appends).await?) {
                if let Some(key) = keys[index] {
                    let Position { partition, offset, .. } = receipt.position;
                    let entry = Entry { partition, offset, digest: digest(&batch[index].record) };
                    // What cannot be remembered now, the follower remembers later: the append is done.
                    if let Err(error) = self.memory.put(key, &entry) {
                        tracing::warn!(%error, "an id was not remembered");
                    }
                }
                receipts[index] = Some(receipt);
            }
        }
        for (index, earlier) in repeats {
            receipts[index] = receipts[earlier].clone().map(|r| Receipt { duplicate: true, ..r });
        }
        Ok(receipts.into_iter().flatten().collect())
    }

    async fn find(&self, id: &str) -> Result<Option<Position>> {
        for (index, topic) in (0_u8..).zip(&self.memory.topics) {
            if let Some(entry) = self.memory.get(&Memory::key(index, id))? {
                return Ok(Some(Position::new(topic.as_str(), entry.partition, entry.offset)));
            }
        }
        self.inner.find(id).await
    }
}
