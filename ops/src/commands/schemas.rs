//! `stillhouse schemas`: the schemas of events, for those who write or read them elsewhere.

use crate::failure::{Failure, Outcome, Status};
use crate::output::Output;
use serde_json::{Value, json};
use std::path::PathBuf;
use stillhouse_schemas::{EVENTS, EventType, TOPICS, evolution};

/// The schemas of events.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: Option<What>,
}

/// What to do with schemas.
#[derive(Debug, clap::Subcommand)]
pub enum What {
    /// List them
    List,
    /// Print one, self-contained, as it is published
    Show {
        /// Short name (`run`), type (`stillhouse.run`) or record (`stillhouse.RunEvent`)
        name: String,
    },
    /// Check that readers by the schema in a file can read what every release wrote (BACKWARD_TRANSITIVE)
    Check {
        /// An Avro schema (.avsc) of one of the records that `list` shows
        file: PathBuf,
    },
}

/// Runs the command. It needs no journal.
pub fn run(out: &Output, args: Args) -> Outcome {
    match args.what.unwrap_or(What::List) {
        What::List => list(out),
        What::Show { name } => out.line(named(&name)?.schema_json()),
        What::Check { file } => check(out, &file),
    }
}

fn topics(event: &EventType) -> Vec<&'static str> {
    TOPICS.iter().filter(|t| t.events.contains(&event.name)).map(|t| t.name).collect()
}

fn list(out: &Output) -> Outcome {
    if out.is_json() {
        let rows: Vec<Value> = EVENTS
            .iter()
            .map(|e| {
                json!({
                    "name": e.name,
                    "type": e.ce_type,
                    "record": e.record,
                    "versions": e.released.len(),
                    "fingerprint": e.fingerprint(),
                    "topics": topics(e),
                    "doc": e.doc,
                })
            })
            .collect();
        return out.rows(&rows);
    }
    let rows: Vec<Vec<String>> = EVENTS
        .iter()
        .map(|e| {
            let versions = e.released.len().to_string();
            vec![e.name.into(), e.record.into(), versions, e.fingerprint(), topics(e).join(", "), e.doc.into()]
        })
        .collect();
    out.table(&["NAME", "RECORD", "VERSIONS", "FINGERPRINT", "TOPICS", "WHAT"], &rows)
}

fn named(name: &str) -> Outcome<&'static EventType> {
    EVENTS.iter().find(|e| [e.name, e.ce_type, e.record].contains(&name)).ok_or_else(|| {
        let known: Vec<&str> = EVENTS.iter().map(|e| e.name).collect();
        Failure::new(Status::NotFound, format!("there is no schema `{}`", name.escape_debug()))
            .hint(format!("there are {}", known.join(", ")))
    })
}

fn check(out: &Output, file: &std::path::Path) -> Outcome {
    let invalid = |message: String| Failure::new(Status::Invalid, format!("{}: {message}", file.display()));
    let text = std::fs::read_to_string(file)
        .map_err(|e| Failure::new(Status::NotFound, format!("cannot read {}: {e}", file.display())))?;
    let schema: Value = serde_json::from_str(&text).map_err(|e| invalid(e.to_string()))?;
    let part = |name: &str| schema.get(name).and_then(Value::as_str).unwrap_or_default();
    let (name, namespace) = (part("name"), part("namespace"));
    let record =
        if name.contains('.') || namespace.is_empty() { name.to_owned() } else { format!("{namespace}.{name}") };
    let Some(event) = EVENTS.iter().find(|e| e.record == record) else {
        let known: Vec<&str> = EVENTS.iter().map(|e| e.record).collect();
        return Err(invalid(format!("`{}` is no record of an event", record.escape_debug()))
            .hint(format!("its name and namespace must make one of {}", known.join(", "))));
    };
    let mut rows = Vec::new();
    let releases = (1..).zip(event.released.iter().copied()).map(|(n, old): (usize, _)| (format!("v{n}"), old));
    for (release, old) in releases.chain([("current".to_owned(), event.schema_json())]) {
        let verdict = evolution::can_follow(&text, old);
        rows.push((release, verdict));
    }
    let bad = rows.iter().filter(|(_, verdict)| verdict.is_err()).count();
    if out.is_json() {
        let releases: Vec<Value> = rows
            .iter()
            .map(|(release, verdict)| json!({"release": release, "compatible": verdict.is_ok(), "why": verdict.as_ref().err()}))
            .collect();
        out.json(&json!({"record": event.record, "compatible": bad == 0, "releases": releases}))?;
    } else {
        let cells = |(release, verdict): &(String, Result<(), String>)| {
            vec![
                release.clone(),
                verdict.as_ref().err().map_or_else(|| "reads it".to_owned(), |why| format!("cannot: {why}")),
            ]
        };
        let rows: Vec<Vec<String>> = rows.iter().map(cells).collect();
        out.table(&["RELEASE", "VERDICT"], &rows)?;
    }
    if bad == 0 {
        Ok(())
    } else {
        Err(invalid(format!("not compatible with {bad} of the releases of {}", event.record)))
    }
}
