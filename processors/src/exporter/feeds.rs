//! Partitions of the topics that an export reads, grouped so that what is about one run is read together.

use super::ExportError;
use super::id::{Short, short};
use stillhouse_streams::{Journal, Position, Stored, TopicState};

/// One partition of a topic, as it stood at the beginning.
#[derive(Clone, Debug)]
pub(super) struct Feed {
    pub(super) topic: String,
    pub(super) partition: u32,
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

    pub(super) fn len(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    pub(super) fn position(&self, stored: &Stored) -> Position {
        Position::new(self.topic.as_str(), self.partition, stored.offset)
    }
}

/// Partitions that hold all there is about the same runs.
#[derive(Clone, Debug, Default)]
pub(super) struct Feeds {
    pub(super) scores: Vec<Feed>,
    pub(super) evidence: Vec<Feed>,
    pub(super) quarantine: Vec<Feed>,
    pub(super) labels: Vec<Feed>,
    pub(super) validations: Vec<Feed>,
}

impl Feeds {
    /// Records read for one share: evidence is read twice, the third time that contested runs need is not counted.
    pub(super) fn records(&self) -> u64 {
        let once = self.scores.iter().chain(&self.quarantine).chain(&self.labels).chain(&self.validations);
        once.chain(&self.evidence).chain(&self.evidence).map(Feed::len).sum()
    }
}

/// Topics with as many partitions are taken partition by partition: what is about one run is in the same one of each.
pub(super) fn feeds(
    scores: &TopicState,
    evidence: &TopicState,
    quarantine: &TopicState,
    labels: Option<&TopicState>,
    validations: Option<&TopicState>,
) -> Vec<Feeds> {
    let all = |topic: &TopicState| Feed::of(topic).collect::<Vec<_>>();
    let labels = labels.map(all).unwrap_or_default();
    let validations = validations.map(all).unwrap_or_default();
    let (scores, evidence, quarantine) = (all(scores), all(evidence), all(quarantine));
    let count = evidence.len();
    let alike =
        [&scores, &quarantine, &labels, &validations].iter().all(|feeds| feeds.len() == count || feeds.is_empty());
    if !alike {
        return vec![Feeds { scores, evidence, quarantine, labels, validations }];
    }
    let one = |feeds: &[Feed], n: usize| feeds.get(n).cloned().into_iter().collect();
    let of = |n| Feeds {
        scores: one(&scores, n),
        evidence: one(&evidence, n),
        quarantine: one(&quarantine, n),
        labels: one(&labels, n),
        validations: one(&validations, n),
    };
    (0..count).map(of).collect()
}

/// One of `of` equal shares of the runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    pub(super) number: u64,
    pub(super) of: u64,
}

impl Share {
    /// The run of a record, if it is in this share.
    pub(super) fn run(self, stored: &Stored) -> Option<Short> {
        let run = short(stored.record.key.as_deref().unwrap_or_default());
        let hash = u64::from_le_bytes(std::array::from_fn(|i| run[i] ^ run[i + 8]));
        (hash % self.of == self.number).then_some(run)
    }
}

/// A feed, page by page.
pub(super) struct Pages {
    scan: Option<Box<dyn stillhouse_streams::Scan>>,
    size: usize,
}

impl Pages {
    pub(super) async fn open(journal: &dyn Journal, feed: &Feed, size: usize) -> Result<Self, ExportError> {
        let scan = match feed.len() {
            0 => None,
            _ => Some(journal.scan(&feed.topic, feed.partition, feed.start, Some(feed.end)).await?),
        };
        Ok(Self { scan, size })
    }

    pub(super) async fn next(&mut self) -> Result<Option<Vec<Stored>>, ExportError> {
        let Some(scan) = &mut self.scan else { return Ok(None) };
        let page = scan.next(self.size).await?;
        Ok((!page.is_empty()).then_some(page))
    }
}
