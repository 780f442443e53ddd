//! Appends of a whole process, through one producer, merged into as few transactions as they come in.

use crate::settings::Settings;
use crate::transaction::{Failed, Placed, Writer};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use stillhouse_streams::{Append, Error, ErrorKind, Receipt, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Bytes that may wait, in units of [`UNIT`].
const WAITING_UNITS: usize = 64 << 10;
const UNIT: usize = 1 << 10;

/// Bounds of one transaction: what is waiting beyond them goes into the next.
const RECORDS: usize = 20_000;
const BYTES: usize = 16 << 20;

/// How often readers are freed of a transaction that was left open by a failure, while nothing is appended.
const SETTLE: Duration = Duration::from_millis(500);

/// How long an answer may take beyond the time of the call. librdkafka's transactional calls can hang for good when the
/// coordinator moved meanwhile: then the thread and its producer are left behind, and the next append gets new ones. The
/// broker ends what was open.
const WATCHDOG: Duration = Duration::from_secs(60);

/// Hands batches to the thread that writes them.
pub(crate) struct Appender {
    /// The way to the thread, and how many there were before it.
    line: Mutex<(Sender<Job>, u64)>,
    /// Starts a thread.
    start: Box<dyn Fn() -> Result<Sender<Job>> + Send + Sync>,
    room: Arc<Semaphore>,
    timeout: Duration,
    watchdog: Duration,
}

struct Job {
    batch: Vec<Placed>,
    bytes: usize,
    deadline: Instant,
    reply: oneshot::Sender<Result<Vec<Receipt>>>,
    _room: OwnedSemaphorePermit,
}

impl Appender {
    pub(crate) fn start(settings: Arc<Settings>) -> Result<Self> {
        let timeout = settings.options.timeout;
        let start = move || {
            let (jobs, queue) = channel();
            let writer = Writer::new(settings.clone());
            let thread = std::thread::Builder::new().name("stillhouse-kafka-append".to_owned());
            thread
                .spawn(move || work(writer, &queue))
                .map_err(|e| Error::new(ErrorKind::Retry, format!("starting a thread: {e}")))?;
            Ok(jobs)
        };
        Self::with(Box::new(start), timeout, WATCHDOG)
    }

    fn with(
        start: Box<dyn Fn() -> Result<Sender<Job>> + Send + Sync>,
        timeout: Duration,
        watchdog: Duration,
    ) -> Result<Self> {
        let line = Mutex::new((start()?, 0));
        Ok(Self { line, start, room: Arc::new(Semaphore::new(WAITING_UNITS)), timeout, watchdog })
    }

    fn line(&self) -> MutexGuard<'_, (Sender<Job>, u64)> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves the thread of this number behind, unless another call has done so.
    fn give_up(&self, number: u64) -> Result<()> {
        let mut line = self.line();
        if line.1 == number {
            // What waits in its queue is late by now, and is not written even if it wakes up.
            *line = ((self.start)()?, number + 1);
        }
        Ok(())
    }

    /// Waits for room, then for the transaction.
    pub(crate) async fn append(&self, batch: Vec<Placed>) -> Result<Vec<Receipt>> {
        let deadline = Instant::now() + self.timeout;
        let bytes = batch.iter().map(|p| p.append.record.size()).sum::<usize>();
        // One batch larger than all the room takes all of it.
        let units = (bytes / UNIT + batch.len() / 8 + 1).min(WAITING_UNITS);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let room = tokio::time::timeout(self.timeout, self.room.clone().acquire_many_owned(units)).await;
        let Ok(Ok(room)) = room else {
            return Err(Error::new(
                ErrorKind::Unavailable,
                "more appends are waiting for Kafka than there is room for",
            ));
        };
        let (reply, answer) = oneshot::channel();
        let number = {
            let line = self.line();
            line.0.send(Job { batch, bytes, deadline, reply, _room: room }).map_err(|_| closed())?;
            line.1
        };
        match tokio::time::timeout(self.timeout + self.watchdog, answer).await {
            Ok(answer) => answer.map_err(|_| closed())?,
            Err(_) => {
                tracing::error!("a call of librdkafka does not return; its producer is given up");
                self.give_up(number)?;
                let message = "Kafka's client hung in this append: whether it was written is not known";
                Err(Error::new(ErrorKind::Indeterminate, message))
            }
        }
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the journal was closed")
}

fn work(mut writer: Writer, queue: &Receiver<Job>) {
    // The first append should not wait for a handshake; if it fails here, it is tried again there.
    drop(writer.ready(Instant::now() + SETTLE * 10));
    let mut pause = SETTLE;
    loop {
        let first = match queue.recv_timeout(pause) {
            Ok(job) => job,
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                let settled = !writer.is_unsettled() || writer.settle(Instant::now() + SETTLE * 4).is_ok();
                pause = if settled { SETTLE } else { (pause * 2).min(SETTLE * 30) };
                continue;
            }
        };
        pause = SETTLE;
        let (mut records, mut bytes, mut jobs) = (first.batch.len(), first.bytes, vec![first]);
        while records < RECORDS && bytes < BYTES {
            let Ok(job) = queue.try_recv() else { break };
            records += job.batch.len();
            bytes += job.bytes;
            jobs.push(job);
        }
        write(&mut writer, jobs);
    }
}

/// One transaction for all; if the broker refuses a record, one for each, so that only its own batch fails.
fn write(writer: &mut Writer, mut jobs: Vec<Job>) {
    let now = Instant::now();
    jobs.retain_mut(|job| {
        let late = job.deadline <= now;
        if late {
            let message = "Kafka did not take earlier appends in time";
            answer(job, Err(Error::new(ErrorKind::Unavailable, message)));
        }
        !late
    });
    let Some(deadline) = jobs.iter().map(|job| job.deadline).min() else { return };
    let sizes: Vec<usize> = jobs.iter().map(|job| job.batch.len()).collect();
    let all: Vec<Placed> = jobs.iter_mut().flat_map(|job| std::mem::take(&mut job.batch)).collect();
    match writer.write(&all, None, deadline) {
        Ok(receipts) => {
            let mut receipts = receipts.into_iter();
            for (job, size) in jobs.iter_mut().zip(sizes) {
                let own = receipts.by_ref().take(size).collect();
                answer(job, Ok(own));
            }
        }
        Err(Failed { refused: true, .. }) if jobs.len() > 1 => {
            let mut all = all.into_iter();
            for (job, size) in jobs.iter_mut().zip(sizes) {
                let own: Vec<Placed> = all.by_ref().take(size).collect();
                let outcome = writer.write(&own, None, job.deadline).map_err(|failed| failed.error);
                answer(job, outcome);
            }
        }
        Err(Failed { error, .. }) => {
            for job in &mut jobs {
                answer(job, Err(Error::new(error.kind(), error.to_string())));
            }
        }
    }
}

fn answer(job: &mut Job, outcome: Result<Vec<Receipt>>) {
    let (unused, _) = oneshot::channel();
    // Whoever does not wait any more does not want to know.
    drop(std::mem::replace(&mut job.reply, unused).send(outcome));
}

/// Puts records into partitions, after the checks that need no broker.
pub(crate) fn place(
    batch: Vec<Append>,
    max_record_bytes: usize,
    now: i64,
    mut partitions: impl FnMut(&str) -> Result<u32>,
) -> Result<Vec<Placed>> {
    const HOUR: i64 = 3_600_000;
    let mut last: Option<(Arc<str>, u32)> = None;
    let place = |(index, append): (usize, Append)| {
        let count = match &last {
            Some((topic, count)) if Arc::ptr_eq(topic, &append.topic) => *count,
            _ => partitions(&append.topic)?,
        };
        last = Some((append.topic.clone(), count));
        let record = &append.record;
        let key = record.key.as_deref();
        let partition = append.partition.unwrap_or_else(|| stillhouse_streams::partition_for(key, count));
        if partition >= count {
            let message = format!("there is no partition `{}/{partition}`: the topic has {count}", append.topic);
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        if record.size() > max_record_bytes {
            let message = format!("record {index} has {} bytes; {max_record_bytes} are taken", record.size());
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        if record.timestamp > now.saturating_add(HOUR) {
            let ahead = (record.timestamp - now) / 1_000;
            let message = format!("record {index} is dated {ahead} seconds ahead; Kafka takes an hour at most");
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        Ok(Placed { append, partition })
    };
    batch.into_iter().enumerate().map(place).collect()
}

/// Milliseconds since the Unix epoch.
pub(crate) fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use stillhouse_streams::Record;

    fn append(key: &'static [u8], partition: Option<u32>, value: usize, timestamp: i64) -> Append {
        let (key, value) = (Some(Bytes::from_static(key)), Some(vec![0; value].into()));
        Append { topic: "t".into(), partition, record: Record { key, value, timestamp, ..Record::default() } }
    }

    fn placed(append: Append) -> Result<u32> {
        place(vec![append], 100, 1_000, |_| Ok(3)).map(|placed| placed[0].partition)
    }

    /// The thread hangs: its appends may have happened, and those that follow go through another one.
    #[tokio::test]
    async fn a_client_that_hangs_is_given_up() {
        let queues = Arc::new(Mutex::new(Vec::new()));
        let kept = queues.clone();
        let start = move || {
            let (jobs, queue) = channel::<Job>();
            let mut kept = kept.lock().expect("no panic");
            if kept.is_empty() {
                kept.push(queue);
            } else {
                std::thread::spawn(move || queue.iter().for_each(|mut job| answer(&mut job, Ok(Vec::new()))));
            }
            Ok(jobs)
        };
        let appender = Appender::with(Box::new(start), Duration::from_millis(20), Duration::from_millis(20));
        let appender = appender.expect("starts");
        let (one, two) = futures::join!(appender.append(Vec::new()), appender.append(Vec::new()));
        for outcome in [one, two] {
            assert_eq!(outcome.expect_err("hangs").kind(), ErrorKind::Indeterminate);
        }
        appender.append(Vec::new()).await.expect("goes through another");
        assert_eq!(appender.line().1, 1, "one hang, one new thread");
        assert_eq!(queues.lock().expect("no panic")[0].try_iter().count(), 2);
    }

    #[test]
    fn records_go_where_their_key_or_their_producer_says() {
        // murmur2("21") = -973932308, as in Apache Kafka's own test.
        let expected = (-973_932_308_i32 as u32 & 0x7fff_ffff) % 3;
        assert_eq!(placed(append(b"21", None, 1, 0)).expect("legal"), expected);
        assert_eq!(placed(append(b"21", Some(1), 1, 0)).expect("legal"), 1);
    }

    #[test]
    fn what_a_broker_would_refuse_is_refused_before() {
        let kind = |append| placed(append).expect_err("not legal").kind();
        assert_eq!(kind(append(b"a", Some(3), 1, 0)), ErrorKind::Invalid);
        assert_eq!(kind(append(b"a", None, 100, 0)), ErrorKind::TooLarge);
        let late = placed(append(b"a", None, 1, 3_602_000)).expect_err("too far ahead");
        assert_eq!(late.kind(), ErrorKind::Invalid);
        assert!(late.to_string().contains("Kafka takes an hour"), "{late}");
        assert!(placed(append(b"a", None, 1, 3_601_000)).is_ok());
    }
}
