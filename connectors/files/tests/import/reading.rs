//! Finding records in files: forms, limits, places.

use super::{Folder, PLAIN, import, import_files, mapping};
use proptest::prelude::*;
use std::io::{self, Read, Write};
use stillhouse_files::import::Options;
use stillhouse_files::lines::{Broken, Format, Limits, Splitter};
use stillhouse_schemas::Payload;

type Found = Result<String, String>;

/// Hands out the bytes in pieces of the given sizes, over and over.
struct Chunks<'a> {
    bytes: &'a [u8],
    sizes: Vec<usize>,
    next: usize,
}

impl Read for Chunks<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let size = self.sizes[self.next % self.sizes.len()].max(1).min(self.bytes.len()).min(buf.len());
        self.next += 1;
        let (now, later) = self.bytes.split_at(size);
        buf[..size].copy_from_slice(now);
        self.bytes = later;
        Ok(size)
    }
}

fn pieces(input: impl Read, format: Option<Format>, cap: usize) -> (Option<Format>, Vec<(u64, u64, Found)>) {
    let mut splitter = match Splitter::new(input, format, Limits { record_bytes: cap }) {
        Ok(splitter) => splitter,
        Err(broken) => return (None, vec![(broken.place().line, broken.place().offset, Err(broken.to_string()))]),
    };
    let mut found = Vec::new();
    while let Some(piece) = splitter.next_piece() {
        found.push(match piece {
            Ok(piece) => {
                let bytes = piece.bytes.map(|b| String::from_utf8_lossy(&b).into_owned()).map_err(|f| f.to_string());
                (piece.place.line, piece.place.offset, bytes)
            }
            Err(broken) => (broken.place().line, broken.place().offset, Err(broken.to_string())),
        });
    }
    (Some(splitter.format()), found)
}

fn taken(text: &str, format: Option<Format>) -> (Option<Format>, Vec<(u64, u64, Found)>) {
    pieces(text.as_bytes(), format, 1 << 20)
}

fn good(found: &[(u64, u64, Found)]) -> Vec<(u64, u64, &str)> {
    found.iter().filter_map(|(l, o, b)| Some((*l, *o, b.as_ref().ok()?.as_str()))).collect()
}

#[test]
fn the_form_is_found_by_the_first_bytes() {
    for (text, format) in [
        ("{\"a\":1}\n{\"a\":2}\n", Format::Lines),
        ("{\"a\":1}", Format::Lines),
        ("\n\n  {\"a\":\"}\"}\r\n", Format::Lines),
        ("{\"cut\": \n{\"a\":2}\n", Format::Lines),
        ("", Format::Lines),
        ("null\n", Format::Lines),
        ("  [\n1]", Format::Array),
        ("{\n  \"a\": 1\n}\n{\n  \"a\": 2\n}\n", Format::Concatenated),
    ] {
        assert_eq!(taken(text, None).0, Some(format), "{text:?}");
    }
}

#[test]
fn lines_know_their_places_and_empty_ones_are_counted() {
    let mut splitter = Splitter::new(
        &b"\xef\xbb\xbf{\"a\":1}\r\n\r\n   \n{\"b\":\"\xe2\x80\xa8\"}\n{\"c\":3}"[..],
        None,
        Limits::default(),
    )
    .unwrap();
    let mut found = Vec::new();
    while let Some(piece) = splitter.next_piece() {
        let piece = piece.unwrap();
        found.push((
            piece.place.line,
            piece.place.offset,
            piece.place.record,
            String::from_utf8(piece.bytes.unwrap()).unwrap(),
            piece.last,
        ));
    }
    let line = |l, o, r, t: &str, last| (l, o, r, t.to_owned(), last);
    assert_eq!(
        found,
        [
            line(1, 3, 1, "{\"a\":1}", false),
            line(4, 18, 2, "{\"b\":\"\u{2028}\"}", false),
            line(5, 30, 3, "{\"c\":3}", true)
        ]
    );
    assert_eq!(splitter.blank_lines(), 2);
}

#[test]
fn ten_thousand_empty_lines_are_passed_over() {
    let text = format!("{}{{\"a\":1}}\n", "\n".repeat(10_000));
    let (_, found) = taken(&text, None);
    assert_eq!(good(&found), [(10_001, 10_000, "{\"a\":1}")]);
}

#[test]
fn a_line_beyond_the_cap_is_reported_and_the_next_is_read() {
    let text = format!("{{\"a\":1}}\n\"{}\"\n{{\"b\":2}}\n", "x".repeat(300_000));
    let (_, found) = pieces(text.as_bytes(), None, 100_000);
    assert_eq!(good(&found), [(1, 0, "{\"a\":1}"), (3, 300_011, "{\"b\":2}")]);
    assert_eq!(found[1].2, Err("the record is 300002 bytes long, and 100000 are taken at most".into()));
    // Exactly at the cap, with either end of line.
    for end in ["\n", "\r\n"] {
        let text = format!("\"{}\"{end}{{}}\n", "x".repeat(98));
        assert_eq!(good(&pieces(text.as_bytes(), None, 100).1).len(), 2, "{end:?}");
        let text = format!("\"{}\"{end}{{}}\n", "x".repeat(99));
        assert_eq!(good(&pieces(text.as_bytes(), None, 100).1).len(), 1, "{end:?}");
    }
}

#[test]
fn elements_of_an_array_come_one_by_one() {
    let (_, found) = taken("[\n {\"a\": \"],[\"},\n\n {\"b\": [1, {}]} , 3, \"x,y\"\n]\n", None);
    assert_eq!(
        good(&found),
        [(2, 3, "{\"a\": \"],[\"}"), (4, 19, "{\"b\": [1, {}]}"), (4, 36, "3"), (4, 39, "\"x,y\"")]
    );
    assert_eq!(taken("[]", None).1, []);
    assert_eq!(taken(" [ \n ] ", None).1, []);
}

#[test]
fn a_bad_element_costs_only_itself_while_brackets_pair() {
    let (_, found) = taken("[{\"a\":1}, {\"b\" 2}, , {\"c\":3} {\"d\":4}, {\"e\":\"\\\"}\"},]", None);
    let texts: Vec<_> = found.iter().map(|(_, o, f)| (*o, f.as_deref().unwrap_or_else(|e| e))).collect();
    assert_eq!(
        texts,
        [
            (1, "{\"a\":1}"),
            (10, "{\"b\" 2}"),
            (19, "a record is missing between commas"),
            (21, "{\"c\":3} {\"d\":4}"),
            (38, "{\"e\":\"\\\"}\"}"),
            (50, "a record is missing between commas"),
        ]
    );
}

#[test]
fn a_broken_array_says_where_it_broke() {
    for (text, good_ones, place, message) in [
        ("[{\"a\":1}, {\"b\":[1}, {\"c\":3}]", 1, (1, 10), "brackets do not pair"),
        ("[{\"a\":1},\n{\"b\":2", 1, (2, 10), "never closed"),
        ("[{\"a\":1}", 1, (1, 0), "the array that begins here is never closed"),
        ("[{\"a\":1}] {\"b\":2}", 1, (1, 10), "more after the end of the array"),
        ("[{\"a\":\"x},\n{\"b\":2}]", 0, (1, 1), "brackets do not pair"),
        ("[{\"a\":\"x}, {\"b\":2}", 0, (1, 1), "never closed"),
    ] {
        let (_, found) = taken(text, None);
        assert_eq!(good(&found).len(), good_ones, "{text}");
        let (line, offset, last) = found.last().unwrap();
        assert_eq!((*line, *offset), place, "{text}");
        assert!(last.as_ref().unwrap_err().contains(message), "{text}: {last:?}");
    }
    let asked = taken("{\"a\":1}", Some(Format::Array)).1;
    assert!(asked[0].2.as_ref().unwrap_err().contains("no array begins here"), "{asked:?}");
}

#[test]
fn values_may_follow_each_other_over_lines() {
    let (_, found) = taken("{\n \"a\": \"}\"\n}\n\n{\"b\":\n2}{\"c\":3} xx {\"d\":4}\n\u{1e}{\"e\":5}\n", None);
    let texts: Vec<_> = found.iter().map(|(l, _, f)| (*l, f.as_deref().unwrap_or_else(|e| e))).collect();
    assert_eq!(
        texts,
        [
            (1, "{\n \"a\": \"}\"\n}"),
            (5, "{\"b\":\n2}"),
            (6, "{\"c\":3}"),
            (6, "this cannot begin a record"),
            (6, "{\"d\":4}"),
            (7, "{\"e\":5}"),
        ]
    );
}

#[test]
fn a_hundred_thousand_brackets_cost_nothing() {
    let deep = format!("[{}{}, {{\"a\":1}}]", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(good(&taken(&deep, None).1).len(), 2);
    let endless = format!("[{}", "[".repeat(100_000));
    assert!(matches!(taken(&endless, None).1[..], [(1, 1, Err(_))]));
}

#[test]
fn what_is_no_json_text_is_refused_with_a_remedy() {
    for (bytes, what) in [
        (&b"\xff\xfe{\0\"\0"[..], "UTF-16"),
        (b"\xfe\xff\0{\0\"", "UTF-16"),
        (b"{\0\"\0a\0", "UTF-16"),
        (b"\x28\xb5\x2f\xfd....", "zstd"),
        (b"PK\x03\x04....", "zip"),
        (b"PAR1....", "Parquet"),
    ] {
        match Splitter::new(bytes, None, Limits::default()) {
            Err(broken @ Broken::Foreign { .. }) => assert!(broken.to_string().contains(what), "{broken}"),
            Err(other) => panic!("{what}: {other}"),
            Ok(_) => panic!("{what} was taken"),
        }
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn gzip_is_read_member_by_member() {
    let (one, two) = (gzip(b"{\"q\":\"1\",\"a\":\"x\"}\n{\"q\":"), gzip(b"\"2\",\"a\":\"y\"}\n"));
    let imported = import(mapping(PLAIN), [one, two].concat());
    assert_eq!((imported.events.len(), imported.rejections.len()), (2, 0), "{:?}", imported.reasons());
}

#[test]
fn cut_or_trailed_gzip_is_an_error_at_its_offset_and_what_was_whole_is_taken() {
    let lines: String = (0..2_000).map(|i| format!("{{\"q\":\"{i}\",\"a\":\"x{i}\"}}\n")).collect();
    let packed = gzip(lines.as_bytes());

    let imported = import(mapping(PLAIN), &packed[..packed.len() / 2]);
    assert!(!imported.events.is_empty() && imported.events.len() < 2_000);
    let reasons = imported.reasons();
    assert!(
        reasons.last().unwrap().contains(&format!("cut at byte {} of the compressed file", packed.len() / 2)),
        "{reasons:?}"
    );

    let imported = import(mapping(PLAIN), [&packed[..], b"garbage"].concat());
    assert_eq!(imported.events.len(), 2_000);
    let reasons = imported.reasons();
    assert!(reasons[0].contains(&format!("at byte {} of the compressed file", packed.len())), "{reasons:?}");

    let mut flipped = packed.clone();
    let end = flipped.len() - 6;
    flipped[end] ^= 1;
    let reasons = import(mapping(PLAIN), flipped).reasons();
    assert!(reasons.last().unwrap().contains("damaged"), "{reasons:?}");
}

#[test]
fn a_file_is_read_as_long_as_it_was_when_it_was_opened() {
    let folder = Folder::new();
    let line = |i| format!("{{\"q\":\"{i}\",\"a\":\"x\"}}\n");
    let path = folder.file("growing.jsonl", line(1) + &line(2));
    let mut reading = stillhouse_files::import::Reading::new(
        mapping(PLAIN),
        vec![path.to_str().unwrap().to_owned()],
        Options::default(),
    )
    .unwrap();
    assert_eq!(reading.next_step().unwrap().results.len(), 1);
    let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(line(3).as_bytes()).unwrap();
    let rest = std::iter::from_fn(|| reading.next_step()).count();
    assert_eq!(rest, 1, "the third line came after the file was opened");
}

#[test]
fn only_files_are_read() {
    let folder = Folder::new();
    let fifo = folder.0.path().join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(made.success());
    for (path, what) in [
        (folder.0.path(), "is a directory"),
        (fifo.as_path(), "is a FIFO"),
        (&folder.0.path().join("none"), "no such file"),
    ] {
        let error = stillhouse_files::import::survey(&[path.to_str().unwrap().to_owned()]).unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
        let imported = import_files(mapping(PLAIN), &[path], Options::default());
        assert!(imported.reasons()[0].contains(what), "{:?}", imported.reasons());
    }
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let value = prop_oneof![
        Just("{\"a\": 1}".to_owned()),
        Just("{\n\"b\": [1, {\"c\": \"}\"}]\n}".to_owned()),
        Just("{\"d\": \"\\\"]\u{e9}\u{2028}\"}".to_owned()),
        Just("[[1], 2]".to_owned()),
        Just("{\"cut".to_owned()),
        Just("{\"a\" 1]".to_owned()),
        Just("\"".to_owned()),
        Just("x".repeat(200)),
    ];
    let between = prop_oneof![Just("\n"), Just("\r\n"), Just(",\n"), Just(", "), Just("\n\n"), Just(""), Just("]")];
    let first = prop_oneof![Just(""), Just("["), Just("\u{feff}"), Just("\n")];
    (first, proptest::collection::vec((value, between), 0..12), prop_oneof![Just(""), Just("]"), Just("\n")]).prop_map(
        |(first, parts, end)| {
            let mut text = first.to_owned();
            for (value, between) in parts {
                text.push_str(&value);
                text.push_str(between);
            }
            text.push_str(end);
            text.into_bytes()
        },
    )
}

proptest! {
    #[test]
    fn records_do_not_depend_on_how_the_stream_arrives(
        bytes in stream(),
        sizes in proptest::collection::vec(1_usize..40, 1..6),
        cap in prop_oneof![Just(64_usize), Just(1 << 20)],
    ) {
        let whole = pieces(&bytes[..], None, cap);
        let chunked = pieces(Chunks { bytes: &bytes, sizes, next: 0 }, None, cap);
        prop_assert_eq!(whole, chunked);
    }

    #[test]
    fn reading_goes_on_at_any_mark(bytes in stream(), at in 0_usize..12) {
        let mut splitter = Splitter::new(&bytes[..], None, Limits::default()).unwrap();
        let format = splitter.format();
        let mut all = Vec::new();
        while let Some(Ok(piece)) = splitter.next_piece() {
            all.push(piece);
        }
        if let Some(piece) = all.get(at) {
            let rest = &bytes[usize::try_from(piece.mark.offset).unwrap()..];
            let mut resumed = Splitter::resume(rest, format, piece.mark, Limits::default());
            let mut again = Vec::new();
            while let Some(Ok(piece)) = resumed.next_piece() {
                again.push(piece);
            }
            prop_assert_eq!(&all[at + 1..], &again[..]);
        }
    }
}

/// Rows with what data frames hold: a list of structs, a time, a missing value.
fn parquet(rows: usize) -> Vec<u8> {
    use arrow_array::{ArrayRef, ListArray, RecordBatch, StringArray, StructArray, TimestampMicrosecondArray};
    use arrow_buffer::OffsetBuffer;
    use arrow_schema::{DataType, Field, Fields};
    use std::sync::Arc;
    let fields =
        Fields::from(vec![Field::new("role", DataType::Utf8, true), Field::new("content", DataType::Utf8, true)]);
    let said: Vec<(&str, String)> =
        (0..rows).flat_map(|n| [("user", format!("Question {n}")), ("assistant", format!("Answer {n}"))]).collect();
    let turns: ArrayRef = Arc::new(StructArray::new(
        fields.clone(),
        vec![
            Arc::new(StringArray::from_iter_values(said.iter().map(|(role, _)| *role))),
            Arc::new(StringArray::from_iter_values(said.iter().map(|(_, content)| content))),
        ],
        None,
    ));
    let item = Arc::new(Field::new("item", DataType::Struct(fields), true));
    let turns: ArrayRef = Arc::new(ListArray::new(item, OffsetBuffer::from_lengths(vec![2; rows]), turns, None));
    let at = |n: usize| n.is_multiple_of(2).then_some(1_767_225_600_000_000 + n as i64);
    let at: ArrayRef = Arc::new((0..rows).map(at).collect::<TimestampMicrosecondArray>().with_timezone("UTC"));
    let batch = RecordBatch::try_from_iter_with_nullable([("turns", turns, true), ("at", at, true)]).unwrap();
    let mut writer = ::parquet::arrow::ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

const FRAME: &str = r#"
name = "frame"
messages = "{turns}"
started_at = "{at}"
"#;

#[test]
fn rows_of_parquet_are_records() {
    let bytes = parquet(700);
    let imported = import(mapping(FRAME), &bytes);
    assert_eq!((imported.records, imported.events.len()), (700, 700), "{:?}", imported.reasons());
    let Payload::Run(run) = &imported.events[2].payload else { panic!("a run") };
    assert_eq!(run.messages[1].content.as_deref(), Some("Answer 2"));
    assert_eq!(run.started_at, Some(1_767_225_600_000_002));
    let Payload::Run(run) = &imported.events[3].payload else { panic!("a run") };
    assert_eq!(run.started_at, None);
}

#[test]
fn damaged_parquet_is_an_error_wherever_it_is_damaged() {
    let bytes = parquet(40);
    for at in (0..bytes.len()).step_by(7) {
        assert!(!import(mapping(FRAME), &bytes[..at]).rejections.is_empty(), "cut at {at}");
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x41;
        // Values that are others now are none that anyone can tell; what counts is that it comes to an end.
        drop(import(mapping(FRAME), flipped));
    }
}
