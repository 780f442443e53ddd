//! `stillhouse validate`: an artefact, or one a line, by a policy or by named validators.

use crate::Global;
use crate::checks::{Answer, By, Checks, Item, MOST_ITEMS, overall};
use crate::failure::{Failure, Outcome, Status};
use serde_json::{Value, json};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Looks at artefacts; the verdict is recorded. Exits with 6 unless all of them pass.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  stillhouse validate fill.json --policy fill --context job.json\n  \
                        stillhouse validate mail.txt --with email --with pii\n  \
                        stillhouse validate answers.jsonl --lines --policy house -o json")]
pub struct Args {
    /// File with the artefact, JSON or text; `-` for standard input
    #[arg(default_value = "-", value_name = "FILE")]
    file: PathBuf,
    /// The policy
    #[arg(long, value_name = "NAME", required_unless_present_any = ["validators", "list"], conflicts_with = "validators")]
    policy: Option<String>,
    /// A validator, with its usual settings; may be given several times
    #[arg(long = "with", value_name = "NAME")]
    validators: Vec<String>,
    /// File with what it is for: the job, the worker, the recipient, as JSON
    #[arg(long, value_name = "FILE")]
    context: Option<PathBuf>,
    /// File with what it was made from; may be given several times
    #[arg(long = "source", value_name = "FILE")]
    sources: Vec<PathBuf>,
    /// Every line is a JSON object with `artefact`, and `context`, `sources`, `schema` if there are any
    #[arg(long, conflicts_with_all = ["context", "sources"])]
    lines: bool,
    /// Look workers up in this version of the roster [default: the newest]
    #[arg(long, value_name = "VERSION")]
    roster: Option<String>,
    /// List validators and policies instead
    #[arg(long)]
    list: bool,
}

/// Runs the command.
pub async fn run(global: &Global, args: &Args) -> Outcome {
    let context = global.open().await?;
    let checks = Checks::new(&context)?;
    let out = &context.out;
    if args.list {
        let list = checks.list();
        if out.is_json() {
            return out.json(&list);
        }
        for (what, mark) in [("validators", ""), ("policies", "policy ")] {
            for one in list[what].as_array().into_iter().flatten() {
                let doc = match one["doc"].as_str().filter(|doc| !doc.is_empty()) {
                    Some(doc) => doc.to_owned(),
                    None => one["validators"]
                        .as_array()
                        .into_iter()
                        .flatten()
                        .filter_map(Value::as_str)
                        .collect::<Vec<_>>()
                        .join(", "),
                };
                out.line(format_args!("{mark}{:<22} {doc}", one["name"].as_str().unwrap_or_default()))?;
            }
        }
        return Ok(());
    }
    let text = read(&args.file)?;
    context.known().catch_up().await?;
    let items = if args.lines { each(&text, &args.file)? } else { vec![single(text, args)?] };
    let by = By { policy: args.policy.clone(), validators: args.validators.clone(), roster: args.roster.clone() };
    let mut answers = Vec::with_capacity(items.len());
    for some in items.chunks(MOST_ITEMS) {
        answers.extend(checks.check(some, &by).await?);
    }
    let verdict = overall(answers.iter().map(|answer| answer.verdict));
    if out.is_json() {
        out.json(&json!({"verdict": verdict, "results": answers}))?;
    } else {
        for (number, answer) in (1..).zip(&answers) {
            show(out, args.lines.then_some(number), answer)?;
        }
    }
    let left = answers.iter().filter(|answer| answer.verdict != "pass").count();
    match left {
        0 => Ok(()),
        _ => Err(Failure::new(Status::Invalid, format!("{left} of {} did not pass ({verdict})", answers.len()))),
    }
}

fn show(out: &crate::output::Output, number: Option<usize>, answer: &Answer) -> Outcome {
    let number = number.map_or_else(String::new, |number| format!("{number}: "));
    out.line(format_args!("{number}{}", answer.verdict))?;
    for finding in &answer.findings {
        let severity = finding.severity.as_deref().unwrap_or_default();
        let field = finding.field.as_deref().unwrap_or("-");
        let place = match (finding.span_start, finding.span_end) {
            (Some(start), Some(end)) => format!("{field} {start}..{end}"),
            _ => field.to_owned(),
        };
        let (validator, code) = (finding.validator.as_deref().unwrap_or_default(), &finding.code);
        out.line(format_args!("  {severity:<8} {validator}.{code} at {}", crate::output::safe(&place)))?;
        out.line(format_args!("           {}", crate::output::safe(&finding.message)))?;
        if let Some(remedy) = finding.remedy.as_deref().filter(|remedy| !remedy.is_empty()) {
            out.line(format_args!("           {}", crate::output::safe(remedy)))?;
        }
    }
    for (validator, why) in &answer.skipped {
        out.line(format_args!("  skipped  {validator}: {}", crate::output::safe(why)))?;
    }
    Ok(())
}

fn single(text: String, args: &Args) -> Outcome<Item> {
    let context = match &args.context {
        None => Value::Null,
        Some(path) => serde_json::from_str(&read(path)?)
            .map_err(|e| Failure::new(Status::Usage, format!("{} is no JSON: {e}", path.display())))?,
    };
    let sources = args.sources.iter().map(|path| read(path)).collect::<Outcome<_>>()?;
    let artefact = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Ok(Item { artefact, context, sources, schema: None })
}

fn each(text: &str, path: &Path) -> Outcome<Vec<Item>> {
    let line = |(number, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|e| {
            Failure::new(Status::Invalid, format!("{}: line {}: {e}", path.display(), number + 1))
                .hint("each line is {\"artefact\": …, \"context\": …}")
        })
    };
    text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(line).collect()
}

fn read(path: &Path) -> Outcome<String> {
    let failed = |e: std::io::Error| Failure::new(Status::Usage, format!("cannot read {}: {e}", path.display()));
    if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().lock().read_to_string(&mut text).map_err(failed)?;
        return Ok(text);
    }
    std::fs::read_to_string(path).map_err(failed)
}
