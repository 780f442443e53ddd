//! The hash of a processor's settings, as it goes into ids and scores.

use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// 16 hex digits over names and values, in the order of names. Forever: it is part of derived ids.
pub fn config_hash(settings: &BTreeMap<String, String>) -> String {
    let mut hasher = Sha256::new();
    for part in settings.iter().flat_map(|(k, v)| [k, v]) {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    crate::compiled::hex(&hasher.finalize()[..8])
}
