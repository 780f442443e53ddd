use crate::support::map;
use stillhouse_processors::control::{DROPPED, Generations, PROMOTED, STARTED, State};
use stillhouse_processors::processor;
use stillhouse_schemas::{Control, Envelope, Event, Payload};
use stillhouse_streams::generation::Names;

fn control(action: &str, processor: &str, generation: &str) -> Control {
    Control {
        action: action.to_owned(),
        processor: processor.to_owned(),
        generation: generation.to_owned(),
        version: "1".to_owned(),
        ..Control::default()
    }
}

fn bound(mut control: Control, logical: &str, physical: &str) -> Control {
    control.inputs = map(&[(logical, physical)]);
    control
}

fn events(controls: &[Control]) -> Vec<Event> {
    let event = |(control, i): (&Control, i64)| Event {
        envelope: Envelope { id: format!("c{i}"), occurred_at: i, ..Envelope::default() },
        payload: Payload::Control(control.clone()),
    };
    controls.iter().zip(1..).map(event).collect()
}

fn fold(controls: &[Control]) -> Generations {
    Generations::fold(Names::new(""), &events(controls))
}

#[test]
fn the_first_generation_needs_no_words() {
    let generations = fold(&[]);
    for (logical, physical) in [
        ("runs", &["runs"][..]),
        ("evidence", &["evidence.v1"]),
        ("scores", &["scores.v1"]),
        ("quarantine", &["quarantine.materializer.v1", "quarantine.exporter.v1"]),
        ("quarantine.exporter", &["quarantine.exporter.v1"]),
        ("validations", &["validations.v1"]),
        ("control", &["control"]),
        ("exports", &["exports"]),
    ] {
        assert_eq!(generations.resolve(logical).unwrap(), physical, "{logical}");
        let prefixed: Vec<String> = physical.iter().map(|name| format!("lab.{name}")).collect();
        assert_eq!(Generations::new(Names::new("lab")).resolve(logical).unwrap(), prefixed);
    }
    assert_eq!((generations.live("scorer"), generations.before("scorer")), ("v1", None));
    assert_eq!(
        generations.active(processor("scorer").unwrap(), "v1").unwrap().version,
        stillhouse_processors::scorer::VERSION
    );
}

#[test]
fn promoting_moves_readers_and_promoting_again_undoes() {
    let start = control(STARTED, "materializer", "v2");
    let promote = |generation| control(PROMOTED, "materializer", generation);
    for (controls, live, before) in [
        (vec![start.clone()], "v1", None),
        (vec![start.clone(), promote("v2")], "v2", Some("v1")),
        (vec![start.clone(), promote("v2"), promote("v1")], "v1", Some("v2")),
        (vec![start.clone(), promote("v2"), promote("v2")], "v2", Some("v1")),
        (vec![start.clone(), promote("v1")], "v1", None),
    ] {
        let generations = fold(&controls);
        assert_eq!(
            (generations.live("materializer"), generations.before("materializer")),
            (live, before),
            "{controls:?}"
        );
        assert_eq!(generations.resolve("evidence").unwrap(), [format!("evidence.{live}")]);
        assert_eq!(generations.resolve("quarantine").unwrap()[0], format!("quarantine.materializer.{live}"));
        assert_eq!(
            generations.inputs(processor("scorer").unwrap(), "v1").unwrap(),
            [("evidence", vec![format!("evidence.{live}")]), ("labels", vec!["labels".to_owned()])]
        );
        assert!(generations.ignored().is_empty());
    }
}

#[test]
fn a_generation_reads_what_it_was_bound_to() {
    let generations = fold(&[
        control(STARTED, "materializer", "v2"),
        bound(control(STARTED, "scorer", "strict"), "evidence", "evidence.v2"),
        control(STARTED, "scorer", "loose"),
    ]);
    let inputs = |generation| generations.inputs(processor("scorer").unwrap(), generation).unwrap();
    let labels = ("labels", vec!["labels".to_owned()]);
    assert_eq!(inputs("strict"), [("evidence", vec!["evidence.v2".to_owned()]), labels.clone()]);
    assert_eq!(inputs("loose"), [("evidence", vec!["evidence.v1".to_owned()]), labels]);
    assert_eq!(generations.physical("scores"), ["scores.loose", "scores.strict", "scores.v1"]);
    assert_eq!(generations.output("scores", "strict"), "scores.strict");
}

#[test]
fn what_makes_no_sense_is_noted_and_changes_nothing() {
    let started = control(STARTED, "scorer", "v2");
    let dropped = [started.clone(), control(DROPPED, "scorer", "v2")];
    let promoted = [started.clone(), control(PROMOTED, "scorer", "v2")];
    let reads = [control(STARTED, "materializer", "v2"), bound(started.clone(), "evidence", "evidence.v2")];
    let other = Control { settings: map(&[("accept_at", "0.9")]), ..started.clone() };
    for (before, senseless, says) in [
        (&[][..], control(PROMOTED, "scorer", "v9"), "`scorer` has no generation `v9`; it has v1"),
        (&[], control(DROPPED, "scorer", "v9"), "`scorer` has no generation `v9`; it has v1"),
        (&[], control(PROMOTED, "socrer", "v1"), "no processor is called `socrer`; did you mean `scorer`?"),
        (&[], control(STARTED, "exporter", "v2"), "`exporter` runs when asked for"),
        (&[], control("paused", "scorer", "v1"), "`paused` is no action"),
        (&[], control(STARTED, "scorer", "a/b"), "is not a generation name"),
        (&[], bound(started.clone(), "runs", "runs"), "`scorer` does not read `runs`"),
        (
            &[],
            bound(started.clone(), "evidence", "scores.v1"),
            "`scores.v1` is no generation of `evidence`; there are evidence.v1",
        ),
        (&[], control(DROPPED, "scorer", "v1"), "generation `v1` of `scorer` is live; promote another one first"),
        (&promoted, control(DROPPED, "scorer", "v2"), "is live"),
        (&dropped, control(PROMOTED, "scorer", "v2"), "was dropped"),
        (&dropped, control(DROPPED, "scorer", "v2"), "was dropped"),
        (&dropped, started.clone(), "was dropped; start one under another name"),
        (std::slice::from_ref(&started), other, "already has a generation `v2` that differs"),
        (&reads, control(DROPPED, "materializer", "v2"), "is read by generation `scorer.v2`"),
    ] {
        let sound = fold(before);
        assert!(sound.ignored().is_empty(), "{:?}", sound.ignored());
        let refused = sound.check(&senseless).unwrap_err().to_string();
        assert!(refused.contains(says), "{refused}");
        let after = fold(&[before, std::slice::from_ref(&senseless)].concat());
        assert_eq!((after.ignored().len(), after.ignored()[0].event_id.clone()), (1, format!("c{}", before.len() + 1)));
        for name in ["materializer", "scorer", "exporter"] {
            assert_eq!(after.live(name), sound.live(name));
            assert!(after.of(name).eq(sound.of(name)), "{senseless:?}");
        }
    }
}

#[test]
fn dropping_ends_a_generation() {
    let generations = fold(&[control(STARTED, "scorer", "v2"), control(DROPPED, "scorer", "v2")]);
    let of: Vec<(&str, State)> = generations.of("scorer").map(|g| (g.name.as_str(), g.state)).collect();
    assert_eq!(of, [("v1", State::Active), ("v2", State::Dropped)]);
    assert_eq!(generations.physical("scores"), ["scores.v1"]);
    let after_promotion =
        fold(&[control(STARTED, "scorer", "v2"), control(PROMOTED, "scorer", "v2"), control(DROPPED, "scorer", "v1")]);
    assert_eq!(after_promotion.resolve("scores").unwrap(), ["scores.v2"]);
    let reader_gone = [
        control(STARTED, "materializer", "v2"),
        bound(control(STARTED, "scorer", "v2"), "evidence", "evidence.v2"),
        control(DROPPED, "scorer", "v2"),
        control(DROPPED, "materializer", "v2"),
    ];
    assert!(fold(&reader_gone).ignored().is_empty());
}

#[test]
fn an_event_that_comes_again_counts_once() {
    let all = events(&[
        control(STARTED, "scorer", "v2"),
        control(PROMOTED, "scorer", "v2"),
        control(PROMOTED, "scorer", "v1"),
    ]);
    let straight = Generations::fold(Names::default(), &all);
    let again = Generations::fold(Names::default(), all.iter().chain(&all[..2]).chain([&all[1]]));
    assert_eq!(straight, again);
    assert_eq!(again.live("scorer"), "v1");
    // Starting the same once more, as a command tried twice does, is no mistake either.
    let twice = fold(&[control(STARTED, "scorer", "v2"), control(STARTED, "scorer", "v2")]);
    assert!(twice.ignored().is_empty());
}

#[test]
fn the_first_generation_can_be_announced() {
    let announced = Control { settings: map(&[("accept_at", "0.9")]), ..control(STARTED, "scorer", "v1") };
    let generations = fold(&[announced.clone(), control(STARTED, "scorer", "v1")]);
    assert_eq!(generations.active(processor("scorer").unwrap(), "v1").unwrap().settings, announced.settings);
    assert_eq!(generations.ignored().len(), 1, "and not twice in two ways");
}

#[test]
fn topics_are_located_by_any_of_their_names() {
    let generations = Generations::fold(Names::new("lab"), &events(&[control(STARTED, "scorer", "v2")]));
    for (name, physical) in [
        ("scores", "lab.scores.v1"),
        ("scores.v2", "lab.scores.v2"),
        ("lab.scores.v2", "lab.scores.v2"),
        ("runs", "lab.runs"),
        ("lab.runs", "lab.runs"),
        ("quarantine.materializer.v1", "lab.quarantine.materializer.v1"),
    ] {
        assert_eq!(generations.locate(name).unwrap(), [physical], "{name}");
    }
    for (name, meant) in
        [("score", Some("scores")), ("scores.v3", Some("scores.v1")), ("evidense", Some("evidence")), ("zzz", None)]
    {
        assert_eq!(generations.locate(name).unwrap_err().nearest.as_deref(), meant, "{name}");
    }
}
