//! Evidence becomes validations: one for each evidence of a class that a policy is for.
//!
//! **One event per evidence.** A policy is looked at as a whole, so that what an evidence came to is one event with one
//! verdict, and its findings say which validator each is of. A class has one policy at most.
//!
//! **The roster of its time.** An evidence is looked up in the roster that was in force when it happened, so that a rewind
//! gives the same verdicts; what had happened before there was any roster, in the first. The setting `as_of` says
//! otherwise: `newest`, a roster's version, or a time. Which one it was stands in the event. A roster that was named and
//! cannot be had any more is no reason to take another: `skipped`.
//!
//! **The claims of its time.** What is held is decided of the claims that were made up to when it happened, or up to the
//! time that `as_of` says; the event names that time and the rule. Only what was said from outside counts, never what
//! was taken out of evidence: no run is witness for another.
//!
//! What is absent: a policy by default. Until `ready` or a policy with classes is set, nothing is validated and nothing that
//! is made of runs changes.

use super::{Artefact, Known, NAME, Policies, Policy, Report, Subject, VERSION, Verdict};
use crate::settings::{Setting, SettingError, Settings, Takes};
use crate::transform::{self, FAULT, Maker, Ports, fault, unexpected};
use crate::wire;
use async_trait::async_trait;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use stillhouse_schemas::roster::Roster;
use stillhouse_schemas::{Event, Evidence, Finding, Micros, Payload, Validation, time};
use stillhouse_streams::Received;
use stillhouse_streams::runner::{Emit, Fault, Transform};

/// What can be set.
pub const SETTINGS: &[Setting] = &[
    Setting {
        name: "ready",
        default: "off",
        takes: Takes::Word(&["off", "on", "required"]),
        doc: "The ready policies `fill` and `email`: not applied, applied to the classes of their names, or applied and \
              required to pass.",
    },
    Setting {
        name: "policies",
        default: "{}",
        takes: Takes::Json,
        doc: "Policies; in the settings file they are written as [policies.NAME].",
    },
    Setting {
        name: "validators",
        default: "{}",
        takes: Takes::Json,
        doc: "Validators of your own; in the settings file they are written as [validators.NAME].",
    },
    Setting {
        name: "as_of",
        default: "",
        takes: Takes::AsOf,
        doc: "The roster and the claims that are looked in: nothing for those of each run's time, newest, a time, or a roster's version.",
    },
];

/// The policies of a generation.
pub fn policies(settings: &Settings) -> Result<Policies, SettingError> {
    Policies::parse(settings.word("policies"), settings.word("validators"), settings.word("ready"))
        .map_err(|why| settings.clash(why))
}

#[derive(Debug)]
enum AsOf {
    ItsTime,
    Newest,
    Version(String),
    Time(Micros),
}

/// The processor.
#[derive(Debug)]
pub struct Validator {
    policies: Policies,
    as_of: AsOf,
    maker: Maker,
    ports: Ports,
}

impl Validator {
    /// The claims for what happened then.
    fn claims(&self, at: Micros) -> Option<Known<'_>> {
        let at = match &self.as_of {
            AsOf::ItsTime | AsOf::Version(_) => at,
            AsOf::Newest => Micros::MAX,
            AsOf::Time(at) => *at,
        };
        self.ports.claims.as_deref().map(|claims| Known { claims, at })
    }

    /// With these settings; what is asked comes by the ports.
    pub fn new(settings: &Settings, maker: Maker, ports: Ports) -> Result<Self, SettingError> {
        let as_of = match settings.word("as_of") {
            "" => AsOf::ItsTime,
            "newest" => AsOf::Newest,
            word => time::parse(word).map_or_else(|_| AsOf::Version(word.to_owned()), AsOf::Time),
        };
        Ok(Self { policies: policies(settings)?, as_of, maker, ports })
    }

    /// The roster for what happened then; the error says why the one that is wanted cannot be had.
    fn roster(&self, at: Micros) -> Result<Option<Arc<dyn Roster>>, String> {
        let Some(rosters) = &self.ports.rosters else { return Ok(None) };
        match &self.as_of {
            AsOf::ItsTime => rosters.of_time(at),
            AsOf::Newest => Ok(rosters.newest()),
            AsOf::Time(at) => rosters.of_time(*at),
            AsOf::Version(version) => {
                rosters.at(version).map(Some).ok_or_else(|| format!("roster `{version}` cannot be had"))
            }
        }
    }

    async fn made(&self, received: &Received, event: Result<Option<Event>, Fault>) -> Result<Vec<Emit>, Fault> {
        let Some(event) = event? else { return Ok(Vec::new()) };
        let Payload::Evidence(evidence) = &event.payload else { return Err(unexpected(&event, "evidence")) };
        let Some(policy) = self.policies.of_class(&evidence.source_class) else { return Ok(Vec::new()) };
        let payload = self.validation(&event, evidence, policy).await;
        let causes = [(&event.envelope, &received.position)];
        let derived = self.maker.derive(&causes, "validations", 0, Payload::Validation(payload));
        let record = wire::encode(&self.ports.codec, &derived).map_err(|error| fault(&error, FAULT))?;
        Ok(vec![Emit { topic: "validations", record }])
    }

    async fn validation(&self, event: &Event, evidence: &Evidence, policy: &Policy) -> Validation {
        let (roster, lacking) = match self.roster(event.envelope.occurred_at) {
            Ok(roster) => (roster, None),
            Err(why) => (None, Some(why)),
        };
        let claims = self.claims(event.envelope.occurred_at);
        let said = evidence.artefact.as_deref().or(evidence.answer.as_deref()).unwrap_or_default();
        let artefact = Artefact::of_text(said);
        let context: Value = evidence.context.as_deref().and_then(|c| serde_json::from_str(c).ok()).unwrap_or_default();
        let asked = evidence.messages.iter().filter(|message| message.role == "user");
        let passages = evidence.passages.iter().map(|passage| passage.text.as_str());
        let sources: Vec<&str> = passages.chain(asked.filter_map(|message| message.content.as_deref())).collect();
        let subject = Subject {
            artefact: &artefact,
            context: &context,
            sources: &sources,
            schema: evidence.response_schema.as_deref(),
            roster: roster.as_deref(),
            claims,
        };
        let report = policy.check(&subject, self.ports.remotes.as_deref()).await;
        let mut skipped = skipped(&report);
        let verdict = match report.verdict() {
            // Nobody knows what the roster that was asked for would have said.
            Verdict::Pass if lacking.is_some() => Verdict::Skipped,
            verdict => verdict,
        };
        skipped.extend(lacking.map(|why| ("roster".to_owned(), why)));
        Validation {
            run_id: evidence.run_id.clone(),
            validator: NAME.to_owned(),
            validator_version: VERSION.to_owned(),
            config_hash: self.maker.producer().config_hash.clone(),
            verdict: verdict.as_str().to_owned(),
            reasons: findings(&report),
            evidence_id: event.envelope.id.clone(),
            source_class: evidence.source_class.clone(),
            policy: policy.name.clone(),
            skipped,
            roster_version: roster.map(|roster| roster.version().to_owned()),
            claims_cut: claims.map(|known| known.cut()),
        }
    }
}

/// Validators that could not look, and why.
pub fn skipped(report: &Report) -> BTreeMap<String, String> {
    let why = |member: &super::OfMember| Some((member.name.clone(), member.checked.skipped.clone()?));
    report.members.iter().filter_map(why).collect()
}

/// The findings of a report, as events have them.
pub fn findings(report: &Report) -> Vec<Finding> {
    let offset = |byte: usize| i64::try_from(byte).unwrap_or(i64::MAX);
    let finding = |(validator, finding): (&str, &super::Finding)| Finding {
        code: finding.code.clone().into_owned(),
        message: finding.message.clone(),
        field: finding.field.clone(),
        severity: Some(finding.severity.as_str().to_owned()),
        span_start: finding.span.as_ref().map(|span| offset(span.start)),
        span_end: finding.span.as_ref().map(|span| offset(span.end)),
        remedy: Some(finding.remedy.clone()),
        validator: Some(validator.to_owned()),
    };
    report.findings().map(finding).collect()
}

#[async_trait]
impl Transform for Validator {
    async fn apply(&self, batch: &[Received]) -> Vec<Result<Vec<Emit>, Fault>> {
        let events: Vec<_> = batch.iter().map(|received| transform::event(&self.ports.codec, received)).collect();
        let times = events.iter().filter_map(|event| Some(event.as_ref().ok()?.as_ref()?.envelope.occurred_at));
        let until = match &self.as_of {
            AsOf::ItsTime => times.max(),
            AsOf::Newest | AsOf::Version(_) | AsOf::Time(_) => Some(Micros::MAX),
        };
        if let (Some(until), Some(known)) = (until, &self.ports.known)
            && let Err(why) = known.until(until).await
        {
            return batch.iter().map(|_| Err(Fault::Transient(why.clone()))).collect();
        }
        let made = batch.iter().zip(events).map(|(received, event)| self.made(received, event));
        futures::future::join_all(made).await
    }
}
