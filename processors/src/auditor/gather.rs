//! Going through a cut, a share of the runs at a time, and telling the invariants what is there.
//!
//! Everything about a run has one key and stands in partitions of one number, so a partition is gone through by itself, and
//! one with many runs several times, each time for some of them. What belongs to no run is gone through once.

use super::fact::{Fact, Found};
use super::rows::{RowKey, partition_hash};
use super::share::Share;
use super::tally::Tally;
use crate::contracts::Slice;
use crate::decisions::{DECISIONS, Decisions};
use crate::exporter::asked::Asked;
use crate::exporter::{BoxError, Short, short};
use crate::quarantine::{Release, may_release};
use crate::wire;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use stillhouse_schemas::{Cause, Codec, CodecError, Envelope, Event, Partitions, Payload, Topic, Writer};
use stillhouse_streams::runner::Transform;
use stillhouse_streams::{Journal, Position, Progress, Received, Scan, Stored};

/// Runs gone through at a time: what bounds the memory, about two kilobytes each.
pub const RUNS_AT_A_TIME: u64 = 1 << 16;
/// Records read at a time; one may have megabytes.
const PAGE: usize = 256;
/// Causes that are looked up one by one, because they stand with no run of the share.
const LOOKUPS: u64 = 10_000;

/// A physical topic of the cut.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its name.
    pub physical: String,
    /// What it holds.
    pub topic: &'static Topic,
    /// From where to where, by partition.
    pub partitions: Vec<(u64, u64)>,
}

impl Source {
    /// Whether it holds what is about runs, keyed by them.
    pub fn is_about_runs(&self) -> bool {
        const OTHER_KEYS: [&str; 4] = ["spans", "claims", "verdicts", "calls"];
        self.topic.partitions == Partitions::PerRun && !OTHER_KEYS.contains(&self.topic.name)
    }
}

/// A generation whose work is done again.
pub struct Again {
    /// The processor.
    pub processor: &'static str,
    /// Makes it again.
    pub transform: Arc<dyn Transform>,
    /// What it reads: numbers of sources.
    pub inputs: Vec<usize>,
    /// What it writes: logical topic to number of a source.
    pub outputs: BTreeMap<&'static str, usize>,
    /// Where it began; what is not named, at the beginning.
    pub from: Progress,
    /// How far it was.
    pub progress: Progress,
    /// Whether runs must be accounted for by it.
    pub accounts: bool,
}

impl Again {
    /// Whether it had taken this.
    pub(super) fn took(&self, position: &Position) -> bool {
        let (topic, partition) = (&position.topic, position.partition);
        position.offset >= self.from.get(topic, partition).unwrap_or(0)
            && self.progress.get(topic, partition).is_some_and(|next| position.offset < next)
    }
}

/// A dataset that was made of the journal.
#[derive(Clone, Debug, Default)]
pub struct DatasetScope {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// The cut that it was made of.
    pub cut: Progress,
    /// Where its evidence stands.
    pub evidence: Option<usize>,
    /// Some of the evidence is neither a row nor left out: it was not asked for, or every pair that it is in was nearly
    /// the same as another.
    pub filtered: bool,
    /// Names of its files, for places.
    pub files: Vec<String>,
    /// How it writes what its pairs ask, if it has any and that can be made again.
    pub asked: Option<Asked>,
}

/// What is gone through.
pub struct Scope {
    /// Topics, upstream first.
    pub sources: Vec<Source>,
    /// Work that is done again.
    pub again: Vec<Again>,
    /// Datasets.
    pub datasets: Vec<DatasetScope>,
    /// The evidence and the scores that figures are made of.
    pub live: Option<(usize, usize)>,
    /// Where replays stand.
    pub replays: Option<usize>,
    /// Runs whose summaries are kept, at most.
    pub summaries: usize,
    /// Runs gone through at a time.
    pub runs_at_a_time: u64,
}

/// Rows of datasets, as often as they are asked for.
pub trait Rows: Send {
    /// Hands out every key.
    fn each(&mut self, take: &mut dyn FnMut(&RowKey)) -> Result<(), BoxError>;
}

/// Where a run's summary is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pick {
    /// The evidence.
    pub evidence: Position,
    /// What was judged of it.
    pub score: Option<Position>,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Gathered {
    /// By the invariants.
    pub tally: Tally,
    /// Figures by source class.
    pub slices: BTreeMap<String, Slice>,
    /// Records by logical topic.
    pub records: BTreeMap<&'static str, i64>,
    /// Records that nobody can read any more.
    pub erased: i64,
    /// Runs by what replaying them gave.
    pub replays: BTreeMap<String, i64>,
    /// Calls of tools that left the journal while replaying.
    pub outside_calls: i64,
    /// Evidence in the cut of each dataset, and that of it which was erased since.
    pub datasets: Vec<u64>,
    /// What summaries are made of, by run.
    pub picks: BTreeMap<Short, Pick>,
    /// Causes that were looked up one by one.
    looked: u64,
    /// Causes that were not looked up, because there were too many.
    pub unlooked: u64,
}

/// Why it could not be gone through.
#[derive(Debug, thiserror::Error)]
pub enum GatherError {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] stillhouse_streams::Error),
    /// The rows.
    #[error(transparent)]
    Rows(BoxError),
}

/// What was decided before the cut of a dataset, as far as it concerns its kind.
#[derive(Debug, Default)]
pub(super) struct Decided {
    /// Runs.
    pub(super) recalled: HashSet<Short>,
    /// Evidence.
    pub(super) discarded: HashSet<Short>,
    /// Evidence, with the reasons that it may come in for all the same.
    pub(super) released: HashMap<Short, String>,
    /// Keys.
    pub(super) erased: HashSet<String>,
}

impl Decided {
    fn of(dataset: &DatasetScope, decisions: &[(Event, Position)]) -> Self {
        let inside = |at: &Position| dataset.cut.get(&at.topic, at.partition).is_some_and(|end| at.offset < end);
        let heard = decisions.iter().filter(|(_, at)| inside(at));
        let decisions = Decisions::fold(heard.map(|(event, at)| (event, at)));
        let kind = dataset.kind.as_str();
        let recalled = decisions.recalls().map(|(run, _)| run).filter(|run| decisions.recalled(run, kind).is_some());
        let (mut discarded, mut released) = (HashSet::new(), HashMap::new());
        for event in decisions.events() {
            match decisions.about(event, kind) {
                Some(_) if decisions.discarded(event, kind).is_some() => drop(discarded.insert(short(event))),
                Some(ruling) if may_release(ruling.code()) == Release::Operator => {
                    released.insert(short(event), ruling.code().to_owned());
                }
                _ => {}
            }
        }
        Self {
            recalled: recalled.map(short).collect(),
            discarded,
            released,
            erased: decisions.erasures().map(|(key_id, _)| key_id.to_owned()).collect(),
        }
    }
}

/// Positions of dead letters.
pub(super) type Dead = HashSet<(String, u32, u64)>;

/// Goes through everything.
pub async fn gather(
    journal: &dyn Journal,
    codec: &Codec,
    scope: &Scope,
    rows: &mut dyn Rows,
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<Gathered, GatherError> {
    let mut found = Gathered { datasets: vec![0; scope.datasets.len()], ..Gathered::default() };
    let (mut dead, mut decisions) = (Dead::new(), Vec::new());
    for source in scope.sources.iter().filter(|s| !s.is_about_runs()) {
        let mut pages = Pages::of(journal, source, None);
        while let Some(page) = pages.next().await? {
            progress(page.len() as u64);
            for received in page {
                apart(journal, codec, scope, source, &received, (&mut dead, &mut decisions), &mut found).await?;
            }
        }
    }
    let decided: Vec<Decided> = scope.datasets.iter().map(|dataset| Decided::of(dataset, &decisions)).collect();
    drop(decisions);
    for part in parts(scope) {
        let mut keys = Vec::new();
        rows.each(&mut |key| {
            if part.holds(key.partition, key.run) {
                keys.push(*key);
            }
        })
        .map_err(GatherError::Rows)?;
        let mut share = Share::new(codec, scope, keys, &dead, &decided);
        for (index, source) in scope.sources.iter().enumerate().filter(|(_, s)| s.is_about_runs()) {
            let mut pages = Pages::of(journal, source, Some(part));
            while let Some(page) = pages.next().await? {
                progress(page.len() as u64);
                for received in page.iter().filter(|r| part.takes(r)) {
                    share.take(index, received, &mut found);
                }
            }
        }
        for again in &scope.again {
            for input in &again.inputs {
                let mut pages = Pages::of(journal, &scope.sources[*input], Some(part));
                while let Some(page) = pages.next().await? {
                    progress(page.len() as u64);
                    let inside = |r: &Received| part.takes(r) && again.took(&r.position);
                    let batch: Vec<Received> = page.into_iter().filter(inside).collect();
                    let made = again.transform.apply(&batch).await;
                    share.remake(again, *input, &batch, made, &mut found);
                }
            }
        }
        for (position, envelope, cause) in share.finish(&mut found) {
            look_up(journal, codec, &position, &envelope, &cause, &mut found).await?;
        }
    }
    Ok(found)
}

/// Some of the runs: those of one partition (of how many), if all topics have as many, and of them a share.
#[derive(Clone, Copy, Debug)]
struct Part {
    partition: Option<(u32, u32)>,
    number: u64,
    of: u64,
}

impl Part {
    /// By the key, not by where the record stands: foreign producers choose partitions in other ways than we do.
    fn takes(self, received: &Received) -> bool {
        let key = received.record.key.as_deref().unwrap_or_default();
        self.holds(partition_hash(key), short(key))
    }

    fn holds(self, partition: u32, run: Short) -> bool {
        let hash = u64::from_le_bytes(std::array::from_fn(|i| run[i] ^ run[i + 8]));
        hash % self.of == self.number && self.partition.is_none_or(|(number, of)| partition % of == number)
    }
}

/// The runs in parts that fit into memory.
fn parts(scope: &Scope) -> Vec<Part> {
    let about: Vec<&Source> = scope.sources.iter().filter(|s| s.is_about_runs()).collect();
    let counts: BTreeSet<u32> = about.iter().filter_map(|s| u32::try_from(s.partitions.len()).ok()).collect();
    let records = |s: &&Source| s.partitions.iter().map(|(start, end)| end.saturating_sub(*start)).sum::<u64>();
    let most = about.iter().map(records).max().unwrap_or(0);
    let partitions: Vec<Option<(u32, u32)>> = match counts.first() {
        Some(count) if counts.len() == 1 => (0..*count).map(|number| Some((number, *count))).collect(),
        _ => vec![None],
    };
    let of = most.div_ceil(partitions.len() as u64).div_ceil(scope.runs_at_a_time.max(1)).max(1);
    let parts = |partition| (0..of).map(move |number| Part { partition, number, of });
    partitions.into_iter().flat_map(parts).collect()
}

/// A record that is about no run.
async fn apart(
    journal: &dyn Journal,
    codec: &Codec,
    scope: &Scope,
    source: &Source,
    received: &Received,
    (dead, decisions): (&mut Dead, &mut Vec<(Event, Position)>),
    found: &mut Gathered,
) -> Result<(), GatherError> {
    *found.records.entry(source.topic.name).or_default() += 1;
    let Known::Event(event) = record(codec, source, received, found) else { return Ok(()) };
    if let Payload::DeadLettered(letter) = &event.payload {
        let numbers = (u32::try_from(letter.partition), u64::try_from(letter.offset));
        if let (Ok(partition), Ok(offset)) = numbers {
            dead.insert((letter.topic.clone(), partition, offset));
        }
    }
    for cause in &event.envelope.causes {
        // Replies to calls name requests beside them, exports nothing; what is far away is looked up.
        if scope.sources.iter().any(|s| s.physical == cause.topic) {
            look_up(journal, codec, &received.position, &event.envelope, cause, found).await?;
        }
    }
    if source.topic.name == DECISIONS {
        decisions.push((*event, received.position.clone()));
    }
    Ok(())
}

/// What is known of a record.
pub(super) enum Known {
    /// Its event.
    Event(Box<Event>),
    /// The key that it was sealed with is gone.
    Erased(String),
    /// Nothing that anybody asks for.
    Nothing,
}

/// Tells of a record, and gives its event if there is one that can be read.
pub(super) fn record(codec: &Codec, source: &Source, received: &Received, found: &mut Gathered) -> Known {
    let (position, record) = (&received.position, &received.record);
    // Its records are JSON, not events.
    if source.topic.events.is_empty() {
        return Known::Nothing;
    }
    let fact = |read| Fact::Record { topic: source.topic, position, record, read };
    match wire::received(codec, received) {
        Ok(Some(event)) => {
            found.tally.take(&fact(Ok(&event)));
            Known::Event(Box::new(event))
        }
        Ok(None) => Known::Nothing,
        Err(CodecError::Erased { key_id, .. }) => {
            found.erased += 1;
            Known::Erased(key_id)
        }
        Err(error) => {
            found.tally.take(&fact(Err(&error)));
            Known::Nothing
        }
    }
}

async fn look_up(
    journal: &dyn Journal,
    codec: &Codec,
    position: &Position,
    envelope: &Envelope,
    cause: &Cause,
    found: &mut Gathered,
) -> Result<(), GatherError> {
    if found.unlooked > 0 {
        found.unlooked += 1;
        return Ok(());
    }
    found.looked += 1;
    if found.looked > LOOKUPS {
        found.unlooked += 1;
        return Ok(());
    }
    let stored = match wire::position(cause) {
        Some(at) => {
            let mut scan = match journal.scan(&at.topic, at.partition, at.offset, Some(at.offset + 1)).await {
                Ok(scan) => scan,
                // A generation that was dropped, or a partition that never was.
                Err(error) if error.kind() == stillhouse_streams::ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            scan.next(1).await?.pop().filter(|stored| stored.offset == at.offset)
        }
        None => None,
    };
    let event = match stored.as_ref().map(|stored| wire::stored(codec, stored)) {
        None => None,
        Some(Ok(Some(event))) => Some(event),
        Some(_) => return Ok(()),
    };
    let what = match &event {
        None => Found::Nothing,
        Some(event) if event.envelope.id == cause.id => Found::Here(event.envelope.occurred_at),
        Some(event) => Found::Other(&event.envelope.id),
    };
    found.tally.take(&Fact::Cause { position, envelope, cause, found: what });
    Ok(())
}

/// The partitions of a source, page by page.
struct Pages<'a> {
    journal: &'a dyn Journal,
    source: &'a Source,
    name: Arc<str>,
    todo: Vec<u32>,
    open: Option<(u32, Box<dyn Scan>)>,
}

impl<'a> Pages<'a> {
    fn of(journal: &'a dyn Journal, source: &'a Source, part: Option<Part>) -> Self {
        let all = (0..).zip(&source.partitions).filter(|(_, (start, end))| start < end).map(|(p, _)| p);
        // What our own processors write stands where its key says; what comes from outside may stand anywhere.
        let only = part.and_then(|part| part.partition).filter(|_| source.topic.writer != Writer::Outside);
        let todo = all.filter(|p| only.is_none_or(|(only, _)| only == *p)).collect();
        Self { journal, source, name: Arc::from(source.physical.as_str()), todo, open: None }
    }

    async fn next(&mut self) -> Result<Option<Vec<Received>>, GatherError> {
        loop {
            if let Some((partition, scan)) = &mut self.open {
                let page = scan.next(PAGE).await?;
                if !page.is_empty() {
                    let received = |stored: Stored| Received {
                        position: Position::new(self.name.clone(), *partition, stored.offset),
                        record: stored.record,
                    };
                    return Ok(Some(page.into_iter().map(received).collect()));
                }
                self.open = None;
            }
            let Some(partition) = self.todo.pop() else { return Ok(None) };
            let (start, end) = self.source.partitions[partition as usize];
            self.open = Some((partition, self.journal.scan(&self.name, partition, start, Some(end)).await?));
        }
    }
}
