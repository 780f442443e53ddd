//! A member of a group, as the contract sees it: the handle of a [`Member`]'s thread.

use crate::journal::Partitions;
use crate::member::{Answer, Command, Member, Shared};
use crate::settings::Settings;
use async_trait::async_trait;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use stillhouse_streams::{Append, Batch, BatchLimits, Error, ErrorKind, GroupSpec, Progress, Receipt, Result, Session};
use tokio::sync::oneshot;

/// How long leaving may take before the consumer is left to its own devices.
const LEAVE: Duration = Duration::from_secs(5);

/// How long a call may take beyond what it was given. librdkafka's transactional calls can hang for good when the
/// coordinator moved meanwhile (seen in `send_offsets_to_transaction`, whatever its timeout): the session is given up
/// then, and its thread left behind. The broker ends the transaction and, since nobody polls, the membership.
const WATCHDOG: Duration = Duration::from_secs(60);

pub(crate) struct KafkaSession {
    commands: Sender<Command>,
    shared: Arc<Shared>,
}

impl KafkaSession {
    pub(crate) async fn join(
        settings: Arc<Settings>,
        partitions: Arc<Partitions>,
        spec: GroupSpec,
    ) -> Result<Box<dyn Session>> {
        let (commands, queue) = channel();
        let shared = Arc::new(Shared::default());
        let (joined, answer) = oneshot::channel();
        let waker = commands.clone();
        let seen = shared.clone();
        let thread = std::thread::Builder::new().name("stillhouse-kafka-member".to_owned());
        thread
            .spawn(move || match Member::join(settings, partitions, spec, seen, waker) {
                Ok(member) => {
                    if joined.send(Ok(())).is_ok() {
                        member.serve(&queue);
                    }
                }
                Err(error) => drop(joined.send(Err(error))),
            })
            .map_err(|e| Error::new(ErrorKind::Retry, format!("starting a thread: {e}")))?;
        watched(Duration::ZERO, answer).await?;
        Ok(Box::new(Self { commands, shared }))
    }

    async fn ask<T>(&self, within: Duration, command: impl FnOnce(Answer<T>) -> Command) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).map_err(|_| gone())?;
        watched(within, answer).await
    }
}

/// Waits for the thread's answer, and not for ever.
async fn watched<T>(within: Duration, answer: oneshot::Receiver<Result<T>>) -> Result<T> {
    match tokio::time::timeout(within + WATCHDOG, answer).await {
        Ok(answer) => answer.map_err(|_| gone())?,
        Err(_) => Err(Error::new(ErrorKind::Closed, format!("a call of librdkafka did not return in {WATCHDOG:?}"))),
    }
}

fn gone() -> Error {
    Error::new(ErrorKind::Closed, "the session's thread has ended")
}

#[async_trait]
impl Session for KafkaSession {
    async fn next(&mut self, limits: &BatchLimits) -> Result<Batch> {
        self.ask(limits.wait, |reply| Command::Next(limits.clone(), reply)).await
    }

    async fn commit(&mut self, mut outputs: Vec<Append>, progress: &Progress) -> Result<Vec<Receipt>> {
        stillhouse_streams::stamp(&mut outputs);
        self.ask(Duration::ZERO, |reply| Command::Commit(outputs, progress.clone(), reply)).await
    }

    async fn rewind(&mut self) -> Result<()> {
        self.ask(Duration::ZERO, Command::Rewind).await
    }

    fn assignment(&self) -> Vec<(Arc<str>, u32)> {
        self.shared.owned.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn leave(self: Box<Self>) -> Result<()> {
        match tokio::time::timeout(LEAVE, self.ask(Duration::ZERO, Command::Leave)).await {
            Ok(outcome) => outcome,
            // Its brokers are gone; they will notice the missing heartbeats when they are back.
            Err(_) => Ok(()),
        }
    }
}

/// The thread ends when its last command was taken: dropping the handle sends an ending that outlives nobody.
impl Drop for KafkaSession {
    fn drop(&mut self) {
        let (reply, _) = oneshot::channel();
        drop(self.commands.send(Command::Leave(reply)));
    }
}
