//! Hand-made events.

use futures::executor::block_on;
use std::collections::BTreeMap;
use std::sync::Arc;
use stillhouse_processors::{processor, settings, wire};
use stillhouse_schemas::{
    Codec, Envelope, Event, Evidence, Message, Payload, Producer, Quarantined, Run, Score, ScoreFailed, Tool, ToolCall,
    ids,
};
use stillhouse_streams::runner::{Fault, Transform};
use stillhouse_streams::{Position, Received, Record};

pub(crate) fn message(role: &str, content: &str) -> Message {
    Message { role: role.to_owned(), content: Some(content.to_owned()), ..Message::default() }
}

pub(crate) fn calls(calls: &[(&str, &str, &str)]) -> Message {
    let tool_calls = calls.iter().map(|(id, name, arguments)| ToolCall {
        id: (!id.is_empty()).then(|| (*id).to_owned()),
        name: (*name).to_owned(),
        arguments: (*arguments).to_owned(),
    });
    Message { role: "assistant".to_owned(), tool_calls: tool_calls.collect(), ..Message::default() }
}

pub(crate) fn reply(id: &str, content: &str) -> Message {
    Message { tool_call_id: (!id.is_empty()).then(|| id.to_owned()), ..message("tool", content) }
}

pub(crate) fn tool(name: &str) -> Tool {
    Tool { name: name.to_owned(), ..Tool::default() }
}

/// A clean chat.
pub(crate) fn chat(run_id: &str) -> Run {
    Run {
        run_id: run_id.to_owned(),
        messages: vec![message("user", "When does the shift begin?"), message("assistant", " At six. ")],
        ..Run::default()
    }
}

/// A clean run of an agent.
pub(crate) fn agent(run_id: &str) -> Run {
    Run {
        messages: vec![
            message("system", "You book flights."),
            message("user", "Book me one."),
            calls(&[("c1", "find", r#"{"to":"SEA"}"#)]),
            reply("c1", r#"[{"flight":"H1"}]"#),
            message("assistant", "Booked."),
        ],
        ..chat(run_id)
    }
}

pub(crate) fn run_event(run: Run) -> Event {
    let envelope = Envelope {
        id: ids::imported("test", &run.run_id),
        key: run.run_id.clone(),
        occurred_at: 1_700_000_000_000_000,
        producer: Producer { name: "test".into(), version: "1".into(), config_hash: String::new() },
        ..Envelope::default()
    };
    Event { envelope, payload: Payload::Run(run) }
}

pub(crate) fn received(event: &Event, topic: &str, offset: u64) -> Received {
    let record = wire::encode(&Codec::plain(), event).expect("encodes");
    Received { position: Position::new(topic, 0, offset), record }
}

pub(crate) fn build(name: &str, set: &[&str]) -> Arc<dyn Transform> {
    let definition = processor(name).expect("in the table");
    let given = settings::pairs(set.iter().copied()).expect("pairs");
    let settings = definition.settings(&given).expect("legal settings");
    definition.build(&settings, Codec::plain()).expect("goes together").expect("is a transform")
}

/// What a processor makes of records: topic and event.
pub(crate) fn apply(transform: &dyn Transform, batch: &[Received]) -> Vec<Result<Vec<(&'static str, Event)>, Fault>> {
    let results = block_on(transform.apply(batch));
    assert_eq!(results.len(), batch.len(), "one result per record");
    let event = |record: &Record| wire::decode(&Codec::plain(), record).expect("decodes").expect("no tombstone");
    let emits =
        |emits: Vec<stillhouse_streams::runner::Emit>| emits.iter().map(|e| (e.topic, event(&e.record))).collect();
    results.into_iter().map(|result| result.map(emits)).collect()
}

/// What the materializer makes of a run.
pub(crate) fn materialize(run: Run, set: &[&str]) -> (&'static str, Event) {
    let batch = [received(&run_event(run), "runs", 0)];
    let mut made = apply(&*build("materializer", set), &batch).remove(0).expect("no fault");
    assert_eq!(made.len(), 1, "one event per run");
    made.remove(0)
}

pub(crate) fn evidence(run: Run) -> Evidence {
    match materialize(run, &[]).1.payload {
        Payload::Evidence(evidence) => evidence,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn quarantined(run: Run, set: &[&str]) -> Quarantined {
    match materialize(run, set) {
        ("quarantine.materializer", Event { payload: Payload::Quarantined(quarantined), .. }) => quarantined,
        other => panic!("{other:?}"),
    }
}

/// An evidence as the materializer would make it of a run.
pub(crate) fn evidence_event(evidence: Evidence) -> Event {
    let envelope = Envelope {
        id: ids::imported("evidence", &evidence.run_id),
        key: evidence.run_id.clone(),
        occurred_at: 1_700_000_000_000_000,
        producer: Producer { name: "materializer".into(), version: "1".into(), config_hash: String::new() },
        ..Envelope::default()
    };
    Event { envelope, payload: Payload::Evidence(evidence) }
}

/// What the scorer makes of an evidence.
pub(crate) fn judge(evidence: Evidence, set: &[&str]) -> Result<Score, Box<ScoreFailed>> {
    let batch = [received(&evidence_event(evidence), "evidence.v1", 0)];
    let mut made = apply(&*build("scorer", set), &batch).remove(0).expect("no fault");
    assert_eq!((made.len(), made[0].0), (1, "scores"));
    match made.remove(0).1.payload {
        Payload::Score(score) => Ok(score),
        Payload::ScoreFailed(failed) => Err(Box::new(failed)),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}
