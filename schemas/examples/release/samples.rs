//! Plainly synthetic events of every type: one with everything that can be there, one with only what must be.

#[path = "verdicts.rs"]
mod verdicts;
#[path = "views.rs"]
mod views;

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

fn passages() -> Vec<Passage> {
    vec![
        Passage { id: text("p-1"), text: "Forklifts need a licence.".to_owned(), source: text("handbook") },
        Passage { text: String::new(), ..Passage::default() },
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
                passages: passages(),
                response_schema: text(r#"{"type":"object"}"#),
                artefact: text(r#"{"worker":"W-17"}"#),
                context: text(r#"{"job":"J-3"}"#),
                revision: 2,
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
                passages: passages(),
                response_schema: text(r#"{"type":"object"}"#),
                artefact: text(r#"{"worker":"W-17"}"#),
                context: text(r#"{"job":"J-3"}"#),
                revision: 2,
            }),
            Payload::Evidence(Evidence { run_id, source_class: "chat".to_owned(), ..Evidence::default() }),
        ),
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
                call_hash: None,
                cost_usd: None,
            };
            let full = Score {
                config_hash: "0011223344556677".to_owned(),
                score: 1.0,
                sub_scores: map(&[("format", 1.0), ("outcome", 0.5)]),
                reasons: vec!["The reward is 1.".to_owned()],
                category: Category::Accepted,
                decided_by: "reward".to_owned(),
                call_hash: Some("00".repeat(32)),
                cost_usd: Some(0.000_1),
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
                source_class: "chat".to_owned(),
                call_hash: Some("00".repeat(32)),
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
                kind: text("sft"),
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
                location: text("file:///datasets"),
                filters: words(&[("tag", "staffing")]),
                versions: words(&[("exporter", "1")]),
                splits: map(&[("test", 3), ("train", 28)]),
                supersedes: text("sft-8899aabbccddeeff"),
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
        "span" => {
            let least = Span {
                trace_id: "0123456789abcdef0123456789abcdef".to_owned(),
                span_id: "0123456789abcdef".to_owned(),
                name: "chat".to_owned(),
                ..Span::default()
            };
            let full = Span {
                parent_span_id: text("fedcba9876543210"),
                kind: "client".to_owned(),
                started_at: Some(0),
                ended_at: Some(AT),
                status: "error".to_owned(),
                status_message: text("too long"),
                attributes: words(&[("gen_ai.request.model", "\"model-1\""), ("gen_ai.usage.input_tokens", "7")]),
                events: vec![SpanOccurrence {
                    name: "exception".to_owned(),
                    at: Some(AT),
                    attributes: words(&[("exception.type", "\"Timeout\"")]),
                }],
                links: vec![SpanLink {
                    trace_id: "fedcba9876543210fedcba9876543210".to_owned(),
                    span_id: "fedcba9876543210".to_owned(),
                    attributes: words(&[("why", "\"retry\"")]),
                }],
                resource: words(&[("service.name", "\"agent\"")]),
                scope: text("sdk 1.0"),
                ..least.clone()
            };
            (Payload::Span(full), Payload::Span(least))
        }
        "label" => {
            let least = Label { run_id, label: "rejected".to_owned(), ..Label::default() };
            let full = Label {
                by: "reviewer-1".to_owned(),
                note: text("Wrong city."),
                correction: text("There is one in Springfield."),
                ..least.clone()
            };
            (Payload::Label(full), Payload::Label(least))
        }
        "call_requested" => {
            let least = CallRequested {
                call_hash: "00".repeat(32),
                purpose: "judge".to_owned(),
                provider: "provider-1".to_owned(),
                model: "model-1".to_owned(),
                body: r#"{"messages":[]}"#.to_owned(),
                run_id: None,
            };
            let full = CallRequested { run_id: Some(run_id), ..least.clone() };
            (Payload::CallRequested(full), Payload::CallRequested(least))
        }
        "call_replied" => {
            let least = CallReplied {
                call_hash: "00".repeat(32),
                purpose: "judge".to_owned(),
                provider: "provider-1".to_owned(),
                model: "model-1".to_owned(),
                error: text("no answer within 60 s"),
                attempts: 3,
                ..CallReplied::default()
            };
            let full = CallReplied {
                text: text("0.5"),
                error: None,
                latency_ms: 1234,
                usage: Some(Usage { input_tokens: Some(7), ..Usage::default() }),
                cost_usd: Some(0.000_1),
                run_id: Some(run_id),
                body: text(r#"{"choices":[]}"#),
                ..least.clone()
            };
            (Payload::CallReplied(full), Payload::CallReplied(least))
        }
        "decision" => {
            let least = Decision { action: "recalled".to_owned(), run_id: Some(run_id), ..Decision::default() };
            let full = Decision {
                event_id: Some(ids::imported("samples", "quarantined")),
                key_id: text("key-1"),
                kind: text("sft"),
                reason: "asked for".to_owned(),
                by: "operator-1".to_owned(),
                ..least.clone()
            };
            (Payload::Decision(full), Payload::Decision(least))
        }
        "erasure_certified" => {
            let least = ErasureCertified { key_id: "key-1".to_owned(), ..ErasureCertified::default() };
            let full = ErasureCertified {
                events: 5,
                runs: vec![run_id],
                rebuilt: vec![
                    Rebuilt {
                        what: "dataset".to_owned(),
                        before: "sft-0".to_owned(),
                        after: text("sft-1"),
                        removed: 1,
                    },
                    Rebuilt { what: "index".to_owned(), before: "runs".to_owned(), ..Rebuilt::default() },
                ],
                remaining: vec!["a copy on other media".to_owned()],
                decision_id: ids::imported("samples", "decision"),
                ..least.clone()
            };
            (Payload::ErasureCertified(full), Payload::ErasureCertified(least))
        }
        "released" => {
            let least =
                Released { run_id, event_id: "e-1".to_owned(), reason: "empty".to_owned(), ..Released::default() };
            let full = Released {
                stage: "exporter".to_owned(),
                kind: text("sft"),
                rule: "firewall".to_owned(),
                rule_version: "2".to_owned(),
                by: "rule".to_owned(),
                quarantined_id: ids::imported("samples", "quarantined"),
                ..least.clone()
            };
            (Payload::Released(full), Payload::Released(least))
        }
        "replayed" => {
            let least = Replayed {
                replay_id: "replay-1".to_owned(),
                run_id,
                mode: "recorded".to_owned(),
                verdict: "same".to_owned(),
                ..Replayed::default()
            };
            let full = Replayed {
                mode: "model".to_owned(),
                model: text("model-2"),
                provider: text("provider-1"),
                verdict: "diverged".to_owned(),
                steps: 5,
                matched: 2,
                divergence: Some(Divergence {
                    step: 2,
                    what: "tool_arguments".to_owned(),
                    recorded: text("{}"),
                    replayed: text("[]"),
                }),
                answer: text("Nobody."),
                error: text("none"),
                usage: Some(Usage::default()),
                cost_usd: Some(0.5),
                outside_calls: 1,
                ..least.clone()
            };
            (Payload::Replayed(full), Payload::Replayed(least))
        }
        "audited" => {
            let least = Audited {
                audit_id: "audit-1".to_owned(),
                kind: "full".to_owned(),
                verdict: "pass".to_owned(),
                ..Audited::default()
            };
            let full = Audited {
                verdict: "fail".to_owned(),
                phases: vec![
                    AuditPhase {
                        number: 4,
                        name: "exports".to_owned(),
                        verdict: "fail".to_owned(),
                        checks: 22,
                        failed: 1,
                        detail: "one row twice".to_owned(),
                    },
                    AuditPhase { name: "preflight".to_owned(), verdict: "pass".to_owned(), ..AuditPhase::default() },
                ],
                counts: map(&[("rows", 31)]),
                findings: vec![Finding {
                    code: "I-04".to_owned(),
                    message: "twice".to_owned(),
                    field: text("sft-0#1"),
                    ..Finding::default()
                }],
                baseline: text("audit-0"),
                cut: r#"[["runs",0,100]]"#.to_owned(),
                report_sha256: "22".repeat(32),
                ..least.clone()
            };
            (Payload::Audited(full), Payload::Audited(least))
        }
        "range_sealed" => {
            let least = RangeSealed {
                topic: "runs".to_owned(),
                hash: "33".repeat(32),
                key_id: "key-1".to_owned(),
                seal: "44".repeat(32),
                ..RangeSealed::default()
            };
            let full = RangeSealed {
                partition: 3,
                first: 41,
                last: 43,
                records: 2,
                digests: Some([&[0][..], &[7; 8], &[2], &[9; 8]].concat()),
                previous: "55".repeat(32),
                ..least.clone()
            };
            (Payload::RangeSealed(full), Payload::RangeSealed(least))
        }
        "document" => {
            let least =
                Document { document_id: "d".to_owned(), collection: "playbook".to_owned(), ..Document::default() };
            let full = Document {
                title: text("Night shifts"),
                text: "Call before six.".to_owned(),
                role: text("dispatcher"),
                source: text("playbook/nights.md"),
                metadata: words(&[("city", "Springfield")]),
                run_id: text("run-1"),
                retired: true,
                ..least.clone()
            };
            (Payload::Document(full), Payload::Document(least))
        }
        "embedded" => {
            let least = Embedded {
                corpus: "playbook".to_owned(),
                item_id: "d".to_owned(),
                provider: "lexical".to_owned(),
                model: "ngrams".to_owned(),
                gated: true,
                ..Embedded::default()
            };
            let vector = Some([1.0f32, -0.5].iter().flat_map(|f| f.to_le_bytes()).collect());
            let full = Embedded {
                model_version: "1".to_owned(),
                dims: 2,
                gated: false,
                parts: vec![EmbeddedPart { text: "Call before six.".to_owned(), vector }],
                title: text("Night shifts"),
                role: text("dispatcher"),
                role_source: text("rule"),
                role_confidence: Some(0.9),
                metadata: words(&[("city", "Springfield")]),
                run_id: text("run-1"),
                revision: 1,
                ..least.clone()
            };
            (Payload::Embedded(full), Payload::Embedded(least))
        }
        "searched" => {
            let least = Searched { search_id: "s".to_owned(), k: 10, ..Searched::default() };
            let hit = SearchHit { corpus: "playbook".to_owned(), item_id: "d".to_owned(), part: 1, score: 0.75 };
            let full = Searched {
                query: "nights".to_owned(),
                vector: Some(1.0f32.to_le_bytes().to_vec()),
                corpora: vec!["playbook".to_owned()],
                query_role: text("dispatcher"),
                options: r#"{"mode":"hybrid"}"#.to_owned(),
                hits: vec![hit],
                withheld: map(&[("playbook", 3)]),
                plans: words(&[("playbook", "exact")]),
                generation: "v1".to_owned(),
                as_of: r#"[["embeddings.v1",0,7]]"#.to_owned(),
                took_us: 812,
                ..least.clone()
            };
            (Payload::Searched(full), Payload::Searched(least))
        }
        other => views::payloads(other)
            .or_else(|| verdicts::payloads(other))
            .unwrap_or_else(|| panic!("no samples of `{other}`")),
    }
}
