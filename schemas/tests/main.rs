//! The crate from outside.

mod check;
mod codec;
mod confluent;
mod evolution;
#[path = "../examples/release/fixtures.rs"]
mod fixtures;
mod hostile;
mod ids;
mod json;
mod run;
#[path = "../examples/release/samples.rs"]
mod samples;
mod sealing;
mod tables;

use stillhouse_schemas::{EVENTS, Event};

/// Every sample of every event type that is written plainly.
fn plain_samples() -> Vec<Event> {
    let all = EVENTS.iter().flat_map(|e| samples::of(e.name));
    all.filter(|(name, _)| *name != "sealed").map(|(_, event)| event).collect()
}

fn sample(event: &str, name: &str) -> Event {
    samples::of(event).into_iter().find(|(n, _)| *n == name).expect("a sample of that name").1
}
