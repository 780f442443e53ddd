//! `stillhouse recall` and `stillhouse reinstate`: a run known to be bad, and every dataset that holds it.

use super::up::stop_on_signals;
use crate::Global;
use crate::context::Context;
use crate::decisions::operator;
use crate::failure::{Failure, Outcome, Status};
use crate::recall::{self, Done, Finding, Request};
use std::path::PathBuf;

/// Takes runs out: every dataset that holds one is derived again without it, and marked; no later export has it.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The old versions stay as they are, with a RECALLED.json that says why and what takes their place.\n\
                        Examples:\n  stillhouse recall run-7 --reason \"answered for another customer\" --dry-run\n  \
                        stillhouse recall run-7 run-9 --reason \"answered for another customer\""
)]
pub struct RecallArgs {
    /// Runs, by their ids
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<String>,
    /// Why: it is in the journal and in the marks
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Say what holds them, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Only from datasets of this kind
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    #[command(flatten)]
    more: More,
}

/// Takes a recall back: later exports have the runs again, and the marks are taken off.
#[derive(Debug, clap::Args)]
pub struct ReinstateArgs {
    /// Runs, by their ids
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<String>,
    /// Why
    #[arg(long, default_value = "", value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    more: More,
}

#[derive(Debug, clap::Args)]
struct More {
    /// Who decides [default: the user of the system]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Where new versions go whose old directory is not here [default: datasets in the data directory]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Runs `recall`.
pub async fn recall(global: &Global, args: RecallArgs) -> Outcome {
    let request = Request {
        runs: args.runs.into_iter().collect(),
        reason: args.reason,
        by: operator(args.more.by.as_deref()),
        kind: args.kind,
        out: args.more.out,
        dry_run: args.dry_run,
    };
    if request.reason.trim().is_empty() {
        return Err(Failure::new(Status::Usage, "a recall needs a reason")
            .hint("--reason TEXT: who finds a marked dataset later has nothing else to go by"));
    }
    let context = global.open_for_work().await?;
    let stop = stop_on_signals();
    let done = tokio::select! {
        done = Box::pin(recall::recall(&context, &request, &stop)) => done?,
        () = stop.cancelled() => return Err(interrupted("recall")),
    };
    show(&context, "recalled", &done, request.dry_run)
}

/// Runs `reinstate`.
pub async fn reinstate(global: &Global, args: ReinstateArgs) -> Outcome {
    let request = Request {
        runs: args.runs.into_iter().collect(),
        reason: args.reason,
        by: operator(args.more.by.as_deref()),
        out: args.more.out,
        ..Request::default()
    };
    let context = global.open_for_work().await?;
    let stop = stop_on_signals();
    let done = tokio::select! {
        done = Box::pin(recall::reinstate(&context, &request, &stop)) => done?,
        () = stop.cancelled() => return Err(interrupted("reinstate")),
    };
    show(&context, "reinstated", &done, false)
}

fn interrupted(verb: &str) -> Failure {
    Failure::new(Status::Interrupted, "interrupted; what was decided stands, not every dataset may be derived again")
        .hint(format!("the same `stillhouse {verb}` goes on where it stopped"))
}

fn show(context: &Context, what: &str, done: &Done, dry_run: bool) -> Outcome {
    let out = &context.out;
    if out.is_json() {
        out.json(done)?;
    } else {
        let decided = if dry_run { format!("would be {what}") } else { what.to_owned() };
        for run in &done.decided {
            out.text(&format!("{decided:<12} {run}"))?;
        }
        for run in &done.decided_before {
            out.text(&format!("{what} before  {run}"))?;
        }
        for finding in &done.datasets {
            dataset(context, finding)?;
        }
        if done.datasets.is_empty() {
            out.line("no dataset holds them")?;
        }
    }
    let failed = done.datasets.iter().filter(|finding| finding.error.is_some()).count();
    if failed > 0 && !dry_run {
        return Err(Failure::new(
            Status::Failed,
            format!("{failed} dataset(s) could not be looked into or derived again; the decision stands"),
        )
        .hint("the same command goes on where it stopped, once what is in the way is gone"));
    }
    Ok(())
}

fn dataset(context: &Context, finding: &Finding) -> Outcome {
    let out = &context.out;
    out.text(&format!("dataset  {}  {} rows", finding.dataset, finding.rows))?;
    for place in &finding.places {
        out.text(&format!("  at     {}", place.display()))?;
    }
    for held in &finding.holds {
        let part = if held.role == "row" { String::new() } else { format!(" as {} of a pair", held.role) };
        out.text(&format!("  row    {}  {}  line {}  run {}{part}", held.row, held.file, held.line, held.run_id))?;
    }
    if let Some(error) = &finding.error {
        out.text(&format!("  error  {error}"))?;
    }
    if let Some(after) = &finding.superseded_by {
        let left = finding.rows_left.map(|rows| format!("  {rows} rows")).unwrap_or_default();
        out.text(&format!("  now    {after}{left}"))?;
        for place in &finding.written {
            out.text(&format!("         {}", place.display()))?;
        }
    }
    Ok(())
}
