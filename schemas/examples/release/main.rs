//! Releases the schemas as they stand: for every event type whose schema differs from its newest released version in
//! more than its documentation, writes the next version's fixtures and adds their hashes to `fixtures/RELEASED`.
//! Refuses a schema that cannot read what an earlier version wrote. Never changes a file that is there, but for
//! `RELEASED`, to which it appends.
//!
//! Afterwards add the new version's number to the event's line in `src/types.rs`.

mod fixtures;
mod samples;

use std::error::Error;
use std::fs;
use std::io::Write as _;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout().lock();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mut released = Vec::new();
    for event in stillhouse_schemas::EVENTS {
        let dir = root.join(event.name);
        let versions = fixtures::versions(&dir)?;
        let newest = versions.last().map(|v| fs::read_to_string(dir.join(format!("v{v}.avsc")))).transpose()?;
        if newest.is_some_and(|n| fixtures::same_but_docs(&n, event.schema_json())) {
            continue;
        }
        for v in &versions {
            let old = fs::read_to_string(dir.join(format!("v{v}.avsc")))?;
            stillhouse_schemas::evolution::can_follow(event.schema_json(), &old)
                .map_err(|e| format!("{}: version {v} would become unreadable: {e}", event.name))?;
        }
        let next = versions.last().map_or(1, |v| v + 1);
        fs::create_dir_all(&dir)?;
        let mut write = |name: String, bytes: &[u8]| -> Result<(), Box<dyn Error>> {
            let path = dir.join(&name);
            fs::OpenOptions::new().write(true).create_new(true).open(&path)?.write_all(bytes)?;
            released.push(fixtures::line(&format!("{}/{name}", event.name), bytes));
            Ok(())
        };
        let schema: serde_json::Value = serde_json::from_str(event.schema_json())?;
        write(format!("v{next}.avsc"), format!("{schema:#}\n").as_bytes())?;
        for (name, event) in samples::of(event.name) {
            write(format!("v{next}.{name}.avro"), &samples::codec(name).encode(&event)?.value)?;
            write(format!("v{next}.{name}.json"), format!("{:#}\n", event.to_json()).as_bytes())?;
        }
        writeln!(out, "{} v{next}: add \"{next}\" to its line in src/types.rs", event.name)?;
    }
    let mut list = fs::OpenOptions::new().append(true).create(true).open(root.join("RELEASED"))?;
    list.write_all(released.concat().as_bytes())?;
    writeln!(out, "{} files released", released.len())?;
    Ok(())
}
