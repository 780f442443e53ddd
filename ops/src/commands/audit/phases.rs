//! The phases, beyond what the invariants check: what is said of each.

use super::datasets::Datasets;
use super::scope::Extent;
use crate::context::Context;
use crate::failure::Outcome;
use std::collections::BTreeMap;
use stillhouse_processors::auditor::gather::{Gathered, Pick, Scope};
use stillhouse_processors::auditor::{Fact, Report};
use stillhouse_processors::exporter::Short;
use stillhouse_schemas::{EVENTS, evolution};

/// Phase 0: whether there is any sense in going on.
pub(super) async fn preflight(context: &Context, extent: &Extent, report: &mut Report) -> Outcome<bool> {
    let verified = context.journal.verify().await?;
    report.tally.take(&Fact::Chain(verified.damage.first()));
    for damage in verified.damage.iter().skip(1) {
        report.tally.take(&Fact::Chain(Some(damage)));
    }
    let phase = report.phases.entry(0).or_default();
    phase.say(format!(
        "{} records in {} partitions of {}",
        verified.records,
        verified.partitions,
        context.journal.uri()
    ));
    if !verified.note.is_empty() {
        phase.say(verified.note);
    }
    let ignored = extent.generations.ignored();
    phase.check(ignored.is_empty(), || {
        let why = ignored.first().map(|i| format!("{}: {}", i.event_id, i.why)).unwrap_or_default();
        format!("{} control events change nothing ({why})", ignored.len())
    });
    // Asked for here: without its keys everything sealed would be taken for erased.
    let keys = crate::keystore::check(context).await;
    phase.check(keys.is_ok(), || keys.err().map(|failure| failure.message).unwrap_or_default());
    if !verified.losses.is_empty() {
        phase.warned = true;
        phase.say(format!("{} losses were accepted: `stillhouse verify` lists them", verified.losses.len()));
    }
    report.counts.insert("journal.records".to_owned(), signed(verified.records));
    Ok(verified.damage.is_empty())
}

/// The journal is damaged: what is read from it proves nothing.
pub(super) fn stop(report: &mut Report) {
    for (_, phase) in report.phases.iter_mut().filter(|(number, _)| !matches!(number, 0 | 6)) {
        phase.skipped = Some("the journal is damaged".to_owned());
    }
}

/// Phases 1 to 7, of what was gathered. Gives back what summaries are made of.
pub(super) fn fill(
    report: &mut Report,
    found: Gathered,
    datasets: &mut Datasets,
    scope: &Scope,
    notes: Vec<String>,
) -> Outcome<BTreeMap<Short, Pick>> {
    report.tally.add(found.tally);
    for facts in datasets.facts(&found.datasets, found.erased > 0) {
        report.tally.take(&Fact::Dataset(facts));
    }
    for (topic, n) in &found.records {
        report.counts.insert(format!("records.{topic}"), *n);
    }
    let phase = report.phases.entry(1).or_default();
    for event in EVENTS {
        for (release, old) in (1..).zip(event.released) {
            let read = evolution::can_follow(event.schema_json(), old);
            phase.check(read.is_ok(), || {
                format!("{} v{release} is not read: {}", event.name, read.err().unwrap_or_default())
            });
        }
    }
    phase.say(format!("{} records are erased and cannot be read", found.erased));
    let phase = report.phases.entry(2).or_default();
    notes.into_iter().for_each(|note| phase.say(note));
    phase.say(format!("{} generations were done again", scope.again.len()));
    if found.unlooked > 0 {
        phase.warned = true;
        phase.say(format!("{} causes that stand with no run were not looked up", found.unlooked));
    }
    let phase = report.phases.entry(3).or_default();
    let sum = |of: fn(&stillhouse_processors::contracts::Slice) -> i64| found.slices.values().map(of).sum::<i64>();
    phase.say(format!("{} scored, {} failed, {} skipped", sum(|s| s.scored()), sum(|s| s.failed), sum(|s| s.skipped)));
    let phase = report.phases.entry(4).or_default();
    phase.say(format!("{} datasets with {} rows", datasets.len(), datasets.row_count()));
    phase.say(format!("{} rows say what another of their dataset says", datasets.repeated));
    phase.say(format!("{} prompts are in two splits", datasets.shared_prompts));
    phase.warned |= datasets.shared_prompts > 0;
    if datasets.elsewhere > 0 {
        phase.say(format!("{} datasets that the journal knows are not here", datasets.elsewhere));
    }
    let phase = report.phases.entry(7).or_default();
    phase.check(found.outside_calls == 0, || format!("{} calls left the journal", found.outside_calls));
    let verdicts: Vec<String> = found.replays.iter().map(|(verdict, n)| format!("{n} {verdict}")).collect();
    phase.say(format!(
        "recorded answers of every run: {}",
        if verdicts.is_empty() { "none".into() } else { verdicts.join(", ") }
    ));
    for (verdict, n) in &found.replays {
        report.counts.insert(format!("replays.{verdict}"), *n);
    }
    report.counts.insert("datasets".to_owned(), signed(datasets.len() as u64));
    report.counts.insert("dataset_rows".to_owned(), signed(datasets.row_count()));
    report.slices = found.slices;
    Ok(found.picks)
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
