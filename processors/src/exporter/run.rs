//! The export itself: two folds and one pass, over ports.

use super::canonical::CanonicalError;
use super::fold::{Contested, Judgements, Recordings};
use super::id::{Short, short};
use super::quarantine::ground;
use super::row::RowError;
use super::{EXPORTS, Plan, Reason, Row, Withheld, healing};
use crate::firewall::{self, Judgement, Policy};
use crate::quarantine::Fold;
use crate::transform::Maker;
use crate::wire;
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use stillhouse_schemas::{Codec, CodecError, Envelope, Event, Exported, ExportedFile, Micros, Payload, ids};
use stillhouse_streams::{Journal, Position, Stored, TopicState};

/// Any error of an outlet.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Where an export goes.
#[async_trait]
pub trait Outlet: Send {
    /// Takes a row. Rows come in no order.
    fn row(&mut self, row: Row) -> Result<(), BoxError>;

    /// Takes events for the quarantine topic that are not in it yet.
    async fn quarantine(&mut self, events: Vec<Event>) -> Result<(), BoxError>;

    /// Told now and then how many of how many records are read.
    fn progress(&mut self, _read: u64, _of: u64) {}
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
    /// A row that cannot be written.
    #[error(transparent)]
    Row(#[from] RowError),
    /// The plan has no canonical form.
    #[error(transparent)]
    Plan(#[from] CanonicalError),
    /// The outlet.
    #[error(transparent)]
    Outlet(BoxError),
}

/// What came of the evidence of a cut: `evidence == rows + withheld`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Distinct evidence in the cut.
    pub evidence: u64,
    /// Rows.
    pub rows: u64,
    /// Evidence that is no row, by reason.
    pub withheld: BTreeMap<&'static str, u64>,
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
    outlet: &mut dyn Outlet,
) -> Result<Tally, ExportError> {
    let topics = journal.topics().await?;
    let find =
        |name: &str| topics.iter().find(|t| t.spec.name == name).ok_or_else(|| ExportError::NoTopic(name.to_owned()));
    let (scores, evidence, quarantine) = (find(&plan.scores)?, find(&plan.evidence)?, find(&plan.quarantine)?);
    let mut shares = Vec::new();
    for feeds in feeds(scores, evidence, quarantine) {
        let runs = feeds.evidence.iter().chain(&feeds.scores).map(Feed::len).max().unwrap_or(0);
        let of = runs.div_ceil(plan.runs_at_a_time.max(1)).max(1);
        shares.extend((0..of).map(|number| (feeds.clone(), Share { number, of })));
    }
    let total = shares.iter().map(|(feeds, _)| feeds.records()).sum();
    let maker = plan.maker();
    let mut export =
        Export { journal, codec, plan, outlet, maker, tally: Tally::default(), pending: vec![], read: 0, total };
    for (feeds, share) in shares {
        export.share(&feeds, share).await?;
    }
    export.flush().await?;
    Ok(export.tally)
}

/// The event that says that the dataset of `plan` was written. The same for every export of the same cut.
pub fn exported(
    plan: &Plan,
    tally: &Tally,
    files: Vec<ExportedFile>,
    manifest_sha256: String,
) -> Result<Event, ExportError> {
    let (dataset, digest, producer) = (plan.remainder(&tally.erased_since)?, plan.digest()?, plan.producer());
    let mut causes = vec![digest.as_str()];
    if !tally.erased_since.is_empty() {
        causes.push(&dataset);
    }
    let cut: Vec<_> = plan.cut.iter().map(|(t, p, end)| (t.as_ref(), p, end)).collect();
    let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let payload = Exported {
        kind: Plan::KIND.to_owned(),
        format: format!("{}/{}", Plan::FORMAT, Plan::SHAPE),
        rows: count(tally.rows),
        files,
        manifest_sha256,
        cut: serde_json::to_string(&cut).map_err(|e| ExportError::Outlet(e.into()))?,
        withheld: tally.withheld.iter().map(|(reason, n)| ((*reason).to_owned(), count(*n))).collect(),
        dataset: dataset.clone(),
        filters: plan.filters(),
        ..Exported::default()
    };
    let envelope = Envelope {
        id: ids::derived(&causes, &producer.name, &producer.version, &producer.config_hash, EXPORTS, 0),
        key: dataset.clone(),
        occurred_at: tally.latest,
        producer,
        ..Envelope::default()
    };
    Ok(Event { envelope, payload: Payload::Exported(payload) })
}

/// One partition of a topic, as it stood at the beginning.
#[derive(Clone, Debug)]
struct Feed {
    topic: String,
    partition: u32,
    start: u64,
    end: u64,
}

impl Feed {
    fn of(topic: &TopicState) -> impl Iterator<Item = Self> {
        topic.partitions.iter().zip(0..).map(|(state, partition)| Self {
            topic: topic.spec.name.clone(),
            partition,
            start: state.start,
            end: state.end,
        })
    }

    fn len(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    fn position(&self, stored: &Stored) -> Position {
        Position::new(self.topic.as_str(), self.partition, stored.offset)
    }
}

/// Partitions that hold all there is about the same runs.
#[derive(Clone, Debug, Default)]
struct Feeds {
    scores: Vec<Feed>,
    evidence: Vec<Feed>,
    quarantine: Vec<Feed>,
}

impl Feeds {
    /// Records read for one share: evidence is read twice, the third time that contested runs need is not counted.
    fn records(&self) -> u64 {
        self.scores.iter().chain(&self.evidence).chain(&self.evidence).chain(&self.quarantine).map(Feed::len).sum()
    }
}

/// Topics with as many partitions are taken partition by partition: what is about one run is in the same one of each.
fn feeds(scores: &TopicState, evidence: &TopicState, quarantine: &TopicState) -> Vec<Feeds> {
    let count = evidence.partitions.len();
    if scores.partitions.len() == count && quarantine.partitions.len() == count {
        Feed::of(scores)
            .zip(Feed::of(evidence).zip(Feed::of(quarantine)))
            .map(|(s, (e, q))| Feeds { scores: vec![s], evidence: vec![e], quarantine: vec![q] })
            .collect()
    } else {
        let all = |topic| Feed::of(topic).collect();
        vec![Feeds { scores: all(scores), evidence: all(evidence), quarantine: all(quarantine) }]
    }
}

/// One of `of` equal shares of the runs.
#[derive(Clone, Copy, Debug)]
struct Share {
    number: u64,
    of: u64,
}

impl Share {
    /// The run of a record, if it is in this share.
    fn run(self, stored: &Stored) -> Option<Short> {
        let run = short(stored.record.key.as_deref().unwrap_or_default());
        let hash = u64::from_le_bytes(std::array::from_fn(|i| run[i] ^ run[i + 8]));
        (hash % self.of == self.number).then_some(run)
    }
}

struct Export<'a> {
    journal: &'a dyn Journal,
    codec: &'a Codec,
    plan: &'a Plan,
    outlet: &'a mut dyn Outlet,
    maker: Maker,
    tally: Tally,
    pending: Vec<Event>,
    read: u64,
    total: u64,
}

impl Export<'_> {
    async fn share(&mut self, feeds: &Feeds, share: Share) -> Result<(), ExportError> {
        let judgements = self.judgements(&feeds.scores, share).await?;
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
                    self.evidence(&event, &position, run, &judgements, &contested, (&left, &mut done))?;
                }
                if self.pending.len() >= QUARANTINED {
                    self.flush().await?;
                }
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
        judgements: &Judgements,
        contested: &Contested,
        (left, done): (&Fold, &mut HashSet<Short>),
    ) -> Result<(), ExportError> {
        let Payload::Evidence(evidence) = &event.payload else { return Ok(()) };
        let envelope = &event.envelope;
        let placed = self.placed(envelope);
        if placed == Some(false) || !done.insert(short(&envelope.id)) {
            return Ok(());
        }
        self.tally.evidence += 1;
        self.tally.latest = self.tally.latest.max(envelope.occurred_at);
        let judgement = judgements.of(run, &envelope.id);
        let (plan, of) = (self.plan, (envelope, evidence, position));
        let mut grounds: Vec<_> = judgement.map(|j| ground(j, &plan.scores)).into_iter().collect();
        let (ruling, withheld) = if placed.is_none() {
            (
                None,
                Withheld::new(Reason::Untraceable, format!("none of its causes is in `{}`", plan.runs.join("` or `"))),
            )
        } else if let Some((ruling, withheld)) = plan.recalled(&evidence.run_id) {
            (Some(ruling), withheld)
        } else if let Some(successor) = contested.successor(run, &envelope.id) {
            (None, Withheld::new(Reason::Superseded, format!("evidence {successor} of the same run is later")))
        } else {
            match (self.row(event, judgement)?, plan.discarded(&envelope.id)) {
                (Ok(_), Some((ruling, withheld))) => (Some(ruling), withheld),
                (Err(withheld), _) => (None, withheld),
                (Ok(row), None) => {
                    let released = healing::released((&self.maker, plan, left), of, &grounds);
                    self.tally.rows += 1;
                    self.tally.released += released.len() as u64;
                    self.pending.extend(released);
                    return self.outlet.row(row).map_err(ExportError::Outlet);
                }
            }
        };
        self.tally.withhold(withheld.reason);
        if let Some(ruling) = ruling {
            grounds.insert(0, (ruling.envelope.clone(), ruling.position.clone()));
        }
        self.pending.extend(healing::unsaid((&self.maker, plan, left), of, &grounds, &withheld));
        Ok(())
    }

    fn row(&self, event: &Event, judgement: Option<&Judgement>) -> Result<Result<Row, Withheld>, ExportError> {
        let Some(judgement) = judgement else {
            return Ok(Err(Withheld::new(Reason::NoScore, "no score is about it")));
        };
        let asked_for = self.plan.overrides(&event.envelope.id, Reason::CategoryPartiallyAccepted).is_some();
        let policy = Policy { partially_accepted: self.plan.policy.partially_accepted || asked_for };
        match firewall::admit(event, judgement, &policy) {
            Ok(admitted) => Ok(Row::render(&admitted)?),
            Err(withheld) => Ok(Err(withheld)),
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

    async fn flush(&mut self) -> Result<(), ExportError> {
        let events = std::mem::take(&mut self.pending);
        if events.is_empty() {
            return Ok(());
        }
        self.tally.quarantined += events.len() as u64;
        self.outlet.quarantine(events).await.map_err(ExportError::Outlet)
    }

    fn advance(&mut self, records: usize) {
        self.read += records as u64;
        self.outlet.progress(self.read, self.total);
    }
}

/// A feed, page by page.
struct Pages {
    scan: Option<Box<dyn stillhouse_streams::Scan>>,
    size: usize,
}

impl Pages {
    async fn open(journal: &dyn Journal, feed: &Feed, size: usize) -> Result<Self, ExportError> {
        let scan = match feed.len() {
            0 => None,
            _ => Some(journal.scan(&feed.topic, feed.partition, feed.start, Some(feed.end)).await?),
        };
        Ok(Self { scan, size })
    }

    async fn next(&mut self) -> Result<Option<Vec<Stored>>, ExportError> {
        let Some(scan) = &mut self.scan else { return Ok(None) };
        let page = scan.next(self.size).await?;
        Ok((!page.is_empty()).then_some(page))
    }
}
