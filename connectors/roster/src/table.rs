//! Workers by column, with look-ups by id and by name.

use crate::builder::STATUSES;
use crate::names::folded;
use crate::texts::Texts;
use foldhash::fast::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use stillhouse_schemas::roster::{Roster, Worker};

/// In the column of days: the roster does not say.
pub(crate) const NO_DAY: i32 = i32::MIN;
/// In the column of pay: the roster does not say.
pub(crate) const NO_PAY: (u32, u32) = (u32::MAX, u32::MAX);

/// A roster in memory. Rows are in the order of ids.
pub struct Table {
    pub(crate) version: String,
    pub(crate) hasher: RandomState,
    pub(crate) ids: Ids,
    /// Hash of the folded name above, row below; ascending.
    pub(crate) names: Vec<u64>,
    pub(crate) texts: Texts,
    pub(crate) places: Vec<u32>,
    /// Number in `trades`: role and set of certifications.
    pub(crate) trade: Vec<u32>,
    /// Number in `sites`: city and state.
    pub(crate) site: Vec<u32>,
    pub(crate) status: Vec<u8>,
    pub(crate) coordinates: Vec<(f32, f32)>,
    pub(crate) from: Vec<u16>,
    pub(crate) until: Vec<u16>,
    pub(crate) pay: Vec<u32>,
    pub(crate) roles: Vec<Box<str>>,
    pub(crate) held: Vec<Box<str>>,
    pub(crate) sets: Vec<Box<[u32]>>,
    pub(crate) trades: Vec<(u32, u32)>,
    pub(crate) cities: Vec<Box<str>>,
    pub(crate) states: Vec<Box<str>>,
    pub(crate) sites: Vec<(u32, u32)>,
    pub(crate) days: Vec<i32>,
    pub(crate) pays: Vec<(u32, u32)>,
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("version", &self.version).field("workers", &self.places.len()).finish()
    }
}

/// Rows by id: open addressing, a fifth of the slots free. Ids stand in the texts, not here.
#[derive(Debug, Default)]
pub(crate) struct Ids {
    /// Row and one; zero is free.
    slots: Vec<u32>,
}

impl Ids {
    pub(crate) fn with_room(rows: usize) -> Self {
        Self { slots: vec![0; rows + rows / 4 + 1] }
    }

    fn first(&self, hasher: &RandomState, id: &[u8]) -> usize {
        // The product's upper half: the hash, scaled to the number of slots.
        ((u128::from(hasher.hash_one(id)) * self.slots.len() as u128) >> 64) as usize
    }

    /// The id must not be there.
    pub(crate) fn insert(&mut self, hasher: &RandomState, id: &[u8], row: u32) {
        let mut slot = self.first(hasher, id);
        while self.slots[slot] != 0 {
            slot = (slot + 1) % self.slots.len();
        }
        self.slots[slot] = row + 1;
    }

    fn find(&self, hasher: &RandomState, id: &[u8], is: impl Fn(usize) -> bool) -> Option<usize> {
        let mut slot = self.first(hasher, id);
        loop {
            let row = self.slots.get(slot)?.checked_sub(1)? as usize;
            if is(row) {
                return Some(row);
            }
            slot = (slot + 1) % self.slots.len();
        }
    }
}

/// The upper half of a name's entry.
pub(crate) fn hash_of_name(hasher: &RandomState, folded: &str) -> u32 {
    (hasher.hash_one(folded) >> 32) as u32
}

impl Table {
    /// The worker of a row; rows are in the order of ids.
    pub fn row(&self, row: usize) -> Option<Worker<'_>> {
        let [id, name, phone, email] = self.texts.read(*self.places.get(row)?);
        let (latitude, longitude) = self.coordinates[row];
        let day = |number: u16| Some(self.days[usize::from(number)]).filter(|day| *day != NO_DAY);
        let (role, set) = self.trades[self.trade[row] as usize];
        let (city, state) = self.sites[self.site[row] as usize];
        let set = &self.sets[set as usize];
        Some(Worker {
            id,
            name,
            role: &self.roles[role as usize],
            certifications: set.iter().map(|one| &*self.held[*one as usize]).collect(),
            city: &self.cities[city as usize],
            state: &self.states[state as usize],
            place: (!latitude.is_nan()).then_some((latitude, longitude)),
            available_from: day(self.from[row]),
            available_until: day(self.until[row]),
            pay: Some(self.pays[self.pay[row] as usize]).filter(|pay| *pay != NO_PAY),
            phone,
            email,
            status: STATUSES[usize::from(self.status[row])],
        })
    }

    /// All workers, in the order of their ids.
    pub fn workers(&self) -> impl Iterator<Item = Worker<'_>> {
        (0..self.places.len()).filter_map(|row| self.row(row))
    }

    /// Names the workers: 32 hex digits of a BLAKE3 hash over all of them.
    pub(crate) fn hash(&self) -> String {
        let (mut hasher, mut buffer) = (blake3::Hasher::new(), Vec::with_capacity(1 << 16));
        buffer.extend_from_slice(b"stillhouse roster 1\0");
        let text = |buffer: &mut Vec<u8>, text: &[u8]| {
            buffer.extend_from_slice(&(text.len() as u32).to_le_bytes());
            buffer.extend_from_slice(text);
        };
        for (row, place) in self.places.iter().enumerate() {
            self.texts.raw(*place).iter().for_each(|bytes| text(&mut buffer, bytes));
            let (role, set) = self.trades[self.trade[row] as usize];
            let (city, state) = self.sites[self.site[row] as usize];
            let set = &self.sets[set as usize];
            for field in [&*self.roles[role as usize], &self.cities[city as usize], &self.states[state as usize]] {
                text(&mut buffer, field.as_bytes());
            }
            text(&mut buffer, STATUSES[usize::from(self.status[row])].as_bytes());
            buffer.extend_from_slice(&(set.len() as u32).to_le_bytes());
            set.iter().for_each(|one| text(&mut buffer, self.held[*one as usize].as_bytes()));
            // What the roster does not say are numbers that no worker has.
            let (latitude, longitude) = self.coordinates[row];
            let (from, to) = self.pays[self.pay[row] as usize];
            let day = |number: u16| self.days[usize::from(number)].cast_unsigned();
            let (since, until) = (day(self.from[row]), day(self.until[row]));
            let unknown = if latitude.is_nan() { u32::MAX } else { 0 };
            for number in [latitude.to_bits() | unknown, longitude.to_bits() | unknown, since, until, from, to] {
                buffer.extend_from_slice(&number.to_le_bytes());
            }
            if buffer.len() >= 1 << 16 {
                hasher.update(&buffer);
                buffer.clear();
            }
        }
        hasher.update(&buffer);
        hasher.finalize().to_hex()[..32].to_owned()
    }
}

impl Roster for Table {
    fn version(&self) -> &str {
        &self.version
    }

    fn len(&self) -> usize {
        self.places.len()
    }

    fn worker(&self, id: &str) -> Option<Worker<'_>> {
        let row =
            self.ids.find(&self.hasher, id.as_bytes(), |row| self.texts.raw(self.places[row])[0] == id.as_bytes())?;
        self.row(row)
    }

    fn named(&self, name: &str, most: usize) -> Vec<Worker<'_>> {
        let name = folded(name);
        let hash = u64::from(hash_of_name(&self.hasher, &name));
        let first = self.names.partition_point(|entry| entry >> 32 < hash);
        self.names[first..]
            .iter()
            .take_while(|entry| *entry >> 32 == hash)
            .map(|entry| (*entry & u64::from(u32::MAX)) as usize)
            .filter(|row| folded(self.texts.read(self.places[*row])[1]) == name)
            .filter_map(|row| self.row(row))
            .take(most)
            .collect()
    }
}
