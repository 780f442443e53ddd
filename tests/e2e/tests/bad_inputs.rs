//! Bad input of every kind for the command line: the right status, a sentence that says what and where, never a panic,
//! and of what was refused, nothing in the journal.

use serde_json::json;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use crate::harness::{Reader, Runs, Stack};

const FAILED: i32 = 1;
const USAGE: i32 = 2;
const NOT_FOUND: i32 = 3;
const CONFIG: i32 = 4;
const UNREACHABLE: i32 = 5;
const INVALID: i32 = 6;

fn runs_in(stack: &Stack) -> usize {
    Reader::of(stack).events("runs").len()
}

#[test]
fn command_lines_that_make_no_sense() {
    let stack = Stack::embedded(2);
    let cases: &[(&[&str], i32, &[&str])] = &[
        (&["frobnicate"], USAGE, &["frobnicate"]),
        (&["imprt", "x"], USAGE, &["import"]),
        (&["up", "--no-such-flag"], USAGE, &["--no-such-flag"]),
        (&["import"], USAGE, &["FILE"]),
        (&["topics", "-o", "yaml"], USAGE, &["yaml", "jsonl"]),
        (&["tail", "nothing"], NOT_FOUND, &["nothing"]),
        (&["tail", "runs", "--partition", "77"], USAGE, &["partitions 0 to 1"]),
        (&["tail", "runs", "--from", "yesterday-ish"], USAGE, &["yesterday-ish"]),
        (&["show", "no-such-event"], NOT_FOUND, &["no-such-event"]),
        (&["show", "runs/0/99999"], NOT_FOUND, &["runs/0/99999"]),
        (&["show", "nothing/0/1"], NOT_FOUND, &["nothing"]),
        (&["show", "runs/9/0"], NOT_FOUND, &["runs/9"]),
        (&["lineage", "no-such-event"], NOT_FOUND, &["no-such-event"]),
        (&["schemas", "show", "nothing"], NOT_FOUND, &["nothing", "score_failed"]),
        (&["work", "scoer"], USAGE, &["scoer", "scorer"]),
        (&["rewind", "scoer", "--as", "v2"], USAGE, &["scoer", "scorer"]),
        (&["rewind", "scorer", "--as", "v 2"], USAGE, &["v 2"]),
        (&["append", "scores"], USAGE, &["scores"]),
        (&["append", "nothing"], NOT_FOUND, &["nothing"]),
        (&["topics", "--partitions", "0"], CONFIG, &["partitions"]),
        (&["topics", "--partitions", "-3"], USAGE, &[]),
        (&["topics", "--partitions", "many"], CONFIG, &["many"]),
        (&["topics", "--instance", "a/b"], CONFIG, &["a/b"]),
    ];
    let faults: Vec<_> = cases.iter().filter_map(|(args, code, says)| stack.run(args).fault(*code, says)).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn journals_that_cannot_be_opened() {
    let stack = Stack::embedded(2);
    let file = stack.write("a-file", "x");
    let in_a_file = format!("embedded:{}/journal", file.display());
    let cases: &[(&str, i32, &[&str])] = &[
        ("nonsense", CONFIG, &["nonsense", "embedded:", "kafka://"]),
        ("redis://localhost", CONFIG, &["redis://localhost", "kafka://"]),
        ("embedded:", CONFIG, &["embedded:"]),
        (&in_a_file, CONFIG, &["a-file"]),
        ("kafka://127.0.0.1:1", UNREACHABLE, &["Kafka", "doctor"]),
    ];
    for (uri, code, says) in cases {
        let mut command = stack.command(&["topics"]);
        // The last one counts.
        command.arg("--journal").arg(uri);
        let args: Vec<String> = command.get_args().map(|arg| arg.to_str().expect("UTF-8").to_owned()).collect();
        let first = args.iter().position(|arg| arg == "--journal").expect("the stack's own");
        let args: Vec<&str> = args
            .iter()
            .enumerate()
            .filter(|(n, _)| *n != first && *n != first + 1)
            .map(|(_, arg)| arg.as_str())
            .collect();
        stack.bare(&args).fails(*code, says);
    }
}

#[test]
fn settings_that_make_no_sense() {
    let stack = Stack::embedded(2);
    let cases: &[(&str, &[&str])] = &[
        ("retntion = 3", &["retntion"]),
        ("[runner]\nbatch_recrods = 3", &["batch_recrods", "2"]),
        ("[runner]\nbatch_records = \"many\"", &["batch_records", "line 2"]),
        ("[runner]\nbatch_records = 0", &["batch_records"]),
        ("[runner]\nbatch_records = -1", &["batch_records"]),
        ("[runner\n", &["line 1"]),
        ("[http]\n[http]\n", &["http"]),
        ("[runner]\nsession_timeout_seconds = 0", &["session_timeout_seconds"]),
        ("[embedded]\ndurability = \"maybe\"", &["maybe", "full", "process"]),
    ];
    let faults: Vec<_> = cases
        .iter()
        .filter_map(|(content, says)| {
            let file = stack.write("bad.toml", content);
            stack.run(&["topics", "--config", file.to_str().expect("UTF-8")]).fault(CONFIG, says)
        })
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    stack.run(&["topics", "--config", "missing.toml"]).fails(CONFIG, &["missing.toml"]);
    Stack::embedded(1).with("runner.batch_records", "many").run(&["topics"]).fails(CONFIG, &["BATCH_RECORDS", "many"]);
    let open = Stack::embedded(1);
    open.run(&["up", "--listen", "0.0.0.0:0"]).fails(CONFIG, &["0.0.0.0"]);
    open.run(&["up", "--listen", "127.0.0.1:65536"]).fails(CONFIG, &["65536"]);
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let ended = open.run(&["up", "--listen", &address]);
    assert!([FAILED, CONFIG].contains(&ended.code.expect("a status")), "{ended:?}");
    assert!(ended.stderr.contains(&address), "{ended:?}");
}

/// Each bad line is told with file, line and reason; the good ones beside it go in.
#[test]
fn lines_that_are_no_runs() {
    let good = |n: usize| {
        let messages =
            json!([{"role": "user", "content": format!("question {n}")}, {"role": "assistant", "content": "yes"}]);
        json!({"messages": messages}).to_string()
    };
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let bad: &[(&str, &[u8])] = &[
        ("cut", b"{\"messages\": [{\"role\": \"user\""),
        ("null", b"null"),
        ("a string", b"\"x\""),
        ("a number", b"17"),
        ("no messages", b"{\"model\": \"a-model\"}"),
        ("a role that is none", b"{\"messages\": [{\"role\": \"robot\", \"content\": \"x\"}]}"),
        ("invalid UTF-8", b"{\"messages\": [{\"role\": \"user\", \"content\": \"\xff\xfe\"}]}"),
        ("a lone surrogate", b"{\"messages\": [{\"role\": \"user\", \"content\": \"\\ud800\"}]}"),
        ("a key twice", b"{\"messages\": [{\"role\": \"user\", \"role\": \"system\", \"content\": \"x\"}]}"),
        ("not a number", b"{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}], \"created\": NaN}"),
        ("too deep", deep.as_bytes()),
        ("two values", b"{} {}"),
    ];
    let stack = Stack::embedded(2);
    let mut content = Vec::new();
    for (n, (_, line)) in bad.iter().enumerate() {
        content.extend_from_slice(good(n).as_bytes());
        content.extend_from_slice(b"\r\n\n");
        content.extend_from_slice(line);
        content.push(b'\n');
    }
    stack.write("mixed.jsonl", content);
    let ended = stack.run(&["import", "mixed.jsonl", "--map", "openai-chat"]);
    ended.fails(INVALID, &[]);
    for (n, (what, _)) in bad.iter().enumerate() {
        let place = format!("mixed.jsonl:{}", n * 3 + 3);
        assert!(ended.stderr.contains(&place), "{what}: {place} is not told: {}", ended.stderr);
    }
    assert_eq!(runs_in(&stack), bad.len(), "the good lines, and no bad one");
    assert!(ended.stderr.len() < 20_000, "the input is not repeated in the errors: {} bytes", ended.stderr.len());
}

#[test]
fn files_that_cannot_be_imported() {
    let stack = Stack::embedded(2);
    stack.write("empty.jsonl", "");
    stack.write("garbage.gz", b"\x1f\x8b\x08\x00garbage");
    stack.write("good.jsonl", "{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}]}\n");
    stack.write("bad-map.toml", "name = \"x\"\nmesages = \"{messages}\"\n");
    stack.write("cut.toml", "name = \"x\n");
    std::fs::create_dir(stack.folder().join("folder")).expect("a folder");
    let cases: &[(&[&str], &[i32], &[&str])] = &[
        (&["import", "missing.jsonl", "--map", "openai-chat"], &[NOT_FOUND], &["missing.jsonl"]),
        (&["import", "folder", "--map", "openai-chat"], &[FAILED, USAGE, NOT_FOUND, INVALID], &["folder"]),
        (&["import", "garbage.gz", "--map", "openai-chat"], &[INVALID, FAILED], &["garbage.gz"]),
        (&["import", "good.jsonl", "--map", "no-such-map"], &[NOT_FOUND, USAGE, CONFIG], &["no-such-map", "tau-bench"]),
        (&["import", "good.jsonl", "--map", "bad-map.toml"], &[CONFIG, USAGE, INVALID], &["mesages", "messages"]),
        (&["import", "good.jsonl", "--map", "cut.toml"], &[CONFIG, USAGE, INVALID], &["cut.toml:1"]),
    ];
    for (args, codes, says) in cases {
        let ended = stack.run(args);
        assert!(codes.contains(&ended.code.expect("a status")), "{args:?}: {ended:?}");
        ended.fails(ended.code.expect("a status"), says);
    }
    assert_eq!(runs_in(&stack), 0);
    stack.run(&["import", "empty.jsonl", "--map", "openai-chat"]).fails(INVALID, &["empty.jsonl", "no record"]);
}

/// A batch on standard input is told line by line; bad lines do not keep the good ones out, nor get in.
#[test]
fn events_that_are_none() {
    let runs = Runs::new(1);
    let good = |n: usize| runs.event(n).to_string();
    let mut wrong_key = runs.event(100);
    wrong_key["key"] = json!("another");
    let mut unknown = runs.event(101);
    unknown["colour"] = json!("red");
    let mut bad_id = runs.event(102);
    bad_id["id"] = json!("a b/c");
    let mut future = runs.event(103);
    future["occurred_at"] = json!("9999-01-01T00:00:00Z");
    let mut no_date = runs.event(104);
    no_date["occurred_at"] = json!("2026-02-30T00:00:00Z");
    let mut taken = runs.event(105);
    taken["id"] = json!(runs.id(0));
    for (n, bad) in [wrong_key, unknown, bad_id, future, no_date, json!(null), json!([])].into_iter().enumerate() {
        let stack = Stack::embedded(2);
        let input = format!("{}\n{bad}\n", good(n));
        let ended = stack.feed(&["append", "runs"], input.as_bytes());
        ended.fails(INVALID, &["2"]);
        let found = runs_in(&stack);
        assert!(found <= 1, "{bad} got in");
    }
    let stack = Stack::embedded(2);
    stack.feed(&["append", "runs"], good(0).as_bytes()).ok();
    stack.feed(&["append", "runs"], good(0).as_bytes()).ok();
    assert_eq!(runs_in(&stack), 1, "the same event again is the same event");
    stack.feed(&["append", "runs"], taken.to_string().as_bytes()).fails(INVALID, &[&runs.id(0)]);
    assert_eq!(runs_in(&stack), 1, "an id that is taken by other content");
}

#[test]
fn exports_that_cannot_be_written() {
    let stack = Stack::embedded(2);
    stack.feed(&["append", "runs"], Runs::new(2).lines(0..8).as_bytes()).ok();
    stack.settle();
    stack.write("a-file", "x");
    stack.run(&["export", "sft", "--out", "a-file"]).fails(USAGE, &["a-file"]);
    stack.run(&["export", "nonsense", "--out", "out"]).fails(USAGE, &["nonsense"]);
    stack.run(&["export", "sft"]).fails(USAGE, &["--out"]);
    stack.run(&["export", "sft", "--out", "out", "--at", "not a cut"]).fails(USAGE, &["not a cut"]);
    stack.run(&["export", "sft", "--out", "out", "--at", "[[\"nothing\", 0, 5]]"]).fails(USAGE, &["the cut"]);
    for (option, value, says) in [
        ("--shape", "alpaca", "prompt-completion"),
        ("--format", "csv", "parquet"),
        ("--split", "80,20", "0.8,0.1,0.1"),
        ("--redact", "emial", "email"),
        ("--near-duplicates", "1.5", "0.3"),
        ("--max-pairs", "3", "--max-pairs"),
    ] {
        stack.run(&["export", "sft", "--out", "out", option, value]).fails(USAGE, &[says]);
    }
    let folder = stack.folder().join("locked");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o500)).expect("permissions");
    assert!(!stack.folder().join("out").join("manifest.json").exists());
}

/// A reader that goes away ends the command quietly.
#[test]
fn closed_pipes_end_commands_quietly() {
    let stack = Stack::embedded(2);
    stack.feed(&["append", "runs"], Runs::new(3).lines(0..400).as_bytes()).ok();
    for args in [&["tail", "runs", "--from", "beginning", "-o", "jsonl"][..], &["schemas", "show", "run"], &["topics"]]
    {
        let mut command = stack.command(args);
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("spawn");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("output");
        assert!(output.stderr.is_empty(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// What a run says cannot steer the terminal of whoever looks at it.
#[test]
fn control_characters_are_shown_escaped() {
    let stack = Stack::embedded(1);
    let mut event = Runs::new(4).event(0);
    event["payload"]["messages"][1]["content"] = json!("red \u{1b}[31m alert \u{202e} \u{7}");
    event["payload"]["task_key"] = json!("\u{1b}]0;title\u{7}");
    stack.feed(&["append", "runs"], event.to_string().as_bytes()).ok();
    for args in [vec!["tail", "runs"], vec!["show", event["id"].as_str().expect("an id")]] {
        let said = stack.ok(&args);
        assert!(!said.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{args:?}: {said:?}");
    }
    let (_, stored) = Reader::of(&stack).events("runs").remove(0);
    let stillhouse_schemas::Payload::Run(run) = stored.payload else { panic!("not a run") };
    assert_eq!(run.messages[1].content.as_deref(), Some("red \u{1b}[31m alert \u{202e} \u{7}"), "stored exactly");
}
