//! Nearest vectors: HNSW in memory and Lance on disk, beside comparing every row, at several sizes.
//!
//! Each measure is taken in a process of its own, so that what is resident is that measure's: one that makes an index, one
//! that opens and asks it. The exact answers are found first, on the same vectors; `ops/benchmarks/vectors-peers.sh ROWS`
//! puts hnswlib and usearch beside them, on vectors generated the same way.
//!
//! Estimates go on from the two largest sizes as a power of the rows: take both large, on one side of where Lance begins to
//! use its index (20,000 rows) or to shorten vectors (200,000).

mod measured;
mod set;

use super::report::{Figure, print};
use crate::Global;
use crate::failure::{Failure, Outcome, Status};
use set::Set;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// Rows that an estimate is made for.
const ESTIMATED: f64 = 5_000_000.0;
/// Of what an estimate is made.
const GROWS: &[&str] =
    &["build", "on disk", "resident, own", "resident, mapped files", "p50, 10 nearest", "p50, filter of 1 %"];
/// The one that needs no making.
const EXACT: &str = "exact";

/// Measures nearest vectors.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  stillhouse bench search --vectors 5000,50000,500000\n  \
                        stillhouse bench search --corpus documents --only lance\n\
                        Beside hnswlib and usearch: ops/benchmarks/vectors-peers.sh 20000")]
pub struct Args {
    /// Generated vectors, in clusters; each number is a run of its own
    #[arg(long, value_delimiter = ',', default_values_t = [5_000, 50_000], value_name = "N,..")]
    vectors: Vec<usize>,
    /// The vectors of an own corpus instead; one in so many of them asks and is left out
    #[arg(long, conflicts_with = "vectors", value_name = "NAME")]
    corpus: Option<String>,
    /// Numbers of a generated vector
    #[arg(long, default_value_t = 384, value_name = "N")]
    dimensions: usize,
    /// Queries
    #[arg(long, default_value_t = 200, value_name = "N")]
    queries: usize,
    /// Only these: hnsw, lance
    #[arg(long, value_delimiter = ',', value_name = "KIND,..")]
    only: Vec<String>,
    /// What a process of its own measures
    #[arg(long, hide = true, requires = "folder")]
    measure: Option<String>,
    #[arg(long, hide = true)]
    folder: Option<PathBuf>,
}

/// What was measured of what, at each size.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Measure {
    kind: &'static str,
    what: String,
    unit: &'static str,
}

/// Runs the benchmark.
pub async fn run(global: &Global, args: &Args) -> Outcome {
    if let (Some(what), Some(folder)) = (&args.measure, &args.folder) {
        let (what, folder) = (what.clone(), folder.clone());
        let measured = tokio::task::spawn_blocking(move || measured::measure(&what, &folder)).await;
        let figures = measured.map_err(|e| Failure::new(Status::Failed, e.to_string()))??;
        return global.output().rows(&figures);
    }
    let unknown = args.only.iter().find(|kind| !measured::KINDS.contains(&kind.as_str()));
    if let Some(kind) = unknown {
        let known = measured::KINDS.join(", ");
        return Err(Failure::new(Status::Usage, format!("there is no `{}`: there are {known}", kind.escape_debug())));
    }
    let context = global.load(&[])?;
    let scratch = tempfile::tempdir_in(crate::context::make_dir(&context.settings.data)?)?;
    let mut figures = Vec::new();
    let mut by_size: BTreeMap<Measure, Vec<(f64, f64)>> = BTreeMap::new();
    let sizes = if args.corpus.is_some() { vec![0] } else { args.vectors.clone() };
    for size in sizes {
        let folder = scratch.path().join(size.to_string());
        let set = match &args.corpus {
            Some(corpus) => Set::of_corpus(global, corpus, args.queries, &folder).await?,
            None => Set::generated(size, args.dimensions, args.queries, &folder)?,
        };
        for (kind, steps) in measured::STEPS {
            if *kind != EXACT && !args.only.is_empty() && !args.only.iter().any(|only| only == kind) {
                continue;
            }
            for step in *steps {
                for (what, value, unit) in child(step, &folder).await? {
                    let Some(unit) = measured::UNITS.iter().find(|known| **known == unit) else { continue };
                    let of = Measure { kind, what: what.clone(), unit };
                    by_size.entry(of).or_default().push((set.rows as f64, value));
                    figures.push(Figure::of(format!("{} rows, {kind}: {what}", set.rows), value, unit));
                }
            }
        }
        std::fs::remove_dir_all(&folder)?;
    }
    for (Measure { kind, what, unit }, values) in &by_size {
        if let [.., first, last] = values[..]
            && GROWS.contains(&what.as_str())
            && first.1 > 0.0
            && last.0 > first.0
        {
            let power = ((last.1 / first.1).ln() / (last.0 / first.0).ln()).clamp(0.0, 2.0);
            let value = last.1 * (ESTIMATED / last.0).powf(power);
            let name = format!("estimate for {ESTIMATED} rows, {kind}: {what}");
            let mut figure = Figure::of(name, value, unit);
            figure.beside = format!("grows as rows^{power:.2} from {} to {}", first.0, last.0);
            figures.push(figure);
        }
    }
    print(&global.output(), &figures)
}

/// Measures in a process of its own.
async fn child(what: &str, folder: &Path) -> Outcome<Vec<(String, f64, String)>> {
    let mut command = tokio::process::Command::new(std::env::current_exe()?);
    command.args(["bench", "search", "-o", "jsonl", "--measure", what, "--folder"]).arg(folder);
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true).output().await?;
    if !output.status.success() {
        return Err(Failure::new(Status::Failed, format!("measuring {what} failed: {}", output.status)));
    }
    let mut figures = Vec::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let figure: serde_json::Value =
            serde_json::from_str(line).map_err(|e| Failure::new(Status::Failed, format!("{what}: {e}")))?;
        let word = |name: &str| figure[name].as_str().unwrap_or_default().to_owned();
        figures.push((word("what"), figure["value"].as_f64().unwrap_or_default(), word("unit")));
    }
    Ok(figures)
}
