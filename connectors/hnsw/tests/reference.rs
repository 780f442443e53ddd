//! Random operations: the index answers what a table that is searched row by row answers.

use proptest::prelude::*;
use std::collections::BTreeMap;
use stillhouse_hnsw::{Answer, Distance, Error, Filter, Groups, Index, Keys, Plan, Query, VectorError};

use crate::{distance, settings};

const DIMS: usize = 5;

#[derive(Clone, Debug)]
enum Step {
    Put(u64, u32, Vec<f32>),
    Delete(u64),
    Freeze,
    Maintain,
    Compact,
    Reload,
    Search(Vec<f32>, usize, Option<Vec<u32>>, Option<u64>),
}

fn vector() -> impl Strategy<Value = Vec<f32>> {
    // Few values, so that rows are equal, opposite, or equally far.
    let coarse = prop::collection::vec((-2i8..=2).prop_map(f32::from), DIMS);
    let fine = prop::collection::vec(-1.0f32..1.0, DIMS);
    let far = prop::collection::vec(1_000.0f32..1_001.0, DIMS);
    prop_oneof![3 => coarse, 3 => fine, 1 => far]
}

fn step() -> impl Strategy<Value = Step> {
    let key = || 0u64..60;
    let groups = prop::option::of(prop::collection::vec(0u32..5, 0..4));
    prop_oneof![
        12 => (key(), 0u32..4, vector()).prop_map(|(key, group, vector)| Step::Put(key, group, vector)),
        3 => key().prop_map(Step::Delete),
        1 => Just(Step::Freeze),
        1 => Just(Step::Maintain),
        1 => Just(Step::Compact),
        1 => Just(Step::Reload),
        5 => (vector(), 0usize..12, groups, prop::option::of(1u64..5))
            .prop_map(|(vector, k, groups, filter)| Step::Search(vector, k, groups, filter)),
    ]
}

/// Key to group and vector.
type Table = BTreeMap<u64, (u32, Vec<f32>)>;

/// What an answer must be: distances to the last digit that floats of this size have, keys where they settle it.
fn check(kind: Distance, table: &Table, query: &Query, answer: &Answer, exact: bool) -> Result<(), TestCaseError> {
    let admitted = |key: &u64, group: u32| {
        query.groups.admits(group)
            && match query.filter {
                Filter::Where(passes) => passes(*key),
                Filter::Keys(keys) => keys.contains(*key),
                Filter::None => true,
            }
    };
    let mut rows: Vec<(f64, u64)> = table
        .iter()
        .filter(|(key, (group, _))| admitted(key, *group))
        .map(|(&key, (_, vector))| (distance(kind, query.vector, vector), key))
        .collect();
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    let hidden = table.values().filter(|(group, _)| !query.groups.admits(*group)).count();
    prop_assert_eq!((answer.withheld, answer.rows), (hidden as u64, table.len() as u64));
    prop_assert_eq!(answer.hits.len(), query.k.min(rows.len()));
    prop_assert!(answer.hits.is_sorted_by(|a, b| (a.distance, a.key) < (b.distance, b.key)));
    let scale =
        table.values().flat_map(|(_, v)| v).chain(query.vector).fold(1.0f64, |most, &x| most.max(f64::from(x.abs())));
    let near = |a: f64, b: f64| match kind {
        Distance::Cosine => (a - b).abs() < 1e-5,
        _ => (a - b).abs() < 1e-5 * scale * scale,
    };
    for (at, hit) in answer.hits.iter().enumerate() {
        let own = rows.iter().find(|row| row.1 == hit.key);
        prop_assert!(own.is_some_and(|row| near(row.0, f64::from(hit.distance))), "{hit:?} is {own:?}");
        prop_assert!(!exact || near(rows[at].0, f64::from(hit.distance)), "{at}: {hit:?}, nearest {:?}", rows[at]);
    }
    Ok(())
}

fn run(kind: Distance, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let folder = tempfile::tempdir().expect("a folder");
    let mut made = settings(DIMS, kind);
    (made.young_rows, made.exact_below, made.links, made.ef_construction) = (16, 4, 4, 20);
    let mut index = Index::new(made.clone()).expect("settings");
    let mut table = Table::new();
    for (at, step) in steps.into_iter().enumerate() {
        match step {
            Step::Put(key, group, vector) => {
                let put = index.put(key, group, &vector);
                if kind == Distance::Cosine && vector.iter().all(|&x| x == 0.0) {
                    prop_assert!(matches!(put, Err(Error::Vector(VectorError::Zero))));
                } else {
                    let replaced = table.insert(key, (group, vector)).is_some();
                    prop_assert_eq!(put.expect("a vector"), replaced);
                }
            }
            Step::Delete(key) => prop_assert_eq!(index.delete(key), table.remove(&key).is_some()),
            Step::Freeze => drop(index.freeze().expect("frozen")),
            Step::Maintain => drop(index.maintain().expect("maintained")),
            Step::Compact => drop(index.compact().expect("compacted")),
            Step::Reload => {
                let progress = at.to_le_bytes();
                index.dump(folder.path(), &progress).expect("dumped");
                let (loaded, read) = Index::open(folder.path(), made.clone()).expect("loaded");
                prop_assert_eq!(&read[..], &progress[..]);
                index = loaded;
            }
            Step::Search(vector, k, groups, filter) => {
                if kind == Distance::Cosine && vector.iter().all(|&x| x == 0.0) {
                    continue;
                }
                let groups = groups.map_or_else(Groups::all, Groups::only);
                let passes = |key: u64| filter.is_none_or(|every| key.is_multiple_of(every));
                let set: Keys = (0..60).filter(|&key| passes(key)).collect();
                let filters = [
                    Filter::Where(&passes),
                    Filter::Keys(&set),
                    if filter.is_none() { Filter::None } else { Filter::Keys(&set) },
                ];
                for (filter, plan) in
                    filters.into_iter().flat_map(|f| [None, Some(Plan::Exact), Some(Plan::Hnsw)].map(|p| (f, p)))
                {
                    let query = Query { vector: &vector, k, ef: Some(8), groups: groups.clone(), filter, plan };
                    let answer = index.search(&query).expect("searched");
                    prop_assert!(plan != Some(Plan::Exact) || answer.plan == Plan::Exact);
                    check(kind, &table, &query, &answer, answer.plan == Plan::Exact)?;
                }
            }
        }
        prop_assert_eq!(index.len(), table.len() as u64);
    }
    for (&key, (group, _)) in &table {
        prop_assert_eq!(index.get(key).map(|row| row.0), Some(*group));
    }
    let mut groups = BTreeMap::new();
    table.values().for_each(|(group, _)| *groups.entry(*group).or_insert(0) += 1);
    prop_assert_eq!(index.groups(), groups);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn cosine_answers_what_a_table_answers(steps in prop::collection::vec(step(), 1..120)) {
        run(Distance::Cosine, steps)?;
    }

    #[test]
    fn euclidean_answers_what_a_table_answers(steps in prop::collection::vec(step(), 1..120)) {
        run(Distance::Euclidean, steps)?;
    }

    #[test]
    fn dot_answers_what_a_table_answers(steps in prop::collection::vec(step(), 1..120)) {
        run(Distance::Dot, steps)?;
    }
}

#[test]
fn what_cannot_be_compared_is_refused_and_changes_nothing() {
    let index = Index::new(settings(3, Distance::Cosine)).expect("settings");
    assert!(!index.put(1, 0, &[1.0, 0.0, 0.0]).expect("put"));
    let refused: [(&[f32], VectorError); 5] = [
        (&[1.0, 2.0], VectorError::Dims { expected: 3, found: 2 }),
        (&[], VectorError::Dims { expected: 3, found: 0 }),
        (&[0.0, f32::NAN, 0.0], VectorError::NotFinite { at: 1 }),
        (&[0.0, 0.0, f32::NEG_INFINITY], VectorError::NotFinite { at: 2 }),
        (&[0.0, -0.0, 0.0], VectorError::Zero),
    ];
    for (vector, error) in refused {
        assert!(matches!(index.put(1, 0, vector), Err(Error::Vector(e)) if e == error), "{vector:?}");
        let query = Query { vector, k: 1, groups: Groups::all(), ..Query::default() };
        assert!(matches!(index.search(&query), Err(Error::Vector(e)) if e == error), "{vector:?}");
    }
    assert_eq!(index.get(1), Some((0, vec![1.0, 0.0, 0.0])));
    let long = Index::new(settings(2, Distance::Dot)).expect("settings");
    assert!(matches!(long.put(1, 0, &[1e30, 1.0]), Err(Error::Vector(VectorError::TooLong))));
    // Shorter than any float's square, and still a direction.
    assert!(!index.put(2, 0, &[0.0, 1e-42, 0.0]).expect("put"));
    let most = Query {
        vector: &[0.0, 1.0, 0.0],
        k: usize::MAX,
        ef: Some(usize::MAX),
        groups: Groups::all(),
        ..Query::default()
    };
    assert_eq!(crate::keys(&index.search(&most).expect("searched").hits), [2, 1]);
    assert_eq!(index.search(&Query { groups: Groups::default(), ..most }).expect("searched").withheld, 2);
    assert!(Index::new(settings(0, Distance::Dot)).is_err());
}
