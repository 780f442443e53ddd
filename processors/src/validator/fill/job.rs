//! What is to be filled, and who is proposed for it, read from JSON.

use super::super::artefact::{list, member, number, said};
use super::super::moment::{Moment, moment};
use super::Findings;
use crate::materializer::{HEADCOUNTS, JOB_NAMES, WORKER_NAMES, id, plain_id, proposals};
use serde_json::Value;

/// A job, as far as it is known.
#[derive(Clone, Debug, Default)]
pub(super) struct Job {
    pub(super) is_known: bool,
    pub(super) id: Option<String>,
    pub(super) role: Option<String>,
    pub(super) city: Option<String>,
    pub(super) state: Option<String>,
    pub(super) place: Option<(f64, f64)>,
    pub(super) max_km: Option<f64>,
    pub(super) remote: bool,
    pub(super) headcount: Option<u64>,
    pub(super) start: Option<Moment>,
    pub(super) end: Option<Moment>,
    pub(super) certifications: Vec<String>,
    /// By the hour, in cents.
    pub(super) pay: Option<f64>,
}

const START: &[&str] = &["start", "start_date", "starts_at", "start_time", "shift_start", "date", "day", "from"];
const END: &[&str] = &["end", "end_date", "ends_at", "end_time", "shift_end", "until", "to"];
const MILE: f64 = 1.609_344;

impl Job {
    pub(super) fn of_context(context: &Value, found: &mut Findings) -> Self {
        let job = member(context, &["job", "shift", "order", "requisition"]).filter(|job| job.is_object());
        let mut read = Self::read(job.unwrap_or(context), found);
        read.id = read.id.or_else(|| context.as_object().and_then(|members| id(members, JOB_NAMES)));
        read.id = read.id.or_else(|| said(job?, &["id"]));
        read.headcount = read.headcount.or_else(|| headcount(context));
        read.is_known = read.id.is_some() || job.and_then(Value::as_object).is_some_and(|job| !job.is_empty());
        read
    }

    pub(super) fn of_artefact(artefact: &Value, is_entry: bool, found: &mut Findings) -> Self {
        // What is itself the entry is read as one.
        let job = member(artefact, &["job", "shift"]).filter(|job| job.is_object()).or((!is_entry).then_some(artefact));
        let mut read = job.filter(|job| job.is_object()).map_or_else(Self::default, |job| Self::read(job, found));
        read.id = artefact.as_object().and_then(|members| id(members, JOB_NAMES));
        read.is_known = read.id.is_some();
        read
    }

    fn read(value: &Value, found: &mut Findings) -> Self {
        let place = member(value, &["location", "place", "site", "address"]).filter(|place| place.is_object());
        let both = |names: &[&str]| member(value, names).or_else(|| member(place?, names));
        let coordinate = |names: &[&str]| number(both(names));
        let km = number(both(&["max_km", "radius_km", "max_distance_km"]));
        let miles = number(both(&["max_miles", "radius_miles", "max_distance_miles", "radius"]));
        let text = |names: &[&str]| {
            both(names).and_then(Value::as_str).map(str::trim).filter(|t| !t.is_empty()).map(str::to_owned)
        };
        let (start, end) = (time(value, START, found), time(value, END, found));
        if let (Some(start), Some(end)) = (start, end)
            && end.last() < start.minute
        {
            found.add(
                "ends_before_start",
                None,
                None,
                "the shift ends before it begins",
                "Put start and end right: the end comes after the start.",
            );
        }
        let city = text(&["city", "town"]);
        let (city, of_city) = match city.as_deref().and_then(|city| city.split_once(',')) {
            Some((city, state)) => (Some(city.trim().to_owned()), Some(state.trim().to_owned())),
            None => (city, None),
        };
        Self {
            is_known: false,
            id: value.as_object().and_then(|members| id(members, JOB_NAMES)),
            role: text(&["role", "title", "job_title", "position", "occupation"]),
            city,
            state: text(&["state", "region", "province"]).or(of_city),
            place: coordinate(&["lat", "latitude"])
                .zip(coordinate(&["lon", "lng", "longitude"]))
                .filter(|(lat, lon)| (-90.0..=90.0).contains(lat) && (-180.0..=180.0).contains(lon)),
            max_km: km.or(miles.map(|miles| miles * MILE)).filter(|km| *km > 0.0),
            remote: both(&["remote"]).and_then(Value::as_bool).unwrap_or_default(),
            headcount: headcount(value),
            start,
            end,
            certifications: list(both(&[
                "certifications",
                "required_certifications",
                "certs",
                "licenses",
                "requirements",
            ])),
            pay: pay(value),
        }
    }

    /// What this one says, and where it is silent the other.
    pub(super) fn over(&self, other: &Self) -> Self {
        let own = self.clone();
        Self {
            is_known: own.is_known || other.is_known,
            id: own.id.or_else(|| other.id.clone()),
            role: own.role.or_else(|| other.role.clone()),
            city: own.city.or_else(|| other.city.clone()),
            state: own.state.or_else(|| other.state.clone()),
            place: own.place.or(other.place),
            max_km: own.max_km.or(other.max_km),
            remote: own.remote || other.remote,
            headcount: own.headcount.or(other.headcount),
            start: own.start.or(other.start),
            end: own.end.or(other.end),
            certifications: if own.certifications.is_empty() {
                other.certifications.clone()
            } else {
                own.certifications
            },
            pay: own.pay.or(other.pay),
        }
    }
}

fn headcount(value: &Value) -> Option<u64> {
    HEADCOUNTS.iter().find_map(|name| value.get(*name)?.as_u64())
}

/// By the hour, in cents: what is written is dollars, unless its name says cents.
fn pay(value: &Value) -> Option<f64> {
    let cents = number(member(value, &["pay_cents", "pay_rate_cents", "rate_cents"]));
    let dollars =
        || number(member(value, &["pay_rate", "pay", "hourly_rate", "hourly_pay", "wage", "rate"])).map(|d| d * 100.0);
    // A yearly salary is another measure, and says nothing here.
    cents.or_else(dollars).filter(|cents| (100.0..=100_000.0).contains(cents))
}

fn time(value: &Value, names: &[&str], found: &mut Findings) -> Option<Moment> {
    let (name, written) =
        names.iter().find_map(|name| Some((*name, value.get(*name).filter(|value| !value.is_null())?)))?;
    if !written.is_string() && !written.is_number() {
        return None;
    }
    let read = moment(written);
    // `to` and `day` are words for other things, too.
    if read.is_none() && !matches!(name, "to" | "from" | "day" | "end" | "start") {
        let message = format!("`{name}` is no date that can be read");
        found.add("unreadable_date", Some(name), None, message, "Write dates as 2026-03-01 or 2026-03-01T06:00.");
    }
    read
}

/// The path of entries where the artefact is itself the one.
pub(super) const WHOLE: &str = "-";

/// The entries of a proposal, and the path before their numbers; one without a list is its own entry.
pub(super) fn entries(artefact: &Value) -> (String, Vec<&Value>) {
    let entries = proposals(artefact);
    let path = match artefact {
        Value::Array(_) => String::new(),
        Value::Object(members) => {
            let of = |value: &Value| {
                value
                    .as_array()
                    .is_some_and(|list| list.first().zip(entries.first()).is_some_and(|(a, b)| std::ptr::eq(a, *b)))
            };
            members.iter().find(|(_, value)| of(value)).map_or_else(|| WHOLE.to_owned(), |(name, _)| name.clone())
        }
        _ => WHOLE.to_owned(),
    };
    (path, entries)
}

/// One worker's part of a proposal.
#[derive(Debug)]
pub(super) struct Proposal {
    /// Path of the id.
    pub(super) field: String,
    pub(super) worker: Option<String>,
    pub(super) name: Option<String>,
    pub(super) job: Job,
    /// What tells its hours from others of the job.
    pub(super) shift: Option<String>,
}

impl Proposal {
    pub(super) fn read(entry: &Value, path: &str, number: usize, job: &Job, found: &mut Findings) -> Self {
        let at = if path == WHOLE { String::new() } else { format!("{path}[{number}]") };
        let Some(members) = entry.as_object() else {
            let worker = plain_id(entry);
            return Self { field: at, worker, name: None, job: job.clone(), shift: None };
        };
        let named = WORKER_NAMES.iter().find(|name| members.get(**name).is_some_and(|value| !value.is_null()));
        let worker = id(members, WORKER_NAMES).or_else(|| plain_id(members.get("id")?));
        let name = named.map_or("id", |name| *name);
        let field = if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
        let inner = named.and_then(|name| members.get(*name)).filter(|value| value.is_object()).unwrap_or(entry);
        let called = said(inner, &["name", "worker_name", "full_name", "candidate_name"])
            .or_else(|| said(entry, &["worker_name", "name", "candidate_name", "employee_name"]));
        let own_job = member(entry, &["job", "shift"]).filter(|job| job.is_object()).unwrap_or(entry);
        let own = Job::read(own_job, found);
        let shift = own
            .start
            .map(|start| format!("{}@{}", own.id.as_deref().or(job.id.as_deref()).unwrap_or_default(), start.minute));
        // What an entry says of the worker is not what the job asks for.
        let own = Job {
            role: None,
            city: None,
            state: None,
            place: None,
            certifications: Vec::new(),
            pay: own.pay,
            headcount: None,
            ..own
        };
        Self { field, worker, name: called, job: own.over(job), shift }
    }
}
