//! Kill -9 at random moments while events flow: nothing acknowledged is lost, nothing is doubled.
//!
//! A feeder posts numbered runs to the node and repeats each batch until it is acknowledged. Meanwhile the node, the
//! workers and, on Kafka, the broker are killed and started again. Between two kills events get through, so that every
//! kill meets work. In the end everything is counted, by id and by record.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use stillhouse_kit::dice::Dice;
use stillhouse_schemas::{Category, Payload};

use crate::harness::{Broker, Process, Reader, Runs, Stack, dataset, patience, pause, say, size, until};

#[test]
fn on_the_embedded_journal() {
    kills("embedded", Stack::embedded(4), None);
}

#[test]
fn on_kafka() {
    let broker = Broker::own("kills");
    let stack = Stack::kafka(&broker, 4);
    kills("kafka", stack, Some(&broker));
}

struct Feeder {
    address: Arc<Mutex<String>>,
    /// How many runs may be sent, so that there are some left for every kill.
    allowed: Arc<AtomicUsize>,
    acknowledged: Arc<AtomicUsize>,
    task: JoinHandle<usize>,
}

/// Posts `total` runs in batches, each until it is acknowledged. How many were sent again is the result.
fn feed(runs: Runs, total: usize, address: String, seed: u64) -> Feeder {
    let address = Arc::new(Mutex::new(address));
    let (allowed, acknowledged) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (place, limit, done) = (address.clone(), allowed.clone(), acknowledged.clone());
    let task = std::thread::spawn(move || {
        let mut dice = Dice::new(seed ^ 0xfeed);
        let client = reqwest::blocking::Client::builder().timeout(Duration::from_secs(20)).build().expect("a client");
        let (mut next, mut again) = (0, 0);
        while next < total {
            let end = total.min(next + dice.between(1, 60) as usize);
            until("the next kill", || (limit.load(Ordering::SeqCst) >= end).then_some(()));
            let body = runs.lines(next..end);
            until("a batch is acknowledged", || {
                let url = format!("{}/v1/events/runs", place.lock().expect("the address"));
                let request = client.post(url).header("content-type", "application/x-ndjson").body(body.clone());
                match request.send() {
                    Ok(answer) if answer.status().is_success() => Some(()),
                    Ok(answer) if answer.status().is_server_error() || answer.status().as_u16() == 429 => {
                        again += 1;
                        None
                    }
                    Ok(answer) => panic!("{}: {:?}", answer.status(), answer.text()),
                    Err(_) => {
                        again += 1;
                        None
                    }
                }
            });
            next = end;
            done.store(next, Ordering::SeqCst);
        }
        again
    });
    Feeder { address, allowed, acknowledged, task }
}

fn kills(name: &str, stack: Stack, broker: Option<&Broker>) {
    let (count, total) = (size(12, 200), size(3_000, 100_000));
    let seed = Dice::seed();
    say(&format!("{name}: seed {seed}, {count} kills, {total} events"));
    let mut dice = Dice::new(seed);
    let stack = stack.with("runner.session_timeout_seconds", 2).with("runner.batch_records", 50);
    let runs = Runs::new(seed);

    let (mut node, address) = stack.node(&[]);
    let mut workers: Vec<(&str, Process)> =
        ["materializer", "scorer"].map(|name| (name, stack.worker(&[name]))).into_iter().collect();
    let feeder = feed(runs.clone(), total, address, seed);
    for kill in 0..count {
        feeder.allowed.store(total * (kill + 1) / (count + 1), Ordering::SeqCst);
        // In the middle of work: some of what this kill is allowed has been acknowledged.
        let some = total * kill / (count + 1) + 1 + dice.below((total / (count + 1)) as u64 / 2) as usize;
        until("events flow", || {
            assert!(!feeder.task.is_finished(), "the feeder ended early");
            (feeder.acknowledged.load(Ordering::SeqCst) >= some).then_some(())
        });
        pause(Duration::from_micros(dice.below(150_000)));
        let victim = dice.below(if broker.is_some() { 8 } else { 6 });
        match victim {
            0..3 => {
                node.kill();
                let (started, address) = stack.node(&[]);
                node = started;
                *feeder.address.lock().expect("the address") = address;
            }
            3..6 => {
                let index = dice.below(2) as usize;
                let (name, worker) = workers.remove(index);
                worker.kill();
                workers.insert(index, (name, stack.worker(&[name])));
            }
            _ => broker.expect("a broker").kill_and_restart(),
        }
    }
    feeder.allowed.store(total, Ordering::SeqCst);
    let again = feeder.task.join().expect("the feeder");
    say(&format!("{name}: {again} batches were sent again"));

    // A stop that is asked for ends well, in time, with work still to do.
    let stopping = workers.into_iter().map(|(_, process)| process).chain([node]).map(|process| {
        let asked = std::time::Instant::now();
        (process.stop(), asked.elapsed())
    });
    let stopped: Vec<_> = stopping.collect();
    // On a broker, what was acknowledged may stand behind a transaction that a killed process left open; it can be
    // read when that one has timed out. Not before, and not never.
    let reader = Reader::of(&stack);
    until("everything acknowledged can be read", || (reader.counts("runs").len() >= total).then_some(()));
    drop(reader);
    stack.settle();
    check(&stack, &runs, total);
    for (status, took) in stopped {
        assert!(status.success(), "stopped with {status}");
        assert!(took < patience() / 4, "stopping took {took:?}");
    }
}

fn check(stack: &Stack, runs: &Runs, total: usize) {
    let expected = runs.expected(0..total);
    let reader = Reader::of(stack);
    for topic in ["runs", "evidence", "scores"] {
        let counts = reader.counts(topic);
        let lost: Vec<_> = expected.all.iter().filter(|id| !counts.contains_key(*id)).collect();
        let doubled: Vec<_> = counts.iter().filter(|(_, n)| **n != 1).collect();
        let strange: Vec<_> = counts.keys().filter(|id| !expected.all.contains(*id)).collect();
        assert!(lost.is_empty(), "{topic}: {} lost, such as {:?}", lost.len(), lost[0]);
        assert!(doubled.is_empty(), "{topic}: {} doubled, such as {:?}", doubled.len(), doubled[0]);
        assert!(strange.is_empty(), "{topic}: {strange:?} were never sent");
    }
    // Exactly once also by record: each record of a topic made one of the next. A broker does not know ids, so a
    // batch that was sent again may stand in `runs` twice there, and nowhere else may.
    let [records, evidence, scores] = ["runs", "evidence", "scores"].map(|topic| reader.events(topic));
    assert_eq!([evidence.len(), scores.len()], [records.len(); 2], "records of evidence and scores");
    if stack.instance().is_empty() {
        assert_eq!(records.len(), total, "the embedded journal refuses what it knows");
    }
    for (_, event) in &scores {
        let Payload::Score(score) = &event.payload else { panic!("not a score: {event:?}") };
        assert_eq!(score.category == Category::Accepted, expected.accepted.contains(&score.run_id), "{}", score.run_id);
    }
    assert_eq!(reader.counts("deadletters").len(), 0, "dead letters");
    assert_eq!(reader.counts("quarantine.materializer").len(), 0, "quarantined runs");
    assert_eq!(reader.verify().damage, []);

    let data = dataset(&stack.export("out"));
    let mut rows: Vec<&str> = data.rows.iter().map(|row| row.run_id.as_str()).collect();
    rows.sort_unstable();
    assert!(rows.iter().copied().eq(expected.accepted.iter().map(String::as_str)), "the dataset's rows, once each");
}

/// The count itself is tested: it sees one run that is lost, and one event that is there twice.
#[test]
fn the_count_sees_what_is_lost_and_what_is_doubled() {
    let runs = Runs::new(5);
    let stack = Stack::embedded(2);
    stack.feed(&["append", "runs"], runs.lines(0..20).as_bytes()).ok();
    stack.settle();
    check(&stack, &runs, 20);
    let complaint = |total: usize| {
        let check = std::panic::AssertUnwindSafe(|| check(&stack, &runs, total));
        let panic = std::panic::catch_unwind(check).expect_err("the count is wrong and nothing is said");
        panic.downcast_ref::<String>().expect("a sentence").clone()
    };
    assert!(complaint(21).starts_with("runs: 1 lost"), "{}", complaint(21));
    assert!(complaint(19).contains("were never sent"), "{}", complaint(19));

    let mut again = runs.event(3);
    again["id"] = "another-id".into();
    stack.feed(&["append", "runs"], again.to_string().as_bytes()).ok();
    stack.settle();
    assert!(complaint(20).starts_with("runs: 1 doubled"), "{}", complaint(20));
}
