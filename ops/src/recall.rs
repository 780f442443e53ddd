//! Recalls: which rows of which datasets hold a run, and the same datasets without it.
//!
//! ```text
//!   decisions ◀─ recalled          1. said, so that no export from now on has the run
//!   datasets ─▶ rows that hold it  2. looked for in the files, or in the same cut derived again where they are gone
//!   exports ◀─ exported            3. each derived again: the sources up to the same cut, the decisions as of now
//!   RECALLED.json                  4. the old version marked
//! ```
//!
//! Every step can be repeated: a recall that was cut short goes on with the next call. A version is derived again if it
//! holds a run whose recall is not among the causes of what took its place.

use crate::commands::export::{self, Report, Superseded};
use crate::context::Context;
use crate::datasets::{self, Standing, Version};
use crate::decisions;
use crate::events::Records;
use crate::failure::{Failure, Outcome, Status};
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use stillhouse_files::dataset::{self, Dataset, Held, Recalled, RecalledRun};
use stillhouse_processors::Decisions;
use stillhouse_processors::decisions::{DECISIONS, RECALLED, REINSTATED, Ruling};
use stillhouse_schemas::{Decision, Envelope, time};
use stillhouse_streams::{Position, Progress};
use tokio_util::sync::CancellationToken;

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The runs.
    pub runs: BTreeSet<String>,
    /// Why.
    pub reason: String,
    /// Who decides.
    pub by: String,
    /// Only this kind of dataset.
    pub kind: Option<String>,
    /// Where new versions go whose old directory is not here.
    pub out: Option<PathBuf>,
    /// Look, and change nothing.
    pub dry_run: bool,
}

/// What a recall, or its opposite, did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Done {
    /// Runs that it was decided about now.
    pub decided: Vec<String>,
    /// Runs that it had been decided about before.
    pub decided_before: Vec<String>,
    /// Datasets that hold one of them.
    pub datasets: Vec<Finding>,
}

/// A dataset that holds a run.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// Its name.
    pub dataset: String,
    /// Its kind.
    pub kind: String,
    /// Rows in all.
    pub rows: i64,
    /// Its directories that can be seen from here.
    pub places: Vec<PathBuf>,
    /// The rows, or sides of pairs, that hold it.
    pub holds: Vec<Held>,
    /// What takes its place.
    pub superseded_by: Option<String>,
    /// Rows of that.
    pub rows_left: Option<i64>,
    /// Its directories, if it was written now.
    pub written: Vec<PathBuf>,
    /// Why it could not be derived again.
    pub error: Option<String>,
}

/// Recalls runs.
pub async fn recall(context: &Context, request: &Request, stop: &CancellationToken) -> Outcome<Done> {
    check_known(context, &request.runs).await?;
    let known = decisions::load(context, None).await?;
    let stands = |run: &String| match &request.kind {
        Some(kind) => known.recalled(run, kind).is_some(),
        None => known.about_all(run).is_some_and(|ruling| ruling.decision.action == RECALLED),
    };
    decide(context, request, (RECALLED, stands), stop).await
}

/// Takes recalls back.
pub async fn reinstate(context: &Context, request: &Request, stop: &CancellationToken) -> Outcome<Done> {
    check_known(context, &request.runs).await?;
    let known = decisions::load(context, None).await?;
    let stands = |run: &String| !known.recalls().any(|(recalled, _)| recalled == run);
    decide(context, request, (REINSTATED, stands), stop).await
}

async fn decide(
    context: &Context,
    request: &Request,
    (action, stands): (&str, impl Fn(&String) -> bool),
    stop: &CancellationToken,
) -> Outcome<Done> {
    let (decided_before, decided): (Vec<String>, Vec<String>) = request.runs.iter().cloned().partition(stands);
    if !request.dry_run && !decided.is_empty() {
        let say = |run: &String| Decision {
            action: action.into(),
            run_id: Some(run.clone()),
            kind: request.kind.clone(),
            reason: request.reason.clone(),
            by: request.by.clone(),
            ..Decision::default()
        };
        decisions::say(context, decided.iter().map(say).collect()).await?;
    }
    let decisions = decisions::load(context, None).await?;
    let mut done = Done { decided, decided_before, datasets: Vec::new() };
    for version in datasets::load(context).await? {
        if version.standing(&decisions) == Standing::Erased {
            continue;
        }
        if request.kind.as_ref().is_some_and(|kind| *kind != version.exported.kind) {
            continue;
        }
        done.datasets.extend(settle(context, request, &version, &decisions, stop).await?);
    }
    Ok(done)
}

/// Makes what is true of one version: marked while it holds what is recalled, derived again where that was not done.
async fn settle(
    context: &Context,
    request: &Request,
    version: &Version,
    decisions: &Decisions,
    stop: &CancellationToken,
) -> Outcome<Option<Finding>> {
    let kind = &version.exported.kind;
    let mut wanted = request.runs.clone();
    wanted.extend(decisions.recalls().map(|(run, _)| run.to_owned()));
    let (held, mut error) = match look(context, version, &wanted, stop).await {
        Ok(held) => (held, None),
        Err(failure) if failure.status == Status::Interrupted => return Err(failure),
        Err(failure) => (Vec::new(), Some(failure.message)),
    };
    let about: Vec<Held> = held.iter().filter(|held| request.runs.contains(&held.run_id)).cloned().collect();
    if about.is_empty() && error.is_none() {
        return Ok(None);
    }
    let mut finding = Finding {
        dataset: version.exported.dataset.clone(),
        kind: kind.clone(),
        rows: version.exported.rows,
        places: version.places.clone(),
        holds: about,
        superseded_by: version.superseded_by(decisions).map(str::to_owned),
        rows_left: version.successors.last().map(|successor| successor.rows),
        written: Vec::new(),
        error: None,
    };
    if request.dry_run {
        return Ok(Some(Finding { error, ..finding }));
    }
    let runs: BTreeSet<&str> = held.iter().map(|held| held.run_id.as_str()).collect();
    let rulings: Vec<&Ruling> = runs.iter().filter_map(|run| decisions.recalled(run, kind)).collect();
    let answered = |ruling: &&Ruling| version.successors.iter().any(|s| s.causes.iter().any(|c| c == ruling.id()));
    // A recall was taken back, another stands: what took its place lacks a run that is good again.
    let reinstated = request.runs.iter().filter_map(|run| decisions.about_run(run, kind));
    let reinstated: Vec<&Ruling> = reinstated.filter(|ruling| ruling.decision.action == REINSTATED).collect();
    let stale = !rulings.is_empty() && reinstated.iter().any(|ruling| !answered(ruling));
    if stale || !rulings.iter().all(answered) {
        let mut causes = vec![(version.envelope.clone(), version.position.clone())];
        let all = rulings.iter().chain(reinstated.iter().filter(|_| stale));
        causes.extend(all.map(|ruling| (ruling.envelope.clone(), ruling.position.clone())));
        match derive(context, version, causes, request.out.as_deref(), stop).await {
            Ok(reports) => {
                for report in reports {
                    finding.superseded_by = Some(report.dataset);
                    finding.rows_left = i64::try_from(report.rows).ok();
                    finding.written.push(report.path);
                }
            }
            Err(failure) if failure.status == Status::Interrupted => return Err(failure),
            Err(failure) => error = Some(failure.message),
        }
    }
    if rulings.is_empty() {
        finding.superseded_by = None;
        finding.rows_left = None;
    }
    finding.error = error;
    for place in &version.places {
        marked(place, &version.exported.dataset, &rulings, held.clone(), finding.superseded_by.clone())?;
    }
    Ok(Some(finding))
}

/// Marks a dataset for these recalls, or takes its mark off if there are none.
fn marked(place: &Path, name: &str, rulings: &[&Ruling], rows: Vec<Held>, superseded_by: Option<String>) -> Outcome {
    if rulings.is_empty() {
        dataset::unmark(place).map_err(export::refused)?;
        return Ok(());
    }
    let run = |ruling: &&Ruling| RecalledRun {
        run_id: ruling.decision.run_id.clone().unwrap_or_default(),
        reason: ruling.decision.reason.clone(),
        by: ruling.decision.by.clone(),
        recalled_at: time::format(ruling.envelope.occurred_at),
        decision_id: ruling.id().to_owned(),
    };
    let runs: Vec<RecalledRun> = rulings.iter().map(run).collect();
    let rows = rows.into_iter().filter(|held| runs.iter().any(|run| run.run_id == held.run_id)).collect();
    let mark = Recalled { dataset: name.to_owned(), superseded_by, runs, rows };
    dataset::mark(place, &mark).map_err(export::refused)
}

/// Marks a dataset that was just written (or found) if it holds what is recalled: an earlier cut has its bytes for ever.
pub async fn mark_again(context: &Context, place: &Path) -> Outcome {
    let decisions = decisions::load(context, None).await?;
    let wanted: BTreeSet<String> = decisions.recalls().map(|(run, _)| run.to_owned()).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let dataset = Dataset::open(place).map_err(export::refused)?;
    let held = dataset.holding(&wanted).map_err(export::refused)?;
    let runs: BTreeSet<&str> = held.iter().map(|held| held.run_id.as_str()).collect();
    let kind = &dataset.manifest().kind;
    let rulings: Vec<&Ruling> = runs.iter().filter_map(|run| decisions.recalled(run, kind)).collect();
    if rulings.is_empty() {
        return Ok(());
    }
    let name = place.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let versions = datasets::load(context).await?;
    let version = versions.iter().find(|version| version.exported.dataset == name);
    let superseded_by = version.and_then(|version| version.superseded_by(&decisions)).map(str::to_owned);
    context.out.note(format_args!(
        "note:  this cut holds {} run(s) recalled since: {} says which",
        rulings.len(),
        place.join(dataset::RECALLED).display()
    ));
    marked(place, &name, &rulings, held.clone(), superseded_by)
}

/// Where a version holds these runs: by its files, else by deriving the same cut again.
pub async fn look(
    context: &Context,
    version: &Version,
    runs: &BTreeSet<String>,
    stop: &CancellationToken,
) -> Outcome<Vec<Held>> {
    for place in &version.places {
        if let Ok(dataset) = Dataset::open(place) {
            if dataset.manifest().erased.is_some() {
                return Ok(Vec::new());
            }
            if dataset.is_readable() {
                return dataset.holding(runs).map_err(export::refused);
            }
        }
    }
    let data = crate::context::make_dir(&context.data())?;
    // One at a time, so that what a kill left can be told from what is in use.
    let alone = std::fs::File::create(data.join("deriving.lock"))?;
    let _alone =
        tokio::task::spawn_blocking(move || alone.lock().map(|()| alone)).await.map_err(std::io::Error::from)??;
    let folder = data.join("derived-again");
    remove(&folder)?;
    let order = export::again(&version.exported, None, &export::cut_of(&version.exported)?, &folder)?;
    let quiet = context.quiet();
    let derived = match Box::pin(export::only_files(&quiet, &order, stop)).await {
        Ok(path) => Dataset::open(&path).and_then(|d| d.holding(runs)).map_err(export::refused),
        Err(failure) => Err(failure),
    };
    remove(&folder)?;
    derived
}

fn remove(folder: &Path) -> Outcome {
    match std::fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e.into()),
        _ => Ok(()),
    }
}

/// Derives a version again: its sources up to the same cut, the decisions as of now, beside every directory of the old
/// one.
pub async fn derive(
    context: &Context,
    version: &Version,
    causes: Vec<(Envelope, Position)>,
    out: Option<&Path>,
    stop: &CancellationToken,
) -> Outcome<Vec<Report>> {
    let decisions = context.names.topic(DECISIONS);
    let cut: Progress = export::cut_of(&version.exported)?
        .iter()
        .filter(|(topic, ..)| ***topic != *decisions)
        .map(|(topic, partition, end)| (topic.clone(), partition, end))
        .collect();
    let mut folders: BTreeSet<PathBuf> =
        version.places.iter().filter_map(|place| place.parent()).map(Path::to_path_buf).collect();
    if folders.is_empty() {
        folders.insert(out.map_or_else(|| context.data().join("datasets"), Path::to_path_buf));
    }
    let mut reports = Vec::new();
    for folder in folders {
        let place = version.places.first().map(PathBuf::as_path);
        let mut order = export::again(&version.exported, place, &cut, &folder)?;
        order.supersedes = Some(Superseded { dataset: version.exported.dataset.clone(), causes: causes.clone() });
        let quiet = context.quiet();
        reports.push(Box::pin(export::write(&quiet, &order, stop)).await?);
    }
    Ok(reports)
}

/// Refuses runs that the journal has never seen.
async fn check_known(context: &Context, runs: &BTreeSet<String>) -> Outcome {
    let generations = crate::generations::load(context, None).await?;
    let topics: Vec<String> = stillhouse_schemas::TOPICS
        .iter()
        .filter(|topic| topic.events.contains(&"run"))
        .flat_map(|topic| generations.physical(topic.name))
        .collect();
    let mut unknown: BTreeSet<&[u8]> = runs.iter().map(String::as_bytes).collect();
    let mut records = Records::of(context, &topics).await?;
    while !unknown.is_empty()
        && let Some(page) = records.page().await?
    {
        for received in &page {
            unknown.remove(received.record.key.as_deref().unwrap_or_default());
        }
    }
    if unknown.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = unknown.into_iter().map(|run| format!("`{}`", String::from_utf8_lossy(run))).collect();
    Err(Failure::new(Status::NotFound, format!("no such run: {}; nothing was decided", names.join(", ")))
        .hint("run ids are keys of events: `stillhouse tail runs`, or a dataset row's `run_id`"))
}
