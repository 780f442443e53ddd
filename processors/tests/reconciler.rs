//! What is held of claims: the rule's cases, and that no order of arrival says anything.

use crate::support::build;
use proptest::prelude::*;
use serde_json::json;
use std::collections::BTreeMap;
use stillhouse_processors::diff::{Verdict as Compared, diff};
use stillhouse_processors::reconciler::{MAX_CLAIMS, Rule, Status, Word};
use stillhouse_processors::{processor, settings, wire};
use stillhouse_schemas::{Claim, Codec, Envelope, Event, Payload, Producer, Verdict, check, ids};
use stillhouse_streams::runner::{Emit, Fault};
use stillhouse_streams::{Position, Received};

const DAY: i64 = 86_400_000_000;
const START: i64 = 1_767_225_600_000_000;

fn claim(attribute: &str, value: &str, source: &str) -> Claim {
    let (entity, attribute) = ("worker:17".to_owned(), attribute.to_owned());
    Claim { entity, attribute, value: value.to_owned(), source: source.to_owned(), ..Claim::default() }
}

fn event(claim: &Claim, day: i64) -> Event {
    let said = format!("{day} {}", Payload::Claim(claim.clone()).to_json());
    let envelope = Envelope {
        id: ids::imported("test", &said),
        key: claim.entity.clone(),
        occurred_at: START + day * DAY,
        producer: Producer { name: "test".into(), version: "1".into(), config_hash: String::new() },
        ..Envelope::default()
    };
    Event { envelope, payload: Payload::Claim(claim.clone()) }
}

fn received(event: &Event, offset: u64) -> Received {
    Received { position: Position::new("claims", 0, offset), record: wire::encode(&Codec::plain(), event).unwrap() }
}

fn events(emits: &[Emit]) -> Vec<Event> {
    let event = |emit: &Emit| wire::decode(&Codec::plain(), &emit.record).unwrap().unwrap();
    emits.iter().map(event).inspect(|event| check(event).expect("what is made is taken")).collect()
}

/// Everything that is made of claims that arrive in this order, `size` at a time.
fn arrive(claims: &[Event], size: usize, set: &[&str]) -> Vec<Event> {
    let join = build("reconciler", set).join().expect("a join");
    let records: Vec<Received> = claims.iter().zip(0..).map(|(claim, offset)| received(claim, offset)).collect();
    let mut made = Vec::new();
    for start in (0..records.len()).step_by(size.max(1)) {
        let end = (start + size.max(1)).min(records.len());
        let results = join.apply(&records[..end], end - start);
        made.extend(results.into_iter().flat_map(|result| events(&result.expect("no fault"))));
    }
    assert!(join.settle(&records).expect("no fault").is_empty());
    made
}

fn verdict(event: &Event) -> &Verdict {
    match &event.payload {
        Payload::Verdict(verdict) => verdict,
        other => panic!("{other:?}"),
    }
}

/// What counts of each attribute, without the places of its causes.
fn last(made: Vec<Event>) -> BTreeMap<String, Event> {
    let mut last: BTreeMap<String, Event> = BTreeMap::new();
    for mut event in made {
        event.envelope.causes.iter_mut().for_each(|cause| (cause.partition, cause.offset) = (0, 0));
        let known = last.entry(verdict(&event).attribute.clone()).or_insert_with(|| event.clone());
        if verdict(known).revision < verdict(&event).revision {
            *known = event;
        }
    }
    last
}

fn rule(set: &[&str]) -> Result<Rule, String> {
    let given = settings::pairs(set.iter().copied()).expect("pairs");
    let settings = processor("reconciler").unwrap().settings(&given).map_err(|e| e.to_string())?;
    Rule::new(&settings).map_err(|e| e.to_string())
}

fn words(claims: &[(&str, &str, i64)]) -> Vec<Word> {
    let word = |(source, value, day): &(&str, &str, i64)| {
        let claim = claim("pay", value, source);
        let event = event(&claim, *day);
        Word { claim_id: event.envelope.id, asserted_at: event.envelope.occurred_at, claim }
    };
    claims.iter().map(word).collect()
}

const PAY: &str = r#"attributes={"pay":{"unit":"USD/h","absolute":0.25,"relative":0.01}}"#;
const RANKS: &str = r#"authority={"registry":3,"crm/*":1}"#;

/// Name, settings, who said what on which day, and what comes of it: status, and the value that is held.
type Case<'a> = (&'a str, &'a [&'a str], &'a [(&'a str, &'a str, i64)], &'a str, Option<&'a str>);

#[test]
fn what_is_held() {
    let cases: &[Case<'_>] = &[
        ("one source", &[], &[("a", "1", 0)], "unverified", Some("1")),
        ("one that suffices", &[RANKS], &[("registry", "1", 0)], "agreed", Some("1")),
        ("a prefix has a rank", &[RANKS], &[("crm/x", "1", 0)], "agreed", Some("1")),
        ("two agree", &[], &[("a", "1", 0), ("b", "1.0", 1)], "agreed", Some("1.0")),
        ("one says it twice", &[], &[("a", "1", 0), ("a", "1", 1)], "unverified", Some("1")),
        ("two do not agree", &[], &[("a", "1", 0), ("b", "2", 1)], "contested", None),
        ("most do not outvote", &[], &[("a", "1", 0), ("b", "1", 0), ("c", "2", 1)], "contested", None),
        ("authority", &[RANKS], &[("registry", "1", 0), ("a", "2", 1), ("b", "2", 1)], "superseded", Some("1")),
        ("one corrects itself", &["agree=1"], &[("a", "1", 0), ("a", "2", 1)], "agreed", Some("2")),
        ("recency", &["recency_days=5", "agree=1"], &[("a", "1", 0), ("b", "2", 5)], "superseded", Some("2")),
        ("too recent", &["recency_days=5", "agree=1"], &[("a", "1", 0), ("b", "2", 4)], "contested", None),
        ("stale", &["stale_days=9", "agree=1"], &[("a", "1", 0), ("b", "2", 10)], "agreed", Some("2")),
        ("taken back", &["agree=1"], &[("a", "1", 0), ("b", "2", 0), ("b", "null", 1)], "agreed", Some("1")),
        ("nobody", &[], &[("a", "1", 0), ("a", "null", 1)], "unverified", None),
        (
            "units",
            &[PAY],
            &[("a", r#""$21.50/h""#, 0), ("b", r#""44,720 USD a year""#, 1)],
            "agreed",
            Some(r#""44,720 USD a year""#),
        ),
        ("tolerance", &[PAY], &[("a", "21.5", 0), ("b", r#""$21.74/hr""#, 1)], "agreed", Some(r#""$21.74/hr""#)),
        ("beyond it", &[PAY], &[("a", "21.5", 0), ("b", r#""$21.80/hr""#, 1)], "contested", None),
        ("currencies", &[PAY], &[("a", "21.5", 0), ("b", r#""€21.50/h""#, 1)], "contested", None),
        (
            "distance",
            &[r#"attributes={"pay":{"unit":"km","relative":0.01}}"#],
            &[("a", r#""12 mi""#, 0), ("b", "19.3", 1)],
            "agreed",
            Some("19.3"),
        ),
        (
            "text",
            &[],
            &[("a", r#"" Forklift operator""#, 0), ("b", r#""forklift  Operator""#, 1)],
            "agreed",
            Some(r#""forklift  Operator""#),
        ),
        (
            "an attribute's own",
            &[r#"attributes={"pay":{"agree":1,"authority":{"b":9}}}"#],
            &[("a", "1", 0), ("b", "2", 0)],
            "superseded",
            Some("2"),
        ),
    ];
    for (name, set, claims, status, value) in cases {
        let held = rule(set).unwrap().held(&words(claims), START + 10 * DAY).expect(name);
        assert_eq!((held.status.as_str(), held.value.as_deref()), (*status, *value), "{name}: {held:#?}");
        assert_eq!(held.sides.len(), claims.len(), "{name}: both sides are kept");
        assert!(!held.reasons.is_empty() && Status::named(&held.status).is_some(), "{name}");
        let stands = |standing: &str| held.sides.iter().filter(|side| side.standing == standing).count();
        assert_eq!(
            (stands("held"), stands("contests") > 1),
            (usize::from(value.is_some()), *status == "contested"),
            "{name}"
        );
        assert_eq!(held.source.is_some() && held.claim_id.is_some(), value.is_some(), "{name}: on whose word");
    }
}

#[test]
fn what_was_held_then() {
    let rule = rule(&["agree=1"]).unwrap();
    let mut said = words(&[("a", "1", 0), ("a", "2", 2), ("a", "3", 4)]);
    said[1].claim.valid_from = Some(START + 6 * DAY);
    said[1].claim.valid_until = Some(START + 8 * DAY);
    said[2].claim.valid_until = Some(START + 5 * DAY);
    let held = |day: i64| rule.held(&said, START + day * DAY).map(|v| (v.value.unwrap_or_default(), v.revision));
    let is = |value: &str, revision| Some((value.to_owned(), revision));
    assert_eq!([held(-1), held(0), held(3)], [None, is("1", 1), is("1", 2)]);
    assert_eq!([held(4), held(5), held(7), held(8)], [is("3", 3), is("1", 3), is("2", 3), is("1", 3)]);
}

#[test]
fn a_wrong_rule_is_refused() {
    for (set, says) in [
        (r#"attributes={"pay":{"unit":"shekels"}}"#, "attribute `pay`: `unit` is to be one such as USD/h, km or %"),
        (r#"attributes={"pay":{"tolerance":1}}"#, "unknown field `tolerance`"),
        (r#"attributes={"pay":{"relative":-1}}"#, "are not negative"),
        (r#"authority={"crm":"high"}"#, "`authority`: "),
        ("stale_days=-1", "`stale_days` is to be from 0"),
    ] {
        let said = rule(&[set]).expect_err(set);
        assert!(said.contains(says), "{said}");
    }
}

#[test]
fn claims_that_do_not_belong_are_refused() {
    let join = build("reconciler", &[]).join().unwrap();
    let mut astray = event(&claim("pay", "1", "a"), 0);
    astray.envelope.key = "worker:18".to_owned();
    let results = join.apply(&[received(&astray, 0)], 1);
    assert!(matches!(&results[0], Err(Fault::Lasting { message, .. }) if message.contains("`entity`")), "{results:?}");
}

#[test]
fn too_many_claims_are_said_to_be() {
    let join = build("reconciler", &[]).join().unwrap();
    assert_eq!(join.most().0, MAX_CLAIMS);
    let made = events(&join.overflow(&received(&event(&claim("pay", "1", "a"), 0), 0)).expect("no fault"));
    let verdict = verdict(&made[0]);
    assert_eq!((verdict.attribute.as_str(), verdict.status.as_str()), ("*", "unverified"));
    assert!(verdict.revision > MAX_CLAIMS as i64 && verdict.reasons[0].contains("more than"));
}

#[test]
fn a_changed_rule_is_a_diff() {
    let all = [
        event(&claim("pay", "1", "a"), 0),
        event(&claim("pay", "2", "b"), 1),
        event(&claim("city", "\"x\"", "a"), 0),
        event(&claim("city", "\"x\"", "b"), 1),
        event(&claim("role", "\"r\"", "a"), 0),
        event(&claim("role", "\"s\"", "b"), 0),
    ];
    let by_b = r#"attributes={"role":{"authority":{"b":2,"a":1}},"pay":{"recency_days":1,"agree":1}}"#;
    let by_a = r#"attributes={"role":{"authority":{"b":1,"a":2}}}"#;
    let found = diff(arrive(&all, 1, &[by_a]), arrive(&all, 6, &[by_b]));
    let status = |c: Compared| c.as_str();
    let flips: Vec<_> = found
        .flips
        .iter()
        .map(|f| {
            (
                f.attribute.as_deref().unwrap(),
                status(f.from),
                f.from_value.as_deref(),
                status(f.to),
                f.to_value.as_deref(),
            )
        })
        .collect();
    assert_eq!(
        flips,
        [
            ("pay", "contested", None, "superseded", Some("2")),
            ("role", "superseded", Some("\"r\""), "superseded", Some("\"s\"")),
        ]
    );
    assert_eq!((found.left, found.right, found.equal), (3, 3, 1));
    let fewer = diff(arrive(&all[..2], 1, &[]), arrive(&all[2..4], 1, &[]));
    assert_eq!(
        (fewer.only_left, fewer.only_right),
        (vec!["worker:17.pay".to_owned()], vec!["worker:17.city".to_owned()])
    );
}

/// A claim among few values, sources and times, so that they meet.
fn any_claim() -> impl Strategy<Value = Event> {
    let values = prop::sample::select(vec!["1", "1.004", "1.02", "2", "null", "\"$1/h\"", "\"x\"", "{\"a\":1}"]);
    let interval = prop::option::of((0..6_i64, 0..6_i64));
    let confidence = prop::option::of(prop::sample::select(vec![0.1, 0.9]));
    let who = (prop::sample::select(vec!["pay", "city"]), prop::sample::select(vec!["a", "b", "c", "d"]));
    (who, values, 0..6_i64, interval, confidence).prop_map(|((attribute, source), value, day, interval, confidence)| {
        let mut claim = Claim { confidence, ..claim(attribute, value, source) };
        if let Some((from, long)) = interval {
            (claim.valid_from, claim.valid_until) = (Some(START + from * DAY), Some(START + (from + long) * DAY));
        }
        event(&claim, day)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// The same claims give the same last verdicts, byte for byte, in whatever order, batches and repetitions they come.
    #[test]
    fn order_says_nothing(
        (claims, mixed) in prop::collection::vec(any_claim(), 1..12).prop_flat_map(|claims| {
            let twice: Vec<Event> = claims.iter().chain(claims.first()).cloned().collect();
            (Just(claims), Just(twice).prop_shuffle())
        }),
        sizes in (1..5_usize, 1..5_usize),
        rule in prop::sample::select(vec![
            json!({}),
            json!({"pay": {"unit": "USD/h", "relative": 0.01, "recency_days": 2, "agree": 1, "authority": {"a": 1, "b": 1}}}),
            json!({"pay": {"absolute": 0.017, "stale_days": 3, "authority": {"c": -1}}, "city": {"recency_days": 0.5}}),
        ]),
    ) {
        let set = format!("attributes={rule}");
        let one = last(arrive(&claims, sizes.0, &[&set]));
        let other = last(arrive(&mixed, sizes.1, &[&set]));
        prop_assert_eq!(&one, &other);
        for event in one.values() {
            let held = verdict(event);
            let of_it = |c: &&Event| matches!(&c.payload, Payload::Claim(c) if c.attribute == held.attribute);
            let ids: std::collections::BTreeSet<&str> = claims.iter().filter(of_it).map(|c| c.envelope.id.as_str()).collect();
            let causes: Vec<&str> = event.envelope.causes.iter().map(|c| c.id.as_str()).collect();
            prop_assert_eq!(&causes, &ids.iter().copied().collect::<Vec<_>>(), "its causes are the claims about it");
            prop_assert_eq!(held.sides.len(), ids.len(), "all sides are kept");
            prop_assert_eq!(event.envelope.occurred_at, held.as_of);
            prop_assert_eq!(held.revision, ids.len() as i64);
        }
    }
}
