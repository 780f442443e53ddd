//! What is appended and what is read: records, headers, positions, progress.

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The header that carries a record's identity (CloudEvents binary mode). Two records with the same
/// id are the same record: journals that can, refuse the second; folds drop it.
pub const ID_HEADER: &str = "ce_id";

/// The header with the digest of what the producer said, set where the value also holds what the
/// receiving node added (a time stamp, say). It decides whether a repeated id repeats the content.
pub const DIGEST_HEADER: &str = "ce_digest";

/// A record as producers hand it over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Decides the partition, and what compaction keeps.
    pub key: Option<Bytes>,
    /// `None` is a tombstone.
    pub value: Option<Bytes>,
    /// Ordered, names may repeat (the last one counts).
    pub headers: Headers,
    /// Milliseconds since the Unix epoch: when it was appended, by the producer's clock. [`NOW`]: by the journal's.
    /// When the thing itself happened is the event's business.
    pub timestamp: i64,
}

/// A timestamp that the journal replaces by its clock when it takes the record.
pub const NOW: i64 = i64::MIN;

/// What journals do with [`NOW`].
pub fn stamp(batch: &mut [Append]) {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let now = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
    for append in batch.iter_mut().filter(|append| append.record.timestamp == NOW) {
        append.record.timestamp = now;
    }
}

impl Record {
    /// The identity of the record, if its producer gave it one.
    pub fn id(&self) -> Option<&str> {
        self.headers.text(ID_HEADER)
    }

    /// Whether `self` and `other` say the same thing: by digest where both carry one, else by key and value.
    pub fn same_content(&self, other: &Self) -> bool {
        match (self.headers.last(DIGEST_HEADER), other.headers.last(DIGEST_HEADER)) {
            (Some(a), Some(b)) => a == b,
            _ => self.key == other.key && self.value == other.value,
        }
    }

    /// Bytes that count against batch and size limits.
    pub fn size(&self) -> usize {
        self.key.as_ref().map_or(0, Bytes::len)
            + self.value.as_ref().map_or(0, Bytes::len)
            + self.headers.encoded().len()
    }
}

/// Record headers in one buffer, so that reading a record costs no allocation per header.
///
/// Layout, repeated per header: name length (u16 LE), name (UTF-8), value length (u32 LE,
/// `u32::MAX` for null), value.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Bytes);

const NULL: u32 = u32::MAX;

impl Headers {
    /// Builds headers from name and value pairs.
    ///
    /// # Panics
    /// If a name is longer than 65,535 bytes or a value reaches 4 GiB.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, Option<&'a [u8]>)>) -> Self {
        let mut out = BytesMut::new();
        for (name, value) in pairs {
            out.put_u16_le(u16::try_from(name.len()).expect("header name fits u16"));
            out.put_slice(name.as_bytes());
            match value {
                None => out.put_u32_le(NULL),
                Some(v) => {
                    let len = u32::try_from(v.len()).ok().filter(|l| *l != NULL).expect("header value fits u32");
                    out.put_u32_le(len);
                    out.put_slice(v);
                }
            }
        }
        Self(out.freeze())
    }

    /// Reads the layout back; `None` if the bytes are not of that layout.
    pub fn decode(bytes: Bytes) -> Option<Self> {
        let headers = Self(bytes);
        let mut rest = headers.0.as_ref();
        while !rest.is_empty() {
            rest = split(rest)?.2;
        }
        Some(headers)
    }

    /// The layout, as stored.
    pub fn encoded(&self) -> &Bytes {
        &self.0
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        let mut rest = self.0.as_ref();
        std::iter::from_fn(move || {
            let (name, value, tail) = split(rest)?;
            rest = tail;
            Some((name, value))
        })
    }

    /// The last value under `name`, if it is there and not null.
    pub fn last(&self, name: &str) -> Option<&[u8]> {
        self.iter().filter(|(n, _)| *n == name).last().and_then(|(_, v)| v)
    }

    /// The last value under `name`, if it is UTF-8.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.last(name).and_then(|v| std::str::from_utf8(v).ok())
    }
}

/// The first header (name and value) and the bytes after it.
type Split<'a> = (&'a str, Option<&'a [u8]>, &'a [u8]);

fn split(bytes: &[u8]) -> Option<Split<'_>> {
    let (len, rest) = bytes.split_first_chunk::<2>()?;
    let (name, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*len)))?;
    let name = std::str::from_utf8(name).ok()?;
    let (len, rest) = rest.split_first_chunk::<4>()?;
    match u32::from_le_bytes(*len) {
        NULL => Some((name, None, rest)),
        len => {
            let (value, rest) = rest.split_at_checked(usize::try_from(len).ok()?)?;
            Some((name, Some(value), rest))
        }
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|(n, v)| (n, v.map(String::from_utf8_lossy)))).finish()
    }
}

/// Where a record stands: topic, partition, offset. Written `topic/partition/offset`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// Physical topic name.
    pub topic: Arc<str>,
    /// From zero.
    pub partition: u32,
    /// Grows within a partition; there may be gaps.
    pub offset: u64,
}

impl Position {
    /// A position from its three parts.
    pub fn new(topic: impl Into<Arc<str>>, partition: u32, offset: u64) -> Self {
        Self { topic: topic.into(), partition, offset }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.topic, self.partition, self.offset)
    }
}

impl std::str::FromStr for Position {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let mut parts = s.rsplitn(3, '/');
        let (offset, partition, topic) = (parts.next(), parts.next(), parts.next());
        match (topic, partition.and_then(|p| p.parse().ok()), offset.and_then(|o| o.parse().ok())) {
            (Some(topic), Some(partition), Some(offset)) if !topic.is_empty() => {
                Ok(Self::new(topic, partition, offset))
            }
            _ => Err(format!("`{s}` is not a position; write topic/partition/offset, as in runs/0/42")),
        }
    }
}

/// A record with its offset, as a scan of one partition gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Offset within the partition scanned.
    pub offset: u64,
    /// The record.
    pub record: Record,
}

/// A record with its position, as a session gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Where it stands.
    pub position: Position,
    /// The record.
    pub record: Record,
}

/// A record on its way into a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// Physical topic name.
    pub topic: Arc<str>,
    /// `None`: by the key ([`crate::partition_for`]); keyless records go to partition 0.
    pub partition: Option<u32>,
    /// The record.
    pub record: Record,
}

/// The answer to one [`Append`], given when it is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Where the record stands.
    pub position: Position,
    /// Whether it stood there before: the id was known, nothing was added.
    pub duplicate: bool,
}

/// Next offset to read, per topic and partition. Also the shape of a cut: the end offset of every partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<(Arc<str>, u32, u64)>", into = "Vec<(Arc<str>, u32, u64)>")]
pub struct Progress(BTreeMap<(Arc<str>, u32), u64>);

impl Progress {
    /// The next offset of a partition, if it is known here.
    pub fn get(&self, topic: &str, partition: u32) -> Option<u64> {
        self.0.get(&(Arc::from(topic), partition)).copied()
    }

    /// Sets the next offset of a partition.
    pub fn set(&mut self, topic: impl Into<Arc<str>>, partition: u32, next: u64) {
        self.0.insert((topic.into(), partition), next);
    }

    /// Moves a partition past `position`, never back.
    pub fn pass(&mut self, position: &Position) {
        let next = self.0.entry((position.topic.clone(), position.partition)).or_default();
        *next = (*next).max(position.offset + 1);
    }

    /// Partitions and their next offsets, in order of topic and partition.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, u32, u64)> {
        self.0.iter().map(|((topic, partition), next)| (topic, *partition, *next))
    }

    /// Whether no partition is known.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Vec<(Arc<str>, u32, u64)>> for Progress {
    fn from(entries: Vec<(Arc<str>, u32, u64)>) -> Self {
        entries.into_iter().collect()
    }
}

impl From<Progress> for Vec<(Arc<str>, u32, u64)> {
    fn from(progress: Progress) -> Self {
        progress.0.into_iter().map(|((t, p), o)| (t, p, o)).collect()
    }
}

impl FromIterator<(Arc<str>, u32, u64)> for Progress {
    fn from_iter<I: IntoIterator<Item = (Arc<str>, u32, u64)>>(iter: I) -> Self {
        Self(iter.into_iter().map(|(t, p, o)| ((t, p), o)).collect())
    }
}
