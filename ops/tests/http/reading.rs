//! What can be read: pages, states, figures.

use super::server::{Parts, Server, event, run, send};
use async_trait::async_trait;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use stillhouse::http::{Node, ProcessorStatus};
use stillhouse_processors::Generations;
use stillhouse_streams::generation::Names;
use stillhouse_streams::runner::{Snapshot, State};
use stillhouse_streams::{BatchLimits, GroupSpec, Result};

async fn fill(server: &Server, n: usize) {
    let events: Vec<Value> = (0..n).map(|n| event(&format!("e{n}"), &format!("r{n}"))).collect();
    assert_eq!(send(server.post("/v1/events/runs", &json!(events))).await.status, 201);
}

fn ids(page: &Value) -> Vec<String> {
    page["events"].as_array().unwrap().iter().map(|e| e["event"]["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn pages_end_where_the_topic_ended_when_the_first_was_asked_for() {
    let server = Server::start().await;
    fill(&server, 25).await;
    let mut page = server.get("/v1/topics/runs/events?limit=10").await.json();
    let as_of = page["as_of"].clone();
    let mut found = ids(&page);
    send(server.post("/v1/runs", &run("later"))).await;
    let mut pages = 1;
    while let Some(next) = page["next"].as_str().map(str::to_owned) {
        page = server.get(&format!("/v1/topics/runs/events?limit=10&cursor={next}")).await.json();
        assert_eq!(page["as_of"], as_of);
        found.extend(ids(&page));
        pages += 1;
    }
    assert_eq!(pages, 3);
    found.sort();
    let mut wanted: Vec<String> = (0..25).map(|n| format!("e{n}")).collect();
    wanted.sort();
    assert_eq!(found, wanted);
}

#[tokio::test]
async fn pages_begin_where_they_are_told_to() {
    let server = Server::start().await;
    fill(&server, 25).await;
    let whole = server.get("/v1/topics/runs/events?partition=1").await.json();
    let tail = server.get("/v1/topics/runs/events?partition=1&from=2").await.json();
    assert_eq!(ids(&whole)[2..], ids(&tail));
    assert_eq!(server.get("/v1/topics/runs/events?from=end").await.json()["events"], json!([]));
    let future = server.get("/v1/topics/runs/events?from=2200-01-01T00:00:00Z").await.json();
    assert_eq!(future["events"], json!([]));
    let past = server.get("/v1/topics/runs/events?from=2020-01-01T00:00:00Z").await.json();
    assert_eq!(ids(&past).len(), 25);
    // A logical name is its live generation.
    assert_eq!(server.get("/v1/topics/scores/events").await.json()["topic"], "scores.v1");
    server.get("/v1/topics/quarantine/events").await.is(400, "bad_request");
    assert!(server.get("/v1/topics/nothing/events").await.is(404, "not_found").text.contains("runs"));
}

#[tokio::test]
async fn h25_queries_are_checked_and_the_field_is_named() {
    let server = Server::start().await;
    fill(&server, 3).await;
    for (query, field) in [
        ("limit=-1", "limit"),
        ("limit=0", "limit"),
        ("limit=1e9", "limit"),
        ("limit=1001", "limit"),
        ("limit=99999999999999999999", "limit"),
        ("limit=", "limit"),
        ("limit=1&limit=2", "limit"),
        ("cursor=garbage", "cursor"),
        ("cursor=0:0-999", "cursor"),
        ("cursor=0:0-0&from=end", "cursor"),
        ("partition=3", "partition"),
        ("partition=x", "partition"),
        ("from=1", "from"),
        ("from=yesterday", "from"),
        ("surprise=1", "surprise"),
    ] {
        server.get(&format!("/v1/topics/runs/events?{query}")).await.is(400, "bad_request").field(field);
    }
    for path in ["/v1/topics", "/v1/lag", "/v1/schemas", "/v1/processors", "/v1/events/e1"] {
        server.get(&format!("{path}?surprise=1")).await.is(400, "bad_request").field("surprise");
    }
    send(server.post("/v1/runs?dry_run=1", &run("r1"))).await.is(400, "bad_request").field("dry_run");
}

#[tokio::test]
async fn tables_are_listed() {
    let server = Server::start().await;
    let topics = server.get("/v1/topics").await.json();
    let scores = topics["topics"].as_array().unwrap().iter().find(|t| t["topic"] == "scores.v1").unwrap().clone();
    assert_eq!(
        (&scores["logical"], &scores["live"], &scores["written_by"]),
        (&json!("scores"), &json!(true), &json!("scorer"))
    );
    let schemas = server.get("/v1/schemas").await.json();
    assert_eq!(schemas["schemas"].as_array().unwrap().len(), stillhouse_schemas::EVENTS.len());
    for event in stillhouse_schemas::EVENTS {
        for name in [event.name, event.ce_type, event.record] {
            let schema = server.get(&format!("/v1/schemas/{name}")).await;
            assert_eq!(schema.header("content-type"), "application/json");
            assert_eq!(schema.json()["type"], "record", "{name}");
        }
    }
    server.get("/v1/schemas/nothing").await.is(404, "not_found");
    let routes = server.get("/v1").await.json();
    assert_eq!(routes["routes"].as_array().unwrap().len(), stillhouse::http::ROUTES.len());
    assert!(server.get("/v1/processors").await.json()["processors"].as_array().is_some_and(|p| !p.is_empty()));
}

/// A node with one processor that says what it is told to say.
struct Puppet(Mutex<ProcessorStatus>);

#[async_trait]
impl Node for Puppet {
    fn processors(&self) -> Vec<ProcessorStatus> {
        vec![self.0.lock().unwrap().clone()]
    }

    async fn generations(&self) -> Result<Arc<Generations>> {
        Ok(Arc::new(Generations::new(Names::default())))
    }
}

fn puppet() -> Arc<Puppet> {
    Arc::new(Puppet(Mutex::new(ProcessorStatus {
        processor: "materializer".into(),
        version: "1".into(),
        generation: "v1".into(),
        group: "materializer.v1".into(),
        inputs: vec!["runs".into()],
        outputs: vec!["evidence.v1".into()],
        stats: Snapshot { state: State::Running, processed: 7, batches: vec![0; 11], ..Snapshot::default() },
    })))
}

#[tokio::test]
async fn a_processor_that_stands_still_while_its_lag_grows_is_not_ready() {
    let node = puppet();
    let server = Parts { node: node.clone(), stall: Duration::ZERO, ..Parts::default() }.start().await;
    let ready = server.get("/readyz").await;
    assert_eq!((ready.status, &ready.json()["status"]), (200, &json!("ready")), "no lag, no stall: {ready:?}");
    fill(&server, 25).await;
    // The look of a moment ago may still be good; it is not for long.
    let mut answer = server.get("/readyz").await;
    while answer.status == 200 {
        tokio::task::yield_now().await;
        answer = server.get("/readyz").await;
    }
    assert_eq!(answer.status, 503);
    let reason = answer.json()["reasons"][0].as_str().unwrap().to_owned();
    assert!(reason.starts_with("materializer.v1: no progress"), "{reason}");
    assert_eq!(server.get("/healthz").await.status, 200);
    // It moves again.
    node.0.lock().unwrap().stats.last_progress = i64::MAX;
    assert_eq!(server.get("/readyz").await.status, 200);
}

#[tokio::test]
async fn a_journal_that_fails_is_not_ready_and_a_figure() {
    let mut parts = Parts::default();
    parts.journal = Arc::new(Unreachable(parts.journal));
    let server = parts.start().await;
    let answer = server.get("/readyz").await;
    assert_eq!(answer.status, 503);
    assert!(answer.json()["reasons"][0].as_str().unwrap().starts_with("journal: "), "{answer:?}");
    assert_eq!(server.get("/healthz").await.status, 200);
    server.get("/v1/lag").await.is(503, "unavailable");
    let metrics = server.get("/metrics").await;
    assert!(metrics.text.contains("stillhouse_journal_up 0\n"), "{metrics:?}");
}

/// Its groups cannot be asked for.
struct Unreachable(Arc<dyn stillhouse_streams::Journal>);

#[async_trait]
impl stillhouse_streams::Journal for Unreachable {
    async fn groups(&self) -> Result<Vec<stillhouse_streams::GroupState>> {
        Err(stillhouse_streams::Error::new(stillhouse_streams::ErrorKind::Unavailable, "no broker answers"))
    }

    fn uri(&self) -> String {
        self.0.uri()
    }

    fn max_record_bytes(&self) -> usize {
        self.0.max_record_bytes()
    }

    async fn ensure(&self, topics: &[stillhouse_streams::TopicSpec]) -> Result<()> {
        self.0.ensure(topics).await
    }

    async fn append(&self, batch: Vec<stillhouse_streams::Append>) -> Result<Vec<stillhouse_streams::Receipt>> {
        self.0.append(batch).await
    }

    async fn scan(
        &self,
        topic: &str,
        partition: u32,
        from: u64,
        until: Option<u64>,
    ) -> Result<Box<dyn stillhouse_streams::Scan>> {
        self.0.scan(topic, partition, from, until).await
    }

    async fn offset_at(&self, topic: &str, partition: u32, timestamp: i64) -> Result<u64> {
        self.0.offset_at(topic, partition, timestamp).await
    }

    async fn find(&self, id: &str) -> Result<Option<stillhouse_streams::Position>> {
        self.0.find(id).await
    }

    async fn join(&self, spec: &GroupSpec) -> Result<Box<dyn stillhouse_streams::Session>> {
        self.0.join(spec).await
    }

    async fn topics(&self) -> Result<Vec<stillhouse_streams::TopicState>> {
        self.0.topics().await
    }

    async fn reset(&self, group: &str, progress: &stillhouse_streams::Progress) -> Result<()> {
        self.0.reset(group, progress).await
    }

    async fn delete_topic(&self, topic: &str) -> Result<()> {
        self.0.delete_topic(topic).await
    }

    async fn delete_group(&self, group: &str) -> Result<()> {
        self.0.delete_group(group).await
    }

    async fn clean(&self, now: i64) -> Result<()> {
        self.0.clean(now).await
    }

    async fn verify(&self) -> Result<stillhouse_streams::Verified> {
        self.0.verify().await
    }
}

#[tokio::test]
async fn lag_and_figures_agree_with_the_journal() {
    let server = Parts { node: puppet(), ..Parts::default() }.start().await;
    fill(&server, 30).await;
    // Take some of one partition, and commit.
    let spec = GroupSpec {
        group: "materializer.v1".into(),
        topics: vec!["runs".into()],
        session_timeout: Duration::from_secs(10),
    };
    let mut session = server.journal.join(&spec).await.unwrap();
    let limits = BatchLimits { records: 5, ..BatchLimits::default() };
    let batch = session.next(&limits).await.unwrap();
    assert_eq!(batch.records.len(), 5);
    session.commit(Vec::new(), &batch.progress).await.unwrap();

    let lag = server.get("/v1/lag").await.json();
    let group = lag["groups"].as_array().unwrap().iter().find(|g| g["group"] == "materializer.v1").unwrap().clone();
    assert_eq!(group["lag"], 25);
    assert_eq!(group["members"], 1);
    assert_eq!(group["partitions"].as_array().unwrap().len(), 3);

    let metrics = server.get("/metrics").await;
    assert_eq!(metrics.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let text = &metrics.text;
    for line in [
        "kafka_topic_partitions{topic=\"runs\"} 3",
        "kafka_consumergroup_lag_sum{consumergroup=\"materializer.v1\",topic=\"runs\"} 25",
        "kafka_consumergroup_current_offset_sum{consumergroup=\"materializer.v1\",topic=\"runs\"} 5",
        "kafka_consumergroup_members{consumergroup=\"materializer.v1\"} 1",
        "stillhouse_processor_processed_total{processor=\"materializer\",generation=\"v1\"} 7",
        "stillhouse_processor_running{processor=\"materializer\",generation=\"v1\"} 1",
        "stillhouse_http_events_total{topic=\"runs\",outcome=\"added\"} 30",
        "stillhouse_journal_up 1",
        "# TYPE stillhouse_processor_batch_seconds histogram",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is missing in\n{text}");
    }
    for name in [
        "kafka_topic_partition_current_offset",
        "kafka_topic_partition_oldest_offset",
        "kafka_consumergroup_current_offset",
        "kafka_consumergroup_lag",
        "stillhouse_consumer_group_lag_seconds",
        "process_resident_memory_bytes",
        "stillhouse_http_request_seconds_bucket",
    ] {
        assert!(
            text.lines().any(|l| l.starts_with(&format!("{name}{{")) || l.starts_with(&format!("{name} "))),
            "{name}"
        );
    }
    well_formed(text);
}

/// Every sample belongs to the family declared last, and no family is declared twice.
fn well_formed(text: &str) {
    let mut families = std::collections::HashSet::new();
    let mut family = "";
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            family = rest.split(' ').next().unwrap();
            assert!(families.insert(family), "{family} twice");
        } else if !line.starts_with('#') {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            value.parse::<f64>().unwrap();
            let name = sample.split('{').next().unwrap();
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|s| name.strip_suffix(s)).unwrap_or(name);
            assert!(name == family || base == family, "{line} under {family}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn quarantine_is_read_and_decided_about() {
    use stillhouse_processors::wire;
    use stillhouse_schemas::{Codec, Envelope, Event, Payload, Quarantined};
    let server = Server::start().await;
    for (id, reason) in [("q-1", "near_duplicate"), ("q-2", "category_rejected")] {
        let payload = Payload::Quarantined(Quarantined {
            run_id: format!("run-{id}"),
            event_id: format!("evidence-{id}"),
            stage: "exporter".into(),
            reason: reason.into(),
            kind: Some("sft".into()),
            ..Quarantined::default()
        });
        let envelope = Envelope { id: id.into(), key: format!("run-{id}"), ..Envelope::default() };
        let append = wire::append("quarantine.exporter.v1", &Codec::plain(), &Event { envelope, payload }).unwrap();
        server.journal.append(vec![append]).await.unwrap();
    }
    let listed = server.get("/v1/quarantine").await.json();
    assert_eq!((&listed["total"], listed["entries"].as_array().unwrap().len()), (&2.into(), 2));
    let one = server.get("/v1/quarantine?reason=near_duplicate&limit=0").await.json();
    assert_eq!((&one["total"], one["entries"].as_array().unwrap().len()), (&1.into(), 0));
    assert_eq!(server.get("/v1/quarantine/run-q-2").await.json()["entries"][0]["id"], "q-2");
    server.get("/v1/quarantine/nothing").await.is(404, "not_found");
    server.get("/v1/quarantine?state=odd").await.is(400, "bad_request");

    let post = |path: &str| server.client.post(server.url(path));
    let refused = send(post("/v1/quarantine/q-2/release")).await;
    refused.is(422, "invalid");
    assert_eq!(server.count("decisions").await, 0);
    let released = send(post("/v1/quarantine/q-1/release?why=looked%20at")).await;
    assert_eq!(released.json()["released"][0], "q-1");
    let again = send(post("/v1/quarantine/q-1/release")).await.json();
    assert_eq!((again["released"].as_array().unwrap().len(), &again["before"][0]), (0, &"q-1".into()));
    let discarded = send(post("/v1/quarantine/q-2/discard")).await;
    assert_eq!(discarded.json()["discarded"][0], "q-2");
    assert_eq!(server.count("decisions").await, 2);
    assert_eq!(server.get("/v1/quarantine").await.json()["total"], 0);
    assert_eq!(server.get("/v1/quarantine?state=discarded").await.json()["entries"][0]["id"], "q-2");
}
