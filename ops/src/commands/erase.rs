//! `stillhouse erase`: a person's data, gone from every view.

use super::up::stop_on_signals;
use crate::Global;
use crate::decisions::operator;
use crate::erasure::{self, Request, Step};
use crate::failure::{Failure, Outcome, Status};
use serde_json::json;

/// Destroys the key that a person's data is sealed with, derives every dataset again that held rows of it, and certifies
/// what was done. It cannot be undone.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Without --yes it says what it would do. What was appended without sealing (`privacy.seal`) cannot be \
                        erased; it is named."
)]
pub struct Args {
    /// The person, as events name them in `subject`
    #[arg(required_unless_present = "key_id", conflicts_with = "key_id")]
    subject: Option<String>,
    /// Instead: the pseudonym of their key
    #[arg(long, value_name = "ID")]
    key_id: Option<String>,
    /// Do it
    #[arg(long)]
    yes: bool,
    /// Why; must not name the person
    #[arg(long, default_value = "", value_name = "TEXT")]
    reason: String,
    /// Who decides [default: the user of the system]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

/// Runs the command.
pub async fn run(global: &Global, args: Args) -> Outcome {
    let context = global.open_for_work().await?;
    let out = &context.out;
    let request =
        Request { subject: args.subject, key_id: args.key_id, reason: args.reason, by: operator(args.by.as_deref()) };
    if !args.yes {
        let key_id = erasure::key_of(&context, &request).await?;
        let traces = erasure::traces(&context, &key_id, request.subject.as_deref()).await?;
        if out.is_json() {
            out.json(&traces)?;
        } else {
            out.line(format_args!("key       {key_id}"))?;
            out.line(format_args!("events    {} sealed with it, about {} run(s)", traces.events, traces.runs.len()))?;
            for (topic, (events, first)) in &traces.unsealed {
                out.line(format_args!("unsealed  {events} in {topic} stay readable, the first at {first}"))?;
            }
        }
        return Err(Failure::new(Status::Usage, "nothing was erased: this cannot be undone, so it must be said")
            .hint("the same command with --yes"));
    }
    let stop = stop_on_signals();
    let mut told = |step: Step| {
        match step {
            Step::Decided | Step::Certified => {}
            Step::Destroyed => out.note("the key is destroyed"),
            Step::Derived(name) => out.note(format_args!("{name} is derived again")),
            Step::Removed(name) => out.note(format_args!("{name}: its files are removed")),
        }
        Ok(())
    };
    let done = tokio::select! {
        done = Box::pin(erasure::erase(&context, &request, &stop, &mut told)) => done?,
        () = stop.cancelled() => {
            return Err(Failure::new(Status::Interrupted, "interrupted: the erasure was begun and is not done")
                .hint("the same `stillhouse erase` goes on where it stopped"));
        }
    };
    let certificate = &done.certificate;
    if out.is_json() {
        out.json(&json!({"done_before": done.done_before, "certificate": certificate}))?;
    } else {
        if done.done_before {
            out.line("erased before: nothing was changed")?;
        }
        out.line(format_args!("key       {}  destroyed", certificate.key_id))?;
        out.line(format_args!("events    {} can no longer be read", certificate.events))?;
        out.line(format_args!("runs      {}", certificate.runs.len()))?;
        for rebuilt in &certificate.rebuilt {
            let after = rebuilt.after.as_deref().unwrap_or("nothing");
            out.text(&format!("{:<9} {} → {after}  ({} rows fewer)", rebuilt.what, rebuilt.before, rebuilt.removed))?;
        }
        for remaining in &certificate.remaining {
            out.text(&format!("remains   {remaining}"))?;
        }
    }
    if certificate.remaining.is_empty() || done.done_before {
        return Ok(());
    }
    Err(Failure::new(Status::Invalid, "erased, but for what is listed as remaining")
        .hint("the certificate names it; removing it is up to whoever holds it"))
}
