//! BACKWARD_TRANSITIVE: today's code reads what every release wrote, and a change that would break it fails here.

use crate::{fixtures, samples};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use stillhouse_schemas::{EVENTS, Event, Stamp, TOPICS, evolution};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

fn files() -> Vec<PathBuf> {
    let mut out = Vec::new();
    for event in EVENTS {
        let dir = std::fs::read_dir(root().join(event.name)).unwrap_or_else(|e| panic!("{}: {e}", event.name));
        out.extend(dir.map(|f| f.expect("a file").path()));
    }
    out.sort();
    out
}

#[test]
fn every_released_event_is_read_as_it_was_written() {
    let mut read = 0;
    for path in files().iter().filter(|p| p.extension().is_some_and(|e| e == "avro")) {
        let bytes = std::fs::read(path).expect("a file");
        let sample = path.file_stem().and_then(|s| s.to_str()).and_then(|s| s.split('.').nth(1)).expect("v1.name.avro");
        let event = samples::codec(sample).decode(&bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let recorded: Value =
            serde_json::from_slice(&std::fs::read(path.with_extension("json")).expect("its JSON")).expect("JSON");
        assert_holds(&event.to_json(), &recorded, &path.display().to_string());
        // And the JSON of that release is still taken as the same event.
        let name = event.payload.event_type().name;
        let topic = TOPICS.iter().find(|t| t.events.contains(&name)).expect("a topic");
        let stamp = Stamp { now_micros: event.envelope.occurred_at, ..Stamp::default() };
        let said = Event::from_json(topic.name, recorded, &stamp);
        match (said, sample) {
            (Ok(said), _) => assert_eq!(said, event, "{}", path.display()),
            (Err(e), _) => panic!("{}: {e}", path.display()),
        }
        read += 1;
    }
    assert!(read > 2 * EVENTS.len());
}

/// What was recorded is there unchanged; what came later may be there too.
fn assert_holds(now: &Value, recorded: &Value, at: &str) {
    match (now, recorded) {
        (Value::Object(now), Value::Object(recorded)) => {
            for (name, value) in recorded {
                assert_holds(now.get(name).unwrap_or(&Value::Null), value, &format!("{at}: {name}"));
            }
        }
        (Value::Array(now), Value::Array(recorded)) => {
            assert_eq!(now.len(), recorded.len(), "{at}");
            now.iter().zip(recorded).for_each(|(n, r)| assert_holds(n, r, at));
        }
        (now, recorded) => assert_eq!(now, recorded, "{at}"),
    }
}

#[test]
fn todays_schemas_are_the_newest_released_ones() {
    for event in EVENTS {
        let newest = event.released.last().unwrap_or_else(|| panic!("{} was never released", event.name));
        assert!(
            fixtures::same_but_docs(newest, event.schema_json()),
            "the schema of `{}` changed: release it with `cargo run -p stillhouse-schemas --example release`",
            event.name
        );
    }
}

#[test]
fn every_released_schema_is_read_by_the_code_and_listed() {
    for event in EVENTS {
        let versions = fixtures::versions(&root().join(event.name)).expect("a folder");
        assert_eq!(versions, (1..=u32::try_from(versions.len()).unwrap()).collect::<Vec<_>>(), "{}", event.name);
        let on_disk = versions
            .iter()
            .map(|v| std::fs::read_to_string(root().join(event.name).join(format!("v{v}.avsc"))).expect("a schema"));
        assert_eq!(on_disk.collect::<Vec<_>>(), event.released, "add the version to its line in src/types.rs");
    }
}

#[test]
fn todays_schemas_can_follow_every_released_one() {
    for event in EVENTS {
        for old in event.released {
            evolution::can_follow(event.schema_json(), old).unwrap_or_else(|e| panic!("{}: {e}", event.name));
        }
    }
}

/// Released files are only added to. `RELEASED` has the hash of each.
#[test]
fn released_files_are_unchanged_and_all_listed() {
    let list = std::fs::read_to_string(root().join("RELEASED")).expect("the list");
    assert_eq!(broken(&list), BTreeSet::new(), "restore these, and write a new version instead");
}

/// The check above sees an edited, a missing and an unlisted file.
#[test]
fn an_edited_missing_or_unlisted_fixture_is_noticed() {
    let list = std::fs::read_to_string(root().join("RELEASED")).expect("the list");
    let (first, rest) = list.split_once('\n').expect("lines");
    let path = first.split_once("  ").expect("hash and path").1;
    let edited = format!("{}  {path}\n{rest}", "0".repeat(64));
    assert_eq!(broken(&edited), BTreeSet::from([format!("changed: {path}")]));
    assert_eq!(broken(rest), BTreeSet::from([format!("not listed: {path}")]));
    let missing = format!("{list}{}  run/v0.avsc\n", "0".repeat(64));
    assert_eq!(broken(&missing), BTreeSet::from(["missing: run/v0.avsc".to_owned()]));
}

fn broken(list: &str) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    let mut listed = BTreeSet::new();
    for line in list.lines() {
        let (_, path) = line.split_once("  ").expect("hash and path");
        listed.insert(path.to_owned());
        match std::fs::read(root().join(path)) {
            Err(_) => out.insert(format!("missing: {path}")),
            Ok(bytes) => fixtures::line(path, &bytes) != format!("{line}\n") && out.insert(format!("changed: {path}")),
        };
    }
    for file in files() {
        let path = file.strip_prefix(root()).expect("within").to_str().expect("UTF-8").replace('\\', "/");
        if !listed.contains(&path) {
            out.insert(format!("not listed: {path}"));
        }
    }
    out
}

/// Each of these changes would break readers of history; the check must say so.
#[test]
fn incompatible_changes_are_found() {
    let run: Value = serde_json::from_str(schema("run")).expect("JSON");
    let score: Value = serde_json::from_str(schema("score")).expect("JSON");
    let refused = |what: &str, old: &Value, change: &dyn Fn(&mut Value)| {
        let mut new = old.clone();
        change(&mut new);
        assert_ne!(new, *old, "{what}: changed nothing");
        assert!(evolution::can_follow(&new.to_string(), &old.to_string()).is_err(), "{what}: was allowed");
        assert!(!fixtures::same_but_docs(&new.to_string(), &old.to_string()), "{what}: not seen as a change");
    };
    refused("a new field without a default", &run, &|s| {
        payload_fields(s).push(json!({"name": "new", "type": "string"}));
    });
    refused("a new field of a nested record without a default", &run, &|s| {
        let messages = field(payload_fields(s), "messages");
        messages["type"]["items"]["fields"].as_array_mut().unwrap().push(json!({"name": "new", "type": "long"}));
    });
    refused("another type", &run, &|s| field(payload_fields(s), "run_id")["type"] = json!("long"));
    refused("a nullable field made required", &run, &|s| {
        let cost = field(payload_fields(s), "cost_usd");
        *cost = json!({"name": "cost_usd", "type": "double"});
    });
    refused("a narrower number", &run, &|s| field(fields(s), "occurred_at")["type"] = json!("int"));
    refused("a renamed field", &run, &|s| field(payload_fields(s), "run_id")["name"] = json!("id_of_run"));
    refused("a removed symbol", &score, &|s| {
        let symbols = &mut field(payload_fields(s), "category")["type"]["symbols"];
        symbols.as_array_mut().unwrap().pop();
    });
}

#[test]
fn compatible_changes_are_allowed_and_still_ask_for_a_release() {
    let old: Value = serde_json::from_str(schema("run")).expect("JSON");
    let mut new = old.clone();
    payload_fields(&mut new).push(json!({"name": "new", "type": ["null", "string"], "default": null, "doc": "New."}));
    evolution::can_follow(&new.to_string(), &old.to_string()).expect("a new field with a default");
    assert!(!fixtures::same_but_docs(&new.to_string(), &old.to_string()));
    let mut default = old.clone();
    field(payload_fields(&mut default), "tags")["default"] = json!(["none"]);
    assert!(!fixtures::same_but_docs(&default.to_string(), &old.to_string()), "a default is part of the contract");
    let mut words = old.clone();
    field(payload_fields(&mut words), "tags")["doc"] = json!("Other words.");
    assert!(fixtures::same_but_docs(&words.to_string(), &old.to_string()));
}

fn schema(event: &str) -> &'static str {
    stillhouse_schemas::event_type(event).expect("a type").schema_json()
}

fn fields(schema: &mut Value) -> &mut Vec<Value> {
    schema["fields"].as_array_mut().expect("fields")
}

fn field<'v>(fields: &'v mut [Value], name: &str) -> &'v mut Value {
    fields.iter_mut().find(|f| f["name"] == name).expect("that field")
}

fn payload_fields(schema: &mut Value) -> &mut Vec<Value> {
    fields(&mut field(fields(schema), "payload")["type"][1])
}
