//! Sets of row numbers.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// A set of keys, for filters: dense, so keys should be row numbers of the caller's and not hashes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    words: Vec<u64>,
}

impl Keys {
    /// Adds a key.
    pub fn insert(&mut self, key: u64) {
        let word = (key / 64) as usize;
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= 1 << (key % 64);
    }

    /// Whether the key is in it.
    pub fn contains(&self, key: u64) -> bool {
        self.words.get((key / 64) as usize).is_some_and(|word| word >> (key % 64) & 1 == 1)
    }
}

impl FromIterator<u64> for Keys {
    fn from_iter<I: IntoIterator<Item = u64>>(keys: I) -> Self {
        let mut set = Self::default();
        keys.into_iter().for_each(|key| set.insert(key));
        set
    }
}

/// Rows of one part that are gone. Set while searches go on.
#[derive(Debug)]
pub(crate) struct Dead {
    words: Box<[AtomicU64]>,
    count: AtomicUsize,
}

impl Dead {
    pub fn new(rows: usize) -> Self {
        Self { words: (0..rows.div_ceil(64)).map(|_| AtomicU64::new(0)).collect(), count: AtomicUsize::new(0) }
    }

    pub fn from_words(words: &[u64]) -> Self {
        let count = words.iter().map(|word| word.count_ones() as usize).sum();
        Self { words: words.iter().map(|&word| AtomicU64::new(word)).collect(), count: AtomicUsize::new(count) }
    }

    pub fn set(&self, row: u32) {
        let bit = 1 << (row % 64);
        if self.words[row as usize / 64].fetch_or(bit, Ordering::AcqRel) & bit == 0 {
            self.count.fetch_add(1, Ordering::AcqRel);
        }
    }

    #[inline(always)]
    pub fn has(&self, row: u32) -> bool {
        self.words[row as usize / 64].load(Ordering::Acquire) >> (row % 64) & 1 == 1
    }

    pub fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    pub fn words(&self) -> Vec<u64> {
        self.words.iter().map(|word| word.load(Ordering::Acquire)).collect()
    }
}
