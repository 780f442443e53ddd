//! What benchmarks append: filler records of one size, and synthetic runs.

use crate::Global;
use crate::context::Context;
use crate::failure::{Failure, Outcome, Status};
use bytes::Bytes;
use std::sync::Arc;
use stillhouse_processors::wire;
use stillhouse_schemas::{Codec, Envelope, Event, Message, Outcome as RunOutcome, Payload, Producer, Run, ids};
use stillhouse_streams::{Append, Headers, ID_HEADER, NOW, Record};

/// Values to fill records with: made once, so that making records costs next to nothing.
#[derive(Clone)]
pub struct Filler {
    topic: Arc<str>,
    values: Arc<Vec<Bytes>>,
}

impl Filler {
    /// For records of `topic` whose key, value and headers make up about `size` bytes.
    pub fn new(topic: &Arc<str>, size: usize) -> Self {
        // A live id with its header, and the key.
        let rest = size.saturating_sub(47 + 12).max(1);
        // Not one byte repeated: compression, where there is one, should have work as it has with events.
        let letter = |n: usize, i: usize| b'a' + ((n.wrapping_mul(31) ^ i.wrapping_mul(7)) % 26) as u8;
        let value = |n: usize| Bytes::from((0..rest).map(|i| letter(n, i)).collect::<Vec<u8>>());
        Self { topic: topic.clone(), values: Arc::new((0..64).map(value).collect()) }
    }

    /// Records with live ids, from number `from` on.
    pub fn records(&self, from: usize, count: usize) -> Vec<Append> {
        let record = |number: usize| Record {
            key: Some(Bytes::from(format!("key-{:08}", number % 100_000))),
            value: Some(self.values[number % self.values.len()].clone()),
            headers: Headers::from_pairs([(ID_HEADER, Some(ids::live().as_bytes()))]),
            timestamp: NOW,
        };
        (from..from + count).map(|n| Append { topic: self.topic.clone(), partition: None, record: record(n) }).collect()
    }
}

/// Synthetic runs of ten short messages, about 2.6 kB each as JSON, encoded.
pub fn runs(topic: &Arc<str>, codec: &Codec, from: usize, count: usize) -> Outcome<Vec<Append>> {
    runs_with_reward(topic, codec, from, count, |number| [1.0, 0.5, 0.0][number % 3])
}

/// The same, rewarded otherwise.
pub fn runs_with_reward(
    topic: &Arc<str>,
    codec: &Codec,
    from: usize,
    count: usize,
    reward: fn(usize) -> f64,
) -> Outcome<Vec<Append>> {
    (from..from + count)
        .map(|number| {
            wire::append(topic.clone(), codec, &run(number, reward(number)))
                .map_err(|e| Failure::new(Status::Failed, e.to_string()))
        })
        .collect()
}

fn run(number: usize, reward: f64) -> Event {
    let run_id = format!("bench-{number:09}");
    let turn = |role: &str, n: usize| Message {
        role: role.into(),
        content: Some(format!(
            "{role} {n} of run {number}: {}",
            "a sentence of the sample, plainly made up; ".repeat(5)
        )),
        ..Message::default()
    };
    let messages = (0..5).flat_map(|n| [turn("user", n), turn("assistant", n)]).collect();
    Event {
        envelope: Envelope {
            id: ids::imported("stillhouse/bench", &run_id),
            key: run_id.clone(),
            occurred_at: 1_767_600_000_000_000 + number as i64 * 1_000,
            producer: Producer { name: "bench".into(), version: "1".into(), ..Producer::default() },
            ..Envelope::default()
        },
        payload: Payload::Run(Run {
            run_id,
            source_class: Some("chat".into()),
            task_key: Some(format!("task {}", number / 4)),
            model: Some("sample-model".into()),
            messages,
            outcome: RunOutcome { reward: Some(reward), ..RunOutcome::default() },
            finish_reason: Some("stop".into()),
            ..Run::default()
        }),
    }
}

/// A context that meets nothing else: on a journal of its own that goes with the directory, or under an instance of its
/// own on the journal that was asked for.
pub async fn aside(global: &Global, flags: &[(&str, String)]) -> Outcome<(Context, Scratch)> {
    let mut loaded = global.load(flags)?;
    let scratch = Scratch::new(&loaded.settings.data)?;
    if loaded.settings.journal.is_empty() {
        loaded.settings.journal = format!("embedded:{}", scratch.path().join("journal").display());
    } else {
        loaded.settings.instance = format!("bench-{}", std::process::id());
    }
    Ok((Context::open(loaded, global.output()).await?, scratch))
}

/// A directory that is gone when the benchmark ends, on the disk that data would be on.
pub struct Scratch(std::path::PathBuf);

impl Scratch {
    /// Makes it under `parent`.
    pub fn new(parent: &std::path::Path) -> Outcome<Self> {
        let path = parent.join(format!("bench-{}", std::process::id()));
        crate::context::make_dir(&path)?;
        Ok(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &std::path::Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
