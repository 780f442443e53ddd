//! `stillhouse quarantine`: runs and rows that were left out, why, and what becomes of them.

use crate::Global;
use crate::context::Context;
use crate::decisions::operator;
use crate::failure::{Failure, Outcome, Status};
use crate::node;
use crate::quarantine::{self, Entry, Filter, State, entries, find};
use serde_json::json;
use std::collections::BTreeMap;

/// Shows what was left out, lets in what may be let in, or leaves it out for good.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  stillhouse quarantine --by reason\n  stillhouse quarantine list --reason near_duplicate\n  \
                  stillhouse quarantine release --reason near_duplicate --why \"they differ in what matters\""
)]
pub struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// What is left out now (or was, with --state)
    List(ListArgs),
    /// One entry, by its id, its event or its run
    Show {
        /// Id of the entry, of the event that was left out, or of the run
        id: String,
    },
    /// Lets entries in from the next export on, where an operator may
    Release(DecideArgs),
    /// Leaves entries out for good, whatever rules say later
    Discard(DecideArgs),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Only what was left out for this
    #[arg(long, value_name = "CODE")]
    reason: Option<String>,
    /// Counts by this, instead of entries
    #[arg(long, value_enum)]
    by: Option<By>,
    /// Entries that stand so
    #[arg(long, value_enum, default_value_t = Shown::Open)]
    state: Shown,
    /// At most this many entries
    #[arg(long, default_value_t = 100, value_name = "N")]
    limit: usize,
}

#[derive(Debug, clap::Args)]
struct DecideArgs {
    /// Ids of entries, of the events left out, or of runs
    #[arg(value_name = "ID", required_unless_present = "reason", conflicts_with = "reason")]
    ids: Vec<String>,
    /// All open entries that were left out for this
    #[arg(long, value_name = "CODE")]
    reason: Option<String>,
    /// Why, for those who read it later
    #[arg(long, default_value = "")]
    why: String,
    /// Who decides [default: the user of the system]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum By {
    Reason,
    Rule,
    Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Shown {
    Open,
    Released,
    Discarded,
    All,
}

/// Runs the command.
pub async fn run(global: &Global, args: &Args) -> Outcome {
    let looks = matches!(args.verb, None | Some(Verb::List(_) | Verb::Show { .. }));
    let context = if looks { global.open_to_read().await? } else { global.open().await? };
    node::settle_first_generations(&context).await?;
    match &args.verb {
        None => list(&context, &args.list).await,
        Some(Verb::List(args)) => list(&context, args).await,
        Some(Verb::Show { id }) => show(&context, &find(&context, id).await?),
        Some(Verb::Release(args)) => {
            let chosen = chosen(&context, args).await?;
            let by = operator(args.by.as_deref());
            let (now, before) = quarantine::release(&context, chosen, (&args.why, &by)).await?;
            decided(&context, "released", &now, &before)?;
            context.out.note("they enter with the next export, unless something else keeps them out then");
            Ok(())
        }
        Some(Verb::Discard(args)) => {
            let chosen = chosen(&context, args).await?;
            let by = operator(args.by.as_deref());
            let (now, before) = quarantine::discard(&context, chosen, (&args.why, &by)).await?;
            decided(&context, "discarded", &now, &before)
        }
    }
}

async fn chosen(context: &Context, args: &DecideArgs) -> Outcome<Vec<Entry>> {
    if let Some(reason) = &args.reason {
        let filter = Filter { state: Some(State::Open), reason: Some(reason.clone()), id: None };
        let (_, chosen) = entries(context, &filter, usize::MAX).await?;
        if chosen.is_empty() {
            return Err(Failure::new(Status::NotFound, format!("nothing is left out for `{reason}`"))
                .hint("`stillhouse quarantine --by reason` lists the reasons"));
        }
        return Ok(chosen);
    }
    let mut chosen: BTreeMap<String, Entry> = BTreeMap::new();
    for id in &args.ids {
        chosen.extend(find(context, id).await?.into_iter().map(|entry| (entry.id.clone(), entry)));
    }
    Ok(chosen.into_values().collect())
}

fn decided(context: &Context, what: &str, now: &[Entry], before: &[Entry]) -> Outcome {
    let out = &context.out;
    let ids = |entries: &[Entry]| entries.iter().map(|e| e.id.clone()).collect::<Vec<_>>();
    if out.is_json() {
        return out.json(&json!({what: ids(now), "before": ids(before)}));
    }
    for entry in now {
        out.text(&format!("{what}: {}  run {}  ({})", entry.id, entry.run_id, entry.reason))?;
    }
    for entry in before {
        out.text(&format!("{what} before: {}  run {}", entry.id, entry.run_id))?;
    }
    Ok(())
}

async fn list(context: &Context, args: &ListArgs) -> Outcome {
    let state = match args.state {
        Shown::Open => Some(State::Open),
        Shown::Released => Some(State::Released),
        Shown::Discarded => Some(State::Discarded),
        Shown::All => None,
    };
    let filter = Filter { state, reason: args.reason.clone(), id: None };
    let limit = if args.by.is_some() { 0 } else { args.limit };
    let (counts, entries) = entries(context, &filter, limit).await?;
    let out = &context.out;
    let total: u64 = counts.values().sum();
    if let Some(by) = args.by {
        let mut groups: BTreeMap<(String, String), u64> = BTreeMap::new();
        for ((stage, reason, rule), n) in counts {
            let what = match by {
                By::Reason => reason,
                By::Rule => rule,
                By::Stage => String::new(),
            };
            *groups.entry((stage, what)).or_default() += n;
        }
        if out.is_json() {
            let rows = groups.iter().map(|((stage, what), n)| match by {
                By::Reason => json!({"stage": stage, "reason": what, "count": n}),
                By::Rule => json!({"stage": stage, "rule": what, "count": n}),
                By::Stage => json!({"stage": stage, "count": n}),
            });
            return out.rows(&rows.collect::<Vec<_>>());
        }
        let rows: Vec<Vec<String>> = groups.into_iter().map(|((s, w), n)| vec![s, w, n.to_string()]).collect();
        return out.table(&["STAGE", if by == By::Rule { "RULE" } else { "REASON" }, "COUNT"], &rows);
    }
    if out.is_json() {
        let counts = counts.iter().map(|((s, r, rule), n)| json!({"stage": s, "reason": r, "rule": rule, "count": n}));
        return out.json(&json!({"total": total, "counts": counts.collect::<Vec<_>>(), "entries": entries}));
    }
    let rows: Vec<Vec<String>> = entries
        .iter()
        .map(|e| {
            let rule = format!("{} {}", e.rule, e.rule_version);
            vec![e.id.clone(), e.run_id.clone(), e.state.as_str().into(), e.reason.clone(), rule, e.detail.clone()]
        })
        .collect();
    out.table(&["ID", "RUN", "STATE", "REASON", "RULE", "DETAIL"], &rows)?;
    let shown = entries.len() as u64;
    if shown < total {
        out.note(format_args!("… and {} more: --limit {total}; --by reason counts them", total - shown));
    }
    Ok(())
}

fn show(context: &Context, found: &[Entry]) -> Outcome {
    let out = &context.out;
    if out.is_json() {
        return out.rows(found);
    }
    for e in found {
        let kind = e.kind.as_deref().map(|kind| format!("  (datasets of kind {kind})")).unwrap_or_default();
        let by = e.by.as_deref().map(|by| format!(" by {by}")).unwrap_or_default();
        out.text(&format!("id        {}", e.id))?;
        for (name, value) in [
            ("state", format!("{}{by}", e.state.as_str())),
            ("run", e.run_id.clone()),
            ("event", e.event_id.clone()),
            ("stage", format!("{}{kind}", e.stage)),
            ("reason", format!("{}: {}", e.reason, e.detail)),
            ("rule", format!("{} {}", e.rule, e.rule_version)),
            ("when", format!("{} at {}", e.occurred_at, e.position)),
        ] {
            out.text(&format!("{name:<9} {value}"))?;
        }
        match e.remedy {
            Some(remedy) => out.text(&format!("remedy    {}", remedy.replace("RUN", &e.run_id)))?,
            None if e.state == State::Open => {
                out.line(format_args!("release   stillhouse quarantine release {}", e.id))?
            }
            None => {}
        }
    }
    Ok(())
}
