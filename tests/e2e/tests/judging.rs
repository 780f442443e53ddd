//! A model as judge and people's labels, over the command line: what is asked once is recorded, what failed is no zero,
//! and what a person says counts before all of it.

use serde_json::{Value, json};
use std::collections::BTreeSet;
use stillhouse_kit::providers::{Answer, Asked, Provider};
use stillhouse_schemas::Payload;

use crate::harness::{Broker, Dataset, Reader, Stack, dataset};

/// Chats that nobody judged: what the judge thinks stands in their answers.
const ANSWERS: [&str; 6] = ["good-0", "good-1", "poor-2", "doubtful-3", "babble-4", "broken-5"];

fn runs() -> String {
    let run = |(n, answer): (usize, &&str)| {
        let messages = json!([{"role": "user", "content": "q"}, {"role": "assistant", "content": answer}]);
        let run = json!({"run_id": format!("r-{n}"), "messages": messages});
        format!("{}\n", json!({"type": "run", "id": format!("run-{n}"), "payload": run}))
    };
    let passed = json!({"run_id": "r-6", "outcome": {"verdict": "pass"},
        "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "broken-6, and it passed"}]});
    let judged = format!("{}\n", json!({"type": "run", "id": "run-6", "payload": passed}));
    ANSWERS.iter().enumerate().map(run).chain([judged]).collect()
}

fn opinion(asked: &Asked, _: usize) -> Answer {
    let shown = asked.last();
    let says = |score: f64| Answer::text(json!({"reasons": ["as it seems"], "score": score}).to_string());
    if shown.contains("broken") {
        return Answer::status(400, json!({"error": {"message": "no", "type": "invalid_request_error"}}));
    }
    match ["good", "poor", "doubtful"].iter().position(|word| shown.contains(word)) {
        Some(0) => says(0.95),
        Some(1) => says(0.1),
        Some(_) => says(0.5),
        None => Answer::text("I could not say."),
    }
}

fn json_of(stack: &Stack, args: &[&str]) -> Value {
    let said = stack.ok(&[args, &["-o", "json"]].concat());
    serde_json::from_str(&said).unwrap_or_else(|e| panic!("{args:?} says no JSON ({e}): {said}"))
}

fn rows(data: &Dataset) -> BTreeSet<String> {
    data.rows.iter().map(|row| row.run_id.clone()).collect()
}

fn named(runs: &[&str]) -> BTreeSet<String> {
    runs.iter().map(|run| (*run).to_owned()).collect()
}

#[test]
fn an_ollama_judges_on_the_embedded_journal() {
    let provider = Provider::start(opinion);
    judges(&Stack::embedded(4), &provider, &provider.ollama("tiny:1b"));
}

#[test]
fn chat_completions_judge_on_kafka() {
    let provider = Provider::start(opinion);
    judges(&Stack::kafka(Broker::shared(), 4), &provider, &provider.openai("vendor/tiny"));
}

fn judges(stack: &Stack, provider: &Provider, uri: &str) {
    stack.feed(&["append", "runs"], runs().as_bytes()).ok();
    stack.settle();
    let before = dataset(&stack.export("before"));
    assert_eq!(before.rows.len(), 7, "the rules find nothing wrong");
    let model = format!("judge_model={uri}");
    let rewind = |name: &str, judge: &str, more: &[&str]| {
        let judge = format!("judge={judge}");
        let own = ["rewind", "scorer", "--as", name, "--set", &judge, "--set", &model];
        own.iter().chain(more).map(|arg| (*arg).to_owned()).collect::<Vec<String>>()
    };
    let run = |name: &str, judge: &str, more: &[&str]| {
        let owned = rewind(name, judge, more);
        json_of(stack, &owned.iter().map(String::as_str).collect::<Vec<_>>())
    };

    // Before the first call: what it would be, and nobody is asked unasked.
    let preview = run("judged", "fallback", &["--preview"]);
    assert_eq!(
        (&preview["calls"], &preview["recorded"], &preview["to_make"]),
        (&json!(6), &json!(0), &json!(6)),
        "{preview}"
    );
    assert!(preview["input_tokens"].as_i64().is_some_and(|n| n > 6 * 100), "{preview}");
    assert_eq!(preview["cost_usd"], Value::Null, "nobody said what it costs");
    let unasked = rewind("judged", "fallback", &[]);
    stack.run(&unasked.iter().map(String::as_str).collect::<Vec<_>>()).fails(2, &["6 calls were not made", "--yes"]);
    assert_eq!(provider.asked().len(), 0);

    let done = run("judged", "fallback", &["--yes"]);
    assert_eq!(
        (&done["judged"]["scored"], &done["judged"]["failed"], &done["judged"]["skipped"]),
        (&json!(5), &json!(2), &json!(0)),
        "{done}"
    );
    assert_eq!(provider.asked().len(), 6);
    let reader = Reader::of(stack);
    let mut failed = BTreeSet::new();
    for (_, event) in reader.events_of("scores", "judged") {
        match event.payload {
            Payload::Score(score) if score.run_id == "r-6" => assert_eq!(score.decided_by, "verdict"),
            Payload::Score(score) => {
                assert_eq!((score.decided_by.as_str(), score.call_hash.is_some()), ("judge", true), "{score:?}");
            }
            Payload::ScoreFailed(score) => {
                assert!(score.call_hash.is_some(), "{score:?}");
                failed.insert(score.run_id);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(failed, named(&["r-4", "r-5"]), "babble cannot be read, and a refusal is no answer");
    // Whoever looks at the scorer sees them apart.
    for (verb, name) in [("lag", "group"), ("topics", "topic")] {
        let all = json_of(stack, &[verb, "--judged"]);
        let mut figures = all.as_array().expect("a list").iter().filter(|object| object["judged"].is_object());
        let shown = figures.find(|object| object[name].as_str().is_some_and(|name| name.ends_with(".judged")));
        assert_eq!(shown.map(|object| &object["judged"]), Some(&done["judged"]), "{all}");
        assert!(stack.ok(&[verb, "--judged"]).contains(".judged: 5 scored, 2 failed, 0 skipped"));
    }
    let (node, address) = stack.node(&[]);
    for what in ["lag", "topics", "processors"] {
        let answer = reqwest::blocking::get(format!("{address}/v1/{what}?judged=true")).expect("an answer");
        let answer: Value = serde_json::from_str(&answer.text().expect("text")).expect("JSON");
        let figures = answer["judged"].as_array().expect("figures");
        assert!(figures.iter().any(|shown| shown["judged"] == done["judged"] && shown["live"] == false), "{answer}");
    }
    drop(node);

    // Again: what was answered is not asked again, be it readable or not; what was refused is.
    let preview = run("again", "fallback", &["--preview"]);
    assert_eq!((&preview["recorded"], &preview["to_make"]), (&json!(5), &json!(1)));
    run("again", "fallback", &["--yes"]);
    assert_eq!(provider.asked().len(), 7, "only the refused one was asked again");
    let contents = |generation: &str| -> BTreeSet<String> {
        let events = reader.events_of("scores", generation);
        events.into_iter().map(|(_, event)| event.to_json().to_string()).collect()
    };
    assert_eq!(contents("judged"), contents("again"), "the same scores, to the byte");
    // Beside a verdict the judge is heard, and fails, and changes nothing.
    run("always", "always", &["--yes"]);
    let passed = reader.events_of("scores", "always").into_iter().find(|(_, event)| event.envelope.key == "r-6");
    let Some(Payload::Score(score)) = passed.map(|(_, event)| event.payload) else { panic!("r-6 has a score") };
    assert!(score.decided_by == "verdict" && score.reasons.iter().any(|r| r.starts_with("the judge failed")));
    // Every call has its request and its reply, in the partition of its key.
    let calls = reader.events("calls");
    let requests = calls.iter().filter(|(_, event)| matches!(event.payload, Payload::CallRequested(_))).count();
    assert_eq!((requests, calls.len()), (provider.asked().len(), 2 * provider.asked().len()));
    assert!(calls.iter().all(|(_, event)| event.envelope.key.len() == 64));

    stack.ok(&["promote", "scorer", "judged"]);
    let judged = dataset(&stack.export("judged"));
    assert_eq!(rows(&judged), named(&["r-0", "r-1", "r-6"]));

    // A person's word counts before the judge's and the verdict's, and the latest one before the others.
    stack.ok(&["label", "r-4", "accepted", "--note", "fine", "--by", "reviewer-1"]);
    stack.ok(&["label", "r-6", "rejected", "--by", "reviewer-1"]);
    stack.ok(&["label", "r-0", "rejected", "--by", "reviewer-1"]);
    stack.ok(&["label", "r-0", "accepted", "--by", "reviewer-2"]);
    stack.run(&["label", "r-99", "accepted"]).fails(3, &["no run is called `r-99`"]);
    stack.run(&["label", "r-0", "great"]).fails(2, &["accepted, partially_accepted"]);
    stack.settle();
    assert_eq!(rows(&dataset(&stack.export("labelled"))), named(&["r-0", "r-1", "r-4"]));
    // The cut from before the labels means what it meant then.
    let cut = stack.write("cut.json", judged.manifest.to_string());
    let again = stack.folder().join("then");
    stack.ok(&["export", "sft", "--out", again.to_str().expect("UTF-8"), "--at", cut.to_str().expect("UTF-8")]);
    let folder = std::fs::read_dir(&again).expect("the folder").next().expect("a dataset").expect("an entry").path();
    assert!(dataset(&folder).files == judged.files, "labels that came later changed an earlier dataset");
}

#[test]
fn every_class_goes_from_the_sample_to_a_row() {
    let stack = Stack::embedded(4);
    let data = stack.folder().join("demo");
    let said = stack.bare(&["demo", "--runs", "400", "--data", data.to_str().expect("UTF-8"), "-o", "json"]).ok();
    let said: Value = serde_json::from_str(&said).expect("JSON");
    let judged = &said["judged"];
    assert_eq!((&judged["scored"], &judged["failed"], &judged["skipped"]), (&json!(400), &json!(0), &json!(0)));
    for category in ["accepted", "needs_human_review", "rejected"] {
        assert!(judged["categories"][category].as_u64().is_some_and(|n| n > 0), "{category}: {judged}");
    }
    let path = said["dataset"]["path"].as_str().expect("a path");
    let made = dataset(std::path::Path::new(path));
    let classes: BTreeSet<String> =
        made.rows.iter().map(|row| row.value["source_class"].as_str().expect("a class").to_owned()).collect();
    let known: BTreeSet<String> =
        stillhouse_processors::materializer::CLASSES.iter().map(|class| class.name.to_owned()).collect();
    assert_eq!(classes, known);
}
