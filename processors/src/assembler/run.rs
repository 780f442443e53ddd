//! The run of a trace.

use super::said::Kind;
use super::threads::{self, Thread};
use super::trace::{Step, Trace};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use stillhouse_schemas::{MAX_TAGS, Message, Outcome, Passage, Run, Tool, Usage};

/// The id of a trace's run.
pub(super) fn id(trace_id: &str) -> String {
    format!("trace-{}", trace_id.to_ascii_lowercase())
}

/// The run of these spans; none if nothing in them is about a model.
pub(super) fn of(trace: &Trace, missing: Option<String>, take_unclosed: bool) -> Option<Run> {
    let steps = trace.steps();
    if !steps.iter().any(|step| step.said.known) {
        return None;
    }
    let outermost = steps.iter().min_by_key(|step| step.depth)?;
    let models = models(trace, &steps);
    let root_says = steps.iter().filter(|step| step.depth == outermost.depth);
    let came_out = root_says.clone().rev().find_map(|step| step.said.output_text.as_deref());
    let all = threads::threads(&models);
    let place = threads::main(&all, came_out);
    let mut main = place.map(|place| all[place].clone()).unwrap_or_else(|| around(&steps));
    for step in steps.iter().filter(|step| step.said.kind == Some(Kind::Tool)) {
        let elsewhere = all.iter().enumerate().any(|(n, t)| Some(n) != place && t.asked(&step.said.tool).is_some());
        main.tool(&step.said.tool, step, elsewhere);
    }
    let last = place.and_then(|_| models.get(main.last).copied());
    let first = |get: &dyn Fn(&Step<'_>) -> Option<String>| steps.iter().find_map(get);
    let by_depth = || {
        let mut by_depth: Vec<&Step<'_>> = steps.iter().collect();
        by_depth.sort_by_key(|step| step.depth);
        by_depth
    };
    let outer = |get: &dyn Fn(&Step<'_>) -> Option<String>| by_depth().into_iter().find_map(get);
    let error = root_says.clone().find_map(|step| step.said.error.clone()).or_else(|| last?.said.error.clone());
    let unclosed = missing.as_ref().filter(|_| !take_unclosed).map(|why| format!("the trace was not closed: {why}"));
    let trace_id = outermost.span.trace_id.clone();
    let extra = extra(trace, &steps, outermost, &all, missing.as_deref());
    Some(Run {
        run_id: id(&trace_id),
        source_class: outer(&|step| step.said.source_class.clone()),
        task_key: outer(&|step| step.said.task_key.clone()),
        role: outer(&|step| step.said.role.clone()),
        model: last.and_then(|step| step.said.model.clone()).or_else(|| first(&|step| step.said.model.clone())),
        provider: last
            .and_then(|step| step.said.provider.clone())
            .or_else(|| first(&|step| step.said.provider.clone())),
        messages: main.messages.into_iter().map(|(_, message)| message).collect(),
        tools: tools(&models),
        reference: outer(&|step| step.said.reference.clone()),
        outcome: outcome(&by_depth()),
        usage: usage(trace, &steps),
        cost_usd: cost(trace, &steps),
        started_at: steps.iter().filter_map(|step| step.span.started_at).min(),
        ended_at: steps.iter().filter_map(|step| step.span.ended_at).max(),
        finish_reason: last.and_then(|step| step.said.finish_reason.clone()).map(|reason| match reason.as_str() {
            "tool_call" | "function_call" => "tool_calls".to_owned(),
            _ => reason,
        }),
        error: unclosed.or(error),
        session_id: outer(&|step| step.said.session_id.clone()),
        span_id: Some(outermost.span.span_id.clone()),
        tags: tags(&by_depth()),
        passages: passages(&steps),
        response_schema: outer(&|step| step.said.response_schema.clone()),
        artefact: None,
        context: None,
        revision: trace.revision(),
        trace_id: Some(trace_id),
        extra,
    })
}

/// The calls of models. Frameworks and clients often both record the same call: the one counts that is outside and says
/// what was said.
fn models<'a, 'b>(trace: &Trace, steps: &'b [Step<'a>]) -> Vec<&'b Step<'a>> {
    once(trace, steps.iter().filter(|step| step.said.kind == Some(Kind::Model) && says(step)).collect())
}

/// Without those that are within another of them, or beside another that recorded the same call.
fn once<'a, 'b>(trace: &Trace, calls: Vec<&'b Step<'a>>) -> Vec<&'b Step<'a>> {
    let ids: BTreeSet<&str> = calls.iter().map(|step| step.span.span_id.as_str()).collect();
    let own = |step: &&&'b Step<'a>| {
        !trace.is_within(step.span, &ids) && !calls.iter().any(|other| threads::is_repeated_by(step, other))
    };
    calls.iter().filter(own).copied().collect()
}

fn says(step: &Step<'_>) -> bool {
    step.said.speaks()
}

/// Without a call that says anything: what went in and came out at the outermost span that says it.
fn around(steps: &[Step<'_>]) -> Thread {
    let mut thread = Thread::default();
    let mut by_depth: Vec<&Step<'_>> = steps.iter().filter(|step| step.said.kind != Some(Kind::Tool)).collect();
    by_depth.sort_by_key(|step| step.depth);
    let message = |role: &str, text: &str| {
        let parsed = super::attributes::unfold(Value::String(text.to_owned()));
        match super::messages::of(&parsed, role) {
            found if !found.is_empty() => found,
            _ => vec![Message { role: role.to_owned(), content: Some(text.to_owned()), ..Message::default() }],
        }
    };
    if let Some((step, text)) = by_depth.iter().find_map(|step| Some((step, step.said.input_text.as_ref()?))) {
        thread.messages.extend(message("user", text).into_iter().map(|message| (step.began(), message)));
    }
    if let Some((step, text)) = by_depth.iter().find_map(|step| Some((step, step.said.output_text.as_ref()?))) {
        thread.messages.extend(message("assistant", text).into_iter().map(|message| (step.ended(), message)));
    }
    thread
}

/// Those that count something themselves: outer ones repeat what inner ones count.
fn counting<'a, 'b>(trace: &Trace, steps: &'b [Step<'a>], counts: fn(&Step<'_>) -> bool) -> Vec<&'b Step<'a>> {
    let calls: Vec<_> = steps.iter().filter(|step| step.said.kind == Some(Kind::Model) && counts(step)).collect();
    if !calls.is_empty() {
        return once(trace, calls);
    }
    // Only agents or chains count: the outermost say it all.
    let counting: Vec<_> = steps.iter().filter(|step| counts(step)).collect();
    let depth = counting.iter().map(|step| step.depth).min();
    counting.into_iter().filter(|step| Some(step.depth) == depth).collect()
}

fn usage(trace: &Trace, steps: &[Step<'_>]) -> Option<Usage> {
    let counting = counting(trace, steps, |step| {
        step.said.usage.input_tokens.is_some() || step.said.usage.output_tokens.is_some()
    });
    let sum = |get: fn(&Usage) -> Option<i64>| {
        let all = counting.iter().filter_map(|step| get(&step.said.usage));
        all.reduce(i64::saturating_add)
    };
    (!counting.is_empty()).then(|| Usage {
        input_tokens: sum(|usage| usage.input_tokens),
        output_tokens: sum(|usage| usage.output_tokens),
        cached_tokens: sum(|usage| usage.cached_tokens),
        reasoning_tokens: sum(|usage| usage.reasoning_tokens),
    })
}

fn cost(trace: &Trace, steps: &[Step<'_>]) -> Option<f64> {
    let counting = counting(trace, steps, |step| step.said.cost_usd.is_some());
    counting.iter().filter_map(|step| step.said.cost_usd).reduce(|a, b| a + b).filter(|cost| cost.is_finite())
}

fn tools(models: &[&Step<'_>]) -> Vec<Tool> {
    let mut tools: Vec<Tool> = Vec::new();
    let mut named = BTreeSet::new();
    for tool in models.iter().flat_map(|step| &step.said.tools) {
        if named.insert(&tool.name) {
            tools.push(tool.clone());
        }
    }
    tools
}

fn passages(steps: &[Step<'_>]) -> Vec<Passage> {
    let mut seen = BTreeSet::new();
    let all = steps.iter().flat_map(|step| &step.said.passages);
    all.filter(|passage| seen.insert((&passage.id, &passage.text))).cloned().collect()
}

fn tags(by_depth: &[&Step<'_>]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let all = by_depth.iter().flat_map(|step| &step.said.tags);
    all.filter(|tag| seen.insert(tag.as_str())).take(MAX_TAGS).cloned().collect()
}

fn outcome(by_depth: &[&Step<'_>]) -> Outcome {
    let mut outcome = Outcome::default();
    for said in by_depth.iter().map(|step| &step.said.outcome) {
        outcome.reward = outcome.reward.or(said.reward);
        outcome.verdict = outcome.verdict.take().or_else(|| said.verdict.clone());
        outcome.human_label = outcome.human_label.take().or_else(|| said.human_label.clone());
        outcome.source = outcome.source.take().or_else(|| said.source.clone());
    }
    outcome
}

fn extra(
    trace: &Trace,
    steps: &[Step<'_>],
    outermost: &Step<'_>,
    threads: &[Thread],
    missing: Option<&str>,
) -> BTreeMap<String, String> {
    let mut extra = BTreeMap::new();
    let mut by_depth: Vec<&Step<'_>> = steps.iter().collect();
    by_depth.sort_by_key(|step| step.depth);
    for (name, value) in by_depth.iter().flat_map(|step| &step.said.extra).take(MAX_SAID) {
        extra.entry(name.clone()).or_insert_with(|| value.clone());
    }
    let backwards = steps.iter().filter(|s| s.span.started_at.zip(s.span.ended_at).is_some_and(|(a, b)| b < a)).count();
    let mut say = |name: &str, value: Value| drop(extra.insert(name.to_owned(), value.to_string()));
    say("trace.name", outermost.span.name.clone().into());
    say("trace.spans", steps.len().into());
    for (name, count) in [
        ("trace.threads", if threads.len() > 1 { threads.len() } else { 0 }),
        ("trace.conflicts", usize::try_from(trace.conflicts()).unwrap_or_default()),
        ("trace.backwards", backwards),
    ] {
        if count > 0 {
            say(name, count.into());
        }
    }
    if let Some(why) = missing {
        say("trace.incomplete", why.into());
    }
    if let Some(service) = outermost.span.resource.get("service.name") {
        extra.insert("service.name".to_owned(), service.clone());
    }
    extra
}

/// Most entries that spans bring themselves.
const MAX_SAID: usize = 1_000;
