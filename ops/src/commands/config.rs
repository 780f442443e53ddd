//! `stillhouse config show`: every setting with its value and where it came from.

use crate::Global;
use crate::failure::Outcome;
use serde_json::{Value, json};

/// Shows the settings in force.
#[derive(Debug, clap::Subcommand)]
pub enum Args {
    /// Each value with its origin: default, file, environment or flag
    Show,
    /// A commented settings file with the defaults, for standard output
    Init,
}

/// Runs the command.
pub fn run(global: &Global, args: &Args) -> Outcome {
    let out = global.output();
    if matches!(args, Args::Init) {
        return out.line(include_str!("config_template.toml").trim_end());
    }
    let loaded = global.load(&[])?;
    let tree = serde_json::to_value(&loaded.settings).map_err(anyhow::Error::from)?;
    let mut rows = Vec::new();
    flatten(&tree, "", &mut rows);
    let origin = |name: &str| loaded.origins.get(name).map_or("default", String::as_str).to_owned();
    let secret = |name: &str| name.contains("sha256") || name.contains("kafka.properties.");
    let shown: Vec<(String, Value, String)> = rows
        .into_iter()
        .map(|(name, value)| {
            let masked = secret(&name) && ["password", "secret", "key", "sha256"].iter().any(|s| name.contains(s));
            let value = if masked { Value::from("******") } else { value };
            (name.clone(), value, origin(&name))
        })
        .collect();
    if out.is_json() {
        let rows: Vec<Value> =
            shown.iter().map(|(name, value, origin)| json!({"name": name, "value": value, "origin": origin})).collect();
        return out.rows(&rows);
    }
    let rows: Vec<Vec<String>> = shown.into_iter().map(|(n, v, o)| vec![n, v.to_string(), o]).collect();
    out.table(&["SETTING", "VALUE", "ORIGIN"], &rows)
}

fn flatten(value: &Value, prefix: &str, rows: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (name, inner) in map {
                let dotted = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                flatten(inner, &dotted, rows);
            }
        }
        _ => rows.push((prefix.to_owned(), value.clone())),
    }
}
