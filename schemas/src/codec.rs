//! Events to records and back.
//!
//! On the wire an event is one Avro datum of its type's published schema, in single-object encoding, or in Confluent
//! framing where a schema registry is configured; both are read, by the first bytes. The writer's schema is found
//! among all released ones, and only those: a schema that comes from elsewhere is never decoded by.
//!
//! With [`Keys`], the payload of an event that names a subject is sealed; every other event stays plain.
//!
//! Deliberately absent: checks of meaning ([`crate::check`]), and any trust in lengths that the bytes claim.

use crate::compiled::{Version, compiled, hex};
use crate::error::CodecError;
use crate::event::{Cause, Envelope, Event, Micros, Producer};
use crate::payload::Payload;
use crate::registry::{Registry, RegistryError};
use crate::sealing::{self, Keys, KeysError};
use crate::types::{EVENTS, ReadPayload, read_payload};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_avro_fast::de::read::SliceRead;
use serde_avro_fast::de::{DeserializerConfig, DeserializerState};
use serde_avro_fast::ser::SerializerConfig;
use serde_avro_fast::{Schema, to_datum};
use std::collections::HashMap;
use std::sync::{Arc, OnceLock, RwLock};

/// Most bytes of a value.
pub const MAX_VALUE_BYTES: usize = 8 * 1024 * 1024;
/// Most elements of one array or map.
pub const MAX_ITEMS: usize = 65_536;
/// Deepest nesting of a datum. The schemas need ten.
const MAX_DEPTH: usize = 32;

const SINGLE_OBJECT: [u8; 2] = [0xC3, 0x01];
const CONFLUENT: u8 = 0;

/// An event as a record: everything but the topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The event's key.
    pub key: Vec<u8>,
    /// Framed Avro.
    pub value: Vec<u8>,
    /// CloudEvents binary mode.
    pub headers: Vec<(&'static str, String)>,
}

/// Encodes and decodes events. Cheap to clone; clones share what they learnt from the registry.
#[derive(Clone, Default)]
pub struct Codec {
    keys: Option<Arc<dyn Keys>>,
    /// Keys are for opening only.
    opens_only: bool,
    confluent: Option<Arc<Confluent>>,
}

struct Confluent {
    registry: Arc<dyn Registry>,
    /// Id of today's schema of each event type.
    ids: Vec<OnceLock<u32>>,
    /// Fingerprints of the schemas of ids seen.
    schemas: RwLock<HashMap<u32, [u8; 8]>>,
}

impl std::fmt::Debug for Codec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Codec").field("sealing", &self.seals()).field("confluent", &self.confluent.is_some()).finish()
    }
}

#[derive(Serialize)]
struct WireOut<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    key: &'a str,
    occurred_at: Micros,
    subject: Option<&'a str>,
    producer: &'a Producer,
    causes: &'a [Cause],
    traceparent: Option<&'a str>,
    payload: Option<&'a Payload>,
    sealed: Option<SealedOut<'a>>,
}

#[derive(Serialize)]
struct SealedOut<'a> {
    key_id: &'a str,
    #[serde(with = "serde_bytes")]
    nonce: &'a [u8],
    #[serde(with = "serde_bytes")]
    ciphertext: &'a [u8],
}

#[derive(Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
struct WireIn<T> {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    key: String,
    occurred_at: Micros,
    #[serde(default)]
    subject: Option<String>,
    producer: Producer,
    #[serde(default)]
    causes: Vec<Cause>,
    #[serde(default)]
    traceparent: Option<String>,
    #[serde(default)]
    payload: Option<T>,
    #[serde(default)]
    sealed: Option<SealedIn>,
}

#[derive(Deserialize)]
struct SealedIn {
    key_id: String,
    #[serde(with = "serde_bytes")]
    nonce: Vec<u8>,
    #[serde(with = "serde_bytes")]
    ciphertext: Vec<u8>,
}

impl Codec {
    /// Without sealing and without a registry.
    pub fn plain() -> Self {
        Self::default()
    }

    /// With sealing of events that name a subject.
    pub fn with_keys(keys: Arc<dyn Keys>) -> Self {
        Self { keys: Some(keys), ..Self::default() }
    }

    /// Opens what was sealed with these keys, and seals nothing.
    pub fn with_keys_for_opening(keys: Arc<dyn Keys>) -> Self {
        Self { keys: Some(keys), opens_only: true, confluent: None }
    }

    /// Writes Confluent framing from now on, and reads it too.
    #[must_use]
    pub fn with_registry(self, registry: Arc<dyn Registry>) -> Self {
        let ids = EVENTS.iter().map(|_| OnceLock::new()).collect();
        let confluent = Confluent { registry, ids, schemas: RwLock::default() };
        Self { confluent: Some(Arc::new(confluent)), ..self }
    }

    /// Whether events that name a subject are sealed.
    pub fn seals(&self) -> bool {
        self.sealing_keys().is_some()
    }

    fn sealing_keys(&self) -> Option<&Arc<dyn Keys>> {
        self.keys.as_ref().filter(|_| !self.opens_only)
    }

    /// The record of `event`. The same event gives the same bytes (with the same keys and registry).
    ///
    /// # Errors
    /// [`CodecError::TooLarge`], or a failing key store or registry.
    pub fn encode(&self, event: &Event) -> Result<Encoded, CodecError> {
        let Event { envelope, payload } = event;
        let kind = payload.event_type();
        let version = compiled().current(kind.index);
        let failed =
            |e: serde_avro_fast::ser::SerError| CodecError::Encode { event: kind.name, message: e.to_string() };

        let sealed = match (self.sealing_keys(), &envelope.subject) {
            (Some(keys), Some(subject)) => {
                let key = keys.seal_key(subject).map_err(|e| CodecError::Keys(e.to_string()))?;
                let plaintext = to_datum(subject, Vec::with_capacity(512), &mut SerializerConfig::new(string()))
                    .and_then(|out| to_datum(payload, out, &mut SerializerConfig::new(&version.payload)))
                    .map_err(failed)?;
                let (nonce, ciphertext) = sealing::seal(&key, &envelope.id, kind.name, &plaintext)
                    .ok_or(CodecError::TooLarge { bytes: plaintext.len(), limit: MAX_VALUE_BYTES })?;
                Some((key.key_id, nonce, ciphertext))
            }
            _ => None,
        };
        let wire = WireOut {
            id: &envelope.id,
            kind: kind.name,
            key: &envelope.key,
            occurred_at: envelope.occurred_at,
            subject: if sealed.is_some() { None } else { envelope.subject.as_deref() },
            producer: &envelope.producer,
            causes: &envelope.causes,
            traceparent: envelope.traceparent.as_deref(),
            payload: if sealed.is_some() { None } else { Some(payload) },
            sealed: sealed.as_ref().map(|(key_id, nonce, ciphertext)| SealedOut { key_id, nonce, ciphertext }),
        };

        let mut value = Vec::with_capacity(1024 + sealed.as_ref().map_or(0, |s| s.2.len()));
        match &self.confluent {
            None => {
                value.extend_from_slice(&SINGLE_OBJECT);
                value.extend_from_slice(&version.fingerprint);
            }
            Some(confluent) => {
                value.push(CONFLUENT);
                value.extend_from_slice(&confluent.id_of(version)?.to_be_bytes());
            }
        }
        let value = to_datum(&wire, value, &mut SerializerConfig::new(&version.schema)).map_err(failed)?;
        if value.len() > MAX_VALUE_BYTES {
            return Err(CodecError::TooLarge { bytes: value.len(), limit: MAX_VALUE_BYTES });
        }
        Ok(Encoded { key: envelope.key.as_bytes().to_vec(), value, headers: headers(envelope, kind.ce_type) })
    }

    /// The event in `value`.
    ///
    /// # Errors
    /// Anything in [`CodecError`]; whatever the bytes, no panic, and memory of at most some thirty times their length.
    pub fn decode(&self, value: &[u8]) -> Result<Event, CodecError> {
        if value.len() > MAX_VALUE_BYTES {
            return Err(CodecError::TooLarge { bytes: value.len(), limit: MAX_VALUE_BYTES });
        }
        let (version, datum) = self.writer_of(value)?;
        let (event, rest) = read_payload(version.event, ReadWire { codec: self, version, datum })?;
        match rest.len() {
            0 => Ok(event),
            bytes => Err(CodecError::Trailing { event: EVENTS[version.event].name, bytes }),
        }
    }

    /// The first event of `data`, in which several follow each other without framing (a block of an Avro container
    /// file), and what follows it. `fingerprint` is that of the schema they are written by
    /// ([`evolution::fingerprint`](crate::evolution::fingerprint)).
    ///
    /// # Errors
    /// As [`Codec::decode`].
    pub fn decode_next<'d>(&self, fingerprint: [u8; 8], data: &'d [u8]) -> Result<(Event, &'d [u8]), CodecError> {
        let unknown = || CodecError::UnknownSchema { fingerprint: hex(&fingerprint) };
        let version = compiled().by_fingerprint(fingerprint).ok_or_else(unknown)?;
        let (event, rest) = read_payload(version.event, ReadWire { codec: self, version, datum: data })?;
        match data.len() - rest.len() {
            bytes if bytes > MAX_VALUE_BYTES => Err(CodecError::TooLarge { bytes, limit: MAX_VALUE_BYTES }),
            _ => Ok((event, rest)),
        }
    }

    /// What of the event in `value` can be read without any key: its envelope (without the subject where the payload is
    /// sealed), and the pseudonym of the key that sealed it, if one did.
    ///
    /// # Errors
    /// As [`Codec::decode`], but for those of keys.
    pub fn clear(&self, value: &[u8]) -> Result<(Envelope, Option<String>), CodecError> {
        if value.len() > MAX_VALUE_BYTES {
            return Err(CodecError::TooLarge { bytes: value.len(), limit: MAX_VALUE_BYTES });
        }
        let (version, datum) = self.writer_of(value)?;
        read_payload(version.event, ReadClear { version, datum })
    }

    /// The event type of `value` by its framing, without decoding the rest.
    ///
    /// # Errors
    /// As [`Codec::decode`], for the framing.
    pub fn type_of(&self, value: &[u8]) -> Result<&'static crate::EventType, CodecError> {
        self.writer_of(value).map(|(version, _)| &EVENTS[version.event])
    }

    fn writer_of<'v>(&self, value: &'v [u8]) -> Result<(&'static Version, &'v [u8]), CodecError> {
        let unframed = |said: &str| Err(CodecError::Framing(said.to_owned()));
        if let Some(rest) = value.strip_prefix(&SINGLE_OBJECT) {
            let Some((fingerprint, datum)) = rest.split_first_chunk::<8>() else {
                return unframed("cut within the fingerprint of its schema");
            };
            let version = compiled()
                .by_fingerprint(*fingerprint)
                .ok_or_else(|| CodecError::UnknownSchema { fingerprint: hex(fingerprint) })?;
            return Ok((version, datum));
        }
        match value {
            [] => unframed("no bytes"),
            [CONFLUENT, rest @ ..] => {
                let Some((id, datum)) = rest.split_first_chunk::<4>() else {
                    return unframed("cut within the id of its schema");
                };
                let id = u32::from_be_bytes(*id);
                let confluent = self.confluent.as_ref().ok_or(CodecError::NoRegistry { id })?;
                Ok((confluent.schema_of(id)?, datum))
            }
            [b'{' | b'[', ..] => unframed("it looks like JSON"),
            [b'O', b'b', b'j', 1, ..] => unframed("it is an Avro container file"),
            [first, ..] => unframed(&format!("it begins with the byte {first:02x}")),
        }
    }
}

impl Confluent {
    fn id_of(&self, version: &Version) -> Result<u32, CodecError> {
        let known = &self.ids[version.event];
        if let Some(id) = known.get() {
            return Ok(*id);
        }
        let id = self.registry.id_of(EVENTS[version.event].record, &version.json).map_err(|e| match e {
            RegistryError::UnknownId(id) => CodecError::UnknownSchemaId { id },
            RegistryError::Unavailable(message) => CodecError::Registry(message),
        })?;
        Ok(*known.get_or_init(|| id))
    }

    fn schema_of(&self, id: u32) -> Result<&'static Version, CodecError> {
        let seen = self.schemas.read().ok().and_then(|s| s.get(&id).copied());
        let fingerprint = match seen {
            Some(fingerprint) => fingerprint,
            None => {
                let json = self.registry.schema_of(id).map_err(|e| match e {
                    RegistryError::UnknownId(id) => CodecError::UnknownSchemaId { id },
                    RegistryError::Unavailable(message) => CodecError::Registry(message),
                })?;
                crate::evolution::fingerprint(&json).map_err(|reason| CodecError::ForeignSchema { id, reason })?
            }
        };
        let version = compiled().by_fingerprint(fingerprint).ok_or_else(|| CodecError::ForeignSchema {
            id,
            reason: "register the published schema unchanged (`stillhouse schemas` prints it)".to_owned(),
        })?;
        // Only ids of our schemas are remembered, so there are as many as a registry gave them.
        if seen.is_none()
            && let Ok(mut schemas) = self.schemas.write()
        {
            schemas.insert(id, fingerprint);
        }
        Ok(version)
    }
}

/// Decodes a datum by any version.
#[cfg(test)]
pub(crate) fn decode_by(version: &Version, datum: &[u8]) -> Result<Event, CodecError> {
    read_payload(version.event, ReadWire { codec: &Codec::plain(), version, datum }).map(|(event, _)| event)
}

/// Reads an event whose payload is a `T`, and gives what follows it.
struct ReadWire<'a, 'd> {
    codec: &'a Codec,
    version: &'a Version,
    datum: &'d [u8],
}

impl<'d> ReadPayload for ReadWire<'_, 'd> {
    type Out = (Event, &'d [u8]);
    type Error = CodecError;

    fn read<T: DeserializeOwned>(self, wrap: fn(T) -> Payload) -> Result<Self::Out, CodecError> {
        let Self { codec, version, datum } = self;
        let event = EVENTS[version.event].name;
        let (wire, rest) = from_datum::<WireIn<T>>(event, datum, &version.schema)?;
        if wire.kind != event {
            return Err(CodecError::TypeMismatch { said: wire.kind, schema: event });
        }
        let (subject, payload) = match (wire.payload, wire.sealed) {
            (Some(payload), None) => (wire.subject, payload),
            (None, Some(sealed)) => {
                let (subject, payload) = codec.open::<T>(version, &wire.id, &sealed)?;
                (Some(subject), payload)
            }
            _ => return Err(CodecError::Payload { event_id: wire.id }),
        };
        let WireIn { id, key, occurred_at, producer, causes, traceparent, .. } = wire;
        let envelope = Envelope { id, key, occurred_at, subject, producer, causes, traceparent };
        Ok((Event { envelope, payload: wrap(payload) }, rest))
    }
}

/// Reads what is in the clear of an event whose payload is a `T`.
struct ReadClear<'a> {
    version: &'a Version,
    datum: &'a [u8],
}

impl ReadPayload for ReadClear<'_> {
    type Out = (Envelope, Option<String>);
    type Error = CodecError;

    fn read<T: DeserializeOwned>(self, _: fn(T) -> Payload) -> Result<Self::Out, CodecError> {
        let event = EVENTS[self.version.event].name;
        let (wire, _) = from_datum::<WireIn<T>>(event, self.datum, &self.version.schema)?;
        let WireIn { id, key, occurred_at, subject, producer, causes, traceparent, sealed, .. } = wire;
        let envelope = Envelope { id, key, occurred_at, subject, producer, causes, traceparent };
        Ok((envelope, sealed.map(|sealed| sealed.key_id)))
    }
}

impl Codec {
    fn open<T: DeserializeOwned>(
        &self,
        version: &Version,
        id: &str,
        sealed: &SealedIn,
    ) -> Result<(String, T), CodecError> {
        let (key_id, event_id) = (sealed.key_id.clone(), id.to_owned());
        let Some(keys) = &self.keys else { return Err(CodecError::NoKeys { key_id, event_id }) };
        let found = keys.open_key(&sealed.key_id).map_err(|error| match error {
            KeysError::Lost(reason) => {
                CodecError::KeyLost { key_id: key_id.clone(), event_id: event_id.clone(), reason }
            }
            KeysError::Failed(why) => CodecError::Keys(why),
        })?;
        let Some(key) = found else {
            return Err(CodecError::Erased { key_id, event_id });
        };
        let event = EVENTS[version.event].name;
        let plaintext = sealing::open(&key, id, event, &sealed.nonce, &sealed.ciphertext)?;
        let (subject, rest) = from_datum::<String>(event, &plaintext, string())?;
        let (payload, rest) = from_datum::<T>(event, rest, &version.payload)?;
        if rest.is_empty() { Ok((subject, payload)) } else { Err(CodecError::Trailing { event, bytes: rest.len() }) }
    }
}

/// Decodes one datum, within the limits; gives what follows it.
fn from_datum<'d, T: DeserializeOwned>(
    event: &'static str,
    datum: &'d [u8],
    schema: &Schema,
) -> Result<(T, &'d [u8]), CodecError> {
    let mut config = DeserializerConfig::new(schema);
    config.max_seq_size = MAX_ITEMS;
    config.allowed_depth = MAX_DEPTH;
    let mut state = DeserializerState::with_config(SliceRead::new(datum), config);
    let value =
        T::deserialize(state.deserializer()).map_err(|e| CodecError::Malformed { event, message: e.to_string() })?;
    let mut reader = state.into_reader();
    let rest = std::io::BufRead::fill_buf(&mut reader).map_or(0, <[u8]>::len);
    Ok((value, &datum[datum.len() - rest..]))
}

fn string() -> &'static Schema {
    static STRING: OnceLock<Schema> = OnceLock::new();
    STRING.get_or_init(|| r#""string""#.parse().expect("a schema"))
}

fn headers(envelope: &Envelope, ce_type: &str) -> Vec<(&'static str, String)> {
    let mut out = Vec::with_capacity(8);
    out.push(("ce_specversion", "1.0".to_owned()));
    out.push(("ce_id", envelope.id.clone()));
    out.push(("ce_source", envelope.producer.name.clone()));
    out.push(("ce_type", ce_type.to_owned()));
    out.push(("ce_time", crate::time::format(envelope.occurred_at)));
    out.push(("content-type", "application/avro".to_owned()));
    if let Some(traceparent) = &envelope.traceparent {
        out.push(("traceparent", traceparent.clone()));
    }
    out
}
