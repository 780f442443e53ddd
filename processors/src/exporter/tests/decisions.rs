//! What operators decided, and what entered after it had been left out.

use super::*;
use crate::decisions::{DISCARDED, ERASED, RECALLED, REINSTATED, RELEASED};
use std::sync::Arc;
use stillhouse_schemas::{Decision, MemoryKeys, Released};

/// A world whose decisions are appended and folded, and whose quarantine events stay.
struct Office {
    world: World,
    decisions: Decisions,
    said: u64,
}

impl Office {
    fn new(codec: Codec, judged: &[Judged]) -> Self {
        let world = World { codec, ..World::new(MemoryJournal::new(), 2) };
        for (i, judged) in judged.iter().enumerate() {
            let (evidence, position) = world.record(&format!("run-{i}"), 5);
            world.judge(&evidence, &position, *judged);
        }
        Self { world, decisions: Decisions::default(), said: 0 }
    }

    fn decide(&mut self, decision: Decision) {
        let envelope = Envelope { id: format!("d{}", self.said), occurred_at: 50, ..Envelope::default() };
        let event = Event { envelope, payload: Payload::Decision(Decision { by: "op".into(), ..decision }) };
        self.decisions.apply(&event, &Position::new("decisions", 0, self.said));
        self.said += 1;
    }

    fn about_run(&mut self, action: &str, run: &str) {
        self.decide(Decision { action: action.into(), run_id: Some(run.into()), ..Decision::default() });
    }

    fn plan(&self) -> Plan {
        self.plan_of("sft")
    }

    fn plan_of(&self, kind: &str) -> Plan {
        let mut plan = self.world.plan_of(kind, None);
        plan.cut.set(Arc::from("decisions"), 0, self.said);
        Plan { decisions: self.decisions.clone(), ..plan }
    }

    /// Exports, and keeps what is said.
    fn export(&self, plan: &Plan) -> (Tally, Taken) {
        let (tally, taken) = self.world.export(plan);
        for event in &taken.quarantined {
            self.world.append("quarantine.exporter.v1", event);
        }
        (tally, taken)
    }

    fn runs(taken: &Taken) -> Vec<String> {
        let rows = taken.rows.iter().map(|(_, line)| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
        rows.map(|row| row["run_id"].as_str().expect("a run").to_owned()).collect()
    }
}

fn releases(taken: &Taken) -> Vec<Released> {
    let released = |event: &Event| match &event.payload {
        Payload::Released(released) => Some(released.clone()),
        _ => None,
    };
    taken.quarantined.iter().filter_map(released).collect()
}

const GOOD: Judged = Judged::As(Category::Accepted);

#[test]
fn a_recalled_run_is_withheld_until_it_is_reinstated_and_an_earlier_cut_keeps_it() {
    let mut office = Office::new(Codec::plain(), &[GOOD, GOOD]);
    let before = office.plan();
    let (tally, first) = office.export(&before);
    assert_eq!((tally.rows, tally.quarantined), (2, 0));

    office.about_run(RECALLED, "run-1");
    let recalled = office.plan();
    assert_ne!(recalled.dataset(), before.dataset());
    let (tally, taken) = office.export(&recalled);
    assert_eq!((tally.rows, &tally.withheld), (1, &BTreeMap::from([("recalled", 1)])));
    assert_eq!(Office::runs(&taken), ["run-0"]);
    let Payload::Quarantined(said) = &taken.quarantined[0].payload else { panic!("{taken:?}") };
    assert_eq!((said.reason.as_str(), said.rule.as_str()), ("recalled", "exporter.decisions"));
    assert_eq!(taken.quarantined[0].envelope.causes[1].id, "d0", "the decision is among its causes");
    // Said once.
    assert_eq!(office.export(&recalled).0.quarantined, 0);
    // The cut from before the decision: the same rows, and nothing is released by looking back.
    let (tally, again) = office.export(&Plan { present: false, ..before });
    assert_eq!((again.rows, tally.quarantined), (first.rows.clone(), 0));

    office.about_run(REINSTATED, "run-1");
    let (tally, back) = office.export(&office.plan());
    assert_eq!((&back.rows, tally.released, tally.quarantined), (&first.rows, 1, 1));
    let [released] = releases(&back).try_into().expect("one");
    assert_eq!((released.reason.as_str(), released.by.as_str(), released.run_id.as_str()), ("recalled", "op", "run-1"));
    assert_eq!(released.quarantined_id, taken.quarantined[0].envelope.id);
    assert_eq!(office.export(&office.plan()).0.quarantined, 0, "released once");

    // Recalled once more: another event, by another decision.
    office.about_run(RECALLED, "run-1");
    let (_, more) = office.export(&office.plan());
    assert_eq!(more.quarantined.len(), 1);
    assert_ne!(more.quarantined[0].envelope.id, taken.quarantined[0].envelope.id);
}

#[test]
fn what_another_rule_lets_in_is_released_once_and_what_it_leaves_out_again_is_said_again() {
    let office =
        Office::new(Codec::plain(), &[Judged::As(Category::PartiallyAccepted), Judged::As(Category::Rejected)]);
    let strict = office.plan();
    let soft = Plan { policy: Policy { partially_accepted: true }, ..office.plan() };
    let (_, first) = office.export(&strict);
    assert_eq!(first.quarantined.len(), 2);
    let (tally, second) = office.export(&soft);
    // The rejected one is left out by other settings: said so, and not released.
    assert_eq!((tally.rows, tally.released, tally.quarantined), (1, 1, 2));
    let [released] = releases(&second).try_into().expect("one");
    assert_eq!((released.by.as_str(), released.reason.as_str()), ("rule", "category_partially_accepted"));
    assert_eq!(office.export(&soft).0.quarantined, 0);
    // Back to the strict rule: left out again, for the same reason as the first time, in another event.
    let (tally, third) = office.export(&strict);
    assert_eq!((tally.released, tally.quarantined), (0, 2));
    assert!(third.ids().is_disjoint(&first.ids()));
    assert_eq!(office.export(&strict).0.quarantined, 0);
}

#[test]
fn an_operator_releases_what_may_be_and_nothing_else() {
    let judged = [Judged::As(Category::PartiallyAccepted), Judged::As(Category::Rejected), Judged::Failed, GOOD];
    let mut office = Office::new(Codec::plain(), &judged);
    office.export(&office.plan());
    let evidence = |i: usize| evidence_of(&format!("run-{i}/5"));
    let codes = ["category_partially_accepted", "category_rejected", "score_failed"];
    for (i, code) in codes.iter().enumerate() {
        for named in [*code, "category_partially_accepted"] {
            office.decide(Decision {
                action: RELEASED.into(),
                event_id: Some(evidence(i)),
                kind: Some("sft".into()),
                reason: format!("{named}: looked at"),
                ..Decision::default()
            });
        }
    }
    let (tally, taken) = office.export(&office.plan());
    assert_eq!(Office::runs(&taken).len(), 2, "run-0 is released, run-3 was good");
    assert_eq!(tally.withheld, BTreeMap::from([("category_rejected", 1), ("score_failed", 1)]));
    let [released] = releases(&taken).try_into().expect("one");
    assert_eq!((released.run_id.as_str(), released.by.as_str()), ("run-0", "op"));

    office.decide(Decision { action: DISCARDED.into(), event_id: Some(evidence(3)), ..Decision::default() });
    let (tally, taken) = office.export(&office.plan());
    assert_eq!(Office::runs(&taken), ["run-0"]);
    assert_eq!(tally.withheld["discarded"], 1);
}

#[test]
fn what_rules_found_in_a_text_an_operator_may_let_in() {
    let text = |skip: usize| (0..300).filter(|n| *n != skip).map(|n| format!("word{n} ")).collect::<String>();
    let told = |text: &str| format!("{text} Write to a@example.com.");
    for (reason, kind) in
        [("near_duplicate", "sft"), ("secret_found", "sft"), ("secret_found", "rag"), ("secret_found", "preference")]
    {
        let mut office = Office::new(Codec::plain(), &[]);
        office.world.answer("a", 1, None, ("q", &text(1_000)), Category::Accepted);
        office.world.answer("b", 2, None, ("q", &told(&text(150))), Category::Accepted);
        office.world.answer("c", 3, None, ("q", "no"), Category::Rejected);
        let mut screen = secrets::Screen::open();
        screen.set(&"personal".parse().expect("a group"), secrets::Action::Quarantine);
        let plan = |office: &Office| {
            let plan = office.plan_of(kind);
            match reason {
                "near_duplicate" => Plan { near_duplicates: Some(0.8), ..plan },
                _ => Plan { screen: screen.clone(), ..plan },
            }
        };
        let (before, first) = office.export(&plan(&office));
        assert_eq!(first.reasons()["b"], reason, "{kind}");
        let release = |office: &mut Office, named: &str| {
            office.decide(Decision {
                action: RELEASED.into(),
                event_id: Some(evidence_of("b/2")),
                kind: Some(kind.into()),
                reason: format!("{named}: looked at"),
                ..Decision::default()
            });
        };
        release(&mut office, "category_rejected");
        assert_eq!(office.export(&plan(&office)).0.rows, before.rows, "{kind}: it was left out for something else");
        release(&mut office, reason);
        let (tally, second) = office.export(&plan(&office));
        assert!(tally.rows > before.rows && !tally.withheld.contains_key(reason), "{kind}: {tally:?}");
        let said: String = second.rows.iter().map(|(_, line)| line.as_str()).collect();
        assert!(said.contains("a@example.com"), "{kind}: what was found is left as it is");
        let [released] = releases(&second).try_into().expect("one");
        assert_eq!((released.reason.as_str(), released.run_id.as_str(), released.by.as_str()), (reason, "b", "op"));
        assert_eq!(office.export(&plan(&office)).0.quarantined, 0, "{kind}: said once");
    }
}

/// Id of the evidence of a recording.
fn evidence_of(recorded: &str) -> String {
    ids::derived(&[&ids::imported("test", recorded)], "materializer", "1", "", "evidence", 0)
}

#[test]
fn erasure_after_a_cut_makes_it_irreproducible_and_inside_it_does_not() {
    let keys = Arc::new(MemoryKeys::new());
    let mut office = Office::new(Codec::with_keys(keys.clone()), &[GOOD]);
    let world = &office.world;
    let (mut evidence, _) = world.record("run-9", 6);
    evidence.envelope.subject = Some("worker:7".into());
    evidence.envelope.id = ids::imported("test", "sealed");
    let position = world.append("evidence.v1", &evidence);
    world.judge(&evidence, &position, GOOD);
    let before = office.plan();
    let (tally, taken) = office.export(&before);
    assert_eq!((tally.erased_since.len(), taken.rows.len()), (0, 2));

    let key_id = keys.erase("worker:7").expect("a key");
    let (tally, taken) = office.export(&Plan { present: false, ..before.clone() });
    assert_eq!((tally.withheld["erased"], taken.rows.len()), (1, 1));
    assert_eq!(tally.erased_since, BTreeSet::from([key_id.clone()]));
    let remainder = before.remainder(&tally.erased_since).expect("a name");
    assert!(remainder.starts_with(&before.dataset().expect("a name")) && Ok(&remainder) != before.dataset().as_ref());

    office.decide(Decision { action: ERASED.into(), key_id: Some(key_id), ..Decision::default() });
    let (tally, _) = office.export(&office.plan());
    assert_eq!((tally.withheld["erased"], tally.erased_since.len()), (1, 0), "the cut has the decision in it");

    // What was erased and lies behind a cut is not counted in it.
    let earlier = Plan { cut: world_cut_without(&before.cut, &evidence), present: false, ..before };
    let (tally, _) = office.export(&earlier);
    assert!(!tally.withheld.contains_key("erased"), "{tally:?}");
}

/// The cut up to the run that an evidence is made of.
fn world_cut_without(cut: &Progress, evidence: &Event) -> Progress {
    let cause = wire::position(&evidence.envelope.causes[0]).expect("a position");
    let bound = |topic: &str, partition: u32, end: u64| {
        if topic == &*cause.topic && partition == cause.partition { cause.offset.min(end) } else { end }
    };
    cut.iter().map(|(topic, partition, end)| (topic.clone(), partition, bound(topic, partition, end))).collect()
}
