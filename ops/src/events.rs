//! Reading whole topics as events, page by page.

use crate::context::Context;
use crate::failure::Outcome;
use crate::generations;
use stillhouse_processors::wire;
use stillhouse_schemas::{Codec, CodecError, Event};
use stillhouse_streams::Journal;
use stillhouse_streams::generation::Names;
use stillhouse_streams::runner::ends;
use stillhouse_streams::{Position, Progress, Received, Stored};

/// Records of a page.
const PAGE: usize = 2_000;

/// What a record turned out to be.
pub enum Read {
    /// An event.
    Event(Box<Event>),
    /// An event whose subject's key was destroyed.
    Erased,
    /// No event: the error says why.
    Unreadable(CodecError),
}

/// What reading and appending events needs: of a command's context, or of the API's state.
#[derive(Clone, Copy)]
pub struct Log<'a> {
    /// The journal.
    pub journal: &'a dyn Journal,
    /// Encodes and decodes events.
    pub codec: &'a Codec,
    /// Names of this instance's topics.
    pub names: &'a Names,
}

impl<'a> From<&'a Context> for Log<'a> {
    fn from(context: &'a Context) -> Self {
        Self { journal: context.journal.as_ref(), codec: &context.codec, names: &context.names }
    }
}

/// Every record of some topics up to a cut, topic by topic, partition by partition.
pub struct Records<'a> {
    log: Log<'a>,
    todo: Vec<(std::sync::Arc<str>, u32, u64)>,
    scan: Option<(std::sync::Arc<str>, u32, Box<dyn stillhouse_streams::Scan>)>,
}

impl<'a> Records<'a> {
    /// All that is in `topics` now.
    pub async fn of(log: impl Into<Log<'a>>, topics: &[String]) -> Outcome<Records<'a>> {
        let log = log.into();
        let cut = ends(log.journal, topics).await?;
        Ok(Self::until(log, &cut))
    }

    /// All that is below a cut, in its order of topics.
    pub fn until(log: impl Into<Log<'a>>, cut: &Progress) -> Self {
        let mut todo: Vec<_> = cut.iter().map(|(t, p, end)| (t.clone(), p, end)).collect();
        todo.reverse();
        Self { log: log.into(), todo, scan: None }
    }

    /// A range of one partition.
    pub async fn between(
        context: &'a Context,
        topic: &str,
        partition: u32,
        range: std::ops::Range<u64>,
    ) -> Outcome<Records<'a>> {
        let scan = context.journal.scan(topic, partition, range.start, Some(range.end)).await?;
        Ok(Self { log: context.into(), todo: Vec::new(), scan: Some((std::sync::Arc::from(topic), partition, scan)) })
    }

    /// The next records; none when all have been given.
    pub async fn page(&mut self) -> Outcome<Option<Vec<Received>>> {
        loop {
            if let Some((topic, partition, scan)) = &mut self.scan {
                let page = scan.next(PAGE).await?;
                if page.is_empty() {
                    self.scan = None;
                    continue;
                }
                let received = |stored: Stored| Received {
                    position: Position::new(topic.clone(), *partition, stored.offset),
                    record: stored.record,
                };
                return Ok(Some(page.into_iter().map(received).collect()));
            }
            let Some((topic, partition, end)) = self.todo.pop() else { return Ok(None) };
            let scan = self.log.journal.scan(&topic, partition, 0, Some(end)).await?;
            self.scan = Some((topic, partition, scan));
        }
    }

    /// The next events with their positions; tombstones are left out.
    pub async fn events(&mut self) -> Outcome<Option<Vec<(Position, Read)>>> {
        let Some(page) = self.page().await? else { return Ok(None) };
        let read = |received: Received| {
            let read = match wire::received(self.log.codec, &received) {
                Ok(None) => return None,
                Ok(Some(event)) => Read::Event(Box::new(event)),
                Err(CodecError::Erased { .. }) => Read::Erased,
                Err(error) => Read::Unreadable(error),
            };
            Some((received.position, read))
        };
        Ok(Some(page.into_iter().filter_map(read).collect()))
    }
}

/// The record at a position, if it is still there.
pub async fn at<'a>(log: impl Into<Log<'a>>, position: &Position) -> Outcome<Option<Received>> {
    let mut scan = log
        .into()
        .journal
        .scan(&position.topic, position.partition, position.offset, Some(position.offset + 1))
        .await?;
    let stored = scan.next(1).await?.pop().filter(|s| s.offset == position.offset);
    Ok(stored.map(|s| Received { position: position.clone(), record: s.record }))
}

/// Where an id stands: by the journal's index, or else by looking through every topic of this instance.
pub async fn find(context: &Context, id: &str) -> Outcome<Option<Received>> {
    if let Some(position) = context.journal.find(id).await? {
        return at(context, &position).await;
    }
    let mut records = Records::of(context, &own_topics(context).await?).await?;
    while let Some(page) = records.page().await? {
        if let Some(found) = page.into_iter().find(|r| r.record.id() == Some(id)) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Where the events stand that were recorded of a run: the first, and what corrected it.
pub async fn of_run(context: &Context, run_id: &str) -> Outcome<Vec<Received>> {
    let mut found = Vec::new();
    let mut topics = vec![context.names.topic("runs")];
    topics.extend(generations::load(context, None).await?.physical("traces"));
    let existing = own_topics(context).await?;
    topics.retain(|topic| existing.contains(topic));
    let mut records = Records::of(context, &topics).await?;
    while let Some(page) = records.page().await? {
        found.extend(page.into_iter().filter(|r| r.record.key.as_deref() == Some(run_id.as_bytes())));
    }
    Ok(found)
}

/// The physical topics of this instance.
pub async fn own_topics(context: &Context) -> Outcome<Vec<String>> {
    let all = context.journal.topics().await?;
    Ok(all.into_iter().map(|t| t.spec.name).filter(|name| context.names.owns(name)).collect())
}
