//! The second half of an export: what was gathered is paired, freed of repetitions, and handed over in order.

use super::canonical::CanonicalError;
use super::duplicates::{self, Losers};
use super::harvest::Harvest;
use super::kinds::pair_up;
use super::pack::{Damaged, Unpack};
use super::run::Export;
use super::secrets::Redacted;
use super::sorting::{Sorter, Sorters};
use super::source::Source;
use super::splits;
use super::{ExportError, Reason, Row, Withheld};

/// Rows between two pauses.
const BREATH: u64 = 1_024;

impl Export<'_> {
    /// Makes rows of the harvest.
    pub(super) async fn settle(&mut self, mut harvest: Harvest, sorters: &mut dyn Sorters) -> Result<(), ExportError> {
        if let Some(sides) = harvest.sides.take() {
            self.pair(sides, &mut harvest).await?;
        }
        let Harvest { rows, contents, bands, .. } = harvest;
        let mut losers = sorters.sorter("losers").map_err(ExportError::Outlet)?;
        duplicates::exact(contents.sorted().map_err(ExportError::Outlet)?.as_mut(), losers.as_mut())?;
        self.breathe().await?;
        if let (Some(bands), Some(threshold)) = (bands, self.plan.near_duplicates) {
            duplicates::near(bands.sorted().map_err(ExportError::Outlet)?.as_mut(), threshold, losers.as_mut())?;
            self.breathe().await?;
        }
        let mut losers = Losers::new(losers.sorted().map_err(ExportError::Outlet)?)?;
        let mut rows = rows.sorted().map_err(ExportError::Outlet)?;
        let mut seen = 0_u64;
        let mut run: Option<OfRun> = None;
        loop {
            if seen.is_multiple_of(BREATH) {
                self.flush_if_full().await?;
                self.breathe().await?;
            }
            let Some((order, value)) = rows.next().map_err(ExportError::Outlet)? else { break };
            seen += 1;
            let found = losers.of(order)?;
            let Packed { split, sources, redacted, line } = Packed::unpack(value)?;
            let kind = self.plan.kind;
            // What comes of several runs has been counted when they met. The rows of one run stand together.
            let source = sources.first().filter(|_| !kind.meets);
            if let Some(source) = source
                && run.as_ref().is_none_or(|run| run.source.evidence_id != source.evidence_id)
            {
                self.settle_run(run.replace(OfRun { source: source.clone(), left_out: None, rows: 0 }));
            }
            // An operator may want both of two rows that nearly say the same.
            let wanted = |reason| source.is_some_and(|s| self.plan.overrides(&s.evidence_id, reason).is_some());
            match found.filter(|(reason, _)| !wanted(*reason)) {
                None => {
                    self.tally.rows += 1;
                    run.iter_mut().for_each(|run| run.rows += 1);
                    redacted.counts(&mut self.tally.redacted);
                    *self.tally.splits.entry(split).or_default() += 1;
                    self.outlet.row(Row::new(split, line, &sources)).map_err(ExportError::Outlet)?;
                }
                Some((reason, first)) => {
                    if !kind.row_is_run {
                        *self.tally.dropped.entry(reason.as_str()).or_default() += 1;
                    }
                    if let Some(run) = run.as_mut().filter(|run| run.left_out.is_none()) {
                        let says = if reason == Reason::Duplicate { "says what" } else { "nearly says what" };
                        let detail = format!("{says} evidence {} says", name(&first)?);
                        run.left_out = Some(Withheld::new(reason, detail));
                    }
                }
            }
        }
        self.settle_run(run);
        self.flush().await
    }

    /// A run is used if there is any row of it; else it is left out for the reason that its first row was.
    fn settle_run(&mut self, run: Option<OfRun>) {
        match run {
            Some(OfRun { source, left_out: Some(withheld), rows: 0 }) => self.withhold(&source, &withheld),
            Some(OfRun { source, .. }) => {
                self.tally.used += 1;
                self.enter(&source);
            }
            None => {}
        }
    }

    async fn pair(&mut self, sides: Box<dyn Sorter>, harvest: &mut Harvest) -> Result<(), ExportError> {
        let mut sides = sides.sorted().map_err(ExportError::Outlet)?;
        let (mut prompt, mut seen, mut more) = (super::kinds::Prompt::default(), 0_u64, true);
        while more {
            let next = sides.next().map_err(ExportError::Outlet)?;
            more = next.is_some();
            seen += 1;
            if let Some(paired) = pair_up(&mut prompt, next, self.plan, harvest)? {
                self.tally.used += paired.used.len() as u64;
                paired.used.iter().for_each(|source| self.enter(source));
                if paired.over > 0 {
                    *self.tally.dropped.entry(Reason::OverMaxPairs.as_str()).or_default() += paired.over;
                }
                for (source, withheld) in paired.withheld {
                    self.withhold(&source, &withheld);
                }
                self.flush_if_full().await?;
            }
            if seen.is_multiple_of(BREATH) {
                self.breathe().await?;
            }
        }
        Ok(())
    }
}

/// The id in an order of rows.
fn name(order: &[u8]) -> Result<&str, Damaged> {
    let id = order.get(8..order.len().saturating_sub(5)).ok_or(Damaged)?;
    std::str::from_utf8(id).map_err(|_| Damaged)
}

/// What becomes of the rows of one run.
struct OfRun {
    source: Source,
    /// Why the first was left out that was.
    left_out: Option<Withheld>,
    rows: u64,
}

/// A candidate, as it comes back.
struct Packed<'a> {
    split: &'static str,
    sources: Vec<Source>,
    redacted: Redacted,
    line: &'a [u8],
}

impl<'a> Packed<'a> {
    fn unpack(bytes: &'a [u8]) -> Result<Self, Damaged> {
        let mut from = Unpack::new(bytes);
        let split = *splits::NAMES.get(usize::from(from.byte()?)).ok_or(Damaged)?;
        let sources = (0..from.byte()?).map(|_| Source::unpack(&mut from)).collect::<Result<_, _>>()?;
        Ok(Self { split, sources, redacted: Redacted::unpack(&mut from)?, line: from.bytes()? })
    }
}

impl From<CanonicalError> for ExportError {
    fn from(error: CanonicalError) -> Self {
        Self::Row(error)
    }
}
