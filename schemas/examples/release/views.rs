//! Samples of what validators look things up in.

use stillhouse_schemas::*;

/// The full payload and the least one of an event type, if it is one of these.
pub(super) fn payloads(event: &str) -> Option<(Payload, Payload)> {
    match event {
        "roster_changed" => {
            let least = RosterChanged { load: "l".to_owned(), ..RosterChanged::default() };
            let worker = RosterWorker {
                id: "W-000001".to_owned(),
                name: "Zoë Thornwick".to_owned(),
                role: "Forklift Operator".to_owned(),
                certifications: vec!["Forklift".to_owned(), "OSHA 10".to_owned()],
                city: "Springfield".to_owned(),
                state: "IL".to_owned(),
                latitude: Some(39.75),
                longitude: Some(-89.5),
                available_from: Some(20_454),
                available_until: Some(20_500),
                pay_min: Some(1_750),
                pay_max: Some(2_600),
                phone: "(217) 555-0142".to_owned(),
                email: "zoe.thornwick1@example.com".to_owned(),
                status: "active".to_owned(),
            };
            let nobody = RosterWorker { id: "W-000002".to_owned(), ..RosterWorker::default() };
            let full = RosterChanged {
                part: 3,
                workers: vec![worker, nobody],
                removed: vec!["W-000009".to_owned()],
                ..least.clone()
            };
            Some((Payload::RosterChanged(full), Payload::RosterChanged(least)))
        }
        "roster_loaded" => {
            let least = RosterLoaded { load: "l".to_owned(), version: "v".to_owned(), ..RosterLoaded::default() };
            let full = RosterLoaded {
                workers: 500_000,
                parts: 4,
                base: ids::imported("samples", "base"),
                base_version: "u".to_owned(),
                added: 1,
                changed: 2,
                removed: 3,
                source: "workers_500k.parquet".to_owned(),
                ..least.clone()
            };
            Some((Payload::RosterLoaded(full), Payload::RosterLoaded(least)))
        }
        "verdict" => {
            let least = Verdict {
                entity: "worker:17".to_owned(),
                attribute: "pay".to_owned(),
                status: "unverified".to_owned(),
                rule_version: "1".to_owned(),
                ..Verdict::default()
            };
            let side = ClaimSide {
                claim_id: ids::imported("samples", "claim"),
                source: "registry".to_owned(),
                value: "\"$21.50/h\"".to_owned(),
                asserted_at: 1,
                standing: "held".to_owned(),
                authority: 3.0,
                valid_from: Some(0),
                valid_until: Some(2),
                confidence: Some(0.9),
            };
            let full = Verdict {
                status: "superseded".to_owned(),
                value: Some(side.value.clone()),
                source: Some(side.source.clone()),
                claim_id: Some(side.claim_id.clone()),
                asserted_at: Some(1),
                valid_from: Some(0),
                valid_until: Some(2),
                as_of: 1,
                revision: 2,
                agreeing: 1,
                sides: vec![side, ClaimSide { standing: "superseded".to_owned(), ..ClaimSide::default() }],
                omitted: 1,
                reasons: vec!["crm has less authority".to_owned()],
                config_hash: "0123456789abcdef".to_owned(),
                ..least.clone()
            };
            Some((Payload::Verdict(full), Payload::Verdict(least)))
        }
        _ => None,
    }
}
