//! Events go through the codec unchanged, and come out the same bytes every time.

use crate::{plain_samples, sample};
use stillhouse_schemas::{Codec, CodecError, EVENTS, Event, MAX_VALUE_BYTES, Payload, evolution};

#[test]
fn every_sample_comes_back_as_it_went_in() {
    let codec = Codec::plain();
    for event in plain_samples() {
        let encoded = codec.encode(&event).expect("encodes");
        assert_eq!(codec.decode(&encoded.value).expect("decodes"), event);
        assert_eq!(codec.encode(&event).expect("encodes"), encoded, "the same bytes again");
        assert_eq!(codec.type_of(&encoded.value).expect("a type").name, event.payload.event_type().name);
    }
}

#[test]
fn a_record_has_the_key_the_time_and_the_headers_of_cloudevents() {
    let event = sample("run", "full");
    let encoded = Codec::plain().encode(&event).expect("encodes");
    assert_eq!(encoded.key, b"run-1");
    let expected = [
        ("ce_specversion", "1.0"),
        ("ce_id", event.envelope.id.as_str()),
        ("ce_source", "samples"),
        ("ce_type", "stillhouse.run"),
        ("ce_time", "2026-01-01T00:00:00.123456Z"),
        ("content-type", "application/avro"),
        ("traceparent", "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"),
    ];
    let headers: Vec<(&str, &str)> = encoded.headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
    assert_eq!(headers, expected);
}

#[test]
fn the_framing_is_single_object_encoding_and_the_fingerprint_that_of_the_avro_library() {
    for event in plain_samples() {
        let kind = event.payload.event_type();
        let encoded = Codec::plain().encode(&event).expect("encodes");
        assert_eq!(encoded.value[..2], [0xC3, 0x01]);
        assert_eq!(encoded.value[2..10], evolution::fingerprint(kind.schema_json()).expect("parses"));
        // apache-avro 0.22 does not reduce a primitive with a logical type to its name, so it gets it reduced.
        let reduced = kind.schema_json().replace(r#"{"type":"long","logicalType":"timestamp-micros"}"#, r#""long""#);
        assert!(!reduced.contains("logicalType"));
        let schema = apache_avro::Schema::parse_str(&reduced).expect("parses");
        let fingerprint = schema.fingerprint::<apache_avro::rabin::Rabin>().bytes;
        assert_eq!(encoded.value[2..10], fingerprint, "{}", kind.name);
        assert_eq!(kind.fingerprint(), fingerprint.iter().map(|b| format!("{b:02x}")).collect::<String>());
    }
}

/// The stock library reads what is written here, by the published schema alone, and writes what is read here.
#[test]
fn the_avro_library_reads_and_writes_the_same() {
    for event in plain_samples() {
        let kind = event.payload.event_type();
        let schema = apache_avro::Schema::parse_str(kind.schema_json()).expect("parses");
        let encoded = Codec::plain().encode(&event).expect("encodes");
        let mut rest = &encoded.value[10..];
        let reader = apache_avro::reader::datum::GenericDatumReader::builder(&schema).build().expect("a reader");
        let value = reader.read_value(&mut rest).expect("reads");
        assert!(rest.is_empty());
        let writer = apache_avro::writer::datum::GenericDatumWriter::builder(&schema).build().expect("a writer");
        let mut again = encoded.value[..10].to_vec();
        writer.write_value(&mut again, value).expect("writes");
        assert_eq!(Codec::plain().decode(&again).expect("decodes"), event, "{}", kind.name);
    }
}

#[test]
fn bytes_of_other_framings_are_told_apart() {
    let codec = Codec::plain();
    for (bytes, said) in [
        (&b""[..], "no bytes"),
        (b"{\"run_id\": 1}", "it looks like JSON"),
        (b"Obj\x01rest", "it is an Avro container file"),
        (b"\xC3", "it begins with the byte c3"),
        (b"\xC3\x01\x00", "cut within the fingerprint"),
        (b"\x00\x00\x00", "cut within the id"),
        (b"hello", "it begins with the byte 68"),
    ] {
        match codec.decode(bytes) {
            Err(CodecError::Framing(m)) => assert!(m.contains(said), "{m}"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(codec.decode(&[0, 0, 0, 0, 9, 1]), Err(CodecError::NoRegistry { id: 9 }));
    let unknown = codec.decode(&[0xC3, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(unknown, Err(CodecError::UnknownSchema { fingerprint: "0102030405060708".to_owned() }));
}

#[test]
fn an_event_larger_than_the_limit_is_refused_both_ways() {
    let mut event = sample("run", "least");
    let Payload::Run(run) = &mut event.payload else { panic!("a run") };
    run.error = Some("x".repeat(MAX_VALUE_BYTES));
    let codec = Codec::plain();
    assert!(matches!(codec.encode(&event), Err(CodecError::TooLarge { .. })));
    let bytes = vec![0xC3; MAX_VALUE_BYTES + 1];
    assert_eq!(codec.decode(&bytes), Err(CodecError::TooLarge { bytes: bytes.len(), limit: MAX_VALUE_BYTES }));
    let Payload::Run(run) = &mut event.payload else { panic!("a run") };
    run.error = Some("x".repeat(MAX_VALUE_BYTES - 1000));
    let encoded = codec.encode(&event).expect("fits");
    assert_eq!(codec.decode(&encoded.value).expect("fits"), event);
}

#[test]
fn an_event_that_says_it_is_another_type_is_refused() {
    let encoded = Codec::plain().encode(&sample("run", "least")).expect("encodes");
    let at = encoded.value.windows(4).position(|w| w == b"\x06run").expect("the type");
    let mut bytes = encoded.value.clone();
    bytes[at + 1..at + 4].copy_from_slice(b"ran");
    let refused = Codec::plain().decode(&bytes);
    assert_eq!(refused, Err(CodecError::TypeMismatch { said: "ran".to_owned(), schema: "run" }));
}

#[test]
fn an_event_without_payload_or_with_two_is_refused() {
    let event: Event = sample("score_failed", "least");
    let encoded = Codec::plain().encode(&event).expect("encodes").value;
    // The last byte is the branch of `sealed`, null; the payload is what stands before it.
    let schema = apache_avro::Schema::parse_str(event.payload.event_type().schema_json()).expect("parses");
    let reader = apache_avro::reader::datum::GenericDatumReader::builder(&schema).build().expect("a reader");
    let apache_avro::types::Value::Record(mut fields) = reader.read_value(&mut &encoded[10..]).expect("reads") else {
        panic!("a record")
    };
    let null = apache_avro::types::Value::Union(0, Box::new(apache_avro::types::Value::Null));
    fields.iter_mut().find(|(n, _)| n == "payload").expect("a payload").1 = null;
    let writer = apache_avro::writer::datum::GenericDatumWriter::builder(&schema).build().expect("a writer");
    let mut bytes = encoded[..10].to_vec();
    writer.write_value(&mut bytes, apache_avro::types::Value::Record(fields)).expect("writes");
    let refused = Codec::plain().decode(&bytes);
    assert_eq!(refused, Err(CodecError::Payload { event_id: event.envelope.id.clone() }));

    let mut two = encoded.clone();
    assert_eq!(two.pop(), Some(0));
    two.extend_from_slice(b"\x02\x02k\x02n\x02c");
    assert_eq!(Codec::plain().decode(&two), Err(CodecError::Payload { event_id: event.envelope.id }));
}

#[test]
fn every_event_type_has_samples() {
    assert_eq!(plain_samples().len(), 2 * EVENTS.len());
}

#[test]
fn codecs_are_shared_between_threads() {
    fn shared<T: Clone + Send + Sync + 'static>() {}
    shared::<Codec>();
}
