//! Confluent framing, with a registry that tells ours from foreign.

use crate::{plain_samples, sample};
use std::sync::Arc;
use stillhouse_schemas::{Codec, CodecError, EVENTS, MemoryRegistry, Registry, RegistryError};

#[test]
fn values_carry_the_id_and_come_back() {
    let registry = Arc::new(MemoryRegistry::new());
    let codec = Codec::plain().with_registry(registry.clone());
    for event in plain_samples() {
        let encoded = codec.encode(&event).expect("encodes");
        assert_eq!(encoded.value[0], 0);
        let id = u32::from_be_bytes(encoded.value[1..5].try_into().unwrap());
        let (subject, schema) = registry.entries()[id as usize - 1].clone();
        assert_eq!(subject, event.payload.event_type().record);
        assert_eq!(schema, event.payload.event_type().schema_json());
        assert_eq!(codec.decode(&encoded.value).expect("decodes"), event);
    }
    assert_eq!(registry.entries().len(), EVENTS.len(), "each schema was registered once");
    for id in 1..=u32::try_from(EVENTS.len()).unwrap() {
        assert_eq!(registry.asked(id), 1, "and asked for once");
    }
}

#[test]
fn both_framings_are_read_whichever_is_written() {
    let event = sample("run", "full");
    let single = Codec::plain().encode(&event).expect("encodes").value;
    let codec = Codec::plain().with_registry(Arc::new(MemoryRegistry::new()));
    assert_eq!(codec.decode(&single).expect("decodes"), event);
    let framed = codec.encode(&event).expect("encodes").value;
    assert_eq!(framed[5..], single[10..], "the datum is the same");
}

#[test]
fn a_schema_that_is_ours_but_for_its_documentation_is_taken() {
    let registry = Arc::new(MemoryRegistry::new());
    let event = sample("control", "full");
    let schema = event.payload.event_type().schema_json().replace("Why, in words.", "Other words.");
    let id = registry.id_of("someone-value", &schema).unwrap();
    let datum = &Codec::plain().encode(&event).expect("encodes").value[10..];
    let framed = [&[0], &id.to_be_bytes()[..], datum].concat();
    assert_eq!(Codec::plain().with_registry(registry).decode(&framed).expect("decodes"), event);
}

/// A10: unknown ids, and schemas that are not ours (A2: nested arrays of nothing; A3: a huge `fixed`; A4: a record
/// within itself), are never decoded by.
#[test]
fn unknown_ids_and_foreign_schemas_are_refused() {
    let registry = Arc::new(MemoryRegistry::new());
    let codec = Codec::plain().with_registry(registry.clone());
    assert_eq!(codec.decode(&[0, 0, 0, 0, 99, 0]), Err(CodecError::UnknownSchemaId { id: 99 }));
    assert_eq!(codec.decode(&[0, 0, 0, 0, 0, 0]), Err(CodecError::UnknownSchemaId { id: 0 }));
    assert_eq!(codec.decode(&[0, 0xFF, 0xFF, 0xFF, 0xFF, 0]), Err(CodecError::UnknownSchemaId { id: u32::MAX }));
    for foreign in [
        r#"{"type":"array","items":"null"}"#,
        r#"{"type":"array","items":{"type":"array","items":"null"}}"#,
        r#"{"type":"fixed","name":"f","size":100000000000}"#,
        r#"{"type":"record","name":"r","fields":[{"name":"next","type":["null","r"]}]}"#,
        r#"{"type":"record","name":"RunEvent","namespace":"stillhouse","fields":[]}"#,
        "not a schema",
    ] {
        let id = registry.id_of("foreign", foreign).unwrap();
        for datum in [&[0x80, 0xA8, 0xA5, 0x04][..], &[2; 4096], &[]] {
            let framed = [&[0], &id.to_be_bytes()[..], datum].concat();
            match codec.decode(&framed) {
                Err(CodecError::ForeignSchema { id: said, .. }) => assert_eq!(said, id),
                other => panic!("{foreign}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_registry_that_is_down_is_a_fault_that_passes() {
    struct Down;
    impl Registry for Down {
        fn id_of(&self, _: &str, _: &str) -> Result<u32, RegistryError> {
            Err(RegistryError::Unavailable("refused".to_owned()))
        }
        fn schema_of(&self, _: u32) -> Result<String, RegistryError> {
            Err(RegistryError::Unavailable("refused".to_owned()))
        }
    }
    let codec = Codec::plain().with_registry(Arc::new(Down));
    let written = codec.encode(&sample("run", "least")).unwrap_err();
    let read = codec.decode(&[0, 0, 0, 0, 1, 0]).unwrap_err();
    assert!(written.is_transient() && read.is_transient());
    assert!(!Codec::plain().decode(b"").unwrap_err().is_transient());
}
