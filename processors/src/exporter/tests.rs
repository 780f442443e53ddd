//! The export over the in-memory journal: the same events, however they lie, give the same rows.

mod decisions;
mod validations;

use super::*;
use crate::decisions::Decisions;
use crate::firewall::Policy;
use crate::wire;
use futures::executor::block_on;
use std::collections::{BTreeMap, BTreeSet};
use stillhouse_schemas::{
    Category, Codec, Envelope, Event, Evidence, Label, Message, Payload, Run, Score, ScoreFailed, ids,
};
use stillhouse_streams::memory::MemoryJournal;
use stillhouse_streams::{Append, Cleanup, Headers, Journal, Position, Progress, TopicSpec};

mod kinds;

/// What an export gave.
#[derive(Default, PartialEq, Debug)]
struct Taken {
    rows: Vec<(&'static str, String)>,
    origins: Vec<String>,
    quarantined: Vec<Event>,
}

#[async_trait::async_trait]
impl Outlet for Taken {
    fn row(&mut self, row: Row) -> Result<(), BoxError> {
        self.rows.push((row.split(), String::from_utf8(row.line().to_vec())?));
        self.origins.push(String::from_utf8(row.origins().to_vec())?);
        Ok(())
    }

    async fn quarantine(&mut self, events: Vec<Event>) -> Result<u64, BoxError> {
        let new = events.len() as u64;
        self.quarantined.extend(events);
        Ok(new)
    }
}

/// Sorters in memory.
struct Shelves;

#[derive(Default)]
struct Shelf(Vec<(Vec<u8>, Vec<u8>)>);

impl Sorters for Shelves {
    fn sorter(&mut self, _: &'static str) -> Result<Box<dyn Sorter>, BoxError> {
        Ok(Box::new(Shelf::default()))
    }
}

impl Sorter for Shelf {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), BoxError> {
        self.0.push((key.to_vec(), value.to_vec()));
        Ok(())
    }

    fn sorted(mut self: Box<Self>) -> Result<Box<dyn Sorted>, BoxError> {
        // The last of the list is the next one.
        self.0.sort_unstable_by(|a, b| b.cmp(a));
        Ok(Box::new(Shown { left: self.0, current: Default::default() }))
    }
}

struct Shown {
    left: Vec<(Vec<u8>, Vec<u8>)>,
    current: (Vec<u8>, Vec<u8>),
}

impl Sorted for Shown {
    fn next(&mut self) -> Result<Option<Entry<'_>>, BoxError> {
        let Some(next) = self.left.pop() else { return Ok(None) };
        self.current = next;
        Ok(Some((&self.current.0, &self.current.1)))
    }
}

impl Taken {
    fn reasons(&self) -> BTreeMap<String, String> {
        let of = |event: &Event| match &event.payload {
            Payload::Quarantined(q) => (q.run_id.clone(), q.reason.clone()),
            other => panic!("{other:?} in quarantine"),
        };
        self.quarantined.iter().map(of).collect()
    }

    fn ids(&self) -> BTreeSet<String> {
        self.quarantined.iter().map(|e| e.envelope.id.clone()).collect()
    }
}

/// A journal with what an export reads.
struct World {
    journal: MemoryJournal,
    codec: Codec,
    partitions: u32,
}

/// What is said about a run.
#[derive(Clone, Copy, Debug)]
enum Judged {
    As(Category),
    Badly(f64),
    Failed,
    Never,
}

impl World {
    fn new(journal: MemoryJournal, partitions: u32) -> Self {
        let topics = [
            ("runs", partitions),
            ("evidence.v1", partitions),
            ("scores.v1", partitions),
            ("labels", partitions),
            ("validations.v1", partitions),
            ("quarantine.exporter.v1", partitions),
            ("control", 1),
        ];
        let spec = |(name, partitions): &(&str, u32)| TopicSpec {
            name: (*name).into(),
            partitions: *partitions,
            cleanup: Cleanup::Keep,
        };
        block_on(journal.ensure(&topics.iter().map(spec).collect::<Vec<_>>())).expect("topics");
        Self { journal, codec: Codec::plain(), partitions }
    }

    fn append(&self, topic: &str, event: &Event) -> Position {
        let append = wire::append(topic, &self.codec, event).expect("encodes");
        block_on(self.journal.append(vec![append])).expect("appends").remove(0).position
    }

    /// A recording of `run` at time `at`, and its evidence.
    fn record(&self, run: &str, at: i64) -> (Event, Position) {
        let say =
            |role: &str, content: String| Message { role: role.into(), content: Some(content), ..Message::default() };
        let messages = vec![say("user", format!("q of {run}")), say("assistant", format!("a at {at}"))];
        self.tell(Evidence { run_id: run.into(), source_class: "chat".into(), messages, ..Evidence::default() }, at)
    }

    /// A recording at time `at`, and this evidence of it.
    fn tell(&self, evidence: Evidence, at: i64) -> (Event, Position) {
        let run = evidence.run_id.as_str();
        let id = ids::imported("test", &format!("{run}/{at}"));
        let run_event = Event {
            envelope: Envelope { id, key: run.into(), occurred_at: at, ..Envelope::default() },
            payload: Payload::Run(Run { run_id: run.into(), ..Run::default() }),
        };
        let position = self.append("runs", &run_event);
        let evidence = Event {
            envelope: Envelope {
                id: ids::derived(&[&run_event.envelope.id], "materializer", "1", "", "evidence", 0),
                key: run.into(),
                occurred_at: at,
                causes: vec![wire::cause(&run_event.envelope.id, &position)],
                ..Envelope::default()
            },
            payload: Payload::Evidence(evidence),
        };
        let position = self.append("evidence.v1", &evidence);
        (evidence, position)
    }

    fn judge(&self, evidence: &Event, position: &Position, judged: Judged) {
        let Payload::Evidence(e) = &evidence.payload else { panic!("no evidence") };
        let (category, score) = match judged {
            Judged::As(category) => (category, 2.0 / 3.0),
            Judged::Badly(score) => (Category::Accepted, score),
            Judged::Failed => {
                let failed = ScoreFailed {
                    run_id: e.run_id.clone(),
                    evidence_id: evidence.envelope.id.clone(),
                    ..ScoreFailed::default()
                };
                return self.derive_score(evidence, position, Payload::ScoreFailed(failed));
            }
            Judged::Never => return,
        };
        let score = Score {
            run_id: e.run_id.clone(),
            evidence_id: evidence.envelope.id.clone(),
            scorer: "scorer".into(),
            scorer_version: "1".into(),
            config_hash: String::new(),
            score,
            sub_scores: BTreeMap::new(),
            reasons: vec![],
            category,
            decided_by: "rules".into(),
            source_class: "chat".into(),
            call_hash: None,
            cost_usd: None,
        };
        self.derive_score(evidence, position, Payload::Score(score));
    }

    /// What a person says of `run` at time `at`, and the scorer's word for it.
    fn label(&self, run: &str, at: i64, category: Category) {
        let said = Event {
            envelope: Envelope {
                id: ids::imported("label", &format!("{run}/{at}")),
                key: run.into(),
                occurred_at: at,
                ..Envelope::default()
            },
            payload: Payload::Label(Label { run_id: run.into(), label: category.as_str().into(), ..Label::default() }),
        };
        let position = self.append("labels", &said);
        let score = Score {
            run_id: run.into(),
            evidence_id: String::new(),
            scorer: "scorer".into(),
            scorer_version: "2".into(),
            config_hash: String::new(),
            score: 0.9,
            sub_scores: BTreeMap::new(),
            reasons: vec![],
            category,
            decided_by: "human_label".into(),
            source_class: String::new(),
            call_hash: None,
            cost_usd: None,
        };
        self.derive_score(&said, &position, Payload::Score(score));
    }

    fn derive_score(&self, evidence: &Event, position: &Position, payload: Payload) {
        let envelope = &evidence.envelope;
        let score = Event {
            envelope: Envelope {
                id: ids::derived(&[&envelope.id], "scorer", "1", "", "scores", 0),
                key: envelope.key.clone(),
                occurred_at: envelope.occurred_at,
                causes: vec![wire::cause(&envelope.id, position)],
                ..Envelope::default()
            },
            payload,
        };
        self.append("scores.v1", &score);
    }

    fn cut(&self) -> Progress {
        let topics = block_on(self.journal.topics()).expect("topics");
        let sources = topics.iter().filter(|t| ["runs", "labels", "control"].contains(&t.spec.name.as_str()));
        sources
            .flat_map(|t| t.partitions.iter().zip(0..).map(|(s, p)| (t.spec.name.as_str().into(), p, s.end)))
            .collect()
    }

    fn plan(&self) -> Plan {
        let kind = super::kinds::kind("sft").expect("a kind");
        Plan {
            kind,
            shape: shapes::Shape::find(kind, None).expect("a shape"),
            format: "jsonl",
            filters: Filters::default(),
            splits: Splits::default(),
            screen: secrets::Screen::default(),
            near_duplicates: None,
            max_pairs: None,
            chunk_chars: Plan::CHUNK_CHARS,
            chunk_overlap: Plan::CHUNK_OVERLAP,
            validations: None,
            validated: Default::default(),
            labels: Some("labels".into()),
            cut: self.cut(),
            runs: vec!["runs".into()],
            runs_before: vec![],
            evidence: "evidence.v1".into(),
            scores: "scores.v1".into(),
            quarantine: "quarantine.exporter.v1".into(),
            policy: Policy::default(),
            stages: vec![],
            runs_at_a_time: Plan::RUNS_AT_A_TIME,
            decisions: Decisions::default(),
            present: true,
        }
    }

    fn export(&self, plan: &Plan) -> (Tally, Taken) {
        let mut taken = Taken::default();
        let tally = block_on(export(&self.journal, &self.codec, plan, &mut Shelves, &mut taken)).expect("exports");
        assert_eq!(tally.evidence, tally.used + tally.withheld.values().sum::<u64>());
        assert_eq!(tally.rows, tally.splits.values().sum::<u64>());
        assert_eq!(tally.rows, taken.rows.len() as u64);
        assert_eq!(tally.quarantined, taken.quarantined.len() as u64);
        (tally, taken)
    }
}

const EVERY: [Judged; 9] = [
    Judged::As(Category::Accepted),
    Judged::As(Category::PartiallyAccepted),
    Judged::As(Category::NeedsHumanReview),
    Judged::As(Category::Rejected),
    Judged::Badly(f64::NAN),
    Judged::Badly(1.5),
    Judged::Failed,
    Judged::Never,
    Judged::As(Category::Accepted),
];

/// `n` runs judged in every way, appended in steps: first all runs, then all scores in another order.
fn filled(world: World, n: usize, step: usize) -> World {
    let order = |i: usize| i * step % n;
    let recorded: Vec<_> =
        (0..n).map(|i| (order(i), world.record(&format!("run-{}", order(i)), (order(i) as i64 % 7) + 1))).collect();
    for (i, (evidence, position)) in recorded.iter().rev() {
        world.judge(evidence, position, EVERY[i % EVERY.len()]);
    }
    world
}

#[test]
fn only_what_was_accepted_is_a_row_and_everything_else_says_why() {
    let world = filled(World::new(MemoryJournal::new(), 3), 90, 1);
    let (tally, taken) = world.export(&world.plan());
    assert_eq!(tally.evidence, 90);
    assert_eq!(tally.rows, 20);
    let expected = [
        ("category_needs_human_review", 10),
        ("category_partially_accepted", 10),
        ("category_rejected", 10),
        ("no_score", 10),
        ("score_failed", 10),
        ("score_invalid", 20),
    ];
    assert_eq!(tally.withheld, BTreeMap::from(expected));
    for (run, reason) in taken.reasons() {
        let i: usize = run["run-".len()..].parse().expect("a number");
        let expected = match EVERY[i % EVERY.len()] {
            Judged::As(category) => format!("category_{}", category.as_str()),
            Judged::Badly(_) => "score_invalid".into(),
            Judged::Failed => "score_failed".into(),
            Judged::Never => "no_score".into(),
        };
        assert_eq!(reason, expected, "{run}");
    }
    let plan = Plan { policy: Policy { partially_accepted: true }, ..world.plan() };
    let (tally, taken) = world.export(&plan);
    assert_eq!(tally.rows, 30);
    for (_, line) in &taken.rows {
        let row: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert!(["accepted", "partially_accepted"].contains(&row["category"].as_str().expect("text")));
    }
    assert_ne!(plan.dataset(), world.plan().dataset());
}

#[test]
fn a_persons_latest_word_counts_before_every_score_of_its_run_if_it_is_in_the_cut() {
    let world = World::new(MemoryJournal::new(), 2);
    let accepted = Judged::As(Category::Accepted);
    for (run, judged) in [("a", Judged::Failed), ("b", accepted), ("c", Judged::Never), ("d", accepted)] {
        let (evidence, position) = world.record(run, 5);
        world.judge(&evidence, &position, judged);
    }
    // Said before the run came in, out of order, and by way of a change of mind.
    world.label("a", 3, Category::Accepted);
    world.label("b", 9, Category::Rejected);
    world.label("b", 8, Category::Accepted);
    let before = world.plan();
    world.label("c", 9, Category::Accepted);
    world.label("d", 9, Category::NeedsHumanReview);
    let rows = |plan: &Plan| {
        let (_, taken) = world.export(plan);
        let run = |row: &str| serde_json::from_str::<serde_json::Value>(row).expect("JSON")["run_id"].to_string();
        taken.rows.iter().map(|(_, row)| run(row)).collect::<BTreeSet<_>>()
    };
    assert_eq!(rows(&world.plan()), ["\"a\"", "\"c\""].map(String::from).into());
    assert_eq!(rows(&before), ["\"a\"", "\"d\""].map(String::from).into());
}

#[test]
fn a_row_is_spelled_in_one_way() {
    let world = World::new(MemoryJournal::new(), 1);
    let (evidence, position) = world.record("run-7", 5);
    world.judge(&evidence, &position, Judged::As(Category::Accepted));
    let (_, taken) = world.export(&world.plan());
    let (evidence_id, score_id) =
        (evidence.envelope.id.clone(), ids::derived(&[&evidence.envelope.id], "scorer", "1", "", "scores", 0));
    let message = |role: &str, content: &str| {
        format!(
            r#"{{"content":"{content}","name":null,"reasoning_content":null,"role":"{role}","tool_call_id":null,"tool_calls":null}}"#
        )
    };
    let expected = format!(
        r#"{{"category":"accepted","evidence_id":"{evidence_id}","messages":[{},{}],"model":null,"run_id":"run-7","score":0.6667,"score_id":"{score_id}","source_class":"chat","task_key":null,"tools":null}}"#,
        message("user", "q of run-7"),
        message("assistant", "a at 5"),
    );
    assert_eq!(taken.rows, [("train", expected)]);
    let origins = format!(r#"[{{"evidence_id":"{evidence_id}","run_id":"run-7","score_id":"{score_id}"}}]"#);
    assert_eq!(taken.origins, [origins]);
}

#[test]
fn rows_do_not_depend_on_how_the_events_lie() {
    let reference = filled(World::new(MemoryJournal::new(), 1), 100, 1);
    let (tally, taken) = reference.export(&reference.plan());
    for (journal, partitions, step, runs_at_a_time) in [
        (MemoryJournal::new(), 8, 1, Plan::RUNS_AT_A_TIME),
        (MemoryJournal::new(), 3, 37, 7),
        (MemoryJournal::new(), 1, 99, 1),
        (MemoryJournal::with_gaps(7), 4, 11, 3),
    ] {
        let world = filled(World::new(journal, partitions), 100, step);
        let (other_tally, other) = world.export(&Plan { runs_at_a_time, ..world.plan() });
        assert_eq!(other.rows, taken.rows, "{partitions} {step}");
        assert_eq!(other.ids(), taken.ids());
        assert_eq!(other.reasons(), taken.reasons());
        assert_eq!(other_tally, tally);
    }
}

#[test]
fn what_comes_after_the_cut_changes_nothing() {
    let world = filled(World::new(MemoryJournal::new(), 4), 50, 1);
    let plan = world.plan();
    let before = world.export(&plan);
    for i in 0..50 {
        // New runs, and new recordings of old ones.
        let (evidence, position) = world.record(&format!("run-{}", 25 + i), 1_000);
        world.judge(&evidence, &position, Judged::As(Category::Accepted));
    }
    assert_eq!(world.export(&plan), before);
    let (tally, _) = world.export(&world.plan());
    assert_eq!(tally.evidence, 100);
    assert_ne!(world.plan().dataset(), plan.dataset());
}

#[test]
fn the_latest_recording_of_a_run_takes_the_place_of_the_others() {
    for runs_at_a_time in [1, Plan::RUNS_AT_A_TIME] {
        let world = World::new(MemoryJournal::new(), 2);
        for at in [3, 9, 5] {
            let (evidence, position) = world.record("run-1", at);
            world.judge(&evidence, &position, Judged::As(Category::Accepted));
        }
        let (evidence, position) = world.record("run-2", 4);
        world.judge(&evidence, &position, Judged::As(Category::Accepted));
        let (tally, taken) = world.export(&Plan { runs_at_a_time, ..world.plan() });
        assert_eq!(tally.withheld, BTreeMap::from([("superseded", 2)]));
        let said: Vec<bool> =
            ["a at 4", "a at 9"].iter().zip(&taken.rows).map(|(a, (_, row))| row.contains(a)).collect();
        assert_eq!((said, taken.rows.len()), (vec![true, true], 2), "in the order of time");
    }
}

#[test]
fn repeated_records_count_once_even_without_ids_in_their_headers() {
    let world = filled(World::new(MemoryJournal::new(), 2), 18, 1);
    let before = world.export(&world.plan());
    for topic in ["evidence.v1", "scores.v1"] {
        for partition in 0..world.partitions {
            let mut scan = block_on(world.journal.scan(topic, partition, 0, None)).expect("scans");
            for mut stored in block_on(scan.next(1_000)).expect("reads") {
                stored.record.headers = Headers::default();
                let append = Append { topic: topic.into(), partition: Some(partition), record: stored.record };
                let receipts = block_on(world.journal.append(vec![append])).expect("appends");
                assert!(!receipts[0].duplicate);
            }
        }
    }
    assert_eq!(world.export(&world.plan()), before);
}

#[test]
fn what_is_in_quarantine_is_not_said_again() {
    let world = filled(World::new(MemoryJournal::new(), 2), 45, 1);
    let (first, taken) = world.export(&world.plan());
    assert_eq!(first.quarantined, 35);
    for event in &taken.quarantined {
        assert!(!event.envelope.causes.is_empty());
        world.append("quarantine.exporter.v1", event);
    }
    let (again, nothing) = world.export(&world.plan());
    assert_eq!((again.quarantined, nothing.quarantined.len()), (0, 0));
    assert_eq!(Tally { quarantined: 35, ..again }, first);
    assert_eq!(nothing.rows, taken.rows);
}

#[test]
fn the_same_verdict_is_the_same_quarantine_event_and_another_is_another() {
    let said = |judged| {
        let world = World::new(MemoryJournal::new(), 1);
        let (evidence, position) = world.record("run-1", 1);
        world.judge(&evidence, &position, judged);
        world.export(&world.plan()).1.quarantined.remove(0)
    };
    let (rejected, again) = (said(Judged::As(Category::Rejected)), said(Judged::As(Category::Rejected)));
    assert_eq!(rejected, again);
    // One journal may come to hold both: an id says one thing only.
    assert_ne!(said(Judged::Never).envelope.id, rejected.envelope.id);
    let Payload::Quarantined(q) = &rejected.payload else { panic!("no quarantine") };
    assert_eq!((q.stage.as_str(), q.rule.as_str(), q.rule_version.as_str()), ("exporter", "exporter.firewall", "1"));
    assert_eq!(rejected.envelope.causes.len(), 2, "the evidence and the score");
}

#[test]
fn evidence_without_a_run_among_its_causes_is_untraceable() {
    let world = World::new(MemoryJournal::new(), 1);
    let (mut evidence, _) = world.record("run-1", 1);
    evidence.envelope.id = ids::imported("test", "orphan");
    evidence.envelope.key = "run-2".into();
    evidence.envelope.causes.clear();
    if let Payload::Evidence(e) = &mut evidence.payload {
        e.run_id = "run-2".into();
    }
    let position = world.append("evidence.v1", &evidence);
    world.judge(&evidence, &position, Judged::As(Category::Accepted));
    let (tally, _) = world.export(&world.plan());
    assert_eq!(tally.withheld, BTreeMap::from([("no_score", 1), ("untraceable", 1)]));
}

#[test]
fn the_exported_event_is_the_same_each_time() {
    let world = filled(World::new(MemoryJournal::new(), 1), 9, 1);
    let plan = world.plan();
    let (tally, _) = world.export(&plan);
    let event = exported(&plan, &tally, Placed::default()).expect("an event");
    assert_eq!(event, exported(&plan, &tally, Placed::default()).expect("an event"));
    stillhouse_schemas::check(&event).expect("legal");
    wire::encode(&world.codec, &event).expect("encodes");
    let Payload::Exported(said) = &event.payload else { panic!("not exported") };
    assert_eq!(said.cut, r#"[["control",0,0],["labels",0,0],["runs",0,9]]"#);
    assert_eq!(said.rows, 2);
    assert_eq!(said.dataset, plan.dataset().expect("a name"));
    assert!(said.dataset.starts_with("sft-") && said.dataset.len() == 16);
    let other = exported(&Plan { cut: Progress::default(), ..plan.clone() }, &tally, Placed::default());
    assert_ne!(other.expect("an event").envelope.id, event.envelope.id);
}

#[test]
fn a_damaged_record_stops_the_export() {
    let world = filled(World::new(MemoryJournal::new(), 1), 9, 1);
    let mut scan = block_on(world.journal.scan("scores.v1", 0, 0, None)).expect("scans");
    let mut record = block_on(scan.next(1)).expect("reads").remove(0).record;
    record.headers = Headers::default();
    record.value = record.value.map(|v| v.slice(..v.len() / 2));
    let append = Append { topic: "scores.v1".into(), partition: Some(0), record };
    block_on(world.journal.append(vec![append])).expect("appends");
    let error = block_on(export(&world.journal, &world.codec, &world.plan(), &mut Shelves, &mut Taken::default()))
        .expect_err("damaged");
    assert!(matches!(error, ExportError::Decode { .. }), "{error}");
}
