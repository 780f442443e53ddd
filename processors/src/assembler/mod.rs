//! Spans of a trace become a run.
//!
//! A trace arrives span by span, in pieces, in any order, some of it twice. Whenever it is closed (it has a root, every
//! root has ended, every parent is there), a run is made of all its spans. Spans that come later make another revision of
//! the same run: `revision` is the number of spans in it, so that the highest is the one made of most. What a run says
//! depends on the set of its spans only, never on the order, the pieces or the moment in which they came.
//!
//! - A parent that the sender marks as remote need not come: a service in the middle of somebody else's trace has a root
//!   of its own. If it does come, that is another revision.
//! - A trace that does not close (its root was never sent, parents are missing, they go round in a circle) is put together
//!   when nothing was added to it for `settle_seconds`, by the timestamps of records and not by a clock: it waits for
//!   later spans of its partition. Such a run carries an error, so that no rule accepts what may be half a run, unless
//!   `unclosed` says to take it; either way `extra` has `trace.incomplete`.
//! - A trace that is closed and says nothing yet (its root came first) waits in the same way.
//! - A trace that speaks none of the [`VOCABULARIES`] is not about a model, and makes no run.
//! - A trace of more than [`MAX_SPANS`] spans or [`MAX_BYTES`] bytes makes a run that says so and holds no messages.
//! - A span that was sent twice with different content counts once: the one that ended, the later end, the one that says
//!   more, the greater id. `extra` has `trace.conflicts`.
//!
//! How the conversation is found: [`threads`]. What attributes mean: one file per vocabulary.
//!
//! What is absent: any change to what was said; the spans themselves stay in their topic as they came.

mod attributes;
mod genai;
mod genai_indexed;
mod genai_occurrences;
mod langfuse;
mod messages;
mod openinference;
mod own;
mod run;
mod said;
mod threads;
mod trace;
mod vocabulary;

pub use vocabulary::{VOCABULARIES, Vocabulary};

use crate::join::EventJoin;
use crate::settings::{Setting, Settings, Takes};
use crate::transform::{Draft, FAULT, unexpected};
use std::time::Duration;
use stillhouse_schemas::{Event, Payload, Run, check};
use stillhouse_streams::runner::Fault;
pub use trace::Trace;

/// Name of the processor.
pub const NAME: &str = "assembler";
/// Version of its code: raised whenever the same spans may give another run.
pub const VERSION: &str = "1";
/// Most spans of a trace that are put together.
pub const MAX_SPANS: usize = 5_000;
/// Most bytes of a trace's spans.
pub const MAX_BYTES: usize = 32 << 20;
/// Revision of the run of a trace that has too much: higher than any other.
const TOO_MUCH: i64 = 1_000_000_000;
/// The topic it writes.
const TRACES: &str = "traces";

/// Its settings.
pub static SETTINGS: &[Setting] = &[
    Setting {
        name: "settle_seconds",
        default: "60",
        takes: Takes::Count,
        doc: "A trace that did not close is put together when its partition has gone on for so long without it, by the records' timestamps.",
    },
    Setting {
        name: "unclosed",
        default: "error",
        takes: Takes::Word(&["error", "take"]),
        doc: "The run of a trace that did not close: carries an error, so that it is not accepted by rules, or is taken as it is.",
    },
];

/// Puts traces together.
#[derive(Debug)]
pub struct Assembler {
    settle: Duration,
    take_unclosed: bool,
}

impl Assembler {
    /// With these settings.
    pub fn new(settings: &Settings) -> Self {
        // A count: positive and whole.
        let settle = Duration::from_secs(settings.number("settle_seconds") as u64);
        Self { settle, take_unclosed: settings.word("unclosed") == "take" }
    }
}

impl EventJoin for Assembler {
    type Joined = Trace;

    fn add(&self, trace: &mut Trace, event: Event) -> Result<(), Fault> {
        // Spans may come through Kafka from producers that check nothing.
        if let Err(bad) = check(&event) {
            return Err(Fault::Lasting { kind: FAULT, message: format!("event {}: {bad}", event.envelope.id) });
        }
        match event.payload {
            Payload::Span(span) => {
                trace.add(event.envelope.id, span);
                Ok(())
            }
            _ => Err(unexpected(&event, "span")),
        }
    }

    fn made(&self, trace: &Trace, settled: bool) -> Vec<Draft> {
        let missing = trace.missing();
        if missing.is_some() && !settled {
            return Vec::new();
        }
        let unclosed = missing.is_some();
        // A run that says nothing yet waits too: its root came first.
        let waited = |run: &Run| settled == (unclosed || run.messages.is_empty());
        let draft = |run| Draft { topic: TRACES, payload: Payload::Run(run) };
        run::of(trace, missing, self.take_unclosed).filter(waited).map(draft).into_iter().collect()
    }

    fn too_much(&self, event: &Event) -> Vec<Draft> {
        let Payload::Span(span) = &event.payload else { return Vec::new() };
        let run = Run {
            run_id: run::id(&span.trace_id),
            error: Some(format!("the trace has more than {MAX_SPANS} spans or {MAX_BYTES} bytes: not put together")),
            trace_id: Some(span.trace_id.to_ascii_lowercase()),
            revision: TOO_MUCH,
            ..Run::default()
        };
        vec![Draft { topic: TRACES, payload: Payload::Run(run) }]
    }

    fn settles_after(&self) -> Duration {
        self.settle
    }

    fn most(&self) -> (usize, usize) {
        (MAX_SPANS, MAX_BYTES)
    }
}
