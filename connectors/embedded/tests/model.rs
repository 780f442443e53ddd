//! What a crash test writes, and what it must find.
//!
//! A writer makes numbered batches; each batch puts records into two topics, with its own name, number and size in
//! every one, so that what is found tells which batches are there, whole or in part.

use std::collections::BTreeMap;
use stillhouse_embedded::EmbeddedJournal;
use stillhouse_streams::{Append, Cleanup, ErrorKind, Headers, ID_HEADER, Journal, Record, Stored, TopicSpec};

pub(crate) const TOPICS: [&str; 2] = ["runs", "scores"];
pub(crate) const PARTITIONS: u32 = 2;

pub(crate) async fn ensure(journal: &EmbeddedJournal) {
    let spec = |name: &str| TopicSpec { name: name.to_owned(), partitions: PARTITIONS, cleanup: Cleanup::Keep };
    journal.ensure(&TOPICS.map(spec)).await.expect("topics");
}

/// Batch `number` of `writer`: `count` records, in turn over topics and partitions.
pub(crate) fn batch(writer: &str, number: u64, count: usize, size: usize) -> Vec<Append> {
    let record = |index: usize| {
        let value = format!("{writer} {number} {index} {count} {}", "x".repeat(size));
        let id = format!("{writer}-{number}-{index}");
        Append {
            topic: TOPICS[index % 2].into(),
            partition: Some(index as u32 / 2 % PARTITIONS),
            record: Record {
                key: Some(writer.to_owned().into()),
                value: Some(value.into()),
                headers: Headers::from_pairs([(ID_HEADER, Some(id.as_bytes()))]),
                timestamp: number as i64,
            },
        }
    };
    (0..count).map(record).collect()
}

/// How many records batch `number` has.
pub(crate) fn count(number: u64) -> usize {
    1 + (number as usize * 7) % 23
}

/// Appends batches and says each one that was answered.
pub(crate) async fn append_forever(journal: &EmbeddedJournal, writer: &str) {
    ensure(journal).await;
    for number in 0.. {
        loop {
            match journal.append(batch(writer, number, count(number), 300)).await {
                Ok(_) => break,
                // Another process writes: the same again.
                Err(e) if e.kind() == ErrorKind::Retry => {}
                Err(e) => panic!("{e}"),
            }
        }
        crate::child::say(&format!("ack {writer} {number}"));
    }
}

/// Per writer: which indices of which batch were found, and how many there should be.
#[derive(Debug, Default)]
pub(crate) struct Found(BTreeMap<(String, u64), (Vec<usize>, usize)>);

impl Found {
    /// Batches of a writer that are there.
    pub(crate) fn batches(&self, writer: &str) -> Vec<u64> {
        self.0.keys().filter(|(name, _)| name == writer).map(|(_, number)| *number).collect()
    }
}

/// Reads a partition to its end.
pub(crate) async fn drain(
    journal: &dyn Journal,
    topic: &str,
    partition: u32,
) -> stillhouse_streams::Result<Vec<Stored>> {
    let mut scan = journal.scan(topic, partition, 0, None).await?;
    let mut all = Vec::new();
    loop {
        let page = scan.next(1_000).await?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

/// Reads everything; whatever is torn, doubled, out of order or not dense is an error in words.
pub(crate) async fn check(journal: &EmbeddedJournal) -> Result<Found, String> {
    let mut found = Found::default();
    let topics = journal.topics().await.map_err(|e| e.to_string())?;
    for state in &topics {
        for (number, bounds) in (0..).zip(&state.partitions) {
            let records = drain(journal, &state.spec.name, number).await.map_err(|e| e.to_string())?;
            let offsets: Vec<u64> = records.iter().map(|stored| stored.offset).collect();
            if offsets != (bounds.start..bounds.end).collect::<Vec<_>>() {
                return Err(format!("{}/{number}: offsets are not dense: {offsets:?}", state.spec.name));
            }
            let mut last: BTreeMap<String, (u64, usize)> = BTreeMap::new();
            for stored in &records {
                let value = String::from_utf8_lossy(stored.record.value.as_deref().unwrap_or_default()).into_owned();
                let mut words = value.split(' ');
                let mut word = || words.next().ok_or_else(|| format!("foreign record {value:.40}"));
                let writer = word()?.to_owned();
                let mut parsed = || word()?.parse::<u64>().map_err(|e| format!("{value:.40}: {e}"));
                let (batch, index, count) = (parsed()?, parsed()? as usize, parsed()? as usize);
                let place = (batch, index);
                if last.insert(writer.clone(), place).is_some_and(|before| before >= place) {
                    return Err(format!("{writer} {batch} {index} is out of order or doubled"));
                }
                let entry = found.0.entry((writer, batch)).or_insert((Vec::new(), count));
                entry.0.push(index);
            }
        }
    }
    for ((writer, batch), (indices, count)) in &mut found.0 {
        indices.sort_unstable();
        if *indices != (0..*count).collect::<Vec<_>>() {
            return Err(format!("batch {batch} of {writer} is torn: {indices:?} of {count}"));
        }
    }
    Ok(found)
}

/// The highest batch that was answered, per writer, from what children said.
pub(crate) fn acknowledged(said: &[String]) -> BTreeMap<String, u64> {
    let mut acks = BTreeMap::new();
    for line in said {
        let mut words = line.split(' ');
        if words.next() == Some("ack")
            && let (Some(writer), Some(Ok(number))) = (words.next(), words.next().map(str::parse::<u64>))
        {
            acks.insert(writer.to_owned(), number);
        }
    }
    acks
}

/// Everything answered is there, and what is there has no gap.
pub(crate) fn compare(found: &Found, acks: &BTreeMap<String, u64>) -> Result<(), String> {
    for (writer, last) in acks {
        let batches = found.batches(writer);
        if batches != (0..batches.len() as u64).collect::<Vec<_>>() {
            return Err(format!("batches of {writer} have gaps: {batches:?}"));
        }
        if batches.len() as u64 <= *last {
            return Err(format!("batch {last} of {writer} was answered, {} batches are there", batches.len()));
        }
    }
    Ok(())
}
