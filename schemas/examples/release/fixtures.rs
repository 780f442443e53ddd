//! Released fixtures: their names, and the list of their hashes.

use serde_json::Value;
use sha2::{Digest, Sha256};
use std::io;
use std::path::Path;

/// Numbers of the versions in the folder of one event type, ascending.
pub(crate) fn versions(dir: &Path) -> io::Result<Vec<u32>> {
    let mut out = Vec::new();
    if dir.is_dir() {
        for entry in std::fs::read_dir(dir)? {
            let name = entry?.file_name();
            let number: Option<u32> =
                name.to_str().and_then(|n| n.strip_prefix('v')?.strip_suffix(".avsc")?.parse().ok());
            out.extend(number);
        }
    }
    out.sort_unstable();
    Ok(out)
}

/// A line of `RELEASED`, as `sha256sum` writes it.
pub(crate) fn line(path: &str, bytes: &[u8]) -> String {
    format!("{:x}  {path}\n", Sha256::digest(bytes))
}

/// Whether two schemas differ in documentation only. Defaults count, which the canonical form does not see.
pub(crate) fn same_but_docs(a: &str, b: &str) -> bool {
    let parse = |text: &str| serde_json::from_str(text).map(without_docs).ok();
    let (a, b) = (parse(a), parse(b));
    a.is_some() && a == b
}

fn without_docs(schema: Value) -> Value {
    match schema {
        Value::Object(members) => {
            let kept = members.into_iter().filter(|(k, v)| k != "doc" || !v.is_string());
            Value::Object(kept.map(|(k, v)| (k, without_docs(v))).collect())
        }
        Value::Array(items) => items.into_iter().map(without_docs).collect(),
        other => other,
    }
}
