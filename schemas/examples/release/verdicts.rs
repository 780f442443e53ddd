//! Samples of what validators say.

use super::text;
use std::collections::BTreeMap;
use stillhouse_schemas::*;

/// The full payload and the least one of an event type, if it is one of these.
pub(super) fn payloads(event: &str) -> Option<(Payload, Payload)> {
    match event {
        "validation" => {
            let least = Validation {
                run_id: "run-1".to_owned(),
                validator: "schedule".to_owned(),
                validator_version: "1".to_owned(),
                verdict: "skipped".to_owned(),
                ..Validation::default()
            };
            let full = Validation {
                config_hash: "0011223344556677".to_owned(),
                verdict: "fail".to_owned(),
                reasons: vec![
                    Finding {
                        code: "overlap".to_owned(),
                        message: "Two shifts.".to_owned(),
                        field: text("shifts[1]"),
                        severity: text("blocking"),
                        span_start: Some(0),
                        span_end: Some(6),
                        remedy: text("Leave one out."),
                        validator: text("fill"),
                    },
                    Finding { code: "unknown".to_owned(), ..Finding::default() },
                ],
                evidence_id: ids::imported("samples", "evidence"),
                source_class: "fill".to_owned(),
                policy: "fill".to_owned(),
                skipped: BTreeMap::from([("house".to_owned(), "no answer".to_owned())]),
                roster_version: text("r-1"),
                claims_cut: text("{}"),
                ..least.clone()
            };
            Some((Payload::Validation(full), Payload::Validation(least)))
        }
        "checked" => {
            let least = Checked { check_id: "c".to_owned(), verdict: "pass".to_owned(), ..Checked::default() };
            let full = Checked {
                policy: "fill".to_owned(),
                validators: vec!["fill".to_owned(), "pii".to_owned()],
                validator_version: "1".to_owned(),
                config_hash: "0011223344556677".to_owned(),
                verdict: "fail".to_owned(),
                reasons: vec![Finding {
                    code: "phantom_worker".to_owned(),
                    message: "not there".to_owned(),
                    field: text("worker_id"),
                    severity: text("blocking"),
                    span_start: Some(0),
                    span_end: Some(4),
                    remedy: text("Choose another."),
                    validator: text("fill"),
                }],
                skipped: BTreeMap::from([("house".to_owned(), "no answer".to_owned())]),
                roster_version: text("r-1"),
                claims_cut: text("{}"),
                artefact_sha256: "44".repeat(32),
                took_us: 120,
                ..least.clone()
            };
            Some((Payload::Checked(full), Payload::Checked(least)))
        }
        _ => None,
    }
}
