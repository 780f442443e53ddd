//! Proposals, plain and with one fault each.

use super::Made;
use super::desk::{CERTIFICATIONS, CITIES, Desk, Dice, Person, ROLES};
use serde_json::{Value, json};

pub(super) const FAULTS: &[&str] = &[
    "phantom_worker",
    "name_mismatch",
    "duplicate_worker",
    "not_a_candidate",
    "excluded_worker",
    "over_headcount",
    "under_headcount",
    "do_not_use",
    "inactive_worker",
    "on_assignment",
    "unavailable",
    "double_booked",
    "short_rest",
    "wrong_role",
    "missing_certification",
    "too_far",
    "wrong_state",
    "pay_below_band",
    "pay_above_band",
    "wrong_job",
    "no_worker_id",
    "ends_before_start",
];

pub(super) fn all(desk: &Desk, seed: u64, number: usize) -> impl Iterator<Item = Made> {
    let mut dice = Dice::new(seed);
    (0..number).map(move |n| {
        // One of three is plain, and the others have each fault in turn.
        let fault = (n % 3 != 0).then(|| FAULTS[(n / 3 * 2 + n % 3 - 1) % FAULTS.len()]);
        one(desk, &mut dice, n, fault)
    })
}

fn one(desk: &Desk, dice: &mut Dice, n: usize, fault: Option<&'static str>) -> Made {
    let status = match fault {
        Some("do_not_use") => "do_not_use",
        Some("inactive_worker") => "inactive",
        Some("on_assignment") => "on_assignment",
        _ => "active",
    };
    let worker = loop {
        let one = dice.of(&desk.people);
        if one.status == status {
            break one;
        }
    };
    let (month, day, hour) = (1 + dice.below(12), 1 + dice.below(28), 5 + dice.below(8));
    let (year, job_id) = (2026, format!("J-{n}"));
    let time = |hour: usize| format!("{year}-{month:02}-{day:02}T{hour:02}:00");
    let mut job = json!({"job_id": job_id, "role": worker.role, "city": worker.city, "state": worker.state, "headcount": 1,
        "start": time(hour), "end": time(hour + 8), "pay_rate": f64::from(worker.pay.0 + 100) / 100.0});
    if dice.below(2) == 0 && fault != Some("wrong_state") {
        job["lat"] = json!(worker.place.0 + 0.05);
        job["lon"] = json!(worker.place.1);
    }
    if let Some(held) = worker.certifications.first().filter(|_| dice.below(2) == 0) {
        job["certifications"] = json!([held]);
    }
    let mut context = json!({});
    let mut entry = entry(dice, worker);
    let mut more = Vec::new();
    let mut artefact_job = job_id.clone();
    match fault {
        None => {}
        Some("phantom_worker") => {
            let unknown = *dice.of(&["W-999999", "W-10000", "worker 12", "TBD-7", "W-000001", "EMP-55512"]);
            entry = json!({"worker_id": unknown});
        }
        Some("name_mismatch") => {
            let other =
                desk.people.iter().find(|other| other.first != worker.first && other.last != worker.last).unwrap();
            entry = json!({"worker_id": worker.id, "worker_name": other.name});
        }
        Some("duplicate_worker") => more.push(json!({"worker_id": worker.id})),
        Some("not_a_candidate") => {
            let others: Vec<Value> =
                desk.people.iter().filter(|p| p.id != worker.id).take(5).map(|p| json!({"worker_id": p.id})).collect();
            context["candidates"] = json!(others);
        }
        Some("excluded_worker") => context["do_not_send"] = json!([worker.id]),
        Some("over_headcount") => {
            let other = desk
                .people
                .iter()
                .find(|p| {
                    p.status == "active"
                        && p.id != worker.id
                        && p.role == worker.role
                        && p.city == worker.city
                        && p.pay.0 <= worker.pay.0 + 100
                })
                .unwrap_or(worker);
            if other.id == worker.id {
                return one(desk, dice, n, None);
            }
            job.as_object_mut().unwrap().remove("certifications");
            more.push(json!({"worker_id": other.id}));
        }
        Some("under_headcount") => job["headcount"] = json!(2 + dice.below(4)),
        Some("do_not_use" | "inactive_worker") => {}
        Some("on_assignment") => {
            // Before they are free again, and without a day that says so.
            for name in ["start", "end"] {
                job.as_object_mut().unwrap().remove(name);
            }
        }
        Some("unavailable") => {
            let year = *dice.of(&[2025, 2027, 2024]);
            job["start"] = json!(format!("{year}-{month:02}-{day:02}"));
            job["end"] = job["start"].clone();
        }
        Some("double_booked") => {
            context["assignments"] =
                json!([{"worker_id": worker.id, "job_id": "J-other", "start": time(hour + 4), "end": time(hour + 10)}]);
        }
        Some("short_rest") => {
            context["assignments"] = json!([{"worker_id": worker.id, "job_id": "J-other", "start": time(0), "end": time(hour - 1 - dice.below(3))}]);
        }
        Some("wrong_role") => job["role"] = json!(ROLES.iter().find(|role| **role != worker.role).unwrap()),
        Some("missing_certification") => {
            let Some(lacks) = CERTIFICATIONS.iter().find(|c| !worker.certifications.contains(c)) else {
                return one(desk, dice, n, None);
            };
            job["certifications"] = json!([lacks]);
        }
        Some("too_far") => {
            let (.., lat, lon) = CITIES.iter().find(|city| city.0 != worker.city).unwrap();
            job["lat"] = json!(lat);
            job["lon"] = json!(lon);
        }
        Some("wrong_state") => {
            let (city, state, ..) = CITIES.iter().find(|city| city.0 != worker.city).unwrap();
            (job["city"], job["state"]) = (json!(city), json!(state));
        }
        Some("pay_below_band") => job["pay_rate"] = json!(f64::from(worker.pay.0) / 100.0 - 1.5),
        Some("pay_above_band") => job["pay_rate"] = json!("$55.00"),
        Some("wrong_job") => artefact_job = format!("J-{}", n + 1_000_000),
        Some("no_worker_id") => more.push(json!({"note": "one more, to be found"})),
        Some("ends_before_start") => {
            job["end"] = job["start"].clone();
            job["start"] = json!(time(hour + 8));
        }
        Some(other) => unreachable!("{other}"),
    }
    context["job"] = job;
    let artefact = match (more.is_empty(), dice.below(3)) {
        (true, 0) => {
            let mut entry = entry;
            entry["job_id"] = json!(artefact_job);
            entry
        }
        (_, n) => {
            more.insert(0, entry);
            let list = if n == 1 { "fills" } else { "assignments" };
            json!({"job_id": artefact_job, list: more})
        }
    };
    Made { artefact, context, faults: fault.into_iter().collect() }
}

fn entry(dice: &mut Dice, worker: &Person) -> Value {
    match dice.below(5) {
        0 => json!({"worker_id": worker.id, "worker_name": worker.name}),
        1 => json!({"candidate_id": worker.id, "name": format!("{}, {}", worker.last, worker.first)}),
        2 => json!({"worker": {"id": worker.id, "name": worker.name.to_uppercase()}}),
        3 => json!({"employee_id": worker.id, "reason": "near, free and certified"}),
        _ => json!({"worker_id": worker.id}),
    }
}
