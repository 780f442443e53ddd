//! Plainly synthetic events of every type: one with everything that can be there, one with only what must be.

use std::collections::BTreeMap;
use std::sync::Arc;
use stillhouse_schemas::*;

const AT: Micros = 1_767_225_600_123_456;

/// Samples of one event type by name.
pub(crate) fn of(event: &str) -> Vec<(&'static str, Event)> {
    let (full, least) = payloads(event);
    let mut out = vec![("full", wrap(full.clone(), true)), ("least", wrap(least, false))];
    if event == "run" {
        let mut sealed = wrap(full, true);
        sealed.envelope.subject = Some("subject-1".to_owned());
        out.push(("sealed", sealed));
    }
    out
}

/// The codec that a sample is written and read with.
pub(crate) fn codec(sample: &str) -> Codec {
    if sample != "sealed" {
        return Codec::plain();
    }
    let keys = MemoryKeys::new();
    keys.insert("subject-1", SubjectKey { key_id: "key-1".to_owned(), secret: [7; 32] });
    Codec::with_keys(Arc::new(keys))
}

fn wrap(payload: Payload, full: bool) -> Event {
    let mut envelope = Envelope {
        id: ids::imported("samples", payload.event_type().name),
        key: payload.natural_key().unwrap_or_default().to_owned(),
        occurred_at: AT,
        producer: Producer { name: "samples".to_owned(), version: "1".to_owned(), config_hash: String::new() },
        ..Envelope::default()
    };
    if full {
        envelope.producer.config_hash = config_hash(&BTreeMap::from([("setting".to_owned(), "value".to_owned())]));
        envelope.causes = vec![
            Cause { id: ids::imported("samples", "cause"), topic: "runs".to_owned(), partition: 3, offset: 41 },
            Cause { id: "cause:2".to_owned(), topic: "evidence.v1".to_owned(), partition: 0, offset: i64::MAX },
        ];
        envelope.traceparent = Some("00-0123456789abcdef0123456789abcdef-0123456789abcdef-01".to_owned());
    }
    Event { envelope, payload }
}

fn text(value: &str) -> Option<String> {
    Some(value.to_owned())
}

fn map<V: Copy>(entries: &[(&str, V)]) -> BTreeMap<String, V> {
    entries.iter().map(|(k, v)| ((*k).to_owned(), *v)).collect()
}

fn words(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    entries.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn messages() -> Vec<Message> {
    vec![
        Message { role: "system".to_owned(), content: text("You place workers. 💼\u{2028}\0"), ..Message::default() },
        Message {
            role: "user".to_owned(),
            content: text("Find a forklift driver."),
            parts: text(r#"[{"type":"text","text":"Find a forklift driver."}]"#),
            name: text("dispatcher"),
            ..Message::default()
        },
        Message {
            role: "assistant".to_owned(),
            reasoning: text("Search first."),
            tool_calls: vec![
                ToolCall {
                    id: text("call_1"),
                    name: "search".to_owned(),
                    arguments: r#"{"skill":"forklift"}"#.to_owned(),
                },
                ToolCall { id: None, name: "noop".to_owned(), arguments: "{not json".to_owned() },
            ],
            ..Message::default()
        },
        Message {
            role: "tool".to_owned(),
            content: text("[]"),
            name: text("search"),
            tool_call_id: text("call_1"),
            ..Message::default()
        },
        Message { role: "assistant".to_owned(), content: text(""), ..Message::default() },
    ]
}

fn tools() -> Vec<Tool> {
    vec![
        Tool {
            name: "search".to_owned(),
            description: text("Finds workers."),
            parameters: text(r#"{"type":"object"}"#),
        },
        Tool { name: "noop".to_owned(), ..Tool::default() },
    ]
}

fn outcome() -> Outcome {
    Outcome { reward: Some(0.1), verdict: text("pass"), human_label: text("accepted"), source: text("samples") }
}

fn payloads(event: &str) -> (Payload, Payload) {
    let run_id = "run-1".to_owned();
    match event {
        "run" => (
            Payload::Run(Run {
                run_id: run_id.clone(),
                source_class: text("agent"),
                task_key: text("task-1"),
                role: text("staffing"),
                model: text("model-1"),
                provider: text("provider-1"),
                messages: messages(),
                tools: tools(),
                reference: text("nobody"),
                outcome: outcome(),
                usage: Some(Usage {
                    input_tokens: Some(i64::MAX),
                    output_tokens: Some(0),
                    cached_tokens: Some(1),
                    reasoning_tokens: None,
                }),
                cost_usd: Some(0.012_345),
                started_at: Some(0),
                ended_at: Some(AT),
                finish_reason: text("stop"),
                error: text("none"),
                session_id: text("session-1"),
                trace_id: text("0123456789abcdef0123456789abcdef"),
                span_id: text("0123456789abcdef"),
                tags: vec!["synthetic".to_owned(), String::new()],
                extra: words(&[("number", "1e3"), ("object", r#"{"a": [1, null]}"#), ("text", "\"…\"")]),
            }),
            Payload::Run(Run { run_id, ..Run::default() }),
        ),
        "claim" => (
            Payload::Claim(Claim {
                entity: "worker:17".to_owned(),
                attribute: "certificate".to_owned(),
                value: "\"forklift\"".to_owned(),
                source: "registry".to_owned(),
                valid_from: Some(0),
                valid_until: Some(AT),
                confidence: Some(0.9),
                run_id: Some(run_id),
            }),
            Payload::Claim(Claim {
                entity: "worker:17".to_owned(),
                attribute: "age".to_owned(),
                value: "null".to_owned(),
                source: "registry".to_owned(),
                ..Claim::default()
            }),
        ),
        "evidence" => (
            Payload::Evidence(Evidence {
                run_id: run_id.clone(),
                source_class: "agent".to_owned(),
                task_key: text("task-1"),
                role: text("staffing"),
                model: text("model-1"),
                provider: text("provider-1"),
                messages: messages(),
                tools: tools(),
                answer: text("Nobody."),
                reference: text("nobody"),
                outcome: outcome(),
                finish_reason: text("stop"),
                error: text("none"),
                signals: map(&[("tool_calls", 2.0), ("turns", 5.0)]),
                tags: vec!["synthetic".to_owned()],
            }),
            Payload::Evidence(Evidence { run_id, source_class: "chat".to_owned(), ..Evidence::default() }),
        ),
        "validation" => {
            let least = Validation {
                run_id,
                validator: "schedule".to_owned(),
                validator_version: "1".to_owned(),
                verdict: "skipped".to_owned(),
                ..Validation::default()
            };
            let full = Validation {
                config_hash: "0011223344556677".to_owned(),
                verdict: "fail".to_owned(),
                reasons: vec![
                    Finding { code: "overlap".to_owned(), message: "Two shifts.".to_owned(), field: text("shifts[1]") },
                    Finding { code: "unknown".to_owned(), message: String::new(), field: None },
                ],
                ..least.clone()
            };
            (Payload::Validation(full), Payload::Validation(least))
        }
        "score" => {
            let least = Score {
                run_id,
                evidence_id: ids::imported("samples", "evidence"),
                scorer: "scorer".to_owned(),
                scorer_version: "1".to_owned(),
                config_hash: String::new(),
                score: 0.0,
                sub_scores: BTreeMap::new(),
                reasons: Vec::new(),
                category: Category::NeedsHumanReview,
                decided_by: "rules".to_owned(),
                source_class: "chat".to_owned(),
            };
            let full = Score {
                config_hash: "0011223344556677".to_owned(),
                score: 1.0,
                sub_scores: map(&[("format", 1.0), ("outcome", 0.5)]),
                reasons: vec!["The reward is 1.".to_owned()],
                category: Category::Accepted,
                decided_by: "reward".to_owned(),
                ..least.clone()
            };
            (Payload::Score(full), Payload::Score(least))
        }
        "score_failed" => {
            let full = ScoreFailed {
                run_id: run_id.clone(),
                evidence_id: ids::imported("samples", "evidence"),
                scorer: "judge".to_owned(),
                scorer_version: "1".to_owned(),
                config_hash: "0011223344556677".to_owned(),
                error: "no answer".to_owned(),
            };
            (Payload::ScoreFailed(full), Payload::ScoreFailed(ScoreFailed { run_id, ..ScoreFailed::default() }))
        }
        "quarantined" => {
            let full = Quarantined {
                run_id: run_id.clone(),
                event_id: ids::imported("samples", "run"),
                stage: "exporter".to_owned(),
                reason: "rejected".to_owned(),
                detail: "The reward is 0.".to_owned(),
                rule: "firewall".to_owned(),
                rule_version: "1".to_owned(),
            };
            (Payload::Quarantined(full), Payload::Quarantined(Quarantined { run_id, ..Quarantined::default() }))
        }
        "exported" => {
            let least = Exported { dataset: "sft-0".to_owned(), ..Exported::default() };
            let full = Exported {
                dataset: "sft-0011223344556677".to_owned(),
                kind: "sft".to_owned(),
                format: "jsonl/trl".to_owned(),
                rows: 31,
                files: vec![ExportedFile {
                    path: "data.jsonl".to_owned(),
                    bytes: 1_234_567_890_123,
                    rows: 31,
                    sha256: "00".repeat(32),
                }],
                manifest_sha256: "11".repeat(32),
                cut: r#"[["runs",0,100]]"#.to_owned(),
                withheld: map(&[("rejected", 69)]),
            };
            (Payload::Exported(full), Payload::Exported(least))
        }
        "control" => {
            let least = Control {
                action: "dropped".to_owned(),
                processor: "scorer".to_owned(),
                generation: "v2".to_owned(),
                ..Control::default()
            };
            let full = Control {
                action: "generation_started".to_owned(),
                version: "2".to_owned(),
                settings: words(&[("threshold", "0.5")]),
                inputs: words(&[("evidence", "evidence.v2")]),
                from: r#"[["runs",0,7]]"#.to_owned(),
                note: "tried on all history".to_owned(),
                ..least.clone()
            };
            (Payload::Control(full), Payload::Control(least))
        }
        "dead_lettered" => {
            let least = DeadLettered {
                processor: "scorer".to_owned(),
                generation: "v1".to_owned(),
                topic: "evidence.v1".to_owned(),
                error: "cut".to_owned(),
                kind: "decode".to_owned(),
                ..DeadLettered::default()
            };
            let full = DeadLettered {
                partition: i32::MAX,
                offset: i64::MAX,
                attempts: 5,
                record_key: Some(b"run-1".to_vec()),
                record_value: Some(vec![0xC3, 0x01, 0xFF, 0x00]),
                record_headers: vec![
                    RecordHeader { name: "ce_id".to_owned(), value: Some(b"x".to_vec()) },
                    RecordHeader { name: "empty".to_owned(), value: Some(Vec::new()) },
                    RecordHeader { name: "null".to_owned(), value: None },
                ],
                record_timestamp: AT / 1000,
                resolution: "replayed".to_owned(),
                ..least.clone()
            };
            (Payload::DeadLettered(full), Payload::DeadLettered(least))
        }
        other => panic!("no samples of `{other}`"),
    }
}
