//! What can be asked for.

use super::formats::{FORMATS, format};
use crate::failure::{Failure, Outcome, Status};
use std::path::PathBuf;
use stillhouse_files::dataset::Format;
use stillhouse_processors::exporter::kinds::{Kind, kind};
use stillhouse_processors::exporter::secrets::{Action, Finds, Screen};
use stillhouse_processors::exporter::shapes::{SHAPES, Shape};
use stillhouse_processors::exporter::{Filters, Plan, Splits};
use stillhouse_schemas::Envelope;
use stillhouse_streams::Position;

/// Writes a dataset.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    kind: Sub,
}

#[derive(Debug, clap::Subcommand)]
enum Sub {
    /// Accepted runs as conversations to fine-tune on
    Sft(Sft),
    /// What was said in accepted runs, in chunks to be searched
    Rag(Rag),
    /// Pairs of answers to the same prompt: an accepted and a rejected run, or a person's correction
    Preference(Preference),
}

/// Accepted runs as conversations. Rejected runs and those that need a human's review never enter; no option changes that.
#[derive(Debug, clap::Args)]
#[command(after_help = format!("{}\n\nExamples:\n  stillhouse export sft --out datasets --split 0.8,0.1,0.1 --format parquet\n  \
                        stillhouse export sft --out datasets --at datasets/sft-3f9c0a1b2d4e/manifest.json", shapes("sft")))]
struct Sft {
    #[command(flatten)]
    request: Request,
}

/// What was said in accepted runs, in chunks. Rejected runs and those that need a human's review never enter.
#[derive(Debug, clap::Args)]
#[command(after_help = shapes("rag"))]
struct Rag {
    #[command(flatten)]
    request: Request,
    /// Characters of a chunk, at most
    #[arg(long, default_value_t = Plan::CHUNK_CHARS, value_name = "N")]
    chunk_chars: usize,
    /// Characters that a chunk may have in common with the one before
    #[arg(long, default_value_t = Plan::CHUNK_OVERLAP, value_name = "N")]
    chunk_overlap: usize,
}

/// Pairs of answers to the same prompt, byte for byte. The better one is of an accepted run or a person's correction, the
/// worse one of a rejected run or of the run that was corrected.
#[derive(Debug, clap::Args)]
#[command(after_help = shapes("preference"))]
struct Preference {
    #[command(flatten)]
    request: Request,
    /// Take at most this many pairs of a prompt, the same ones every time [default: all]
    #[arg(long, value_name = "N")]
    max_pairs: Option<u64>,
}

/// The shapes of a kind, the canonical one first.
fn shapes(kind: &str) -> String {
    let of_kind = SHAPES.iter().filter(|shape| shape.forms.iter().any(|form| form.kind == kind));
    let lines: Vec<String> = of_kind.map(|shape| format!("  {:<18} {}", shape.name, shape.doc)).collect();
    format!("Shapes, the first unless another is asked for:\n{}", lines.join("\n"))
}

/// What all kinds have in common.
#[derive(Clone, Debug, clap::Args)]
pub struct Request {
    /// Directory of datasets; one directory per cut is made in it
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Up to where: `now`, a time (RFC 3339), or a cut (a dataset's manifest.json, or its JSON)
    #[arg(long, default_value = "now", value_name = "CUT")]
    pub at: String,
    /// Shape of the rows [default: the canonical one]
    #[arg(long, value_name = "SHAPE")]
    pub shape: Option<String>,
    /// Format of the files: jsonl, parquet or lance
    #[arg(long, default_value = "jsonl", value_name = "FORMAT")]
    pub format: String,
    /// Shares of train, validation and test, which make 1; a task is in one of them for ever
    #[arg(long, default_value_t = Splits::default(), hide_default_value = true, value_name = "SHARES")]
    pub split: Splits,
    /// Leave out rows as similar as this to an earlier one, from 0.3 to 1 (estimated Jaccard similarity of their words)
    #[arg(long, value_name = "THRESHOLD")]
    pub near_duplicates: Option<f64>,
    /// Write [REDACTED:kind] over what rules find: `secrets`, `personal`, `all`, `none`, or kinds such as email,card
    /// [default: secrets]
    #[arg(long, value_name = "FINDS")]
    pub redact: Option<Finds>,
    /// Leave runs out that hold what rules find: `secrets`, `personal`, `all`, or kinds
    #[arg(long, value_name = "FINDS")]
    pub quarantine: Option<Finds>,
    /// Only runs with this tag; may be repeated, and end in *
    #[arg(long, value_name = "TAG")]
    pub tag: Vec<String>,
    /// Only runs of this model; may be repeated, and end in *
    #[arg(long, value_name = "MODEL")]
    pub model: Vec<String>,
    /// Only runs with this task key; may be repeated, and end in *
    #[arg(long, value_name = "KEY")]
    pub task: Vec<String>,
    /// Let partially accepted runs in
    #[arg(long)]
    pub allow_partial: bool,
    /// Give up if the processors have not passed the cut after this many seconds
    #[arg(long, value_name = "SECONDS")]
    pub timeout: Option<u64>,
    /// Write a dataset even if there is nothing in the cut
    #[arg(long)]
    pub allow_empty: bool,
    /// Write to a directory that holds other things than datasets
    #[arg(long)]
    pub force: bool,
}

/// An export that was asked for, checked as far as words go.
#[derive(Clone, Debug)]
pub struct Order {
    /// What was said.
    pub request: Request,
    /// The kind.
    pub kind: &'static Kind,
    /// The shape.
    pub shape: &'static Shape,
    /// The format.
    pub format: &'static dyn Format,
    /// What is done with secrets.
    pub screen: Screen,
    /// Pairs of a prompt.
    pub max_pairs: Option<u64>,
    /// Characters of a chunk.
    pub chunk_chars: usize,
    /// Characters that chunks share.
    pub chunk_overlap: usize,
    /// Takes the place of another dataset.
    pub supersedes: Option<Superseded>,
}

/// A dataset that is replaced, and by what events it is.
#[derive(Clone, Debug)]
pub struct Superseded {
    /// Its name.
    pub dataset: String,
    /// Its export, and the decisions.
    pub causes: Vec<(Envelope, Position)>,
}

impl Args {
    /// What was asked for.
    pub fn order(self) -> Outcome<Order> {
        match self.kind {
            Sub::Sft(sft) => Order::new("sft", sft.request),
            Sub::Rag(Rag { request, chunk_chars, chunk_overlap }) => {
                let usage = |why: &str| Err(Failure::new(Status::Usage, why));
                if chunk_chars < 16 {
                    return usage("--chunk-chars: a chunk has at least 16 characters");
                }
                if chunk_overlap > chunk_chars / 2 {
                    return usage("--chunk-overlap: at most half a chunk may be in the next one too");
                }
                Ok(Order { chunk_chars, chunk_overlap, ..Order::new("rag", request)? })
            }
            Sub::Preference(Preference { request, max_pairs }) => {
                Ok(Order { max_pairs, ..Order::new("preference", request)? })
            }
        }
    }
}

impl Order {
    /// An export of a kind, in its usual sizes.
    pub fn new(name: &str, request: Request) -> Outcome<Self> {
        let usage = |e: &dyn std::fmt::Display| Failure::new(Status::Usage, e.to_string());
        let kind = kind(name).ok_or_else(|| usage(&format!("there is no kind `{name}`")))?;
        let shape = Shape::find(kind, request.shape.as_deref()).map_err(|e| usage(&e))?;
        let format = format(&request.format)?;
        if let Some(threshold) = request.near_duplicates
            && !(0.3..=1.0).contains(&threshold)
        {
            return Err(usage(&format!("--near-duplicates {threshold} is not from 0.3 to 1")));
        }
        let mut screen = Screen::default();
        if let Some(finds) = &request.redact {
            screen = Screen::open();
            screen.set(finds, Action::Redact);
        }
        if let Some(finds) = &request.quarantine {
            screen.set(finds, Action::Quarantine);
        }
        Ok(Self {
            request,
            kind,
            shape,
            format,
            screen,
            max_pairs: None,
            chunk_chars: Plan::CHUNK_CHARS,
            chunk_overlap: Plan::CHUNK_OVERLAP,
            supersedes: None,
        })
    }

    /// SFT rows of all there is now, in the canonical shape.
    pub fn sft(out: impl Into<PathBuf>) -> Outcome<Self> {
        Self::new("sft", Request::now(out))
    }

    /// Which runs are asked for.
    pub fn filters(&self) -> Filters {
        let Request { tag, model, task, .. } = &self.request;
        Filters { tags: tag.clone(), models: model.clone(), tasks: task.clone() }
    }
}

impl Request {
    /// All there is now.
    pub fn now(out: impl Into<PathBuf>) -> Self {
        Self {
            out: out.into(),
            at: "now".into(),
            shape: None,
            format: FORMATS[0].name.into(),
            split: Splits::default(),
            near_duplicates: None,
            redact: None,
            quarantine: None,
            tag: vec![],
            model: vec![],
            task: vec![],
            allow_partial: false,
            timeout: None,
            allow_empty: false,
            force: false,
        }
    }
}
