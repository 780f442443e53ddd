//! Topics: what they are called, how they are cut into partitions, what is thrown away.

use crate::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What [`crate::Journal::ensure`] makes, and what it finds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicSpec {
    /// 1 to 249 characters of `[a-zA-Z0-9._-]`.
    pub name: String,
    /// At least 1. Partitions are never added later: it would move keys.
    pub partitions: u32,
    /// What may be thrown away.
    pub cleanup: Cleanup,
}

/// What a topic may throw away, and when.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cleanup {
    /// Nothing.
    #[default]
    Keep,
    /// Records older than this, from the beginning of each partition.
    Retain(Duration),
    /// Of the records with one key, all but the last. Offsets stay, with gaps.
    Compact,
}

/// A topic as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicState {
    /// Its specification.
    pub spec: TopicSpec,
    /// Per partition, in order.
    pub partitions: Vec<PartitionState>,
}

/// A partition as it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionState {
    /// Offset of the first record that can still be read.
    pub start: u64,
    /// Offset that the next record read will have at least: everything committed is below it.
    pub end: u64,
}

/// Refuses names that Kafka would refuse, with the rule.
pub fn check_topic_name(name: &str) -> Result<()> {
    let legal = !name.is_empty()
        && name.len() <= 249
        && name != "."
        && name != ".."
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    if legal {
        Ok(())
    } else {
        Err(Error::new(
            ErrorKind::Invalid,
            format!(
                "`{}` is not a topic name: 1 to 249 characters of a-z A-Z 0-9 . _ -, and neither `.` nor `..`",
                name.escape_debug()
            ),
        ))
    }
}

/// The partition of a key: murmur2 modulo the number of partitions, as Kafka's Java producer does,
/// so that records of foreign producers meet ours.
pub fn partition_for(key: Option<&[u8]>, partitions: u32) -> u32 {
    key.map_or(0, |key| (murmur2(key) & 0x7fff_ffff) % partitions.max(1))
}

/// MurmurHash2, 32 bits, with the seed that Apache Kafka's `Utils.murmur2` uses.
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut h = 0x9747_b28c ^ data.len() as u32;
    let mut chunks = data.chunks_exact(4);
    for chunk in &mut chunks {
        let mut k = u32::from_le_bytes(chunk.try_into().expect("chunks of four")).wrapping_mul(M);
        k ^= k >> 24;
        h = h.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let tail = chunks.remainder();
    for (i, byte) in tail.iter().enumerate() {
        h ^= u32::from(*byte) << (8 * i);
    }
    if !tail.is_empty() {
        h = h.wrapping_mul(M);
    }
    h ^= h >> 13;
    h = h.wrapping_mul(M);
    h ^ (h >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values from Apache Kafka's own `UtilsTest.testMurmur2`.
    #[test]
    fn murmur2_is_kafkas() {
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()) as i32, hash, "{key}");
        }
    }

    #[test]
    fn names_follow_kafkas_rule() {
        assert!(check_topic_name("scores.v1").is_ok());
        for bad in ["", ".", "..", "a b", "a/b", "ü", &"x".repeat(250)] {
            assert!(check_topic_name(bad).is_err(), "{bad}");
        }
    }
}
