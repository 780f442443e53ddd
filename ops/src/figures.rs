//! Figures of judgements: scored, failed and skipped, always apart.

use crate::events::{Log, Read, Records};
use crate::failure::{Failure, Outcome, Status};
use crate::generations;
use crate::http::read::logical;
use serde::Serialize;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use stillhouse_processors::control::State;
use stillhouse_processors::exporter::short;
use stillhouse_processors::processor;
use stillhouse_schemas::{Category, Payload};
use stillhouse_streams::runner::ends;
use stillhouse_streams::{Position, Progress};

/// What became of what was to be judged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Judged {
    /// Scores, those that people gave too.
    pub scored: u64,
    /// Judgements that could not be made: they say nothing of the run.
    pub failed: u64,
    /// Evidence of which neither was made: of erased persons, dead letters, and what waits for a model's reply.
    pub skipped: u64,
    /// Scores by category, every category named.
    pub categories: BTreeMap<&'static str, u64>,
}

/// What a generation of the scorer made of what it has taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Scorer {
    /// Its group.
    pub group: String,
    /// Where its scores stand.
    pub topic: String,
    /// Whether it is the one that counts.
    pub live: bool,
    /// The figures.
    pub judged: Judged,
}

/// Every generation of the scorer. Reads all scores and all evidence.
pub async fn scorers<'a>(log: impl Into<Log<'a>>) -> Outcome<Vec<Scorer>> {
    let log = log.into();
    let scorer = processor("scorer").map_err(|e| Failure::new(Status::Failed, e.to_string()))?;
    let generations = generations::load(log, None).await?;
    // Groups before ends: what a group had taken by then has its scores below the ends that are looked at afterwards.
    let groups = log.journal.groups().await?;
    let topics = log.journal.topics().await?;
    let mut all = Vec::new();
    for generation in generations.of(scorer.name).filter(|generation| generation.state == State::Active) {
        let group = log.names.group(scorer.name, &generation.name);
        let topic = generations.output("scores", &generation.name);
        let progress = groups.iter().find(|known| known.group == group).map(|known| known.progress.clone());
        let there = topics.iter().any(|known| known.spec.name == topic);
        let (Some(taken), true) = (progress, there) else { continue };
        let from = match generation.from.as_str() {
            "" => Progress::default(),
            from => serde_json::from_str(from).map_err(anyhow::Error::from)?,
        };
        let scores = ends(log.journal, std::slice::from_ref(&topic)).await?;
        let live = generations.live(scorer.name) == generation.name;
        all.push(Scorer { group, topic, live, judged: judged(log, &scores, &taken, &from).await? });
    }
    Ok(all)
}

/// Counts the judgements below `scores`, and the evidence below `inputs` and from `from` on that has none. Records, not
/// offsets: those have gaps. An evidence that was judged twice is not skipped for that, nor is one that stands twice.
pub async fn judged<'a>(
    log: impl Into<Log<'a>>,
    scores: &Progress,
    inputs: &Progress,
    from: &Progress,
) -> Outcome<Judged> {
    let log = log.into();
    let mut judged = Judged { categories: Category::ALL.map(|c| (c.as_str(), 0)).into(), ..Judged::default() };
    let mut settled = HashSet::new();
    let mut events = Records::until(log, scores);
    while let Some(page) = events.events().await? {
        for (_, read) in page {
            let Read::Event(event) = read else { continue };
            match &event.payload {
                Payload::Score(score) => {
                    judged.scored += 1;
                    *judged.categories.entry(score.category.as_str()).or_default() += 1;
                    settled.insert(short(&score.evidence_id));
                }
                Payload::ScoreFailed(failed) => {
                    judged.failed += 1;
                    settled.insert(short(&failed.evidence_id));
                }
                _ => {}
            }
        }
    }
    let is_evidence = |topic: &str| logical(log.names.prefix(), topic).is_some_and(|topic| topic.name == "evidence");
    let evidence = inputs.iter().filter(|(topic, ..)| is_evidence(topic));
    let mut input =
        Records::until(log, &evidence.map(|(topic, partition, end)| (topic.clone(), partition, end)).collect());
    while let Some(page) = input.page().await? {
        let begun = |at: &Position| from.get(&at.topic, at.partition).is_none_or(|from| at.offset >= from);
        let taken = page.iter().filter(|r| r.record.value.is_some() && begun(&r.position));
        judged.skipped += taken.filter_map(|r| r.record.id()).filter(|id| settled.insert(short(id))).count() as u64;
    }
    Ok(judged)
}

impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} scored, {} failed, {} skipped", self.scored, self.failed, self.skipped)
    }
}
