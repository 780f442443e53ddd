//! What an audit goes through: topics up to a cut, generations whose work is done again, datasets.

use super::super::cut;
use super::datasets::Datasets;
use crate::context::Context;
use crate::failure::{Failure, Outcome, Status};
use crate::generations;
use crate::node::{build, reads};
use std::collections::BTreeMap;
use stillhouse_processors::PROCESSORS;
use stillhouse_processors::auditor::gather::{Again, RUNS_AT_A_TIME, Scope, Source};
use stillhouse_processors::control::{Generations, State};
use stillhouse_schemas::TOPICS;
use stillhouse_streams::{Progress, TopicState};

/// Up to where, and what there was then.
pub(super) struct Extent {
    /// The end of every partition.
    pub(super) cut: Progress,
    /// What runs and what is live.
    pub(super) generations: Generations,
    /// How far every group is.
    groups: BTreeMap<String, Progress>,
    topics: Vec<TopicState>,
}

impl Extent {
    /// Takes the cut that `at` means.
    pub(super) async fn take(context: &Context, at: &str) -> Outcome<Self> {
        let given = if at == "now" { None } else { Some(cut::parse(at)?) };
        // Groups before ends: what a group had passed has its outputs before the ends that are looked at afterwards.
        let groups = context.journal.groups().await?.into_iter().map(|g| (g.group, g.progress)).collect();
        let generations = generations::load(context, None).await?;
        let all = context.journal.topics().await?;
        let topics: Vec<TopicState> = all.into_iter().filter(|t| context.names.owns(&t.spec.name)).collect();
        let mut cut = Progress::default();
        for topic in &topics {
            for (partition, state) in (0..).zip(&topic.partitions) {
                let end = given.as_ref().and_then(|given| given.get(&topic.spec.name, partition));
                if let Some(end) = end.filter(|end| *end > state.end) {
                    return Err(Failure::new(
                        Status::Usage,
                        format!(
                            "the cut is past the end: {}/{partition} ends at {}, the cut says {end}",
                            topic.spec.name, state.end
                        ),
                    ));
                }
                cut.set(topic.spec.name.as_str(), partition, end.unwrap_or(state.end));
            }
        }
        Ok(Self { cut, generations, groups, topics })
    }

    /// Records to be read, about: evidence and runs are read twice.
    pub(super) fn records(&self) -> u64 {
        self.cut.iter().map(|(.., end)| end).sum::<u64>() * 2
    }

    /// The ends of a partition as they are now.
    pub(super) fn end(&self, topic: &str, partition: u32) -> Option<u64> {
        let topic = self.topics.iter().find(|t| t.spec.name == topic)?;
        topic.partitions.get(usize::try_from(partition).ok()?).map(|state| state.end)
    }

    fn source(&self, physical: &str) -> Option<Source> {
        let state = self.topics.iter().find(|t| t.spec.name == physical)?;
        let topic = TOPICS.iter().find(|t| self.generations.physical(t.name).iter().any(|name| name == physical))?;
        let bounds = |(number, partition): (u32, &stillhouse_streams::PartitionState)| {
            (partition.start, self.cut.get(physical, number).unwrap_or(partition.end))
        };
        Some(Source {
            physical: physical.to_owned(),
            topic,
            partitions: (0..).zip(&state.partitions).map(bounds).collect(),
        })
    }
}

/// A cut as events have it.
pub(super) fn cut_text(cut: &Progress) -> Outcome<String> {
    let positions: Vec<_> = cut.iter().map(|(topic, partition, end)| (topic.as_ref(), partition, end)).collect();
    Ok(serde_json::to_string(&positions).map_err(anyhow::Error::from)?)
}

fn number(sources: &[Source], physical: &str) -> Option<usize> {
    sources.iter().position(|source| source.physical == physical)
}

fn empty(sources: Vec<Source>) -> Scope {
    Scope {
        sources,
        again: Vec::new(),
        datasets: Vec::new(),
        live: None,
        replays: None,
        summaries: 0,
        runs_at_a_time: RUNS_AT_A_TIME,
    }
}

/// The live evidence and scores, and nothing else.
pub(super) fn scores(extent: &Extent) -> Outcome<Scope> {
    let (evidence, scores) = live(extent)?;
    let sources: Vec<Source> = [&evidence, &scores].into_iter().filter_map(|name| extent.source(name)).collect();
    let mut scope = empty(sources);
    scope.live = number(&scope.sources, &evidence).zip(number(&scope.sources, &scores));
    Ok(scope)
}

/// What the live scorer reads and writes.
fn live(extent: &Extent) -> Outcome<(String, String)> {
    let scorer = stillhouse_processors::processor("scorer").map_err(|e| Failure::new(Status::Failed, e.to_string()))?;
    let live = extent.generations.live(scorer.name);
    let inputs = reads(&extent.generations, scorer, live)?;
    let evidence = extent.generations.physical("evidence").into_iter().find(|name| inputs.contains(name));
    let evidence = evidence.ok_or_else(|| Failure::new(Status::Failed, "the scorer reads no evidence"))?;
    Ok((evidence, extent.generations.output("scores", live)))
}

/// Everything, and what cannot be done again and why.
pub(super) fn everything(context: &Context, extent: &Extent, datasets: &Datasets) -> Outcome<(Scope, Vec<String>)> {
    let physical = TOPICS.iter().filter(|t| !t.events.is_empty()).flat_map(|t| extent.generations.physical(t.name));
    let mut scope = empty(physical.filter_map(|name| extent.source(&name)).collect());
    let mut notes = Vec::new();
    for definition in PROCESSORS.iter().filter(|d| d.is_transform()) {
        for generation in extent.generations.of(definition.name).filter(|g| g.state == State::Active) {
            let named = format!("{} {}", definition.name, generation.name);
            if generation.version != definition.version {
                notes.push(format!("{named} is of version {} of the code, and not done again", generation.version));
                continue;
            }
            let inputs = reads(&extent.generations, definition, &generation.name)?;
            let inputs: Vec<usize> = inputs.iter().filter_map(|name| number(&scope.sources, name)).collect();
            if inputs.iter().any(|input| !scope.sources[*input].is_about_runs()) {
                notes.push(format!("{named} puts together what has other keys than runs, and is not done again"));
                continue;
            }
            let (_, transform) = build(&context.asking_nobody(), definition, &generation.name, &generation.settings)?;
            let outputs: BTreeMap<&'static str, usize> = definition
                .outputs
                .iter()
                .filter_map(|output| {
                    let physical = extent.generations.output(output, &generation.name);
                    Some((*output, number(&scope.sources, &physical)?))
                })
                .collect();
            let group = context.names.group(definition.name, &generation.name);
            let from = match generation.from.as_str() {
                "" => Progress::default(),
                from => serde_json::from_str(from).map_err(anyhow::Error::from)?,
            };
            let whole = from.is_empty() && extent.generations.live(definition.name) == generation.name;
            scope.again.push(Again {
                processor: definition.name,
                transform,
                inputs,
                outputs,
                from,
                progress: extent.groups.get(&group).cloned().unwrap_or_default(),
                accounts: whole && definition.outputs.contains(&"evidence"),
            });
        }
    }
    let (evidence, scores) = live(extent)?;
    scope.live = number(&scope.sources, &evidence).zip(number(&scope.sources, &scores));
    scope.replays = number(&scope.sources, &context.names.derived("replays", stillhouse_streams::generation::FIRST));
    scope.datasets =
        datasets.scopes(|generation| number(&scope.sources, &extent.generations.output("evidence", generation)));
    Ok((scope, notes))
}
