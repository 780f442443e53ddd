//! What is held of claims, of the worker that an artefact is about: `worker:ID` is the entity.
//!
//! A value that forbids them blocks, whatever the roster says; so does one that is required and is not held. What is
//! `contested` or said by too few is a warning: nobody's word decides it.

use super::artefact::Known;
use super::finding::{Checked, Code, Findings, Severity};
use super::{Check, Entry, Subject, email, fill, settings};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use stillhouse_schemas::claims::Held;

static CODES: &[Code] = &[
    Code {
        code: "forbidden_by_claim",
        severity: Severity::Blocking,
        doc: "what is held of the worker forbids proposing or writing to them",
    },
    Code {
        code: "maybe_forbidden",
        severity: Severity::Warning,
        doc: "somebody says of the worker what would forbid it, and that is contested or unverified",
    },
    Code {
        code: "requirement_not_held",
        severity: Severity::Blocking,
        doc: "what is required of the worker is not held",
    },
];

pub(super) const VALIDATOR: Entry = Entry {
    name: "held_claims",
    doc: "What sources claim of the worker forbids nothing, and has what is required.",
    settings: "forbidden: by attribute the values that forbid, else {\"status\": [\"do_not_use\", \"inactive\"]}; required: by \
               attribute the values of which one must be held",
    codes: CODES,
    make: |value| Ok(Box::new(HeldClaims { settings: settings(value)? })),
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    forbidden: BTreeMap<String, Vec<Value>>,
    required: BTreeMap<String, Vec<Value>>,
}

impl Default for Settings {
    fn default() -> Self {
        let status = vec![Value::from("do_not_use"), Value::from("inactive")];
        Self { forbidden: BTreeMap::from([("status".to_owned(), status)]), required: BTreeMap::new() }
    }
}

#[derive(Debug)]
struct HeldClaims {
    settings: Settings,
}

impl Check for HeldClaims {
    fn check(&self, subject: &Subject<'_>) -> Checked {
        let known = match subject.claims {
            Some(known) => known,
            None if self.settings.required.is_empty() => return Checked::default(),
            None => return Checked::skipped("there are no claims to look in"),
        };
        let mut found = Findings::new(CODES);
        let mut workers = fill::proposed(subject.artefact);
        if workers.is_empty() {
            workers.extend(email::recipient(subject).map(|worker| (worker, None)));
        }
        for (worker, field) in workers {
            let entity = format!("worker:{worker}");
            if known.claims.knows(&entity) || !self.settings.required.is_empty() {
                self.worker(&known, &entity, &worker, field.as_deref(), &mut found);
            }
        }
        found.done(None)
    }
}

impl HeldClaims {
    fn worker(&self, known: &Known<'_>, entity: &str, worker: &str, field: Option<&str>, found: &mut Findings) {
        let worker = super::shown(worker);
        for (attribute, values) in &self.settings.forbidden {
            let Some(held) = known.claims.held(entity, attribute, known.at) else { continue };
            let said = |value: &String| is_any(known, attribute, value, values);
            if held.status == "contested" && held.sides.iter().any(said) {
                let message = format!("sources do not agree on the {attribute} of worker `{worker}`");
                let remedy = "Choose another worker, or have a person decide whose word counts.";
                found.add("maybe_forbidden", field, None, message, remedy);
            } else if held.value.as_ref().is_some_and(said) {
                let code = if held.status == "unverified" { "maybe_forbidden" } else { "forbidden_by_claim" };
                let message = format!("{attribute} of worker `{worker}`: {}", words(&held));
                found.add(code, field, None, message, "Choose another worker.");
            }
        }
        for (attribute, values) in &self.settings.required {
            let held = known.claims.held(entity, attribute, known.at).filter(|held| held.status != "unverified");
            let value = held.as_ref().and_then(|held| held.value.as_ref());
            if !value.is_some_and(|value| is_any(known, attribute, value, values)) {
                let message = match &held {
                    Some(held) => format!("{attribute} of worker `{worker}`: {}", words(held)),
                    None => format!("{attribute} of worker `{worker}` is not held"),
                };
                let remedy = format!("Choose a worker whose {attribute} is confirmed, or have it confirmed first.");
                found.add("requirement_not_held", field, None, message, remedy);
            }
        }
    }
}

fn is_any(known: &Known<'_>, attribute: &str, value: &str, values: &[Value]) -> bool {
    values.iter().any(|other| known.claims.same(attribute, value, &other.to_string()))
}

fn words(held: &Held) -> String {
    match (&held.value, &held.source) {
        (Some(value), Some(source)) => {
            format!("{} says {} ({})", super::shown(source), super::shown(value), held.status)
        }
        _ => format!("nothing is held ({})", held.status),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Said, codes};
    use super::super::{Artefact, Verdict, validator};
    use super::*;
    use serde_json::json;

    const OUT: &str = r#""do_not_use""#;

    /// What it shows, settings, who says which status of whom, and what comes of it.
    type Case<'a> = (&'a str, Value, &'a [(&'a str, &'a str, &'a str)], &'a [&'a str], Verdict);

    #[test]
    fn what_sources_claim_of_the_worker() {
        let ranks = r#"authority={"registry":3}"#;
        let cases: &[Case<'_>] = &[
            ("nobody claims anything", Value::Null, &[], &[], Verdict::Pass),
            ("of another worker", Value::Null, &[("registry", "worker:W-2", OUT)], &[], Verdict::Pass),
            (
                "whose word suffices",
                Value::Null,
                &[("registry", "worker:W-1", OUT)],
                &["forbidden_by_claim"],
                Verdict::Fail,
            ),
            (
                "spelt otherwise",
                Value::Null,
                &[("registry", "worker:W-1", r#""Do_Not_Use ""#)],
                &["forbidden_by_claim"],
                Verdict::Fail,
            ),
            ("one of no rank", Value::Null, &[("a", "worker:W-1", OUT)], &["maybe_forbidden"], Verdict::Pass),
            (
                "two of them",
                Value::Null,
                &[("a", "worker:W-1", OUT), ("b", "worker:W-1", OUT)],
                &["forbidden_by_claim"],
                Verdict::Fail,
            ),
            (
                "they do not agree",
                Value::Null,
                &[("a", "worker:W-1", OUT), ("b", "worker:W-1", r#""active""#)],
                &["maybe_forbidden"],
                Verdict::Pass,
            ),
            (
                "outranked",
                Value::Null,
                &[("a", "worker:W-1", OUT), ("registry", "worker:W-1", r#""active""#)],
                &[],
                Verdict::Pass,
            ),
            (
                "taken back",
                Value::Null,
                &[("registry", "worker:W-1", OUT), ("registry", "worker:W-1", "null")],
                &[],
                Verdict::Pass,
            ),
            (
                "required, and not held",
                json!({"required": {"status": ["active"]}}),
                &[],
                &["requirement_not_held"],
                Verdict::Fail,
            ),
            (
                "required, by one of no rank",
                json!({"required": {"status": ["active"]}}),
                &[("a", "worker:W-1", r#""active""#)],
                &["requirement_not_held"],
                Verdict::Fail,
            ),
            (
                "required, and held",
                json!({"required": {"status": ["active"]}}),
                &[("registry", "worker:W-1", r#""active""#)],
                &[],
                Verdict::Pass,
            ),
            (
                "required, and another",
                json!({"forbidden": {}, "required": {"status": ["active"]}}),
                &[("registry", "worker:W-1", OUT)],
                &["requirement_not_held"],
                Verdict::Fail,
            ),
        ];
        let fill = Artefact::of_json(json!({"job_id": "J", "fills": [{"worker_id": "W-1"}]}));
        let mail = Artefact::of_text("Subject: Shift\n\nHi!");
        for (what, settings, said, expected, verdict) in cases {
            let check = (validator("held_claims").unwrap().make)(settings).unwrap();
            let said: Vec<_> =
                (0..).zip(*said).map(|(at, (source, of, value))| (*source, *of, "status", *value, at)).collect();
            let said = Said::new(&[ranks], &said);
            let context = json!({"worker_id": "W-1"});
            for (artefact, field) in [(&fill, Some("fills[0].worker_id")), (&mail, None)] {
                let claims = Some(Known { claims: &said, at: 9 });
                let subject = Subject { artefact, context: &context, sources: &[], schema: None, roster: None, claims };
                let checked = check.check(&subject);
                assert_eq!(
                    (codes(&checked).as_slice(), checked.verdict()),
                    (*expected, *verdict),
                    "{what}: {checked:?}"
                );
                assert!(
                    checked.findings.iter().all(|finding| finding.field.as_deref() == field),
                    "{what}: {checked:?}"
                );
            }
        }
    }

    #[test]
    fn only_what_was_said_by_then_counts() {
        let check = (validator("held_claims").unwrap().make)(&Value::Null).unwrap();
        let said = Said::new(&["agree=1"], &[("a", "worker:W-1", "status", OUT, 5)]);
        let artefact = Artefact::of_json(json!({"worker_id": "W-1"}));
        let found = |at| {
            let claims = Some(Known { claims: &said, at });
            let context = &Value::Null;
            check.check(&Subject { artefact: &artefact, context, sources: &[], schema: None, roster: None, claims })
        };
        assert_eq!((found(4).verdict(), found(5).verdict()), (Verdict::Pass, Verdict::Fail));
        let none = Subject {
            artefact: &artefact,
            context: &Value::Null,
            sources: &[],
            schema: None,
            roster: None,
            claims: None,
        };
        assert_eq!(check.check(&none).verdict(), Verdict::Pass);
    }
}
