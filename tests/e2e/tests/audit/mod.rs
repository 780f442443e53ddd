//! What must hold, as a table: for each invariant a copy of a good stack in which it is broken, and that is caught.

mod forge;
mod replays;
mod spoils;

use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use stillhouse_processors::auditor::INVARIANTS;

use crate::harness::{Broker, Runs, Stack};
use crate::inputs::{gsm8k, tau};
use forge::Desk;
use spoils::SPOILS;

/// A text that stands once in the journal.
const MARK: &str = "the mark that a byte is flipped in";

/// Runs that were there when the dataset was written, and those that came later.
const BEFORE: usize = 40;
const LATER: usize = 8;

/// A stack with a dataset and replays, and with runs that came after both.
fn good(stack: Stack) -> Stack {
    let recorded = gsm8k(stack.folder(), 20);
    stack.ok(&["import", recorded.file.to_str().expect("UTF-8"), "--map", &recorded.map]);
    let runs = Runs::new(5);
    stack.feed(&["append", "runs"], runs.lines(0..BEFORE).as_bytes()).ok();
    let marked = serde_json::json!({"id": "marked", "payload": {"run_id": "marked", "outcome": {"verdict": "pass"},
        "messages": [{"role": "user", "content": MARK}, {"role": "assistant", "content": "yes"}]}});
    // A question with one right answer and two wrong ones: two pairs.
    let answered = |(id, answer, verdict): (&str, &str, &str)| {
        serde_json::json!({"id": id, "payload": {"run_id": id,
        "outcome": {"verdict": verdict}, "messages": [{"role": "user", "content": "Which gate?"},
            {"role": "assistant", "content": answer}]}})
    };
    let answers = [("right", "Gate 4.", "pass"), ("wrong", "Gate 5.", "fail"), ("too-wrong", "Gate 6.", "fail")];
    let lines: Vec<String> = answers.map(answered).iter().chain([&marked]).map(|run| format!("{run}\n")).collect();
    stack.feed(&["append", "runs"], lines.concat().as_bytes()).ok();
    stack.settle();
    stack.export("data/datasets");
    stack.ok(&["export", "preference", "--out", "data/datasets"]);
    stack.feed(&["append", "runs"], runs.lines(BEFORE..BEFORE + LATER).as_bytes()).ok();
    stack.settle();
    stack.ok(&["replay", "--cohort", "all", "--limit", "10"]);
    stack
}

/// A copy of all that an embedded stack has.
fn copy(stack: &Stack) -> Stack {
    let copied = Stack::embedded(2);
    for part in ["journal", "data"] {
        copy_folder(&stack.folder().join(part), &copied.folder().join(part));
    }
    // It names datasets of the original.
    let _ = std::fs::remove_file(copied.folder().join("data/datasets.list"));
    copied
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder").map(|entry| entry.expect("an entry")) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("a copy");
        }
    }
}

/// The report of an audit, and its exit status.
fn audit(stack: &Stack) -> (Option<i32>, Value) {
    let ended = stack.run(&["audit", "--full", "--summaries", "3", "-o", "json"]);
    let report = serde_json::from_str(&ended.stdout).unwrap_or_else(|e| panic!("{e}: {ended:?}"));
    (ended.code, report)
}

fn broken(report: &Value) -> BTreeSet<&str> {
    let all = report["invariants"].as_array().expect("invariants");
    all.iter().filter(|i| i["failed"] != 0).map(|i| i["id"].as_str().expect("an id")).collect()
}

#[track_caller]
fn assert_good(stack: &Stack) -> Value {
    let (code, report) = audit(stack);
    assert_eq!((code, &report["verdict"]), (Some(0), &Value::from("pass")), "{:#}", report["findings"]);
    report
}

#[test]
fn the_table_is_the_products() {
    let product: Vec<(&str, &str)> = INVARIANTS.iter().map(|i| (i.id, i.statement)).collect();
    let mut table: Vec<(&str, &str)> = SPOILS.iter().map(|s| (s.id, s.statement)).collect();
    table.dedup();
    assert_eq!(product.len(), 22);
    assert_eq!(table, product);
}

#[test]
fn every_invariant_is_caught_when_it_is_broken() {
    let whole = good(Stack::embedded(2));
    let report = assert_good(&copy(&whole));
    let unchecked: Vec<_> =
        report["invariants"].as_array().expect("invariants").iter().filter(|i| i["checks"] == 0).collect();
    assert!(unchecked.is_empty(), "{unchecked:?}");
    let mut wrong = Vec::new();
    for spoil in SPOILS {
        let stack = copy(&whole);
        (spoil.spoil)(&mut Desk::of(&stack));
        let (code, report) = audit(&stack);
        let named = broken(&report);
        let expected: BTreeSet<&str> = [spoil.id].into_iter().chain(spoil.also.iter().copied()).collect();
        let found = report["findings"].as_array().expect("findings").iter().any(|f| f["code"] == spoil.id);
        if code != Some(6) || report["verdict"] != "fail" || named != expected || !found {
            wrong.push(format!(
                "{} ({}): status {code:?}, broken {named:?}, {:#}",
                spoil.id, spoil.what, report["findings"]
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn real_runs_and_the_sample_are_good_on_both_journals() {
    for stack in [Stack::embedded(3), Stack::kafka(Broker::shared(), 3)] {
        let mut distinct = 0;
        for recorded in [tau(stack.folder()), gsm8k(stack.folder(), 100)] {
            distinct += recorded.distinct;
            stack.ok(&["import", recorded.file.to_str().expect("UTF-8"), "--map", &recorded.map]);
        }
        stack.settle();
        stack.export("out");
        stack.ok(&["replay", "--cohort", "class=agent", "--limit", "5"]);
        let report = assert_good(&stack);
        assert_eq!(report["counts"]["dataset_rows"], distinct);
        // A recorded audit is an event like others: the next one reads it.
        assert_good(&stack);
    }
    let stack = Stack::embedded(2);
    stack.ok(&["demo", "--runs", "60"]);
    let recorded = gsm8k(stack.folder(), 20);
    stack.ok(&["import", recorded.file.to_str().expect("UTF-8"), "--map", &recorded.map]);
    stack.settle();
    for shape in ["trl", "openai", "axolotl", "prompt-completion"] {
        let known = stack.run(&["export", "preference", "--shape", shape, "--redact", "all", "--out", "pairs"]);
        assert!(known.code == Some(0) || known.stderr.contains("there is no shape"), "{known:?}");
    }
    for (format, splits) in [("jsonl", "0.5,0.25,0.25"), ("parquet", "1,0,0"), ("lance", "1,0,0")] {
        stack.ok(&["export", "rag", "--format", format, "--split", splits, "--out", "chunks"]);
    }
    assert_good(&stack);
}

#[test]
fn a_row_of_somebody_who_was_erased_is_caught() {
    let stack = Stack::embedded(2).with("privacy.seal", true);
    let runs = Runs::new(7);
    let lines = (0..8).map(|n| {
        let mut event = runs.event(n);
        event["subject"] = format!("worker:{n}").into();
        format!("{event}\n")
    });
    stack.feed(&["append", "runs"], lines.collect::<String>().as_bytes()).ok();
    let before = stack.export("data/datasets");
    let kept = stack.folder().join("kept");
    copy_folder(&before, &kept);
    stack.ok(&["erase", "worker:1", "--yes"]);
    assert_good(&stack);
    Desk::of(&stack).forge_of(&kept, |_, manifest| spoils::after_decisions(manifest));
    let (code, report) = audit(&stack);
    assert_eq!((code, broken(&report)), (Some(6), BTreeSet::from(["I-21"])), "{:#}", report["findings"]);
}

#[test]
fn baselines_are_appended_and_drift_is_seen() {
    let stack = Stack::embedded(2);
    let accept = |n: usize, verdict: &str| {
        let run = serde_json::json!({"id": format!("r{n}"), "payload": {"run_id": format!("r{n}"), "outcome": {"verdict": verdict},
            "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}});
        format!("{run}\n")
    };
    stack.run(&["audit", "drift"]).fails(3, &["there is no baseline", "audit baseline"]);
    stack.run(&["audit", "baseline"]).fails(3, &["no evidence"]);
    let lines: String = (0..50).map(|n| accept(n, "pass")).collect();
    stack.feed(&["append", "runs"], lines.as_bytes()).ok();
    stack.settle();
    stack.ok(&["audit", "baseline"]);
    let file = stack.folder().join("data/audit_baselines.jsonl");
    let first = std::fs::read_to_string(&file).expect("the file");
    let contract = stillhouse_processors::contracts::contract("audit_baselines").expect("a contract");
    assert_eq!(contract.check(first.trim_end_matches('\n')), Ok(()));
    assert!(first.contains("\"accepted\":50,\"failed\":0,\"mean_score\":"), "{first}");
    let drift = |expected: (i32, &str)| {
        let ended = stack.run(&["audit", "drift", "-o", "json"]);
        let report: Value = serde_json::from_str(&ended.stdout).expect("a report");
        assert_eq!((ended.code, report["verdict"].as_str()), (Some(expected.0), Some(expected.1)), "{report:#}");
        report
    };
    drift((0, "pass"));
    // 4 of 54 are 7.4 %: above the threshold of a warning; 14 of 64 are 21.9 %: above that of a failure.
    stack.feed(&["append", "runs"], (50..54).map(|n| accept(n, "fail")).collect::<String>().as_bytes()).ok();
    stack.settle();
    drift((0, "warn"));
    stack.feed(&["append", "runs"], (54..64).map(|n| accept(n, "fail")).collect::<String>().as_bytes()).ok();
    stack.settle();
    let report = drift((6, "fail"));
    assert!(report["findings"].as_array().expect("findings").iter().any(|f| f["code"] == "drift"));
    stack.run(&["audit", "--full", "--baseline", "latest"]).fails(6, &[]);
    stack.ok(&["audit", "baseline"]);
    let both = std::fs::read_to_string(&file).expect("the file");
    assert!(both.starts_with(&first) && both.lines().count() == 2, "only appended to");
    drift((0, "pass"));
    // The file is a view: without it, it is made again of the journal.
    std::fs::remove_file(&file).expect("removed");
    stack.ok(&["audit", "baseline"]);
    let again = std::fs::read_to_string(&file).expect("the file");
    assert!(again.starts_with(&both) && again.lines().count() == 3);
    std::fs::write(&file, again.replace("\"accepted\":50", "\"accepted\": 50")).expect("damaged");
    stack.run(&["audit", "baseline"]).fails(6, &["line 1", "nothing was appended"]);
}
