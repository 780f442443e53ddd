//! Appending that does not give up: waits where waiting helps, splits what is too large, and leaves out what the journal
//! will never take.

use std::sync::Arc;
use std::time::Duration;
use stillhouse_streams::{Append, Error, ErrorKind, Journal, Receipt};
use tokio_util::sync::CancellationToken;

const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Where remarks about waiting go.
pub(crate) type Voice = Arc<dyn Fn(&str) + Send + Sync>;

/// What became of a record.
#[derive(Clone, Debug)]
pub(crate) enum Settled {
    /// It stands in the journal.
    Stands(Receipt),
    /// The journal will never take it.
    Refused(String),
    /// The command was told to stop before the journal could take it; it may or may not stand there.
    Unsent,
}

/// Appends batches until each record is settled.
pub(crate) struct Appender {
    journal: Arc<dyn Journal>,
    voice: Voice,
    stop: CancellationToken,
    first_wait: Duration,
}

impl Appender {
    pub(crate) fn new(journal: Arc<dyn Journal>, voice: Voice, stop: CancellationToken) -> Self {
        Self { journal, voice, stop, first_wait: FIRST_WAIT }
    }

    /// Appends a batch; one answer a record, in order. An error is one that neither waiting nor splitting helps against.
    pub(crate) async fn append(&self, batch: Vec<Append>) -> Result<Vec<Settled>, Error> {
        let mut settled: Vec<Option<Settled>> = vec![None; batch.len()];
        let mut todo: Vec<Vec<(usize, Append)>> = vec![batch.into_iter().enumerate().collect()];
        let mut wait = self.first_wait;
        while let Some(mut part) = todo.pop() {
            if part.is_empty() {
                continue;
            }
            let error = match self.journal.append(part.iter().map(|(_, append)| append.clone()).collect()).await {
                Ok(receipts) => {
                    wait = self.first_wait;
                    for ((index, _), receipt) in part.iter().zip(receipts) {
                        settled[*index] = Some(Settled::Stands(receipt));
                    }
                    continue;
                }
                Err(error) => error,
            };
            match error.kind() {
                // Ids make it harmless to append again what may stand there already.
                ErrorKind::Retry | ErrorKind::Unavailable | ErrorKind::Full | ErrorKind::Indeterminate => {
                    if wait > 3 * self.first_wait || error.kind() == ErrorKind::Full {
                        (self.voice)(&format!("waiting for the journal: {error}"));
                    }
                    todo.push(part);
                    tokio::select! {
                        () = self.stop.cancelled() => break,
                        () = tokio::time::sleep(wait) => wait = (wait * 2).min(LONGEST_WAIT),
                    }
                }
                ErrorKind::Conflict | ErrorKind::TooLarge if part.len() == 1 => {
                    for (index, append) in part {
                        settled[index] = Some(Settled::Refused(refusal(&error, &append)));
                    }
                }
                ErrorKind::Conflict if !error.conflicts().is_empty() => {
                    let mut conflicts = error.conflicts().to_vec();
                    conflicts.sort_unstable();
                    conflicts.dedup();
                    for at in conflicts.into_iter().rev().filter(|at| *at < part.len()).collect::<Vec<_>>() {
                        let (index, append) = part.remove(at);
                        settled[index] = Some(Settled::Refused(refusal(&error, &append)));
                    }
                    todo.push(part);
                }
                ErrorKind::Conflict | ErrorKind::TooLarge => {
                    let rest = part.split_off(part.len() / 2);
                    todo.push(rest);
                    todo.push(part);
                }
                _ => return Err(error),
            }
        }
        Ok(settled.into_iter().map(|s| s.unwrap_or(Settled::Unsent)).collect())
    }
}

fn refusal(error: &Error, append: &Append) -> String {
    if error.kind() == ErrorKind::Conflict {
        let id = append.record.id().unwrap_or_default();
        return format!(
            "the journal has event {id} with other content: the source changed under the same key, or the mapping did; what stands there stays"
        );
    }
    format!("{error}; the journal takes no larger record")
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;
    use std::sync::Mutex;
    use stillhouse_streams::memory::MemoryJournal;
    use stillhouse_streams::*;

    /// Answers with the errors it was given, one an append, before the journal behind it is asked.
    struct Faulty {
        inner: MemoryJournal,
        faults: Mutex<Vec<ErrorKind>>,
    }

    #[async_trait]
    impl Wraps for Faulty {
        fn wrapped(&self) -> &dyn Journal {
            &self.inner
        }

        async fn append(&self, batch: Vec<Append>) -> Result<Vec<Receipt>> {
            let fault = self.faults.lock().unwrap().pop();
            match fault {
                // It happened, and nobody was told.
                Some(ErrorKind::Indeterminate) => {
                    self.inner.append(batch).await?;
                    Err(Error::new(ErrorKind::Indeterminate, "who knows"))
                }
                Some(kind) => Err(Error::new(kind, "fault")),
                None => self.inner.append(batch).await,
            }
        }
    }

    fn record(id: &str, value: &str) -> Append {
        let headers = Headers::from_pairs([(ID_HEADER, Some(id.as_bytes()))]);
        let record = Record { key: Some("k".into()), value: Some(value.to_owned().into()), headers, timestamp: 0 };
        Append { topic: "runs".into(), partition: None, record }
    }

    async fn appender(faults: &[ErrorKind]) -> (Appender, Arc<Mutex<Vec<String>>>, CancellationToken) {
        let inner = MemoryJournal::default();
        inner.ensure(&[TopicSpec { name: "runs".into(), partitions: 2, cleanup: Cleanup::Keep }]).await.unwrap();
        let journal = Arc::new(Faulty { inner, faults: Mutex::new(faults.to_vec()) });
        let said = Arc::new(Mutex::new(Vec::new()));
        let (heard, stop) = (said.clone(), CancellationToken::new());
        let voice: Voice = Arc::new(move |text: &str| heard.lock().unwrap().push(text.to_owned()));
        let appender = Appender { first_wait: Duration::from_millis(1), ..Appender::new(journal, voice, stop.clone()) };
        (appender, said, stop)
    }

    fn shape(settled: &[Settled]) -> String {
        let letter = |s: &Settled| match s {
            Settled::Stands(receipt) if receipt.duplicate => 'd',
            Settled::Stands(_) => 'n',
            Settled::Refused(_) => 'r',
            Settled::Unsent => 'u',
        };
        settled.iter().map(letter).collect()
    }

    #[tokio::test]
    async fn waits_where_waiting_helps_and_says_so() {
        use ErrorKind::{Full, Indeterminate, Retry, Unavailable};
        let (appender, said, _) = appender(&[Retry, Unavailable, Full]).await;
        let settled = appender.append(vec![record("a", "1"), record("b", "2")]).await.unwrap();
        assert_eq!(shape(&settled), "nn");
        assert!(said.lock().unwrap().iter().any(|s| s.contains("waiting for the journal")));

        let (appender, ..) = self::appender(&[Indeterminate]).await;
        let settled = appender.append(vec![record("a", "1")]).await.unwrap();
        assert_eq!(shape(&settled), "d", "it had happened, and the repetition is recognised");
    }

    #[tokio::test]
    async fn conflicts_are_left_out_and_the_rest_goes_in() {
        let (appender, ..) = appender(&[]).await;
        appender.append(vec![record("a", "1"), record("b", "1")]).await.unwrap();
        let batch = vec![record("x", "1"), record("a", "2"), record("b", "1"), record("y", "1"), record("y", "2")];
        assert_eq!(shape(&appender.append(batch).await.unwrap()), "nrdnr");
    }

    #[tokio::test]
    async fn too_large_a_batch_is_split_and_too_large_a_record_refused() {
        let (appender, ..) = appender(&[ErrorKind::TooLarge, ErrorKind::TooLarge]).await;
        let batch = (0..8).map(|i| record(&format!("r{i}"), "1")).collect();
        assert_eq!(shape(&appender.append(batch).await.unwrap()), "nnnnnnnn");

        let large = "x".repeat(appender.journal.max_record_bytes() + 1);
        let batch = vec![record("p", "1"), record("q", &large), record("s", "1")];
        assert_eq!(shape(&appender.append(batch).await.unwrap()), "nrn");
    }

    #[tokio::test]
    async fn being_told_to_stop_ends_the_waiting() {
        let (appender, _, stop) = appender(&[ErrorKind::Unavailable; 64]).await;
        stop.cancel();
        assert_eq!(shape(&appender.append(vec![record("a", "1")]).await.unwrap()), "u");
    }

    #[tokio::test]
    async fn what_nothing_helps_against_is_an_error() {
        let (appender, ..) = appender(&[ErrorKind::Corrupt]).await;
        let error = appender.append(vec![record("a", "1")]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
    }
}
