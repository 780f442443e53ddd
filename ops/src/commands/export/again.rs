//! Asking again for a dataset that was written: from what the event about it says, or its manifest.

use super::{Order, Request};
use crate::failure::{Failure, Outcome, Status};
use std::path::Path;
use stillhouse_files::dataset::Dataset;
use stillhouse_processors::exporter::kinds::KINDS;
use stillhouse_processors::exporter::secrets::{Action, Screen};
use stillhouse_schemas::{Category, Exported};
use stillhouse_streams::Progress;

/// The cut of a dataset.
pub fn cut_of(exported: &Exported) -> Outcome<Progress> {
    let cut: Vec<(String, u32, u64)> = serde_json::from_str(&exported.cut)
        .map_err(|e| Failure::new(Status::Invalid, format!("the cut of {}: {e}", exported.dataset)))?;
    Ok(cut.into_iter().map(|(topic, partition, end)| (topic.into(), partition, end)).collect())
}

/// What was asked for when this dataset was written, at another cut, into another directory.
pub fn again(exported: &Exported, place: Option<&Path>, at: &Progress, out: &Path) -> Outcome<Order> {
    let name = &exported.dataset;
    let unknown = |what: String| {
        Failure::new(Status::Failed, format!("{name} cannot be derived again: {what}"))
            .hint("a release that knows its kind can: nothing of it was changed")
    };
    if KINDS.iter().all(|kind| kind.name != exported.kind) {
        return Err(unknown(format!("this release makes no datasets of kind `{}`", exported.kind)));
    }
    let (format, shape) = exported.format.split_once('/').unwrap_or((&exported.format, "trl"));
    // The first releases called the canonical shape `trl/messages`.
    let shape = shape.split('/').next().unwrap_or(shape);
    let manifest = || place.and_then(|place| Dataset::open(place).ok());
    let settings = || manifest().map(|dataset| dataset.manifest().exporter.settings.clone()).unwrap_or_default();
    let limits = if exported.filters.contains_key("categories") { exported.filters.clone() } else { settings() };
    let categories = limits
        .get("categories")
        .ok_or_else(|| unknown("neither its event nor a manifest says which categories it has".into()))?;
    let read = |name: &str| -> Outcome<Option<f64>> {
        let number = limits.get(name).map(|text| text.parse::<f64>());
        number.transpose().map_err(|e| unknown(format!("its `{name}`: {e}")))
    };
    let list = |name: &str| -> Outcome<Vec<String>> {
        let list = limits.get(&format!("filter.{name}")).map(|text| serde_json::from_str(text));
        list.transpose().map(Option::unwrap_or_default).map_err(|e| unknown(format!("its filter `{name}`: {e}")))
    };
    let positions: Vec<_> = at.iter().map(|(t, p, end)| (t.to_string(), p, end)).collect();
    let request = Request {
        at: serde_json::to_string(&positions).map_err(anyhow::Error::from)?,
        shape: Some(shape.to_owned()),
        format: format.to_owned(),
        split: match limits.get("splits") {
            Some(splits) => splits.parse().map_err(|e| unknown(format!("its splits: {e}")))?,
            None => Default::default(),
        },
        near_duplicates: read("near_duplicates")?,
        tag: list("tag")?,
        model: list("model")?,
        task: list("task")?,
        allow_partial: categories.split(',').any(|word| word == Category::PartiallyAccepted.as_str()),
        allow_empty: true,
        force: true,
        ..Request::now(out)
    };
    let mut order = Order::new(&exported.kind, request).map_err(|failure| unknown(failure.to_string()))?;
    let mut screen = Screen::open();
    for (limit, action) in [("redact", Action::Redact), ("quarantine", Action::Quarantine)] {
        if let Some(finds) = limits.get(limit).filter(|finds| !finds.is_empty()) {
            screen.set(&finds.parse().map_err(|e| unknown(format!("its `{limit}`: {e}")))?, action);
        }
    }
    order.screen = screen;
    order.max_pairs = limits.get("max_pairs").and_then(|most| most.parse().ok());
    order.chunk_chars = read("chunk_chars")?.map_or(order.chunk_chars, |n| n as usize);
    order.chunk_overlap = read("chunk_overlap")?.map_or(order.chunk_overlap, |n| n as usize);
    Ok(order)
}
