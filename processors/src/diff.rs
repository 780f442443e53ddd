//! Two generations of scores, of validations or of verdicts about claims, compared: which verdicts flip.
//!
//! Each side is folded first, as every reader of scores does: of several judgements of one evidence the latest by
//! (`occurred_at`, `id`) counts, so repetitions and the order of reading make no difference. Then judgements are paired:
//! by run and evidence; what is left of a run on both sides (its evidence was made anew, under another id) in the order
//! of time. What has no counterpart is only on its side.
//!
//! Of what is held of an attribute the highest revision counts, and it flips when another value is held, too.
//!
//! Memory: some 250 bytes for the two judgements of an evidence whose ids are UUIDs, and the reasons of those that flip.
//! A million runs take about 250 MB.

use crate::exporter::Id;
use crate::reconciler::Status;
use crate::validator::Verdict as Validity;
use std::collections::BTreeMap;
use stillhouse_schemas::{Category, Event, Finding, Micros, Payload};

/// A verdict, as compared: a category, or that none could be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// A score.
    Category(Category),
    /// A `ScoreFailed`.
    Failed,
    /// A validation.
    Validity(Validity),
    /// What is held of claims.
    Held(Status),
}

impl Verdict {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Category(Category::ALL[0]),
        Self::Category(Category::ALL[1]),
        Self::Category(Category::ALL[2]),
        Self::Category(Category::ALL[3]),
        Self::Failed,
        Self::Validity(Validity::ALL[0]),
        Self::Validity(Validity::ALL[1]),
        Self::Validity(Validity::ALL[2]),
        Self::Held(Status::ALL[0]),
        Self::Held(Status::ALL[1]),
        Self::Held(Status::ALL[2]),
        Self::Held(Status::ALL[3]),
    ];

    /// As in events; `failed` for none.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Category(category) => category.as_str(),
            Self::Failed => "failed",
            Self::Validity(validity) => validity.as_str(),
            Self::Held(status) => status.as_str(),
        }
    }
}

/// A verdict that differs.
#[derive(Clone, Debug, PartialEq)]
pub struct Flip {
    /// The run; of claims, the entity.
    pub run_id: String,
    /// Of claims, the attribute.
    pub attribute: Option<String>,
    /// The evidence judged on the left.
    pub left_evidence: String,
    /// The evidence judged on the right.
    pub right_evidence: String,
    /// Verdict on the left.
    pub from: Verdict,
    /// Score on the left.
    pub from_score: Option<f64>,
    /// What is held on the left, as JSON text.
    pub from_value: Option<String>,
    /// Verdict on the right.
    pub to: Verdict,
    /// Score on the right.
    pub to_score: Option<f64>,
    /// What is held on the right.
    pub to_value: Option<String>,
    /// Why, on the right.
    pub reasons: Vec<String>,
    /// What the judgement on the right cost, in US dollars, where a model was asked.
    pub cost_usd: Option<f64>,
}

/// What the judgements of one side cost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Judgements that cost something, or would have if their replies had not been recorded before.
    pub calls: u64,
    /// Their price, in US dollars.
    pub usd: f64,
}

impl Cost {
    fn add(&mut self, usd: Option<f64>) {
        self.calls += u64::from(usd.is_some());
        self.usd += usd.unwrap_or_default();
    }
}

/// What differs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Diff {
    /// Judgements on the left.
    pub left: u64,
    /// Judgements on the right.
    pub right: u64,
    /// What the judgements on the left cost.
    pub left_cost: Cost,
    /// What the judgements on the right cost.
    pub right_cost: Cost,
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
    /// Runs judged on the right only, likewise.
    pub only_right: Vec<String>,
}

/// One judgement, as small as it can be kept.
#[derive(Debug)]
struct Judgement {
    at: Micros,
    id: Id,
    verdict: Verdict,
    score: Option<f64>,
    value: Option<Box<str>>,
    cost: Option<f64>,
    /// Of the right side, where they may be needed.
    reasons: Box<[String]>,
}

impl Judgement {
    /// Whether neither is a flip of the other.
    fn alike(&self, other: &Self) -> bool {
        self.verdict == other.verdict && self.value == other.value
    }
}

/// What both sides say of one evidence of one run.
#[derive(Debug, Default)]
struct Pair {
    left: Option<Judgement>,
    right: Option<Judgement>,
}

/// Takes scores of both sides, and compares them in the end.
///
/// Give the left side first: of the right side's reasons only those of flips are then kept.
#[derive(Debug, Default)]
pub struct Differ {
    /// By run and evidence, so that what is said of one run stands together.
    pairs: BTreeMap<(Id, Id), Pair>,
}

impl Differ {
    /// Nothing to compare yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes an event of the left side. Events that are no judgements say nothing here.
    pub fn left(&mut self, event: Event) {
        if let Some((key, mut judgement)) = read(event) {
            judgement.reasons = Box::default();
            latest(&mut self.pairs.entry(key).or_default().left, judgement);
        }
    }

    /// Takes an event of the right side.
    pub fn right(&mut self, event: Event) {
        if let Some((key, mut judgement)) = read(event) {
            let pair = self.pairs.entry(key).or_default();
            if pair.left.as_ref().is_some_and(|left| left.alike(&judgement)) {
                judgement.reasons = Box::default();
            }
            latest(&mut pair.right, judgement);
        }
    }

    /// The comparison.
    pub fn finish(self) -> Diff {
        let mut diff = Diff::default();
        let mut pairs = self.pairs.into_iter().peekable();
        while let Some(((run, evidence), pair)) = pairs.next() {
            let mut of_run = vec![(evidence, pair)];
            while let Some(((_, evidence), pair)) = pairs.next_if(|((next, _), _)| *next == run) {
                of_run.push((evidence, pair));
            }
            compare(&mut diff, &run, of_run);
        }
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

fn read(event: Event) -> Option<((Id, Id), Judgement)> {
    let (mut at, mut value) = (event.envelope.occurred_at, None);
    let (run, evidence, verdict, (score, cost), reasons) = match event.payload {
        Payload::Score(s) => {
            (s.run_id, s.evidence_id, Verdict::Category(s.category), (Some(s.score), s.cost_usd), s.reasons)
        }
        Payload::ScoreFailed(s) => (s.run_id, s.evidence_id, Verdict::Failed, (None, None), vec![s.error]),
        Payload::Validation(v) => {
            let verdict = Verdict::Validity(Validity::named(&v.verdict).unwrap_or(Validity::Skipped));
            let said = |f: Finding| format!("{}: {}", f.code, f.message);
            let skipped = v.skipped.into_iter().map(|(name, why)| format!("{name} could not look: {why}"));
            (v.run_id, v.evidence_id, verdict, (None, None), v.reasons.into_iter().map(said).chain(skipped).collect())
        }
        Payload::Verdict(v) => {
            // What was made of more claims comes later, whenever the claims were made.
            (at, value) = (v.revision, v.value.map(String::into_boxed_str));
            (v.entity, v.attribute, Verdict::Held(Status::named(&v.status)?), (None, None), v.reasons)
        }
        _ => return None,
    };
    let id = Id::from(event.envelope.id.as_str());
    let judgement = Judgement { at, id, verdict, score, value, cost, reasons: reasons.into_boxed_slice() };
    Some(((Id::from(run.as_str()), Id::from(evidence.as_str())), judgement))
}

fn latest(known: &mut Option<Judgement>, judgement: Judgement) {
    if known.as_ref().is_none_or(|known| (known.at, &known.id) < (judgement.at, &judgement.id)) {
        *known = Some(judgement);
    }
}

/// Compares what is said of one run.
fn compare(diff: &mut Diff, run: &Id, pairs: Vec<(Id, Pair)>) {
    let (mut lefts, mut rights) = (Vec::new(), Vec::new());
    for (evidence, Pair { left, right }) in pairs {
        diff.left += u64::from(left.is_some());
        diff.right += u64::from(right.is_some());
        diff.left_cost.add(left.as_ref().and_then(|judgement| judgement.cost));
        diff.right_cost.add(right.as_ref().and_then(|judgement| judgement.cost));
        match (left, right) {
            (Some(from), Some(to)) => count(diff, run, (evidence.clone(), from), (evidence, to)),
            // An attribute is not another's counterpart.
            (Some(Judgement { verdict: Verdict::Held(_), .. }), None) => {
                diff.only_left.push(format!("{run}.{evidence}"));
            }
            (None, Some(Judgement { verdict: Verdict::Held(_), .. })) => {
                diff.only_right.push(format!("{run}.{evidence}"));
            }
            (from, to) => {
                lefts.extend(from.map(|from| (evidence.clone(), from)));
                rights.extend(to.map(|to| (evidence, to)));
            }
        }
    }
    // Made anew under other ids: in the order of time.
    for side in [&mut lefts, &mut rights] {
        side.sort_by(|(a, x), (b, y)| (x.at, a).cmp(&(y.at, b)));
    }
    let mut rights = rights.into_iter();
    for from in lefts {
        match rights.next() {
            Some(to) => count(diff, run, from, to),
            None => diff.only_left.push(run.to_string()),
        }
    }
    diff.only_right.extend(rights.map(|_| run.to_string()));
}

fn count(diff: &mut Diff, run: &Id, (left_evidence, from): (Id, Judgement), (right_evidence, to): (Id, Judgement)) {
    *diff.matrix.entry((from.verdict, to.verdict)).or_default() += 1;
    if !from.alike(&to) {
        let is_held = matches!(to.verdict, Verdict::Held(_));
        diff.flips.push(Flip {
            run_id: run.to_string(),
            attribute: is_held.then(|| right_evidence.to_string()),
            left_evidence: left_evidence.to_string(),
            right_evidence: right_evidence.to_string(),
            from: from.verdict,
            from_score: from.score,
            from_value: from.value.map(String::from),
            to: to.verdict,
            to_score: to.score,
            to_value: to.value.map(String::from),
            cost_usd: to.cost,
            reasons: to.reasons.into_vec(),
        });
    } else if from.score == to.score {
        diff.equal += 1;
    } else {
        diff.moved += 1;
    }
}
