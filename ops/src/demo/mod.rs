//! `stillhouse demo`: the whole on a synthetic sample, in a minute, with nothing to install.

mod sample;

use crate::Global;
use crate::commands::progress::{CatchUpBar, bar};
use crate::commands::{diff, export};
use crate::context::Context;
use crate::failure::{Failure, Outcome, Status};
use crate::figures;
use crate::quarantine;
use crate::{generations, node};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use stillhouse_processors::{processor, wire};
use stillhouse_schemas::Category;
use stillhouse_streams::Progress;
use stillhouse_streams::runner::ends;
use tokio_util::sync::CancellationToken;

/// The file that says that a directory is a demo's, and may be made anew.
const MARK: &str = "made-by-stillhouse-demo";

/// Shows the whole on a sample.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Runs in the sample
    #[arg(long, default_value_t = 600, value_name = "N")]
    runs: usize,
}

/// Runs the demo.
pub async fn run(global: &Global, args: &Args) -> Outcome {
    let mut loaded = global.load(&[])?;
    if !loaded.origins.contains_key("data") {
        loaded.settings.data = PathBuf::from("stillhouse-demo");
    }
    let data = crate::context::data_dir(&loaded.settings);
    if loaded.settings.journal.is_empty() {
        make_anew(&data)?;
    }
    let context = Context::open(loaded, global.output()).await?;
    let out = &context.out;

    out.note(format_args!(
        "1. {} plainly synthetic runs of staffing agents go into the journal {}",
        args.runs,
        context.journal.uri()
    ));
    append(&context, args.runs).await?;

    out.note("2. materializer and scorer take them");
    let bar = CatchUpBar::new(out);
    node::catch_up(&context, node::selection(&[])?, None, |stage| bar.show(stage)).await?;
    bar.finish();

    out.note("3. what was accepted becomes a dataset, the rest waits in quarantine with its reason");
    let stop = CancellationToken::new();
    let report = export::write(&context, &export::Order::sft(data.join("datasets"))?, &stop).await?;
    let judged = judged(&context).await?;
    let (withheld, _) = quarantine::entries(&context, &quarantine::Filter::default(), 0).await?;
    let row = export::first_row(&report.path)?.unwrap_or_default();

    if !out.is_json() {
        out.line("")?;
        for category in Category::ALL {
            out.line(format_args!(
                "  {:<20} {:>6}",
                category.as_str(),
                judged.categories.get(category.as_str()).unwrap_or(&0)
            ))?;
        }
        out.line(format_args!("  {judged}"))?;
        out.line("")?;
        out.line(format_args!("  dataset    {}  ({} rows)", report.path.display(), report.rows))?;
        out.text(&format!("  first row  {}", shortened(&row, 300)))?;
        out.line("")?;
        out.line("  quarantined")?;
        for ((stage, reason, _), count) in &withheld {
            out.line(format_args!("  {count:>6}  {reason}  (by the {stage})"))?;
        }
        out.line("")?;
    }

    out.note(
        "4. the rule is changed: half a reward is enough. The scorer is rewound over all history, beside the live one",
    );
    let diff = rewound(&context).await?;
    if out.is_json() {
        return out.json(&json!({
            "runs": args.runs, "categories": judged.categories, "judged": judged, "dataset": report, "first_row": row,
            "quarantined": withheld.iter().map(|((s, r, _), n)| json!({"stage": s, "reason": r, "count": n})).collect::<Vec<_>>(),
            "flipped": diff.flips.len(),
        }));
    }
    diff::show(out, &diff, "scores", "scores.v2", 5)?;
    let data = data.display();
    out.line("")?;
    out.line("Nothing live has changed. Three things to try next:")?;
    out.line(format_args!(
        "  stillhouse --data {data} promote scorer v2        # readers of `scores` follow; promote v1 undoes it"
    ))?;
    out.line(format_args!(
        "  stillhouse --data {data} lineage sample-00001     # everything that was made of one run"
    ))?;
    out.line(format_args!("  stillhouse --data {data} up                       # the node: curl localhost:7600/v1"))
}

/// A demo begins with an empty directory; one that is not a demo's own is left alone.
fn make_anew(dir: &Path) -> Outcome {
    if dir.exists() {
        if !dir.join(MARK).is_file() && std::fs::read_dir(dir)?.next().is_some() {
            return Err(Failure::new(Status::Usage, format!("{} holds other things than a demo", dir.display()))
                .hint("choose another place with --data DIR"));
        }
        std::fs::remove_dir_all(dir)?;
    }
    crate::context::make_dir(dir)?;
    Ok(std::fs::write(dir.join(MARK), "`stillhouse demo` empties this directory whenever it runs.\n")?)
}

async fn append(context: &Context, count: usize) -> Outcome {
    let bar = bar(&context.out, count as u64, "runs");
    bar.set_message("append");
    let topic: Arc<str> = Arc::from(context.names.topic("runs"));
    let events: Vec<_> = sample::events(count).collect();
    for events in events.chunks(200) {
        let batch = events.iter().map(|event| wire::append(topic.clone(), &context.codec, event));
        let batch = batch.collect::<Result<Vec<_>, _>>().map_err(|e| Failure::new(Status::Failed, e.to_string()))?;
        context.journal.append(batch).await?;
        bar.inc(events.len() as u64);
    }
    bar.finish();
    Ok(())
}

async fn judged(context: &Context) -> Outcome<figures::Judged> {
    let generations = node::settle_first_generations(context).await?;
    let wrong = |e: &dyn std::fmt::Display| Failure::new(Status::NotFound, e.to_string());
    let (scores, evidence) = (generations.resolve("scores"), generations.resolve("evidence"));
    let (scores, evidence) = (scores.map_err(|e| wrong(&e))?, evidence.map_err(|e| wrong(&e))?);
    let journal = context.journal.as_ref();
    let (scores, evidence) = (ends(journal, &scores).await?, ends(journal, &evidence).await?);
    figures::judged(context, &scores, &evidence, &Progress::default()).await
}

/// Runs the scorer with a changed rule over all history, and compares.
async fn rewound(context: &Context) -> Outcome<stillhouse_processors::diff::Diff> {
    let scorer = processor("scorer").map_err(|e| Failure::new(Status::Failed, e.to_string()))?;
    let softer = BTreeMap::from([("accept_reward".into(), "0.5".into())]);
    generations::start(context, scorer, "v2", softer, "demo: half a reward is enough").await?;
    let known = generations::load(context, None).await?;
    let cut = ends(context.journal.as_ref(), &node::reads(&known, scorer, "v2")?).await?;
    let bar = CatchUpBar::new(&context.out);
    node::run_generation(context, scorer, "v2", &cut, |stage| bar.show(stage)).await?;
    bar.finish();
    diff::compare(context, &known, "scores", "scores.v2").await
}

fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let cut: String = text.chars().take(most).collect();
    format!("{cut}…")
}
