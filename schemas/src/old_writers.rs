//! Readers of today and writers of yesterday: for every field that has a default, an event written by a schema without
//! that field reads as if the default stood there. So the defaults of the schemas and of the Rust types are the same.

use crate::codec::decode_by;
use crate::compiled::Version;
use crate::samples;
use crate::{EVENTS, Event, compose};
use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};

#[test]
fn an_absent_field_reads_as_its_default() {
    let mut tried = 0;
    for kind in EVENTS {
        let (_, event) = samples::of(kind.name).remove(0);
        let schema = compose::event_schema(kind);
        for (record, field) in defaulted(&schema) {
            let path = format!("{}: {record}.{field}", kind.name);
            if (record.as_str(), field.as_str()) == (kind.record.trim_start_matches("stillhouse."), "payload") {
                continue;
            }
            let mut old = schema.clone();
            each_record(&mut old, &mut |r| {
                if r["name"] == record.as_str() {
                    r["fields"].as_array_mut().expect("fields").retain(|f| f["name"] != field.as_str());
                }
            });
            let found = reread(&event, kind.index, &old).unwrap_or_else(|e| panic!("{path}: {e}"));
            let mut expected = whole(&event);
            let mut named = HashMap::new();
            set_default(&schema, &mut expected, (&record, &field), &mut named);
            assert_eq!(whole(&found), expected, "{path}");
            tried += 1;
        }
    }
    assert!(tried > 100, "{tried} fields");
}

/// A type that grew: what was an `int` reads as a `long`, and the order of fields is the writer's.
#[test]
fn narrower_numbers_and_another_order_are_read() {
    let kind = crate::event_type("dead_lettered").expect("a type");
    let (_, mut event) = samples::of(kind.name).remove(0);
    let crate::Payload::DeadLettered(dead) = &mut event.payload else { panic!("a dead letter") };
    (dead.offset, dead.record_timestamp) = (7, 8);
    let mut old = compose::event_schema(kind);
    each_record(&mut old, &mut |r| {
        let fields = r["fields"].as_array_mut().expect("fields");
        fields.reverse();
        for field in fields.iter_mut().filter(|f| f["name"] == "record_timestamp") {
            field["type"] = json!("int");
        }
    });
    // Reversed, a record may be named before it is defined; the samples have none such in this type.
    assert_eq!(reread(&event, kind.index, &old).expect("reads"), event);
}

/// Writes `event` by the schema `old`, with another library, and reads it.
fn reread(event: &Event, index: usize, old: &Value) -> Result<Event, String> {
    let new = Schema::parse_str(EVENTS[index].schema_json()).map_err(|e| e.to_string())?;
    let writer = Schema::parse_str(&old.to_string()).map_err(|e| e.to_string())?;
    let encoded = samples::codec("full").encode(event).map_err(|e| e.to_string())?;
    let reader = GenericDatumReader::builder(&new).build().map_err(|e| e.to_string())?;
    let value = reader.read_value(&mut &encoded.value[10..]).map_err(|e| e.to_string())?;
    let value = value.resolve(&writer).map_err(|e| e.to_string())?;
    let out = GenericDatumWriter::builder(&writer).build().map_err(|e| e.to_string())?;
    let datum = out.write_value_to_vec(value).map_err(|e| e.to_string())?;
    decode_by(&Version::new(index, old), &datum).map_err(|e| e.to_string())
}

/// The event with the envelope's fields as the schema has them.
fn whole(event: &Event) -> Value {
    let mut json = event.to_json();
    json["sealed"] = Value::Null;
    json
}

/// Record and name of each field with a default.
fn defaulted(schema: &Value) -> BTreeSet<(String, String)> {
    let mut out = BTreeSet::new();
    each_record(&mut schema.clone(), &mut |r| {
        for field in r["fields"].as_array().into_iter().flatten().filter(|f| f.get("default").is_some()) {
            let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
            out.insert((text(&r["name"]), text(&field["name"])));
        }
    });
    out
}

fn each_record(schema: &mut Value, visit: &mut impl FnMut(&mut Value)) {
    if schema.get("type").is_some_and(|t| t == "record") {
        visit(schema);
    }
    match schema {
        Value::Object(members) => members.values_mut().for_each(|v| each_record(v, visit)),
        Value::Array(items) => items.iter_mut().for_each(|v| each_record(v, visit)),
        _ => {}
    }
}

/// Puts the default of a field into every record of that name within `json`.
fn set_default(schema: &Value, json: &mut Value, at: (&str, &str), named: &mut HashMap<String, Value>) {
    match schema {
        Value::String(name) => {
            if let Some(definition) = named.get(name).cloned() {
                set_default(&definition, json, at, named);
            }
        }
        Value::Array(branches) => {
            if !json.is_null() {
                set_default(&branches[1], json, at, named);
            } else if let Some(branch) = branches.get(1) {
                // Names may be defined in what is absent here.
                set_default(branch, &mut Value::Null, at, named);
            }
        }
        Value::Object(o) if o["type"] == "record" => {
            let name = o["name"].as_str().unwrap_or_default();
            named.insert(format!("stillhouse.{name}"), schema.clone());
            for field in o["fields"].as_array().into_iter().flatten() {
                let member = field["name"].as_str().unwrap_or_default();
                match json.get_mut(member) {
                    Some(value) if (name, member) == at => *value = field["default"].clone(),
                    Some(value) => set_default(&field["type"], value, at, named),
                    None => set_default(&field["type"], &mut Value::Null, at, named),
                }
            }
        }
        Value::Object(o) if o["type"] == "array" => match json.as_array_mut() {
            Some(items) if !items.is_empty() => {
                items.iter_mut().for_each(|i| set_default(&o["items"], i, at, named));
            }
            _ => set_default(&o["items"], &mut Value::Null, at, named),
        },
        _ => {}
    }
}
