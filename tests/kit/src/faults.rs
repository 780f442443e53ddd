//! Journals that fail on purpose: a wrapper that asks a plan what should become of each call.

use async_trait::async_trait;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use stillhouse_streams::{
    Append, Batch, BatchLimits, Error, ErrorKind, GroupSpec, Journal, Progress, Receipt, Result, Scan, Session, Stored,
    Wraps,
};

use crate::dice::Dice;

/// A call that a plan may disturb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// [`Journal::append`].
    Append,
    /// [`Session::commit`].
    Commit,
    /// [`Session::next`].
    Next,
    /// [`Session::rewind`].
    Rewind,
    /// [`Scan::next`].
    Scan,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is passed on.
    Pass,
    /// It fails, and the journal never hears of it.
    FailBefore(ErrorKind),
    /// The journal does it, and the caller is told that it failed.
    FailAfter(ErrorKind),
    /// It is passed on after this long.
    Delay(Duration),
}

/// Decides the outcome of each call, in the order in which they are made.
pub type Plan = Arc<dyn Fn(Call) -> Outcome + Send + Sync>;

/// A journal, and what should go wrong with it.
#[derive(Clone)]
pub struct Faulty {
    journal: Arc<dyn Journal>,
    plan: Plan,
}

impl Faulty {
    /// `journal`, disturbed by `plan`.
    pub fn new(journal: Arc<dyn Journal>, plan: impl Fn(Call) -> Outcome + Send + Sync + 'static) -> Self {
        Self { journal, plan: Arc::new(plan) }
    }

    /// One commit or append in `n` has an unknown outcome: half of those happened, half did not.
    pub fn unknown(journal: Arc<dyn Journal>, seed: u64, n: u64) -> Self {
        let dice = Mutex::new(Dice::new(seed));
        Self::new(journal, move |call| {
            let mut dice = dice.lock().unwrap_or_else(PoisonError::into_inner);
            match call {
                Call::Append | Call::Commit if dice.one_in(n) => match dice.one_in(2) {
                    true => Outcome::FailBefore(ErrorKind::Indeterminate),
                    false => Outcome::FailAfter(ErrorKind::Indeterminate),
                },
                _ => Outcome::Pass,
            }
        })
    }

    /// Appends and commits find no space while `full` is set; reads go on.
    pub fn full(journal: Arc<dyn Journal>, full: Arc<AtomicBool>) -> Self {
        Self::new(journal, move |call| match call {
            Call::Append | Call::Commit if full.load(Ordering::SeqCst) => Outcome::FailBefore(ErrorKind::Full),
            _ => Outcome::Pass,
        })
    }

    /// Appends and commits take `delay` longer.
    pub fn slow(journal: Arc<dyn Journal>, delay: Duration) -> Self {
        Self::new(journal, move |call| match call {
            Call::Append | Call::Commit => Outcome::Delay(delay),
            _ => Outcome::Pass,
        })
    }
}

/// Makes the call that `plan` allows.
async fn disturbed<T>(plan: &Plan, call: Call, made: impl Future<Output = Result<T>>) -> Result<T> {
    let failure = |kind, what| Err(Error::new(kind, format!("made to fail {what} {call:?}")));
    match plan(call) {
        Outcome::Pass => made.await,
        Outcome::FailBefore(kind) => failure(kind, "before"),
        Outcome::FailAfter(kind) => {
            made.await?;
            failure(kind, "after")
        }
        Outcome::Delay(delay) => {
            tokio::time::sleep(delay).await;
            made.await
        }
    }
}

#[async_trait]
impl Wraps for Faulty {
    fn wrapped(&self) -> &dyn Journal {
        self.journal.as_ref()
    }

    async fn append(&self, batch: Vec<Append>) -> Result<Vec<Receipt>> {
        disturbed(&self.plan, Call::Append, self.journal.append(batch)).await
    }

    async fn scan(&self, topic: &str, partition: u32, from: u64, until: Option<u64>) -> Result<Box<dyn Scan>> {
        let scan = self.journal.scan(topic, partition, from, until).await?;
        Ok(Box::new(FaultyScan { scan, plan: self.plan.clone() }))
    }

    async fn join(&self, spec: &GroupSpec) -> Result<Box<dyn Session>> {
        let session = self.journal.join(spec).await?;
        Ok(Box::new(FaultySession { session, plan: self.plan.clone() }))
    }
}

struct FaultyScan {
    scan: Box<dyn Scan>,
    plan: Plan,
}

#[async_trait]
impl Scan for FaultyScan {
    async fn next(&mut self, max: usize) -> Result<Vec<Stored>> {
        disturbed(&self.plan, Call::Scan, self.scan.next(max)).await
    }
}

struct FaultySession {
    session: Box<dyn Session>,
    plan: Plan,
}

#[async_trait]
impl Session for FaultySession {
    async fn next(&mut self, limits: &BatchLimits) -> Result<Batch> {
        disturbed(&self.plan, Call::Next, self.session.next(limits)).await
    }

    async fn commit(&mut self, outputs: Vec<Append>, progress: &Progress) -> Result<Vec<Receipt>> {
        disturbed(&self.plan, Call::Commit, self.session.commit(outputs, progress)).await
    }

    async fn rewind(&mut self) -> Result<()> {
        disturbed(&self.plan, Call::Rewind, self.session.rewind()).await
    }

    fn assignment(&self) -> Vec<(Arc<str>, u32)> {
        self.session.assignment()
    }

    async fn leave(self: Box<Self>) -> Result<()> {
        self.session.leave().await
    }
}
