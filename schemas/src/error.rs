//! What can be wrong with an event or its bytes, said so that the sender can put it right.

/// A rule that an event breaks: where, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct BadEvent {
    /// Dotted path, such as `payload.messages[2].role`; `event` for the whole.
    pub field: String,
    /// What is wrong and how to put it right.
    pub message: String,
}

impl BadEvent {
    /// A rule broken at `field`. Both are cut to a length that fits an answer: senders choose names.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        let field = field.into();
        let field = if field.is_empty() { "``".to_owned() } else { cut(field, 256) };
        Self { field, message: cut(message.into(), 1024) }
    }
}

fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        let end = (0..=most).rev().find(|i| text.is_char_boundary(*i)).unwrap_or_default();
        text.truncate(end);
        text.push('…');
    }
    text
}

/// Why bytes are not an event, or an event could not become bytes.
///
/// All are lasting faults of the record but those that [`CodecError::is_transient`] names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The first bytes are of no framing that is read here.
    #[error("not an event: {0}; expected Avro single-object encoding (C3 01) or Confluent framing (00)")]
    Framing(String),
    /// More bytes than an event may have.
    #[error("{bytes} bytes are more than the {limit} that an event may have")]
    TooLarge {
        /// Bytes there.
        bytes: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// No released schema of any event type has this fingerprint.
    #[error(
        "no released schema has the fingerprint {fingerprint}; it was written by a newer release or by a foreign schema (`stillhouse schemas` lists the released ones)"
    )]
    UnknownSchema {
        /// CRC-64-AVRO, hex, as in the bytes.
        fingerprint: String,
    },
    /// A value in Confluent framing, and no registry to ask.
    #[error("Confluent framing with schema id {id}, but no schema registry is configured")]
    NoRegistry {
        /// Id in the bytes.
        id: u32,
    },
    /// The registry does not know the id.
    #[error("the schema registry knows no schema with id {id}")]
    UnknownSchemaId {
        /// Id in the bytes.
        id: u32,
    },
    /// The registry's schema is not one of ours.
    #[error("the schema with id {id} in the registry is no released schema of an event: {reason}")]
    ForeignSchema {
        /// Id in the bytes.
        id: u32,
        /// In what it differs.
        reason: String,
    },
    /// The registry could not answer, or answered nonsense.
    #[error("schema registry: {0}")]
    Registry(String),
    /// The bytes break the schema that they name.
    #[error("not a valid `{event}`: {message}")]
    Malformed {
        /// Event type by the schema.
        event: &'static str,
        /// What the decoder said.
        message: String,
    },
    /// Bytes after the end of the event.
    #[error("{bytes} bytes follow the end of the `{event}`")]
    Trailing {
        /// Event type by the schema.
        event: &'static str,
        /// How many.
        bytes: usize,
    },
    /// The event calls itself other than its schema does.
    #[error("the event says that it is a `{said}`, its schema is that of a `{schema}`")]
    TypeMismatch {
        /// In the event's `type`.
        said: String,
        /// Event type by the schema.
        schema: &'static str,
    },
    /// Neither payload nor sealed payload, or both.
    #[error("event {event_id}: exactly one of `payload` and `sealed` must be there")]
    Payload {
        /// The event.
        event_id: String,
    },
    /// The payload was sealed with a key that is gone: the subject was erased.
    #[error("event {event_id} was erased: its key {key_id} is gone")]
    Erased {
        /// Pseudonym of the key.
        key_id: String,
        /// The event.
        event_id: String,
    },
    /// The payload is sealed, and this reader has no key store.
    #[error("event {event_id} is sealed with key {key_id}, and no key store is configured here")]
    NoKeys {
        /// Pseudonym of the key.
        key_id: String,
        /// The event.
        event_id: String,
    },
    /// The key is gone without having been destroyed: the key store is not the one that sealed.
    #[error("event {event_id} is sealed with key {key_id}, which is lost: {reason}")]
    KeyLost {
        /// Pseudonym of the key.
        key_id: String,
        /// The event.
        event_id: String,
        /// What the key store said, with a remedy.
        reason: String,
    },
    /// The key does not fit, or the sealed bytes, id or type were altered.
    #[error("event {event_id} does not open with key {key_id}: it was altered, or the key is another's")]
    Unsealable {
        /// Pseudonym of the key.
        key_id: String,
        /// The event.
        event_id: String,
    },
    /// The key store failed.
    #[error("key store: {0}")]
    Keys(String),
    /// The event could not be written by its schema.
    #[error("cannot encode a `{event}`: {message}")]
    Encode {
        /// Event type.
        event: &'static str,
        /// What the encoder said.
        message: String,
    },
}

impl CodecError {
    /// Whether a later try may succeed: the fault is of the key store or the registry, not of the bytes.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Registry(_) | Self::Keys(_))
    }

    /// Whether it is for want of a key that was not destroyed: the key store has to be put right, not the event.
    pub fn is_for_want_of_a_key(&self) -> bool {
        matches!(self, Self::KeyLost { .. } | Self::NoKeys { .. } | Self::Keys(_))
    }
}
