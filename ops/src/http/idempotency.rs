//! `Idempotency-Key`: the same key with the same body is answered as the first time, and writes nothing.
//!
//! One record per key goes into the internal topic `requests` in the same atomic append as the events, so that both are
//! there or neither is; it holds the digest of the request and what is needed to answer again (ids, and which of them
//! were there before). Ids that the client left out are derived from the key, so a repetition after an unknown outcome
//! writes the same ids. Within a process one request per key runs at a time; between processes the journal's own id
//! index decides. A key belongs to the token's name: two clients cannot meet by accident.

use super::answer::Refusal;
use super::prepare::{Ready, hex};
use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::sync::Arc;
use stillhouse_streams::{Append, Headers, ID_HEADER, Journal, NOW, Position, Record, Result};
use tokio::sync::{Mutex, OwnedMutexGuard};

/// Name of the request header.
pub(crate) const KEY_HEADER: &str = "idempotency-key";
/// Says in an answer that it is the answer to an earlier request.
pub(crate) const REPLAYED_HEADER: &str = "idempotent-replayed";

/// The key of a request, hashed.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    hash: [u8; 32],
}

impl Key {
    pub(crate) fn of(headers: &HeaderMap, caller: Option<&str>) -> Result<Option<Self>, Refusal> {
        let mut values = headers.get_all(KEY_HEADER).iter();
        let Some(value) = values.next() else { return Ok(None) };
        let legal = |b: &u8| (b' '..=b'~').contains(b);
        if values.next().is_some() || value.is_empty() || value.len() > 255 || !value.as_bytes().iter().all(legal) {
            return Err(Refusal::bad(
                "Idempotency-Key",
                "Idempotency-Key is one value of 1 to 255 printable ASCII characters",
            ));
        }
        let mut hasher = Sha256::new();
        hasher.update(caller.unwrap_or_default().as_bytes());
        hasher.update([0]);
        hasher.update(value.as_bytes());
        Ok(Some(Self { hash: hasher.finalize().into() }))
    }

    /// The id of its record.
    pub(crate) fn id(&self) -> String {
        format!("idem:{}", hex(&self.hash))
    }

    /// What ids are derived from.
    pub(crate) fn seed(&self) -> String {
        hex(&self.hash)
    }
}

/// What a request says, in 32 hex digits: where to, in which form, and the body.
pub(crate) fn digest(path: &str, media: &str, body: &[u8]) -> String {
    let mut hasher = Sha256::new();
    for part in [path.as_bytes(), media.as_bytes()] {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.update(body);
    hex(&hasher.finalize()[..16])
}

/// What is kept of a request that was done.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Done {
    /// Of the request.
    pub(crate) digest: String,
    /// Ids, in order.
    pub(crate) ids: Vec<String>,
    /// Indices of those that were there before.
    pub(crate) duplicates: Vec<usize>,
}

impl Done {
    /// What is going to be true once `ready` is appended.
    pub(crate) async fn expected(journal: &dyn Journal, digest: String, ready: &[Ready]) -> Result<Self> {
        let mut seen = HashSet::with_capacity(ready.len());
        let mut duplicates = Vec::new();
        for (index, event) in ready.iter().enumerate() {
            let again = !seen.insert(event.id.as_str());
            if again || (!event.derived && find_in(journal, &event.append.topic, &event.id).await?.is_some()) {
                duplicates.push(index);
            }
        }
        Ok(Self { digest, ids: ready.iter().map(|r| r.id.clone()).collect(), duplicates })
    }

    /// The record that keeps it.
    pub(crate) fn append(&self, topic: &str, key: &Key) -> Append {
        let id = key.id();
        let value = serde_json::to_vec(self).expect("strings and numbers are JSON");
        let headers = [(ID_HEADER, id.as_str()), ("content-type", "application/json")];
        Append {
            topic: Arc::from(topic),
            partition: None,
            record: Record {
                headers: Headers::from_pairs(headers.map(|(name, value)| (name, Some(value.as_bytes())))),
                key: Some(Bytes::from(id.into_bytes())),
                value: Some(Bytes::from(value)),
                timestamp: NOW,
            },
        }
    }

    /// What was kept under a key, if anything.
    pub(crate) async fn find(journal: &dyn Journal, key: &Key) -> Result<Option<Self>> {
        let Some(Position { topic, partition, offset }) = journal.find(&key.id()).await? else { return Ok(None) };
        let page = journal.scan(&topic, partition, offset, Some(offset + 1)).await?.next(1).await?;
        let value = page.into_iter().find(|stored| stored.offset == offset).and_then(|stored| stored.record.value);
        Ok(value.and_then(|value| serde_json::from_slice(&value).ok()))
    }

    /// Refuses the key for another request.
    pub(crate) fn check(&self, digest: &str) -> Result<(), Refusal> {
        if self.digest == digest {
            return Ok(());
        }
        let message = "this Idempotency-Key was used for another request; nothing was written";
        Err(Refusal::new(StatusCode::CONFLICT, "idempotency_key_reused", message).field("Idempotency-Key"))
    }
}

/// Where the event with this id stands in a topic. Ids are unique within one, and the index is over all.
pub(crate) async fn find_in(journal: &dyn Journal, topic: &str, id: &str) -> Result<Option<Position>> {
    Ok(journal.find(id).await?.filter(|position| *position.topic == *topic))
}

/// One request per key at a time. Keys share a fixed number of locks, so that memory does not grow with them.
#[derive(Clone, Debug)]
pub(crate) struct Locks(Arc<[Arc<Mutex<()>>]>);

impl Default for Locks {
    fn default() -> Self {
        Self((0..256).map(|_| Arc::default()).collect())
    }
}

impl Locks {
    pub(crate) async fn lock(&self, key: &Key) -> OwnedMutexGuard<()> {
        self.0[usize::from(key.hash[0])].clone().lock_owned().await
    }
}
