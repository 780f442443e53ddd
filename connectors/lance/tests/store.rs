//! What comes, what goes, and what is refused.

use crate::scene::{DIMS, Dice, about, engine, numbers, open_or_create, row, rows, settings};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use stillhouse_lance::{Filter, Query, Row, Store, StoreError};

fn near(store: &Store, number: i64) -> Vec<i64> {
    let vector = row(number).vector;
    let answer = store.nearest(&Query { vector: &vector, k: 3, ..Query::default() }).expect("an answer");
    answer.hits.iter().map(|hit| hit.row).collect()
}

#[test]
fn rows_come_and_go_with_the_progress_that_covers_them() {
    let folder = tempfile::tempdir().expect("a folder");
    for uri in [folder.path().join("a b#ü%20").to_str().expect("a path").to_owned(), "memory://vectors".to_owned()] {
        let engine = engine();
        let again = || Store::open(&engine, &uri, &about(), settings()).expect("a store");
        assert!(matches!(Store::open(&engine, &uri, &about(), settings()), Err(StoreError::Missing { .. })));
        let store = Store::create(&engine, &uri, &about(), settings()).expect("a store");
        assert_eq!((store.len(), store.progress().as_str(), store.is_empty()), (0, "", true));
        assert!(
            store.nearest(&Query { vector: &[1.0; DIMS], k: 3, ..Query::default() }).expect("none").hits.is_empty()
        );
        store.apply(&rows(1..=50), &[], "50").expect("applied");
        assert_eq!(near(&store, 7)[0], 7);
        // The same again, and with what went: as if it had come once.
        store.apply(&rows(1..=60), &[3, 4, 999], "60").expect("applied");
        store.apply(&rows(1..=60), &[3, 4, 999], "60").expect("applied");
        let expected: BTreeSet<i64> = (1..=60).filter(|n| ![3, 4].contains(n)).collect();
        assert_eq!((numbers(&store), store.progress().as_str()), (expected.clone(), "60"));
        assert_ne!(near(&store, 3)[0], 3);
        // Progress alone, and nothing at all.
        store.apply(&[], &[], "61").expect("applied");
        let opened = again();
        assert_eq!((numbers(&opened), opened.progress().as_str()), (expected.clone(), "61"));
        // Another's commit is seen when it is looked for, and is not written over.
        store.apply(&[], &[1], "62").expect("applied");
        assert!(matches!(opened.apply(&rows([100]), &[], "63"), Err(StoreError::Busy { .. })));
        assert!(opened.refresh().expect("refreshed") && !opened.refresh().expect("refreshed"));
        assert_eq!((opened.len(), opened.progress().as_str()), (57, "62"));
        // All of it.
        opened.apply(&[], &(1..=60).collect::<Vec<_>>(), "64").expect("applied");
        assert_eq!((numbers(&opened).len(), again().progress().as_str()), (0, "64"));
        opened.apply(&rows(101..=110), &[], "65").expect("applied");
        assert_eq!(near(&again(), 105)[0], 105);
    }
}

#[test]
fn a_vector_without_a_direction_is_a_row_that_is_near_to_nothing() {
    let engine = engine();
    let store = Store::create(&engine, "memory://null", &about(), settings()).expect("a store");
    let odd = |number, vector: Vec<f32>| Row { vector, ..row(number) };
    let odds = [odd(1, vec![0.0; DIMS]), odd(2, vec![f32::NAN; DIMS]), odd(3, Vec::new()), row(4)];
    store.apply(&odds, &[], "1").expect("applied");
    assert_eq!(store.len(), 4);
    for exact in [false, true] {
        let query = Query { vector: &[1.0; DIMS], k: 10, exact, ..Query::default() };
        let hits = store.nearest(&query).expect("an answer").hits;
        assert_eq!(hits.iter().map(|hit| hit.row).collect::<Vec<_>>(), [4]);
    }
    let all = store.select(&Filter::default()).expect("a selection");
    assert_eq!(all.len(), 4);
    let hits = store.nearest(&Query { vector: &[1.0; DIMS], k: 10, among: Some(all), ..Query::default() });
    assert_eq!(hits.expect("an answer").hits.len(), 1);
    let wrong = store.nearest(&Query { vector: &[1.0; 3], k: 1, ..Query::default() });
    assert!(matches!(wrong, Err(StoreError::Dims { expected: DIMS, found: 3 })));
    assert!(matches!(store.apply(&[odd(9, vec![1.0; 3])], &[], "2"), Err(StoreError::Dims { .. })));
    let zero = store.nearest(&Query { vector: &[0.0; DIMS], k: 1, ..Query::default() });
    assert!(matches!(zero, Err(StoreError::Direction)));
}

#[test]
fn a_filter_admits_what_it_says_whatever_it_holds() {
    let engine = engine();
    let store = Store::create(&engine, "memory://filters", &about(), settings()).expect("a store");
    let mut odd = row(1_000);
    let values = ["it's", "' OR 1=1 --", "a=b", "\\", "\n", "\u{0}", "ü", ""];
    odd.metadata = values.iter().map(|value| (format!("{value}="), (*value).to_owned())).collect();
    let mut all = rows(1..=100);
    all.push(odd);
    store.apply(&all, &[], "1").expect("applied");
    let picked = |metadata: &[(&str, &[&str])], since, until| -> BTreeSet<i64> {
        let metadata: BTreeMap<String, Vec<String>> = metadata
            .iter()
            .map(|(name, values)| ((*name).to_owned(), values.iter().map(|v| (*v).to_owned()).collect()))
            .collect();
        let picked = store.select(&Filter { metadata, since, until }).expect("a selection");
        picked.rows().iter().copied().collect()
    };
    assert_eq!(picked(&[], None, None).len(), 101);
    assert_eq!(picked(&[("city", &["Springfield"])], None, None).len(), 50);
    assert_eq!(picked(&[("city", &["Springfield", "Shelbyville"])], None, None).len(), 100);
    assert_eq!(picked(&[("city", &["Springfield"]), ("n", &["4", "5"])], None, None), BTreeSet::from([4]));
    assert_eq!(picked(&[], Some(10_000), Some(13_000)), BTreeSet::from([10, 11, 12]));
    assert!(picked(&[("city", &[])], None, None).is_empty() && picked(&[("", &["x"])], None, None).is_empty());
    for value in values {
        assert_eq!(picked(&[(&format!("{value}="), &[value])], None, None), BTreeSet::from([1_000]), "{value}");
    }
    // What is looked up again is of the newest version.
    let filter = Filter { metadata: BTreeMap::from([("n".to_owned(), vec!["4".to_owned()])]), ..Filter::default() };
    let before = store.select(&filter).expect("a selection");
    store.apply(&rows([204]), &[4], "2").expect("applied");
    let after = store.select(&filter).expect("a selection");
    assert_eq!((before.rows(), after.rows()), (&[4][..], &[204][..]));
    // An answer keeps to the version of its selection.
    let vector = row(4).vector;
    let query = |among| Query { vector: &vector, k: 5, among: Some(among), ..Query::default() };
    assert_eq!(store.nearest(&query(before)).expect("an answer").hits[0].row, 4);
    assert_eq!(store.nearest(&query(after)).expect("an answer").hits[0].row, 204);
}

#[test]
fn upkeep_changes_nothing_that_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let uri = folder.path().join("vectors");
    let uri = uri.to_str().expect("a path");
    let store = open_or_create(&engine(), uri);
    let mut expected = BTreeSet::new();
    let mut dice = Dice(5);
    for batch in 0..24_i64 {
        let came: Vec<i64> = (batch * 150 + 1..=(batch + 1) * 150).collect();
        let went: Vec<i64> = (0..30).map(|_| dice.below((batch * 150 + 1) as u64) as i64).collect();
        store.apply(&rows(came.iter().copied()), &went, &batch.to_string()).expect("applied");
        expected.extend(came);
        expected.retain(|n| !went.contains(n));
        while !store.maintain().expect("upkeep").is_idle() {}
        assert_eq!(store.progress(), batch.to_string());
    }
    let shape = store.shape().expect("a shape");
    assert!(shape.files <= 8 && shape.versions <= 20 && shape.indexed > 2_000, "{shape:?}");
    assert_eq!(numbers(&store), expected);
    for number in expected.iter().step_by(97) {
        assert_eq!(near(&store, *number)[0], *number);
    }
    // What is erased is in no file.
    let target = *expected.iter().nth(1_234).expect("a row");
    let holds = |dir: &Path| {
        let bytes: Vec<u8> = row(target).vector[..4].iter().flat_map(|f| f.to_le_bytes()).collect();
        let event = format!("event-{target}");
        let mut folders = vec![dir.to_owned()];
        let mut found = Vec::new();
        while let Some(next) = folders.pop() {
            for entry in std::fs::read_dir(next).expect("a folder").map(|e| e.expect("an entry").path()) {
                if entry.is_dir() {
                    folders.push(entry);
                    continue;
                }
                let content = std::fs::read(&entry).expect("a file");
                let has = |needle: &[u8]| content.windows(needle.len()).any(|w| w == needle);
                if has(&bytes) || has(event.as_bytes()) {
                    found.push(entry);
                }
            }
        }
        found
    };
    store.apply(&[], &[target], "erased").expect("applied");
    assert!(!holds(folder.path()).is_empty(), "what is only taken out is still in the files");
    store.scrub().expect("scrubbed");
    assert_eq!(holds(folder.path()), Vec::<std::path::PathBuf>::new());
    expected.remove(&target);
    let opened = open_or_create(&engine(), uri);
    assert_eq!((numbers(&opened), opened.progress().as_str()), (expected, "erased"));
}

/// Every file of a store: cut short, emptied, overwritten, or gone. It is refused by name, or says what it said.
#[test]
fn a_damaged_or_foreign_folder_is_refused_and_ends_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let good = folder.path().join("good");
    {
        let store = open_or_create(&engine(), good.to_str().expect("a path"));
        store.apply(&rows(1..=2_500), &[], "1").expect("applied");
        store.apply(&rows(2_501..=2_600), &[5, 6], "2").expect("applied");
        while !store.maintain().expect("upkeep").is_idle() {}
    }
    let mut files = Vec::new();
    let mut folders = vec![good.clone()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).expect("a folder").map(|e| e.expect("an entry").path()) {
            if entry.is_dir() { folders.push(entry) } else { files.push(entry) }
        }
    }
    files.sort();
    assert!(files.len() > 4, "{files:?}");
    let copy = |to: &Path| {
        for file in &files {
            let place = to.join(file.strip_prefix(&good).expect("a part"));
            std::fs::create_dir_all(place.parent().expect("a folder")).expect("a folder");
            std::fs::copy(file, place).expect("a copy");
        }
    };
    let (mut refused, mut dice) = (0, Dice(9));
    for (at, file) in files.iter().enumerate() {
        for how in 0..5 {
            let bad = folder.path().join(format!("bad-{at}-{how}"));
            copy(&bad);
            let place = bad.join(file.strip_prefix(&good).expect("a part"));
            let mut bytes = std::fs::read(&place).expect("a file");
            match how {
                0 => bytes.truncate(bytes.len() / 2),
                1 => bytes.clear(),
                2 => bytes.iter_mut().for_each(|b| *b = 0xA5),
                3 => {
                    let half = bytes.len() / 2;
                    bytes[half..].iter_mut().for_each(|b| *b ^= dice.next() as u8);
                }
                _ => {}
            }
            if how == 4 {
                std::fs::remove_file(&place).expect("removed");
            } else {
                std::fs::write(&place, bytes).expect("a file");
            }
            let look = || -> Result<(), StoreError> {
                let store = Store::open(&engine(), bad.to_str().expect("a path"), &about(), settings())?;
                store.each(drop)?;
                store.nearest(&Query { vector: &row(7).vector, k: 3, ..Query::default() })?;
                store.select(&Filter { since: Some(0), ..Filter::default() })?;
                Ok(())
            };
            if let Err(error) = look() {
                assert!(error.to_string().contains("bad-"), "{error}");
                refused += 1;
            }
            std::fs::remove_dir_all(&bad).expect("removed");
        }
    }
    assert!(refused > files.len(), "{refused} of {}", files.len() * 5);

    // What is something else.
    let refused = |path: &Path, about: &BTreeMap<String, String>, dims| {
        let settings = stillhouse_lance::Settings { dims, ..settings() };
        match Store::open(&engine(), path.to_str().expect("a path"), about, settings) {
            Err(StoreError::Unusable { what, .. }) => what,
            other => panic!("{other:?}"),
        }
    };
    assert!(refused(&good, &BTreeMap::new(), DIMS).contains("something else"));
    assert!(refused(&good, &about(), DIMS + 1).contains("columns"));
    let letters = folder.path().join("letters");
    std::fs::create_dir(&letters).expect("a folder");
    std::fs::write(letters.join("a.txt"), "a").expect("a file");
    assert!(refused(&letters, &about(), DIMS).contains("something else"));
    assert!(refused(&letters.join("a.txt"), &about(), DIMS).contains("a file"));
    let far = Store::open(&engine(), "s3://bucket/vectors", &about(), settings());
    assert!(matches!(&far, Err(StoreError::Scheme { scheme, .. }) if scheme == "s3"), "{far:?}");
    let file = format!("file://{}", good.display());
    assert_eq!(Store::open(&engine(), &file, &about(), settings()).expect("a store").progress(), "2");
}
