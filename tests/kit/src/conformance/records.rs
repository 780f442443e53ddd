//! Records come back as they were: headers, tombstones, empty and largest values, timestamps.

use bytes::Bytes;
use stillhouse_streams::{Append, ErrorKind, Headers, Record};

use super::case::{Case, EPOCH, into, record};

async fn there_and_back(case: &Case<'_>, records: Vec<Record>) {
    let topic = case.topic("t", 1).await;
    case.append(records.iter().cloned().map(|r| into(&topic, 0, r)).collect()).await;
    let found = case.settled(&topic, records.len()).await.remove(0);
    for (found, sent) in found.iter().zip(&records) {
        assert_eq!(found.record, *sent, "a scan gives back what was appended");
    }
    let mut session = case.join("g", &[&topic]).await;
    let batch = case.take(&mut *session, records.len()).await;
    for (received, sent) in batch.records.iter().zip(&records) {
        assert_eq!(received.record, *sent, "a session gives back what was appended");
    }
}

/// A name, and a value that may be null.
type Pair = (&'static str, Option<&'static [u8]>);

pub(super) async fn headers_survive(case: &Case<'_>) {
    let headers: [&[Pair]; 6] = [
        &[],
        &[("one", Some(b"1"))],
        &[("same", Some(b"first")), ("other", Some(b"x")), ("same", Some(b"last"))],
        &[("null", None), ("empty", Some(b"")), ("null", Some(b"not null"))],
        &[("bytes", Some(&[0, 0xff, 0xfe, b'\n', 0x80])), ("имя-名", Some("значение".as_bytes()))],
        &[("long", Some(&[7; 5_000]))],
    ];
    let records =
        headers.map(|pairs| Record { headers: Headers::from_pairs(pairs.iter().copied()), ..record("k", "v") });
    there_and_back(case, records.into()).await;
}

pub(super) async fn tombstones_and_empty_values_survive(case: &Case<'_>) {
    let full = record("k", "v");
    there_and_back(
        case,
        vec![
            Record { value: None, ..full.clone() },
            Record { value: Some(Bytes::new()), ..full.clone() },
            Record { key: None, ..full.clone() },
            Record { key: Some(Bytes::new()), ..full.clone() },
            Record { key: None, value: None, ..full.clone() },
            Record { key: Some(Bytes::new()), value: Some(Bytes::new()), ..full.clone() },
            full,
        ],
    )
    .await;
}

pub(super) async fn the_largest_record_is_taken_and_the_next_is_not(case: &Case<'_>) {
    let topic = case.topic("t", 1).await;
    let headers = Headers::from_pairs([("name", Some(&b"value"[..]))]);
    let empty = Record { value: Some(Bytes::new()), headers, ..record("key", "") };
    let most = case.journal.max_record_bytes();
    let sized = |bytes: usize| Record { value: Some(vec![b'x'; bytes - empty.size()].into()), ..empty.clone() };
    let largest = sized(most);
    assert_eq!(largest.size(), most);
    let append = |record: Record| -> Vec<Append> { vec![into(&topic, 0, record)] };
    let error = case.journal.append(append(sized(most + 1))).await.expect_err("one byte more");
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
    case.append(append(largest.clone())).await;
    let found = case.settled(&topic, 1).await;
    assert!(found[0][0].record == largest, "the largest record comes back whole");

    let mut session = case.join("g", &[&topic]).await;
    let batch = case.take(&mut *session, 1).await;
    assert!(batch.records[0].record == largest);
    let error = session.commit(append(sized(most + 1)), &batch.progress).await.expect_err("one byte more");
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
}

pub(super) async fn timestamps_survive(case: &Case<'_>) {
    let at = |timestamp| Record { timestamp, ..record("k", "v") };
    there_and_back(case, [EPOCH, 1, EPOCH + 5, EPOCH - 86_400_000, EPOCH + 999].map(at).into()).await;
}
