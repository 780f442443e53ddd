//! A planted bad run, recalled from every dataset of every kind; and a person erased: from the command line, on both
//! journals.

use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::harness::{Broker, Dataset, Reader, Runs, Stack, dataset};

const RUNS: usize = 24;

/// Kinds of datasets that runs of the kit make rows of.
const KINDS: &[&str] = &["sft"];

#[test]
fn on_the_embedded_journal() {
    recalls(&Stack::embedded(3));
}

#[test]
fn on_kafka() {
    recalls(&Stack::kafka(Broker::shared(), 3));
}

#[test]
fn erased_on_the_embedded_journal() {
    erases(&Stack::embedded(3).with("privacy.seal", true));
}

#[test]
fn erased_on_kafka() {
    erases(&Stack::kafka(Broker::shared(), 3).with("privacy.seal", true));
}

fn json(stack: &Stack, args: &[&str]) -> Value {
    let said = stack.ok(&[args, &["-o", "json", "--quiet"]].concat());
    serde_json::from_str(&said).unwrap_or_else(|e| panic!("{args:?} says no JSON ({e}): {said}"))
}

/// Exports a kind, and gives the new dataset's folder.
fn export(stack: &Stack, kind: &str, out: &str) -> PathBuf {
    let report = json(stack, &["export", kind, "--out", out]);
    stack.folder().join(report["path"].as_str().expect("a path"))
}

/// Whether a dataset says anything of a run, in whatever member of a row.
fn mentions(data: &Dataset, run: &str) -> bool {
    let spelled = Value::from(run).to_string();
    data.files
        .iter()
        .any(|(name, bytes)| name.starts_with("data/") && String::from_utf8_lossy(bytes).contains(&spelled))
}

/// Reads a dataset beside whose manifest a mark may lie.
fn read(folder: &Path) -> Dataset {
    let mark = folder.join("RECALLED.json");
    let kept = std::fs::read(&mark).ok();
    let _ = std::fs::remove_file(&mark);
    let data = dataset(folder);
    if let Some(bytes) = kept {
        std::fs::write(&mark, bytes).expect("the mark");
    }
    let rows = data.manifest["counts"]["rows"].as_u64().expect("rows");
    let withheld = data.manifest["counts"]["withheld"].as_object().expect("withheld");
    let withheld: u64 = withheld.values().map(|n| n.as_u64().expect("a number")).sum();
    assert_eq!(data.manifest["counts"]["evidence"], rows + withheld, "rows and withheld add up");
    data
}

fn recalls(stack: &Stack) {
    let runs = Runs::new(31);
    let bad = runs.id(1);
    stack.feed(&["append", "runs"], runs.lines(0..RUNS / 2).as_bytes()).ok();
    let mut written: Vec<(String, PathBuf)> =
        KINDS.iter().map(|kind| ((*kind).to_owned(), export(stack, kind, &format!("{kind}-early")))).collect();
    stack.feed(&["append", "runs"], runs.lines(RUNS / 2..RUNS).as_bytes()).ok();
    written.extend(KINDS.iter().map(|kind| ((*kind).to_owned(), export(stack, kind, &format!("{kind}-late")))));
    let before: Vec<Dataset> = written.iter().map(|(_, folder)| read(folder)).collect();
    assert!(before.iter().all(|data| mentions(data, &bad)), "the run is planted in every dataset");

    stack.run(&["recall", "nobody", "--reason", "none"]).fails(3, &["no such run", "`nobody`"]);
    stack.run(&["recall", &bad]).fails(2, &["--reason"]);
    let looked = json(stack, &["recall", &bad, "--reason", "planted", "--dry-run"]);
    let done = json(stack, &["recall", &bad, "--reason", "planted", "--by", "tests"]);
    let names = |value: &Value| -> BTreeSet<String> {
        let found = value["datasets"].as_array().expect("datasets").iter();
        found.map(|d| d["dataset"].as_str().expect("a name").to_owned()).collect()
    };
    let expected: BTreeSet<String> = written
        .iter()
        .map(|(_, folder)| folder.file_name().expect("a name").to_str().expect("text").to_owned())
        .collect();
    assert_eq!((names(&looked), names(&done)), (expected.clone(), expected));
    for found in done["datasets"].as_array().expect("datasets") {
        assert!(found["error"].is_null(), "{found}");
        let rows = found["holds"].as_array().expect("rows");
        assert!(!rows.is_empty() && rows.iter().all(|row| row["run_id"] == bad.as_str() && row["line"].is_u64()));
        for place in found["written"].as_array().expect("places") {
            let data = read(Path::new(place.as_str().expect("a path")));
            assert!(!mentions(&data, &bad), "{place} still holds it");
            assert!(!data.rows.is_empty(), "the others are still in it");
        }
        let shown = json(stack, &["datasets", found["dataset"].as_str().expect("a name")]);
        assert_eq!((&shown["state"], &shown["superseded_by"]), (&"recalled".into(), &found["superseded_by"]));
    }
    for ((_, folder), old) in written.iter().zip(&before) {
        assert!(folder.join("RECALLED.json").is_file());
        assert!(read(folder).files == old.files, "the old version stays as it was");
    }
    for kind in KINDS {
        assert!(!mentions(&read(&export(stack, kind, "later")), &bad));
    }
    // An earlier cut has the bytes that it had.
    let (kind, folder) = &written[0];
    let cut = stack.write("cut.json", before[0].manifest.to_string());
    let again = json(stack, &["export", kind, "--out", "again", "--at", cut.to_str().expect("UTF-8")]);
    let again = stack.folder().join(again["path"].as_str().expect("a path"));
    assert_eq!(again.file_name(), folder.file_name());
    assert!(read(&again).files == before[0].files);

    stack.ok(&["reinstate", &bad, "--reason", "it was right after all"]);
    assert!(written.iter().all(|(_, folder)| !folder.join("RECALLED.json").exists()));
    for kind in KINDS {
        assert!(mentions(&read(&export(stack, kind, "last")), &bad));
    }
}

fn erases(stack: &Stack) {
    let runs = Runs::new(32);
    let person = "worker:555-0107";
    let mine: BTreeSet<String> = [0, 4, 5].map(|n| runs.id(n)).into();
    let lines = (0..RUNS).map(|n| {
        let mut event = runs.event(n);
        if mine.contains(&runs.id(n)) {
            event["subject"] = person.into();
        }
        format!("{event}\n")
    });
    stack.feed(&["append", "runs"], lines.collect::<String>().as_bytes()).ok();
    let old = export(stack, "sft", "out");
    let before = read(&old);
    stack.run(&["erase", person]).fails(2, &["--yes"]);
    stack.run(&["erase", "worker:nobody", "--yes"]).fails(3, &["nothing"]);
    let done = json(stack, &["erase", person, "--yes", "--reason", "request 12"]);
    assert_eq!(done["done_before"], false);
    let certified = &done["certificate"];
    assert_eq!(certified["runs"].as_array().expect("runs").len(), mine.len());
    assert_eq!((&certified["rebuilt"][0]["removed"], &certified["remaining"]), (&3.into(), &Value::Array(vec![])));
    let after = stack.folder().join("out").join(certified["rebuilt"][0]["after"].as_str().expect("a name"));
    let data = read(&after);
    assert_eq!(data.rows.len() + 3, before.rows.len());
    assert!(data.rows.iter().all(|row| !mine.contains(&row.run_id)));
    assert_eq!(std::fs::read_dir(&old).expect("the tombstone").count(), 1);
    assert!(Reader::of(stack).verify().damage.is_empty(), "the journal is whole");
    assert_eq!(json(stack, &["erase", person, "--yes"])["done_before"], true);
    let cut = stack.write("cut.json", before.manifest.to_string());
    let again = stack.run(&["export", "sft", "--out", "again", "--at", cut.to_str().expect("UTF-8")]);
    assert!(again.stderr.contains("erased after this cut"), "{again:?}");
    assert!(!stack.ok(&["tail", "decisions", "--from", "beginning", "-o", "json"]).contains("555-0107"));
    stack.ok(&["verify"]);
}
