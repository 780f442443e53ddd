//! `stillhouse index`: the indexes of the embedder's generations, whether they hold what the log says, and how two of
//! them answer the same questions.

use crate::Global;
use crate::context::Context;
use crate::failure::{Failure, Outcome, Status};
use crate::index::live::Live;
use crate::index::search::Question;
use crate::index::service::Searches;
use crate::index::{folder, keeper};
use crate::node;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use stillhouse_catalog::Reader;
use stillhouse_processors::control::State;
use stillhouse_processors::{embedder, wire};
use stillhouse_schemas::{Payload, Searched};
use stillhouse_streams::runner::ends;

/// Lists, checks and compares indexes.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  stillhouse index\n  stillhouse index verify\n  stillhouse index compare v1 v2 --last 500"
)]
pub struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// The indexes there are
    List,
    /// Makes an index again from the log, beside the one there is, and says whether they hold the same
    Verify {
        /// Generation of the embedder [default: the live one]
        generation: Option<String>,
    },
    /// Asks the questions that were recorded of two generations, and compares the answers
    Compare {
        /// Generation whose answers are compared with
        before: String,
        /// Generation whose answers are judged
        after: String,
        /// The last so many questions
        #[arg(long, default_value_t = 1_000, value_name = "N")]
        last: usize,
    },
}

/// Runs the command.
pub async fn run(global: &Global, args: &Args) -> Outcome {
    let context = global.open_to_read().await?;
    match args.verb.as_ref().unwrap_or(&Verb::List) {
        Verb::List => list(&context).await,
        Verb::Verify { generation } => verify(&context, generation.as_deref()).await,
        Verb::Compare { before, after, last } => compare(&context, before, after, *last).await,
    }
}

#[derive(Serialize)]
struct Listed {
    generation: String,
    live: bool,
    corpus: String,
    gate: Option<String>,
    model: String,
    dims: u32,
    rows: u64,
}

async fn list(context: &Context) -> Outcome {
    let generations = node::settle_first_generations(context).await?;
    let mut rows = Vec::new();
    for generation in generations.of(embedder::NAME).filter(|g| g.state == State::Active) {
        let shelves = match Reader::open(&folder(context, &generation.name)) {
            Ok(reader) => reader.shelves()?,
            Err(stillhouse_catalog::CatalogError::Missing { .. }) => continue,
            Err(error) => return Err(error.into()),
        };
        rows.extend(shelves.into_iter().map(|shelf| Listed {
            generation: generation.name.clone(),
            live: generations.live(embedder::NAME) == generation.name,
            corpus: shelf.corpus,
            gate: shelf.gate,
            model: shelf.model,
            dims: shelf.dims,
            rows: shelf.rows,
        }));
    }
    if context.out.is_json() {
        return context.out.rows(&rows);
    }
    let gate = |gate: &Option<String>| match gate.as_deref() {
        None => "-".to_owned(),
        Some("") => "nobody".to_owned(),
        Some(role) => role.to_owned(),
    };
    let lines: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let live = if row.live { "live" } else { "" };
            let (dims, rows) = (row.dims.to_string(), row.rows.to_string());
            vec![
                row.generation.clone(),
                live.into(),
                row.corpus.clone(),
                gate(&row.gate),
                row.model.clone(),
                dims,
                rows,
            ]
        })
        .collect();
    context.out.table(&["GENERATION", "", "CORPUS", "ONLY FOR", "MODEL", "DIMS", "ROWS"], &lines)
}

/// Every line of a catalog, as one hash.
fn digest(reader: &Reader) -> Outcome<(u64, String)> {
    use sha2::Digest;
    let mut hasher = sha2::Sha256::new();
    let rows = reader.contents(|line| {
        hasher.update(line.as_bytes());
        hasher.update(b"\n");
    })?;
    Ok((rows, hasher.finalize().iter().map(|b| format!("{b:02x}")).collect()))
}

async fn verify(context: &Context, generation: Option<&str>) -> Outcome {
    let generations = node::settle_first_generations(context).await?;
    let generation = generation.unwrap_or_else(|| generations.live(embedder::NAME));
    // What another process keeps may be behind: both are compared as of what it has taken in.
    keeper::bring_up(context, generation).await?;
    let kept = Reader::open(&folder(context, generation))?;
    let scratch = tempfile::tempdir_in(crate::context::make_dir(&context.data())?)?;
    let cut = kept.progress()?;
    keeper::make_again(context, generation, scratch.path(), &cut).await?;
    let (rows, sha256) = digest(&kept)?;
    if kept.progress()? != cut {
        return Err(Failure::new(Status::Failed, "the index moved on while it was compared")
            .hint("stop what appends, or compare again"));
    }
    let (again_rows, again) = digest(&Reader::open(scratch.path())?)?;
    let (of, named) = (context.clone(), generation.to_owned());
    let verified = tokio::task::spawn_blocking(move || Live::open(&of, &named)?.verify());
    let on_disk = verified.await.map_err(|e| Failure::new(Status::Failed, e.to_string()))??;
    let same = sha256 == again && on_disk.iter().all(|(.., same)| *same);
    if context.out.is_json() {
        let on_disk: Vec<Value> =
            on_disk.iter().map(|(corpus, rows, same)| json!({"corpus": corpus, "rows": rows, "same": same})).collect();
        context
            .out
            .json(&json!({"generation": generation, "rows": rows, "sha256": sha256, "rows_again": again_rows,
            "sha256_again": again, "lance": on_disk, "same": same}))?;
    } else {
        let word = |same| if same { "the same" } else { "NOT the same" };
        context.out.line(format_args!(
            "{generation}: {rows} rows, made again from the log {again_rows} rows: {}",
            word(sha256 == again)
        ))?;
        for (corpus, rows, same) in &on_disk {
            context.out.line(format_args!("{generation}: {corpus}, {rows} rows in Lance: {}", word(*same)))?;
        }
    }
    if same {
        return Ok(());
    }
    Err(Failure::new(Status::Invalid, format!("the index of {generation} is not what the log says"))
        .hint(format!("remove {} while nothing runs; it is made again", folder(context, generation).display())))
}

/// The last questions that were asked in words, oldest first.
async fn recorded(context: &Context, last: usize) -> Outcome<Vec<Searched>> {
    let topic = context.names.topic("searches");
    let cut = ends(context.journal.as_ref(), std::slice::from_ref(&topic)).await?;
    let mut all = BTreeMap::new();
    for (topic, partition, end) in cut.iter() {
        let mut scan = context.journal.scan(topic, partition, 0, Some(end)).await?;
        loop {
            let page = scan.next(1_000).await?;
            if page.is_empty() {
                break;
            }
            for stored in page {
                let Ok(Some(event)) = wire::stored(&context.codec, &stored) else { continue };
                if let Payload::Searched(searched) = event.payload
                    && !searched.query.is_empty()
                {
                    all.insert((event.envelope.occurred_at, event.envelope.id), searched);
                    while all.len() > last {
                        all.pop_first();
                    }
                }
            }
        }
    }
    Ok(all.into_values().collect())
}

/// The question that was asked.
fn question(searched: &Searched) -> Option<Question> {
    let mut question: serde_json::Map<String, Value> = serde_json::from_str(&searched.options).ok()?;
    question.insert("query".into(), searched.query.as_str().into());
    question.insert("corpora".into(), json!(searched.corpora));
    question.insert("k".into(), searched.k.into());
    question.insert("query_role".into(), json!(searched.query_role));
    serde_json::from_value(Value::Object(question)).ok()
}

async fn compare(context: &Context, before: &str, after: &str, last: usize) -> Outcome {
    let generations = node::settle_first_generations(context).await?;
    if !context.read_only {
        for generation in [before, after] {
            keeper::bring_up(context, generation).await?;
        }
    }
    let searches = Searches::new(context.clone());
    let mut changed: Vec<Value> = Vec::new();
    let (mut asked, mut overlap, mut first, mut moved, mut unlike) = (0_u64, 0.0, 0_u64, 0.0, 0_u64);
    for searched in recorded(context, last).await? {
        let Some(question) = question(&searched) else { continue };
        let old = searches.search(&generations, Some(before), question.clone(), None).await;
        let new = searches.search(&generations, Some(after), question, None).await;
        let (old, new) = match (old, new) {
            (Ok(old), Ok(new)) => (old, new),
            // A corpus that one of them does not have.
            (Err(failure), _) | (_, Err(failure)) if matches!(failure.status, Status::NotFound | Status::Invalid) => {
                unlike += 1;
                continue;
            }
            (Err(failure), _) | (_, Err(failure)) => return Err(failure),
        };
        let ranks = |answer: &crate::index::search::Answer| -> Vec<(String, String)> {
            answer.hits.iter().map(|hit| (hit.corpus.clone(), hit.item_id.clone())).collect()
        };
        let (old, new) = (ranks(&old), ranks(&new));
        asked += 1;
        let kept: Vec<(usize, usize)> =
            old.iter().enumerate().filter_map(|(i, hit)| Some((i, new.iter().position(|n| n == hit)?))).collect();
        let share =
            if old.is_empty() { f64::from(u8::from(new.is_empty())) } else { kept.len() as f64 / old.len() as f64 };
        overlap += share;
        first += u64::from(old.first() == new.first());
        if !kept.is_empty() {
            moved += kept.iter().map(|(i, j)| i.abs_diff(*j) as f64).sum::<f64>() / kept.len() as f64;
        }
        if share < 1.0 {
            let only = |these: &[(String, String)], those: &[(String, String)]| -> Vec<String> {
                these
                    .iter()
                    .filter(|hit| !those.contains(hit))
                    .map(|(corpus, item)| format!("{corpus}/{item}"))
                    .collect()
            };
            changed.push(json!({"search_id": searched.search_id, "query": searched.query, "overlap": share,
                "lost": only(&old, &new), "gained": only(&new, &old)}));
        }
    }
    let mean = |sum: f64| if asked > 0 { sum / asked as f64 } else { 0.0 };
    changed.sort_by(|a, b| a["overlap"].as_f64().unwrap_or(0.0).total_cmp(&b["overlap"].as_f64().unwrap_or(0.0)));
    let summary = json!({
        "before": before, "after": after, "questions": asked, "not_comparable": unlike,
        "recall": mean(overlap), "same_first": mean(first as f64), "mean_rank_change": mean(moved), "changed": changed,
    });
    if context.out.is_json() {
        return context.out.json(&summary);
    }
    if asked == 0 {
        context.out.note("no searches were recorded yet: nothing to compare");
        return Ok(());
    }
    context.out.line(format_args!("{asked} recorded questions, {after} beside {before}"))?;
    context.out.line(format_args!("of the hits of {before}, found again   {:.3}", mean(overlap)))?;
    context.out.line(format_args!("same first hit                      {:.3}", mean(first as f64)))?;
    context.out.line(format_args!("mean change of rank                 {:.2}", mean(moved)))?;
    for row in changed.iter().take(10) {
        let list = |name: &str| row[name].as_array().map_or(0, Vec::len);
        context.out.line(format_args!(
            "  {:.2}  -{} +{}  {}",
            row["overlap"].as_f64().unwrap_or(0.0),
            list("lost"),
            list("gained"),
            crate::output::safe(row["query"].as_str().unwrap_or_default())
        ))?;
    }
    Ok(())
}
