//! Rows for tests, the same each time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use stillhouse_lance::{Engine, Row, Settings, Store, StoreError};

pub(crate) const DIMS: usize = 16;

/// Numbers that look like chance.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn signed(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    }

    /// A direction near one of 64.
    pub(crate) fn vector(&mut self) -> Vec<f32> {
        let centre = Dice(self.below(64) + 1).floats();
        let noise = self.floats();
        centre.iter().zip(noise).map(|(c, n)| c + 0.5 * n).collect()
    }

    fn floats(&mut self) -> Vec<f32> {
        (0..DIMS).map(|_| self.signed()).collect()
    }
}

/// The row of a number: always the same.
pub(crate) fn row(number: i64) -> Row {
    let mut dice = Dice(number.unsigned_abs() * 7_919);
    Row {
        row: number,
        event_id: format!("event-{number}"),
        occurred_at: number * 1_000,
        metadata: BTreeMap::from([
            ("city".to_owned(), ["Springfield", "Shelbyville"][number as usize % 2].to_owned()),
            ("n".to_owned(), (number % 100).to_string()),
        ]),
        vector: dice.vector(),
    }
}

pub(crate) fn rows(numbers: impl IntoIterator<Item = i64>) -> Vec<Row> {
    numbers.into_iter().map(row).collect()
}

pub(crate) fn about() -> BTreeMap<String, String> {
    BTreeMap::from([("corpus".to_owned(), "handbook".to_owned())])
}

/// Small, so that all ways are gone in a test.
pub(crate) fn settings() -> Settings {
    Settings {
        index_above: 2_000,
        quantize_above: 1_000_000,
        exact_below: 200,
        most_files: 4,
        keep: Duration::ZERO,
        ..Settings::new(DIMS)
    }
}

/// An engine of its own, as after a restart.
pub(crate) fn engine() -> Arc<Engine> {
    Engine::new(64 << 20)
}

pub(crate) fn open_or_create(engine: &Engine, uri: &str) -> Store {
    match Store::open(engine, uri, &about(), settings()) {
        Err(StoreError::Missing { .. }) => Store::create(engine, uri, &about(), settings()).expect("a store"),
        store => store.expect("a store"),
    }
}

pub(crate) fn numbers(store: &Store) -> BTreeSet<i64> {
    let (mut all, mut count) = (BTreeSet::new(), 0);
    let said = store
        .each(|found| {
            assert_eq!(found, row(found.row));
            all.insert(found.row);
            count += 1;
        })
        .expect("rows");
    assert_eq!((said, all.len()), (count, count as usize), "a row is there twice");
    assert_eq!(store.len(), count);
    all
}
