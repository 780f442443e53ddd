//! `stillhouse replay`: recorded runs, run again with recorded results of tools.

use super::import::appender::{Appender, Settled};
use super::up::stop_on_signals;
use crate::Global;
use crate::context::Context;
use crate::events::{self, Records};
use crate::failure::{Failure, Outcome, Status};
use serde_json::json;
use std::collections::{BTreeMap, HashSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use stillhouse_processors::exporter::{Short, short};
use stillhouse_processors::replayer::{self, Comparison, Plan, REPLAYS, Summary};
use stillhouse_processors::wire;
use stillhouse_schemas::model::{CallError, Calls};
use stillhouse_schemas::{Event, Payload, Replayed, Run, TOPICS};
use stillhouse_streams::Position;
use stillhouse_streams::generation::FIRST;

/// Runs recorded runs again.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  stillhouse replay sample-00001\n  stillhouse replay --cohort class=agent,tag=airline --limit 100\n  \
                        stillhouse replay --cohort all --model ollama://localhost:11434/qwen2.5 --allow-outside\n\n\
                        Results of tools are the recorded ones, always. Exit status 0 whatever the replays gave."
)]
pub struct Args {
    /// Runs, by id
    #[arg(required_unless_present = "cohort", value_name = "RUN")]
    runs: Vec<String>,
    /// Runs by what they are: `all`, or of class, model, provider, role, tag, task: `class=agent,tag=airline`
    #[arg(long, value_name = "FILTER", conflicts_with = "runs")]
    cohort: Option<String>,
    /// Of a cohort at most so many, the earliest
    #[arg(long, default_value_t = 1_000, value_name = "N")]
    limit: usize,
    /// Ask this model instead of taking the recorded answers: `ollama://HOST:PORT/MODEL`
    #[arg(long, value_name = "URI")]
    model: Option<String>,
    /// Let calls of the model out that were never answered before
    #[arg(long, requires = "model")]
    allow_outside: bool,
    /// What is the same
    #[arg(long, value_enum, default_value_t = Compare::Exact)]
    compare: Compare,
    /// Write every replay to this file too, a line of canonical JSON each
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// What is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Compare {
    /// Texts byte for byte
    Exact,
    /// Texts without regard to case and blanks
    Normalised,
    /// Texts not at all where tools are called
    Calls,
}

impl Compare {
    fn comparison(self) -> Comparison {
        match self {
            Self::Exact => Comparison::Exact,
            Self::Normalised => Comparison::Normalised,
            Self::Calls => Comparison::Calls,
        }
    }
}

/// Runs the verb.
pub async fn run(global: &Global, args: Args) -> Outcome {
    let context = global.open_for_appends().await?;
    let plan = Plan { model: args.model.clone(), comparison: args.compare.comparison() };
    let calls: Option<Arc<dyn Calls>> = plan.model.as_ref().map(|_| context.calls() as Arc<dyn Calls>);
    let found = select(&context, &args).await?;
    let stop = stop_on_signals();
    let note = context.out.clone();
    let appender = Appender::new(Arc::clone(&context.journal), Arc::new(move |text| note.note(text)), stop.clone());
    let topic = context.names.derived(REPLAYS, FIRST);
    let mut known = known(&context, &topic).await?;
    let mut file = args.out.as_deref().map(View::create).transpose()?;
    let (mut summary, mut shown) = (Summary::default(), Vec::new());
    for position in &found {
        if stop.is_cancelled() {
            return Err(Failure::new(Status::Interrupted, "interrupted; what was replayed is recorded"));
        }
        let Some(event) = read(&context, position).await? else { continue };
        let Payload::Run(run) = &event.payload else { continue };
        let replayed = one(&event, run, position, &plan, calls.as_deref(), args.allow_outside).await?;
        let event = plan.event((&event.envelope, position), replayed);
        let Payload::Replayed(replayed) = &event.payload else { continue };
        summary.take(replayed);
        if let Some(file) = &mut file {
            file.line(replayed)?;
        }
        if shown.len() < SHOWN {
            shown.push(replayed.clone());
        }
        if known.insert(short(&event.envelope.id)) {
            let append = wire::append(topic.as_str(), &context.codec, &event)
                .map_err(|e| Failure::new(Status::Failed, e.to_string()))?;
            if let Some(Settled::Refused(why)) = appender.append(vec![append]).await?.pop() {
                return Err(Failure::new(Status::Invalid, why));
            }
        }
    }
    if let Some(file) = file {
        file.finish()?;
    }
    show(&context, &plan, &summary, &shown)
}

/// Replays that are shown one by one.
const SHOWN: usize = 50;

async fn one(
    event: &Event,
    run: &Run,
    position: &Position,
    plan: &Plan,
    calls: Option<&dyn Calls>,
    may_ask: bool,
) -> Outcome<Replayed> {
    let Some(calls) = calls else { return Ok(replayer::recorded(run, plan.comparison)) };
    let cause = wire::cause(&event.envelope.id, position);
    let replayed = replayer::asked((&event.envelope, run, cause), plan, calls, may_ask).await;
    replayed.map_err(|error| match error {
        CallError::NoModel(why) => Failure::new(Status::Usage, why),
        error => Failure::new(Status::Failed, error.to_string()),
    })
}

/// Physical topics that hold runs.
fn sources(context: &Context) -> Vec<String> {
    let runs = TOPICS.iter().filter(|topic| topic.events == ["run"]);
    runs.map(
        |topic| if topic.derived { context.names.derived(topic.name, FIRST) } else { context.names.topic(topic.name) },
    )
    .collect()
}

/// Where the runs stand that are asked for, in the order of time.
async fn select(context: &Context, args: &Args) -> Outcome<Vec<Position>> {
    let sources = sources(context);
    let mut found = Cohort::new(if args.cohort.is_some() { args.limit } else { usize::MAX });
    let cut = stillhouse_streams::runner::ends(context.journal.as_ref(), &sources).await?;
    // By key, and in every partition: foreign producers choose partitions in other ways than we do.
    let filter = match &args.cohort {
        Some(filter) => Filter::parse(filter)?,
        None => Filter::Ids(args.runs.clone()),
    };
    let mut records = Records::until(context, &cut);
    while let Some(page) = records.page().await? {
        for received in page {
            if let Filter::Ids(ids) = &filter
                && received.record.key.as_deref().is_some_and(|key| !ids.iter().any(|id| id.as_bytes() == key))
            {
                continue;
            }
            // What cannot be read is no run to replay: an audit names it.
            let Ok(Some(event)) = wire::received(&context.codec, &received) else { continue };
            if let Payload::Run(run) = &event.payload
                && filter.takes(run)
            {
                found.take(&event, run, received.position);
            }
        }
    }
    let missing: Vec<&String> = args.runs.iter().filter(|id| !found.runs.contains_key(*id)).collect();
    if let Some(id) = missing.first() {
        return Err(Failure::new(Status::NotFound, format!("there is no run `{}`", id.escape_debug()))
            .hint("`stillhouse tail runs` shows what there is"));
    }
    if found.order.is_empty() {
        return Err(Failure::new(Status::NotFound, "no run is in this cohort")
            .hint("`stillhouse tail runs` shows what there is"));
    }
    Ok(found.order.into_values().map(|(_, position)| position).collect())
}

/// The first runs in the order of time; of one run, the recording that counts.
struct Cohort {
    limit: usize,
    order: BTreeMap<(i64, String), (String, Position)>,
    runs: BTreeMap<String, (i64, i64, String)>,
}

impl Cohort {
    fn new(limit: usize) -> Self {
        Self { limit, order: BTreeMap::new(), runs: BTreeMap::new() }
    }

    fn take(&mut self, event: &Event, run: &Run, position: Position) {
        let (at, id) = (event.envelope.occurred_at, event.envelope.id.clone());
        let rank = (run.revision, at, id.clone());
        match self.runs.get(&run.run_id) {
            Some(known) if *known >= rank => return,
            Some(known) => {
                self.order.remove(&(known.1, known.2.clone()));
            }
            None => {}
        }
        self.runs.insert(run.run_id.clone(), rank);
        self.order.insert((at, id), (run.run_id.clone(), position));
        if self.order.len() > self.limit
            && let Some((_, (run, _))) = self.order.pop_last()
        {
            self.runs.remove(&run);
        }
    }
}

enum Filter {
    Ids(Vec<String>),
    Members(Vec<(String, String)>),
}

impl Filter {
    const NAMES: [&str; 6] = ["class", "model", "provider", "role", "tag", "task"];

    fn parse(text: &str) -> Outcome<Self> {
        if text == "all" {
            return Ok(Self::Members(Vec::new()));
        }
        let part = |part: &str| match part.split_once('=') {
            Some((name, value)) if Self::NAMES.contains(&name) => Ok((name.to_owned(), value.to_owned())),
            _ => Err(Failure::new(Status::Usage, format!("--cohort: `{}` is no filter", part.escape_debug()))
                .hint(format!("`all`, or name=value,… with the names {}", Self::NAMES.join(", ")))),
        };
        Ok(Self::Members(text.split(',').map(part).collect::<Outcome<_>>()?))
    }

    fn takes(&self, run: &Run) -> bool {
        let members = match self {
            Self::Ids(ids) => return ids.contains(&run.run_id),
            Self::Members(members) => members,
        };
        members.iter().all(|(name, value)| {
            let said = |text: &Option<String>| text.as_deref() == Some(value);
            match name.as_str() {
                "class" => {
                    said(&run.source_class)
                        || (run.source_class.is_none() && stillhouse_processors::materializer::class_of(run) == value)
                }
                "model" => said(&run.model),
                "provider" => said(&run.provider),
                "role" => said(&run.role),
                "tag" => run.tags.contains(value),
                _ => said(&run.task_key),
            }
        })
    }
}

async fn read(context: &Context, position: &Position) -> Outcome<Option<Event>> {
    let Some(received) = events::at(context, position).await? else { return Ok(None) };
    Ok(wire::received(&context.codec, &received).ok().flatten())
}

/// Ids of replays that the journal has.
async fn known(context: &Context, topic: &str) -> Outcome<HashSet<Short>> {
    let mut known = HashSet::new();
    let mut records = Records::of(context, &[topic.to_owned()]).await?;
    while let Some(page) = records.page().await? {
        known.extend(page.iter().filter_map(|r| r.record.id().map(short)));
    }
    Ok(known)
}

/// `replay_runs.jsonl`: written beside, then renamed, so that nobody reads half of it.
struct View {
    path: PathBuf,
    beside: PathBuf,
    file: std::io::BufWriter<std::fs::File>,
}

impl View {
    fn create(path: &Path) -> Outcome<Self> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".tmp-{}", std::process::id()));
        let beside = path.with_file_name(name);
        let file = std::fs::File::create(&beside)
            .map_err(|e| Failure::new(Status::Usage, format!("cannot write {}: {e}", path.display())))?;
        Ok(Self { path: path.to_path_buf(), beside, file: std::io::BufWriter::new(file) })
    }

    fn line(&mut self, replayed: &Replayed) -> Outcome {
        let line = replayer::line(replayed).map_err(|e| Failure::new(Status::Failed, e.to_string()))?;
        self.file.write_all(&line)?;
        Ok(self.file.write_all(b"\n")?)
    }

    fn finish(self) -> Outcome {
        let file = self.file.into_inner().map_err(|e| Failure::from(e.into_error()))?;
        file.sync_all()?;
        Ok(std::fs::rename(&self.beside, &self.path)?)
    }
}

fn show(context: &Context, plan: &Plan, summary: &Summary, shown: &[Replayed]) -> Outcome {
    let out = &context.out;
    if out.is_json() {
        return out.json(&json!({
            "mode": plan.mode(), "model": plan.model, "comparison": plan.comparison.as_str(),
            "agreement": format!("{:.4}", summary.agreement()).parse::<f64>().unwrap_or_default(),
            "summary": summary, "replays": shown,
        }));
    }
    let cell = |text: &Option<String>| {
        let text = text.as_deref().unwrap_or("-");
        if text.chars().count() > 40 {
            format!("{}…", text.chars().take(40).collect::<String>())
        } else {
            text.to_owned()
        }
    };
    let row = |r: &Replayed| {
        let (what, before, now) = match &r.divergence {
            Some(d) => (format!("{} at step {}", d.what, d.step), cell(&d.recorded), cell(&d.replayed)),
            None => (cell(&r.error), String::new(), String::new()),
        };
        vec![r.run_id.clone(), r.verdict.clone(), format!("{}/{}", r.matched, r.steps), what, before, now]
    };
    let rows: Vec<Vec<String>> = shown.iter().map(row).collect();
    out.table(&["RUN", "VERDICT", "STEPS", "FIRST DIVERGENCE", "RECORDED", "REPLAYED"], &rows)?;
    out.line("")?;
    let verdicts: Vec<String> = summary.verdicts.iter().map(|(verdict, n)| format!("{n} {verdict}")).collect();
    out.line(format_args!("{} runs: {}", summary.runs, verdicts.join(", ")))?;
    out.line(format_args!("{} of {} steps alike ({:.4})", summary.matched, summary.steps, summary.agreement()))?;
    if plan.model.is_some() {
        let (read, written) = summary.tokens;
        out.line(format_args!("{read} tokens read, {written} written, {:.4} US dollars", summary.cost_usd))?;
    }
    out.line(format_args!("{} calls outside", summary.outside_calls))
}
