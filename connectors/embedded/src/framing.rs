//! What is hashed: the stored framing of a record, its digest, the chain of a partition, and seals of small rows.
//!
//! ```text
//!   content = timestamp i64 · key length u32 · value length u32 · headers length u32 · key · value · headers
//!   digest  = BLAKE3(content)                                   a missing key or value has the length u32::MAX
//!   chain n = BLAKE3 keyed with chain n-1 (offset u64 · digest) of the first: keyed with the partition's anchor
//!   crc     = CRC32C(content · kind u8 · partition i64 · offset u64 · chain)
//! ```
//! All numbers are little-endian. A hole, which compaction leaves, has the digest as its content, so that the chain
//! can be followed through it. Of a record that was damaged and given up stays a row without content: its chain is the
//! one that the next record follows, or zeros where that cannot be known.

use stillhouse_streams::Record;

pub(crate) type Hash = [u8; 32];

/// A row of a partition table. The numbers are on disk.
pub(crate) const RECORD: u8 = 0;
/// What compaction leaves of one.
pub(crate) const HOLE: u8 = 1;
/// What stands where a damaged record was given up.
pub(crate) const LOST: u8 = 2;
/// The chain of a lost record that nothing tells any more.
pub(crate) const UNKNOWN: Hash = [0; 32];

const PREFIX: usize = 20;

fn prefix(timestamp: i64, key: Option<&[u8]>, value: Option<&[u8]>, headers: &[u8]) -> [u8; PREFIX] {
    let length = |bytes: Option<&[u8]>| bytes.map_or(u32::MAX, |b| b.len() as u32).to_le_bytes();
    let mut out = [0; PREFIX];
    out[..8].copy_from_slice(&timestamp.to_le_bytes());
    out[8..12].copy_from_slice(&length(key));
    out[12..16].copy_from_slice(&length(value));
    out[16..].copy_from_slice(&length(Some(headers)));
    out
}

/// The part of the CRC that does not depend on where the record will stand.
pub(crate) fn content_crc(timestamp: i64, key: Option<&[u8]>, value: Option<&[u8]>, headers: &[u8]) -> u32 {
    let mut crc = crc32c::crc32c(&prefix(timestamp, key, value, headers));
    for part in [key.unwrap_or_default(), value.unwrap_or_default(), headers] {
        crc = crc32c::crc32c_append(crc, part);
    }
    crc
}

pub(crate) fn digest(timestamp: i64, key: Option<&[u8]>, value: Option<&[u8]>, headers: &[u8]) -> Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&prefix(timestamp, key, value, headers));
    for part in [key.unwrap_or_default(), value.unwrap_or_default(), headers] {
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// Digest and CRC of a record, made before the writer is asked.
#[derive(Clone, Copy)]
pub(crate) struct Prints {
    pub(crate) digest: Hash,
    pub(crate) crc: u32,
}

impl Prints {
    pub(crate) fn of(record: &Record) -> Self {
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        let headers = record.headers.encoded();
        Self {
            digest: digest(record.timestamp, key, value, headers),
            crc: content_crc(record.timestamp, key, value, headers),
        }
    }
}

pub(crate) fn chain(before: &Hash, offset: u64, digest: &Hash) -> Hash {
    // As the key, the hash before costs no block of its own.
    let mut bytes = [0; 40];
    bytes[..8].copy_from_slice(&offset.to_le_bytes());
    bytes[8..].copy_from_slice(digest);
    blake3::keyed_hash(before, &bytes).into()
}

/// The CRC of a row, from that of its content.
pub(crate) fn row_crc(content: u32, kind: u8, partition: i64, offset: u64, chain: &Hash) -> u32 {
    let mut bytes = [0; 49];
    bytes[0] = kind;
    bytes[1..9].copy_from_slice(&partition.to_le_bytes());
    bytes[9..17].copy_from_slice(&offset.to_le_bytes());
    bytes[17..].copy_from_slice(chain);
    crc32c::crc32c_append(content, &bytes)
}

/// A CRC over the fields of a small row, each with its length, so that none can pass into the next.
pub(crate) struct Seal(u32);

impl Seal {
    pub(crate) fn new(table: &str) -> Self {
        Self(0).bytes(table.as_bytes())
    }

    #[must_use]
    pub(crate) fn bytes(self, bytes: &[u8]) -> Self {
        let crc = crc32c::crc32c_append(self.0, &(bytes.len() as u64).to_le_bytes());
        Self(crc32c::crc32c_append(crc, bytes))
    }

    #[must_use]
    pub(crate) fn number(self, number: i64) -> Self {
        self.bytes(&number.to_le_bytes())
    }

    pub(crate) fn finish(self) -> i64 {
        i64::from(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written into files: these values never change.
    #[test]
    fn framing_is_stable() {
        let content = digest(7, Some(b"k"), None, b"");
        let link: String = chain(&[0; 32], 3, &content).iter().map(|byte| format!("{byte:02x}")).collect();
        let crc = content_crc(7, Some(b"k"), None, b"");
        let found = (crc, row_crc(crc, RECORD, 1, 3, &[0; 32]), Seal::new("t").number(1).bytes(b"x").finish(), &*link);
        let known = "c61f9a750984d73c6abb8ce9dfbd5a7b407607ebc09cd24e8206524b1545cd09";
        assert_eq!(found, (1_642_759_794, 1_736_026_577, 166_633_482, known));
    }

    #[test]
    fn missing_and_empty_differ() {
        assert_ne!(digest(0, None, Some(b""), b""), digest(0, Some(b""), None, b""));
        assert_ne!(content_crc(0, None, None, b""), content_crc(0, None, Some(b""), b""));
    }
}
