//! Proposals of workers for a job: does each worker exist, may and can they do it, and is it the number that is wanted.
//!
//! What is known of the job comes from the context (`job`, or the context itself) and then from the artefact; what is known of
//! the workers from the roster. What neither says is not checked. Dates are days and hours at the place of the work.

mod job;
#[cfg(test)]
mod tests;
mod work;

use super::finding::{Checked, Code, Findings, Severity};
use super::persons::{Likeness, compare};
use super::{Artefact, Check, Entry, Subject, settings, shown};
use crate::materializer::{CHOICES, WORKER_NAMES, id, plain_id};
use job::{Job, Proposal};
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use stillhouse_schemas::roster::{Roster, Worker};

const fn blocking(code: &'static str, doc: &'static str) -> Code {
    Code { code, severity: Severity::Blocking, doc }
}

const fn warning(code: &'static str, doc: &'static str) -> Code {
    Code { code, severity: Severity::Warning, doc }
}

const fn info(code: &'static str, doc: &'static str) -> Code {
    Code { code, severity: Severity::Info, doc }
}

static CODES: &[Code] = &[
    blocking("no_proposal", "no worker is proposed"),
    blocking("no_worker_id", "an entry names no worker"),
    blocking("no_job", "neither the proposal nor the context names a job"),
    blocking("wrong_job", "the proposal is for another job than the context"),
    blocking("phantom_worker", "the roster has no such worker"),
    blocking("name_mismatch", "the name beside the id is not that worker's"),
    warning("name_misspelt", "the name beside the id is that worker's, one letter off"),
    blocking("duplicate_worker", "a worker is proposed twice for one shift"),
    warning("same_person", "two ids with one telephone number or e-mail address"),
    blocking("not_a_candidate", "the worker was not among those to choose from"),
    blocking("excluded_worker", "the client or the worker has ruled this out"),
    blocking("over_headcount", "more workers than are wanted"),
    warning("under_headcount", "fewer workers than are wanted"),
    blocking("do_not_use", "the worker must not be sent to anybody"),
    blocking("inactive_worker", "the worker does not work here any more, or not yet"),
    blocking("on_assignment", "the worker is at work elsewhere at that time"),
    blocking("unavailable", "the worker is not free on these days"),
    blocking("double_booked", "the worker has another shift at that time"),
    warning("short_rest", "the worker has too few hours between two shifts"),
    blocking("wrong_role", "the worker does another kind of work"),
    blocking("missing_certification", "the worker lacks a certification that the job needs"),
    blocking("wrong_state", "the worker is in another state"),
    blocking("too_far", "the worker is too far away"),
    info("other_city", "the worker is in another city of the state"),
    blocking("pay_below_band", "the job pays less than the worker takes"),
    warning("pay_above_band", "the job pays more than the worker's band"),
    blocking("ends_before_start", "the shift ends before it begins"),
    warning("unreadable_date", "a date that cannot be read"),
];

pub(super) const VALIDATOR: Entry = Entry {
    name: "fill",
    doc: "Workers proposed for a job: they exist, are free, near, fit for the work, and as many as are wanted.",
    settings: "max_km (80): farther is too far, where the job does not say; rest_hours (8) between two shifts; \
               roles: {role: [roles that can do its work]}; remote (false): place makes no difference",
    codes: CODES,
    make: |value| {
        let settings: Settings = settings(value)?;
        if !(settings.max_km > 0.0 && settings.rest_hours >= 0) {
            return Err("`max_km` is above 0, `rest_hours` not below".to_owned());
        }
        Ok(Box::new(Fill { settings }))
    },
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    max_km: f64,
    rest_hours: i64,
    roles: BTreeMap<String, Vec<String>>,
    remote: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { max_km: 80.0, rest_hours: 8, roles: BTreeMap::new(), remote: false }
    }
}

#[derive(Debug)]
struct Fill {
    settings: Settings,
}

impl Check for Fill {
    fn check(&self, subject: &Subject<'_>) -> Checked {
        let mut found = Findings::new(CODES);
        let nothing = Value::Null;
        let artefact = subject.artefact.json().unwrap_or(&nothing);
        let context = Job::of_context(subject.context, &mut found);
        let (path, entries) = job::entries(artefact);
        let whole = Job::of_artefact(artefact, path == job::WHOLE, &mut found).over(&context);
        let proposals: Vec<Proposal> =
            entries.iter().enumerate().map(|(n, entry)| Proposal::read(entry, &path, n, &whole, &mut found)).collect();
        if proposals.is_empty() || proposals.iter().all(|proposal| proposal.worker.is_none()) && artefact.is_null() {
            let remedy = "Answer with JSON that names each worker by `worker_id`, and the job by `job_id`.";
            found.add("no_proposal", None, None, "no worker is proposed", remedy);
            return found.done(None);
        }
        self.form(subject, &whole, &context, &proposals, &mut found);
        let mut skipped = None;
        match subject.roster {
            Some(roster) => self.workers(roster, subject, &proposals, &mut found),
            None => skipped = Some("there is no roster to look the workers up in".to_owned()),
        }
        work::double_bookings(&proposals, subject.context, self.settings.rest_hours, &mut found);
        found.done(skipped)
    }
}

/// The workers that are proposed, each with the path of its id.
pub(super) fn proposed(artefact: &Artefact) -> Vec<(String, Option<String>)> {
    let nothing = Value::Null;
    let (path, entries) = job::entries(artefact.json().unwrap_or(&nothing));
    let (job, mut unheard) = (Job::default(), Findings::new(CODES));
    let read = |(number, entry): (usize, &&Value)| Proposal::read(entry, &path, number, &job, &mut unheard);
    let proposals: Vec<Proposal> = entries.iter().enumerate().map(read).collect();
    proposals.into_iter().filter_map(|proposal| Some((proposal.worker?, Some(proposal.field)))).collect()
}

impl Fill {
    /// What can be told without a roster.
    fn form(&self, subject: &Subject<'_>, whole: &Job, context: &Job, proposals: &[Proposal], found: &mut Findings) {
        let mut seen: BTreeMap<(String, Option<&str>), &str> = BTreeMap::new();
        let mut per_job: BTreeMap<Option<&str>, BTreeSet<String>> = BTreeMap::new();
        for proposal in proposals {
            let field = Some(proposal.field.as_str());
            let Some(worker) = &proposal.worker else {
                let remedy = "Name the worker of every entry by `worker_id`, as the roster writes it.";
                found.add("no_worker_id", field, None, "this entry names no worker", remedy);
                continue;
            };
            let job = proposal.job.id.as_deref();
            let key = same_id(worker);
            // One shift each: other hours of one job are another shift.
            let shift = proposal.shift.as_deref().or(job);
            if let Some(first) = seen.insert((key.clone(), shift), &proposal.field) {
                let message = format!("worker `{}` is proposed here and at {first}", shown(worker));
                found.add(
                    "duplicate_worker",
                    field,
                    span(worker),
                    message,
                    "Keep one of the two entries and propose another worker for the other.",
                );
            }
            per_job.entry(job).or_default().insert(key);
            if let (Some(own), Some(wanted)) = (job, context.id.as_deref())
                && same_id(own) != same_id(wanted)
            {
                let message = format!("this is for job `{}`, and `{}` was asked for", shown(own), shown(wanted));
                found.add("wrong_job", field, None, message, format!("Propose for job `{}`.", shown(wanted)));
            }
        }
        if proposals.iter().all(|p| p.job.id.is_none()) && !whole.is_known {
            found.add(
                "no_job",
                None,
                None,
                "no job is named",
                "Add `job_id` with the id of the job that is to be filled.",
            );
        }
        if let Some(wanted) = context.headcount.or(whole.headcount) {
            let most = per_job.values().map(|workers| workers.len() as u64).max().unwrap_or_default();
            if most > wanted {
                let remedy = format!("Propose at most {wanted}; leave the others out.");
                found.add("over_headcount", None, None, format!("{most} workers for {wanted} places"), remedy);
            } else if most < wanted {
                let remedy = format!("Propose {} more, or say why there are none.", wanted - most);
                found.add("under_headcount", None, None, format!("{most} workers for {wanted} places"), remedy);
            }
        }
        self.choices(subject.context, proposals, found);
    }

    /// Who could be chosen, and who must not.
    fn choices(&self, context: &Value, proposals: &[Proposal], found: &mut Findings) {
        let worker = |value: &Value| {
            let own = value
                .as_object()
                .and_then(|members| id(members, WORKER_NAMES).or_else(|| plain_id(members.get("id")?)));
            own.or_else(|| plain_id(value)).map(|id| same_id(&id))
        };
        let all = |names: &[&str]| -> BTreeSet<String> {
            let lists =
                names.iter().flat_map(|name| [context.get(*name), context.get("job").and_then(|job| job.get(*name))]);
            lists.flatten().filter_map(Value::as_array).flatten().filter_map(worker).collect()
        };
        let choices = CHOICES.iter().map(|name| all(&[name])).find(|choices| !choices.is_empty()).unwrap_or_default();
        let excluded = all(EXCLUDED);
        for proposal in proposals {
            let Some(id) = &proposal.worker else { continue };
            let (field, key) = (Some(proposal.field.as_str()), same_id(id));
            if !choices.is_empty() && !choices.contains(&key) {
                let message = format!("worker `{}` was not among those to choose from", shown(id));
                found.add(
                    "not_a_candidate",
                    field,
                    span(id),
                    message,
                    "Choose from the candidates that were given, and from no others.",
                );
            }
            if excluded.contains(&key) {
                let message = format!("worker `{}` is ruled out for this job", shown(id));
                found.add("excluded_worker", field, span(id), message, "Choose a worker that is not excluded.");
            }
        }
    }

    fn workers(&self, roster: &dyn Roster, subject: &Subject<'_>, proposals: &[Proposal], found: &mut Findings) {
        let mut reached: BTreeMap<String, (&str, String)> = BTreeMap::new();
        for proposal in proposals {
            let Some(id) = &proposal.worker else { continue };
            let field = Some(proposal.field.as_str());
            let Some(worker) = roster.worker(id) else {
                let like = alike(id).into_iter().find(|like| roster.worker(like).is_some());
                let remedy = match &like {
                    Some(like) => format!(
                        "The roster has `{like}`: if that is meant, write it so; else choose a worker of the roster."
                    ),
                    None => "Choose a worker whose id is in the roster; do not make ids up.".to_owned(),
                };
                found.add(
                    "phantom_worker",
                    field,
                    span(id),
                    format!("the roster has no worker `{}`", shown(id)),
                    remedy,
                );
                continue;
            };
            for contact in [worker.phone, worker.email] {
                let contact: String = contact.chars().filter(|c| c.is_alphanumeric() || *c == '@').collect();
                // With and without the country in front.
                let national = contact.strip_prefix('1').filter(|rest| rest.len() == 10);
                let key = national.unwrap_or(&contact).to_lowercase();
                if key.len() < 7 {
                    continue;
                }
                match reached.get(&key) {
                    Some((first, other)) if *other != same_id(id) => {
                        let message = format!("worker `{}` is reached as the one at {first} is", shown(id));
                        found.add(
                            "same_person",
                            field,
                            span(id),
                            message,
                            "See whether both ids are one person; propose them once.",
                        );
                    }
                    Some(_) => {}
                    None => {
                        reached.insert(key, (&proposal.field, same_id(id)));
                    }
                }
            }
            self.worker(&worker, proposal, found);
        }
        let _ = subject;
    }

    /// One worker that exists.
    fn worker(&self, worker: &Worker<'_>, proposal: &Proposal, found: &mut Findings) {
        let (field, id) = (Some(proposal.field.as_str()), shown(worker.id));
        if let Some(name) = &proposal.name {
            let remedy = format!("Name the worker as the roster does, or correct the id: `{id}` is {}.", worker.name);
            match compare(name, worker.name) {
                Likeness::Same => {}
                Likeness::Misspelt => {
                    found.add(
                        "name_misspelt",
                        field,
                        None,
                        format!("the name beside `{id}` is one letter off"),
                        remedy,
                    );
                }
                Likeness::Other => {
                    found.add(
                        "name_mismatch",
                        field,
                        None,
                        format!("the name beside `{id}` is not that worker's"),
                        remedy,
                    );
                }
            }
        }
        work::status(worker, proposal, found);
        work::availability(worker, proposal, found);
        work::role(worker, proposal, &self.settings.roles, found);
        work::certifications(worker, proposal, found);
        if !self.settings.remote && !proposal.job.remote {
            work::place(worker, proposal, self.settings.max_km, found);
        }
        work::pay(worker, proposal, found);
    }
}

/// Names of lists of those who must not be proposed.
static EXCLUDED: &[&str] =
    &["excluded", "excluded_workers", "do_not_send", "do_not_return", "blocked", "declined", "declined_by"];

/// Ids that are one and the same written otherwise: case, blanks and look-alikes apart.
fn same_id(id: &str) -> String {
    super::fold::folded(id.trim()).chars().filter(|c| !c.is_whitespace()).collect()
}

/// Ids that may have been meant.
fn alike(id: &str) -> Vec<String> {
    let folded = same_id(id);
    let upper = folded.to_uppercase();
    let swapped = |text: &str| {
        let digits: String = text
            .chars()
            .map(|c| match c {
                'o' | 'O' => '0',
                'l' | 'I' | 'i' => '1',
                c => c,
            })
            .collect();
        digits
    };
    // Only the part behind the last letters that begin it is made digits.
    let after = |text: &str| {
        let head = text.len() - text.trim_start_matches(|c: char| c.is_alphabetic()).len();
        format!("{}{}", &text[..head], swapped(&text[head..]))
    };
    vec![
        id.trim().to_owned(),
        folded.clone(),
        upper.clone(),
        after(&folded),
        after(&upper),
        format!("w-{folded}"),
        format!("W-{upper}"),
    ]
}

fn span(text: &str) -> Option<std::ops::Range<usize>> {
    Some(0..text.len())
}
