//! Each source class, from a run to its signals, its score and its row.

use crate::support::*;
use proptest::prelude::*;
use stillhouse_processors::exporter::templates::template;
use stillhouse_processors::materializer::{CLASSES, SIGNALS, class_of};
use stillhouse_schemas::{Evidence, Passage, Run};

fn asked(class: &str, answer: &str) -> Run {
    Run {
        source_class: Some(class.to_owned()),
        messages: vec![message("user", "Please."), message("assistant", answer)],
        ..chat("r")
    }
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn passages(texts: &[(&str, &str)]) -> Vec<Passage> {
    texts.iter().map(|(id, text)| Passage { id: some(id), text: (*text).to_owned(), source: None }).collect()
}

/// The signals that a class has of its own and are not zero, then category and score.
fn outcome(run: Run) -> (Vec<(String, f64)>, &'static str, f64) {
    let evidence = evidence(run);
    let own = |name: &str| SIGNALS.iter().any(|signal| signal.name == name && !signal.always);
    let signals = evidence.signals.iter().filter(|(name, value)| own(name) && **value != 0.0);
    let signals = signals.map(|(name, value)| (name.clone(), *value)).collect();
    let score = judge(evidence, &[]).expect("a score");
    assert_eq!(score.decided_by, "rules");
    (signals, score.category.as_str(), score.score)
}

/// What it is, the run, the signals of its class, category and score.
type Case<'a> = (&'a str, Run, &'a [(&'a str, f64)], &'a str, f64);

fn check(cases: Vec<Case<'_>>) {
    for (what, run, signals, category, score) in cases {
        let signals: Vec<(String, f64)> = signals.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        assert_eq!(outcome(run), (signals, category, score), "{what}");
    }
}

#[test]
fn extractions_are_checked_against_their_schema() {
    const SCHEMA: &str = r#"{"type":"object","required":["name","start"],
        "properties":{"name":{"type":"string"},"start":{"type":"string","format":"date"}}}"#;
    const GOOD: &str = r#"{"name":"Worker 7","start":"2026-03-01"}"#;
    let with = |answer: &str, schema: &str, reference: &str| Run {
        response_schema: some(schema),
        reference: some(reference),
        ..asked("extraction", answer)
    };
    let json = ("json_answer", 1.0);
    check(vec![
        ("as asked", with(GOOD, SCHEMA, ""), &[json], "accepted", 1.0),
        ("fenced", with(&format!("```json\n{GOOD}\n```"), SCHEMA, ""), &[json], "accepted", 1.0),
        (
            "with words around",
            with(&format!("Here it is: {GOOD}"), SCHEMA, ""),
            &[json, ("surrounded_json", 1.0)],
            "accepted",
            1.0,
        ),
        (
            "a date that is none",
            with(r#"{"name":"W","start":"soon"}"#, SCHEMA, ""),
            &[json, ("schema_errors", 1.0)],
            "rejected",
            0.0,
        ),
        ("fields missing", with("{}", SCHEMA, ""), &[json, ("schema_errors", 2.0)], "rejected", 0.0),
        ("no JSON", with("Worker 7 starts in March.", SCHEMA, ""), &[], "rejected", 0.0),
        ("nothing", with(" ", SCHEMA, ""), &[], "rejected", 0.0),
        ("no schema", with(GOOD, "", ""), &[json], "accepted", 1.0),
        (
            "a schema that cannot be",
            with(GOOD, r#"{"type":"prophecy"}"#, ""),
            &[json, ("schema_invalid", 1.0), ("schema_unusable", 1.0)],
            "needs_human_review",
            0.5,
        ),
        (
            "a reference that it meets, spelled otherwise",
            with(r#"{"start":"2026-03-01","n":7.0,"name":"Worker 7"}"#, SCHEMA, r#"{"name":"Worker 7 ","n":7}"#),
            &[json, ("reference_fields", 2.0), ("reference_fields_met", 2.0), ("reference_match", 1.0)],
            "accepted",
            1.0,
        ),
        (
            "a reference that it meets in part",
            with(GOOD, SCHEMA, r#"{"name":"Worker 7","start":"2026-04-01"}"#),
            &[json, ("reference_fields", 2.0), ("reference_fields_met", 1.0)],
            "rejected",
            0.0,
        ),
    ]);
    let found = evidence(with(&format!("Here it is: {GOOD}"), SCHEMA, ""));
    assert_eq!(found.artefact.as_deref(), Some(GOOD), "what it proposes is in the evidence");
}

#[test]
fn retrievals_are_checked_against_their_passages() {
    let texts = [
        ("d-1", "The night shift at Gate 4 begins at 22:00 and ends at 6:00. Bring steel-toed boots."),
        ("d-2", "Parking is free for workers until March 2026."),
    ];
    let with = |answer: &str, reference: &str| Run {
        passages: passages(&texts),
        reference: some(reference),
        ..asked("retrieval", answer)
    };
    let given = ("passages", 2.0);
    check(vec![
        (
            "found and cited",
            with("The night shift begins at 22:00 [d-1]. Parking is free until March 2026 [2].", ""),
            &[("citations", 2.0), ("claims", 2.0), ("grounded_claims", 2.0), given],
            "accepted",
            1.0,
        ),
        (
            "another number",
            with("The night shift at Gate 4 begins at 23:00.", ""),
            &[("claims", 1.0), given],
            "rejected",
            0.0,
        ),
        (
            "half of it made up",
            with("The night shift begins at 22:00. Lunch vouchers are handed out daily by supervisors.", ""),
            &[("claims", 2.0), ("grounded_claims", 1.0), given],
            "needs_human_review",
            0.5,
        ),
        (
            "a citation of nothing",
            with("Parking is free [d-9].", ""),
            &[("citations", 1.0), ("claims", 1.0), ("grounded_claims", 1.0), given, ("unknown_citations", 1.0)],
            "rejected",
            0.25,
        ),
        (
            "says that they do not tell",
            with("The passages do not mention overtime pay.", ""),
            &[("declined", 1.0), given],
            "accepted",
            1.0,
        ),
        ("declines what could be told", with("I don't know.", "22:00"), &[("declined", 1.0), given], "rejected", 0.0),
        (
            "rightly declines",
            with("This is not in the passages.", "unanswerable"),
            &[("declined", 1.0), given, ("reference_match", 1.0)],
            "accepted",
            1.0,
        ),
        (
            "holds the reference",
            with("It begins at 22:00, at Gate 4.", "22:00"),
            &[("claims", 1.0), ("grounded_claims", 1.0), given, ("reference_match", 1.0)],
            "accepted",
            1.0,
        ),
        (
            "a link is no citation",
            with("Parking is free, see [the page 7](https://example.com/7).", ""),
            &[("claims", 1.0), given],
            "rejected",
            0.0,
        ),
        (
            "without passages",
            Run { passages: vec![], ..with("Parking is free.", "") },
            &[("claims", 1.0)],
            "needs_human_review",
            0.5,
        ),
    ]);
}

#[test]
fn reasoning_is_checked_against_its_reference() {
    let with = |answer: &str, reference: &str| Run { reference: some(reference), ..asked("reasoning", answer) };
    let right: &[(&str, f64)] = &[("reference_match", 1.0)];
    check(vec![
        ("a fraction", with("So it is \\boxed{\\frac{3}{4}}.", "0.75"), right, "accepted", 1.0),
        ("a choice", with("The answer is (B).", "B. Gate 5"), right, "accepted", 1.0),
        ("a wrong number", with("Answer: 41", "42"), &[], "rejected", 0.0),
        ("nothing to compare with", with("Answer: 41", ""), &[], "accepted", 1.0),
    ]);
}

#[test]
fn agents_keep_to_their_policy() {
    let policy = r#"{"policy":{"forbidden_tools":["delete"],"confirmed_tools":["cancel"],"max_calls":2}}"#;
    let with = |turns: &[(&str, &str)]| {
        let mut messages = vec![];
        for (i, (role, text)) in turns.iter().enumerate() {
            let id = format!("c{i}");
            match *role {
                "call" => messages.extend([calls(&[(&id, text, &format!("{{\"n\":{i}}}"))]), reply(&id, "done")]),
                role => messages.push(message(role, text)),
            }
        }
        messages.push(message("assistant", "There you are."));
        Run { messages, context: some(policy), ..asked("agent", "") }
    };
    let cancel = ("call", "cancel");
    check(vec![
        (
            "kept",
            with(&[("user", "Cancel it."), ("assistant", "Sure?"), ("user", "Yes, go."), cancel]),
            &[],
            "accepted",
            1.0,
        ),
        ("not confirmed", with(&[("user", "Cancel it."), cancel]), &[("policy_breaches", 1.0)], "rejected", 0.25),
        ("forbidden", with(&[("user", "Yes."), ("call", "delete")]), &[("policy_breaches", 1.0)], "rejected", 0.25),
        (
            "too many",
            with(&[("user", "Go."), ("call", "a"), ("call", "b"), ("call", "c")]),
            &[("policy_breaches", 1.0)],
            "rejected",
            0.25,
        ),
        ("no policy", Run { context: None, ..with(&[("user", "Go."), ("call", "delete")]) }, &[], "accepted", 1.0),
    ]);
}

#[test]
fn reviews_give_a_definite_verdict_over_something() {
    let with = |answer: &str, artefact: &str, reference: &str| Run {
        artefact: some(artefact),
        reference: some(reference),
        ..asked("review", answer)
    };
    const DRAFT: &str = r#"{"body":"Come at six."}"#;
    let whole: &[(&str, f64)] = &[("artefact_given", 1.0), ("verdict_definite", 1.0), ("verdict_given", 1.0)];
    let right = |name: &'static str| [whole, &[(name, 1.0)]].concat();
    let met =
        [&right("reference_match")[..1], &right("reference_match")[3..], &right("reference_match")[1..3]].concat();
    check(vec![
        ("in a line", with("It is polite.\n\n**Verdict:** approve, with thanks", DRAFT, ""), whole, "accepted", 1.0),
        ("in JSON", with(r#"{"verdict": "request changes", "why": "no date"}"#, DRAFT, ""), whole, "accepted", 1.0),
        ("alone", with("Rejected.", DRAFT, ""), whole, "accepted", 1.0),
        ("the right one", with("Verdict: reject", DRAFT, "rejected"), &met, "accepted", 1.0),
        ("the wrong one", with("Verdict: approve", DRAFT, "rejected"), whole, "rejected", 0.0),
        (
            "none that decides",
            with("Verdict: unsure", DRAFT, ""),
            &[("artefact_given", 1.0), ("verdict_given", 1.0)],
            "needs_human_review",
            0.5,
        ),
        ("none", with("It has its good sides.", DRAFT, ""), &[("artefact_given", 1.0)], "rejected", 0.0),
        (
            "over nothing",
            with("Verdict: approve", "", ""),
            &[("verdict_definite", 1.0), ("verdict_given", 1.0)],
            "needs_human_review",
            0.5,
        ),
    ]);
}

#[test]
fn fills_and_emails_are_whole() {
    let fill = |artefact: &str, context: &str| Run {
        artefact: some(artefact),
        context: some(context),
        ..asked("fill", r#"{"worker_id":"w-1","job_id":"j-1"}"#)
    };
    let email = |answer: &str, artefact: &str, context: &str| Run {
        artefact: some(artefact),
        context: some(context),
        ..asked("email", answer)
    };
    const JOB: &str = r#"{"job":{"id":"j-1","headcount":1},"candidates":[{"worker_id":"w-1"},{"worker_id":"w-2"}]}"#;
    const TEXT: &str = "To: w-1@example.com\nSubject: Shift\n\nCome at six.";
    let wrong = |n| vec![("structure_errors", n)];
    check(vec![
        ("a fill in the answer", fill("", JOB), &[], "accepted", 1.0),
        ("without a job", fill(r#"{"worker_id":"w-1"}"#, ""), &wrong(1.0), "rejected", 0.25),
        ("without a worker", fill(r#"{"job_id":"j-1"}"#, ""), &wrong(1.0), "rejected", 0.25),
        (
            "one twice",
            fill(r#"{"job_id":"j","fills":[{"worker":{"id":7}},{"worker":{"id":7}}]}"#, ""),
            &wrong(1.0),
            "rejected",
            0.25,
        ),
        ("too many", fill(r#"["w-1","w-2"]"#, JOB), &wrong(1.0), "rejected", 0.25),
        ("a stranger", fill(r#"{"worker_id":"w-9"}"#, JOB), &[("unknown_workers", 1.0)], "rejected", 0.25),
        (
            "no proposal",
            Run { artefact: None, ..asked("fill", "I would take the first.") },
            &wrong(1.0),
            "rejected",
            0.25,
        ),
        ("an e-mail in the answer", email(TEXT, "", ""), &[], "accepted", 1.0),
        ("as JSON", email("Done.", r#"{"to":"a@example.com","subject":"S","body":"B"}"#, ""), &[], "accepted", 1.0),
        (
            "the recipient in the context",
            email("Subject: S\n\nB", "", r#"{"worker":{"name":"W"}}"#),
            &[],
            "accepted",
            1.0,
        ),
        ("without a subject", email("To: a@example.com\n\nCome.", "", ""), &wrong(1.0), "rejected", 0.25),
        ("without anything", email("Come at six.", "", ""), &wrong(2.0), "rejected", 0.25),
        (
            "left to be filled in",
            email(&format!("{TEXT}\nBest, [Your Name]"), "", ""),
            &[("placeholders", 1.0)],
            "rejected",
            0.25,
        ),
    ]);
    let sent = evidence(email(TEXT, "", ""));
    assert_eq!(sent.artefact.as_deref(), Some(r#"{"body":"Come at six.","subject":"Shift","to":"w-1@example.com"}"#));
}

#[test]
fn a_class_is_told_by_what_a_run_holds_in_a_stated_order() {
    let plain = |answer: &str| Run { source_class: None, ..asked("", answer) };
    let email = r#"{"to":"a@example.com","subject":"S","body":"B"}"#;
    let given = || passages(&[("", "text")]);
    for (what, run, class) in [
        ("a message", Run { artefact: some(email), ..plain("Done.") }, "email"),
        ("a message under review", Run { artefact: some(email), ..plain("Verdict: approve") }, "review"),
        ("a proposal", Run { artefact: some(r#"{"worker_id":"w"}"#), ..plain("Done.") }, "fill"),
        (
            "a proposal made with tools",
            Run { artefact: some(r#"{"worker_id":"w"}"#), tools: vec![tool("f")], ..plain("Done.") },
            "fill",
        ),
        ("something else", Run { artefact: some(r#"{"code":"x"}"#), ..plain("Hm.") }, "review"),
        ("an artefact that is none", Run { artefact: some("{}"), ..plain("Hm.") }, "chat"),
        ("tools before passages", Run { tools: vec![tool("f")], passages: given(), ..plain("x") }, "agent"),
        ("passages before a schema", Run { passages: given(), response_schema: some("{}"), ..plain("x") }, "retrieval"),
        (
            "a schema before a reference",
            Run { response_schema: some("{}"), reference: some("x"), ..plain("x") },
            "extraction",
        ),
        ("a reference", Run { reference: some("x"), ..plain("x") }, "reasoning"),
        ("nothing of it", plain("x"), "chat"),
    ] {
        assert_eq!(class_of(&run), class, "{what}");
    }
}

#[test]
fn every_class_has_a_template_and_criteria() {
    for class in CLASSES {
        assert_eq!(template(class.name).expect("a template").source_class, class.name);
        assert!(class.criteria.ends_with('.'), "{}", class.name);
    }
}

/// Text as models, users and attackers write it.
fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        r"\PC{0,60}",
        r##"([\[\]{}()<>\\0-9.,:;/%\-+*^$ #A-Ja-j"é【】]|\n|Verdict: |Subject: |To: |```|\\boxed\{|\\frac|worker_id|null){0,40}"##,
        Just(String::new()),
    ]
}

proptest! {
    /// Whatever a run holds, every class takes it or says why not, scores it, and makes a row or says why not.
    #[test]
    fn no_text_breaks_a_class(
        class in prop::sample::select(CLASSES.iter().map(|class| class.name).collect::<Vec<_>>()),
        texts in prop::array::uniform4(hostile()),
        json in prop::sample::select(vec![
            "{}", "[]", "7", "null", "\"x\"", r##"{"$ref":"#"}"##, r#"{"type":"object"}"#, r#"{"worker_id":{"id":[]}}"#,
            r#"{"policy":{"forbidden_tools":[7],"max_calls":-1}}"#, r#"{"body":"{{x}}","to":[null]}"#,
            r#"{"fills":[1,null,{"job":{}}],"headcount":0,"candidates":[{}]}"#,
        ]),
        with_tools: bool,
    ) {
        let [asked, answered, third, fourth] = texts;
        let mut run = Run {
            source_class: Some(class.to_owned()),
            messages: vec![message("user", &asked), message("assistant", &answered)],
            reference: some(&third),
            passages: vec![Passage { id: some(&fourth), text: asked.clone(), source: None }],
            response_schema: some(json),
            artefact: some(json),
            context: some(json),
            ..chat("r")
        };
        if with_tools {
            run.messages.insert(1, calls(&[("c", "f", &fourth)]));
            run.messages.insert(2, reply("c", &third));
        } else {
            run.artefact = None;
        }
        let _ = class_of(&run);
        let made: Evidence = evidence(run);
        let again = made.clone();
        let _ = (template(class).expect("a template").synthesise)(&made);
        let score = judge(made, &[]).expect("a score");
        prop_assert!((0.0..=1.0).contains(&score.score));
        prop_assert!(score.sub_scores.values().all(|value| (0.0..=1.0).contains(value)));
        prop_assert_eq!(judge(again, &[]).expect("a score"), score);
    }
}
