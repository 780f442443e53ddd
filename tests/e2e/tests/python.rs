//! A foreign client with stock libraries: it writes runs to Kafka and reads scores from it, by the published schemas.

use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Broker, Reader, Runs, Stack, dataset, root};
use crate::inputs::{gsm8k, tau};

/// Fixed, so that a new release breaks nothing by itself.
const CLIENT: Environment = Environment {
    name: "e2e-python",
    libraries: &["fastavro>=1.9,<2", "confluent-kafka>=2.6,<3"],
    imports: "fastavro, confluent_kafka",
};

/// What datasets are read with.
pub(crate) const READERS: Environment = Environment {
    name: "e2e-python-datasets",
    libraries: &["datasets>=5.2,<6", "pandas>=2,<4", "pyarrow>=20", "pylance>=14,<15"],
    imports: "datasets, pandas, pyarrow.parquet, lance",
};

/// Shapes by kind.
const SHAPES: [(&str, &[&str]); 3] = [
    ("sft", &["trl", "prompt-completion", "openai", "sharegpt", "axolotl"]),
    ("preference", &["trl", "openai", "axolotl"]),
    ("rag", &["chunks", "langchain", "llama-index"]),
];

#[test]
fn python_loads_every_shape_in_every_format() {
    let stack = Stack::embedded(2);
    for recorded in [tau(stack.folder()), gsm8k(stack.folder(), 60)] {
        stack.ok(&["import", recorded.file.to_str().expect("UTF-8"), "--map", &recorded.map]);
    }
    stack.settle();
    let mut jobs = Vec::new();
    for (kind, shapes) in SHAPES {
        for shape in shapes {
            for format in ["jsonl", "parquet", "lance"] {
                // One shape a kind is enough to see that Lance holds columns as Parquet does.
                if format == "lance" && *shape != shapes[0] {
                    continue;
                }
                let options = [kind, "--shape", shape, "--format", format, "--split", "0.7,0.2,0.1"];
                let folder = stack.export_as(&format!("{kind}-{shape}-{format}"), &options);
                let data = dataset(&folder);
                let splits = data.manifest["splits"].as_array().expect("splits").iter();
                let splits: serde_json::Map<_, _> =
                    splits.map(|s| (s["name"].as_str().expect("a name").to_owned(), s["rows"].clone())).collect();
                jobs.push(serde_json::json!({"dir": folder, "kind": kind, "shape": shape, "format": format,
                    "splits": splits, "files": data.files.keys().collect::<Vec<_>>()}));
            }
        }
    }
    let count = jobs.len();
    let jobs = stack.write("jobs.json", Value::from(jobs).to_string());
    let mut command = Command::new(READERS.python());
    command.arg(root().join("tests/e2e/fixtures/python/load.py")).arg(jobs);
    // Nothing is asked of a hub, and caches go with the stack.
    command.env("HF_HUB_OFFLINE", "1").env("HF_HOME", stack.folder().join("hf"));
    assert_eq!(run(&mut command).trim(), format!("{count} datasets loaded"));
}

#[test]
fn the_client_of_openai_gets_its_vectors() {
    let python = crate::traces::TRACED.python();
    let stack = Stack::embedded(1);
    let (node, address) = stack.node(&[]);
    let said = run(Command::new(python).arg(root().join("tests/e2e/fixtures/python/embeddings.py")).arg(&address));
    let said: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!((&said["model"], &said["dimensions"]), (&"lexical:384".into(), &384.into()));
    assert_eq!(said["refused"], "model_not_found");
    assert!(node.stop().success());
}

/// What holds the description of the API against OpenAPI.
const DESCRIBED: Environment = Environment {
    name: "e2e-openapi",
    libraries: &["openapi-spec-validator>=0.7,<2", "jsonschema>=4,<5"],
    imports: "openapi_spec_validator, jsonschema",
};

#[test]
fn the_api_is_as_it_describes_itself() {
    let python = DESCRIBED.python();
    let stack = Stack::embedded(2);
    let (node, address) = stack.node(&[]);
    let said = run(Command::new(python).arg(root().join("tests/e2e/fixtures/python/openapi.py")).arg(&address));
    let said: Value = serde_json::from_str(&said).expect("JSON");
    let paths: BTreeSet<&str> = stillhouse::http::ROUTES.iter().map(|route| route.path).collect();
    assert_eq!(said["paths"], paths.len());
    assert!(said["read"].as_u64() > Some(10));
    assert!(node.stop().success());
}

#[test]
fn python_writes_runs_and_reads_scores() {
    let python = CLIENT.python();
    let broker = Broker::shared();
    let stack = Stack::kafka(broker, 3);
    let runs = Runs::new(11);
    let (count, expected) = (60, runs.expected(0..60));
    // Makes the topics.
    stack.ok(&["topics"]);
    let schema = |event: &str| stack.write(&format!("{event}.avsc"), stack.ok(&["schemas", "show", event]));
    let (run_schema, score_schema) = (schema("run"), schema("score"));
    let events = stack.write("events.jsonl", (0..count).map(|n| format!("{}\n", avro(&runs, n))).collect::<String>());

    let reader = Reader::of(&stack);
    let client =
        |args: &[&str]| run(Command::new(&python).arg(root().join("tests/e2e/fixtures/python/client.py")).args(args));
    let text = |path: &PathBuf| path.to_str().expect("UTF-8").to_owned();
    client(&["produce", broker.servers(), &reader.physical("runs"), &text(&run_schema), &text(&events)]);
    stack.settle();
    let said =
        client(&["consume", broker.servers(), &reader.physical("scores"), &text(&score_schema), &count.to_string()]);

    let scores: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let mut accepted = BTreeSet::new();
    for score in &scores {
        let (event, headers) = (&score["event"], &score["headers"]);
        assert_eq!(
            (&headers["ce_type"], &headers["ce_specversion"]),
            (&Value::from("stillhouse.score"), &Value::from("1.0"))
        );
        assert_eq!(headers["ce_id"], event["id"]);
        assert_eq!(score["key"], event["payload"]["run_id"]);
        if event["payload"]["category"] == "accepted" {
            accepted.insert(score["key"].as_str().expect("a key").to_owned());
        }
    }
    assert_eq!((scores.len(), accepted), (count, expected.accepted.clone()));
    let data = dataset(&stack.export("out"));
    assert_eq!(data.rows.iter().map(|row| row.run_id.clone()).collect::<BTreeSet<_>>(), expected.accepted);
}

/// A run's event in the fields of the published schema; what has a default may be left out.
fn avro(runs: &Runs, n: usize) -> Value {
    let mut payload = runs.payload(n);
    for message in payload["messages"].as_array_mut().expect("messages") {
        for call in message.get_mut("tool_calls").and_then(Value::as_array_mut).into_iter().flatten() {
            *call = serde_json::json!({"id": call["id"], "name": call["function"]["name"], "arguments": call["function"]["arguments"]});
        }
    }
    for tool in payload.get_mut("tools").and_then(Value::as_array_mut).into_iter().flatten() {
        let function = &tool["function"];
        *tool = serde_json::json!({"name": function["name"], "description": function["description"],
            "parameters": function["parameters"].to_string()});
    }
    let producer = serde_json::json!({"name": "python", "version": "1", "config_hash": ""});
    serde_json::json!({"id": runs.id(n), "type": "run", "key": runs.id(n), "occurred_at": 1_767_225_600_000_000_u64 + n as u64 * 1_000_000,
        "producer": producer, "payload": payload})
}

/// A Python with libraries, in an environment of its own under the target folder.
pub(crate) struct Environment {
    pub(crate) name: &'static str,
    pub(crate) libraries: &'static [&'static str],
    pub(crate) imports: &'static str,
}

impl Environment {
    pub(crate) fn python(&self) -> PathBuf {
        let binary = Path::new(env!("CARGO_BIN_EXE_stillhouse-under-test"));
        let target = binary.ancestors().nth(2).expect("the target folder");
        let environment = target.join(self.name);
        let python = environment.join("bin/python");
        let works = |python: &Path| {
            let mut check = Command::new(python);
            check.args(["-c", &format!("import {}", self.imports)]);
            check.output().is_ok_and(|output| output.status.success())
        };
        if !works(&python) {
            run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment));
            run(Command::new(&python)
                .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
                .args(self.libraries));
            assert!(works(&python), "the libraries were installed and cannot be imported");
        }
        python
    }
}

/// What a command that must succeed says.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}
