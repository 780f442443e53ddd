//! Exports as their users run them: killed, repeated, into other places, with what a person corrected.

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use stillhouse_schemas::Payload;

use crate::harness::{Reader, Runs, Stack, dataset, pause, until};
use stillhouse_kit::dice::Dice;

/// What is in a folder of datasets: whole ones, and what is none.
fn found(out: &Path) -> (BTreeSet<String>, BTreeSet<String>) {
    let Ok(entries) = std::fs::read_dir(out) else { return Default::default() };
    let names = entries.map(|e| e.expect("an entry").file_name().into_string().expect("UTF-8"));
    names.partition(|name| !name.starts_with('.'))
}

#[test]
fn an_export_that_is_killed_leaves_nothing_to_take_for_a_dataset() {
    let seed = Dice::seed();
    crate::harness::say(&format!("seed {seed}"));
    let mut dice = Dice::new(seed);
    let stack = Stack::embedded(2);
    stack.feed(&["append", "runs"], Runs::new(5).lines(0..400).as_bytes()).ok();
    stack.settle();
    let expected = dataset(&stack.export_as("expected", &["rag", "--format", "parquet"]));
    let out = stack.folder().join("killed");
    let args = ["export", "rag", "--format", "parquet", "--out", out.to_str().expect("UTF-8")];
    let mut whole = 0;
    for _ in 0..6 {
        let mut command = stack.command(&args);
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
        // Once it has begun to write, after any time.
        until("it begins or ends", || {
            let (datasets, begun) = found(&out);
            (!begun.is_empty() || !datasets.is_empty()).then_some(())
        });
        pause(std::time::Duration::from_millis(dice.below(60)));
        child.kill().expect("killed");
        child.wait().expect("ended");
        let (datasets, _) = found(&out);
        for name in &datasets {
            assert!(dataset(&out.join(name)).files == expected.files, "half a dataset has a whole one's name");
        }
        whole += datasets.len();
        for name in datasets {
            std::fs::remove_dir_all(out.join(name)).expect("removed");
        }
    }
    crate::harness::say(&format!("{whole} of 6 were whole before they were killed"));
    stack.ok(&args);
    let (datasets, left) = found(&out);
    assert_eq!((datasets.len(), left.len()), (1, 0), "the next one begins anew and sweeps what was left");
    let again = dataset(&out.join(datasets.first().expect("a dataset")));
    assert!(again.files == expected.files && again.manifest == expected.manifest);
}

#[test]
fn an_export_says_what_it_made_and_where() {
    let stack = Stack::embedded(2);
    stack.feed(&["append", "runs"], Runs::new(6).lines(0..60).as_bytes()).ok();
    stack.settle();
    let options = ["sft", "--format", "lance", "--split", "0.5,0.3,0.2", "--redact", "personal", "--task", "shift*"];
    let everything = ["sft", "--format", "lance", "--split", "0.5,0.3,0.2"];
    let limited = dataset(&stack.export_as("limited", &options));
    assert_eq!(limited.manifest["filters"]["task"], json!(["shift*"]));
    let folder = stack.export_as("out", &everything);
    let data = dataset(&folder);
    // Equal by content: the same again is there already, though Lance names its files by chance.
    let again = stack.export_as("out", &everything);
    assert_eq!((again, dataset(&folder).manifest), (folder.clone(), data.manifest.clone()));
    let elsewhere = dataset(&stack.export_as("elsewhere", &everything));
    let contents = |manifest: &Value| manifest["splits"].clone();
    assert_eq!(contents(&elsewhere.manifest), contents(&data.manifest));
    assert!(data.manifest["splits"][0]["content_blake3"].is_string());

    let said = Reader::of(&stack).events("exports");
    assert_eq!(said.len(), 3, "one for each folder of bytes that no other has, and none for repetitions");
    let place = format!("file://{}", folder.canonicalize().expect("a path").display());
    let found = said.iter().find_map(|(_, event)| match &event.payload {
        Payload::Exported(exported) if exported.location.as_deref() == Some(&place) => Some(exported),
        _ => None,
    });
    let exported = found.expect("an event for the place");
    let splits: Vec<_> = exported.splits.iter().map(|(name, rows)| (name.as_str(), *rows)).collect();
    assert_eq!(splits.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["test", "train", "validation"]);
    assert_eq!(splits.iter().map(|(_, rows)| rows).sum::<i64>(), exported.rows);
    assert_eq!(exported.format, "lance/trl");
    assert_eq!(exported.filters["splits"], "0.5,0.3,0.2");
    assert!(exported.versions.contains_key("scorer") && exported.versions.contains_key("template.agent"));
}

#[test]
fn a_correction_becomes_a_pair_that_lineage_finds() {
    let stack = Stack::embedded(2);
    let run = json!({"type": "run", "payload": {"run_id": "r-1", "messages": [
        {"role": "user", "content": "What is two and two?"}, {"role": "assistant", "content": "Five."}],
        "outcome": {"verdict": "fail"}}});
    stack.feed(&["append", "runs"], run.to_string().as_bytes()).ok();
    let label = json!({"type": "label", "payload": {"run_id": "r-1", "label": "rejected", "by": "sample",
        "correction": "Four."}});
    stack.feed(&["append", "labels"], label.to_string().as_bytes()).ok();
    stack.settle();
    let folder = stack.export_as("pairs", &["preference", "--shape", "axolotl"]);
    let data = dataset(&folder);
    let [row] = &data.rows[..] else { panic!("one pair: {:?}", data.rows) };
    assert_eq!(
        (&row.value["chosen"]["content"], &row.value["rejected"]["content"]),
        (&json!("Four."), &json!("Five."))
    );
    let said = stack.ok(&["lineage", &format!("{}#1", folder.display())]);
    assert!(said.contains("r-1") && said.contains("evidence"), "{said}");
}
