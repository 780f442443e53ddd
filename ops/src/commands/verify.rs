//! `stillhouse verify`: reads the whole journal and checks it.

use crate::Global;
use crate::failure::{Failure, Outcome, Status};
use crate::journals;

/// Reads everything and checks it: checksums, hash chain, acknowledged heads.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Go on without acknowledged records that an embedded journal has lost; they are named
    #[arg(long)]
    accept_loss: bool,
    /// Print the head of every partition, to be kept elsewhere: offset and hash of the chain there
    #[arg(long)]
    heads: bool,
}

/// Runs the command.
pub async fn run(global: &Global, args: &Args) -> Outcome {
    let (loaded, out) = (global.load(&[])?, global.output());
    let checked = match journals::open_with(&loaded.settings, args.accept_loss).await {
        Ok(journal) => journal.verify().await.map_err(Failure::from),
        Err(failure) => Err(failure),
    };
    let verified = checked.map_err(|failure| match failure.status {
        // Its hint would lead back here.
        Status::Invalid => Failure::new(Status::Invalid, failure.message)
            .hint("restore a copy of the whole directory; --accept-loss goes on when only the end is missing"),
        _ => failure,
    })?;
    if out.is_json() {
        out.json(&verified)?;
    } else {
        if args.heads {
            let rows: Vec<Vec<String>> = verified
                .heads
                .iter()
                .map(|(topic, partition, end, hash)| {
                    vec![topic.clone(), partition.to_string(), end.to_string(), hash.clone()]
                })
                .collect();
            out.table(&["TOPIC", "PARTITION", "END", "HASH"], &rows)?;
        }
        for damage in &verified.damage {
            out.text(&format!("damaged  {}  {}", damage.place, damage.what))?;
        }
        if !verified.note.is_empty() {
            out.note(&verified.note);
        }
        let verdict = if verified.damage.is_empty() { "whole" } else { "DAMAGED" };
        out.line(format!("{verdict}: {} records in {} partitions read", verified.records, verified.partitions))?;
    }
    if verified.damage.is_empty() { Ok(()) } else { Err(Failure::silent(Status::Invalid)) }
}
