//! Traces from stock libraries end as scored runs, and no kill, piece or rewind makes another run of them.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::Duration;
use stillhouse_kit::dice::Dice;
use stillhouse_schemas::{Payload, Run};

use crate::harness::{Broker, Process, Reader, Stack, dataset, pause, root, say, size, until};
use crate::python::{Environment, run};

/// Fixed, so that a new release breaks nothing by itself.
pub(crate) const TRACED: Environment = Environment {
    name: "e2e-tracing",
    libraries: &[
        "opentelemetry-sdk>=1.37,<2",
        "opentelemetry-exporter-otlp-proto-http>=1.37,<2",
        "openinference-instrumentation-openai>=0.1.30,<0.2",
        "langfuse>=5,<6",
        "openai>=2,<4",
    ],
    imports: "opentelemetry.sdk, opentelemetry.exporter.otlp.proto.http, openinference.instrumentation.openai, langfuse, openai",
};

/// Of each run of traces the highest revision.
fn latest(events: Vec<(stillhouse_streams::Position, stillhouse_schemas::Event)>) -> BTreeMap<String, (String, Run)> {
    let mut runs: BTreeMap<String, (String, Run)> = BTreeMap::new();
    for (_, event) in events {
        let Payload::Run(run) = event.payload else { panic!("not a run: {event:?}") };
        match runs.get(&run.run_id) {
            Some((_, known)) if known.revision >= run.revision => {}
            _ => drop(runs.insert(run.run_id.clone(), (event.envelope.id, run))),
        }
    }
    runs
}

fn texts(run: &Run) -> Vec<String> {
    let text = |m: &stillhouse_schemas::Message| match m.tool_calls.first() {
        Some(call) => format!("{}{}", call.name, call.arguments.replace(' ', "")),
        None => m.content.clone().unwrap_or_default(),
    };
    run.messages.iter().map(text).collect()
}

const SAID: [&str; 5] =
    ["Be brief.", "Weather in Bern?", "weather{\"city\":\"Bern\"}", "7 degrees", "It is 7 degrees."];

#[test]
fn stock_libraries_send_traces_that_end_as_scored_runs() {
    let python = TRACED.python();
    let stack = Stack::embedded(3);
    let (node, address) = stack.node(&[]);
    let folder = stack.folder().to_owned();
    let mut command = Command::new(&python);
    command.arg(root().join("tests/e2e/fixtures/python/tracing.py")).arg(&address).arg(&folder);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("OTEL_") || name.starts_with("LANGFUSE_")) {
        command.env_remove(name);
    }
    let traced: BTreeMap<String, String> = run(&mut command)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .map(|line| {
            (line["name"].as_str().expect("a name").to_owned(), line["trace_id"].as_str().expect("an id").to_owned())
        })
        .collect();
    assert_eq!(traced.keys().map(String::as_str).collect::<Vec<_>>(), ["gen_ai", "langfuse", "openinference"]);
    assert!(node.stop().success());
    stack.settle();

    let check = |stack: &Stack| {
        let reader = Reader::of(stack);
        let runs = latest(reader.events("traces"));
        assert_eq!(runs.len(), traced.len());
        let mut runs_by_name = BTreeMap::new();
        for (name, trace) in &traced {
            let (_, run) = &runs[&format!("trace-{trace}")];
            let missing = if name == "gen_ai" { "" } else { "7 degrees" };
            assert_eq!(texts(run), SAID, "{name}{missing}: {:?}", run.messages);
            assert_eq!((run.task_key.as_deref(), run.error.as_deref()), (Some(name.as_str()), None));
            assert_eq!(run.model.as_deref(), Some("m-1"));
            let usage = run.usage.as_ref().expect("usage");
            assert_eq!((usage.input_tokens, usage.output_tokens), (Some(20), Some(10)), "{name}");
            runs_by_name.insert(name.clone(), run.clone());
        }
        let data = dataset(&stack.export("out"));
        // Each of them is accepted by its label; of those that say the same, one is a row.
        let mut rows: BTreeSet<String> = data.rows.iter().map(|row| row.run_id.clone()).collect();
        assert!(!rows.is_empty());
        let left_out = reader.events("quarantine.exporter").into_iter().filter_map(|(_, event)| match event.payload {
            Payload::Quarantined(left) if left.reason == "duplicate" => Some(left.run_id),
            _ => None,
        });
        rows.extend(left_out);
        assert_eq!(rows, runs.keys().cloned().collect::<BTreeSet<_>>(), "each of them once");
        runs_by_name
    };
    let sent = check(&stack);

    // What the SDK printed of the same spans makes the same runs out of a file.
    let again = Stack::embedded(3);
    let printed = folder.join("otel.jsonl");
    again.ok(&["import", printed.to_str().expect("UTF-8"), "--map", "otel"]);
    again.settle();
    let imported = check(&again);
    for (name, run) in &sent {
        assert_eq!((&imported[name].messages, &imported[name].usage), (&run.messages, &run.usage), "{name}");
    }
    again.ok(&["import", printed.to_str().expect("UTF-8"), "--map", "otel"]);
    let count = || Reader::of(&again).events("spans").len();
    let before = count();
    again.ok(&["import", printed.to_str().expect("UTF-8"), "--map", "otel"]);
    assert_eq!(count(), before, "importing again adds nothing");

    exports(&stack);
}

/// One trace, as Phoenix 20.26 exports what OpenInference's instrumentation of OpenAI's client sent it: a page of its API, and the
/// data frame of its client as JSON Lines and as Parquet.
#[test]
fn what_phoenix_exports_is_one_run_in_each_form() {
    let runs: Vec<Run> = ["spans.json", "spans.jsonl", "spans.parquet"]
        .into_iter()
        .map(|name| {
            let stack = Stack::embedded(2);
            let file = root().join("tests/e2e/fixtures/phoenix").join(name);
            let import = || stack.ok(&["import", file.to_str().expect("UTF-8"), "--map", "phoenix"]);
            assert!(import().contains("4 spans appended, 0 already there, 0 repeats, 0 rejected"), "{name}");
            assert!(import().contains("0 spans appended, 4 already there"), "{name}");
            stack.settle();
            let mut runs = latest(Reader::of(&stack).events("traces")).into_values();
            let (Some((_, run)), None) = (runs.next(), runs.next()) else { panic!("{name}: not one run") };
            run
        })
        .collect();
    for run in &runs {
        // That application had no system prompt.
        assert_eq!(texts(run), SAID[1..]);
        assert_eq!(run.model.as_deref(), Some("m-1"));
        assert_eq!(run.usage.as_ref().map(|usage| usage.input_tokens), Some(Some(20)));
        assert_eq!((&run.messages, &run.usage, &run.tools), (&runs[0].messages, &runs[0].usage, &runs[0].tools));
    }
}

/// Files of the clients of OpenAI and Langfuse, through the shipped mappings.
fn exports(written: &Stack) {
    let file = |name: &str| written.folder().join(name).to_str().expect("UTF-8").to_owned();
    for (map, files) in [
        ("openai-chat", vec!["openai.jsonl"]),
        ("openai-batch", vec!["input.jsonl", "output.jsonl"]),
        ("langfuse", vec!["langfuse.jsonl"]),
    ] {
        let stack = Stack::embedded(1);
        let files: Vec<String> = files.into_iter().map(&file).collect();
        let mut args = vec!["import"];
        args.extend(files.iter().map(String::as_str));
        args.extend(["--map", map]);
        stack.ok(&args);
        let mut runs: Vec<Run> = Reader::of(&stack)
            .events("runs")
            .into_iter()
            .map(|(_, event)| match event.payload {
                Payload::Run(run) => run,
                other => panic!("{other:?}"),
            })
            .collect();
        runs.sort_by_key(|run| run.messages.len());
        assert_eq!(runs.iter().map(|run| run.messages.len()).collect::<Vec<_>>(), [3, 5], "{map}");
        assert_eq!(texts(&runs[1]), SAID, "{map}");
        assert_eq!(runs[1].messages[2].tool_calls[0].id, runs[1].messages[3].tool_call_id, "{map}");
        for run in &runs {
            let usage = run.usage.as_ref().unwrap_or_else(|| panic!("{map}: no usage"));
            assert_eq!(
                (run.model.as_deref(), usage.input_tokens, usage.output_tokens),
                (Some("m-1"), Some(10), Some(5)),
                "{map}"
            );
            assert_eq!(run.tools.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(), ["weather"], "{map}");
        }
    }
}

#[test]
fn kills_and_rewinds_on_the_embedded_journal() {
    kills(Stack::embedded(3));
}

#[test]
fn kills_and_rewinds_on_kafka() {
    kills(Stack::kafka(Broker::shared(), 3));
}

const SPANS: usize = 6;

/// Span `n` of a trace: a root, two calls of a model, tools below them.
fn span(trace: usize, n: usize) -> Value {
    let parent = [None, Some(0), Some(1), Some(0), Some(3), Some(3)][n];
    let text = |key: &str, value: String| json!({"key": key, "value": {"stringValue": value}});
    let attributes = match n {
        0 => vec![text("stillhouse.outcome.verdict", if trace.is_multiple_of(2) { "pass" } else { "fail" }.into())],
        1 | 3 => vec![
            text("gen_ai.operation.name", "chat".into()),
            text("gen_ai.prompt.0.role", "user".into()),
            text("gen_ai.prompt.0.content", format!("Question {trace}")),
            text("gen_ai.completion.0.content", format!("Answer {trace} of {n}")),
        ],
        _ => vec![text("gen_ai.tool.name", format!("tool-{n}")), text("gen_ai.tool.call.result", "done".into())],
    };
    let at = |second: usize| (1_767_225_600_000_000_000_u64 + second as u64 * 1_000_000_000).to_string();
    let mut span = json!({"traceId": format!("{:032x}", trace + 1), "spanId": format!("{:016x}", trace * 100 + n + 1), "name": format!("s{n}"),
        "startTimeUnixNano": at(n), "endTimeUnixNano": at(20 - n), "attributes": attributes});
    if let Some(parent) = parent {
        span["parentSpanId"] = format!("{:016x}", trace * 100 + parent + 1).into();
    }
    span
}

/// Traces arrive span by span in a random order, some twice, while the node and its assembler are killed.
fn kills(stack: Stack) {
    let (traces, count) = (size(40, 1_000), size(4, 40));
    let seed = Dice::seed();
    say(&format!("seed {seed}, {traces} traces, {count} kills"));
    let mut dice = Dice::new(seed);
    let stack = stack.with("runner.session_timeout_seconds", 2).with("runner.batch_records", 7);
    let mut spans: Vec<Value> = (0..traces * SPANS).map(|n| span(n / SPANS, n % SPANS)).collect();
    for n in (1..spans.len()).rev() {
        spans.swap(n, dice.below(n as u64 + 1) as usize);
    }
    let client = reqwest::blocking::Client::builder().timeout(Duration::from_secs(20)).build().expect("a client");
    let (mut node, mut address) = stack.node(&[]);
    let mut worker: Process = stack.worker(&["assembler"]);
    let parts: Vec<&[Value]> = spans.chunks(spans.len().div_ceil(count + 1)).collect();
    for (number, part) in parts.iter().enumerate() {
        for piece in part.chunks(1 + dice.below(9) as usize) {
            let body = json!({"resourceSpans": [{"scopeSpans": [{"spans": piece}]}]}).to_string();
            for _ in 0..1 + dice.below(5) / 4 {
                until("a piece is taken", || {
                    let request =
                        client.post(format!("{address}/v1/traces")).header("content-type", "application/json");
                    match request.body(body.clone()).send() {
                        Ok(answer) if answer.status().is_success() => {
                            assert_eq!(answer.text().expect("a body"), "{}");
                            Some(())
                        }
                        Ok(answer) if answer.status().is_server_error() => None,
                        Ok(answer) => panic!("{}: {:?}", answer.status(), answer.text()),
                        Err(_) => None,
                    }
                });
            }
        }
        if number < count {
            pause(Duration::from_micros(dice.below(300_000)));
            if dice.below(2) == 0 {
                node.kill();
                (node, address) = stack.node(&[]);
            } else {
                worker.kill();
                worker = stack.worker(&["assembler"]);
            }
        }
    }
    assert!(worker.stop().success() && node.stop().success());
    stack.settle();

    let reader = Reader::of(&stack);
    let events = reader.events("traces");
    let ids: BTreeSet<&str> = events.iter().map(|(_, event)| event.envelope.id.as_str()).collect();
    assert_eq!(ids.len(), events.len(), "a revision is there once");
    let first = latest(events);
    assert_eq!(first.len(), traces);
    for (_, run) in first.values() {
        assert_eq!((run.revision, run.error.as_deref(), run.messages.len()), (SPANS as i64, None, 8), "{run:?}");
    }
    assert_eq!((reader.counts("deadletters").len(), reader.counts("quarantine.materializer").len()), (0, 0));
    assert_eq!(reader.verify().damage, []);
    let data = dataset(&stack.export("out"));
    let rows: Vec<&str> = data.rows.iter().map(|row| row.run_id.as_str()).collect();
    let passed: BTreeSet<String> = (0..traces).step_by(2).map(|n| format!("trace-{:032x}", n + 1)).collect();
    assert_eq!((rows.len(), rows.iter().map(|r| (*r).to_owned()).collect()), (passed.len(), passed));

    // Put together again by itself, each run says the same; another configuration only makes other ids.
    stack.ok(&["rewind", "assembler", "--as", "v2"]);
    let again = latest(Reader::of(&stack).events_of("traces", "v2"));
    assert_eq!(again, first);
    stack.ok(&["rewind", "assembler", "--as", "v3", "--set", "settle_seconds=5"]);
    let other = latest(Reader::of(&stack).events_of("traces", "v3"));
    assert!(other.values().map(|(_, run)| run).eq(first.values().map(|(_, run)| run)));
    stack.ok(&["promote", "assembler", "v2"]);
    stack.settle();
    assert_eq!(dataset(&stack.export("promoted")).rows.len(), data.rows.len(), "the same evidence of the same runs");
}
