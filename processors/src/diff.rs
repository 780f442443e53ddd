//! Two generations of scores, compared: which verdicts flip.
//!
//! Each side is folded first, as every reader of scores does: of several judgements of one evidence the latest by
//! (`occurred_at`, `id`) counts, so repetitions and the order of reading make no difference. Then judgements are paired:
//! by run and evidence; what is left of a run on both sides (its evidence was made anew, under another id) in the order
//! of time. What has no counterpart is only on its side.
//!
//! Memory: about 150 bytes a judgement on each side, and the reasons of those that flip. Nothing else is kept, so a
//! million runs fit in some 300 MB.

use std::collections::BTreeMap;
use stillhouse_schemas::{Category, Event, Micros, Payload};

/// A verdict, as compared: a category, or that none could be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// A score.
    Category(Category),
    /// A `ScoreFailed`.
    Failed,
}

impl Verdict {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Category(Category::ALL[0]),
        Self::Category(Category::ALL[1]),
        Self::Category(Category::ALL[2]),
        Self::Category(Category::ALL[3]),
        Self::Failed,
    ];

    /// As in events; `failed` for none.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Category(category) => category.as_str(),
            Self::Failed => "failed",
        }
    }
}

/// A verdict that differs.
#[derive(Clone, Debug, PartialEq)]
pub struct Flip {
    /// The run.
    pub run_id: String,
    /// The evidence judged on the left.
    pub left_evidence: String,
    /// The evidence judged on the right.
    pub right_evidence: String,
    /// Verdict on the left.
    pub from: Verdict,
    /// Score on the left.
    pub from_score: Option<f64>,
    /// Verdict on the right.
    pub to: Verdict,
    /// Score on the right.
    pub to_score: Option<f64>,
    /// Why, on the right.
    pub reasons: Vec<String>,
}

/// What differs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Diff {
    /// Judgements on the left.
    pub left: u64,
    /// Judgements on the right.
    pub right: u64,
    /// Pairs with one verdict and one score.
    pub equal: u64,
    /// Pairs with one verdict and two scores.
    pub moved: u64,
    /// Pairs by verdict on the left and on the right.
    pub matrix: BTreeMap<(Verdict, Verdict), u64>,
    /// Pairs with two verdicts, by run.
    pub flips: Vec<Flip>,
    /// Runs judged on the left only, sorted; a run is named once per judgement.
    pub only_left: Vec<String>,
    /// Runs judged on the right only, sorted.
    pub only_right: Vec<String>,
}

/// One judgement, as small as it can be kept.
#[derive(Debug)]
struct Judgement {
    evidence: Box<str>,
    at: Micros,
    id: Box<str>,
    verdict: Verdict,
    score: Option<f64>,
    /// Kept only where they may be needed.
    reasons: Box<[String]>,
}

type Side = BTreeMap<Box<str>, Vec<Judgement>>;

/// Takes scores of both sides, and compares them in the end.
///
/// Give the left side first: of the right side's reasons only those of flips are then kept.
#[derive(Debug, Default)]
pub struct Differ {
    left: Side,
    right: Side,
}

impl Differ {
    /// Nothing to compare yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes an event of the left side. Events that are no judgements say nothing here.
    pub fn left(&mut self, event: Event) {
        put(&mut self.left, event, |_, _| false);
    }

    /// Takes an event of the right side.
    pub fn right(&mut self, event: Event) {
        let left = &self.left;
        let agrees = |run: &str, verdict: Verdict| {
            left.get(run).is_some_and(|judgements| judgements.iter().all(|judgement| judgement.verdict == verdict))
        };
        put(&mut self.right, event, |run, verdict| !agrees(run, verdict));
    }

    /// The comparison.
    pub fn finish(self) -> Diff {
        let mut diff = Diff::default();
        let count = |side: &Side| side.values().map(|judgements| judgements.len() as u64).sum();
        (diff.left, diff.right) = (count(&self.left), count(&self.right));
        let mut right = self.right;
        for (run, judgements) in self.left {
            compare(&mut diff, &run, judgements, right.remove(&run).unwrap_or_default());
        }
        for (run, judgements) in right {
            compare(&mut diff, &run, Vec::new(), judgements);
        }
        diff.only_right.sort();
        diff
    }
}

/// Compares two sets of scores.
pub fn diff(left: impl IntoIterator<Item = Event>, right: impl IntoIterator<Item = Event>) -> Diff {
    let mut differ = Differ::new();
    left.into_iter().for_each(|event| differ.left(event));
    right.into_iter().for_each(|event| differ.right(event));
    differ.finish()
}

fn put(side: &mut Side, event: Event, keep_reasons: impl FnOnce(&str, Verdict) -> bool) {
    let (run, evidence, verdict, score, reasons) = match event.payload {
        Payload::Score(s) => (s.run_id, s.evidence_id, Verdict::Category(s.category), Some(s.score), s.reasons),
        Payload::ScoreFailed(s) => (s.run_id, s.evidence_id, Verdict::Failed, None, vec![s.error]),
        _ => return,
    };
    let reasons = if keep_reasons(&run, verdict) { reasons.into_boxed_slice() } else { Box::default() };
    let (at, id) = (event.envelope.occurred_at, event.envelope.id.into_boxed_str());
    let judgement = Judgement { evidence: evidence.into_boxed_str(), at, id, verdict, score, reasons };
    let judgements = side.entry(run.into_boxed_str()).or_insert_with(|| Vec::with_capacity(1));
    match judgements.iter_mut().find(|known| known.evidence == judgement.evidence) {
        Some(known) if (known.at, &known.id) < (judgement.at, &judgement.id) => *known = judgement,
        Some(_) => {}
        None => judgements.push(judgement),
    }
}

fn compare(diff: &mut Diff, run: &str, left: Vec<Judgement>, right: Vec<Judgement>) {
    let mut right: Vec<Option<Judgement>> = right.into_iter().map(Some).collect();
    right.sort_by(|a, b| order(a.as_ref()).cmp(&order(b.as_ref())));
    let mut alone = Vec::new();
    let mut pairs = Vec::new();
    for judgement in left {
        let same = right.iter_mut().find(|r| r.as_ref().is_some_and(|r| r.evidence == judgement.evidence));
        match same.and_then(Option::take) {
            Some(other) => pairs.push((judgement, other)),
            None => alone.push(judgement),
        }
    }
    alone.sort_by(|a, b| order(Some(a)).cmp(&order(Some(b))));
    let mut rest = right.into_iter().flatten();
    for judgement in alone {
        match rest.next() {
            Some(other) => pairs.push((judgement, other)),
            None => diff.only_left.push(run.to_owned()),
        }
    }
    diff.only_right.extend(rest.map(|_| run.to_owned()));
    pairs.sort_by(|(a, _), (b, _)| order(Some(a)).cmp(&order(Some(b))));
    for (from, to) in pairs {
        *diff.matrix.entry((from.verdict, to.verdict)).or_default() += 1;
        if from.verdict != to.verdict {
            diff.flips.push(Flip {
                run_id: run.to_owned(),
                left_evidence: from.evidence.into(),
                right_evidence: to.evidence.into(),
                from: from.verdict,
                from_score: from.score,
                to: to.verdict,
                to_score: to.score,
                reasons: to.reasons.into_vec(),
            });
        } else if from.score == to.score {
            diff.equal += 1;
        } else {
            diff.moved += 1;
        }
    }
}

/// Of one run's judgements.
fn order(judgement: Option<&Judgement>) -> Option<(Micros, &str)> {
    judgement.map(|judgement| (judgement.at, &*judgement.evidence))
}
