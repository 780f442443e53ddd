//! Rows that say what another says, or nearly.
//!
//! Of rows with one content the first in the order of rows stays. Near duplicates are found by MinHash (Broder 1997) of
//! shingles of five words, one byte a permutation (Li and König 2010), and banding; a row is one if its
//! estimated Jaccard similarity to an earlier row of a bucket reaches the threshold. The estimate's standard error is about
//! 0.04. Everything depends on the rows' words and order and on nothing else. Of rows that share a band's
//! bucket the first [`BUCKET`] are compared with, so that a bucket of a million rows does not cost a million times a
//! million.

use super::ExportError;
use super::pack::Damaged;
use super::reason::Reason;
use super::sorting::{Sorted, Sorter};
use std::collections::BTreeSet;

/// Permutations.
const PERMUTATIONS: usize = 128;
/// Words of a shingle.
const SHINGLE: usize = 5;
/// Rows of a bucket that later ones are compared with.
const BUCKET: usize = 32;
/// Bytes of a band's name: its number, and the hash of its part of the signature.
const BAND: usize = 9;

/// Version of the rule, raised with every change of what it finds.
pub(super) const VERSION: &str = "1";

/// What of a text is compared.
pub(super) struct Signature {
    least: Box<[u64; PERMUTATIONS]>,
    bytes: [u8; PERMUTATIONS],
}

impl Signature {
    /// Nothing for a text without words.
    pub(super) fn of(text: &str) -> Option<Self> {
        let words: Vec<u64> = text
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .map(|word| word.chars().flat_map(char::to_lowercase).fold(0, |hash, c| mix(hash ^ u64::from(c))))
            .collect();
        if words.is_empty() {
            return None;
        }
        let shingles: BTreeSet<u64> = words
            .windows(SHINGLE.min(words.len()))
            .map(|shingle| shingle.iter().fold(SHINGLE as u64, |hash, word| mix(hash ^ word)))
            .collect();
        let mut least = Box::new([u64::MAX; PERMUTATIONS]);
        for shingle in shingles {
            for (seed, least) in (1..).zip(least.iter_mut()) {
                *least = (*least).min(mix(shingle ^ mix(seed)));
            }
        }
        let bytes = std::array::from_fn(|i| (mix(least[i]) & 0xff) as u8);
        Some(Self { least, bytes })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood 2014).
fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Values of a band: few enough that rows at the threshold meet in one almost surely.
fn rows_of_band(threshold: f64) -> usize {
    match threshold {
        t if t >= 0.8 => 8,
        t if t >= 0.6 => 4,
        _ => 2,
    }
}

/// The names of the buckets that a row is in.
pub(super) fn bands(signature: &Signature, threshold: f64) -> impl Iterator<Item = [u8; BAND]> + '_ {
    (0..).zip(signature.least.chunks(rows_of_band(threshold))).map(|(number, values)| {
        let hash = values.iter().fold(u64::from(number), |hash, value| mix(hash ^ value)).to_be_bytes();
        std::array::from_fn(|i| if i == 0 { number } else { hash[i - 1] })
    })
}

/// Estimated Jaccard similarity; two values that differ have the same byte once in 256 times.
fn similarity(a: &[u8], b: &[u8]) -> f64 {
    let equal = a.iter().zip(b).filter(|(a, b)| a == b).count() as f64 / PERMUTATIONS as f64;
    let chance = 1.0 / 256.0;
    ((equal - chance) / (1.0 - chance)).clamp(0.0, 1.0)
}

/// Hands rows that say exactly what an earlier one says to `losers`: its order, then the reason and the order of that one.
pub(super) fn exact(contents: &mut dyn Sorted, losers: &mut dyn Sorter) -> Result<(), ExportError> {
    let mut first: Vec<u8> = Vec::new();
    while let Some((key, _)) = contents.next().map_err(ExportError::Outlet)? {
        let (content, order) = key.split_at_checked(16).ok_or(Damaged)?;
        if first.len() > 16 && first[..16] == *content {
            let value = [&[EXACT], &first[16..]].concat();
            losers.put(order, &value).map_err(ExportError::Outlet)?;
        } else {
            first.clear();
            first.extend_from_slice(key);
        }
    }
    Ok(())
}

/// Hands rows that nearly say what an earlier one says to `losers`.
pub(super) fn near(bands: &mut dyn Sorted, threshold: f64, losers: &mut dyn Sorter) -> Result<(), ExportError> {
    let mut bucket: Vec<u8> = Vec::new();
    let mut earlier: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    while let Some((key, signature)) = bands.next().map_err(ExportError::Outlet)? {
        let (band, order) = key.split_at_checked(BAND).ok_or(Damaged)?;
        if bucket != band {
            bucket.clear();
            bucket.extend_from_slice(band);
            earlier.clear();
        }
        if let Some((first, _)) = earlier.iter().find(|(_, other)| similarity(other, signature) >= threshold) {
            let value = [&[NEAR], &first[..]].concat();
            losers.put(order, &value).map_err(ExportError::Outlet)?;
        } else if earlier.len() < BUCKET {
            // One like an earlier one is not kept to compare with: what is like it is like that one, or nearly.
            earlier.push((order.to_vec(), signature.to_vec()));
        }
    }
    Ok(())
}

/// In the order of what counts when both are said of a row.
const EXACT: u8 = 0;
const NEAR: u8 = 1;

/// The rows that are left out, in order, each once.
pub(super) struct Losers {
    sorted: Box<dyn Sorted>,
    next: Option<(Vec<u8>, Vec<u8>)>,
}

impl Losers {
    pub(super) fn new(sorted: Box<dyn Sorted>) -> Result<Self, ExportError> {
        let mut losers = Self { sorted, next: None };
        losers.advance()?;
        Ok(losers)
    }

    fn advance(&mut self) -> Result<(), ExportError> {
        let next = self.sorted.next().map_err(ExportError::Outlet)?;
        self.next = next.map(|(key, value)| (key.to_vec(), value.to_vec()));
        Ok(())
    }

    /// Why this row, which is the next in order, is left out, and the order of the one that says the same.
    pub(super) fn of(&mut self, order: &[u8]) -> Result<Option<(Reason, Vec<u8>)>, ExportError> {
        let mut found = None;
        while let Some((_, value)) = self.next.as_ref().filter(|(key, _)| key == order) {
            if found.is_none() {
                let reason = if value.first() == Some(&EXACT) { Reason::Duplicate } else { Reason::NearDuplicate };
                found = Some((reason, value[1..].to_vec()));
            }
            self.advance()?;
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(from: usize, to: usize) -> String {
        (from..to).map(|n| format!("word{n} ")).collect()
    }

    fn of(text: &str) -> Signature {
        Signature::of(text).expect("words")
    }

    #[test]
    fn the_estimate_is_near_the_similarity() {
        // Shingles shared of all: (n - 4 shared) / union.
        for (shared, other) in [(1_000, 0), (900, 100), (700, 300), (500, 500), (100, 900), (0, 1_000)] {
            let a = of(&words(0, shared + other));
            let b = of(&(words(0, shared) + &words(10_000, 10_000 + other)));
            let common = (shared as f64 - 4.0).max(0.0);
            let exact = if other == 0 { 1.0 } else { common / (2.0 * (996.0) - common) };
            let estimated = similarity(a.bytes(), b.bytes());
            assert!((estimated - exact).abs() < 0.13, "{shared}: {estimated} {exact}");
        }
        assert_eq!(of("A  b, C!").bytes(), of("a b c").bytes(), "case and punctuation are no words");
        assert!(Signature::of(" ... ").is_none());
    }

    #[test]
    fn rows_at_the_threshold_meet_in_a_band() {
        for (threshold, share) in [(0.9, 960), (0.8, 900), (0.6, 800), (0.4, 600)] {
            let met = (0..15).filter(|round| {
                let from = round * 5_000;
                let a = of(&words(from, from + 1_000));
                let b = of(&(words(from, from + share) + &words(from + 2_000, from + 3_000 - share)));
                bands(&a, threshold).any(|band| bands(&b, threshold).any(|other| other == band))
            });
            assert!(met.count() >= 14, "{threshold}");
        }
    }
}
