//! All released schemas, parsed once.

use crate::compose;
use crate::json::shape::Shape;
use crate::types::EVENTS;
use serde_avro_fast::Schema;
use serde_json::Value;
use std::sync::OnceLock;

/// One version of one event type's schema.
pub(crate) struct Version {
    /// Place of the event type in [`EVENTS`].
    pub(crate) event: usize,
    /// As published.
    pub(crate) json: String,
    /// Of the whole event.
    pub(crate) schema: Schema,
    /// Of the payload alone, as sealed.
    pub(crate) payload: Schema,
    /// CRC-64-AVRO of the canonical form, little-endian.
    pub(crate) fingerprint: [u8; 8],
}

impl Version {
    pub(crate) fn new(event: usize, json: &Value) -> Self {
        let text = json.to_string();
        let payload = compose::payload_of(json).expect("every event has a payload").to_string();
        let parse = |text: &str| -> Schema {
            text.parse().unwrap_or_else(|e| panic!("the schema of `{}` does not parse: {e}", EVENTS[event].name))
        };
        let schema = parse(&text);
        let fingerprint = *schema.rabin_fingerprint();
        Self { event, json: text, payload: parse(&payload), schema, fingerprint }
    }
}

/// What [`compiled`] gives.
pub(crate) struct Compiled {
    versions: Vec<Version>,
    current: Vec<usize>,
    shapes: Vec<Shape>,
}

impl Compiled {
    /// The version that is written today.
    pub(crate) fn current(&self, event: usize) -> &Version {
        &self.versions[self.current[event]]
    }

    /// The payload's shape in JSON today.
    pub(crate) fn shape(&self, event: usize) -> &Shape {
        &self.shapes[event]
    }

    /// The version, of any event type, with this fingerprint.
    pub(crate) fn by_fingerprint(&self, fingerprint: [u8; 8]) -> Option<&Version> {
        self.versions.iter().find(|v| v.fingerprint == fingerprint)
    }
}

/// The released schemas of all event types, and today's.
pub(crate) fn compiled() -> &'static Compiled {
    static COMPILED: OnceLock<Compiled> = OnceLock::new();
    COMPILED.get_or_init(|| {
        let mut out = Compiled { versions: Vec::new(), current: Vec::new(), shapes: Vec::new() };
        for event in EVENTS {
            let today = compose::event_schema(event);
            let payload = compose::payload_of(&today).expect("every event has a payload");
            out.shapes.push(Shape::of_schema(payload));
            out.current.push(out.versions.len());
            out.versions.push(Version::new(event.index, &today));
        }
        for event in EVENTS {
            for released in event.released {
                let json: Value = serde_json::from_str(released).expect("released schemas are JSON");
                let version = Version::new(event.index, &json);
                if out.by_fingerprint(version.fingerprint).is_none() {
                    out.versions.push(version);
                }
            }
        }
        out
    })
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, b| {
        // Writing into a `String` cannot fail.
        let _ = write!(out, "{b:02x}");
        out
    })
}
