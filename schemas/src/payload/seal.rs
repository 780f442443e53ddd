//! Seals over ranges of a log that has no hash chain of its own.

use serde::{Deserialize, Serialize};

/// Digests of consecutive records of a partition, chained to those before and sealed with a key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeSealed {
    /// Physical topic.
    pub topic: String,
    /// Partition.
    pub partition: i64,
    /// Offset of the first record.
    pub first: i64,
    /// Offset of the last record.
    pub last: i64,
    /// How many records.
    pub records: i64,
    /// Per record, in order: its offset less that of the record before (LEB128; of the first record 0), and the first
    /// 8 bytes of its digest.
    #[serde(default, with = "crate::bytes_or_base64")]
    pub digests: Option<Vec<u8>>,
    /// Hash of the range before in this partition, hex; empty for the first.
    #[serde(default)]
    pub previous: String,
    /// BLAKE3 of previous, topic, partition, first and digests, hex.
    pub hash: String,
    /// The key that sealed it.
    pub key_id: String,
    /// BLAKE3 of the hash, keyed with that key, hex.
    pub seal: String,
}
