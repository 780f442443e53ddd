//! `stillhouse export`: datasets out of the journal.
//!
//! A cut of the source topics is taken, the live generations (as of that cut) are run until each has passed it, and the
//! exporter reads what they made. The dataset is whole or not there; exporting a cut again finds it there already. What an
//! export that was killed had begun is swept by the next one, which begins anew: what costs most, the processors' work, is
//! in the journal and not repeated, and neither is what was said to quarantine.

mod again;
mod args;
mod formats;
mod outlet;
mod plan;

pub use again::{again, cut_of};
pub use args::{Args, Order, Request, Superseded};

use super::cut;
use super::import::appender::{Appender, Settled};
use super::progress::{CatchUpBar, bar};
use super::up::stop_on_signals;
use crate::Global;
use crate::context::Context;
use crate::events::Records;
use crate::failure::{Failure, Outcome, Status};
use crate::keystore;
use crate::node::{catch_up, upstream};
use outlet::{ExportRow, Shelves, Spout};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use stillhouse_files::dataset::{self, About, Builder, DatasetError, File, Layout, Limits, Written};
use stillhouse_processors::exporter::{self, ExportError, Placed, Plan, Tally};
use stillhouse_processors::wire;
use stillhouse_schemas::{Envelope, Event, ExportedFile, Payload};
use stillhouse_streams::{Position, Progress};
use tokio_util::sync::CancellationToken;

/// What an export did.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Name of the dataset.
    pub dataset: String,
    /// Its directory.
    pub path: PathBuf,
    /// It was there already, byte for byte.
    pub already_there: bool,
    /// Runs in the cut that were asked for and became evidence: used and withheld together.
    pub evidence: u64,
    /// Runs that were not asked for.
    pub filtered: u64,
    /// Runs that are in rows.
    pub used: u64,
    /// Rows.
    pub rows: u64,
    /// Rows by split.
    pub splits: BTreeMap<String, u64>,
    /// Runs left out, by reason.
    pub withheld: BTreeMap<String, u64>,
    /// Rows left out that are no runs (chunks, pairs), by reason.
    pub dropped: BTreeMap<String, u64>,
    /// What was redacted, by kind.
    pub redacted: BTreeMap<String, u64>,
    /// Quarantine events that were not there before.
    pub newly_quarantined: u64,
    /// Of these, those that say that something entered that had been left out.
    pub released: u64,
    /// Why exporting this cut cannot give the bytes that it once gave, if it cannot.
    pub irreproducible: Option<String>,
    /// The files.
    pub files: Vec<File>,
    /// SHA-256 of the manifest.
    pub manifest_sha256: String,
    /// The event in the `exports` topic.
    pub event_id: String,
    /// Up to where.
    pub cut: Progress,
}

/// Runs the verb.
pub async fn run(global: &Global, args: Args) -> Outcome {
    let order = args.order()?;
    let context = global.open_to_read().await?;
    keystore::check(&context).await?;
    let stop = stop_on_signals();
    let report = tokio::select! {
        report = Box::pin(write(&context, &order, &stop)) => report?,
        () = stop.cancelled() => {
            return Err(Failure::new(Status::Interrupted, "interrupted; no dataset was written"));
        }
    };
    if context.out.is_json() {
        return context.out.json(&report);
    }
    let out = &context.out;
    let there = if report.already_there { "  (there already, unchanged)" } else { "" };
    out.text(&format!("dataset   {}{there}", report.path.display()))?;
    // A row of an SFT dataset is a run; rows of others are made of several, or several of one.
    if report.rows == report.used {
        out.line(format_args!("rows      {} of {} runs", report.rows, report.evidence))?;
    } else {
        out.line(format_args!("rows      {}, made of {} of {} runs", report.rows, report.used, report.evidence))?;
    }
    if report.filtered > 0 {
        out.line(format_args!("filtered  {} runs were not asked for", report.filtered))?;
    }
    for (split, rows) in report.splits.iter().filter(|_| report.splits.len() > 1) {
        out.line(format_args!("  {split:<32} {rows}"))?;
    }
    out.line(format_args!("withheld  {}", report.withheld.values().sum::<u64>()))?;
    for (reason, runs) in &report.withheld {
        out.line(format_args!("  {reason:<32} {runs}"))?;
    }
    if report.released > 0 {
        out.line(format_args!(
            "released  {}  (left out before; `stillhouse quarantine --state released`)",
            report.released
        ))?;
    }
    if let Some(why) = &report.irreproducible {
        out.note(format_args!("note:  {why}"));
    }
    for (what, counts) in [("dropped", &report.dropped), ("redacted", &report.redacted)] {
        for (name, n) in counts {
            out.line(format_args!("{what:<9} {name:<32} {n}"))?;
        }
    }
    for file in report.files.iter().filter(|f| f.path.starts_with("data/")) {
        out.line(format_args!(
            "file      {}  {} rows  {} bytes  sha256 {}",
            file.path, file.rows, file.bytes, file.sha256
        ))?;
    }
    Ok(())
}

/// Exports what was ordered; the words go to whoever asked.
pub async fn write(context: &Context, order: &Order, stop: &CancellationToken) -> Outcome<Report> {
    let (plan, tally, written) = files(context, order, stop).await?;
    if !context.read_only {
        note_written(context, &written.path)?;
    }
    let event = published(context, order, &plan, &tally, &written, stop).await?;
    crate::recall::mark_again(context, &written.path).await?;
    let counts = written.manifest.counts;
    Ok(Report {
        dataset: plan.remainder(&tally.erased_since).map_err(anyhow::Error::from)?,
        path: written.path,
        already_there: written.already_there,
        evidence: counts.evidence,
        filtered: counts.filtered,
        used: counts.used,
        rows: counts.rows,
        splits: written.manifest.splits.into_iter().map(|split| (split.name, split.rows)).collect(),
        withheld: counts.withheld,
        dropped: counts.dropped,
        redacted: counts.redacted,
        newly_quarantined: tally.quarantined.saturating_sub(tally.released),
        released: tally.released,
        irreproducible: written.manifest.irreproducible,
        files: written.manifest.files,
        manifest_sha256: written.manifest_sha256,
        event_id: event.envelope.id,
        cut: plan.cut,
    })
}

/// Writes a dataset for looking into, of which nobody is told.
pub async fn only_files(context: &Context, order: &Order, stop: &CancellationToken) -> Outcome<PathBuf> {
    Ok(files(context, order, stop).await?.2.path)
}

async fn files(context: &Context, order: &Order, stop: &CancellationToken) -> Outcome<(Plan, Tally, Written)> {
    let args = &order.request;
    dataset::prepare(&args.out, args.force).map_err(refused)?;
    let sources = plan::sources(context, &args.at).await?;
    let bar = CatchUpBar::new(&context.out);
    let caught = Box::pin(catch_up(context, upstream(exporter::NAME), sources, |stage| bar.show(stage)));
    let caught = match args.timeout {
        None => caught.await?,
        Some(seconds) => tokio::time::timeout(Duration::from_secs(seconds), caught).await.map_err(|_| {
            Failure::new(Status::Failed, format!("the processors have not passed the cut within {seconds} s"))
                .hint("`stillhouse lag` shows who is behind; nothing was written")
        })??,
    };
    bar.finish();
    let plan = plan::plan(context, &caught, order).await?;
    let (mut builder, tally) = fill(context, order, &plan, stop).await?;
    builder.rename(&plan.remainder(&tally.erased_since).map_err(anyhow::Error::from)?);
    if tally.evidence == 0 && !args.allow_empty {
        return Err(Failure::new(Status::NotFound, "there is no evidence in this cut: no dataset was written").hint(
            "`stillhouse import` brings runs in; --tag, --model and --task may ask for none; --allow-empty writes an empty dataset",
        ));
    }
    let written = builder.finish(about(&plan, &tally)?).map_err(refused)?;
    Ok((plan, tally, written))
}

/// Hands all rows of the plan to a builder, and what is withheld to quarantine.
async fn fill(
    context: &Context,
    order: &Order,
    plan: &Plan,
    stop: &CancellationToken,
) -> Outcome<(Builder<ExportRow>, Tally)> {
    let name = plan.dataset().map_err(anyhow::Error::from)?;
    let layout = Layout {
        format: order.format,
        columns: plan.form().columns,
        declared: plan.form().declared,
        splits: plan.splits.names().collect(),
    };
    let Request { out, force, .. } = &order.request;
    let builder = Builder::create(out, &name, layout, Limits::default(), *force).map_err(refused)?;
    let mut shelves = Shelves(builder.sorting());
    let bar = bar(&context.out, 0, "records");
    bar.set_message(exporter::NAME);
    let mut spout = Spout {
        builder,
        appender: appender(context, stop),
        codec: context.codec.clone(),
        read_only: context.read_only,
        quarantine: plan.quarantine.clone(),
        bar: bar.clone(),
        rows: 0,
    };
    let journal = context.journal.as_ref();
    let tally = exporter::export(journal, &context.codec, plan, &mut shelves, &mut spout).await.map_err(stopped)?;
    bar.finish_and_clear();
    Ok((spout.builder, tally))
}

fn about(plan: &Plan, tally: &Tally) -> Outcome<About> {
    let producer = plan.producer();
    let words: Vec<&str> = plan.categories().into_iter().map(|c| c.as_str()).collect();
    let stage = |s: &exporter::Stage| dataset::Stage {
        processor: s.processor.clone(),
        generation: s.generation.clone(),
        version: s.version.clone(),
        config_hash: s.config_hash.clone(),
    };
    let own = |map: &BTreeMap<&'static str, u64>| map.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect();
    let mut filters = BTreeMap::from([("categories".to_owned(), serde_json::json!(words))]);
    filters.extend(plan.filters.lists().into_iter().map(|(name, list)| (name.to_owned(), serde_json::json!(list))));
    Ok(About {
        kind: plan.kind.name.into(),
        shape: plan.shape.name.into(),
        filters,
        exporter: dataset::Maker {
            name: producer.name,
            version: producer.version,
            config_hash: producer.config_hash,
            settings: plan.settings(),
        },
        stages: plan.stages.iter().map(stage).collect(),
        counts: dataset::Counts {
            evidence: tally.evidence,
            filtered: tally.filtered,
            used: tally.used,
            rows: tally.rows,
            withheld: own(&tally.withheld),
            dropped: own(&tally.dropped),
            redacted: own(&tally.redacted),
        },
        irreproducible: (!tally.erased_since.is_empty()).then(|| {
            format!(
                "{} person(s) were erased after this cut: what it gave before cannot be made again, and this is what is \
                 left of it, under another name",
                tally.erased_since.len()
            )
        }),
        cut: dataset::Cut {
            id: plan.digest().map_err(anyhow::Error::from)?,
            positions: plan.cut.iter().map(|(t, p, end)| (t.to_string(), p, end)).collect(),
        },
    })
}

/// Says in the `exports` topic that the dataset is there, unless it has been said.
async fn published(
    context: &Context,
    order: &Order,
    plan: &Plan,
    tally: &Tally,
    written: &Written,
    stop: &CancellationToken,
) -> Outcome<Event> {
    let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let file = |f: &File| ExportedFile {
        path: f.path.clone(),
        bytes: signed(f.bytes),
        rows: signed(f.rows),
        sha256: f.sha256.clone(),
    };
    let placed = Placed {
        location: Some(location(&written.path)?),
        files: written.manifest.files.iter().map(file).collect(),
        manifest_sha256: written.manifest_sha256.clone(),
        fixed_bytes: order.format.fixed_bytes(),
    };
    let mut event = exporter::exported(plan, tally, placed).map_err(stopped)?;
    if let Some(Superseded { dataset, causes }) = &order.supersedes {
        let causes: Vec<(&Envelope, &Position)> = causes.iter().map(|(e, p)| (e, p)).collect();
        event = exporter::superseding(event, dataset, &causes);
    }
    let topic = context.names.topic(exporter::EXPORTS);
    let mut records = Records::of(context, std::slice::from_ref(&topic)).await?;
    let mut found = None;
    while let Some(page) = records.page().await? {
        for said in page.iter().filter(|r| r.record.id() == Some(&event.envelope.id)) {
            if let Ok(Some(said)) = wire::received(&context.codec, said) {
                if order.format.fixed_bytes() {
                    same_data(&said, &event)?;
                }
                found = Some(said);
            }
        }
    }
    if let Some(said) = found {
        return Ok(said);
    }
    if context.read_only {
        return Ok(event);
    }
    let append =
        wire::append(topic, &context.codec, &event).map_err(|e| Failure::new(Status::Failed, e.to_string()))?;
    match appender(context, stop).append(vec![append]).await?.pop() {
        Some(Settled::Stands(_)) => Ok(event),
        Some(Settled::Refused(why)) => Err(Failure::new(Status::Invalid, why)),
        Some(Settled::Unsent) | None => {
            Err(Failure::new(Status::Interrupted, "interrupted: the dataset is there, the journal does not say so yet")
                .hint("export it again: it is found there, and said"))
        }
    }
}

/// The same cut by the same rules gives the same data, on any host; otherwise something is wrong with one of the two.
fn same_data(said: &Event, now: &Event) -> Outcome {
    let data = |event: &Event| match &event.payload {
        Payload::Exported(e) => {
            let files = e.files.iter().filter(|f| f.path.starts_with("data/"));
            files.map(|f| (f.path.clone(), f.sha256.clone())).collect::<Vec<_>>()
        }
        _ => Vec::new(),
    };
    if data(said) == data(now) {
        return Ok(());
    }
    Err(Failure::new(
        Status::Invalid,
        format!("the same cut was exported before with other bytes: event {} says which", said.envelope.id),
    )
    .hint("one of the two journals is damaged, or rules changed without their version: `stillhouse verify`"))
}

fn appender(context: &Context, stop: &CancellationToken) -> Appender {
    let out = context.out.clone();
    Appender::new(Arc::clone(&context.journal), Arc::new(move |text| out.note(text)), stop.clone())
}

fn stopped(error: ExportError) -> Failure {
    match error {
        ExportError::Journal(error) => error.into(),
        ExportError::Outlet(error) => match error.downcast::<DatasetError>() {
            Ok(error) => refused(*error),
            Err(error) => match error.downcast::<stillhouse_streams::Error>() {
                Ok(error) => (*error).into(),
                Err(error) => Failure::new(Status::Failed, error.to_string()),
            },
        },
        ExportError::Decode { ref source, .. } if source.is_for_want_of_a_key() => {
            keystore::failure(&error.to_string())
        }
        ExportError::Decode { .. } => Failure::new(Status::Invalid, error.to_string())
            .hint("`stillhouse verify` tells whether the journal is damaged; nothing was written"),
        ExportError::NoTopic(_) => Failure::new(Status::NotFound, error.to_string())
            .hint("a generation that was live at this cut was dropped since: `stillhouse generations`"),
        ExportError::Row(_) | ExportError::Damaged(_) => Failure::new(Status::Failed, error.to_string()),
    }
}

/// What a dataset on disk said, as the end of a command.
pub fn refused(error: DatasetError) -> Failure {
    let status = match &error {
        DatasetError::Place { .. } => Status::Usage,
        DatasetError::NoDataset { .. } => Status::NotFound,
        DatasetError::Differs { .. } | DatasetError::Damaged { .. } => Status::Invalid,
        DatasetError::Io { .. } => Status::Failed,
    };
    let failure = Failure::new(status, error.to_string());
    if error.is_full() {
        failure.hint("free some space and export again; what was begun has been removed")
    } else {
        failure
    }
}

/// The URI of a directory.
fn location(path: &Path) -> Outcome<String> {
    use std::os::unix::ffi::OsStrExt;
    let path = path.canonicalize()?;
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(byte);
    let encoded = path.as_os_str().as_bytes().iter().map(|byte| match byte {
        byte if plain(byte) => char::from(*byte).to_string(),
        byte => format!("%{byte:02X}"),
    });
    Ok(format!("file://{}", encoded.collect::<String>()))
}

/// Notes where a dataset was written, so that lineage finds it whatever folder it is in.
fn note_written(context: &Context, path: &Path) -> Outcome {
    let path = path.canonicalize()?;
    if written_here(context).contains(&path) {
        return Ok(());
    }
    use std::io::Write;
    let list = crate::context::make_dir(&context.data())?.join(LIST);
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(list)?;
    Ok(writeln!(file, "{}", path.display())?)
}

/// File in the data directory with the path of every dataset that was written by exports of this instance.
const LIST: &str = "datasets.list";

/// Datasets that were written by exports of this instance and are still there.
pub fn written_here(context: &Context) -> Vec<PathBuf> {
    let list = std::fs::read_to_string(context.data().join(LIST)).unwrap_or_default();
    list.lines().map(PathBuf::from).filter(|path| path.join("manifest.json").is_file()).collect()
}

/// The first row of a dataset, for showing.
pub fn first_row(path: &Path) -> Outcome<Option<String>> {
    dataset::Dataset::open(path).and_then(|dataset| dataset.first_line()).map_err(refused)
}
