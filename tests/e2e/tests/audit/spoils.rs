//! The table: each invariant, and how it is broken.

use serde_json::{Value, json};
use stillhouse_schemas::{
    Category, Decision, Envelope, Event, Payload, Producer, Quarantined, Score, ScoreFailed, ids,
};
use stillhouse_streams::{Append, Headers, Position, Record};

use super::forge::{Desk, Files, LINEAGE, lineage, made};
use crate::harness::Runs;

/// One way to break an invariant.
pub(super) struct Spoil {
    pub(super) id: &'static str,
    /// As the product has it.
    pub(super) statement: &'static str,
    /// What is done.
    pub(super) what: &'static str,
    /// What cannot hold then either.
    pub(super) also: &'static [&'static str],
    pub(super) spoil: fn(&mut Desk<'_>),
}

macro_rules! spoils {
    ($($id:literal $statement:literal, $what:literal, $also:expr, $spoil:expr;)*) => {
        /// In the order of the product's table; an invariant may be broken in several ways.
        pub(super) static SPOILS: &[Spoil] =
            &[$(Spoil { id: $id, statement: $statement, what: $what, also: &$also, spoil: $spoil }),*];
    };
}

spoils! {
    "I-01" "The hash chain of the journal is whole.", "a byte of a record is flipped in the file", [], flip;
    "I-02" "Every record is an event that its topic holds.", "a record is no event", [], |desk| {
        let headers = Headers::from_pairs([("ce_id", Some(b"nonsense".as_slice()))]);
        let record = Record { key: Some("r".into()), value: Some("no event".into()), headers, timestamp: 0 };
        desk.append_record(Append { topic: "evidence.v1".into(), partition: None, record });
    };
    "I-02" "Every record is an event that its topic holds.", "a score stands among documents", [], |desk| {
        let (_, event) = desk.later("scores");
        let (position, evidence) = desk.later("evidence");
        desk.append("documents", &made(event.envelope.producer, "documents", &[(&position, &evidence)], event.payload));
    };
    "I-03" "No id says two things in one topic.", "a replay is said again with other words", [], |desk| {
        let mut event = desk.replay();
        desk.append("replays.v1", &event);
        if let Payload::Replayed(replayed) = &mut event.payload {
            replayed.verdict = "diverged".into();
        }
        let mut append = stillhouse_processors::wire::append("replays.v1", &stillhouse_schemas::Codec::plain(), &event).expect("encodes");
        // Another id for the journal, which would refuse it; the event still has the one that is taken.
        append.record.headers = Headers::from_pairs([("ce_id", Some(b"another".as_slice()))]);
        desk.append_record(append);
    };
    "I-04" "What is made of a run has the run's id as its key.", "a replay has another key", [], |desk| {
        let mut event = desk.replay();
        event.envelope.key = "another".into();
        desk.append("replays.v1", &event);
    };
    "I-05" "The id of a derived event is that of its causes, its maker and its topic.", "a replay has a made-up id", [], |desk| {
        let mut event = desk.replay();
        event.envelope.id = ids::live();
        desk.append("replays.v1", &event);
    };
    "I-06" "Every cause stands where its effect says.", "a cause stands elsewhere", [], |desk| {
        let mut event = desk.replay();
        event.envelope.causes[0].offset -= 1;
        desk.append("replays.v1", &event);
    };
    "I-06" "Every cause stands where its effect says.", "a cause is of another run's name", [], |desk| {
        let (position, _) = desk.later("runs");
        let mut other = desk.events("runs").remove(0).1;
        other.envelope.id = ids::live();
        let event = desk.replay();
        desk.append("replays.v1", &made(event.envelope.producer, "replays", &[(&position, &other)], event.payload));
    };
    "I-07" "No cause lies after its effect.", "an effect happened before its cause", [], |desk| {
        let mut event = desk.replay();
        event.envelope.occurred_at -= 1;
        desk.append("replays.v1", &event);
    };
    "I-08" "Materialising the same runs again gives the same bytes, no event more and none less.",
        "evidence that the materializer never made", [], |desk| {
        let (run_at, run) = desk.later("runs");
        let (_, evidence) = desk.later("evidence");
        let producer = Producer { version: "0".into(), ..evidence.envelope.producer };
        desk.append("evidence.v1", &made(producer, "evidence", &[(&run_at, &run)], evidence.payload));
    };
    "I-09" "Every score names its evidence, scorer, version and configuration, and lies in [0, 1].",
        "a score without a scorer's version", ["I-11"], |desk| score(desk, |s| s.scorer_version = String::new());
    "I-09" "Every score names its evidence, scorer, version and configuration, and lies in [0, 1].",
        "a score above 1", ["I-11"], |desk| score(desk, |s| s.score = 1.0001);
    "I-10" "A judge that failed is nowhere a zero.", "a judge's failure, and its zero", ["I-11"], |desk| {
        let (position, evidence) = desk.later("evidence");
        let judge = |s: &mut Score| {
            (s.scorer, s.scorer_version, s.config_hash) = ("judge".into(), "1".into(), "0123456789abcdef".into());
            (s.score, s.category) = (0.0, Category::Rejected);
        };
        score(desk, judge);
        let failed = ScoreFailed {
            run_id: evidence.envelope.key.clone(), evidence_id: evidence.envelope.id.clone(), scorer: "judge".into(),
            scorer_version: "1".into(), config_hash: "0123456789abcdef".into(), error: "no answer".into(), ..ScoreFailed::default()
        };
        let producer = Producer { name: "judge".into(), version: "1".into(), config_hash: String::new() };
        desk.append("scores.v1", &made(producer, "scores", &[(&position, &evidence)], Payload::ScoreFailed(failed)));
    };
    "I-11" "Scoring the same evidence again gives the same bytes, no event more and none less.",
        "a score that the scorer never gave", [], |desk| score(desk, |s| s.reasons.push("better after all".into()));
    "I-12" "What is left out has a reason, a rule and its version; what is released had been left out.",
        "left out by no rule", [], |desk| {
        let (position, evidence) = desk.later("evidence");
        let quarantined = Quarantined {
            run_id: evidence.envelope.key.clone(), event_id: evidence.envelope.id.clone(), stage: "exporter".into(),
            reason: "no_score".into(), detail: "nobody judged it".into(), rule: String::new(), rule_version: "1".into(),
            kind: Some("sft".into()),
        };
        let producer = Producer { name: "exporter".into(), version: "1".into(), config_hash: String::new() };
        let event = made(producer, "quarantine.exporter", &[(&position, &evidence)], Payload::Quarantined(quarantined));
        desk.append("quarantine.exporter.v1", &event);
    };
    "I-12" "What is left out has a reason, a rule and its version; what is released had been left out.",
        "released without having been left out", [], |desk| {
        let (position, evidence) = desk.later("evidence");
        let released = stillhouse_schemas::Released {
            run_id: evidence.envelope.key.clone(), event_id: evidence.envelope.id.clone(), stage: "exporter".into(),
            reason: "no_score".into(), rule: "exporter.firewall".into(), rule_version: "2".into(), by: "rule".into(),
            quarantined_id: ids::live(), ..Default::default()
        };
        let producer = Producer { name: "exporter".into(), version: "1".into(), config_hash: String::new() };
        let event = made(producer, "quarantine.exporter", &[(&position, &evidence)], Payload::Released(released));
        desk.append("quarantine.exporter.v1", &event);
    };
    "I-13" "Counts add up: every run is evidence or left out, every evidence of a dataset's cut a row or left out.",
        "a manifest counts evidence that is nowhere", [], |desk| desk.forge(|_, manifest| {
        let evidence = manifest["counts"]["evidence"].as_u64().expect("evidence");
        manifest["counts"]["evidence"] = (evidence + 1).into();
    });
    "I-13" "Counts add up: every run is evidence or left out, every evidence of a dataset's cut a row or left out.",
        "a row is gone", [], |desk| desk.forge(|files, manifest| {
        train(files).pop();
        count(manifest, -1, "category_rejected");
    });
    "I-13" "Counts add up: every run is evidence or left out, every evidence of a dataset's cut a row or left out.",
        "a run was passed over", ["I-08"], |desk| {
        desk.feed(&Runs::new(6).lines(0..1));
        desk.skip("materializer.v1", "runs");
    };
    "I-14" "The files of a dataset are those of its manifest, byte for byte.", "a word of a row is changed", [], |desk| {
        desk.edit("data/train-00000-of-00001.jsonl", |text| text.replacen(super::MARK, &super::MARK.to_uppercase(), 1));
    };
    "I-14" "The files of a dataset are those of its manifest, byte for byte.", "a file of rows is slipped in", [], |desk| {
        desk.edit("data/train-00000-of-00001.jsonl", |text| text);
        let folder = std::fs::read_dir(desk.folder().join("data/datasets")).expect("datasets").next().expect("one").expect("an entry").path();
        std::fs::write(folder.join("data/train-more.jsonl"), "{}\n").expect("a file");
    };
    "I-15" "The journal says that a dataset was written, with that manifest, and the dataset's cut lies within it.",
        "a cut ends after the journal", [], |desk| desk.forge(|_, manifest| {
        let cut = manifest["cut"]["positions"].as_array_mut().expect("a cut");
        let control = cut.iter_mut().find(|position| position[0] == "control").expect("control");
        control[2] = 1_000_000.into();
    });
    "I-15" "The journal says that a dataset was written, with that manifest, and the dataset's cut lies within it.",
        "a manifest is another than the journal says", [], |desk| {
        desk.edit("manifest.json", |text| text.replacen("\"trl\"", "\"trl\" ", 1));
    };
    "I-16" "Every row of a dataset has a run, its evidence and a score of that evidence, and names no others.", "a row names a score that never was", [],
        |desk| desk.forge(|files, _| change(files, 0, |row| row["score_id"] = ids::imported("no", "score").into()));
    "I-16" "Every row of a dataset has a run, its evidence and a score of that evidence, and names no others.", "a row names the score of another", [],
        |desk| desk.forge(|files, _| {
            let other = row(files, 1)["score_id"].clone();
            change(files, 0, |row| row["score_id"] = other);
        });
    "I-16" "Every row of a dataset has a run, its evidence and a score of that evidence, and names no others.", "a row names another score than is written beside it", [],
        |desk| desk.forge(|files, _| {
            let (honest, other) = (lineage(files), row(files, 1)["score_id"].clone());
            change(files, 0, |row| row["score_id"] = other);
            files.insert(LINEAGE.into(), honest);
        });
    "I-16" "Every row of a dataset has a run, its evidence and a score of that evidence, and names no others.", "what rows were made of stands in another order", [],
        |desk| desk.forge(|files, _| {
            let mut said = lineage(files);
            said.swap(0, 1);
            files.insert(LINEAGE.into(), said);
        });
    "I-17" "No row to train on is of a category that never enters.", "a rejected run is a row", [], |desk| {
        let found = desk.events("scores").into_iter().find_map(|(_, event)| match event.payload {
            Payload::Score(score) if score.category == Category::Rejected && score.source_class == "reasoning" => Some((event.envelope.id, score)),
            _ => None,
        });
        let (id, score) = found.expect("a rejected run");
        desk.forge(|files, manifest| {
            let mut more = row(files, 0);
            more["run_id"] = score.run_id.into();
            more["evidence_id"] = score.evidence_id.into();
            more["score_id"] = id.into();
            more["task_key"] = Value::Null;
            train(files).push(line(&more));
            count(manifest, 1, "category_rejected");
        });
    };
    "I-18" "Every row is of its contract, in canonical JSON, and no run is two rows.", "a space after a colon", [],
        |desk| desk.forge(|files, _| {
            let row = &mut train(files)[0];
            *row = row.replacen("\":", "\": ", 1);
        });
    "I-18" "Every row is of its contract, in canonical JSON, and no run is two rows.", "a score with another number of decimals", [],
        |desk| desk.forge(|files, _| {
            let row = &mut train(files)[0];
            *row = row.replacen(",\"score_id\"", "0,\"score_id\"", 1);
        });
    "I-18" "Every row is of its contract, in canonical JSON, and no run is two rows.", "a run is two rows", [],
        |desk| desk.forge(|files, manifest| {
            let again = train(files)[0].clone();
            train(files).push(again);
            count(manifest, 1, "category_rejected");
        });
    "I-19" "No task is in two splits of a dataset.", "a row of a task is moved to another split", [], |desk| desk.forge(|files, _| {
        let tasks: Vec<Value> = (0..train(files).len()).map(|n| row(files, n)["task_key"].clone()).collect();
        let twice = (0..tasks.len()).find(|n| !tasks[*n].is_null() && tasks[..*n].contains(&tasks[*n])).expect("a task with two rows");
        let moved = train(files).remove(twice);
        files.insert("data/test-00000-of-00001.jsonl".into(), vec![moved]);
    });
    "I-20" "The sides of a pair differ, and answer the same prompt, which is that of their evidence.", "both sides are the same", [], |desk| desk.forge(|files, manifest| {
        pairs(files, manifest, |answer| json!({"chosen": answer, "prompt": [], "rejected": answer}));
    });
    "I-20" "The sides of a pair differ, and answer the same prompt, which is that of their evidence.", "the sides answer different prompts", [], |desk| desk.forge(|files, manifest| {
        pairs(files, manifest, |answer| {
            let asked = |text: &str| json!({"content": text, "role": "user"});
            json!({"chosen": [asked("one"), answer[0]], "rejected": [asked("two"), answer[0]]})
        });
    });
    "I-20" "The sides of a pair differ, and answer the same prompt, which is that of their evidence.", "a pair asks what nobody was asked", [], |desk| {
        desk.forge_of(&desk.dataset("preference"), |files, _| {
            let mut pair = row(files, 0);
            pair["prompt"][0]["content"] = "What else?".into();
            train(files)[0] = sorted(pair);
        });
    };
    "I-20" "The sides of a pair differ, and answer the same prompt, which is that of their evidence.", "a side is an answer to another question", [], |desk| {
        desk.forge_of(&desk.dataset("preference"), |files, _| {
            let chosen = ["chosen_evidence_id", "chosen_run_id", "chosen_score_id"];
            let all: Vec<Value> = (0..train(files).len()).map(|n| row(files, n)).collect();
            let same = |a: &Value, b: &Value| a["chosen_run_id"] == b["chosen_run_id"];
            let spared = all.iter().position(|one| all.iter().filter(|other| same(one, other)).count() > 1);
            let mut pair = all[spared.expect("a run that is in two pairs")].clone();
            let other = all.iter().find(|other| other["prompt"] != pair["prompt"]).expect("another question");
            chosen.iter().for_each(|id| pair[*id] = other[*id].clone());
            train(files)[spared.expect("it")] = sorted(pair);
        });
    };
    "I-21" "Datasets are as was decided before their cut: without what was recalled, discarded or erased, with what was released.", "a recalled run is a row", [], |desk| {
        let decision = Decision { action: "recalled".into(), run_id: Some("marked".into()), ..Decision::default() };
        decided(desk, decision, |_, _| ());
    };
    "I-21" "Datasets are as was decided before their cut: without what was recalled, discarded or erased, with what was released.", "evidence that was discarded for good is a row", [], |desk| {
        let decision = Decision { action: "discarded".into(), event_id: Some(marked(desk).1.envelope.id), ..Decision::default() };
        decided(desk, decision, |_, _| ());
    };
    "I-21" "Datasets are as was decided before their cut: without what was recalled, discarded or erased, with what was released.", "a row is left out for what it was released from", [], |desk| {
        let (position, evidence) = marked(desk);
        let quarantined = Quarantined {
            run_id: evidence.envelope.key.clone(), event_id: evidence.envelope.id.clone(), stage: "exporter".into(),
            reason: "near_duplicate".into(), detail: "nearly the same".into(), rule: "exporter.duplicates".into(),
            rule_version: "1".into(), kind: Some("sft".into()),
        };
        let producer = Producer { name: "exporter".into(), version: "1".into(), config_hash: String::new() };
        let event = made(producer, "quarantine.exporter", &[(&position, &evidence)], Payload::Quarantined(quarantined));
        desk.append("quarantine.exporter.v1", &event);
        let decision = Decision {
            action: "released".into(), event_id: Some(evidence.envelope.id), kind: Some("sft".into()),
            reason: "near_duplicate: looked at".into(), ..Decision::default()
        };
        decided(desk, decision, |files, manifest| {
            train(files).retain(|row| !row.contains(super::MARK));
            count(manifest, -1, "near_duplicate");
        });
    };
    "I-22" "No replay made a call outside of the journal, and a recorded one comes out the same again.", "a replay called a tool", [], |desk| {
        let mut event = desk.replay();
        if let Payload::Replayed(replayed) = &mut event.payload {
            replayed.outside_calls = 1;
        }
        desk.append("replays.v1", &event);
    };
    "I-22" "No replay made a call outside of the journal, and a recorded one comes out the same again.", "a recorded replay says what it did not find", [], |desk| {
        let (position, run) = desk.later("runs");
        let Payload::Run(payload) = &run.payload else { panic!("a run") };
        let plan = stillhouse_processors::replayer::Plan::default();
        let mut replayed = stillhouse_processors::replayer::recorded(payload, plan.comparison);
        replayed.verdict = "diverged".into();
        desk.append("replays.v1", &plan.event((&run.envelope, &position), replayed));
    };
}

/// Flips a byte of a record wherever the journal's files have it.
fn flip(desk: &mut Desk<'_>) {
    let mark = super::MARK.as_bytes();
    let mut flipped = 0;
    for entry in std::fs::read_dir(desk.folder().join("journal")).expect("the journal").map(|e| e.expect("an entry")) {
        let mut bytes = std::fs::read(entry.path()).expect("a file");
        let places: Vec<usize> =
            (0..bytes.len().saturating_sub(mark.len())).filter(|at| bytes[*at..].starts_with(mark)).collect();
        for place in &places {
            bytes[*place] ^= 1;
        }
        flipped += places.len();
        if !places.is_empty() {
            std::fs::write(entry.path(), bytes).expect("a file");
        }
    }
    assert!(flipped > 0, "the mark is in the journal");
}

/// A score of evidence that came after the dataset, sound in its envelope, by another version of the scorer.
fn score(desk: &mut Desk<'_>, change: impl FnOnce(&mut Score)) {
    let (position, evidence) = desk.later("evidence");
    let (_, event) = desk.later("scores");
    let Payload::Score(mut score) = event.payload else { panic!("a score") };
    change(&mut score);
    let producer = Producer { version: "0".into(), ..event.envelope.producer };
    desk.append("scores.v1", &made(producer, "scores", &[(&position, &evidence)], Payload::Score(score)));
}

fn train(files: &mut Files) -> &mut Vec<String> {
    files.get_mut("data/train-00000-of-00001.jsonl").expect("a split")
}

fn row(files: &mut Files, number: usize) -> Value {
    serde_json::from_str(&train(files)[number]).expect("a row")
}

/// What was made of the run with the mark.
fn marked(desk: &Desk<'_>) -> (Position, Event) {
    desk.events("evidence").into_iter().find(|(_, event)| event.envelope.key == "marked").expect("it")
}

/// Decides something, and writes a dataset whose cut comes after that.
fn decided(desk: &mut Desk<'_>, decision: Decision, change: impl FnOnce(&mut Files, &mut Value)) {
    let envelope = Envelope { id: ids::live(), key: "marked".into(), occurred_at: 1, ..Envelope::default() };
    desk.append("decisions", &Event { envelope, payload: Payload::Decision(decision) });
    desk.forge(|files, manifest| {
        change(files, manifest);
        after_decisions(manifest);
    });
}

/// Puts the first decision into a dataset's cut.
pub(super) fn after_decisions(manifest: &mut Value) {
    let cut = manifest["cut"]["positions"].as_array_mut().expect("a cut");
    cut.retain(|position| position[0] != "decisions");
    cut.push(json!(["decisions", 0, 1]));
}

/// A pair in its canonical spelling.
fn sorted(mut pair: Value) -> String {
    pair.sort_all_objects();
    pair.to_string()
}

/// A row in its canonical spelling.
fn line(row: &Value) -> String {
    let text = row.to_string();
    let contract = stillhouse_processors::contracts::contract("sft_sample").expect("a contract");
    String::from_utf8(contract.canonical(&text).expect("a row")).expect("UTF-8")
}

fn change(files: &mut Files, number: usize, change: impl FnOnce(&mut Value)) {
    let mut changed = row(files, number);
    change(&mut changed);
    train(files)[number] = line(&changed);
}

/// A row more (or less), and one less (or more) that was left out.
fn count(manifest: &mut Value, rows: i64, reason: &str) {
    let counts = &mut manifest["counts"];
    for name in ["rows", "used"] {
        counts[name] = (counts[name].as_i64().expect("a count") + rows).into();
    }
    let withheld = counts["withheld"][reason].as_i64().unwrap_or_default();
    counts["withheld"][reason] = (withheld - rows).into();
}

/// One pair, in a dataset that is traced to nothing.
fn pairs(files: &mut Files, manifest: &mut Value, pair: impl FnOnce(&Value) -> Value) {
    *train(files) = vec![sorted(pair(&json!([{"content": "a", "role": "assistant"}])))];
    manifest["kind"] = "preference".into();
    manifest["shape"] = "trl".into();
    manifest["stages"] = json!([]);
    manifest["counts"] =
        json!({"evidence": 0, "filtered": 0, "used": 0, "rows": 1, "withheld": {}, "dropped": {}, "redacted": {}});
}
