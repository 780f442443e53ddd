//! `stillhouse search`: past runs, evidence and documents, found by meaning and by words.

use crate::Global;
use crate::failure::{Failure, Outcome, Status};
use crate::index::keeper::bring_up;
use crate::index::search::{Fusion, Mode, OneOrMany, Question};
use crate::index::service::Searches;
use crate::node;
use std::collections::BTreeMap;
use std::time::Duration;
use stillhouse_processors::embedder;
use stillhouse_streams::Position;

/// Searches what the embedder's corpora hold.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  stillhouse search \"who calls before a night shift\"\n  \
                        stillhouse search refund --corpus evidence --filter verdict=success -k 5\n  \
                        stillhouse search escalation --corpus playbook --role dispatcher")]
pub struct Args {
    /// What to search for
    #[arg(required = true, value_name = "WORD")]
    query: Vec<String>,
    /// Only in this corpus; may be given several times [default: all]
    #[arg(long = "corpus", value_name = "NAME")]
    corpora: Vec<String>,
    /// At most this many hits
    #[arg(short, long, default_value_t = 10, value_name = "N")]
    k: usize,
    /// The role in which it is asked; gated corpora hold nothing for anybody else
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
    /// By nearness, by words, or by both
    #[arg(long, value_enum, default_value_t = Mode::Hybrid)]
    mode: Mode,
    /// How the lists of corpora become one
    #[arg(long, value_enum, default_value_t = Fusion::Calibrated)]
    fusion: Fusion,
    /// Only what has this metadata; of one name given several times, any value will do
    #[arg(long = "filter", value_name = "NAME=VALUE")]
    filters: Vec<String>,
    /// Not before
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Before
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Look at every row, whatever it takes
    #[arg(long)]
    exact: bool,
    /// Show the whole text of each hit
    #[arg(long)]
    text: bool,
    /// Generation of the embedder [default: the live one]
    #[arg(long, value_name = "NAME")]
    generation: Option<String>,
    /// First wait until what stands here can be found: TOPIC/PARTITION/OFFSET
    #[arg(long, value_name = "POSITION")]
    wait_for: Option<Position>,
    /// How long to wait, in milliseconds
    #[arg(long, default_value_t = 5_000, value_name = "MS")]
    timeout_ms: u64,
}

/// Runs the command.
pub async fn run(global: &Global, args: &Args) -> Outcome {
    let context = global.open_to_read().await?;
    let mut filter: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for text in &args.filters {
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| Failure::new(Status::Usage, format!("--filter {text}: write NAME=VALUE")))?;
        filter.entry(name.to_owned()).or_default().push(value.to_owned());
    }
    let question = Question {
        query: args.query.join(" "),
        corpora: args.corpora.clone(),
        k: args.k,
        query_role: args.role.clone(),
        mode: args.mode,
        fusion: args.fusion,
        filter: filter.into_iter().map(|(name, values)| (name, OneOrMany::Many(values))).collect(),
        since: args.since.clone(),
        until: args.until.clone(),
        exact: args.exact,
        text: args.text,
        snippet: 200,
        ..Question::default()
    };
    let generations = node::settle_first_generations(&context).await?;
    let generation = args.generation.clone().unwrap_or_else(|| generations.live(embedder::NAME).to_owned());
    if !context.read_only {
        // Where no node keeps the index, it is brought up to the log first.
        bring_up(&context, &generation).await?;
    }
    let searches = Searches::new(context.clone());
    let wait = args.wait_for.as_ref().map(|position| (position, Duration::from_millis(args.timeout_ms)));
    let answer = searches.search(&generations, Some(&generation), question, wait).await?;
    if context.out.is_json() {
        return context.out.json(&answer);
    }
    for (rank, hit) in (1..).zip(&answer.hits) {
        let title = hit.title.as_deref().unwrap_or(&hit.item_id);
        context.out.line(format_args!(
            "{rank:>3}  {:.3}  {}  {}",
            hit.score,
            hit.corpus,
            crate::output::safe(title)
        ))?;
        let text = hit.text.as_deref().unwrap_or(&hit.snippet);
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            context.out.line(format_args!("            {}", crate::output::safe(line)))?;
        }
        let (topic, partition, offset) = &hit.position;
        context
            .out
            .line(format_args!("            {} part {}, {topic}/{partition}/{offset}", hit.item_id, hit.part))?;
    }
    let plans: Vec<String> =
        answer.corpora.iter().map(|c| format!("{} ({}, {} rows)", c.corpus, c.plan, c.rows)).collect();
    context.out.note(format_args!(
        "{} hits in {:.1} ms from {}",
        answer.hits.len(),
        answer.took_us as f64 / 1_000.0,
        plans.join(", ")
    ));
    if answer.withheld > 0 {
        let role =
            args.role.as_deref().map_or_else(|| "without a role".to_owned(), |role| format!("in the role `{role}`"));
        context.out.note(format_args!("{} rows of gated corpora are not for a search {role}", answer.withheld));
    }
    for corpus in answer.corpora.iter().filter(|c| c.other_model > 0) {
        context.out.note(format_args!(
            "{}: {} rows were embedded by another version of the model and found by words only",
            corpus.corpus, corpus.other_model
        ));
    }
    Ok(())
}
