//! The promises of the module, on a real file system.

use super::*;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

#[derive(Clone)]
struct Line {
    split: &'static str,
    line: Vec<u8>,
    origins: Vec<u8>,
}

impl Row for Line {
    fn split(&self) -> &'static str {
        self.split
    }
    fn line(&self) -> &[u8] {
        &self.line
    }
    fn origins(&self) -> &[u8] {
        &self.origins
    }
}

/// `n` rows of differing sizes.
fn lines(n: usize) -> Vec<Line> {
    (0..n)
        .map(|i| {
            let text = "x".repeat((i * 31) % 200);
            let list = (0..i % 3).map(|k| format!(r#"{{"a":{k},"t":"é"}}"#)).collect::<Vec<_>>().join(",");
            let any = ["null", "1.50", "[1,{}]", "\"s\""][i % 4];
            Line {
                split: "train",
                line: format!(
                    r#"{{"any":{any},"id":{i},"list":[{list}],"ok":{},"score":0.2500,"text":"{text}"}}"#,
                    i % 2 == 0
                )
                .into_bytes(),
                origins: format!(r#"[{{"evidence_id":"e{i}","run_id":"r{i}","score_id":"s{i}"}}]"#).into_bytes(),
            }
        })
        .collect()
}

const fn column(name: &'static str, ty: Type) -> Column {
    Column { name, ty }
}

const ITEM: Type = Type::Struct(&[column("a", Type::Int), column("t", Type::Text)]);

const COLUMNS: &[Column] = &[
    column("any", Type::Json),
    column("id", Type::Int),
    column("list", Type::List(&ITEM)),
    column("missing", Type::Text),
    column("ok", Type::Bool),
    column("score", Type::Float),
    column("text", Type::Text),
];

fn layout(format: &'static dyn Format) -> Layout {
    Layout { format, columns: COLUMNS, declared: true, splits: vec!["train"] }
}

fn about() -> About {
    About {
        kind: "sft".into(),
        shape: "trl/messages".into(),
        counts: Counts { evidence: 7, used: 7, ..Counts::default() },
        cut: Cut { id: "c".into(), positions: vec![("runs".into(), 0, 9)] },
        ..About::default()
    }
}

fn write(out: &Path, rows: &[Line], limits: Limits) -> Result<Written, DatasetError> {
    write_as(layout(JSONL), out, rows, limits)
}

fn write_as(layout: Layout, out: &Path, rows: &[Line], limits: Limits) -> Result<Written, DatasetError> {
    let mut builder = Builder::create(out, "sft-0123", layout, limits, false)?;
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
fn entries_come_out_in_order_however_they_came_in_and_however_little_memory_there_is() {
    let entry = |i: usize| {
        let key = format!("{:03}", (i * 7919) % 500);
        (key.into_bytes(), "v".repeat((i * 31) % 200).into_bytes())
    };
    let mut expected: Vec<_> = (0..3_000).map(entry).collect();
    expected.sort();
    // 300 bytes are about two entries: hundreds of runs, merged over several levels.
    for (turn, memory) in [64 << 20, 10_000, 300].into_iter().enumerate() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut sorter = Sorting::new(dir.path().join("sorting"), memory).sorter(1.0).expect("a sorter");
        for i in 0..3_000 {
            let (key, value) = entry((i + turn * 977) % 3_000);
            sorter.put(&key, &value).expect("takes");
        }
        let mut sorted = sorter.sorted().expect("sorts");
        let mut found = vec![];
        while let Some((key, value)) = sorted.next().expect("reads") {
            found.push((key.to_vec(), value.to_vec()));
        }
        assert!(found == expected, "memory {memory}");
    }
}

#[test]
fn rows_are_written_as_they_come() {
    let out = tempfile::tempdir().expect("a directory");
    let rows = lines(300);
    let written = write(out.path(), &rows, Limits::default()).expect("writes");
    let path = written.path.join("data/train-00000-of-00001.jsonl");
    let expected: Vec<u8> = rows.iter().flat_map(|row| [&row.line, &b"\n"[..]].concat()).collect();
    assert!(fs::read(&path).expect("reads") == expected);
    assert_eq!(written.manifest.counts.rows, 300);
    assert_eq!(names(out.path()), set(["sft-0123"]));
    assert_eq!(names(&written.path), set(["README.md", "data", "lineage.jsonl", "manifest.json"]));
    assert_eq!(fs::metadata(&path).expect("is there").mode() & 0o777, 0o600);
    let dataset = Dataset::open(&written.path).expect("opens");
    assert_eq!(dataset.first_line().expect("reads").map(String::into_bytes), Some(rows[0].line.clone()));
}

#[test]
fn splits_have_files_of_their_own_and_the_card_says_so() {
    let out = tempfile::tempdir().expect("a directory");
    let mut rows = lines(30);
    rows.iter_mut().skip(1).step_by(3).for_each(|row| row.split = "test");
    let splits = vec!["train", "validation", "test"];
    let written = write_as(Layout { splits, ..layout(JSONL) }, out.path(), &rows, Limits::default()).expect("writes");
    let counts: Vec<_> = written.manifest.splits.iter().map(|split| (split.name.as_str(), split.rows)).collect();
    assert_eq!(counts, [("train", 20), ("validation", 0), ("test", 10)]);
    assert_eq!(
        names(&written.path.join("data")),
        set(["test-00000-of-00001.jsonl", "train-00000-of-00001.jsonl"]),
        "a split without rows has no file that a reader would stumble over"
    );
    let card = fs::read_to_string(written.path.join("README.md")).expect("reads");
    for part in
        ["{split: train, path: \"data/train-*\"}", "{split: test, ", "name: test, num_bytes: ", "num_examples: 10}"]
    {
        assert!(card.contains(part), "{part}: {card}");
    }
    assert!(!card.contains("split: validation"));
    let dataset = Dataset::open(&written.path).expect("opens");
    let second: Vec<_> =
        dataset.rows().map(|row| row.expect("reads")).take(2).map(|r| (r.split, r.number, r.run_id)).collect();
    assert_eq!(second, [("train".into(), 1, "r0".into()), ("test".into(), 1, "r1".into())]);
}

#[test]
fn parquet_is_the_same_bytes_each_time_and_holds_what_the_lines_say() {
    let rows = lines(2_500);
    let [first, second] = [0, 1].map(|_| {
        let out = tempfile::tempdir().expect("a directory");
        let written = write_as(layout(PARQUET), out.path(), &rows, Limits::default()).expect("writes");
        Dataset::open(&written.path).expect("opens").verify().expect("whole");
        fs::read(written.path.join("data/train-00000-of-00001.parquet")).expect("reads")
    });
    assert!(first == second, "the bytes differ");
    let text = String::from_utf8_lossy(&first);
    assert!(!text.contains("ARROW:schema") && !text.contains("parquet-rs"), "nothing tells the library's version");
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(first))
        .expect("opens");
    assert_eq!(reader.metadata().num_row_groups(), 3);
    let mut read = vec![];
    for batch in reader.build().expect("reads") {
        let batch = batch.expect("a batch");
        assert!(
            batch
                .schema()
                .fields()
                .iter()
                .map(|f| f.name().as_str())
                .eq(["any", "id", "list", "missing", "ok", "score", "text"])
        );
        let text = |name: &str| {
            batch
                .column_by_name(name)
                .and_then(|c| c.as_any().downcast_ref::<arrow_array::StringArray>())
                .expect("text")
                .clone()
        };
        let (any, texts, missing) = (text("any"), text("text"), text("missing"));
        use arrow_array::Array;
        for i in 0..batch.num_rows() {
            assert!(missing.is_null(i));
            read.push(((!any.is_null(i)).then(|| any.value(i).to_owned()), texts.value(i).len()));
        }
    }
    let expected =
        |i: usize| ([None, Some("1.50"), Some("[1,{}]"), Some("\"s\"")][i % 4].map(str::to_owned), (i * 31) % 200);
    assert!(read.into_iter().eq((0..2_500).map(expected)), "JSON keeps its digits, texts their lengths");
    let out = tempfile::tempdir().expect("a directory");
    let empty = write_as(layout(PARQUET), out.path(), &[], Limits::default()).expect("an empty one is one too");
    Dataset::open(&empty.path).expect("opens").verify().expect("whole");
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
        Builder::create(out.path(), "sft-1", layout(JSONL), Limits { memory: 1, ..Limits::default() }, false)
            .expect("begins");
    builder.row(&lines(1)[0]).expect("takes");
    assert_eq!(names(out.path()).len(), 1);
    drop(builder);
    assert_eq!(names(out.path()), set([]));
}

#[test]
fn leftovers_of_a_crash_are_swept_and_those_of_the_living_are_not() {
    let out = tempfile::tempdir().expect("a directory");
    let builder: Builder<Line> =
        Builder::create(out.path(), "sft-1", layout(JSONL), Limits::default(), false).expect("begins");
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
    let builder: Builder<Line> =
        Builder::create(&root.join("home"), "sft-1", layout(JSONL), Limits::default(), true).expect("forced");
    drop(builder);
    write(&root.join("new/deep/place"), &lines(1), Limits::default()).expect("makes it");
    write(&root.join("new/deep/place"), &lines(1), Limits::default()).expect("holds datasets only");
    for name in ["", "..", "a/b", ".x", "A", "a b"] {
        let built: Result<Builder<Line>, _> =
            Builder::create(&root.join("new"), name, layout(JSONL), Limits::default(), true);
        assert!(built.is_err(), "{name}");
    }
}

#[test]
fn a_link_or_a_folder_in_the_place_of_the_dataset_is_not_written_through() {
    let out = tempfile::tempdir().expect("a directory");
    let elsewhere = tempfile::tempdir().expect("a directory");
    let mut builder = Builder::create(out.path(), "sft-0123", layout(JSONL), Limits::default(), false).expect("begins");
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
        text.replace(r#""format_version": 2"#, r#""format_version": 3"#),
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
            "splits",
            "files",
            "cut"
        ]
    );
    assert_eq!(value["cut"], serde_json::json!({"id": "c", "positions": [["runs", 0, 9]]}));
    assert_eq!(value["files"][0]["rows"], 2);
    // Only `cut` may tell where the journal stood.
    let elsewhere = tempfile::tempdir().expect("a directory");
    let mut builder =
        Builder::create(elsewhere.path(), "sft-9", layout(JSONL), Limits::default(), false).expect("begins");
    lines(2).iter().try_for_each(|row| builder.row(row)).expect("takes");
    let cut = Cut { id: "d".into(), positions: vec![("x.runs".into(), 7, 1)] };
    let other = builder.finish(About { cut, ..about() }).expect("writes");
    assert_eq!(
        Manifest { cut: Cut::default(), ..other.manifest },
        Manifest { cut: Cut::default(), ..written.manifest }
    );
}
