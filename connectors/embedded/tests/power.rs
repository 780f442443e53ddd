//! The states that a power cut can leave.
//!
//! The files are copied after each step. What differs between two copies was being written in between: a disk may
//! have kept any of its sectors. What an earlier step synced, it has. The head file is synced by a tick of its own, so
//! each of its sectors may be as it was after any step so far.
//!
//! The model: sectors of 512 bytes are written whole or not at all, a sync means what it says, and the length of a
//! file is one of those it had. A step either appends (the log changes, and is synced before the answer) or copies the
//! log into the database (the database changes, and is synced before the log begins anew). When the log begins anew,
//! its header is synced before the frames are written.

use crate::model::{self, check};
use crate::scene::{Image, dice, report, times};
use rand::Rng;
use rand::rngs::StdRng;
use stillhouse_embedded::{EmbeddedJournal, Options};
use stillhouse_streams::{ErrorKind, Journal};

const SECTOR: usize = 512;
/// Of SQLite's write-ahead log.
const LOG_HEADER: usize = 32;

/// After a step: the files, and how many batches were answered.
struct Moment {
    image: Image,
    answered: usize,
}

/// A journal's life in steps.
async fn life(dice: &mut StdRng, steps: usize) -> Vec<Moment> {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("journal");
    let journal = EmbeddedJournal::open(&path, Options::default()).expect("opens");
    model::ensure(&journal).await;
    let side = rusqlite::Connection::open(path.join("journal.db")).expect("opens");
    let mut answered = 0;
    let mut moments = vec![Moment { image: Image::take(&path), answered }];
    for _ in 0..steps {
        let before = &moments.last().expect("the first").image;
        let copies = dice.random_ratio(1, 4);
        if copies {
            side.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).expect("copied");
        } else {
            let number = answered as u64;
            journal.append(model::batch("w", number, model::count(number), 200)).await.expect("appended");
            answered += 1;
        }
        let image = Image::take(&path);
        // The model rests on this.
        let changed = if copies { image.log == before.log } else { image.database == before.database };
        assert!(changed, "a step changed what it should not");
        moments.push(Moment { image, answered });
    }
    moments
}

#[derive(Clone, Copy, Debug)]
enum Loss {
    /// Nothing that was not synced is there.
    Everything,
    /// Any sector may be there or not.
    Some,
    /// Written from the front, up to a sector.
    Prefix,
}

/// A file in between two copies of itself.
fn between(
    dice: &mut StdRng,
    loss: Loss,
    is_log: bool,
    before: Option<&Vec<u8>>,
    after: Option<&Vec<u8>>,
) -> Option<Vec<u8>> {
    let (Some(before), Some(after)) = (before, after) else { return after.or(before).cloned() };
    let grown = dice.random_bool(0.5);
    let length = if grown { before.len().max(after.len()) } else { before.len() };
    let sectors = length.div_ceil(SECTOR);
    let changed = |index: usize| {
        let of = |bytes: &Vec<u8>| bytes.get(index * SECTOR..).map(|rest| rest[..rest.len().min(SECTOR)].to_vec());
        of(before) != of(after)
    };
    let count = (0..sectors).filter(|index| changed(*index)).count();
    let kept = dice.random_range(0..=count);
    let mut seen = 0;
    let mut mixed = before.clone();
    mixed.resize(length, 0);
    if is_log && !matches!(loss, Loss::Everything) && after.len() >= LOG_HEADER {
        mixed[..LOG_HEADER].copy_from_slice(&after[..LOG_HEADER]);
    }
    for index in (0..sectors).filter(|index| changed(*index)) {
        seen += 1;
        let new = match loss {
            Loss::Everything => false,
            Loss::Some => dice.random_bool(0.5),
            Loss::Prefix => seen <= kept,
        };
        let range = index * SECTOR..((index + 1) * SECTOR).min(length).min(after.len());
        if new && !range.is_empty() {
            mixed[range.clone()].copy_from_slice(&after[range]);
        }
    }
    Some(mixed)
}

/// A head file whose sectors are each of some moment up to now.
fn heads(dice: &mut StdRng, past: &[Moment]) -> Vec<u8> {
    let of = |moment: &Moment| moment.image.heads.clone().expect("is there from the first moment on");
    let mut mixed = of(past.last().expect("at least one"));
    for (index, sector) in mixed.chunks_mut(SECTOR).enumerate() {
        let old = of(&past[dice.random_range(0..past.len())]);
        if let Some(old) = old.get(index * SECTOR..index * SECTOR + sector.len()) {
            sector.copy_from_slice(old);
        }
    }
    mixed
}

/// Opens a state: everything that was answered is there, the batch in between whole or not at all.
async fn inspect(image: &Image, answered: usize) -> Result<usize, String> {
    let (_dir, path) = image.lay_out();
    let journal = EmbeddedJournal::open(&path, Options::default()).map_err(|e| format!("refused: {e}"))?;
    let batches = check(&journal).await?.batches("w").len();
    if batches < answered || batches > answered + 1 {
        return Err(format!("{batches} batches are there, {answered} were answered"));
    }
    let damage = journal.verify().await.map_err(|e| e.to_string())?.damage;
    if damage.is_empty() { Ok(batches - answered) } else { Err(format!("verify: {damage:?}")) }
}

#[tokio::test(flavor = "multi_thread")]
async fn power_cuts_lose_nothing_and_raise_no_false_alarm() {
    let mut dice = dice("power cuts");
    let (mut states, mut survivors) = (0, 0);
    for _ in 0..times(1, 10) {
        let moments = life(&mut dice, 30).await;
        for now in 0..moments.len() - 1 {
            for loss in [Loss::Everything, Loss::Some, Loss::Prefix] {
                for _ in 0..times(2, 10) {
                    let (before, after) = (&moments[now].image, &moments[now + 1].image);
                    let image = Image {
                        database: between(&mut dice, loss, false, before.database.as_ref(), after.database.as_ref()),
                        log: between(&mut dice, loss, true, before.log.as_ref(), after.log.as_ref()),
                        heads: Some(heads(&mut dice, &moments[..=now])),
                    };
                    let outcome = inspect(&image, moments[now].answered).await;
                    survivors += outcome.unwrap_or_else(|e| panic!("step {now}, {loss:?}: {e}"));
                    states += 1;
                }
            }
        }
    }
    report(&format!("{states} states; in {survivors} the unanswered batch was there"));
}

/// The control: a disk that did not sync the log before the answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_missing_sync_is_caught() {
    let mut dice = dice("power control");
    let moments = life(&mut dice, 12).await;
    let now = moments.last().expect("some");
    let mut caught = 0;
    for earlier in moments.iter().filter(|moment| moment.answered < now.answered) {
        let image = Image { log: earlier.image.log.clone(), ..now.image.clone() };
        if image.log == now.image.log {
            continue;
        }
        let what = inspect(&image, now.answered).await.expect_err("the loss of an answered batch was not noticed");
        // An older log beside a newer database is refused as one or the other.
        assert!(what.starts_with("refused"), "{what}");
        caught += 1;
    }
    assert!(caught > 0);
}

/// What a power cut may do without syncs, [`stillhouse_embedded::Durability::Process`] allows: losing the end, not
/// more. The head file knows only what was synced, so it does not object.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_sync_per_commit_the_end_may_go_and_opening_works() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("journal");
    let options = Options { durability: stillhouse_embedded::Durability::Process, ..Options::default() };
    let journal = EmbeddedJournal::open(&path, options.clone()).expect("opens");
    model::ensure(&journal).await;
    journal.close().await.expect("closed, which syncs");
    let journal = EmbeddedJournal::open(&path, options.clone()).expect("opens");
    let before = Image::take(&path);
    for number in 0..5 {
        journal.append(model::batch("w", number, model::count(number), 200)).await.expect("appended");
    }
    let after = Image::take(&path);
    drop(journal);
    // The tick may have synced meanwhile; then the head file says so, and the older log is rightly refused.
    let image = Image { log: before.log.clone(), ..after.clone() };
    let (_dir, path) = image.lay_out();
    match EmbeddedJournal::open(&path, options) {
        Ok(journal) => assert_eq!(check(&journal).await.expect("whole").batches("w").len(), 0),
        Err(error) => {
            assert_ne!(after.heads, before.heads, "refused although nothing was promised: {error}");
            assert_eq!(error.kind(), ErrorKind::Corrupt);
        }
    }
}
