//! Records as people and programs see them: the event where there is one, what can be said where there is none.

use serde_json::{Value, json};
use stillhouse_processors::wire;
use stillhouse_schemas::{Codec, Payload};
use stillhouse_streams::{Position, Record};

/// The record as JSON: `{"position", "topic", "partition", "offset", "event"}`; `value` instead of the event for JSON
/// records, `undecodable` with the reason for what cannot be read, `tombstone` for a record without a value.
pub fn to_json(codec: &Codec, position: &Position, record: &Record) -> Value {
    let mut out = json!({
        "position": position.to_string(),
        "topic": position.topic,
        "partition": position.partition,
        "offset": position.offset,
    });
    let (name, value) = match wire::decode(codec, record) {
        Ok(Some(event)) => ("event", event.to_json()),
        Ok(None) => ("tombstone", key(record)),
        Err(error) => match json_value(record) {
            Some(value) => ("value", value),
            None => {
                out["id"] = record.id().into();
                out["key"] = key(record);
                out["timestamp"] = record.timestamp.into();
                out["bytes"] = record.value.as_ref().map(bytes::Bytes::len).into();
                ("undecodable", error.to_string().into())
            }
        },
    };
    out[name] = value;
    out
}

/// One line of text: position, time, type, key, and what matters of the payload.
pub fn to_line(codec: &Codec, position: &Position, record: &Record) -> String {
    match wire::decode(codec, record) {
        Ok(Some(event)) => {
            let e = &event.envelope;
            let time = stillhouse_schemas::time::format(e.occurred_at);
            let kind = event.payload.event_type().name;
            format!("{position}  {time}  {kind}  {}  {}", e.key, summary(&event.payload))
        }
        Ok(None) => format!("{position}  tombstone  {}", shown_key(record)),
        Err(error) => match json_value(record) {
            Some(value) => format!("{position}  json  {}  {value}", shown_key(record)),
            None => format!("{position}  undecodable  {}  {error}", shown_key(record)),
        },
    }
}

/// What matters of a payload, in a few words.
pub fn summary(payload: &Payload) -> String {
    let some = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
    match payload {
        Payload::Run(p) => {
            let outcome = match (&p.outcome.human_label, &p.outcome.verdict, p.outcome.reward) {
                (Some(label), ..) => label.clone(),
                (_, Some(verdict), _) => verdict.clone(),
                (.., Some(reward)) => format!("reward {reward}"),
                _ => "-".into(),
            };
            format!(
                "{} messages, model {}, task {}, outcome {outcome}",
                p.messages.len(),
                some(&p.model),
                some(&p.task_key)
            )
        }
        Payload::Claim(p) => format!("{} = {} by {}", p.attribute, p.value, p.source),
        Payload::Evidence(p) => format!("{}, {} messages, model {}", p.source_class, p.messages.len(), some(&p.model)),
        Payload::Validation(p) => format!("{}: {}", p.validator, p.verdict),
        Payload::Score(p) => format!("{} {:.4} by {}", p.category.as_str(), p.score, p.decided_by),
        Payload::ScoreFailed(p) => p.error.clone(),
        Payload::Quarantined(p) => format!("{} at {}: {}", p.reason, p.stage, p.detail),
        Payload::Exported(p) => format!("{}, {} rows", p.dataset, p.rows),
        Payload::Control(p) => format!("{} {}.{}", p.action, p.processor, p.generation),
        Payload::DeadLettered(p) => format!("{} of {}/{}/{}: {}", p.kind, p.topic, p.partition, p.offset, p.error),
        Payload::Span(p) => {
            format!("{} of trace {}, {}", p.name, p.trace_id, if p.status.is_empty() { "unset" } else { &p.status })
        }
        Payload::Label(p) => format!("{} by {}", p.label, p.by),
        Payload::CallRequested(p) => format!("{} of {}/{}", p.purpose, p.provider, p.model),
        Payload::CallReplied(p) => match &p.error {
            Some(error) => format!("{} of {}/{} failed: {error}", p.purpose, p.provider, p.model),
            None => format!("{} of {}/{}: {}", p.purpose, p.provider, p.model, some(&p.text)),
        },
        Payload::Decision(p) => format!("{} by {}: {}", p.action, p.by, p.reason),
        Payload::ErasureCertified(p) => format!("{} events, {} views made again", p.events, p.rebuilt.len()),
        Payload::Released(p) => format!("{} at {}, released by {}", p.reason, p.stage, p.by),
        Payload::Replayed(p) => format!("{}, {} of {} steps alike", p.verdict, p.matched, p.steps),
        Payload::RangeSealed(p) => {
            format!("{}/{} from {} to {}: {} records", p.topic, p.partition, p.first, p.last, p.records)
        }
        Payload::RosterChanged(p) => {
            format!("part {}: {} workers, {} removed", p.part, p.workers.len(), p.removed.len())
        }
        Payload::RosterLoaded(p) => format!(
            "{} workers, version {}: {} added, {} changed, {} removed",
            p.workers, p.version, p.added, p.changed, p.removed
        ),
        Payload::Audited(p) => format!("{} audit: {}", p.kind, p.verdict),
        Payload::Document(p) if p.retired => format!("retired from {}", p.collection),
        Payload::Document(p) => {
            format!("{} in {}, {} characters", some(&p.title), p.collection, p.text.chars().count())
        }
        Payload::Embedded(p) => format!("{} parts in {} by {}/{}", p.parts.len(), p.corpus, p.provider, p.model),
        Payload::Verdict(p) => format!("{} = {}, {}", p.attribute, p.value.as_deref().unwrap_or("nothing"), p.status),
        Payload::Checked(p) => format!("{}: {}, {} findings", p.policy, p.verdict, p.reasons.len()),
        Payload::Searched(p) => format!("{} hits in {} for {:?}", p.hits.len(), p.corpora.join(", "), p.query),
    }
}

fn json_value(record: &Record) -> Option<Value> {
    let is_json = record.headers.text("content-type").is_some_and(|t| t.starts_with("application/json"));
    record.value.as_deref().filter(|_| is_json).and_then(|value| serde_json::from_slice(value).ok())
}

fn key(record: &Record) -> Value {
    record.key.as_deref().map(|key| String::from_utf8_lossy(key).into_owned()).into()
}

fn shown_key(record: &Record) -> String {
    record.key.as_deref().map_or_else(|| "-".to_owned(), |key| String::from_utf8_lossy(key).into_owned())
}
