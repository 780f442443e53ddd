//! The first half of an export: folds and one pass over the journal, which gather what may become rows.

use super::canonical::CanonicalError;
use super::feeds::{Feed, Feeds, Pages, Share, feeds};
use super::fold::{Contested, Corrections, Judgements, Recordings, Validations};
use super::harvest::Harvest;
use super::id::{Short, short};
use super::kinds::Taking;
use super::pack::Damaged;
use super::sorting::Sorters;
use super::source::Source;
use super::{EXPORTS, Plan, Reason, Row, Withheld, healing};
use crate::decisions::Ruling;
use crate::firewall::{Correction, Judgement, Policy, Standing, Validated};
use crate::quarantine::Fold;
use crate::transform::Maker;
use crate::wire;
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use stillhouse_schemas::{Codec, CodecError, Envelope, Event, Exported, ExportedFile, Micros, Payload, ids};
use stillhouse_streams::{Journal, Position, Stored};

/// Any error of an outlet.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Where an export goes.
#[async_trait]
pub trait Outlet: Send {
    /// Takes a row. Rows come in order, those of all splits together.
    fn row(&mut self, row: Row) -> Result<(), BoxError>;

    /// Takes events for the quarantine topic, and says how many were not in it yet.
    async fn quarantine(&mut self, events: Vec<Event>) -> Result<u64, BoxError>;

    /// Told now and then how many of how many records are read.
    fn progress(&mut self, _read: u64, _of: u64) {}

    /// Called now and then where much is done at a stretch: lets others run, or stops the export.
    async fn breathe(&mut self) -> Result<(), BoxError> {
        Ok(())
    }
}

/// Why an export stopped. Nothing of it counts.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] stillhouse_streams::Error),
    /// A derived topic holds what is no event of its kind.
    #[error("{position}: {source}")]
    Decode {
        /// Where.
        position: Position,
        /// What the codec said.
        source: CodecError,
    },
    /// A topic that the plan names is not there.
    #[error("there is no topic `{0}`")]
    NoTopic(String),
    /// A row or a plan without a canonical form. Never about a run: a score is checked by the firewall.
    #[error("it has no canonical form: {0}")]
    Row(CanonicalError),
    /// What was sorted is not what came back.
    #[error(transparent)]
    Damaged(#[from] Damaged),
    /// The outlet, or a sorter.
    #[error(transparent)]
    Outlet(BoxError),
}

/// What came of the evidence of a cut: `evidence == used + withheld`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Distinct evidence in the cut that was asked for.
    pub evidence: u64,
    /// Evidence in the cut that was not asked for.
    pub filtered: u64,
    /// Evidence that is in a row.
    pub used: u64,
    /// Rows.
    pub rows: u64,
    /// Rows by split.
    pub splits: BTreeMap<&'static str, u64>,
    /// Evidence that is in no row, by reason.
    pub withheld: BTreeMap<&'static str, u64>,
    /// Rows left out that are no runs (chunks, pairs), by reason.
    pub dropped: BTreeMap<&'static str, u64>,
    /// What was redacted in rows, by kind.
    pub redacted: BTreeMap<&'static str, u64>,
    /// Quarantine events that were not there before.
    pub quarantined: u64,
    /// Of these, those that say that something enters that had been left out.
    pub released: u64,
    /// Keys of what was erased after the cut: this is not what was made of the cut before.
    pub erased_since: BTreeSet<String>,
    /// When the latest evidence of the cut happened.
    pub latest: Micros,
}

impl Tally {
    fn withhold(&mut self, reason: Reason) {
        *self.withheld.entry(reason.as_str()).or_default() += 1;
    }
}

/// Records of scores read at a time; they are small.
const SCORES: usize = 1_024;
/// Records of evidence read at a time; one may have megabytes.
const EVIDENCE: usize = 64;
/// Quarantine events handed over at a time.
const QUARANTINED: usize = 512;

/// Reads the plan's topics as they stand and hands rows and quarantine events to `outlet`.
///
/// The caller has waited until the plan's generations have passed the cut. What they have made of later events is left
/// out: evidence is in the cut when the run that caused it is.
pub async fn export(
    journal: &dyn Journal,
    codec: &Codec,
    plan: &Plan,
    sorters: &mut dyn Sorters,
    outlet: &mut dyn Outlet,
) -> Result<Tally, ExportError> {
    let topics = journal.topics().await?;
    let find =
        |name: &str| topics.iter().find(|t| t.spec.name == name).ok_or_else(|| ExportError::NoTopic(name.to_owned()));
    let (scores, evidence, quarantine) = (find(&plan.scores)?, find(&plan.evidence)?, find(&plan.quarantine)?);
    let labels = plan.labels.as_deref().filter(|_| plan.kind.meets).map(find).transpose()?;
    let validations = plan.validations.as_deref().map(find).transpose()?;
    let mut shares = Vec::new();
    for feeds in feeds(scores, evidence, quarantine, labels, validations) {
        let runs = feeds.evidence.iter().chain(&feeds.scores).map(Feed::len).max().unwrap_or(0);
        let of = runs.div_ceil(plan.runs_at_a_time.max(1)).max(1);
        shares.extend((0..of).map(|number| (feeds.clone(), Share { number, of })));
    }
    let total = shares.iter().map(|(feeds, _)| feeds.records()).sum();
    let maker = plan.maker();
    let mut export =
        Export { journal, codec, plan, outlet, maker, tally: Tally::default(), pending: vec![], read: 0, total };
    let mut harvest = Harvest::new(plan, sorters)?;
    for (feeds, share) in shares {
        export.share(&feeds, share, &mut harvest).await?;
    }
    export.flush().await?;
    export.settle(harvest, sorters).await?;
    Ok(export.tally)
}

/// A dataset that was written, beside what its plan and its tally say.
#[derive(Clone, Debug, Default)]
pub struct Placed {
    /// URI of its directory.
    pub location: Option<String>,
    /// Its files.
    pub files: Vec<ExportedFile>,
    /// SHA-256 of its manifest, hex.
    pub manifest_sha256: String,
    /// Whether its format gives the same rows the same bytes.
    pub fixed_bytes: bool,
}

/// The event that says that the dataset of `plan` was written. The same id for every export of the same cut, or of the same
/// manifest where the cut does not fix the bytes: every directory of a dataset is one that the journal knows.
pub fn exported(plan: &Plan, tally: &Tally, placed: Placed) -> Result<Event, ExportError> {
    let (dataset, digest, producer) = (plan.remainder(&tally.erased_since)?, plan.digest()?, plan.producer());
    let mut causes = vec![digest.as_str()];
    if !tally.erased_since.is_empty() {
        causes.push(&dataset);
    }
    if !placed.fixed_bytes {
        causes.push(&placed.manifest_sha256);
    }
    let id = ids::derived(&causes, &producer.name, &producer.version, &producer.config_hash, EXPORTS, 0);
    let cut: Vec<_> = plan.cut.iter().map(|(t, p, end)| (t.as_ref(), p, end)).collect();
    let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let counts = |map: &BTreeMap<&'static str, u64>| map.iter().map(|(k, n)| ((*k).to_owned(), count(*n))).collect();
    let payload = Exported {
        kind: plan.kind.name.to_owned(),
        format: format!("{}/{}", plan.format, plan.shape.name),
        rows: count(tally.rows),
        files: placed.files,
        manifest_sha256: placed.manifest_sha256,
        cut: serde_json::to_string(&cut).map_err(|e| ExportError::Outlet(e.into()))?,
        withheld: counts(&tally.withheld),
        dataset: dataset.clone(),
        filters: plan.limits(),
        versions: plan.versions(),
        splits: plan
            .splits
            .names()
            .map(|name| (name.to_owned(), count(tally.splits.get(name).copied().unwrap_or(0))))
            .collect(),
        location: placed.location,
        supersedes: None,
    };
    let envelope = Envelope { id, key: dataset.clone(), occurred_at: tally.latest, producer, ..Envelope::default() };
    Ok(Event { envelope, payload: Payload::Exported(payload) })
}

/// An export that is going on.
pub(super) struct Export<'a> {
    journal: &'a dyn Journal,
    codec: &'a Codec,
    pub(super) plan: &'a Plan,
    pub(super) outlet: &'a mut dyn Outlet,
    maker: Maker,
    pub(super) tally: Tally,
    pending: Vec<Event>,
    read: u64,
    total: u64,
}

/// What is known of the runs of a share.
#[derive(Clone, Copy)]
struct Known<'a> {
    judgements: &'a Judgements,
    validations: &'a Validations,
    corrections: &'a Corrections,
    contested: &'a Contested,
}

impl Export<'_> {
    async fn share(&mut self, feeds: &Feeds, share: Share, harvest: &mut Harvest) -> Result<(), ExportError> {
        let judgements = self.judgements(&feeds.scores, share).await?;
        let corrections = self.corrections(&feeds.labels, share).await?;
        let validations = self.validations(&feeds.validations, share).await?;
        let contested = self.contested(&feeds.evidence, share).await?;
        let left = self.left(&feeds.quarantine, share).await?;
        let mut done = HashSet::new();
        for feed in &feeds.evidence {
            let mut pages = Pages::open(self.journal, feed, EVIDENCE).await?;
            while let Some(page) = pages.next().await? {
                self.advance(page.len());
                for stored in &page {
                    let Some(run) = share.run(stored) else { continue };
                    if stored.record.id().is_some_and(|id| done.contains(&short(id))) {
                        continue;
                    }
                    let position = feed.position(stored);
                    let Some(event) = self.decode(stored, &position, &mut done)? else { continue };
                    let known = Known {
                        judgements: &judgements,
                        validations: &validations,
                        corrections: &corrections,
                        contested: &contested,
                    };
                    self.evidence(&event, &position, run, known, (&left, &mut done), harvest)?;
                }
                self.flush_if_full().await?;
            }
        }
        Ok(())
    }

    /// What becomes of one evidence event.
    fn evidence(
        &mut self,
        event: &Event,
        position: &Position,
        run: Short,
        of: Known<'_>,
        (left, done): (&Fold, &mut HashSet<Short>),
        harvest: &mut Harvest,
    ) -> Result<(), ExportError> {
        let Payload::Evidence(evidence) = &event.payload else { return Ok(()) };
        let envelope = &event.envelope;
        let placed = self.placed(envelope);
        if placed == Some(false) || !done.insert(short(&envelope.id)) {
            return Ok(());
        }
        if !self.plan.filters.take(evidence) {
            self.tally.filtered += 1;
            return Ok(());
        }
        self.tally.evidence += 1;
        self.tally.latest = self.tally.latest.max(envelope.occurred_at);
        let judgement = of.judgements.of(run, &envelope.id);
        let (plan, mut source) = (self.plan, Source::new(event, evidence, position, judgement));
        let (ruling, withheld) = if placed.is_none() {
            (
                None,
                Withheld::new(Reason::Untraceable, format!("none of its causes is in `{}`", plan.runs.join("` or `"))),
            )
        } else if let Some((ruling, withheld)) = plan.recalled(&evidence.run_id) {
            (Some(ruling), withheld)
        } else if let Some(successor) = of.contested.successor(run, &envelope.id) {
            (None, Withheld::new(Reason::Superseded, format!("evidence {successor} of the same run is later")))
        } else {
            let discarded = plan.discarded(&envelope.id);
            source.history = healing::history(&self.maker, plan, left, &source);
            let asked_for = plan.overrides(&envelope.id, Reason::CategoryPartiallyAccepted).is_some();
            let policy = Policy { partially_accepted: plan.policy.partially_accepted || asked_for };
            let correction = of.corrections.of(run);
            let required = plan.validated.contains(&evidence.source_class);
            let standing = Standing::of(of.validations.of(&envelope.id), required);
            let taking = Taking { plan, policy, event, judgement, standing, correction, source: &source };
            // What would be a row and was discarded is looked at like the others, and goes nowhere.
            let mut nowhere = Harvest::nowhere();
            let harvest = if discarded.is_some() { &mut nowhere } else { harvest };
            match ((plan.kind.take)(&taking, harvest)?, discarded) {
                (Ok(()), Some((ruling, withheld))) => (Some(ruling), withheld),
                (Err(withheld), _) => (None, withheld),
                // It is used when it has met another, or when not all that it says is a repetition.
                (Ok(()), None) => return Ok(()),
            }
        };
        self.tally.withhold(withheld.reason);
        self.say(&source, ruling, &withheld, left);
        Ok(())
    }

    /// Says that an evidence is withheld, unless that is the last word already.
    fn say(&mut self, source: &Source, ruling: Option<&Ruling>, withheld: &Withheld, left: &Fold) {
        let ruling = ruling.map(|ruling| (ruling.envelope.clone(), ruling.position.clone()));
        let grounds: Vec<_> = ruling.into_iter().chain(source.score(&self.plan.scores)).collect();
        self.pending.extend(healing::unsaid((&self.maker, self.plan, left), source, &grounds, withheld));
    }

    /// Leaves out what had been taken.
    pub(super) fn withhold(&mut self, source: &Source, withheld: &Withheld) {
        self.tally.withhold(withheld.reason);
        self.say(source, None, withheld, &source.left());
    }

    /// Says of what is in a row that it is not left out any more, if it was.
    pub(super) fn enter(&mut self, source: &Source) {
        if source.history.is_some() {
            let released = healing::released((&self.maker, self.plan, &source.left()), source);
            self.tally.released += released.len() as u64;
            self.pending.extend(released);
        }
    }

    /// Whether the runs that it was made of are in the cut; `None` if it names none.
    fn placed(&self, envelope: &Envelope) -> Option<bool> {
        let Plan { runs, runs_before, cut, .. } = self.plan;
        let mut causes = envelope
            .causes
            .iter()
            .filter(|cause| runs.contains(&cause.topic) || runs_before.contains(&cause.topic))
            .peekable();
        let inside = |position: Position| {
            runs_before.iter().any(|topic| **topic == *position.topic)
                || cut.get(&position.topic, position.partition).is_some_and(|end| position.offset < end)
        };
        causes.peek()?;
        Some(causes.all(|cause| wire::position(cause).is_some_and(inside)))
    }

    /// Whether all that a judgement was made of is in the cut, as far as the cut speaks of it: a label that came later
    /// says nothing here.
    fn heard(&self, envelope: &Envelope) -> bool {
        envelope.causes.iter().filter_map(wire::position).all(|position| {
            self.plan.cut.get(&position.topic, position.partition).is_none_or(|end| position.offset < end)
        })
    }

    async fn judgements(&mut self, feeds: &[Feed], share: Share) -> Result<Judgements, ExportError> {
        let mut judgements = Judgements::default();
        for feed in feeds {
            let mut pages = Pages::open(self.journal, feed, SCORES).await?;
            while let Some(page) = pages.next().await? {
                self.advance(page.len());
                for stored in page.iter().filter(|s| share.run(s).is_some()) {
                    let position = feed.position(stored);
                    match wire::stored(self.codec, stored) {
                        Ok(event) => {
                            let Some(event) = event else { continue };
                            let judgement = Judgement::of(&event, &position);
                            if let Some(j) = judgement.filter(|j| j.of_run().is_none() || self.heard(&event.envelope)) {
                                judgements.take(j);
                            }
                        }
                        // Its evidence is erased too, and is counted there.
                        Err(CodecError::Erased { .. }) => {}
                        Err(source) => return Err(ExportError::Decode { position, source }),
                    }
                }
            }
        }
        Ok(judgements)
    }

    /// The corrections of the cut. Those of the erased cannot be read, and count for nothing.
    async fn corrections(&mut self, feeds: &[Feed], share: Share) -> Result<Corrections, ExportError> {
        let mut corrections = Corrections::default();
        for feed in feeds {
            let end = self.plan.cut.get(&feed.topic, feed.partition).unwrap_or(0);
            let mut pages = Pages::open(self.journal, feed, EVIDENCE).await?;
            while let Some(page) = pages.next().await? {
                self.advance(page.len());
                for stored in page.iter().filter(|s| s.offset < end && share.run(s).is_some()) {
                    match wire::stored(self.codec, stored) {
                        Ok(event) => {
                            if let Some(correction) = event.as_ref().and_then(Correction::of) {
                                corrections.take(correction);
                            }
                        }
                        Err(CodecError::Erased { .. }) => {}
                        Err(source) => return Err(ExportError::Decode { position: feed.position(stored), source }),
                    }
                }
            }
        }
        Ok(corrections)
    }

    /// What validators said.
    async fn validations(&mut self, feeds: &[Feed], share: Share) -> Result<Validations, ExportError> {
        let mut validations = Validations::default();
        for feed in feeds {
            let mut pages = Pages::open(self.journal, feed, SCORES).await?;
            while let Some(page) = pages.next().await? {
                self.advance(page.len());
                for stored in page.iter().filter(|s| share.run(s).is_some()) {
                    match wire::stored(self.codec, stored) {
                        Ok(event) => {
                            event.as_ref().and_then(Validated::of).into_iter().for_each(|v| validations.take(v))
                        }
                        // Its evidence is erased too.
                        Err(CodecError::Erased { .. }) => {}
                        Err(source) => return Err(ExportError::Decode { position: feed.position(stored), source }),
                    }
                }
            }
        }
        Ok(validations)
    }

    async fn contested(&mut self, feeds: &[Feed], share: Share) -> Result<Contested, ExportError> {
        let mut recordings = Recordings::default();
        for feed in feeds {
            let mut pages = Pages::open(self.journal, feed, EVIDENCE).await?;
            while let Some(page) = pages.next().await? {
                self.advance(page.len());
                for stored in &page {
                    if let Some(run) = share.run(stored) {
                        // Without an id in the headers the offset stands for it: one decoding more, nothing else.
                        let id = stored.record.id().map_or_else(|| short(stored.offset.to_le_bytes()), short);
                        recordings.see(run, id);
                    }
                }
            }
        }
        let mut contested = recordings.contested();
        if contested.is_empty() {
            return Ok(contested);
        }
        for feed in feeds {
            let mut pages = Pages::open(self.journal, feed, EVIDENCE).await?;
            while let Some(page) = pages.next().await? {
                for stored in &page {
                    let Some(run) = share.run(stored).filter(|run| contested.holds(*run)) else { continue };
                    let position = feed.position(stored);
                    match wire::stored(self.codec, stored) {
                        Ok(Some(Event { envelope, payload: Payload::Evidence(evidence) }))
                            if self.placed(&envelope) == Some(true) =>
                        {
                            contested.take(run, evidence.revision, &envelope);
                        }
                        Ok(_) | Err(CodecError::Erased { .. }) => {}
                        Err(source) => return Err(ExportError::Decode { position, source }),
                    }
                }
            }
        }
        Ok(contested)
    }

    /// What the quarantine topic says.
    async fn left(&mut self, feeds: &[Feed], share: Share) -> Result<Fold, ExportError> {
        let mut left = Fold::default();
        for feed in feeds {
            let mut pages = Pages::open(self.journal, feed, SCORES).await?;
            while let Some(page) = pages.next().await? {
                self.advance(page.len());
                for stored in page.iter().filter(|s| share.run(s).is_some()) {
                    let position = feed.position(stored);
                    match wire::stored(self.codec, stored) {
                        Ok(Some(event)) => left.apply(&event, &position),
                        Ok(None) => {}
                        Err(CodecError::Erased { event_id, .. }) => left.see(&event_id),
                        Err(source) => return Err(ExportError::Decode { position, source }),
                    }
                }
            }
        }
        Ok(left)
    }

    fn decode(
        &mut self,
        stored: &Stored,
        position: &Position,
        done: &mut HashSet<Short>,
    ) -> Result<Option<Event>, ExportError> {
        match wire::stored(self.codec, stored) {
            Ok(event) => Ok(event),
            Err(CodecError::Erased { event_id, key_id }) => {
                let clear = self.codec.clear(stored.record.value.as_deref().unwrap_or_default());
                let inside = clear.is_ok_and(|(envelope, _)| self.placed(&envelope) != Some(false));
                if inside && done.insert(short(event_id)) {
                    self.tally.evidence += 1;
                    self.tally.withhold(Reason::Erased);
                    if self.plan.decisions.erased(&key_id).is_none() {
                        self.tally.erased_since.insert(key_id);
                    }
                }
                Ok(None)
            }
            Err(source) => Err(ExportError::Decode { position: position.clone(), source }),
        }
    }

    pub(super) async fn flush_if_full(&mut self) -> Result<(), ExportError> {
        if self.pending.len() >= QUARANTINED { self.flush().await } else { Ok(()) }
    }

    pub(super) async fn flush(&mut self) -> Result<(), ExportError> {
        while !self.pending.is_empty() {
            let rest = self.pending.split_off(self.pending.len().min(QUARANTINED));
            let events = std::mem::replace(&mut self.pending, rest);
            self.tally.quarantined += self.outlet.quarantine(events).await.map_err(ExportError::Outlet)?;
        }
        Ok(())
    }

    pub(super) async fn breathe(&mut self) -> Result<(), ExportError> {
        self.outlet.breathe().await.map_err(ExportError::Outlet)
    }

    fn advance(&mut self, records: usize) {
        self.read += records as u64;
        self.outlet.progress(self.read, self.total);
    }
}
