//! Joins on the reference journal: what they are handed does not depend on batches, restarts, rebalances or faults.

use async_trait::async_trait;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use stillhouse_kit::dice::Dice;
use stillhouse_kit::faults::{Call, Faulty, Outcome};
use stillhouse_streams::memory::MemoryJournal;
use stillhouse_streams::runner::{
    DeadLetters, Emit, Fault, Job, Join, Refused, RetryPolicy, Stats, Transform, ends, passed, supervise,
};
use stillhouse_streams::{
    Append, BatchLimits, Cleanup, ErrorKind, GroupSpec, Journal, Received, Record, TopicSpec, partition_for,
};
use tokio_util::sync::CancellationToken;

const PATIENCE: i64 = 40_000;
const MOST: usize = 30;

/// Says of each record what it is handed with it.
struct Tell {
    trouble: AtomicBool,
}

fn told(kind: &str, records: &[Received]) -> Emit {
    let values: Vec<_> = records.iter().map(|r| String::from_utf8_lossy(r.record.value.as_ref().unwrap())).collect();
    let record = Record { value: Some(Bytes::from(format!("{kind} {}", values.join(",")))), ..Record::default() };
    Emit { topic: "out", record }
}

impl Join for Tell {
    fn apply(&self, records: &[Received], new: usize) -> Vec<Result<Vec<Emit>, Fault>> {
        let first = records.len() - new;
        if self.trouble.swap(false, Ordering::SeqCst) {
            return vec![Err(Fault::Transient("not now".into())); new];
        }
        let one = |n: usize| match records[n].record.value.as_deref() {
            Some(b"bad") => Err(Fault::Lasting { kind: "fault", message: "told to".into() }),
            Some(b"panic") => panic!("told to"),
            _ => Ok(vec![told("new", &records[..=n])]),
        };
        (first..records.len()).map(one).collect()
    }

    fn settle(&self, records: &[Received]) -> Result<Vec<Emit>, Fault> {
        Ok(vec![told("settled", records)])
    }

    fn overflow(&self, record: &Received) -> Result<Vec<Emit>, Fault> {
        Ok(vec![told("overflow", std::slice::from_ref(record))])
    }

    fn settles_after(&self) -> Duration {
        Duration::from_millis(PATIENCE as u64)
    }

    fn most(&self) -> (usize, usize) {
        (MOST, 1 << 20)
    }
}

struct Telling(Arc<Tell>);

#[async_trait]
impl Transform for Telling {
    async fn apply(&self, _: &[Received]) -> Vec<Result<Vec<Emit>, Fault>> {
        unreachable!("the runner calls the join")
    }

    fn join(&self) -> Option<Arc<dyn Join>> {
        Some(self.0.clone())
    }
}

struct Letters;

impl DeadLetters for Letters {
    fn letter(&self, refused: &Refused<'_>) -> Append {
        let record = Record { value: Some(Bytes::from(refused.kind.to_owned())), ..Record::default() };
        Append { topic: "dead".into(), partition: None, record }
    }
}

fn job(records: usize) -> Job {
    Job {
        name: "tell.v1".into(),
        group: GroupSpec { group: "tell".into(), topics: vec!["in".into()], session_timeout: Duration::from_secs(10) },
        transform: Arc::new(Telling(Arc::new(Tell { trouble: AtomicBool::new(true) }))),
        routes: BTreeMap::from([("out", Arc::from("out"))]),
        dead_letters: Arc::new(Letters),
        limits: BatchLimits { records, bytes: 1 << 20, wait: Duration::from_millis(10) },
        lanes: 3,
        retry: RetryPolicy { first: Duration::from_millis(1), most: Duration::from_millis(4), attempts: 5 },
    }
}

fn key(n: usize) -> String {
    // Some keys come all the time, some in bursts, some again after a long while.
    match n % 5 {
        0 => "always".to_owned(),
        1 => format!("burst-{}", n / 40),
        2 => format!("late-{}", n % 60),
        _ => format!("once-{n}"),
    }
}

const RECORDS: usize = 600;
const PARTITIONS: u32 = 3;

fn value(n: usize) -> String {
    n.to_string()
}

async fn filled(journal: &MemoryJournal, value: impl Fn(usize) -> String) {
    let spec = |name: &str, partitions| TopicSpec { name: name.into(), partitions, cleanup: Cleanup::Keep };
    journal.ensure(&[spec("in", PARTITIONS), spec("out", 2), spec("dead", 1)]).await.unwrap();
    for n in 0..RECORDS {
        let record = Record {
            key: Some(Bytes::from(key(n))),
            value: Some(Bytes::from(value(n))),
            timestamp: n as i64 * 1_000,
            ..Record::default()
        };
        journal.append(vec![Append { topic: "in".into(), partition: None, record }]).await.unwrap();
    }
}

/// What is to be told, worked out without any of the runner.
fn expected() -> Vec<String> {
    let mut out = Vec::new();
    for partition in 0..PARTITIONS {
        let mut seen: BTreeMap<String, (Vec<String>, i64, bool)> = BTreeMap::new();
        for n in (0..RECORDS).filter(|n| partition_for(Some(key(*n).as_bytes()), PARTITIONS) == partition) {
            let now = n as i64 * 1_000;
            for (values, last, settled) in seen.values_mut() {
                if !*settled && now >= *last + PATIENCE {
                    *settled = true;
                    if values.len() <= MOST {
                        out.push(format!("settled {}", values.join(",")));
                    }
                }
            }
            let (values, last, settled) = seen.entry(key(n)).or_default();
            values.push(value(n));
            (*last, *settled) = (now, false);
            match values.len() {
                count if count <= MOST => out.push(format!("new {}", values.join(","))),
                count if count == MOST + 1 => out.push(format!("overflow {n}")),
                _ => {}
            }
        }
    }
    out.sort();
    out
}

async fn out(journal: &dyn Journal, topic: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (topic, partition, end) in ends(journal, &[topic.to_owned()]).await.unwrap().iter() {
        let mut scan = journal.scan(topic, partition, 0, Some(end)).await.unwrap();
        loop {
            let page = scan.next(500).await.unwrap();
            if page.is_empty() {
                break;
            }
            found.extend(page.iter().map(|s| String::from_utf8_lossy(s.record.value.as_ref().unwrap()).into_owned()));
        }
    }
    found.sort();
    found
}

struct Running(CancellationToken, tokio::task::JoinHandle<()>, Arc<Stats>);

fn start(journal: Arc<dyn Journal>, job: Job) -> Running {
    let (stats, stop) = (Arc::new(Stats::default()), CancellationToken::new());
    Running(stop.clone(), tokio::spawn(supervise(journal, job, stats.clone(), stop)), stats)
}

/// Waits until the group has read all, or at least so many records.
async fn reached(journal: &MemoryJournal, least: Option<u64>) {
    let cut = ends(journal, &["in".to_owned()]).await.unwrap();
    let done = async {
        loop {
            let groups = journal.groups().await.unwrap();
            let progress = groups.into_iter().find(|g| g.group == "tell").map(|g| g.progress).unwrap_or_default();
            let read: u64 = progress.iter().map(|(.., next)| next).sum();
            if passed(journal, &progress, &cut).await.unwrap() || least.is_some_and(|least| read >= least) {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), done).await.expect("the job goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_is_handed_all_there_is_whatever_the_batches() {
    let expected = expected();
    assert!(["new", "settled", "overflow"].iter().all(|kind| expected.iter().any(|told| told.starts_with(kind))));
    for (records, journal) in
        [(1, MemoryJournal::new()), (7, MemoryJournal::with_gaps(3)), (1_000, MemoryJournal::new())]
    {
        filled(&journal, value).await;
        let running = start(Arc::new(journal.clone()), job(records));
        reached(&journal, None).await;
        running.0.cancel();
        running.1.await.unwrap();
        assert_eq!(out(&journal, "out").await, expected, "batches of {records}");
        assert!(out(&journal, "dead").await.is_empty());
    }
}

/// Outputs have no ids here, so that nothing but one commit of outputs and progress keeps them from being there twice.
#[tokio::test(flavor = "multi_thread")]
async fn restarts_rebalances_and_unknown_commits_change_nothing() {
    let expected = expected();
    for seed in 0..6 {
        let journal = if seed % 2 == 0 { MemoryJournal::new() } else { MemoryJournal::with_gaps(seed) };
        filled(&journal, value).await;
        let dice = Mutex::new(Dice::new(seed));
        let faulty = Faulty::new(Arc::new(journal.clone()), move |call| match call {
            Call::Commit | Call::Scan => match dice.lock().unwrap().below(26) {
                3 if call == Call::Commit => Outcome::FailAfter(ErrorKind::Indeterminate),
                5 if call == Call::Commit => Outcome::FailBefore(ErrorKind::Fenced),
                7 if call == Call::Commit => Outcome::FailAfter(ErrorKind::Closed),
                9 => Outcome::FailBefore(ErrorKind::Retry),
                _ => Outcome::Pass,
            },
            _ => Outcome::Pass,
        });
        let journals: [Arc<dyn Journal>; 2] = [Arc::new(faulty), Arc::new(journal.clone())];
        let first = start(journals[0].clone(), job(5));
        for round in 0..4_u64 {
            // A second member comes and goes; partitions change hands in the middle of trails.
            let second = start(journals[1].clone(), job(3 + round as usize));
            reached(&journal, Some((round + 1) * RECORDS as u64 / 5)).await;
            second.0.cancel();
            second.1.await.unwrap();
        }
        reached(&journal, None).await;
        first.0.cancel();
        first.1.await.unwrap();
        assert_eq!(out(&journal, "out").await, expected, "seed {seed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_join_cannot_take_becomes_dead_letters() {
    let journal = MemoryJournal::new();
    filled(&journal, |n| match n {
        13 => "bad".to_owned(),
        48 => "panic".to_owned(),
        _ => value(n),
    })
    .await;
    let running = start(Arc::new(journal.clone()), job(50));
    reached(&journal, None).await;
    running.0.cancel();
    running.1.await.unwrap();
    let dead = out(&journal, "dead").await;
    assert_eq!(dead, ["fault", "panic"]);
    assert!(running.2.snapshot().retries >= 1, "the trouble passed");
    assert!(out(&journal, "out").await.iter().any(|told| told == "new 0"));
}
