//! The verbs that look: `topics`, `tail`, `show`, `lag`, `schemas`, `doctor`. The binary itself, on a journal of its own.

use serde_json::{Value, json};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stillhouse"));
        command.current_dir(self.0.path()).args(args).stdin(Stdio::null()).env_remove("RUST_LOG");
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Standard output of a command that must end well.
    #[track_caller]
    fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.ok(&[args, &["-o", "json"]].concat())).unwrap()
    }

    /// Exit status and standard error of a command that must not end well.
    #[track_caller]
    fn fails(&self, args: &[&str]) -> (i32, String) {
        let output = self.run(args);
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    fn append(&self, lines: &[Value]) {
        self.append_with(&[], lines);
    }

    fn append_with(&self, options: &[&str], lines: &[Value]) {
        let mut child = self
            .command(&[options, &["append", "runs"]].concat())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        for line in lines {
            writeln!(stdin, "{line}").unwrap();
        }
        drop(stdin);
        assert!(child.wait().unwrap().success());
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// Events with ids in order.
fn events(n: usize) -> Vec<Value> {
    let event = |n: usize| {
        json!({
            "id": format!("e{n:02}"),
            "occurred_at": format!("2026-01-01T00:00:{n:02}Z"),
            "payload": {
                "run_id": format!("r{n:02}"),
                "task_key": "a\u{1b}[31mtask",
                "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": format!("a{n}")}],
                "outcome": {"verdict": "pass"},
            },
        })
    };
    (0..n).map(event).collect()
}

fn ids(lines: &str) -> Vec<String> {
    let id = |line: &str| serde_json::from_str::<Value>(line).unwrap()["event"]["id"].as_str().unwrap().to_owned();
    lines.lines().map(id).collect()
}

fn names(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| format!("e{n:02}")).collect()
}

#[test]
fn tail_gives_the_last_or_what_is_asked_for() {
    let home = Home::new();
    // One partition has one order; what came at one moment has none over several.
    home.append_with(&["--partitions", "1"], &events(30));
    assert_eq!(ids(&home.ok(&["tail", "runs", "-o", "json"])), names(20..30));
    assert_eq!(ids(&home.ok(&["tail", "runs", "-n", "3", "-o", "jsonl"])), names(27..30));
    assert_eq!(ids(&home.ok(&["tail", "runs", "--from", "beginning", "-o", "json"])), names(0..30));
    assert_eq!(ids(&home.ok(&["tail", "runs", "--from", "beginning", "-n", "4", "-o", "json"])), names(0..4));
    assert_eq!(ids(&home.ok(&["tail", "runs", "--partition", "0", "--from", "25", "-o", "json"])), names(25..30));
    assert_eq!(ids(&home.ok(&["tail", "runs", "--from", "2020-01-01T00:00:00Z", "-o", "json"])), names(0..30));
    assert_eq!(home.ok(&["tail", "runs", "--from", "2200-01-01T00:00:00Z"]), "");
    assert_eq!(home.ok(&["tail", "runs", "--from", "end"]), "");

    assert_eq!(home.fails(&["tail", "nothing"]).0, 3);
    assert_eq!(home.fails(&["tail", "runs", "--partition", "1"]).0, 2);
    assert_eq!(home.fails(&["tail", "runs", "--from", "yesterday"]).0, 2);
}

#[test]
fn tail_merges_partitions_in_the_order_of_arrival() {
    let home = Home::new();
    let all = events(12);
    // Appended one after the other, each has a moment of its own but for ties within a millisecond.
    all.iter().for_each(|event| home.append(std::slice::from_ref(event)));
    assert_eq!(ids(&home.ok(&["tail", "runs", "--from", "beginning", "-o", "json"])), names(0..12));
    assert_eq!(ids(&home.ok(&["tail", "runs", "-n", "5", "-o", "json"])), names(7..12));
}

#[test]
fn follow_shows_what_comes() {
    use std::io::{BufRead, BufReader};
    let home = Home::new();
    home.append(&events(1));
    let mut child = home.command(&["tail", "runs", "-f", "-o", "json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || ids(&lines.next().unwrap().unwrap());
    assert_eq!(next(), ["e00"]);
    home.append(&events(2)[1..]);
    assert_eq!(next(), ["e01"]);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn what_is_shown_cannot_control_the_terminal() {
    let home = Home::new();
    home.append(&events(1));
    for text in [home.ok(&["tail", "runs"]), home.ok(&["show", "e00"])] {
        assert!(text.contains("[31mtask"), "{text:?}");
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }
}

#[test]
fn show_finds_by_id_and_by_position() {
    let home = Home::new();
    home.append(&events(5));
    let by_id = home.json(&["show", "e03"]);
    assert_eq!(by_id["event"]["payload"]["run_id"], "r03");
    assert!(by_id["headers"].as_array().unwrap().iter().any(|h| h["name"] == "ce_id" && h["value"] == "e03"));
    assert_eq!(home.json(&["show", by_id["position"].as_str().unwrap()]), by_id);
    for missing in ["e99", "runs/0/999", "runs/9/0", "nothing/0/0"] {
        let (code, error) = home.fails(&["show", missing]);
        assert_eq!(code, 3, "{missing}: {error}");
    }
}

#[test]
fn lag_is_there_before_anybody_works_and_gone_afterwards() {
    let home = Home::new();
    home.append(&events(20));
    let lag = |group: &str| {
        let groups = home.json(&["lag"]);
        let found = groups.as_array().unwrap().iter().find(|g| g["group"] == group).cloned();
        found.unwrap_or_else(|| panic!("{group} in {groups}"))
    };
    let before = lag("materializer.v1");
    assert_eq!(before["lag"], 20);
    assert!(before["lag_seconds"].as_f64().unwrap() > 0.0);
    home.ok(&["up", "--until-idle"]);
    for group in ["materializer.v1", "scorer.v1"] {
        let after = lag(group);
        assert_eq!((&after["lag"], &after["lag_seconds"]), (&json!(0), &json!(0.0)), "{group}");
    }
    let table = home.ok(&["lag", "--group", "scorer.v1"]);
    let width = table.lines().next().unwrap().find("TOPIC").unwrap();
    let reads = ["evidence.v1", "labels"];
    assert!(table.lines().skip(1).all(|line| reads.iter().any(|topic| line[width..].starts_with(topic))), "{table}");
    assert_eq!(home.fails(&["lag", "--group", "nobody"]).0, 3);
}

#[test]
fn topics_are_those_of_the_table_with_their_ends() {
    let home = Home::new();
    home.append(&events(7));
    let topics = home.json(&["topics"]);
    let runs = topics.as_array().unwrap().iter().find(|t| t["topic"] == "runs").unwrap().clone();
    assert_eq!((&runs["records"], &runs["written_by"]), (&json!(7), &json!("outside")));
    assert_eq!(runs["partitions"].as_array().unwrap().len(), 4);
    for topic in stillhouse_schemas::TOPICS {
        assert!(topics.as_array().unwrap().iter().any(|t| t["logical"] == topic.name), "{}", topic.name);
    }
    assert_eq!(home.ok(&["topics", "--detail"]).lines().filter(|l| l.starts_with("runs ")).count(), 4);
    // Another instance has topics of its own.
    let other = home.json(&["--instance", "other", "--journal", "embedded:stillhouse-data/journal", "topics"]);
    let names: Vec<&str> = other.as_array().unwrap().iter().map(|t| t["topic"].as_str().unwrap()).collect();
    assert!(names.iter().all(|n| n.starts_with("other.")), "{names:?}");
}

#[test]
fn schemas_are_shown_and_changes_checked() {
    let home = Home::new();
    for event in stillhouse_schemas::EVENTS {
        assert!(home.ok(&["schemas"]).contains(event.record));
        let schema: Value = serde_json::from_str(&home.ok(&["schemas", "show", event.name])).unwrap();
        assert_eq!(schema["type"], "record");
    }
    assert!(!home.path("stillhouse-data").exists(), "schemas need no journal");
    let mut schema: Value = serde_json::from_str(&home.ok(&["schemas", "show", "run"])).unwrap();
    let check = |field: Value| {
        let mut changed = schema.clone();
        changed["fields"].as_array_mut().unwrap().push(field);
        std::fs::write(home.path("changed.avsc"), changed.to_string()).unwrap();
        home.run(&["schemas", "check", "changed.avsc"]).status.code().unwrap()
    };
    assert_eq!(check(json!({"name": "more", "type": "string", "default": ""})), 0);
    assert_eq!(check(json!({"name": "must", "type": "string"})), 6);
    schema["name"] = "Other".into();
    std::fs::write(home.path("other.avsc"), schema.to_string()).unwrap();
    assert_eq!(home.fails(&["schemas", "check", "other.avsc"]).0, 6);
    assert_eq!(home.fails(&["schemas", "check", "missing.avsc"]).0, 3);
    assert_eq!(home.fails(&["schemas", "show", "nothing"]).0, 3);
}

#[test]
fn doctor_runs_all_checks_and_fails_if_one_does() {
    let home = Home::new();
    let findings = home.json(&["--config", "/dev/null", "doctor"]);
    assert!(findings.as_array().unwrap().len() > 8, "{findings}");
    assert!(findings.as_array().unwrap().iter().all(|f| f["verdict"] != "fail"), "{findings}");

    let output = home.run(&["--journal", "nonsense:x", "doctor", "-o", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let findings: Value = serde_json::from_slice(&output.stdout).unwrap();
    let verdict =
        |check: &str| findings.as_array().unwrap().iter().find(|f| f["check"] == check).unwrap()["verdict"].clone();
    assert_eq!(
        (verdict("journal"), verdict("data directory"), verdict("schemas")),
        (json!("fail"), json!("ok"), json!("ok"))
    );
    let failed = findings.as_array().unwrap().iter().find(|f| f["verdict"] == "fail").unwrap();
    assert!(failed["hint"].as_str().is_some_and(|hint| hint.contains("embedded:DIR")), "{failed}");

    std::fs::write(home.path("bad.toml"), "surprise = 1\n").unwrap();
    let output = home.run(&["--config", "bad.toml", "doctor"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("FAIL  settings") && text.contains("ok    schemas"), "{text}");
}

#[test]
fn a_closed_pipe_is_a_quiet_end() {
    let home = Home::new();
    home.append(&events(60));
    let args = ["tail", "runs", "--from", "beginning", "-o", "json"];
    let mut child = home.command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

/// Without its keys what was sealed is lost, not erased: said before anything is made of it, and nothing is made.
#[test]
fn a_lost_key_store_is_no_erasure() {
    let home = Home::new();
    std::fs::write(home.path("stillhouse.toml"), "[privacy]\nseal = true\n").unwrap();
    let sealed: Vec<Value> = events(3)
        .into_iter()
        .map(|mut event| {
            event["subject"] = json!("worker:7");
            event
        })
        .collect();
    home.append(&sealed);
    let keys = home.path("stillhouse-data/keys");
    let whole = home.path("whole");
    std::fs::rename(&keys, &whole).unwrap();
    for verb in [&["export", "sft", "--out", "d"][..], &["up", "--until-idle"], &["tail", "runs"], &["append", "runs"]]
    {
        let (status, said) = home.fails(verb);
        assert_eq!(status, 4, "{verb:?}: {said}");
        assert!(said.contains("stillhouse-data/keys is gone") && said.contains("keys.id"), "{verb:?}: {said}");
    }
    // Where nothing says that there was a store, the newest records do.
    let identity = home.path("stillhouse-data/keys.id");
    std::fs::rename(&identity, home.path("keys.id")).unwrap();
    for verb in [&["export", "sft", "--out", "d"][..], &["up", "--until-idle"], &["rewind", "scorer", "--as", "v2"]] {
        let (status, said) = home.fails(verb);
        assert_eq!(status, 4, "{verb:?}: {said}");
        assert!(said.contains("lost") && said.contains("stillhouse-data/keys") && said.contains("hint:"), "{said}");
    }
    let report = home.run(&["doctor"]);
    assert_eq!(report.status.code(), Some(1));
    let report = String::from_utf8(report.stdout).unwrap();
    assert!(report.contains("FAIL  keys"), "{report}");
    assert!(!home.path("d").exists(), "no dataset");

    std::fs::rename(&whole, &keys).unwrap();
    assert!(home.ok(&["export", "sft", "--out", "d"]).contains("rows      3 of 3 runs"));
}

/// A flipped bit: named with what helps, nothing tried again and again, and gone on without when told so.
#[test]
fn a_damaged_record_is_named_and_given_up_by_name() {
    let home = Home::new();
    home.append_with(&["--partitions", "1"], &events(12));
    assert!(home.ok(&["verify"]).starts_with("whole: "));
    let database = home.path("stillhouse-data/journal/journal.db");
    let mut bytes = std::fs::read(&database).unwrap();
    let at = bytes.windows(3).rposition(|w| w == b"r05").unwrap();
    bytes[at] ^= 1;
    std::fs::write(&database, bytes).unwrap();

    let verbs: [&[&str]; 4] = [
        &["tail", "runs", "--from", "beginning"],
        &["up", "--until-idle"],
        &["rewind", "materializer", "--as", "v2"],
        &["export", "sft", "--out", "d"],
    ];
    for verb in verbs {
        let (status, said) = home.fails(verb);
        assert_eq!(status, 6, "{verb:?}: {said}");
        assert!(said.contains("runs/0/5 is damaged") && said.contains("verify --accept-loss runs/0/5"), "{said}");
        assert_eq!(said.matches("starting again").count(), 0, "{said}");
    }
    assert_eq!(home.fails(&["verify"]).0, 6);
    assert_eq!(home.fails(&["verify", "--accept-loss", "runs/0/4"]).0, 2);
    assert_eq!(home.fails(&["verify", "--accept-loss", "runs"]).0, 2);
    for verify in [&["verify", "--accept-loss", "runs/0/5"][..], &["verify"]] {
        let said = home.ok(verify);
        assert!(said.contains("lost     runs/0/5  the checksum of the record is wrong"), "{said}");
        assert!(said.contains("whole but for the losses accepted"), "{said}");
    }
    let left: Vec<_> = names(0..12).into_iter().filter(|name| name != "e05").collect();
    assert_eq!(ids(&home.ok(&["tail", "runs", "--from", "beginning", "-o", "json"])), left);
    assert!(home.ok(&["export", "sft", "--out", "d"]).contains("11 of 11 runs"));
}

/// On a full disk (here: no file may grow) what only reads goes on reading.
#[test]
fn reading_needs_no_room() {
    let home = Home::new();
    home.append(&events(4));
    home.ok(&["export", "sft", "--out", "first"]);
    let binary = env!("CARGO_BIN_EXE_stillhouse");
    let full = |args: &str| {
        let mut command = Command::new("sh");
        command
            .current_dir(home.0.path())
            .stdin(Stdio::null())
            .args(["-c", &format!("ulimit -f 0; exec {binary} {args}")]);
        command.output().unwrap()
    };
    let run = "lineage r01";
    for verb in
        ["tail runs", "show e01", "topics", "lag", "verify", run, "generations", "quarantine", "diff scores scores"]
    {
        let output = full(verb);
        assert!(output.status.success(), "{verb}: {output:?}");
        assert!(!output.stdout.is_empty() || verb == "quarantine", "{verb}: {output:?}");
    }
    let refused = full("append runs");
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("no space"), "{refused:?}");
}

#[test]
fn what_is_misspelt_is_told_in_one_line_with_what_was_meant() {
    let home = Home::new();
    for (text, expected) in [
        (
            "[privacy]\nseel = true\n",
            "stillhouse.toml: line 2, column 1, at `seel`: unknown field `seel`, expected `seal` or `keys`; did you mean `seal`?",
        ),
        ("[privcy]\n", "did you mean `privacy`?"),
        ("partitions = \n", "stillhouse.toml: line 1, column 14, at `partitions`: "),
        ("partitions = 'x'\n", "stillhouse.toml: line 1, column 14, at `partitions`: invalid type"),
    ] {
        std::fs::write(home.path("stillhouse.toml"), text).unwrap();
        let (status, said) = home.fails(&["config", "show"]);
        assert_eq!(status, 4, "{said}");
        assert!(said.contains(expected) && !said.contains("\\n") && said.trim_end().lines().count() == 1, "{said}");
    }
}

#[test]
fn rejections_are_told_to_the_quiet_too() {
    let home = Home::new();
    std::fs::write(home.path("bad.jsonl"), "{\"messages\": 17}\n").unwrap();
    let (status, said) = home.fails(&["-q", "import", "bad.jsonl", "--map", "openai-chat"]);
    assert_eq!(status, 6);
    assert!(said.contains("bad.jsonl:1: record 1 (byte 0): ") && said.contains("found a number"), "{said}");
}

#[test]
fn show_takes_a_run_id() {
    let home = Home::new();
    home.append(&events(3));
    assert_eq!(home.json(&["show", "r01"])["event"]["id"], "e01");
    assert!(home.fails(&["show", "r09"]).1.contains("a run id"));
}
