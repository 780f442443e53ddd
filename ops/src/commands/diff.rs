//! `stillhouse diff`: two generations of scores, of validations or of verdicts compared, verdict by verdict.

use crate::Global;
use crate::context::Context;
use crate::events::{Read, Records};
use crate::failure::{Failure, Outcome, Status};
use crate::node;
use crate::output::Output;
use serde_json::json;
use stillhouse_processors::control::Generations;
use stillhouse_processors::diff::{Cost, Diff, Differ, Flip};
use stillhouse_schemas::Event;

/// Compares two generations of a topic.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The left side: `scores` (the live generation) or `scores.v1`
    #[arg(value_name = "TOPIC")]
    left: String,
    /// The right side: `scores.v2`
    #[arg(value_name = "TOPIC.GENERATION")]
    right: String,
    /// List at most this many flips
    #[arg(long, default_value_t = 50, value_name = "N")]
    limit: usize,
}

/// Runs the command.
pub async fn run(global: &Global, args: &Args) -> Outcome {
    let context = global.open_to_read().await?;
    let generations = node::settle_first_generations(&context).await?;
    let diff = compare(&context, &generations, &args.left, &args.right).await?;
    show(&context.out, &diff, &args.left, &args.right, args.limit)
}

/// Compares two generations of scores.
pub async fn compare(context: &Context, generations: &Generations, left: &str, right: &str) -> Outcome<Diff> {
    let mut differ = Differ::new();
    each(context, generations, left, |event| differ.left(event)).await?;
    each(context, generations, right, |event| differ.right(event)).await?;
    Ok(differ.finish())
}

async fn each(context: &Context, generations: &Generations, name: &str, mut take: impl FnMut(Event)) -> Outcome {
    let topics = generations.locate(name).map_err(|e| Failure::new(Status::NotFound, e.to_string()))?;
    let holds = |logical: &str| topics.iter().all(|t| t.starts_with(&context.names.topic(logical)));
    if !["scores", "validations", "verdicts"].into_iter().any(holds) {
        return Err(Failure::new(Status::Usage, format!("`{name}` holds no scores, validations or verdicts"))
            .hint("compare scores with scores.v2, validations with validations.v2, or verdicts with verdicts.v2"));
    }
    let mut records = Records::of(context, &topics).await?;
    while let Some(page) = records.events().await? {
        for (_, read) in page {
            if let Read::Event(event) = read {
                take(*event);
            }
        }
    }
    Ok(())
}

/// Prints a comparison.
pub fn show(out: &Output, diff: &Diff, left: &str, right: &str, limit: usize) -> Outcome {
    if out.is_json() {
        let matrix: Vec<_> = diff
            .matrix
            .iter()
            .map(|((from, to), count)| json!({"from": from.as_str(), "to": to.as_str(), "count": count}))
            .collect();
        let flips: Vec<_> = diff.flips.iter().take(limit).map(flip_json).collect();
        return out.json(&json!({
            "left": {"topic": left, "judgements": diff.left, "cost": cost_json(diff.left_cost)},
            "right": {"topic": right, "judgements": diff.right, "cost": cost_json(diff.right_cost)},
            "equal": diff.equal, "moved": diff.moved, "flipped": diff.flips.len(), "matrix": matrix, "flips": flips,
            "only_left": diff.only_left, "only_right": diff.only_right,
        }));
    }
    out.line(format_args!("{left}: {} judgements   {right}: {} judgements", diff.left, diff.right))?;
    out.line(format_args!(
        "{} equal, {} with another score only, {} flipped, {} only left, {} only right",
        diff.equal,
        diff.moved,
        diff.flips.len(),
        diff.only_left.len(),
        diff.only_right.len()
    ))?;
    for (topic, cost) in [(left, diff.left_cost), (right, diff.right_cost)] {
        if cost.calls > 0 {
            out.line(format_args!("{topic} cost {:.4} USD for {} judgements by a model", cost.usd, cost.calls))?;
        }
    }
    let changed: Vec<Vec<String>> = diff
        .matrix
        .iter()
        .filter(|((from, to), _)| from != to)
        .map(|((from, to), count)| vec![from.as_str().into(), "→".into(), to.as_str().into(), count.to_string()])
        .collect();
    if diff.flips.is_empty() {
        return Ok(());
    }
    let held = diff.flips.iter().any(|flip| flip.attribute.is_some());
    if !changed.is_empty() {
        out.table(&["FROM", "", "TO", if held { "ATTRIBUTES" } else { "RUNS" }], &changed)?;
        out.line("")?;
    }
    let number = |score: Option<f64>| score.map_or_else(|| "-".to_owned(), |s| format!("{s:.4}"));
    let rows: Vec<Vec<String>> = diff
        .flips
        .iter()
        .take(limit)
        .map(|f| {
            let reasons = f.reasons.join("; ");
            let (from, to) = (f.from.as_str(), f.to.as_str());
            match &f.attribute {
                Some(attribute) => {
                    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
                    let name = format!("{}.{attribute}", f.run_id);
                    vec![
                        name,
                        format!("{from} {}", value(&f.from_value)),
                        format!("{to} {}", value(&f.to_value)),
                        reasons,
                    ]
                }
                None => vec![
                    f.run_id.clone(),
                    format!("{from} {}", number(f.from_score)),
                    format!("{to} {}", number(f.to_score)),
                    reasons,
                ],
            }
        })
        .collect();
    out.table(&[if held { "ATTRIBUTE" } else { "RUN" }, left, right, "WHY"], &rows)?;
    if diff.flips.len() > limit {
        out.note(format_args!("… and {} more: --limit {}", diff.flips.len() - limit, diff.flips.len()));
    }
    Ok(())
}

fn cost_json(cost: Cost) -> serde_json::Value {
    json!({"calls": cost.calls, "usd": cost.usd})
}

fn flip_json(flip: &Flip) -> serde_json::Value {
    if let Some(attribute) = &flip.attribute {
        return json!({
            "entity": flip.run_id, "attribute": attribute, "from": flip.from.as_str(), "from_value": flip.from_value,
            "to": flip.to.as_str(), "to_value": flip.to_value, "reasons": flip.reasons,
        });
    }
    json!({
        "run_id": flip.run_id, "from": flip.from.as_str(), "from_score": flip.from_score,
        "to": flip.to.as_str(), "to_score": flip.to_score, "reasons": flip.reasons, "cost_usd": flip.cost_usd,
    })
}
