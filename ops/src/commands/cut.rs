//! Cuts on the command line: a manifest, or the JSON of one.

use crate::failure::{Failure, Outcome, Status};
use serde_json::Value;
use std::path::Path;
use stillhouse_streams::Progress;

/// Reads a cut: a path to a file that holds one (a dataset's `manifest.json`, say), or the JSON itself:
/// `[["runs", 0, 120], …]`.
pub fn parse(text: &str) -> Outcome<Progress> {
    let content = if Path::new(text).is_dir() {
        std::fs::read_to_string(Path::new(text).join("manifest.json"))?
    } else if Path::new(text).is_file() {
        std::fs::read_to_string(text)?
    } else {
        text.to_owned()
    };
    let bad = || {
        Failure::new(Status::Usage, format!("`{text}` is not a cut"))
            .hint("give a dataset's manifest.json, a time (RFC 3339), or [[\"topic\", partition, end], …]")
    };
    let value: Value = serde_json::from_str(&content).map_err(|_| bad())?;
    find(&value).ok_or_else(bad)
}

fn find(value: &Value) -> Option<Progress> {
    match value {
        Value::Array(_) => serde_json::from_value(value.clone()).ok(),
        Value::Object(map) => map.get("cut").or_else(|| map.get("positions")).and_then(find),
        _ => None,
    }
}
