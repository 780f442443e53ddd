//! What is asked and what is answered.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::collections::BinaryHeap;

use crate::bits::Keys;

/// The groups of rows that a query may see. The default is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Groups {
    everything: bool,
    seen: BTreeSet<u32>,
}

impl Groups {
    /// Every group: for corpora that are not gated.
    pub fn all() -> Self {
        Self { everything: true, seen: BTreeSet::new() }
    }

    /// These and no others.
    pub fn only(groups: impl IntoIterator<Item = u32>) -> Self {
        Self { everything: false, seen: groups.into_iter().collect() }
    }

    /// Whether rows of the group may be seen.
    pub fn admits(&self, group: u32) -> bool {
        self.everything || self.seen.contains(&group)
    }

    pub(crate) fn is_all(&self) -> bool {
        self.everything
    }
}

/// Which rows of those a query may see it asks about.
#[derive(Clone, Copy, Default)]
pub enum Filter<'a> {
    /// Each.
    #[default]
    None,
    /// Those with these keys.
    Keys(&'a Keys),
    /// Those whose key passes. Called for some rows or for all, in no order.
    Where(&'a (dyn Fn(u64) -> bool + Sync)),
}

impl Filter<'_> {
    #[inline]
    pub(crate) fn admits(&self, key: u64) -> bool {
        match self {
            Self::None => true,
            Self::Keys(keys) => keys.contains(key),
            Self::Where(passes) => passes(key),
        }
    }

    pub(crate) fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }
}

/// How rows were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Every row that may be an answer was compared, or ruled out by a bound: the answer is exact.
    Exact,
    /// A graph was walked in at least one part.
    Hnsw,
}

/// A search.
#[derive(Clone, Default)]
pub struct Query<'a> {
    /// As long as the index's vectors.
    pub vector: &'a [f32],
    /// At most this many hits.
    pub k: usize,
    /// Candidates that a walk keeps; the index's setting where it is none, and never less than `k`.
    pub ef: Option<usize>,
    /// What may be seen: nothing, unless said.
    pub groups: Groups,
    /// What is asked about.
    pub filter: Filter<'a>,
    /// Instead of the planner's choice. Rows are still compared one by one where
    /// a walk would keep all of them, or has looked at more rows than there are to compare.
    pub plan: Option<Plan>,
}

/// One row of an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// The row's key.
    pub key: u64,
    /// Of its vector, as it was put in, from the query's.
    pub distance: f32,
}

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Nearest first, equally near ones by key.
    pub hits: Vec<Hit>,
    /// How.
    pub plan: Plan,
    /// Rows whose distance, or a bound of it, was computed.
    pub visited: u64,
    /// Rows in the index that the query may not see, whether or not they are near.
    pub withheld: u64,
    /// Rows in the index.
    pub rows: u64,
}

/// A hit and how new its row is: of two rows with one key, which can both be seen for an instant, the newer counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub distance: f32,
    pub key: u64,
    pub age: u64,
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Candidate {}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        self.distance.total_cmp(&other.distance).then(self.key.cmp(&other.key)).then(self.age.cmp(&other.age))
    }
}

/// The nearest `k` so far.
#[derive(Debug)]
pub(crate) struct Nearest {
    k: usize,
    heap: BinaryHeap<Candidate>,
    pub visited: u64,
    pub plan: Plan,
}

impl Nearest {
    pub fn new(k: usize) -> Self {
        Self { k, heap: BinaryHeap::new(), visited: 0, plan: Plan::Exact }
    }

    /// Whether a row at this distance or more is no answer.
    #[inline]
    pub fn rules_out(&self, least: f32) -> bool {
        self.heap.len() >= self.k && self.heap.peek().is_none_or(|worst| least > worst.distance)
    }

    pub fn push(&mut self, candidate: Candidate) {
        if self.heap.len() < self.k {
            self.heap.push(candidate);
        } else if let Some(mut worst) = self.heap.peek_mut()
            && candidate < *worst
        {
            *worst = candidate;
        }
    }

    /// Nearest first, and whether one key was there twice.
    pub fn hits(self) -> (Vec<Hit>, bool) {
        let sorted = self.heap.into_sorted_vec();
        let mut newest: Vec<(u64, u64)> = sorted.iter().map(|hit| (hit.key, hit.age)).collect();
        newest.sort_unstable();
        let twice = newest.windows(2).any(|pair| pair[0].0 == pair[1].0);
        let counts = |hit: &Candidate| {
            !twice || newest.get(newest.partition_point(|&(key, _)| key <= hit.key) - 1) == Some(&(hit.key, hit.age))
        };
        (
            sorted.iter().filter(|hit| counts(hit)).map(|hit| Hit { key: hit.key, distance: hit.distance }).collect(),
            twice,
        )
    }
}
