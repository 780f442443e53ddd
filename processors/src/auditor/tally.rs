//! How often what was checked, and what was found.

use super::fact::Fact;
use super::invariants::INVARIANTS;
use stillhouse_schemas::Finding;

/// Findings kept of one invariant; the others are counted.
const KEPT: usize = 20;

/// One invariant's checks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tallied {
    /// Checks made.
    pub checks: u64,
    /// Checks failed.
    pub failed: u64,
}

/// All invariants' checks, in the order of [`INVARIANTS`].
#[derive(Clone, Debug)]
pub struct Tally {
    lines: Vec<Tallied>,
    findings: Vec<Finding>,
}

impl Default for Tally {
    fn default() -> Self {
        Self { lines: vec![Tallied::default(); INVARIANTS.len()], findings: Vec::new() }
    }
}

impl Tally {
    /// Holds a fact against every invariant.
    pub fn take(&mut self, fact: &Fact<'_>) {
        for (invariant, line) in INVARIANTS.iter().zip(&mut self.lines) {
            let Some(holds) = (invariant.check)(fact) else { continue };
            line.checks += 1;
            if let Err(message) = holds {
                line.failed += 1;
                let kept = usize::try_from(line.failed).unwrap_or(usize::MAX) <= KEPT;
                if kept {
                    let place = fact.place();
                    let field = (!place.is_empty()).then_some(place);
                    self.findings.push(Finding { code: invariant.id.to_owned(), message, field, ..Finding::default() });
                }
            }
        }
    }

    /// Checks by invariant, in the order of the table.
    pub fn lines(&self) -> &[Tallied] {
        &self.lines
    }

    /// The first things found of each invariant, in the order they were found.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The checks of the invariants of a phase together.
    pub fn of_phase(&self, phase: i32) -> Tallied {
        let lines = INVARIANTS.iter().zip(&self.lines).filter(|(invariant, _)| invariant.phase == phase);
        lines.fold(Tallied::default(), |sum, (_, line)| Tallied {
            checks: sum.checks + line.checks,
            failed: sum.failed + line.failed,
        })
    }

    /// Adds what another part found.
    pub fn add(&mut self, other: Self) {
        for (mine, theirs) in self.lines.iter_mut().zip(other.lines) {
            mine.checks += theirs.checks;
            mine.failed += theirs.failed;
        }
        self.findings.extend(other.findings);
    }
}
