//! Limits that the types do not hold.

use crate::{plain_samples, sample};
use stillhouse_schemas::{Event, MAX_EXTRA, MAX_MESSAGES, MAX_TAGS, MAX_TOOL_CALLS, MAX_TOOLS, Payload, Run, check};

#[test]
fn samples_pass() {
    for event in plain_samples() {
        check(&event).unwrap_or_else(|e| panic!("{}: {e}", event.payload.event_type().name));
    }
}

fn field(event: &Event) -> String {
    check(event).expect_err("something is wrong").field
}

fn run(change: impl FnOnce(&mut Run)) -> Event {
    let mut event = sample("run", "full");
    let Payload::Run(run) = &mut event.payload else { panic!("a run") };
    change(run);
    event
}

#[test]
fn numbers_must_be_finite_and_in_range() {
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(field(&run(|r| r.outcome.reward = Some(number))), "payload.outcome.reward");
        assert_eq!(field(&run(|r| r.cost_usd = Some(number))), "payload.cost_usd");
        let mut event = sample("evidence", "full");
        let Payload::Evidence(e) = &mut event.payload else { panic!("evidence") };
        e.signals.insert("x".to_owned(), number);
        assert_eq!(field(&event), "payload.signals.x");
    }
    assert_eq!(field(&run(|r| r.cost_usd = Some(-0.01))), "payload.cost_usd");
    check(&run(|r| r.outcome.reward = Some(-1e308))).expect("a reward may be any finite number");
    assert_eq!(field(&run(|r| r.usage.as_mut().unwrap().output_tokens = Some(-1))), "payload.usage.output_tokens");
    for score in [f64::NAN, -0.1, 1.1] {
        let mut event = sample("score", "full");
        let Payload::Score(s) = &mut event.payload else { panic!("a score") };
        s.sub_scores.insert("x".to_owned(), score);
        assert_eq!(field(&event), "payload.sub_scores.x");
        let Payload::Score(s) = &mut event.payload else { panic!("a score") };
        s.score = score;
        assert_eq!(field(&event), "payload.score");
    }
}

#[test]
fn counts_are_capped() {
    fn grow<T: Clone + Default>(items: &mut Vec<T>, count: usize) {
        let one = items.first().cloned().unwrap_or_default();
        *items = vec![one; count];
    }
    for (over, expected) in [(0, None), (1, Some("payload.messages"))] {
        let event = run(|r| grow(&mut r.messages, MAX_MESSAGES + over));
        assert_eq!(check(&event).err().map(|e| e.field).as_deref(), expected);
    }
    assert_eq!(field(&run(|r| grow(&mut r.tools, MAX_TOOLS + 1))), "payload.tools");
    assert_eq!(field(&run(|r| grow(&mut r.tags, MAX_TAGS + 1))), "payload.tags");
    let calls = run(|r| grow(&mut r.messages[2].tool_calls, MAX_TOOL_CALLS + 1));
    assert_eq!(field(&calls), "payload.messages[2].tool_calls");
    let extra = run(|r| r.extra.extend((0..=MAX_EXTRA).map(|i| (i.to_string(), "1".to_owned()))));
    assert_eq!(field(&extra), "payload.extra");
}

#[test]
fn keys_times_and_texts() {
    let with = |change: &dyn Fn(&mut Event)| {
        let mut event = sample("run", "full");
        change(&mut event);
        field(&event)
    };
    assert_eq!(with(&|e| e.envelope.id = "no/slash".to_owned()), "id");
    assert_eq!(with(&|e| e.envelope.key = "other".to_owned()), "key");
    assert_eq!(with(&|e| e.envelope.key = "x".repeat(257)), "key");
    assert_eq!(with(&|e| e.envelope.occurred_at = -1), "occurred_at");
    assert_eq!(with(&|e| e.envelope.occurred_at = i64::MAX), "occurred_at");
    assert_eq!(with(&|e| e.envelope.subject = Some(String::new())), "subject");
    assert_eq!(with(&|e| e.envelope.producer.name = String::new()), "producer.name");
    assert_eq!(field(&run(|r| r.run_id = "a\nb".to_owned())), "payload.run_id");
    assert_eq!(field(&run(|r| r.run_id = String::new())), "payload.run_id");
    assert_eq!(field(&run(|r| r.started_at = Some(-1))), "payload.started_at");
    assert_eq!(field(&run(|r| r.ended_at = Some(i64::MAX))), "payload.ended_at");
    assert_eq!(field(&run(|r| r.trace_id = Some("xyz".to_owned()))), "payload.trace_id");
    assert_eq!(field(&run(|r| r.span_id = Some("0".repeat(32)))), "payload.span_id");
    assert_eq!(field(&run(|r| r.tools[0].name = String::new())), "payload.tools[0].name");
    assert_eq!(field(&run(|r| r.tools[0].parameters = Some("{".to_owned()))), "payload.tools[0].parameters");
    assert_eq!(field(&run(|r| drop(r.extra.insert("x".to_owned(), "plain".to_owned())))), "payload.extra.x");
    let deep = "[".repeat(200) + &"]".repeat(200);
    assert_eq!(field(&run(|r| r.messages[0].parts = Some(deep.clone()))), "payload.messages[0].parts");
    for text in ["\"\\ud800\"", "{\"\\ud800\": 1}", "1e400", "[1] 2", ""] {
        assert_eq!(field(&run(|r| r.messages[0].parts = Some(text.to_owned()))), "payload.messages[0].parts", "{text}");
    }
}

#[test]
fn words_of_a_kind() {
    let mut event = sample("validation", "full");
    let Payload::Validation(v) = &mut event.payload else { panic!("a validation") };
    v.verdict = "ok".to_owned();
    assert_eq!(field(&event), "payload.verdict");
    let mut event = sample("control", "full");
    let Payload::Control(c) = &mut event.payload else { panic!("a control") };
    c.action = "stop".to_owned();
    assert_eq!(field(&event), "payload.action");
    let mut event = sample("claim", "full");
    let Payload::Claim(c) = &mut event.payload else { panic!("a claim") };
    c.valid_from = Some(2_000_000_000_000_000);
    assert_eq!(field(&event), "payload.valid_until");
    let Payload::Claim(c) = &mut event.payload else { panic!("a claim") };
    (c.valid_from, c.confidence) = (None, Some(1.5));
    assert_eq!(field(&event), "payload.confidence");
    let Payload::Claim(c) = &mut event.payload else { panic!("a claim") };
    (c.confidence, c.value) = (None, "plain".to_owned());
    assert_eq!(field(&event), "payload.value");
}

#[test]
fn traceparents() {
    let with = |text: &str| {
        let mut event = sample("run", "least");
        event.envelope.traceparent = Some(text.to_owned());
        check(&event).is_ok()
    };
    assert!(with("00-0123456789abcdef0123456789abcdef-0123456789abcdef-00"));
    for bad in [
        "",
        "00-0123456789abcdef0123456789abcdef-0123456789abcdef",
        "ff-0123456789abcdef0123456789abcdef-0123456789abcdef-01",
        "00-0123456789ABCDEF0123456789abcdef-0123456789abcdef-01",
        "00-00000000000000000000000000000000-0123456789abcdef-01",
        "00-0123456789abcdef0123456789abcdef-0000000000000000-01",
        "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01-x",
    ] {
        assert!(!with(bad), "{bad}");
    }
}
