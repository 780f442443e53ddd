//! Records that meet others before they become runs: a batch's requests and its answers.
//!
//! The halves that wait lie in an unnamed temporary file; in memory is only what finds them again, so that two files of
//! any size can be joined, in any order.

use super::document::article;
use super::mapping::Join;
use super::path::Scope;
use super::template::{clip, spell};
use crate::lines::Place;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};

/// Halves that may wait at once.
const MAX_WAITING: usize = 2_000_000;

/// Joins records of one import.
pub(super) struct Joiner {
    spool: File,
    end: u64,
    waiting: HashMap<[u8; 32], Waiting>,
}

struct Waiting {
    side: usize,
    file: usize,
    place: Place,
    at: u64,
    length: u64,
}

/// A half that never met the other.
pub(super) struct Alone {
    pub(super) file: usize,
    pub(super) place: Place,
    pub(super) reason: String,
}

impl Joiner {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self { spool: tempfile::tempfile()?, end: 0, waiting: HashMap::new() })
    }

    /// The whole that a record completes; `None` while its other half has not come.
    pub(super) fn take(
        &mut self,
        join: &Join,
        record: Value,
        file: usize,
        place: Place,
    ) -> Result<Option<Value>, String> {
        let scope = Scope { record: &record, each: None, item: None };
        let mut sides = Vec::new();
        for (index, (_, rule)) in join.sides.iter().enumerate() {
            if rule.give(scope)?.is_some() {
                sides.push(index);
            }
        }
        let side = match sides.as_slice() {
            [] => {
                let needs: Vec<String> =
                    join.sides.iter().map(|(name, rule)| format!("{name} (`{}`)", rule.describe())).collect();
                return Err(format!("the record is neither {}", needs.join(" nor ")));
            }
            [side] => *side,
            // One line that holds both halves.
            _ => return Ok(Some(both(join, record.clone(), record))),
        };
        let key = join
            .on
            .give(scope)?
            .ok_or_else(|| format!("`{}` is missing, and joins the record to its other half", join.on.describe()))?;
        let hash = *blake3::hash(spell(&key).as_bytes()).as_bytes();
        match self.waiting.get(&hash) {
            Some(other) if other.side == side => Err(format!(
                "{} with the same `{}` (`{}`) came before",
                article(&join.sides[side].0),
                join.on.describe(),
                clip(&spell(&key))
            )),
            Some(_) => {
                let other = self.waiting.remove(&hash).ok_or("a waiting record is gone")?;
                let other = self
                    .read(&other)
                    .map_err(|e| format!("the other half cannot be read from the temporary file: {e}"))?;
                Ok(Some(if side == 0 { both(join, record, other) } else { both(join, other, record) }))
            }
            None if self.waiting.len() >= MAX_WAITING => {
                Err(format!("{MAX_WAITING} records wait for their other halves already; import fewer files at once"))
            }
            None => {
                let (at, length) =
                    self.write(&record).map_err(|e| format!("the temporary file cannot be written: {e}"))?;
                self.waiting.insert(hash, Waiting { side, file, place, at, length });
                Ok(None)
            }
        }
    }

    /// What never met its other half, in the order of reading.
    pub(super) fn alone(&mut self, join: &Join) -> Vec<Alone> {
        let mut left: Vec<Waiting> = std::mem::take(&mut self.waiting).into_values().collect();
        left.sort_by_key(|w| (w.file, w.place.offset, w.place.record));
        left.into_iter()
            .map(|waiting| {
                let (name, _) = &join.sides[waiting.side];
                let (other, _) = &join.sides[1 - waiting.side];
                let reason = format!(
                    "{} whose {other} (same `{}`) is in none of the files; give both files in one import",
                    article(name),
                    join.on.describe()
                );
                Alone { file: waiting.file, place: waiting.place, reason }
            })
            .collect()
    }

    fn write(&mut self, record: &Value) -> std::io::Result<(u64, u64)> {
        let bytes = serde_json::to_vec(record)?;
        self.spool.seek(SeekFrom::Start(self.end))?;
        self.spool.write_all(&bytes)?;
        let at = self.end;
        self.end += bytes.len() as u64;
        Ok((at, bytes.len() as u64))
    }

    fn read(&mut self, waiting: &Waiting) -> std::io::Result<Value> {
        self.spool.seek(SeekFrom::Start(waiting.at))?;
        let mut bytes = Vec::new();
        (&self.spool).take(waiting.length).read_to_end(&mut bytes)?;
        Ok(serde_json::from_slice(&bytes)?)
    }
}

fn both(join: &Join, first: Value, second: Value) -> Value {
    let mut whole = Map::new();
    whole.insert(join.sides[0].0.clone(), first);
    whole.insert(join.sides[1].0.clone(), second);
    Value::Object(whole)
}
