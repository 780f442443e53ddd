//! Waiting before trying again: exponential, capped, with full jitter.

use rand::Rng;
use std::time::Duration;

/// When to try again, and how often.
#[derive(Clone, Debug)]
pub struct RetryPolicy {
    /// Upper bound of the first wait.
    pub first: Duration,
    /// Upper bound of every wait.
    pub most: Duration,
    /// Tries before a transient fault of a record becomes a dead letter.
    pub attempts: u32,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { first: Duration::from_millis(50), most: Duration::from_secs(30), attempts: 8 }
    }
}

/// The waits of one trouble.
#[derive(Debug)]
pub struct Backoff {
    policy: RetryPolicy,
    tried: u32,
}

impl Backoff {
    /// Starts with the policy's first wait.
    pub fn new(policy: &RetryPolicy) -> Self {
        Self { policy: policy.clone(), tried: 0 }
    }

    /// The next wait: between half and all of a bound that doubles each time.
    pub fn wait(&mut self) -> Duration {
        let bound = self.policy.first.saturating_mul(1 << self.tried.min(20)).min(self.policy.most);
        self.tried += 1;
        bound.mul_f64(rand::rng().random_range(0.5..=1.0))
    }

    /// The trouble is over.
    pub fn reset(&mut self) {
        self.tried = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_cap_and_start_again() {
        let policy = RetryPolicy { first: Duration::from_millis(10), most: Duration::from_millis(100), attempts: 3 };
        let mut backoff = Backoff::new(&policy);
        let waits: Vec<_> = (0..10).map(|_| backoff.wait()).collect();
        assert!(waits[0] <= Duration::from_millis(10));
        assert!(waits[9] >= Duration::from_millis(50) && waits.iter().all(|w| *w <= Duration::from_millis(100)));
        backoff.reset();
        assert!(backoff.wait() <= Duration::from_millis(10));
    }
}
