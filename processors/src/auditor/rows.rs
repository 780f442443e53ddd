//! Lines of datasets: what each says of itself, and what it is traced by.

use crate::contracts::contract;
use crate::exporter::canonical::Json;
use crate::exporter::{Short, asked, short};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::collections::BTreeMap;
use stillhouse_streams::partition_for;

/// A row in few bytes: what has to be held against the journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowKey {
    /// Number of the dataset.
    pub dataset: u32,
    /// Number of the file within it.
    pub file: u32,
    /// Line of the file, from 1.
    pub line: u64,
    /// What decides the partition of the run ([`partition_hash`]).
    pub partition: u32,
    /// A person wrote it in the place of what the run said, so that no score lets it in.
    pub written: bool,
    /// The run; nothing but zeros where the dataset says in another file what its rows were made of.
    pub run: Short,
    /// The evidence made of it.
    pub evidence: Short,
    /// The score that let it in.
    pub score: Short,
    /// The task, or nothing but zeros.
    pub task: Short,
    /// What is answered.
    pub prompt: Short,
    /// All that is trained on.
    pub content: Short,
    /// What a pair asks, tools and all; nothing but zeros of others.
    pub asked: Short,
}

/// Where the ids begin.
const IDS: usize = 21;

/// What decides the partition of a key: of `n` partitions it is this modulo `n`.
pub fn partition_hash(key: &[u8]) -> u32 {
    partition_for(Some(key), 1 << 31)
}

impl RowKey {
    /// Bytes of a key.
    pub const BYTES: usize = IDS + 7 * 16;

    /// As bytes.
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut out = [0; Self::BYTES];
        out[..4].copy_from_slice(&self.dataset.to_le_bytes());
        out[4..8].copy_from_slice(&self.file.to_le_bytes());
        out[8..16].copy_from_slice(&self.line.to_le_bytes());
        out[16..20].copy_from_slice(&self.partition.to_le_bytes());
        out[20] = u8::from(self.written);
        let ids = [self.run, self.evidence, self.score, self.task, self.prompt, self.content, self.asked];
        for (place, id) in out[IDS..].chunks_exact_mut(16).zip(ids) {
            place.copy_from_slice(&id);
        }
        out
    }

    /// Of bytes.
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let id = |n: usize| std::array::from_fn(|i| bytes[IDS + n * 16 + i]);
        let number = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        Self {
            dataset: number(0),
            file: number(4),
            line: u64::from_le_bytes(std::array::from_fn(|i| bytes[8 + i])),
            partition: number(16),
            written: bytes[20] != 0,
            run: id(0),
            evidence: id(1),
            score: id(2),
            task: id(3),
            prompt: id(4),
            content: id(5),
            asked: id(6),
        }
    }
}

/// Two answers that a line sets against each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Both answer the same prompt, byte for byte.
    pub one_prompt: bool,
    /// The answers are not the same.
    pub differs: bool,
}

/// What a line says.
#[derive(Clone, Debug)]
pub struct Line {
    /// What it is traced by, and compared with other rows by.
    pub keys: Vec<RowKey>,
    /// Whether it is of its contract, in its one spelling.
    pub canonical: Result<(), String>,
    /// Category that it says to have.
    pub category: Option<String>,
    /// Both sides, of a pair.
    pub pair: Option<Pair>,
    /// What it says itself that it was made of.
    own: Vec<Own>,
}

/// Run, evidence and score that a row names, or a side of it; nothing where it has no such member.
type Own = [Option<Short>; 3];

/// What `lineage.jsonl` says of a row.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    /// The split.
    pub split: String,
    /// Number of the row within it, from 1.
    pub row: u64,
    /// What it was made of, the better side of a pair first.
    pub from: Vec<RowKey>,
}

/// Kinds whose rows may be of any category, because a worse answer is what they are for.
pub fn any_category(kind: &str) -> bool {
    kind == "preference"
}

/// Reads a line of a dataset of this kind and shape; `traced`: what its rows were made of stands in a file of its own.
pub fn read(text: &str, kind: &str, shape: &str, traced: bool) -> Line {
    let mut line = Line { keys: Vec::new(), canonical: Ok(()), category: None, pair: None, own: Vec::new() };
    let json = match Json::recorded(text) {
        Ok(json) => json,
        Err(error) => {
            line.canonical = Err(error.to_string());
            return line;
        }
    };
    line.canonical = match contract("sft_sample").filter(|_| kind == "sft" && matches!(shape, "trl" | "trl/messages")) {
        Some(contract) => contract.check(text).map_err(|error| error.to_string()),
        None => match json.to_bytes() {
            Ok(bytes) if bytes == text.as_bytes() => Ok(()),
            Ok(_) => Err("it is not in its canonical spelling".to_owned()),
            Err(error) => Err(error.to_string()),
        },
    };
    let Json::Map(members) = &json else { return line };
    line.category = said(members, "category").map(str::to_owned);
    line.pair = pair(members);
    let content = short(digest(
        &["messages", "prompt", "completion", "chosen", "rejected", "text", "tools"].map(|n| members.get(n)),
    ));
    let base = RowKey {
        task: said(members, "task_key").map(short).unwrap_or_default(),
        prompt: prompt(members),
        content,
        asked: if any_category(kind) { asked::of_row(&json) } else { Short::default() },
        ..RowKey::default()
    };
    line.own = own(members);
    if traced {
        line.keys.push(base);
    } else {
        line.keys.extend(origin(members, base));
    }
    line
}

/// What a row names, or each side of it; nothing if its shape has no place for that.
fn own(members: &Members<'_>) -> Vec<Own> {
    let id = |prefix: &str, name: &str| match members.get(format!("{prefix}{name}").as_str()) {
        Some(Json::Text(text)) => Some(short(text.as_ref())),
        Some(_) => Some(Short::default()),
        None => None,
    };
    let side = |prefix: &str| ["run_id", "evidence_id", "score_id"].map(|name| id(prefix, name));
    let sides: Vec<Own> = match members.contains_key("chosen_run_id") {
        true => vec![side("chosen_"), side("rejected_")],
        false => vec![side("")],
    };
    if sides.iter().flatten().all(Option::is_none) { Vec::new() } else { sides }
}

impl Line {
    /// What it is traced by, where that stands in a file of its own; or how the two do not fit each other.
    pub fn traced(&mut self, number: u64, origins: Option<Result<Origins, String>>) -> Result<(), String> {
        let origins = origins.ok_or("lineage.jsonl does not say what it was made of")??;
        let same = |(own, from): (&Own, &RowKey)| {
            let mut ids = own.iter().zip([from.run, from.evidence, from.score]);
            ids.all(|(own, id)| own.is_none_or(|own| own == id))
        };
        let as_many = self.own.is_empty() || self.own.len() == origins.from.len();
        let same = as_many && self.own.iter().zip(&origins.from).all(same);
        let base = self.keys.pop().unwrap_or_default();
        let key = |(n, from): (usize, RowKey)| match n {
            // What rows are compared by stands once.
            0 => RowKey { task: base.task, prompt: base.prompt, content: base.content, asked: base.asked, ..from },
            _ => RowKey { asked: base.asked, ..from },
        };
        // Held against the journal as the file of origins has it, also where the row has it otherwise.
        self.keys = origins.from.into_iter().enumerate().map(key).collect();
        if origins.row != number {
            return Err(format!("row {number} of its split stands in lineage.jsonl as row {}", origins.row));
        }
        if same { Ok(()) } else { Err("it names another run, evidence or score than lineage.jsonl does".to_owned()) }
    }
}

/// What a line of `lineage.jsonl` says that a row was made of.
pub fn lineage(text: &str) -> Result<Origins, String> {
    let Json::Map(members) = Json::recorded(text).map_err(|error| error.to_string())? else {
        return Err("it is no object".to_owned());
    };
    let Some(Json::List(from)) = members.get("from") else { return Err("it does not say `from` what".to_owned()) };
    let key = |item: &Json<'_>| match item {
        Json::Map(members) => origin(members, RowKey::default()),
        _ => None,
    };
    let from = from.iter().map(|item| key(item).ok_or_else(|| "it names no run and evidence".to_owned()));
    let row = match members.get("row") {
        Some(Json::Int(row)) => u64::try_from(*row).ok(),
        Some(Json::Verbatim(row)) => row.parse().ok(),
        _ => None,
    };
    Ok(Origins {
        split: said(&members, "split").unwrap_or_default().to_owned(),
        row: row.ok_or("it does not say which `row`")?,
        from: from.collect::<Result<_, _>>()?,
    })
}

fn origin(members: &Members<'_>, base: RowKey) -> Option<RowKey> {
    let (run, evidence) = (said(members, "run_id")?, said(members, "evidence_id")?);
    Some(RowKey {
        partition: partition_hash(run.as_bytes()),
        written: said(members, "label_id").is_some(),
        run: short(run),
        evidence: short(evidence),
        score: said(members, "score_id").map(short).unwrap_or_default(),
        ..base
    })
}

type Members<'a> = BTreeMap<Cow<'a, str>, Json<'a>>;

fn said<'a>(members: &'a Members<'_>, name: &str) -> Option<&'a str> {
    match members.get(name) {
        Some(Json::Text(text)) => Some(text),
        _ => None,
    }
}

fn digest(values: &[Option<&Json<'_>>]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for value in values {
        let bytes = value.and_then(|value| value.to_bytes().ok()).unwrap_or_default();
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    }
    hash.finalize().into()
}

/// What is answered: a prompt of its own, or everything before the last message.
fn prompt(members: &Members<'_>) -> Short {
    let value = match (members.get("prompt"), members.get("messages")) {
        (Some(prompt), _) => prompt.clone(),
        (None, Some(Json::List(messages))) => {
            let before = |m: &&Json<'_>| !matches!(m, Json::Map(m) if said(m, "role") == Some("assistant"));
            Json::List(messages.iter().take_while(before).cloned().collect())
        }
        _ => return Short::default(),
    };
    short(digest(&[Some(&value)]))
}

/// Two answers beside what they answer, or two whole conversations that begin alike.
fn pair(members: &Members<'_>) -> Option<Pair> {
    let sides = [("chosen", "rejected"), ("preferred_output", "non_preferred_output")];
    let (chosen, rejected) = sides.iter().find_map(|(a, b)| members.get(*a).zip(members.get(*b)))?;
    let asked = ["prompt", "messages", "input"].iter().find_map(|name| members.get(*name));
    let one_prompt = match (asked, chosen, rejected) {
        (Some(_), ..) => true,
        (None, Json::List(a), Json::List(b)) => {
            a.len() > 1 && b.len() > 1 && a[0] == b[0] && common(a, b) >= a.len().min(b.len()).saturating_sub(1)
        }
        _ => false,
    };
    Some(Pair { one_prompt, differs: chosen != rejected })
}

fn common(a: &[Json<'_>], b: &[Json<'_>]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}
