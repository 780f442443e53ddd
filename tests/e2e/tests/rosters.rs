//! The roster from the command line and over a restart, on both journals: files in, versions that can be had again.

use serde_json::Value;

use crate::harness::{Broker, Reader, Stack, until};

#[test]
fn on_the_embedded_journal() {
    rosters(&Stack::embedded(1));
}

#[test]
fn on_kafka() {
    rosters(&Stack::kafka(Broker::shared(), 1));
}

fn json(stack: &Stack, args: &[&str]) -> Value {
    serde_json::from_str(&stack.ok(args)).expect("JSON")
}

fn generate(stack: &Stack, name: &str, workers: usize, seed: usize) -> Value {
    let (workers, seed) = (workers.to_string(), seed.to_string());
    stack.ok(&["roster", "generate", "--workers", &workers, "--seed", &seed, "--out", name]);
    json(stack, &["-o", "json", "roster", "check", name])
}

fn rosters(stack: &Stack) {
    assert_eq!(stack.run(&["roster", "show"]).code, Some(3), "none was loaded");
    let first = generate(stack, "first.parquet", 1_300, 1);
    assert_eq!(first["workers"], 1_300);
    let loaded = json(stack, &["-o", "json", "roster", "load", "first.parquet"]);
    assert_eq!(
        (&loaded["version"], &loaded["added"], &loaded["events"]),
        (&first["version"], &1_300.into(), &4.into())
    );
    let again = json(stack, &["-o", "json", "roster", "load", "first.parquet"]);
    assert_eq!((&again["events"], &again["before"]), (&0.into(), &first["version"]), "nothing changed");
    // The same seed and more workers: the first ones are the same.
    let second = generate(stack, "second.parquet", 1_301, 1);
    let loaded = json(stack, &["-o", "json", "roster", "load", "second.parquet"]);
    assert_eq!((&loaded["added"], &loaded["changed"], &loaded["events"]), (&1.into(), &0.into(), &2.into()));
    let back = json(stack, &["-o", "json", "roster", "load", "first.parquet"]);
    assert_eq!((&back["removed"], &back["version"]), (&1.into(), &first["version"]));
    let newest = stack.run(&["roster", "show", "W-001301"]);
    assert_eq!(newest.code, Some(3), "{newest:?}");
    let old = second["version"].as_str().expect("a version");
    let worker = json(stack, &["-o", "json", "roster", "show", "W-001301", "--at", old]);
    assert_eq!(worker[0]["id"], "W-001301");
    let name = worker[0]["name"].as_str().expect("a name").to_uppercase();
    let named = json(stack, &["-o", "json", "roster", "show", &name, "--at", old]);
    assert!(named.as_array().expect("workers").iter().any(|found| found["id"] == "W-001301"));
    assert_eq!(stack.run(&["roster", "show", "--at", "none"]).code, Some(3));

    // A file that is wrong changes nothing, and says what is wrong.
    stack.write("none.parquet", "id,name");
    let wrong = stack.run(&["roster", "load", "none.parquet"]);
    assert_eq!(wrong.code, Some(6), "{wrong:?}");
    assert!(wrong.stderr.contains("is no Parquet file"), "{wrong:?}");
    assert_eq!(stack.run(&["roster", "load", "absent.parquet"]).code, Some(3));
    let loads = Reader::of(stack).events("roster").len();
    assert_eq!(loads, 4 + 2 + 2);
}

/// A node loads the file of its settings when it starts, and swaps when somebody else loads another.
#[test]
fn a_node_takes_the_file_of_its_settings() {
    let stack = Stack::embedded(1).with("roster.path", "workers.parquet");
    let refused = stack.run(&["up", "--listen", "127.0.0.1:0"]);
    assert_eq!(refused.code, Some(4), "{refused:?}");
    assert!(refused.stderr.contains("roster.path"), "{refused:?}");
    let version = generate(&stack, "workers.parquet", 40, 3)["version"].clone();
    let other = generate(&stack, "other.parquet", 41, 4)["version"].as_str().expect("a version").to_owned();
    let (node, _) = stack.node(&[]);
    assert_eq!(json(&stack, &["-o", "json", "roster", "show"])["version"], version);
    stack.ok(&["roster", "load", "other.parquet"]);
    until("the node swaps", || node.log().iter().any(|line| line.contains(&other)).then_some(()));
    assert!(node.stop().success());
}
