//! `audit_baselines.jsonl`: a view of the audits that are baselines, a line each, only appended to.

use crate::context::{Context, make_dir};
use crate::events::{Read, Records};
use crate::failure::{Failure, Outcome, Status};
use std::io::Write;
use std::path::PathBuf;
use stillhouse_processors::auditor::AUDITS;
use stillhouse_processors::contracts::{Baseline, contract};
use stillhouse_schemas::{Audited, Event, Payload};

/// Name of the file in the data directory.
const FILE: &str = "audit_baselines.jsonl";

/// The baseline with this id, or the latest.
pub(super) async fn find(context: &Context, id: &str) -> Outcome<(String, Audited)> {
    let found = all(context).await?.into_iter().rev().find_map(|event| match event.payload {
        Payload::Audited(audited) if id == "latest" || audited.audit_id == id => {
            Some((audited.audit_id.clone(), audited))
        }
        _ => None,
    });
    found.ok_or_else(|| {
        let what =
            if id == "latest" { "there is no baseline".to_owned() } else { format!("there is no baseline `{id}`") };
        Failure::new(Status::NotFound, what).hint("`stillhouse audit baseline` makes one")
    })
}

/// All of them, in order.
async fn all(context: &Context) -> Outcome<Vec<Event>> {
    let mut all = Vec::new();
    let mut records = Records::of(context, &[context.names.topic(AUDITS)]).await?;
    while let Some(page) = records.events().await? {
        for (_, read) in page {
            if let Read::Event(event) = read
                && matches!(&event.payload, Payload::Audited(audited) if audited.kind == "baseline")
            {
                all.push(*event);
            }
        }
    }
    Ok(all)
}

/// Appends the line of a baseline that was just said, and those before it that the file does not have.
pub(super) async fn append(context: &Context, said: &Event) -> Outcome<PathBuf> {
    let path = make_dir(&context.data())?.join(FILE);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error.into()),
    };
    let damaged = |line: usize, what: &str| {
        Failure::new(Status::Invalid, format!("{}: line {line}: {what}; nothing was appended", path.display()))
            .hint("move it away: it is made again of what the journal says")
    };
    if !text.is_empty() && !text.ends_with('\n') {
        return Err(damaged(text.lines().count(), "it has no end"));
    }
    let shape = contract("audit_baselines")
        .ok_or_else(|| Failure::new(Status::Failed, "there is no contract for baselines"))?;
    let known: Vec<&str> = text.split_terminator('\n').collect();
    for (number, line) in (1..).zip(&known) {
        shape.check(line).map_err(|e| damaged(number, &e.to_string()))?;
    }
    let mut more = Vec::new();
    let mut events = all(context).await?;
    if events.iter().all(|event| event.envelope.id != said.envelope.id) {
        events.push(said.clone());
    }
    for event in events {
        let Some(baseline) = Baseline::of(&event) else { continue };
        let baseline =
            baseline.map_err(|e| Failure::new(Status::Failed, format!("baseline {}: {e}", event.envelope.id)))?;
        if known.iter().all(|line| line.as_bytes() != baseline.line()) {
            more.extend_from_slice(baseline.line());
            more.push(b'\n');
        }
    }
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&path)?;
    file.write_all(&more)?;
    file.sync_all()?;
    Ok(path)
}
