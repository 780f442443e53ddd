//! What each kind makes, in each shape; and what it must not.

use super::super::kinds::{KINDS, kind};
use super::super::shapes::{Column, SHAPES, Shape, Type};
use super::*;
use serde_json::Value;
use stillhouse_schemas::{Label, Tool, ToolCall};

fn say(role: &str, content: &str) -> Message {
    Message { role: role.into(), content: Some(content.into()), ..Message::default() }
}

impl World {
    /// A run of `task` that answers `prompt`, judged.
    pub(super) fn answer(
        &self,
        run: &str,
        at: i64,
        task: Option<&str>,
        (prompt, answer): (&str, &str),
        category: Category,
    ) {
        let evidence = Evidence {
            run_id: run.into(),
            source_class: "chat".into(),
            task_key: task.map(str::to_owned),
            messages: vec![say("user", prompt), say("assistant", answer)],
            ..Evidence::default()
        };
        let (evidence, position) = self.tell(evidence, at);
        self.judge(&evidence, &position, Judged::As(category));
    }

    fn correct(&self, run: &str, at: i64, correction: &str) -> String {
        let id = ids::imported("labels", &format!("{run}/{at}"));
        let label = Label {
            run_id: run.into(),
            label: "rejected".into(),
            correction: Some(correction.into()),
            ..Label::default()
        };
        let envelope = Envelope { id: id.clone(), key: run.into(), occurred_at: at, ..Envelope::default() };
        self.append("labels", &Event { envelope, payload: Payload::Label(label) });
        id
    }

    pub(super) fn plan_of(&self, name: &str, shape: Option<&str>) -> Plan {
        let kind = kind(name).expect("a kind");
        Plan { kind, shape: Shape::find(kind, shape).expect("a shape"), ..self.plan() }
    }
}

fn values(taken: &Taken) -> Vec<Value> {
    taken.rows.iter().map(|(_, line)| serde_json::from_str(line).expect("JSON")).collect()
}

use Category::{Accepted, NeedsHumanReview, PartiallyAccepted, Rejected};

/// Runs of every kind: tools, repetitions, right and wrong answers, long texts, secrets.
fn mixed(journal: MemoryJournal, partitions: u32, step: usize) -> World {
    let world = World::new(journal, partitions);
    let long: String = (0..80).map(|n| format!("Sentence {n} of a long text says something. ")).collect();
    for i in 0..60 {
        let i = i * step % 60;
        let (run, at) = (format!("run-{i}"), (i as i64 * 7) % 13);
        let (task, category) = (format!("task-{}", i / 6), [Accepted, Rejected, Accepted, NeedsHumanReview][i % 4]);
        let prompt = format!("question {}", i / 6);
        let answer = match i % 5 {
            4 => format!("{long} {i}"),
            n => format!("answer {n} of {}, ask a{n}@example.com", i / 6),
        };
        world.answer(&run, at, (i % 12 < 6).then_some(&task), (&prompt, &answer), category);
    }
    for i in 0..4 {
        let call = ToolCall {
            id: (i % 2 == 0).then(|| format!("c{i}")),
            name: "look".into(),
            arguments: format!("{{\"n\":{i}.50}}"),
        };
        let evidence = Evidence {
            run_id: format!("tools-{i}"),
            source_class: "agent".into(),
            messages: vec![
                say("system", "Be kind."),
                say("user", "look it up"),
                Message { role: "assistant".into(), tool_calls: vec![call.clone()], ..Message::default() },
                Message { tool_call_id: call.id, ..say("tool", "found") },
                say("assistant", &format!("it is {i}")),
            ],
            tools: vec![Tool {
                name: "look".into(),
                parameters: Some(r#"{"type":"object"}"#.into()),
                ..Tool::default()
            }],
            ..Evidence::default()
        };
        let (evidence, position) = world.tell(evidence, 20 + i);
        world.judge(&evidence, &position, Judged::As(Accepted));
    }
    world.correct("run-1", 30, "the better answer");
    world
}

#[test]
fn rows_of_every_kind_depend_on_the_events_alone() {
    let reference = mixed(MemoryJournal::new(), 1, 1);
    for kind in KINDS {
        let near = |world: &World| Plan {
            near_duplicates: Some(0.8),
            splits: "0.5,0.25,0.25".parse().expect("shares"),
            max_pairs: Some(2),
            chunk_chars: 200,
            chunk_overlap: 40,
            ..world.plan_of(kind.name, None)
        };
        let (tally, taken) = reference.export(&near(&reference));
        assert!(taken.rows.len() > 10, "{}: {}", kind.name, taken.rows.len());
        for (journal, partitions, step, runs_at_a_time) in
            [(MemoryJournal::new(), 8, 7, Plan::RUNS_AT_A_TIME), (MemoryJournal::with_gaps(7), 3, 59, 5)]
        {
            let world = mixed(journal, partitions, step);
            let (other_tally, other) = world.export(&Plan { runs_at_a_time, ..near(&world) });
            assert_eq!(other.rows, taken.rows, "{}", kind.name);
            assert_eq!((other.origins, other_tally), (taken.origins.clone(), tally.clone()));
            assert_eq!(
                BTreeSet::from_iter(other.quarantined.iter().map(|e| &e.envelope.id)),
                BTreeSet::from_iter(taken.quarantined.iter().map(|e| &e.envelope.id))
            );
        }
    }
}

/// Whether a value is of a type; null is of any.
fn fits(value: &Value, ty: Type) -> bool {
    match (ty, value) {
        (_, Value::Null) | (Type::Json, _) | (Type::Text, Value::String(_)) | (Type::Bool, Value::Bool(_)) => true,
        (Type::Int, Value::Number(n)) => n.is_i64(),
        (Type::Float, Value::Number(n)) => n.is_f64(),
        (Type::List(ty), Value::Array(items)) => items.iter().all(|item| fits(item, *ty)),
        (Type::Struct(members), Value::Object(map)) => {
            map.iter().all(|(name, value)| members.iter().any(|m| m.name == name && fits(value, m.ty)))
        }
        _ => false,
    }
}

#[test]
fn every_shape_writes_the_columns_that_it_says() {
    let world = mixed(MemoryJournal::new(), 2, 1);
    for shape in SHAPES {
        for form in shape.forms {
            let plan = world.plan_of(form.kind, Some(shape.name));
            let (_, taken) = world.export(&plan);
            assert!(!taken.rows.is_empty());
            for row in values(&taken) {
                let Value::Object(members) = &row else { panic!("no object: {row}") };
                assert!(fits(&row, Type::Struct(form.columns)), "{} {}: {row}", shape.name, form.kind);
                let there = |column: &Column| members.contains_key(column.name);
                assert!(!form.declared || form.columns.iter().all(there), "{} {}: {row}", shape.name, form.kind);
            }
        }
    }
    assert!(Shape::find(kind("rag").expect("a kind"), Some("openai")).is_err());
}

#[test]
fn of_runs_that_say_the_same_the_first_is_a_row() {
    let world = World::new(MemoryJournal::new(), 4);
    for (run, at, answer) in [("b", 5, "same"), ("a", 3, "same"), ("c", 9, "same"), ("d", 1, "other")] {
        world.answer(run, at, None, ("q", answer), Accepted);
    }
    world.answer("e", 0, None, ("q", "same"), Rejected);
    let (tally, taken) = world.export(&world.plan());
    let rows: Vec<_> = values(&taken).iter().map(|row| row["run_id"].as_str().unwrap_or_default().to_owned()).collect();
    assert_eq!(rows, ["d", "a"]);
    assert_eq!(tally.withheld, BTreeMap::from([("category_rejected", 1), ("duplicate", 2)]));
    let of =
        |reason: &str| taken.reasons().into_iter().filter(|(_, r)| r == reason).map(|(run, _)| run).collect::<Vec<_>>();
    assert_eq!(of("duplicate"), ["b", "c"]);
}

#[test]
fn near_duplicates_are_left_out_on_request() {
    let world = World::new(MemoryJournal::new(), 2);
    let text = |skip: usize| (0..300).filter(|n| *n != skip).map(|n| format!("word{n} ")).collect::<String>();
    world.answer("a", 1, None, ("q", &text(1_000)), Accepted);
    world.answer("b", 2, None, ("q", &text(150)), Accepted);
    world.answer("c", 3, None, ("q", "something else altogether, and at length"), Accepted);
    assert_eq!(world.export(&world.plan()).0.rows, 3);
    let (tally, taken) = world.export(&Plan { near_duplicates: Some(0.8), ..world.plan() });
    assert_eq!((tally.rows, taken.reasons()), (2, BTreeMap::from([("b".into(), "near_duplicate".into())])));
}

#[test]
fn sides_of_one_prompt_make_every_pair_once() {
    let world = World::new(MemoryJournal::new(), 4);
    for (run, answer, category) in [
        ("a1", "right", Accepted),
        ("a2", "right", Accepted),
        ("a3", "also right", Accepted),
        ("b1", "wrong", Rejected),
        ("b2", "quite wrong", Rejected),
        ("b3", "wrong", Rejected),
        ("b4", "right", Rejected),
        ("c1", "unclear", NeedsHumanReview),
        ("c2", "in part", PartiallyAccepted),
    ] {
        world.answer(run, 1, Some("t"), ("q", answer), category);
    }
    // One byte more is another prompt.
    world.answer("d1", 1, Some("t"), ("q ", "right"), Accepted);
    let (tally, taken) = world.export(&world.plan_of("preference", None));
    let text = |row: &Value, side: &str| row[side][0]["content"].as_str().unwrap_or_default().to_owned();
    let pairs: BTreeSet<_> = values(&taken).iter().map(|row| (text(row, "chosen"), text(row, "rejected"))).collect();
    let expected = [
        ("right", "wrong"),
        ("right", "quite wrong"),
        ("also right", "wrong"),
        ("also right", "quite wrong"),
        ("also right", "right"),
    ];
    assert_eq!(pairs, expected.map(|(a, b)| (a.to_owned(), b.to_owned())).into());
    assert_eq!(taken.rows.len(), 5);
    for row in values(&taken) {
        assert_eq!(row["prompt"][0]["content"], "q");
    }
    let expected = [
        ("category_needs_human_review", 1),
        ("category_partially_accepted", 1),
        ("duplicate", 2),
        ("no_counterpart", 1),
    ];
    assert_eq!(tally.withheld, BTreeMap::from(expected));
    assert_eq!(tally.used, 5);
    let capped = |most| {
        let plan = Plan { max_pairs: Some(most), ..world.plan_of("preference", None) };
        let (tally, taken) = world.export(&plan);
        assert_eq!(tally.dropped.get("over_max_pairs"), Some(&(5 - most)));
        taken.rows
    };
    let (two, three) = (capped(2), capped(3));
    assert_eq!((two.len(), three.len()), (2, 3));
    assert!(two.iter().all(|row| three.contains(row)), "more are the same and more");
}

#[test]
fn a_correction_is_the_better_side_of_what_it_corrects() {
    let world = World::new(MemoryJournal::new(), 2);
    world.answer("r1", 1, None, ("q", "so-so"), NeedsHumanReview);
    world.answer("r2", 1, None, ("q", "bad"), Rejected);
    world.answer("r3", 1, None, ("other", "good"), Accepted);
    world.correct("r1", 5, "an older correction");
    let label = world.correct("r1", 7, "the correction");
    world.correct("r1", 6, "the correction in between");
    let (tally, taken) = world.export(&world.plan_of("preference", None));
    let sides: BTreeSet<_> = values(&taken)
        .iter()
        .map(|row| (row["chosen"][0]["content"].to_string(), row["rejected"][0]["content"].to_string()))
        .collect();
    let pair = |worse: &str| ("\"the correction\"".to_owned(), format!("\"{worse}\""));
    assert_eq!(sides, [pair("so-so"), pair("bad")].into(), "of what it corrects, and of what was rejected");
    assert!(values(&taken).iter().all(|row| row["chosen_label_id"] == label.as_str() && row["chosen_score"].is_null()));
    assert_eq!((tally.used, tally.withheld), (2, BTreeMap::from([("no_counterpart", 1)])));
    let later = Plan {
        cut: [("runs".into(), 0, 99), ("runs".into(), 1, 99)].into_iter().collect(),
        ..world.plan_of("preference", None)
    };
    assert_eq!(world.export(&later).0.rows, 0, "what is said after the cut is not said");
    assert_eq!(world.export(&world.plan()).0.rows, 1, "a correction is no row of an SFT dataset");
}

#[test]
fn no_task_is_in_two_splits_and_a_row_stays_where_it_is() {
    for name in ["sft", "rag", "preference"] {
        let splits = |world: &World| {
            let plan = Plan { splits: "0.4,0.3,0.3".parse().expect("shares"), ..world.plan_of(name, None) };
            let (_, taken) = world.export(&plan);
            let mut of: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
            for ((split, _), row) in taken.rows.iter().zip(values(&taken)) {
                let about = row["task_key"].as_str().map(str::to_owned);
                of.entry(about.unwrap_or_else(|| format!("{} {}", row["messages"][0], row["prompt"][0])))
                    .or_default()
                    .insert(split);
            }
            of
        };
        let world = World::new(MemoryJournal::new(), 2);
        let fill = |from: usize, to: usize| {
            for i in from..to {
                let category = if i % 2 == 0 { Accepted } else { Rejected };
                let task = (name == "rag" || i % 40 < 20).then(|| format!("task-{}", i % 20));
                world.answer(
                    &format!("r{i}"),
                    i as i64,
                    task.as_deref(),
                    (&format!("q{}", i % 20 / 2), &format!("a{i}")),
                    category,
                );
            }
        };
        fill(0, 80);
        let before = splits(&world);
        assert!(before.values().all(|splits| splits.len() == 1), "{name}: {before:?}");
        assert!(before.values().flatten().collect::<BTreeSet<_>>().len() > 1, "{name}: more than one split is there");
        fill(80, 160);
        let after = splits(&world);
        assert!(before.iter().all(|(about, splits)| after[about] == *splits), "{name}");
    }
}

#[test]
fn what_is_asked_for_is_all_that_is_counted() {
    let world = World::new(MemoryJournal::new(), 2);
    for i in 0..10 {
        world.answer(
            &format!("r{i}"),
            i,
            Some(if i < 3 { "mine:1" } else { "other" }),
            ("q", &format!("a{i}")),
            Accepted,
        );
    }
    let filters = Filters { tasks: vec!["mine:*".into()], ..Filters::default() };
    let plan = Plan { filters, ..world.plan() };
    let (tally, taken) = world.export(&plan);
    assert_eq!((tally.rows, tally.filtered, tally.evidence, taken.quarantined.len()), (3, 7, 3, 0));
    assert_ne!(plan.dataset(), world.plan().dataset());
}

#[test]
fn secrets_are_redacted_or_keep_the_run_out() {
    let key = format!("{}{}", "AKIA", "ABCDEFGHIJ234567");
    for name in ["sft", "rag", "preference"] {
        let world = World::new(MemoryJournal::new(), 1);
        world.answer("a", 1, None, ("q", &format!("the key is {key}, mail a@example.com")), Accepted);
        world.answer("b", 1, None, ("q", "no"), Rejected);
        let (tally, taken) = world.export(&world.plan_of(name, None));
        let text: String = taken.rows.iter().map(|(_, row)| row.as_str()).collect();
        assert!(!text.contains(&key) && text.contains("[REDACTED:api_key], mail a@example.com"), "{name}: {text}");
        assert_eq!(tally.redacted, BTreeMap::from([("api_key", 1)]));
        let mut screen = secrets::Screen::default();
        screen.set(&"email".parse().expect("a kind"), secrets::Action::Quarantine);
        let (tally, taken) = world.export(&Plan { screen, ..world.plan_of(name, None) });
        assert_eq!(taken.reasons()["a"], "secret_found", "{name}");
        assert!(taken.rows.iter().all(|(_, row)| !row.contains("REDACTED") && !row.contains('@')));
        assert!(!tally.withheld.is_empty() && tally.redacted.is_empty());
    }
}

#[test]
fn chunks_are_spans_of_what_was_said() {
    let world = World::new(MemoryJournal::new(), 1);
    let long: String = (0..50).map(|n| format!("Sätze wie Nr. {n} sind lang. ")).collect();
    world.answer("a", 1, None, ("q?", &long), Accepted);
    world.answer("b", 2, None, ("q?", &long), Accepted);
    world.answer("c", 2, None, ("never", "said by a rejected run"), Rejected);
    let plan = Plan { chunk_chars: 120, chunk_overlap: 30, ..world.plan_of("rag", None) };
    let (tally, taken) = world.export(&plan);
    let rows = values(&taken);
    assert!(rows.len() > 5);
    assert_eq!(tally.dropped, BTreeMap::from([("duplicate", rows.len() as u64)]), "the other run said the same");
    assert_eq!((tally.used, &tally.withheld), (1, &BTreeMap::from([("category_rejected", 1), ("duplicate", 1)])));
    assert_eq!(taken.reasons()["b"], "duplicate", "nothing of it is left");
    let mut ids = BTreeSet::new();
    for row in &rows {
        let said = if row["message_index"] == 0 { "q?" } else { long.as_str() };
        let (start, end) =
            (row["start_char"].as_u64().unwrap_or(0) as usize, row["end_char"].as_u64().unwrap_or(0) as usize);
        assert_eq!(row["text"], said.chars().skip(start).take(end - start).collect::<String>());
        assert_eq!(row["run_id"], "a");
        assert!(ids.insert(row["id"].as_str().unwrap_or_default().to_owned()));
    }
    let again: BTreeSet<_> =
        values(&world.export(&plan).1).iter().map(|row| row["id"].as_str().unwrap_or_default().to_owned()).collect();
    assert_eq!(again, ids);
}
