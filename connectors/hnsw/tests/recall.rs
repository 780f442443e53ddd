//! How much of the truth graphs find, under filters too, and that no way around a gate leads to a row behind it.

use std::collections::BTreeSet;
use stillhouse_hnsw::measure::Clusters;
use stillhouse_hnsw::{Distance, Filter, Groups, Index, Keys, Plan, Query};

use crate::{keys, settings};

const ROWS: u64 = 12_000;
const K: usize = 10;

struct Corpus {
    index: Index,
    queries: Vec<Vec<f32>>,
}

/// Rows of ten groups, all in one segment; lengths that differ where they count.
fn corpus(kind: Distance) -> Corpus {
    let mut clusters = Clusters::new(ROWS as usize, 48, 11);
    let mut made = settings(48, kind);
    (made.ef, made.exact_below) = (64, 16);
    let index = Index::new(made).expect("settings");
    for key in 0..ROWS {
        let length = if kind == Distance::Cosine { 1.0 } else { 1.0 + (key % 7) as f32 / 3.0 };
        let vector: Vec<f32> = clusters.vector().iter().map(|x| x * length).collect();
        index.put(key, (key % 10) as u32, &vector).expect("put");
    }
    index.freeze().expect("frozen");
    Corpus { index, queries: (0..60).map(|_| clusters.vector()).collect() }
}

impl Corpus {
    /// The share of the true nearest that is found, and whether a graph was walked.
    fn recall(&self, ask: &Query) -> (f64, bool) {
        let (mut found, mut of, mut walked) = (0, 0, false);
        for vector in &self.queries {
            let search = |plan| self.index.search(&Query { vector, plan, ..ask.clone() }).expect("searched");
            let (answer, truth) = (search(ask.plan), search(Some(Plan::Exact)));
            assert_eq!(truth.plan, Plan::Exact);
            let truth: BTreeSet<u64> = keys(&truth.hits).into_iter().collect();
            found += answer.hits.iter().filter(|hit| truth.contains(&hit.key)).count();
            of += truth.len();
            walked |= answer.plan == Plan::Hnsw;
            assert_eq!(answer.hits.len(), truth.len(), "as many as there are");
            for hit in &answer.hits {
                assert!(ask.groups.admits((hit.key % 10) as u32), "{} is behind the gate", hit.key);
            }
        }
        (found as f64 / of.max(1) as f64, walked)
    }
}

#[test]
fn graphs_find_what_exact_search_finds_under_every_filter() {
    for kind in [Distance::Cosine, Distance::Euclidean, Distance::Dot] {
        let corpus = corpus(kind);
        let all = Query { k: K, groups: Groups::all(), ..Query::default() };
        let (recall, walked) = corpus.recall(&all);
        assert!(recall >= 0.98 && walked, "{kind:?}: {recall}");
        for one_of in [2, 10, 100, 1_000] {
            let set: Keys = (0..ROWS).filter(|key| key * 7_919 % 10_007 % one_of == 0).collect();
            let passes = |key: u64| set.contains(key);
            for filter in [Filter::Keys(&set), Filter::Where(&passes)] {
                for plan in [None, Some(Plan::Hnsw)] {
                    let (recall, _) = corpus.recall(&Query { filter, plan, ..all.clone() });
                    assert!(recall >= 0.98, "{kind:?}, one of {one_of}, {plan:?}: {recall}");
                }
            }
        }
        for groups in [vec![], vec![3], vec![77], (0..10).filter(|g| g % 2 == 0).collect(), (0..9).collect()] {
            for plan in [None, Some(Plan::Hnsw)] {
                let (recall, _) = corpus.recall(&Query { groups: Groups::only(groups.clone()), plan, ..all.clone() });
                assert!(recall >= 0.98 || groups.is_empty() || groups == [77], "{kind:?}, {groups:?}: {recall}");
            }
        }
    }
}

#[test]
fn rows_far_from_the_query_are_found_when_only_they_are_admitted() {
    let corpus = corpus(Distance::Cosine);
    let vector = &corpus.queries[0];
    let ask = |k, filter, plan| {
        let query = Query { vector, k, groups: Groups::all(), filter, plan, ..Query::default() };
        corpus.index.search(&query).expect("searched")
    };
    let order = keys(&ask(ROWS as usize, Filter::None, Some(Plan::Exact)).hits);
    // The farther half: a walk begins among rows that are all shut out.
    let far: Keys = order[ROWS as usize / 2..].iter().copied().collect();
    let (found, truth) = (ask(K, Filter::Keys(&far), Some(Plan::Hnsw)), ask(K, Filter::Keys(&far), Some(Plan::Exact)));
    let truth: BTreeSet<u64> = keys(&truth.hits).into_iter().collect();
    assert!(found.hits.iter().filter(|hit| truth.contains(&hit.key)).count() >= 9, "{found:?}");
    assert!(found.visited <= 3 * ROWS, "{}", found.visited);
}

#[test]
fn rows_that_are_gone_leave_the_rest_to_be_found() {
    let corpus = corpus(Distance::Cosine);
    let all = Query { k: K, groups: Groups::all(), ..Query::default() };
    // Whole groups, so that `recall` sees any that is found.
    for key in (0..ROWS).filter(|key| key % 10 < 5) {
        assert!(corpus.index.delete(key) && !corpus.index.delete(key));
    }
    let live = Query { groups: Groups::only(5..10), ..all.clone() };
    for ask in [&live, &Query { plan: Some(Plan::Hnsw), ..live.clone() }] {
        assert!(corpus.recall(ask).0 >= 0.98);
    }
    let everything = Query { vector: &corpus.queries[0], k: ROWS as usize, ..all };
    let left = corpus.index.search(&everything).expect("searched");
    assert_eq!((left.hits.len() as u64, left.rows), (ROWS / 2, ROWS / 2));
    assert!(left.hits.iter().all(|hit| hit.key % 10 >= 5));
    assert!(!corpus.index.maintain().expect("maintained").is_idle(), "a segment of which half is gone is built anew");
    assert_eq!(corpus.index.shape().segments.iter().map(|s| (s.0, s.1)).collect::<Vec<_>>(), [(ROWS / 2, 0)]);
    assert!(corpus.recall(&live).0 >= 0.98);
}

#[test]
fn what_is_young_is_found_by_its_graph() {
    let mut clusters = Clusters::new(6_000, 48, 5);
    let index = Index::new(settings(48, Distance::Euclidean)).expect("settings");
    for key in 0..6_000 {
        index.put(key, (key % 10) as u32, &clusters.vector()).expect("put");
        if key == 4_000 {
            assert_eq!(index.maintain().expect("maintained").graphed, 4_001);
        }
    }
    let corpus = Corpus { index, queries: (0..60).map(|_| clusters.vector()).collect() };
    let all = Query { k: K, groups: Groups::all(), ..Query::default() };
    let (recall, walked) = corpus.recall(&all);
    assert!(recall >= 0.98 && walked, "{recall}");
    // Of rows that are gone the graph knows nothing.
    (0..6_000).filter(|key| key % 10 != 7).for_each(|key| assert!(corpus.index.delete(key)));
    assert_eq!(corpus.recall(&Query { groups: Groups::only([7]), ..all.clone() }).0, 1.0);
    assert!(corpus.recall(&Query { plan: Some(Plan::Hnsw), ..all }).0 >= 0.98);
}

#[test]
fn many_equal_vectors_are_all_found() {
    let index = Index::new(settings(8, Distance::Cosine)).expect("settings");
    let same = |at: u64| (0..8).map(|d| if d == at { 1.0 } else { 0.1 }).collect::<Vec<f32>>();
    (0..4_000).for_each(|key| assert!(!index.put(key, 0, &same(key % 2)).expect("put")));
    index.freeze().expect("frozen");
    for side in 0..2 {
        let vector = &same(side);
        let ask = Query { vector, k: 50, groups: Groups::all(), plan: Some(Plan::Hnsw), ..Query::default() };
        let answer = index.search(&ask).expect("searched");
        assert_eq!(answer.hits.len(), 50);
        assert!(answer.hits.iter().all(|hit| hit.key % 2 == side), "{:?}", answer.hits);
    }
}
