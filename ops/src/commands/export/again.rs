//! Asking again for a dataset that was written: from what the event about it says, or its manifest.

use super::{Form, SftArgs};
use crate::failure::{Failure, Outcome, Status};
use clap::ValueEnum;
use std::path::Path;
use stillhouse_files::dataset::Dataset;
use stillhouse_processors::exporter::Plan;
use stillhouse_schemas::{Category, Exported};
use stillhouse_streams::Progress;

/// The cut of a dataset.
pub fn cut_of(exported: &Exported) -> Outcome<Progress> {
    let cut: Vec<(String, u32, u64)> = serde_json::from_str(&exported.cut)
        .map_err(|e| Failure::new(Status::Invalid, format!("the cut of {}: {e}", exported.dataset)))?;
    Ok(cut.into_iter().map(|(topic, partition, end)| (topic.into(), partition, end)).collect())
}

/// What was asked for when this dataset was written, at another cut, into another directory.
pub fn again(exported: &Exported, place: Option<&Path>, at: &Progress, out: &Path) -> Outcome<SftArgs> {
    let name = &exported.dataset;
    let unknown = |what: String| {
        Failure::new(Status::Failed, format!("{name} cannot be derived again: {what}"))
            .hint("a release that knows its kind can: nothing of it was changed")
    };
    if exported.kind != Plan::KIND {
        return Err(unknown(format!("this release makes no datasets of kind `{}`", exported.kind)));
    }
    let form = exported.format.split('/').next().unwrap_or_default();
    let format = Form::from_str(form, false).map_err(|_| unknown(format!("this release does not write `{form}`")))?;
    let manifest = || place.and_then(|place| Dataset::open(place).ok());
    let categories = exported
        .filters
        .get("categories")
        .cloned()
        .or_else(|| manifest()?.manifest().exporter.settings.get("categories").cloned())
        .ok_or_else(|| unknown("neither its event nor a manifest says which categories it has".into()))?;
    let positions: Vec<_> = at.iter().map(|(t, p, end)| (t.to_string(), p, end)).collect();
    Ok(SftArgs {
        out: out.to_path_buf(),
        at: serde_json::to_string(&positions).map_err(anyhow::Error::from)?,
        allow_partial: categories.split(',').any(|word| word == Category::PartiallyAccepted.as_str()),
        format,
        timeout: None,
        allow_empty: true,
        force: true,
        supersedes: None,
    })
}
