//! Going on where an interrupted import came to.

use super::{Folder, PLAIN, mapping};
use std::io::Write;
use stillhouse_files::import::{Checkpoint, CheckpointFile, Counts, Options, Reading, Resume, open};

fn lines(count: usize) -> String {
    (0..count).map(|i| format!("{{\"q\":\"{i}\",\"a\":\"x\"}}\n")).collect()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn rest(reading: &mut Reading) -> Vec<String> {
    let mut ids = Vec::new();
    while let Some(step) = reading.next_step() {
        ids.extend(step.results.into_iter().map(|r| r.map_or_else(|e| e.to_string(), |e| e.envelope.id)));
    }
    ids
}

#[test]
fn what_was_taken_is_not_read_again_in_any_form() {
    let array = format!("[{}]", lines(20).trim_end().replace('\n', ",\n  "));
    let spread = lines(20).replace("{\"q\"", "{\n\"q\"");
    for (name, bytes) in [
        ("lines", lines(20).into_bytes()),
        ("array", array.clone().into_bytes()),
        ("spread", spread.into_bytes()),
        ("gz", gzip(&array)),
    ] {
        let folder = Folder::new();
        let path = folder.file(name, bytes).to_str().unwrap().to_owned();
        for stop in [1, 7, 19, 20] {
            let mut reading = Reading::new(mapping(PLAIN), vec![path.clone()], Options::default()).unwrap();
            let mut ids = Vec::new();
            let mut resume = None;
            for _ in 0..stop {
                let step = reading.next_step().unwrap();
                ids.extend(step.results.into_iter().map(|r| r.unwrap().envelope.id));
                resume = Some(Resume { format: reading.current().unwrap().1, taken: step.taken.unwrap() });
            }
            let all = [ids, rest(&mut reading)].concat();
            let mut again = Reading::new(mapping(PLAIN), vec![path.clone()], Options::default()).unwrap();
            again.resume(0, resume.unwrap());
            assert_eq!(rest(&mut again), all[stop..], "{name} after {stop}");
        }
    }
}

#[test]
fn another_file_under_the_same_name_is_read_from_its_beginning() {
    let folder = Folder::new();
    let path = folder.file("f", lines(5)).to_str().unwrap().to_owned();
    let mut reading = Reading::new(mapping(PLAIN), vec![path.clone()], Options::default()).unwrap();
    let step = (0..3).map(|_| reading.next_step().unwrap()).last().unwrap();
    let resume = Resume { format: reading.current().unwrap().1, taken: step.taken.unwrap() };
    for changed in [lines(5).replace("\"2\"", "\"9\""), lines(1), String::from("[]")] {
        folder.file("f", &changed);
        let mut again = Reading::new(mapping(PLAIN), vec![path.clone()], Options::default()).unwrap();
        again.resume(0, resume.clone());
        let mut fresh = Reading::new(mapping(PLAIN), vec![path.clone()], Options::default()).unwrap();
        assert_eq!(rest(&mut again), rest(&mut fresh));
    }
}

#[test]
fn a_checkpoint_is_of_one_file_mapping_and_target() {
    let folder = Folder::new();
    let path = folder.file("f", lines(3));
    let text = path.to_str().unwrap();
    let identity = || open(text, std::sync::Arc::default()).unwrap().identity.unwrap();
    let map = mapping(PLAIN);
    let place = |map, target: &[&str]| CheckpointFile::of(&folder.0.path().join("imports"), &path, map, target);
    let here = place(&map, &["journal", "runs"]);
    assert!(here.load(&identity()).is_none());
    let checkpoint = Checkpoint {
        file: identity(),
        format: stillhouse_files::lines::Format::Lines,
        taken: Default::default(),
        witness: Some(("id".into(), "runs/0/1".into())),
        counts: Counts { records: 3, ..Counts::default() },
    };
    here.save(&checkpoint).unwrap();
    assert_eq!(here.load(&identity()), Some(checkpoint));
    assert!(place(&map, &["journal", "claims"]).load(&identity()).is_none());
    assert!(place(&mapping(&format!("{PLAIN}model = \"m\"\n")), &["journal", "runs"]).load(&identity()).is_none());
    std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(lines(1).as_bytes()).unwrap();
    assert!(here.load(&identity()).is_none(), "the file was written to since");
    here.remove();
    here.remove();
}
