//! The same runs give the same bytes, whatever journal, partitions and batches they went through.

use serde_json::Value;
use stillhouse_kit::dice::Dice;

use crate::harness::{Broker, Dataset, Reader, Runs, Stack, dataset, say, size};
use crate::inputs::{gsm8k, tau};

const SYNTHETIC: usize = 120;

/// Brings the same runs into a stack, the synthetic ones in an order of its own, and exports them.
fn fill(stack: &Stack, runs: &Runs, order: u64) -> Dataset {
    bring(stack, runs, order);
    dataset(&stack.export("out"))
}

/// Every kind in every format whose bytes are fixed, with all that depends on more than one row.
fn every(stack: &Stack) -> Vec<(String, Dataset)> {
    let mut all = Vec::new();
    for kind in ["sft", "rag", "preference"] {
        for format in ["jsonl", "parquet"] {
            let options =
                [kind, "--format", format, "--split", "0.6,0.2,0.2", "--near-duplicates", "0.9", "--redact", "all"];
            let name = format!("{kind}-{format}");
            all.push((name.clone(), dataset(&stack.export_as(&name, &options))));
        }
    }
    all
}

fn bring(stack: &Stack, runs: &Runs, order: u64) {
    for recorded in [tau(stack.folder()), gsm8k(stack.folder(), size(40, 1_000))] {
        stack.ok(&["import", recorded.file.to_str().expect("UTF-8"), "--map", &recorded.map]);
    }
    let mut lines: Vec<String> = runs.lines(0..SYNTHETIC).lines().map(str::to_owned).collect();
    let mut dice = Dice::new(order);
    for n in (1..lines.len()).rev() {
        lines.swap(n, dice.below(n as u64 + 1) as usize);
    }
    stack.feed(&["append", "runs"], lines.join("\n").as_bytes()).ok();
    stack.settle();
}

/// The manifest without what says where in the journal it all stood.
fn without_cut(manifest: &Value) -> Value {
    let mut manifest = manifest.clone();
    manifest.as_object_mut().expect("an object").remove("cut").expect("a cut");
    manifest
}

#[track_caller]
fn assert_same(a: &Dataset, b: &Dataset, what: &str) {
    let names: Vec<_> = a.files.keys().collect();
    assert!(b.files.keys().eq(a.files.keys()), "{what}: other files");
    for name in names {
        assert!(a.files[name] == b.files[name], "{what}: {name} differs");
    }
    assert_eq!(without_cut(&a.manifest), without_cut(&b.manifest), "{what}: the manifests differ in more than the cut");
}

#[test]
fn datasets_do_not_depend_on_the_journal() {
    let seed = Dice::seed();
    say(&format!("seed {seed}"));
    let runs = Runs::new(seed);
    let broker = Broker::shared();
    let stack = Stack::embedded(4);
    let first = fill(&stack, &runs, 0);
    assert!(first.rows.len() > 50, "there are rows to compare");
    let first_every = every(&stack);
    assert!(first_every.iter().all(|(_, data)| data.manifest["counts"]["rows"].as_u64() > Some(10)), "of every kind");
    let variants = [
        ("embedded, 1 partition, batches of 1", Stack::embedded(1).with("runner.batch_records", 1)),
        ("embedded, 8 partitions, batches of 1,000", Stack::embedded(8).with("runner.batch_records", 1_000)),
        (
            "embedded, 3 partitions, batches of 7, one lane",
            Stack::embedded(3).with("runner.batch_records", 7).with("runner.lanes", 1),
        ),
        ("Kafka, 1 partition, batches of 1", Stack::kafka(broker, 1).with("runner.batch_records", 1)),
        ("Kafka, 8 partitions, batches of 1,000", Stack::kafka(broker, 8).with("runner.batch_records", 1_000)),
    ];
    for (order, (what, stack)) in (1..).zip(variants) {
        assert_same(&first, &fill(&stack, &runs, order), what);
        if what.contains("8 partitions") || what.contains("Kafka, 1 partition") {
            for ((name, expected), (_, data)) in first_every.iter().zip(every(&stack)) {
                assert_same(expected, &data, &format!("{what}, {name}"));
            }
        }
    }
}

#[test]
fn other_runs_give_other_bytes() {
    let first = fill(&Stack::embedded(2), &Runs::new(1), 0);
    let second = fill(&Stack::embedded(2), &Runs::new(2), 0);
    assert!(first.files != second.files, "the comparison sees no difference where there is one");
}

#[test]
fn importing_twice_adds_nothing() {
    for stack in [Stack::embedded(4), Stack::kafka(Broker::shared(), 4)] {
        let runs = Runs::new(7);
        let first = fill(&stack, &runs, 0);
        let reader = Reader::of(&stack);
        let before = ["runs", "evidence", "scores"].map(|topic| reader.counts(topic));
        drop(reader);
        std::fs::rename(stack.folder().join("out"), stack.folder().join("before")).expect("rename");
        // Another data folder, so that nothing but the journal remembers the first time.
        let _ = std::fs::rename(stack.folder().join("data"), stack.folder().join("data-before"));
        let second = fill(&stack, &runs, 1);
        let reader = Reader::of(&stack);
        assert_eq!(["runs", "evidence", "scores"].map(|topic| reader.counts(topic)), before);
        assert_same(&first, &second, "after a second import");
        if stack.instance().is_empty() {
            let ids = before[0].len();
            assert_eq!(reader.events("runs").len(), ids, "the embedded journal refuses what it knows");
        }
    }
}

/// The same cut gives the same dataset, manifest included, whatever came in since.
#[test]
fn one_cut_is_one_dataset() {
    for stack in [Stack::embedded(4), Stack::kafka(Broker::shared(), 4)] {
        let runs = Runs::new(9);
        let first = fill(&stack, &runs, 0);
        let cut = stack.write("cut.json", first.manifest.to_string());
        stack.feed(&["append", "runs"], runs.lines(SYNTHETIC..SYNTHETIC + 40).as_bytes()).ok();
        stack.settle();
        let out = stack.folder().join("again");
        let (out, cut) = (out.to_str().expect("UTF-8"), cut.to_str().expect("UTF-8"));
        stack.ok(&["export", "sft", "--out", out, "--at", cut]);
        let folder = std::fs::read_dir(out).expect("the folder").next().expect("a dataset").expect("an entry").path();
        let second = dataset(&folder);
        assert!(first.files == second.files, "the files differ");
        assert_eq!(first.manifest, second.manifest);
        let later = dataset(&stack.export("later"));
        assert!(later.rows.len() > first.rows.len(), "a later cut has more");
    }
}
