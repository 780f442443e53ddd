//! The head file: what was acknowledged, kept outside the database.
//!
//! A log cannot know that its own end is missing. So every durable commit writes, after the database has it and before
//! the caller is answered, where each partition it touched ends now and the hash of the chain there. Opening compares:
//! the database must reach at least as far, with the same chain at that place.
//!
//! ```text
//!   0     magic · journal id · crc                                        4,096 bytes
//!   4096  slots of number 0: the whole journal                   A at +0, B at +512
//!   5120  slots of number 1: the partition with id 1             A at +0, B at +512
//! ```
//! The older slot of the pair is overwritten, so a torn write leaves the newer one. Slots are synced by a background
//! tick: after a power cut the file may be a second behind, never ahead, so it never raises a false alarm. Several
//! processes write it under a file lock that nobody waits long for: a stopped process must not stop the others. Who
//! gives up waiting writes all the same; at worst the file is a little behind.

use crate::framing::Hash;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const MAGIC: &[u8; 8] = b"SHHEAD01";
const HEADER: u64 = 4_096;
const SLOT: usize = 512;
/// How long to wait for another process's few writes.
const PATIENCE: Duration = Duration::from_millis(20);

/// The number of the slots that speak for the whole journal.
pub(crate) const JOURNAL: i64 = 0;

/// What is known to have been acknowledged of one partition, or of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Id of the partition, or [`JOURNAL`].
    pub(crate) id: i64,
    /// The transaction that said so.
    pub(crate) sequence: u64,
    /// Next offset. Of the journal: the highest partition id that has slots.
    pub(crate) next: u64,
    /// The chain before `next`.
    pub(crate) chain: Hash,
    /// For messages.
    pub(crate) topic: String,
    pub(crate) partition: u32,
}

impl Head {
    fn encode(&self) -> [u8; SLOT] {
        let mut out = [0; SLOT];
        out[..8].copy_from_slice(&self.id.to_le_bytes());
        out[8..16].copy_from_slice(&self.sequence.to_le_bytes());
        out[16..24].copy_from_slice(&self.next.to_le_bytes());
        out[24..56].copy_from_slice(&self.chain);
        out[56..60].copy_from_slice(&self.partition.to_le_bytes());
        let name = &self.topic.as_bytes()[..self.topic.len().min(250)];
        out[60] = name.len() as u8;
        out[61..61 + name.len()].copy_from_slice(name);
        let crc = crc32c::crc32c(&out[..SLOT - 5]);
        // Marks a written slot, so that a slot of zeros is told from a damaged one.
        out[SLOT - 5] = 1;
        out[SLOT - 4..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let crc = u32::from_le_bytes(bytes.get(SLOT - 4..SLOT)?.try_into().ok()?);
        if bytes[SLOT - 5] != 1 || crc != crc32c::crc32c(&bytes[..SLOT - 5]) {
            return None;
        }
        let u64_at = |at: usize| bytes[at..at + 8].try_into().map(u64::from_le_bytes).ok();
        let length = usize::from(bytes[60]);
        Some(Self {
            id: u64_at(0)? as i64,
            sequence: u64_at(8)?,
            next: u64_at(16)?,
            chain: bytes[24..56].try_into().ok()?,
            partition: u32::from_le_bytes(bytes[56..60].try_into().ok()?),
            topic: std::str::from_utf8(bytes.get(61..61 + length)?).ok()?.to_owned(),
        })
    }
}

/// What a pair of slots says.
enum Pair {
    Empty,
    /// The newer one, and whether it stands in B.
    Good(Head, bool),
    Damaged,
}

fn pair(id: i64, bytes: &[u8]) -> Pair {
    let (a, b) = bytes.split_at(SLOT.min(bytes.len()));
    let read = |slot: &[u8]| Head::decode(slot).filter(|head| head.id == id);
    match (read(a), read(b)) {
        (Some(a), Some(b)) if b.sequence > a.sequence => Pair::Good(b, true),
        (Some(a), _) => Pair::Good(a, false),
        (None, Some(b)) => Pair::Good(b, true),
        (None, None) if bytes.iter().all(|byte| *byte == 0) => Pair::Empty,
        (None, None) => Pair::Damaged,
    }
}

fn place(id: i64) -> u64 {
    HEADER + id as u64 * 2 * SLOT as u64
}

/// What a head file says.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Of which journal.
    pub(crate) journal: Vec<u8>,
    /// Every slot pair that was written.
    pub(crate) heads: Vec<Head>,
    /// What is wrong with the file itself.
    pub(crate) damage: Option<String>,
}

impl Known {
    /// Whether anything was ever acknowledged.
    pub(crate) fn anything(&self) -> bool {
        self.damage.is_some() || self.heads.iter().any(|head| head.sequence > 0)
    }
}

/// The open head file.
pub(crate) struct Heads {
    /// `None` for who only reads.
    file: Option<File>,
    dirty: AtomicBool,
}

impl Heads {
    /// Reads a head file; `None` if there is none.
    pub(crate) fn read(path: &Path) -> io::Result<Option<Known>> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        let damaged = |what: &str| Known { damage: Some(what.to_owned()), ..Known::default() };
        let header = bytes.get(..28).and_then(|b| b.split_last_chunk::<4>());
        let Some((header, crc)) = header.filter(|_| bytes.len() as u64 >= HEADER) else {
            return Ok(Some(damaged("it is shorter than its header")));
        };
        if &header[..8] != MAGIC || u32::from_le_bytes(*crc) != crc32c::crc32c(header) {
            return Ok(Some(damaged("its header is not one")));
        }
        let mut known = Known { journal: header[8..].to_vec(), ..Known::default() };
        let mut damaged_slots: Vec<i64> = Vec::new();
        for (id, bytes) in (0..).zip(bytes[HEADER as usize..].chunks(2 * SLOT)) {
            match pair(id, bytes) {
                Pair::Empty => {}
                Pair::Good(head, _) => known.heads.push(head),
                Pair::Damaged => damaged_slots.push(id),
            }
        }
        let slots = known.heads.iter().find(|head| head.id == JOURNAL).map(|head| head.next as i64);
        // What stands behind the slots that were made is nobody's.
        let counts = |id: i64| slots.is_none_or(|slots| id <= slots);
        let missing = |id: &i64| !known.heads.iter().any(|head| head.id == *id);
        known.damage = match damaged_slots.into_iter().find(|id| counts(*id)) {
            Some(id) => Some(format!("both slots of number {id} are wrong")),
            None => (1..=slots.unwrap_or(0)).find(missing).map(|id| format!("the slots of number {id} are gone")),
        };
        Ok(Some(known))
    }

    /// Makes a head file with nothing in it, and does not come back before it is durable.
    pub(crate) fn create(path: &Path, journal: &[u8; 16]) -> io::Result<()> {
        let young = path.with_extension("head.new");
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&young)?;
        let mut header = vec![0; HEADER as usize];
        header[..8].copy_from_slice(MAGIC);
        header[8..24].copy_from_slice(journal);
        let crc = crc32c::crc32c(&header[..24]);
        header[24..28].copy_from_slice(&crc.to_le_bytes());
        file.write_all_at(&header, 0)?;
        file.sync_all()?;
        std::fs::rename(&young, path)?;
        path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
    }

    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Self { file: Some(file), dirty: AtomicBool::new(false) })
    }

    /// Of who only reads: takes no notice of anything.
    pub(crate) fn untouched() -> Self {
        Self { file: None, dirty: AtomicBool::new(false) }
    }

    /// Writes what was acknowledged, unless another process already wrote more.
    pub(crate) fn write(&self, heads: &[Head]) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let locked = lock(file)?;
        let outcome = heads.iter().try_for_each(|head| write_one(file, head));
        self.dirty.store(true, Ordering::Release);
        if locked {
            file.unlock()?;
        }
        outcome
    }

    /// Syncs what was written since the last time.
    pub(crate) fn sync(&self) -> io::Result<()> {
        if let Some(file) = self.file.as_ref().filter(|_| self.dirty.swap(false, Ordering::AcqRel)) {
            file.sync_data().inspect_err(|_| self.dirty.store(true, Ordering::Release))?;
        }
        Ok(())
    }

    pub(crate) fn is_dirty(&self) -> bool {
        self.dirty.load(Ordering::Acquire)
    }
}

fn write_one(file: &File, head: &Head) -> io::Result<()> {
    let at = place(head.id);
    let mut bytes = [0; 2 * SLOT];
    let mut have = 0;
    while have < bytes.len() {
        match file.read_at(&mut bytes[have..], at + have as u64)? {
            0 => break,
            n => have += n,
        }
    }
    let mut head = head.clone();
    let in_b = match pair(head.id, &bytes) {
        Pair::Good(known, _) if known.sequence > head.sequence => return Ok(()),
        Pair::Good(known, newer_in_b) => {
            if head.id == JOURNAL {
                head.next = head.next.max(known.next);
            }
            !newer_in_b
        }
        Pair::Empty | Pair::Damaged => {
            // Takes the room of both, so that a full disk cannot come between them later.
            file.write_all_at(&bytes, at)?;
            false
        }
    };
    file.write_all_at(&head.encode(), at + if in_b { SLOT as u64 } else { 0 })
}

fn lock(file: &File) -> io::Result<bool> {
    let begin = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) if begin.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_micros(100));
            }
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(e)) => return Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(id: i64, sequence: u64) -> Head {
        Head { id, sequence, next: sequence * 10, chain: [7; 32], topic: "runs".into(), partition: 3 }
    }

    #[test]
    fn the_newest_good_slot_counts() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("journal.head");
        Heads::create(&path, &[1; 16]).expect("created");
        let heads = Heads::open(&path).expect("opened");
        for sequence in 1..=4 {
            heads.write(&[head(1, sequence)]).expect("written");
        }
        heads.write(&[head(1, 2)]).expect("an older one is ignored");
        let known = || Heads::read(&path).expect("read").expect("is there");
        assert_eq!(known().heads, [head(1, 4)]);

        // Tearing either slot leaves the other; tearing both is noticed.
        let file = OpenOptions::new().write(true).open(&path).expect("opened");
        file.write_all_at(&[0xff; 40], place(1) + SLOT as u64).expect("torn");
        assert_eq!(known().heads, [head(1, 3)]);
        file.write_all_at(&[0xff; 40], place(1)).expect("torn");
        assert!(known().damage.is_some());
    }

    #[test]
    fn a_cut_file_is_noticed() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("journal.head");
        Heads::create(&path, &[1; 16]).expect("created");
        let heads = Heads::open(&path).expect("opened");
        heads.write(&[Head { next: 2, ..head(JOURNAL, 1) }, head(1, 1), head(2, 1)]).expect("written");
        let whole = Heads::read(&path).expect("read").expect("is there");
        assert!(whole.damage.is_none() && whole.heads.len() == 3, "{whole:?}");
        for length in [0, 27, 4_095, 4_096 + 1_024, 4_096 + 2_048] {
            OpenOptions::new().write(true).open(&path).expect("opened").set_len(length).expect("cut");
            let known = Heads::read(&path).expect("read").expect("is there");
            // Without its first slots the file looks new; that is what the sequence in the database is for.
            assert!(known.damage.is_some() || length == 4_096, "{length}: {known:?}");
            std::fs::remove_file(&path).expect("removed");
            Heads::create(&path, &[1; 16]).expect("created");
            let heads = Heads::open(&path).expect("opened");
            heads.write(&[Head { next: 2, ..head(JOURNAL, 1) }, head(1, 1), head(2, 1)]).expect("written");
        }
    }
}
