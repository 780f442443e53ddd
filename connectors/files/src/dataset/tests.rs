//! The promises of the module, on a real file system.

use super::*;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

#[derive(Clone)]
struct Line {
    at: i64,
    id: String,
    line: Vec<u8>,
}

impl Row for Line {
    fn occurred_at(&self) -> i64 {
        self.at
    }
    fn id(&self) -> &str {
        &self.id
    }
    fn line(&self) -> &[u8] {
        &self.line
    }
}

/// `n` rows, times not in the order of ids, sizes differing.
fn lines(n: i64) -> Vec<Line> {
    (0..n)
        .map(|i| {
            let id = format!("e{:05}", (i * 7919) % 10_007);
            let text = "x".repeat((i as usize * 31) % 200);
            let line = format!(r#"{{"evidence_id":"{id}","run_id":"r{i}","score_id":"s{i}","text":"{text}"}}"#);
            Line { at: i % 17 - 8, id, line: line.into_bytes() }
        })
        .collect()
}

fn about() -> About {
    About {
        kind: "sft".into(),
        shape: "trl/messages".into(),
        evidence: 7,
        cut: Cut { id: "c".into(), positions: vec![("runs".into(), 0, 9)] },
        ..About::default()
    }
}

fn write(out: &Path, rows: &[Line], limits: Limits) -> Result<Written, DatasetError> {
    let mut builder = Builder::create(out, "sft-0123", limits, false)?;
    rows.iter().try_for_each(|row| builder.row(row))?;
    builder.finish(about())
}

fn names(dir: &Path) -> BTreeSet<String> {
    fs::read_dir(dir).expect("lists").map(|e| e.expect("an entry").file_name().into_string().expect("text")).collect()
}

fn set<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

#[test]
fn rows_come_out_in_order_however_they_came_in_and_however_little_memory_there_is() {
    let mut rows = lines(3_000);
    let mut sorted = rows.clone();
    sorted.sort_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id)));
    let expected: Vec<u8> = sorted.iter().flat_map(|row| [&row.line, &b"\n"[..]].concat()).collect();
    // 300 bytes are less than two rows: 3,000 runs, merged over three levels.
    for (turn, memory) in [64 << 20, 10_000, 300].into_iter().enumerate() {
        let out = tempfile::tempdir().expect("a directory");
        let pivot = turn * 977;
        rows.rotate_left(pivot);
        let written = write(out.path(), &rows, Limits { memory, ..Limits::default() }).expect("writes");
        let path = written.path.join("data/train-00000-of-00001.jsonl");
        assert!(fs::read(&path).expect("reads") == expected, "memory {memory}");
        assert_eq!(written.manifest.counts.rows, 3_000);
        assert_eq!(names(out.path()), set(["sft-0123"]));
        assert_eq!(names(&written.path), set(["README.md", "data", "manifest.json"]));
        assert_eq!(fs::metadata(&path).expect("is there").mode() & 0o777, 0o600);
    }
}

#[test]
fn shards_hold_all_rows_and_are_named_by_their_number() {
    let out = tempfile::tempdir().expect("a directory");
    let rows = lines(100);
    let written = write(out.path(), &rows, Limits { shard: 4_000, memory: 1_000 }).expect("writes");
    let files: Vec<_> = written.manifest.files.iter().filter(|f| f.rows > 0).collect();
    assert!(files.len() > 2);
    for (i, file) in files.iter().enumerate() {
        assert_eq!(file.path, format!("data/train-{i:05}-of-{:05}.jsonl", files.len()));
        assert!(file.bytes <= 4_000);
    }
    let dataset = Dataset::open(&written.path).expect("opens");
    dataset.verify().expect("whole");
    let read: Vec<RowLine> = dataset.rows().collect::<Result<_, _>>().expect("reads");
    assert_eq!(read.len(), 100);
    let row = &read[41];
    assert_eq!(dataset.find(&row.run_id).expect("reads").as_ref(), Some(row));
    assert_eq!(dataset.find(&row.evidence_id).expect("reads").as_ref(), Some(row));
    assert_eq!(dataset.find("nobody").expect("reads"), None);
}

#[test]
fn a_row_twice_is_refused() {
    for memory in [1 << 20, 1] {
        let out = tempfile::tempdir().expect("a directory");
        let rows = [lines(2), lines(1)].concat();
        let error = write(out.path(), &rows, Limits { memory, ..Limits::default() }).expect_err("twice");
        assert!(matches!(error, DatasetError::Twice(_)), "{error}");
        assert_eq!(names(out.path()), set([]));
    }
}

#[test]
fn no_rows_are_a_dataset_too() {
    let out = tempfile::tempdir().expect("a directory");
    let written = write(out.path(), &[], Limits::default()).expect("writes");
    assert_eq!(fs::read(written.path.join("data/train-00000-of-00001.jsonl")).expect("reads"), b"");
    Dataset::open(&written.path).expect("opens").verify().expect("whole");
    assert!(!fs::read_to_string(written.path.join("README.md")).expect("reads").contains("num_examples"));
}

#[test]
fn the_same_again_is_left_as_it_is_and_another_is_an_error() {
    let out = tempfile::tempdir().expect("a directory");
    let first = write(out.path(), &lines(10), Limits::default()).expect("writes");
    let inode = fs::metadata(first.path.join("manifest.json")).expect("is there").ino();
    let again = write(out.path(), &lines(10), Limits { memory: 1, ..Limits::default() }).expect("writes");
    assert!(again.already_there && !first.already_there);
    assert_eq!((&again.manifest, &again.manifest_sha256), (&first.manifest, &first.manifest_sha256));
    assert_eq!(fs::metadata(first.path.join("manifest.json")).expect("is there").ino(), inode);

    let error = write(out.path(), &lines(9), Limits::default()).expect_err("differs");
    assert!(matches!(error, DatasetError::Differs { .. }), "{error}");
    Dataset::open(&first.path).expect("opens").verify().expect("untouched");

    fs::write(first.path.join("data/train-00000-of-00001.jsonl"), "{}\n").expect("damages");
    let error = write(out.path(), &lines(10), Limits::default()).expect_err("damaged");
    assert!(matches!(error, DatasetError::Differs { .. }), "{error}");
    assert_eq!(names(out.path()), set(["sft-0123"]));
}

#[test]
fn a_builder_that_is_dropped_leaves_nothing() {
    let out = tempfile::tempdir().expect("a directory");
    let mut builder =
        Builder::create(out.path(), "sft-1", Limits { memory: 1, ..Limits::default() }, false).expect("begins");
    builder.row(&lines(1)[0]).expect("takes");
    assert_eq!(names(out.path()).len(), 1);
    drop(builder);
    assert_eq!(names(out.path()), set([]));
}

#[test]
fn a_builder_that_is_stopped_leaves_nothing() {
    let out = tempfile::tempdir().expect("a directory");
    prepare(out.path(), false).expect("a place");
    let mut builder = Builder::create(out.path(), "sft-1", Limits::default(), false).expect("begins");
    builder.row(&lines(1)[0]).expect("takes");
    builder.stop_flag().store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(matches!(builder.finish(about()), Err(DatasetError::Stopped)));
    assert_eq!(names(out.path()), set([]));
}

#[test]
fn leftovers_of_a_crash_are_swept_and_those_of_the_living_are_not() {
    let out = tempfile::tempdir().expect("a directory");
    let builder: Builder<Line> = Builder::create(out.path(), "sft-1", Limits::default(), false).expect("begins");
    for crashed in [".sft-2.tmp-1-0", ".sft-3.tmp-1-0"] {
        fs::create_dir(out.path().join(crashed)).expect("makes");
    }
    fs::write(out.path().join(".sft-3.tmp-1-0/lock"), "").expect("writes");
    // A link that looks like a leftover is not followed.
    let elsewhere = tempfile::tempdir().expect("a directory");
    fs::write(elsewhere.path().join("precious"), "").expect("writes");
    symlink(elsewhere.path(), out.path().join(".sft-4.tmp-1-0")).expect("links");
    let written = write(out.path(), &lines(1), Limits::default()).expect("writes");
    assert!(written.path.is_dir());
    let left = names(out.path());
    assert!(!left.contains(".sft-2.tmp-1-0") && !left.contains(".sft-3.tmp-1-0"), "{left:?}");
    assert!(left.iter().any(|name| name.starts_with(".sft-1.tmp-")), "{left:?}");
    assert!(elsewhere.path().join("precious").exists());
    drop(builder);
}

#[test]
fn places_that_are_none_are_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let root = fs::canonicalize(dir.path()).expect("a path");
    fs::create_dir_all(root.join("real/inner")).expect("makes");
    fs::write(root.join("file"), "").expect("writes");
    symlink(root.join("real/inner"), root.join("link")).expect("links");
    fs::create_dir(root.join("home")).expect("makes");
    fs::write(root.join("home/thesis.txt"), "").expect("writes");
    let refused = [
        PathBuf::new(),
        root.join("real/../real"),
        root.join("../escape"),
        root.join("file"),
        root.join("file/below"),
        root.join("link"),
        root.join("link/below"),
        PathBuf::from("/dev/null"),
        root.join("home"),
    ];
    for out in refused {
        let error = write(&out, &lines(1), Limits::default()).expect_err("refused");
        assert!(matches!(error, DatasetError::Place { .. }), "{}: {error}", out.display());
    }
    assert_eq!(names(&root), set(["file", "home", "link", "real"]));
    assert_eq!(names(&root.join("real/inner")), set([]));
    assert_eq!(names(&root.join("home")), set(["thesis.txt"]));
    // Said loudly, it may hold other things; and new ones are made.
    let builder: Builder<Line> = Builder::create(&root.join("home"), "sft-1", Limits::default(), true).expect("forced");
    drop(builder);
    write(&root.join("new/deep/place"), &lines(1), Limits::default()).expect("makes it");
    write(&root.join("new/deep/place"), &lines(1), Limits::default()).expect("holds datasets only");
    for name in ["", "..", "a/b", ".x", "A", "a b"] {
        let built: Result<Builder<Line>, _> = Builder::create(&root.join("new"), name, Limits::default(), true);
        assert!(built.is_err(), "{name}");
    }
}

#[test]
fn a_link_or_a_folder_in_the_place_of_the_dataset_is_not_written_through() {
    let out = tempfile::tempdir().expect("a directory");
    let elsewhere = tempfile::tempdir().expect("a directory");
    let mut builder = Builder::create(out.path(), "sft-0123", Limits::default(), false).expect("begins");
    builder.row(&lines(1)[0]).expect("takes");
    symlink(elsewhere.path(), out.path().join("sft-0123")).expect("links");
    let error = builder.finish(about()).expect_err("refused");
    assert!(matches!(error, DatasetError::Differs { .. }), "{error}");
    assert_eq!(names(elsewhere.path()), set([]));
    assert_eq!(names(out.path()), set(["sft-0123"]));
}

#[test]
fn damage_is_found() {
    let out = tempfile::tempdir().expect("a directory");
    let written = write(out.path(), &lines(10), Limits::default()).expect("writes");
    let data = written.path.join("data/train-00000-of-00001.jsonl");
    let whole = fs::read(&data).expect("reads");
    let check = || Dataset::open(&written.path).and_then(|d| d.verify());
    for i in (0..whole.len()).step_by(97) {
        let mut flipped = whole.clone();
        flipped[i] ^= 1;
        fs::write(&data, &flipped).expect("writes");
        assert!(matches!(check(), Err(DatasetError::Damaged { .. })), "byte {i}");
        fs::write(&data, &whole[..i]).expect("writes");
        assert!(matches!(check(), Err(DatasetError::Damaged { .. })), "cut at {i}");
    }
    fs::remove_file(&data).expect("removes");
    assert!(matches!(check(), Err(DatasetError::Damaged { .. })));
    fs::write(&data, &whole).expect("writes");
    check().expect("whole again");
    fs::write(written.path.join("data/train-extra.jsonl"), "{}\n").expect("writes");
    assert!(matches!(check(), Err(DatasetError::Damaged { .. })));
    fs::remove_file(written.path.join("data/train-extra.jsonl")).expect("removes");

    let manifest = written.path.join("manifest.json");
    let text = fs::read_to_string(&manifest).expect("reads");
    for bad in [
        String::new(),
        "{}".into(),
        text[..text.len() / 2].into(),
        text.replace("stillhouse-dataset", "other"),
        text.replace(r#""format_version": 1"#, r#""format_version": 2"#),
        text.replace("data/train-00000-of-00001.jsonl", "../../etc/passwd"),
        text.replace("data/train-00000-of-00001.jsonl", "/etc/passwd"),
    ] {
        fs::write(&manifest, &bad).expect("writes");
        assert!(matches!(Dataset::open(&written.path), Err(DatasetError::NoDataset { .. })), "{bad}");
    }
    assert!(matches!(Dataset::open(out.path()), Err(DatasetError::NoDataset { .. })));
    fs::write(&manifest, &text).expect("writes");
    assert_eq!(Dataset::open(&manifest).expect("opens by its manifest").path(), written.path);
}

#[test]
fn the_manifest_is_pinned() {
    let out = tempfile::tempdir().expect("a directory");
    let written = write(out.path(), &lines(2), Limits::default()).expect("writes");
    let text = fs::read_to_string(written.path.join("manifest.json")).expect("reads");
    let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let members: Vec<_> = value.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(
        members,
        [
            "format",
            "format_version",
            "kind",
            "shape",
            "file_format",
            "filters",
            "exporter",
            "stages",
            "counts",
            "files",
            "cut"
        ]
    );
    assert_eq!(value["cut"], serde_json::json!({"id": "c", "positions": [["runs", 0, 9]]}));
    assert_eq!(value["files"][0]["rows"], 2);
    // Only `cut` may tell where the journal stood.
    let elsewhere = tempfile::tempdir().expect("a directory");
    let mut builder = Builder::create(elsewhere.path(), "sft-9", Limits::default(), false).expect("begins");
    lines(2).iter().rev().try_for_each(|row| builder.row(row)).expect("takes");
    let cut = Cut { id: "d".into(), positions: vec![("x.runs".into(), 7, 1)] };
    let other = builder.finish(About { cut, ..about() }).expect("writes");
    assert_eq!(
        Manifest { cut: Cut::default(), ..other.manifest },
        Manifest { cut: Cut::default(), ..written.manifest }
    );
}
