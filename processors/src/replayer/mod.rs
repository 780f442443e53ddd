//! Recorded runs, run again.
//!
//! One step machine ([`Machine`]) drives a run again, whoever answers: it gives every turn of the model what was said before
//! it, takes an answer, compares it with the recorded one and stops at the first that is another. Results of tools are the
//! recorded ones, always: nothing here can call a tool, so a replay has no effect anywhere.
//!
//! - [`recorded`]: the recorded answers. It finds what does not hang together: calls whose arguments are no JSON object,
//!   results of calls that nobody made, calls whose result is missing.
//! - [`asked`]: a model, step by step, through [`Calls`], which answers from what was recorded before it asks anybody.
//!
//! Verdicts: `same` (every step went alike), `diverged` (the first that did not is named, with both sides), `incomplete`
//! (the record ends before the run does, or a result is missing), `failed` (it could not be run: why is said).
//!
//! Deterministic: id and payload are of the run, the mode, the model and the comparison, and of what a model answered.

mod comparison;
mod machine;
mod summary;

pub use comparison::{Comparison, arguments};
pub use machine::{Course, Machine, Turn};
pub use summary::{Step, Summary};

use crate::exporter::canonical::{CanonicalError, Json};
use crate::transform::Maker;
use std::collections::BTreeMap;
use stillhouse_schemas::model::{Call, CallError, Calls, Request};
use stillhouse_schemas::{Cause, Envelope, Event, Payload, Producer, Replayed, Run, Usage, config_hash};
use stillhouse_streams::Position;

/// Name of the processor.
pub const NAME: &str = "replayer";
/// Version of its code: raised with every change of what it makes of the same run.
pub const VERSION: &str = "1";
/// Logical topic of replays.
pub const REPLAYS: &str = "replays";
/// The recorded answers.
pub const RECORDED: &str = "recorded";
/// A model's answers.
pub const MODEL: &str = "model";

/// How runs are replayed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// URI of the model to ask; none: the recorded answers.
    pub model: Option<String>,
    /// What is the same.
    pub comparison: Comparison,
}

impl Plan {
    /// `recorded` or `model`.
    pub fn mode(&self) -> &'static str {
        if self.model.is_some() { MODEL } else { RECORDED }
    }

    /// All that changes what is made of the same run: name to value.
    pub fn settings(&self) -> BTreeMap<String, String> {
        let model = self.model.clone().unwrap_or_default();
        [("mode", self.mode().to_owned()), ("model", model), ("comparison", self.comparison.as_str().to_owned())]
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }

    /// Signs replays by this plan.
    pub fn maker(&self) -> Maker {
        Maker::new(Producer { name: NAME.into(), version: VERSION.into(), config_hash: config_hash(&self.settings()) })
    }

    /// The event that says what came of a run, read at `position`.
    pub fn event(&self, (envelope, position): (&Envelope, &Position), replayed: Replayed) -> Event {
        let mut event = self.maker().derive(&[(envelope, position)], REPLAYS, 0, Payload::Replayed(replayed));
        if let Payload::Replayed(replayed) = &mut event.payload {
            replayed.replay_id.clone_from(&event.envelope.id);
        }
        event
    }
}

/// Runs a run again with the recorded answers.
pub fn recorded(run: &Run, comparison: Comparison) -> Replayed {
    let mut machine = match Machine::new(run, comparison) {
        Ok(machine) => machine,
        Err(why) => return failed(run, RECORDED, why),
    };
    while let Some(said) = machine.turn().map(|turn| turn.recorded.clone()) {
        machine.take(&said);
    }
    machine.finish().replayed(run, RECORDED)
}

/// Runs a run again with the answers of a model. `may_ask` lets calls out that were never answered before; without it
/// such a step fails the replay and says so.
///
/// # Errors
/// When what was asked or answered cannot be recorded or read: the replay must not be said then.
pub async fn asked(
    (event, run, cause): (&Envelope, &Run, Cause),
    plan: &Plan,
    calls: &dyn Calls,
    may_ask: bool,
) -> Result<Replayed, CallError> {
    let mut machine = match Machine::new(run, plan.comparison) {
        Ok(machine) => machine,
        Err(why) => return Ok(failed(run, MODEL, why)),
    };
    let (mut usage, mut cost, mut name) = (Usage::default(), None, None);
    while let Some(turn) = machine.turn() {
        let call = Call {
            purpose: "replay".to_owned(),
            model: plan.model.clone().unwrap_or_default(),
            request: Request {
                messages: turn.before.to_vec(),
                tools: run.tools.clone(),
                // The likeliest answer: two replays of one model should differ in nothing but the model's own noise.
                temperature: Some(0.0),
                response_schema: run.response_schema.clone(),
                ..Request::default()
            },
            run_id: Some(run.run_id.clone()),
            subject: event.subject.clone(),
            causes: vec![cause.clone()],
        };
        let answered = if may_ask { calls.call(&call).await.map(Some) } else { calls.recorded(&call).await };
        match answered {
            Ok(Some(answered)) => {
                add(&mut usage, answered.reply.usage.as_ref());
                cost = match (cost, answered.cost_usd) {
                    (None, known) => known,
                    (Some(before), known) => Some(before + known.unwrap_or_default()),
                };
                name = Some(answered.reply.model.clone());
                machine.take(&answered.reply.message);
            }
            Ok(None) => machine.fail("the model was never asked this, and asking it was not allowed".to_owned()),
            Err(error @ CallError::Model { .. }) => machine.fail(error.to_string()),
            Err(error) => return Err(error),
        }
    }
    let mut replayed = machine.finish().replayed(run, MODEL);
    replayed.model = name.or_else(|| plan.model.clone());
    replayed.usage = (usage != Usage::default()).then_some(usage);
    replayed.cost_usd = cost;
    Ok(replayed)
}

fn failed(run: &Run, mode: &str, why: String) -> Replayed {
    Replayed {
        run_id: run.run_id.clone(),
        mode: mode.to_owned(),
        verdict: "failed".to_owned(),
        error: Some(why),
        ..Replayed::default()
    }
}

fn add(sum: &mut Usage, more: Option<&Usage>) {
    let Some(more) = more else { return };
    let add = |sum: &mut Option<i64>, more: Option<i64>| {
        if let Some(more) = more {
            *sum = Some(sum.unwrap_or_default().saturating_add(more));
        }
    };
    add(&mut sum.input_tokens, more.input_tokens);
    add(&mut sum.output_tokens, more.output_tokens);
    add(&mut sum.cached_tokens, more.cached_tokens);
    add(&mut sum.reasoning_tokens, more.reasoning_tokens);
}

/// A line of `replay_runs.jsonl`, without its end: what an event says, in canonical JSON.
pub fn line(replayed: &Replayed) -> Result<Vec<u8>, CanonicalError> {
    let divergence = replayed.divergence.as_ref().map_or(Json::Null, |d| {
        Json::map([
            ("recorded", Json::optional(d.recorded.as_deref())),
            ("replayed", Json::optional(d.replayed.as_deref())),
            ("step", Json::Int(d.step)),
            ("what", Json::text(d.what.as_str())),
        ])
    });
    let usage = replayed.usage.as_ref().map_or(Json::Null, |u| {
        let tokens = |n: Option<i64>| n.map_or(Json::Null, Json::Int);
        Json::map([
            ("cached_tokens", tokens(u.cached_tokens)),
            ("input_tokens", tokens(u.input_tokens)),
            ("output_tokens", tokens(u.output_tokens)),
            ("reasoning_tokens", tokens(u.reasoning_tokens)),
        ])
    });
    Json::map([
        ("answer", Json::optional(replayed.answer.as_deref())),
        ("cost_usd", replayed.cost_usd.map_or(Json::Null, Json::Float)),
        ("divergence", divergence),
        ("error", Json::optional(replayed.error.as_deref())),
        ("matched", Json::Int(replayed.matched)),
        ("mode", Json::text(replayed.mode.as_str())),
        ("model", Json::optional(replayed.model.as_deref())),
        ("outside_calls", Json::Int(replayed.outside_calls)),
        ("provider", Json::optional(replayed.provider.as_deref())),
        ("replay_id", Json::text(replayed.replay_id.as_str())),
        ("run_id", Json::text(replayed.run_id.as_str())),
        ("steps", Json::Int(replayed.steps)),
        ("usage", usage),
        ("verdict", Json::text(replayed.verdict.as_str())),
    ])
    .to_bytes()
}
