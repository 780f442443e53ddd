//! The end of one transaction, delayed on its way, must not end the next one.
//!
//! librdkafka repeats an `EndTxn` whose connection broke, by itself, and then reports success; the first one may still
//! arrive. With the producer rule it is refused, because the producer was replaced. Without the rule it does what these
//! tests were made to see: it commits what the caller was told was not written.

use crate::broker::{eventually, free_port, into, own, topic, values};
use crate::proxy::{END_TXN, PRODUCE, Proxy};
use std::sync::Arc;
use stillhouse_kafka::{KafkaJournal, Options};
use stillhouse_streams::{Append, Cleanup, Error, ErrorKind, Journal, TopicSpec};
use tokio::net::TcpListener;

/// What became of the second transaction.
struct Outcome {
    /// What its caller was told.
    told: Result<(), Error>,
    /// How many of its records show, by topic.
    shown: [usize; 2],
    /// What the broker said to the late request.
    late: i16,
}

struct Stage {
    proxy: Arc<Proxy>,
    port: u16,
}

impl Stage {
    async fn new() -> Self {
        let port = free_port();
        let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("the port is still free");
        let broker = tokio::task::spawn_blocking(move || own("connector-tests-proxy", Some(port)));
        let broker = broker.await.expect("a broker");
        Self { proxy: Proxy::start(listener, broker.port).await, port }
    }

    async fn journal(&self, prefix: &str, break_the_producer_rule: bool) -> KafkaJournal {
        let options = Options {
            transactional_prefix: prefix.to_owned(),
            break_the_producer_rule,
            producers: 1,
            ..Options::default()
        };
        KafkaJournal::connect(&format!("kafka://127.0.0.1:{}", self.port), options).await.expect("the proxy answers")
    }

    /// A first transaction whose end is delayed until request `key` of the second comes for the `count`th time.
    async fn play(&self, prefix: &str, broken: bool, key: i16, count: usize, refused: bool) -> Outcome {
        let journal = self.journal(prefix, broken).await;
        let a = topic(&journal, "a", 1).await;
        let b = crate::broker::name("b");
        let cleanup = if refused { Cleanup::Compact } else { Cleanup::Keep };
        journal.ensure(&[TopicSpec { name: b.clone(), partitions: 1, cleanup }]).await.expect("a topic");
        let b: Arc<str> = b.into();
        self.proxy.delay_end(prefix, key, count);
        journal.append(vec![into(&a, 0, "first")]).await.expect("librdkafka repeats the end by itself");
        let second: Vec<Append> = vec![into(&a, 0, "second"), into(&b, 0, "second")];
        let told = journal.append(second).await.map(drop);
        eventually("the late request is released", async || self.proxy.answer().is_some()).await;
        let late = self.proxy.answer().expect("was there just now");
        // Whatever is still open ends with the journal's next transaction.
        let reader = self.journal("reader", false).await;
        eventually("a later append shows", async || {
            reader.append(vec![into(&a, 0, "last")]).await.is_ok()
                && values(&reader, &a, 0).await.last().is_some_and(|v| v == "last")
        })
        .await;
        let count = async |topic| values(&reader, topic, 0).await.iter().filter(|v| *v == "second").count();
        Outcome { told, shown: [count(&a).await, count(&b).await], late }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_end_does_harm_without_the_rule_and_none_with_it() {
    const OK: i16 = 0;
    let stage = Stage::new().await;

    // The second transaction is aborted, because the broker refuses a record without a key in a compacted topic. The
    // late commit comes before its abort.
    let outcome = stage.play("abort-null", true, END_TXN, 2, true).await;
    assert_eq!(outcome.late, OK, "without the rule the broker takes the late commit");
    let told = outcome.told.expect_err("the broker refused a record");
    assert_ne!(told.kind(), ErrorKind::Indeterminate, "the caller was told that nothing was written: {told}");
    assert_eq!(outcome.shown, [1, 0], "and half of it shows: the null control sees the harm");

    let outcome = stage.play("abort-rule", false, END_TXN, 2, true).await;
    assert_ne!(outcome.late, OK, "with the rule the broker refuses the late commit");
    assert_eq!(outcome.told.expect_err("the broker refused a record").kind(), ErrorKind::Invalid);
    assert_eq!(outcome.shown, [0, 0], "nothing of the aborted transaction shows");

    // The late commit comes between the two halves of the second transaction.
    let outcome = stage.play("torn-null", true, PRODUCE, 2, false).await;
    assert_eq!(outcome.late, OK, "without the rule the broker takes the late commit");
    let told = outcome.told.expect_err("the second half has no transaction");
    let shown = outcome.shown.iter().sum::<usize>();
    assert_eq!(shown, 1, "and the transaction is torn ({told}): the null control sees the harm");

    let outcome = stage.play("torn-rule", false, PRODUCE, 2, false).await;
    assert_ne!(outcome.late, OK, "with the rule the broker refuses the late commit");
    outcome.told.expect("the second transaction is not disturbed");
    assert_eq!(outcome.shown, [1, 1], "all of it shows");
}
