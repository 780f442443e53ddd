//! Figures as they are printed, and how a machine is looked at.

use crate::failure::Outcome;
use crate::output::Output;
use serde::Serialize;
use std::time::Duration;

/// One figure.
#[derive(Debug, Serialize)]
pub struct Figure {
    /// What was measured.
    pub what: String,
    /// The number.
    pub value: f64,
    /// Its unit.
    pub unit: &'static str,
    /// What it is to be compared with.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub beside: String,
}

impl Figure {
    /// Things per second.
    pub fn rate(what: impl Into<String>, count: u64, took: Duration) -> Self {
        let value = count as f64 / took.as_secs_f64().max(1e-9);
        Self { what: what.into(), value, unit: "events/s", beside: String::new() }
    }

    /// A number with a unit.
    pub fn of(what: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { what: what.into(), value, unit, beside: String::new() }
    }

    /// The same, with its share of a raw limit.
    #[must_use]
    pub fn beside(mut self, limit: &Self) -> Self {
        self.beside = format!("{:.2} of {}", self.value / limit.value, limit.what);
        self
    }
}

/// Prints figures.
pub fn print(out: &Output, figures: &[Figure]) -> Outcome {
    if out.is_json() {
        return out.rows(figures);
    }
    let rows: Vec<Vec<String>> = figures
        .iter()
        .map(|f| {
            let number = if f.value >= 1_000.0 { format!("{:.0}", f.value) } else { format!("{:.2}", f.value) };
            vec![f.what.clone(), number, f.unit.to_owned(), f.beside.clone()]
        })
        .collect();
    out.table(&["MEASURED", "FIGURE", "UNIT", "BESIDE"], &rows)
}

/// Latencies, to be asked for percentiles.
#[derive(Clone, Debug, Default)]
pub struct Latencies(Vec<Duration>);

impl Latencies {
    /// Takes one.
    pub fn add(&mut self, latency: Duration) {
        self.0.push(latency);
    }

    /// Takes those of another.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// p50, p99 and the longest, in milliseconds.
    pub fn figures(mut self, what: &str) -> Vec<Figure> {
        self.0.sort_unstable();
        if self.0.is_empty() {
            return Vec::new();
        }
        let at = |share: f64| self.0[((self.0.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
        [("p50", at(0.5)), ("p99", at(0.99)), ("max", at(1.0))]
            .into_iter()
            .map(|(name, value)| Figure::of(format!("{what}, {name}"), value, "ms"))
            .collect()
    }
}

/// Resident memory of this process, and its highest so far, in MB.
pub fn memory_mb() -> (f64, f64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find(|l| l.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse::<f64>().ok()
    };
    let mb = |kb: Option<f64>| kb.unwrap_or_default() / 1024.0;
    (mb(field("VmRSS:")), mb(field("VmHWM:")))
}

/// Lets the highest resident memory be counted from now on, where the system can.
pub fn reset_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}
