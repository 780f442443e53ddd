//! `summary.json` of a run: the line that the contract `scored_run` has for it.

use crate::context::{Context, make_dir};
use crate::events::at;
use crate::failure::{Failure, Outcome, Status};
use std::collections::BTreeMap;
use std::path::Path;
use stillhouse_processors::auditor::Report;
use stillhouse_processors::auditor::gather::Pick;
use stillhouse_processors::contracts::{ScoredRun, Verdict};
use stillhouse_processors::exporter::Short;
use stillhouse_processors::wire;
use stillhouse_schemas::{Event, Payload};
use stillhouse_streams::Position;

/// Phase of summaries.
const PHASE: i32 = 5;

/// Writes the summaries of these runs below `out/runs`, two levels deep, because there may be many.
pub(super) async fn write(context: &Context, report: &mut Report, picks: BTreeMap<Short, Pick>, out: &Path) -> Outcome {
    let (mut written, mut unread) = (0_u64, 0_u64);
    for (run, pick) in picks {
        let Some(Event { envelope, payload: Payload::Evidence(evidence) }) = event(context, &pick.evidence).await?
        else {
            unread += 1;
            continue;
        };
        let score = match &pick.score {
            Some(position) => event(context, position).await?,
            None => None,
        };
        let verdict = score.and_then(|score| Verdict::of(&score.envelope.id, &score.payload));
        let verdict = verdict.unwrap_or(Verdict::Skipped);
        let scored = ScoredRun { evidence_id: &envelope.id, evidence: &evidence, verdict: &verdict };
        let mut line = scored.line().map_err(|e| Failure::new(Status::Failed, format!("{}: {e}", envelope.id)))?;
        line.push(b'\n');
        let name = super::event::hex(&run);
        let dir = make_dir(&out.join("runs").join(&name[..2]).join(&name))?;
        std::fs::write(dir.join("summary.json"), line)?;
        written += 1;
    }
    let phase = report.phases.entry(PHASE).or_default();
    phase.checks += written;
    phase.check(unread == 0, || format!("{unread} runs could not be read again"));
    phase.say(format!("{written} runs have a summary.json"));
    Ok(())
}

async fn event(context: &Context, position: &Position) -> Outcome<Option<Event>> {
    let Some(received) = at(context, position).await? else { return Ok(None) };
    Ok(wire::received(&context.codec, &received).ok().flatten())
}
