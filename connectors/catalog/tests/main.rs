//! The catalog from outside: what is found, in whatever order it was said.

use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use stillhouse_catalog::{CatalogError, Change, Entry, Filter, Reader, Writer};

fn entry(corpus: &str, item: &str, at: i64, text: &str) -> Entry {
    Entry {
        corpus: corpus.into(),
        model: "lexical/ngrams@1".into(),
        dims: 1,
        item_id: item.into(),
        event_id: format!("event-{at}-{item}"),
        occurred_at: at,
        position: ("embeddings.v1".into(), 0, at.unsigned_abs()),
        run_id: Some(format!("run-{item}")),
        parts: text.split('|').filter(|t| !t.is_empty()).map(|t| (t.to_owned(), 1f32.to_le_bytes().to_vec())).collect(),
        ..Entry::default()
    }
}

fn put(entry: Entry) -> Change {
    Change::Put(Box::new(entry))
}

fn contents(dir: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    Reader::open(dir).unwrap().contents(|line| lines.push(line.to_owned())).unwrap();
    lines
}

/// The rows that somebody knows who has read all news of every shelf, in pages of `most`.
fn known(reader: &Reader, most: usize, after: &mut BTreeMap<i64, (i64, i64)>, rows: &mut BTreeSet<i64>) {
    for shelf in reader.shelves().unwrap() {
        let after = after.entry(shelf.id).or_default();
        loop {
            let news = reader.news(shelf.id, *after, most).unwrap();
            rows.extend(news.came.iter().map(|row| row.row));
            for row in &news.went {
                rows.remove(row);
            }
            *after = news.upto;
            if !news.more {
                break;
            }
        }
        let head = reader.head().unwrap().upto;
        assert!(after.0 >= head.0 && after.1 == head.1, "{after:?} {head:?}");
    }
}

#[test]
fn words_find_titles_first_and_say_how_much_of_the_question_they_answer() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(dir.path()).unwrap();
    let mut titled = entry("a", "1", 1, "Call before six.");
    titled.title = Some("Night shifts".into());
    let others = (2..50).map(|n| put(entry("a", &n.to_string(), n, "Something else entirely.")));
    let last = entry("a", "99", 99, "Of nights and shifts: the night shift, Café.");
    let changes: Vec<Change> = [put(titled), put(last)].into_iter().chain(others).collect();
    writer.commit(&changes, &vec![("embeddings.v1".into(), 0, 100)]).unwrap();
    let reader = Reader::open(dir.path()).unwrap();
    let shelf = reader.shelves().unwrap().remove(0);
    assert_eq!((shelf.rows, shelf.gate.clone()), (50, None));
    let found = reader.find(shelf.id, "night shifts", 10, None).unwrap();
    assert_eq!(found.iter().map(|f| f.row).collect::<Vec<_>>(), [1, 2]);
    assert!(found[0].share > 0.5 && found[0].share <= 1.0 && found[1].share < found[0].share, "{found:?}");
    assert_eq!(reader.find(shelf.id, "cafe", 10, None).unwrap().len(), 1);
    for nothing in ["", "\"", "* OR -", "absent"] {
        assert!(reader.find(shelf.id, nothing, 10, None).unwrap().is_empty(), "{nothing}");
    }
    let second: Filter = Arc::new(|row| row == 2);
    let found = reader.find(shelf.id, "night", 1, Some(&second)).unwrap();
    assert_eq!(found.iter().map(|f| f.row).collect::<Vec<_>>(), [2]);
    let hits = reader.hits(&[2, 1, 7_777], "night", 40).unwrap();
    assert_eq!(hits.iter().map(|h| h.item_id.as_str()).collect::<Vec<_>>(), ["99", "1"]);
    assert_eq!(hits[0].position, ("embeddings.v1".to_owned(), 0, 99));
    assert_eq!(reader.progress().unwrap(), [("embeddings.v1".to_owned(), 0, 100)]);
}

#[test]
fn a_gate_and_a_model_are_shelves_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(dir.path()).unwrap();
    let gated = |item: &str, gate: Option<&str>, model: &str, dims| {
        let mut entry = entry("playbook", item, 1, "words");
        (entry.gate, entry.model, entry.dims) = (gate.map(str::to_owned), model.into(), dims);
        put(entry)
    };
    let changes = [
        gated("1", Some("a"), "m", 1),
        gated("2", Some("b"), "m", 1),
        gated("3", Some(""), "m", 1),
        gated("4", None, "m", 1),
        gated("5", Some("a"), "m2", 1),
        gated("6", Some("a"), "m", 2),
        gated("7", Some("a"), "m", 1),
    ];
    writer.commit(&changes, &Vec::new()).unwrap();
    let reader = Reader::open(dir.path()).unwrap();
    let rows: Vec<u64> = reader.shelves().unwrap().iter().map(|s| s.rows).collect();
    assert_eq!(rows, [2, 1, 1, 1, 1, 1]);
    for shelf in reader.shelves().unwrap() {
        assert_eq!(reader.find(shelf.id, "words", 10, None).unwrap().len() as u64, shelf.rows);
    }
}

#[test]
fn what_is_erased_is_nowhere_and_does_not_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(dir.path()).unwrap();
    let secret = || {
        let mut entry = entry("a", "1", 1, "The unmistakable zebrafinch");
        entry.key_id = Some("key-1".into());
        entry.title = Some("zebrafinch".into());
        entry
    };
    writer.commit(&[put(secret()), put(entry("a", "2", 1, "other"))], &Vec::new()).unwrap();
    let holds = |needle: &[u8]| {
        let files = std::fs::read_dir(dir.path()).unwrap().map(|f| std::fs::read(f.unwrap().path()).unwrap());
        files.into_iter().any(|bytes| bytes.windows(needle.len()).any(|w| w.eq_ignore_ascii_case(needle)))
    };
    assert!(holds(b"zebrafinch"));
    writer.commit(&[Change::Erase { key_id: "key-1".into() }], &Vec::new()).unwrap();
    assert!(!holds(b"zebrafinch"));
    let mut later = secret();
    later.occurred_at = 5;
    writer.commit(&[put(secret()), put(later)], &Vec::new()).unwrap();
    assert_eq!(contents(dir.path()).len(), 1);
    assert!(!holds(b"zebrafinch"));
}

#[test]
fn a_file_that_is_none_of_ours_is_refused_and_so_is_a_second_writer() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(Reader::open(dir.path()), Err(CatalogError::Missing { .. })));
    let writer = Writer::open(dir.path()).unwrap();
    assert!(matches!(Writer::open(dir.path()), Err(CatalogError::Busy { .. })));
    drop(writer);
    drop(Writer::open(dir.path()).unwrap());
    let file = dir.path().join(stillhouse_catalog::FILE);
    std::fs::write(&file, b"no database at all, and long enough to be looked at".repeat(50)).unwrap();
    assert!(matches!(Writer::open(dir.path()), Err(CatalogError::Unusable { .. })));
    let error = Reader::open(dir.path()).unwrap_err();
    assert!(error.to_string().contains("catalog.db") && error.to_string().contains("made again"), "{error}");
}

#[derive(Clone, Debug)]
enum Step {
    Put { item: u8, at: u8, parts: u8 },
    Hide(u8),
    Show(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let item = 0..4_u8;
    let step = prop_oneof![
        4 => (item.clone(), 0..20_u8, 0..3_u8).prop_map(|(item, at, parts)| Step::Put { item, at, parts }),
        1 => item.clone().prop_map(Step::Hide),
        1 => item.prop_map(Step::Show),
    ];
    proptest::collection::vec(step, 1..25)
}

fn change(step: &Step) -> Change {
    match step {
        // What an event says depends on the event alone.
        Step::Put { item, at, parts } => {
            let text = (0..(*parts + *at) % 3).map(|p| format!("text {item} {at} {p}")).collect::<Vec<_>>().join("|");
            put(entry("a", &item.to_string(), i64::from(*at), &text))
        }
        Step::Hide(item) => Change::Hide { run_id: format!("run-{item}") },
        Step::Show(item) => Change::Show { run_id: format!("run-{item}") },
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Puts in any order and batches, twice, leave the same; and whoever follows the news knows the rows there are.
    #[test]
    fn order_batches_and_repetition_make_no_difference(steps in steps(), size in 1..7_usize, most in 1..5_usize) {
        // An event id stands for one content.
        let mut said = BTreeSet::new();
        let fresh = |step: &&Step| match step {
            Step::Put { item, at, .. } => said.insert((*item, *at)),
            _ => true,
        };
        let one: Vec<&Step> = steps.iter().filter(fresh).collect();
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let mut writer = Writer::open(dirs[0].path()).unwrap();
        let reader = Reader::open(dirs[0].path()).unwrap();
        let (mut after, mut rows) = (BTreeMap::new(), BTreeSet::new());
        for batch in one.chunks(size) {
            let changes: Vec<Change> = batch.iter().map(|s| change(s)).collect();
            writer.commit(&changes, &Vec::new()).unwrap();
            known(&reader, most, &mut after, &mut rows);
        }
        let there: u64 = reader.shelves().unwrap().iter().map(|s| s.rows).sum();
        prop_assert_eq!(rows.len() as u64, there);
        prop_assert_eq!(contents(dirs[0].path()).len() as u64, there);
        prop_assert_eq!(reader.hits(&rows.iter().copied().collect::<Vec<_>>(), "", 10).unwrap().len() as u64, there);
        let found: usize = reader.shelves().unwrap().iter().map(|s| reader.find(s.id, "text", 100, None).unwrap().len()).sum();
        prop_assert_eq!(found as u64, there);

        // Decisions in their order, but puts the other way round and twice.
        let (puts, decisions): (Vec<&Step>, Vec<&Step>) = one.iter().copied().partition(|s| matches!(s, Step::Put { .. }));
        let mut writer = Writer::open(dirs[1].path()).unwrap();
        let order = puts.iter().rev().chain(&decisions).chain(&puts);
        writer.commit(&order.map(|s| change(s)).collect::<Vec<_>>(), &Vec::new()).unwrap();
        prop_assert_eq!(contents(dirs[0].path()), contents(dirs[1].path()));
    }
}

#[test]
fn news_are_of_one_shelf_and_the_head_is_of_all() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(dir.path()).unwrap();
    let progress = vec![("embeddings.v1".to_owned(), 0, 9)];
    let mut sealed = entry("b", "3", 3, "third");
    sealed.key_id = Some("key".into());
    writer
        .commit(&[put(entry("a", "1", 1, "one|two")), put(entry("b", "2", 2, "second")), put(sealed)], &progress)
        .unwrap();
    let reader = Reader::open(dir.path()).unwrap();
    let rows =
        |shelf: i64, after| reader.news(shelf, after, 10).unwrap().came.iter().map(|r| r.row).collect::<Vec<_>>();
    let numbers = |shelf: i64| {
        let mut numbers = Vec::new();
        reader.rows(shelf, |row| numbers.push(row)).unwrap();
        numbers
    };
    assert_eq!((rows(1, (0, 0)), rows(2, (0, 0)), rows(2, (3, 0))), (vec![1, 2], vec![3, 4], vec![4]));
    assert_eq!((numbers(1), numbers(2)), (vec![1, 2], vec![3, 4]));
    let head = reader.head().unwrap();
    assert_eq!((head.upto, head.erased, head.progress), ((4, 0), 0, progress));
    // What is on another shelf is no news, and yet covered.
    let news = reader.news(1, (2, 0), 1).unwrap();
    assert!(news.came.is_empty() && !news.more && news.upto == (4, 0));
    writer.commit(&[Change::Erase { key_id: "key".into() }], &Vec::new()).unwrap();
    assert_eq!((reader.news(2, (4, 0), 10).unwrap().went, reader.news(1, (4, 0), 10).unwrap().went), (vec![4], vec![]));
    assert_eq!((reader.head().unwrap().erased, numbers(2)), (1, vec![3]));
    let one = 1_f32.to_le_bytes().to_vec();
    assert_eq!(reader.vectors(&[3, 4, 99, 1]).unwrap(), [Some(one.clone()), None, None, Some(one)]);
}
