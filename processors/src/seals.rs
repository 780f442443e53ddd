//! Sealed digests of ranges: tamper evidence for a log that has no hash chain of its own.
//!
//! ```text
//!   records of a partition   41    43 44 45 …
//!   a sealed range           (0, digest) (2, digest) (1, digest) …     previous ◀── hash ◀── seal (keyed)
//! ```
//!
//! A range holds a digest of every record, so that a comparison names the record and not only the range; its hash
//! covers the hash of the range before, so that no range can be taken out or put in; its seal is keyed, so that who can
//! write to the log and does not have the key cannot make it anew.
//!
//! What is absent: anything about records that were never sealed, and secrecy: digests say nothing about contents that
//! could be guessed otherwise.

use crate::wire;
use stillhouse_schemas::{Event, Payload, RangeSealed, SubjectKey};
use stillhouse_streams::{Damage, Record, Stored};

/// Logical topic of the seals.
pub const SEALS: &str = "seals";
/// Bytes of a record's digest that are kept: enough that nobody finds another record with them by the way, when the key
/// keeps the range itself from being made anew.
const KEPT: usize = 8;

type Kept = [u8; KEPT];

/// The digest of all that a record says.
fn digest(record: &Record) -> Kept {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&record.timestamp.to_le_bytes());
    for part in [record.key.as_deref(), record.value.as_deref(), Some(record.headers.encoded().as_ref())] {
        // Absent and empty differ, and no byte can move from one part to the next.
        hasher.update(&part.map_or(u64::MAX, |part| part.len() as u64).to_le_bytes());
        hasher.update(part.unwrap_or_default());
    }
    *hasher.finalize().as_bytes().first_chunk().expect("a hash is longer")
}

fn hash(range: &RangeSealed) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    for text in [&range.previous, &range.topic] {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    hasher.update(&range.partition.to_le_bytes());
    hasher.update(&range.first.to_le_bytes());
    hasher.update(range.digests.as_deref().unwrap_or_default());
    hasher.finalize()
}

fn keyed(hash: &blake3::Hash, key: &SubjectKey) -> String {
    blake3::keyed_hash(&key.secret, hash.as_bytes()).to_hex().to_string()
}

/// Seals consecutive records of a partition, in order; `None` if there are none.
pub fn seal<'r>(
    topic: &str,
    partition: u32,
    previous: &str,
    records: impl IntoIterator<Item = (u64, &'r Record)>,
    key: &SubjectKey,
) -> Option<RangeSealed> {
    let (mut digests, mut bounds, mut count) = (Vec::new(), None, 0);
    for (offset, record) in records {
        let (first, last) = bounds.unwrap_or((offset, offset));
        write_number(&mut digests, offset - last);
        digests.extend_from_slice(&digest(record));
        bounds = Some((first, offset));
        count += 1;
    }
    let (first, last) = bounds?;
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let mut range = RangeSealed {
        topic: topic.to_owned(),
        partition: partition.into(),
        first: number(first),
        last: number(last),
        records: count,
        digests: Some(digests),
        previous: previous.to_owned(),
        key_id: key.key_id.clone(),
        ..RangeSealed::default()
    };
    let hash = hash(&range);
    range.seal = keyed(&hash, key);
    range.hash = hash.to_hex().to_string();
    Some(range)
}

/// The range that an event of the topic [`SEALS`] says, if it says one.
pub fn range(codec: &stillhouse_schemas::Codec, stored: &Stored) -> Option<RangeSealed> {
    match wire::stored(codec, stored) {
        Ok(Some(Event { payload: Payload::RangeSealed(range), .. })) => Some(range),
        _ => None,
    }
}

/// One partition, compared with its seals as both are read. The caller feeds ranges in the order of the topic
/// [`SEALS`], and before each comparison the records up to the end of the range.
#[derive(Debug)]
pub struct Comparison {
    place: String,
    /// The first offset that the log still holds.
    start: u64,
    previous: Option<String>,
    last: Option<u64>,
    /// Sealed records that retention has let go.
    pub retired: u64,
    /// Sealed records found as they were.
    pub held: u64,
    /// Ranges whose key is not here: their digests are compared, their seal is not.
    pub unkeyed: u64,
    /// The first thing that is wrong; nothing is compared after it.
    pub damage: Option<Damage>,
}

impl Comparison {
    /// Of a partition that begins at `start`.
    pub fn new(topic: &str, partition: u32, start: u64) -> Self {
        Self {
            place: format!("{topic}/{partition}"),
            start,
            previous: None,
            last: None,
            retired: 0,
            held: 0,
            unkeyed: 0,
            damage: None,
        }
    }

    /// The offset after the last sealed record.
    pub fn next(&self) -> u64 {
        self.last.map_or(self.start, |last| last + 1)
    }

    /// Compares the records from the end of the range before (or the start of the partition) to the end of this one.
    /// `key` is the key of this id, if it is here.
    pub fn take(&mut self, range: &RangeSealed, records: &[Stored], key: Option<&SubjectKey>) {
        if self.damage.is_none()
            && let Err((offset, what)) = self.compare(range, records, key)
        {
            self.damage = Some(Damage { place: format!("{}/{offset}", self.place), what });
        }
    }

    fn compare(
        &mut self,
        range: &RangeSealed,
        records: &[Stored],
        key: Option<&SubjectKey>,
    ) -> Result<(), (u64, String)> {
        let first = u64::try_from(range.first).unwrap_or(0);
        let of_range = |what: &str| Err((first, format!("the sealed range that begins here {what}")));
        let hash = hash(range);
        if hash.to_hex().as_str() != range.hash {
            return of_range("was changed: its hash is another");
        }
        match key {
            Some(key) if keyed(&hash, key) != range.seal => return of_range("was not sealed with the key it names"),
            Some(_) => {}
            None => self.unkeyed += 1,
        }
        match &self.previous {
            Some(previous) if *previous != range.previous => {
                return of_range("does not follow the one before: a range was removed, put in or moved");
            }
            None if !range.previous.is_empty() && first <= self.start => {
                return of_range("is not the first, and those before it are gone");
            }
            _ => {}
        }
        self.previous = Some(range.hash.clone());
        let Some(sealed) = entries(range) else { return of_range("holds digests that cannot be read") };
        let mut found = records.iter();
        for (at, (offset, digest_then)) in sealed.iter().enumerate() {
            if *offset < self.start {
                self.retired += 1;
                continue;
            }
            let Some(stored) = found.next() else { return Err((*offset, "the record was removed".to_owned())) };
            if stored.offset > *offset {
                return Err((*offset, "the record was removed".to_owned()));
            }
            if stored.offset < *offset {
                return Err((stored.offset, "a record stands here that was not there when it was sealed".to_owned()));
            }
            let now = digest(&stored.record);
            if now != *digest_then {
                let elsewhere = sealed.iter().enumerate().any(|(other, (_, then))| other != at && *then == now);
                let what =
                    if elsewhere { "the record was put here from another place" } else { "the record was changed" };
                return Err((*offset, what.to_owned()));
            }
            self.held += 1;
        }
        if let Some(stored) = found.next() {
            return Err((stored.offset, "a record stands here that was not there when it was sealed".to_owned()));
        }
        self.last = u64::try_from(range.last).ok();
        Ok(())
    }
}

/// Offsets and digests of a range.
fn entries(range: &RangeSealed) -> Option<Vec<(u64, Kept)>> {
    let mut bytes = range.digests.as_deref()?;
    let mut offset = u64::try_from(range.first).ok()?;
    let mut out = Vec::with_capacity(bytes.len() / (KEPT + 1));
    while !bytes.is_empty() {
        offset = offset.checked_add(read_number(&mut bytes)?)?;
        let (kept, rest) = bytes.split_first_chunk::<KEPT>()?;
        out.push((offset, *kept));
        bytes = rest;
    }
    (out.len() as u64 == u64::try_from(range.records).ok()? && out.last()?.0 == u64::try_from(range.last).ok()?)
        .then_some(out)
}

/// LEB128, as in Avro and WebAssembly.
fn write_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn read_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use stillhouse_streams::Headers;

    fn key(byte: u8) -> SubjectKey {
        SubjectKey { key_id: format!("key-{byte}"), secret: [byte; 32] }
    }

    /// Records with gaps between some of them, as transactions leave.
    fn log() -> Vec<Stored> {
        let record = |n: u64| Record {
            key: Some(format!("k{n}").into()),
            value: (n % 5 != 4).then(|| format!("value {n}").into()),
            headers: Headers::from_pairs([("ce_id", Some(b"x".as_slice()))]),
            timestamp: n as i64,
        };
        (0..40).map(|n| Stored { offset: n * 200 + n % 3, record: record(n) }).collect()
    }

    fn sealed(log: &[Stored], each: usize) -> Vec<RangeSealed> {
        let mut previous = String::new();
        let mut out = Vec::new();
        for part in log.chunks(each) {
            let records = part.iter().map(|s| (s.offset, &s.record));
            let range = seal("runs", 1, &previous, records, &key(1)).expect("records");
            previous = range.hash.clone();
            out.push(range);
        }
        out
    }

    fn compare(log: &[Stored], start: u64, ranges: &[RangeSealed], key: Option<&SubjectKey>) -> Comparison {
        let mut comparison = Comparison::new("runs", 1, start);
        for range in ranges {
            let next = comparison.next();
            let here: Vec<Stored> =
                log.iter().filter(|s| s.offset >= next && s.offset <= range.last as u64).cloned().collect();
            comparison.take(range, &here, key);
        }
        comparison
    }

    fn damage(log: &[Stored], ranges: &[RangeSealed]) -> (String, String) {
        let found = compare(log, 0, ranges, Some(&key(1))).damage.expect("noticed");
        (found.place, found.what)
    }

    #[test]
    fn an_untouched_log_is_whole_whatever_the_ranges_and_what_retention_took() {
        let log = log();
        for each in [1, 7, 40] {
            let ranges = sealed(&log, each);
            let whole = compare(&log, 0, &ranges, Some(&key(1)));
            assert_eq!((whole.damage, whole.held, whole.retired, whole.unkeyed), (None, 40, 0, 0));
            let start = log[11].offset;
            let kept = compare(&log[11..], start, &ranges, None);
            assert_eq!((kept.damage, kept.held, kept.retired, kept.unkeyed), (None, 29, 11, ranges.len() as u64));
        }
        assert_eq!(seal("runs", 1, "", [], &key(1)), None);
    }

    #[test]
    fn what_was_changed_removed_moved_or_put_in_is_named_by_its_position() {
        let log = log();
        let ranges = sealed(&log, 10);
        for at in [0, 9, 10, 25, 39] {
            let place = format!("runs/1/{}", log[at].offset);
            let mut changed = log.clone();
            changed[at].record.timestamp += 1;
            assert_eq!(damage(&changed, &ranges), (place.clone(), "the record was changed".into()));
            let mut removed = log.clone();
            removed.remove(at);
            assert_eq!(damage(&removed, &ranges), (place, "the record was removed".into()));
            let mut more = log.clone();
            more.insert(at, Stored { offset: log[at].offset.saturating_sub(1), record: log[3].record.clone() });
            if at > 0 {
                let (place, what) = damage(&more, &ranges);
                assert_eq!(place, format!("runs/1/{}", log[at].offset - 1));
                assert!(what.contains("was not there"), "{what}");
            }
        }
        let mut moved = log.clone();
        (moved[4].record, moved[6].record) = (log[6].record.clone(), log[4].record.clone());
        let (place, what) = damage(&moved, &ranges);
        assert_eq!(
            (place, what),
            (format!("runs/1/{}", log[4].offset), "the record was put here from another place".into())
        );
    }

    #[test]
    fn ranges_cannot_be_changed_left_out_or_made_anew() {
        let log = log();
        let ranges = sealed(&log, 10);
        for at in 0..ranges.len() {
            let mut changed = ranges.clone();
            changed[at].digests.as_mut().expect("digests")[1] ^= 1;
            assert!(damage(&log, &changed).1.contains("its hash is another"));
            let without: Vec<_> = ranges.iter().enumerate().filter(|(n, _)| *n != at).map(|(_, r)| r.clone()).collect();
            if at + 1 < ranges.len() {
                damage(&log, &without);
            }
        }
        // Somebody changes a record and seals everything again, without the key.
        let mut forged = log.clone();
        forged[12].record.value = Some("other".into());
        let mut previous = String::new();
        let mut again = Vec::new();
        for part in forged.chunks(10) {
            let mut range =
                seal("runs", 1, &previous, part.iter().map(|s| (s.offset, &s.record)), &key(2)).expect("one");
            range.key_id = "key-1".into();
            previous = range.hash.clone();
            again.push(range);
        }
        assert!(damage(&forged, &again).1.contains("was not sealed with the key"));
    }

    #[test]
    fn numbers_come_back() {
        for number in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            write_number(&mut out, number);
            let mut bytes = out.as_slice();
            assert_eq!((read_number(&mut bytes), bytes.len()), (Some(number), 0));
        }
        assert_eq!(read_number(&mut [0x80; 20].as_slice()), None);
    }
}
