//! What every client of librdkafka is watched for, and how it is put away.

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Signs of trouble that a client gave.
#[derive(Default)]
pub(crate) struct Signs {
    lost: AtomicBool,
    last: Mutex<String>,
}

impl Signs {
    /// Whether a connection was lost or a request timed out since the client was made. librdkafka then repeats
    /// requests by itself, and one that seemed lost may still arrive.
    pub(crate) fn request_may_be_late(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    /// The last trouble, for error messages; empty if there was none.
    pub(crate) fn last(&self) -> String {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, message: &str) {
        message.clone_into(&mut self.last.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Reads a line of librdkafka's log.
    pub(crate) fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if facility == "REQTMOUT" || (facility == "FAIL" && !is_failed_connect(message)) {
            self.lost.store(true, Ordering::Release);
        }
        if matches!(facility, "FAIL" | "REQTMOUT" | "SASL" | "SSL") {
            self.note(message);
        }
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::warn!(target: "stillhouse_kafka", "{facility}: {message}");
            }
            // Everything else comes back as the error of a call, where it is handled.
            _ => tracing::debug!(target: "stillhouse_kafka", "{facility}: {message}"),
        }
    }

    pub(crate) fn error(&self, error: &KafkaError, reason: &str) {
        // "All brokers are down" follows on what happened to each, and says less.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            self.note(reason);
        }
        tracing::debug!(target: "stillhouse_kafka", "{error}: {reason}");
    }
}

/// A connection that never stood carried no request.
fn is_failed_connect(message: &str) -> bool {
    ["Connect to ", "Failed to resolve", "Connection setup timed out", "Failed to create socket"]
        .iter()
        .any(|start| message.contains(start))
}

/// The context of clients that need no callbacks.
#[derive(Default)]
pub(crate) struct Plain {
    pub(crate) signs: Signs,
}

impl ClientContext for Plain {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.signs.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.signs.error(&error, reason);
    }
}

impl ConsumerContext for Plain {}

/// Waits until a consumer that was assigned anew has forgotten where it stood before: what it says of its position
/// until then is about the old assignment. Nothing may be polled meanwhile. Whether it did.
pub(crate) fn has_forgotten<C: ConsumerContext>(consumer: &BaseConsumer<C>, deadline: Instant) -> bool {
    let forgotten = |list: TopicPartitionList| list.elements().iter().all(|e| e.offset() == Offset::Invalid);
    while !consumer.position().is_ok_and(forgotten) {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    true
}

/// Drops a client on a thread of its own: with the broker gone that may take for ever.
pub(crate) fn bury(client: impl Send + 'static) {
    let grave = std::thread::Builder::new().name("stillhouse-kafka-drop".to_owned());
    // Without a thread left there is no better place than here.
    drop(grave.spawn(move || drop(client)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_connection_is_a_sign_and_a_failed_one_is_not() {
        let signs = Signs::default();
        let info = RDKafkaLogLevel::Info;
        signs.log(info, "FAIL", "[thrd:localhost:1]: Connect to ipv6#[::1]:1 failed: Connection refused");
        signs.log(info, "CONFWARN", "whatever");
        assert!(!signs.request_may_be_late());
        signs.log(info, "FAIL", "[thrd:a:1/1]: a:1/1: Disconnected (after 53ms in state UP)");
        assert!(signs.request_may_be_late());
        let signs = Signs::default();
        signs.log(info, "REQTMOUT", "Timed out EndTxnRequest in flight (after 10000ms, timeout #0)");
        assert!(signs.request_may_be_late());
    }
}
