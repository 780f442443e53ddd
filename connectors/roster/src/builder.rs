//! Makes a table, worker by worker. Whatever workers come from, what is asked of them is asked here.

use crate::names::folded;
use crate::table::{Ids, NO_DAY, NO_PAY, Table, hash_of_name};
use crate::texts::Texts;
use foldhash::fast::RandomState;
use std::collections::HashMap;
use stillhouse_schemas::roster::Worker;

/// Most workers of a roster.
pub const MOST_WORKERS: usize = 5_000_000;

/// Most certifications of a worker.
const MOST_CERTIFICATIONS: usize = 64;

/// What a status may be; the first: the roster does not say.
pub const STATUSES: [&str; 5] = ["", "active", "inactive", "on_assignment", "do_not_use"];

/// A worker that no roster can hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{column}: {why}")]
pub struct BadWorker {
    /// The column that is wrong.
    pub column: &'static str,
    /// Why.
    pub why: String,
}

/// Ids that several workers have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", said(.ids, *.total))]
pub struct Duplicates {
    /// The first of them: id, and numbers of two of its rows in the order they were pushed, from zero.
    pub ids: Vec<(String, usize, usize)>,
    /// How many rows repeat an earlier one's id.
    pub total: usize,
}

fn said(ids: &[(String, usize, usize)], total: usize) -> String {
    let shown: Vec<String> =
        ids.iter().map(|(id, a, b)| format!("`{}` in rows {} and {}", id.escape_debug(), a + 1, b + 1)).collect();
    format!("id: {total} rows have the id of another one: {}", shown.join(", "))
}

/// What repeats, kept once.
#[derive(Debug)]
struct Interned<T> {
    numbers: HashMap<T, u32, RandomState>,
    kept: Vec<T>,
}

impl<T> Default for Interned<T> {
    fn default() -> Self {
        Self { numbers: HashMap::default(), kept: Vec::new() }
    }
}

impl<T: Eq + std::hash::Hash> Interned<T> {
    fn number<Q>(&mut self, value: &Q) -> u32
    where
        Q: std::hash::Hash + Eq + ?Sized,
        T: std::borrow::Borrow<Q> + for<'a> From<&'a Q>,
    {
        self.numbers.get(value).copied().unwrap_or_else(|| self.keep(T::from(value), T::from(value)))
    }

    fn number_of(&mut self, value: T) -> u32
    where
        T: Copy,
    {
        self.numbers.get(&value).copied().unwrap_or_else(|| self.keep(value, value))
    }

    fn keep(&mut self, value: T, again: T) -> u32 {
        // Never more than there are workers and certifications, far below 2^32.
        let number = self.kept.len() as u32;
        self.kept.push(value);
        self.numbers.insert(again, number);
        number
    }
}

/// A table that is being made.
#[derive(Debug, Default)]
pub struct Builder {
    texts: Texts,
    places: Vec<u32>,
    trade: Vec<u32>,
    site: Vec<u32>,
    status: Vec<u8>,
    coordinates: Vec<(f32, f32)>,
    from: Vec<u16>,
    until: Vec<u16>,
    pay: Vec<u32>,
    roles: Interned<Box<str>>,
    held: Interned<Box<str>>,
    sets: Interned<Box<[u32]>>,
    trades: Interned<(u32, u32)>,
    cities: Interned<Box<str>>,
    states: Interned<Box<str>>,
    sites: Interned<(u32, u32)>,
    days: Interned<i32>,
    pays: Interned<(u32, u32)>,
}

impl Builder {
    /// With room for so many workers, more or less.
    pub fn with_room(workers: usize) -> Self {
        let room = workers.min(1 << 20);
        Self {
            places: Vec::with_capacity(room),
            trade: Vec::with_capacity(room),
            site: Vec::with_capacity(room),
            status: Vec::with_capacity(room),
            coordinates: Vec::with_capacity(room),
            from: Vec::with_capacity(room),
            until: Vec::with_capacity(room),
            pay: Vec::with_capacity(room),
            ..Self::default()
        }
    }

    /// How many workers there are so far.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none so far.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Adds a worker.
    ///
    /// # Errors
    /// Names the column; the worker was not added.
    pub fn push(&mut self, worker: &Worker<'_>) -> Result<(), BadWorker> {
        let status = check(worker)?;
        if self.len() == MOST_WORKERS {
            return bad("id", format!("there are more than {MOST_WORKERS} workers"));
        }
        let day = |days: &mut Interned<i32>, day: Option<i32>, column| {
            let number = u16::try_from(days.number_of(day.unwrap_or(NO_DAY)));
            number.map_err(|_| BadWorker { column, why: "there are more than 65536 different days".to_owned() })
        };
        let from = day(&mut self.days, worker.available_from, "available_from")?;
        let until = day(&mut self.days, worker.available_until, "available_until")?;
        let Some(place) = self.texts.push([worker.id, worker.name, worker.phone, worker.email]) else {
            return bad("id", "texts of all workers together are too long".to_owned());
        };
        let mut set: Vec<&str> = worker.certifications.clone();
        set.sort_unstable();
        set.dedup();
        let set: Vec<u32> = set.into_iter().map(|one| self.held.number(one)).collect();
        let trade = (self.roles.number(worker.role), self.sets.number(set.as_slice()));
        let site = (self.cities.number(worker.city), self.states.number(worker.state));
        self.places.push(place);
        self.trade.push(self.trades.number_of(trade));
        self.site.push(self.sites.number_of(site));
        self.status.push(status);
        // Minus zero is zero.
        self.coordinates.push(worker.place.map_or((f32::NAN, f32::NAN), |(lat, lon)| (lat + 0.0, lon + 0.0)));
        self.from.push(from);
        self.until.push(until);
        self.pay.push(self.pays.number_of(worker.pay.unwrap_or(NO_PAY)));
        Ok(())
    }

    /// The table of all that were added.
    ///
    /// # Errors
    /// Ids that are there more than once.
    pub fn finish(mut self) -> Result<Table, Duplicates> {
        self.texts.shrink();
        let id = |place: u32| self.texts.raw(place)[0];
        if !self.places.is_sorted_by(|a, b| id(*a) < id(*b)) {
            // Rows of one id stay in the order they came in, so that errors name the first.
            let mut order: Vec<u32> = (0..self.places.len() as u32).collect();
            order.sort_by(|a, b| id(self.places[*a as usize]).cmp(id(self.places[*b as usize])));
            let mut found = Duplicates { ids: Vec::new(), total: 0 };
            for pair in order.windows(2) {
                let (a, b) = (pair[0] as usize, pair[1] as usize);
                if id(self.places[a]) == id(self.places[b]) {
                    found.total += 1;
                    if found.ids.len() < 5 {
                        found.ids.push((self.texts.read(self.places[a])[0].to_owned(), a, b));
                    }
                }
            }
            if found.total > 0 {
                return Err(found);
            }
            arrange(&mut self.places, &order);
            arrange(&mut self.trade, &order);
            arrange(&mut self.site, &order);
            arrange(&mut self.status, &order);
            arrange(&mut self.coordinates, &order);
            arrange(&mut self.from, &order);
            arrange(&mut self.until, &order);
            arrange(&mut self.pay, &order);
        }
        let hasher = RandomState::default();
        let mut ids = Ids::with_room(self.places.len());
        let mut names = Vec::with_capacity(self.places.len());
        for (row, place) in (0_u32..).zip(&self.places) {
            let [id, name, ..] = self.texts.raw(*place);
            ids.insert(&hasher, id, row);
            let name = std::str::from_utf8(name).unwrap_or_default();
            names.push(u64::from(hash_of_name(&hasher, &folded(name))) << 32 | u64::from(row));
        }
        names.sort_unstable();
        let mut table = Table {
            version: String::new(),
            hasher,
            ids,
            names,
            texts: self.texts,
            places: compact(self.places),
            trade: compact(self.trade),
            site: compact(self.site),
            status: compact(self.status),
            coordinates: compact(self.coordinates),
            from: compact(self.from),
            until: compact(self.until),
            pay: compact(self.pay),
            roles: compact(self.roles.kept),
            held: compact(self.held.kept),
            sets: compact(self.sets.kept),
            trades: compact(self.trades.kept),
            cities: compact(self.cities.kept),
            states: compact(self.states.kept),
            sites: compact(self.sites.kept),
            days: compact(self.days.kept),
            pays: compact(self.pays.kept),
        };
        table.version = table.hash();
        Ok(table)
    }
}

fn arrange<T: Copy>(column: &mut Vec<T>, order: &[u32]) {
    *column = order.iter().map(|row| column[*row as usize]).collect();
}

fn compact<T>(mut column: Vec<T>) -> Vec<T> {
    column.shrink_to_fit();
    column
}

fn bad<T>(column: &'static str, why: String) -> Result<T, BadWorker> {
    Err(BadWorker { column, why })
}

/// What can be wrong with one worker; gives the number of its status.
fn check(worker: &Worker<'_>) -> Result<u8, BadWorker> {
    if worker.id.is_empty() {
        return bad("id", "is empty: every worker has one".to_owned());
    }
    if worker.id.trim().len() != worker.id.len() || worker.id.chars().any(char::is_control) {
        return bad("id", format!("`{}` has blanks around it or control characters", worker.id.escape_debug()));
    }
    for (column, text, most) in [
        ("id", worker.id, 256),
        ("name", worker.name, 512),
        ("role", worker.role, 256),
        ("city", worker.city, 256),
        ("state", worker.state, 256),
        ("phone", worker.phone, 128),
        ("email", worker.email, 512),
    ] {
        if text.len() > most {
            return bad(column, format!("has {} bytes; at most {most} are taken", text.len()));
        }
    }
    if worker.certifications.len() > MOST_CERTIFICATIONS {
        let count = worker.certifications.len();
        return bad("certifications", format!("are {count}; at most {MOST_CERTIFICATIONS} are taken"));
    }
    if worker.certifications.iter().any(|one| one.is_empty() || one.len() > 256) {
        return bad("certifications", "one is empty or has more than 256 bytes".to_owned());
    }
    if let Some((latitude, longitude)) = worker.place {
        // The negations catch what is no number.
        if !(-90.0..=90.0).contains(&latitude) {
            return bad("latitude", format!("is {latitude}; degrees are from -90 to 90"));
        }
        if !(-180.0..=180.0).contains(&longitude) {
            return bad("longitude", format!("is {longitude}; degrees are from -180 to 180"));
        }
    }
    if worker.available_from == Some(NO_DAY) || worker.available_until == Some(NO_DAY) {
        return bad("available_from", "is no day".to_owned());
    }
    if let (Some(from), Some(until)) = (worker.available_from, worker.available_until)
        && until < from
    {
        return bad("available_until", "is before `available_from`".to_owned());
    }
    if let Some((from, to)) = worker.pay {
        if (from, to) == NO_PAY {
            return bad("pay_min", "is no pay".to_owned());
        }
        if to < from {
            return bad("pay_max", format!("is {to}, less than `pay_min`, which is {from}"));
        }
    }
    let known = STATUSES.iter().position(|known| *known == worker.status).and_then(|n| u8::try_from(n).ok());
    known.map_or_else(
        || {
            let shown: String = worker.status.chars().take(40).collect();
            bad("status", format!("is `{}`; there are {}", shown.escape_debug(), STATUSES[1..].join(", ")))
        },
        Ok,
    )
}
