//! Runs that are run again, from outside.

use serde_json::{Value, json};

use crate::harness::{Reader, Stack};
use crate::inputs::tau;

fn run(id: &str, messages: Value) -> String {
    format!(
        "{}\n",
        json!({"id": id, "payload": {"run_id": id, "task_key": "t", "tags": ["odd"], "messages": messages}})
    )
}

fn calls(id: &str, arguments: &str) -> Value {
    json!({"role": "assistant", "tool_calls": [{"id": id, "type": "function", "function": {"name": "find", "arguments": arguments}}]})
}

/// One run of each verdict.
fn odd() -> String {
    let (user, answer) = (json!({"role": "user", "content": "q"}), json!({"role": "assistant", "content": "a"}));
    let reply = |id: &str| json!({"role": "tool", "tool_call_id": id, "content": "found"});
    [
        run("same", json!([user, calls("c", "{\"a\":1}"), reply("c"), answer])),
        run("hand-over", json!([user, calls("c", "{}")])),
        run("no-object", json!([user, calls("c", "{\"a\""), reply("c"), answer])),
        run("no-result", json!([user, calls("c", "{}"), answer])),
        run("no-answer", json!([user, calls("c", "{}"), reply("c")])),
        run("no-call", json!([user, answer, reply("z"), answer])),
        run("no-turn", json!([user])),
    ]
    .concat()
}

#[test]
fn recorded_runs_are_held_against_themselves() {
    let stack = Stack::embedded(2);
    stack.feed(&["append", "runs"], odd().as_bytes()).ok();
    let out = stack.folder().join("replay_runs.jsonl");
    let args = ["replay", "--cohort", "tag=odd", "--out", out.to_str().expect("UTF-8"), "-o", "json"];
    let report: Value = serde_json::from_str(&stack.ok(&args)).expect("JSON");
    let mut found: Vec<(String, String, String)> = report["replays"]
        .as_array()
        .expect("replays")
        .iter()
        .map(|r| {
            let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
            (text(&r["run_id"]), text(&r["verdict"]), text(&r["divergence"]["what"]))
        })
        .collect();
    found.sort();
    let expected = [
        ("hand-over", "same", "-"),
        ("no-answer", "incomplete", "finish"),
        ("no-call", "diverged", "tool_result"),
        ("no-object", "diverged", "tool_arguments"),
        ("no-result", "incomplete", "tool_result"),
        ("no-turn", "failed", "-"),
        ("same", "same", "-"),
    ];
    assert_eq!(found, expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned())));
    assert_eq!(report["summary"]["outside_calls"], 0);
    let first = std::fs::read(&out).expect("the view");
    assert_eq!(first.iter().filter(|byte| **byte == b'\n').count(), 7);
    // Again: the same bytes, and nothing new in the journal.
    stack.ok(&args);
    assert_eq!(std::fs::read(&out).expect("the view"), first);
    assert_eq!(Reader::of(&stack).events("replays").len(), 7);
    stack.run(&["replay", "nobody"]).fails(3, &["there is no run `nobody`"]);
    stack.run(&["replay", "--cohort", "colour=red"]).fails(2, &["is no filter", "class, model"]);
}

/// The whole of a replay under strace: it opens no socket.
#[test]
fn a_recorded_replay_opens_no_socket() {
    let stack = Stack::embedded(2);
    let recorded = tau(stack.folder());
    stack.ok(&["import", recorded.file.to_str().expect("UTF-8"), "--map", &recorded.map]);
    let trace = stack.folder().join("trace");
    let traced = |own: std::process::Command| {
        let mut command = std::process::Command::new("strace");
        command.args(["-f", "-e", "trace=socket,connect,sendto,openat", "-o"]).arg(&trace);
        command.arg(own.get_program()).args(own.get_args()).current_dir(stack.folder());
        command.envs(own.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let output = command.output().expect("strace is installed: `make setup-tests`");
        (output.status.success(), std::fs::read_to_string(&trace).expect("a trace"))
    };
    let opens =
        |trace: &str| trace.lines().filter(|line| line.contains(" socket(") || line.contains(" connect(")).count();
    let (ended, trace) = traced(stack.command(&["replay", "--cohort", "all"]));
    assert!(ended && trace.contains("openat("), "it was watched");
    assert_eq!(opens(&trace), 0, "a recorded replay opened a socket");
    // The same eyes see one where one is.
    let mut elsewhere = std::process::Command::new(stack.command(&[]).get_program());
    elsewhere.args(["--journal", "kafka://127.0.0.1:1", "lag"]);
    let (_, trace) = traced(elsewhere);
    assert!(opens(&trace) > 0, "a socket would be seen");
    assert_eq!(Reader::of(&stack).events("replays").len(), 100);
}
