//! `stillhouse quarantine`: runs and rows that were left out, and why.

use crate::Global;
use crate::context::Context;
use crate::events::{Read, Records};
use crate::failure::{Failure, Outcome, Status};
use crate::node;
use serde_json::json;
use std::collections::BTreeMap;
use stillhouse_schemas::{Payload, Quarantined};

/// Shows what was left out.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only this reason
    #[arg(long, value_name = "CODE")]
    reason: Option<String>,
    /// Every entry, not only the counts
    #[arg(long)]
    list: bool,
    /// At most this many entries
    #[arg(long, default_value_t = 100, value_name = "N")]
    limit: usize,
}

/// Runs the command.
pub async fn run(global: &Global, args: &Args) -> Outcome {
    let context = global.open_to_read().await?;
    let (counts, entries) = collect(&context, args).await?;
    let out = &context.out;
    if out.is_json() {
        let counts: Vec<_> = counts.iter().map(|((s, r), n)| json!({"stage": s, "reason": r, "count": n})).collect();
        return out.json(&json!({"counts": counts, "entries": if args.list { entries } else { Vec::new() }}));
    }
    let rows: Vec<Vec<String>> =
        counts.into_iter().map(|((stage, reason), n)| vec![stage, reason, n.to_string()]).collect();
    out.table(&["STAGE", "REASON", "COUNT"], &rows)?;
    if args.list {
        out.line("")?;
        let rows: Vec<Vec<String>> = entries
            .into_iter()
            .map(|q| vec![q.run_id, q.reason, format!("{} {}", q.rule, q.rule_version), q.detail])
            .collect();
        out.table(&["RUN", "REASON", "RULE", "DETAIL"], &rows)?;
    }
    Ok(())
}

type Counts = BTreeMap<(String, String), u64>;

/// Counts by stage and reason of what is in quarantine now, and the first entries.
pub async fn collect(context: &Context, args: &Args) -> Outcome<(Counts, Vec<Quarantined>)> {
    let generations = node::settle_first_generations(context).await?;
    let topics = generations.resolve("quarantine").map_err(|e| Failure::new(Status::Failed, e.to_string()))?;
    // Another generation may have left out the same thing for another reason: the last word counts.
    let mut last: BTreeMap<(String, String), Quarantined> = BTreeMap::new();
    let mut records = Records::of(context, &topics).await?;
    while let Some(page) = records.events().await? {
        for (_, read) in page {
            let Read::Event(event) = read else { continue };
            let Payload::Quarantined(q) = event.payload else { continue };
            last.insert((q.stage.clone(), q.event_id.clone()), q);
        }
    }
    let mut counts = Counts::new();
    let mut entries = Vec::new();
    for (_, q) in last {
        if args.reason.as_ref().is_some_and(|r| *r != q.reason) {
            continue;
        }
        *counts.entry((q.stage.clone(), q.reason.clone())).or_default() += 1;
        if args.list && entries.len() < args.limit {
            entries.push(q);
        }
    }
    Ok((counts, entries))
}

impl Args {
    /// All of it, counts only.
    pub fn counts() -> Self {
        Self { reason: None, list: false, limit: 0 }
    }
}
