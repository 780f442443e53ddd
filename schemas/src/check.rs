//! Limits that a type cannot hold: what every way in asks of an event before it is taken.

use crate::error::BadEvent;
use crate::event::{Envelope, Event, Micros};
use crate::payload::{Category, Finding, Message, Outcome, Payload, Run, Span, Tool};
use crate::{ids, time};
use std::collections::BTreeMap;

/// Most bytes of a key, run id, entity or subject.
pub const MAX_KEY_BYTES: usize = 256;
/// Most messages of a run.
pub const MAX_MESSAGES: usize = 20_000;
/// Most calls in one message.
pub const MAX_TOOL_CALLS: usize = 1_000;
/// Most tools of a run.
pub const MAX_TOOLS: usize = 2_000;
/// Most tags of a run.
pub const MAX_TAGS: usize = 1_000;
/// Most entries of `extra`.
pub const MAX_EXTRA: usize = 10_000;
/// Most parts of an embedded item.
pub const MAX_PARTS: usize = 10_000;
/// Most causes of an event.
const MAX_CAUSES: usize = 10_000;

const ROLES: [&str; 5] = ["system", "developer", "user", "assistant", "tool"];

type Checked = Result<(), BadEvent>;

/// Checks what the schema cannot say: ids and keys, times, finite numbers, counts, JSON text where JSON text belongs.
///
/// # Errors
/// Names the field and what to do.
pub fn check(event: &Event) -> Result<(), BadEvent> {
    envelope(&event.envelope)?;
    if let Some(run_id) = event.payload.run_id() {
        name("payload.run_id", run_id)?;
        if event.payload.natural_key() == Some(run_id) && run_id != event.envelope.key {
            return bad("key", "must be the payload's `run_id`, so that everything about a run meets; leave it out");
        }
    }
    match &event.payload {
        Payload::Run(p) => run(p),
        Payload::Evidence(p) => {
            conversation(&p.messages, &p.tools)?;
            outcome(&p.outcome)?;
            artefact(p.response_schema.as_deref(), p.artefact.as_deref(), p.context.as_deref())?;
            at_most("payload.tags", p.tags.len(), MAX_TAGS)?;
            numbers("payload.signals", &p.signals, f64::MIN, f64::MAX)
        }
        Payload::Score(p) => {
            within("payload.score", p.score, 0.0, 1.0)?;
            numbers("payload.sub_scores", &p.sub_scores, 0.0, 1.0)
        }
        Payload::Validation(p) => {
            one_of("payload.verdict", &p.verdict, &["pass", "fail", "skipped"])?;
            p.reasons.iter().try_for_each(finding)
        }
        Payload::Claim(p) => {
            name("payload.entity", &p.entity)?;
            name("payload.attribute", &p.attribute)?;
            name("payload.source", &p.source)?;
            if p.entity != event.envelope.key {
                return bad("key", "must be the payload's `entity`, so that everything about it meets; leave it out");
            }
            json_text("payload.value", &p.value)?;
            maybe_time("payload.valid_from", p.valid_from)?;
            maybe_time("payload.valid_until", p.valid_until)?;
            if p.valid_from.zip(p.valid_until).is_some_and(|(from, until)| from > until) {
                return bad("payload.valid_until", "is before `valid_from`");
            }
            p.confidence.map_or(Ok(()), |c| within("payload.confidence", c, 0.0, 1.0))
        }
        Payload::Verdict(p) => {
            name("payload.entity", &p.entity)?;
            name("payload.attribute", &p.attribute)?;
            one_of("payload.status", &p.status, &["agreed", "contested", "superseded", "unverified"])?;
            p.value.as_deref().map_or(Ok(()), |value| json_text("payload.value", value))
        }
        Payload::Control(p) => {
            one_of("payload.action", &p.action, &["generation_started", "promoted", "dropped"])?;
            name("payload.processor", &p.processor)?;
            name("payload.generation", &p.generation)
        }
        Payload::Span(p) => span(p),
        Payload::Label(p) => one_of("payload.label", &p.label, &Category::ALL.map(Category::as_str)),
        Payload::CallRequested(p) => {
            name("payload.call_hash", &p.call_hash)?;
            json_text("payload.body", &p.body)
        }
        Payload::CallReplied(p) => {
            name("payload.call_hash", &p.call_hash)?;
            p.cost_usd.map_or(Ok(()), |c| within("payload.cost_usd", c, 0.0, f64::MAX))?;
            p.body.as_deref().map_or(Ok(()), |b| json_text("payload.body", b))
        }
        Payload::Decision(p) => {
            one_of("payload.action", &p.action, &["recalled", "reinstated", "released", "discarded", "erased"])?;
            p.key_id.as_deref().map_or(Ok(()), |k| name("payload.key_id", k))
        }
        Payload::Replayed(p) => {
            one_of("payload.verdict", &p.verdict, &["same", "diverged", "incomplete", "failed"])?;
            p.cost_usd.map_or(Ok(()), |c| within("payload.cost_usd", c, 0.0, f64::MAX))
        }
        Payload::Audited(p) => one_of("payload.verdict", &p.verdict, &["pass", "warn", "fail"]),
        Payload::Document(p) => {
            name("payload.document_id", &p.document_id)?;
            name("payload.collection", &p.collection)?;
            at_most("payload.metadata", p.metadata.len(), MAX_TAGS)
        }
        Payload::Embedded(p) => embedded(p),
        Payload::RosterChanged(p) => {
            name("payload.load", &p.load)?;
            at_most("payload.workers", p.workers.len(), MAX_PARTS)?;
            at_most("payload.removed", p.removed.len(), MAX_PARTS)
        }
        Payload::RosterLoaded(p) => {
            name("payload.load", &p.load)?;
            name("payload.version", &p.version)
        }
        Payload::Searched(p) => {
            name("payload.search_id", &p.search_id)?;
            p.hits.iter().try_for_each(|h| within("payload.hits.score", h.score, f64::MIN, f64::MAX))
        }
        Payload::Checked(p) => {
            name("payload.check_id", &p.check_id)?;
            one_of("payload.verdict", &p.verdict, &["pass", "fail", "skipped"])?;
            p.reasons.iter().try_for_each(finding)
        }
        Payload::ScoreFailed(_)
        | Payload::Quarantined(_)
        | Payload::Exported(_)
        | Payload::DeadLettered(_)
        | Payload::ErasureCertified(_)
        | Payload::Released(_)
        | Payload::RangeSealed(_) => Ok(()),
    }
}

fn envelope(e: &Envelope) -> Checked {
    ids::check(&e.id).map_err(|m| BadEvent::new("id", m))?;
    name("key", &e.key)?;
    time::check(e.occurred_at).map_err(|m| BadEvent::new("occurred_at", m))?;
    if let Some(subject) = &e.subject {
        name("subject", subject)?;
    }
    name("producer.name", &e.producer.name)?;
    at_most("causes", e.causes.len(), MAX_CAUSES)?;
    for (i, cause) in e.causes.iter().enumerate() {
        ids::check(&cause.id).map_err(|m| BadEvent::new(format!("causes[{i}].id"), m))?;
    }
    match &e.traceparent {
        Some(t) if !is_traceparent(t) => {
            bad("traceparent", "is not of W3C trace context: 00-<32 hex digits>-<16 hex digits>-<2 hex digits>")
        }
        _ => Ok(()),
    }
}

fn artefact(schema: Option<&str>, artefact: Option<&str>, context: Option<&str>) -> Checked {
    [("payload.response_schema", schema), ("payload.artefact", artefact), ("payload.context", context)]
        .into_iter()
        .filter_map(|(field, text)| text.map(|text| (field, text)))
        .try_for_each(|(field, text)| json_text(field, text))
}

fn span(span: &Span) -> Checked {
    if !is_hex(&span.trace_id, 32) {
        return bad("payload.trace_id", "must be 32 hex digits");
    }
    for (field, id) in
        [("payload.span_id", Some(&span.span_id)), ("payload.parent_span_id", span.parent_span_id.as_ref())]
    {
        if id.is_some_and(|id| !is_hex(id, 16)) {
            return bad(field, "must be 16 hex digits");
        }
    }
    maybe_time("payload.started_at", span.started_at)?;
    maybe_time("payload.ended_at", span.ended_at)?;
    at_most("payload.attributes", span.attributes.len(), MAX_EXTRA)?;
    span.attributes.iter().try_for_each(|(k, v)| json_text_at(v, || format!("payload.attributes.{k}")))
}

/// Vectors are whole, of the length that is said, and of numbers.
fn embedded(embedded: &crate::Embedded) -> Checked {
    name("payload.corpus", &embedded.corpus)?;
    name("payload.item_id", &embedded.item_id)?;
    at_most("payload.parts", embedded.parts.len(), MAX_PARTS)?;
    at_most("payload.metadata", embedded.metadata.len(), MAX_TAGS)?;
    embedded.role_confidence.map_or(Ok(()), |c| within("payload.role_confidence", c, 0.0, 1.0))?;
    let Ok(dims) = usize::try_from(embedded.dims) else { return bad("payload.dims", "is negative") };
    for (i, part) in embedded.parts.iter().enumerate() {
        let at = || format!("payload.parts[{i}].vector");
        let vector = part.vector.as_deref().unwrap_or_default();
        if dims == 0 || vector.len() != 4 * dims {
            return Err(BadEvent::new(at(), format!("has {} bytes, not 4 for each of {dims} floats", vector.len())));
        }
        let floats = vector.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        if floats.into_iter().any(|f| !f.is_finite()) {
            return Err(BadEvent::new(at(), "holds what is no number"));
        }
    }
    Ok(())
}

fn run(run: &Run) -> Checked {
    conversation(&run.messages, &run.tools)?;
    outcome(&run.outcome)?;
    artefact(run.response_schema.as_deref(), run.artefact.as_deref(), run.context.as_deref())?;
    at_most("payload.passages", run.passages.len(), MAX_MESSAGES)?;
    if let Some(usage) = &run.usage {
        for (field, tokens) in [
            ("payload.usage.input_tokens", usage.input_tokens),
            ("payload.usage.output_tokens", usage.output_tokens),
            ("payload.usage.cached_tokens", usage.cached_tokens),
            ("payload.usage.reasoning_tokens", usage.reasoning_tokens),
        ] {
            if tokens.is_some_and(|t| t < 0) {
                return bad(field, "is negative");
            }
        }
    }
    run.cost_usd.map_or(Ok(()), |c| within("payload.cost_usd", c, 0.0, f64::MAX))?;
    maybe_time("payload.started_at", run.started_at)?;
    maybe_time("payload.ended_at", run.ended_at)?;
    if run.trace_id.as_deref().is_some_and(|t| !is_hex(t, 32)) {
        return bad("payload.trace_id", "must be 32 hex digits; put an id of another form into `extra`");
    }
    if run.span_id.as_deref().is_some_and(|s| !is_hex(s, 16)) {
        return bad("payload.span_id", "must be 16 hex digits; put an id of another form into `extra`");
    }
    at_most("payload.tags", run.tags.len(), MAX_TAGS)?;
    at_most("payload.extra", run.extra.len(), MAX_EXTRA)?;
    run.extra.iter().try_for_each(|(k, v)| json_text_at(v, || format!("payload.extra.{k}")))
}

fn conversation(messages: &[Message], tools: &[Tool]) -> Checked {
    at_most("payload.messages", messages.len(), MAX_MESSAGES)?;
    at_most("payload.tools", tools.len(), MAX_TOOLS)?;
    for (i, message) in messages.iter().enumerate() {
        if !ROLES.contains(&message.role.as_str()) {
            return one_of(&format!("payload.messages[{i}].role"), &message.role, &ROLES);
        }
        if let Some(parts) = &message.parts {
            json_text_at(parts, || format!("payload.messages[{i}].parts"))?;
        }
        if message.tool_calls.len() > MAX_TOOL_CALLS {
            at_most(&format!("payload.messages[{i}].tool_calls"), message.tool_calls.len(), MAX_TOOL_CALLS)?;
        }
    }
    for (i, tool) in tools.iter().enumerate() {
        if tool.name.is_empty() {
            return bad(&format!("payload.tools[{i}].name"), "is empty");
        }
        if let Some(parameters) = &tool.parameters {
            json_text_at(parameters, || format!("payload.tools[{i}].parameters"))?;
        }
    }
    Ok(())
}

fn outcome(outcome: &Outcome) -> Checked {
    outcome.reward.map_or(Ok(()), |r| within("payload.outcome.reward", r, f64::MIN, f64::MAX))
}

/// Names and keys: some text, no control characters, no blanks around it.
fn name(field: &str, text: &str) -> Checked {
    if text.is_empty() {
        return bad(field, "is empty");
    }
    if text.len() > MAX_KEY_BYTES {
        return Err(BadEvent::new(field, format!("has {} bytes; at most {MAX_KEY_BYTES} are allowed", text.len())));
    }
    if text.chars().any(char::is_control) {
        return bad(field, "has a control character");
    }
    if text.trim().len() != text.len() {
        return bad(field, "begins or ends with a blank");
    }
    Ok(())
}

fn maybe_time(field: &str, micros: Option<Micros>) -> Checked {
    micros.map_or(Ok(()), |m| time::check(m).map_err(|e| BadEvent::new(field, e)))
}

/// `f64::MIN` and `f64::MAX` as bounds ask for a finite number, which JSON and folds need.
fn within(field: &str, number: f64, low: f64, high: f64) -> Checked {
    if !number.is_finite() {
        return bad(field, "is not a finite number");
    }
    if number < low || number > high {
        let bounds = if high == f64::MAX { format!("at least {low}") } else { format!("from {low} to {high}") };
        return Err(BadEvent::new(field, format!("is {number}; it must be {bounds}")));
    }
    Ok(())
}

fn numbers(field: &str, numbers: &BTreeMap<String, f64>, low: f64, high: f64) -> Checked {
    numbers
        .iter()
        .filter(|(_, n)| !(low..=high).contains(*n))
        .try_for_each(|(k, n)| within(&format!("{field}.{k}"), *n, low, high))
}

fn one_of(field: &str, said: &str, allowed: &[&str]) -> Checked {
    if allowed.contains(&said) {
        return Ok(());
    }
    let allowed = allowed.iter().map(|a| format!("`{a}`")).collect::<Vec<_>>().join(", ");
    let said: String = said.chars().take(40).collect();
    Err(BadEvent::new(field, format!("is `{said}`; it must be one of {allowed}")))
}

fn at_most(field: &str, count: usize, limit: usize) -> Checked {
    if count <= limit {
        Ok(())
    } else {
        Err(BadEvent::new(field, format!("has {count} entries; at most {limit} are taken")))
    }
}

fn json_text(field: &str, text: &str) -> Checked {
    json_text_at(text, || field.to_owned())
}

fn json_text_at(text: &str, field: impl FnOnce() -> String) -> Checked {
    match crate::json::validate(text) {
        Ok(_) => Ok(()),
        Err(e) => Err(BadEvent::new(field(), format!("must be JSON text (a string as \"\\\"…\\\"\"): {e}"))),
    }
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn is_traceparent(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let lower = text.bytes().all(|b| !b.is_ascii_uppercase());
    let nonzero = |part: &str| part.bytes().any(|b| b != b'0');
    match parts.as_slice() {
        [version, trace, span, flags] => {
            lower
                && is_hex(version, 2)
                && *version != "ff"
                && is_hex(trace, 32)
                && is_hex(span, 16)
                && is_hex(flags, 2)
                && nonzero(trace)
                && nonzero(span)
        }
        _ => false,
    }
}

fn bad(field: &str, message: &str) -> Checked {
    Err(BadEvent::new(field, message))
}

fn finding(finding: &Finding) -> Checked {
    if let Some(severity) = &finding.severity {
        one_of("payload.reasons.severity", severity, &["info", "warning", "blocking"])?;
    }
    match (finding.span_start, finding.span_end) {
        (Some(start), Some(end)) if start < 0 || start > end => {
            bad("payload.reasons.span_end", "is before `span_start`")
        }
        (Some(_), Some(_)) | (None, None) => Ok(()),
        _ => bad("payload.reasons.span_start", "goes with `span_end`"),
    }
}
