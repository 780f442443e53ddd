//! `stillhouse roster generate|check|load|show`: the workers that there are.

use crate::Global;
use crate::failure::{Failure, Outcome, Status};
use crate::output::{Output, safe};
use crate::rosters::{self, Told};
use serde_json::{Value, json};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Instant;
use stillhouse_roster::Loaded;
use stillhouse_schemas::roster::{Roster as _, Rosters as _, Worker};

/// The workers that there are.
#[derive(Debug, clap::Subcommand)]
pub enum Args {
    /// Write a synthetic roster: nobody in it exists
    Generate(GenerateArgs),
    /// Read a roster file and say what is in it, and what is wrong with it
    Check(FileArgs),
    /// Make the roster what a file says, by appending what differs
    Load(LoadArgs),
    /// Show the roster in force, or one of its workers
    Show(ShowArgs),
}

/// Write a synthetic roster.
#[derive(Debug, clap::Args)]
pub struct GenerateArgs {
    /// How many workers
    #[arg(long, value_name = "N", default_value_t = 500_000, value_parser = clap::value_parser!(u32).range(1..=5_000_000))]
    workers: u32,
    /// The same seed gives the same bytes
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// The Parquet file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Read a roster file.
#[derive(Debug, clap::Args)]
pub struct FileArgs {
    /// A Parquet file
    file: PathBuf,
}

/// Make the roster what a file says.
#[derive(Debug, clap::Args)]
pub struct LoadArgs {
    /// A Parquet file
    file: PathBuf,
    /// Append all workers, not what differs: for a topic that no longer has its beginning
    #[arg(long)]
    whole: bool,
}

/// Show the roster in force.
#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// A worker's id, or a name
    worker: Option<String>,
    /// The roster of this version
    #[arg(long, value_name = "VERSION")]
    at: Option<String>,
}

/// Runs the command.
pub async fn run(global: &Global, args: &Args) -> Outcome {
    match args {
        Args::Generate(args) => generate(&global.output(), args),
        Args::Check(args) => check(&global.output(), &args.file).await,
        Args::Load(args) => load(global, args).await,
        Args::Show(args) => show(global, args).await,
    }
}

fn generate(out: &Output, args: &GenerateArgs) -> Outcome {
    let failed =
        |e: &dyn std::fmt::Display| Failure::new(Status::Failed, format!("cannot write {}: {e}", args.out.display()));
    // Whole or not at all: a reload may be looking.
    let mut partial = args.out.clone().into_os_string();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let file = File::create(&partial).map_err(|e| failed(&e))?;
    let workers = usize::try_from(args.workers).unwrap_or_default();
    let written = stillhouse_roster::generate(workers, args.seed, &file);
    let written = written.map_err(|e| failed(&e)).and_then(|written| {
        file.sync_all().and_then(|()| std::fs::rename(&partial, &args.out)).map_err(|e| failed(&e))?;
        Ok(written)
    });
    let written = written.inspect_err(|_| {
        let _ = std::fs::remove_file(&partial);
    })?;
    if out.is_json() {
        return out.json(&json!({
            "file": args.out.display().to_string(), "workers": written.workers, "bytes": written.bytes, "seed": args.seed,
        }));
    }
    let (workers, megabytes) = (written.workers, written.bytes as f64 / 1e6);
    out.line(format_args!("{}: {workers} synthetic workers, {megabytes:.1} MB", args.out.display()))
}

async fn check(out: &Output, file: &Path) -> Outcome {
    let start = Instant::now();
    let loaded = rosters::read_file(file).await?;
    let took = start.elapsed();
    let (statuses, gaps) = (loaded.statuses(), loaded.gaps());
    if out.is_json() {
        let counts = |counts: &[(&'static str, usize)]| -> Value { counts.iter().map(|(n, c)| (*n, *c)).collect() };
        return out.json(&json!({
            "file": file.display().to_string(),
            "version": loaded.table.version(),
            "workers": loaded.len(),
            "status": counts(&statuses),
            "gaps": counts(&gaps),
            "shared_names": loaded.shared_names(),
            "missing_columns": loaded.missing.iter().map(|(name, _)| name).collect::<Vec<_>>(),
            "ignored_columns": loaded.ignored,
            "read_ms": took.as_millis() as u64,
        }));
    }
    out.line(format_args!(
        "{}: {} workers, version {}, read in {:.2} s",
        file.display(),
        loaded.len(),
        loaded.table.version(),
        took.as_secs_f64()
    ))?;
    for (status, count) in statuses {
        out.line(format_args!("  {count:>9} {}", if status.is_empty() { "(no status)" } else { status }))?;
    }
    for (gap, count) in gaps {
        out.line(format_args!("  {count:>9} {gap}"))?;
    }
    out.line(format_args!("  {:>9} names that several workers have", loaded.shared_names()))?;
    let Loaded { missing, ignored, .. } = loaded;
    remarks(out, &missing, &ignored);
    Ok(())
}

fn remarks(out: &Output, missing: &[(&'static str, Option<String>)], ignored: &[String]) {
    for (name, near) in missing {
        let near = near.as_deref().map(|near| format!("; is it `{}`?", safe(near))).unwrap_or_default();
        out.note(format_args!("no column `{name}`: the roster does not say it{near}"));
    }
    if !ignored.is_empty() {
        out.note(format_args!("passed over: {}", safe(&ignored.join(", "))));
    }
}

async fn load(global: &Global, args: &LoadArgs) -> Outcome {
    let context = global.open_for_appends().await?;
    let (told, seen) = rosters::load_file(&context, &args.file, args.whole).await?;
    let Told { version, before, workers, added, changed, removed, events } = &told;
    if context.out.is_json() {
        return context.out.json(&json!({
            "version": version, "before": before, "workers": workers, "added": added, "changed": changed,
            "removed": removed, "events": events,
        }));
    }
    remarks(&context.out, &seen.missing, &seen.ignored);
    if *events == 0 {
        return context.out.line(format_args!("nothing has changed: {workers} workers, version {version}"));
    }
    context.out.line(format_args!(
        "{workers} workers, version {version}: {added} added, {changed} changed, {removed} removed, {events} events"
    ))
}

async fn show(global: &Global, args: &ShowArgs) -> Outcome {
    let context = global.open_to_read().await?;
    let rosters = context.rosters();
    rosters.catch_up().await?;
    let roster = match &args.at {
        Some(version) => rosters.at(version).ok_or_else(|| {
            Failure::new(Status::NotFound, format!("the topic tells no roster of version `{}`", safe(version)))
        })?,
        None => rosters.newest().ok_or_else(|| {
            Failure::new(Status::NotFound, "no roster was loaded").hint("stillhouse roster load FILE")
        })?,
    };
    let Some(sought) = &args.worker else {
        if context.out.is_json() {
            return context.out.json(&json!({"version": roster.version(), "workers": roster.len()}));
        }
        return context.out.line(format_args!("{} workers, version {}", roster.len(), roster.version()));
    };
    let found = roster.worker(sought).map_or_else(|| roster.named(sought, 20), |worker| vec![worker]);
    if found.is_empty() {
        return Err(Failure::new(
            Status::NotFound,
            format!("no worker has the id or the name `{}` in version {}", safe(sought), roster.version()),
        ));
    }
    if context.out.is_json() {
        return context.out.rows(&found.iter().map(as_json).collect::<Vec<_>>());
    }
    let day = |day: Option<i32>| day.map(shown_day).unwrap_or_default();
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|w| {
            let pay = w.pay.map(|(from, to)| format!("{:.2}-{:.2}", f64::from(from) / 100.0, f64::from(to) / 100.0));
            let free = format!("{}..{}", day(w.available_from), day(w.available_until));
            let place = format!("{}, {}", w.city, w.state);
            let held = w.certifications.join("; ");
            [w.id, w.name, w.role, &held, &place, &free, &pay.unwrap_or_default(), w.phone, w.email, w.status]
                .map(str::to_owned)
                .to_vec()
        })
        .collect();
    let header = ["id", "name", "role", "certifications", "place", "available", "pay", "phone", "email", "status"];
    context.out.table(&header, &rows)
}

fn shown_day(day: i32) -> String {
    let epoch = jiff::civil::Date::constant(1970, 1, 1);
    epoch.checked_add(jiff::Span::new().days(day)).map_or_else(|_| day.to_string(), |date| date.to_string())
}

fn as_json(worker: &Worker<'_>) -> Value {
    serde_json::to_value(stillhouse_roster::part_of(worker)).unwrap_or_default()
}
