//! What invariants are told, one thing at a time.

use super::rows::Pair;
use std::fmt;
use stillhouse_schemas::{Cause, CodecError, Envelope, Event, Topic};
use stillhouse_streams::{Damage, Position, Record};

/// Something that was seen.
#[derive(Debug)]
pub enum Fact<'a> {
    /// The journal walked its own chain: what is wrong there, or nothing.
    Chain(Option<&'a Damage>),
    /// A record, and the event in it. Records of erased subjects are no facts: nobody can read them.
    Record {
        /// Logical topic.
        topic: &'static Topic,
        /// Where it stands.
        position: &'a Position,
        /// As stored.
        record: &'a Record,
        /// As read.
        read: Result<&'a Event, &'a CodecError>,
    },
    /// An id that stands in its topic more than once.
    Twice {
        /// The later one.
        position: &'a Position,
        /// The id.
        id: &'a str,
        /// Whether both say the same.
        same: bool,
    },
    /// A cause that an event names.
    Cause {
        /// Of the event.
        position: &'a Position,
        /// Of the event.
        envelope: &'a Envelope,
        /// The cause.
        cause: &'a Cause,
        /// What stands there.
        found: Found<'a>,
    },
    /// An output of a processor, beside what is made of the same input now.
    Remade {
        /// The processor.
        processor: &'static str,
        /// The input, or the output that has none.
        position: &'a Position,
        /// Id of the output.
        id: &'a str,
        /// How they compare.
        remade: Remade,
    },
    /// A run that was taken in: whether something came of it.
    Run {
        /// The run.
        position: &'a Position,
        /// It is evidence, quarantined, or a dead letter.
        accounted: bool,
    },
    /// What was judged of an evidence by one scorer at one version and configuration.
    Judged {
        /// The last judgement.
        position: &'a Position,
        /// The evidence.
        evidence: &'a str,
        /// The judge failed.
        failed: bool,
        /// It gave a zero.
        zero: bool,
    },
    /// Something left out that was let in again.
    Released {
        /// The release.
        position: &'a Position,
        /// What it releases.
        quarantined: &'a str,
        /// Whether that had been left out before.
        known: bool,
    },
    /// Evidence in the cut of a dataset.
    Evidence {
        /// The dataset.
        dataset: &'a str,
        /// The evidence.
        position: &'a Position,
        /// It is a row there.
        row: bool,
        /// It is in quarantine.
        quarantined: bool,
    },
    /// A dataset as a whole.
    Dataset(&'a DatasetFacts),
    /// A line of a dataset by itself.
    Line {
        /// The dataset, file and number.
        place: Spot<'a>,
        /// Whether it is of its contract, in its one spelling.
        canonical: Result<(), &'a str>,
        /// Category that it says to have.
        category: Option<&'a str>,
        /// Whether rows of its dataset may be of any category.
        any_category: bool,
    },
    /// A line that sets two answers against each other.
    Pair {
        /// The dataset, file and number.
        place: Spot<'a>,
        /// Both sides.
        pair: &'a Pair,
    },
    /// A line of a dataset, beside what `lineage.jsonl` says of it.
    Traced {
        /// The dataset, file and number.
        place: Spot<'a>,
        /// Whether both say the same.
        same: Result<(), &'a str>,
    },
    /// A side of a pair, beside the evidence that it was made of.
    Asked {
        /// The dataset, file and number.
        place: Spot<'a>,
        /// Whether the pair asks what was asked of the run.
        same: bool,
    },
    /// A row, held against the journal.
    Row {
        /// The dataset, file and number.
        place: Spot<'a>,
        /// The run is there.
        run: bool,
        /// The evidence is there, and is that run's.
        evidence: bool,
        /// The score is there, and is about that evidence.
        score: bool,
        /// The score is of a category that never enters.
        never: bool,
        /// The run stands in the dataset before.
        twice: bool,
        /// What was decided within the dataset's cut that keeps it out: `recalled`, `discarded`, `erased`.
        kept_out: Option<&'a str>,
    },
    /// Evidence in the cut of a dataset that was released within it.
    LetIn {
        /// The dataset.
        dataset: &'a str,
        /// The evidence.
        position: &'a Position,
        /// The reason that it was released from.
        reason: &'a str,
        /// It is left out for that reason all the same.
        left_out: bool,
    },
    /// A task of a dataset.
    Task {
        /// The dataset.
        dataset: &'a str,
        /// A row of it.
        place: Spot<'a>,
        /// Splits that it is in.
        splits: usize,
    },
    /// A recorded replay, beside what replaying gives now.
    Replay {
        /// The replay.
        position: &'a Position,
        /// Whether they are the same; nothing where it cannot be told.
        same: Option<bool>,
    },
}

/// A line of a dataset.
#[derive(Clone, Copy, Debug)]
pub struct Spot<'a> {
    /// The dataset.
    pub dataset: &'a str,
    /// File within it.
    pub file: &'a str,
    /// Line of the file, from 1.
    pub line: u64,
}

impl fmt::Display for Spot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}#{}", self.dataset, self.file, self.line)
    }
}

/// What stands where a cause is said to stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// The cause, which happened then.
    Here(i64),
    /// Another event.
    Other(&'a str),
    /// Nothing.
    Nothing,
    /// It cannot be told: thrown away by retention, erased, or outside of the cut.
    Untold,
}

/// An output beside what is made of its input now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remade {
    /// The same bytes.
    Equal,
    /// Other bytes.
    Differs,
    /// It is made, and does not stand there.
    Missing,
    /// It stands there, and nothing gives it.
    Unmade,
}

/// A dataset as a whole.
#[derive(Clone, Debug, Default)]
pub struct DatasetFacts {
    /// Its name, as its directory is called.
    pub name: String,
    /// `sft`, `rag`, `preference`.
    pub kind: String,
    /// What is wrong with its files: a hash, a size, one that is missing, one too many.
    pub damage: Option<String>,
    /// What does not fit between its cut, its event and the journal.
    pub misfit: Vec<String>,
    /// What does not add up.
    pub sums: Vec<String>,
}

impl Fact<'_> {
    /// Where it was seen.
    pub fn place(&self) -> String {
        match self {
            Self::Chain(damage) => damage.map_or_else(String::new, |damage| damage.place.clone()),
            Self::Record { position, .. }
            | Self::Twice { position, .. }
            | Self::Cause { position, .. }
            | Self::Remade { position, .. }
            | Self::Run { position, .. }
            | Self::Judged { position, .. }
            | Self::Released { position, .. }
            | Self::Evidence { position, .. }
            | Self::LetIn { position, .. }
            | Self::Replay { position, .. } => position.to_string(),
            Self::Dataset(dataset) => dataset.name.clone(),
            Self::Line { place, .. }
            | Self::Pair { place, .. }
            | Self::Traced { place, .. }
            | Self::Asked { place, .. }
            | Self::Row { place, .. }
            | Self::Task { place, .. } => place.to_string(),
        }
    }
}
