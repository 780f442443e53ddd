//! `stillhouse datasets`: every version that was written, and how it stands.

use crate::Global;
use crate::datasets::{self, Standing, Version};
use crate::decisions;
use crate::failure::{Failure, Outcome, Status};
use serde_json::{Value, json};
use stillhouse_processors::Decisions;

/// Lists datasets, or shows one.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of one of them
    name: Option<String>,
    /// Only those that stand so: good, recalled, erased
    #[arg(long, value_name = "HOW", value_parser = ["good", "recalled", "erased"])]
    state: Option<String>,
}

/// Runs the command.
pub async fn run(global: &Global, args: &Args) -> Outcome {
    let context = global.open_to_read().await?;
    let decisions = decisions::load(&context, None).await?;
    let mut versions = datasets::load(&context).await?;
    let out = &context.out;
    if let Some(name) = &args.name {
        versions.retain(|version| version.exported.dataset == *name);
        let Some(version) = versions.first() else {
            return Err(Failure::new(Status::NotFound, format!("no dataset is called `{name}`"))
                .hint("`stillhouse datasets` lists them"));
        };
        let value = to_json(version, &decisions);
        if out.is_json() {
            return out.json(&value);
        }
        for member in
            ["dataset", "kind", "format", "rows", "state", "recalled_runs", "superseded_by", "supersedes", "places"]
        {
            let text = match &value[member] {
                Value::Null => continue,
                Value::Array(items) if items.is_empty() => continue,
                Value::String(text) => text.clone(),
                Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
                other => other.to_string(),
            };
            out.text(&format!("{member:<14} {text}"))?;
        }
        for (reason, runs) in &version.exported.withheld {
            out.text(&format!("withheld       {reason}: {runs}"))?;
        }
        return Ok(());
    }
    versions.retain(|version| args.state.as_ref().is_none_or(|state| version.standing(&decisions).as_str() == state));
    if out.is_json() {
        return out.rows(&versions.iter().map(|version| to_json(version, &decisions)).collect::<Vec<_>>());
    }
    let rows: Vec<Vec<String>> = versions
        .iter()
        .map(|version| {
            let place = version.places.first().map_or_else(|| "-".to_owned(), |place| place.display().to_string());
            vec![
                version.exported.dataset.clone(),
                version.exported.format.clone(),
                version.exported.rows.to_string(),
                version.standing(&decisions).as_str().to_owned(),
                version.superseded_by(&decisions).unwrap_or("-").to_owned(),
                place,
            ]
        })
        .collect();
    out.table(&["DATASET", "FORMAT", "ROWS", "STATE", "SUPERSEDED BY", "PLACE"], &rows)
}

fn to_json(version: &Version, decisions: &Decisions) -> Value {
    let standing = version.standing(decisions);
    let runs = match &standing {
        Standing::Recalled(runs) => runs.clone(),
        Standing::Good | Standing::Erased => Vec::new(),
    };
    json!({
        "dataset": version.exported.dataset, "kind": version.exported.kind, "format": version.exported.format,
        "rows": version.exported.rows, "state": standing.as_str(), "recalled_runs": runs,
        "superseded_by": version.superseded_by(decisions), "supersedes": version.supersedes,
        "places": version.places, "withheld": version.exported.withheld, "event": version.envelope.id,
        "manifest_sha256": version.exported.manifest_sha256,
    })
}
