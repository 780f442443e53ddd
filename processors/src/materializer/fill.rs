//! Workers proposed for a job. What is checked is form only: that the proposal names workers and a job, no worker twice,
//! none but those it could choose from, and not more than are wanted. Whether a worker exists, is free and may do the
//! work is for validators to say.

use super::Refusal;
use super::chat::conversation;
use super::class::Limits;
use super::json_answer::find;
use super::signals::empty_for_want_of_text;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use stillhouse_schemas::{Evidence, Run};

pub(super) const CLASS: &str = "fill";

/// Names that a worker's id goes by.
pub static WORKER_NAMES: &[&str] = &["worker_id", "worker", "candidate_id", "candidate", "employee_id", "employee"];
/// Names that a job's id goes by.
pub static JOB_NAMES: &[&str] = &["job_id", "job", "shift_id", "shift", "order_id", "requisition_id", "assignment_id"];
/// Names of lists of proposals in an artefact.
static LISTS: &[&str] = &["fills", "workers", "assignments", "proposals", "candidates", "worker_ids"];
/// Names of the lists that a proposal had to choose from, in the context.
pub(crate) static CHOICES: &[&str] = &["candidates", "workers", "available_workers", "roster", "pool"];
/// Names of how many are wanted, in the context or its job.
pub(crate) static HEADCOUNTS: &[&str] = &["headcount", "openings", "positions", "workers_needed"];

/// Takes a proposal.
pub(super) fn take(run: &mut Run, _: &Limits) -> Result<Evidence, Refusal> {
    let mut evidence = conversation(run, CLASS)?;
    let given = evidence.artefact.clone();
    if given.is_none() {
        empty_for_want_of_text(&mut evidence);
    }
    let answer = evidence.answer.clone().unwrap_or_default();
    let found = find(given.as_deref().unwrap_or(&answer));
    let context: Value = evidence.context.as_deref().and_then(|c| serde_json::from_str(c).ok()).unwrap_or_default();
    let (errors, strangers) = match &found {
        Some(found) => structure(&found.value, &context),
        None => (1, 0),
    };
    evidence.signals.insert("structure_errors".to_owned(), errors as f64);
    evidence.signals.insert("unknown_workers".to_owned(), strangers as f64);
    if given.is_none() {
        evidence.artefact = found.map(|found| found.text.to_owned());
    }
    Ok(evidence)
}

/// Whether an artefact looks like a proposal.
pub(super) fn is_one(artefact: &Value) -> bool {
    proposals(artefact).iter().any(|proposal| worker(proposal).is_some())
}

/// Errors of form, and workers that were not among those to choose from.
fn structure(artefact: &Value, context: &Value) -> (usize, usize) {
    let proposed = proposals(artefact);
    let mut errors = usize::from(proposed.is_empty());
    let mut named = BTreeSet::new();
    for proposal in &proposed {
        match worker(proposal) {
            Some(worker) => errors += usize::from(!named.insert(worker)),
            None => errors += 1,
        }
    }
    let has_job = |value: &Value| value.as_object().and_then(|members| id(members, JOB_NAMES)).is_some();
    let job = &context["job"];
    let context_has = has_job(context) || job.as_object().is_some_and(|job| !job.is_empty());
    errors += usize::from(!(has_job(artefact) || proposed.iter().any(|p| has_job(p)) || context_has));
    let wanted = HEADCOUNTS.iter().find_map(|name| context[*name].as_u64().or(job[*name].as_u64()));
    errors += usize::from(wanted.is_some_and(|wanted| named.len() as u64 > wanted));
    let choices: BTreeSet<String> =
        CHOICES.iter().find_map(|name| context[*name].as_array()).into_iter().flatten().filter_map(worker).collect();
    let strangers = if choices.is_empty() { 0 } else { named.iter().filter(|w| !choices.contains(*w)).count() };
    (errors, strangers)
}

/// Each worker's part of an artefact: the artefact itself, or the entries of its list.
pub(crate) fn proposals(artefact: &Value) -> Vec<&Value> {
    match artefact {
        Value::Array(entries) => entries.iter().collect(),
        Value::Object(members) => match LISTS.iter().find_map(|name| members.get(*name)?.as_array()) {
            Some(entries) => entries.iter().collect(),
            None => vec![artefact],
        },
        _ => Vec::new(),
    }
}

fn worker(value: &Value) -> Option<String> {
    match value {
        Value::Object(members) => id(members, WORKER_NAMES).or_else(|| text(members.get("id")?)),
        other => text(other),
    }
}

/// The id under the first of these names: text, a number, or an object's `id`.
pub(crate) fn id(members: &Map<String, Value>, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| match members.get(*name)? {
        Value::Object(inner) => names.iter().chain(&["id"]).find_map(|name| text(inner.get(*name)?)),
        other => text(other),
    })
}

pub(crate) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(id) if !id.trim().is_empty() => Some(id.trim().to_owned()),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    }
}
