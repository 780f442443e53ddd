//! Damaged files: opened whole, or refused and named; never other records than were appended, never a silent loss,
//! never a panic.

use crate::model::{self, drain};
use crate::scene::{Image, dice, report, times};
use rand::Rng;
use rand::rngs::StdRng;
use std::collections::BTreeMap;
use std::time::Duration;
use stillhouse_embedded::{EmbeddedJournal, Faults, Options};
use stillhouse_streams::{
    Append, BatchLimits, Error, ErrorKind, GroupSpec, GroupState, Journal, Position, Progress, Record,
};

/// What a journal held before it was damaged.
struct Original {
    image: Image,
    records: BTreeMap<(String, u32, u64), Record>,
    /// Per group; who is a member changes by itself.
    progress: Vec<(String, Progress)>,
}

/// What came of opening and reading a damaged one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    /// The damage did not touch anything that counts.
    Whole,
    /// Refused when it was opened, or when what is damaged was read.
    Named,
}

/// A journal with some history: batches, a group's progress, a topic that is gone, an older state of itself.
async fn history(clean_end: bool) -> (Original, Image) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("journal");
    let journal = EmbeddedJournal::open(&path, Options::default()).expect("opens");
    model::ensure(&journal).await;
    let spec = GroupSpec {
        group: "readers".into(),
        topics: model::TOPICS.map(str::to_owned).into(),
        session_timeout: Duration::from_secs(10),
    };
    let mut session = journal.join(&spec).await.expect("joined");
    let mut older = None;
    for number in 0..24 {
        journal.append(model::batch("w", number, model::count(number), 250)).await.expect("appended");
        if number == 3 {
            // Part of the history is in the database, part in the log.
            let side = rusqlite::Connection::open(path.join("journal.db")).expect("opens");
            side.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).expect("copied");
        }
        if number == 12 {
            older = Some(Image::take(&path));
        }
        let batch = session.next(&BatchLimits::default()).await.expect("next");
        session.commit(Vec::new(), &batch.progress).await.expect("committed");
    }
    session.leave().await.expect("left");
    let mut records = BTreeMap::new();
    for topic in model::TOPICS {
        for partition in 0..model::PARTITIONS {
            for stored in drain(&journal, topic, partition).await.expect("read") {
                records.insert((topic.to_owned(), partition, stored.offset), stored.record);
            }
        }
    }
    let progress = stands(journal.groups().await.expect("groups"));
    let killed = Image::take(&path);
    journal.close().await.expect("closed");
    let image = if clean_end { Image::take(&path) } else { killed };
    (Original { image, records, progress }, older.expect("was taken"))
}

fn stands(groups: Vec<GroupState>) -> Vec<(String, Progress)> {
    groups.into_iter().map(|state| (state.group, state.progress)).collect()
}

/// Opens and reads everything; an error in words is a broken promise.
async fn examine(original: &Original, image: &Image, faults: Faults) -> Result<End, String> {
    let (_dir, path) = image.lay_out();
    let options = Options { faults, ..Options::default() };
    let (records, progress) = (original.records.clone(), original.progress.clone());
    let read = tokio::spawn(async move {
        let named = |error: Error| match error.kind() {
            ErrorKind::Corrupt | ErrorKind::Invalid | ErrorKind::Unavailable => Ok(End::Named),
            kind => Err(format!("{kind:?}: {error}")),
        };
        let journal = match EmbeddedJournal::open(&path, options) {
            Ok(journal) => journal,
            Err(error) => return named(error),
        };
        let (mut end, mut count) = (End::Whole, 0);
        for topic in model::TOPICS {
            for partition in 0..model::PARTITIONS {
                let mut scan = match journal.scan(topic, partition, 0, None).await {
                    Ok(scan) => scan,
                    Err(error) => return named(error),
                };
                loop {
                    let page = match scan.next(7).await {
                        Ok(page) if page.is_empty() => break,
                        Ok(page) => page,
                        Err(error) => {
                            end = named(error)?;
                            break;
                        }
                    };
                    for stored in page {
                        let place = (topic.to_owned(), partition, stored.offset);
                        if records.get(&place) != Some(&stored.record) {
                            return Err(format!("wrong data at {place:?}"));
                        }
                        count += 1;
                    }
                }
            }
        }
        match journal.groups().await {
            Ok(found) if stands(found.clone()) == progress => {}
            Ok(found) => return Err(format!("wrong progress: {found:?}")),
            Err(error) => end = named(error)?,
        }
        if end == End::Whole && count < records.len() {
            return Err(format!("silent loss: {count} of {} records", records.len()));
        }
        if end == End::Whole
            && let Err(error) = journal.append(model::batch("after", 0, 3, 10)).await
        {
            end = named(error)?;
        }
        // It may say more, but it must not fall over.
        if let Err(error) = journal.verify().await {
            named(error)?;
        }
        Ok(end)
    });
    read.await.unwrap_or_else(|e| Err(format!("panic: {e}")))
}

type Damage = fn(&mut StdRng, &mut Image) -> String;

fn flip(dice: &mut StdRng, bytes: &mut [u8]) -> String {
    let at = dice.random_range(0..bytes.len());
    let bit = dice.random_range(0..8);
    bytes[at] ^= 1 << bit;
    format!("bit {bit} of byte {at}")
}

fn cut(dice: &mut StdRng, bytes: &mut Vec<u8>) -> String {
    let less = dice.random_range(1..=bytes.len().min(20_000));
    bytes.truncate(bytes.len() - less);
    format!("the last {less} bytes cut off")
}

fn zero(dice: &mut StdRng, bytes: &mut [u8]) -> String {
    let at = dice.random_range(0..bytes.len());
    let to = (at + 512).min(bytes.len());
    bytes[at..to].fill(0);
    format!("zeros from {at} to {to}")
}

fn garbage(dice: &mut StdRng, bytes: &mut Vec<u8>) -> String {
    let more = dice.random_range(1..5_000);
    bytes.extend((0..more).map(|_| dice.random::<u8>()));
    format!("{more} bytes of garbage appended")
}

fn swap(dice: &mut StdRng, bytes: &mut [u8]) -> String {
    let pages = bytes.len() / 4_096;
    let (a, b) = (dice.random_range(0..pages), dice.random_range(0..pages));
    let page = bytes[a * 4_096..(a + 1) * 4_096].to_vec();
    bytes.copy_within(b * 4_096..(b + 1) * 4_096, a * 4_096);
    bytes[b * 4_096..(b + 1) * 4_096].copy_from_slice(&page);
    format!("pages {a} and {b} swapped")
}

/// Kinds of damage, each with the file it strikes.
const KINDS: &[(&str, Damage)] = &[
    ("flip in the database", |dice, image| flip(dice, image.database.as_mut().expect("there"))),
    ("flip in the log", |dice, image| flip(dice, image.log.as_mut().expect("there"))),
    ("flip in the head file", |dice, image| flip(dice, image.heads.as_mut().expect("there"))),
    ("cut of the database", |dice, image| cut(dice, image.database.as_mut().expect("there"))),
    ("cut of the log", |dice, image| cut(dice, image.log.as_mut().expect("there"))),
    ("cut of the head file", |dice, image| cut(dice, image.heads.as_mut().expect("there"))),
    ("zeros in the database", |dice, image| zero(dice, image.database.as_mut().expect("there"))),
    ("zeros in the log", |dice, image| zero(dice, image.log.as_mut().expect("there"))),
    ("garbage behind the database", |dice, image| garbage(dice, image.database.as_mut().expect("there"))),
    ("garbage behind the log", |dice, image| garbage(dice, image.log.as_mut().expect("there"))),
    ("garbage behind the head file", |dice, image| garbage(dice, image.heads.as_mut().expect("there"))),
    ("pages of the database swapped", |dice, image| swap(dice, image.database.as_mut().expect("there"))),
];

async fn strike(clean_end: bool) {
    let (original, _) = history(clean_end).await;
    assert_eq!(examine(&original, &original.image, Faults::default()).await, Ok(End::Whole), "undamaged");
    let mut dice = dice("damage");
    for (kind, damage) in KINDS {
        if clean_end && kind.contains("the log") {
            continue;
        }
        let mut ends: BTreeMap<End, usize> = BTreeMap::new();
        for _ in 0..times(25, 400) {
            let mut image = original.image.clone();
            let what = damage(&mut dice, &mut image);
            let end = examine(&original, &image, Faults::default()).await;
            *ends.entry(end.unwrap_or_else(|e| panic!("{kind}, {what}: {e}"))).or_default() += 1;
        }
        report(&format!("{kind}: {ends:?}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_after_a_kill_is_named() {
    strike(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_after_a_clean_end_is_named() {
    strike(true).await;
}

/// Every length that the end of the log, or of the database after a clean end, can be cut to: the journal is refused,
/// or nothing was lost.
#[tokio::test(flavor = "multi_thread")]
async fn every_cut_of_the_end_is_noticed() {
    for clean_end in [false, true] {
        let (original, _) = history(clean_end).await;
        let step = if crate::scene::thorough() { 1 } else { 509 };
        let mut refused = 0;
        for less in (1..=4_096 * 6_usize).step_by(step) {
            let mut image = original.image.clone();
            let file = if clean_end { &mut image.database } else { &mut image.log };
            let bytes = file.as_mut().expect("there");
            bytes.truncate(bytes.len() - less);
            let end = examine(&original, &image, Faults::default()).await;
            refused += usize::from(end.unwrap_or_else(|e| panic!("{less} bytes less: {e}")) == End::Named);
        }
        assert!(refused > 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_gone_or_of_another_copy_are_refused() {
    let (original, older) = history(false).await;
    let (other, _) = history(false).await;
    let of = |database: &Image, log: &Image, heads: &Image| Image {
        database: database.database.clone(),
        log: log.log.clone(),
        heads: heads.heads.clone(),
    };
    let image = &original.image;
    let refused = [
        ("the log is gone", Image { log: None, ..image.clone() }),
        ("the log is empty", Image { log: Some(Vec::new()), ..image.clone() }),
        ("the log is an older one", of(image, &older, image)),
        ("the log is another journal's", of(image, &other.image, image)),
        ("the database is empty", Image { database: Some(Vec::new()), ..image.clone() }),
        ("the database is gone", Image { database: None, ..image.clone() }),
        ("database and log are gone", Image { database: None, log: None, ..image.clone() }),
        ("database and log are another journal's", of(&other.image, &other.image, image)),
        ("a backup was restored", of(&older, &older, image)),
        ("the head file is gone", Image { heads: None, ..image.clone() }),
        ("the head file is another journal's", of(image, image, &other.image)),
        ("the head file is empty", Image { heads: Some(Vec::new()), ..image.clone() }),
    ];
    for (what, image) in refused {
        let (_dir, path) = image.lay_out();
        let error = EmbeddedJournal::open(&path, Options::default()).err().unwrap_or_else(|| panic!("{what}: opens"));
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}");
        assert!(error.to_string().contains("--accept-loss") || what.contains("another"), "{what}: {error}");
        // A refusal leaves the files as they were, so that something can still be done about them.
        let left = Image::take(&path);
        assert_eq!((left.database, left.heads), (image.database, image.heads), "{what}");
        assert_eq!(left.log.unwrap_or_default(), image.log.unwrap_or_default(), "{what}");
    }
    // The head file alone may be behind: a power cut leaves that.
    let behind = of(image, image, &older);
    assert_eq!(examine(&original, &behind, Faults::default()).await, Ok(End::Whole));
}

/// Counts broken promises among damaged journals.
async fn broken(kind: &str, faults: Faults, clean_end: bool) -> Vec<String> {
    let (original, _) = history(clean_end).await;
    let (_, damage) = KINDS.iter().find(|(name, _)| *name == kind).expect("a kind");
    let mut dice = dice("control");
    let mut broken = Vec::new();
    for _ in 0..60 {
        let mut image = original.image.clone();
        damage(&mut dice, &mut image);
        broken.extend(examine(&original, &image, faults).await.err());
    }
    broken
}

/// The control: the same check on a journal that does not look at checksums.
#[tokio::test(flavor = "multi_thread")]
async fn serving_without_checksums_is_caught() {
    let broken = broken("flip in the database", Faults { skip_crc: true, ..Faults::default() }, true).await;
    assert!(broken.iter().any(|what| what.starts_with("wrong data")), "{broken:?}");
}

/// The control: the same check on a journal that does not look at the head file.
#[tokio::test(flavor = "multi_thread")]
async fn opening_without_the_head_file_is_caught() {
    let broken = broken("cut of the log", Faults { skip_head_check: true, ..Faults::default() }, false).await;
    assert!(
        broken.iter().any(|what| what.starts_with("silent loss") || what.starts_with("wrong progress")),
        "{broken:?}"
    );
}

/// A damaged record stops its readers until it is given up by name; then they pass exactly that one.
#[tokio::test(flavor = "multi_thread")]
async fn damaged_records_are_given_up_by_name() {
    let (original, _) = history(true).await;
    let (_dir, path) = original.image.lay_out();
    let journal = EmbeddedJournal::open(&path, Options::default()).expect("opens");
    let side = rusqlite::Connection::open(path.join("journal.db")).expect("opens");
    // Content; checksum only; chain; the row itself; content of two in a row; the last one.
    let last =
        original.records.keys().filter(|(t, p, _)| t == "runs" && *p == 0).map(|(.., o)| *o).max().expect("some");
    let lost = [3, 9, 12, 15, 16, last];
    side.execute("UPDATE p1 SET value = x'00' WHERE offset IN (3, 15, 16) OR offset = ?1", [last as i64])
        .expect("done");
    side.execute("UPDATE p1 SET crc = crc + 1 WHERE offset = 5", []).expect("done");
    side.execute("UPDATE p1 SET chain = zeroblob(32) WHERE offset = 9", []).expect("done");
    side.execute("DELETE FROM p1 WHERE offset = 12", []).expect("done");

    let error = drain(&journal, "runs", 0).await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let said = error.to_string();
    assert!(said.contains("runs/0/3 is damaged") && said.contains("verify --accept-loss runs/0/3"), "{said}");

    let at = |offset| Position::new("runs", 0, offset);
    for refused in [at(4), at(10_000), Position::new("nothing", 0, 0)] {
        let error = journal.give_up(&[at(3), refused.clone()]).await.expect_err("refused");
        assert!(matches!(error.kind(), ErrorKind::Invalid | ErrorKind::NotFound), "{refused}: {error}");
    }
    assert!(drain(&journal, "runs", 0).await.is_err(), "a refusal does nothing");

    let damaged = journal.verify().await.expect("verified").damage;
    for offset in lost.iter().chain([&5]) {
        let place = at(*offset).to_string();
        assert!(damaged.iter().any(|d| d.place == place), "{place}: {damaged:?}");
        journal.give_up(&[at(*offset)]).await.expect("given up");
    }
    for again in [3, 5] {
        assert_eq!(journal.give_up(&[at(again)]).await.expect_err("not damaged any more").kind(), ErrorKind::Invalid);
    }
    // What can be calculated again is not lost: the checksum, and the chain.
    let mended = |offset: &u64| [5, 9].contains(offset);
    journal.close().await.expect("closed");
    let journal = EmbeddedJournal::open(&path, Options::default()).expect("opens");
    let found: BTreeMap<u64, Record> =
        drain(&journal, "runs", 0).await.expect("read").into_iter().map(|s| (s.offset, s.record)).collect();
    for ((topic, partition, offset), record) in &original.records {
        if topic == "runs" && *partition == 0 {
            let expected = (!lost.contains(offset) || mended(offset)).then_some(record);
            assert_eq!(found.get(offset), expected, "{offset}");
        }
    }
    let verified = journal.verify().await.expect("verified");
    assert_eq!(verified.damage, []);
    assert_eq!(verified.losses.len(), 7, "{:?}", verified.losses);
    assert!(verified.losses.iter().any(|l| l.place == "runs/0/5" && l.what.contains("nothing was lost")));

    // What was lost can come again, elsewhere; what was not is a repetition.
    let again = |offset: u64| Append {
        topic: "runs".into(),
        partition: Some(0),
        record: original.records[&("runs".to_owned(), 0, offset)].clone(),
    };
    let receipts = journal.append(vec![again(3), again(4)]).await.expect("appended");
    assert_eq!(
        receipts.iter().map(|r| (r.position.offset, r.duplicate)).collect::<Vec<_>>(),
        [(last + 1, false), (4, true)]
    );
    let receipts = journal.append(vec![again(3)]).await.expect("appended");
    assert_eq!((receipts[0].position.offset, receipts[0].duplicate), (last + 1, true));
    assert_eq!(journal.verify().await.expect("verified").damage, []);
}
