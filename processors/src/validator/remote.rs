//! Validators of somebody else's, asked over HTTP: what is sent, and what is taken for an answer.
//!
//! Sent: `{"validator", "artefact", "context"}`. Taken: `{"verdict": "pass"|"fail"|"skipped", "findings": [{"code", "severity",
//! "message", "field", "span": [from, to], "remedy"}], "reason"}`, with nothing else in it, the verdict in keeping with
//! the findings. Whatever else comes back, and any failure or delay, is `skipped` with the reason, and never a pass.
//!
//! Such a validator may answer otherwise tomorrow: what it said is in the event, and a rewind asks it again.

use super::finding::{Checked, Finding, MOST_FINDINGS, Severity, Verdict};
use super::{Artefact, Subject};
use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};

/// Whoever can ask over HTTP.
#[async_trait]
pub trait Remotes: std::fmt::Debug + Send + Sync {
    /// POSTs `body` to `url` and gives back the reply's body, or says why there is none.
    async fn post(&self, url: &str, timeout_ms: u64, body: String) -> Result<String, String>;
}

/// What is sent.
pub fn question(name: &str, subject: &Subject<'_>) -> String {
    let artefact = |artefact: &Artefact| artefact.json().cloned().unwrap_or_else(|| Value::from(artefact.text()));
    json!({"validator": name, "artefact": artefact(subject.artefact), "context": subject.context}).to_string()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reply {
    verdict: String,
    #[serde(default)]
    findings: Vec<Said>,
    #[serde(default)]
    reason: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    code: String,
    severity: String,
    message: String,
    #[serde(default)]
    field: Option<String>,
    #[serde(default)]
    span: Option<(usize, usize)>,
    #[serde(default)]
    remedy: Option<String>,
}

/// What an answer comes to.
pub fn read(reply: Result<String, String>) -> Checked {
    match reply.and_then(|body| parse(&body)) {
        Ok(checked) => checked,
        Err(why) => Checked::skipped(why),
    }
}

fn parse(body: &str) -> Result<Checked, String> {
    let reply: Reply = serde_json::from_str(body).map_err(|error| format!("its reply has another form: {error}"))?;
    if reply.findings.len() > MOST_FINDINGS {
        return Err(format!("its reply has more than {MOST_FINDINGS} findings"));
    }
    let verdict = Verdict::named(&reply.verdict).ok_or("its reply has no verdict of pass, fail or skipped")?;
    let finding = |said: Said| {
        let severity = Severity::named(&said.severity)
            .ok_or("a finding of its reply has no severity of info, warning or blocking")?;
        let short = said.code.len() <= 64
            && said.message.len() <= 2_000
            && said.remedy.as_ref().is_none_or(|r| r.len() <= 2_000);
        if said.code.is_empty() || !short || said.span.is_some_and(|(from, to)| from > to) {
            return Err(
                "a finding of its reply has no code, a text that is too long or a span that ends before it begins",
            );
        }
        Ok(Finding {
            code: said.code.into(),
            severity,
            message: said.message,
            field: said.field,
            span: said.span.map(|(from, to)| from..to),
            remedy: said.remedy.unwrap_or_default(),
        })
    };
    let findings = reply.findings.into_iter().map(finding).collect::<Result<Vec<_>, _>>()?;
    let skipped = (verdict == Verdict::Skipped)
        .then(|| reply.reason.unwrap_or_else(|| "it says so, without a reason".to_owned()));
    let checked = Checked { findings, skipped };
    if checked.verdict() != verdict {
        return Err(format!(
            "its reply contradicts itself: the verdict is {}, the findings say {}",
            verdict.as_str(),
            checked.verdict().as_str()
        ));
    }
    Ok(checked)
}
