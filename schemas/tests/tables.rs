//! The tables agree with each other and with the files.

use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use stillhouse_schemas::{EVENTS, Partitions, TOPICS, Writer, event_type, topic};

#[test]
fn every_event_type_is_held_by_a_topic_and_every_topic_holds_known_types() {
    let held: HashSet<&str> = TOPICS.iter().flat_map(|t| t.events).copied().collect();
    let known: HashSet<&str> = EVENTS.iter().map(|e| e.name).collect();
    assert_eq!(held, known);
}

#[test]
fn names_are_unique_and_legal() {
    let mut seen = HashSet::new();
    for name in EVENTS.iter().flat_map(|e| [e.name, e.ce_type, e.record]) {
        assert!(seen.insert(name), "{name} is there twice");
    }
    let mut seen = HashSet::new();
    for topic in TOPICS {
        assert!(seen.insert(topic.name), "{} is there twice", topic.name);
    }
    for t in TOPICS {
        assert!(t.name.bytes().all(|b| b.is_ascii_lowercase() || b == b'.'), "{}", t.name);
        assert!(std::ptr::eq(topic(t.name).expect("itself"), t));
    }
    for e in EVENTS {
        assert_eq!(event_type(e.name).expect("itself").record, e.record);
        assert_eq!(event_type(e.ce_type).expect("itself").record, e.record);
        assert_eq!(e.ce_type, format!("stillhouse.{}", e.name));
    }
    assert!(topic("nothing").is_none() && event_type("nothing").is_none());
}

#[test]
fn derived_topics_are_those_of_processors_about_runs() {
    for t in TOPICS {
        let by_processor = matches!(t.writer, Writer::Processor(_));
        assert!(!t.derived || by_processor, "{}", t.name);
        assert_eq!(t.derived, by_processor && t.partitions == Partitions::PerRun, "{}", t.name);
    }
}

#[test]
fn every_field_of_every_schema_is_documented_and_no_default_is_missing_where_null_is_allowed() {
    for event in EVENTS {
        let schema: Value = serde_json::from_str(event.schema_json()).expect("JSON");
        let mut records = 0;
        each_record(&schema, &mut |record| {
            records += 1;
            assert!(record["doc"].as_str().is_some_and(|d| d.ends_with('.')), "{record}");
            for field in record["fields"].as_array().expect("fields") {
                assert!(field["doc"].as_str().is_some_and(|d| !d.is_empty()), "{}: {field}", event.name);
                let nullable = field["type"].get(0).is_some_and(|t| t == "null");
                assert!(!nullable || field.get("default").is_some_and(Value::is_null), "{}: {field}", event.name);
            }
        });
        assert!(records >= 4, "{}: envelope, producer, cause, sealed and payload", event.name);
        let name = format!("{}.{}", schema["namespace"].as_str().unwrap(), schema["name"].as_str().unwrap());
        assert_eq!(name, event.record);
    }
}

/// The types mirror the schemas: a field of one that the other lacks shows here.
#[test]
fn json_of_a_payload_has_the_fields_of_its_schema_in_order() {
    for event in crate::plain_samples() {
        let schema: Value = serde_json::from_str(event.payload.event_type().schema_json()).expect("JSON");
        let payload = schema["fields"].as_array().unwrap().iter().find(|f| f["name"] == "payload").unwrap();
        let fields = |v: &Value| -> Vec<String> {
            v["fields"].as_array().unwrap().iter().map(|f| f["name"].as_str().unwrap().to_owned()).collect()
        };
        let json = event.payload.to_json();
        let members: Vec<String> = json.as_object().unwrap().keys().cloned().collect();
        assert_eq!(members, fields(&payload["type"][1]), "{}", event.payload.event_type().name);
    }
}

#[test]
fn no_schema_uses_a_name_twice_for_two_things() {
    let mut definitions: BTreeMap<String, Value> = BTreeMap::new();
    for event in EVENTS {
        let schema: Value = serde_json::from_str(event.schema_json()).expect("JSON");
        each_record(&schema, &mut |record| {
            let name = record["name"].as_str().unwrap().to_owned();
            let fields: Value = record["fields"].as_array().unwrap().iter().map(|f| f["name"].clone()).collect();
            let known = definitions.entry(name.clone()).or_insert_with(|| fields.clone());
            assert_eq!(*known, fields, "{name}");
        });
    }
}

fn each_record(schema: &Value, visit: &mut impl FnMut(&Value)) {
    match schema {
        Value::Object(members) => {
            if members.get("type").is_some_and(|t| t == "record") {
                visit(schema);
            }
            members.values().for_each(|v| each_record(v, visit));
        }
        Value::Array(items) => items.iter().for_each(|v| each_record(v, visit)),
        _ => {}
    }
}
