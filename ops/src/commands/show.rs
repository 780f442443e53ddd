//! `stillhouse show`: one event, whole.

use crate::context::Context;
use crate::events::{at, find, of_run};
use crate::failure::{Failure, Outcome, Status};
use crate::records;
use serde_json::{Value, json};
use stillhouse_streams::Position;

/// Shows one event.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Event id, position (topic/partition/offset), or run id: the latest recording of that run
    #[arg(value_name = "ID|POSITION|RUN")]
    what: String,
}

/// Runs the command.
pub async fn run(context: &Context, args: Args) -> Outcome {
    let what = args.what;
    let found = match what.parse::<Position>() {
        Ok(position) => at(context, &position).await?,
        Err(_) => match find(context, &what).await? {
            Some(found) => Some(found),
            None => {
                let mut recorded = of_run(context, &what).await?;
                if !recorded.is_empty() {
                    let count = recorded.len();
                    context.out.note(format_args!(
                        "run {what}: {count} recording(s); `stillhouse lineage {what}` shows all that was made of it"
                    ));
                }
                recorded.pop()
            }
        },
    };
    let Some(received) = found else {
        return Err(Failure::new(Status::NotFound, format!("there is no event `{}`", what.escape_debug()))
            .hint("give an event id, a run id, or topic/partition/offset as in runs/0/42"));
    };
    let mut record = records::to_json(&context.codec, &received.position, &received.record);
    let headers: Vec<Value> = received
        .record
        .headers
        .iter()
        .map(|(name, value)| json!({"name": name, "value": value.map(String::from_utf8_lossy)}))
        .collect();
    record["headers"] = headers.into();
    if context.out.is_json() {
        return context.out.json(&record);
    }
    let text = serde_json::to_string_pretty(&record).map_err(anyhow::Error::from)?;
    text.lines().try_for_each(|line| context.out.text(line))
}
