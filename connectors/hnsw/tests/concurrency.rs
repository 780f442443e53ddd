//! Searches beside writers, freezing and merging: whatever instant they fall on, each row is seen once.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use stillhouse_hnsw::measure::Clusters;
use stillhouse_hnsw::{Distance, Filter, Groups, Index, Query, Settings};

use crate::settings;

const DIMS: usize = 16;
/// Rows that are replaced all the time.
const MOVING: u64 = 200;
const ROUNDS: u64 = 40;

#[test]
fn a_row_that_is_replaced_is_always_found_once() {
    let index = Index::new(Settings { young_rows: 256, ..settings(DIMS, Distance::Euclidean) }).expect("settings");
    let mut clusters = Clusters::new(1_000, DIMS, 3);
    // Keys below MOVING are replaced by the same vector again and again; the others are put in and deleted around them.
    let vectors: Vec<Vec<f32>> = (0..MOVING).map(|_| clusters.vector()).collect();
    let noise: Vec<Vec<f32>> = (0..600).map(|_| clusters.vector().iter().map(|x| x + 100.0).collect()).collect();
    for (key, vector) in vectors.iter().enumerate() {
        index.put(key as u64, 1, vector).expect("put");
    }
    let (done, searched) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for start in 0..2 {
            let (index, vectors, done, searched) = (&index, &vectors, &done, &searched);
            scope.spawn(move || {
                let mut at = start;
                while !done.load(Ordering::Acquire) {
                    at = (at + 7) % MOVING;
                    let query =
                        Query { vector: &vectors[at as usize], k: 3, groups: Groups::only([1]), ..Query::default() };
                    let answer = index.search(&query).expect("searched");
                    let hits: Vec<u64> = answer.hits.iter().map(|hit| hit.key).collect();
                    assert_eq!(hits.iter().filter(|&&key| key == at).count(), 1, "{hits:?}, asked for {at}");
                    assert_eq!((hits[0], answer.hits[0].distance, hits.len()), (at, 0.0, 3));
                    searched.fetch_add(1, Ordering::AcqRel);
                }
            });
        }
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                index.maintain().expect("maintained");
                thread::yield_now();
            }
        });
        for round in 0..ROUNDS {
            for (key, vector) in vectors.iter().enumerate() {
                assert!(index.put(key as u64, 1, vector).expect("put"));
            }
            for (at, vector) in noise.iter().enumerate() {
                let key = 1_000 + at as u64;
                assert_eq!(index.put(key, 2, vector).expect("put"), round > 0 && at % 3 != 0);
                assert!(at % 3 != 0 || index.delete(key));
            }
            if round % 10 == 9 {
                index.compact().expect("compacted");
            }
        }
        done.store(true, Ordering::Release);
    });
    assert!(searched.load(Ordering::Acquire) > 100);
    assert_eq!(index.groups().into_iter().collect::<Vec<_>>(), [(1, MOVING), (2, 400)]);
    while !index.maintain().expect("maintained").is_idle() {}
    index.compact().expect("compacted");
    assert_eq!(index.shape().segments.iter().map(|s| (s.0, s.1)).collect::<Vec<_>>(), [(600, 0)]);
}

/// The instants that threads seldom meet: every row is replaced, or goes, in the midst of one search, from its filter.
#[test]
fn rows_that_are_replaced_in_the_midst_of_a_search_are_found_once() {
    // Into the same young part; into one that is begun meanwhile; into several.
    for young_rows in [64, 8, 3] {
        for frozen in [false, true] {
            let index = Index::new(Settings { young_rows, ..settings(2, Distance::Euclidean) }).expect("settings");
            (0..8).for_each(|key| assert!(!index.put(key, 0, &[key as f32, 0.0]).expect("put")));
            if frozen {
                index.freeze().expect("frozen");
            }
            let calls = AtomicU64::new(0);
            let replace = |_| {
                if calls.fetch_add(1, Ordering::AcqRel) == 2 {
                    (0..8).rev().for_each(|key| assert!(index.put(key, 0, &[key as f32, 1.0]).expect("put")));
                    index.maintain().expect("maintained");
                }
                true
            };
            let filter = Filter::Where(&replace);
            let query = Query { vector: &[0.0, 0.0], k: 8, groups: Groups::all(), filter, ..Query::default() };
            let answer = index.search(&query).expect("searched");
            let mut found: Vec<u64> = answer.hits.iter().map(|hit| hit.key).collect();
            found.sort_unstable();
            assert_eq!(found, (0..8).collect::<Vec<_>>(), "{young_rows} {frozen} {answer:?}");
        }
    }
}
