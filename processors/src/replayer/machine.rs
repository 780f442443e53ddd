//! The step machine: a run, turn by turn.

use super::comparison::{Comparison, arguments, shown};
use crate::materializer::calls;
use crate::materializer::roles;
use stillhouse_schemas::{Divergence, Message, Replayed, Run};

/// A run on its way through again. [`Machine::turn`] and [`Machine::take`] alternate until there is no next turn.
#[derive(Debug)]
pub struct Machine {
    messages: Vec<Message>,
    comparison: Comparison,
    steps: i64,
    /// The message to go on with.
    at: usize,
    matched: i64,
    answer: Option<String>,
    /// What must hold of the record itself, by the place of the message that it is found at.
    faults: Vec<(usize, Fault)>,
    end: Option<End>,
}

/// What does not hang together in a record.
#[derive(Clone, Debug)]
struct Fault {
    what: &'static str,
    recorded: Option<String>,
    replayed: Option<String>,
    /// Something is missing, nothing is wrong.
    missing: bool,
}

#[derive(Debug)]
enum End {
    Diverged(Divergence),
    Incomplete(Divergence),
    Failed(String),
}

/// A turn of the model.
#[derive(Clone, Debug)]
pub struct Turn<'a> {
    /// Number of the step, from 0.
    pub step: i64,
    /// What was said before it, results of tools included.
    pub before: &'a [Message],
    /// What the model said when it was recorded.
    pub recorded: &'a Message,
}

/// What became of a run.
#[derive(Debug)]
pub struct Course {
    steps: i64,
    matched: i64,
    answer: Option<String>,
    end: Option<End>,
}

impl Machine {
    /// A run at its beginning, or why it cannot be run.
    pub fn new(run: &Run, comparison: Comparison) -> Result<Self, String> {
        let mut messages = run.messages.clone();
        roles::name(&mut messages).map_err(|refusal| refusal.detail)?;
        let steps = messages.iter().filter(|m| m.role == "assistant").count();
        if steps == 0 {
            return Err("the run holds no turn of the model".to_owned());
        }
        let faults = faults(&messages, run.finish_reason.as_deref());
        Ok(Self {
            messages,
            comparison,
            steps: i64::try_from(steps).unwrap_or(i64::MAX),
            at: 0,
            matched: 0,
            answer: None,
            faults,
            end: None,
        })
    }

    /// The next turn of the model, past everything that others said; nothing at the end.
    pub fn turn(&mut self) -> Option<Turn<'_>> {
        while self.end.is_none() && self.at < self.messages.len() {
            // What a turn itself breaks is found when it is taken: its answer counts first.
            if self.messages[self.at].role == "assistant" {
                let (before, rest) = self.messages.split_at(self.at);
                return Some(Turn { step: self.matched, before, recorded: &rest[0] });
            }
            self.fault_at(self.at, (self.matched - 1).max(0));
            self.at += 1;
        }
        None
    }

    /// Takes the answer to the turn that [`Machine::turn`] gave.
    pub fn take(&mut self, said: &Message) {
        let Some(recorded) = self.messages.get(self.at) else { return };
        self.answer = said.content.clone().filter(|text| !text.is_empty()).or(self.answer.take());
        if let Some(divergence) = self.comparison.divergence(self.matched, recorded, said) {
            self.end = Some(End::Diverged(divergence));
            return;
        }
        self.fault_at(self.at, self.matched);
        if self.end.is_none() {
            self.matched += 1;
            self.at += 1;
        }
    }

    /// Ends it: there is no answer.
    pub fn fail(&mut self, why: String) {
        self.end = Some(End::Failed(why));
    }

    /// What became of it.
    pub fn finish(self) -> Course {
        Course { steps: self.steps, matched: self.matched, answer: self.answer, end: self.end }
    }

    fn fault_at(&mut self, place: usize, step: i64) {
        let Some((_, fault)) = self.faults.iter().find(|(at, _)| *at == place) else { return };
        let Fault { what, recorded, replayed, missing } = fault.clone();
        let divergence = Divergence { step, what: what.to_owned(), recorded, replayed };
        self.end = Some(if missing { End::Incomplete(divergence) } else { End::Diverged(divergence) });
    }
}

impl Course {
    /// As an event says it, without its id.
    pub fn replayed(self, run: &Run, mode: &str) -> Replayed {
        let (verdict, divergence, error) = match self.end {
            None => ("same", None, None),
            Some(End::Diverged(divergence)) => ("diverged", Some(divergence), None),
            Some(End::Incomplete(divergence)) => ("incomplete", Some(divergence), None),
            Some(End::Failed(why)) => ("failed", None, Some(why)),
        };
        Replayed {
            run_id: run.run_id.clone(),
            mode: mode.to_owned(),
            verdict: verdict.to_owned(),
            steps: self.steps,
            matched: self.matched,
            divergence,
            answer: self.answer,
            error,
            outside_calls: 0,
            ..Replayed::default()
        }
    }
}

/// Everything that does not hang together, at the message where a replay meets it.
fn faults(messages: &[Message], finish: Option<&str>) -> Vec<(usize, Fault)> {
    let mut found = Vec::new();
    let mut add = |place, what, recorded, replayed, missing| {
        found.push((place, Fault { what, recorded, replayed, missing }));
    };
    for (place, message) in messages.iter().enumerate() {
        for call in message.tool_calls.iter().filter(|call| arguments(&call.arguments).is_none()) {
            add(place, "tool_arguments", Some(call.arguments.clone()), None, false);
        }
    }
    let paired = calls::pair(messages);
    for place in paired.unmatched {
        add(place, "tool_result", messages[place].content.clone(), None, false);
    }
    let last = messages.len().saturating_sub(1);
    for call in paired.calls.iter().filter(|call| call.replies.is_empty()) {
        // A run may end in a call (a hand-over): nobody waits for its result. After any other, the next turn would.
        if let Some(next) = (call.message + 1..=last).find(|place| messages[*place].role == "assistant") {
            let made = call.call(messages);
            add(next, "tool_result", None, Some(format!("{}({})", made.name, made.arguments)), true);
        }
    }
    if let Some(message) = messages.last().filter(|message| message.role == "tool") {
        add(last, "finish", Some(finish.map_or_else(|| shown(message), str::to_owned)), None, true);
    }
    found
}
