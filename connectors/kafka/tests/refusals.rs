//! What a broker refuses, and what is refused before it is asked.

use crate::broker::{connect, into, name, shared, topic, values};
use std::collections::BTreeMap;
use std::sync::Arc;
use stillhouse_kafka::{KafkaJournal, Options};
use stillhouse_streams::{Cleanup, ErrorKind, Journal, Record, TopicSpec};

/// Appends that were merged into one transaction do not fail for each other.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_record_fails_its_own_batch_only() {
    let journal = connect(&shared()).await;
    let good = topic(&journal, "good", 1).await;
    let compacted = name("compacted");
    let spec = TopicSpec { name: compacted.clone(), partitions: 1, cleanup: Cleanup::Compact };
    journal.ensure(&[spec]).await.expect("a topic");
    let compacted: Arc<str> = compacted.into();
    let journal = &journal;
    let appends = (0..40).map(|i| {
        // A record without a key has no place in a compacted topic.
        let bad = i % 10 == 3;
        let batch = if bad {
            vec![into(&good, 0, "must not show"), into(&compacted, 0, "keyless")]
        } else {
            vec![into(&good, 0, format!("{i:02}"))]
        };
        async move { (bad, journal.append(batch).await) }
    });
    for (bad, outcome) in futures::future::join_all(appends).await {
        match outcome {
            Ok(_) => assert!(!bad, "the broker took a record without a key into a compacted topic"),
            Err(error) => {
                assert!(bad, "{error}");
                assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
            }
        }
    }
    crate::broker::eventually("all good ones show", async || values(journal, &good, 0).await.len() >= 36).await;
    let mut found = values(journal, &good, 0).await;
    found.sort();
    let expected: Vec<String> = (0..40).filter(|i| i % 10 != 3).map(|i| format!("{i:02}")).collect();
    assert_eq!(found, expected, "good ones show once, and nothing of the bad ones");
}

/// K2.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_from_the_future_is_refused_by_name() {
    let journal = connect(&shared()).await;
    let topic = topic(&journal, "t", 1).await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let at = |seconds: u64| {
        let timestamp = i64::try_from(now.as_millis()).expect("before the year 292 million") + seconds as i64 * 1_000;
        let append = into(&topic, 0, "v");
        vec![stillhouse_streams::Append { record: Record { timestamp, ..append.record }, ..append }]
    };
    let error = journal.append(at(7_200)).await.expect_err("two hours ahead");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("Kafka takes an hour"), "{error}");
    journal.append(at(1_800)).await.expect("half an hour ahead is taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_of_a_topic_that_are_not_ours_stay() {
    let journal = connect(&shared()).await;
    let spec = |cleanup| TopicSpec { name: "settings-stay".to_owned(), partitions: 1, cleanup };
    journal.delete_topic("settings-stay").await.expect("missing is fine");
    journal.ensure(&[spec(Cleanup::Keep)]).await.expect("a topic");
    let hour = Cleanup::Retain(std::time::Duration::from_secs(3_600));
    for cleanup in [hour, Cleanup::Compact, Cleanup::Keep] {
        journal.ensure(&[spec(cleanup.clone())]).await.expect("the cleanup is set");
        crate::broker::eventually("the cleanup shows", async || {
            let topics = journal.topics().await.expect("topics");
            topics.iter().any(|t| t.spec == spec(cleanup.clone()))
        })
        .await;
    }
    journal.delete_topic("settings-stay").await.expect("it goes");
}

#[tokio::test(flavor = "multi_thread")]
async fn properties_that_make_no_sense_are_refused_before_connecting() {
    for (property, value) in [("retention.msx", "1"), ("linger.ms", "soon"), ("enable.auto.commit", "true")] {
        let properties = BTreeMap::from([(property.to_owned(), value.to_owned())]);
        let options = Options { properties, ..Options::default() };
        let Err(error) = KafkaJournal::connect(&shared(), options).await else { panic!("{property} was taken") };
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(error.to_string().contains(property), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_has_an_identity() {
    let (one, two) = (connect(&shared()).await, connect(&shared()).await);
    assert!(!one.cluster_id().is_empty());
    assert_eq!(one.cluster_id(), two.cluster_id());
}

/// A cluster belongs to others too: what is not ours is not read.
#[tokio::test(flavor = "multi_thread")]
async fn verify_reads_the_topics_it_is_told_to() {
    let others = connect(&shared()).await;
    let ours = topic(&others, "verified", 2).await;
    let generation = format!("{ours}.v1");
    let alike = format!("{ours}x");
    for name in [&generation, &alike] {
        let spec = TopicSpec { name: name.clone(), partitions: 1, cleanup: Cleanup::Keep };
        others.ensure(&[spec]).await.expect("a topic");
    }
    others.append(vec![into(&ours, 0, "mine")]).await.expect("appended");
    others.append(vec![into(&alike.as_str().into(), 0, "theirs")]).await.expect("appended");
    let options = Options { own: vec![ours.to_string()], ..Options::default() };
    let journal = KafkaJournal::connect(&shared(), options).await.expect("the broker answers");
    let verified = journal.verify().await.expect("verified");
    assert_eq!((verified.partitions, verified.records), (3, 1), "{verified:?}");
}
