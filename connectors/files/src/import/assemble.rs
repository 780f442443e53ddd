//! From a record to the events of its runs.
//!
//! **Identity.** A run's event id is a UUIDv5 of the mapping's name and, where the mapping has a `key` and the record gives
//! one, that key, else the SHA-256 of the record's canonical JSON; and of the part's name where the record holds several
//! runs. It does not depend on the file, on the record's place in it or on the mapping's version: importing again adds
//! nothing, and what a changed mapping makes of a known record is a conflict that is reported, not a second run.
//!
//! **Time.** Rows of datasets are ordered by (`occurred_at`, id), so a source without times must get the same one at
//! every import: `occurred_at` is then 1970-01-01T00:00:00Z, or the constant that the mapping gives.

use super::canonical;
use super::fields::text;
use super::mapping::Mapping;
use super::moment;
use super::path::Scope;
use super::template::spell;
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::collections::BTreeMap;
use stillhouse_schemas::{Envelope, Event, MAX_EXTRA, Micros, Payload, Run, ids};

/// Largest value, in bytes of JSON, that is kept in `extra`; of a longer one its size and hash are.
const EXTRA_BYTES: usize = 256 << 10;

/// What a mapping made of a record.
#[derive(Debug)]
pub enum Made {
    /// The record is none of those that the mapping is for (`only`).
    PassedOver,
    /// Its runs, each an event or a reason why not.
    Runs(Vec<Result<Event, Refusal>>),
}

/// Why a run was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Part of the record, where it holds several runs.
    pub part: Option<String>,
    /// What is wrong, and what would be right.
    pub reason: String,
}

impl Mapping {
    /// The records within one value of a file: usually itself.
    pub fn records<'a>(&self, value: &'a Value) -> Vec<Cow<'a, Value>> {
        let scope = Scope { record: value, each: None, item: None };
        let within = self.records.iter().find_map(|path| match path.follow(scope) {
            Some(Cow::Borrowed(Value::Array(list))) => Some(list),
            _ => None,
        });
        let records = within.map_or_else(|| vec![value], |list| list.iter().collect());
        match &self.merge {
            None => records.into_iter().map(Cow::Borrowed).collect(),
            Some(merge) => merged(merge, records),
        }
    }

    /// Makes the runs of a record.
    pub fn apply(&self, record: &Value) -> Made {
        let refuse = |reason: String| Made::Runs(vec![Err(Refusal { part: None, reason })]);
        if !record.is_object() {
            return refuse(format!("a record must be an object, found {}", super::template::clip(&record.to_string())));
        }
        let whole = Scope { record, each: None, item: None };
        match self.only.as_ref().map_or(Ok(true), |only| only.takes(whole)) {
            Ok(true) => {}
            Ok(false) => return Made::PassedOver,
            Err(reason) => return refuse(reason),
        }
        let parts = match self.each.as_ref().map_or(Ok(None), |each| each.parts(record)) {
            Ok(parts) => parts,
            Err(reason) => return refuse(reason),
        };
        let mut hash = None;
        let mut make = |part: Option<&str>, item: Option<&Value>| {
            let scope = Scope { record, each: part, item };
            self.run(scope, &mut hash).map_err(|reason| Refusal { part: part.map(str::to_owned), reason })
        };
        Made::Runs(match &parts {
            None => vec![make(None, None)],
            Some(parts) => parts.iter().map(|(name, item)| make(Some(name), Some(item))).collect(),
        })
    }

    fn run(&self, scope: Scope<'_>, hash: &mut Option<String>) -> Result<Event, String> {
        let id = self.id(scope, hash)?;
        let one = |rule: &Option<super::rule::Rule>, name: &str| match rule {
            None => Ok(None),
            Some(rule) => rule.give(scope)?.map_or(Ok(None), |v| text(&v).map_err(|e| format!("`{name}` {e}"))),
        };
        let run_id = one(&self.run_id, "run_id")?.unwrap_or_else(|| id.clone());
        let mut messages = Vec::new();
        for piece in &self.messages {
            piece.give(scope, &mut messages)?;
        }
        let mut payload = json!({"run_id": run_id, "messages": messages});
        if let Some(tools) = self.tools.as_ref().map_or(Ok(None), |rule| rule.give(scope))? {
            payload["tools"] = tools.into_owned();
        }
        let mut run = Run::from_json(payload).map_err(|e| e.to_string())?;
        if !self.keep_extra {
            // But that something is not to be learned from must not be forgotten.
            run.extra.retain(|name, _| name.starts_with("messages[") && name.ends_with("].weight"));
        }
        self.fill(&mut run, scope)?;
        let envelope = Envelope {
            id,
            key: run_id,
            occurred_at: self.occurred_at(scope)?,
            subject: one(&self.subject, "subject")?,
            producer: self.producer.clone(),
            causes: Vec::new(),
            traceparent: one(&self.traceparent, "traceparent")?,
        };
        let event = Event { envelope, payload: Payload::Run(run) };
        stillhouse_schemas::check(&event).map_err(|e| e.to_string())?;
        Ok(event)
    }

    fn id(&self, scope: Scope<'_>, hash: &mut Option<String>) -> Result<String, String> {
        let key = match &self.key {
            None => None,
            Some(rule) => rule.give(scope)?.map(|v| text(&v).map_err(|e| format!("`key` {e}"))).transpose()?.flatten(),
        };
        let (kind, said) = match key {
            Some(key) => ("key", key),
            None => ("sha256", hash.get_or_insert_with(|| canonical::hash(scope.record)).clone()),
        };
        // As JSON, so that no key and part can be spelled like another pair.
        let identity = match scope.each {
            None => json!([kind, said]),
            Some(part) => json!([kind, said, part]),
        };
        Ok(ids::imported(&self.name, &identity.to_string()))
    }

    fn occurred_at(&self, scope: Scope<'_>) -> Result<Micros, String> {
        match self.occurred_at.as_ref().map_or(Ok(None), |rule| rule.give(scope))? {
            Some(value) => moment::read(&value).map_err(|e| format!("`occurred_at`: {e}")),
            None => Ok(0),
        }
    }

    fn fill(&self, run: &mut Run, scope: Scope<'_>) -> Result<(), String> {
        for (field, rule) in &self.fields {
            if let Some(value) = rule.give(scope)? {
                field.fill(run, &value)?;
            }
        }
        for rule in &self.tags {
            match rule.give(scope)?.as_deref() {
                None => {}
                Some(Value::Array(list)) => run.tags.extend(list.iter().map(|v| spell(v).into_owned())),
                Some(value) => run.tags.extend(text(value).map_err(|e| format!("`tags` {e}"))?),
            }
        }
        let mut seen = std::collections::BTreeSet::new();
        run.tags.retain(|tag| seen.insert(tag.clone()));
        for (name, rule) in &self.extra {
            if let Some(value) = rule.give(scope)? {
                keep(&mut run.extra, name, &value)?;
            }
        }
        if self.keep_extra {
            let record = scope.record.as_object().into_iter().flatten();
            for (name, value) in record.filter(|(name, value)| !value.is_null() && !self.mentioned.contains(*name)) {
                keep(&mut run.extra, name, value)?;
            }
        }
        Ok(())
    }
}

/// Puts the parts of records together, each where its first part stood; what a later part says holds.
fn merged<'a>(merge: &super::rule::Rule, records: Vec<&'a Value>) -> Vec<Cow<'a, Value>> {
    let mut known: BTreeMap<String, usize> = BTreeMap::new();
    let mut whole: Vec<Cow<'a, Value>> = Vec::new();
    for record in records {
        let same = merge.give(Scope { record, each: None, item: None }).ok().flatten();
        match same.map(|same| spell(&same).into_owned()) {
            None => whole.push(Cow::Borrowed(record)),
            Some(same) => match known.get(&same) {
                Some(at) => overlay(whole[*at].to_mut(), record),
                None => {
                    known.insert(same, whole.len());
                    whole.push(Cow::Borrowed(record));
                }
            },
        }
    }
    whole
}

fn overlay(whole: &mut Value, part: &Value) {
    match (whole, part) {
        (_, Value::Null) => {}
        (Value::Object(whole), Value::Object(part)) => {
            for (name, value) in part {
                overlay(whole.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (whole, part) => part.clone_into(whole),
    }
}

fn keep(extra: &mut BTreeMap<String, String>, name: &str, value: &Value) -> Result<(), String> {
    let mut text = canonical::text(value);
    if text.len() > EXTRA_BYTES {
        let mut omitted = Map::new();
        omitted.insert("omitted_bytes".into(), text.len().into());
        omitted.insert("sha256".into(), canonical::hash(value).into());
        text = canonical::text(&Value::Object(omitted));
    }
    if extra.len() >= MAX_EXTRA && !extra.contains_key(name) {
        return Err(format!(
            "more than {MAX_EXTRA} fields would go to `extra`; name those that matter in `extra` and leave `keep_extra` out"
        ));
    }
    extra.insert(name.to_owned(), text);
    Ok(())
}
