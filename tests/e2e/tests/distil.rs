//! The main job on recorded runs: files in, scored evidence and a dataset out, every row traced to its run.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use stillhouse_schemas::{Category, Event, Payload};

use crate::harness::{Broker, Dataset, Reader, Stack, dataset};
use crate::inputs::{Recorded, gsm8k, tau};

#[test]
fn tau_bench_on_the_embedded_journal() {
    let stack = Stack::embedded(4);
    let recorded = tau(stack.folder());
    distil(&stack, &recorded);
}

#[test]
fn tau_bench_on_kafka() {
    let stack = Stack::kafka(Broker::shared(), 4);
    let recorded = tau(stack.folder());
    distil(&stack, &recorded);
}

#[test]
fn gsm8k_on_the_embedded_journal() {
    let stack = Stack::embedded(4);
    let recorded = gsm8k(stack.folder(), 1_000);
    distil(&stack, &recorded);
}

#[test]
fn gsm8k_on_kafka() {
    let stack = Stack::kafka(Broker::shared(), 4);
    let recorded = gsm8k(stack.folder(), 1_000);
    distil(&stack, &recorded);
}

fn distil(stack: &Stack, recorded: &Recorded) {
    let file = recorded.file.to_str().expect("UTF-8");
    stack.ok(&["import", file, "--map", &recorded.map]);
    stack.settle();
    let data = dataset(&stack.export("out"));
    check(&Reader::of(stack), &data, recorded);
    pairs(stack, recorded);
}

/// Every pair of a good and a bad answer to one prompt, each once, and every run with no part in one in quarantine.
fn pairs(stack: &Stack, recorded: &Recorded) {
    let data = dataset(&stack.export_as("pairs", &["preference"]));
    assert_eq!(data.rows.len(), recorded.pairs);
    let mut prompts = BTreeSet::new();
    let mut triples = BTreeSet::new();
    for row in &data.rows {
        let [prompt, chosen, rejected] = ["prompt", "chosen", "rejected"].map(|side| row.value[side].to_string());
        assert_ne!(chosen, rejected);
        prompts.insert(prompt.clone());
        assert!(triples.insert((prompt, chosen, rejected)), "a pair twice");
    }
    assert_eq!(prompts.len(), recorded.contested);
    let counts = &data.manifest["counts"];
    let withheld: u64 = counts["withheld"].as_object().expect("counts").values().filter_map(Value::as_u64).sum();
    assert_eq!(counts["evidence"].as_u64(), counts["used"].as_u64().map(|used| used + withheld));
    let left_out = Reader::of(stack).events("quarantine.exporter");
    let of_pairs: BTreeSet<_> = left_out
        .iter()
        .filter_map(|(_, event)| match &event.payload {
            Payload::Quarantined(q) if q.kind.as_deref() == Some("preference") => Some(&q.event_id),
            _ => None,
        })
        .collect();
    assert_eq!(of_pairs.len() as u64, withheld, "every run that is in no pair is in quarantine");
}

fn by_id(events: Vec<(stillhouse_streams::Position, Event)>) -> BTreeMap<String, Event> {
    events.into_iter().map(|(_, event)| (event.envelope.id.clone(), event)).collect()
}

/// The counts of everything, and each row back to its run.
fn check(reader: &Reader, data: &Dataset, recorded: &Recorded) {
    let (total, good) = (recorded.good.len(), recorded.accepted());
    let [runs, evidence, scores] = ["runs", "evidence", "scores"].map(|topic| by_id(reader.events(topic)));
    assert_eq!([runs.len(), evidence.len(), scores.len()], [total; 3], "runs, evidence and scores");
    let mut categories: BTreeMap<Category, BTreeSet<&str>> = BTreeMap::new();
    for event in scores.values() {
        let Payload::Score(score) = &event.payload else { panic!("not a score: {event:?}") };
        assert_ne!(score.decided_by, "rules", "{} has an outcome", score.run_id);
        categories.entry(score.category).or_default().insert(&score.run_id);
    }
    let counts: Vec<_> = categories.iter().map(|(category, runs)| (*category, runs.len())).collect();
    assert_eq!(counts, [(Category::Accepted, good), (Category::Rejected, total - good)]);

    // What was accepted has the outcome that the file gave it.
    let verdicts = runs.values().filter(|event| match &event.payload {
        Payload::Run(run) => run.outcome.reward == Some(1.0) || run.outcome.verdict.as_deref() == Some("pass"),
        other => panic!("not a run: {other:?}"),
    });
    let accepted: BTreeSet<&str> = verdicts.map(|event| event.envelope.key.as_str()).collect();
    assert_eq!(accepted, categories[&Category::Accepted]);

    let mut rows = BTreeSet::new();
    for row in &data.rows {
        assert!(rows.insert(row.run_id.as_str()), "{} stands twice in the dataset", row.run_id);
        assert!(accepted.contains(row.run_id.as_str()), "{} was not accepted", row.run_id);
        let score = &scores[&row.score_id];
        let made_of = &evidence[&row.evidence_id];
        let Payload::Score(judged) = &score.payload else { panic!("not a score") };
        assert_eq!((&judged.run_id, &judged.evidence_id), (&row.run_id, &row.evidence_id));
        assert_eq!(score.envelope.causes[0].id, row.evidence_id, "the score's cause is the evidence");
        let run = &runs[&made_of.envelope.causes[0].id];
        assert_eq!(run.envelope.key, row.run_id, "the evidence's cause is the run");
        assert!(row.value["messages"].as_array().is_some_and(|messages| messages.len() >= 2));
    }
    assert_eq!((accepted.len(), rows.len()), (good, recorded.distinct), "every accepted run that says something new");
    let counts = &data.manifest["counts"];
    assert_eq!((&counts["evidence"], &counts["rows"]), (&Value::from(total), &Value::from(recorded.distinct)));
    let repeated = counts["withheld"].get("duplicate").and_then(Value::as_u64).unwrap_or(0);
    assert_eq!(repeated, (good - recorded.distinct) as u64);
    let said: BTreeSet<String> = data.rows.iter().map(|row| row.value["messages"].to_string()).collect();
    assert_eq!(said.len(), rows.len(), "no row says what another says");
    let left_out = reader.counts("quarantine.exporter");
    assert!(left_out.keys().all(|run| !rows.contains(run.as_str())), "a row is in quarantine");
    assert_eq!(left_out.len() + rows.len(), total, "every run is a row, or in quarantine with a reason");
    assert_eq!(reader.counts("quarantine.materializer").len(), 0);
    assert_eq!(reader.counts("deadletters").len(), 0);
}
