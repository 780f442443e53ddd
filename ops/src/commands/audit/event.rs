//! The report on disk, and the event that says what was found.

use crate::context::Context;
use crate::failure::{Failure, Outcome, Status};
use sha2::{Digest, Sha256};
use std::path::Path;
use stillhouse_processors::auditor::{AUDITS, NAME, Report, VERSION};
use stillhouse_processors::{Settings, wire};
use stillhouse_schemas::{Envelope, Event, Payload, Producer};

/// Findings that an event holds; the report has all.
const FINDINGS: usize = 100;

/// The report in JSON, with the end of its line.
pub(super) fn json(report: &Report) -> Outcome<Vec<u8>> {
    let mut json = report.json().map_err(|e| Failure::new(Status::Failed, format!("the report: {e}")))?;
    json.push(b'\n');
    Ok(json)
}

/// Writes `report.json` and `report.md`; the former and its SHA-256.
pub(super) fn write(report: &Report, dir: &Path) -> Outcome<(Vec<u8>, String)> {
    crate::context::make_dir(dir)?;
    let json = json(report)?;
    std::fs::write(dir.join("report.json"), &json)?;
    std::fs::write(dir.join("report.md"), report.markdown())?;
    let sha256 = sha256(&json);
    Ok((json, sha256))
}

/// Says it in the journal.
pub(super) async fn say(context: &Context, report: &Report, settings: &Settings, sha256: String) -> Outcome<Event> {
    let mut audited = report.audited(sha256);
    audited.findings.truncate(FINDINGS);
    let event = Event {
        envelope: Envelope {
            id: report.audit_id.clone(),
            key: report.audit_id.clone(),
            occurred_at: jiff::Timestamp::now().as_microsecond(),
            producer: Producer { name: NAME.into(), version: VERSION.into(), config_hash: settings.config_hash() },
            ..Envelope::default()
        },
        payload: Payload::Audited(audited),
    };
    let append = wire::append(context.names.topic(AUDITS), &context.codec, &event)
        .map_err(|e| Failure::new(Status::Failed, e.to_string()))?;
    context.journal.append(vec![append]).await?;
    Ok(event)
}

pub(super) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
