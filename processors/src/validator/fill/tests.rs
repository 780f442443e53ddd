//! What a person at a staffing desk would stop, and what they would let go.

use super::super::tests::{check, codes, roster};
use super::super::{Artefact, Verdict};
use serde_json::{Value, json};

/// A job that W-1001 and W-1002 can do.
fn job() -> Value {
    json!({"job": {"job_id": "J-7", "role": "Forklift Operator", "city": "Chicago", "state": "IL", "lat": 41.88, "lon": -87.63,
        "start": "2026-03-02T06:00", "end": "2026-03-02T14:00", "headcount": 2, "pay_rate": 21.0}})
}

fn with(members: Value) -> Value {
    let mut context = job();
    for (name, value) in members.as_object().unwrap() {
        match name.strip_prefix("job.") {
            Some(name) => context["job"][name] = value.clone(),
            None => context[name] = value.clone(),
        }
    }
    context
}

fn two() -> Value {
    json!({"job_id": "J-7", "fills": [{"worker_id": "W-1001"}, {"worker_id": "W-1002"}]})
}

fn one(id: &str) -> Value {
    json!({"job_id": "J-7", "worker_id": id})
}

fn alone(members: Value) -> Value {
    let mut context = with(json!({"job.headcount": 1}));
    for (name, value) in members.as_object().unwrap() {
        match name.strip_prefix("job.") {
            Some(name) => context["job"][name] = value.clone(),
            None => context[name] = value.clone(),
        }
    }
    context
}

#[test]
fn what_a_person_would_stop() {
    let none = || json!({});
    let cases: Vec<(&str, Value, Value, &[&str])> = vec![
        ("nobody is proposed", json!({"job_id": "J-7", "fills": []}), job(), &["no_proposal"]),
        ("words instead of a proposal", json!("I would take Maria."), job(), &["no_proposal"]),
        (
            "an entry without a worker",
            json!({"job_id": "J-7", "fills": [{"worker_id": "W-1001"}, {"note": "?"}]}),
            alone(none()),
            &["no_worker_id"],
        ),
        ("no job anywhere", json!({"worker_id": "W-1001"}), json!({}), &["no_job"]),
        (
            "another job than was asked for",
            json!({"job_id": "J-8", "worker_id": "W-1001"}),
            alone(none()),
            &["wrong_job"],
        ),
        ("a worker that was made up", one("W-9999"), alone(none()), &["phantom_worker"]),
        ("an id with the letter O for a zero", one("W-1OO1"), alone(none()), &["phantom_worker"]),
        ("an id in Cyrillic", one("Ԝ-1001"), alone(none()), &["phantom_worker"]),
        ("a name for an id", one("María García"), alone(none()), &["phantom_worker"]),
        ("an id as a number", json!({"job_id": "J-7", "worker_id": 1001}), alone(none()), &["phantom_worker"]),
        (
            "the name of another worker",
            json!({"job_id": "J-7", "worker_id": "W-1001", "worker_name": "William Chen"}),
            alone(none()),
            &["name_mismatch"],
        ),
        (
            "a first name of one, a last name of another",
            json!({"job_id": "J-7", "worker_id": "W-1001", "name": "Maria Chen"}),
            alone(none()),
            &["name_mismatch"],
        ),
        (
            "a letter wrong in the name",
            json!({"job_id": "J-7", "worker_id": "W-1001", "name": "Maria Garcja"}),
            alone(none()),
            &["name_misspelt"],
        ),
        (
            "one worker twice",
            json!({"job_id": "J-7", "fills": [{"worker_id": "W-1001"}, {"worker_id": "W-1001"}]}),
            alone(none()),
            &["duplicate_worker"],
        ),
        (
            "one worker twice, written otherwise",
            json!({"job_id": "J-7", "fills": ["W-1001", "w-1001 "]}),
            alone(none()),
            &["duplicate_worker", "phantom_worker"],
        ),
        (
            "two ids of one person",
            json!({"job_id": "J-7", "worker_ids": ["W-1002", "W-1008"]}),
            job(),
            &["same_person"],
        ),
        (
            "not among the candidates",
            one("W-1002"),
            alone(json!({"candidates": [{"worker_id": "W-1001"}]})),
            &["not_a_candidate"],
        ),
        ("excluded by the client", one("W-1001"), alone(json!({"do_not_send": ["W-1001"]})), &["excluded_worker"]),
        (
            "excluded by the job",
            one("W-1001"),
            alone(json!({"job.excluded_workers": [{"id": "W-1001"}]})),
            &["excluded_worker"],
        ),
        ("one too many", two(), alone(none()), &["over_headcount"]),
        ("one too few", one("W-1001"), job(), &["under_headcount"]),
        ("a worker not to be used", one("W-1003"), alone(none()), &["do_not_use"]),
        ("a worker who left", one("W-1004"), alone(none()), &["inactive_worker"]),
        (
            "a worker at work elsewhere",
            one("W-1005"),
            alone(json!({"job.start": "2025-12-20", "job.end": "2025-12-20"})),
            &["on_assignment", "unavailable"],
        ),
        (
            "before they are free",
            one("W-1001"),
            alone(json!({"job.start": "2025-12-31T22:00", "job.end": "2026-01-01T06:00"})),
            &["unavailable"],
        ),
        (
            "after they are free",
            one("W-1001"),
            alone(json!({"job.start": "2026-12-20", "job.end": "2027-01-02"})),
            &["unavailable"],
        ),
        (
            "a date as Americans write it",
            one("W-1001"),
            alone(json!({"job.start": "12/31/2025", "job.end": "01/01/2026"})),
            &["unavailable"],
        ),
        (
            "two shifts at a time",
            json!({"fills": [
            {"worker_id": "W-1001", "job_id": "J-7", "start": "2026-03-02T06:00", "end": "2026-03-02T14:00"},
            {"worker_id": "W-1001", "job_id": "J-7", "start": "2026-03-02T13:00", "end": "2026-03-02T21:00"}]}),
            alone(none()),
            &["double_booked"],
        ),
        (
            "a booking that is there already",
            one("W-1001"),
            alone(
                json!({"assignments": [{"worker_id": "W-1001", "job_id": "J-1", "start": "2026-03-02T12:00", "end": "2026-03-02T20:00"}]}),
            ),
            &["double_booked"],
        ),
        (
            "the same hours, booked elsewhere",
            one("W-1001"),
            alone(
                json!({"bookings": [{"worker_id": "W-1001", "job_id": "J-1", "start": "2026-03-02T06:00", "end": "2026-03-02T14:00"}]}),
            ),
            &["double_booked"],
        ),
        (
            "a whole day, booked elsewhere",
            one("W-1001"),
            alone(json!({"assignments": [{"worker_id": "W-1001", "date": "2026-03-02"}]})),
            &["double_booked"],
        ),
        (
            "four hours after the last shift",
            one("W-1001"),
            alone(
                json!({"assignments": [{"worker_id": "W-1001", "job_id": "J-1", "start": "2026-03-01T18:00", "end": "2026-03-02T02:00"}]}),
            ),
            &["short_rest"],
        ),
        ("a nurse for a forklift", one("W-1007"), alone(none()), &["wrong_role"]),
        ("a welder from another state", one("W-1010"), alone(none()), &["wrong_role", "wrong_state"]),
        (
            "no certificate for it",
            one("W-1002"),
            alone(json!({"job.certifications": ["OSHA 10"]})),
            &["missing_certification"],
        ),
        (
            "one of two certificates",
            one("W-1001"),
            alone(json!({"job.required_certifications": ["OSHA-10", "HAZMAT"]})),
            &["missing_certification"],
        ),
        ("across the country", one("W-1006"), alone(none()), &["too_far"]),
        ("farther than the job says", one("W-1002"), alone(json!({"job.max_km": 3})), &["too_far"]),
        ("another city of the state", one("W-1009"), alone(none()), &["other_city"]),
        ("paid less than they take", one("W-1001"), alone(json!({"job.pay_rate": "$15.50/hr"})), &["pay_below_band"]),
        ("paid more than their band", one("W-1001"), alone(json!({"job.pay_rate": 40})), &["pay_above_band"]),
        (
            "a shift that ends before it begins",
            one("W-1001"),
            alone(json!({"job.end": "2026-03-01T14:00"})),
            &["ends_before_start"],
        ),
        (
            "a date that is none",
            one("W-1001"),
            alone(json!({"job.start": null, "job.start_date": "next Monday", "job.end": null})),
            &["unreadable_date"],
        ),
    ];
    assert!(cases.len() >= 30);
    let mut wrong = Vec::new();
    for (what, artefact, context, expected) in cases {
        let found = check("fill", &Value::Null, &Artefact::of_json(artefact.clone()), &context, Some(&roster()));
        if codes(&found) != expected {
            wrong.push(format!("{what}: {found:?}"));
        }
        assert!(found.findings.iter().all(|finding| !finding.remedy.is_empty() && !finding.message.is_empty()));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_a_person_would_let_go() {
    let cases: Vec<(&str, Value, Value)> = vec![
        ("as it should be", two(), job()),
        ("as a list of ids", json!(["W-1001", "W-1002"]), job()),
        (
            "as workers with objects",
            json!({"job_id": "J-7", "workers": [{"worker": {"id": "W-1001", "name": "García, María"}}, {"worker": {"id": "W-1002"}}]}),
            job(),
        ),
        (
            "with a nickname",
            json!({"job_id": "J-7", "worker_id": "W-1002", "worker_name": "Bill Chen"}),
            alone(json!({})),
        ),
        (
            "without accents",
            json!({"job_id": "J-7", "worker_id": "W-1001", "worker_name": "MARIA GARCIA"}),
            alone(json!({})),
        ),
        ("the job in other letters", json!({"job_id": "j-7", "worker_id": "W-1001"}), alone(json!({}))),
        ("on assignment until the day before", one("W-1005"), alone(json!({}))),
        (
            "on the first and the last free day",
            one("W-1001"),
            alone(json!({"job.start": "2026-01-01", "job.end": "2027-01-01"})),
        ),
        (
            "two shifts one after another, on two days",
            json!({"fills": [
            {"worker_id": "W-1001", "job_id": "J-7", "start": "2026-03-02T06:00", "end": "2026-03-02T14:00"},
            {"worker_id": "W-1001", "job_id": "J-7", "start": "2026-03-03T06:00", "end": "2026-03-03T14:00"}]}),
            alone(json!({})),
        ),
        (
            "another's booking",
            one("W-1001"),
            alone(
                json!({"assignments": [{"worker_id": "W-1002", "start": "2026-03-02T06:00", "end": "2026-03-02T14:00"}]}),
            ),
        ),
        (
            "this very booking",
            one("W-1001"),
            alone(
                json!({"assignments": [{"worker_id": "W-1001", "job_id": "J-7", "start": "2026-03-02T06:00", "end": "2026-03-02T14:00"}]}),
            ),
        ),
        ("the role in the plural", one("W-1001"), alone(json!({"job.role": "forklift operators"}))),
        ("the role in another order", one("W-1001"), alone(json!({"job.role": "Operator - Forklift"}))),
        ("a registered nurse as a nurse", one("W-1007"), alone(json!({"job.role": "Nurse"}))),
        (
            "the certificate written otherwise",
            one("W-1001"),
            alone(json!({"job.certifications": ["osha 10", "Forklift Certification"]})),
        ),
        (
            "the state written out",
            one("W-1007"),
            alone(json!({"job.role": "Registered Nurse", "job.lat": null, "job.lon": null, "job.state": "Illinois"})),
        ),
        ("far away, and remote", one("W-1006"), alone(json!({"job.remote": true}))),
        ("at both ends of the band", one("W-1001"), alone(json!({"job.pay_rate": 18}))),
        ("a yearly salary says nothing of hours", one("W-1001"), alone(json!({"job.pay_rate": 65000}))),
        (
            "among the candidates, as objects",
            one("W-1001"),
            alone(json!({"candidates": [{"id": "W-1001"}, {"id": "W-1002"}]})),
        ),
        ("within a fence", json!("```json\n{\"job_id\":\"J-7\",\"worker_id\":\"W-1001\"}\n```"), alone(json!({}))),
    ];
    let mut wrong = Vec::new();
    for (what, artefact, context) in cases {
        let found = check("fill", &Value::Null, &Artefact::of_json(artefact.clone()), &context, Some(&roster()));
        if !found.findings.is_empty() || found.verdict() != Verdict::Pass {
            wrong.push(format!("{what}: {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn without_a_roster_nothing_passes() {
    let plain = Artefact::of_json(two());
    assert_eq!(check("fill", &Value::Null, &plain, &job(), None).verdict(), Verdict::Skipped);
    let twice = Artefact::of_json(json!({"job_id": "J-7", "worker_ids": ["W-1001", "W-1001"]}));
    assert_eq!(check("fill", &Value::Null, &twice, &job(), None).verdict(), Verdict::Fail);
}

#[test]
fn remedies_and_settings_go_to_the_point() {
    let found = check("fill", &Value::Null, &Artefact::of_json(one("W-1OO1")), &alone(json!({})), Some(&roster()));
    assert!(found.findings[0].remedy.contains("`W-1001`"), "{found:?}");
    assert_eq!(found.findings[0].field.as_deref(), Some("worker_id"));
    assert_eq!(found.findings[0].span, Some(0..6));
    let settings = json!({"roles": {"Forklift Operator": ["Registered Nurse"]}, "max_km": 4000.0, "rest_hours": 0});
    for id in ["W-1007", "W-1006"] {
        let found = check("fill", &settings, &Artefact::of_json(one(id)), &alone(json!({})), Some(&roster()));
        assert_eq!(codes(&found), Vec::<&str>::new(), "{id}");
    }
}
