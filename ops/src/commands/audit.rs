//! `stillhouse audit`: everything in a cut and its datasets, held against what must be true.
//!
//! Reads only, but for its own report and the event that says what was found. A journal that is damaged gets no event: what
//! is appended to it might be lost with it.

mod baselines;
mod datasets;
mod event;
mod phases;
mod scope;
mod summaries;

use super::progress::bar;
use crate::context::Context;
use crate::failure::{Failure, Outcome, Status};
use crate::{Global, output};
use datasets::Datasets;
use scope::{Extent, cut_text};
use std::path::PathBuf;
use stillhouse_processors::auditor::gather::{Gathered, gather};
use stillhouse_processors::auditor::{Fact, INVARIANTS, NAME, PHASES, Phase, Report, SETTINGS, Verdict, drift};
use stillhouse_processors::{Settings, contracts};
use stillhouse_schemas::ids;
use stillhouse_streams::Damage;

/// Checks everything, and says what was found.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  stillhouse audit --full\n  stillhouse audit baseline\n  \
                  stillhouse audit --full --baseline latest --out report\n\nExit status 6 when the verdict is `fail`."
)]
pub struct Args {
    #[command(subcommand)]
    kind: Option<Kind>,
    /// All phases
    #[arg(long)]
    full: bool,
    #[command(flatten)]
    what: What,
    /// Compare with this baseline too: its id, or `latest`
    #[arg(long, value_name = "ID")]
    baseline: Option<String>,
    /// Where the report goes [default: <data>/audits/<id>]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Datasets to check beside those that exports of this instance wrote
    #[arg(long = "dataset", value_name = "DIR")]
    datasets: Vec<PathBuf>,
    /// Runs that get a summary.json: a number, or `all`
    #[arg(long, default_value = "100", value_name = "N")]
    summaries: String,
}

#[derive(Debug, clap::Args)]
struct What {
    /// Up to where: `now`, or a cut (an audit's, a dataset's manifest.json, or its JSON)
    #[arg(long, default_value = "now", value_name = "CUT")]
    at: String,
}

#[derive(Debug, clap::Subcommand)]
enum Kind {
    /// Count what was scored, failed and skipped by source class, to compare later audits with
    Baseline(What),
    /// Compare the figures now with those of a baseline
    Drift(DriftArgs),
    /// List what must hold
    Invariants,
}

#[derive(Debug, clap::Args)]
struct DriftArgs {
    #[command(flatten)]
    what: What,
    /// The baseline: its id, or `latest`
    #[arg(long, default_value = "latest", value_name = "ID")]
    baseline: String,
}

/// Runs the verb.
pub async fn run(global: &Global, args: Args) -> Outcome {
    match args.kind {
        Some(Kind::Baseline(what)) => figures(global, &what.at, None).await,
        Some(Kind::Drift(args)) => figures(global, &args.what.at, Some(&args.baseline)).await,
        Some(Kind::Invariants) => invariants(&global.output()),
        None if args.full => full(global, &args).await,
        None => Err(Failure::new(Status::Usage, "an audit of what?")
            .hint("`stillhouse audit --full`, `audit baseline`, `audit drift` or `audit invariants`")),
    }
}

fn invariants(out: &output::Output) -> Outcome {
    if out.is_json() {
        let row = |i: &stillhouse_processors::auditor::Invariant| serde_json::json!({"id": i.id, "statement": i.statement, "phase": i.phase});
        return out.rows(&INVARIANTS.iter().map(row).collect::<Vec<_>>());
    }
    let row = |i: &stillhouse_processors::auditor::Invariant| {
        let phase = usize::try_from(i.phase).ok().and_then(|n| PHASES.get(n)).copied().unwrap_or_default();
        vec![i.id.to_owned(), phase.to_owned(), i.statement.to_owned()]
    };
    out.table(&["ID", "PHASE", "WHAT MUST HOLD"], &INVARIANTS.iter().map(row).collect::<Vec<_>>())
}

fn settings(context: &Context) -> Outcome<Settings> {
    let given = context.settings().processors.get(NAME).cloned().unwrap_or_default();
    Settings::new(NAME, SETTINGS, &given).map_err(|e| Failure::new(Status::Config, format!("processors.{NAME}: {e}")))
}

fn begin(kind: &str) -> Report {
    Report { audit_id: ids::live(), kind: kind.to_owned(), at: jiff::Timestamp::now().to_string(), ..Report::default() }
}

/// All phases.
async fn full(global: &Global, args: &Args) -> Outcome {
    let summaries = match args.summaries.as_str() {
        "all" => usize::MAX,
        number => number.parse().map_err(|_| {
            Failure::new(Status::Usage, format!("--summaries {}", number.escape_debug())).hint("a number, or `all`")
        })?,
    };
    let mut report = begin("full");
    report.phases = (0..).zip(PHASES).map(|(number, _)| (number, Phase::default())).collect();
    let loaded = global.load(&[])?;
    let data = crate::context::data_dir(&loaded.settings);
    let context = match Context::open(loaded, global.output()).await {
        Ok(context) => context,
        Err(failure) if failure.status == Status::Invalid => {
            // It refuses to open: that is a finding, and the only one there can be.
            let damage = Damage { place: "the journal".to_owned(), what: failure.message.clone() };
            report.tally.take(&Fact::Chain(Some(&damage)));
            phases::stop(&mut report);
            let out = args.out.clone().unwrap_or_else(|| data.join("audits").join(&report.audit_id));
            let (text, _) = event::write(&report, &out)?;
            return show(&global.output(), &report, Some(&out), &text);
        }
        Err(failure) => return Err(failure),
    };
    let settings = settings(&context)?;
    let baseline = match &args.baseline {
        Some(id) => Some(baselines::find(&context, id).await?),
        None => None,
    };
    let extent = Extent::take(&context, &args.at()).await?;
    report.cut = cut_text(&extent.cut)?;
    let whole = phases::preflight(&context, &extent, &mut report).await?;
    let out = args.out.clone().unwrap_or_else(|| data.join("audits").join(&report.audit_id));
    if whole {
        let mut datasets = Datasets::find(&context, &args.datasets)?;
        datasets.hold_against(&context, &extent, &mut report.tally).await?;
        let (mut scope, notes) = scope::everything(&context, &extent, &datasets)?;
        scope.summaries = summaries;
        let progress = bar(&context.out, extent.records(), "records");
        progress.set_message("audit");
        let found =
            gather(context.journal.as_ref(), &context.codec, &scope, &mut datasets, &mut |n| progress.inc(n)).await;
        progress.finish_and_clear();
        let found = found.map_err(stopped)?;
        let picks = phases::fill(&mut report, found, &mut datasets, &scope, notes)?;
        summaries::write(&context, &mut report, picks, &out).await?;
        if let Some((id, before)) = &baseline {
            report.drift = Some(drift::compare(id, &contracts::slices(before), &report.slices, &settings));
        }
    } else {
        phases::stop(&mut report);
    }
    let (text, sha256) = event::write(&report, &out)?;
    if whole {
        event::say(&context, &report, &settings, sha256).await?;
    } else {
        context.out.note("the journal is damaged: this audit is not recorded in it");
    }
    show(&context.out, &report, Some(&out), &text)
}

/// Figures by source class: a baseline, or beside one.
async fn figures(global: &Global, at: &str, baseline: Option<&str>) -> Outcome {
    let context = global.open().await?;
    let settings = settings(&context)?;
    let mut report = begin(if baseline.is_some() { "drift" } else { "baseline" });
    let before = match baseline {
        Some(id) => Some(baselines::find(&context, id).await?),
        None => None,
    };
    let extent = Extent::take(&context, at).await?;
    report.cut = cut_text(&extent.cut)?;
    let scope = scope::scores(&extent)?;
    let found = gather(context.journal.as_ref(), &context.codec, &scope, &mut NoRows, &mut |_| {}).await;
    let found: Gathered = found.map_err(stopped)?;
    report.phases.insert(3, Phase::default());
    (report.tally, report.slices) = (found.tally, found.slices);
    if let Some((id, before)) = &before {
        report.drift = Some(drift::compare(id, &contracts::slices(before), &report.slices, &settings));
    }
    if report.slices.is_empty() {
        return Err(Failure::new(Status::NotFound, "there is no evidence in this cut: nothing was counted")
            .hint("`stillhouse import` brings runs in, `stillhouse up --until-idle` has them scored"));
    }
    let text = event::json(&report)?;
    let said = event::say(&context, &report, &settings, event::sha256(&text)).await?;
    if baseline.is_none() {
        let file = baselines::append(&context, &said).await?;
        context.out.note(format_args!("baseline {} in {}", report.audit_id, file.display()));
    }
    show(&context.out, &report, None, &text)
}

struct NoRows;

impl stillhouse_processors::auditor::gather::Rows for NoRows {
    fn each(
        &mut self,
        _take: &mut dyn FnMut(&stillhouse_processors::auditor::rows::RowKey),
    ) -> Result<(), stillhouse_processors::exporter::BoxError> {
        Ok(())
    }
}

fn stopped(error: stillhouse_processors::auditor::gather::GatherError) -> Failure {
    use stillhouse_processors::auditor::gather::GatherError;
    match error {
        GatherError::Journal(error) => error.into(),
        GatherError::Rows(error) => Failure::new(Status::Failed, error.to_string()),
    }
}

fn show(out: &output::Output, report: &Report, dir: Option<&std::path::Path>, json: &[u8]) -> Outcome {
    if out.is_json() {
        let value: serde_json::Value = serde_json::from_slice(json).map_err(anyhow::Error::from)?;
        out.json(&value)?;
    } else {
        for line in report.markdown().lines() {
            out.text(line)?;
        }
        if let Some(dir) = dir {
            out.note(format_args!("report.md and report.json are in {}", dir.display()));
        }
    }
    if report.verdict() == Verdict::Fail { Err(Failure::silent(Status::Invalid)) } else { Ok(()) }
}

impl Args {
    fn at(&self) -> String {
        self.what.at.clone()
    }
}
