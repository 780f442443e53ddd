//! Answers, ready to be sent, by the bytes of the requests that they answered.

use crate::known::Fresh;
use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The kind of a request, and its body.
type Asked = (u8, Bytes);

#[derive(Clone, Debug)]
struct Answer {
    bytes: Bytes,
    fresh: Fresh,
}

#[derive(Clone, Debug)]
struct Bytewise;

impl Weighter<Asked, Answer> for Bytewise {
    fn weight(&self, asked: &Asked, answer: &Answer) -> u64 {
        (asked.1.len() + answer.bytes.len() + 160) as u64
    }
}

/// Ready answers, bounded by bytes.
#[derive(Debug)]
pub struct Answers {
    kept: Cache<Asked, Answer, Bytewise>,
    hits: AtomicU64,
}

impl Answers {
    /// Keeps so many bytes.
    pub fn new(bytes: u64) -> Self {
        // An answer of 768 numbers is about 9 kB.
        let expected = usize::try_from(bytes / 9_000).unwrap_or(0).max(8);
        Self { kept: Cache::with_weighter(expected, bytes, Bytewise), hits: AtomicU64::new(0) }
    }

    /// The answer to a request of this kind and body, if what made it is still what would make it.
    pub fn get(&self, kind: u8, body: &Bytes) -> Option<Bytes> {
        let asked = (kind, body.clone());
        let answer = self.kept.get(&asked)?;
        if !answer.fresh.is_fresh() {
            self.kept.remove(&asked);
            return None;
        }
        self.hits.fetch_add(1, Relaxed);
        Some(answer.bytes)
    }

    /// Keeps an answer for as long as `fresh` is.
    pub fn put(&self, kind: u8, body: &Bytes, answer: Bytes, fresh: Fresh) {
        // A copy: the body may be a slice of a much larger buffer.
        self.kept.insert((kind, Bytes::copy_from_slice(body)), Answer { bytes: answer, fresh });
    }

    /// How often an answer was ready.
    pub fn hits(&self) -> u64 {
        self.hits.load(Relaxed)
    }

    /// Bytes that are kept.
    pub fn bytes(&self) -> u64 {
        self.kept.weight()
    }

    /// Answers that are kept.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
