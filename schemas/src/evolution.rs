//! Whether a schema can follow another: BACKWARD, checked pair by pair for BACKWARD_TRANSITIVE.

use apache_avro::Schema;
use apache_avro::schema_compatibility::{Compatibility, SchemaCompatibility};
use serde_avro_fast::schema::{SchemaError, SchemaMut};
use std::sync::Once;

/// Most bytes that the Avro library may take for one value or schema.
const MAX_ALLOCATION: usize = 8 * 1024 * 1024;
/// Most bytes of a schema that comes from elsewhere.
const MAX_SCHEMA_BYTES: usize = 1024 * 1024;

/// Whether readers by `new` can read what was written by `old`.
///
/// # Errors
/// Says which schema does not parse, or what is in the way.
pub fn can_follow(new: &str, old: &str) -> Result<(), String> {
    let new = parse(new).map_err(|e| format!("the new schema: {e}"))?;
    let old = parse(old).map_err(|e| format!("the old schema: {e}"))?;
    match SchemaCompatibility::can_read(&old, &new) {
        Ok(Compatibility::Full) => Ok(()),
        Ok(Compatibility::Partial) => {
            Err("some of what the old schema allows cannot be read by the new one".to_owned())
        }
        Err(e) => Err(e.to_string()),
    }
}

/// CRC-64-AVRO of the Parsing Canonical Form, little-endian, as it stands after `C3 01`.
///
/// By serde_avro_fast: apache-avro 0.22 leaves `{"type":"long"}` of a logical type where the canonical form has
/// `"long"`, so its fingerprints are not those of other Avro libraries.
///
/// # Errors
/// If `schema` does not parse.
pub fn fingerprint(schema: &str) -> Result<[u8; 8], String> {
    short_enough(schema)?;
    let schema: SchemaMut = schema.parse().map_err(|e: SchemaError| e.to_string())?;
    schema.canonical_form_rabin_fingerprint().map_err(|e| e.to_string())
}

fn parse(schema: &str) -> Result<Schema, String> {
    static LIMIT: Once = Once::new();
    LIMIT.call_once(|| {
        apache_avro::util::max_allocation_bytes(MAX_ALLOCATION);
    });
    short_enough(schema)?;
    Schema::parse_str(schema).map_err(|e| e.to_string())
}

fn short_enough(schema: &str) -> Result<(), String> {
    if schema.len() > MAX_SCHEMA_BYTES {
        return Err(format!("has {} bytes; at most {MAX_SCHEMA_BYTES} are read", schema.len()));
    }
    Ok(())
}
