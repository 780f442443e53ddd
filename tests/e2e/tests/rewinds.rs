//! A scorer run again over all history beside the live one: what flips, promoted by one event, undone by another.

use serde_json::Value;
use std::collections::BTreeSet;

use crate::harness::{Broker, Dataset, Reader, Runs, Stack, dataset};

const RUNS: usize = 40;

#[test]
fn on_the_embedded_journal() {
    rewinds(&Stack::embedded(4));
}

#[test]
fn on_kafka() {
    rewinds(&Stack::kafka(Broker::shared(), 4));
}

fn run_ids(data: &Dataset) -> BTreeSet<String> {
    data.rows.iter().map(|row| row.run_id.clone()).collect()
}

fn json(stack: &Stack, args: &[&str]) -> Value {
    let said = stack.ok(&[args, &["-o", "json"]].concat());
    serde_json::from_str(&said).unwrap_or_else(|e| panic!("{args:?} says no JSON ({e}): {said}"))
}

#[track_caller]
fn refuses(stack: &Stack, args: &[&str], says: &str) {
    let ended = stack.run(args);
    assert!(ended.code.is_some_and(|code| code != 0) && ended.stderr.contains(says), "{args:?}: {ended:?}");
}

fn rewinds(stack: &Stack) {
    let runs = Runs::new(21);
    let expected = runs.expected(0..RUNS);
    stack.feed(&["append", "runs"], runs.lines(0..RUNS).as_bytes()).ok();
    stack.settle();
    let first = dataset(&stack.export("first"));
    assert_eq!(run_ids(&first), expected.accepted);

    // Every reward is enough for it: what has a reward of 0 flips, and nothing else.
    stack.ok(&["rewind", "scorer", "--as", "v2", "--set", "accept_reward=0", "--note", "a softer rule"]);
    let diff = json(stack, &["diff", "scores", "scores.v2"]);
    let flips: BTreeSet<String> = diff["flips"]
        .as_array()
        .expect("flips")
        .iter()
        .map(|f| f["run_id"].as_str().expect("a run").to_owned())
        .collect();
    let softer: BTreeSet<String> = (0..RUNS).filter(|n| n % 4 == 2).map(|n| runs.id(n)).collect();
    assert_eq!(flips, softer);
    assert_eq!(
        (&diff["flipped"], &diff["only_left"], &diff["only_right"]),
        (&softer.len().into(), &Value::Array(vec![]), &Value::Array(vec![]))
    );
    assert!(diff["flips"].as_array().expect("flips").iter().all(|f| f["from"] == "rejected" && f["to"] == "accepted"));

    // The same rewind again is the same to the byte, but for where it stands.
    stack.ok(&["rewind", "scorer", "--as", "v3", "--set", "accept_reward=0"]);
    let reader = Reader::of(stack);
    let contents = |generation: &str| -> BTreeSet<String> {
        let events = reader.events_of("scores", generation);
        events.into_iter().map(|(_, event)| event.to_json().to_string()).collect()
    };
    assert_eq!(contents("v2"), contents("v3"));
    assert_eq!(contents("v2").len(), RUNS);
    assert!(contents("v1").is_disjoint(&contents("v2")), "another configuration makes other events");

    // A shadow changes nothing for readers; a promotion moves them; another moves them back.
    let shadowed = dataset(&stack.export("shadowed"));
    assert!(shadowed.files == first.files, "a generation that is not live changed a dataset");
    stack.ok(&["promote", "scorer", "v2", "--note", "flips were looked at"]);
    let promoted = dataset(&stack.export("promoted"));
    assert_eq!(run_ids(&promoted), expected.accepted.union(&softer).cloned().collect());
    refuses(stack, &["drop", "scorer", "v2"], "is live");
    stack.ok(&["promote", "scorer", "v1"]);
    let undone = dataset(&stack.export("undone"));
    assert!(undone.files == first.files, "an undone promotion leaves a trace in datasets");

    // A cut from before any of this means what it meant then.
    let cut = stack.write("cut.json", promoted.manifest.to_string());
    let again = stack.folder().join("again");
    stack.ok(&["export", "sft", "--out", again.to_str().expect("UTF-8"), "--at", cut.to_str().expect("UTF-8")]);
    let folder = std::fs::read_dir(&again).expect("the folder").next().expect("a dataset").expect("an entry").path();
    assert_eq!(dataset(&folder).manifest, promoted.manifest, "v2 was live at that cut");

    refuses(stack, &["rewind", "scorer", "--as", "v2"], "has had a generation v2");
    refuses(stack, &["rewind", "scorer", "--as", "v4", "--set", "accept_rewards=0"], "accept_reward`");
    stack.ok(&["drop", "scorer", "v3"]);
    let topics = stack.ok(&["topics"]);
    assert!(topics.contains("scores.v2") && !topics.contains("scores.v3"), "{topics}");

    // What comes in later reaches every generation that is still there.
    stack.feed(&["append", "runs"], runs.lines(RUNS..RUNS + 4).as_bytes()).ok();
    let node = stack.node(&[]).0;
    crate::harness::until("both generations have the later runs", || {
        let reached = ["v1", "v2"].map(|generation| reader.events_of("scores", generation).len());
        (reached == [RUNS + 4; 2]).then_some(())
    });
    assert!(node.stop().success());
}
