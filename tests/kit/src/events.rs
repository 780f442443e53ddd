//! Synthetic runs whose scores are known beforehand, as the JSON that people and producers write.
//!
//! It is JSON and not the types of `stillhouse-schemas`, so that the tests of crates which know nothing of events stay
//! free of them.

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::ops::Range;

use crate::dice::Dice;

/// A source of runs: number `n` is always the same run.
#[derive(Clone, Debug)]
pub struct Runs {
    seed: u64,
}

/// What must come of some runs.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// Ids of all of them.
    pub all: BTreeSet<String>,
    /// Ids of those that a definite outcome accepts; the others have one that rejects.
    pub accepted: BTreeSet<String>,
}

impl Runs {
    /// The runs of this seed.
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// Id of a run, and of its event.
    pub fn id(&self, n: usize) -> String {
        format!("run-{}-{n:06}", self.seed)
    }

    /// Half of the runs.
    fn is_accepted(n: usize) -> bool {
        n % 4 < 2
    }

    /// What must come of these.
    pub fn expected(&self, range: Range<usize>) -> Expected {
        let accepted = range.clone().filter(|n| Self::is_accepted(*n)).map(|n| self.id(n)).collect();
        Expected { all: range.map(|n| self.id(n)).collect(), accepted }
    }

    /// The payload of a run.
    pub fn payload(&self, n: usize) -> Value {
        let mut dice = Dice::new(self.seed ^ (n as u64) << 20);
        let outcome = match n % 4 {
            0 => json!({"reward": 1.0, "source": "environment"}),
            1 => json!({"verdict": "pass", "source": "check"}),
            2 => json!({"reward": 0.0, "source": "environment"}),
            _ => json!({"human_label": "rejected", "source": "reviewer"}),
        };
        let worker = dice.below(500);
        let text =
            ["Könnte", "the", "shift", "be", "moved", "?", "\u{2028}", "naïve", "名", "\"quoted\"", "back\\slash"];
        let words: Vec<&str> = (0..dice.between(3, 30)).map(|_| *dice.pick(&text)).collect();
        let mut messages = vec![
            json!({"role": "system", "content": "You fill shifts of a staffing agency."}),
            json!({"role": "user", "content": format!("Who can take shift {n}? {}", words.join(" "))}),
        ];
        if n.is_multiple_of(3) {
            let call = format!("call-{n}");
            let function = json!({"name": "find_worker", "arguments": json!({"shift": n}).to_string()});
            messages.push(json!({"role": "assistant", "content": null,
                "tool_calls": [{"id": call, "type": "function", "function": function}]}));
            messages
                .push(json!({"role": "tool", "tool_call_id": call, "content": json!({"worker": worker}).to_string()}));
        }
        messages.push(json!({"role": "assistant", "content": format!("Worker {worker} takes shift {n}.")}));
        let mut run = json!({
            "run_id": self.id(n), "task_key": format!("shift-{}", n / 2), "role": "scheduler", "model": "a-model",
            "provider": "a-provider", "messages": messages, "outcome": outcome, "finish_reason": "stop",
            "usage": {"input_tokens": dice.below(5_000), "output_tokens": dice.below(900)},
            "cost_usd": dice.below(1_000) as f64 / 10_000.0, "tags": ["synthetic", format!("group-{}", n % 7)],
        });
        if n.is_multiple_of(3) {
            run["tools"] = json!([{"type": "function", "function": {"name": "find_worker",
                "description": "Finds a worker for a shift.",
                "parameters": {"type": "object", "properties": {"shift": {"type": "integer"}}}}}]);
        }
        run
    }

    /// The event of a run.
    pub fn event(&self, n: usize) -> Value {
        // Times repeat, so that ties are settled by ids.
        let (minutes, seconds) = (n / 120 % 60, n / 2 % 60);
        let at = format!("2026-01-{:02}T{:02}:{minutes:02}:{seconds:02}Z", 1 + n / 100_000 % 28, n / 7_200 % 24);
        json!({"id": self.id(n), "key": self.id(n), "occurred_at": at, "payload": self.payload(n)})
    }

    /// Events as JSON Lines.
    pub fn lines(&self, range: Range<usize>) -> String {
        range.map(|n| format!("{}\n", self.event(n))).collect()
    }
}
