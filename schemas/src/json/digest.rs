//! What was said, whatever the order and spacing it was said in.

use serde_json::Value;

/// 32 hex digits over `value` with its members in the order of their names. For `ce_digest`: two postings of one id
/// with equal digests say the same, although the receiver may have stamped them with other times.
///
/// Of an event that names a subject this is a fingerprint of personal data that outlives the subject's key; leave it out
/// where payloads are sealed.
pub fn digest(value: &Value) -> String {
    let mut hasher = blake3::Hasher::new();
    put(value, &mut hasher);
    crate::compiled::hex(&hasher.finalize().as_bytes()[..16])
}

/// Each value by a letter for its kind, its length where it has one, and itself, so that no two are the same bytes.
fn put(value: &Value, hasher: &mut blake3::Hasher) {
    let mut sized = |kind: u8, len: usize| {
        hasher.update(&[kind]).update(&(len as u64).to_le_bytes());
    };
    match value {
        Value::Null => sized(b'z', 0),
        Value::Bool(b) => sized(b'b', usize::from(*b)),
        Value::Number(n) => {
            let text = n.to_string();
            sized(b'n', text.len());
            hasher.update(text.as_bytes());
        }
        Value::String(s) => {
            sized(b's', s.len());
            hasher.update(s.as_bytes());
        }
        Value::Array(items) => {
            sized(b'a', items.len());
            items.iter().for_each(|i| put(i, hasher));
        }
        Value::Object(members) => {
            sized(b'o', members.len());
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            for (name, member) in members {
                hasher.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes());
                put(member, hasher);
            }
        }
    }
}
