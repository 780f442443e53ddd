//! What an export has gathered so far: candidates for rows, sorted outside of memory until all are there.

use super::duplicates::{Signature, bands};
use super::kinds::Side;
use super::pack::Pack;
use super::secrets::Redacted;
use super::sorting::{Entry, Sorted, Sorter, Sorters};
use super::source::Source;
use super::{BoxError, ExportError, Plan};
use sha2::{Digest, Sha256};
use stillhouse_schemas::Micros;

/// Half a SHA-256: what contents are told apart by.
pub(super) type Hash = [u8; 16];

/// The hash of these parts; where one ends counts.
pub(super) fn hash(parts: &[&[u8]]) -> Hash {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    std::array::from_fn(|i| digest[i])
}

/// In hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A key whose bytes are in the order of rows: when it happened, the id, the number among those of one id.
pub(super) fn order(occurred_at: Micros, id: &str, number: u32) -> Vec<u8> {
    let mut key = Vec::with_capacity(13 + id.len());
    // With the sign bit turned over, bytes are in the order of numbers.
    key.extend_from_slice(&(occurred_at.cast_unsigned() ^ (1 << 63)).to_be_bytes());
    key.extend_from_slice(id.as_bytes());
    key.push(0);
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// What may become a row.
pub(super) struct Candidate<'a> {
    pub(super) order: &'a [u8],
    pub(super) split: u8,
    /// Hash of what it says, apart from who said it when.
    pub(super) content: Hash,
    /// Its words, where near duplicates are looked for.
    pub(super) words: &'a str,
    pub(super) sources: &'a [&'a Source],
    pub(super) redacted: Redacted,
    pub(super) line: &'a [u8],
}

/// Takes everything and keeps nothing.
struct Nothing;

impl Sorter for Nothing {
    fn put(&mut self, _: &[u8], _: &[u8]) -> Result<(), BoxError> {
        Ok(())
    }

    fn sorted(self: Box<Self>) -> Result<Box<dyn Sorted>, BoxError> {
        Ok(self)
    }
}

impl Sorted for Nothing {
    fn next(&mut self) -> Result<Option<Entry<'_>>, BoxError> {
        Ok(None)
    }
}

/// Sorters of what was gathered.
pub(super) struct Harvest {
    pub(super) rows: Box<dyn Sorter>,
    pub(super) contents: Box<dyn Sorter>,
    pub(super) bands: Option<Box<dyn Sorter>>,
    pub(super) sides: Option<Box<dyn Sorter>>,
    near: Option<f64>,
}

impl Harvest {
    pub(super) fn new(plan: &Plan, sorters: &mut dyn Sorters) -> Result<Self, ExportError> {
        let mut sorter = |name| sorters.sorter(name).map_err(ExportError::Outlet);
        Ok(Self {
            rows: sorter("rows")?,
            contents: sorter("contents")?,
            bands: plan.near_duplicates.map(|_| sorter("bands")).transpose()?,
            sides: plan.kind.meets.then(|| sorter("sides")).transpose()?,
            near: plan.near_duplicates,
        })
    }

    /// One that keeps nothing.
    pub(super) fn nowhere() -> Self {
        Self { rows: Box::new(Nothing), contents: Box::new(Nothing), bands: None, sides: None, near: None }
    }

    /// Whether candidates must bring their words.
    pub(super) fn wants_words(&self) -> bool {
        self.near.is_some()
    }

    pub(super) fn candidate(&mut self, candidate: &Candidate<'_>) -> Result<(), ExportError> {
        let mut pack = Pack::default();
        pack.byte(candidate.split).byte(u8::try_from(candidate.sources.len()).unwrap_or(u8::MAX));
        for source in candidate.sources {
            source.pack(&mut pack);
        }
        candidate.redacted.pack(&mut pack);
        pack.bytes(candidate.line);
        self.rows.put(candidate.order, &pack.done()).map_err(ExportError::Outlet)?;
        let key = [&candidate.content[..], candidate.order].concat();
        self.contents.put(&key, &[]).map_err(ExportError::Outlet)?;
        if let (Some(threshold), Some(sorter)) = (self.near, &mut self.bands)
            && let Some(signature) = Signature::of(candidate.words)
        {
            for band in bands(&signature, threshold) {
                let key = [&band[..], candidate.order].concat();
                sorter.put(&key, signature.bytes()).map_err(ExportError::Outlet)?;
            }
        }
        Ok(())
    }

    pub(super) fn side(&mut self, prompt: &Hash, side: &Side) -> Result<(), ExportError> {
        match &mut self.sides {
            Some(sorter) => sorter.put(&side.key(prompt), &side.pack()).map_err(ExportError::Outlet),
            None => Ok(()),
        }
    }
}
