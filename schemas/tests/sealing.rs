//! Sealed payloads: opened with the key, erased without, altered never.

use crate::{sample, samples};
use std::sync::Arc;
use stillhouse_schemas::{Codec, CodecError, Event, Keys, KeysError, MemoryKeys, SubjectKey};

fn about(subject: &str) -> Event {
    let mut event = sample("run", "full");
    event.envelope.subject = Some(subject.to_owned());
    event
}

fn contains(haystack: &[u8], needle: &str) -> bool {
    haystack.windows(needle.len()).any(|w| w == needle.as_bytes())
}

#[test]
fn an_event_about_a_subject_is_sealed_and_opens_again() {
    let codec = Codec::with_keys(Arc::new(MemoryKeys::new()));
    let event = about("worker-17");
    let value = codec.encode(&event).expect("encodes").value;
    assert_eq!(codec.decode(&value).expect("opens"), event);
    for plain in ["worker-17", "forklift", "task-1", "synthetic"] {
        assert!(contains(&Codec::plain().encode(&event).unwrap().value, plain), "{plain} is in the plain value");
        assert!(!contains(&value, plain), "{plain} is readable");
    }
}

#[test]
fn an_event_about_nobody_stays_plain_and_is_the_same_bytes() {
    let event = sample("run", "full");
    let sealing = Codec::with_keys(Arc::new(MemoryKeys::new())).encode(&event).expect("encodes");
    assert_eq!(sealing, Codec::plain().encode(&event).expect("encodes"));
}

#[test]
fn without_keys_nothing_is_sealed() {
    let event = about("worker-17");
    let value = Codec::plain().encode(&event).expect("encodes").value;
    assert_eq!(Codec::plain().decode(&value).expect("decodes"), event);
}

#[test]
fn the_same_event_seals_to_the_same_bytes_and_another_does_not_share_its_nonce() {
    let keys = Arc::new(MemoryKeys::new());
    let codec = Codec::with_keys(keys.clone());
    let event = about("worker-17");
    let once = codec.encode(&event).expect("encodes");
    assert_eq!(once, codec.encode(&event).expect("encodes"));
    assert_eq!(once, Codec::with_keys(keys).encode(&event).expect("encodes"));

    let mut other = event.clone();
    other.envelope.id = "another".to_owned();
    let other = codec.encode(&other).expect("encodes").value;
    let tail = |v: &[u8]| v[v.len() - 64..].to_vec();
    assert_ne!(tail(&once.value), tail(&other));
}

/// The bytes are forever: what was sealed once must open in every later release. (`fixtures/run` has a whole one.)
#[test]
fn sealing_by_a_known_key_gives_known_bytes() {
    let event = sample("run", "sealed");
    let codec = samples::codec("sealed");
    let value = codec.encode(&event).expect("encodes").value;
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/run/v2.sealed.avro");
    assert_eq!(value, std::fs::read(path).expect("the fixture"));
}

#[test]
fn destroying_the_key_erases() {
    let keys = Arc::new(MemoryKeys::new());
    let codec = Codec::with_keys(keys.clone());
    let (gone, stays) = (about("worker-17"), about("worker-18"));
    let (gone_value, stays_value) = (codec.encode(&gone).unwrap().value, codec.encode(&stays).unwrap().value);
    let key_id = keys.erase("worker-17").expect("a key");
    assert_eq!(
        codec.decode(&gone_value),
        Err(CodecError::Erased { key_id: key_id.clone(), event_id: gone.envelope.id })
    );
    assert_eq!(codec.decode(&stays_value).expect("opens"), stays);
    // A new event about the subject gets a new key, which does not open the old one.
    let again = codec.encode(&about("worker-17")).expect("encodes").value;
    assert!(codec.decode(&again).is_ok());
    assert_ne!(keys.seal_key("worker-17").unwrap().key_id, key_id);
    assert!(matches!(codec.decode(&gone_value), Err(CodecError::Erased { .. })));
}

#[test]
fn a_reader_without_a_key_store_is_told_so() {
    let value = Codec::with_keys(Arc::new(MemoryKeys::new())).encode(&about("worker-17")).unwrap().value;
    assert!(matches!(Codec::plain().decode(&value), Err(CodecError::NoKeys { .. })));
}

#[test]
fn no_bit_of_what_is_sealed_or_of_the_id_can_change() {
    let codec = Codec::with_keys(Arc::new(MemoryKeys::new()));
    let event = about("worker-17");
    let value = codec.encode(&event).expect("encodes").value;
    let id_at = 11..11 + event.envelope.id.len();
    let sealed_from = value.len() - 600;
    for byte in id_at.chain(sealed_from..value.len()) {
        let mut bad = value.clone();
        bad[byte] ^= 1;
        match codec.decode(&bad) {
            Err(CodecError::Unsealable { .. } | CodecError::Malformed { .. }) => {}
            other => panic!("byte {byte}: {other:?}"),
        }
    }
}

#[test]
fn a_sealed_payload_does_not_open_as_part_of_another_event() {
    let codec = Codec::with_keys(Arc::new(MemoryKeys::new()));
    let (one, mut two) = (about("worker-17"), about("worker-17"));
    two.envelope.id = "x".repeat(one.envelope.id.len());
    let (a, b) = (codec.encode(&one).unwrap().value, codec.encode(&two).unwrap().value);
    assert_eq!(a.len(), b.len());
    let head = 11 + one.envelope.id.len();
    let moved = [&b[..head], &a[head..]].concat();
    assert!(matches!(codec.decode(&moved), Err(CodecError::Unsealable { .. })));
}

#[test]
fn a_wrong_key_under_the_same_pseudonym_does_not_open() {
    let (mine, theirs) = (Arc::new(MemoryKeys::new()), Arc::new(MemoryKeys::new()));
    mine.insert("worker-17", SubjectKey { key_id: "key-1".to_owned(), secret: [1; 32] });
    theirs.insert("worker-17", SubjectKey { key_id: "key-1".to_owned(), secret: [2; 32] });
    let value = Codec::with_keys(mine).encode(&about("worker-17")).unwrap().value;
    assert!(matches!(Codec::with_keys(theirs).decode(&value), Err(CodecError::Unsealable { .. })));
}

#[test]
fn a_failing_key_store_is_a_fault_that_passes() {
    struct Failing;
    impl Keys for Failing {
        fn seal_key(&self, _: &str) -> Result<SubjectKey, KeysError> {
            Err(KeysError::Failed("disk".to_owned()))
        }
        fn open_key(&self, _: &str) -> Result<Option<SubjectKey>, KeysError> {
            Err(KeysError::Failed("disk".to_owned()))
        }
    }
    let codec = Codec::with_keys(Arc::new(Failing));
    assert!(codec.encode(&about("worker-17")).unwrap_err().is_transient());
    let value = Codec::with_keys(Arc::new(MemoryKeys::new())).encode(&about("worker-17")).unwrap().value;
    assert!(codec.decode(&value).unwrap_err().is_transient());
}

#[test]
fn secrets_do_not_show_and_pseudonyms_say_nothing() {
    let key = SubjectKey { key_id: "k".to_owned(), secret: [0xAB; 32] };
    let shown = format!("{key:?} {:?}", Codec::with_keys(Arc::new(MemoryKeys::new())));
    assert!(!shown.contains("171") && !shown.to_lowercase().contains("abab"), "{shown}");
    let (a, b) = (MemoryKeys::new(), MemoryKeys::new());
    assert_ne!(a.seal_key("worker-17").unwrap().key_id, b.seal_key("worker-17").unwrap().key_id);
    assert_eq!(a.seal_key("worker-17").unwrap(), a.seal_key("worker-17").unwrap());
}
