//! The JSONL contracts in two implementations: what one writes the other writes again, byte for byte.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use stillhouse_kit::dice::Dice;
use stillhouse_processors::contracts::{CONTRACTS, Contract, ScoredRun, Verdict};
use stillhouse_processors::exporter::canonical::Json;
use stillhouse_schemas::{Category, Evidence, Score, ScoreFailed};

use crate::harness::{Stack, dataset, root, say, size};
use crate::inputs::{gsm8k, tau};

fn file(contract: &Contract, what: &str) -> PathBuf {
    root().join(format!("schemas/contracts/{}.{what}", contract.name))
}

/// The lines of a file that ends every line, the last one too, with `\n` and nothing else.
fn lines(contract: &Contract, what: &str) -> Vec<String> {
    let path = file(contract, what);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let whole = text.strip_suffix('\n').unwrap_or_else(|| panic!("{} does not end its last line", path.display()));
    whole.split('\n').map(str::to_owned).collect()
}

/// What the second implementation writes of these lines; nothing for those it refuses.
fn python(contract: &str, lines: &[impl AsRef<[u8]>]) -> Vec<Option<Vec<u8>>> {
    let script = root().join("tests/e2e/fixtures/python/contracts.py");
    let mut child = Command::new("python3")
        .arg(script)
        .arg(contract)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3");
    let mut stdin = child.stdin.take().expect("a pipe");
    let input: Vec<u8> = lines.iter().flat_map(|line| [line.as_ref(), b"\n"].concat()).collect();
    let writer = std::thread::spawn(move || stdin.write_all(&input).expect("it reads"));
    let output = child.wait_with_output().expect("output");
    writer.join().expect("the writer");
    assert!(output.status.success(), "the second implementation failed");
    let mut written: Vec<_> = output.stdout.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    assert_eq!(written.pop(), Some(Vec::new()), "it ends its last line");
    assert_eq!(written.len(), lines.len(), "a line for a line");
    written.into_iter().map(|line| (!line.starts_with(b"refused: ")).then_some(line)).collect()
}

fn found(lines: &[impl AsRef<[u8]>]) -> Vec<Option<Vec<u8>>> {
    lines.iter().map(|line| Some(line.as_ref().to_vec())).collect()
}

#[test]
fn golden_files_are_what_both_write() {
    for contract in CONTRACTS {
        let (golden, loose) = (lines(contract, "golden.jsonl"), lines(contract, "loose.jsonl"));
        assert_eq!(golden.len(), loose.len(), "{}", contract.name);
        for (golden, loose) in golden.iter().zip(&loose) {
            assert_eq!(contract.check(golden), Ok(()), "{golden}");
            assert_eq!(contract.canonical(loose).as_deref(), Ok(golden.as_bytes()), "{loose}");
            assert!(contract.check(loose).is_err(), "another spelling is seen: {loose}");
            assert!(!golden.ends_with(char::is_whitespace), "{golden}");
        }
        assert_eq!(python(contract.name, &golden), found(&golden), "{}", contract.name);
        assert_eq!(python(contract.name, &loose), found(&golden), "{}", contract.name);
    }
}

#[test]
fn both_refuse_the_same_lines() {
    for contract in CONTRACTS {
        let refused = lines(contract, "refused.jsonl");
        let taken: Vec<_> = refused.iter().filter(|line| contract.read(line).is_ok()).collect();
        assert_eq!(taken, Vec::<&String>::new(), "{} takes them", contract.name);
        let taken = python(contract.name, &refused).into_iter().flatten().count();
        assert_eq!(taken, 0, "{}: the second implementation takes some", contract.name);
    }
}

#[test]
fn published_schemas_are_the_shapes() {
    for contract in CONTRACTS {
        let path = file(contract, "schema.json");
        let expected = format!("{}\n", serde_json::to_string_pretty(&contract.json_schema()).expect("JSON"));
        let published = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(published, expected, "{} is to be this", path.display());
    }
}

/// Text of what breaks readers.
fn hostile(dice: &mut Dice) -> String {
    const PARTS: [&str; 18] = [
        "a", " ", "\"", "\\", "\\u0041", "\n", "\r", "\t", "\0", "\u{1f}", "\u{7f}", "\u{85}", "\u{2028}", "\u{feff}",
        "é", "e\u{301}", "\u{ffff}", "😀",
    ];
    (0..dice.below(12)).map(|_| PARTS[dice.below(PARTS.len() as u64) as usize]).collect()
}

fn number(dice: &mut Dice) -> f64 {
    let ties = [0.0, -0.0, 0.00005, 0.00015, 0.03125, 0.09375, -0.00004, 1e21, -1e21, 1e300, 5e-324, 1.0 / 3.0];
    match dice.below(2) {
        0 => ties[dice.below(ties.len() as u64) as usize],
        _ => dice.below(1 << 40) as f64 / 65_536.0 / 1024.0,
    }
}

fn scored(dice: &mut Dice) -> Vec<u8> {
    let text = |dice: &mut Dice| hostile(dice);
    let evidence = Evidence {
        run_id: text(dice),
        source_class: text(dice),
        model: (dice.below(2) == 0).then(|| text(dice)),
        task_key: (dice.below(2) == 0).then(|| text(dice)),
        ..Evidence::default()
    };
    let evidence_id = text(dice);
    let verdict = match dice.below(4) {
        0 => Verdict::Skipped,
        1 => Verdict::Failed(text(dice), ScoreFailed { error: text(dice), ..ScoreFailed::default() }),
        _ => Verdict::Scored(
            text(dice),
            Score {
                run_id: evidence.run_id.clone(),
                evidence_id: evidence_id.clone(),
                scorer: text(dice),
                scorer_version: text(dice),
                config_hash: text(dice),
                score: number(dice),
                sub_scores: (0..dice.below(4)).map(|_| (text(dice), number(dice))).collect::<BTreeMap<_, _>>(),
                reasons: (0..dice.below(3)).map(|_| text(dice)).collect(),
                category: Category::ALL[dice.below(4) as usize],
                decided_by: text(dice),
                source_class: String::new(),
                call_hash: None,
                cost_usd: None,
            },
        ),
    };
    ScoredRun { evidence_id: &evidence_id, evidence: &evidence, verdict: &verdict }.line().expect("finite numbers")
}

/// A sample whose tool is described by generated JSON, numbers in every spelling.
fn sample(dice: &mut Dice) -> Vec<u8> {
    fn value(dice: &mut Dice, depth: u64) -> String {
        const NUMBERS: [&str; 9] =
            ["0", "-0", "1.10", "1E5", "1e-7", "-0.0", "1e400", "123456789012345678901234567890", "0.1234567"];
        match dice.below(if depth > 4 { 4 } else { 6 }) {
            0 => "null".to_owned(),
            1 => "true".to_owned(),
            2 => NUMBERS[dice.below(NUMBERS.len() as u64) as usize].to_owned(),
            3 => serde_json::to_string(&hostile(dice)).expect("JSON"),
            4 => format!("[{}]", (0..dice.below(4)).map(|_| value(dice, depth + 1)).collect::<Vec<_>>().join(" , ")),
            _ => {
                let members: BTreeMap<_, _> =
                    (0..dice.below(4)).map(|_| (hostile(dice), value(dice, depth + 1))).collect();
                let member = |(name, value): (String, String)| {
                    format!("{} : {value}", serde_json::to_string(&name).expect("JSON"))
                };
                format!("{{{}}}", members.into_iter().rev().map(member).collect::<Vec<_>>().join(", "))
            }
        }
    }
    let tool = format!("{{\"x\": {}}}", value(dice, 0));
    let line = Json::map([
        ("category", Json::text("accepted")),
        ("evidence_id", Json::text(hostile(dice))),
        ("messages", Json::List(vec![])),
        ("model", Json::Null),
        ("run_id", Json::text(hostile(dice))),
        ("score", Json::Float(number(dice))),
        ("score_id", Json::text(hostile(dice))),
        ("source_class", Json::text(hostile(dice))),
        ("task_key", Json::text(hostile(dice))),
        ("tools", Json::List(vec![Json::recorded(&tool).expect("JSON")])),
    ]);
    line.to_bytes().expect("finite numbers")
}

/// What Rust writes, Python writes again, and Rust again.
#[test]
fn generated_lines_go_both_ways() {
    let seed = Dice::seed();
    say(&format!("seed {seed}"));
    let mut dice = Dice::new(seed);
    type Writer = fn(&mut Dice) -> Vec<u8>;
    let writers: [(&str, Writer); 2] = [("scored_run", scored), ("sft_sample", sample)];
    for (name, write) in writers {
        let lines: Vec<Vec<u8>> = (0..size(500, 20_000)).map(|_| write(&mut dice)).collect();
        let again = python(name, &lines);
        assert_eq!(again, found(&lines), "{name}");
        let contract = stillhouse_processors::contracts::contract(name).expect("a contract");
        for line in again.into_iter().flatten() {
            let line = String::from_utf8(line).expect("UTF-8");
            assert_eq!(contract.check(&line), Ok(()), "{line}");
        }
    }
}

/// The rows of a real dataset are `sft_sample`s.
#[test]
fn rows_of_datasets_are_samples() {
    let stack = Stack::embedded(2);
    for recorded in [tau(stack.folder()), gsm8k(stack.folder(), 100)] {
        stack.ok(&["import", recorded.file.to_str().expect("UTF-8"), "--map", &recorded.map]);
    }
    stack.settle();
    let data = dataset(&stack.export("out"));
    let rows = data.files.iter().filter(|(name, _)| name.starts_with("data/"));
    let rows: Vec<Vec<u8>> = rows.flat_map(|(_, bytes)| bytes.split(|b| *b == b'\n').map(<[u8]>::to_vec)).collect();
    let rows: Vec<_> = rows.into_iter().filter(|row| !row.is_empty()).collect();
    assert!(rows.len() > 100, "there are rows");
    assert_eq!(python("sft_sample", &rows), found(&rows));
}
