//! Whether one worker can do one job.

use super::super::artefact::{member, said};
use super::super::fold::folded;
use super::super::moment::{Moment, moment, written};
use super::super::shown;
use super::job::Proposal;
use super::{Findings, same_id};
use crate::materializer::{WORKER_NAMES, id};
use serde_json::Value;
use std::collections::BTreeMap;
use stillhouse_schemas::roster::Worker;

pub(super) fn status(worker: &Worker<'_>, proposal: &Proposal, found: &mut Findings) {
    let (field, id) = (Some(proposal.field.as_str()), shown(worker.id));
    let (code, what, remedy) = match worker.status {
        "do_not_use" => ("do_not_use", "must not be sent to anybody", "Choose another worker."),
        "inactive" => ("inactive_worker", "is not active", "Choose an active worker."),
        // From the day they are free on, they are free.
        "on_assignment" if !is_free_by(worker, proposal.job.start) => (
            "on_assignment",
            "is on another assignment",
            "Choose a worker who is free, or begin after the assignment ends.",
        ),
        _ => return,
    };
    found.add(code, field, None, format!("worker `{id}` {what}"), remedy);
}

fn is_free_by(worker: &Worker<'_>, start: Option<Moment>) -> bool {
    worker.available_from.zip(start).is_some_and(|(from, start)| i64::from(from) <= start.day())
}

pub(super) fn availability(worker: &Worker<'_>, proposal: &Proposal, found: &mut Findings) {
    let Some(start) = proposal.job.start.or(proposal.job.end) else { return };
    let end = proposal.job.end.unwrap_or(start);
    let message = if worker.available_from.is_some_and(|from| start.day() < i64::from(from)) {
        format!(
            "worker `{}` is free from {} on, and this begins before",
            shown(worker.id),
            written(worker.available_from.unwrap_or_default().into())
        )
    } else if worker.available_until.is_some_and(|until| end.day() > i64::from(until)) {
        format!(
            "worker `{}` is free until {}, and this goes on after",
            shown(worker.id),
            written(worker.available_until.unwrap_or_default().into())
        )
    } else {
        return;
    };
    found.add("unavailable", Some(&proposal.field), None, message, "Choose a worker who is free on all these days.");
}

pub(super) fn role(
    worker: &Worker<'_>,
    proposal: &Proposal,
    roles: &BTreeMap<String, Vec<String>>,
    found: &mut Findings,
) {
    let Some(wanted) = proposal.job.role.as_deref().filter(|_| !worker.role.is_empty()) else { return };
    let equal = |a: &str, b: &str| role_words(a) == role_words(b);
    let stands_in =
        roles.iter().any(|(role, others)| equal(role, wanted) && others.iter().any(|other| equal(other, worker.role)));
    if equal(wanted, worker.role) || stands_in || is_grade_of(worker.role, wanted) {
        return;
    }
    let message =
        format!("worker `{}` is a {}, and a {} is wanted", shown(worker.id), shown(worker.role), shown(wanted));
    found.add("wrong_role", Some(&proposal.field), None, message, format!("Choose a {}.", shown(wanted)));
}

/// Words of a role, in any order, the plural as the singular.
fn role_words(role: &str) -> Vec<String> {
    let folded = folded(role);
    let words = folded.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let mut words: Vec<String> = words
        .map(|word| word.strip_suffix('s').filter(|w| w.len() > 2 && !w.ends_with('s')).unwrap_or(word).to_owned())
        .collect();
    words.sort_unstable();
    words
}

/// A senior, lead or certified one of a kind is one of that kind.
fn is_grade_of(own: &str, wanted: &str) -> bool {
    const GRADES: &[&str] = &["senior", "sr", "lead", "certified", "licensed", "registered", "experienced"];
    // A registered nurse is not any nurse: who wants one says so.
    let own: Vec<String> = role_words(own).into_iter().filter(|word| !GRADES.contains(&word.as_str())).collect();
    own == role_words(wanted)
}

pub(super) fn certifications(worker: &Worker<'_>, proposal: &Proposal, found: &mut Findings) {
    let plain = |name: &str| folded(name).chars().filter(|c| c.is_alphanumeric()).collect::<String>();
    let held: Vec<String> = worker.certifications.iter().map(|name| plain(name)).collect();
    for wanted in &proposal.job.certifications {
        let bare = plain(wanted);
        let short = bare
            .strip_suffix("certification")
            .or_else(|| bare.strip_suffix("certified"))
            .or_else(|| bare.strip_suffix("certificate"));
        let has = held
            .iter()
            .any(|held| *held == bare || short == Some(held) || held.strip_suffix("certification") == Some(&bare));
        if !has && !bare.is_empty() {
            let message = format!("worker `{}` does not hold {}", shown(worker.id), shown(wanted));
            found.add(
                "missing_certification",
                Some(&proposal.field),
                None,
                message,
                format!("Choose a worker who holds {}.", shown(wanted)),
            );
        }
    }
}

pub(super) fn place(worker: &Worker<'_>, proposal: &Proposal, max_km: f64, found: &mut Findings) {
    let (field, id, job) = (Some(proposal.field.as_str()), shown(worker.id), &proposal.job);
    let apart = job.place.zip(worker.place).map(|(job, own)| kilometres(job, (own.0.into(), own.1.into())));
    if let Some(apart) = apart {
        let most = job.max_km.unwrap_or(max_km);
        if apart > most {
            let message = format!("worker `{id}` is {apart:.0} km away, and {most:.0} is the most");
            found.add("too_far", field, None, message, "Choose a worker who is nearer.");
        }
        // Where the distance is known, borders make no difference.
        return;
    }
    let same = |own: &str, wanted: &str| folded(own).trim() == folded(wanted).trim();
    let state = job.state.as_deref().filter(|_| !worker.state.is_empty());
    if let Some(state) = state.filter(|state| !same(worker.state, short_state(state))) {
        let message = format!("worker `{id}` is in {}, the job in {}", shown(worker.state), shown(state));
        found.add("wrong_state", field, None, message, format!("Choose a worker in {}.", shown(state)));
    } else if let Some(city) = job.city.as_deref().filter(|city| !worker.city.is_empty() && !same(worker.city, city)) {
        let message = format!("worker `{id}` is in {}, the job in {}", shown(worker.city), shown(city));
        found.add(
            "other_city",
            field,
            None,
            message,
            format!("See whether the way from {} to {} can be done.", shown(worker.city), shown(city)),
        );
    }
}

/// Great-circle distance (haversine).
fn kilometres((lat, lon): (f64, f64), (own_lat, own_lon): (f64, f64)) -> f64 {
    let (a, b) = (lat.to_radians(), own_lat.to_radians());
    let (dlat, dlon) = (b - a, (own_lon - lon).to_radians());
    let h = (dlat / 2.0).sin().powi(2) + a.cos() * b.cos() * (dlon / 2.0).sin().powi(2);
    2.0 * 6_371.0 * h.sqrt().clamp(0.0, 1.0).asin()
}

pub(super) fn pay(worker: &Worker<'_>, proposal: &Proposal, found: &mut Findings) {
    let (Some(rate), Some((from, to))) = (proposal.job.pay, worker.pay) else { return };
    let (field, id) = (Some(proposal.field.as_str()), shown(worker.id));
    // Neither side of it is said: findings are read by more people than the roster is.
    if rate < f64::from(from) {
        found.add(
            "pay_below_band",
            field,
            None,
            format!("the job pays less than worker `{id}` takes"),
            "Choose a worker whose pay band begins lower, or raise the rate.",
        );
    } else if to > 0 && rate > f64::from(to) {
        found.add(
            "pay_above_band",
            field,
            None,
            format!("the job pays more than the band of worker `{id}`"),
            "See whether the rate is right for this worker.",
        );
    }
}

/// A time at which a worker is at work.
struct Shift {
    from: i64,
    to: i64,
    where_: String,
    is_booked: bool,
}

/// Shifts of one worker that overlap, within the proposal and with what the context says is booked.
pub(super) fn double_bookings(proposals: &[Proposal], context: &Value, rest_hours: i64, found: &mut Findings) {
    let mut booked: BTreeMap<String, Vec<Shift>> = BTreeMap::new();
    for name in ["assignments", "bookings", "booked", "existing_assignments", "schedule"] {
        for (number, entry) in context.get(name).and_then(Value::as_array).into_iter().flatten().enumerate() {
            let Some(worker) = entry.as_object().and_then(|members| id(members, WORKER_NAMES)) else { continue };
            let job = said(entry, &["job_id", "shift_id"]);
            // The booking that is being filled is no other one.
            let same = |p: &&Proposal| {
                p.job.id.is_some()
                    && p.job.id == job
                    && p.worker.as_deref().is_some_and(|w| same_id(w) == same_id(&worker))
            };
            if let Some((from, to)) = times(entry).filter(|_| !proposals.iter().any(|p| same(&p))) {
                booked.entry(same_id(&worker)).or_default().push(Shift {
                    from,
                    to,
                    where_: format!("context {name}[{number}]"),
                    is_booked: true,
                });
            }
        }
    }
    for proposal in proposals {
        let Some(worker) = &proposal.worker else { continue };
        let Some(start) = proposal.job.start else { continue };
        let (from, to) =
            (start.minute, proposal.job.end.unwrap_or(Moment { has_hour: false, minute: start.day() * 1440 }).last());
        let shifts = booked.entry(same_id(worker)).or_default();
        // Twice the same shift within a proposal is a repetition, which is said elsewhere.
        let repeated = |other: &Shift| !other.is_booked && (from, to) == (other.from, other.to);
        let clash = shifts.iter().find(|other| from < other.to && other.from < to && !repeated(other));
        let close = shifts.iter().find(|other| {
            let gap = if other.to <= from { from - other.to } else { other.from - to };
            start.has_hour && (0..rest_hours * 60).contains(&gap)
        });
        if let Some(other) = clash {
            let message = format!("worker `{}` has another shift at that time: {}", shown(worker), other.where_);
            found.add(
                "double_booked",
                Some(&proposal.field),
                None,
                message,
                "Choose a worker who has no other shift at that time.",
            );
        } else if let Some(other) = close {
            let message = format!(
                "worker `{}` has fewer than {rest_hours} hours between this and {}",
                shown(worker),
                other.where_
            );
            found.add(
                "short_rest",
                Some(&proposal.field),
                None,
                message,
                "Choose a worker with enough rest, or another shift.",
            );
        }
        // A hostile list of one worker's shifts must not be compared with itself for ever.
        if shifts.len() < 256 {
            shifts.push(Shift { from, to, where_: proposal.field.clone(), is_booked: false });
        }
    }
}

fn times(entry: &Value) -> Option<(i64, i64)> {
    let start = moment(member(entry, &["start", "start_date", "starts_at", "date", "from", "shift_start"])?)?;
    let end = member(entry, &["end", "end_date", "ends_at", "until", "to", "shift_end"]).and_then(moment);
    Some((start.minute, end.unwrap_or(Moment { has_hour: false, minute: start.day() * 1440 }).last()))
}

/// The usual short form of a state's name.
fn short_state(name: &str) -> &str {
    let folded = folded(name);
    STATES.iter().find(|(long, _)| *long == folded.trim()).map_or(name, |(_, short)| short)
}

const STATES: &[(&str, &str)] = &[
    ("alabama", "AL"),
    ("alaska", "AK"),
    ("arizona", "AZ"),
    ("arkansas", "AR"),
    ("california", "CA"),
    ("colorado", "CO"),
    ("connecticut", "CT"),
    ("delaware", "DE"),
    ("district of columbia", "DC"),
    ("florida", "FL"),
    ("georgia", "GA"),
    ("hawaii", "HI"),
    ("idaho", "ID"),
    ("illinois", "IL"),
    ("indiana", "IN"),
    ("iowa", "IA"),
    ("kansas", "KS"),
    ("kentucky", "KY"),
    ("louisiana", "LA"),
    ("maine", "ME"),
    ("maryland", "MD"),
    ("massachusetts", "MA"),
    ("michigan", "MI"),
    ("minnesota", "MN"),
    ("mississippi", "MS"),
    ("missouri", "MO"),
    ("montana", "MT"),
    ("nebraska", "NE"),
    ("nevada", "NV"),
    ("new hampshire", "NH"),
    ("new jersey", "NJ"),
    ("new mexico", "NM"),
    ("new york", "NY"),
    ("north carolina", "NC"),
    ("north dakota", "ND"),
    ("ohio", "OH"),
    ("oklahoma", "OK"),
    ("oregon", "OR"),
    ("pennsylvania", "PA"),
    ("rhode island", "RI"),
    ("south carolina", "SC"),
    ("south dakota", "SD"),
    ("tennessee", "TN"),
    ("texas", "TX"),
    ("utah", "UT"),
    ("vermont", "VT"),
    ("virginia", "VA"),
    ("washington", "WA"),
    ("west virginia", "WV"),
    ("wisconsin", "WI"),
    ("wyoming", "WY"),
];
