//! Artefacts that somebody asks validators about: looked at, recorded, answered.
//!
//! An answer comes after its event is durable in the topic `checks`. The event has the verdict, the findings and the hash of
//! the artefact; what the artefact says is kept nowhere. Policies and validators are those of the settings.

use crate::context::Context;
use crate::failure::{Failure, Outcome, Status};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;
use stillhouse_processors::validator::{
    Artefact, Known, NAME, Policies, Policy, Report, Subject, VALIDATORS, VERSION, Verdict, findings, policies, skipped,
};
use stillhouse_processors::{processor, wire};
use stillhouse_schemas::roster::{Roster, Rosters};
use stillhouse_schemas::{Checked, Envelope, Event, Finding, Payload, Producer, ids};

/// Artefacts of one request, at most.
pub const MOST_ITEMS: usize = 1_000;

/// What is asked about one artefact.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// What is validated: JSON, or a text.
    pub artefact: Value,
    /// What it is for.
    #[serde(default)]
    pub context: Value,
    /// What it was made from.
    #[serde(default)]
    pub sources: Vec<String>,
    /// JSON Schema that it has to satisfy.
    #[serde(default)]
    pub schema: Option<Value>,
}

/// By what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct By {
    /// A policy.
    pub policy: Option<String>,
    /// Or these validators, with their usual settings.
    pub validators: Vec<String>,
    /// A roster's version; else the newest.
    pub roster: Option<String>,
}

/// What it came to.
#[derive(Debug, Serialize)]
pub struct Answer {
    /// Id of the event.
    pub check_id: String,
    /// `pass`, `fail` or `skipped`.
    pub verdict: &'static str,
    /// Policy that was asked for.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub policy: String,
    /// Every finding, with the validator that has it.
    pub findings: Vec<Finding>,
    /// Validators that could not look, and why.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub skipped: BTreeMap<String, String>,
    /// Verdict of each validator.
    pub validators: BTreeMap<String, &'static str>,
    /// Roster that was looked in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roster_version: Option<String>,
    /// Up to when claims counted, and the hash of the rule by which they did, as JSON text.
    pub claims_cut: String,
    /// Time that it took to look, in microseconds.
    pub took_us: i64,
}

/// Looks at artefacts.
pub struct Checks {
    context: Context,
    policies: Policies,
    producer: Producer,
}

impl Checks {
    /// With the policies and validators of the settings.
    pub fn new(context: &Context) -> Outcome<Self> {
        let config = |e: String| Failure::new(Status::Config, e);
        let definition = processor(NAME).map_err(|e| config(e.to_string()))?;
        let given = context.settings().processors.get(NAME).cloned().unwrap_or_default();
        let settings = definition.settings(&given).map_err(|e| config(e.to_string()))?;
        let policies = policies(&settings).map_err(|e| config(e.to_string()))?;
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let producer = Producer { name: "node".into(), version, config_hash: settings.config_hash() };
        Ok(Self { context: context.clone(), policies, producer })
    }

    /// The validators and policies that can be asked for.
    pub fn list(&self) -> Value {
        let built_in = VALIDATORS.iter().map(|v| {
            let codes: Vec<Value> = v
                .codes
                .iter()
                .map(|c| serde_json::json!({"code": c.code, "severity": c.severity.as_str(), "doc": c.doc}))
                .collect();
            serde_json::json!({"name": v.name, "doc": v.doc, "settings": v.settings, "codes": codes})
        });
        let declared = self.policies.declared.iter().map(|(name, d)| {
            let codes: Vec<&str> = d.rules.iter().map(|rule| rule.code.as_str()).collect();
            serde_json::json!({"name": name, "doc": d.doc, "codes": codes, "remote": d.url.is_some()})
        });
        let policies = self.policies.policies.values().map(|p| {
            let members: Vec<&str> = p.members.iter().map(|m| m.name.as_str()).collect();
            serde_json::json!({"name": p.name, "doc": p.doc, "classes": p.classes, "required": p.required, "validators": members})
        });
        serde_json::json!({
            "version": VERSION,
            "validators": built_in.chain(declared).collect::<Vec<_>>(),
            "policies": policies.collect::<Vec<_>>(),
        })
    }

    /// Looks at these, records what was found, and answers, in order.
    pub async fn check(&self, items: &[Item], by: &By) -> Outcome<Vec<Answer>> {
        let named;
        let policy = match (&by.policy, by.validators.as_slice()) {
            (Some(name), []) => self.policies.policies.get(name).ok_or_else(|| self.unknown(name))?,
            (None, [_, ..]) => {
                named = Policy::of(&by.validators, &self.policies.declared)
                    .map_err(|why| Failure::new(Status::NotFound, why))?;
                &named
            }
            _ => return Err(Failure::new(Status::Usage, "name a policy or validators, and not both")),
        };
        let rosters = self.context.rosters();
        let roster = match &by.roster {
            None => rosters.newest(),
            Some(version) => Some(rosters.at(version).ok_or_else(|| {
                Failure::new(Status::NotFound, format!("roster `{}` cannot be had", version.escape_debug()))
            })?),
        };
        let (mut answers, mut appends) = (Vec::with_capacity(items.len()), Vec::with_capacity(items.len()));
        let topic: Arc<str> = self.context.names.topic("checks").into();
        for item in items {
            let (answer, event) = self.one(item, policy, roster.as_deref()).await;
            let append = wire::append(topic.clone(), &self.context.codec, &event);
            appends.push(append.map_err(|e| Failure::new(Status::Failed, e.to_string()))?);
            answers.push(answer);
        }
        if !self.context.read_only {
            self.context.journal.append(appends).await?;
        }
        Ok(answers)
    }

    fn unknown(&self, name: &str) -> Failure {
        let names = || self.policies.policies.keys().map(String::as_str);
        let message = format!("there is no policy `{}`", name.escape_debug());
        let failure = Failure::new(Status::NotFound, message);
        match stillhouse_processors::nearest(name, names()) {
            Some(near) => failure.hint(format!("did you mean `{near}`?")),
            None => failure.hint(format!("there are {}", names().collect::<Vec<_>>().join(", "))),
        }
    }

    async fn one(&self, item: &Item, policy: &Policy, roster: Option<&dyn Roster>) -> (Answer, Event) {
        let began = Instant::now();
        let at = jiff::Timestamp::now().as_microsecond();
        let known = Known { claims: self.context.known().claims().as_ref(), at };
        let artefact = Artefact::of_json(item.artefact.clone());
        let sources: Vec<&str> = item.sources.iter().map(String::as_str).collect();
        let schema = item.schema.as_ref().map(|schema| match schema {
            Value::String(text) => text.clone(),
            schema => schema.to_string(),
        });
        let subject = Subject {
            artefact: &artefact,
            context: &item.context,
            sources: &sources,
            schema: schema.as_deref(),
            roster,
            claims: Some(known),
        };
        let remotes = self.context.remotes();
        let report: Report = policy.check(&subject, remotes.as_deref()).await;
        let took_us = i64::try_from(began.elapsed().as_micros()).unwrap_or(i64::MAX);
        let (verdict, findings, skipped) = (report.verdict(), findings(&report), skipped(&report));
        let check_id = ids::live();
        let claims_cut = known.cut();
        let roster_version = roster.map(|roster| roster.version().to_owned());
        let payload = Checked {
            check_id: check_id.clone(),
            policy: policy.name.clone(),
            validators: report.members.iter().map(|member| member.name.clone()).collect(),
            validator_version: VERSION.to_owned(),
            config_hash: self.producer.config_hash.clone(),
            verdict: verdict.as_str().to_owned(),
            reasons: findings.clone(),
            skipped: skipped.clone(),
            roster_version: roster_version.clone(),
            claims_cut: Some(claims_cut.clone()),
            artefact_sha256: Sha256::digest(artefact.text()).iter().map(|byte| format!("{byte:02x}")).collect(),
            took_us,
        };
        let envelope = Envelope {
            id: check_id.clone(),
            key: check_id.clone(),
            occurred_at: at,
            producer: self.producer.clone(),
            ..Envelope::default()
        };
        let answer = Answer {
            check_id,
            verdict: verdict.as_str(),
            policy: policy.name.clone(),
            findings,
            skipped,
            validators: report.members.iter().map(|m| (m.name.clone(), m.checked.verdict().as_str())).collect(),
            roster_version,
            claims_cut,
            took_us,
        };
        (answer, Event { envelope, payload: Payload::Checked(payload) })
    }
}

/// The verdict over several: `fail` before `skipped` before `pass`.
pub fn overall<'a>(verdicts: impl Iterator<Item = &'a str>) -> &'static str {
    let mut overall = Verdict::Pass;
    for verdict in verdicts {
        match Verdict::named(verdict) {
            Some(Verdict::Pass) => {}
            Some(Verdict::Fail) => overall = Verdict::Fail,
            _ if overall == Verdict::Pass => overall = Verdict::Skipped,
            _ => {}
        }
    }
    overall.as_str()
}
