//! `stillhouse up`: the node — HTTP and processors in one process. `stillhouse work NAME…`: some processors alone.

use crate::context::Context;
use crate::failure::{Failure, Outcome, Status};
use crate::http;
use crate::index::keeper;
use crate::node::{Workers, catch_up, follow_control, seals, selection};
use crate::rosters;
use crate::{Global, commands};
use std::sync::Arc;
use std::time::Duration;
use stillhouse_processors::embedder;
use tokio_util::sync::CancellationToken;

/// How often topics are cleaned of what their retention and compaction let go.
const CLEAN_EVERY: Duration = Duration::from_secs(60);

/// Runs the node: HTTP API and all processors.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Address to listen on [default: 127.0.0.1:7600]; anything but loopback needs tokens in the settings
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Listen only: processors run elsewhere (`stillhouse work`)
    #[arg(long)]
    no_processors: bool,
    /// Do not listen; stop when everything in the journal has passed every processor
    #[arg(long)]
    until_idle: bool,
}

/// Runs some processors as a process of their own.
#[derive(Debug, clap::Args)]
pub struct WorkArgs {
    /// Which ones; two processes with the same share its partitions
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
}

/// Runs the node.
pub async fn run(global: &Global, args: &Args) -> Outcome {
    let flags: Vec<(&str, String)> = args.listen.iter().map(|listen| ("http.listen", listen.clone())).collect();
    let context = Context::open_for_appends(global.load(&flags)?, global.output()).await?;
    rosters::load_configured(&context).await?;
    if args.until_idle {
        let bar = commands::progress::CatchUpBar::new(&context.out);
        let reached = catch_up(&context, selection(&[])?, None, |stage| bar.show(stage)).await?;
        bar.finish();
        keeper::bring_up(&context, reached.generations.live(embedder::NAME)).await?;
        context.out.note(format_args!("idle: {} partitions are behind nothing", reached.cut.iter().count()));
        return Ok(());
    }
    let stop = stop_on_signals();
    let workers = Workers::new(context.clone(), if args.no_processors { Vec::new() } else { selection(&[])? });
    let listener = http::listen(context.settings()).await?;
    let address = listener.local_addr()?;
    let serving = tokio::spawn(http::run(context.clone(), workers.clone(), listener, stop.clone()));
    let knowing = tokio::spawn(keep_known(context.clone(), stop.clone()));
    let cleaning = tokio::spawn(clean(context.clone(), stop.clone()));
    let indexing = (!args.no_processors).then(|| tokio::spawn(keeper::keep(context.clone(), stop.clone())));
    let sealing = tokio::spawn(seals::keep(context.clone(), stop.clone()));
    let following = tokio::spawn(follow_control(workers, stop.clone()));
    context.out.note(format_args!("stillhouse is up: http://{address}  journal {}", context.journal.uri()));
    let outcome = following.await.map_err(|e| Failure::new(Status::Failed, e.to_string()))?;
    stop.cancel();
    let served = serving.await.map_err(|e| Failure::new(Status::Failed, e.to_string()))?;
    cleaning.abort();
    knowing.abort();
    if let Some(indexing) = indexing {
        indexing.await.map_err(|e| Failure::new(Status::Failed, e.to_string()))??;
    }
    sealing.await.map_err(|e| Failure::new(Status::Failed, e.to_string()))?;
    context.embedders().close().await;
    outcome.and(served)
}

/// Runs some processors.
pub async fn work(global: &Global, args: &WorkArgs) -> Outcome {
    let (indexer, names): (Vec<String>, Vec<String>) = args.names.iter().cloned().partition(|n| n == keeper::NAME);
    let only = if names.is_empty() { Vec::new() } else { selection(&names)? };
    let context = global.open_for_work().await?;
    let stop = stop_on_signals();
    context.out.note(format_args!("working: {}  journal {}", args.names.join(", "), context.journal.uri()));
    let indexing = (!indexer.is_empty()).then(|| tokio::spawn(keeper::keep(context.clone(), stop.clone())));
    let mut outcome = follow_control(Workers::new(context.clone(), only), stop.clone()).await;
    stop.cancel();
    if let Some(indexing) = indexing {
        outcome = outcome.and(indexing.await.map_err(|e| Failure::new(Status::Failed, e.to_string()))?);
    }
    context.embedders().close().await;
    outcome
}

/// Cancelled by the first SIGINT or SIGTERM; the second ends the process at once.
pub fn stop_on_signals() -> CancellationToken {
    let stop = CancellationToken::new();
    let token = stop.clone();
    tokio::spawn(async move {
        use tokio::signal::unix::{SignalKind, signal};
        let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
        else {
            tracing::error!("signals cannot be caught; the process stops as it is told, without finishing its batch");
            return;
        };
        for first in [true, false] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if !first {
                std::process::exit(Status::Interrupted as i32);
            }
            tracing::info!("stopping: finishing what is under way");
            token.cancel();
        }
    });
    stop
}

async fn keep_known(context: Context, stop: CancellationToken) {
    context.known().keep(&stop).await;
}

async fn clean(context: Context, stop: CancellationToken) {
    let journal = Arc::clone(&context.journal);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(CLEAN_EVERY) => {}
        }
        if let Err(error) = journal.clean(jiff::Timestamp::now().as_millisecond()).await {
            tracing::warn!(%error, "topics were not cleaned");
        }
    }
}
