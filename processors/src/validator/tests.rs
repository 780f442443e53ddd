//! The table as a whole: rosters of few, hostile texts, policies, rules.

use super::remote;
use super::*;
use crate::reconciler::{Rule, Word};
use futures::executor::block_on;
use proptest::prelude::*;
use serde_json::json;
use std::collections::BTreeMap;
use stillhouse_schemas::claims::{Claims, Held};
use stillhouse_schemas::roster::{Roster, Worker};
use stillhouse_schemas::{Claim, Micros};

/// A roster of few.
#[derive(Debug, Default)]
pub(super) struct Few(pub(super) Vec<Worker<'static>>);

impl Roster for Few {
    fn version(&self) -> &str {
        "few"
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn worker(&self, id: &str) -> Option<Worker<'_>> {
        self.0.iter().find(|worker| worker.id == id).cloned()
    }

    fn named(&self, name: &str, most: usize) -> Vec<Worker<'_>> {
        let parts = persons::parts(name);
        self.0.iter().filter(|worker| persons::parts(worker.name) == parts).take(most).cloned().collect()
    }
}

/// Plainly made-up workers.
pub(super) fn roster() -> Few {
    let worker = |id, name, role, city, state| Worker {
        id,
        name,
        role,
        city,
        state,
        status: "active",
        available_from: Some(20_454),  // 2026-01-01
        available_until: Some(20_819), // 2027-01-01
        pay: Some((1_800, 2_600)),
        ..Worker::default()
    };
    Few(vec![
        Worker {
            certifications: vec!["OSHA-10", "Forklift"],
            phone: "(312) 555-0101",
            email: "maria.garcia@example.com",
            place: Some((41.88, -87.63)),
            ..worker("W-1001", "María García", "Forklift Operator", "Chicago", "IL")
        },
        Worker {
            phone: "312-555-0102",
            email: "bill.chen@example.com",
            place: Some((41.90, -87.70)),
            ..worker("W-1002", "William Chen", "Forklift Operator", "Chicago", "IL")
        },
        Worker { status: "do_not_use", ..worker("W-1003", "Dana Sample", "Forklift Operator", "Chicago", "IL") },
        Worker { status: "inactive", ..worker("W-1004", "Ira Testman", "Forklift Operator", "Chicago", "IL") },
        Worker { status: "on_assignment", ..worker("W-1005", "Uma Placeholder", "Forklift Operator", "Chicago", "IL") },
        Worker {
            place: Some((34.05, -118.24)),
            ..worker("W-1006", "Lee Faraway", "Forklift Operator", "Los Angeles", "CA")
        },
        worker("W-1007", "Nia Nurse", "Registered Nurse", "Chicago", "IL"),
        Worker { phone: "+1 312 555 0102", ..worker("W-1008", "Bill Chen", "Forklift Operator", "Chicago", "IL") },
        worker("W-1009", "Sven Springfield", "Forklift Operator", "Springfield", "IL"),
        worker("W-1010", "Otto Ohio", "Welder", "Columbus", "OH"),
    ])
}

pub(super) fn check(
    name: &str,
    settings: &Value,
    artefact: &Artefact,
    context: &Value,
    roster: Option<&dyn Roster>,
) -> Checked {
    let check = (validator(name).unwrap().make)(settings).unwrap();
    check.check(&Subject { artefact, context, sources: &[], schema: None, roster, claims: None })
}

/// Claims, by the rule that these settings make.
#[derive(Debug)]
pub(super) struct Said(Vec<Word>, Rule);

impl Said {
    /// Who says what of which attribute of which worker, at which time.
    pub(super) fn new(set: &[&str], said: &[(&str, &str, &str, &str, Micros)]) -> Self {
        let given = crate::settings::pairs(set.iter().copied()).unwrap();
        let rule = Rule::new(&crate::processor("reconciler").unwrap().settings(&given).unwrap()).unwrap();
        let word =
            |(number, (source, entity, attribute, value, at)): (usize, &(&str, &str, &str, &str, Micros))| Word {
                claim_id: number.to_string(),
                asserted_at: *at,
                claim: Claim {
                    entity: (*entity).to_owned(),
                    attribute: (*attribute).to_owned(),
                    value: (*value).to_owned(),
                    source: (*source).to_owned(),
                    ..Claim::default()
                },
            };
        Self(said.iter().enumerate().map(word).collect(), rule)
    }
}

impl Claims for Said {
    fn rule(&self) -> String {
        self.1.config_hash().to_owned()
    }

    fn knows(&self, entity: &str) -> bool {
        self.0.iter().any(|word| word.claim.entity == entity)
    }

    fn held(&self, entity: &str, attribute: &str, at: Micros) -> Option<Held> {
        let about = self.0.iter().filter(|word| word.claim.entity == entity && word.claim.attribute == attribute);
        Some(Held::from(self.1.held(about, at)?))
    }

    fn same(&self, attribute: &str, a: &str, b: &str) -> bool {
        self.1.same(attribute, a, b)
    }
}

pub(super) fn codes(checked: &Checked) -> Vec<&str> {
    checked.findings.iter().map(|finding| finding.code.as_ref()).collect()
}

/// What is not agreed of a worker of the roster.
fn said() -> Said {
    let says = |source, value| (source, "worker:W-1001", "status", value, 1);
    Said::new(&[], &[says("a", r#""do_not_use""#), says("b", r#""active""#)])
}

/// Every span lies in its field's text, between characters.
fn spans_fit(artefact: &Artefact, checked: &Checked) {
    for finding in &checked.findings {
        let (Some(field), Some(span)) = (&finding.field, &finding.span) else { continue };
        if let Some(Value::String(text)) = artefact.at(field) {
            assert!(text.get(span.clone()).is_some(), "{} {field} {span:?} in {text:?}", finding.code);
        }
    }
}

#[test]
fn the_table_is_whole() {
    let mut names: Vec<&str> = VALIDATORS.iter().map(|validator| validator.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), VALIDATORS.len());
    for validator in VALIDATORS {
        let mut codes: Vec<&str> = validator.codes.iter().map(|code| code.code).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), validator.codes.len(), "{}", validator.name);
        assert!((validator.make)(&json!({"nonsense": 1})).is_err(), "{} takes any setting", validator.name);
    }
}

/// Texts made to keep a reader busy or to take it down.
fn hostile() -> Vec<(&'static str, String)> {
    let of = |piece: &str| piece.repeat((1 << 14) / piece.len());
    let mega = |piece: &str| piece.repeat((1 << 20) / piece.len());
    vec![
        ("digits", mega("7")),
        ("digits apart", of("7 ")),
        ("numbers", of("123-45-678 ")),
        ("spelled digits", of("one dash ")),
        ("separators", of("dash ")),
        ("quotes", of("> ")),
        ("nested brackets", of("[")),
        ("nested braces", of("{\"a\":")),
        ("open tags", of("<a ")),
        ("open blanks", of("{name ")),
        ("underscores", of("_")),
        ("bidirectional marks", of("\u{202e}\u{202d}")),
        ("zero-width characters", of("1\u{200b}")),
        ("look-alikes", of("сосіаӏ ѕесurіtу ")),
        ("combining marks", of("a\u{301}\u{302}\u{303}")),
        ("ligature of many", of("\u{fdfa}")),
        ("asks", of("send ssn ")),
        ("names of it", of("social security ")),
        ("pay", of("$1 pay ")),
        ("bill rates", of("bill rate 5 ")),
        ("pay bands", of("pay band pay ")),
        ("links", of("http://a@b/ ")),
        ("schemes", of("http://")),
        ("hosts", of("a.bc/d")),
        ("hosts without end", of("a.b-")),
        ("addresses", of("a@b.cd ")),
        ("at signs", of("@")),
        ("greetings", of("hi ")),
        ("capitals", of("Ab Cd ")),
        ("one line of commas", of(",")),
        ("a promise", of("guarantee ")),
        ("denials", of("not ")),
        ("percent signs", of("%A")),
        ("blank lines", of("\n")),
        ("nul", of("\0")),
        ("replacement characters", of("\u{fffd}")),
    ]
}

fn all() -> Vec<(&'static str, Box<dyn Check>)> {
    let settings = |name: &str| match name {
        "regex" => json!({"pattern": r"(a+)+$|(x*)*y", "folded": true}),
        "length" => json!({"max_chars": 10}),
        "json_schema" => json!({"schema": {"type": "object"}}),
        _ => Value::Null,
    };
    VALIDATORS.iter().map(|validator| (validator.name, (validator.make)(&settings(validator.name)).unwrap())).collect()
}

/// Not a timed test: with anything that is not linear it would not end.
#[test]
fn a_megabyte_of_anything_is_looked_through() {
    let (all, roster, said) = (all(), roster(), said());
    let claims = Some(Known { claims: &said, at: 2 });
    for (what, text) in hostile() {
        let context = json!({"worker_id": "W-1001", "candidates": [{"worker_id": "W-1002"}]});
        for artefact in
            [Artefact::of_text(text.clone()), Artefact::of_json(json!({"to": "a", "subject": "s", "body": text}))]
        {
            for (name, check) in &all {
                let sources = ["1 2 3"];
                let subject = Subject {
                    artefact: &artefact,
                    context: &context,
                    sources: &sources,
                    schema: None,
                    roster: Some(&roster),
                    claims,
                };
                let checked = check.check(&subject);
                assert!(checked.findings.len() <= MOST_FINDINGS, "{name} over {what}");
                spans_fit(&artefact, &checked);
            }
        }
    }
}

#[test]
fn a_proposal_of_many_is_looked_through() {
    let fills: Vec<Value> = (0..20_000)
        .map(|n| json!({"worker_id": "W-1001", "start": format!("2026-03-01T{:02}:00", n % 24), "end": "2026-03-02"}))
        .collect();
    let artefact = Artefact::of_json(json!({"job_id": "j", "fills": fills}));
    let checked = check("fill", &Value::Null, &artefact, &json!({"headcount": 1}), Some(&roster()));
    assert_eq!(checked.verdict(), Verdict::Fail);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    /// Whatever is said: nothing panics, and spans are between characters.
    #[test]
    fn any_text_is_looked_through(
        body in "(?s)([a-zA-Z0-9 $@.,:<>{}\\[\\]%_\n'-]|\\PC|[\u{200b}\u{202e}\u{ff10}-\u{ff19}\u{430}-\u{44f}]|Hi |Dear |ssn|https://|salary ){0,80}",
        subject in "\\PC{0,20}",
        to in "[a-zA-Z@.<> ,]{0,20}",
    ) {
        let (all, roster, said) = (all(), roster(), said());
        let claims = Some(Known { claims: &said, at: 2 });
        let context = json!({"worker_id": "W-1001", "candidates": ["W-1002"]});
        for artefact in [Artefact::of_text(body.clone()), Artefact::of_json(json!({"to": to, "subject": subject, "body": body}))] {
            for (_, check) in &all {
                let found = check.check(&Subject { artefact: &artefact, context: &context, sources: &["7"], schema: None, roster: Some(&roster), claims });
                spans_fit(&artefact, &found);
            }
        }
    }

    /// Proposals of any form.
    #[test]
    fn any_proposal_is_looked_through(json in json_value()) {
        let (all, roster, said) = (all(), roster(), said());
        let claims = Some(Known { claims: &said, at: 2 });
        for (artefact, context) in [(&json, &json!({"job": {"job_id": "j", "start": "2026-03-01"}})), (&json!({"worker_id": "W-1001", "job_id": "j"}), &json)] {
            let artefact = Artefact::of_json(artefact.clone());
            for (_, check) in &all {
                check.check(&Subject { artefact: &artefact, context, sources: &[], schema: None, roster: Some(&roster), claims });
            }
        }
    }
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        prop_oneof![
            Just("W-1001".to_owned()),
            Just("2026-03-01T25:99".to_owned()),
            Just("é026-03-01é".to_owned()),
            "\\PC{0,12}"
        ]
        .prop_map(Value::from),
    ];
    let names = prop_oneof![
        Just("worker_id"),
        Just("fills"),
        Just("job"),
        Just("job_id"),
        Just("start"),
        Just("end"),
        Just("pay_rate"),
        Just("candidates"),
        Just("assignments"),
        Just("certifications"),
        Just("lat"),
        Just("lon"),
        Just("city"),
        Just("role"),
        Just("to"),
        Just("body"),
        Just("worker"),
        Just("headcount"),
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(names.clone(), inner, 0..6).prop_map(|members| members
                .into_iter()
                .map(|(n, v)| (n.to_owned(), v))
                .collect::<serde_json::Map<_, _>>()
                .into()),
        ]
    })
}

#[test]
fn generic_validators_find_what_they_are_for() {
    let text = Artefact::of_text;
    type Case = (&'static str, Value, Artefact, &'static str, &'static [&'static str], Verdict);
    let cases: Vec<Case> = vec![
        ("regex", json!({"pattern": r"INT-\d+"}), text("See INT-12."), "", &["pattern"], Verdict::Fail),
        ("regex", json!({"pattern": r"INT-\d+"}), text("See it."), "", &[], Verdict::Pass),
        ("regex", json!({"pattern": "^hi", "must": "match", "folded": true}), text("НI there"), "", &[], Verdict::Pass),
        ("regex", json!({"pattern": "^hi", "must": "match"}), text("Hello"), "", &["pattern"], Verdict::Fail),
        (
            "pii",
            Value::Null,
            text("Call 312-555-0199 or write to a@example.com"),
            "",
            &["phone", "email"],
            Verdict::Pass,
        ),
        ("pii", Value::Null, text("Call ３１２-５５５-０１９９"), "", &["phone"], Verdict::Pass),
        ("pii", json!({"allow": ["A@example.com"]}), text("a@example.com"), "", &[], Verdict::Pass),
        ("pii", Value::Null, text("card 4111 1111 1111 1111"), "", &["card"], Verdict::Fail),
        ("pii", Value::Null, text("ssn one two three four five six seven eight nine"), "", &["ssn"], Verdict::Fail),
        ("pii", json!({"kinds": ["card"]}), text("123-45-6789"), "", &[], Verdict::Pass),
        ("length", json!({"max_words": 2}), text("one two three"), "", &["too_long"], Verdict::Fail),
        ("length", json!({"min_chars": 3}), text("  ab "), "", &["too_short"], Verdict::Fail),
        (
            "length",
            json!({"min_chars": 2, "field": "b"}),
            Artefact::of_json(json!({"b": "né"})),
            "",
            &[],
            Verdict::Pass,
        ),
        (
            "language",
            Value::Null,
            text("Gracias por su interés en el turno de la bodega para el lunes."),
            "",
            &["wrong_language"],
            Verdict::Fail,
        ),
        (
            "language",
            Value::Null,
            text("Thank you for your interest in the shift that we have."),
            "",
            &[],
            Verdict::Pass,
        ),
        ("language", Value::Null, text("OK"), "", &[], Verdict::Skipped),
        ("forbidden_claims", Value::Null, text("We guarantee it works."), "", &["forbidden_claim"], Verdict::Fail),
        ("forbidden_claims", Value::Null, text("We cannot say that it is guaranteed."), "", &[], Verdict::Pass),
        (
            "forbidden_claims",
            json!({"claims": ["market leader"]}),
            text("The Market-Leader."),
            "",
            &["forbidden_claim"],
            Verdict::Fail,
        ),
        (
            "numbers_match_source",
            Value::Null,
            text("65k people, 12.5 of them at 6 pm"),
            "65,000 people; 12.50; 18:00",
            &[],
            Verdict::Pass,
        ),
        (
            "numbers_match_source",
            Value::Null,
            text("On March 3 there are 41."),
            "2026-03-03: 40",
            &["number_not_in_source"],
            Verdict::Fail,
        ),
        ("numbers_match_source", Value::Null, text("41"), "", &[], Verdict::Skipped),
        ("numbers_match_source", json!({"up_to": 3}), text("1. two of 3\n2. a"), "x", &[], Verdict::Pass),
        (
            "json_schema",
            json!({"schema": {"required": ["a"]}}),
            Artefact::of_json(json!({})),
            "",
            &["schema_violation"],
            Verdict::Fail,
        ),
        ("json_schema", json!({"schema": {"type": "object"}}), text("hello"), "", &["not_json"], Verdict::Fail),
        ("json_schema", Value::Null, Artefact::of_json(json!({})), "", &[], Verdict::Skipped),
    ];
    let mut wrong = Vec::new();
    for (name, settings, artefact, source, expected, verdict) in cases {
        let check = (validator(name).unwrap().make)(&settings).unwrap();
        let sources = [source];
        let found = check.check(&Subject {
            artefact: &artefact,
            context: &Value::Null,
            sources: &sources,
            schema: None,
            roster: None,
            claims: None,
        });
        if (codes(&found).as_slice(), found.verdict()) != (expected, verdict) {
            wrong.push(format!("{name} {settings} {artefact:?}: {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn rules_are_written_without_rust() {
    let validators = json!({"house": {"rules": [
        {"code": "competitor", "terms": ["Acmé Staffing"], "severity": "warning", "remedy": "Name no other agency."},
        {"code": "internal_id", "regex": r"INT-\d{4}", "field": "body"},
        {"code": "no_signature", "required": ["signature"]},
        {"code": "hours", "number": {"field": "hours", "min": 1, "max": 12}},
    ]}});
    let policies = json!({"house": {"validators": ["house", {"name": "length", "settings": {"max_chars": 10}, "severities": {"too_long": "info"}}]},
        "mild": {"validators": [{"name": "house", "severities": {"internal_id": "off", "no_signature": "warning"}}]}});
    let all = Policies::parse(&policies.to_string(), &validators.to_string(), "on").unwrap();
    let artefact = Artefact::of_json(json!({"body": "As INT-1234 of acme staffing", "hours": 14}));
    let subject =
        Subject { artefact: &artefact, context: &Value::Null, sources: &[], schema: None, roster: None, claims: None };
    let report = block_on(all.policies["house"].check(&subject, None));
    let found: Vec<_> = report.findings().map(|(by, f)| (by, f.code.as_ref(), f.severity, f.span.clone())).collect();
    assert_eq!(
        found,
        [
            ("house", "competitor", Severity::Warning, Some(15..28)),
            ("house", "internal_id", Severity::Blocking, Some(3..11)),
            ("house", "no_signature", Severity::Blocking, None),
            ("house", "hours", Severity::Blocking, None),
            ("length", "too_long", Severity::Info, None),
        ]
    );
    assert_eq!(report.verdict(), Verdict::Fail);
    assert_eq!(report.findings().next().unwrap().1.remedy, "Name no other agency.");
    let mild = block_on(all.policies["mild"].check(&subject, None));
    assert_eq!(
        mild.findings().map(|(_, f)| f.code.as_ref()).collect::<Vec<_>>(),
        ["competitor", "no_signature", "hours"]
    );
    assert_eq!(all.of_class("email").map(|policy| policy.name.as_str()), Some("email"));
    assert!(all.required().is_empty());
}

#[test]
fn what_is_declared_wrongly_is_refused_by_name() {
    for (policies, validators, says) in [
        (
            json!({"p": {"validators": ["emial"]}}),
            json!({}),
            "[policies.p]: no validator is called `emial`; did you mean `email`?",
        ),
        (json!({"p": {"validators": []}}), json!({}), "[policies.p]: it has no validators"),
        (
            json!({"p": {"validators": ["email"], "classes": ["email"]}}),
            json!({}),
            "[policies.p]: class `email` has another policy, `email`: put their validators in one",
        ),
        (
            json!({"p": {"validators": [{"name": "fill", "severities": {"nonsense": "off"}}]}}),
            json!({}),
            "`fill` has no finding `nonsense`",
        ),
        (
            json!({"p": {"validators": [{"name": "fill", "severities": {"wrong_role": "bad"}}]}}),
            json!({}),
            "a severity is info, warning, blocking or off, not `bad`",
        ),
        (json!({"p": {"validators": ["length"]}}), json!({}), "[policies.p]: settings of `length`: it takes one of"),
        (
            json!({}),
            json!({"v": {"rules": [{"code": "a", "regex": "("}]}}),
            "[validators.v]: rule 1 (`a`): `regex` cannot be used",
        ),
        (json!({}), json!({"v": {"rules": [{"code": "a", "regex": "(?=a)"}]}}), "`regex` cannot be used"),
        (
            json!({}),
            json!({"v": {"rules": [{"code": "a", "regex": r"((\w{100}){100}){100}"}]}}),
            "`regex` cannot be used",
        ),
        (json!({}), json!({"v": {"rules": [{"code": "a"}]}}), "write one of regex, terms, required, number"),
        (json!({}), json!({"v": {"rules": [{"code": "A"}]}}), "`code` is a word"),
        (json!({}), json!({"v": {"rules": []}}), "0 rules"),
        (json!({}), json!({"fill": {"url": "http://localhost/"}}), "[validators.fill]: that name is taken"),
        (json!({}), json!({"v": {"url": "ftp://x"}}), "`url` is http:// or https://"),
        (json!({}), json!({"v": {"url": "http://u:p@x"}}), "`url` is http:// or https://"),
        (json!({"p": {"valdators": []}}), json!({}), "[policies.p]: unknown field `valdators`"),
    ] {
        let error = Policies::parse(&policies.to_string(), &validators.to_string(), "on").unwrap_err();
        assert!(error.contains(says), "{error}\nshould say: {says}");
    }
}

/// Answers what it was given.
#[derive(Debug)]
struct Answers(BTreeMap<String, Result<String, String>>);

#[async_trait::async_trait]
impl remote::Remotes for Answers {
    async fn post(&self, url: &str, _: u64, body: String) -> Result<String, String> {
        assert!(body.contains("\"artefact\":{\"a\":1}"));
        self.0[url].clone()
    }
}

#[test]
fn somebody_elses_validator_never_passes_by_failing() {
    let finding = |severity: &str| format!(r#"{{"code":"c","severity":"{severity}","message":"m","span":[0,1]}}"#);
    let cases = [
        (Ok(r#"{"verdict":"pass"}"#.to_owned()), Verdict::Pass, ""),
        (Ok(format!(r#"{{"verdict":"pass","findings":[{}]}}"#, finding("warning"))), Verdict::Pass, ""),
        (Ok(format!(r#"{{"verdict":"fail","findings":[{}]}}"#, finding("blocking"))), Verdict::Fail, ""),
        (Ok(r#"{"verdict":"skipped","reason":"busy"}"#.to_owned()), Verdict::Skipped, "busy"),
        (Ok(r#"{"verdict":"fail"}"#.to_owned()), Verdict::Skipped, "contradicts itself"),
        (
            Ok(format!(r#"{{"verdict":"pass","findings":[{}]}}"#, finding("blocking"))),
            Verdict::Skipped,
            "contradicts itself",
        ),
        (Ok(r#"{"verdict":"pass","score":1}"#.to_owned()), Verdict::Skipped, "unknown field `score`"),
        (Ok(r#"{"verdict":"yes"}"#.to_owned()), Verdict::Skipped, "no verdict"),
        (Ok(format!(r#"{{"verdict":"pass","findings":[{}]}}"#, finding("bad"))), Verdict::Skipped, "no severity"),
        (Ok("pass".to_owned()), Verdict::Skipped, "another form"),
        (Ok(String::new()), Verdict::Skipped, "another form"),
        (Err("no answer within 5 ms".to_owned()), Verdict::Skipped, "no answer within 5 ms"),
    ];
    let artefact = Artefact::of_json(json!({"a": 1}));
    let subject =
        Subject { artefact: &artefact, context: &Value::Null, sources: &[], schema: None, roster: None, claims: None };
    for (answer, verdict, why) in cases {
        let validators = json!({"theirs": {"url": "http://localhost/v", "timeout_ms": 5}}).to_string();
        let all = Policies::parse(&json!({"p": {"validators": ["theirs"]}}).to_string(), &validators, "on").unwrap();
        let answers = Answers([("http://localhost/v".to_owned(), answer.clone())].into());
        let report = block_on(all.policies["p"].check(&subject, Some(&answers)));
        assert_eq!(report.verdict(), verdict, "{answer:?}");
        let said = report.members[0].checked.skipped.clone().unwrap_or_default();
        assert!(said.contains(why), "{said}: {why}");
        assert_eq!(block_on(all.policies["p"].check(&subject, None)).verdict(), Verdict::Skipped);
    }
}
