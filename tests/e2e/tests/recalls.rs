//! A planted bad run, recalled from every dataset of every kind in every format; and a person erased: from the command
//! line, on both journals.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::harness::{Broker, Dataset, Reader, Runs, Stack, dataset, root};
use crate::python::READERS;

const RUNS: usize = 24;

/// Tasks that were done twice, once well: each makes a pair.
const TASKS: usize = 4;

/// A kind of dataset, and a format.
type What = (&'static str, &'static str);

/// Every kind and every format.
const EVERY: &[What] = &[
    ("sft", "jsonl"),
    ("sft", "parquet"),
    ("rag", "jsonl"),
    ("rag", "lance"),
    ("preference", "jsonl"),
    ("preference", "parquet"),
    ("preference", "lance"),
];
/// The same in fewer pairs, where the journal is another and nothing else is.
const FEW: &[What] = &[("sft", "parquet"), ("rag", "lance"), ("preference", "jsonl")];

/// The run of a task that did it well, or the other one.
fn contested(task: usize, good: bool) -> String {
    format!("task-{task}-{}", if good { "good" } else { "bad" })
}

/// Both runs of every task; those that are named are about a person.
fn tasks(about: &BTreeMap<String, &str>) -> String {
    let run = |(task, good): (usize, bool)| {
        let id = contested(task, good);
        let mut event = json!({"id": id, "type": "run", "payload": {
        "run_id": id, "task_key": format!("task-{task}"), "outcome": {"verdict": if good { "pass" } else { "fail" }},
        "messages": [
            {"role": "user", "content": format!("Which shift of week {task} is free?")},
            {"role": "assistant", "content": format!("The shift of {id}.")},
        ]}});
        if let Some(person) = about.get(&id) {
            event["subject"] = (*person).into();
        }
        format!("{event}\n")
    };
    (0..TASKS).flat_map(|task| [(task, true), (task, false)]).map(run).collect()
}

#[test]
fn on_the_embedded_journal() {
    recalls(&Stack::embedded(3), EVERY);
}

#[test]
fn on_kafka() {
    recalls(&Stack::kafka(Broker::shared(), 3), FEW);
}

#[test]
fn erased_on_the_embedded_journal() {
    erases(&Stack::embedded(3).with("privacy.seal", true), EVERY);
}

#[test]
fn erased_on_kafka() {
    erases(&Stack::kafka(Broker::shared(), 3).with("privacy.seal", true), FEW);
}

fn json(stack: &Stack, args: &[&str]) -> Value {
    let said = stack.ok(&[args, &["-o", "json", "--quiet"]].concat());
    serde_json::from_str(&said).unwrap_or_else(|e| panic!("{args:?} says no JSON ({e}): {said}"))
}

/// Exports a kind, and gives the new dataset's folder.
fn export(stack: &Stack, (kind, format): (&str, &str), out: &str) -> PathBuf {
    let report = json(stack, &["export", kind, "--format", format, "--out", out]);
    stack.folder().join(report["path"].as_str().expect("a path"))
}

/// Whether a dataset says anything of a run: in whatever member of a row, or where it says what its rows were made of.
fn mentions(data: &Dataset, run: &str) -> bool {
    let spelled = Value::from(run).to_string();
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains(&spelled);
    let plain = |name: &str| name == "lineage.jsonl" || name == ROWS || name.ends_with(".jsonl");
    data.files.iter().any(|(name, bytes)| plain(name) && said(bytes))
}

/// Among a dataset's files: the rows of its columns.
const ROWS: &str = "rows of columns";

/// The rows of Parquet and Lance, as stock libraries read them, in one process for all tests.
fn rows_of_columns(folder: &Path) -> Vec<u8> {
    static READING: OnceLock<Mutex<(Child, BufReader<ChildStdout>)>> = OnceLock::new();
    let begin = || {
        let mut python = Command::new(READERS.python());
        python.arg(root().join("tests/e2e/fixtures/python/rows.py")).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = python.spawn().expect("Python");
        let answers = BufReader::new(child.stdout.take().expect("a pipe"));
        Mutex::new((child, answers))
    };
    let mut reading = READING.get_or_init(begin).lock().unwrap_or_else(PoisonError::into_inner);
    let (python, answers) = &mut *reading;
    writeln!(python.stdin.as_mut().expect("a pipe"), "{}", folder.display()).expect("Python reads");
    let mut line = String::new();
    answers.read_line(&mut line).expect("Python answers");
    assert!(line.starts_with('['), "{} cannot be read", folder.display());
    line.into_bytes()
}

/// Lance keeps every version of what it writes; there must be no earlier one.
fn one_version(data: &Dataset) {
    let versions = data.files.keys().filter(|name| name.contains("/_versions/") && name.ends_with(".manifest"));
    let splits = data.manifest["splits"].as_array().expect("splits").iter().filter(|split| split["rows"] != 0).count();
    let expected = if data.manifest["file_format"] == "lance" { splits } else { 0 };
    assert_eq!(versions.count(), expected, "{:?}", data.files.keys());
}

fn rows(data: &Dataset) -> i64 {
    data.manifest["counts"]["rows"].as_i64().expect("rows")
}

/// Reads a dataset beside whose manifest a mark may lie.
fn read(folder: &Path) -> Dataset {
    let mark = folder.join("RECALLED.json");
    let kept = std::fs::read(&mark).ok();
    let _ = std::fs::remove_file(&mark);
    let mut data = dataset(folder);
    if data.manifest["file_format"] != "jsonl" {
        data.files.insert(ROWS.to_owned(), rows_of_columns(folder));
    }
    if let Some(bytes) = kept {
        std::fs::write(&mark, bytes).expect("the mark");
    }
    one_version(&data);
    let used = data.manifest["counts"]["used"].as_u64().expect("used");
    let withheld = data.manifest["counts"]["withheld"].as_object().expect("withheld");
    let withheld: u64 = withheld.values().map(|n| n.as_u64().expect("a number")).sum();
    assert_eq!(data.manifest["counts"]["evidence"], used + withheld, "used and withheld add up");
    data
}

fn recalls(stack: &Stack, every: &[What]) {
    let runs = Runs::new(31);
    let (bad, worse) = (contested(0, true), contested(1, false));
    let early = runs.lines(0..RUNS / 2) + &tasks(&BTreeMap::new());
    stack.feed(&["append", "runs"], early.as_bytes()).ok();
    let exported = |what: What, out: &str| (what, export(stack, what, out));
    let mut written = vec![exported(("sft", "jsonl"), "early"), exported(("preference", "jsonl"), "early")];
    stack.feed(&["append", "runs"], runs.lines(RUNS / 2..RUNS).as_bytes()).ok();
    written.extend(every.iter().map(|what| exported(*what, "late")));
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
    let name = |folder: &Path| folder.file_name().expect("a name").to_str().expect("text").to_owned();
    let expected: BTreeSet<String> = written.iter().map(|(_, folder)| name(folder)).collect();
    assert_eq!((names(&looked), names(&done)), (expected.clone(), expected));
    for found in done["datasets"].as_array().expect("datasets") {
        assert!(found["error"].is_null(), "{found}");
        let role = if found["kind"] == "preference" { "chosen" } else { "row" };
        let held = found["holds"].as_array().expect("rows");
        let sound = |row: &Value| row["run_id"] == bad.as_str() && row["as"] == role && row["line"].is_u64();
        assert!(!held.is_empty() && held.iter().all(sound), "{held:?}");
        assert_eq!(found["written"].as_array().expect("places").len(), 1);
        for place in found["written"].as_array().expect("places") {
            let data = read(Path::new(place.as_str().expect("a path")));
            assert!(!mentions(&data, &bad), "{place} still holds it");
            assert!(rows(&data) > 0, "the others are still in it");
            let (_, old) = written.iter().zip(&before).find(|((_, f), _)| name(f) == found["dataset"]).expect("it");
            assert_eq!(
                [&data.manifest["kind"], &data.manifest["file_format"]],
                [&old.manifest["kind"], &old.manifest["file_format"]]
            );
            let new = json(stack, &["datasets", &name(Path::new(place.as_str().expect("a path")))]);
            assert_eq!(new["supersedes"], json!([found["dataset"]]));
            let file = match old.manifest["file_format"].as_str() {
                Some("lance") => "data/train.lance".to_owned(),
                format => format!("data/train-00000-of-00001.{}", format.expect("a format")),
            };
            assert!(held.iter().all(|row| row["file"] == file.as_str()), "{held:?}");
            // The other lines of the same kind, whatever the format: one pair less, two chunks, one row.
            assert_eq!(rows(old) - rows(&data), i64::try_from(held.len()).expect("few"));
        }
        let shown = json(stack, &["datasets", found["dataset"].as_str().expect("a name")]);
        assert_eq!((&shown["state"], &shown["superseded_by"]), (&"recalled".into(), &found["superseded_by"]));
    }
    for ((_, folder), old) in written.iter().zip(&before) {
        assert!(folder.join("RECALLED.json").is_file());
        assert!(read(folder).files == old.files, "the old version stays as it was");
    }
    for what in every {
        assert!(!mentions(&read(&export(stack, *what, "later")), &bad));
    }
    // An earlier cut has the bytes that it had.
    let (what, folder) = &written[0];
    let cut = stack.write("cut.json", before[0].manifest.to_string());
    let again = json(stack, &["export", what.0, "--out", "again", "--at", cut.to_str().expect("UTF-8")]);
    let again = stack.folder().join(again["path"].as_str().expect("a path"));
    assert_eq!(again.file_name(), folder.file_name());
    assert!(read(&again).files == before[0].files);

    stack.ok(&["reinstate", &bad, "--reason", "it was right after all"]);
    assert!(written.iter().all(|(_, folder)| !folder.join("RECALLED.json").exists()));
    for what in &every[..1] {
        assert!(mentions(&read(&export(stack, *what, "last")), &bad));
    }

    // The worse side of a pair is in pairs only, and goes with its pair.
    let done = json(stack, &["recall", &worse, "--reason", "it was no failure"]);
    let found = done["datasets"].as_array().expect("datasets");
    let pairs = |folder: &Path| name(folder).starts_with("preference-");
    assert!(written.iter().map(|(_, f)| f).filter(|f| pairs(f)).all(|f| names(&done).contains(&name(f))));
    for found in found {
        assert_eq!((&found["kind"], &found["error"]), (&"preference".into(), &Value::Null));
        assert!(found["holds"].as_array().expect("rows").iter().all(|row| row["as"] == "rejected"), "{found}");
        for place in found["written"].as_array().expect("places") {
            assert!(!mentions(&read(Path::new(place.as_str().expect("a path"))), &worse));
        }
    }
    stack.ok(&["audit", "--full"]);
}

fn erases(stack: &Stack, every: &[What]) {
    let runs = Runs::new(32);
    let person = "worker:555-0107";
    let mut mine: BTreeSet<String> = [0, 4, 5].map(|n| runs.id(n)).into();
    let sides = [contested(1, true), contested(2, false)];
    let lines = (0..RUNS).map(|n| {
        let mut event = runs.event(n);
        if mine.contains(&runs.id(n)) {
            event["subject"] = person.into();
        }
        format!("{event}\n")
    });
    let lines = lines.collect::<String>() + &tasks(&sides.iter().map(|id| (id.clone(), person)).collect());
    mine.extend(sides);
    stack.feed(&["append", "runs"], lines.as_bytes()).ok();
    let written: BTreeMap<String, PathBuf> = every
        .iter()
        .map(|what| export(stack, *what, "out"))
        .map(|folder| (folder.file_name().expect("a name").to_str().expect("text").to_owned(), folder))
        .collect();
    let before: BTreeMap<&String, Dataset> = written.iter().map(|(name, folder)| (name, read(folder))).collect();
    assert!(before.values().all(|data| mine.iter().any(|run| mentions(data, run))));
    stack.run(&["erase", person]).fails(2, &["--yes"]);
    stack.run(&["erase", "worker:nobody", "--yes"]).fails(3, &["nothing"]);
    let done = json(stack, &["erase", person, "--yes", "--reason", "request 12"]);
    assert_eq!(done["done_before"], false);
    let certified = &done["certificate"];
    assert_eq!(certified["runs"].as_array().expect("runs").len(), mine.len());
    assert_eq!(certified["remaining"], Value::Array(vec![]));
    let rebuilt = certified["rebuilt"].as_array().expect("views");
    let named: BTreeSet<&str> = rebuilt.iter().map(|view| view["before"].as_str().expect("a name")).collect();
    assert!(named.into_iter().eq(written.keys()), "every view is made again: {rebuilt:?}");
    for view in rebuilt {
        let name = view["before"].as_str().expect("a name").to_owned();
        let (old, gone) = (&before[&name], &written[&name]);
        let data = read(&stack.folder().join("out").join(view["after"].as_str().expect("a name")));
        assert!(mine.iter().all(|run| !mentions(&data, run)), "{view}");
        assert_eq!(data.manifest["file_format"], old.manifest["file_format"]);
        let removed = rows(old) - rows(&data);
        assert_eq!(view["removed"], removed);
        match old.manifest["kind"].as_str() {
            // Three runs of the kit, and the better one of a task.
            Some("sft") => assert_eq!(removed, 4),
            // A pair that holds them as the better, and one that holds them as the worse side.
            Some("preference") => assert_eq!(removed, 2),
            _ => assert!(removed >= 4),
        }
        assert_eq!(std::fs::read_dir(gone).expect("the tombstone").count(), 1, "earlier versions of Lance too");
        let tombstone: Value =
            serde_json::from_slice(&std::fs::read(gone.join("manifest.json")).expect("a manifest")).expect("JSON");
        assert_eq!((&tombstone["files"], &tombstone["erased"]["superseded_by"]), (&json!([]), &view["after"]));
    }
    assert!(Reader::of(stack).verify().damage.is_empty(), "the journal is whole");
    assert_eq!(json(stack, &["erase", person, "--yes"])["done_before"], true);
    for (name, old) in &before {
        let kind = old.manifest["kind"].as_str().expect("a kind");
        let format = old.manifest["file_format"].as_str().expect("a format");
        let cut = stack.write("cut.json", old.manifest.to_string());
        let at = cut.to_str().expect("UTF-8");
        let again = stack.run(&["export", kind, "--format", format, "--out", "again", "--at", at]);
        assert!(again.stderr.contains("erased after this cut"), "{name}: {again:?}");
    }
    for folder in std::fs::read_dir(stack.folder().join("again")).expect("datasets") {
        let data = read(&folder.expect("an entry").path());
        assert!(mine.iter().all(|run| !mentions(&data, run)));
    }
    assert!(!stack.ok(&["tail", "decisions", "--from", "beginning", "-o", "json"]).contains("555-0107"));
    stack.ok(&["verify"]);
    stack.ok(&["audit", "--full"]);
}
