//! What every request gets around it: its turn, further tries, and a provider that is left alone when it keeps failing.

use crate::Options;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use stillhouse_schemas::model::ModelError;
use tokio::sync::Semaphore;

/// What may be asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    /// What was not worked on.
    Undone,
    /// What may have been worked on too: where the same answer comes of it, and costs next to nothing.
    Anything,
}

#[derive(Debug)]
pub(crate) struct Steady {
    host: String,
    again: Again,
    options: Options,
    turns: Semaphore,
    breaker: Mutex<Breaker>,
}

/// Failures in a row, and until when nobody is asked.
#[derive(Debug, Default)]
struct Breaker {
    failures: u32,
    open_until: Option<Instant>,
}

impl Steady {
    pub(crate) fn new(host: &str, again: Again, options: &Options) -> Self {
        let turns = Semaphore::new(options.concurrency.max(1));
        Self { host: host.to_owned(), again, options: options.clone(), turns, breaker: Mutex::default() }
    }

    /// Asks until there is an answer, a refusal for good, or no use in asking on; how often it was asked, beside it.
    pub(crate) async fn run<T, F>(&self, ask: impl Fn() -> F + Send + Sync) -> Result<(T, u32), ModelError>
    where
        T: Send,
        F: Future<Output = Result<T, ModelError>> + Send,
    {
        let mut attempt = 0;
        loop {
            attempt += 1;
            self.admit()?;
            let answer = {
                let _turn = self.turns.acquire().await.map_err(|e| ModelError::Never(e.to_string()))?;
                ask().await
            };
            // A refusal that is the request's own fault says that the provider is well.
            self.note(!matches!(answer, Err(ModelError::Retry { .. } | ModelError::Unknown(_))));
            let (what, after) = match answer {
                Ok(answer) => return Ok((answer, attempt)),
                Err(ModelError::Retry { what, after }) => (what, after),
                Err(ModelError::Unknown(what)) if self.again == Again::Anything => (what, None),
                Err(error) => return Err(error),
            };
            let wait = if attempt < self.options.attempts { self.wait(attempt, after) } else { None };
            let Some(wait) = wait else {
                return Err(ModelError::Retry { what: format!("{what} (tried {attempt} times)"), after });
            };
            tracing::debug!(host = self.host, attempt, what, "asking again");
            tokio::time::sleep(wait).await;
        }
    }

    /// Whether the provider may be asked. Of those that come when the time is over, one goes first.
    fn admit(&self) -> Result<(), ModelError> {
        let mut breaker = self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match breaker.open_until {
            Some(until) if until > now => {
                let (host, failures) = (&self.host, breaker.failures);
                let what = format!("{host} failed {failures} times in a row and is left alone for a while");
                Err(ModelError::Retry { what, after: Some(until - now) })
            }
            Some(_) => {
                breaker.open_until = Some(now + self.options.cool_down);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn note(&self, answered: bool) {
        let mut breaker = self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        if answered {
            *breaker = Breaker::default();
            return;
        }
        breaker.failures = breaker.failures.saturating_add(1);
        if breaker.failures >= self.options.trip_after.max(1) {
            breaker.open_until = Some(Instant::now() + self.options.cool_down);
        }
    }

    /// The wait before try number `attempt + 1`; nothing if it would be too long.
    fn wait(&self, attempt: u32, after: Option<Duration>) -> Option<Duration> {
        let doubled = self.options.backoff.saturating_mul(1 << (attempt - 1).min(16)).min(self.options.longest_wait);
        // Between half of it and the whole: those that failed together do not come back together.
        let jittered = doubled.mul_f64(rand::random_range(0.5..=1.0));
        let wait = after.map_or(jittered, |after| after.max(jittered));
        (wait <= self.options.longest_wait).then_some(wait)
    }
}
