//! Sets of row numbers.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// A set of keys, for filters. Keys that are numbered through take a bit each; those far beyond the others, rather more.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    words: Vec<u64>,
    far: BTreeSet<u64>,
}

/// Words that the dense part may grow by at once.
const LEAP: u64 = 1 << 16;

impl Keys {
    /// Adds a key.
    pub fn insert(&mut self, key: u64) {
        let word = key / 64;
        if word > 2 * self.words.len() as u64 + LEAP {
            self.far.insert(key);
            return;
        }
        if word as usize >= self.words.len() {
            self.words.resize(word as usize + 1, 0);
        }
        self.words[word as usize] |= 1 << (key % 64);
    }

    /// Whether the key is in it.
    #[inline]
    pub fn contains(&self, key: u64) -> bool {
        let word = usize::try_from(key / 64).ok().and_then(|word| self.words.get(word));
        word.is_some_and(|word| word >> (key % 64) & 1 == 1) || (!self.far.is_empty() && self.far.contains(&key))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_may_lie_anywhere() {
        let some = [0, 63, 64, 5_000_000, u64::MAX, 1 << 40, 70_000_000];
        let keys: Keys = some.into_iter().collect();
        assert!(some.iter().all(|&key| keys.contains(key)));
        assert!([1, 65, 5_000_001, u64::MAX - 1, 1 << 41].iter().all(|&key| !keys.contains(key)));
    }
}
