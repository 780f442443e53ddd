//! Validators from outside: what fails is in no dataset, a changed rule shows what it flips, and whoever asks is answered.

use crate::harness::{Reader, Stack, dataset, until};
use reqwest::blocking::Client;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use stillhouse_schemas::Payload;

const SETTINGS: &str = r#"
[processors.validator]
ready = "required"

[policies.house]
validators = ["house", { name = "length", settings = { max_words = 50 }, severities = { too_long = "warning" } }]

[validators.house]
doc = "No other agency is named."
rules = [{ code = "competitor", terms = ["Example Temps"], remedy = "Name no other agency." }]
"#;

fn email(run: &str, body: &str) -> Value {
    let artefact = json!({"to": "sam@example.com", "subject": "Your shift", "body": body}).to_string();
    json!({"run_id": run, "source_class": "email", "artefact": artefact, "outcome": {"verdict": "pass"},
        "messages": [{"role": "user", "content": format!("Write to Sam about {run}.")}, {"role": "assistant", "content": artefact}]})
}

fn post(address: &str, path: &str, body: &Value) -> (u16, Value) {
    let client = Client::builder().timeout(Duration::from_secs(60)).build().expect("a client");
    let request = client.post(format!("{address}{path}")).header("content-type", "application/json");
    let answer = request.body(body.to_string()).send().expect("an answer");
    let status = answer.status().as_u16();
    (status, serde_json::from_str(&answer.text().expect("a body")).expect("JSON"))
}

#[test]
fn what_fails_is_in_no_dataset_and_whoever_asks_is_answered() {
    let stack = Stack::embedded(3);
    stack.write("stillhouse.toml", SETTINGS);
    let (node, address) = stack.node(&[]);
    let chat = json!({"run_id": "chat", "outcome": {"verdict": "pass"},
        "messages": [{"role": "user", "content": "When?"}, {"role": "assistant", "content": "At six."}]});
    let runs = [
        email("plain", "Hi Sam, your shift is at six."),
        email("number", "Hi Sam, on file we have 123 dash 45 dash 6789."),
        chat,
    ];
    for run in &runs {
        assert_eq!(post(&address, "/v1/runs", run).0, 201);
    }
    // The answer comes after the event.
    let asked = json!({"policy": "email", "artefact": {"to": "sam@example.com", "subject": "s", "body": "It pays $22 an hour."}});
    let (status, answer) = post(&address, "/v1/validate", &asked);
    assert_eq!(
        (status, &answer["verdict"], &answer["findings"][0]["code"]),
        (200, &json!("fail"), &json!("pay_disclosed")),
        "{answer}"
    );
    assert_eq!((&answer["findings"][0]["span_start"], &answer["findings"][0]["field"]), (&json!(9), &json!("body")));
    let (status, batch) = post(
        &address,
        "/v1/validate",
        &json!({"policy": "house", "items": [{"artefact": "Fine."}, {"artefact": "As example temps says."}]}),
    );
    assert_eq!(
        (status, &batch["verdict"], &batch["results"][0]["verdict"]),
        (200, &json!("fail"), &json!("pass")),
        "{batch}"
    );
    assert_eq!(batch["results"][1]["findings"][0]["remedy"], "Name no other agency.");
    // A fill without a roster is never a pass.
    let fill = json!({"validators": ["fill"], "artefact": {"worker_id": "W-1", "job_id": "J-1"}});
    assert_eq!(post(&address, "/v1/validate", &fill).1["verdict"], "skipped");
    for (wrong, status, says) in [
        (json!({"artefact": "a"}), 422, "policy"),
        (json!({"policy": "email", "validators": ["pii"], "artefact": "a"}), 422, "not both"),
        (json!({"policy": "emial", "artefact": "a"}), 404, "emial"),
        (json!({"validators": ["nobody"], "artefact": "a"}), 404, "nobody"),
        (json!({"policy": "email"}), 422, "artefact"),
        (json!({"policy": "email", "items": []}), 422, "empty"),
        (json!({"policy": "email", "items": [{"artefact": "a"}, {"artifact": "a"}]}), 422, "artefact"),
        (json!({"policy": "email", "artefact": "a", "nonsense": 1}), 422, "nonsense"),
    ] {
        let (found, answer) = post(&address, "/v1/validate", &wrong);
        assert!(found == status && answer.to_string().contains(says), "{wrong}: {found} {answer}");
    }
    let checks = Reader::of(&stack).events("checks");
    let said: BTreeSet<String> = checks
        .iter()
        .filter_map(|(_, event)| match &event.payload {
            Payload::Checked(checked) => Some(format!("{} {}", checked.policy, checked.verdict)),
            _ => None,
        })
        .collect();
    assert_eq!(
        (checks.len(), said),
        (4, ["email fail", "house pass", "house fail", " skipped"].map(str::to_owned).into())
    );
    let reader = Reader::of(&stack);
    let validations = until("both are validated", || {
        let events = reader.events("validations");
        (events.len() == 2).then_some(events)
    });
    let verdicts: BTreeMap<String, String> = validations
        .into_iter()
        .filter_map(|(_, event)| match event.payload {
            Payload::Validation(v) => Some((v.run_id, v.verdict)),
            _ => None,
        })
        .collect();
    assert_eq!(verdicts, [("plain", "pass"), ("number", "fail")].map(|(r, v)| (r.to_owned(), v.to_owned())).into());
    assert!(node.stop().success());

    let made = dataset(&stack.export("out"));
    let rows: BTreeSet<&str> = made.rows.iter().map(|row| row.run_id.as_str()).collect();
    assert_eq!(rows, ["chat", "plain"].into());
    let quarantine = stack.ok(&["quarantine"]);
    assert!(quarantine.contains("validation_failed") && quarantine.contains("number"), "{quarantine}");

    // The same rules give the same verdicts; another weight flips one, which is said.
    let softer =
        r#"policies={"soft":{"classes":["email"],"validators":[{"name":"email","severities":{"ssn":"warning"}}]}}"#;
    stack.ok(&["rewind", "validator", "--as", "v2"]);
    stack.ok(&["rewind", "validator", "--as", "v3", "--set", "ready=off", "--set", softer]);
    let diff = |right: &str| -> Value {
        serde_json::from_str(&stack.ok(&["diff", "validations", right, "-o", "json"])).expect("JSON")
    };
    let same = diff("validations.v2");
    assert_eq!((&same["equal"], &same["flipped"]), (&json!(2), &json!(0)), "{same}");
    let flipped = diff("validations.v3");
    assert_eq!((&flipped["flipped"], &flipped["flips"][0]["run_id"]), (&json!(1), &json!("number")), "{flipped}");
    stack.ok(&["promote", "validator", "v3"]);
    let made = dataset(&stack.export("softer"));
    assert_eq!(made.rows.len(), 3);
}

#[test]
fn the_verb_says_what_is_wrong_and_ends_with_6() {
    let stack = Stack::embedded(1);
    stack.write("stillhouse.toml", SETTINGS);
    stack.write("mail.txt", "To: sam@example.com\nSubject: Shift\n\nHi Sam, your SSN is 123-45-6789.");
    stack.write("plain.json", r#"{"to": "sam@example.com", "subject": "Shift", "body": "Hi Sam, see you."}"#);
    let ended = stack.run(&["validate", "mail.txt", "--policy", "email"]);
    ended.fails(6, &["did not pass"]);
    assert!(ended.stdout.contains("email.ssn at body 20..31"), "{}", ended.stdout);
    assert!(stack.ok(&["validate", "plain.json", "--with", "email", "--with", "pii"]).contains("pass"));
    let lines = b"{\"artefact\": \"Fine.\"}\n{\"artefact\": \"Example Temps\"}\n";
    stack.feed(&["validate", "--lines", "--policy", "house"], lines).fails(6, &["1 of 2"]);
    stack.run(&["validate", "plain.json"]).fails(2, &["--policy"]);
    stack.run(&["validate", "plain.json", "--policy", "emial"]).fails(3, &["did you mean `email`"]);
    assert!(stack.ok(&["validate", "--list"]).contains("numbers_match_source"));
    stack.write("stillhouse.toml", SETTINGS.replace("terms = [", "trems = ["));
    stack.run(&["topics"]).fails(4, &["[validators.house]", "trems"]);
}

const KNOWING: &str = r#"
[policies.known]
classes = ["fill"]
validators = ["fill", "held_claims"]

[processors.reconciler]
authority = '{"registry": 3}'
"#;

/// What validations of a generation say, by run: verdict, codes, the roster, and up to when claims counted.
fn validated(stack: &Stack, topic: &str) -> BTreeMap<String, (Value, Vec<String>, Value, String)> {
    let tailed = stack.ok(&["tail", topic, "--from", "beginning", "-o", "jsonl"]);
    let of = |line: &str| {
        let event: Value = serde_json::from_str(line).expect("JSON");
        let said = &event["event"]["payload"];
        let found =
            said["reasons"].as_array().into_iter().flatten().map(|f| f["code"].as_str().expect("a code").to_owned());
        let cut: Value = serde_json::from_str(said["claims_cut"].as_str().expect("a cut")).expect("JSON");
        let at = cut["at"].as_str().expect("a time").to_owned();
        let run = said["run_id"].as_str().expect("a run").to_owned();
        (run, (said["verdict"].clone(), found.collect(), said["roster_version"].clone(), at))
    };
    tailed.lines().map(of).collect()
}

#[test]
fn the_roster_and_the_claims_are_those_of_the_time() {
    let stack = Stack::embedded(3);
    stack.write("stillhouse.toml", KNOWING);
    let load = |seed: &str| -> String {
        stack.ok(&["roster", "generate", "--workers", "50", "--seed", seed, "--out", "workers.parquet"]);
        let loaded: Value =
            serde_json::from_str(&stack.ok(&["roster", "load", "workers.parquet", "-o", "json"])).expect("JSON");
        loaded["version"].as_str().expect("a version").to_owned()
    };
    let claim = |value: &str, at: &str| {
        let payload = json!({"entity": "worker:W-9", "attribute": "status", "value": json!(value).to_string(), "source": "registry"});
        let line = json!({"occurred_at": at, "payload": payload}).to_string();
        stack.feed(&["append", "claims"], line.as_bytes()).ok();
    };
    let first = load("1");
    claim("do_not_use", "2026-02-01T00:00:00Z");
    let fill = |run: &str, at: &str| {
        let artefact = json!({"worker_id": "W-9", "job_id": "J-1"}).to_string();
        let payload = json!({"run_id": run, "source_class": "fill", "artefact": artefact, "outcome": {"verdict": "pass"},
            "messages": [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": artefact}]});
        json!({"occurred_at": at, "payload": payload}).to_string()
    };
    let runs = [fill("early", "2026-01-01T00:00:00Z"), fill("late", "2026-03-01T00:00:00Z")].join("\n");
    stack.feed(&["append", "runs"], runs.as_bytes()).ok();
    stack.ok(&["up", "--until-idle"]);

    let held = |codes: &[String]| codes.iter().any(|code| code == "forbidden_by_claim");
    let live = validated(&stack, "validations");
    assert_eq!((held(&live["early"].1), held(&live["late"].1)), (false, true), "{live:?}");
    assert_eq!((live["early"].3.as_str(), live["late"].3.as_str()), ("2026-01-01T00:00:00Z", "2026-03-01T00:00:00Z"));
    assert!(
        live.values().all(|validation| validation.2 == json!(first)),
        "before the first roster there is no other: {live:?}"
    );

    // What comes later changes nothing of what was, unless it is asked for.
    let second = load("2");
    assert_ne!(first, second);
    claim("active", "2026-04-01T00:00:00Z");
    stack.ok(&["rewind", "validator", "--as", "v2"]);
    assert_eq!(validated(&stack, "validations.v2"), live);
    stack.ok(&["rewind", "validator", "--as", "v3", "--set", "as_of=newest"]);
    let newest = validated(&stack, "validations.v3");
    assert!(newest.values().all(|v| v.2 == json!(second) && !held(&v.1) && v.3 == "newest"), "{newest:?}");

    // Who asks now is told what is held now.
    let fill = br#"{"worker_id": "W-9", "job_id": "J-1"}"#;
    assert!(!stack.feed(&["validate", "--policy", "known"], fill).stdout.contains("forbidden_by_claim"));
    claim("do_not_use", "2026-05-01T00:00:00Z");
    let ended = stack.feed(&["validate", "--policy", "known"], fill);
    ended.fails(6, &["did not pass"]);
    assert!(ended.stdout.contains("held_claims.forbidden_by_claim at worker_id"), "{}", ended.stdout);
}
