//! Many replays in figures.

use serde::Serialize;
use std::collections::BTreeMap;
use stillhouse_schemas::Replayed;

/// Many replays in figures.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Runs.
    pub runs: u64,
    /// Runs by verdict.
    pub verdicts: BTreeMap<String, u64>,
    /// Runs by what they first diverged in.
    pub diverged_in: BTreeMap<String, u64>,
    /// Recorded steps.
    pub steps: i64,
    /// Steps that went alike, before the first that did not.
    pub matched: i64,
    /// By number of the step: runs that came to it, and runs in which it went alike.
    pub by_step: Vec<Step>,
    /// Cost in US dollars, where it is known.
    pub cost_usd: f64,
    /// Tokens read and written.
    pub tokens: (i64, i64),
    /// Calls of tools that left the journal.
    pub outside_calls: i64,
}

/// One step over many runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Runs that came to it.
    pub reached: u64,
    /// Runs in which it went alike.
    pub matched: u64,
}

impl Summary {
    /// Takes one more.
    pub fn take(&mut self, replayed: &Replayed) {
        self.runs += 1;
        *self.verdicts.entry(replayed.verdict.clone()).or_default() += 1;
        if let Some(divergence) = &replayed.divergence {
            *self.diverged_in.entry(divergence.what.clone()).or_default() += 1;
        }
        self.steps += replayed.steps;
        self.matched += replayed.matched;
        let matched = usize::try_from(replayed.matched).unwrap_or_default();
        let reached = matched + usize::from(replayed.matched < replayed.steps);
        if self.by_step.len() < reached {
            self.by_step.resize(reached, Step::default());
        }
        for (number, step) in self.by_step.iter_mut().enumerate().take(reached) {
            step.reached += 1;
            step.matched += u64::from(number < matched);
        }
        self.cost_usd += replayed.cost_usd.unwrap_or_default();
        if let Some(usage) = &replayed.usage {
            self.tokens.0 += usage.input_tokens.unwrap_or_default();
            self.tokens.1 += usage.output_tokens.unwrap_or_default();
        }
        self.outside_calls += replayed.outside_calls;
    }

    /// Share of the recorded steps that went alike, in [0, 1]; 1 where there are none.
    pub fn agreement(&self) -> f64 {
        if self.steps == 0 { 1.0 } else { self.matched as f64 / self.steps as f64 }
    }
}
