//! Loads as events, and rosters of events.

use proptest::collection::btree_map;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use stillhouse_roster::{Builder, Fold, Step, Table, changes, closing};
use stillhouse_schemas::roster::{Roster as _, Worker};
use stillhouse_schemas::{Codec, Envelope, Event, Payload, ids};

fn table(workers: &BTreeMap<u16, u8>) -> Table {
    let mut builder = Builder::default();
    // Not in order: what is made of them is.
    for (number, what) in workers.iter().rev() {
        let (id, name) = (format!("W-{number}"), format!("Name {what}"));
        let worker = Worker {
            id: &id,
            name: &name,
            certifications: vec!["B", "A"],
            place: (what % 2 == 0).then_some((0.1, -0.7)),
            pay: (what % 3 == 0).then_some((1, 2)),
            status: "active",
            ..Worker::default()
        };
        builder.push(&worker).expect("a good worker");
    }
    builder.finish().expect("no duplicates")
}

/// The events of a load of `new` on what the fold holds.
fn load(fold: &Fold, new: &Table, name: &str) -> Vec<Event> {
    let old = fold.newest().map(Arc::as_ref);
    let mut counts = [0; 3];
    let parts: Vec<_> = changes(old, new, name, &mut counts).collect();
    assert!(parts.iter().all(|part| part.workers.len() + part.removed.len() <= 500));
    let count = i32::try_from(parts.len()).expect("few");
    let end = closing(name, fold.ended_by(), old, new, count, counts, "test");
    let payloads = parts.into_iter().map(Payload::RosterChanged).chain([Payload::RosterLoaded(end)]);
    payloads
        .enumerate()
        .map(|(number, payload)| Event {
            envelope: Envelope {
                id: ids::imported("test", &format!("{name}/{number}")),
                key: name.to_owned(),
                ..Envelope::default()
            },
            payload,
        })
        .collect()
}

fn apply(fold: &mut Fold, events: &[Event]) -> Option<Step> {
    events.iter().map(|event| fold.apply(event)).last()
}

fn ignored(step: Option<Step>) -> String {
    match step {
        Some(Step::Ignored(why)) => why,
        other => panic!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Any history of loads, told to somebody else with every event repeated, gives the same rosters.
    #[test]
    fn a_history_can_be_told_again(history in proptest::collection::vec(btree_map(0_u16..1500, 0_u8..4, 0..1500), 1..4)) {
        let (mut told, mut again) = (Fold::default(), Fold::default());
        for (number, workers) in history.iter().enumerate() {
            let new = table(workers);
            let events = load(&told, &new, &format!("load-{number}"));
            apply(&mut told, &events);
            for event in events.iter().flat_map(|event| [event, event]) {
                let codec = Codec::plain();
                let encoded = codec.encode(event).expect("encoded");
                again.apply(&codec.decode(&encoded.value).expect("an event"));
            }
            for fold in [&told, &again] {
                let newest = fold.newest().expect("a roster");
                prop_assert_eq!(newest.version(), new.version());
                prop_assert!(newest.workers().eq(new.workers()));
                prop_assert!(fold.versions().iter().any(|(_, version)| version == new.version()));
            }
        }
        prop_assert_eq!(told.ended_by(), again.ended_by());
    }
}

#[test]
fn only_the_whole_load_on_what_stands_counts() {
    let tables: Vec<Table> =
        (0..4_u8).map(|what| table(&(0..1_200).map(|n| (n, if n % 5 == 0 { what } else { 0 })).collect())).collect();
    let mut fold = Fold::default();
    assert!(matches!(apply(&mut fold, &load(&Fold::default(), &tables[0], "a")), Some(Step::Swapped(_))));
    let (mine, theirs) = (load(&fold, &tables[1], "mine"), load(&fold, &tables[2], "theirs"));
    // Cut short: nobody sees it.
    apply(&mut fold, &mine[..mine.len() - 1]);
    assert_eq!(fold.newest().map(|t| t.version()), Some(tables[0].version()));
    // The first to end wins, and the other one is told.
    assert!(matches!(apply(&mut fold, &theirs), Some(Step::Swapped(_))));
    assert!(ignored(apply(&mut fold, &mine[mine.len() - 1..])).contains("no beginning"));
    assert!(ignored(apply(&mut fold, &mine)).contains("was made on"));
    assert_eq!(fold.newest().map(|t| t.version()), Some(tables[2].version()));
    // A part is missing; a version does not fit; a load of everything counts whatever stands.
    let mut holed = load(&fold, &tables[3], "holed");
    assert!(holed.len() >= 2);
    holed.remove(0);
    assert!(ignored(apply(&mut fold, &holed)).contains("no beginning"));
    let mut forged = load(&fold, &tables[3], "forged");
    if let Payload::RosterLoaded(end) = &mut forged.last_mut().expect("an end").payload {
        end.version = tables[1].version().to_owned();
    }
    assert!(ignored(apply(&mut fold, &forged)).contains("not"));
    let whole = load(&Fold::default(), &tables[3], "whole");
    assert!(matches!(apply(&mut fold, &whole), Some(Step::Swapped(t)) if t.version() == tables[3].version()));
    // To nobody, and back.
    let nobody = load(&fold, &table(&BTreeMap::new()), "nobody");
    assert!(matches!(apply(&mut fold, &nobody), Some(Step::Swapped(t)) if t.is_empty()));
    assert_eq!(fold.versions().len(), 4);
}
