//! Ids of events. Everything here is forever: the same inputs give the same id in every release.

use uuid::Uuid;

/// Namespace of imported events: UUIDv5 of the URL namespace and `https://stillhouse.invalid/ns/imported`.
const IMPORTED: Uuid = Uuid::from_u128(0x8c68_a539_30ed_595d_a36d_eeed_502d_bcfd);
/// Namespace of derived events: UUIDv5 of the URL namespace and `https://stillhouse.invalid/ns/derived`.
const DERIVED: Uuid = Uuid::from_u128(0x05c1_6b67_3816_5f22_8270_9351_6716_7677);

/// Most bytes of an id.
pub const MAX_BYTES: usize = 128;

/// A new id, ordered by time (UUIDv7).
pub fn live() -> String {
    Uuid::now_v7().to_string()
}

/// The id of the record `key` of `source`: importing it again gives the same one.
pub fn imported(source: &str, key: &str) -> String {
    let mut name = Vec::with_capacity(16 + source.len() + key.len());
    for part in [source, key] {
        put(&mut name, part);
    }
    Uuid::new_v5(&IMPORTED, &name).to_string()
}

/// The id of an event that a processor makes: of its causes in order, who made it by what settings, the logical topic
/// it goes to, and which of the events for these causes and that topic it is (from 0).
pub fn derived(
    causes: &[&str],
    processor: &str,
    version: &str,
    config_hash: &str,
    topic: &str,
    ordinal: u32,
) -> String {
    let mut name = Vec::with_capacity(256);
    name.extend_from_slice(&(causes.len() as u64).to_be_bytes());
    for part in causes.iter().copied().chain([processor, version, config_hash, topic]) {
        put(&mut name, part);
    }
    name.extend_from_slice(&ordinal.to_be_bytes());
    Uuid::new_v5(&DERIVED, &name).to_string()
}

/// Whether `id` is legal, and if not, why.
pub fn check(id: &str) -> Result<(), String> {
    if id.is_empty() {
        return Err("is empty; give an id of 1 to 128 characters, or leave it out to get one".to_owned());
    }
    if id.len() > MAX_BYTES {
        return Err(format!("has {} bytes; at most {MAX_BYTES} are allowed", id.len()));
    }
    if !id.as_bytes()[0].is_ascii_alphanumeric() {
        return Err("must begin with a letter or digit of ASCII".to_owned());
    }
    match id.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | ':' | '-'))) {
        None => Ok(()),
        Some(c) => {
            Err(format!("has the character {c:?}; letters and digits of ASCII and `.`, `_`, `:`, `-` are allowed"))
        }
    }
}

fn put(out: &mut Vec<u8>, part: &str) {
    out.extend_from_slice(&(part.len() as u64).to_be_bytes());
    out.extend_from_slice(part.as_bytes());
}
