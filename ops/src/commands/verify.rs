//! `stillhouse verify`: reads the whole journal and checks it.

use crate::Global;
use crate::context::Context;
use crate::failure::{Failure, Outcome, Status};
use crate::journals;
use crate::node::seals;
use stillhouse_streams::Position;

/// Reads everything and checks it: checksums, hash chain, acknowledged heads.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Go on without what an embedded journal has lost: without a POSITION, an end that is missing; with one, this
    /// damaged record (topic/partition/offset; may be repeated). Every later `verify` lists it
    #[arg(long, value_name = "POSITION", num_args = 0..=1, default_missing_value = END)]
    accept_loss: Vec<String>,
    /// Seal first what a Kafka journal holds and no node has sealed yet
    #[arg(long)]
    seal: bool,
    /// Print the head of every partition, to be kept elsewhere: offset and hash of the chain there
    #[arg(long)]
    heads: bool,
}

/// What `--accept-loss` means without a position.
const END: &str = "end";

/// Runs the command.
pub async fn run(global: &Global, args: &Args) -> Outcome {
    let (loaded, out) = (global.load(&[])?, global.output());
    let mut positions = Vec::new();
    for said in args.accept_loss.iter().filter(|said| *said != END) {
        let position: Position = said.parse().map_err(|e| {
            Failure::new(Status::Usage, format!("--accept-loss {said}: {e}"))
                .hint("give topic/partition/offset, as `stillhouse verify` names it")
        })?;
        positions.push(position);
    }
    if !positions.is_empty() {
        for done in journals::give_up(&loaded.settings, &positions).await? {
            out.note(format_args!("accepted  {}: {}", done.place, done.what));
        }
    }
    let end = args.accept_loss.iter().any(|said| said == END);
    let opened = match end {
        true => journals::open_with(&loaded.settings, true).await,
        false => journals::open_to_read(&loaded.settings).await.map(|(journal, _)| journal),
    };
    let checked = match opened {
        Ok(journal) => journal.verify().await.map_err(Failure::from),
        Err(failure) => Err(failure),
    };
    let mut verified = checked.map_err(|failure| match failure.status {
        // Its hint would lead back here.
        Status::Invalid => Failure::new(Status::Invalid, failure.message).hint(
            "put the newest copy of the whole directory back; --accept-loss goes on when only the end is missing",
        ),
        _ => failure,
    })?;
    if seals::needed(&loaded.settings) {
        let context = Context::open_to_read(loaded, out.clone()).await?;
        if args.seal {
            let sealed = seals::seal(&context, &mut seals::Known::default()).await?;
            out.note(format_args!("sealed  {sealed} records"));
        }
        seals::compare(&context, &mut verified).await?;
    }
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
        for loss in &verified.losses {
            let at = stillhouse_schemas::time::format(loss.at.saturating_mul(1_000));
            out.text(&format!("lost     {}  {}  (accepted {at})", loss.place, loss.what))?;
        }
        if !verified.note.is_empty() {
            out.note(&verified.note);
        }
        let verdict = match (verified.damage.is_empty(), verified.losses.is_empty()) {
            (true, true) => "whole",
            (true, false) => "whole but for the losses accepted",
            (false, _) => "DAMAGED",
        };
        out.line(format!("{verdict}: {} records in {} partitions read", verified.records, verified.partitions))?;
    }
    if verified.damage.is_empty() { Ok(()) } else { Err(Failure::silent(Status::Invalid)) }
}
