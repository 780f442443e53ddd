//! The conversation of a trace.
//!
//! Every call of a model repeats what was said before it, so most of a trace's messages are there many times. Calls are
//! taken in the order of their starts; one whose input begins with all that a thread holds (words and calls compared,
//! ids and spacing not) continues that thread, as does one whose input is only replies to calls that a thread waits for.
//! Any other begins a thread of its own: a sub-agent, a rewriting of the question, a new attempt.
//!
//! The run's is the thread that ends with what the root says came out; else one of the outermost calls, and of these the
//! one that went on longest. The others are counted (`trace.threads`), not mixed in.

use super::said::Use;
use super::trace::Step;
use serde_json::Value;
use std::cmp::Reverse;
use stillhouse_schemas::{Message, Micros, ToolCall};

/// A conversation that grows.
#[derive(Clone, Debug, Default)]
pub(super) struct Thread {
    /// With the time when each was said.
    pub(super) messages: Vec<(Micros, Message)>,
    /// Number of the last call in it.
    pub(super) last: usize,
    depth: usize,
    ended: Micros,
}

impl Thread {
    fn waits_for(&self, id: &str) -> bool {
        let calls = self.messages.iter().flat_map(|(_, message)| &message.tool_calls);
        let answered = self.messages.iter().any(|(_, message)| message.tool_call_id.as_deref() == Some(id));
        !answered && calls.filter_map(|call| call.id.as_deref()).any(|known| known == id)
    }

    /// How many messages of `input` it has already, if it goes on with it.
    fn continued_by(&self, input: &[Message]) -> Option<usize> {
        let same = |((_, ours), theirs): (&(Micros, Message), &Message)| alike(ours, theirs);
        if input.len() >= self.messages.len() && self.messages.iter().zip(input).all(same) {
            return Some(self.messages.len());
        }
        let reply = |message: &Message| message.tool_call_id.as_deref().is_some_and(|id| self.waits_for(id));
        (!input.is_empty() && input.iter().all(reply)).then_some(0)
    }

    /// The last text of the assistant.
    fn answer(&self) -> Option<&str> {
        let texts = self.messages.iter().rev().filter(|(_, message)| message.role == "assistant");
        texts.filter_map(|(_, message)| message.content.as_deref().map(str::trim)).find(|text| !text.is_empty())
    }

    /// Puts in what a tool's span says, if a call here waits for it or nobody here asked for it. `elsewhere`: another
    /// thread did.
    pub(super) fn tool(&mut self, used: &Use, step: &Step<'_>, elsewhere: bool) {
        let result = used.result.clone().or_else(|| step.said.error.clone());
        match self.asked(used) {
            Some(_) if result.is_none() => {}
            Some((place, call)) => {
                let call = self.messages[place].1.tool_calls[call].clone();
                if self.answered(place, &call) {
                    return;
                }
                // Behind the replies that are there.
                let replies = self.messages[place + 1..].iter().take_while(|(_, m)| m.role == "tool").count();
                let reply = reply(call.id.or_else(|| used.id.clone()), &call.name, result);
                self.messages.insert(place + 1 + replies, (step.ended(), reply));
            }
            None if elsewhere => {}
            None => {
                let Some(name) = used.name.clone() else { return };
                let id = used.id.clone().unwrap_or_else(|| step.span.span_id.clone());
                let arguments = used.arguments.clone().unwrap_or_else(|| "{}".to_owned());
                let call = ToolCall { id: Some(id.clone()), name: name.clone(), arguments };
                let asking = Message { role: "assistant".to_owned(), tool_calls: vec![call], ..Message::default() };
                let mut place = self.messages.iter().take_while(|(at, _)| *at <= step.began()).count();
                // Calls and their replies stay together.
                while self.messages.get(place).is_some_and(|(_, message)| message.role == "tool") {
                    place += 1;
                }
                self.messages.insert(place, (step.began(), asking));
                if result.is_some() {
                    self.messages.insert(place + 1, (step.began(), reply(Some(id), &name, result)));
                }
            }
        }
    }

    /// The call that a tool was used for: by id, else by name and arguments, else by name (libraries wrap arguments in
    /// ways of their own); those that wait first.
    pub(super) fn asked(&self, used: &Use) -> Option<(usize, usize)> {
        let calls = || {
            self.messages.iter().enumerate().flat_map(|(place, (_, message))| {
                message.tool_calls.iter().enumerate().map(move |(number, call)| (place, number, call))
            })
        };
        if let Some(id) = &used.id
            && let Some((place, number, _)) = calls().find(|(.., call)| call.id.as_ref() == Some(id))
        {
            return Some((place, number));
        }
        let name = used.name.as_deref()?;
        let arguments = used.arguments.as_deref().map(canonical);
        let fits = |(_, _, call): &(usize, usize, &ToolCall)| call.name == name;
        let same = |(_, _, call): &(usize, usize, &ToolCall)| Some(canonical(&call.arguments)) == arguments;
        let waits = |(place, _, call): &(usize, usize, &ToolCall)| !self.answered(*place, call);
        let found = calls()
            .filter(fits)
            .find(|c| same(c) && waits(c))
            .or_else(|| calls().filter(fits).find(|c| same(c)))
            .or_else(|| calls().filter(fits).find(waits))
            .or_else(|| calls().find(fits));
        found.map(|(place, number, _)| (place, number))
    }

    fn answered(&self, place: usize, call: &ToolCall) -> bool {
        let replies = self.messages[place + 1..].iter().take_while(|(_, message)| message.role == "tool");
        match &call.id {
            Some(id) => replies.filter_map(|(_, m)| m.tool_call_id.as_ref()).any(|replied| replied == id),
            None => replies.count() >= self.messages[place].1.tool_calls.len(),
        }
    }
}

fn reply(tool_call_id: Option<String>, name: &str, content: Option<String>) -> Message {
    Message { role: "tool".to_owned(), content, name: Some(name.to_owned()), tool_call_id, ..Message::default() }
}

/// All threads of these calls, in the order in which they began.
pub(super) fn threads(calls: &[&Step<'_>]) -> Vec<Thread> {
    let mut threads: Vec<Thread> = Vec::new();
    for (number, step) in calls.iter().enumerate() {
        let input = &step.said.input;
        // The longest that it continues, and of these the latest.
        let found = threads.iter().enumerate().filter_map(|(n, thread)| Some((thread.continued_by(input)?, n))).max();
        let (known, place) = found.unwrap_or_else(|| {
            threads.push(Thread { depth: step.depth, ..Thread::default() });
            (0, threads.len() - 1)
        });
        let thread = &mut threads[place];
        thread.messages.extend(input.iter().skip(known).map(|message| (step.began(), message.clone())));
        thread.messages.extend(step.said.output.iter().map(|message| (step.ended(), message.clone())));
        thread.last = number;
        thread.depth = thread.depth.min(step.depth);
        thread.ended = thread.ended.max(step.ended());
    }
    threads
}

/// The place of the run's own thread.
pub(super) fn main(threads: &[Thread], came_out: Option<&str>) -> Option<usize> {
    let rank = |(place, thread): &(usize, &Thread)| {
        let says_it = came_out.is_some_and(|text| thread.answer() == Some(text.trim()));
        (says_it, Reverse(thread.depth), thread.ended, *place)
    };
    threads.iter().enumerate().max_by_key(rank).map(|(place, _)| place)
}

/// Whether `other` recorded the same call: beside it, while it lasted, with the same words.
pub(super) fn is_repeated_by(step: &Step<'_>, other: &Step<'_>) -> bool {
    let order = |step: &Step<'_>| (step.began(), Reverse(step.ended()), step.span.span_id.clone());
    let all_alike = |a: &[Message], b: &[Message]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b));
    step.span.parent_span_id == other.span.parent_span_id
        && other.began() <= step.began()
        && step.ended() <= other.ended()
        && order(other) < order(step)
        && step.said.speaks()
        && all_alike(&step.said.input, &other.said.input)
        && all_alike(&step.said.output, &other.said.output)
}

/// Whether two records of a message are of the same message.
fn alike(a: &Message, b: &Message) -> bool {
    let text = |message: &Message| message.content.as_deref().unwrap_or_default().trim().to_owned();
    let calls = |message: &Message| -> Vec<(String, String)> {
        message.tool_calls.iter().map(|call| (call.name.clone(), canonical(&call.arguments))).collect()
    };
    a.role == b.role && text(a) == text(b) && calls(a) == calls(b)
}

/// Arguments without their spacing and order.
fn canonical(arguments: &str) -> String {
    match serde_json::from_str::<Value>(arguments) {
        Ok(value) => stillhouse_schemas::json::digest(&value),
        Err(_) => arguments.trim().to_owned(),
    }
}
