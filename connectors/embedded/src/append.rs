//! Records on their way into the tables.

use crate::fault::{Outcome, corrupt};
use crate::framing::{Hash, Prints, RECORD, chain, row_crc};
use crate::ids::{self, Key, Spot};
use crate::rows::Walk;
use crate::schema::{Counters, Place, Topic};
use crate::txn::Txn;
use rusqlite::params;
use std::collections::HashMap;
use std::sync::Arc;
use stillhouse_streams::{Append, Error, ErrorKind, Position, Receipt, Record, Result, partition_for};

/// Largest key + value + headers.
pub(crate) const MAX_RECORD_BYTES: usize = 16 << 20;
/// Largest batch: a transaction is held in memory until it is written.
const MAX_BATCH_BYTES: usize = 256 << 20;

/// A batch with what can be computed before the writer is asked.
pub(crate) struct Prepared {
    batch: Vec<Append>,
    prints: Vec<Prints>,
    keys: Vec<Option<Key>>,
    pub(crate) bytes: usize,
    /// Whether an id says all of the content, so that a known one is a repetition whatever else differs.
    pub(crate) ids_tell_all: bool,
}

/// Bytes of a batch; refuses what is too large.
pub(crate) fn measure(batch: &[Append]) -> Result<usize> {
    let mut bytes = 0;
    for (index, append) in batch.iter().enumerate() {
        let size = append.record.size();
        if size > MAX_RECORD_BYTES {
            let message = format!("record {index} has {size} bytes; {MAX_RECORD_BYTES} are taken");
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        bytes += size;
    }
    if bytes > MAX_BATCH_BYTES {
        let message = format!("the batch has {bytes} bytes; {MAX_BATCH_BYTES} are taken");
        return Err(Error::new(ErrorKind::TooLarge, message));
    }
    Ok(bytes)
}

impl Prepared {
    pub(crate) fn new(batch: Vec<Append>, bytes: usize) -> Self {
        let prints = batch.iter().map(|append| Prints::of(&append.record)).collect();
        let keys = batch.iter().map(|append| append.record.id().map(ids::key)).collect();
        Self { batch, prints, keys, bytes, ids_tell_all: false }
    }
}

/// The part of a batch that goes to one topic.
struct Share {
    topic: Arc<Topic>,
    /// Per partition, made when the first record comes.
    plans: Vec<Option<Plan>>,
    /// Ids that are new, with their places.
    fresh: Vec<(Key, Spot)>,
}

/// The part of a batch that goes to one partition.
struct Plan {
    place: Place,
    counters: Counters,
    /// Indices into the batch, in order.
    records: Vec<usize>,
}

/// Places every record without writing anything, then writes all of it: a refusal leaves no trace.
pub(crate) fn append(txn: &mut Txn<'_>, prepared: &Prepared) -> Outcome<Vec<Receipt>> {
    if prepared.batch.is_empty() {
        return Ok(Vec::new());
    }
    let mut shares: Vec<Share> = Vec::new();
    let targets = resolve(txn, &prepared.batch, &mut shares)?;
    let known = lookup(txn, prepared, &shares, &targets)?;
    let receipts = plan(txn, prepared, &mut shares, &targets, &known)?;
    for share in &mut shares {
        for plan in share.plans.iter_mut().flatten() {
            write(txn, prepared, plan)?;
        }
        txn.index.add(share.topic.id, std::mem::take(&mut share.fresh));
    }
    Ok(receipts)
}

/// The share and the partition of each record.
fn resolve(txn: &Txn<'_>, batch: &[Append], shares: &mut Vec<Share>) -> Outcome<Vec<(usize, u32)>> {
    let mut targets = Vec::with_capacity(batch.len());
    for append in batch {
        let found = shares.iter().position(|share| share.topic.name == append.topic);
        let index = match found {
            Some(index) => index,
            None => {
                let topic = txn.catalog.topic(&append.topic)?.clone();
                let plans = topic.partitions.iter().map(|_| None).collect();
                shares.push(Share { topic, plans, fresh: Vec::new() });
                shares.len() - 1
            }
        };
        let partitions = shares[index].topic.partitions.len() as u32;
        let number = append.partition.unwrap_or_else(|| partition_for(append.record.key.as_deref(), partitions));
        if number >= partitions {
            let message = format!("there is no partition `{}/{number}`: the topic has {partitions}", append.topic);
            return Err(Error::new(ErrorKind::Invalid, message).into());
        }
        targets.push((index, number));
    }
    Ok(targets)
}

/// What the index knows of the ids of the batch.
fn lookup(
    txn: &mut Txn<'_>,
    prepared: &Prepared,
    shares: &[Share],
    targets: &[(usize, u32)],
) -> Outcome<Vec<Option<Spot>>> {
    let mut known = Vec::with_capacity(targets.len());
    for (key, (share, _)) in prepared.keys.iter().zip(targets) {
        known.push(match key {
            Some(key) => txn.index.find(txn.conn, shares[*share].topic.id, key)?,
            None => None,
        });
    }
    Ok(known)
}

fn plan(
    txn: &mut Txn<'_>,
    prepared: &Prepared,
    shares: &mut [Share],
    targets: &[(usize, u32)],
    known: &[Option<Spot>],
) -> Outcome<Vec<Receipt>> {
    let mut receipts: Vec<Receipt> = Vec::with_capacity(targets.len());
    let mut conflicts = Vec::new();
    let mut first: HashMap<(usize, Key), usize, foldhash::fast::RandomState> = HashMap::default();
    for (index, (target, append)) in targets.iter().zip(&prepared.batch).enumerate() {
        let share = &mut shares[target.0];
        if let Some(key) = prepared.keys[index] {
            let stored = match known[index] {
                Some(spot) => known_record(txn, &share.topic, spot, append.record.id())?.map(|record| (spot, record)),
                None => None,
            };
            if let Some((spot, record)) = stored {
                if !prepared.ids_tell_all && !record.same_content(&append.record) {
                    conflicts.push(index);
                }
                let position = Position::new(share.topic.name.clone(), spot.partition, spot.offset);
                receipts.push(Receipt { position, duplicate: true });
                continue;
            }
            if let Some(earlier) = first.get(&(target.0, key)) {
                if !prepared.ids_tell_all && !prepared.batch[*earlier].record.same_content(&append.record) {
                    conflicts.push(index);
                }
                receipts.push(Receipt { duplicate: true, ..receipts[*earlier].clone() });
                continue;
            }
            first.insert((target.0, key), index);
        }
        let slot = &mut share.plans[target.1 as usize];
        let plan = match slot {
            Some(plan) => plan,
            None => {
                let id = share.topic.partitions[target.1 as usize];
                let place = Place { id, topic: share.topic.clone(), number: target.1 };
                let counters = txn.counters(&place)?;
                slot.insert(Plan { place, counters, records: Vec::new() })
            }
        };
        let offset = plan.counters.next + plan.records.len() as u64;
        plan.records.push(index);
        if let Some(key) = prepared.keys[index] {
            share.fresh.push((key, Spot { partition: target.1, offset }));
        }
        let position = Position::new(share.topic.name.clone(), target.1, offset);
        receipts.push(Receipt { position, duplicate: false });
    }
    if conflicts.is_empty() {
        return Ok(receipts);
    }
    let ids: Vec<&str> = conflicts.iter().filter_map(|index| prepared.batch[*index].record.id()).take(8).collect();
    let message = format!("{} of the ids are taken by records with other content: {}", conflicts.len(), ids.join(", "));
    Err(Error::conflict(conflicts, message).into())
}

/// The record that the index names. `None` if it is no longer there.
fn known_record(txn: &Txn<'_>, topic: &Arc<Topic>, spot: Spot, id: Option<&str>) -> Outcome<Option<Record>> {
    let table = topic.partitions.get(spot.partition as usize).copied();
    let table = table.ok_or_else(|| corrupt(format!("the id index of `{}`", topic.name), "it names no partition"))?;
    let place = Place { id: table, topic: topic.clone(), number: spot.partition };
    // The row may be of this very transaction, whose counters are not in the table yet.
    let walk = Walk { conn: txn.conn, skip_crc: false };
    let record = walk.one_of(&place, txn.known_counters(&place)?, spot.offset)?;
    if record.as_ref().is_some_and(|record| record.id() != id) {
        return Err(corrupt(
            format!("the id index of `{}`", topic.name),
            format!("it names the wrong record for an id at {place}/{}", spot.offset),
        )
        .into());
    }
    Ok(record)
}

fn write(txn: &mut Txn<'_>, prepared: &Prepared, plan: &mut Plan) -> Outcome<()> {
    let Plan { place, counters, records } = plan;
    let mut head: Hash = counters.head;
    {
        let sql = format!(
            "INSERT INTO p{}(offset, timestamp, kind, crc, chain, key, value, headers) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            place.id
        );
        let mut insert = txn.conn.prepare_cached(&sql)?;
        for index in records.iter() {
            let record = &prepared.batch[*index].record;
            let prints = &prepared.prints[*index];
            head = chain(&head, counters.next, &prints.digest);
            let crc = row_crc(prints.crc, RECORD, place.id, counters.next, &head);
            let headers = record.headers.encoded();
            insert.execute(params![
                counters.next as i64,
                record.timestamp,
                RECORD,
                crc,
                head,
                record.key.as_deref(),
                record.value.as_deref(),
                (!headers.is_empty()).then_some(headers.as_ref()),
            ])?;
            counters.next += 1;
        }
    }
    counters.head = head;
    txn.set_counters(place, *counters);
    Ok(())
}
