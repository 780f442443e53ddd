//! Traces put together: every vocabulary says the same, and no order of arrival says anything else.

use crate::support::build;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use stillhouse_processors::assembler::{MAX_SPANS, VOCABULARIES};
use stillhouse_processors::wire;
use stillhouse_schemas::{Codec, Envelope, Event, Payload, Producer, Run, Span, SpanOccurrence, check, ids};
use stillhouse_streams::runner::Emit;
use stillhouse_streams::{Position, Received};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const START: i64 = 1_767_225_600_000_000;

fn texts(attributes: Value) -> BTreeMap<String, String> {
    attributes.as_object().expect("an object").iter().map(|(k, v)| (k.clone(), v.to_string())).collect()
}

/// A span that lasts from second to second.
fn span(n: u64, parent: Option<u64>, (from, to): (i64, i64), attributes: Value) -> Span {
    Span {
        trace_id: TRACE.into(),
        span_id: format!("{n:016x}"),
        parent_span_id: parent.map(|n| format!("{n:016x}")),
        name: format!("span {n}"),
        started_at: Some(START + from * 1_000_000),
        ended_at: Some(START + to * 1_000_000),
        attributes: texts(attributes),
        ..Span::default()
    }
}

fn received(span: &Span, offset: u64) -> Received {
    let said = Payload::Span(span.clone()).to_json().to_string();
    let envelope = Envelope {
        id: ids::imported("test", &said),
        key: TRACE.into(),
        occurred_at: span.ended_at.unwrap_or(START),
        producer: Producer { name: "test".into(), version: "1".into(), config_hash: String::new() },
        ..Envelope::default()
    };
    let event = Event { envelope, payload: Payload::Span(span.clone()) };
    Received { position: Position::new("spans", 0, offset), record: wire::encode(&Codec::plain(), &event).unwrap() }
}

fn runs(emits: &[Emit]) -> Vec<Event> {
    let event = |emit: &Emit| wire::decode(&Codec::plain(), &emit.record).unwrap().unwrap();
    emits.iter().map(event).inspect(|event| check(event).expect("what is made is taken")).collect()
}

/// Everything that is made of spans that arrive in this order, `size` at a time, and are quiet in the end.
fn arrive(spans: &[Span], size: usize, set: &[&str]) -> Vec<Event> {
    let join = build("assembler", set).join().expect("a join");
    let records: Vec<Received> = spans.iter().zip(0..).map(|(span, offset)| received(span, offset)).collect();
    let mut made = Vec::new();
    let mut done = 0;
    while done < records.len() {
        let next = (done + size).min(records.len());
        let results = join.apply(&records[..next], next - done);
        assert_eq!(results.len(), next - done);
        made.extend(results.into_iter().flat_map(|result| runs(&result.expect("no fault"))));
        done = next;
    }
    made.extend(runs(&join.settle(&records).expect("no fault")));
    made
}

fn last(events: &[Event]) -> Event {
    let revision = |event: &&Event| match &event.payload {
        Payload::Run(run) => run.revision,
        other => panic!("{other:?}"),
    };
    events.iter().max_by_key(revision).expect("a run").clone()
}

fn run_of(spans: &[Span], set: &[&str]) -> Run {
    match last(&arrive(spans, 1, set)).payload {
        Payload::Run(run) => run,
        other => panic!("{other:?}"),
    }
}

/// Role and content, or the calls, of each message.
fn said(run: &Run) -> Vec<(String, String)> {
    let one = |m: &stillhouse_schemas::Message| {
        let calls: Vec<String> =
            m.tool_calls.iter().map(|c| format!("{}{}", c.name, c.arguments.replace(' ', ""))).collect();
        let content = m.content.clone().unwrap_or_default();
        (m.role.clone(), if calls.is_empty() { content } else { calls.join(" ") })
    };
    run.messages.iter().map(one).collect()
}

const ARGUMENTS: &str = r#"{"city":"Bern"}"#;

fn expected() -> Vec<(String, String)> {
    [
        ("system", "Be brief."),
        ("user", "Weather in Bern?"),
        ("assistant", r#"weather{"city":"Bern"}"#),
        ("tool", "7 degrees"),
        ("assistant", "It is 7 degrees."),
    ]
    .map(|(role, text)| (role.to_owned(), text.to_owned()))
    .to_vec()
}

/// Two calls of a model and a tool between them, below an agent: `model(0)` asks, `model(1)` answers.
fn agent(root: Value, model: impl Fn(usize) -> Value, tool: Value) -> Vec<Span> {
    vec![
        span(1, None, (0, 9), root),
        span(2, Some(1), (1, 2), model(0)),
        span(3, Some(1), (3, 4), tool),
        span(4, Some(1), (5, 8), model(1)),
    ]
}

fn occurrence(name: &str, attributes: Value) -> SpanOccurrence {
    SpanOccurrence { name: name.into(), at: None, attributes: texts(attributes) }
}

fn openai(second: bool) -> Value {
    let mut messages =
        vec![json!({"role": "system", "content": "Be brief."}), json!({"role": "user", "content": "Weather in Bern?"})];
    if second {
        messages.push(json!({"role": "assistant", "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": ARGUMENTS}}]}));
        messages.push(json!({"role": "tool", "tool_call_id": "c1", "content": "7 degrees"}));
    }
    json!(messages)
}

fn answer(second: bool) -> Value {
    match second {
        false => {
            json!({"role": "assistant", "content": null, "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": ARGUMENTS}}]})
        }
        true => json!({"role": "assistant", "content": "It is 7 degrees."}),
    }
}

fn parts(second: bool) -> (Value, Value) {
    let call = json!({"type": "tool_call", "id": "c1", "name": "weather", "arguments": {"city": "Bern"}});
    let mut input = vec![json!({"role": "user", "parts": [{"type": "text", "content": "Weather in Bern?"}]})];
    if second {
        input.push(json!({"role": "assistant", "parts": [call]}));
        input.push(
            json!({"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "7 degrees"}]}),
        );
    }
    let output = match second {
        false => json!([{"role": "assistant", "parts": [call], "finish_reason": "tool_call"}]),
        true => {
            json!([{"role": "assistant", "parts": [{"type": "text", "content": "It is 7 degrees."}], "finish_reason": "stop"}])
        }
    };
    (json!(input), output)
}

/// The same trace in every vocabulary that there is a word for it in.
fn traces() -> Vec<(&'static str, Vec<Span>)> {
    let tool = json!({"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "weather", "gen_ai.tool.call.id": "c1",
        "gen_ai.tool.call.arguments": ARGUMENTS, "gen_ai.tool.call.result": "7 degrees"});
    let genai = |as_text: bool| {
        move |n: usize| {
            let (input, output) = parts(n == 1);
            let spell = |value: Value| if as_text { Value::String(value.to_string()) } else { value };
            json!({"gen_ai.operation.name": "chat", "gen_ai.provider.name": "acme", "gen_ai.response.model": "m-1",
                "gen_ai.system_instructions": spell(json!([{"type": "text", "content": "Be brief."}])),
                "gen_ai.input.messages": spell(input), "gen_ai.output.messages": spell(output),
                "gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": "5", "gen_ai.conversation.id": "s-1"})
        }
    };
    let indexed = |n: usize| {
        let mut attributes = json!({"gen_ai.system": "acme", "gen_ai.response.model": "m-1",
            "gen_ai.usage.prompt_tokens": 10, "gen_ai.usage.completion_tokens": 5, "gen_ai.conversation.id": "s-1",
            "gen_ai.prompt.0.role": "system", "gen_ai.prompt.0.content": "Be brief.",
            "gen_ai.prompt.1.role": "user", "gen_ai.prompt.1.content": "Weather in Bern?"});
        let call = |attributes: &mut Value, at: &str| {
            attributes[format!("{at}.role")] = "assistant".into();
            attributes[format!("{at}.tool_calls.0.id")] = "c1".into();
            attributes[format!("{at}.tool_calls.0.name")] = "weather".into();
            attributes[format!("{at}.tool_calls.0.arguments")] = ARGUMENTS.into();
        };
        if n == 0 {
            call(&mut attributes, "gen_ai.completion.0");
        } else {
            call(&mut attributes, "gen_ai.prompt.2");
            attributes["gen_ai.prompt.3.role"] = "tool".into();
            attributes["gen_ai.prompt.3.tool_call_id"] = "c1".into();
            attributes["gen_ai.prompt.3.content"] = "7 degrees".into();
            attributes["gen_ai.completion.0.role"] = "assistant".into();
            attributes["gen_ai.completion.0.content"] = "It is 7 degrees.".into();
        }
        attributes
    };
    let bare = |_: usize| {
        json!({"gen_ai.operation.name": "chat", "gen_ai.system": "acme", "gen_ai.response.model": "m-1",
            "gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 5, "gen_ai.conversation.id": "s-1"})
    };
    let mut events = agent(json!({}), bare, tool.clone());
    for (n, place) in [1, 3].into_iter().enumerate() {
        let input = openai(n == 1);
        for message in input.as_array().unwrap() {
            let name = format!("gen_ai.{}.message", message["role"].as_str().unwrap());
            let mut message = message.clone();
            if message["role"] == "tool" {
                message["id"] = message.as_object_mut().unwrap().remove("tool_call_id").unwrap();
            }
            events[place].events.push(occurrence(&name, message));
        }
        events[place].events.push(occurrence(
            "gen_ai.choice",
            json!({"index": 0, "finish_reason": "stop", "message": answer(n == 1).to_string()}),
        ));
    }
    let inference = |n: usize| {
        let mut attributes = json!({"openinference.span.kind": "LLM", "llm.provider": "acme", "llm.model_name": "m-1",
            "llm.token_count.prompt": 10, "llm.token_count.completion": 5, "session.id": "s-1",
            "input.value": "{\"messages\": []}", "output.value": "whatever",
            "llm.tools.0.tool.json_schema": "{\"type\": \"function\", \"function\": {\"name\": \"weather\", \"parameters\": {}}}"});
        let mut put = |prefix: &str, messages: &[Value]| {
            for (i, message) in messages.iter().enumerate() {
                let at = format!("{prefix}.{i}.message");
                for name in ["role", "content", "tool_call_id"] {
                    if message[name].is_string() {
                        attributes[format!("{at}.{name}")] = message[name].clone();
                    }
                }
                for (k, call) in message["tool_calls"].as_array().into_iter().flatten().enumerate() {
                    attributes[format!("{at}.tool_calls.{k}.tool_call.id")] = call["id"].clone();
                    attributes[format!("{at}.tool_calls.{k}.tool_call.function.name")] =
                        call["function"]["name"].clone();
                    attributes[format!("{at}.tool_calls.{k}.tool_call.function.arguments")] =
                        call["function"]["arguments"].clone();
                }
            }
        };
        put("llm.input_messages", openai(n == 1).as_array().unwrap());
        put("llm.output_messages", &[answer(n == 1)]);
        attributes
    };
    let inference_tool = json!({"openinference.span.kind": "TOOL", "tool.name": "weather", "input.value": ARGUMENTS, "output.value": "7 degrees"});
    let langfuse = |n: usize| {
        json!({"langfuse.observation.type": "generation", "langfuse.observation.model.name": "m-1", "gen_ai.system": "acme",
            "langfuse.observation.input": json!({"messages": openai(n == 1), "tools": []}).to_string(),
            "langfuse.observation.output": answer(n == 1).to_string(),
            "langfuse.observation.usage_details": "{\"input\": 10, \"output\": 5, \"total\": 15}", "session.id": "s-1"})
    };
    let langfuse_tool = json!({"langfuse.observation.type": "tool", "langfuse.observation.input": ARGUMENTS, "langfuse.observation.output": "7 degrees"});
    let mut langfuse = agent(
        json!({"langfuse.observation.type": "agent", "langfuse.observation.output": "It is 7 degrees."}),
        langfuse,
        langfuse_tool,
    );
    langfuse[2].name = "weather".into();
    vec![
        ("gen_ai", agent(json!({"gen_ai.operation.name": "invoke_agent"}), genai(false), tool.clone())),
        ("gen_ai", agent(json!({}), genai(true), tool.clone())),
        ("gen_ai.indexed", agent(json!({}), indexed, tool)),
        ("gen_ai.events", events),
        (
            "openinference",
            agent(
                json!({"openinference.span.kind": "AGENT", "output.value": "It is 7 degrees."}),
                inference,
                inference_tool,
            ),
        ),
        ("langfuse", langfuse),
    ]
}

#[test]
fn every_vocabulary_says_the_same() {
    let mut covered = vec!["stillhouse"];
    for (name, mut spans) in traces() {
        covered.push(name);
        spans[0].attributes.insert("stillhouse.task_key".into(), "\"weather-bern\"".into());
        spans[0].attributes.insert("stillhouse.outcome.verdict".into(), "\"pass\"".into());
        spans[0].attributes.insert("stillhouse.tags".into(), "[\"nightly\"]".into());
        let run = run_of(&spans, &[]);
        assert_eq!(said(&run), expected(), "{name}");
        let usage = run.usage.clone().expect("usage");
        assert_eq!((usage.input_tokens, usage.output_tokens), (Some(20), Some(10)), "{name}");
        assert_eq!((run.model.as_deref(), run.provider.as_deref()), (Some("m-1"), Some("acme")), "{name}");
        assert_eq!((run.session_id.as_deref(), run.task_key.as_deref()), (Some("s-1"), Some("weather-bern")), "{name}");
        assert_eq!((run.outcome.verdict.as_deref(), run.tags.as_slice()), (Some("pass"), &["nightly".to_owned()][..]));
        assert_eq!((run.started_at, run.ended_at), (Some(START), Some(START + 9_000_000)));
        assert_eq!((run.run_id.as_str(), run.revision, run.error.as_deref()), (&*format!("trace-{TRACE}"), 4, None));
        assert_eq!(run.span_id.as_deref(), Some("0000000000000001"));
    }
    let missing: Vec<_> = VOCABULARIES.iter().filter(|v| !covered.contains(&v.name)).map(|v| v.name).collect();
    assert!(missing.is_empty(), "no trace speaks {missing:?}");
}

#[test]
fn tools_that_only_their_spans_know_of_are_in_their_place() {
    let model = |n: usize| match n {
        0 => {
            json!({"gen_ai.operation.name": "chat", "gen_ai.prompt": "Weather in Bern?", "gen_ai.completion": "I look it up."})
        }
        _ => {
            json!({"gen_ai.operation.name": "chat", "gen_ai.prompt.0.role": "user", "gen_ai.prompt.0.content": "Weather in Bern?",
            "gen_ai.prompt.1.role": "assistant", "gen_ai.prompt.1.content": "I look it up.", "gen_ai.completion": "Seven."})
        }
    };
    let tool = json!({"gen_ai.tool.name": "weather", "gen_ai.tool.call.arguments": ARGUMENTS, "gen_ai.tool.call.result": "7 degrees"});
    let run = run_of(&agent(json!({}), model, tool), &[]);
    let roles: Vec<_> = said(&run);
    let texts: Vec<&str> = roles.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts, ["Weather in Bern?", "I look it up.", "weather{\"city\":\"Bern\"}", "7 degrees", "Seven."]);
    assert_eq!(run.messages[2].tool_calls[0].id, run.messages[3].tool_call_id);
}

#[test]
fn what_is_retrieved_is_passages_and_what_is_counted_twice_counts_once() {
    let chain = json!({"openinference.span.kind": "CHAIN", "input.value": "Who?", "output.value": "Her.", "llm.token_count.prompt": 99});
    let retriever = json!({"openinference.span.kind": "RETRIEVER", "retrieval.documents.0.document.content": "A text",
        "retrieval.documents.0.document.id": "d1", "retrieval.documents.1.document.content": "Another",
        "retrieval.documents.10.document.content": "The last", "retrieval.documents.1.document.metadata": "{\"source\": \"f.md\"}"});
    let outer = json!({"openinference.span.kind": "LLM", "input.value": "Who?", "output.value": "Her.", "llm.token_count.prompt": 7, "llm.cost.total": 0.25});
    let inner = json!({"gen_ai.operation.name": "chat", "gen_ai.prompt": "Who?", "gen_ai.completion": "Her.", "gen_ai.usage.input_tokens": 7});
    let spans = [
        span(1, None, (0, 9), chain),
        span(2, Some(1), (1, 2), retriever),
        span(3, Some(1), (3, 8), outer),
        span(4, Some(3), (4, 7), inner),
    ];
    let run = run_of(&spans, &[]);
    let texts: Vec<&str> = run.passages.iter().map(|p| p.text.as_str()).collect();
    assert_eq!(texts, ["A text", "Another", "The last"]);
    assert_eq!((run.passages[0].id.as_deref(), run.passages[1].source.as_deref()), (Some("d1"), Some("f.md")));
    assert_eq!(run.usage.unwrap().input_tokens, Some(7));
    assert_eq!((run.cost_usd, run.messages.len()), (Some(0.25), 2));
    // Two libraries beside each other recorded one call; the same words said again later are another.
    let call = || json!({"gen_ai.operation.name": "chat", "gen_ai.prompt": "Who?", "gen_ai.completion": "Her.", "gen_ai.usage.input_tokens": 7});
    let beside = [
        span(1, None, (0, 9), json!({})),
        span(2, Some(1), (1, 4), call()),
        span(3, Some(1), (2, 3), call()),
        span(4, Some(1), (5, 6), call()),
    ];
    assert_eq!(run_of(&beside, &[]).usage.unwrap().input_tokens, Some(14));
    // Without a call of a model: what went in and came out.
    let around = run_of(&spans[..2], &[]);
    assert_eq!(said_texts(&around), ["Who?", "Her."]);
    assert_eq!(around.usage.unwrap().input_tokens, Some(99));
}

fn said_texts(run: &Run) -> Vec<String> {
    said(run).into_iter().map(|(_, text)| text).collect()
}

#[test]
fn a_trace_that_does_not_close_waits_and_is_marked() {
    let chat = || json!({"gen_ai.operation.name": "chat", "gen_ai.prompt": "a", "gen_ai.completion": "b"});
    let lost = vec![span(2, Some(1), (1, 2), chat())];
    let circle = vec![span(2, Some(3), (1, 2), chat()), span(3, Some(2), (1, 3), chat())];
    let itself = vec![span(2, Some(2), (1, 2), chat())];
    let mut open = vec![span(2, None, (1, 2), chat())];
    open[0].ended_at = None;
    for (spans, why) in [(lost, "not sent"), (circle, "circle"), (itself, "circle"), (open, "not ended")] {
        let made = arrive(&spans, 1, &[]);
        assert_eq!(made.len(), 1, "{why}: only when it is quiet");
        let run = run_of(&spans, &[]);
        assert!(run.error.as_deref().is_some_and(|error| error.contains(why)), "{why}: {:?}", run.error);
        assert!(run.extra["trace.incomplete"].contains(why) && !run.messages.is_empty());
        let taken = run_of(&spans, &["unclosed=take"]);
        assert_eq!((taken.error, taken.messages), (None, run.messages));
    }
    // A parent in another process need not come; where it does, it is another revision.
    let mut remote = span(2, Some(1), (1, 2), chat());
    remote.attributes.insert("otlp.remote_parent".into(), "true".into());
    let both = [remote.clone(), span(1, None, (0, 3), json!({}))];
    let revisions = |events: Vec<Event>| -> Vec<i64> {
        events.iter().map(|e| if let Payload::Run(run) = &e.payload { run.revision } else { -1 }).collect()
    };
    assert_eq!(revisions(arrive(&both, 1, &[])), [1, 2]);
    assert_eq!(revisions(arrive(&[both[1].clone(), remote], 1, &[])), [2]);
}

#[test]
fn hard_inputs_make_runs_or_none_and_no_trouble() {
    let nested = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    let mut attributes = json!({"gen_ai.operation.name": "chat", "gen_ai.completion": "b", "gen_ai.prompt": "p".repeat(1 << 20),
        "gen_ai.usage.input_tokens": -3, "gen_ai.usage.output_tokens": "many", "gen_ai.usage.cost": "NaN",
        "gen_ai.input.messages": nested, "gen_ai.tool.definitions": 7, "gen_ai.response.finish_reasons": [null],
        "gen_ai.completion.0.role": {"a": []}, "gen_ai.completion.99999999999.content": "far",
        "gen_ai.prompt.0.a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r.s.t": 1});
    for n in 0..9_900 {
        attributes[format!("attribute.{n}")] = n.into();
    }
    let mut skewed = span(2, Some(1), (5, 3), attributes);
    skewed.started_at = Some(START - 1_000_000_000);
    let run = run_of(&[span(1, None, (0, 1), json!({})), skewed], &[]);
    assert_eq!((run.usage.is_some(), run.cost_usd), (false, None));
    assert!(!run.messages.is_empty() && run.messages.len() < 10, "{:?}", run.messages.len());

    // Not about a model: no run.
    assert!(arrive(&[span(1, None, (0, 1), json!({"http.method": "GET"}))], 1, &[]).is_empty());
    // Two roots, and a thousand below the first.
    let mut wide = vec![
        span(1, None, (0, 9), json!({})),
        span(2, None, (0, 9), json!({"gen_ai.prompt": "x", "gen_ai.completion": "y"})),
    ];
    wide.extend((3..1_000).map(|n| span(n, Some(n - 1), (1, 2), json!({}))));
    let run = run_of(&wide.iter().rev().cloned().collect::<Vec<_>>(), &[]);
    assert_eq!((run.revision, said_texts(&run)), (999, vec!["x".to_owned(), "y".to_owned()]));

    let join = build("assembler", &[]).join().unwrap();
    assert_eq!(join.most().0, MAX_SPANS);
    let over = runs(&join.overflow(&received(&wide[0], 7)).unwrap()).remove(0);
    let Payload::Run(over) = over.payload else { panic!("a run") };
    assert!(over.messages.is_empty() && over.error.is_some() && over.revision > MAX_SPANS as i64);
}

#[test]
fn of_two_contents_of_a_span_one_counts_whichever_came_first() {
    let chat = |text: &str| json!({"gen_ai.operation.name": "chat", "gen_ai.prompt": "a", "gen_ai.completion": text});
    let (early, late) = (span(1, None, (0, 1), chat("early")), span(1, None, (0, 2), chat("late")));
    for spans in [[early.clone(), late.clone()], [late, early]] {
        let run = run_of(&spans, &[]);
        assert_eq!(
            (said_texts(&run)[1].as_str(), run.revision, run.extra["trace.conflicts"].as_str()),
            ("late", 2, "1")
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Whatever the order, the pieces and what is sent twice: the last revision is the same event.
    #[test]
    fn no_order_of_arrival_says_anything_else(
        order in Just((0..14_usize).collect::<Vec<_>>()).prop_shuffle(),
        again in prop::collection::vec(0..14_usize, 0..6),
        size in 1..20_usize,
        which in 0..6_usize,
        cut in prop::bool::ANY,
    ) {
        let mut spans = traces().remove(which).1;
        let chat = json!({"gen_ai.operation.name": "chat", "gen_ai.prompt": "q", "gen_ai.completion": "a", "gen_ai.usage.input_tokens": 1});
        // A sub-agent at the same instants, a second root, a span with two contents, a deep chain.
        spans.push(span(20, Some(1), (3, 4), json!({"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "helper"})));
        spans.push(span(21, Some(20), (3, 4), chat.clone()));
        spans.push(span(22, Some(20), (3, 4), chat.clone()));
        spans.push(span(30, None, (0, 9), json!({})));
        spans.push(span(21, Some(20), (3, 5), chat));
        spans.extend((40..45).map(|n| span(n, Some(if n == 40 { 30 } else { n - 1 }), (2, 3), json!({}))));
        if cut {
            // Without its root it never closes.
            spans[0] = span(50, Some(4), (6, 7), json!({}));
        }
        prop_assert_eq!(spans.len(), 14);
        let straight = last(&arrive(&spans, 1, &[]));
        let mut arrivals: Vec<Span> = order.iter().map(|n| spans[*n].clone()).collect();
        for n in again {
            arrivals.insert(n.min(arrivals.len()), spans[n].clone());
        }
        let made = arrive(&arrivals, size, &[]);
        let mut shuffled = last(&made);
        prop_assert_eq!(&shuffled.envelope.id, &straight.envelope.id);
        // Only where its causes stand may differ.
        for (ours, theirs) in shuffled.envelope.causes.iter_mut().zip(&straight.envelope.causes) {
            ours.offset = theirs.offset;
        }
        prop_assert_eq!(&shuffled, &straight);
        prop_assert_eq!(made, arrive(&arrivals, 1, &[]), "batches are not told apart");
    }
}
