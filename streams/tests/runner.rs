//! The runner on the reference journal: what it does with faults, panics, refused outputs, unknown commits, stops.

use async_trait::async_trait;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use stillhouse_kit::faults::{Call, Faulty, Outcome};
use stillhouse_streams::memory::MemoryJournal;
use stillhouse_streams::runner::{
    DeadLetters, Emit, Fault, Job, Projection, Refused, RetryPolicy, Stats, Transform, ends, fold, passed, supervise,
};
use stillhouse_streams::{
    Append, BatchLimits, Cleanup, ErrorKind, GroupSpec, Headers, ID_HEADER, Journal, Progress, Received, Record,
    TopicSpec,
};
use tokio_util::sync::CancellationToken;

const RECORDS: usize = 400;

/// Repeats each record into `out`; does something else where the value says so.
struct Echo {
    calls: AtomicU32,
}

#[async_trait]
impl Transform for Echo {
    async fn apply(&self, batch: &[Received]) -> Vec<Result<Vec<Emit>, Fault>> {
        let one = |received: &Received| {
            let value = received.record.value.clone().unwrap_or_default();
            match value.as_ref() {
                b"panic" => panic!("told to"),
                b"lasting" => Err(Fault::Lasting { kind: "fault", message: "told to".into() }),
                b"never" => Err(Fault::Transient("not yet".into())),
                b"later" if self.calls.fetch_add(1, Ordering::SeqCst) < 3 => Err(Fault::Transient("not yet".into())),
                b"stray" => Ok(vec![Emit { topic: "nowhere", record: received.record.clone() }]),
                b"huge" => {
                    let record = Record { value: Some(Bytes::from(vec![0; 20 << 20])), ..received.record.clone() };
                    Ok(vec![Emit { topic: "out", record }])
                }
                _ => Ok(vec![Emit { topic: "out", record: received.record.clone() }]),
            }
        };
        batch.iter().map(one).collect()
    }
}

struct Letters;

impl DeadLetters for Letters {
    fn letter(&self, refused: &Refused<'_>) -> Append {
        let text = format!("{} {} {}", refused.received.position, refused.kind, refused.attempts);
        let record = Record { value: Some(Bytes::from(text)), ..Record::default() };
        Append { topic: "dead".into(), partition: None, record }
    }
}

fn job(records: usize) -> Job {
    Job {
        name: "echo.v1".into(),
        group: GroupSpec { group: "echo".into(), topics: vec!["in".into()], session_timeout: Duration::from_secs(10) },
        transform: Arc::new(Echo { calls: AtomicU32::new(0) }),
        routes: BTreeMap::from([("out", Arc::from("out"))]),
        dead_letters: Arc::new(Letters),
        limits: BatchLimits { records, bytes: 1 << 20, wait: Duration::from_millis(20) },
        lanes: 4,
        retry: RetryPolicy { first: Duration::from_millis(1), most: Duration::from_millis(4), attempts: 5 },
    }
}

async fn filled(values: impl Fn(usize) -> String) -> MemoryJournal {
    let journal = MemoryJournal::new();
    let spec = |name: &str, partitions| TopicSpec { name: name.into(), partitions, cleanup: Cleanup::Keep };
    journal.ensure(&[spec("in", 3), spec("out", 2), spec("dead", 1)]).await.unwrap();
    for number in 0..RECORDS {
        let id = format!("id-{number}");
        let record = Record {
            key: Some(Bytes::from(format!("key-{}", number % 17))),
            value: Some(Bytes::from(values(number))),
            headers: Headers::from_pairs([(ID_HEADER, Some(id.as_bytes()))]),
            timestamp: number as i64,
        };
        journal.append(vec![Append { topic: "in".into(), partition: None, record }]).await.unwrap();
    }
    journal
}

async fn all(journal: &dyn Journal, topic: &str) -> Vec<Record> {
    let mut records = Vec::new();
    for (topic, partition, end) in ends(journal, &[topic.to_owned()]).await.unwrap().iter() {
        let mut scan = journal.scan(topic, partition, 0, Some(end)).await.unwrap();
        loop {
            let page = scan.next(100).await.unwrap();
            if page.is_empty() {
                break;
            }
            records.extend(page.into_iter().map(|s| s.record));
        }
    }
    records
}

/// Runs the job until its group has passed all that is in `in`, then stops it.
async fn run_to_end(journal: Arc<dyn Journal>, truth: &dyn Journal, job: Job) -> Arc<Stats> {
    let (stats, stop) = (Arc::new(Stats::default()), CancellationToken::new());
    let group = job.group.group.clone();
    let task = tokio::spawn(supervise(journal, job, stats.clone(), stop.clone()));
    let cut = ends(truth, &["in".to_owned()]).await.unwrap();
    let done = async {
        loop {
            let groups = truth.groups().await.unwrap();
            let progress = groups.into_iter().find(|g| g.group == group).map(|g| g.progress).unwrap_or_default();
            if passed(truth, &progress, &cut).await.unwrap() {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), done).await.expect("the job passes its input");
    stop.cancel();
    task.await.unwrap();
    stats
}

fn ids(records: &[Record]) -> Vec<String> {
    let mut ids: Vec<String> = records.iter().map(|r| r.id().unwrap().to_owned()).collect();
    ids.sort();
    ids
}

fn expected(but: &[usize]) -> Vec<String> {
    let mut ids: Vec<String> = (0..RECORDS).filter(|n| !but.contains(n)).map(|n| format!("id-{n}")).collect();
    ids.sort();
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_passes_once_in_order_of_its_key_whatever_the_batches() {
    for records in [1, 7, 1_000] {
        let journal = filled(|n| format!("value {n}")).await;
        let stats = run_to_end(Arc::new(journal.clone()), &journal, job(records)).await;
        let out = all(&journal, "out").await;
        assert_eq!(ids(&out), expected(&[]));
        for key in 0..17 {
            let key = format!("key-{key}");
            let times: Vec<i64> =
                out.iter().filter(|r| r.key.as_deref() == Some(key.as_bytes())).map(|r| r.timestamp).collect();
            assert!(times.is_sorted(), "{key} with batches of {records}: {times:?}");
        }
        let figures = stats.snapshot();
        assert_eq!((figures.processed, figures.emitted, figures.dead_lettered), (400, 400, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_taken_becomes_a_dead_letter_and_the_rest_goes_on() {
    let bad = |n: usize| match n {
        50 => "panic",
        100 => "lasting",
        150 => "never",
        200 => "later",
        250 => "stray",
        _ => "fine",
    };
    let journal = filled(|n| bad(n).to_owned()).await;
    let stats = run_to_end(Arc::new(journal.clone()), &journal, job(1_000)).await;
    assert_eq!(ids(&all(&journal, "out").await), expected(&[50, 100, 150, 250]));
    let mut letters: Vec<String> = all(&journal, "dead")
        .await
        .into_iter()
        .map(|r| String::from_utf8(r.value.unwrap().to_vec()).unwrap().split_once(' ').unwrap().1.to_owned())
        .collect();
    letters.sort();
    assert_eq!(letters, ["exhausted 5", "fault 1", "fault 1", "panic 5"]);
    let figures = stats.snapshot();
    assert_eq!(figures.dead_lettered, 4);
    assert!(figures.panics >= 5 && figures.retries >= 4, "{figures:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_that_the_journal_refuses_costs_one_record() {
    let bad = [33, 123, 124, 200, 399];
    let journal = filled(move |n| if bad.contains(&n) { "huge".into() } else { "fine".into() }).await;
    run_to_end(Arc::new(journal.clone()), &journal, job(1_000)).await;
    let dead: Vec<_> = all(&journal, "dead").await.into_iter().filter_map(|r| r.value).collect();
    assert_eq!(dead.len(), bad.len(), "{dead:?}");
    assert_eq!(ids(&all(&journal, "out").await), expected(&bad));
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_commits_lose_nothing_and_double_nothing() {
    for seed in 0..8 {
        let journal = filled(|n| format!("value {n}")).await;
        let faulty = Faulty::unknown(Arc::new(journal.clone()), seed, 3);
        run_to_end(Arc::new(faulty), &journal, job(10)).await;
        assert_eq!(ids(&all(&journal, "out").await), expected(&[]), "seed {seed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_is_full_for_a_while_is_waited_for() {
    let journal = filled(|n| format!("value {n}")).await;
    let refusals = Arc::new(AtomicU32::new(0));
    let count = refusals.clone();
    let faulty = Faulty::new(Arc::new(journal.clone()), move |call| {
        if call == Call::Commit && count.fetch_add(1, Ordering::SeqCst) < 5 {
            Outcome::FailBefore(ErrorKind::Full)
        } else {
            Outcome::Pass
        }
    });
    let stats = run_to_end(Arc::new(faulty), &journal, job(100)).await;
    assert_eq!(ids(&all(&journal, "out").await), expected(&[]));
    assert!(refusals.load(Ordering::SeqCst) > 5 && stats.snapshot().rewinds >= 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_that_cannot_be_mended_starts_the_processor_again() {
    let journal = filled(|n| format!("value {n}")).await;
    let commits = AtomicU32::new(0);
    let faulty = Faulty::new(Arc::new(journal.clone()), move |call| match call {
        Call::Commit if commits.fetch_add(1, Ordering::SeqCst) % 4 == 1 => Outcome::FailAfter(ErrorKind::Closed),
        _ => Outcome::Pass,
    });
    let stats = run_to_end(Arc::new(faulty), &journal, job(50)).await;
    assert_eq!(ids(&all(&journal, "out").await), expected(&[]));
    assert!(stats.snapshot().restarts >= 1);
}

/// Counts what it is given and keeps its progress, as a store would.
#[derive(Default)]
struct Count {
    seen: usize,
    progress: Progress,
}

#[async_trait]
impl Projection for Count {
    async fn progress(&self) -> Result<Progress, Fault> {
        Ok(self.progress.clone())
    }

    async fn apply(&mut self, batch: &[Received], progress: &Progress) -> Result<(), Fault> {
        self.seen += batch.len();
        self.progress = progress.clone();
        Ok(())
    }
}

#[tokio::test]
async fn a_fold_reads_up_to_its_cut_and_goes_on_from_there() {
    let journal = filled(|n| n.to_string()).await;
    let mut count = Count::default();
    let mut half = Progress::default();
    for (topic, partition, end) in ends(&journal, &["in".to_owned()]).await.unwrap().iter() {
        half.set(topic.clone(), partition, end / 2);
    }
    fold(&journal, &mut count, &half).await.unwrap();
    let first = count.seen;
    assert!(first > 0 && first < RECORDS);
    let cut = ends(&journal, &["in".to_owned()]).await.unwrap();
    fold(&journal, &mut count, &cut).await.unwrap();
    assert_eq!(count.seen, RECORDS);
    fold(&journal, &mut count, &cut).await.unwrap();
    assert_eq!(count.seen, RECORDS, "nothing twice");
}
