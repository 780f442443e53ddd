//! What two rosters differ in, cut into events of bounded size.

use crate::table::Table;
use stillhouse_schemas::roster::{Roster, Worker};
use stillhouse_schemas::{RosterChanged, RosterLoaded, RosterWorker};

/// Most workers of an event.
pub(crate) const ROWS: usize = 500;
/// An event with so many bytes of text is full: well under what a broker takes.
const BYTES: usize = 192 << 10;

/// A worker that differs.
#[derive(Debug)]
pub enum Change<'a> {
    /// Was not there before.
    Added(Worker<'a>),
    /// Was there, with something else said.
    Changed(Worker<'a>),
    /// Is there no more.
    Removed(&'a str),
}

/// What must be changed to make `new` of `old`, in the order of ids.
pub fn differences<'a>(old: Option<&'a Table>, new: &'a Table) -> impl Iterator<Item = Change<'a>> {
    let mut before = old.into_iter().flat_map(Table::workers).peekable();
    let mut after = new.workers().peekable();
    std::iter::from_fn(move || {
        loop {
            let removed = match (before.peek(), after.peek()) {
                (None, None) => return None,
                (Some(_), None) => true,
                (None, Some(_)) => return after.next().map(Change::Added),
                (Some(b), Some(a)) => b.id < a.id,
            };
            if removed {
                return before.next().map(|worker| Change::Removed(worker.id));
            }
            let (b, a) = (before.peek()?, after.peek()?);
            if a.id < b.id {
                return after.next().map(Change::Added);
            }
            let same = a == b;
            before.next();
            let worker = after.next()?;
            if !same {
                return Some(Change::Changed(worker));
            }
        }
    })
}

/// The differences as the payloads of events, each of bounded size, numbered from zero. `counts` takes how many were
/// added, changed and removed.
pub fn changes<'a>(
    old: Option<&'a Table>,
    new: &'a Table,
    load: &'a str,
    counts: &'a mut [i64; 3],
) -> impl Iterator<Item = RosterChanged> + 'a {
    let mut differences = differences(old, new).peekable();
    let mut part = 0;
    std::iter::from_fn(move || {
        differences.peek()?;
        let mut event = RosterChanged { load: load.to_owned(), part, ..RosterChanged::default() };
        let mut bytes = 0;
        while event.workers.len() + event.removed.len() < ROWS && bytes < BYTES {
            match differences.next() {
                None => break,
                Some(Change::Removed(id)) => {
                    counts[2] += 1;
                    bytes += id.len();
                    event.removed.push(id.to_owned());
                }
                Some(Change::Added(worker)) => {
                    counts[0] += 1;
                    bytes += size(&worker);
                    event.workers.push(part_of(&worker));
                }
                Some(Change::Changed(worker)) => {
                    counts[1] += 1;
                    bytes += size(&worker);
                    event.workers.push(part_of(&worker));
                }
            }
        }
        part += 1;
        Some(event)
    })
}

/// The event that ends a load: from then on the roster is `new`.
pub fn closing(
    load: &str,
    base: &str,
    old: Option<&Table>,
    new: &Table,
    parts: i32,
    counts: [i64; 3],
    source: &str,
) -> RosterLoaded {
    RosterLoaded {
        load: load.to_owned(),
        version: new.version().to_owned(),
        workers: new.len() as i64,
        parts,
        base: base.to_owned(),
        base_version: old.map(|old| old.version().to_owned()).unwrap_or_default(),
        added: counts[0],
        changed: counts[1],
        removed: counts[2],
        source: source.to_owned(),
    }
}

fn size(worker: &Worker<'_>) -> usize {
    let texts = [worker.id, worker.name, worker.role, worker.city, worker.state, worker.phone, worker.email];
    let certifications = worker.certifications.iter().map(|one| one.len() + 1);
    64 + texts.iter().map(|text| text.len()).sum::<usize>() + certifications.sum::<usize>()
}

/// A worker as events hold one.
pub fn part_of(worker: &Worker<'_>) -> RosterWorker {
    RosterWorker {
        id: worker.id.to_owned(),
        name: worker.name.to_owned(),
        role: worker.role.to_owned(),
        certifications: worker.certifications.iter().map(|one| (*one).to_owned()).collect(),
        city: worker.city.to_owned(),
        state: worker.state.to_owned(),
        latitude: worker.place.map(|(latitude, _)| f64::from(latitude)),
        longitude: worker.place.map(|(_, longitude)| f64::from(longitude)),
        available_from: worker.available_from,
        available_until: worker.available_until,
        pay_min: worker.pay.map(|(from, _)| i64::from(from)),
        pay_max: worker.pay.map(|(_, to)| i64::from(to)),
        phone: worker.phone.to_owned(),
        email: worker.email.to_owned(),
        status: worker.status.to_owned(),
    }
}
