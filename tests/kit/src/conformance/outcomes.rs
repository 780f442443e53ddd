//! Unknown outcomes: a commit or append that may have happened is repeated, and ids make that harmless.

use std::collections::BTreeMap;
use std::sync::Arc;
use stillhouse_streams::{ErrorKind, ID_HEADER, Journal};

use super::case::{self, Case, identified, into, limits, record};
use super::say;
use crate::dice::Dice;
use crate::faults::Faulty;

pub(super) async fn unknown_commits_lose_and_double_nothing(case: &Case<'_>) {
    const RECORDS: usize = 300;
    let seed = Dice::seed();
    say(&format!("    seed {seed}"));
    let (input, output) = (case.topic("in", 2).await, case.topic("out", 2).await);
    case.append((0..RECORDS).map(|i| into(&input, i as u32 % 2, record("k", &format!("{i:04}")))).collect()).await;
    let journal: Arc<dyn Journal> = Arc::new(Faulty::unknown(case.journal.clone(), seed, 3));
    let mut session = case::join(&*journal, case.name("g"), &[&input]).await;
    let deadline = tokio::time::Instant::now() + case.backend.patience() * 4;
    let mut unknown = 0;
    loop {
        let batch = case::next(&mut *session, &limits(9)).await;
        let outputs = batch
            .records
            .iter()
            .map(|r| {
                let value = case::text(&r.record);
                into(&output, r.position.partition, identified(&case.name(value), "k", value))
            })
            .collect();
        if batch.records.is_empty() {
            let mut found = 0;
            for partition in 0..2 {
                found += case.drain(&output, partition).await.len();
            }
            if found >= RECORDS {
                break;
            }
            assert!(tokio::time::Instant::now() < deadline, "{found} of {RECORDS} came through");
        }
        match session.commit(outputs, &batch.progress).await {
            Ok(_) => {}
            Err(e) if case::comes_back(&e) => {
                unknown += u32::from(e.kind() == ErrorKind::Indeterminate);
                case::rewind(&mut *session).await;
            }
            Err(e) => panic!("commit: {e}"),
        }
    }
    assert!(unknown > 3, "only {unknown} commits had an unknown outcome");
    let all = case.settled(&output, RECORDS).await;
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for stored in all.iter().flatten() {
        *counts.entry(stored.record.id().expect("an id")).or_default() += 1;
    }
    assert!(counts.len() == RECORDS && counts.values().all(|n| *n == 1), "each output stands once");
}

pub(super) async fn unknown_appends_are_repeated_by_id(case: &Case<'_>) {
    const RECORDS: usize = 120;
    let seed = Dice::seed();
    say(&format!("    seed {seed}"));
    let topic = case.topic("t", 1).await;
    let journal = Faulty::unknown(case.journal.clone(), seed, 2);
    let mut unknown = 0;
    let mut acknowledged: BTreeMap<String, u64> = BTreeMap::new();
    for n in (0..RECORDS).step_by(4) {
        let batch: Vec<_> =
            (n..n + 4).map(|i| into(&topic, 0, identified(&case.name(&i.to_string()), "k", &i.to_string()))).collect();
        let receipts = loop {
            match journal.append(batch.clone()).await {
                Ok(receipts) => break receipts,
                Err(e) if e.kind() == ErrorKind::Indeterminate => unknown += 1,
                Err(e) => panic!("append: {e}"),
            }
        };
        for (append, receipt) in batch.iter().zip(receipts) {
            acknowledged.insert(append.record.id().expect("an id").to_owned(), receipt.position.offset);
        }
    }
    assert!(unknown > 3, "only {unknown} appends had an unknown outcome");
    let found = if case.traits().id_index {
        case.settled(&topic, RECORDS).await.remove(0)
    } else {
        let ask = || async {
            let found = case.drain(&topic, 0).await;
            let last = found.last()?.offset;
            acknowledged.values().all(|offset| *offset <= last).then_some(found)
        };
        case.eventually("everything acknowledged shows", ask).await
    };
    let by_offset: BTreeMap<u64, &str> =
        found.iter().map(|s| (s.offset, s.record.headers.text(ID_HEADER).expect("an id"))).collect();
    for (id, offset) in &acknowledged {
        assert_eq!(by_offset.get(offset), Some(&id.as_str()), "what was acknowledged stands where it was said to");
    }
    let distinct: std::collections::BTreeSet<_> = by_offset.values().collect();
    assert_eq!(distinct.len(), RECORDS, "by id, nothing is lost or doubled");
}
