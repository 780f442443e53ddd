//! Figures now beside those of a baseline.

use super::Verdict;
use crate::contracts::Slice;
use crate::settings::Settings;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use stillhouse_schemas::{Category, Finding};

/// One figure, then and now.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Move {
    /// Source class.
    pub source_class: String,
    /// A category, `failed`, or `mean_score`.
    pub figure: String,
    /// Share of the runs, or the mean, in the baseline.
    pub before: f64,
    /// Now.
    pub now: f64,
    /// What is made of it.
    pub verdict: Verdict,
    /// Why it is not judged, where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// All figures, then and now.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Drift {
    /// The audit that it is compared with.
    pub baseline: String,
    /// The worst of all.
    pub verdict: Verdict,
    /// By source class and figure.
    pub moves: Vec<Move>,
}

/// Compares by the thresholds of the settings.
pub fn compare(
    baseline: &str,
    before: &BTreeMap<String, Slice>,
    now: &BTreeMap<String, Slice>,
    settings: &Settings,
) -> Drift {
    let (warn, fail) = (settings.number("drift_warn"), settings.number("drift_fail"));
    let least = settings.number("drift_min_runs");
    let classes: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let none = Slice::default();
    let mut moves = Vec::new();
    for class in classes {
        let (a, b) = (before.get(class).unwrap_or(&none), now.get(class).unwrap_or(&none));
        let few = a.runs().min(b.runs());
        let note = ((few as f64) < least).then(|| format!("only {few} runs in one of the two: not judged"));
        for ((figure, then), (_, today)) in figures(a).into_iter().zip(figures(b)) {
            // In ten-thousandths, as it is written: a move of exactly the threshold reaches it.
            let moved = ((then - today).abs() * 10_000.0).round() / 10_000.0;
            let verdict = match () {
                () if note.is_some() || moved < warn => Verdict::Pass,
                () if moved < fail => Verdict::Warn,
                () => Verdict::Fail,
            };
            moves.push(Move {
                source_class: class.clone(),
                figure: figure.to_owned(),
                before: then,
                now: today,
                verdict,
                note: note.clone(),
            });
        }
    }
    let verdict = moves.iter().map(|m| m.verdict).max().unwrap_or(Verdict::Pass);
    Drift { baseline: baseline.to_owned(), verdict, moves }
}

/// Shares of all runs, so that scored, failed and skipped stand apart; and the mean of what was scored.
fn figures(slice: &Slice) -> Vec<(&'static str, f64)> {
    let share = |n: i64| if slice.runs() == 0 { 0.0 } else { n as f64 / slice.runs() as f64 };
    let categories = Category::ALL.iter().zip(slice.categories).map(|(c, n)| (c.as_str(), share(n)));
    let rest = [
        ("failed", share(slice.failed)),
        ("skipped", share(slice.skipped)),
        ("mean_score", slice.mean().unwrap_or_default()),
    ];
    categories.chain(rest).collect()
}

impl Drift {
    /// What moved too far.
    pub fn findings(&self) -> Vec<Finding> {
        let moved = self.moves.iter().filter(|m| m.verdict != Verdict::Pass);
        let finding = |m: &Move| Finding {
            code: "drift".to_owned(),
            message: format!("{} of {} was {:.4} and is {:.4}", m.figure, m.source_class, m.before, m.now),
            field: Some(m.source_class.clone()),
            ..Finding::default()
        };
        moved.map(finding).collect()
    }
}
