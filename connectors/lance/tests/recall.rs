//! The index beside comparing every row.

use crate::scene::{DIMS, Dice, about, engine, rows, settings};
use std::collections::BTreeMap;
use std::sync::Arc;
use stillhouse_lance::{Filter, Plan, Query, Selection, Settings, Store};

/// The share of the true nearest that is found, and how.
fn recall(store: &Store, k: usize, among: Option<&Arc<Selection>>) -> (f64, Plan) {
    let mut dice = Dice(77);
    let (mut found, mut of, mut plan) = (0, 0, Plan::Exact);
    for _ in 0..25 {
        let vector = dice.vector();
        let query = Query { vector: &vector, k, among: among.cloned(), ..Query::default() };
        let answer = store.nearest(&query).expect("an answer");
        let exact = store.nearest(&Query { exact: true, ..query }).expect("an answer");
        assert_eq!(exact.plan, Plan::Exact);
        assert!(exact.hits.windows(2).all(|pair| pair[0].distance <= pair[1].distance));
        plan = answer.plan;
        of += exact.hits.len();
        found += exact.hits.iter().filter(|hit| answer.hits.iter().any(|h| h.row == hit.row)).count();
    }
    (f64::from(u32::try_from(found).unwrap_or(0)) / of as f64, plan)
}

#[test]
fn the_index_finds_what_comparing_all_rows_finds() {
    // Shortened vectors take long to make here, so of fewer rows.
    let flat = (settings(), 3_000);
    let shortened = (Settings { quantize_above: 0, index_above: 600, exact_below: 50, ..settings() }, 900);
    for (kind, (settings, n)) in [flat, shortened].into_iter().enumerate() {
        let store = Store::create(&engine(), &format!("memory://recall{kind}"), &about(), settings).expect("a store");
        store.apply(&rows(1..=n), &[], "1").expect("applied");
        assert_eq!(recall(&store, 10, None), (1.0, Plan::Exact), "few rows are compared");
        assert_eq!(store.maintain().expect("upkeep").indexed, n.unsigned_abs());
        for k in [1, 10, 100] {
            let (share, plan) = recall(&store, k, None);
            assert!(share >= 0.98 && plan == Plan::Ivf, "@{k}: {share} by {plan:?}");
        }
        // What came since is compared beside the index, and what went is not found.
        store.apply(&rows(n + 1..=n + 50), &(1..=200).collect::<Vec<_>>(), "2").expect("applied");
        let (share, plan) = recall(&store, 10, None);
        assert!(share >= 0.98 && plan == Plan::Ivf, "{share}");
        let probe = crate::scene::row(n + 40).vector;
        let answer = store.nearest(&Query { vector: &probe, k: 1, ..Query::default() }).expect("an answer");
        assert_eq!(answer.hits[0].row, n + 40);
        let all = store.nearest(&Query { vector: &probe, k: 5_000, ..Query::default() }).expect("an answer");
        assert!(all.hits.iter().all(|hit| hit.row > 200));
        // Filters: few are compared, many are looked up, and nothing else is found.
        for (name, value, way) in [("n", "7", Plan::Exact), ("city", "Springfield", Plan::Ivf)] {
            let metadata = BTreeMap::from([(name.to_owned(), vec![value.to_owned()])]);
            let among = store.select(&Filter { metadata, ..Filter::default() }).expect("a selection");
            let (share, plan) = recall(&store, 10, Some(&among));
            assert!(share >= 0.98 && plan == way, "{name}={value}: {share} by {plan:?}");
            let query = Query { vector: &[1.0; DIMS], k: 100, among: Some(among.clone()), ..Query::default() };
            let hits = store.nearest(&query).expect("an answer").hits;
            assert!(!hits.is_empty() && hits.iter().all(|hit| among.rows().contains(&hit.row)));
        }
        // What is outside becomes too much, and is taken in; what grew a lot is made anew.
        store.apply(&rows(n + 51..=n + n / 2), &[], "3").expect("applied");
        while !store.maintain().expect("upkeep").is_idle() {}
        let shape = store.shape().expect("a shape");
        assert_eq!(shape.indexed, (n + n / 2 - 200).unsigned_abs(), "{shape:?}");
        let (share, plan) = recall(&store, 10, None);
        assert!(share >= 0.98 && plan == Plan::Ivf, "{share}");
        assert_eq!(store.progress(), "3");
    }
}
