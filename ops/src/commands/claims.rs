//! `stillhouse claims`: what was held of an entity at a time, and on whose word.

use crate::Global;
use crate::claims::{Asked, held, rule};
use crate::failure::{Failure, Outcome, Status};
use crate::node;
use crate::output::{Output, safe};
use serde_json::json;
use stillhouse_processors::reconciler::NAME;
use stillhouse_schemas::{Payload, Verdict, time};

/// Shows what was held, and on whose word.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  stillhouse claims worker:17\n  \
                        stillhouse claims worker:17.pay --at 2026-01-31T12:00:00Z")]
pub struct Args {
    /// The entity, or one of its attributes
    #[arg(value_name = "ENTITY[.ATTRIBUTE]")]
    entity: String,
    /// As it was held then [default: now]
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
}

/// Runs the command.
pub async fn run(global: &Global, args: &Args) -> Outcome {
    let at = match args.at.as_deref() {
        None => jiff::Timestamp::now().as_microsecond(),
        Some(text) => time::parse(text).map_err(|e| Failure::new(Status::Usage, format!("--at {e}")))?,
    };
    let context = global.open_to_read().await?;
    let generations = node::settle_first_generations(&context).await?;
    let rule = rule(&generations, context.settings().processors.get(NAME))?;
    let asked = Asked { name: &args.entity, attribute: None, dotted: true };
    let verdicts = held(&context, &rule, &asked, at).await?;
    if context.out.is_json() {
        let verdicts: Vec<_> = verdicts.into_iter().map(|verdict| Payload::Verdict(verdict).to_json()).collect();
        return context.out.json(&json!({"entity": args.entity, "at": time::format(at), "held": verdicts}));
    }
    verdicts.iter().try_for_each(|verdict| show(&context.out, verdict))
}

fn show(out: &Output, verdict: &Verdict) -> Outcome {
    let held = match (&verdict.value, &verdict.source, verdict.asserted_at) {
        (Some(value), Some(source), Some(at)) => format!("{value}, said by {source} at {}", time::format(at)),
        _ => "nothing is held".to_owned(),
    };
    out.line(safe(&format!("{}.{}: {held} ({})", verdict.entity, verdict.attribute, verdict.status)))?;
    for reason in &verdict.reasons {
        out.line(format_args!("  {}", safe(reason)))?;
    }
    let rows: Vec<Vec<String>> = verdict
        .sides
        .iter()
        .map(|side| {
            let said = |at: Option<i64>| at.map_or_else(|| "…".to_owned(), time::format);
            let valid = match (side.valid_from, side.valid_until) {
                (None, None) => "-".to_owned(),
                (from, until) => format!("{} to {}", said(from), said(until)),
            };
            vec![
                side.standing.clone(),
                side.value.clone(),
                side.source.clone(),
                time::format(side.asserted_at),
                valid,
                side.claim_id.clone(),
            ]
        })
        .collect();
    out.table(&["STANDING", "VALUE", "SOURCE", "SAID", "VALID", "CLAIM"], &rows)?;
    if verdict.omitted > 0 {
        out.note(format_args!("… and {} more sides", verdict.omitted));
    }
    out.line("")
}
