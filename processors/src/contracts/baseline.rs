//! `audit_baselines`: what was counted at a cut. A line is made of the event of an audit and of nothing else, so the file
//! can be thrown away and made again.

use super::Shape;
use crate::exporter::canonical::{CanonicalError, Json};
use std::collections::BTreeMap;
use stillhouse_schemas::{Audited, Category, Event, Payload, time};

pub(super) const SHAPE: Shape = Shape::Members(&[
    ("audit_id", Shape::Text),
    ("config_hash", Shape::Text),
    ("cut", Shape::List(&Shape::Tuple(&[Shape::Text, Shape::Int, Shape::Int]))),
    ("occurred_at", Shape::Text),
    ("slices", Shape::List(&SLICE)),
    ("version", Shape::Text),
]);

static SLICE: Shape = Shape::Members(&[
    ("accepted", Shape::Int),
    ("failed", Shape::Int),
    ("mean_score", Shape::Optional(&Shape::Float)),
    ("needs_human_review", Shape::Int),
    ("partially_accepted", Shape::Int),
    ("rejected", Shape::Int),
    ("scored", Shape::Int),
    ("skipped", Shape::Int),
    ("source_class", Shape::Text),
]);

/// What came of the runs of one source class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slice {
    /// Runs by category, in the order of [`Category::ALL`].
    pub categories: [i64; 4],
    /// Runs whose judge failed.
    pub failed: i64,
    /// Runs that nobody has judged.
    pub skipped: i64,
    /// Sum of the scores, in ten-thousandths: whole numbers add up in any order.
    pub score_e4: i64,
}

/// Names of the counts of a slice in an event, after `slice.<class>.`.
const FAILED: &str = "failed";
const SKIPPED: &str = "skipped";
const SCORE: &str = "score_e4";

impl Slice {
    /// Runs that were judged.
    pub fn scored(&self) -> i64 {
        self.categories.iter().sum()
    }

    /// All runs.
    pub fn runs(&self) -> i64 {
        self.scored() + self.failed + self.skipped
    }

    /// Mean of the scores; nothing where nothing was judged.
    pub fn mean(&self) -> Option<f64> {
        let scored = self.scored();
        // Below 2^53 both are exact.
        (scored > 0).then(|| self.score_e4 as f64 / 10_000.0 / scored as f64)
    }

    /// Takes a score.
    pub fn score(&mut self, category: Category, score: f64) {
        if let Some(place) = Category::ALL.iter().position(|c| *c == category) {
            self.categories[place] += 1;
        }
        self.score_e4 += (score * 10_000.0).round() as i64;
    }

    /// Adds what another part of the same runs came to.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.categories.iter_mut().zip(other.categories) {
            *mine += theirs;
        }
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.score_e4 += other.score_e4;
    }

    /// As counts of an event.
    pub fn counts(&self, class: &str) -> impl Iterator<Item = (String, i64)> {
        let categories = Category::ALL.iter().map(|c| c.as_str()).zip(self.categories);
        let all = categories.chain([(FAILED, self.failed), (SKIPPED, self.skipped), (SCORE, self.score_e4)]);
        all.map(|(name, n)| (format!("slice.{class}.{name}"), n)).collect::<Vec<_>>().into_iter()
    }

    fn set(&mut self, name: &str, n: i64) {
        match name {
            FAILED => self.failed = n,
            SKIPPED => self.skipped = n,
            SCORE => self.score_e4 = n,
            category => {
                if let Some(place) = Category::ALL.iter().position(|c| c.as_str() == category) {
                    self.categories[place] = n;
                }
            }
        }
    }
}

/// The slices that an audit counted, by source class.
pub fn slices(audited: &Audited) -> BTreeMap<String, Slice> {
    let mut slices: BTreeMap<String, Slice> = BTreeMap::new();
    for (name, n) in &audited.counts {
        if let Some((class, name)) = name.strip_prefix("slice.").and_then(|rest| rest.rsplit_once('.')) {
            slices.entry(class.to_owned()).or_default().set(name, *n);
        }
    }
    slices
}

/// A line of `audit_baselines.jsonl`.
#[derive(Clone, Debug, PartialEq)]
pub struct Baseline {
    line: Vec<u8>,
}

impl Baseline {
    /// The line of an audit's event; nothing if the event is no audit or its cut cannot be read.
    pub fn of(event: &Event) -> Option<Result<Self, CanonicalError>> {
        let Payload::Audited(audited) = &event.payload else { return None };
        let cut: Vec<(String, i64, i64)> = serde_json::from_str(&audited.cut).ok()?;
        let positions = cut
            .iter()
            .map(|(topic, partition, end)| {
                Json::List(vec![Json::text(topic.as_str()), Json::Int(*partition), Json::Int(*end)])
            })
            .collect();
        let counted = slices(audited);
        let slices = counted.iter().map(|(class, slice)| {
            let mean = slice.mean().map_or(Json::Null, Json::Float);
            let categories = Category::ALL.iter().zip(slice.categories).map(|(c, n)| (c.as_str(), Json::Int(n)));
            let rest = [
                ("failed", Json::Int(slice.failed)),
                ("mean_score", mean),
                ("scored", Json::Int(slice.scored())),
                ("skipped", Json::Int(slice.skipped)),
                ("source_class", Json::text(class.as_str())),
            ];
            Json::map(categories.chain(rest))
        });
        let occurred_at = time::format(event.envelope.occurred_at);
        let json = Json::map([
            ("audit_id", Json::text(audited.audit_id.as_str())),
            ("config_hash", Json::text(event.envelope.producer.config_hash.as_str())),
            ("cut", Json::List(positions)),
            ("occurred_at", Json::text(occurred_at.as_str())),
            ("slices", Json::List(slices.collect())),
            ("version", Json::text(event.envelope.producer.version.as_str())),
        ]);
        Some(json.to_bytes().map(|line| Self { line }))
    }

    /// The line, without its end.
    pub fn line(&self) -> &[u8] {
        &self.line
    }
}
