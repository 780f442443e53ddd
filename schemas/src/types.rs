//! The table of event types.

use crate::compiled::compiled;
use crate::payload::Payload;
use serde::de::DeserializeOwned;
use serde::{Serialize, Serializer};

/// One type of event: its names and its schema, now and in every earlier release.
#[derive(Debug)]
pub struct EventType {
    /// Short name, as in JSON, on the command line and in the event's own `type`: `run`.
    pub name: &'static str,
    /// CloudEvents type: `stillhouse.run`.
    pub ce_type: &'static str,
    /// Full name of the published Avro record (envelope and payload), which is also the subject that it is registered
    /// under (RecordName strategy, because a topic may hold several types): `stillhouse.RunEvent`.
    pub record: &'static str,
    /// What it says, in a sentence.
    pub doc: &'static str,
    /// Schema of the payload, as written in `avsc/`. Shared records are named there, not spelled out.
    pub avsc: &'static str,
    /// Published schemas of all releases, oldest first (`fixtures/<name>/v<n>.avsc`).
    pub released: &'static [&'static str],
    /// Place in [`EVENTS`].
    pub(crate) index: usize,
}

impl EventType {
    /// The published schema: self-contained, with the envelope, documented.
    pub fn schema_json(&self) -> &'static str {
        &compiled().current(self.index).json
    }

    /// CRC-64-AVRO of the published schema, as it stands in the bytes after `C3 01` (little-endian), in hex.
    pub fn fingerprint(&self) -> String {
        crate::compiled::hex(&compiled().current(self.index).fingerprint)
    }
}

/// The event type with this short name or CloudEvents type.
pub fn event_type(name: &str) -> Option<&'static EventType> {
    EVENTS.iter().find(|e| e.name == name || e.ce_type == name)
}

macro_rules! events {
    ($($index:literal $variant:ident $name:literal $record:literal [$($version:literal)*] $doc:literal)*) => {
        /// Every event type there is.
        pub static EVENTS: &[EventType] = &[$(EventType {
            name: $name,
            ce_type: concat!("stillhouse.", $name),
            record: concat!("stillhouse.", $record),
            doc: $doc,
            avsc: include_str!(concat!("../avsc/", $name, ".avsc")),
            released: &[$(include_str!(concat!("../fixtures/", $name, "/v", $version, ".avsc"))),*],
            index: $index,
        }),*];

        impl Payload {
            /// Its entry in [`EVENTS`].
            pub fn event_type(&self) -> &'static EventType {
                &EVENTS[match self { $(Self::$variant(_) => $index),* }]
            }
        }

        /// As the type held; which it is, the schema says.
        impl Serialize for Payload {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self { $(Self::$variant(p) => p.serialize(serializer)),* }
            }
        }

        /// Reads the payload of the event type at `index` in [`EVENTS`].
        pub(crate) fn read_payload<R: ReadPayload>(index: usize, reader: R) -> Result<R::Out, R::Error> {
            match index {
                $($index => reader.read::<crate::$variant>(Payload::$variant),)*
                other => unreachable!("there is no event type {other}"),
            }
        }
    };
}

/// Something that reads a payload once its type is known.
pub(crate) trait ReadPayload {
    type Out;
    type Error;
    fn read<T: DeserializeOwned>(self, wrap: fn(T) -> Payload) -> Result<Self::Out, Self::Error>;
}

// A released version is a number in the brackets and files in `fixtures/<name>/`, written by
// `cargo run -p stillhouse-schemas --example release`. Numbers and names are never used again.
events! {
    0 Run "run" "RunEvent" ["1" "2"] "A recorded run of an agent."
    1 Claim "claim" "ClaimEvent" ["1"] "What a source says to be so."
    2 Evidence "evidence" "EvidenceEvent" ["1" "2"] "A run made ready to be scored and exported."
    3 Validation "validation" "ValidationEvent" ["1" "2" "3"] "A validator's verdict."
    4 Score "score" "ScoreEvent" ["1" "2"] "A judgement of one evidence."
    5 ScoreFailed "score_failed" "ScoreFailedEvent" ["1" "2"] "A judgement that could not be made."
    6 Quarantined "quarantined" "QuarantinedEvent" ["1" "2"] "A run or row that was left out, and why."
    7 Exported "exported" "ExportedEvent" ["1" "2"] "A dataset that was written."
    8 Control "control" "ControlEvent" ["1"] "A change of what runs."
    9 DeadLettered "dead_lettered" "DeadLetteredEvent" ["1"] "A record that a processor could not take."
    10 Span "span" "SpanEvent" ["1"] "One span of a trace, as its exporter sent it."
    11 Label "label" "LabelEvent" ["1"] "What a person says of a run."
    12 CallRequested "call_requested" "CallRequestedEvent" ["1"] "A call of a model that is about to be made."
    13 CallReplied "call_replied" "CallRepliedEvent" ["1"] "What became of a call of a model. Of one call the first reply counts."
    14 Decision "decision" "DecisionEvent" ["1"] "What an operator decides about a run, a row or a person."
    15 ErasureCertified "erasure_certified" "ErasureCertifiedEvent" ["1"] "What was done to make a person's data unreadable."
    16 Released "released" "ReleasedEvent" ["1"] "What was left out once and enters now."
    17 Replayed "replayed" "ReplayedEvent" ["1"] "A recorded run that was run again."
    18 Audited "audited" "AuditedEvent" ["1" "2"] "What an audit found."
    19 RangeSealed "range_sealed" "RangeSealedEvent" ["1"] "Digests of consecutive records of a partition, sealed."
    20 Document "document" "DocumentEvent" ["1"] "A text that can be searched."
    21 Embedded "embedded" "EmbeddedEvent" ["1"] "An item of a corpus with its vectors."
    22 Searched "searched" "SearchedEvent" ["1"] "A search that was answered."
    23 RosterChanged "roster_changed" "RosterChangedEvent" ["1"] "Some of the workers that a load of the roster changes."
    24 RosterLoaded "roster_loaded" "RosterLoadedEvent" ["1"] "The end of a load of the roster."
    25 Checked "checked" "CheckedEvent" ["1"] "An artefact that somebody asked validators about."
    26 Verdict "verdict" "VerdictEvent" ["1"] "What is held of one attribute of an entity, after all that was claimed."
}
