//! Files: what is read is what was written, and what is wrong is told by column and row.

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::{
    ArrayRef, Date32Array, Float32Array, Float64Array, Int64Array, LargeStringArray, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use parquet::arrow::ArrowWriter;
use std::path::Path;
use std::sync::Arc;
use stillhouse_roster::{Loaded, generate, load};
use stillhouse_schemas::roster::Roster as _;
use tempfile::TempDir;

/// A file of these columns.
fn file(dir: &TempDir, columns: Vec<(&str, ArrayRef)>) -> std::path::PathBuf {
    let path = dir.path().join("workers.parquet");
    let batch =
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true))).expect("batch");
    let mut writer =
        ArrowWriter::try_new(std::fs::File::create(&path).expect("a file"), batch.schema(), None).expect("a writer");
    writer.write(&batch).expect("rows");
    writer.close().expect("an end");
    path
}

fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

/// The least that three workers need.
fn least() -> Vec<(&'static str, ArrayRef)> {
    vec![
        ("id", texts(&["W-2", "W-1", "W-3"])),
        ("name", texts(&["Zoë O’Brien", "Jane Doe", "zoe obrien"])),
        ("role", texts(&["Welder", "Welder", "Cook"])),
        ("city", texts(&["Springfield", "Springfield", ""])),
        ("state", texts(&["IL", "OH", ""])),
        ("status", texts(&["active", "Do-not use", ""])),
    ]
}

fn with(name: &'static str, array: ArrayRef) -> Vec<(&'static str, ArrayRef)> {
    let mut columns = least();
    columns.retain(|(known, _)| *known != name);
    columns.push((name, array));
    columns
}

fn loaded(columns: Vec<(&str, ArrayRef)>) -> Loaded {
    let dir = TempDir::new().expect("a directory");
    load(&file(&dir, columns)).expect("a roster")
}

fn refused(columns: Vec<(&str, ArrayRef)>) -> String {
    let dir = TempDir::new().expect("a directory");
    load(&file(&dir, columns)).expect_err("it is wrong").to_string()
}

#[test]
fn workers_are_found_by_id_and_by_name() {
    let mut columns = least();
    columns.push(("latitude", Arc::new(Float64Array::from(vec![Some(39.8), None, Some(-0.0)]))));
    columns.push(("longitude", Arc::new(Float32Array::from(vec![Some(-89.5), None, Some(0.0)]))));
    columns.push(("available_from", Arc::new(Date32Array::from(vec![Some(20_454), None, Some(0)]))));
    columns.push(("available_until", texts(&["2026-03-01", "1970-01-01", "2000-02-29"])));
    columns.push(("pay_min", Arc::new(Int64Array::from(vec![Some(1_750), None, Some(0)]))));
    columns.push(("pay_max", Arc::new(Int64Array::from(vec![Some(2_600), None, Some(0)]))));
    columns.push(("phone", Arc::new(LargeStringArray::from(vec!["(217) 555-0142", "", "x"]))));
    columns.push(("certifications", texts(&["OSHA 10; Forklift;;OSHA 10", "", " RN "])));
    columns.push(("favourite_colour", texts(&["blue", "red", "green"])));
    let loaded = loaded(columns);
    assert_eq!(loaded.ignored, ["favourite_colour"]);
    assert_eq!(loaded.missing, [("email", None)]);
    let table = loaded.table;
    assert_eq!(table.workers().map(|worker| worker.id).collect::<Vec<_>>(), ["W-1", "W-2", "W-3"]);
    let second = table.worker("W-2").expect("it is there");
    assert_eq!((second.role, second.city, second.state, second.status), ("Welder", "Springfield", "IL", "active"));
    assert_eq!((second.place, second.pay), (Some((39.8, -89.5)), Some((1_750, 2_600))));
    assert_eq!((second.available_from, second.available_until), (Some(20_454), Some(20_513)));
    assert_eq!(second.certifications, ["Forklift", "OSHA 10"]);
    assert_eq!(second.phone, "(217) 555-0142");
    let first = table.worker("W-1").expect("it is there");
    assert_eq!((first.status, first.place, first.pay, first.available_from), ("do_not_use", None, None, None));
    for absent in ["W-4", "w-1", "W-1 ", ""] {
        assert_eq!(table.worker(absent), None, "{absent:?}");
    }
    let named = |name, most| table.named(name, most).iter().map(|worker| worker.id).collect::<Vec<_>>();
    assert_eq!(named("ZOE  o'brien", 9), ["W-2", "W-3"]);
    assert_eq!(named("Zoe O'Brien", 1), ["W-2"]);
    assert!(named("Zoe", 9).is_empty() && named("", 9).is_empty());
}

#[test]
fn spellings_of_one_roster_are_one_version() {
    let mut list = ListBuilder::new(StringBuilder::new());
    for held in [&["B", "A"][..], &[], &["C"]] {
        held.iter().for_each(|one| list.values().append_value(one));
        list.append(true);
    }
    let as_list = loaded(with("certifications", Arc::new(list.finish())));
    let as_text = loaded(with("certifications", texts(&["A;B", "", "C"])));
    assert_eq!(as_list.table.version(), as_text.table.version());
    let days = |array: ArrayRef| loaded(with("available_from", array)).table.version().to_owned();
    let micros = [Some(-1), Some(86_400_000_000), None];
    let version = days(Arc::new(TimestampMicrosecondArray::from(micros.to_vec())));
    assert_eq!(version, days(Arc::new(Date32Array::from(vec![Some(-1), Some(1), None]))));
    assert_ne!(version, days(Arc::new(Date32Array::from(vec![Some(-1), Some(2), None]))));
}

#[test]
fn what_is_wrong_is_named() {
    let without = |name: &str| -> Vec<_> { least().into_iter().filter(|(known, _)| *known != name).collect() };
    let named_otherwise = |name: &str, other: &'static str| -> Vec<_> {
        least().into_iter().map(|(known, array)| (if known == name { other } else { known }, array)).collect()
    };
    let nulls = || -> ArrayRef { Arc::new(StringArray::from(vec![Some("W-1"), None, Some("W-3")])) };
    let pay = |values: Vec<Option<i64>>| {
        let mut columns = with("pay_min", Arc::new(Int64Array::from(vec![Some(1), Some(2), Some(3)])));
        columns.push(("pay_max", Arc::new(Int64Array::from(values))));
        columns
    };
    for (columns, said) in [
        (
            without("status"),
            "there is no column `status`; expected text: active, inactive, on_assignment or do_not_use",
        ),
        (named_otherwise("name", "Name"), "there is no column `name`; expected text; is it `Name`?"),
        (with("id", Arc::new(Int64Array::from(vec![1, 2, 3]))), "column `id` is Int64; expected text"),
        (
            with("pay_min", Arc::new(Float64Array::from(vec![17.5, 18.0, 19.0]))),
            "column `pay_min` is Float64; expected whole cents by the hour, as an integer",
        ),
        (with("latitude", texts(&["1", "2", "3"])), "column `latitude` is Utf8; expected degrees as a float"),
        (with("id", nulls()), "1 of 3 rows is wrong: row 2, id: is empty"),
        (with("id", texts(&["a", "b", "a"])), "1 rows have the id of another one: `a` in rows 1 and 3"),
        (with("id", texts(&["a", " b", "c"])), "row 2 (` b`), id: ` b` has blanks around it"),
        (with("status", texts(&["active", "retired", ""])), "row 2 (`W-1`), status: is `retired`; there are active"),
        (
            with("available_from", texts(&["2026-02-30", "2026-01-01", ""])),
            "row 1 (`W-2`), available_from: `2026-02-30`",
        ),
        (pay(vec![Some(1), None, Some(9)]), "row 2 (`W-1`), pay_max: is null where `pay_min` is not"),
        (pay(vec![Some(1), Some(1), Some(-9)]), "2 of 3 rows are wrong: row 2 (`W-1`), pay_max: is 1, less than"),
    ] {
        let message = refused(columns);
        assert!(message.contains(said), "{message}\n  should say {said}");
    }
}

#[test]
fn files_that_are_none_are_refused() {
    let dir = TempDir::new().expect("a directory");
    let path = dir.path().join("x.parquet");
    assert!(load(&path).expect_err("it is not there").to_string().contains("cannot read"));
    assert!(load(dir.path()).expect_err("a directory").to_string().contains("it is no file"));
    for bytes in [&b""[..], b"PAR1", b"id,name\n1,Jane\n", b"PAR1\xff\xff\xff\xffPAR1"] {
        std::fs::write(&path, bytes).expect("written");
        assert!(load(&path).expect_err("it is no Parquet").to_string().contains("is no Parquet file"));
    }
}

/// Every byte of a small file is turned in several ways: what comes back is a roster or a sentence.
#[test]
fn damaged_files_do_no_harm() {
    let mut good = Vec::new();
    generate(40, 7, &mut good).expect("generated");
    let dir = TempDir::new().expect("a directory");
    let path = dir.path().join("x.parquet");
    let quiet = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let mut refused = 0;
    for at in (0..good.len()).step_by(3) {
        let mut bytes = good.clone();
        bytes[at] = match at % 4 {
            0 => bytes[at].wrapping_add(1),
            1 => 0xff,
            2 => 0,
            _ => bytes[at] ^ 0x80,
        };
        std::fs::write(&path, &bytes).expect("written");
        refused += usize::from(load(&path).is_err());
    }
    for end in (0..good.len()).step_by(97) {
        std::fs::write(&path, &good[..end]).expect("written");
        assert!(load(&path).is_err(), "{end} bytes of {}", good.len());
    }
    std::panic::set_hook(quiet);
    assert!(refused > 100, "{refused} refused");
}

fn generated(workers: usize, seed: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let told = generate(workers, seed, &mut bytes).expect("generated");
    assert_eq!((told.workers, told.bytes), (workers, bytes.len() as u64));
    bytes
}

#[test]
fn a_generated_roster_is_the_same_again_and_plainly_synthetic() {
    let bytes = generated(20_000, 1);
    assert_eq!(bytes, generated(20_000, 1));
    assert_ne!(bytes, generated(20_000, 2));
    let dir = TempDir::new().expect("a directory");
    let path: &Path = &dir.path().join("x.parquet");
    std::fs::write(path, bytes).expect("written");
    let loaded = load(path).expect("a roster");
    assert_eq!((loaded.len(), loaded.missing.len(), loaded.ignored.len()), (20_000, 0, 0));
    for worker in loaded.table.workers() {
        assert!(worker.email.ends_with("@example.com") && worker.email.is_ascii(), "{}", worker.email);
        let (_, line) = worker.phone.split_once(") 555-01").expect("a number for fiction");
        assert_eq!(line.len(), 2, "{}", worker.phone);
        assert!(worker.pay.is_some_and(|(from, to)| from < to) && worker.place.is_some());
    }
    assert!(loaded.statuses().len() == 4 && loaded.shared_names() > 1_000);
}
