//! What an audit says, as JSON and as Markdown.

use super::drift::Drift;
use super::invariants::INVARIANTS;
use super::tally::Tally;
use crate::contracts::Slice;
use crate::exporter::canonical::{CanonicalError, Json};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;
use stillhouse_schemas::{AuditPhase, Audited, Category, Finding};

/// Names of the phases, by number.
pub const PHASES: [&str; 8] = [
    "preflight",
    "schema tests",
    "materializer dry run",
    "scoring",
    "exports",
    "run summaries",
    "acceptance",
    "replay",
];

/// How something came out; the worst is the greatest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should.
    #[default]
    Pass,
    /// Someone should look.
    Warn,
    /// It must not be.
    Fail,
}

impl Verdict {
    /// As in events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// A phase: what was checked beyond the invariants, and what is to be said of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Phase {
    /// Checks made.
    pub checks: u64,
    /// Checks failed.
    pub failed: u64,
    /// Someone should look.
    pub warned: bool,
    /// It was not come to: why.
    pub skipped: Option<String>,
    /// In words, in order.
    pub details: Vec<String>,
}

impl Phase {
    /// One check more.
    pub fn check(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        self.checks += 1;
        if !holds {
            self.failed += 1;
            self.details.push(otherwise());
        }
    }

    /// Something to be said.
    pub fn say(&mut self, what: impl Into<String>) {
        self.details.push(what.into());
    }
}

/// What an audit found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The audit.
    pub audit_id: String,
    /// `full`, `baseline` or `drift`.
    pub kind: String,
    /// When, RFC 3339.
    pub at: String,
    /// Phases by number; none of those that this kind of audit has not.
    pub phases: BTreeMap<i32, Phase>,
    /// What was checked.
    pub tally: Tally,
    /// Figures by source class.
    pub slices: BTreeMap<String, Slice>,
    /// Whatever else was counted.
    pub counts: BTreeMap<String, i64>,
    /// Compared with a baseline.
    pub drift: Option<Drift>,
    /// Up to where, as JSON text.
    pub cut: String,
}

impl Report {
    /// The worst of everything.
    pub fn verdict(&self) -> Verdict {
        let phases = self.phases.keys().map(|number| self.phase_verdict(*number)).max().unwrap_or_default();
        phases.max(self.drift.as_ref().map(|drift| drift.verdict).unwrap_or_default())
    }

    fn phase_verdict(&self, number: i32) -> Verdict {
        let Some(phase) = self.phases.get(&number) else { return Verdict::Pass };
        if phase.failed > 0 || self.tallied(number).1 > 0 {
            return Verdict::Fail;
        }
        if phase.warned { Verdict::Warn } else { Verdict::Pass }
    }

    /// Checks and failures of the invariants of a phase; acceptance has all.
    fn tallied(&self, number: i32) -> (u64, u64) {
        if number == ACCEPTANCE {
            let failed = self.tally.lines().iter().filter(|line| line.failed > 0).count() as u64;
            return (INVARIANTS.len() as u64, failed);
        }
        let tallied = self.tally.of_phase(number);
        (tallied.checks, tallied.failed)
    }

    fn rows(&self) -> Vec<AuditPhase> {
        let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let row = |(number, phase): (&i32, &Phase)| {
            let (checks, failed) = self.tallied(*number);
            let verdict = if phase.skipped.is_some() { "skipped" } else { self.phase_verdict(*number).as_str() };
            let details = phase.skipped.iter().chain(&phase.details).cloned().collect::<Vec<_>>();
            AuditPhase {
                number: *number,
                name: usize::try_from(*number).ok().and_then(|n| PHASES.get(n)).copied().unwrap_or_default().to_owned(),
                verdict: verdict.to_owned(),
                checks: count(checks + phase.checks),
                failed: count(failed + phase.failed),
                detail: details.join("; "),
            }
        };
        self.phases.iter().map(row).collect()
    }

    /// Everything counted, slices too.
    pub fn all_counts(&self) -> BTreeMap<String, i64> {
        let slices = self.slices.iter().flat_map(|(class, slice)| slice.counts(class));
        self.counts.iter().map(|(name, n)| (name.clone(), *n)).chain(slices).collect()
    }

    fn findings(&self) -> Vec<Finding> {
        let own = self.phases.iter().filter(|(_, phase)| phase.failed > 0).flat_map(|(number, phase)| {
            phase.details.iter().map(move |detail| Finding {
                code: format!("phase-{number}"),
                message: detail.clone(),
                ..Finding::default()
            })
        });
        let drifted = self.drift.iter().flat_map(Drift::findings);
        self.tally.findings().iter().cloned().chain(own).chain(drifted).collect()
    }

    /// As an event says it; `report_sha256` is that of [`Report::json`].
    pub fn audited(&self, report_sha256: String) -> Audited {
        Audited {
            audit_id: self.audit_id.clone(),
            kind: self.kind.clone(),
            verdict: self.verdict().as_str().to_owned(),
            phases: self.rows(),
            counts: self.all_counts(),
            findings: self.findings(),
            baseline: self.drift.as_ref().map(|drift| drift.baseline.clone()),
            cut: self.cut.clone(),
            report_sha256,
        }
    }

    /// In canonical JSON, a line without its end.
    pub fn json(&self) -> Result<Vec<u8>, CanonicalError> {
        let rows = self.rows();
        let phases = rows.iter().map(|p| {
            Json::map([
                ("number", Json::Int(p.number.into())),
                ("name", Json::text(p.name.as_str())),
                ("verdict", Json::text(p.verdict.as_str())),
                ("checks", Json::Int(p.checks)),
                ("failed", Json::Int(p.failed)),
                ("detail", Json::text(p.detail.as_str())),
            ])
        });
        let count = |n: u64| Json::Int(i64::try_from(n).unwrap_or(i64::MAX));
        let invariants = INVARIANTS.iter().zip(self.tally.lines()).map(|(invariant, line)| {
            Json::map([
                ("id", Json::text(invariant.id)),
                ("statement", Json::text(invariant.statement)),
                ("checks", count(line.checks)),
                ("failed", count(line.failed)),
            ])
        });
        let (all_counts, findings) = (self.all_counts(), self.findings());
        let counts = all_counts.iter().map(|(name, n)| (name.as_str(), Json::Int(*n)));
        let findings_json = findings.iter().map(|f| {
            Json::map([
                ("code", Json::text(f.code.as_str())),
                ("message", Json::text(f.message.as_str())),
                ("place", Json::optional(f.field.as_deref())),
            ])
        });
        let drift = self.drift.as_ref().map_or(Json::Null, |drift| {
            let moves = drift.moves.iter().map(|m| {
                Json::map([
                    ("source_class", Json::text(m.source_class.as_str())),
                    ("figure", Json::text(m.figure.as_str())),
                    ("before", Json::Float(m.before)),
                    ("now", Json::Float(m.now)),
                    ("verdict", Json::text(m.verdict.as_str())),
                    ("note", Json::optional(m.note.as_deref())),
                ])
            });
            Json::map([
                ("baseline", Json::text(drift.baseline.as_str())),
                ("verdict", Json::text(drift.verdict.as_str())),
                ("moves", Json::List(moves.collect())),
            ])
        });
        Json::map([
            ("audit_id", Json::text(self.audit_id.as_str())),
            ("kind", Json::text(self.kind.as_str())),
            ("at", Json::text(self.at.as_str())),
            ("verdict", Json::text(self.verdict().as_str())),
            ("phases", Json::List(phases.collect())),
            ("invariants", Json::List(invariants.collect())),
            ("counts", Json::map(counts)),
            ("findings", Json::List(findings_json.collect())),
            ("drift", drift),
            ("cut", if self.cut.is_empty() { Json::Null } else { Json::recorded(&self.cut)? }),
        ])
        .to_bytes()
    }

    /// For reading.
    pub fn markdown(&self) -> String {
        let mut out = String::new();
        // Writing to a text cannot fail.
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "# Audit {}\n", self.audit_id)?;
        writeln!(out, "{} audit of {}: **{}**\n", self.kind, self.at, self.verdict().as_str())?;
        writeln!(out, "| phase | | verdict | checks | failed | |\n|---|---|---|---|---|---|")?;
        for p in self.rows() {
            let (n, name, verdict) = (p.number, &p.name, &p.verdict);
            writeln!(out, "| {n} | {name} | {verdict} | {} | {} | {} |", p.checks, p.failed, cell(&p.detail))?;
        }
        if self.phases.contains_key(&ACCEPTANCE) {
            writeln!(out, "\n| invariant | | checks | failed |\n|---|---|---|---|")?;
            for (invariant, line) in INVARIANTS.iter().zip(self.tally.lines()) {
                writeln!(out, "| {} | {} | {} | {} |", invariant.id, invariant.statement, line.checks, line.failed)?;
            }
        }
        if !self.slices.is_empty() {
            let names = Category::ALL.map(Category::as_str).join(" | ");
            writeln!(
                out,
                "\n| source class | {names} | failed | skipped | mean score |\n|---|---|---|---|---|---|---|---|"
            )?;
            for (class, slice) in &self.slices {
                let categories = slice.categories.map(|n| n.to_string()).join(" | ");
                let mean = slice.mean().map_or_else(|| "-".to_owned(), |mean| format!("{mean:.4}"));
                writeln!(out, "| {} | {categories} | {} | {} | {mean} |", cell(class), slice.failed, slice.skipped)?;
            }
        }
        if let Some(drift) = &self.drift {
            writeln!(out, "\nDrift since {}: **{}**\n", drift.baseline, drift.verdict.as_str())?;
            writeln!(out, "| source class | figure | before | now | verdict | |\n|---|---|---|---|---|---|")?;
            for m in &drift.moves {
                let (class, note) = (cell(&m.source_class), m.note.as_deref().unwrap_or_default());
                let verdict = m.verdict.as_str();
                writeln!(out, "| {class} | {} | {:.4} | {:.4} | {verdict} | {note} |", m.figure, m.before, m.now)?;
            }
        }
        let findings = self.findings();
        if !findings.is_empty() {
            writeln!(out, "\n## Findings\n")?;
            for finding in findings {
                let place = finding.field.map(|place| format!(" at {}", cell(&place))).unwrap_or_default();
                writeln!(out, "- **{}**{place}: {}", finding.code, cell(&finding.message))?;
            }
        }
        Ok(())
    }
}

/// The phase that sums the invariants up.
const ACCEPTANCE: i32 = 6;

/// Text that breaks no table and hides no control character.
fn cell(text: &str) -> String {
    text.chars()
        .flat_map(|c| match c {
            '|' => vec!['\\', '|'],
            '\n' => vec![' '],
            c if c.is_control() => c.escape_default().collect(),
            c => vec![c],
        })
        .collect()
}
