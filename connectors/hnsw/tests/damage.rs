//! Dumps that are damaged, cut short, mixed up or of something else: refused by name, or the very same index.

use proptest::strategy::{Strategy, ValueTree};
use std::fs;
use std::path::{Path, PathBuf};
use stillhouse_hnsw::measure::Clusters;
use stillhouse_hnsw::{Distance, Error, Groups, Index, Query, Settings};

use crate::settings;

const DIMS: usize = 12;
const ROWS: u64 = 300;

fn small(distance: Distance) -> Settings {
    Settings { young_rows: 64, threads: 1, ..settings(DIMS, distance) }
}

/// Segments, young rows, gone ones and progress.
fn made(seed: u64) -> Index {
    let mut clusters = Clusters::new(ROWS as usize, DIMS, seed);
    let index = Index::new(small(Distance::Cosine)).expect("settings");
    for key in 0..ROWS {
        index.put(key, (key % 3) as u32, &clusters.vector()).expect("put");
        if key == 120 || key == 250 {
            index.freeze().expect("frozen");
        }
    }
    (0..ROWS).step_by(7).for_each(|key| assert!(index.delete(key)));
    index
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder).expect("folder").map(|e| e.expect("entry").path()).collect();
    found.sort();
    found
}

/// All rows and all that a search says.
fn contents(index: &Index) -> String {
    let vector = &[0.3; DIMS];
    let query = Query { vector, k: ROWS as usize, groups: Groups::all(), ..Query::default() };
    let rows: Vec<_> = (0..ROWS).map(|key| index.get(key)).collect();
    format!("{:?} {:?} {rows:?}", index.search(&query).expect("searched"), index.groups())
}

fn open(folder: &Path) -> Result<(Index, Vec<u8>), Error> {
    Index::open(folder, small(Distance::Cosine))
}

/// Refused, naming the file.
fn assert_refused(folder: &Path, file: &Path) {
    match open(folder) {
        Err(error @ Error::Refused { .. }) => {
            let name = file.file_name().expect("a name").to_string_lossy();
            assert!(error.to_string().contains(name.as_ref()), "{error} names {name}");
        }
        other => panic!("{} was taken: {:?}", file.display(), other.map(|_| ())),
    }
}

#[test]
fn any_flipped_bit_and_any_cut_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let index = made(1);
    index.dump(folder.path(), b"progress 7").expect("dumped");
    let whole = contents(&index);
    let (loaded, progress) = open(folder.path()).expect("loaded");
    assert_eq!((contents(&loaded), &progress[..]), (whole, &b"progress 7"[..]));
    drop((loaded, index));
    let names = files(folder.path());
    assert_eq!(names.len(), 4, "two segments, the state and the manifest: {names:?}");
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for file in &names {
        let bytes = fs::read(file).expect("file");
        let changes = (0..bytes.len(), 1u8..=255, 0..3);
        for _ in 0..150 {
            let (at, flip, how) = changes.new_tree(&mut runner).expect("a change").current();
            let mut changed = bytes.clone();
            match how {
                0 => changed[at] ^= flip,
                1 => changed.truncate(at),
                _ => changed.insert(at, flip),
            }
            if changed != bytes {
                fs::write(file, changed).expect("written");
                assert_refused(folder.path(), file);
            }
        }
        fs::write(file, &bytes).expect("written");
    }
    open(folder.path()).expect("all is as it was");
    for file in &names {
        let bytes = fs::read(file).expect("file");
        fs::remove_file(file).expect("removed");
        match open(folder.path()) {
            Err(Error::Missing(_)) if file.ends_with("manifest") => {}
            _ => assert_refused(folder.path(), file),
        }
        fs::write(file, &bytes).expect("written");
    }
}

/// Checksums that fit do not make a file a segment: what a crafted header says is compared with what is there.
#[test]
fn a_segment_that_lies_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    made(1).dump(folder.path(), b"").expect("dumped");
    let names = files(folder.path());
    let segment = names.iter().find(|path| path.to_string_lossy().contains("segment-")).expect("a segment");
    let bytes = fs::read(segment).expect("file");
    let manifest = fs::read_to_string(folder.path().join("manifest")).expect("manifest");
    let body = manifest.lines().next().expect("a line");
    let old = blake3::hash(&bytes).to_string();
    for word in 0..16 {
        for value in [0u32, 1, 7, 0xffff, u32::MAX] {
            let mut changed = bytes.clone();
            changed[word * 4..][..4].copy_from_slice(&value.to_le_bytes());
            let body = body.replace(&old, blake3::hash(&changed).to_hex().as_str()) + "\n";
            fs::write(segment, &changed).expect("written");
            fs::write(folder.path().join("manifest"), format!("{body}blake3 {}\n", blake3::hash(body.as_bytes())))
                .expect("written");
            // What is left to lie about (where a walk begins, say) may spoil an answer, but ends nothing.
            if let Ok((index, _)) = open(folder.path()) {
                let ask = Query {
                    vector: &[1.0; DIMS],
                    k: 5,
                    groups: Groups::all(),
                    plan: Some(stillhouse_hnsw::Plan::Hnsw),
                    ..Query::default()
                };
                assert!(index.search(&ask).expect("searched").hits.len() == 5, "word {word} {value}");
            }
        }
    }
}

#[test]
fn other_settings_other_indexes_and_no_index_are_told_apart() {
    let [one, two, none] = [(); 3].map(|()| tempfile::tempdir().expect("a folder"));
    made(1).dump(one.path(), b"").expect("dumped");
    made(2).dump(two.path(), b"").expect("dumped");
    assert!(matches!(open(none.path()), Err(Error::Missing(_))));
    let manifest = one.path().join("manifest");
    for other in [small(Distance::Dot), Settings { dims: DIMS + 1, ..small(Distance::Cosine) }] {
        let refused = Index::open(one.path(), other).expect_err("refused").to_string();
        assert!(refused.contains(&manifest.display().to_string()), "{refused}");
    }
    for (ours, theirs) in files(one.path()).iter().zip(&files(two.path())) {
        let bytes = fs::read(ours).expect("file");
        fs::copy(theirs, ours).expect("copied");
        if !ours.ends_with("manifest") {
            assert_refused(one.path(), ours);
        } else {
            assert!(matches!(open(one.path()), Err(Error::Refused { .. })), "a manifest of other files");
        }
        fs::write(ours, bytes).expect("written");
    }
}

#[test]
fn a_dump_that_ends_anywhere_leaves_the_one_before_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let index = made(1);
    index.dump(folder.path(), b"first").expect("dumped");
    let first = contents(&index);
    let before: Vec<(PathBuf, Vec<u8>)> =
        files(folder.path()).into_iter().map(|path| (path.clone(), fs::read(path).expect("file"))).collect();
    index.put(5_000, 9, &[1.0; DIMS]).expect("put");
    index.compact().expect("compacted");
    index.dump(folder.path(), b"second").expect("dumped");
    let after = files(folder.path());
    assert_eq!(after.len(), 3, "what is not needed is removed: {after:?}");
    assert_eq!(open(folder.path()).expect("loaded").1, b"second");
    // As it is before the manifest is renamed: old files, and new ones whole or in part.
    for (path, bytes) in &before {
        fs::write(path, bytes).expect("written");
    }
    fs::write(folder.path().join("segment.part"), b"half").expect("written");
    let (loaded, progress) = open(folder.path()).expect("loaded");
    assert_eq!((contents(&loaded), &progress[..]), (first, &b"first"[..]));
    loaded.dump(folder.path(), b"third").expect("dumped");
    assert_eq!(files(folder.path()).len(), before.len(), "and swept up");
}

#[test]
fn one_thread_writes_the_same_bytes() {
    let [one, two] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let dump = |folder: &Path| {
        made(3).dump(folder, b"same").expect("dumped");
        files(folder)
            .into_iter()
            .map(|path| (path.file_name().map(ToOwned::to_owned), fs::read(path).expect("file")))
            .collect::<Vec<_>>()
    };
    assert!(dump(one.path()) == dump(two.path()));
}
