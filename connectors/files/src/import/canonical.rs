//! One spelling of a JSON value, so that equal records have equal hashes whatever their spacing and order of keys.
//!
//! Keys sorted by code point, no spaces, strings with the fewest escapes, numbers as parsed and printed shortest
//! (`1` and `1.0` differ: sources mean different things by them). Ids of imported runs stand on it: never change it.

use serde_json::Value;
use sha2::{Digest, Sha256};
use std::io::{self, Write};

/// The canonical text of a value.
pub(super) fn text(value: &Value) -> String {
    let mut out = Vec::new();
    write(value, &mut out).expect("writing to memory does not fail");
    String::from_utf8(out).expect("JSON is UTF-8")
}

/// SHA-256 of the canonical text, hex.
pub fn hash(value: &Value) -> String {
    let mut digest = Sha256::new();
    write(value, &mut digest).expect("hashing does not fail");
    hex(&digest.finalize())
}

/// Bytes in hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn write(value: &Value, out: &mut impl Write) -> io::Result<()> {
    match value {
        Value::Array(list) => {
            out.write_all(b"[")?;
            for (i, element) in list.iter().enumerate() {
                if i > 0 {
                    out.write_all(b",")?;
                }
                write(element, out)?;
            }
            out.write_all(b"]")
        }
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| key.as_str());
            out.write_all(b"{")?;
            for (i, (key, element)) in entries.into_iter().enumerate() {
                if i > 0 {
                    out.write_all(b",")?;
                }
                serde_json::to_writer(&mut *out, key)?;
                out.write_all(b":")?;
                write(element, out)?;
            }
            out.write_all(b"}")
        }
        scalar => Ok(serde_json::to_writer(out, scalar)?),
    }
}
