//! Bytes made to harm: every answer is an error, in bounded time and memory, and nothing panics.

use crate::{plain_samples, sample};
use stillhouse_schemas::{Codec, CodecError, Event, MAX_ITEMS, MAX_VALUE_BYTES, evolution};

/// Avro's zigzag variable-length integer.
fn long(value: i64) -> Vec<u8> {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    let mut out = Vec::new();
    while rest >= 0x80 {
        out.push((rest & 0x7F) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
    out
}

fn text(value: &str) -> Vec<u8> {
    [long(i64::try_from(value.len()).unwrap()), value.into()].concat()
}

/// Header, and the envelope of a run up to and without its causes.
fn run_up_to_causes() -> Vec<u8> {
    let mut out = Codec::plain().encode(&sample("run", "least")).expect("encodes").value[..10].to_vec();
    for part in [text("id"), text("run"), text("run-1"), long(0), long(0), text("p"), text("1"), text("")] {
        out.extend(part);
    }
    out
}

/// And up to and without the messages of the run.
fn run_up_to_messages() -> Vec<u8> {
    let mut out = run_up_to_causes();
    out.extend([long(0), long(0), long(1), text("run-1")].concat());
    out.extend([0; 5]); // source_class, task_key, role, model, provider
    out
}

fn refused(bytes: &[u8]) -> CodecError {
    match Codec::plain().decode(bytes) {
        Err(e) => e,
        Ok(event) => panic!("was taken: {event:?}"),
    }
}

fn malformed(bytes: &[u8]) -> String {
    match refused(bytes) {
        CodecError::Malformed { message, .. } => message,
        other => panic!("{other}"),
    }
}

#[test]
fn the_handmade_beginning_is_right() {
    // tools, reference, then the four of the outcome, usage, cost, two times, six texts, tags, extra, passages, three texts, revision; not sealed.
    let rest = [vec![0; 1], vec![0; 2], vec![0; 4], vec![0; 4], vec![0; 5], vec![0; 2], vec![0; 5], vec![0]].concat();
    let bytes = [run_up_to_messages(), rest].concat();
    let event = Codec::plain().decode(&bytes).expect("a run");
    assert_eq!(event.envelope.id, "id");
}

/// A1: a few bytes that claim millions of elements.
#[test]
fn a_count_beyond_the_bytes_is_refused() {
    for count in [9_000_000, i64::MAX, i64::MIN, i64::MIN + 1, -9_000_000] {
        malformed(&[run_up_to_causes(), long(count), vec![0; 16]].concat());
        malformed(&[run_up_to_messages(), long(count), vec![0; 16]].concat());
    }
    // Just over the cap, with bytes for each.
    let one = [text("user"), vec![0; 6]].concat();
    let count = MAX_ITEMS + 1;
    let many = [run_up_to_messages(), long(i64::try_from(count).unwrap()), one.repeat(count)].concat();
    assert!(malformed(&many).contains("max sequence size"));
    // In many blocks of one.
    let block = [long(1), one].concat();
    let many = [run_up_to_messages(), block.repeat(count)].concat();
    assert!(malformed(&many).contains("max sequence size"));
}

/// A5: lengths that are negative or beyond everything, integers that never end.
#[test]
fn lengths_out_of_range_are_refused() {
    for length in [-7, i64::MIN, i64::MAX, 1 << 40] {
        malformed(&[run_up_to_messages(), long(1), long(length), vec![b'x'; 64]].concat());
    }
    for endless in [vec![0xFF; 64], vec![0xFF; 9], vec![0x80; 1_000], [vec![0xFF; 9], vec![0x7F]].concat()] {
        malformed(&[run_up_to_messages(), endless.clone()].concat());
        malformed(&[run_up_to_causes(), endless.clone()].concat());
        let head = run_up_to_causes()[..10].to_vec();
        malformed(&[head, endless].concat());
    }
}

/// A6: text that is not UTF-8, a branch and a symbol that are not there.
#[test]
fn bad_text_branch_and_symbol_are_refused() {
    let message = malformed(&[run_up_to_messages(), long(1), long(2), vec![0xC3, 0x28], vec![0; 6]].concat());
    assert!(message.contains("utf-8"), "{message}");
    for branch in [2, 77, -1, i64::MAX, i64::MIN] {
        malformed(&[run_up_to_messages(), long(1), text("user"), long(branch), vec![0; 40]].concat());
    }
    let event = sample("score", "least");
    let bytes = Codec::plain().encode(&event).expect("encodes").value;
    // `category` stands before `decided_by`.
    let at = bytes.windows(6).position(|w| w == b"\x0Arules").expect("decided_by") - 1;
    for symbol in [4_u8, 77, 1] {
        let mut bad = bytes.clone();
        bad[at] = symbol * 2 + u8::from(symbol == 1);
        malformed(&bad);
    }
}

/// A4: our schemas do not nest without end, so depth cannot be asked for; the limit of the decoder is there still.
#[test]
fn two_megabytes_of_twos_are_refused() {
    let mut bytes = run_up_to_causes()[..10].to_vec();
    bytes.resize(2 * 1024 * 1024, 2);
    refused(&bytes);
}

/// A12.
#[test]
fn bytes_after_the_event_are_refused() {
    for event in plain_samples() {
        let mut bytes = Codec::plain().encode(&event).expect("encodes").value;
        bytes.push(0);
        let event = event.payload.event_type().name;
        assert_eq!(refused(&bytes), CodecError::Trailing { event, bytes: 1 });
        bytes.extend_from_slice(&[7; 1000]);
        assert_eq!(refused(&bytes), CodecError::Trailing { event, bytes: 1001 });
    }
}

#[test]
fn an_event_cut_anywhere_is_refused() {
    for event in plain_samples() {
        let bytes = Codec::plain().encode(&event).expect("encodes").value;
        for end in 0..bytes.len() {
            refused(&bytes[..end]);
        }
    }
}

/// Every bit of every sample, flipped: an error or another event, never a panic and never the same event.
#[test]
fn a_flipped_bit_never_panics() {
    let codec = Codec::plain();
    for event in plain_samples() {
        let bytes = codec.encode(&event).expect("encodes").value;
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            if let Ok(other) = codec.decode(&bad) {
                assert!(!same(&other, &event), "bit {bit} of {} changed nothing", event.payload.event_type().name);
            }
        }
    }
}

/// `-0.0 == 0.0`, so the bytes decide.
fn same(a: &Event, b: &Event) -> bool {
    Codec::plain().encode(a).expect("encodes").value == Codec::plain().encode(b).expect("encodes").value
}

/// A seeded walk over splices of samples. The seed is in the message of a failure by the input's number.
#[test]
fn spliced_samples_never_panic() {
    let codec = Codec::plain();
    let samples: Vec<Vec<u8>> = plain_samples().iter().map(|e| codec.encode(e).expect("encodes").value).collect();
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    let mut taken = 0;
    for _ in 0..20_000 {
        let mut bytes = samples[next(samples.len())].clone();
        for _ in 0..=next(3) {
            let other = &samples[next(samples.len())];
            let (from, to) = (next(other.len()), 10 + next(bytes.len() - 10));
            let length = next(32).min(other.len() - from).min(bytes.len() - to);
            bytes[to..to + length].copy_from_slice(&other[from..from + length]);
        }
        if let Ok(event) = codec.decode(&bytes) {
            taken += 1;
            // What is taken can be shown, checked and written.
            let _ = event.to_json().to_string();
            let _ = stillhouse_schemas::check(&event);
            let again = codec.encode(&event).expect("encodes").value;
            assert!(same(&codec.decode(&again).expect("decodes"), &event));
        }
    }
    assert!(taken > 100, "the walk reached the deeper parts: {taken}");
}

/// A2, A3, A11: schemas made to harm, as a registry might give them. They are parsed, never decoded by.
#[test]
fn schemas_made_to_harm_are_refused() {
    let nested = format!("{}\"int\"{}", "{\"type\":\"array\",\"items\":".repeat(20_000), "}".repeat(20_000));
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    for bad in [nested.as_str(), &deep, "", "null", "{", "\"nonsense\"", r#"{"type":"record"}"#] {
        assert!(evolution::fingerprint(bad).is_err(), "{:.60}", bad);
    }
    assert!(evolution::fingerprint(&format!("\"{}\"", "x".repeat(2_000_000))).unwrap_err().contains("at most"));
}

#[test]
fn the_largest_value_of_nothing_is_refused_fast() {
    for byte in [0, 1, 2, 0x7F, 0x80, 0xFF] {
        let mut bytes = run_up_to_causes()[..10].to_vec();
        bytes.resize(MAX_VALUE_BYTES, byte);
        refused(&bytes);
    }
}
