//! The cut of an export, and the generations that were live at it.

use super::args::Order;
use super::cut;
use crate::context::Context;
use crate::decisions;
use crate::failure::{Failure, Outcome, Status};
use crate::generations::{self, CONTROL};
use crate::node::{CaughtUp, reads, run_generation};
use std::collections::BTreeSet;
use stillhouse_processors::control::{Generations, State};
use stillhouse_processors::decisions::DECISIONS;
use stillhouse_processors::exporter::{Plan, QUARANTINE, Stage};
use stillhouse_processors::firewall::Policy;
use stillhouse_processors::{Definition, PROCESSORS, SettingError, processor, validator};
use stillhouse_schemas::{TOPICS, Topic, Writer, topic};
use stillhouse_streams::Progress;
use stillhouse_streams::generation::FIRST;
use stillhouse_streams::runner::ends;

/// The physical source topics that processors read, those that runs are read from, what operators decided, and control.
fn concerned(context: &Context, generations: &Generations) -> Outcome<Vec<String>> {
    let read = |name: &str| PROCESSORS.iter().any(|p| p.inputs.contains(&name));
    let given = |t: &&Topic| matches!(t.writer, Writer::Outside | Writer::Operator);
    let topics = TOPICS.iter().filter(|t| t.name == CONTROL || (given(t) && read(t.name)));
    let mut topics: Vec<String> = topics.map(|t| context.names.topic(t.name)).collect();
    let (runs, _) = runs(context, generations)?;
    topics.extend(runs.into_iter().filter(|run| !topics.contains(run)).collect::<Vec<_>>());
    Ok(topics)
}

/// The physical topics that evidence may have been made of: those that runs come in by, and those of every generation
/// that was live once, because evidence made of an earlier one is not made again. Apart from them those of generations
/// that were dropped: what they hold was there before they were.
fn runs(context: &Context, generations: &Generations) -> Outcome<(Vec<String>, Vec<String>)> {
    let (mut there, mut gone) = (Vec::new(), Vec::new());
    for topic in transform("materializer")?.inputs.iter().filter_map(|name| topic(name)) {
        let Writer::Processor(writer) = topic.writer else {
            there.push(context.names.topic(topic.name));
            continue;
        };
        let was_live = |name: &str| {
            name == FIRST
                || name == generations.live(writer)
                || generations.promotions(writer).iter().any(|(_, n)| n == name)
        };
        for generation in generations.of(writer).filter(|g| was_live(&g.name)) {
            let physical = generations.output(topic.name, &generation.name);
            if generation.state == State::Active { there.push(physical) } else { gone.push(physical) }
        }
    }
    Ok((there, gone))
}

/// The cut that `at` means; nothing for now.
pub(super) async fn sources(context: &Context, at: &str) -> Outcome<Option<Progress>> {
    if at == "now" {
        return Ok(None);
    }
    let control = context.names.topic(CONTROL);
    let time = at.parse::<jiff::Timestamp>().ok();
    let given = match time {
        Some(_) => Progress::default(),
        None => cut::parse(at)?,
    };
    let then = match time {
        Some(time) => Some(context.journal.offset_at(&control, 0, time.as_millisecond()).await?),
        None => given.get(&control, 0),
    };
    // A cut past the end is refused below.
    let now = ends(context.journal.as_ref(), std::slice::from_ref(&control)).await?;
    let then = then.map(|then| then.min(now.get(&control, 0).unwrap_or(then)));
    let generations = generations::load(context, then).await?;
    let ends = ends(context.journal.as_ref(), &concerned(context, &generations)?).await?;
    let mut sources = Progress::default();
    if let Some(time) = time {
        for (topic, partition, _) in ends.iter() {
            let offset = context.journal.offset_at(topic, partition, time.as_millisecond()).await?;
            sources.set(topic.clone(), partition, offset);
        }
        return Ok(Some(sources));
    }
    let operators = [CONTROL, DECISIONS].map(|name| context.names.topic(name));
    let runs = context.names.topic("runs");
    for (topic, partition, end) in ends.iter() {
        let until = match given.get(topic, partition) {
            Some(until) => until,
            // A cut written by hand may leave it out: what is live and decided now.
            None if operators.iter().any(|name| **name == **topic) => end,
            // Nothing of a topic that it does not know: it was made before that was read.
            None if **topic != *runs && given.iter().all(|(known, ..)| known != topic) => 0,
            None => {
                return Err(Failure::new(Status::Usage, format!("the cut says nothing of {topic}/{partition}")).hint(
                    "a cut has the end of every partition of the source topics; it belongs to one journal and instance",
                ));
            }
        };
        if until > end {
            return Err(Failure::new(
                Status::Usage,
                format!("the cut is past the end: {topic}/{partition} ends at {end}, the cut says {until}"),
            ));
        }
        sources.set(topic.clone(), partition, until);
    }
    if let Some((topic, partition, _)) =
        given.iter().find(|(t, p, _)| ends.iter().any(|(e, ..)| e == *t) && ends.get(t, *p).is_none())
    {
        return Err(Failure::new(Status::Usage, format!("the cut names {topic}/{partition}, which is not there")));
    }
    Ok(Some(sources))
}

/// The plan for what the processors have made of everything in the cut.
pub(super) async fn plan(context: &Context, caught: &CaughtUp, order: &Order) -> Outcome<Plan> {
    // What was live at the cut, not what is live now.
    let generations = generations::load(context, caught.cut.get(&context.names.topic(CONTROL), 0)).await?;
    let concerned = concerned(context, &generations)?;
    let mut cut: Progress = caught
        .cut
        .iter()
        .filter(|(topic, ..)| concerned.iter().any(|c| **c == ***topic))
        .map(|(topic, partition, end)| (topic.clone(), partition, end))
        .collect();
    let (runs, runs_before) = runs(context, &generations)?;
    for (topic, partition, end) in ends(context.journal.as_ref(), &runs).await?.iter() {
        // Nobody waits for generations that are not live any more: as they stand.
        if cut.get(topic, partition).is_none() {
            cut.set(topic.clone(), partition, end);
        }
    }
    pass(context, caught, &generations, &cut).await?;
    let scorer = transform("scorer")?;
    let evidence = generations
        .inputs(scorer, generations.live(scorer.name))
        .map_err(|e| Failure::new(Status::NotFound, e.to_string()))?
        .into_iter()
        .find_map(|(input, mut physical)| physical.pop().filter(|_| input == "evidence"))
        .ok_or_else(|| Failure::new(Status::Failed, "the scorer reads no evidence"))?;
    let materializer = transform("materializer")?;
    let made = generations
        .of(materializer.name)
        .find(|g| generations.output("evidence", &g.name) == evidence)
        .map(|g| g.name.clone())
        .ok_or_else(|| {
            Failure::new(Status::NotFound, format!("no generation of the materializer writes `{evidence}`"))
        })?;
    let labels = context.names.topic("labels");
    let mut stages =
        vec![stage(&generations, materializer, &made)?, stage(&generations, scorer, generations.live(scorer.name))?];
    let (validations, validated) = validated(&generations, &mut stages)?;
    Ok(Plan {
        kind: order.kind,
        shape: order.shape,
        format: order.format.name(),
        filters: order.filters(),
        splits: order.request.split.clone(),
        screen: order.screen.clone(),
        near_duplicates: order.request.near_duplicates,
        max_pairs: order.max_pairs,
        chunk_chars: order.chunk_chars,
        chunk_overlap: order.chunk_overlap,
        labels: cut.get(&labels, 0).map(|_| labels),
        runs,
        runs_before,
        scores: generations.output("scores", generations.live(scorer.name)),
        quarantine: context.names.derived(QUARANTINE, FIRST),
        policy: Policy { partially_accepted: order.request.allow_partial },
        stages,
        validations,
        validated,
        runs_at_a_time: Plan::RUNS_AT_A_TIME,
        decisions: decisions::load(context, Some(cut.get(&context.names.topic(DECISIONS), 0).unwrap_or(0))).await?,
        present: order.request.at == "now",
        evidence,
        cut,
    })
}

/// The topic of validations and the classes that have to be validated, by the validator that was live at the cut. One that
/// has no policy for any class says nothing, and is no stage of the dataset.
fn validated(generations: &Generations, stages: &mut Vec<Stage>) -> Outcome<(Option<String>, BTreeSet<String>)> {
    let definition = transform(validator::NAME)?;
    let live = generations.live(definition.name);
    // A cut from before there were validators has none.
    let Some(generation) = generations.of(definition.name).find(|g| g.name == live) else {
        return Ok((None, BTreeSet::new()));
    };
    let config = |e: SettingError| Failure::new(Status::Config, e.to_string());
    let policies = validator::policies(&definition.settings(&generation.settings).map_err(config)?).map_err(config)?;
    if policies.policies.values().all(|policy| policy.classes.is_empty()) {
        return Ok((None, BTreeSet::new()));
    }
    stages.push(stage(generations, definition, live)?);
    Ok((Some(generations.output("validations", live)), policies.required().into_iter().collect()))
}

/// Runs the generations that were live at the cut and are not now until they have passed it too.
async fn pass(context: &Context, caught: &CaughtUp, generations: &Generations, cut: &Progress) -> Outcome {
    for definition in PROCESSORS.iter().filter(|d| d.is_transform()) {
        let live = generations.live(definition.name);
        if caught.generations.live(definition.name) == live {
            continue;
        }
        let mut part = Progress::default();
        for topic in reads(generations, definition, live)? {
            for (topic, partition, end) in ends(context.journal.as_ref(), &[topic]).await?.iter() {
                part.set(topic.clone(), partition, cut.get(topic, partition).unwrap_or(end));
            }
        }
        run_generation(context, definition, live, &part, |_| {}).await?;
    }
    Ok(())
}

fn stage(generations: &Generations, definition: &'static Definition, name: &str) -> Outcome<Stage> {
    let failed = |e: &dyn std::fmt::Display| Failure::new(Status::NotFound, e.to_string());
    let generation = generations.active(definition, name).map_err(|e| failed(&e))?;
    let settings = definition.settings(&generation.settings).map_err(|e| failed(&e))?;
    Ok(Stage {
        processor: definition.name.to_owned(),
        generation: name.to_owned(),
        version: generation.version.clone(),
        config_hash: settings.config_hash(),
    })
}

fn transform(name: &str) -> Outcome<&'static Definition> {
    processor(name).map_err(|e| Failure::new(Status::Failed, e.to_string()))
}
