//! Rows of a partition: read in order, each checked, none missing.

use crate::fault::{Outcome, corrupt};
use crate::framing::{HOLE, Hash, LOST, RECORD, content_crc, row_crc};
use crate::schema::{Counters, Place};
use bytes::{Bytes, BytesMut};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};
use std::ops::{ControlFlow, Range};
use stillhouse_streams::{Error, Headers, Record, Stored};

/// The columns that [`RawRow`] reads, in its order.
pub(crate) const COLUMNS: &str = "offset, timestamp, kind, crc, chain, key, value, headers";

/// A row as it stands in SQLite's page.
#[derive(Clone, Copy)]
pub(crate) struct RawRow<'r> {
    pub(crate) offset: u64,
    pub(crate) timestamp: i64,
    pub(crate) kind: u8,
    crc: i64,
    pub(crate) chain: &'r Hash,
    pub(crate) key: Option<&'r [u8]>,
    /// Of a hole: the digest of the record that was here.
    pub(crate) value: Option<&'r [u8]>,
    pub(crate) headers: &'r [u8],
}

impl<'r> RawRow<'r> {
    /// `None` if a column holds what this crate does not write.
    pub(crate) fn read(row: &'r Row<'_>) -> rusqlite::Result<Option<Self>> {
        let number =
            |index| row.get_ref(index).map(|value| if let ValueRef::Integer(n) = value { Some(n) } else { None });
        // The outer option is about the type, the inner one about null.
        let blob = |index| {
            row.get_ref(index).map(|value| match value {
                ValueRef::Null => Some(None),
                ValueRef::Blob(bytes) => Some(Some(bytes)),
                _ => None,
            })
        };
        let fields = (number(0)?, number(1)?, number(2)?, number(3)?, blob(4)?, blob(5)?, blob(6)?, blob(7)?);
        let (
            Some(offset),
            Some(timestamp),
            Some(kind),
            Some(crc),
            Some(Some(chain)),
            Some(key),
            Some(value),
            Some(headers),
        ) = fields
        else {
            return Ok(None);
        };
        let (Ok(kind), Ok(chain)) = (u8::try_from(kind), chain.try_into()) else { return Ok(None) };
        let headers = headers.unwrap_or_default();
        Ok(Some(Self { offset: offset as u64, timestamp, kind, crc, chain, key, value, headers }))
    }

    pub(crate) fn is_whole(&self, partition: i64) -> bool {
        let content = content_crc(self.timestamp, self.key, self.value, self.headers);
        let known = match self.kind {
            RECORD => true,
            HOLE => self.value.is_some_and(|digest| digest.len() == 32),
            LOST => self.value.is_none(),
            _ => false,
        };
        known && i64::from(row_crc(content, self.kind, partition, self.offset, self.chain)) == self.crc
    }

    /// The record, copied; `None` where there is none any more.
    pub(crate) fn record(&self) -> Option<Record> {
        let headers = Headers::decode(Bytes::copy_from_slice(self.headers))?;
        let (key, value) = (self.key.map(Bytes::copy_from_slice), self.value.map(Bytes::copy_from_slice));
        (self.kind == RECORD).then_some(Record { key, value, headers, timestamp: self.timestamp })
    }
}

/// What is wrong with a record that is not there.
pub(crate) const MISSING: &str = "the record is missing";
/// What is wrong with one that is not as it was written.
pub(crate) const CHECKSUM: &str = "the checksum of the record is wrong";

/// A record that stops every reader, and what helps.
pub(crate) fn bad(place: &Place, offset: u64, what: &str) -> Error {
    let remedy = "put the newest copy of the journal's files back, or go on without this record";
    corrupt(format!("{place}/{offset}"), format!("{what} ({remedy}: verify --accept-loss {place}/{offset})"))
}

/// How a walk is done.
#[derive(Clone, Copy)]
pub(crate) struct Walk<'c> {
    pub(crate) conn: &'c Connection,
    /// Serves what is damaged: only to show that the tests notice.
    pub(crate) skip_crc: bool,
}

impl Walk<'_> {
    /// Shows the rows from `from` (or the start of the partition) until `until` (or its end) to `visit`, which may
    /// stop. A row that is damaged or missing is an error. Answers with the offset after the last row shown.
    pub(crate) fn rows(
        self,
        place: &Place,
        range: Range<u64>,
        visit: impl FnMut(&RawRow<'_>) -> Outcome<ControlFlow<()>>,
    ) -> Outcome<u64> {
        self.rows_of(place, Counters::load(self.conn, place)?, range, visit)
    }

    /// The same, with counters that are known.
    pub(crate) fn rows_of(
        self,
        place: &Place,
        counters: Counters,
        range: Range<u64>,
        mut visit: impl FnMut(&RawRow<'_>) -> Outcome<ControlFlow<()>>,
    ) -> Outcome<u64> {
        let mut next = range.start.max(counters.start);
        let until = range.end.min(counters.next);
        if next >= until {
            return Ok(next);
        }
        let sql = format!("SELECT {COLUMNS} FROM p{} WHERE offset >= ?1 AND offset < ?2 ORDER BY offset", place.id);
        let mut query = self.conn.prepare_cached(&sql)?;
        let mut rows = query.query([next as i64, until as i64])?;
        while let Some(row) = rows.next()? {
            let found = row.get_ref(0)?.as_i64().ok();
            if found != Some(next as i64) && !self.skip_crc {
                return Err(bad(place, next, MISSING).into());
            }
            let raw = RawRow::read(row)?.filter(|raw| self.skip_crc || raw.is_whole(place.id));
            let raw = raw.ok_or_else(|| bad(place, next, CHECKSUM))?;
            next = raw.offset + 1;
            if visit(&raw)?.is_break() {
                return Ok(next);
            }
        }
        if next < until && !self.skip_crc {
            return Err(bad(place, next, MISSING).into());
        }
        Ok(next)
    }

    /// The record at an offset; `None` if it is before the start, after the end, or was compacted away.
    pub(crate) fn one(self, place: &Place, offset: u64) -> Outcome<Option<Record>> {
        self.one_of(place, Counters::load(self.conn, place)?, offset)
    }

    /// The same, with counters that are known.
    pub(crate) fn one_of(self, place: &Place, counters: Counters, offset: u64) -> Outcome<Option<Record>> {
        let mut found = None;
        self.rows_of(place, counters, offset..offset.saturating_add(1), |raw| {
            found = Some(raw).filter(|raw| raw.offset == offset).and_then(RawRow::record);
            Ok(ControlFlow::Break(()))
        })?;
        Ok(found)
    }
}

/// Collects records into one buffer.
pub(crate) struct Page {
    place: Place,
    buffer: BytesMut,
    records: Vec<Bounds>,
    /// At most so many records, and bytes, but always one.
    most: usize,
    most_bytes: usize,
    full: bool,
}

struct Bounds {
    offset: u64,
    timestamp: i64,
    key: Option<usize>,
    value: Option<usize>,
    headers: usize,
}

impl Page {
    pub(crate) fn new(place: Place, most: usize, most_bytes: usize) -> Self {
        let buffer = BytesMut::with_capacity(most.saturating_mul(700).min(most_bytes).min(1 << 20));
        Self { place, buffer, records: Vec::with_capacity(most.min(1_024)), most, most_bytes, full: false }
    }

    /// Takes a row, unless it is one too many.
    pub(crate) fn take(&mut self, raw: &RawRow<'_>) -> ControlFlow<()> {
        if raw.kind != RECORD {
            return ControlFlow::Continue(());
        }
        let length = |part: Option<&[u8]>| part.map(<[u8]>::len);
        let (key, value) = (length(raw.key), length(raw.value));
        let size = key.unwrap_or(0) + value.unwrap_or(0) + raw.headers.len();
        let over = self.buffer.len().saturating_add(size) > self.most_bytes;
        if self.records.len() >= self.most || (over && !self.records.is_empty()) {
            self.full = true;
            return ControlFlow::Break(());
        }
        for part in [raw.key.unwrap_or_default(), raw.value.unwrap_or_default(), raw.headers] {
            self.buffer.extend_from_slice(part);
        }
        let (offset, timestamp, headers) = (raw.offset, raw.timestamp, raw.headers.len());
        self.records.push(Bounds { offset, timestamp, key, value, headers });
        if self.records.len() == self.most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Whether the last row shown was not taken.
    pub(crate) fn turned_away(&self) -> bool {
        self.full
    }

    /// The records, which share the buffer.
    pub(crate) fn records(self) -> Outcome<Vec<Stored>> {
        let mut buffer = self.buffer.freeze();
        let mut records = Vec::with_capacity(self.records.len());
        for bounds in self.records {
            let key = bounds.key.map(|length| buffer.split_to(length));
            let value = bounds.value.map(|length| buffer.split_to(length));
            let headers = Headers::decode(buffer.split_to(bounds.headers)).ok_or_else(|| {
                corrupt(format!("{}/{}", self.place, bounds.offset), "the headers are not of their layout")
            })?;
            let record = Record { key, value, headers, timestamp: bounds.timestamp };
            records.push(Stored { offset: bounds.offset, record });
        }
        Ok(records)
    }
}
