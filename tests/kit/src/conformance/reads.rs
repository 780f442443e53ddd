//! Scans: bounds, pages, gaps, times.

use std::sync::Arc;
use std::time::Duration;
use stillhouse_streams::{ErrorKind, GroupSpec, Record};

use super::case::{self, Case, EPOCH, into, record, texts};

/// Ten records in batches that leave gaps where the backend leaves some, and their offsets.
async fn ten(case: &Case<'_>, topic: &Arc<str>) -> Vec<u64> {
    let mut offsets = Vec::new();
    for n in 0..5 {
        let batch = (0..2).map(|i| into(topic, 0, record("k", &(n * 2 + i).to_string()))).collect();
        offsets.extend(case.append(batch).await.into_iter().map(|r| r.position.offset));
    }
    case.settled(topic, 10).await;
    offsets
}

pub(super) async fn bounds_of_a_scan(case: &Case<'_>) {
    let topic = case.topic("t", 1).await;
    let at = ten(case, &topic).await;
    let all: Vec<String> = (0..10).map(|n| n.to_string()).collect();
    let end = case.bounds(&topic, 0).await.end;
    assert!(end > at[9], "the end is past the last record");
    for (from, until, expected) in [
        (0, None, &all[..]),
        (at[3], None, &all[3..]),
        (at[3], Some(at[7]), &all[3..7]),
        (at[3], Some(at[3]), &[]),
        (at[7], Some(at[3]), &[]),
        (0, Some(at[0] + 1), &all[..1]),
        (at[9], Some(at[9] + 1), &all[9..]),
        (at[9] + 1, None, &[]),
        (0, Some(u64::MAX), &all[..]),
        (end, None, &[]),
        (0, Some(end), &all[..]),
    ] {
        let found = case::drain(&*case.journal, &topic, 0, from, until).await;
        assert_eq!(texts(&found), expected, "from {from} until {until:?}, with records at {at:?}");
    }
}

pub(super) async fn pages_of_a_scan(case: &Case<'_>) {
    let topic = case.topic("t", 1).await;
    let at = ten(case, &topic).await;
    for max in [1, 3, 10, 1_000] {
        let mut scan = case.journal.scan(&topic, 0, 0, Some(at[9] + 1)).await.expect("scan");
        let mut found = Vec::new();
        loop {
            let page = scan.next(max).await.expect("page");
            assert!(page.len() <= max, "a page of {} where {max} were asked for", page.len());
            if page.is_empty() {
                break;
            }
            found.extend(page);
        }
        assert_eq!(found.iter().map(|s| s.offset).collect::<Vec<_>>(), at, "in pages of {max}");
        assert!(scan.next(max).await.expect("page").is_empty(), "an ended range stays ended");
    }
}

pub(super) async fn an_open_scan_goes_on(case: &Case<'_>) {
    let topic = case.topic("t", 1).await;
    let mut scan = case.journal.scan(&topic, 0, 0, None).await.expect("scan");
    assert!(scan.next(10).await.expect("page").is_empty(), "an empty partition gives an empty page");
    for n in 0..3 {
        let value = format!("value {n}");
        case.append(vec![into(&topic, 0, record("k", &value))]).await;
        let deadline = tokio::time::Instant::now() + case.backend.patience();
        let page = loop {
            let page = scan.next(10).await.expect("page");
            if !page.is_empty() {
                break page;
            }
            assert!(tokio::time::Instant::now() < deadline, "an open scan does not see what came later");
            tokio::task::yield_now().await;
        };
        assert_eq!(texts(&page), [value.as_str()]);
    }
}

pub(super) async fn gaps_are_stepped_over(case: &Case<'_>) {
    let topic = case.topic("t", 1).await;
    let at = ten(case, &topic).await;
    let gaps = at.windows(2).filter(|w| w[1] != w[0] + 1).count();
    if case.traits().dense_offsets {
        assert_eq!((gaps, at[0]), (0, 0), "offsets are dense and begin at 0");
        assert_eq!(case.bounds(&topic, 0).await.end, at[9] + 1);
    }
    let mut session = case.join("g", &[&topic]).await;
    for expected in &at {
        let batch = case.take(&mut *session, 1).await;
        assert_eq!(batch.records[0].position.offset, *expected);
        case::committed(&mut *session, Vec::new(), &batch.progress).await;
    }
    for offset in at[0]..=at[9] {
        let found = case::drain(&*case.journal, &topic, 0, offset, None).await;
        let first = at.iter().find(|a| **a >= offset);
        assert_eq!(found.first().map(|s| s.offset).as_ref(), first, "from {offset}");
    }
}

pub(super) async fn offsets_for_a_time(case: &Case<'_>) {
    let topic = case.topic("t", 2).await;
    let times = [10, 20, 20, 30, 50];
    for time in times {
        let record = Record { timestamp: EPOCH + time, ..record("k", &time.to_string()) };
        case.append(vec![into(&topic, 0, record)]).await;
    }
    case.settled(&topic, 5).await;
    for (time, expected) in [
        (0, &times[..]),
        (10, &times),
        (11, &times[1..]),
        (20, &times[1..]),
        (21, &times[3..]),
        (50, &times[4..]),
        (51, &[]),
    ] {
        let offset = case.journal.offset_at(&topic, 0, EPOCH + time).await.expect("offset_at");
        let found = case::drain(&*case.journal, &topic, 0, offset, None).await;
        let expected: Vec<String> = expected.iter().map(ToString::to_string).collect();
        assert_eq!(texts(&found), expected, "from time {time}");
        assert!(offset <= case.bounds(&topic, 0).await.end);
    }
    let empty = case.journal.offset_at(&topic, 1, EPOCH).await.expect("offset_at");
    assert_eq!(empty, case.bounds(&topic, 1).await.end, "an empty partition answers with its end");
}

pub(super) async fn what_is_missing_is_not_found(case: &Case<'_>) {
    let topic = case.topic("t", 1).await;
    let missing = case.name("missing");
    let kinds = [
        case.journal.scan(&missing, 0, 0, None).await.err(),
        case.journal.scan(&topic, 1, 0, None).await.err(),
        case.journal.offset_at(&missing, 0, EPOCH).await.err(),
        case.journal.offset_at(&topic, 1, EPOCH).await.err(),
        case.journal.join(&spec(case.name("g"), vec![missing.clone()])).await.err(),
        case.journal.join(&spec(case.name("g"), vec![topic.to_string(), missing.clone()])).await.err(),
    ]
    .map(|error| error.map(|e| e.kind()));
    assert_eq!(kinds, [Some(ErrorKind::NotFound); 6]);
    let groups = case.journal.groups().await.expect("groups");
    assert!(groups.iter().all(|g| g.group != case.name("g") || g.members == 0), "nobody joined");
}

fn spec(group: String, topics: Vec<String>) -> GroupSpec {
    GroupSpec { group, topics, session_timeout: Duration::from_secs(6) }
}
